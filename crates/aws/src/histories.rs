//! The histories of executions: of Step Functions' state machines by AWS JSON 1.0, and of Lambda's durable functions by REST JSON.
//!
//! Nothing asks for input, output or results: spans need names and times.

use crate::api::{Api, ApiError, ApiRequest, ApiSettings, Attempts, Service};
use crate::client::{
    AwsClient, AwsResponse, Caller, EndpointOptions, NoResponse, service_endpoint,
};
use crate::credentials::CredentialsSource;
use crate::signature::PathEncoding;
use crate::variables::{ENDPOINT, LAMBDA_ENDPOINT, REGION, STEP_FUNCTIONS_ENDPOINT};
use http::Method;
use serde_json::{Value, json};
use settings::{Proxy, Reader};
use std::time::SystemTime;
use tokio::time::Instant;
use url::Url;

/// A page has up to 1,000 events, most of them of a few hundred bytes. One of events with 32 KB of error is read in smaller pages.
const MAX_RESPONSE_BYTES: usize = 8 << 20;
/// A throttled call is repeated a few times. After that the execution waits in a queue, which costs less.
const ATTEMPTS: Attempts = Attempts::AtMost(4);

const STEP_FUNCTIONS: Service = Service {
    name: "states",
    path_encoding: PathEncoding::Twice,
    max_response_bytes: MAX_RESPONSE_BYTES,
    read_error: AwsResponse::refusal,
    is_temporary: |_| false,
};

const LAMBDA: Service = Service { name: "lambda", ..STEP_FUNCTIONS };

/// How requests reach both services.
#[derive(Clone, Debug)]
pub struct HistorySettings {
    credentials: CredentialsSource,
    region: String,
    step_functions: Url,
    lambda: Url,
    proxy: Option<Proxy>,
}

impl HistorySettings {
    /// Reads the rows of [`AWS`](crate::AWS), [`HISTORIES`](crate::HISTORIES) and [`settings::PROXY`]. `None` without credentials
    /// and region, which Lambda sets.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let credentials = CredentialsSource::read(reader);
        let region = reader.read(REGION);
        let of_all = reader.read(ENDPOINT);
        let [step_functions, lambda] = [STEP_FUNCTIONS_ENDPOINT, LAMBDA_ENDPOINT]
            .map(|setting| reader.read(setting).or_else(|| of_all.clone()));
        let proxy = Proxy::read(reader);
        let region = region?;
        let default = |name| service_endpoint(name, &region, EndpointOptions::default());
        Some(Self {
            credentials: credentials?,
            step_functions: step_functions.or_else(|| default(STEP_FUNCTIONS.name))?,
            lambda: lambda.or_else(|| default(LAMBDA.name))?,
            region,
            proxy,
        })
    }

    fn configure(&self, endpoint: &Url) -> ApiSettings {
        ApiSettings {
            credentials: self.credentials.clone(),
            region: self.region.clone(),
            endpoint: endpoint.clone(),
            proxy: self.proxy.clone(),
            attempts: ATTEMPTS,
        }
    }
}

/// A page to read.
#[derive(Clone, Copy, Debug)]
pub struct HistoryPage<'a> {
    pub arn: &'a str,
    /// The token of the page; `None` for the first one.
    pub token: Option<&'a str>,
    /// At most 1,000.
    pub max_events: u32,
}

/// A run of a Distributed Map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapRun {
    pub arn: String,
    /// The execution with the Map, which started the children.
    pub execution_arn: String,
}

/// The histories of a region's executions.
#[derive(Debug)]
pub struct ExecutionHistories {
    step_functions: Api,
    lambda: Api,
}

impl ExecutionHistories {
    /// Creates the clients; `clock` gives the signing time. Connects nowhere before the first call.
    pub fn new(settings: &HistorySettings, clock: fn() -> SystemTime) -> Self {
        let api = |service, endpoint| {
            let proxy = settings.proxy.clone();
            let client = AwsClient::keeping_connections(clock, Caller::Function, proxy, 1);
            Api::with_client(service, settings.configure(endpoint), client)
        };
        Self {
            step_functions: api(&STEP_FUNCTIONS, &settings.step_functions),
            lambda: api(&LAMBDA, &settings.lambda),
        }
    }

    /// Reads a page of the history of a state machine's execution (`GetExecutionHistory`), as AWS's JSON.
    pub async fn read_machine_page(
        &self,
        page: HistoryPage<'_>,
        deadline: Instant,
    ) -> Result<Vec<u8>, HistoryError> {
        let HistoryPage { arn, token, max_events } = page;
        let mut body = json!({
            "executionArn": arn, "maxResults": max_events, "includeExecutionData": false,
        });
        if let (Some(token), Some(members)) = (token, body.as_object_mut()) {
            members.insert("nextToken".to_owned(), token.into());
        }
        self.ask_step_functions("states:GetExecutionHistory", &body, deadline).await
    }

    /// Finds the Distributed Map that started this execution (`DescribeExecution`, `DescribeMapRun`), if one did.
    pub async fn find_map_run(
        &self,
        arn: &str,
        deadline: Instant,
    ) -> Result<Option<MapRun>, HistoryError> {
        let action = "states:DescribeExecution";
        let body = json!({ "executionArn": arn, "includedData": "METADATA_ONLY" });
        let answer = self.ask_step_functions(action, &body, deadline).await?;
        let Some(arn) = read_text(action, &answer, "/mapRunArn")? else { return Ok(None) };
        let action = "states:DescribeMapRun";
        let answer =
            self.ask_step_functions(action, &json!({ "mapRunArn": arn }), deadline).await?;
        let execution_arn = read_text(action, &answer, "/executionArn")?
            .ok_or(HistoryError { action, cause: ApiError::Unreadable })?;
        Ok(Some(MapRun { arn, execution_arn }))
    }

    /// Calls an operation of Step Functions, whose name is that of the action after `states:`.
    async fn ask_step_functions(
        &self,
        action: &'static str,
        body: &Value,
        deadline: Instant,
    ) -> Result<Vec<u8>, HistoryError> {
        let operation = action.strip_prefix("states:").unwrap_or(action);
        let request = ApiRequest::new_json("1.0", format!("AWSStepFunctions.{operation}"), body);
        let sent = self.step_functions.send(&request, deadline).await;
        Ok(sent.map_err(|cause| HistoryError { action, cause })?.body)
    }

    /// Reads a page of the history of a durable function's execution (`GetDurableExecutionHistory`), as AWS's JSON.
    pub async fn read_durable_page(
        &self,
        page: HistoryPage<'_>,
        deadline: Instant,
    ) -> Result<Vec<u8>, HistoryError> {
        let HistoryPage { arn, token, max_events } = page;
        let mut request =
            durable_execution(arn).below("history").with("MaxItems", max_events.to_string());
        if let Some(token) = token {
            request = request.with("Marker", token);
        }
        self.ask_lambda("lambda:GetDurableExecutionHistory", &request, deadline).await
    }

    /// Reads X-Ray's header of a durable function's execution (`GetDurableExecution`), if it has one.
    pub async fn read_trace_header(
        &self,
        arn: &str,
        deadline: Instant,
    ) -> Result<Option<String>, HistoryError> {
        let action = "lambda:GetDurableExecution";
        let answer = self.ask_lambda(action, &durable_execution(arn), deadline).await?;
        read_text(action, &answer, "/TraceHeader/XAmznTraceId")
    }

    async fn ask_lambda(
        &self,
        action: &'static str,
        request: &ApiRequest,
        deadline: Instant,
    ) -> Result<Vec<u8>, HistoryError> {
        let sent = self.lambda.send(request, deadline).await;
        Ok(sent.map_err(|cause| HistoryError { action, cause })?.body)
    }
}

/// Reads a text of an answer, if it is there.
fn read_text(
    action: &'static str,
    answer: &[u8],
    pointer: &str,
) -> Result<Option<String>, HistoryError> {
    let answer: Value = serde_json::from_slice(answer)
        .map_err(|_| HistoryError { action, cause: ApiError::Unreadable })?;
    Ok(answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned))
}

fn durable_execution(arn: &str) -> ApiRequest {
    ApiRequest::new(Method::GET, "2025-12-01/durable-executions")
        .below(arn)
        .with("IncludeExecutionData", "false")
}

/// A call without success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(self.action, &self.cause))]
pub struct HistoryError {
    /// The action, which is also the permission that it needs.
    action: &'static str,
    cause: ApiError,
}

impl HistoryError {
    /// Returns `true` if the page is too large, and one of fewer events may not be.
    pub fn is_too_long(&self) -> bool {
        match &self.cause {
            ApiError::NoAnswer(NoResponse::TooLong(_)) => true,
            ApiError::Late(Some(last)) => {
                matches!(**last, ApiError::NoAnswer(NoResponse::TooLong(_)))
            }
            _ => false,
        }
    }
}

fn describe(action: &str, cause: &ApiError) -> String {
    match cause.code() {
        Some("AccessDenied" | "AccessDeniedException") => {
            format!("{action} was refused with {cause}; allow {action}")
        }
        Some(_) => format!("{action} was refused with {cause}"),
        None => format!("{action} failed: {cause}"),
    }
}
