//! The three calls of an extension to Lambda: register, next event, and the subscription to telemetry.
//!
//! Source: Lambda Developer Guide, "Using the Lambda Extensions API" (2020-01-01) and "Lambda Telemetry API reference"
//! (2022-07-01). Plain HTTP; the answer to `next` may take hours, so it has no time limit.

use crate::json;
use crate::lambda::answers::{NextEvent, Registration, next_event};
use crate::lambda::client::{Address, ApiResponse, Asked, Call};
use crate::takeover::{Handover, Notes, Question};
use std::io;
use std::sync::Arc;
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
    /// Lambda refused the call. After 403 and 500 the process has to exit.
    #[error("{call} was answered with {status}")]
    Refused {
        /// The call.
        call: &'static str,
        /// The status.
        status: u16,
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
    address: Address,
    identifier: String,
    handover: Arc<Handover>,
}

const REGISTER: &str = "register";
const NEXT: &str = "next";
const SUBSCRIBE: &str = "subscribe";
const IDENTIFIER: &str = "Lambda-Extension-Identifier";

impl ExtensionsApi {
    /// Registers for these events, under the name that Lambda knows: that of the file in `/opt/extensions`.
    pub(crate) async fn register(
        address: &Address,
        name: &str,
        events: &[&str],
        handover: &Arc<Handover>,
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
        let answered = ask_once(REGISTER, Question::Register, address, &call, handover).await;
        let registered = answered.and_then(|answer| {
            let no_identifier =
                || ApiError::Unexpected { call: REGISTER, problem: "no identifier" };
            let identifier = answer.header(IDENTIFIER).ok_or_else(no_identifier)?.to_owned();
            // A body that cannot be read says nothing about the function; the environment still does.
            let registration: Registration =
                serde_json::from_slice(&answer.body).unwrap_or_default();
            // Before nobody waits for the answer any more, since a second registration would be refused.
            handover.note(|notes| {
                notes.identifier.clone_from(&identifier);
                notes.registration = registration.clone();
            });
            let handover = Arc::clone(handover);
            Ok((Self { address: address.clone(), identifier, handover }, registration))
        });
        handover.answered();
        registered
    }

    /// An extension that was registered by the process whose place this one takes; `None` where it was not.
    pub(crate) fn registered(
        address: &Address,
        handover: &Arc<Handover>,
    ) -> Option<(Self, Registration)> {
        let notes = handover.notes();
        let handover = Arc::clone(handover);
        notes.is_registered().then(|| {
            let Notes { identifier, registration, .. } = notes;
            (Self { address: address.clone(), identifier, handover }, registration)
        })
    }

    /// Says that everything is done, and waits for the next event.
    pub(crate) async fn next(&self) -> Result<NextEvent, ApiError> {
        let call = Call {
            method: "GET",
            path: "/2020-01-01/extension/event/next",
            headers: &[(IDENTIFIER, &self.identifier)],
            body: "",
        };
        let answered = ask_once(NEXT, Question::Next, &self.address, &call, &self.handover).await;
        let event = answered.map(|answer| next_event(&answer.body));
        match &event {
            Ok(NextEvent::Invoke(invoke)) => {
                self.handover.note(|notes| notes.invoke = Some(invoke.clone()));
            }
            Ok(NextEvent::Shutdown(_)) => self.handover.note(|notes| notes.is_ending = true),
            Ok(NextEvent::Other) | Err(_) => {}
        }
        self.handover.answered();
        event
    }

    /// Asks the Telemetry API for events; `body` is the subscription.
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

/// Asks what Lambda does not let itself be asked twice. The caller says when it is [answered](Handover::answered): when it has noted
/// what the answer says.
async fn ask_once(
    name: &'static str,
    question: Question,
    address: &Address,
    call: &Call<'_>,
    handover: &Handover,
) -> Result<ApiResponse, ApiError> {
    let asked = handover.ask(question, address, call).await.map_err(unreachable(name))?;
    let answer = asked.answer(|| handover.lock()).await.map_err(unreachable(name))?;
    accepted(name, answer)
}

async fn ask(
    name: &'static str,
    address: &Address,
    call: &Call<'_>,
) -> Result<ApiResponse, ApiError> {
    let asked =
        Asked::ask(address, call, |send| send().map(drop)).await.map_err(unreachable(name))?;
    asked.answer(|| ()).await.map_err(unreachable(name))
}

fn unreachable(call: &'static str) -> impl FnOnce(io::Error) -> ApiError {
    move |source| ApiError::Unreachable { call, source }
}

fn accepted(call: &'static str, answer: ApiResponse) -> Result<ApiResponse, ApiError> {
    match answer.status {
        200..300 => Ok(answer),
        status => Err(ApiError::Refused { call, status }),
    }
}

/// Calls again, up to five times, where no answer came or the refusal may pass.
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
            // 403 and 500 are final; any other refusal may pass.
            Err(ApiError::Refused { status, .. }) if status != 403 && status != 500 => {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            answered => return answered,
        }
    }
    call().await
}
