use super::*;
use crate::destination::DestinationConfig;
use Profile::{OpenObserve, Otlp};
use SignalKind::{Logs, Metrics, Traces};

/// `503, retry-after: 2, "text"`: a status, headers, and the body in quotes.
pub(crate) fn response(text: &str) -> HttpResponse {
    let (head, body) = text.split_once(" \"").unwrap_or((text, "\""));
    let mut parts = head.trim_end_matches(',').split(", ");
    let status = parts.next().unwrap().parse().unwrap();
    let headers = parts.map(|part| {
        let (name, value) = part.split_once(": ").unwrap();
        (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap())
    });
    let body = Bytes::copy_from_slice(body.strip_suffix('"').unwrap().as_bytes());
    HttpResponse { status, headers: headers.collect(), body, cut: false }
}

/// A mask without secrets.
pub(crate) fn judge(
    profile: Profile,
    kind: SignalKind,
    items: usize,
    response: &HttpResponse,
) -> Result<Acceptance, Failure> {
    super::judge(profile, kind, items, response, &Mask::default())
}

/// `retry after 2, ambiguous`
pub(crate) fn one_word(judged: &Result<Acceptance, Failure>) -> String {
    let (next, ambiguous) = match judged {
        Ok(Acceptance { rejected, text }) => {
            let what = if *rejected == 0 { "accepted" } else { &format!("partial {rejected}") };
            return if text.is_empty() { what.to_owned() } else { format!("{what}, {text}") };
        }
        Err(Failure { next, ambiguous, .. }) => (next, ambiguous),
    };
    let next = match next {
        Next::Retry { after: None } => "retry".to_owned(),
        Next::Retry { after: Some(after) } => format!("retry after {}", after.as_secs()),
        Next::OnceMore => "once more".to_owned(),
        Next::Alarm => "alarm".to_owned(),
        Next::HalveTooLarge => "split".to_owned(),
        Next::HalveRefused => "halve".to_owned(),
    };
    if *ambiguous { format!("{next}, ambiguous") } else { next }
}

fn reason(judged: Result<Acceptance, Failure>) -> String {
    judged.unwrap_err().reason.to_string()
}

#[test]
fn each_status_yields_one_judgement() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        for profile in [OpenObserve, Otlp] {
            for kind in SignalKind::ALL {
                assert_eq!(
                    one_word(&judge(profile, kind, 10, &response(text))),
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
    check(r#"200 "{"code":503,"message":"Error# MemoryTableOverflowError"}""#, "alarm, ambiguous");
    for error in [
        r#"{"error":"quota exceeded"}"#,
        r#"{"error":{"type":"forbidden"}}"#,
        r#"{"error":true}"#,
        r#"{"errors":[{"message":"forbidden"}]}"#,
        r#"{"success":false}"#,
        r#"{"ok":false,"reason":"x"}"#,
        r#"{"status":"Error"}"#,
        r#"{"status":503}"#,
        r#"{"statusCode":403}"#,
        r#"{"result":"failed"}"#,
        r#"{"code":16,"message":"unauthenticated"}"#,
        r#"{"partialSuccess":{},"error":"quota exceeded"}"#,
    ] {
        check(&format!("200 \"{error}\""), "alarm, ambiguous");
    }
    check(r#"200 "{"code":401,"message":"Unauthorized Access"}""#, "alarm, ambiguous");
    check("200 \"ok\"", "alarm, ambiguous");
    check("200, content-type: application/grpc", "alarm, ambiguous");
    check("200, grpc-status: 14", "alarm, ambiguous");
    check("200, content-type: application/x-protobuf, grpc-status: 0", "accepted");
    // A `google.rpc.Status` without a code.
    check("200, content-type: application/x-protobuf \"\u{12}\u{7}offline\"", "alarm, ambiguous");
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
    check("400 \"stream [orders] is being deleted\"", "retry");
    check("400 \"stream [columns] is being deleted\"", "retry");
    check("400 \"Got 1018 columns for stream [is_being_deleted], only 1000\"", "halve");
    check("400, content-type: text/html \"<html>blocked</html>\"", "alarm");
    check("400 \"Client sent an HTTP request to an HTTPS server.\"", "alarm");
    let nginx = "400, content-type: text/html \"<html>The plain HTTP request was sent to HTTPS port</html>\"";
    check(nginx, "alarm");
    check("400 \"unsupported path requested: /v1/traces\"", "alarm");
    check("400 \" <!DOCTYPE html>\"", "alarm");
    check("422, content-type: text/html", "alarm");
    check("400, content-type: text/plain \"a < b\"", "halve");
    check(r#"400, content-type: application/json "{"code":400,"message":"Bad Request"}""#, "halve");
    check("600", "alarm");
    check("100", "alarm");
    check("200, content-type: text/html; charset=utf-8 \"<html>\"", "alarm, ambiguous");
    check("200, content-encoding: br \"x\"", "alarm, ambiguous");
    check("200, content-encoding: gzip \"x\"", "alarm, ambiguous");
    check("503, content-encoding: gzip \"x\"", "retry");
    let cut = HttpResponse { cut: true, ..response("503") };
    assert_eq!(one_word(&judge(Otlp, Traces, 10, &cut)), "retry");
}

#[test]
fn only_the_answers_of_otlp_and_openobserve_count() {
    #[track_caller]
    fn check(profile: Profile, kind: SignalKind, body: impl AsRef<[u8]>, expected: &str) {
        let body = Bytes::copy_from_slice(body.as_ref());
        let found = judge(profile, kind, 10, &HttpResponse { body, ..response("200") });
        assert_eq!(one_word(&found), expected, "{profile:?} {kind}");
    }
    let empty = [0x0a, 0];
    check(OpenObserve, Logs, empty, "once more, ambiguous");
    check(OpenObserve, Traces, empty, "accepted");
    check(OpenObserve, Metrics, empty, "accepted");
    check(Otlp, Logs, empty, "accepted");
    let no_response = "alarm, ambiguous";
    for (profile, kind) in
        [OpenObserve, Otlp].into_iter().flat_map(|it| SignalKind::ALL.map(|kind| (it, kind)))
    {
        let check = |body: &[u8], expected| check(profile, kind, body, expected);
        check(b"\r\n", "accepted");
        check(&[0x0a, 5, 0x12, 3, b'o', b'l', b'd'], "accepted, old");
        // Other backends spell a `partial_success` without rejected items differently.
        check(&[0x0a, 2, 8, 0], "accepted");
        check(&[0x0a, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], "accepted");
        check(br#"{"partialSuccess":{}}"#, "accepted");
        check(br#"{"partialSuccess":null}"#, "accepted");
        check(br#"{"partial_success":{"error_message":"old"}}"#, "accepted, old");
        check(&[0x0a, 7, 8, 3, 0x12, 3, b'o', b'l', b'd'], "partial 3, old");
        // Fields may repeat, and newer ones may appear.
        check(&[0x0a, 2, 8, 3, 0x0a, 5, 0x12, 3, b'o', b'l', b'd'], "partial 3, old");
        check(&[0x0a, 4, 8, 3, 0x18, 1], "partial 3");
        check(&[0x0a, 2, 8, 0x7f], "partial 10");
        for broken in
            [&[0x0a, 2, 8, 2, 0xff][..], &[0x0a, 9, 8, 2], &[0x18, 2], &[0x0a, 5, 0x0d, 0, 0, 0, 0]]
        {
            check(broken, no_response);
        }
        for other in [
            "<html>",
            r#""ok""#,
            "[]",
            r#"{"partialSuccess":"#,
            r#"{"partialSuccess":"none"}"#,
            r#"{"code":400}"#,
        ] {
            check(other.as_bytes(), no_response);
        }
    }
    for (kind, camel, snake) in [
        (Traces, "rejectedSpans", "rejected_spans"),
        (Metrics, "rejectedDataPoints", "rejected_data_points"),
        (Logs, "rejectedLogRecords", "rejected_log_records"),
    ] {
        check(
            OpenObserve,
            kind,
            format!(r#" {{"partialSuccess":{{"{camel}":"2"}}}} "#),
            "partial 2",
        );
        check(Otlp, kind, format!(r#"{{"partial_success":{{"{snake}":2}}}}"#), "partial 2");
        check(Otlp, kind, format!(r#"{{"partialSuccess":{{"{camel}":-2}}}}"#), "accepted");
        for count in ["\"many\"", "2.5"] {
            check(
                Otlp,
                kind,
                format!(r#"{{"partialSuccess":{{"{camel}":{count}}}}}"#),
                no_response,
            );
        }
        // Rejections are recognized even if a gateway adds fields.
        check(Otlp, kind, format!(r#"{{"partialSuccess":{{"{camel}":2}},"took":3}}"#), "partial 2");
    }
    // OpenObserve's answers are known, so every other one is suspect. Names and words of other servers are not guessed.
    for foreign in [
        r#"{"status":"none"}"#,
        r#"{"errors":"no errors","success":0,"code":"400"}"#,
        r#"{"code":399}"#,
        r#"{"partialSuccess":{},"took":3}"#,
    ] {
        check(OpenObserve, Traces, foreign, no_response);
        let warning = format!("accepted, accepted, but the answer is not OTLP: {foreign}");
        check(Otlp, Traces, foreign, &warning);
    }
    let found = HttpResponse {
        body: r#"{"partialSuccess":{"rejectedSpans":1,"errorMessage":"too old"}}"#.into(),
        ..response("206, content-type: application/json")
    };
    assert_eq!(one_word(&judge(OpenObserve, Traces, 10, &found)), "partial 1, too old");
    let newer = response("200, content-type: application/x-protobuf \"\u{18}\u{2}\"");
    assert_eq!(one_word(&judge(Otlp, Logs, 10, &newer)), "accepted");
}

#[test]
fn reasons_of_refusals_include_a_remedy() {
    let check = |profile, text: &str, expected: &str| {
        assert_eq!(reason(judge(profile, Traces, 10, &response(text))), expected);
    };
    let no_organization = "answered 404 Not Found: Organization not found: the base URL of OpenObserve ends in /api/{organization}; does the organization exist? Other backends have no /api in it";
    check(OpenObserve, "404 \"Organization not found\"", no_organization);
    let not_found = "/v1/traces is appended to the endpoint: is it the base URL, and does the backend take traces?";
    check(Otlp, "404", &format!("answered 404 Not Found: {not_found}"));
    check(Otlp, "405", &format!("answered 405 Method Not Allowed: {not_found}"));
    let unknown = "400 \"unsupported path requested: x\"";
    let expected = format!("answered 400 Bad Request: unsupported path requested: x: {not_found}");
    check(Otlp, unknown, &expected);
    let plain = "400 \"Client sent an HTTP request to an HTTPS server.\"";
    let expected = "answered 400 Bad Request: Client sent an HTTP request to an HTTPS server.: this port wants TLS, begin the endpoint with https://";
    check(Otlp, plain, expected);
    let no_key = "answered 401 Unauthorized: check the credentials, and the header that the backend wants them in, such as `authorization: Bearer …` or `api-key: …`";
    check(Otlp, "401", no_key);
    let unauthorized =
        "answered 401 Unauthorized: Unauthorized Access: check the authorization header";
    check(OpenObserve, "401 \"Unauthorized Access\"", unauthorized);
    let redirected =
        "answered 302 Found: redirects are not followed, give the final URL as the endpoint";
    check(OpenObserve, "302, location: https://x/", redirected);
    let status = "400, content-type: application/x-protobuf \"\u{8}\u{3}\u{12}\u{3}bad\"";
    check(Otlp, status, "answered 400 Bad Request: bad");
    check(Otlp, "599", "answered 599");
    let rejected = Reason::Rejected { text: String::new() };
    assert_eq!(rejected.to_string(), "rejected without a reason");
    let parked = Reason::ParkedAtOnce { text: "answered 503".to_owned() };
    assert_eq!(parked.to_string(), "not sent, queued for retry at once: answered 503");
}

fn excerpt(body: &[u8]) -> String {
    super::excerpt(body, &Mask::default())
}

#[test]
fn an_excerpt_is_one_truncated_line() {
    assert_eq!(excerpt(b" disk\r\nfull\x07 "), "disk full");
    assert_eq!(excerpt(b""), "");
    assert_eq!(excerpt(&[0xff, b'a']), "\u{fffd}a");
    assert_eq!(excerpt(format!("a{}b", " ".repeat(300)).as_bytes()), "a b");
    assert_eq!(excerpt("a   ".repeat(300).as_bytes()), format!("{}…", "a ".repeat(100)));
    assert_eq!(excerpt("é".repeat(500).as_bytes()), format!("{}…", "é".repeat(200)));
    // A credential that begins before the 200th character, and ends after it.
    let mut destination = DestinationConfig::new(&"http://h/".parse().unwrap());
    destination.headers.push("x-key", "s3cret-token").unwrap();
    let body = format!("{}s3cret-token", "x".repeat(195));
    let shown = super::excerpt(body.as_bytes(), &Mask::of(&destination));
    assert_eq!(shown, format!("{}****", "x".repeat(195)));
}
