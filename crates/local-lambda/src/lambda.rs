//! The handle of a local Lambda, for tests and the demo.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::process::Signal;
use tokio::runtime::Handle;

use crate::Error;
use crate::clock;
use crate::environment::{EnvironmentState, Stop};
use crate::function::FunctionSpec;
use crate::http_server::HttpServer;
use crate::invocation::{ClientContext, Invocation, RunningInvocation};
use crate::lock;
use crate::log_event::LogEvent;
use crate::service::{Function, OnFailureRecord, Service, answer_invoke};
use crate::subscription_filter::{self, LogsBatch};

/// Rounds of a flush. More would mean that deliveries cause new deliveries without end.
const MAX_FLUSH_ROUNDS: usize = 16;

/// A local AWS Lambda with its CloudWatch Logs. Dropping it kills every process that it started.
#[derive(Debug)]
pub struct Lambda {
    service: Arc<Service>,
    endpoint: HttpServer,
}

impl Lambda {
    /// Starts an empty service with an invoke endpoint on the loopback interface.
    pub async fn start() -> Result<Self, Error> {
        let service = Arc::new(Service::new(Handle::current()));
        let served = Arc::clone(&service);
        let endpoint =
            HttpServer::start(move |request| answer_invoke(request, Arc::clone(&served)));
        Ok(Self { endpoint: endpoint.await.map_err(Error::Listen)?, service })
    }

    /// The address that answers `POST /2015-03-31/functions/NAME/invocations`.
    pub fn endpoint(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// Adds a function; no process is started before its first invocation.
    pub fn create_function(&self, spec: FunctionSpec) -> Result<(), Error> {
        if let Some(variable) = spec.reserved_variable() {
            return Err(Error::ReservedVariable(variable.to_owned()));
        }
        check_executable(&spec.bootstrap)
            .map_err(|source| Error::Bootstrap { path: spec.bootstrap.clone(), source })?;
        let mut functions = lock(&self.service.functions);
        if functions.contains_key(spec.name()) {
            return Err(Error::FunctionExists(spec.name().to_owned()));
        }
        let function = Function::new(spec);
        functions.insert(function.spec.name().to_owned(), Arc::new(function));
        Ok(())
    }

    /// Invokes a function and waits until the invocation is over and its log is written.
    ///
    /// The invocation goes on when the returned future is dropped.
    pub async fn invoke(
        &self,
        function: &str,
        payload: impl AsRef<[u8]>,
    ) -> Result<Invocation, Error> {
        self.begin_invocation(function, payload)?.finished().await
    }

    /// Invokes a function without waiting: its result is there as soon as the runtime has posted it, while the
    /// invocation goes on as long as its extensions do.
    pub fn begin_invocation(
        &self,
        function: &str,
        payload: impl AsRef<[u8]>,
    ) -> Result<RunningInvocation, Error> {
        self.service.invoke(function, Bytes::copy_from_slice(payload.as_ref()), None)
    }

    /// Like [`begin_invocation`](Self::begin_invocation), with a client context, which the runtime gets in the header
    /// `Lambda-Runtime-Client-Context`.
    pub fn begin_invocation_with(
        &self,
        function: &str,
        payload: impl AsRef<[u8]>,
        client_context: Option<ClientContext>,
    ) -> Result<RunningInvocation, Error> {
        let payload = Bytes::copy_from_slice(payload.as_ref());
        self.service.invoke(function, payload, client_context)
    }

    /// Queues an asynchronous invocation and returns its request id. A failed attempt is repeated twice, after
    /// short delays; then an on-failure record is kept.
    pub fn invoke_async(&self, function: &str, payload: impl AsRef<[u8]>) -> Result<String, Error> {
        self.service.invoke_async(function, Bytes::copy_from_slice(payload.as_ref()))
    }

    /// Waits until no asynchronous invocation waits or runs.
    pub async fn wait_for_async_invocations(&self) {
        self.service.wait_until_queued_below(1).await;
    }

    /// Waits until no invocation runs. Afterwards, the log is complete and the environments are frozen, also of invocations
    /// whose results came earlier.
    pub async fn wait_for_invocations(&self) {
        let mut running = self.service.running_count.subscribe();
        // The sender lives in the service, so this cannot fail.
        drop(running.wait_for(|running| *running == 0).await);
    }

    /// Sends the events of a log group to a function, from now on, and probes the function with a control message.
    pub fn subscribe(&self, log_group: &str, destination: &str) -> Result<(), Error> {
        self.service.function(destination)?;
        self.service.host.cloudwatch.subscribe(log_group, destination);
        let probe = subscription_filter::control_message(clock::now().millis());
        self.service.invoke_async(destination, probe.into()).map(drop)
    }

    /// Waits for the asynchronous invocations, delivers the waiting events of subscriptions, and waits for the
    /// deliveries and their retries. Events that these wrote to subscribed groups are delivered too, in up to 16
    /// rounds.
    pub async fn flush_subscriptions(&self) {
        self.wait_for_async_invocations().await;
        for _ in 0..MAX_FLUSH_ROUNDS {
            let batches = self.service.host.cloudwatch.take_batches();
            if batches.is_empty() {
                return;
            }
            for batch in batches {
                self.service.deliver(&batch).await;
            }
            self.wait_for_async_invocations().await;
        }
    }

    /// Sends log events of one stream to a function as CloudWatch Logs does, by asynchronous invocations, and returns
    /// their request ids. The caller decides which events, in which order and how often.
    pub fn deliver(&self, destination: &str, events: &[LogEvent]) -> Result<Vec<String>, Error> {
        let batch = LogsBatch::new(destination.to_owned(), events);
        let payloads = subscription_filter::payloads(&batch).into_iter();
        payloads.map(|payload| self.service.invoke_async(destination, payload.into())).collect()
    }

    /// The records of asynchronous invocations that failed in every attempt, oldest first; the last 1,000
    /// (or 64 MiB) are kept.
    pub fn on_failure_records(&self) -> Vec<OnFailureRecord> {
        lock(&self.service.on_failure).to_vec()
    }

    /// The log events of one function in the order in which they were written; the last 200,000 are kept.
    pub fn log_events(&self, function: &str) -> Vec<LogEvent> {
        let function = self.service.function(function);
        let events = |log_group: &str| self.service.host.cloudwatch.events(log_group);
        function.map(|function| events(&function.spec.log_group_name())).unwrap_or_default()
    }

    /// Calls `observer` with every log event as it is written. It must not block.
    pub fn observe_logs(&self, observer: impl Fn(&LogEvent) + Send + Sync + 'static) {
        self.service.host.cloudwatch.observe(Box::new(observer));
    }

    /// The finished invocations of a function, attempts of asynchronous ones included; the last 1,000 (or
    /// 64 MiB of responses) are kept.
    pub fn invocations(&self, function: &str) -> Vec<Invocation> {
        let function = self.service.function(function);
        function.map(|function| lock(&function.finished).to_vec()).unwrap_or_default()
    }

    pub fn environments(&self, function: &str) -> Vec<EnvironmentState> {
        let Ok(function) = self.service.function(function) else {
            return Vec::new();
        };
        lock(&function.environment_states)
            .to_vec()
            .iter()
            .map(|shared| lock(shared).clone())
            .collect()
    }

    /// Creates an environment and initializes it without an invocation, as Lambda does ahead of time; the next
    /// invocation uses it. Returns `true` if init succeeded.
    pub async fn initialise(&self, function: &str) -> Result<bool, Error> {
        let function = self.service.function(function)?;
        if function.spec.is_managed() {
            let instance = self.service.take_place(&function);
            let is_ready = instance.initialise().await;
            instance.leave_place();
            return Ok(is_ready);
        }
        let environment = self.service.initialised_environment(&function).await;
        let is_ready = environment.is_ready();
        lock(&function.idle).push(environment);
        Ok(is_ready)
    }

    /// Kills the runtimes of a function that are in the middle of an invocation, as Lambda does when memory is exhausted,
    /// and returns how many they were.
    pub fn exhaust_memory(&self, function: &str) -> usize {
        let Ok(function) = self.service.function(function) else {
            return 0;
        };
        let mut killed = 0;
        for shared in lock(&function.environment_states).to_vec() {
            let mut state = lock(&shared);
            let busy_pid = state.pid.filter(|_| state.is_busy);
            state.is_out_of_memory = busy_pid.is_some();
            drop(state);
            if busy_pid.is_some_and(|pid| self.service.host.process_table.kill(pid)) {
                killed += 1;
            }
        }
        killed
    }

    /// Kills the process of one extension in all environments of a function, and returns how many they were.
    pub fn kill_extension(&self, function: &str, extension: &str) -> usize {
        self.signal_extension(function, extension, Signal::KILL)
    }

    /// Stops the process of one extension in all environments of a function, as the host may do at any moment, and
    /// returns their number. A thaw of the environment continues it.
    pub fn stop_extension(&self, function: &str, extension: &str) -> usize {
        self.signal_extension(function, extension, Signal::STOP)
    }

    /// Continues the processes that [`stop_extension`](Self::stop_extension) stopped.
    pub fn continue_extension(&self, function: &str, extension: &str) -> usize {
        self.signal_extension(function, extension, Signal::CONT)
    }

    fn signal_extension(&self, function: &str, extension: &str, signal: Signal) -> usize {
        let environments = self.environments(function);
        let extensions = environments.iter().flat_map(|environment| &environment.extensions);
        let named = extensions.filter(|known| known.name == extension);
        named.filter(|known| self.service.host.process_table.signal(known.pid, signal)).count()
    }

    /// The platform events that Lambda generated about a function, as JSON, oldest first, each once. The last 20,000
    /// (or 64 MiB) are kept.
    pub fn platform_events(&self, function: &str) -> Vec<String> {
        let function = self.service.function(function);
        function.map(|function| lock(&function.platform_events).to_vec()).unwrap_or_default()
    }

    /// Kills the idle environments of a function without SHUTDOWN, as when they are never thawed again; returns how many.
    pub async fn kill_idle(&self, function: &str) -> Result<usize, Error> {
        self.end_idle(function, Stop::Kill).await
    }

    /// Shuts the idle environments of a function down, so that its next invocation is a cold start; returns how many.
    pub async fn recycle(&self, function: &str) -> Result<usize, Error> {
        self.end_idle(function, Stop::Shutdown).await
    }

    async fn end_idle(&self, function: &str, stop: Stop) -> Result<usize, Error> {
        let function = self.service.function(function)?;
        let instances = function.take_idle_instances();
        let idle = std::mem::take(&mut *lock(&function.idle));
        let ended = idle.len() + instances.len();
        for instance in instances {
            instance.end(stop).await;
        }
        for environment in idle {
            environment.end(stop).await;
        }
        Ok(ended)
    }

    /// Shuts all environments down as Lambda does, kills busy ones, and waits for their end.
    pub async fn shut_down(self) {
        let functions: Vec<_> = lock(&self.service.functions).values().cloned().collect();
        let mut ending = tokio::task::JoinSet::new();
        for function in &functions {
            function.slots.close();
            for environment in std::mem::take(&mut *lock(&function.idle)) {
                ending.spawn(environment.end(Stop::Shutdown));
            }
            for instance in function.take_idle_instances() {
                ending.spawn(async move { instance.end(Stop::Shutdown).await });
            }
        }
        ending.join_all().await;
        self.service.host.process_table.close();
        self.wait_for_invocations().await;
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        self.service.host.process_table.close();
        for function in lock(&self.service.functions).values() {
            function.slots.close();
            lock(&function.idle).clear();
            lock(&function.instances).clear();
        }
    }
}

fn check_executable(path: &Path) -> std::io::Result<()> {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?;
    if path.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
}
