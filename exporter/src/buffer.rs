//! Holds finished items until the invocation is over, bounded and counted.

use crate::vitals::{Loss, Vitals};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use wire::SignalKind;

/// A bounded buffer of spans or log records.
///
/// Full, it is written early. An item is dropped only where another thread is still writing the last full buffer; then
/// the items for which `keep` holds stay.
pub(crate) struct Buffer<T> {
    kind: SignalKind,
    capacity: usize,
    items: Mutex<Vec<T>>,
    /// Held while a batch is written, so that at most one full buffer is in flight.
    writing: Mutex<()>,
    keep: fn(&T) -> bool,
    vitals: Arc<Vitals>,
}

impl<T> Buffer<T> {
    pub(crate) fn new(
        kind: SignalKind,
        capacity: usize,
        keep: fn(&T) -> bool,
        vitals: Arc<Vitals>,
    ) -> Self {
        let items = Mutex::default();
        Self { kind, capacity: capacity.max(1), items, writing: Mutex::default(), keep, vitals }
    }

    /// Adds an item; `write` takes the batch if the buffer is now full.
    pub(crate) fn push(&self, item: T, write: impl FnOnce(Vec<T>)) {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if items.len() < self.capacity {
            items.push(item);
        } else {
            self.vitals.lose(self.kind, Loss::BufferFull, 1);
            let displaced = items.iter_mut().rev().find(|own| !(self.keep)(own));
            if let (true, Some(displaced)) = ((self.keep)(&item), displaced) {
                *displaced = item;
            }
        }
        if items.len() < self.capacity {
            return;
        }
        let _writing = match self.writing.try_lock() {
            Ok(writing) => writing,
            Err(TryLockError::Poisoned(writing)) => writing.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let batch = std::mem::take(&mut *items);
        drop(items);
        write(batch);
    }

    /// Gives everything to `write`, after a batch that another thread is writing.
    pub(crate) fn flush<R>(&self, write: impl FnOnce(Vec<T>) -> R) -> Option<R> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::take(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner));
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
        Buffer::new(SignalKind::Traces, capacity, |item| *item == 0, Arc::default())
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
        assert_eq!(buffer.vitals.lost(SignalKind::Traces, Loss::BufferFull), 0);
    }

    #[test]
    fn while_a_batch_is_being_written_the_root_is_kept_and_the_others_are_counted() {
        let buffer = buffer(2);
        buffer.push(1, |_| ());
        buffer.push(2, |_| {
            // As another thread would, while this one writes.
            for item in [3, 4, 5, 0, 6] {
                buffer.push(item, |_| unreachable!("one batch is in flight already"));
            }
        });
        assert_eq!(buffer.flush(|batch| batch), Some(vec![3, 0]));
        assert_eq!(buffer.vitals.lost(SignalKind::Traces, Loss::BufferFull), 3);
    }
}
