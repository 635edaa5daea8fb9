//! A managed instance: an environment that runs several invocations at a time, is never frozen, and is not started again after a
//! failure (runtime interface emulator, `InvokeRouter`).

use super::context::EnvironmentContext;
use super::failure::{ProcessFailure, ShutdownReason};
use super::processes::{Processes, Responded, Stop};
use super::{Environment, rounded_up_to_millis};
use crate::api::{Call, CallKind, InvocationEvent, PostedResponse, Refused, answer, refusal};
use crate::clock::{self, Timestamp};
use crate::identifiers::TraceContext;
use crate::invocation::{Invocation, InvocationRequest, InvocationResult, WaitingCaller};
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

/// The number of commands that wait for the task of an instance. Senders of further ones wait.
const MAX_COMMANDS: usize = 64;

/// The handle of a managed instance. A task owns the environment, and carries out the handle's commands.
#[derive(Debug)]
pub(crate) struct Instance {
    commands: mpsc::Sender<InstanceCommand>,
    /// The number of its places that invocations have taken.
    taken_places: AtomicUsize,
    has_ended: Arc<AtomicBool>,
}

/// A command for the task of an instance, with the sender of its result.
#[derive(Debug)]
enum InstanceCommand {
    /// The result: `true` if the processes wait for an event.
    Initialise(oneshot::Sender<bool>),
    Invoke(Box<QueuedInvocation>),
    End {
        stop: Stop,
        ended: oneshot::Sender<()>,
    },
}

#[derive(Debug)]
struct QueuedInvocation {
    request: InvocationRequest,
    caller: WaitingCaller,
    ended: oneshot::Sender<Result<Invocation, UnstartedInvocation>>,
}

/// The reason why an instance did not run an invocation.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// The instance ended first. Another one may run the invocation.
    Unstarted(UnstartedInvocation),
    /// The task of the instance has gone.
    TaskGone,
}

/// An invocation that an instance did not start before its end.
#[derive(Debug)]
pub(crate) struct UnstartedInvocation {
    pub(crate) request: InvocationRequest,
    pub(crate) caller: WaitingCaller,
}

/// An invocation that a worker of the runtime has.
#[derive(Debug)]
struct RunningOnWorker {
    caller: WaitingCaller,
    ended: oneshot::Sender<Result<Invocation, UnstartedInvocation>>,
    trace: TraceContext,
    started: Timestamp,
    begin: Instant,
    deadline: Instant,
    init_duration: Option<Duration>,
}

impl Instance {
    pub(crate) fn start(environment: Environment, handle: &Handle) -> Self {
        let (commands, received) = mpsc::channel(MAX_COMMANDS);
        let has_ended = Arc::new(AtomicBool::new(false));
        let note_end = Arc::clone(&has_ended);
        handle.spawn(async move {
            InstanceTask::of(environment).run(received, &note_end).await;
        });
        Self { commands, taken_places: AtomicUsize::new(0), has_ended }
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
        let sent = self.commands.send(InstanceCommand::Initialise(ready)).await;
        sent.is_ok() && is_ready.await.unwrap_or(false)
    }

    /// Runs an invocation.
    pub(crate) async fn invoke(
        &self,
        request: InvocationRequest,
        caller: WaitingCaller,
    ) -> Result<Invocation, NotRun> {
        let (ended, invocation) = oneshot::channel();
        let queued = Box::new(QueuedInvocation { request, caller, ended });
        let sent = self.commands.send(InstanceCommand::Invoke(queued)).await;
        if let Err(mpsc::error::SendError(InstanceCommand::Invoke(unsent))) = sent {
            return Err(NotRun::Unstarted(unsent.into_unstarted()));
        }
        match invocation.await {
            Ok(result) => result.map_err(NotRun::Unstarted),
            Err(_) => Err(NotRun::TaskGone),
        }
    }

    pub(crate) async fn end(&self, stop: Stop) {
        let (ended, has_ended) = oneshot::channel();
        if self.commands.send(InstanceCommand::End { stop, ended }).await.is_ok() {
            // An instance that has ended already answers nothing.
            drop(has_ended.await);
        }
    }
}

/// The task of an instance.
struct InstanceTask {
    environment: Environment,
    /// Invocations without a worker that asks for an event.
    waiting: VecDeque<Box<QueuedInvocation>>,
    running: BTreeMap<String, RunningOnWorker>,
    /// The request ids whose time is over.
    timed_out: BTreeSet<String>,
    init_duration: Option<Duration>,
    pid: Option<u32>,
}

impl InstanceTask {
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

    fn context(&self) -> Arc<EnvironmentContext> {
        Arc::clone(&self.environment.context)
    }

    /// Carries out commands until the processes have ended, or the handle is dropped. Then returns the others to their senders.
    async fn run(self, mut commands: mpsc::Receiver<InstanceCommand>, has_ended: &AtomicBool) {
        let waiting = self.serve(&mut commands, has_ended).await;
        has_ended.store(true, Ordering::Relaxed);
        commands.close();
        for queued in waiting {
            queued.return_to_sender();
        }
        while let Ok(command) = commands.try_recv() {
            match command {
                InstanceCommand::Initialise(ready) => drop(ready.send(false)),
                InstanceCommand::Invoke(queued) => queued.return_to_sender(),
                InstanceCommand::End { ended, .. } => drop(ended.send(()).ok()),
            }
        }
    }

    /// Starts the processes with the first command, and serves the commands. Returns the invocations that were not started.
    async fn serve(
        mut self,
        commands: &mut mpsc::Receiver<InstanceCommand>,
        has_ended: &AtomicBool,
    ) -> VecDeque<Box<QueuedInvocation>> {
        let Some(first) = commands.recv().await else { return self.waiting };
        let begin = Instant::now();
        let until = begin + self.environment.context.spec.init_timeout;
        let processes = match self.environment.start_processes(until, Phase::Init).await {
            Ok(processes) => processes,
            Err(init) => {
                has_ended.store(true, Ordering::Relaxed);
                let pid = init.pid;
                let result = init.end(&self.environment.context).await;
                Self::answer_failed_init(first, result, pid);
                return self.waiting;
            }
        };
        self.init_duration = Some(begin.elapsed());
        self.pid = processes.pid();
        self.carry_out(processes, first, commands, has_ended).await
    }

    /// Carries out commands and answers the processes' calls, until an end. Returns the invocations that were not started.
    async fn carry_out(
        mut self,
        mut processes: Processes,
        first: InstanceCommand,
        commands: &mut mpsc::Receiver<InstanceCommand>,
        has_ended: &AtomicBool,
    ) -> VecDeque<Box<QueuedInvocation>> {
        let mut next = Some(first);
        loop {
            if let Some(command) = next.take() {
                match command {
                    InstanceCommand::Initialise(ready) => drop(ready.send(true)),
                    InstanceCommand::Invoke(queued) => self.waiting.push_back(queued),
                    InstanceCommand::End { stop, ended } => {
                        has_ended.store(true, Ordering::Relaxed);
                        let waiting = self.end(processes, stop).await;
                        ended.send(()).ok();
                        return waiting;
                    }
                }
            }
            self.start_waiting(&mut processes);
            lock(self.environment.state()).is_busy = !self.running.is_empty();
            let deadline = self.running.values().map(|running| running.deadline).min();
            let until = deadline.unwrap_or_else(|| Instant::now() + NEVER);
            let call = tokio::select! {
                biased;
                call = processes.next_call(until) => call,
                command = commands.recv() => match command {
                    Some(command) => {
                        next = Some(command);
                        continue;
                    }
                    None => return self.waiting,
                },
            };
            let failure = match call {
                Ok(call) => self.answer_call(&mut processes, call).err(),
                Err(ProcessFailure::Timeout) => {
                    self.end_late_invocations(&processes);
                    None
                }
                Err(failure) => Some(failure),
            };
            if let Some(failure) = failure {
                has_ended.store(true, Ordering::Relaxed);
                return self.fail(processes, &failure).await;
            }
        }
    }

    /// Answers a command with the failure of the init.
    fn answer_failed_init(command: InstanceCommand, result: InvocationResult, pid: Option<u32>) {
        match command {
            InstanceCommand::Invoke(mut queued) => {
                queued.caller.respond(&result);
                drop(queued.ended.send(Ok(Invocation {
                    request_id: queued.request.request_id,
                    result,
                    duration: Duration::ZERO,
                    post_runtime: Duration::ZERO,
                    init_duration: None,
                    cold: true,
                    pid,
                })));
            }
            InstanceCommand::Initialise(ready) => drop(ready.send(false)),
            InstanceCommand::End { ended, .. } => drop(ended.send(()).ok()),
        }
    }

    /// Starts waiting invocations on workers that ask for an event.
    fn start_waiting(&mut self, processes: &mut Processes) {
        while !self.waiting.is_empty() {
            let Some(worker) = processes.waiting_worker() else { return };
            let Some(queued) = self.waiting.pop_front() else { return };
            let QueuedInvocation { request, caller, ended } = *queued;
            let context = self.context();
            let spec = &context.spec;
            let started = clock::now();
            let begin = Instant::now();
            let trace = TraceContext::new(&request.payload, started, spec.active_tracing);
            context.events.start(&request.request_id, &trace);
            let request_id = request.request_id.clone();
            let event = InvocationEvent::new(request, spec, started, &trace);
            let running = RunningOnWorker {
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

    fn answer_call(&mut self, processes: &mut Processes, call: Call) -> Result<(), ProcessFailure> {
        let Call { kind: CallKind::Response(response), reply } = call else {
            return processes.take_call(call);
        };
        let Some(running) = self.running.remove(&response.request_id) else {
            let refused = if self.timed_out.remove(&response.request_id) {
                Refused::InvocationTimedOut
            } else {
                Refused::UnknownRequest
            };
            answer(reply, refusal(refused));
            return Ok(());
        };
        processes.drain();
        let times = response.times(running.begin);
        let PostedResponse { request_id, result, accepted, .. } = response;
        let responded = Responded { result, times };
        let status = responded.status();
        self.finish(request_id, running, responded.result.into(), status, Some(times));
        answer(reply, accepted);
        Ok(())
    }

    /// Ends the invocations whose time is over. Their workers go on.
    fn end_late_invocations(&mut self, processes: &Processes) {
        processes.drain();
        let now = Instant::now();
        let is_late = |_: &String, running: &mut RunningOnWorker| running.deadline <= now;
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
        mut running: RunningOnWorker,
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
        self.environment.context.events.report(&report);
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
    async fn fail(
        mut self,
        mut processes: Processes,
        failure: &ProcessFailure,
    ) -> VecDeque<Box<QueuedInvocation>> {
        processes.drain();
        let out_of_memory =
            matches!(failure, ProcessFailure::Exited) && processes.take_out_of_memory();
        let status = failure.status(out_of_memory);
        let exit = processes.end_runtime().await;
        for (request_id, running) in std::mem::take(&mut self.running) {
            let result = failure.result(exit);
            self.finish(request_id, running, result, status.clone(), None);
        }
        processes.shut_down(ShutdownReason::Failure).await;
        lock(self.environment.state()).note_end();
        self.waiting
    }

    /// Ends an instance without invocations.
    async fn end(self, processes: Processes, stop: Stop) -> VecDeque<Box<QueuedInvocation>> {
        processes.end(stop).await;
        lock(self.environment.state()).note_end();
        self.waiting
    }
}

impl QueuedInvocation {
    fn return_to_sender(self) {
        let unstarted = UnstartedInvocation { request: self.request, caller: self.caller };
        drop(self.ended.send(Err(unstarted)));
    }

    fn into_unstarted(self) -> UnstartedInvocation {
        UnstartedInvocation { request: self.request, caller: self.caller }
    }
}
