//! The running invocations with their deadlines and open spans, and the thread that writes telemetry shortly before one of them
//! times out, even while the handler blocks its thread.

pub(crate) mod root_record;

use crate::bounded::spawn;
use crate::integer_fields;
use crate::output::stderr;
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Span, SpanData};
use root_record::WrittenRoot;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};
use wire::resource::PARTIAL;

/// An invocation, from before the start of its span until its telemetry is written.
struct WatchedInvocation {
    number: InvocationNumber,
    span: RootSpan,
    root: SpanId,
    request_id: String,
    /// The number of the record that names the root to an extension.
    record: Option<u64>,
    /// The keys of the attributes that the end has set.
    end_keys: Vec<&'static str>,
    /// The handler failed.
    has_failed: bool,
    deadline: SystemTime,
    /// `true` if no write may take longer than until its deadline.
    bounds_writes: bool,
    /// The time to write its telemetry before it times out; `None` once it is written.
    write_at: Option<SystemTime>,
}

/// The span of an invocation.
enum RootSpan {
    NotStarted,
    /// Open, with its context.
    Open(Context),
    Ended,
}

impl RootSpan {
    fn context(&self) -> Option<&Context> {
        if let Self::Open(context) = self { Some(context) } else { None }
    }

    /// Notes the end. Returns the context if the span was open.
    fn end(&mut self) -> Option<Context> {
        match std::mem::replace(self, Self::Ended) {
            Self::Open(context) => Some(context),
            Self::NotStarted | Self::Ended => None,
        }
    }
}

/// The only invocation whose span is open.
pub(crate) struct OnlyOpen {
    pub(crate) span_context: SpanContext,
    pub(crate) request_id: String,
}

/// The number of an invocation, in the context of its span and thereby of all spans below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvocationNumber(u64);

#[cfg(test)]
impl InvocationNumber {
    pub(crate) const FIRST: Self = Self(1);
}

/// An invocation whose span is to be ended.
pub(crate) struct OpenInvocation {
    pub(crate) number: InvocationNumber,
    /// The context of its span.
    pub(crate) context: Context,
}

/// A span as it started: the SDK passes it to a processor at its start and end.
struct OpenSpan {
    /// The number of its invocation, if it belongs to one.
    invocation: Option<InvocationNumber>,
    span: SpanData,
    /// The end of its invocation, or a later time at which the application last left the span; `None` before that end.
    left_at: Option<SystemTime>,
    /// `true` if it is written as a partial span: a second one from another interruption would contradict it.
    is_written: bool,
}

/// A span that has ended.
pub(crate) struct EndedSpan {
    /// If this is the root span of an invocation, the keys of the attributes that the end of the invocation has set.
    pub(crate) root_end_keys: Option<Vec<&'static str>>,
    /// `true` if an invocation has run before, and none runs now.
    pub(crate) is_outside: bool,
}

/// The reason why invocations are interrupted, as partial spans state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CutOff {
    /// `error.type` of the invocations' spans.
    pub(crate) error_type: &'static str,
    pub(crate) message: &'static str,
}

impl CutOff {
    pub(crate) const TIMEOUT: Self =
        Self { error_type: "timeout", message: "the invocation was about to time out" };
    pub(crate) const END: Self =
        Self { error_type: "shutdown", message: "the environment ended during the invocation" };
    pub(crate) const PANIC: Self =
        Self { error_type: "panic", message: "the process ended in a panic" };
}

/// The write time for an invocation that starts now: 100 ms before its deadline, or a tenth of its time if that is less.
fn write_at(start: SystemTime, deadline: SystemTime) -> Option<SystemTime> {
    const LONGEST_RESERVE: Duration = Duration::from_millis(100);
    let budget = deadline.duration_since(start).ok()?;
    deadline.checked_sub(LONGEST_RESERVE.min(budget / 10))
}

/// Writes the telemetry of the invocations with these numbers.
type WriteDue = Box<dyn Fn(&[InvocationNumber]) + Send + Sync>;

/// The running invocations; more than one only with concurrent invocations.
///
/// The first invocation with a deadline starts the only thread, which parks after an idle period as long as an invocation may
/// take. It reads the wall clock whenever it wakes, because timers stop while the environment is frozen.
pub(crate) struct Invocations {
    state: Mutex<InvocationsState>,
    wake: Condvar,
    /// The SDK's clock, so that our times and those of spans are comparable; tests replace it.
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// Writes the telemetry of invocations that are about to time out.
    write: OnceLock<WriteDue>,
    /// `true` if a span is open whose invocation has ended.
    has_left_open: AtomicBool,
}

#[derive(Default)]
struct InvocationsState {
    begun: u64,
    running: Vec<WatchedInvocation>,
    open: Vec<OpenSpan>,
    /// `true` if the thread runs, or cannot be started, or is not needed.
    has_thread: bool,
    /// The time at which the thread wakes, or is being woken to wait for; `None` while it is parked.
    wakes_at: Option<SystemTime>,
}

impl InvocationsState {
    /// The time until the thread's next check, at the earliest write time; zero if telemetry must be written now. Without
    /// invocations it keeps waiting for its previous time: if it parked, each invocation shorter than a wake-up would have to wake
    /// it.
    fn wait(&self, now: SystemTime) -> Option<Duration> {
        let earliest = self.running.iter().filter_map(|invocation| invocation.write_at).min();
        let looks_at = earliest.or(self.wakes_at.filter(|at| *at > now))?;
        Some(looks_at.duration_since(now).unwrap_or_default())
    }

    fn is_outside(&self) -> bool {
        self.begun > 0 && self.running.is_empty()
    }

    fn has_ended(&self, number: InvocationNumber) -> bool {
        let invocation = self.running.iter().find(|invocation| invocation.number == number);
        invocation.is_none_or(|invocation| matches!(invocation.span, RootSpan::Ended))
    }

    fn invocation(&mut self, number: InvocationNumber) -> Option<&mut WatchedInvocation> {
        self.running.iter_mut().find(|invocation| invocation.number == number)
    }
}

/// The invocations of the process; tests have their own.
static OF_PROCESS: LazyLock<Arc<Invocations>> = LazyLock::new(|| Arc::new(Invocations::new()));

static HAVE_BEGUN: AtomicBool = AtomicBool::new(false);

impl Invocations {
    fn new() -> Self {
        let clock = Box::new(opentelemetry::time::now);
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            clock,
            write: OnceLock::new(),
            has_left_open: AtomicBool::new(false),
        }
    }

    pub(crate) fn of_process() -> Arc<Self> {
        Arc::clone(&OF_PROCESS)
    }

    /// Those of the process for the first telemetry. A further one must not write the open spans of the first.
    pub(crate) fn of_new_telemetry() -> Arc<Self> {
        static HAS_TELEMETRY: AtomicBool = AtomicBool::new(false);
        if HAS_TELEMETRY.swap(true, Ordering::Relaxed) {
            Arc::new(Self::new())
        } else {
            Self::of_process()
        }
    }

    /// Sets the write before a timeout; only the first call has an effect.
    pub(crate) fn set_write(&self, write: impl Fn(&[InvocationNumber]) + Send + Sync + 'static) {
        self.write.get_or_init(|| Box::new(write));
    }

    /// Without a thread: a test calls [`step`](Self::step).
    #[cfg(test)]
    pub(crate) fn without_thread(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        let invocations = Self { clock: Box::new(clock), ..Self::new() };
        invocations.lock().has_thread = true;
        invocations
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Adds an invocation, and returns its number. Its deadline is watched until [`forget`](Self::forget).
    pub(crate) fn begin(
        self: &Arc<Self>,
        deadline: SystemTime,
        bounds_writes: bool,
    ) -> InvocationNumber {
        HAVE_BEGUN.store(true, Ordering::Relaxed);
        let now = self.now();
        let write_at = write_at(now, deadline);
        let mut state = self.lock();
        state.begun += 1;
        let number = InvocationNumber(state.begun);
        state.running.push(WatchedInvocation {
            number,
            span: RootSpan::NotStarted,
            root: SpanId::INVALID,
            request_id: String::new(),
            record: None,
            end_keys: Vec::new(),
            has_failed: false,
            deadline,
            bounds_writes,
            write_at,
        });
        // Some invocations never report their end.
        for invocation in &mut state.running {
            invocation.bounds_writes &= invocation.deadline > now;
        }
        if let Some(write_at) = write_at {
            self.wake_thread_at(write_at, &mut state);
        }
        number
    }

    /// Starts the thread, or wakes it if it would wake too late.
    fn wake_thread_at(self: &Arc<Self>, write_at: SystemTime, state: &mut InvocationsState) {
        let wakes_too_late = state.wakes_at.is_none_or(|wakes_at| wakes_at > write_at);
        if wakes_too_late {
            state.wakes_at = Some(write_at);
        }
        if !std::mem::replace(&mut state.has_thread, true) {
            let invocations = Arc::clone(self);
            if let Err(error) = spawn("otlp-deadline", move || invocations.run()) {
                stderr::warn(&format!(
                    "cannot start a thread, nothing is written before a timeout: {error}"
                ));
            }
        } else if wakes_too_late {
            self.wake.notify_one();
        }
    }

    /// Returns the context with the number of the invocation that its spans will belong to.
    pub(crate) fn with_number(number: InvocationNumber, context: &Context) -> Context {
        context.with_value(number)
    }

    /// Returns `true` in the context of an invocation.
    pub(crate) fn is_inside_one() -> bool {
        Context::map_current(|context| context.get::<InvocationNumber>().is_some())
    }

    /// Notes the root span of an invocation, and the number of the record that names it to an extension.
    pub(crate) fn note_root(
        &self,
        number: InvocationNumber,
        context: &Context,
        request_id: &str,
        record: Option<u64>,
    ) {
        if let Some(invocation) = self.lock().invocation(number) {
            request_id.clone_into(&mut invocation.request_id);
            invocation.root = context.span().span_context().span_id();
            invocation.span = RootSpan::Open(context.clone());
            invocation.record = record;
        }
    }

    /// Returns the only invocation whose span is open; `None` if there are several or none.
    pub(crate) fn only_open(&self) -> Option<OnlyOpen> {
        let state = self.lock();
        let mut open = state
            .running
            .iter()
            .filter_map(|invocation| Some((invocation, invocation.span.context()?)));
        let (invocation, context) = open.next()?;
        let span_context = context.span().span_context().clone();
        let request_id = invocation.request_id.clone();
        open.next().is_none().then_some(OnlyOpen { span_context, request_id })
    }

    /// Returns `true` if an invocation has run before, and none runs now.
    pub(crate) fn is_outside(&self) -> bool {
        self.lock().is_outside()
    }

    pub(crate) fn have_begun(&self) -> bool {
        self.lock().begun > 0
    }

    /// Returns `true` if an invocation of any telemetry of this process has begun.
    pub(crate) fn have_begun_in_process() -> bool {
        HAVE_BEGUN.load(Ordering::Relaxed)
    }

    /// Takes the invocations whose spans are open. The caller ends the spans.
    pub(crate) fn take_open(&self) -> Vec<OpenInvocation> {
        let mut state = self.lock();
        let running = state.running.iter_mut();
        let open = running.filter_map(|invocation| {
            let context = invocation.span.end()?;
            Some(OpenInvocation { number: invocation.number, context })
        });
        open.collect()
    }

    /// Notes that the span of this invocation ends now, after its end has set attributes with these keys.
    pub(crate) fn note_end(
        &self,
        number: InvocationNumber,
        keys: Vec<&'static str>,
        has_failed: bool,
    ) {
        if let Some(invocation) = self.lock().invocation(number) {
            invocation.end_keys = keys;
            invocation.has_failed = has_failed;
        }
    }

    /// The request id of this invocation, if it has one.
    pub(crate) fn request_id(&self, number: InvocationNumber) -> Option<String> {
        let mut state = self.lock();
        let invocation = state.invocation(number)?;
        Some(invocation.request_id.clone()).filter(|id| !id.is_empty())
    }

    /// Drops the context of an invocation whose span has ended. Its spans that are still open, such as those of a connection's task,
    /// are not interrupted when another invocation or the environment is.
    pub(crate) fn drop_context(&self, number: InvocationNumber) {
        let mut state = self.lock();
        let context = state.invocation(number).and_then(|invocation| invocation.span.end());
        let mut left_open = state
            .open
            .iter_mut()
            .filter(|open_span| open_span.invocation == Some(number))
            .peekable();
        if left_open.peek().is_some() {
            let now = self.now();
            left_open.for_each(|open_span| open_span.left_at = Some(now));
            self.has_left_open.store(true, Ordering::Relaxed);
        }
        drop(state);
        // The last context ends its span, which takes the lock.
        drop(context);
    }

    /// Returns the root spans of the invocations with such a number or root, if an extension has a record of them.
    pub(crate) fn written_roots(
        &self,
        is_written: impl Fn(InvocationNumber, SpanId) -> bool,
    ) -> Vec<WrittenRoot> {
        let state = self.lock();
        let written = state
            .running
            .iter()
            .filter(|invocation| is_written(invocation.number, invocation.root));
        let with_record = |invocation: &WatchedInvocation| {
            let record = invocation.record?;
            Some(WrittenRoot { record, has_failed: invocation.has_failed })
        };
        written.filter_map(with_record).collect()
    }

    /// Forgets an invocation whose telemetry is written. The thread is not woken: when it wakes, it finds nothing to do and parks.
    pub(crate) fn forget(&self, number: InvocationNumber) {
        let forgotten: Vec<_> =
            self.lock().running.extract_if(.., |invocation| invocation.number == number).collect();
        // The last context ends its span, which takes the lock.
        drop(forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, InvocationsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            let written = self.write_due(state);
            state = written.state;
            state = match written.wait {
                None => {
                    state.wakes_at = None;
                    self.wake.wait(state).unwrap_or_else(PoisonError::into_inner)
                }
                Some(Duration::ZERO) => state,
                Some(left) => {
                    state.wakes_at = self.now().checked_add(left);
                    let woken = self.wake.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    #[cfg(test)]
    pub(crate) fn step(&self) {
        drop(self.write_due(self.lock()));
    }

    /// Writes due telemetry, while the lock is free.
    fn write_due<'a>(&'a self, mut state: MutexGuard<'a, InvocationsState>) -> WrittenDue<'a> {
        let now = self.now();
        let wait = state.wait(now);
        if wait == Some(Duration::ZERO) {
            let take_due = |invocation: &mut WatchedInvocation| {
                invocation.write_at.take_if(|at| *at <= now).map(|_| invocation.number)
            };
            let due: Vec<InvocationNumber> =
                state.running.iter_mut().filter_map(take_due).collect();
            drop(state);
            if let Some(write) = self.write.get() {
                // One write has all invocations that are due.
                write(&due);
            }
            state = self.lock();
        }
        WrittenDue { state, wait }
    }
}

/// The state after due telemetry was written.
struct WrittenDue<'a> {
    state: MutexGuard<'a, InvocationsState>,
    /// The time until the next check; zero if there was due telemetry, `None` until another invocation begins.
    wait: Option<Duration>,
}

/// The time until the earliest timeout, which bounds writes.
impl Invocations {
    /// Notes that the environment ends: no further response is expected, so no deadline applies.
    pub(crate) fn forget_deadlines(&self) {
        for invocation in &mut self.lock().running {
            invocation.bounds_writes = false;
        }
    }

    /// `None` if no invocation bounds writes.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let state = self.lock();
        let bounds = state.running.iter().filter(|invocation| invocation.bounds_writes);
        let first = bounds.map(|invocation| invocation.deadline).min()?;
        Some(first.duration_since(self.now()).unwrap_or_default())
    }

    /// Returns `true` if too little time is left to compress this many bytes and return the response.
    pub(crate) fn is_too_late_for(&self, bytes: usize) -> bool {
        /// Reserve for the response and the runtime that sends it.
        const RESERVE: Duration = Duration::from_millis(10);
        /// Cost of compressing a batch that is cut into lines, for which a byte is compressed several times.
        const NANOS_A_BYTE: u64 = 50;
        let work = Duration::from_nanos(NANOS_A_BYTE.saturating_mul(bytes as u64));
        self.time_left().is_some_and(|left| left <= RESERVE.saturating_add(work))
    }
}

/// The open spans, so that an interrupted invocation leaves them too.
impl Invocations {
    pub(crate) fn span_started(&self, span: &Span, parent: &Context) {
        /// Beyond it the first ones are kept.
        const MAX_OPEN: usize = 1024;
        let mut state = self.lock();
        if state.open.len() < MAX_OPEN
            && let Some(mut span) = span.exported_data()
        {
            integer_fields::restore(&mut span);
            // A context that was carried to another thread may have only the ids of the parent.
            let of_parent = || {
                let is_parent = |open_span: &&OpenSpan| {
                    open_span.span.span_context.span_id() == span.parent_span_id
                };
                state.open.iter().rfind(is_parent)?.invocation
            };
            let number = parent.get::<InvocationNumber>().copied();
            let invocation = number.or_else(of_parent);
            let has_ended = invocation.is_some_and(|number| state.has_ended(number));
            let left_at = has_ended.then_some(span.start_time);
            if has_ended {
                self.has_left_open.store(true, Ordering::Relaxed);
            }
            state.open.push(OpenSpan { invocation, span, left_at, is_written: false });
        }
    }

    /// Notes that the application leaves the current span, perhaps for the last time.
    pub(crate) fn leave_current_span(&self) {
        if self.has_left_open.load(Ordering::Relaxed) {
            let id = Context::map_current(|context| context.span().span_context().span_id());
            let now = self.now();
            let mut state = self.lock();
            let left_at = state.open.iter_mut().find_map(|OpenSpan { span, left_at, .. }| {
                left_at.as_mut().filter(|_| span.span_context.span_id() == id)
            });
            if let Some(left_at) = left_at {
                *left_at = now;
            }
        }
    }

    pub(crate) fn span_ended(&self, id: SpanId) -> EndedSpan {
        let mut state = self.lock();
        // Usually the last one started.
        if let Some(at) =
            state.open.iter().rposition(|open_span| open_span.span.span_context.span_id() == id)
        {
            let ended = state.open.swap_remove(at);
            if ended.left_at.is_some() {
                let has_left_open = state.open.iter().any(|open_span| open_span.left_at.is_some());
                self.has_left_open.store(has_left_open, Ordering::Relaxed);
            }
        }
        let invocation = state.running.iter().find(|invocation| invocation.root == id);
        EndedSpan {
            root_end_keys: invocation.map(|invocation| invocation.end_keys.clone()),
            is_outside: state.is_outside(),
        }
    }

    /// Returns the open spans of interrupted invocations as errors, marked as partial. If no other invocation runs, also returns those
    /// of ended invocations and those of none, which are no errors: nothing says that they failed.
    pub(crate) fn partial_spans(
        &self,
        is_cut_off: impl Fn(InvocationNumber) -> bool,
        cut_off: CutOff,
    ) -> Vec<SpanData> {
        let now = self.now();
        let state = self.lock();
        let running =
            || state.running.iter().filter(|invocation| invocation.span.context().is_some());
        let all_are_cut_off = running().all(|invocation| is_cut_off(invocation.number));
        let is_written = |open_span: &&OpenSpan| {
            let number = open_span.invocation;
            let of_running = number.filter(|number| running().any(|one| one.number == *number));
            !open_span.is_written && of_running.map_or(all_are_cut_off, &is_cut_off)
        };
        // A panic that ends the process before the first invocation interrupts its init.
        let interrupts_init = state.begun == 0 && cut_off == CutOff::PANIC;
        let partial = state.open.iter().filter(is_written).map(|open_span| {
            let mut span = open_span.span.clone();
            // An end never precedes its start.
            span.end_time = open_span.left_at.unwrap_or(now).max(span.start_time);
            let is_interrupted = match open_span.invocation {
                Some(_) => open_span.left_at.is_none(),
                None => interrupts_init,
            };
            if is_interrupted {
                span.status = Status::error(cut_off.message);
            }
            if running().any(|invocation| invocation.root == span.span_context.span_id()) {
                span.attributes.push(KeyValue::new("error.type", cut_off.error_type));
            }
            span.attributes.push(KeyValue::new(PARTIAL, true));
            span
        });
        partial.collect()
    }

    /// Notes that these spans are written as partial spans.
    pub(crate) fn note_partial_spans_written(&self, ids: &[SpanId]) {
        for open_span in &mut self.lock().open {
            open_span.is_written |= ids.contains(&open_span.span.span_context.span_id());
        }
    }
}

impl fmt::Debug for Invocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invocations")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::time::UNIX_EPOCH;

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// Without invocations, at the time of a clock in milliseconds.
    fn invocations() -> (Arc<Invocations>, Arc<AtomicU64>) {
        let time = Arc::new(AtomicU64::new(0));
        let millis = Arc::clone(&time);
        let clock = move || at(millis.load(Ordering::Relaxed));
        (Arc::new(Invocations::without_thread(clock)), time)
    }

    #[test]
    fn the_reserve_is_a_tenth_of_the_time_and_at_most_100_ms() {
        let check = |start, deadline, expected: Option<u64>| {
            assert_eq!(write_at(at(start), at(deadline)), expected.map(at));
        };
        check(0, 3000, Some(2900));
        check(0, 900_000, Some(899_900));
        check(0, 1000, Some(900));
        check(0, 500, Some(450));
        check(0, 10, Some(9));
        check(100, 100, Some(100));
        check(101, 100, None);
        check(1_790_000_000_000, 0, None);
    }

    #[test]
    fn a_waiting_thread_is_not_woken_for_a_later_deadline() {
        let (invocations, time) = invocations();
        let step = || invocations.write_due(invocations.lock()).wait;
        let run = |deadline| invocations.forget(invocations.begin(deadline, true));
        // Ended before the thread has run.
        run(at(1000));
        assert_eq!(step(), Some(Duration::from_millis(900)));
        time.store(500, Ordering::Relaxed);
        run(at(1500));
        assert_eq!(invocations.lock().wakes_at, Some(at(900)), "it is not woken for the second");
        time.store(900, Ordering::Relaxed);
        assert_eq!(step(), None, "it parks");
    }

    #[test]
    fn the_earliest_deadline_of_concurrent_invocations_applies() {
        let (invocations, _) = invocations();
        let begin = |seconds: u64| invocations.begin(at(seconds * 1000), true);
        let last = begin(899);
        let [first, second] = [begin(1), begin(1)];
        for (ended, left) in [(first, Some(1)), (second, Some(899)), (last, None)] {
            invocations.forget(ended);
            assert_eq!(invocations.time_left(), left.map(Duration::from_secs));
        }
    }
}
