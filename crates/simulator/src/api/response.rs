//! The HTTP responses that the APIs of an environment share, and the way of a call from a request to its response.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::{mpsc, oneshot};

use super::call::{Call, Refused, Reply};
use super::server;

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Makes a call and waits for the reply, for ever if need be: the caller may be frozen meanwhile.
pub(crate) async fn ask<T>(
    calls: &mpsc::Sender<Call>,
    call: impl FnOnce(Reply<T>) -> Call,
) -> Result<T, Response<Full<Bytes>>> {
    let (reply, answer) = oneshot::channel();
    // When the environment is gone the runtime is told to exit (AWS Lambda "runtime API": 500, non-recoverable).
    let gone = || {
        server::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "the environment has ended",
        )
    };
    calls.send(call(reply)).await.map_err(|_| gone())?;
    match answer.await.map_err(|_| gone())? {
        Ok(value) => Ok(value),
        Err(refused) => Err(refusal(refused)),
    }
}

fn refusal(refused: Refused) -> Response<Full<Bytes>> {
    match refused {
        Refused::UnknownRequest => server::error(
            StatusCode::BAD_REQUEST,
            "InvalidRequestID",
            "no invocation with this request id is running",
        ),
        Refused::WrongState => server::error(
            StatusCode::FORBIDDEN,
            "InvalidStateTransition",
            "the call is not allowed in this state",
        ),
        Refused::UnknownExtension => server::error(
            StatusCode::FORBIDDEN,
            "Extension.UnknownExtensionIdentifier",
            "no such extension",
        ),
        Refused::UnsupportedEvent => server::error(
            StatusCode::BAD_REQUEST,
            "Extension.InvalidEventType",
            "an extension registers for INVOKE, SHUTDOWN or nothing, an internal one not for SHUTDOWN",
        ),
        Refused::WrongExtensionState => server::error(
            StatusCode::FORBIDDEN,
            "Extension.InvalidExtensionState",
            "the call is not allowed in this state of the extension",
        ),
        Refused::TooManyExtensions => server::error(
            StatusCode::FORBIDDEN,
            "Extension.TooManyExtensions",
            "ten extensions are registered, which is the most there may be",
        ),
        Refused::InitIsOver => server::error(
            StatusCode::FORBIDDEN,
            "Extension.RegistrationClosed",
            "the init phase is over",
        ),
    }
}

pub(crate) fn accepted(reply: Result<(), Response<Full<Bytes>>>) -> Response<Full<Bytes>> {
    match reply {
        Ok(()) => server::json(StatusCode::ACCEPTED, r#"{"status":"OK"}"#),
        Err(answer) => answer,
    }
}

pub(crate) fn not_found() -> Response<Full<Bytes>> {
    server::error(StatusCode::NOT_FOUND, "NotFound", "no such path")
}
