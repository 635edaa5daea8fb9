//! What an answer of the backend means for the request: the table of design §7 as one function.
//!
//! Sources: OTLP 1.x "OTLP/HTTP Response"; OpenObserve 0.60.5 and 0.92.2 as measured.

use crate::mask::Mask;
use crate::reason::{Reason, excerpt, is_full_server};
use crate::response::{self, Response};
use crate::transport::MAX_ANSWER_BYTES;
use bytes::Bytes;
use http::{HeaderMap, header};
use std::time::Duration;
use wire::{Rejected, SignalKind};

/// A server that asks for more asks for this; a delivery gives up long before.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// What the backend is, and with it what it asks of OTLP and how its answers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// OpenObserve: an empty `partial_success` of logs is a write failure, metrics are shaped so that they add up.
    #[default]
    OpenObserve,
    /// Any other OTLP backend: answers mean what the specification says, users' telemetry is left as it is.
    Otlp,
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// At most [`MAX_ANSWER_BYTES`] of its body.
    pub body: Bytes,
    /// Whether there was more.
    pub cut: bool,
}

/// What to do with the request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// The backend has all items. The text is its warning, if it gave one.
    Accepted {
        /// In the backend's words; empty for none.
        warning: String,
    },
    /// The backend has all items but these. They must not be sent again (OTLP "Partial Success").
    Partial {
        /// How many were rejected, at most as many as were sent.
        rejected: usize,
        /// Why.
        reason: Reason,
    },
    /// Send again, not before `after`; then park.
    Retry {
        /// What `Retry-After` asks for.
        after: Option<Duration>,
        /// Whether the backend may have stored the items all the same.
        ambiguous: bool,
        /// Why.
        reason: Reason,
    },
    /// The backend took the request and wrote nothing: once more, then halve.
    OnceMore {
        /// Why.
        reason: Reason,
    },
    /// Park and tell a person: no request will be taken until a setting changes.
    Alarm {
        /// Whether the backend may have stored the items all the same.
        ambiguous: bool,
        /// Why.
        reason: Reason,
    },
    /// Too large: split by bytes.
    Split {
        /// Why.
        reason: Reason,
    },
    /// Something in it is refused: halve, until the record that is refused stays alone.
    Halve {
        /// Why.
        reason: Reason,
    },
}

/// What the answer to a request of `items` items means.
pub fn judge(profile: Profile, kind: SignalKind, items: usize, answer: &Answer) -> Judgement {
    judge_masked(profile, kind, items, answer, &Mask::default())
}

/// The same, with these texts left out of reason and warning.
pub(crate) fn judge_masked(
    profile: Profile,
    kind: SignalKind,
    items: usize,
    answer: &Answer,
    mask: &Mask,
) -> Judgement {
    let body = match answer.inflated_body() {
        Ok(body) => body,
        Err(text) if answer.is_success() => return no_otlp_answer(answer.status, text),
        Err(_) => Bytes::new(),
    };
    let text = excerpt(status_message(answer, &body), mask);
    let reason = |hint| Reason::Status { status: answer.status, text: text.clone(), hint };
    match answer.status {
        200..=299 => judge_success(profile, kind, items, answer, &body, mask),
        300..=399 => Judgement::Alarm {
            ambiguous: false,
            reason: reason("redirects are not followed, give the final URL as the endpoint"),
        },
        401 | 403 => {
            Judgement::Alarm { ambiguous: false, reason: reason("check the authorization header") }
        }
        404 => Judgement::Alarm { ambiguous: false, reason: reason(not_found_hint(profile)) },
        413 => Judgement::Split { reason: reason("") },
        // A gateway that stopped waiting, or a server that broke down midway, may have stored some of it.
        500 | 502 | 504 => {
            Judgement::Retry { after: answer.retry_after(), ambiguous: true, reason: reason("") }
        }
        408 | 425 | 429 | 500..=599 => {
            Judgement::Retry { after: answer.retry_after(), ambiguous: false, reason: reason("") }
        }
        400 if is_full_server(&text) => {
            Judgement::Retry { after: answer.retry_after(), ambiguous: false, reason: reason("") }
        }
        400 | 422 => Judgement::Halve { reason: reason("") },
        // 415, 405 and whatever else a server may say: nothing says that a record is at fault, so none is dead-lettered.
        _ => Judgement::Alarm { ambiguous: false, reason: reason("") },
    }
}

fn judge_success(
    profile: Profile,
    kind: SignalKind,
    items: usize,
    answer: &Answer,
    body: &[u8],
    mask: &Mask,
) -> Judgement {
    if answer.cut {
        return no_otlp_answer(answer.status, "more than 64 KiB");
    }
    let content_type = answer.header(header::CONTENT_TYPE);
    if content_type.starts_with("text/html") {
        return no_otlp_answer(answer.status, "an HTML page");
    }
    match response::read(kind, &content_type, body) {
        Err(text) => no_otlp_answer(answer.status, text),
        Ok(Response::Complete) => Judgement::Accepted { warning: String::new() },
        Ok(Response::Unknown) => Judgement::Accepted { warning: excerpt(body, mask) },
        Ok(Response::Partial(Rejected { items: 0, message })) => {
            // OpenObserve reports a failed write as a `partial_success` that rejects nothing.
            let nothing_written = kind == SignalKind::Logs || !message.is_empty();
            let text = excerpt(message.as_bytes(), mask);
            match profile {
                Profile::OpenObserve if nothing_written => {
                    Judgement::OnceMore { reason: Reason::NothingWritten { text } }
                }
                Profile::OpenObserve | Profile::Otlp => Judgement::Accepted { warning: text },
            }
        }
        Ok(Response::Partial(Rejected { items: rejected, message })) => Judgement::Partial {
            rejected: rejected.min(items),
            reason: Reason::Rejected { text: excerpt(message.as_bytes(), mask) },
        },
    }
}

/// Some of it may be stored, and nothing says how much: sent again, it would be stored twice on every attempt.
fn no_otlp_answer(status: u16, text: &'static str) -> Judgement {
    Judgement::Alarm { ambiguous: true, reason: Reason::NoOtlpAnswer { status, text } }
}

fn not_found_hint(profile: Profile) -> &'static str {
    match profile {
        Profile::OpenObserve => {
            "the base URL of OpenObserve ends in /api/{organization}; does the organization exist? \
             Other backends have no /api in it"
        }
        Profile::Otlp => "is the base URL right? /v1/{signal} is appended to it",
    }
}

/// The message of a `google.rpc.Status` where the body is one (OTLP/HTTP "Failures"), else the body.
fn status_message<'a>(answer: &Answer, body: &'a [u8]) -> &'a [u8] {
    if !answer.header(header::CONTENT_TYPE).starts_with("application/x-protobuf") {
        return body;
    }
    let fields = wire::proto::Reader::new(body).map_while(Result::ok);
    fields.filter(|field| field.number == 2).find_map(|field| field.as_len()).unwrap_or_default()
}

impl Answer {
    /// A header's value in lower case; empty if there is none.
    fn header(&self, name: header::HeaderName) -> String {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().trim().to_ascii_lowercase()
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// We ask for no compression; some proxies compress all the same.
    fn inflated_body(&self) -> Result<Bytes, &'static str> {
        match self.header(header::CONTENT_ENCODING).as_str() {
            "" | "identity" => Ok(self.body.clone()),
            "gzip" | "x-gzip" => match wire::gzip::inflate(&self.body, MAX_ANSWER_BYTES) {
                Ok(body) => Ok(body.into()),
                Err(_) => Err("a gzip body that cannot be read"),
            },
            _ => Err("a compression that was not asked for"),
        }
    }

    /// `Retry-After` in seconds or as a date (RFC 9110 10.2.3). A date counts from the answer's own `Date`: the two come
    /// from one clock, and ours is not asked.
    fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            let seconds = value.parse().unwrap_or(u64::MAX);
            return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
        }
        let then = httpdate::parse_http_date(value).ok()?;
        let now = self.headers.get(header::DATE)?.to_str().ok()?;
        let now = httpdate::parse_http_date(now).ok()?;
        Some(then.duration_since(now).unwrap_or_default().min(LONGEST_RETRY_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Profile::{OpenObserve, Otlp};
    use SignalKind::{Logs, Metrics, Traces};

    /// `503, retry-after: 2, "text"`: a status, headers, and the body in quotes.
    fn answer(text: &str) -> Answer {
        let (head, body) = text.split_once(" \"").unwrap_or((text, "\""));
        let mut parts = head.trim_end_matches(',').split(", ");
        let status = parts.next().unwrap().parse().unwrap();
        let headers = parts.map(|part| {
            let (name, value) = part.split_once(": ").unwrap();
            (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap())
        });
        let body = Bytes::copy_from_slice(body.strip_suffix('"').unwrap().as_bytes());
        Answer { status, headers: headers.collect(), body, cut: false }
    }

    fn one_word(judgement: &Judgement) -> String {
        match judgement {
            Judgement::Accepted { warning } if warning.is_empty() => "accepted".to_owned(),
            Judgement::Accepted { warning } => format!("accepted, {warning}"),
            Judgement::Partial { rejected, .. } => format!("partial {rejected}"),
            Judgement::Retry { after: None, ambiguous: false, .. } => "retry".to_owned(),
            Judgement::Retry { after: None, ambiguous: true, .. } => "retry, ambiguous".to_owned(),
            Judgement::Retry { after: Some(after), .. } => {
                format!("retry after {}", after.as_secs())
            }
            Judgement::OnceMore { .. } => "once more".to_owned(),
            Judgement::Alarm { ambiguous: false, .. } => "alarm".to_owned(),
            Judgement::Alarm { ambiguous: true, .. } => "alarm, ambiguous".to_owned(),
            Judgement::Split { .. } => "split".to_owned(),
            Judgement::Halve { .. } => "halve".to_owned(),
        }
    }

    fn reason(judgement: Judgement) -> String {
        match judgement {
            Judgement::Accepted { warning } => warning,
            Judgement::Partial { reason, .. }
            | Judgement::Retry { reason, .. }
            | Judgement::OnceMore { reason }
            | Judgement::Alarm { reason, .. }
            | Judgement::Split { reason }
            | Judgement::Halve { reason } => reason.to_string(),
        }
    }

    #[test]
    fn each_status_has_one_meaning() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            for profile in [OpenObserve, Otlp] {
                for kind in SignalKind::ALL {
                    assert_eq!(
                        one_word(&judge(profile, kind, 10, &answer(text))),
                        expected,
                        "{profile:?} {kind}"
                    );
                }
            }
        }
        check("200", "accepted");
        check("202", "accepted");
        check("204", "accepted");
        check("200, content-type: application/json \"{}\"", "accepted");
        check(r#"200 "{"error":"login"}""#, r#"accepted, {"error":"login"}"#);
        check("200 \"ok\"", "alarm, ambiguous");
        check("200, content-type: text/plain \"Unauthorized: please log in\"", "alarm, ambiguous");
        check("200 \"\u{a}\u{2}\u{8}\u{2}x\"", "alarm, ambiguous");
        check("301, location: https://elsewhere/", "alarm");
        check("304", "alarm");
        check("401 \"Unauthorized Access\"", "alarm");
        check("403", "alarm");
        check("404 \"Organization not found\"", "alarm");
        check("405", "alarm");
        check("408", "retry");
        check("413 \"length limit exceeded\"", "split");
        check("415", "alarm");
        check("422", "halve");
        check("425", "retry");
        check("429", "retry");
        check("429, retry-after: 2", "retry after 2");
        check("429, retry-after: soon", "retry");
        check("429, retry-after: -1", "retry");
        check("500", "retry, ambiguous");
        check("501", "retry");
        check("502", "retry, ambiguous");
        check("503, retry-after: 120", "retry after 120");
        check("504", "retry, ambiguous");
        check("599", "retry");
        check("400 \"Invalid proto: invalid wire type\"", "halve");
        check("400 \"Got 1018 columns, only 1000 columns accept\"", "halve");
        check("400 \"Got 1018 columns for stream [disk_usage], only 1000\"", "halve");
        check("400 \"Error# MemoryTableOverflowError\"", "retry");
        check("400 \"SqlxError# database or disk is full\"", "retry");
        check("400 \"ingestion quota exceeded\"", "retry");
        check("600", "alarm");
        check("100", "alarm");
        check("200, content-type: text/html; charset=utf-8 \"<html>\"", "alarm, ambiguous");
        check("200, content-encoding: br \"x\"", "alarm, ambiguous");
        check("200, content-encoding: gzip \"x\"", "alarm, ambiguous");
        check("503, content-encoding: gzip \"x\"", "retry");
    }

    #[test]
    fn a_date_in_retry_after_counts_from_the_answers_own_date() {
        let check = |retry_after: &str, date: Option<&str>, expected: Option<u64>| {
            let mut answer = answer("503");
            answer.headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
            if let Some(date) = date {
                answer.headers.insert(header::DATE, date.parse().unwrap());
            }
            assert_eq!(answer.retry_after(), expected.map(Duration::from_secs), "{retry_after}");
        };
        let date = Some("Wed, 21 Oct 2026 07:28:00 GMT");
        check("Wed, 21 Oct 2026 07:28:05 GMT", date, Some(5));
        check("Wed, 21 Oct 2026 07:27:00 GMT", date, Some(0));
        check("Wed, 21 Oct 2026 07:28:05 GMT", None, None);
        check(" 7 ", None, Some(7));
        check("18446744073709551615", None, Some(86_400));
        check("18446744073709551616", None, Some(86_400));
        check("Fri, 31 Dec 9999 23:59:59 GMT", date, Some(86_400));
        check("+7", None, None);
    }

    #[test]
    fn an_empty_partial_success_is_a_failed_write_only_where_openobserve_says_it_so() {
        let check = |profile, kind, body: &'static [u8], expected| {
            let answer = Answer { body: Bytes::from_static(body), ..answer("200") };
            assert_eq!(
                one_word(&judge(profile, kind, 10, &answer)),
                expected,
                "{profile:?} {kind} {body:x?}"
            );
        };
        let empty: &[u8] = &[0x0a, 0x00];
        check(OpenObserve, Logs, empty, "once more");
        check(OpenObserve, Traces, empty, "accepted");
        check(OpenObserve, Metrics, empty, "accepted");
        check(Otlp, Logs, empty, "accepted");
        let warning: &[u8] = &[0x0a, 0x05, 0x12, 0x03, b'o', b'l', b'd'];
        check(OpenObserve, Logs, warning, "once more");
        check(OpenObserve, Traces, warning, "once more");
        check(Otlp, Traces, warning, "accepted, old");
        let three: &[u8] = &[0x0a, 0x07, 0x08, 0x03, 0x12, 0x03, b'o', b'l', b'd'];
        check(OpenObserve, Logs, three, "partial 3");
        check(Otlp, Metrics, three, "partial 3");
        let json: &[u8] = br#"{"partialSuccess":{"rejectedSpans":"2"}}"#;
        check(OpenObserve, Traces, json, "partial 2");
        check(Otlp, Traces, json, "partial 2");
        let more_than_sent: &[u8] = &[0x0a, 0x02, 0x08, 0x7f];
        check(Otlp, Metrics, more_than_sent, "partial 10");
    }

    #[test]
    fn openobserves_206_is_read() {
        let body = r#"{"partialSuccess":{"rejectedSpans":1,"errorMessage":"too old"}}"#;
        let mut found = answer("206, content-type: application/json");
        found.body = body.into();
        let judgement = judge(OpenObserve, Traces, 10, &found);
        assert_eq!(one_word(&judgement), "partial 1");
        assert_eq!(reason(judgement), "rejected: too old");
    }

    #[test]
    fn a_compressed_answer_is_read_and_a_cut_one_is_not_trusted() {
        let mut partial = answer("200, content-encoding: gzip");
        partial.body = wire::gzip::compress(6, &[0x0a, 0x02, 0x08, 0x03]).into();
        assert_eq!(one_word(&judge(OpenObserve, Logs, 10, &partial)), "partial 3");
        let cut = Answer { cut: true, ..answer("200 \"\n\"") };
        assert_eq!(one_word(&judge(Otlp, Logs, 10, &cut)), "alarm, ambiguous");
        let cut = Answer { cut: true, ..answer("503") };
        assert_eq!(one_word(&judge(Otlp, Logs, 10, &cut)), "retry");
    }

    #[test]
    fn reasons_say_what_to_do() {
        let check = |profile, text: &str, expected| {
            assert_eq!(reason(judge(profile, Traces, 10, &answer(text))), expected);
        };
        check(
            OpenObserve,
            "404 \"Organization not found\"",
            "answered 404 Not Found: Organization not found: the base URL of OpenObserve ends in /api/{organization}; does the organization exist? Other backends have no /api in it",
        );
        check(
            Otlp,
            "404",
            "answered 404 Not Found: is the base URL right? /v1/{signal} is appended to it",
        );
        check(
            OpenObserve,
            "401 \"Unauthorized Access\"",
            "answered 401 Unauthorized: Unauthorized Access: check the authorization header",
        );
        check(
            OpenObserve,
            "302, location: https://x/",
            "answered 302 Found: redirects are not followed, give the final URL as the endpoint",
        );
        check(
            Otlp,
            "400, content-type: application/x-protobuf \"\u{8}\u{3}\u{12}\u{3}bad\"",
            "answered 400 Bad Request: bad",
        );
    }
}
