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
    let of_extension = |error_type, message| (StatusCode::FORBIDDEN, error_type, message);
    let (status, error_type, message) = match refused {
        Refused::UnknownRequest => (
            StatusCode::BAD_REQUEST,
            "InvalidRequestID",
            "no invocation with this request id is running",
        ),
        Refused::WrongState => (
            StatusCode::FORBIDDEN,
            "InvalidStateTransition",
            "the call is not allowed in this state",
        ),
        Refused::UnsupportedEvent => (
            StatusCode::BAD_REQUEST,
            "Extension.InvalidEventType",
            "an extension registers for INVOKE, SHUTDOWN or nothing, an internal one not for SHUTDOWN",
        ),
        Refused::UnknownExtension => {
            of_extension("Extension.UnknownExtensionIdentifier", "no such extension")
        }
        Refused::WrongExtensionState => of_extension(
            "Extension.InvalidExtensionState",
            "the call is not allowed in this state of the extension",
        ),
        Refused::TooManyExtensions => of_extension(
            "Extension.TooManyExtensions",
            "ten extensions are registered, which is the most there may be",
        ),
        Refused::InitIsOver => {
            of_extension("Extension.RegistrationClosed", "the init phase is over")
        }
    };
    server::error(status, error_type, message)
}

/// The response to a request, or the response that refuses it.
pub(crate) type RouteResult = Result<Response<Full<Bytes>>, Response<Full<Bytes>>>;

pub(crate) fn accepted((): ()) -> Response<Full<Bytes>> {
    server::json(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
}

pub(crate) fn not_found() -> Response<Full<Bytes>> {
    server::error(StatusCode::NOT_FOUND, "NotFound", "no such path")
}
