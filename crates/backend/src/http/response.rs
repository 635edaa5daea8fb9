//! The response to one attempt: status, headers, and the beginning of the body.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use std::time::{Duration, SystemTime};

/// Maximum number of bytes kept of a body. An OTLP response has a few hundred.
pub(super) const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Upper bound of `Retry-After`. Deliveries end long before.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// A response of the backend, or of a proxy before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: HeaderMap,
    /// At most 64 KiB of its body.
    pub body: Bytes,
    /// `true` if the body was longer.
    pub cut: bool,
}

/// The content of an answer that is no OTLP response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotOtlp(pub(crate) &'static str);

impl HttpResponse {
    /// Returns a header's value in lower case; empty if it is missing.
    pub(crate) fn header(&self, name: header::HeaderName) -> String {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Returns `true` for a 2xx status.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Masks this credential in the body.
    pub(crate) fn without(self, credential: &str) -> Self {
        let is_repeated = !credential.is_empty()
            && self.body.windows(credential.len()).any(|window| window == credential.as_bytes());
        if !is_repeated {
            return self;
        }
        let body = String::from_utf8_lossy(&self.body).replace(credential, "****").into();
        Self { body, ..self }
    }

    /// Decompresses the body: some proxies compress although requests do not accept it.
    pub(crate) fn inflated_body(&self) -> Result<Bytes, NotOtlp> {
        match self.header(header::CONTENT_ENCODING).as_str() {
            "" | "identity" => Ok(self.body.clone()),
            "gzip" | "x-gzip" => match wire::gzip::inflate(&self.body, MAX_RESPONSE_BYTES) {
                Ok(body) => Ok(body.into()),
                Err(_) => Err(NotOtlp("a gzip body that cannot be read")),
            },
            _ => Err(NotOtlp("a compression that was not asked for")),
        }
    }

    /// Adds the time of receipt as `Date`, if the response has none (RFC 9110 6.6.1).
    pub(crate) fn with_date(mut self, now: SystemTime) -> Self {
        if self.headers.contains_key(header::RETRY_AFTER)
            && !self.headers.contains_key(header::DATE)
            && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now))
        {
            self.headers.insert(header::DATE, date);
        }
        self
    }

    /// Reads `Retry-After` in seconds or as a date (RFC 9110 10.2.3). A date is compared with the response's own `Date`, because
    /// the forwarder's clock may differ.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds = value.parse().unwrap_or(u64::MAX);
            return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
        }
        let then = httpdate::parse_http_date(value).ok()?;
        let date = self.headers.get(header::DATE)?.to_str().ok()?;
        let now = httpdate::parse_http_date(date).ok()?;
        Some(then.duration_since(now).unwrap_or_default().min(LONGEST_RETRY_AFTER))
    }
}

/// Appends as much of this piece as fits into so many bytes. Returns `false` if a byte was left out, so that the caller can stop
/// reading.
pub(super) fn append_up_to(max_bytes: usize, body: &mut BytesMut, piece: &[u8]) -> bool {
    let room = max_bytes.saturating_sub(body.len());
    body.extend_from_slice(piece.get(..room).unwrap_or(piece));
    piece.len() <= room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_date_is_relative_to_the_date_header() {
        let check = |retry_after: &str, date: Option<&str>, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            let response = HttpResponse { status: 503, headers, body: Bytes::new(), cut: false };
            assert_eq!(response.retry_after(), expected.map(Duration::from_secs), "{retry_after}");
        };
        let half_past_seven = "Wed, 21 Oct 2026 07:28:00 GMT";
        let date = Some(half_past_seven);
        let headers = |text: &str| {
            HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap())])
        };
        let received = |text: &str| {
            let headers = headers(text);
            let response = HttpResponse { status: 503, headers, body: Bytes::new(), cut: false };
            let now = httpdate::parse_http_date(half_past_seven).unwrap();
            response.with_date(now).retry_after()
        };
        assert_eq!(received("Wed, 21 Oct 2026 07:28:05 GMT"), Some(Duration::from_secs(5)));
        assert_eq!(received("7"), Some(Duration::from_secs(7)));
        check("Wed, 21 Oct 2026 07:28:05 GMT", date, Some(5));
        check("Wed, 21 Oct 2026 07:27:00 GMT", date, Some(0));
        check("Wed, 21 Oct 2026 07:28:05 GMT", None, None);
        check(" 7 ", None, Some(7));
        check("18446744073709551615", None, Some(86_400));
        check("18446744073709551616", None, Some(86_400));
        check("Fri, 31 Dec 9999 23:59:59 GMT", date, Some(86_400));
        check("+7", None, None);
        check("soon", None, None);
        check("-1", None, None);
    }
}
