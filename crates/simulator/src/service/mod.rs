//! The parts of a running simulator, and how invocations find an environment.

pub(crate) mod endpoint;
mod on_failure;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::cloudwatch::{self, Batch};
use crate::environment::{Environment, EnvironmentView, Host};
use crate::error::Error;
use crate::function::FunctionSpec;
use crate::identifiers;
use crate::invocation::{Caller, Invocation, RunningInvocation};
use crate::lock::lock;
use crate::recent::Recent;
use crate::telemetry::Controls;
pub use on_failure::{OnFailureRecord, RequestContext, ResponseContext};

/// The largest payload of a synchronous invocation, in bytes (AWS Lambda quotas: 6 MB).
const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// The largest payload of an asynchronous invocation, in bytes (AWS Lambda quotas: 1 MB).
const MAX_ASYNC_PAYLOAD_BYTES: usize = 1024 * 1024;

/// How many asynchronous invocations may wait or run.
const MAX_ASYNC_INVOCATIONS: usize = 10_000;

/// The pauses before the retries of an asynchronous invocation. AWS waits about one and two minutes.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(20)];

/// The state that the handle, the endpoint and the tasks of a simulator share.
pub(crate) struct Service {
    handle: Handle,
    pub(crate) functions: Mutex<BTreeMap<String, Arc<Function>>>,
    pub(crate) host: Host,
    pub(crate) running: watch::Sender<usize>,
    queued: watch::Sender<usize>,
    pub(crate) on_failure: Mutex<Recent<OnFailureRecord>>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("running", &*self.running.borrow()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) slots: Semaphore,
    pub(crate) idle: Mutex<Vec<Environment>>,
    pub(crate) views: Mutex<Recent<Arc<EnvironmentView>>>,
    pub(crate) finished: Mutex<Recent<Invocation>>,
    pub(crate) controls: Arc<Controls>,
}

struct Counted(watch::Sender<usize>);

impl Counted {
    fn up(counter: &watch::Sender<usize>) -> Self {
        counter.send_modify(|count| *count += 1);
        Self(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Function {
    pub(crate) fn new(spec: FunctionSpec) -> Self {
        Self {
            slots: Semaphore::new(spec.max_environments),
            spec: Arc::new(spec),
            idle: Mutex::default(),
            views: Mutex::default(),
            finished: Mutex::default(),
            controls: Arc::default(),
        }
    }
}

impl Service {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            functions: Mutex::default(),
            host: Host::default(),
            running: watch::Sender::new(0),
            queued: watch::Sender::new(0),
            on_failure: Mutex::default(),
        }
    }

    pub(crate) fn function(&self, name: &str) -> Result<Arc<Function>, Error> {
        lock(&self.functions)
            .get(name)
            .cloned()
            .ok_or_else(|| Error::UnknownFunction(name.to_owned()))
    }

    pub(crate) fn invoke(
        self: &Arc<Self>,
        function: &str,
        payload: Bytes,
    ) -> Result<RunningInvocation, Error> {
        let function = self.function(function)?;
        check_payload(&payload, MAX_PAYLOAD_BYTES)?;
        Ok(self.run(&function, identifiers::uuid(), payload))
    }

    pub(crate) fn invoke_async(
        self: &Arc<Self>,
        function: &str,
        payload: Bytes,
    ) -> Result<String, Error> {
        let function = self.function(function)?;
        check_payload(&payload, MAX_ASYNC_PAYLOAD_BYTES)?;
        if *self.queued.borrow() >= MAX_ASYNC_INVOCATIONS {
            return Err(Error::QueueFull);
        }
        let request_id = identifiers::uuid();
        let service = Arc::clone(self);
        let queued = Counted::up(&self.queued);
        self.handle.spawn({
            let request_id = request_id.clone();
            async move {
                service.attempt(&function, request_id, payload).await;
                drop(queued);
            }
        });
        Ok(request_id)
    }

    /// Invokes until an attempt succeeds or no more are left. All attempts have the same request id.
    async fn attempt(
        self: &Arc<Self>,
        function: &Arc<Function>,
        request_id: String,
        payload: Bytes,
    ) {
        let delays = RETRY_DELAYS.into_iter().map(Some).chain([None]);
        let mut attempts = 0;
        for delay_after in delays {
            // An error means that the simulator shuts down, so the record has no reader.
            let running = self.run(function, request_id.clone(), payload.clone());
            let Ok(invocation) = running.finished().await else {
                return;
            };
            attempts += 1;
            if invocation.is_success() {
                return;
            }
            if let Some(delay) = delay_after {
                tokio::time::sleep(delay).await;
            } else {
                let record = on_failure::record(&function.spec, &invocation, attempts, &payload);
                lock(&self.on_failure).push(record, payload.len());
            }
        }
    }

    pub(crate) async fn deliver(self: &Arc<Self>, batch: &Batch) {
        for payload in cloudwatch::payloads(batch) {
            self.wait_for_queued(MAX_ASYNC_INVOCATIONS).await;
            // Functions are never removed and the payload is ours, so the service cannot refuse it.
            drop(self.invoke_async(&batch.destination, payload.into()));
        }
    }

    pub(crate) async fn wait_for_queued(&self, below: usize) {
        // The sender lives in the service, so this cannot fail.
        drop(self.queued.subscribe().wait_for(|queued| *queued < below).await);
    }

    /// One invocation in an idle environment, or a new one, as a task of its own: a caller that gives up leaves no
    /// environment in an unknown state.
    pub(crate) fn run(
        self: &Arc<Self>,
        function: &Arc<Function>,
        request_id: String,
        payload: Bytes,
    ) -> RunningInvocation {
        let (service, function) = (Arc::clone(self), Arc::clone(function));
        let (caller, result) = Caller::new();
        let running = self.handle.spawn({
            let request_id = request_id.clone();
            async move {
                let slot = function.slots.acquire().await.map_err(|_| Error::ShuttingDown)?;
                let counted = Counted::up(&service.running);
                let mut environment = service.environment(&function);
                let invocation = environment.invoke(request_id, payload, caller).await;
                lock(&function.idle).push(environment);
                let bytes = invocation.response().map_or(0, <[u8]>::len);
                lock(&function.finished).push(invocation.clone(), bytes);
                drop((counted, slot));
                Ok(invocation)
            }
        });
        RunningInvocation { request_id, result, running }
    }

    pub(crate) async fn initialised(&self, function: &Function) -> Environment {
        let mut environment = self.new_environment(function);
        environment.initialise().await;
        environment
    }

    fn environment(&self, function: &Function) -> Environment {
        let idle = lock(&function.idle).pop();
        idle.unwrap_or_else(|| self.new_environment(function))
    }

    fn new_environment(&self, function: &Function) -> Environment {
        let environment = Environment::new(&self.host, &function.spec, &function.controls);
        lock(&function.views).push(Arc::clone(environment.view()), 0);
        environment
    }
}

fn check_payload(payload: &Bytes, limit_bytes: usize) -> Result<(), Error> {
    if payload.len() > limit_bytes {
        return Err(Error::PayloadTooLarge { bytes: payload.len(), limit_bytes });
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(payload)
        .map(drop)
        .map_err(Error::PayloadNotJson)
}
