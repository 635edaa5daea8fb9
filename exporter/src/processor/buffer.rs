//! Holds finished items until the invocation is over, bounded and counted.

use crate::export::loss_counts::{Loss, LossCounts};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use wire::SignalKind;

/// What a buffer holds at most, beside the number of items: early writes keep the memory of a function with large
/// items small, and the work at the end of its invocation short.
const MAX_BYTES: usize = 1 << 20;

/// A bounded buffer of spans or log records.
///
/// Full, it is written early. An item is dropped only where another thread is still writing the last full buffer; then
/// the items for which `keep` holds stay.
pub(crate) struct Buffer<T> {
    kind: SignalKind,
    capacity: usize,
    /// About how many bytes an item holds.
    memory_size: fn(&T) -> usize,
    keep: fn(&T) -> bool,
    items: Mutex<Items<T>>,
    /// Held while a batch is written, so that at most one full buffer is in flight.
    writing: Mutex<()>,
    losses: Arc<LossCounts>,
}

struct Items<T> {
    items: Vec<T>,
    bytes: usize,
}

impl<T> Items<T> {
    fn take(&mut self) -> Vec<T> {
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }
}

impl<T> Buffer<T> {
    pub(crate) fn new(
        kind: SignalKind,
        capacity: usize,
        memory_size: fn(&T) -> usize,
        keep: fn(&T) -> bool,
        losses: Arc<LossCounts>,
    ) -> Self {
        let items = Mutex::new(Items { items: Vec::new(), bytes: 0 });
        let capacity = capacity.max(1);
        Self { kind, capacity, memory_size, keep, items, writing: Mutex::default(), losses }
    }

    /// Adds an item; `write` takes the batch if the buffer is now full.
    pub(crate) fn push(&self, item: T, write: impl FnOnce(Vec<T>)) {
        let mut buffered = self.lock();
        // The buffer may be full already, since another batch was being written when it filled up: it is written now, with
        // this item, if that write is over.
        let was_full = self.is_full(&buffered);
        let bytes = (self.memory_size)(&item);
        if !was_full
            && buffered.items.len() + 1 < self.capacity
            && buffered.bytes + bytes < MAX_BYTES
        {
            buffered.bytes += bytes;
            buffered.items.push(item);
            return;
        }
        let _writing = match self.writing.try_lock() {
            Ok(writing) => writing,
            Err(TryLockError::Poisoned(writing)) => writing.into_inner(),
            Err(TryLockError::WouldBlock) if was_full => {
                self.displace(&mut buffered, item);
                return;
            }
            Err(TryLockError::WouldBlock) => {
                buffered.bytes += bytes;
                buffered.items.push(item);
                return;
            }
        };
        buffered.items.push(item);
        let batch = buffered.take();
        drop(buffered);
        write(batch);
    }

    /// Counts one item as lost: the new one, or where that is to be kept, the last in the buffer that is not.
    fn displace(&self, buffered: &mut Items<T>, item: T) {
        self.losses.lose(self.kind, Loss::BufferFull, 1);
        let displaced = buffered.items.iter_mut().rev().find(|own| !(self.keep)(own));
        if let (true, Some(displaced)) = ((self.keep)(&item), displaced) {
            *displaced = item;
        }
    }

    fn is_full(&self, buffered: &Items<T>) -> bool {
        buffered.items.len() >= self.capacity || buffered.bytes >= MAX_BYTES
    }

    fn lock(&self) -> MutexGuard<'_, Items<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives everything to `write`, once a batch that another thread is writing is done; `None` where nothing is held.
    pub(crate) fn flush<R>(&self, write: impl FnOnce(Vec<T>) -> R) -> Option<R> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = self.lock().take();
        (!batch.is_empty()).then(|| write(batch))
    }
}

impl<T> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({}, capacity {})", self.kind, self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(capacity: usize) -> Buffer<i32> {
        Buffer::new(SignalKind::Traces, capacity, |_| 1, |item| *item == 0, Arc::default())
    }

    #[test]
    fn a_full_buffer_is_written_early_and_nothing_is_lost() {
        let buffer = buffer(3);
        let mut written = Vec::new();
        for item in 1..=7 {
            buffer.push(item, |batch| written.push(batch));
        }
        buffer.flush(|batch| written.push(batch));
        assert_eq!(written, [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
        assert_eq!(buffer.flush(|_| ()), None, "an empty buffer writes nothing");
        assert_eq!(buffer.losses.lost(SignalKind::Traces, Loss::BufferFull), 0);
    }

    #[test]
    fn while_a_batch_is_being_written_the_root_is_kept_and_the_others_are_counted() {
        let buffer = buffer(2);
        buffer.push(1, |_| ());
        buffer.push(2, |_| {
            // Another thread would push these while this one writes.
            for item in [3, 4, 5, 0, 6] {
                buffer.push(item, |_| unreachable!("one batch is in flight already"));
            }
        });
        assert_eq!(buffer.flush(|batch| batch), Some(vec![3, 0]));
        assert_eq!(buffer.losses.lost(SignalKind::Traces, Loss::BufferFull), 3);
    }
    #[test]
    fn a_buffer_that_filled_up_while_another_was_written_is_written_next() {
        let buffer = buffer(2);
        buffer.push(1, |_| ());
        buffer.push(2, |_| [3, 4].into_iter().for_each(|item| buffer.push(item, |_| ())));
        let mut written = Vec::new();
        buffer.push(5, |batch| written = batch);
        assert_eq!(written, [3, 4, 5]);
        assert_eq!(buffer.losses.lost(SignalKind::Traces, Loss::BufferFull), 0);
    }

    #[test]
    fn few_large_items_are_a_full_buffer_too() {
        let memory_size = |item: &i32| usize::try_from(*item).unwrap() * 1024;
        let buffer = Buffer::new(SignalKind::Traces, 1000, memory_size, |_| false, Arc::default());
        let mut written = Vec::new();
        for item in [1023, 1, 500, 5000] {
            buffer.push(item, |batch| written.push(batch));
        }
        assert_eq!(written, [vec![1023, 1], vec![500, 5000]]);
    }

    #[test]
    fn large_items_are_dropped_while_a_full_buffer_waits_for_a_write() {
        let memory_size = |item: &i32| usize::try_from(*item).unwrap() * 1024;
        let buffer = Buffer::new(SignalKind::Traces, 1000, memory_size, |_| false, Arc::default());
        buffer.push(2000, |_| [1025, 1].into_iter().for_each(|item| buffer.push(item, |_| ())));
        assert_eq!(buffer.flush(|batch| batch), Some(vec![1025]));
        assert_eq!(buffer.losses.lost(SignalKind::Traces, Loss::BufferFull), 1);
    }
}
