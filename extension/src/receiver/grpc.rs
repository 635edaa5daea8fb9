//! OTLP over gRPC: the signal of a call, and its answer.
//!
//! Source: OTLP 1.x, "OTLP/gRPC"; "gRPC over HTTP2"; gRPC's "ContentCoding".

use super::body::{ACCEPTED, ContentCoding, Format};
use super::response::{Encoding, Refusal, export_response};
use crate::http::{self, Answer, Head, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Version};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use wire::SignalKind;
use wire::protobuf::Writer;

const GRPC: &str = "application/grpc";
const PROTOBUF: &str = "application/grpc+proto";

/// The bytes that a status message escapes, besides those that are not ASCII (gRPC over HTTP2, "Responses").
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// Where Python's SDK looks for how long to wait.
const RETRY_INFO: HeaderName = HeaderName::from_static("google.rpc.retryinfo-bin");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The delay before a repetition. Without it clients wait for seconds, within an invocation. It is longer than the time that
/// empties a full pipe, and not nothing: Python's SDK gives up after six attempts.
const RETRY_NANOS: u64 = 50_000_000;

/// Returns `true` for a gRPC call with protobuf. OTLP over HTTP may use HTTP/2 too.
pub(super) fn is_call(head: &Head) -> bool {
    let content_type = header(head, CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    head.version == Version::HTTP_2
        && [GRPC, PROTOBUF].iter().any(|known| essence.eq_ignore_ascii_case(known))
}

pub(super) fn signal_and_format(head: &Head) -> Result<(SignalKind, Format), Refusal> {
    let kind = SignalKind::ALL
        .into_iter()
        .filter(|_| head.method == Method::POST)
        .find(|kind| head.uri.path() == kind.grpc_method())
        .ok_or(Refusal::UnknownCall)?;
    let compression =
        ContentCoding::of(header(head, "grpc-encoding")).ok_or(Refusal::GrpcEncoding)?;
    Ok((kind, Format { encoding: Encoding::Protobuf, compression, is_grpc: true }))
}

/// Makes the answer to an accepted call. `rejected` items were too large for a line.
pub(super) fn accepted(rejected: usize) -> Answer {
    answer(message(&export_response(rejected)), 0)
}

pub(super) fn refused(refusal: &Refusal) -> Answer {
    let (_, code) = refusal.codes();
    let text = refusal.to_string();
    let mut answer = answer(Vec::new(), code);
    let trailers = answer.body_mut().trailers.get_or_insert_default();
    let mut say = |name: HeaderName, value: String| {
        trailers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    };
    say(GRPC_MESSAGE, utf8_percent_encode(&text, ESCAPED).to_string());
    if refusal.may_be_sent_again() {
        let retry_info = retry_info();
        say(GRPC_STATUS_DETAILS, BASE64_STANDARD_NO_PAD.encode(status(code, &text, &retry_info)));
        say(RETRY_INFO, BASE64_STANDARD_NO_PAD.encode(retry_info));
    }
    if *refusal == Refusal::GrpcEncoding {
        let accepted = HeaderValue::from_static(ACCEPTED);
        answer.headers_mut().insert(GRPC_ACCEPT_ENCODING, accepted);
    }
    answer
}

/// A `google.rpc.RetryInfo`: its only field is a `google.protobuf.Duration`.
fn retry_info() -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |delay| delay.varint(2, RETRY_NANOS));
    bytes
}

/// A `google.rpc.Status` with that as its only detail, as OTLP has it ("OTLP/gRPC Throttling").
fn status(code: u64, text: &str, retry_info: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut status = Writer::new(&mut bytes);
    status.varint(1, code);
    status.string(2, text);
    status.message(3, |any| {
        any.string(1, "type.googleapis.com/google.rpc.RetryInfo");
        any.bytes(2, retry_info);
    });
    bytes
}

fn answer(body: Vec<u8>, code: u64) -> Answer {
    let mut answer = http::answer(StatusCode::OK, GRPC, body);
    let status = [(GRPC_STATUS, HeaderValue::from(code))];
    answer.body_mut().trailers = Some(HeaderMap::from_iter(status));
    answer
}

/// The flag, and the length as 32 bits in big-endian order.
pub(super) const PREFIX_BYTES: usize = 5;

fn prefix(begun: &[u8]) -> Option<(u8, usize)> {
    let (&[flag, length @ ..], _) = begun.split_first_chunk::<PREFIX_BYTES>()?;
    Some((flag, usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX)))
}

/// Refuses a message that announces too large a length.
pub(super) fn check_message(begun: &[u8], max_bytes: usize) -> Result<(), Refusal> {
    match prefix(begun) {
        Some((_, length)) if length > max_bytes => Err(Refusal::TooLarge { max_bytes }),
        _ => Ok(()),
    }
}

/// Returns the content of a call's only message, and its compression: `announced` if the message's flag is set.
pub(super) fn message_content(
    mut message: Vec<u8>,
    announced: ContentCoding,
) -> Result<(ContentCoding, Vec<u8>), Refusal> {
    let invalid = |what: String| Err(Refusal::Invalid(what));
    let Some((flag, length)) = prefix(&message) else {
        return invalid("the call ends before its message".to_owned());
    };
    let bytes = message.len() - PREFIX_BYTES;
    if bytes < length {
        return invalid(format!("the message ends after {bytes} of its {length} bytes"));
    }
    if bytes > length {
        return invalid(format!("{} bytes follow the only message of a call", bytes - length));
    }
    let compression = match flag {
        0 => ContentCoding::None,
        1 if announced == ContentCoding::None => {
            return invalid("the message is compressed, and no grpc-encoding says how".to_owned());
        }
        1 => announced,
        _ => return invalid(format!("the flag of the message is {flag}, neither 0 nor 1")),
    };
    message.drain(..PREFIX_BYTES);
    Ok((compression, message))
}

fn message(content: &[u8]) -> Vec<u8> {
    // Answers have a few bytes.
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_are_percent_encoded() {
        let refused = refused(&Refusal::Invalid("100 % of \"é\"\n".to_owned()));
        let escaped = "cannot read the request: 100 %25 of \"%C3%A9\"%0A";
        assert_eq!(refused.body().trailers.as_ref().unwrap()[GRPC_MESSAGE], escaped);
    }

    #[test]
    fn retryable_refusals_carry_a_retry_delay() {
        let said = |refusal: &Refusal| {
            let trailers = refused(refusal).into_body().trailers.unwrap_or_default();
            let text = |name: HeaderName| Some(trailers.get(name)?.to_str().unwrap().to_owned());
            (text(GRPC_STATUS).unwrap(), text(GRPC_STATUS_DETAILS).is_some(), text(RETRY_INFO))
        };
        // RetryInfo { retry_delay: Duration { nanos: 50000000 } }
        let delay = Some("CgUQgOHrFw".to_owned());
        assert_eq!(said(&Refusal::Full), ("14".to_owned(), true, delay.clone()));
        assert_eq!(said(&Refusal::BrokenOff), ("14".to_owned(), true, delay));
        assert_eq!(said(&Refusal::UnknownCall), ("12".to_owned(), false, None));
        let too_large = Refusal::TooLarge { max_bytes: 1 };
        assert_eq!(said(&too_large), ("3".to_owned(), false, None));
    }
}
