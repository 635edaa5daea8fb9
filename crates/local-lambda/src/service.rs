//! The parts of a running local Lambda, and how invocations find an environment.

use crate::Error;
use crate::api::server::{self, Answer, BodyError};
use crate::bounded_history::{BoundedHistory, MAX_HISTORY_BYTES};
use crate::environment::{
    Environment, Host, Instance, NotRun, SharedEnvironmentState, UnstartedInvocation,
};
use crate::function::{FunctionSpec, VERSION};
use crate::identifiers;
use crate::invocation::{
    ClientContext, Invocation, InvocationRequest, InvocationResult, RunningInvocation,
    WaitingCaller,
};
use crate::lock;
use crate::subscription_filter::{self, LogsBatch};
use bytes::Bytes;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

/// The largest payload of a synchronous invocation, in bytes (AWS Lambda quotas: 6 MB).
const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// The largest payload of an asynchronous invocation, in bytes (AWS Lambda quotas: 1 MB).
const MAX_ASYNC_PAYLOAD_BYTES: usize = 1024 * 1024;

/// The number of Lambda's own events that are remembered for each function.
const MAX_PLATFORM_EVENTS: usize = 20_000;

/// The most asynchronous invocations that wait or run.
const MAX_ASYNC_INVOCATIONS: usize = 10_000;

/// The pauses before the retries of an asynchronous invocation. AWS waits about one and two minutes.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(20)];

/// The state that the handle, the endpoint and the tasks of a local Lambda share.
pub(crate) struct Service {
    handle: Handle,
    pub(crate) functions: Mutex<BTreeMap<String, Arc<Function>>>,
    pub(crate) host: Host,
    /// The number of invocations that run.
    pub(crate) running_count: watch::Sender<usize>,
    /// The number of asynchronous invocations that wait or run.
    queued_count: watch::Sender<usize>,
    pub(crate) on_failure: Mutex<BoundedHistory<OnFailureRecord>>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("running", &*self.running_count.borrow())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) slots: Semaphore,
    pub(crate) idle: Mutex<Vec<Environment>>,
    /// The managed instances, which are never idle environments.
    pub(crate) instances: Mutex<Vec<Arc<Instance>>>,
    pub(crate) environment_states: Mutex<BoundedHistory<Arc<SharedEnvironmentState>>>,
    pub(crate) finished: Mutex<BoundedHistory<Invocation>>,
    /// Lambda's events about it, as JSON.
    pub(crate) platform_events: Arc<Mutex<BoundedHistory<String>>>,
}

/// Adds one to a counter until it is dropped.
struct CountGuard {
    counter: watch::Sender<usize>,
}

impl CountGuard {
    fn new(counter: &watch::Sender<usize>) -> Self {
        counter.send_modify(|count| *count += 1);
        Self { counter: counter.clone() }
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.counter.send_modify(|count| *count -= 1);
    }
}

impl Function {
    pub(crate) fn new(spec: FunctionSpec) -> Self {
        Self {
            slots: Semaphore::new(spec.slots()),
            spec: Arc::new(spec),
            idle: Mutex::default(),
            instances: Mutex::default(),
            environment_states: Mutex::default(),
            finished: Mutex::default(),
            platform_events: Arc::new(Mutex::new(BoundedHistory::new(
                MAX_PLATFORM_EVENTS,
                MAX_HISTORY_BYTES,
            ))),
        }
    }

    /// Takes the managed instances that run no invocation.
    pub(crate) fn take_idle_instances(&self) -> Vec<Arc<Instance>> {
        let mut instances = lock(&self.instances);
        instances.retain(|instance| !instance.has_ended());
        instances.extract_if(.., |instance| instance.is_idle()).collect()
    }
}

impl Service {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            functions: Mutex::default(),
            host: Host::default(),
            running_count: watch::Sender::new(0),
            queued_count: watch::Sender::new(0),
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
        client_context: Option<ClientContext>,
    ) -> Result<RunningInvocation, Error> {
        let function = self.function(function)?;
        check_payload(&payload, MAX_PAYLOAD_BYTES)?;
        let request_id = identifiers::uuid();
        Ok(self.start(&function, InvocationRequest { request_id, payload, client_context }))
    }

    pub(crate) fn invoke_async(
        self: &Arc<Self>,
        function: &str,
        payload: Bytes,
    ) -> Result<String, Error> {
        let function = self.function(function)?;
        check_payload(&payload, MAX_ASYNC_PAYLOAD_BYTES)?;
        if *self.queued_count.borrow() >= MAX_ASYNC_INVOCATIONS {
            return Err(Error::QueueFull);
        }
        let request_id = identifiers::uuid();
        let service = Arc::clone(self);
        let queued = CountGuard::new(&self.queued_count);
        self.handle.spawn({
            let request_id = request_id.clone();
            async move {
                service.invoke_with_retries(&function, request_id, payload).await;
                drop(queued);
            }
        });
        Ok(request_id)
    }

    /// Invokes until an attempt succeeds or no more are left. All attempts have the same request id.
    async fn invoke_with_retries(
        self: &Arc<Self>,
        function: &Arc<Function>,
        request_id: String,
        payload: Bytes,
    ) {
        // The last attempt has no delay after it.
        let delays = RETRY_DELAYS.into_iter().map(Some).chain([None]);
        for delay_after in delays {
            let request = InvocationRequest {
                request_id: request_id.clone(),
                payload: payload.clone(),
                client_context: None,
            };
            // An error means that the local Lambda shuts down, so no test reads a record.
            let Ok(invocation) = self.start(function, request).finished().await else {
                return;
            };
            if invocation.is_success() {
                return;
            }
            if let Some(delay) = delay_after {
                tokio::time::sleep(delay).await;
            } else {
                let response = invocation.result.body(&function.spec, &invocation.request_id);
                let record = OnFailureRecord {
                    request_id: invocation.request_id,
                    request_payload: serde_json::from_slice(&payload).unwrap_or_default(),
                    response_payload: serde_json::from_slice(&response).unwrap_or_default(),
                };
                lock(&self.on_failure).push(record, payload.len());
            }
        }
    }

    pub(crate) async fn deliver(self: &Arc<Self>, batch: &LogsBatch) {
        for payload in subscription_filter::payloads(batch) {
            self.wait_until_queued_below(MAX_ASYNC_INVOCATIONS).await;
            // Functions are never removed and the payload is ours, so the service cannot refuse it.
            drop(self.invoke_async(&batch.destination, payload.into()));
        }
    }

    /// Waits until fewer asynchronous invocations than this wait or run.
    pub(crate) async fn wait_until_queued_below(&self, limit: usize) {
        // The sender lives in the service, so this cannot fail.
        drop(self.queued_count.subscribe().wait_for(|queued| *queued < limit).await);
    }

    /// Starts one invocation in an idle environment, or in a new one, as a task of its own: if the caller gives up, the
    /// invocation still comes to its end.
    pub(crate) fn start(
        self: &Arc<Self>,
        function: &Arc<Function>,
        request: InvocationRequest,
    ) -> RunningInvocation {
        let service = Arc::clone(self);
        let function = Arc::clone(function);
        let (caller, result) = WaitingCaller::new();
        let request_id = request.request_id.clone();
        let running = self.handle.spawn(async move {
            let slot = function.slots.acquire().await.map_err(|_| Error::ShuttingDown)?;
            let counted = CountGuard::new(&service.running_count);
            let invocation = if function.spec.is_managed() {
                service.invoke_instance(&function, request, caller).await?
            } else {
                let mut environment = service.take_environment(&function);
                let invocation = environment.invoke(request, caller).await;
                lock(&function.idle).push(environment);
                invocation
            };
            let bytes = invocation.response().map_or(0, <[u8]>::len);
            lock(&function.finished).push(invocation.clone(), bytes);
            drop((counted, slot));
            Ok(invocation)
        });
        RunningInvocation { request_id, result, running }
    }

    /// Runs an invocation on a managed instance with a free place. If the instance ends before the invocation begins, another one runs it.
    async fn invoke_instance(
        &self,
        function: &Function,
        mut request: InvocationRequest,
        mut caller: WaitingCaller,
    ) -> Result<Invocation, Error> {
        loop {
            let instance = self.take_place(function);
            let result = instance.invoke(request, caller).await;
            instance.leave_place();
            match result {
                Ok(invocation) => return Ok(invocation),
                Err(NotRun::Unstarted(unstarted)) => {
                    UnstartedInvocation { request, caller } = unstarted;
                }
                Err(NotRun::TaskGone) => return Err(Error::ShuttingDown),
            }
        }
    }

    /// Takes a place on a managed instance for the caller, and returns the instance.
    pub(crate) fn take_place(&self, function: &Function) -> Arc<Instance> {
        let max_concurrency = function.spec.max_concurrency;
        let mut instances = lock(&function.instances);
        instances.retain(|instance| !instance.has_ended());
        if let Some(instance) = instances.iter().find(|known| known.try_take_place(max_concurrency))
        {
            return Arc::clone(instance);
        }
        let instance = Arc::new(Instance::start(self.new_environment(function), &self.handle));
        instance.try_take_place(max_concurrency);
        instances.push(Arc::clone(&instance));
        instance
    }

    /// Creates an environment whose init has ended.
    pub(crate) async fn initialised_environment(&self, function: &Function) -> Environment {
        let mut environment = self.new_environment(function);
        environment.initialise().await;
        environment
    }

    /// Takes an idle environment, or creates one.
    fn take_environment(&self, function: &Function) -> Environment {
        let idle = lock(&function.idle).pop();
        idle.unwrap_or_else(|| self.new_environment(function))
    }

    fn new_environment(&self, function: &Function) -> Environment {
        let environment = Environment::new(&self.host, &function.spec, &function.platform_events);
        lock(&function.environment_states).push(Arc::clone(environment.state()), 0);
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

/// The part of a record for an on-failure destination that tests read (AWS Lambda "Capturing records of asynchronous invocations").
#[derive(Debug, Clone, PartialEq)]
pub struct OnFailureRecord {
    pub request_id: String,
    pub request_payload: Value,
    pub response_payload: Value,
}

/// Synchronous invocations by the Invoke API over HTTP: `POST /2015-03-31/functions/NAME/invocations`.
pub(crate) async fn answer_invoke(
    request: http::Request<Incoming>,
    service: Arc<Service>,
) -> Answer {
    let path = request.uri().path().to_owned();
    let function = path
        .strip_prefix("/2015-03-31/functions/")
        .and_then(|path| path.strip_suffix("/invocations"));
    match (request.method(), function) {
        (&Method::POST, Some(function)) => {
            invoke(function, request, &service).await.unwrap_or_else(|error| refuse(&error))
        }
        _ => server::not_found(),
    }
}

async fn invoke(
    function: &str,
    request: http::Request<Incoming>,
    service: &Arc<Service>,
) -> Result<Answer, Error> {
    let spec = Arc::clone(&service.function(function)?.spec);
    let client_context = match request.headers().get(ClientContext::HEADER) {
        Some(header) => Some(ClientContext::decode(header.as_bytes())?),
        None => None,
    };
    let body = server::read_body(request.into_body(), MAX_PAYLOAD_BYTES).await;
    let payload = body.map_err(|error| match error {
        BodyError::TooLarge => Error::BodyTooLarge { limit_bytes: MAX_PAYLOAD_BYTES },
        BodyError::BrokenOff => Error::BodyBrokenOff,
    })?;
    // An invocation without a payload gets an empty object.
    let event = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
    let mut running = service.invoke(function, event, client_context)?;
    let result = running.result().await?;
    let mut answer = server::json(StatusCode::OK, result.body(&spec, running.request_id()));
    if !matches!(result, InvocationResult::Response(_)) {
        answer = server::with(answer, "X-Amz-Function-Error", "Unhandled");
    }
    answer = server::with(answer, "X-Amz-Executed-Version", VERSION);
    Ok(server::with(answer, "x-amzn-RequestId", running.request_id()))
}

fn refuse(error: &Error) -> Answer {
    let (status, error_type) = match error {
        Error::UnknownFunction(_) => (StatusCode::NOT_FOUND, "ResourceNotFoundException"),
        Error::PayloadTooLarge { .. } | Error::BodyTooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException")
        }
        Error::PayloadNotJson(_)
        | Error::BodyBrokenOff
        | Error::ClientContextNotBase64
        | Error::ClientContextNotJson(_) => {
            (StatusCode::BAD_REQUEST, "InvalidRequestContentException")
        }
        Error::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "ServiceException"),
    };
    server::error(status, error_type, &error.to_string())
}
