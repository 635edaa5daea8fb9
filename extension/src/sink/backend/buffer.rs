//! The send buffer: acknowledged requests that are not delivered, within a bound of bytes.

use crate::clock::unix_millis;
use backend::{Fate, UndeliveredPart};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::{Request, SignalKind};

/// The part of the buffer that OTLP requests may fill. Further ones are written as lines.
const OTLP_PERCENT: usize = 80;
/// The part for records of printed lines. The function's log contains them already, so they leave room for telemetry that exists
/// nowhere else.
const LINES_PERCENT: usize = 65;
/// The maximum number of requests, because each takes memory besides its bytes.
const MAX_BATCHES: usize = 8192;

#[derive(Clone, Debug)]
struct Batch {
    request: Request,
    origin: BatchOrigin,
    /// How often sending failed.
    attempts: u32,
    /// The backend refused the request for good, so it is not sent again.
    is_refused: bool,
    since_ms: u64,
}

/// The origin of a batch. A batch made of several has the first of their origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BatchOrigin {
    /// OTLP that the function sent or printed, or that the extension made.
    Otlp,
    /// Records of printed lines, which are in the function's log too.
    Lines,
    /// Unchanged events of the Telemetry API, which have their own endpoint.
    Events,
}

pub(crate) type SharedBuffer = Arc<Buffer>;

/// The kinds of batches that are sent separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchKind {
    /// OTLP of this signal.
    Otlp(SignalKind),
    /// Unchanged events of the Telemetry API.
    Events,
}

impl Batch {
    fn kind(&self) -> BatchKind {
        match self.origin {
            BatchOrigin::Events => BatchKind::Events,
            BatchOrigin::Otlp | BatchOrigin::Lines => BatchKind::Otlp(self.request.kind()),
        }
    }
}

/// Shared by the receivers, which fill it, and the backend, which empties it.
#[derive(Debug)]
pub(crate) struct Buffer {
    inner: Mutex<BufferState>,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct BufferState {
    batches: Vec<Batch>,
    /// Bytes of all requests, including those a [`TakenBatches`] holds.
    bytes: usize,
    /// Every request is spilled.
    is_closed: bool,
}

/// The batches that wait to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaitingBatches {
    /// The time of the oldest one.
    pub(super) since_ms: u64,
    /// The buffer is more than half full.
    pub(super) is_half_full: bool,
}

impl Buffer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { inner: Mutex::default(), max_bytes }
    }

    /// Adds a request, or returns it if there is no room.
    pub(crate) fn put(&self, request: Request, origin: BatchOrigin) -> Result<(), Request> {
        let percent = if origin == BatchOrigin::Otlp { OTLP_PERCENT } else { LINES_PERCENT };
        let mut inner = self.lock();
        let bytes = inner.bytes + request.bytes().len();
        let is_many = inner.batches.len() >= MAX_BATCHES;
        if inner.is_closed || is_many || bytes > self.max_bytes / 100 * percent {
            return Err(request);
        }
        inner.bytes = bytes;
        inner.batches.push(Batch {
            request,
            origin,
            attempts: 0,
            is_refused: false,
            since_ms: unix_millis(),
        });
        Ok(())
    }

    /// Describes the batches to send; `None` if there are none.
    pub(super) fn waiting(&self) -> Option<WaitingBatches> {
        let inner = self.lock();
        let to_send = inner.batches.iter().filter(|batch| !batch.is_refused);
        let since_ms = to_send.map(|batch| batch.since_ms).min()?;
        Some(WaitingBatches { since_ms, is_half_full: inner.bytes > self.max_bytes / 2 })
    }

    /// Returns the bytes of all acknowledged requests that are not delivered or written yet.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Takes all batches of a kind for sending. Unsettled ones return when the result is dropped.
    pub(super) fn take(self: &Arc<Self>, kind: BatchKind) -> TakenBatches {
        let is_taken = |batch: &Batch| batch.kind() == kind && !batch.is_refused;
        let mut inner = self.lock();
        let (batches, others) = mem::take(&mut inner.batches).into_iter().partition(is_taken);
        inner.batches = others;
        TakenBatches { buffer: Arc::clone(self), batches }
    }

    /// Removes the requests that are not sent again: refused ones, and those with more than `max_attempts`.
    pub(super) fn remove_tried(&self, max_attempts: u32) -> Vec<Request> {
        self.remove(|batch| batch.is_refused || batch.attempts > max_attempts)
    }

    /// Removes all requests. Those whose content is in no log come first, because the others may be megabytes.
    pub(crate) fn remove_all(&self) -> Vec<Request> {
        let mut all = self.remove(|batch| batch.origin == BatchOrigin::Otlp);
        all.append(&mut self.remove(|_| true));
        all
    }

    fn remove(&self, matches: impl Fn(&Batch) -> bool) -> Vec<Request> {
        let mut inner = self.lock();
        let (out, others) = mem::take(&mut inner.batches).into_iter().partition(matches);
        inner.batches = others;
        inner.release(out)
    }

    /// Refuses all further requests, so that they are spilled.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, BufferState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BufferState {
    /// Puts batches back in front of newer ones.
    fn put_back(&mut self, mut batches: Vec<Batch>) {
        batches.append(&mut self.batches);
        self.batches = batches;
    }

    /// Gives the bytes of these batches back, and returns their requests.
    fn release(&mut self, batches: Vec<Batch>) -> Vec<Request> {
        let bytes: usize = batches.iter().map(|batch| batch.request.bytes().len()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        batches.into_iter().map(|batch| batch.request).collect()
    }
}

/// Batches that are being sent. They return to the buffer if this is dropped without a result, because the flush panicked, was
/// aborted, or ended before their turn.
pub(super) struct TakenBatches {
    buffer: Arc<Buffer>,
    batches: Vec<Batch>,
}

impl TakenBatches {
    /// Splits the batches into parts that are settled separately, so that a settled part stays settled if a later one is aborted.
    /// The merged request of each part has at most `max_bytes`. Batches keep their ages and attempts.
    pub(super) fn parts(mut self, max_bytes: usize) -> Vec<Self> {
        // A panic in `split_by_size` must find all batches in place.
        let pieces = self.batches.iter().map(|Batch { request, .. }| {
            let is_too_large = request.bytes().len() > max_bytes;
            is_too_large.then(|| request.clone().split_by_size(max_bytes))
        });
        let pieces: Vec<_> = pieces.collect();
        let mut parts: Vec<Vec<Batch>> = Vec::new();
        let mut bytes_of_part = 0_usize;
        let mut bytes_after = 0;
        let mut bytes_before = 0;
        for (batch, pieces) in mem::take(&mut self.batches).into_iter().zip(pieces) {
            let Batch { request, origin, attempts, is_refused, since_ms } = batch;
            bytes_before += request.bytes().len();
            for request in pieces.unwrap_or_else(|| vec![request]) {
                let bytes = request.bytes().len();
                bytes_after += bytes;
                bytes_of_part = bytes_of_part.saturating_add(bytes);
                let batch = Batch { request, origin, attempts, is_refused, since_ms };
                match parts.last_mut() {
                    Some(part) if bytes_of_part <= max_bytes => part.push(batch),
                    _ => {
                        bytes_of_part = bytes;
                        parts.push(vec![batch]);
                    }
                }
            }
        }
        let mut inner = self.buffer.lock();
        inner.bytes = (inner.bytes + bytes_after).saturating_sub(bytes_before);
        drop(inner);
        let part = |batches| Self { buffer: Arc::clone(&self.buffer), batches };
        parts.into_iter().map(part).collect()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.batches.iter().map(|batch| batch.request.clone()).collect()
    }

    /// Settles the batches: they are delivered, except for these parts. Parked ones are sent again, and refused ones spilled. If all
    /// are to be sent again, they keep their own ages and attempts.
    pub(super) fn settle(mut self, undelivered: Vec<UndeliveredPart>) {
        let all: usize = self.batches.iter().map(|batch| batch.request.items()).sum();
        let parked = undelivered.iter().filter(|part| part.fate == Fate::Park);
        if parked.map(|part| part.items).sum::<usize>() == all {
            return self.return_to_buffer();
        }
        let batches = mem::take(&mut self.batches);
        let max_attempts = batches.iter().map(|batch| batch.attempts).max().unwrap_or_default();
        let since_ms = batches.iter().map(|batch| batch.since_ms).min().unwrap_or_default();
        let origin = batches.iter().map(|batch| batch.origin).min().unwrap_or(BatchOrigin::Otlp);
        let remaining = |UndeliveredPart { request, fate, .. }| {
            let is_refused = match fate {
                Fate::Park => false,
                Fate::ParkRefused | Fate::ParkWithAlarm | Fate::DeadLetter => true,
                // The backend stored the other items, so a repetition would store them twice.
                Fate::DeadLetterPartial => return None,
            };
            let attempts = max_attempts.saturating_add(1);
            Some(Batch { request, origin, attempts, is_refused, since_ms })
        };
        let remaining: Vec<Batch> = undelivered.into_iter().filter_map(remaining).collect();
        let mut inner = self.buffer.lock();
        drop(inner.release(batches));
        inner.bytes += remaining.iter().map(|batch| batch.request.bytes().len()).sum::<usize>();
        inner.put_back(remaining);
    }

    /// Returns the batches to the buffer after one more attempt.
    fn return_to_buffer(&mut self) {
        let mut batches = mem::take(&mut self.batches);
        if batches.is_empty() {
            return;
        }
        for batch in &mut batches {
            batch.attempts = batch.attempts.saturating_add(1);
        }
        self.buffer.lock().put_back(batches);
    }
}

impl Drop for TakenBatches {
    fn drop(&mut self) {
        self.return_to_buffer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_spans::{span, spans, traces};
    use backend::{Outcome, Reason};

    const TRACES: BatchKind = BatchKind::Otlp(SignalKind::Traces);

    fn one() -> Request {
        spans(1)
    }

    /// A buffer that holds eight of ten such requests.
    fn buffer() -> Arc<Buffer> {
        Arc::new(Buffer::new(one().bytes().len().next_multiple_of(10) * 10))
    }

    fn waiting(buffer: &Buffer) -> Vec<u32> {
        buffer.lock().batches.iter().map(|batch| batch.attempts).collect()
    }

    #[test]
    fn printed_lines_leave_room_for_posted_telemetry() {
        let buffer = buffer();
        while buffer.put(one(), BatchOrigin::Lines).is_ok() {}
        assert!(buffer.bytes() > 0);
        let posted = || traces(vec![span(vec![5; 8])]);
        buffer.put(posted(), BatchOrigin::Otlp).unwrap();
        assert!(buffer.put(posted(), BatchOrigin::Otlp).is_err());
        // Posted telemetry is spilled first.
        let all = buffer.remove_all();
        assert!(all.len() > 2 && all[0] == posted() && all[1] == one());
    }

    /// These spans, with this fate.
    fn parts(spans: &[Request], fate: Fate) -> Vec<UndeliveredPart> {
        let unsent = |request: &Request| Outcome::unsent(request.clone(), Reason::Deadline, fate);
        spans.iter().flat_map(|request| unsent(request).parts).collect()
    }

    #[test]
    fn aborted_and_failed_batches_are_requeued_with_their_attempts() {
        let buffer = buffer();
        buffer.put(one(), BatchOrigin::Otlp).unwrap();
        drop(buffer.take(TRACES));
        buffer.put(one(), BatchOrigin::Otlp).unwrap();
        assert_eq!(waiting(&buffer), [1, 0]);
        // All of it failed.
        let sending = buffer.take(TRACES);
        let requests = sending.requests();
        buffer.put(one(), BatchOrigin::Otlp).unwrap();
        sending.settle(parts(&requests, Fate::Park));
        assert_eq!(waiting(&buffer), [2, 1, 0]);
        assert_eq!(buffer.remove_tried(1).len(), 1);
        // A part of it failed.
        buffer.take(TRACES).settle(parts(&[one()], Fate::Park));
        assert_eq!(waiting(&buffer), [2]);
        assert_eq!(buffer.lock().bytes, one().bytes().len());
        // It is refused for good.
        buffer.take(TRACES).settle(parts(&[one()], Fate::DeadLetter));
        // It is never sent again, and delays nothing.
        assert_eq!(buffer.waiting(), None);
        assert!(buffer.take(TRACES).requests().is_empty());
        assert_eq!((waiting(&buffer), buffer.remove_tried(u32::MAX).len()), (vec![3], 1));
        assert_eq!(buffer.lock().bytes, 0);
        // The backend stored the rest.
        buffer.put(one(), BatchOrigin::Otlp).unwrap();
        buffer.take(TRACES).settle(parts(&[one()], Fate::DeadLetterPartial));
        assert_eq!((waiting(&buffer), buffer.bytes()), (vec![], 0));
    }

    #[test]
    fn each_part_of_a_flush_is_settled_separately() {
        let len = one().bytes().len();
        let buffer = Arc::new(Buffer::new(1 << 20));
        buffer.put(one(), BatchOrigin::Otlp).unwrap();
        drop(buffer.take(TRACES));
        for _ in 0..4 {
            buffer.put(one(), BatchOrigin::Otlp).unwrap();
        }
        let parts = buffer.take(TRACES).parts(2 * len);
        let sizes: Vec<_> = parts.iter().map(|part| part.batches.len()).collect();
        assert_eq!(sizes, [2, 2, 1]);
        let mut remaining = parts.into_iter();
        remaining.next().unwrap().settle(Vec::new());
        // The others are cut off.
        drop(remaining);
        assert_eq!((waiting(&buffer).len(), buffer.bytes()), (3, 3 * len));
        drop(buffer.remove_all());

        // A request that is too large is cut, and its bytes are given back as they are.
        buffer.put(spans(20), BatchOrigin::Otlp).unwrap();
        let parts = buffer.take(TRACES).parts(3 * len);
        assert!(parts.len() > 1, "{}", parts.len());
        for part in parts {
            part.settle(Vec::new());
        }
        assert_eq!(buffer.bytes(), 0);
    }
}
