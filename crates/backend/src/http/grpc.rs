//! OTLP over gRPC. Calls and answers are translated to those of OTLP over HTTP, so that all other code is shared.
//!
//! Source: OTLP 1.x, "OTLP/gRPC"; "gRPC over HTTP2"; `google/rpc/code.proto`, `status.proto` and `error_details.proto`.

use super::response::{MAX_RESPONSE_BYTES, append_up_to};
use super::{GRPC_STATUS_TEXT, HttpRequest, HttpResponse};
use crate::destination::STREAM_NAME;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, TE,
};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use std::time::Duration;
use url::Url;
use wire::protobuf::{Reader, Value, messages};

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// The compression flag and the length of a message.
const PREFIX_BYTES: usize = 5;

/// Makes a call of a request for this endpoint, of which only the host is used.
pub(super) fn call(
    client: &reqwest::Client,
    endpoint: &Url,
    request: HttpRequest,
) -> reqwest::RequestBuilder {
    let mut url = endpoint.clone();
    url.set_path(request.kind.grpc_method());
    url.set_query(None);
    let mut call = client
        .post(url)
        .timeout(request.timeout)
        .headers(request.headers)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers");
    if request.gzip {
        call = call.header(ENCODING, "gzip");
    }
    if let Some(stream) = request.stream {
        call = call.header(STREAM_NAME, stream);
    }
    call.body(message(&request.body, request.gzip))
}

/// Frames a message for a call.
fn message(body: &[u8], gzip: bool) -> Bytes {
    let mut message = BytesMut::with_capacity(body.len() + PREFIX_BYTES);
    message.put_u8(gzip.into());
    message.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    message.put_slice(body);
    message.freeze()
}

/// Reads the answer of a call.
pub(super) async fn answer(response: reqwest::Response) -> Result<HttpResponse, reqwest::Error> {
    let (head, mut incoming) = Response::<reqwest::Body>::from(response).into_parts();
    let mut headers = head.headers;
    let mut body = BytesMut::new();
    let mut cut = false;
    while !cut && let Some(frame) = incoming.frame().await {
        match frame?.into_data() {
            Ok(piece) => cut = !append_up_to(MAX_RESPONSE_BYTES, &mut body, &piece),
            Err(frame) => headers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok(HttpResponse { status: head.status.as_u16(), headers, body: body.freeze(), cut })
}

/// Translates the answer to OTLP over HTTP. Answers that are not gRPC, for example a proxy's, stay unchanged. Returns `None`
/// if the call ended without a status.
pub(super) fn in_http(answer: HttpResponse) -> Option<HttpResponse> {
    let code = answer.headers.get(STATUS).and_then(|code| code.to_str().ok()?.parse().ok());
    let Some(code) = code else {
        if answer.header(CONTENT_TYPE).starts_with("application/grpc") && answer.is_success() {
            return None;
        }
        return Some(answer);
    };
    let mut headers = HeaderMap::new();
    headers.insert(STATUS, HeaderValue::from(code));
    if code == 0 {
        let message = answer.body.get(PREFIX_BYTES..).unwrap_or_default();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if answer.body.first() == Some(&1) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let body = Bytes::copy_from_slice(message);
        return Some(HttpResponse { status: 200, headers, body, cut: answer.cut });
    }
    let delay = retry_delay(&answer.headers);
    // All but printable ASCII is percent-encoded (gRPC over HTTP2, "Responses").
    let message = answer.headers.get(MESSAGE).map(HeaderValue::as_bytes).unwrap_or_default();
    let text = percent_encoding::percent_decode(message).decode_utf8_lossy();
    let HttpEquivalent { status, code_name } = HttpEquivalent::of(code, delay.is_some(), &text);
    let body = format!("{GRPC_STATUS_TEXT} {code}{code_name}: {text}");
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if let Some(delay) = delay {
        // Rounds up to whole seconds, so that the retry is not early.
        let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Some(HttpResponse { status: status.as_u16(), headers, body: body.into(), cut: false })
}

/// The HTTP status that means the same as a code of gRPC.
struct HttpEquivalent {
    status: StatusCode,
    /// ` (NAME)`; empty for an unknown code.
    code_name: &'static str,
}

impl HttpEquivalent {
    /// Retryable codes of OTLP map to an unavailable server; codes after which items may be stored map to a server that failed
    /// midway. Servers reject a message that is too large with `RESOURCE_EXHAUSTED` or `OUT_OF_RANGE`, which are retryable
    /// otherwise: without a delay, only their text shows which.
    fn of(code: u64, has_delay: bool, text: &str) -> Self {
        let is_too_large =
            !has_delay && ["larger than", "too large"].iter().any(|words| text.contains(words));
        let with = |status, code_name| Self { status, code_name };
        match code {
            1 => with(StatusCode::GATEWAY_TIMEOUT, " (CANCELLED)"),
            2 => with(StatusCode::INTERNAL_SERVER_ERROR, " (UNKNOWN)"),
            3 => with(StatusCode::BAD_REQUEST, " (INVALID_ARGUMENT)"),
            4 => with(StatusCode::GATEWAY_TIMEOUT, " (DEADLINE_EXCEEDED)"),
            5 => with(StatusCode::METHOD_NOT_ALLOWED, " (NOT_FOUND)"),
            7 => with(StatusCode::FORBIDDEN, " (PERMISSION_DENIED)"),
            8 if is_too_large => with(StatusCode::PAYLOAD_TOO_LARGE, " (RESOURCE_EXHAUSTED)"),
            11 if is_too_large => with(StatusCode::PAYLOAD_TOO_LARGE, " (OUT_OF_RANGE)"),
            8 => with(StatusCode::TOO_MANY_REQUESTS, " (RESOURCE_EXHAUSTED)"),
            10 => with(StatusCode::SERVICE_UNAVAILABLE, " (ABORTED)"),
            11 => with(StatusCode::SERVICE_UNAVAILABLE, " (OUT_OF_RANGE)"),
            12 => with(StatusCode::METHOD_NOT_ALLOWED, " (UNIMPLEMENTED)"),
            13 => with(StatusCode::INTERNAL_SERVER_ERROR, " (INTERNAL)"),
            14 => with(StatusCode::SERVICE_UNAVAILABLE, " (UNAVAILABLE)"),
            15 => with(StatusCode::INTERNAL_SERVER_ERROR, " (DATA_LOSS)"),
            16 => with(StatusCode::UNAUTHORIZED, " (UNAUTHENTICATED)"),
            _ => with(StatusCode::CONFLICT, ""),
        }
    }
}

/// Returns `retry_delay` of the `google.rpc.RetryInfo` in the status details.
fn retry_delay(headers: &HeaderMap) -> Option<Duration> {
    // Base64 without padding, though some servers add it.
    let mut text = headers.get(DETAILS)?.to_str().ok()?.trim_end_matches('=').to_owned();
    while text.len() % 4 > 0 {
        text.push('=');
    }
    let status = wire::decode_base64(text.as_bytes())?;
    let is_retry_info = |any: &&[u8]| {
        messages(any, 1).next().is_some_and(|url| url.ends_with(b"/google.rpc.RetryInfo"))
    };
    let any = messages(&status, 3).find(is_retry_info)?;
    let delay = messages(messages(any, 2).next()?, 1).next().unwrap_or_default();
    let number = |number| {
        let mut fields = Reader::new(delay).map_while(Result::ok);
        fields.find_map(|field| match field.value {
            Value::Varint(value) if field.number == number => Some(value),
            _ => None,
        })
    };
    let nanos = u32::try_from(number(2).unwrap_or_default()).unwrap_or_default();
    // The number comes from the server and may be anything.
    let seconds = Duration::from_secs(number(1).unwrap_or_default());
    Some(seconds.saturating_add(Duration::from_nanos(nanos.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::protobuf::Writer;

    /// The answer with this status, message and status details.
    fn answer(code: &str, message: &str, details: Option<&str>) -> HttpResponse {
        let all = [(STATUS, Some(code)), (MESSAGE, Some(message)), (DETAILS, details)];
        let given = all.into_iter().filter_map(|(name, text)| Some((name, text?.parse().unwrap())));
        HttpResponse { status: 200, headers: given.collect(), body: Bytes::new(), cut: false }
    }

    #[test]
    fn each_grpc_status_becomes_one_of_http() {
        for (code, message, status, said) in [
            ("1", "", 504, "1 (CANCELLED): "),
            ("2", "", 500, "2 (UNKNOWN): "),
            ("3", "%C3%A9", 400, "3 (INVALID_ARGUMENT): é"),
            ("4", "", 504, "4 (DEADLINE_EXCEEDED): "),
            ("5", "", 405, "5 (NOT_FOUND): "),
            ("7", "", 403, "7 (PERMISSION_DENIED): "),
            ("8", "quota", 429, "8 (RESOURCE_EXHAUSTED): quota"),
            (
                "8",
                "message%20larger%20than%FF",
                413,
                "8 (RESOURCE_EXHAUSTED): message larger than\u{fffd}",
            ),
            ("10", "", 503, "10 (ABORTED): "),
            ("11", "", 503, "11 (OUT_OF_RANGE): "),
            ("11", "length too large", 413, "11 (OUT_OF_RANGE): length too large"),
            ("12", "", 405, "12 (UNIMPLEMENTED): "),
            ("13", "", 500, "13 (INTERNAL): "),
            ("14", "full", 503, "14 (UNAVAILABLE): full"),
            ("15", "", 500, "15 (DATA_LOSS): "),
            ("16", "who?", 401, "16 (UNAUTHENTICATED): who?"),
            ("99", "", 409, "99: "),
        ] {
            let found = in_http(answer(code, message, None)).unwrap();
            assert_eq!(found.status, status, "{code}");
            assert_eq!(found.body, format!("gRPC's status {said}"));
        }
        let body = Bytes::from_static(b"\x01\0\0\0\x02\x0a\0");
        let taken = in_http(HttpResponse { body, ..answer("0", "", None) }).unwrap();
        assert_eq!((taken.status, taken.body.as_ref()), (200, b"\x0a\0".as_slice()));
        assert_eq!(taken.header(CONTENT_ENCODING), "gzip");
        // A call that ended early, and a proxy's answer.
        let mut endless = HttpResponse { headers: HeaderMap::new(), ..answer("", "", None) };
        assert_eq!(in_http(endless.clone()), Some(endless.clone()));
        endless.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        assert_eq!(in_http(endless), None);
    }

    fn details(type_url: &str, seconds: u64, nanos: u64) -> String {
        let mut delay = Vec::new();
        Writer::new(&mut delay).message(1, |delay| {
            delay.varint(1, seconds);
            delay.varint(2, nanos);
        });
        let mut status = Vec::new();
        Writer::new(&mut status).message(3, |any| {
            any.string(1, type_url);
            any.bytes(2, &delay);
        });
        let mut text = Vec::new();
        wire::push_base64(&mut text, &status);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_retry_delay_is_read_from_the_status_details() {
        const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
        for (details, after) in [
            (details(RETRY_INFO, 2, 0), Some(2)),
            (details(RETRY_INFO, 2, 1).trim_end_matches('=').to_owned(), Some(3)),
            (details(RETRY_INFO, u64::MAX, u32::MAX.into()), Some(24 * 3600)),
            (details(RETRY_INFO, 0, 0), Some(0)),
            (details("type.googleapis.com/google.rpc.ErrorInfo", 2, 0), None),
            ("no base64".to_owned(), None),
        ] {
            let found = in_http(answer("14", "", Some(&details))).unwrap();
            assert_eq!(found.retry_after(), after.map(Duration::from_secs), "{details}");
        }
        // With a delay, this is no limit of the message.
        let quota = answer("8", "usage larger than the quota", Some(&details(RETRY_INFO, 1, 0)));
        assert_eq!(in_http(quota).unwrap().status, 429);
    }
}
