//! What was acknowledged and is not delivered: encoded requests within a bound of bytes, each with how often it was tried.

use crate::clock::unix_millis;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;
use wire::{Request, SignalKind};

/// What would fill the buffer beyond this part of it is written as a line at once.
const FULL_PERCENT: usize = 80;
/// The function's log lines are in its log already: they leave room for what is nowhere else.
const LINES_PERCENT: usize = 65;
/// What the backend refuses for good counts as tried so often, and is not sent again.
const REFUSED: u32 = u32::MAX;
/// Whoever holds the lock has it for less than this, a thousand times over.
const LOOKS_FOR_LOCK: u32 = 50;
const LOOK_FOR_LOCK: Duration = Duration::from_millis(1);

/// A request that waits.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) request: Request,
    origin: Origin,
    /// How often it was sent and not taken.
    pub(crate) attempts: u32,
    since_ms: u64,
}

/// Where what a batch holds comes from. Where several become one, the first of these counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// It was sent or printed as OTLP, or made here.
    Otlp,
    /// It was made of what the function printed, which the log has as it was.
    Lines,
    /// Events of the Telemetry API as they came, which have an endpoint of their own.
    Events,
}

/// A request that the buffer does not take.
#[derive(Debug)]
pub(crate) enum Unbuffered {
    /// There is no room: it is to be written as a line that says so.
    Full(Request),
    /// Nothing is sent any more: it is to be written as any other line.
    Closed(Request),
}

pub(crate) type SharedBuffer = Arc<Buffer>;

/// Shared by the receivers, which fill it, and the loop, which empties it.
#[derive(Debug)]
pub(crate) struct Buffer {
    inner: Mutex<Inner>,
    max_bytes: usize,
    keeps_partial: bool,
}

#[derive(Debug, Default)]
struct Inner {
    batches: Vec<Batch>,
    /// Spans that had not ended when they were exported: they wait until it is known whether they have ended after all.
    partial: Vec<Request>,
    /// What is being sent: each is held by a [`Taken`] too, until it is settled or comes back.
    flying: Vec<Arc<Vec<Batch>>>,
    /// Bytes of all of them.
    bytes: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// What comes is spilled.
    Spilling,
    /// There is no sender.
    Closed,
}

impl Buffer {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { inner: Mutex::default(), max_bytes, keeps_partial: true }
    }

    /// The same where nobody tells how an invocation ended: partial spans are sent as all others.
    pub(crate) fn sending_partial(self) -> Self {
        Self { keeps_partial: false, ..self }
    }

    /// Takes a request, which is acknowledged with that; the number of its items.
    pub(crate) fn put(&self, request: Request) -> Result<usize, Unbuffered> {
        self.put_up_to(FULL_PERCENT, request, Origin::Otlp)
    }

    /// The same of what the function printed, which gets a part of the room.
    pub(crate) fn put_lines(&self, request: Request) -> Result<usize, Unbuffered> {
        self.put_up_to(LINES_PERCENT, request, Origin::Lines)
    }

    /// The same of events of the Telemetry API as they came.
    pub(crate) fn put_events(&self, request: Request) -> Result<usize, Unbuffered> {
        self.put_up_to(LINES_PERCENT, request, Origin::Events)
    }

    /// The same of spans that had not ended when they were exported, which are kept until it is known whether they have ended after
    /// all: [`forget_partial`](Self::forget_partial) or [`add_partial`](Self::add_partial).
    pub(crate) fn put_partial(&self, request: Request) -> Result<usize, Unbuffered> {
        if !self.keeps_partial {
            return self.put(request);
        }
        let items = request.items();
        let (mut inner, request) = self.room_for(FULL_PERCENT, request)?;
        inner.partial.push(request);
        Ok(items)
    }

    /// What had not ended has ended after all: it is here as well. The number of spans.
    pub(crate) fn forget_partial(&self) -> usize {
        let mut inner = self.lock();
        let partial = mem::take(&mut inner.partial);
        let bytes: usize = partial.iter().map(|request| request.bytes().len()).sum();
        inner.bytes = inner.bytes.saturating_sub(bytes);
        partial.iter().map(Request::items).sum()
    }

    /// What had not ended never will: it waits to be sent, as all else does.
    pub(crate) fn add_partial(&self) {
        let mut inner = self.lock();
        let since_ms = unix_millis();
        let batch = |request| Batch { request, origin: Origin::Otlp, attempts: 0, since_ms };
        let partial = mem::take(&mut inner.partial).into_iter().map(batch);
        inner.batches.extend(partial);
    }

    fn put_up_to(
        &self,
        percent: usize,
        request: Request,
        origin: Origin,
    ) -> Result<usize, Unbuffered> {
        let items = request.items();
        let (mut inner, request) = self.room_for(percent, request)?;
        inner.batches.push(Batch { request, origin, attempts: 0, since_ms: unix_millis() });
        Ok(items)
    }

    /// Counts the bytes of a request that the buffer has room for.
    fn room_for(
        &self,
        percent: usize,
        request: Request,
    ) -> Result<(MutexGuard<'_, Inner>, Request), Unbuffered> {
        let mut inner = self.lock();
        match inner.state {
            State::Closed => return Err(Unbuffered::Closed(request)),
            State::Spilling => return Err(Unbuffered::Full(request)),
            State::Open => {}
        }
        let bytes = inner.bytes + request.bytes().len();
        if bytes > self.max_bytes / 100 * percent {
            return Err(Unbuffered::Full(request));
        }
        inner.bytes = bytes;
        Ok((inner, request))
    }

    /// Since when the oldest waits to be sent, and whether more than half of the room is taken; `None` where nothing does.
    pub(crate) fn oldest(&self) -> Option<(u64, bool)> {
        let inner = self.lock();
        let to_send = inner.batches.iter().filter(|batch| batch.attempts < REFUSED);
        let oldest = to_send.map(|batch| batch.since_ms).min()?;
        Some((oldest, inner.bytes > self.max_bytes / 2))
    }

    /// Bytes of all that was acknowledged and is not settled.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// All of this signal that waits, to be sent. What is not settled comes back when this is dropped.
    pub(crate) fn take(self: &Arc<Self>, kind: SignalKind) -> Taken {
        self.take_those(|batch| batch.request.kind() == kind && batch.origin != Origin::Events)
    }

    /// The same of the events of the Telemetry API.
    pub(crate) fn take_events(self: &Arc<Self>) -> Taken {
        self.take_those(|batch| batch.origin == Origin::Events)
    }

    fn take_those(self: &Arc<Self>, is_it: impl Fn(&Batch) -> bool) -> Taken {
        let mut inner = self.lock();
        let (batches, others) = mem::take(&mut inner.batches)
            .into_iter()
            .partition(|batch| is_it(batch) && batch.attempts < REFUSED);
        inner.batches = others;
        let batches = inner.fly(batches);
        drop(inner);
        Taken { buffer: Arc::clone(self), batches }
    }

    /// Takes out what was tried more often than this.
    pub(crate) fn take_tried(&self, most_attempts: u32) -> Vec<Request> {
        self.take_out(|batch| batch.attempts > most_attempts)
    }

    /// Takes out what is in no log as text.
    pub(crate) fn take_otlp(&self) -> Vec<Request> {
        self.take_out(|batch| batch.origin == Origin::Otlp)
    }

    /// Takes out all that waits.
    pub(crate) fn take_all(&self) -> Vec<Request> {
        self.take_out(|_| true)
    }

    fn take_out(&self, is_it: impl Fn(&Batch) -> bool) -> Vec<Request> {
        let mut inner = self.lock();
        let (out, others) = mem::take(&mut inner.batches).into_iter().partition(is_it);
        inner.batches = others;
        inner.left(out)
    }

    /// Shows all that was acknowledged and is not settled, what is being sent included, to somebody who takes it over. The buffer
    /// stays locked for good, so that nothing is acknowledged that he has not seen. `false` where the lock cannot be had.
    pub(crate) fn hand_over(&self, mut show: impl FnMut(&Request)) -> bool {
        for _ in 0..LOOKS_FOR_LOCK {
            let inner = match self.inner.try_lock() {
                Ok(inner) => inner,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(LOOK_FOR_LOCK);
                    continue;
                }
            };
            let flying = inner.flying.iter().flat_map(|batches| batches.iter());
            let batches = inner.batches.iter().chain(flying).map(|batch| &batch.request);
            batches.chain(&inner.partial).for_each(&mut show);
            mem::forget(inner);
            return true;
        }
        false
    }

    /// From now on everything is spilled.
    pub(crate) fn spill_from_now_on(&self) {
        self.lock().state = State::Spilling;
    }

    /// From now on everything goes to stdout, as if nothing was ever to be sent.
    pub(crate) fn close(&self) {
        self.lock().state = State::Closed;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Notes that these are being sent.
    fn fly(&mut self, batches: Vec<Batch>) -> Arc<Vec<Batch>> {
        let batches = Arc::new(batches);
        self.flying.push(Arc::clone(&batches));
        batches
    }

    /// They are sent no more.
    fn land(&mut self, batches: &mut Arc<Vec<Batch>>) -> Vec<Batch> {
        self.flying.retain(|flying| !Arc::ptr_eq(flying, batches));
        Arc::unwrap_or_clone(mem::take(batches))
    }

    /// Puts back what was sent and not taken, in front of what has come since.
    fn put_back(&mut self, mut batches: Vec<Batch>) {
        batches.append(&mut self.batches);
        self.batches = batches;
    }

    /// The pieces of what is larger than one request may be.
    fn replace(&mut self, batch: Batch, pieces: Vec<Request>) -> Vec<Batch> {
        let Batch { request, origin, attempts, since_ms } = batch;
        let whole = request.bytes().len();
        let piece = |request| Batch { request, origin, attempts, since_ms };
        let pieces: Vec<_> = pieces.into_iter().map(piece).collect();
        let cut = pieces.iter().map(|piece| piece.request.bytes().len()).sum::<usize>();
        self.bytes = (self.bytes + cut).saturating_sub(whole);
        pieces
    }

    fn left(&mut self, batches: Vec<Batch>) -> Vec<Request> {
        let bytes: usize = batches.iter().map(|batch| batch.request.bytes().len()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        batches.into_iter().map(|batch| batch.request).collect()
    }
}

/// Batches that are being sent. Where that ends without an account, because it is cut off, all of them wait again.
pub(crate) struct Taken {
    buffer: Arc<Buffer>,
    batches: Arc<Vec<Batch>>,
}

impl Taken {
    /// Parts with an account each, so that what one of them is told stands when a later one is cut off. Each is one request of at
    /// most so many bytes when it is merged, and its batches keep their ages and attempts.
    pub(crate) fn parts(self, max_bytes: usize) -> Vec<Self> {
        self.cut(max_bytes, |request| request.split_by_size(max_bytes))
    }

    fn cut(mut self, max_bytes: usize, split: impl Fn(Request) -> Vec<Request>) -> Vec<Self> {
        let is_too_large = |batch: &Batch| batch.request.bytes().len() > max_bytes;
        // What reads requests could panic: meanwhile all of them can be seen, and nothing is locked.
        let too_large = self.batches.iter().filter(|batch| is_too_large(batch));
        let pieces: Vec<_> = too_large.map(|batch| split(batch.request.clone())).collect();
        let mut pieces = pieces.into_iter();
        let mut parts: Vec<Vec<Batch>> = Vec::new();
        let mut bytes = usize::MAX;
        let mut inner = self.buffer.lock();
        for batch in inner.land(&mut self.batches) {
            let pieces = if is_too_large(&batch) { pieces.next() } else { None };
            let batches = match pieces {
                Some(pieces) => inner.replace(batch, pieces),
                None => vec![batch],
            };
            for batch in batches {
                let len = batch.request.bytes().len();
                bytes = bytes.saturating_add(len);
                match parts.last_mut() {
                    Some(part) if bytes <= max_bytes => part.push(batch),
                    _ => {
                        bytes = len;
                        parts.push(vec![batch]);
                    }
                }
            }
        }
        let part = |batches| Self { buffer: Arc::clone(&self.buffer), batches: inner.fly(batches) };
        parts.into_iter().map(part).collect()
    }

    /// Copies of the requests of all batches.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.batches.iter().map(|batch| batch.request.clone()).collect()
    }

    /// The account: some requests are to be tried again, some never, and nothing else is left of the batches. Where all of them are
    /// to be tried again, they keep their own ages and attempts.
    pub(crate) fn settle(mut self, again: Vec<Request>, never: Vec<Request>) {
        let all: usize = self.batches.iter().map(|batch| batch.request.items()).sum();
        if never.is_empty() && again.iter().map(Request::items).sum::<usize>() == all {
            return;
        }
        let mut inner = self.buffer.lock();
        let batches = inner.land(&mut self.batches);
        let attempts = batches.iter().map(|batch| batch.attempts).max().unwrap_or_default();
        let attempts = attempts.saturating_add(1);
        let since_ms = batches.iter().map(|batch| batch.since_ms).min().unwrap_or_default();
        let origin = batches.iter().map(|batch| batch.origin).min().unwrap_or(Origin::Otlp);
        let left = |attempts| move |request| Batch { request, origin, attempts, since_ms };
        let again = again.into_iter().map(left(attempts));
        let never = never.into_iter().map(left(REFUSED));
        let left: Vec<Batch> = again.chain(never).collect();
        drop(inner.left(batches));
        inner.bytes += left.iter().map(|batch| batch.request.bytes().len()).sum::<usize>();
        inner.put_back(left);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut inner = self.buffer.lock();
        let mut batches = inner.land(&mut self.batches);
        for batch in &mut batches {
            batch.attempts = batch.attempts.saturating_add(1);
        }
        inner.put_back(batches);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_spans::{Span, traces};

    fn one() -> Request {
        traces(&[Span::default()])
    }

    /// A buffer that holds eight of ten such requests.
    fn buffer() -> Arc<Buffer> {
        Arc::new(Buffer::new(one().bytes().len().next_multiple_of(10) * 10))
    }

    fn waiting(buffer: &Buffer) -> Vec<u32> {
        buffer.lock().batches.iter().map(|batch| batch.attempts).collect()
    }

    #[test]
    fn what_is_cut_into_pieces_can_be_handed_over_meanwhile() {
        let large = traces(&[Span::default(), Span::default()]);
        let most = large.bytes().len() - 1;
        let buffer = Arc::new(Buffer::new(1 << 20));
        buffer.put(one()).unwrap();
        buffer.put(large.clone()).unwrap();
        let taken = buffer.take(SignalKind::Traces);
        let parts = taken.cut(most, |request| {
            let inner = buffer.inner.try_lock().expect("a panic here would find it locked");
            assert_eq!(inner.flying.iter().map(|batches| batches.len()).sum::<usize>(), 2);
            request.split_by_size(most)
        });
        let parts: Vec<_> = parts.iter().flat_map(Taken::requests).collect();
        assert_eq!(parts.iter().map(Request::items).sum::<usize>(), 3);
        assert!(parts.len() > 2 && parts.iter().all(|part| part.bytes().len() <= most));
        assert_eq!(buffer.bytes(), parts.iter().map(|part| part.bytes().len()).sum::<usize>());
    }

    #[test]
    fn what_would_fill_it_is_given_back() {
        let buffer = buffer();
        let mut taken = 0;
        let full = loop {
            match buffer.put(one()) {
                Ok(items) => taken += items,
                Err(full) => break full,
            }
        };
        assert!(matches!(full, Unbuffered::Full(request) if request == one()));
        assert!((8..10).contains(&taken), "{taken}");
        assert_eq!(buffer.oldest().map(|(_, is_much)| is_much), Some(true));
        // What is being sent still takes room.
        let sending = buffer.take(SignalKind::Traces);
        assert!(buffer.put(one()).is_err());
        sending.settle(Vec::new(), Vec::new());
        assert_eq!(buffer.lock().bytes, 0);
        assert_eq!(buffer.put(one()).unwrap(), 1);
        buffer.spill_from_now_on();
        assert!(matches!(buffer.put(one()), Err(Unbuffered::Full(_))));
        buffer.close();
        assert!(matches!(buffer.put(one()), Err(Unbuffered::Closed(_))));
        assert_eq!(buffer.take_all().len(), 1);
        assert_eq!(buffer.lock().bytes, 0);
    }

    #[test]
    fn lines_leave_room_for_what_is_nowhere_else() {
        let buffer = buffer();
        while buffer.put_lines(one()).is_ok() {}
        assert!(buffer.bytes() > 0);
        buffer.put(one()).unwrap();
        assert!(matches!(buffer.put(one()), Err(Unbuffered::Full(_))));
    }

    #[test]
    fn what_had_not_ended_waits_apart_until_somebody_says_whether_it_has() {
        let buffer = buffer();
        assert_eq!(buffer.put_partial(one()).unwrap(), 1);
        assert_eq!((buffer.oldest(), buffer.bytes()), (None, one().bytes().len()));
        assert_eq!((buffer.forget_partial(), buffer.bytes()), (1, 0));
        buffer.put_partial(one()).unwrap();
        buffer.add_partial();
        assert_eq!((waiting(&buffer).len(), buffer.forget_partial()), (1, 0));
        assert_eq!((buffer.take_all().len(), buffer.bytes()), (1, 0));
        while buffer.put_partial(one()).is_ok() {}
        assert!(buffer.put(one()).is_err(), "it takes room");
        // Where nobody does.
        let buffer = Buffer::new(1 << 20).sending_partial();
        buffer.put_partial(one()).unwrap();
        assert_eq!(waiting(&buffer).len(), 1);
    }

    #[test]
    fn what_is_cut_off_waits_again_and_was_tried_once() {
        let buffer = buffer();
        buffer.put(one()).unwrap();
        drop(buffer.take(SignalKind::Traces));
        buffer.put(one()).unwrap();
        assert_eq!(waiting(&buffer), [1, 0]);
        // All of it failed.
        let sending = buffer.take(SignalKind::Traces);
        let requests = sending.requests();
        buffer.put(one()).unwrap();
        sending.settle(requests, Vec::new());
        assert_eq!(waiting(&buffer), [2, 1, 0]);
        assert_eq!(buffer.take_tried(1).len(), 1);
        // A part of it failed.
        buffer.take(SignalKind::Traces).settle(vec![one()], Vec::new());
        assert_eq!(waiting(&buffer), [2]);
        assert_eq!(buffer.lock().bytes, one().bytes().len());
        // It is refused for good.
        buffer.take(SignalKind::Traces).settle(Vec::new(), vec![one()]);
        // It is not sent again, and does not keep anybody waiting for that.
        assert_eq!(buffer.oldest(), None);
        let sending = buffer.take(SignalKind::Traces);
        assert!(sending.requests().is_empty());
        sending.settle(Vec::new(), vec![]);
        assert_eq!((waiting(&buffer), buffer.take_tried(u32::MAX - 1).len()), (vec![u32::MAX], 1));
        assert_eq!(buffer.lock().bytes, 0);
    }

    #[test]
    fn all_that_is_not_settled_is_handed_over_and_nothing_comes_after_it() {
        let len = one().bytes().len();
        let buffer = Arc::new(Buffer::new(1 << 20));
        for _ in 0..4 {
            buffer.put(one()).unwrap();
        }
        let mut sending = buffer.take(SignalKind::Traces).parts(2 * len).into_iter();
        sending.next().unwrap().settle(Vec::new(), vec![one()]);
        buffer.put(one()).unwrap();
        buffer.put_partial(one()).unwrap();
        let mut shown = 0;
        assert!(buffer.hand_over(|request| shown += usize::from(*request == one())));
        // Refused for good, two that are being sent, one that waits, one that had not ended.
        assert_eq!(shown, 5);
        assert!(buffer.inner.try_lock().is_err());
        assert!(!buffer.hand_over(|_| ()), "whoever has it keeps it");
        mem::forget(sending);
    }

    #[test]
    fn each_part_has_its_own_account() {
        let len = one().bytes().len();
        let buffer = Arc::new(Buffer::new(1 << 20));
        buffer.put(one()).unwrap();
        drop(buffer.take(SignalKind::Traces));
        for _ in 0..4 {
            buffer.put(one()).unwrap();
        }
        let parts = buffer.take(SignalKind::Traces).parts(2 * len);
        let sizes: Vec<_> = parts.iter().map(|part| part.batches.len()).collect();
        assert_eq!(sizes, [2, 2, 1]);
        let mut parts = parts.into_iter();
        parts.next().unwrap().settle(Vec::new(), Vec::new());
        // The others are cut off.
        drop(parts);
        assert_eq!((waiting(&buffer).len(), buffer.bytes()), (3, 3 * len));
        drop(buffer.take_all());

        // A request that is too large is cut, and its bytes are given back as they are.
        buffer.put(traces(&vec![Span::default(); 20])).unwrap();
        let parts = buffer.take(SignalKind::Traces).parts(3 * len);
        assert!(parts.len() > 1, "{}", parts.len());
        for part in parts {
            part.settle(Vec::new(), Vec::new());
        }
        assert_eq!(buffer.bytes(), 0);
    }
}
