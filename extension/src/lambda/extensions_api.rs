//! The three calls of an extension to Lambda: register, next event, and the subscription to telemetry.
//!
//! Source: Lambda Developer Guide, "Using the Lambda Extensions API" (2020-01-01) and "Lambda Telemetry API reference"
//! (2022-07-01).

use crate::json;
use crate::lambda::answers::{NextEvent, Registration, next_event};
use crate::lambda::client::{Address, ApiResponse, Call, exchange};
use std::io;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Lambda did not answer.
    #[error("{call} got no answer")]
    Unreachable { call: &'static str, source: io::Error },
    /// Lambda refused the call. After 403 and 500 the process has to exit.
    #[error("{call} was answered with {status}")]
    Refused { call: &'static str, status: u16 },
    /// The API does not describe such an answer.
    #[error("{call} was answered with {problem}")]
    Unexpected { call: &'static str, problem: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// Lambda will send events.
    Accepted,
    /// There is no Telemetry API here: the runtime interface emulator, SAM, LocalStack.
    Local,
}

#[derive(Clone, Debug)]
pub(crate) struct ExtensionsApi {
    address: Address,
    identifier: String,
}

const REGISTER: &str = "register";
const NEXT: &str = "next";
const SUBSCRIBE: &str = "subscribe";
const IDENTIFIER: &str = "Lambda-Extension-Identifier";

impl ExtensionsApi {
    /// Registers for these events. `name` is the name of the file in `/opt/extensions`.
    pub(crate) async fn register(
        address: &Address,
        name: &str,
        events: &[&str],
    ) -> Result<(Self, Registration), ApiError> {
        let call = Call {
            method: "POST",
            path: "/2020-01-01/extension/register",
            headers: &[
                ("Lambda-Extension-Name", name),
                ("Lambda-Extension-Accept-Feature", "accountId"),
            ],
            body: &json::object(&[("events", &json::strings(events))]),
        };
        let answer = accepted(REGISTER, ask(REGISTER, address, &call).await?)?;
        let no_identifier = || ApiError::Unexpected { call: REGISTER, problem: "no identifier" };
        let identifier = answer.header(IDENTIFIER).ok_or_else(no_identifier)?.to_owned();
        // An unreadable body says nothing about the function, but the environment variables still do.
        let registration = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok((Self { address: address.clone(), identifier }, registration))
    }

    /// Tells Lambda that the extension is done, and waits for the next event.
    pub(crate) async fn next(&self) -> Result<NextEvent, ApiError> {
        let call = Call {
            method: "GET",
            path: "/2020-01-01/extension/event/next",
            headers: &[(IDENTIFIER, &self.identifier)],
            body: "",
        };
        let answer = accepted(NEXT, ask(NEXT, &self.address, &call).await?)?;
        Ok(next_event(&answer.body))
    }

    pub(crate) async fn subscribe(&self, body: &str) -> Result<Subscription, ApiError> {
        let call = Call {
            method: "PUT",
            path: "/2022-07-01/telemetry",
            headers: &[(IDENTIFIER, &self.identifier)],
            body,
        };
        let answer = ask(SUBSCRIBE, &self.address, &call).await?;
        match answer.status {
            200 => Ok(Subscription::Accepted),
            202 | 404 => Ok(Subscription::Local),
            status => Err(ApiError::Refused { call: SUBSCRIBE, status }),
        }
    }
}

async fn ask(
    name: &'static str,
    address: &Address,
    call: &Call<'_>,
) -> Result<ApiResponse, ApiError> {
    let answer = exchange(address, call).await;
    answer.map_err(|source| ApiError::Unreachable { call: name, source })
}

fn accepted(call: &'static str, answer: ApiResponse) -> Result<ApiResponse, ApiError> {
    match answer.status {
        200..300 => Ok(answer),
        status => Err(ApiError::Refused { call, status }),
    }
}

/// Repeats a call up to five times if Lambda did not answer or the refusal may be temporary.
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
            // 403 and 500 are final.
            Err(ApiError::Refused { status, .. }) if status != 403 && status != 500 => {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            answered => return answered,
        }
    }
    call().await
}
