//! The three calls of an extension to Lambda: register, next event, and the subscription to telemetry.
//!
//! Source: Lambda Developer Guide, "Using the Lambda Extensions API" (2020-01-01) and "Lambda Telemetry API reference"
//! (2022-07-01). Plain HTTP; the answer to `next` may take hours, so it has no time limit.

use crate::http::{Received, send};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use std::io;
use std::time::Duration;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer came.
    #[error("{call} got no answer")]
    Unreachable {
        /// The call.
        call: &'static str,
        /// What happened to the connection.
        source: io::Error,
    },
    /// Lambda refused. 403 and 500 mean that the process has to exit.
    #[error("{call} was answered with {status}")]
    Refused {
        /// The call.
        call: &'static str,
        /// The status.
        status: StatusCode,
    },
    /// The answer is none that the API describes.
    #[error("{call} was answered with {problem}")]
    Unexpected {
        /// The call.
        call: &'static str,
        /// What is wrong with the answer.
        problem: &'static str,
    },
}

/// What Lambda says about the function in its answer to register.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Registration {
    /// Name of the function.
    pub(crate) function_name: String,
    /// `$LATEST` or a number.
    pub(crate) function_version: String,
    /// The twelve digits of the AWS account, where Lambda knows the feature.
    pub(crate) account_id: Option<String>,
}

/// What `next` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextEvent {
    /// An invocation began.
    Invoke(Invoke),
    /// The environment ends.
    Shutdown(Shutdown),
    /// An event that is not known here.
    Other,
}

/// An invocation began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Invoke {
    /// The AWS request id.
    pub(crate) request_id: String,
    /// When the invocation times out: Unix time in milliseconds.
    pub(crate) deadline_ms: u64,
    /// ARN as invoked; it may end in a version or an alias.
    pub(crate) invoked_function_arn: String,
}

/// The environment ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Shutdown {
    /// `spindown`, `timeout` or `failure`, in either case.
    pub(crate) shutdown_reason: String,
    /// When the process is killed: Unix time in milliseconds.
    pub(crate) deadline_ms: u64,
}

/// How Lambda answered a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// Events will come.
    Accepted,
    /// There is no Telemetry API here: the runtime interface emulator, SAM, LocalStack.
    Local,
}

/// A registered extension.
#[derive(Clone, Debug)]
pub(crate) struct ExtensionsApi {
    authority: String,
    identifier: HeaderValue,
}

const REGISTER: &str = "register";
const NEXT: &str = "next";
const SUBSCRIBE: &str = "subscribe";

impl ExtensionsApi {
    /// Registers for these events, under the name that Lambda knows: that of the file in `/opt/extensions`.
    pub(crate) async fn register(
        authority: &str,
        name: &str,
        events: &[&str],
    ) -> Result<(Self, Registration), ApiError> {
        let body = serde_json::json!({ "events": events }).to_string();
        let mut request = request(Method::POST, "/2020-01-01/extension/register", body);
        let unexpected = |problem| ApiError::Unexpected { call: REGISTER, problem };
        let name = HeaderValue::from_str(name)
            .map_err(|_| unexpected("nothing: the file's name is not ASCII"))?;
        request.headers_mut().insert("Lambda-Extension-Name", name);
        let features = HeaderValue::from_static("accountId");
        request.headers_mut().insert("Lambda-Extension-Accept-Feature", features);
        let received = call(REGISTER, authority, request).await?;
        let identifier = received
            .headers
            .get("Lambda-Extension-Identifier")
            .ok_or_else(|| unexpected("no identifier"))?
            .clone();
        // A body that cannot be read says nothing about the function; the environment still does.
        let registration = serde_json::from_slice(&received.body).unwrap_or_default();
        Ok((Self { authority: authority.to_owned(), identifier }, registration))
    }

    /// Says that everything is done, and waits for the next event.
    pub(crate) async fn next(&self) -> Result<NextEvent, ApiError> {
        let path = "/2020-01-01/extension/event/next";
        let request = self.identified(request(Method::GET, path, String::new()));
        let received = call(NEXT, &self.authority, request).await?;
        Ok(next_event(&received.body))
    }

    /// Asks the Telemetry API for events; `body` is the subscription.
    pub(crate) async fn subscribe(&self, body: String) -> Result<Subscription, ApiError> {
        let request = self.identified(request(Method::PUT, "/2022-07-01/telemetry", body));
        let received = send(&self.authority, request)
            .await
            .map_err(|source| ApiError::Unreachable { call: SUBSCRIBE, source })?;
        match received.status {
            StatusCode::OK => Ok(Subscription::Accepted),
            StatusCode::ACCEPTED | StatusCode::NOT_FOUND => Ok(Subscription::Local),
            status => Err(ApiError::Refused { call: SUBSCRIBE, status }),
        }
    }

    fn identified(&self, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        request.headers_mut().insert("Lambda-Extension-Identifier", self.identifier.clone());
        request
    }
}

fn request(method: Method, path: &'static str, body: String) -> Request<Full<Bytes>> {
    let has_body = !body.is_empty();
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from_static(path);
    if has_body {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, json);
    }
    request
}

async fn call(
    call: &'static str,
    authority: &str,
    request: Request<Full<Bytes>>,
) -> Result<Received, ApiError> {
    let received =
        send(authority, request).await.map_err(|source| ApiError::Unreachable { call, source })?;
    if received.status.is_success() {
        Ok(received)
    } else {
        Err(ApiError::Refused { call, status: received.status })
    }
}

/// Calls again where no answer came; a refusal is final.
pub(crate) async fn retrying<T, F>(call: impl Fn() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    const PAUSES_MS: [u64; 5] = [5, 20, 80, 320, 1280];
    for pause in PAUSES_MS {
        match call().await {
            Err(ApiError::Unreachable { .. }) => {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            // Anything but 403 and 500 may be about this moment.
            Err(ApiError::Refused { status, .. })
                if status != StatusCode::FORBIDDEN
                    && status != StatusCode::INTERNAL_SERVER_ERROR =>
            {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            answered => return answered,
        }
    }
    call().await
}

/// Reads an event; what cannot be read is like an event that is not known.
fn next_event(body: &[u8]) -> NextEvent {
    #[derive(Deserialize)]
    #[serde(tag = "eventType", rename_all = "UPPERCASE")]
    enum Body {
        Invoke(Invoke),
        Shutdown(Shutdown),
        #[serde(other)]
        Other,
    }
    match serde_json::from_slice(body) {
        Ok(Body::Invoke(invoke)) => NextEvent::Invoke(invoke),
        Ok(Body::Shutdown(shutdown)) => NextEvent::Shutdown(shutdown),
        Ok(Body::Other) | Err(_) => NextEvent::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_leniently() {
        let check =
            |body: &str, expected| assert_eq!(next_event(body.as_bytes()), expected, "{body}");
        let request_id = "3da1f2dc-3222-475e-9205-e2e6c6318895".to_owned();
        check(
            r#"{"eventType":"INVOKE","deadlineMs":1733312345678,"requestId":"3da1f2dc-3222-475e-9205-e2e6c6318895","invokedFunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:ExtensionTest","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"},"new":[1]}"#,
            NextEvent::Invoke(Invoke {
                request_id: request_id.clone(),
                deadline_ms: 1_733_312_345_678,
                invoked_function_arn:
                    "arn:aws:lambda:us-east-1:123456789012:function:ExtensionTest".to_owned(),
            }),
        );
        check(
            r#"{"requestId":"3da1f2dc-3222-475e-9205-e2e6c6318895","eventType":"INVOKE"}"#,
            NextEvent::Invoke(Invoke { request_id, ..Invoke::default() }),
        );
        check(
            r#"{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1733312347678}"#,
            NextEvent::Shutdown(Shutdown {
                shutdown_reason: "spindown".to_owned(),
                deadline_ms: 1_733_312_347_678,
            }),
        );
        check(r#"{"eventType":"SHUTDOWN"}"#, NextEvent::Shutdown(Shutdown::default()));
        check(r#"{"eventType":"HIBERNATE","deadlineMs":1}"#, NextEvent::Other);
        check("{}", NextEvent::Other);
        check("", NextEvent::Other);
    }
}
