//! Holds finished items until the end of the invocation, with a limit and counted losses.

use crate::bounded::TimedLock;
use crate::export::losses::{Loss, LossCounts};
use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::logs::SdkLogRecord;
use opentelemetry_sdk::trace::SpanData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::SignalKind;

/// Limits on the buffer other than the number of items: early writes bound the memory for large items, and the work at the end of the
/// invocation.
const MAX_BYTES: usize = 1 << 20;
/// Places beyond the limits for the root spans of invocations, of which a function has at most this many at a time.
const ROOTS: usize = 64;

/// A bounded buffer of spans or log records.
///
/// A full buffer is written early; a thread that finds another one writing waits for it. An item is dropped only if that takes
/// too long, for example if stdout has no reader. The root span of an invocation has its place even then.
pub(crate) struct Buffer<T> {
    kind: SignalKind,
    capacity: usize,
    memory_size: fn(&T) -> usize,
    items: Mutex<Items<T>>,
    /// Held while a batch is written, so that at most one full buffer is in flight.
    writing: TimedLock,
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
        losses: Arc<LossCounts>,
    ) -> Self {
        let items = Mutex::new(Items { items: Vec::new(), bytes: 0 });
        let capacity = capacity.max(1);
        let writing = TimedLock::default();
        Self { kind, capacity, memory_size, items, writing, losses }
    }

    /// Adds an item, which may be a root span; `write` receives the batch if the buffer is now full. If another thread is writing
    /// the previous batch, waits at most `timeout` for it.
    pub(crate) fn push(
        &self,
        item: T,
        is_root: bool,
        timeout: impl FnOnce() -> Duration,
        write: impl FnOnce(Vec<T>),
    ) {
        let mut buffered = self.lock();
        // The buffer may have filled up during another write: it is written now, with this item, if that write has ended.
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
        let mut writing = self.writing.lock(Duration::ZERO);
        if writing.is_none() && was_full {
            // The write has a time limit too: after it, the timeout is 5 ms.
            drop(buffered);
            writing = self.writing.lock(timeout());
            buffered = self.lock();
        }
        let has_place = is_root && buffered.items.len() < self.capacity + ROOTS;
        if writing.is_none() && self.is_full(&buffered) && !has_place {
            self.losses.lose(self.kind, Loss::BufferFull, 1);
            return;
        }
        buffered.bytes += bytes;
        buffered.items.push(item);
        if writing.is_some() && self.is_full(&buffered) {
            let batch = buffered.take();
            drop(buffered);
            write(batch);
        }
    }

    fn is_full(&self, buffered: &Items<T>) -> bool {
        buffered.items.len() >= self.capacity || buffered.bytes >= MAX_BYTES
    }

    fn lock(&self) -> MutexGuard<'_, Items<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes everything to `write`, after waiting at most `timeout` for another thread's write; `None` if the buffer is empty.
    pub(crate) fn flush<R>(&self, timeout: Duration, write: impl FnOnce(Vec<T>) -> R) -> Option<R> {
        let _writing = self.writing.lock(timeout);
        let batch = self.lock().take();
        (!batch.is_empty()).then(|| write(batch))
    }
}

impl<T> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({}, capacity {})", self.kind, self.capacity)
    }
}

/// Overhead of an attribute, event, link or element in addition to its text.
const OVERHEAD: usize = 48;

pub(crate) fn size_of_span(span: &SpanData) -> usize {
    let events = span.events.iter();
    let links = span.links.iter();
    size_of::<SpanData>()
        + span.name.len()
        + size_of_attributes(&span.attributes)
        + events
            .map(|event| OVERHEAD + event.name.len() + size_of_attributes(&event.attributes))
            .sum::<usize>()
        + links.map(|link| OVERHEAD + size_of_attributes(&link.attributes)).sum::<usize>()
}

pub(crate) fn size_of_record(record: &SdkLogRecord) -> usize {
    let attributes = record.attributes_iter();
    size_of::<SdkLogRecord>()
        + record.body().map_or(0, size_of_any)
        + attributes
            .map(|(key, value)| OVERHEAD + key.as_str().len() + size_of_any(value))
            .sum::<usize>()
}

fn size_of_attributes(attributes: &[KeyValue]) -> usize {
    attributes
        .iter()
        .map(|attribute| OVERHEAD + attribute.key.as_str().len() + size_of_value(&attribute.value))
        .sum()
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => {
            texts.iter().map(|text| OVERHEAD + text.as_str().len()).sum()
        }
        Value::Array(Array::I64(numbers)) => size_of_val(numbers.as_slice()),
        Value::Array(Array::F64(numbers)) => size_of_val(numbers.as_slice()),
        Value::Array(Array::Bool(switches)) => switches.len(),
        _ => 0,
    }
}

fn size_of_any(value: &AnyValue) -> usize {
    match value {
        AnyValue::String(text) => text.as_str().len(),
        AnyValue::Bytes(bytes) => bytes.len(),
        AnyValue::ListAny(values) => values.iter().map(|value| OVERHEAD + size_of_any(value)).sum(),
        AnyValue::Map(map) => {
            map.iter().map(|(key, value)| OVERHEAD + key.as_str().len() + size_of_any(value)).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_is_no_root_is_lost_if_a_full_buffer_cannot_be_written_in_time() {
        let buffer = Buffer::new(SignalKind::Traces, 2, |_| 1, Arc::default());
        let push = |item: usize, write: &dyn Fn()| {
            buffer.push(item, item >= 100, || Duration::ZERO, |_| write());
        };
        push(1, &|| ());
        push(2, &|| {
            for item in [3, 4, 5].into_iter().chain(100..=100 + ROOTS) {
                push(item, &|| ());
            }
        });
        assert_eq!(buffer.losses.lost(SignalKind::Traces, Loss::BufferFull), 2);
        let kept: Vec<usize> = [3, 4].into_iter().chain(100..100 + ROOTS).collect();
        assert_eq!(buffer.flush(Duration::ZERO, |batch| batch), Some(kept));
    }

    #[test]
    fn fast_producers_wait_for_the_write_and_lose_no_items() {
        let buffer = Buffer::new(SignalKind::Traces, 4, |_| 1, Arc::default());
        let written = Mutex::new(Vec::new());
        let write = |batch| {
            std::thread::sleep(Duration::from_micros(50));
            written.lock().unwrap().push(batch);
        };
        std::thread::scope(|scope| {
            for first in 0..8 {
                let buffer = &buffer;
                let write = &write;
                scope.spawn(move || {
                    for item in 0..500 {
                        buffer.push(first * 500 + item, false, || Duration::from_secs(60), write);
                    }
                });
            }
        });
        buffer.flush(Duration::ZERO, write);
        let mut items = written.into_inner().unwrap().concat();
        items.sort_unstable();
        assert_eq!(buffer.losses.lost(SignalKind::Traces, Loss::BufferFull), 0);
        assert_eq!(items, (0..4000).collect::<Vec<_>>());
    }
}
