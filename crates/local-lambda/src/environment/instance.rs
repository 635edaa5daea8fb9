//! A managed instance: an environment that runs several invocations at a time, is never frozen, and is not started again after a
//! failure (runtime interface emulator, `InvokeRouter`).

use super::failed::{Failed, ShutdownReason};
use super::runtime::{Responded, Runtime, Stop};
use super::surroundings::Surroundings;
use super::{Environment, rounded_up_to_millis};
use crate::api::{Call, CallKind, Event, Refused, answer, refusal};
use crate::clock::{self, Timestamp};
use crate::identifiers::Trace;
use crate::invocation::{Invocation, InvocationResult, Request, WaitingCaller};
use crate::lock;
use crate::platform_events::{Phase, Report, ResponseTimes, Status};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Longer than any test.
const NEVER: Duration = Duration::from_hours(24);

/// Limit on orders that an instance has not read. Senders of further ones wait.
const MAX_ORDERS: usize = 64;

/// The handle of a managed instance, whose environment is a task.
#[derive(Debug)]
pub(crate) struct Instance {
    orders: mpsc::Sender<Order>,
    /// The number of its places that invocations have taken.
    taken_places: AtomicUsize,
    has_ended: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Order {
    Initialise(oneshot::Sender<bool>),
    Invoke(Box<Ordered>),
    End { stop: Stop, ended: oneshot::Sender<()> },
}

#[derive(Debug)]
struct Ordered {
    request: Request,
    caller: WaitingCaller,
    ended: oneshot::Sender<Result<Invocation, NotBegun>>,
}

/// An invocation that the instance could not begin before its end.
#[derive(Debug)]
pub(crate) struct NotBegun {
    pub(crate) request: Request,
    pub(crate) caller: WaitingCaller,
}

/// An invocation that a worker of the runtime has.
#[derive(Debug)]
struct Running {
    caller: WaitingCaller,
    ended: oneshot::Sender<Result<Invocation, NotBegun>>,
    trace: Trace,
    started: Timestamp,
    begin: Instant,
    deadline: Instant,
    init_duration: Option<Duration>,
}

impl Instance {
    pub(crate) fn start(environment: Environment, handle: &Handle) -> Self {
        let (orders, received) = mpsc::channel(MAX_ORDERS);
        let has_ended = Arc::new(AtomicBool::new(false));
        let note_end = Arc::clone(&has_ended);
        handle.spawn(async move {
            Serving::of(environment).run(received, &note_end).await;
        });
        Self { orders, taken_places: AtomicUsize::new(0), has_ended }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Takes one of its places for an invocation; returns `false` if all are taken.
    pub(crate) fn try_take_place(&self, max_concurrency: usize) -> bool {
        let one_more = |taken: usize| (taken < max_concurrency).then_some(taken + 1);
        self.taken_places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    pub(crate) fn leave_place(&self) {
        self.taken_places.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.taken_places.load(Ordering::Relaxed) == 0
    }

    /// Starts the processes. Returns `true` if they wait for an event.
    pub(crate) async fn initialise(&self) -> bool {
        let (ready, is_ready) = oneshot::channel();
        let sent = self.orders.send(Order::Initialise(ready)).await;
        sent.is_ok() && is_ready.await.unwrap_or(false)
    }

    /// Runs an invocation. The error is `None` if the task of the instance has gone.
    pub(crate) async fn invoke(
        &self,
        request: Request,
        caller: WaitingCaller,
    ) -> Result<Invocation, Option<NotBegun>> {
        let (ended, invocation) = oneshot::channel();
        let order = Order::Invoke(Box::new(Ordered { request, caller, ended }));
        if let Err(mpsc::error::SendError(Order::Invoke(ordered))) = self.orders.send(order).await {
            return Err(Some(NotBegun { request: ordered.request, caller: ordered.caller }));
        }
        invocation.await.map_err(|_| None)?.map_err(Some)
    }

    pub(crate) async fn end(&self, stop: Stop) {
        let (ended, has_ended) = oneshot::channel();
        if self.orders.send(Order::End { stop, ended }).await.is_ok() {
            // An instance that has ended already answers nothing.
            drop(has_ended.await);
        }
    }
}

/// The task of an instance.
struct Serving {
    environment: Environment,
    /// Invocations without a worker that asks for an event.
    waiting: VecDeque<Box<Ordered>>,
    running: BTreeMap<String, Running>,
    /// The request ids whose time is over.
    timed_out: BTreeSet<String>,
    init_duration: Option<Duration>,
    pid: Option<u32>,
}

impl Serving {
    fn of(environment: Environment) -> Self {
        Self {
            environment,
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            timed_out: BTreeSet::new(),
            init_duration: None,
            pid: None,
        }
    }

    fn surroundings(&self) -> Arc<Surroundings> {
        Arc::clone(&self.environment.surroundings)
    }

    /// Serves orders until the processes have ended, or the handle is dropped, and returns the others to their senders.
    async fn run(self, mut orders: mpsc::Receiver<Order>, has_ended: &AtomicBool) {
        let waiting = self.serve(&mut orders, has_ended).await;
        has_ended.store(true, Ordering::Relaxed);
        orders.close();
        for ordered in waiting {
            ordered.give_back();
        }
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Initialise(ready) => drop(ready.send(false)),
                Order::Invoke(ordered) => ordered.give_back(),
                Order::End { ended, .. } => drop(ended.send(()).ok()),
            }
        }
    }

    /// Returns the invocations that were not begun.
    async fn serve(
        mut self,
        orders: &mut mpsc::Receiver<Order>,
        has_ended: &AtomicBool,
    ) -> VecDeque<Box<Ordered>> {
        let Some(first) = orders.recv().await else { return self.waiting };
        let begin = Instant::now();
        let until = begin + self.environment.surroundings.spec.init_timeout;
        let mut runtime = match self.environment.start_runtime(until, Phase::Init).await {
            Ok(runtime) => runtime,
            Err(init) => {
                has_ended.store(true, Ordering::Relaxed);
                let pid = init.pid;
                let result = init.end(&self.environment.surroundings).await;
                Self::refuse(first, result, pid);
                return self.waiting;
            }
        };
        self.init_duration = Some(begin.elapsed());
        self.pid = runtime.pid();
        let mut next = Some(first);
        loop {
            if let Some(order) = next.take() {
                match order {
                    Order::Initialise(ready) => drop(ready.send(true)),
                    Order::Invoke(ordered) => self.waiting.push_back(ordered),
                    Order::End { stop, ended } => {
                        has_ended.store(true, Ordering::Relaxed);
                        let waiting = self.end(runtime, stop).await;
                        ended.send(()).ok();
                        return waiting;
                    }
                }
            }
            self.start_waiting(&mut runtime);
            lock(self.environment.view()).is_busy = !self.running.is_empty();
            let deadline = self.running.values().map(|running| running.deadline).min();
            let until = deadline.unwrap_or_else(|| Instant::now() + NEVER);
            let call = tokio::select! {
                biased;
                call = runtime.next_call(until) => call,
                order = orders.recv() => match order {
                    Some(order) => {
                        next = Some(order);
                        continue;
                    }
                    None => return self.waiting,
                },
            };
            let failed = match call {
                Ok(call) => self.take(&mut runtime, call).err(),
                Err(Failed::Timeout) => {
                    self.end_late_invocations(&runtime);
                    None
                }
                Err(failed) => Some(failed),
            };
            if let Some(failed) = failed {
                has_ended.store(true, Ordering::Relaxed);
                return self.fail(runtime, &failed).await;
            }
        }
    }

    /// Answers an order with the failure of the init.
    fn refuse(order: Order, result: InvocationResult, pid: Option<u32>) {
        match order {
            Order::Invoke(mut ordered) => {
                ordered.caller.respond(&result);
                drop(ordered.ended.send(Ok(Invocation {
                    request_id: ordered.request.request_id,
                    result,
                    duration: Duration::ZERO,
                    post_runtime: Duration::ZERO,
                    init_duration: None,
                    cold: true,
                    pid,
                })));
            }
            Order::Initialise(ready) => drop(ready.send(false)),
            Order::End { ended, .. } => drop(ended.send(()).ok()),
        }
    }

    /// Starts waiting invocations on workers that ask for an event.
    fn start_waiting(&mut self, runtime: &mut Runtime) {
        while !self.waiting.is_empty() {
            let Some(worker) = runtime.waiting_worker() else { return };
            let Some(ordered) = self.waiting.pop_front() else { return };
            let Ordered { request, caller, ended } = *ordered;
            let surroundings = self.surroundings();
            let spec = &surroundings.spec;
            let started = clock::now();
            let begin = Instant::now();
            let trace = Trace::new(started, spec.active_tracing);
            surroundings.events.start(&request.request_id, &trace);
            let request_id = request.request_id.clone();
            let event = Event::new(request, spec, started, &trace);
            let running = Running {
                caller,
                ended,
                trace,
                started,
                begin,
                deadline: begin + spec.timeout,
                init_duration: self.init_duration.take(),
            };
            self.running.insert(request_id, running);
            answer(worker, event.into_answer());
        }
    }

    fn take(&mut self, runtime: &mut Runtime, call: Call) -> Result<(), Failed> {
        let Call { kind: CallKind::Response { request_id, result, begun, accepted }, reply } = call
        else {
            return runtime.take_call(call);
        };
        let Some(running) = self.running.remove(&request_id) else {
            let refused = if self.timed_out.remove(&request_id) {
                Refused::InvocationTimedOut
            } else {
                Refused::UnknownRequest
            };
            answer(reply, refusal(refused));
            return Ok(());
        };
        runtime.drain();
        let times = ResponseTimes {
            latency: begun.duration_since(running.begin),
            duration: begun.elapsed(),
        };
        let responded = Responded { result, times };
        let status = responded.status();
        self.finish(request_id, running, responded.result.into(), status, Some(times));
        answer(reply, accepted);
        Ok(())
    }

    /// Ends the invocations whose time is over. Their workers go on.
    fn end_late_invocations(&mut self, runtime: &Runtime) {
        runtime.drain();
        let now = Instant::now();
        let is_late = |_: &String, running: &mut Running| running.deadline <= now;
        let late: Vec<_> = self.running.extract_if(.., is_late).collect();
        for (request_id, running) in late {
            self.timed_out.insert(request_id.clone());
            self.finish(request_id, running, InvocationResult::Timeout, Status::Timeout, None);
        }
    }

    /// Reports an invocation, and responds to its caller.
    fn finish(
        &self,
        request_id: String,
        mut running: Running,
        result: InvocationResult,
        status: Status,
        response: Option<ResponseTimes>,
    ) {
        let duration = running.begin.elapsed();
        let init = running.init_duration;
        let report = Report {
            request_id,
            status,
            duration,
            billed_ms: rounded_up_to_millis(duration),
            init,
            max_memory_mb: 1,
            trace: running.trace,
            started: running.started,
            response,
            post_runtime: None,
            has_extensions: false,
        };
        self.environment.surroundings.events.report(&report);
        running.caller.respond(&result);
        drop(running.ended.send(Ok(Invocation {
            request_id: report.request_id,
            result,
            duration,
            post_runtime: Duration::ZERO,
            init_duration: init,
            cold: init.is_some(),
            pid: self.pid,
        })));
    }

    /// Ends the instance after a failure of its processes: all of its invocations have failed.
    async fn fail(mut self, mut runtime: Runtime, failed: &Failed) -> VecDeque<Box<Ordered>> {
        runtime.drain();
        let out_of_memory = matches!(failed, Failed::Exited) && runtime.take_out_of_memory();
        let status = failed.status(out_of_memory);
        let exit = runtime.end_process().await;
        for (request_id, running) in std::mem::take(&mut self.running) {
            let result = failed.result(exit);
            self.finish(request_id, running, result, status.clone(), None);
        }
        runtime.shut_down(ShutdownReason::Failure).await;
        lock(self.environment.view()).note_end();
        self.waiting
    }

    /// Ends an instance without invocations.
    async fn end(self, runtime: Runtime, stop: Stop) -> VecDeque<Box<Ordered>> {
        runtime.end(stop).await;
        lock(self.environment.view()).note_end();
        self.waiting
    }
}

impl Ordered {
    fn give_back(self) {
        drop(self.ended.send(Err(NotBegun { request: self.request, caller: self.caller })));
    }
}
