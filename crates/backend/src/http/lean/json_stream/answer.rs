//! Translates the endpoint's answers to those of OpenObserve's OTLP endpoints.

use crate::http::HttpResponse;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use wire::protobuf::Writer;

/// Without the counts the number of stored records is unknown.
const NO_ANSWER: &str = "no counts of stored records";

#[derive(Deserialize)]
struct Answer {
    status: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    successful: usize,
    failed: usize,
    #[serde(default)]
    error: String,
}

/// Translates the answer to a number of events. Errors stay as they are. Any other foreign answer remains foreign to OTLP too.
pub(in crate::http::lean) fn in_otlp(response: HttpResponse, events: usize) -> HttpResponse {
    if !response.is_success() || response.cut {
        return response;
    }
    let answer = response.inflated_body().ok();
    let answer = answer.and_then(|body| serde_json::from_slice::<Answer>(&body).ok());
    let Some(answer) = answer else {
        let mut headers = response.headers;
        headers.remove(CONTENT_ENCODING);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        return HttpResponse { headers, body: NO_ANSWER.into(), ..response };
    };
    let all = |of: fn(&Status) -> usize| answer.status.iter().map(of).sum::<usize>();
    let (successful, failed) = (all(|status| status.successful), all(|status| status.failed));
    let mut body = Vec::new();
    if successful.saturating_add(failed) < events {
        // A failed write is answered with 200 and a lower count.
        Writer::new(&mut body).always_bytes(1, b"");
    } else if failed > 0 {
        let error = answer.status.iter().map(|status| status.error.as_str());
        let error = error.filter(|error| !error.is_empty()).collect::<Vec<_>>().join("; ");
        Writer::new(&mut body).message(1, |partial| {
            partial.always_varint(1, failed as u64);
            partial.string(2, &error);
        });
    }
    let mut headers = response.headers;
    headers.remove(CONTENT_ENCODING);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    HttpResponse { headers, body: body.into(), ..response }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Profile;
    use crate::judge::{Judgement, judge};
    use crate::mask::Mask;
    use wire::SignalKind;

    #[test]
    fn json_stream_counts_decide_the_judgement() {
        let check = |status, body: &str, expected: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let body = body.to_owned().into();
            let response = in_otlp(HttpResponse { status, headers, body, cut: false }, 3);
            let judged =
                judge(Profile::OpenObserve, SignalKind::Logs, 3, &response, &Mask::default());
            let said = match judged {
                Judgement::Accepted { .. } => "accepted".to_owned(),
                Judgement::Partial { rejected, reason } => format!("{rejected} rejected: {reason}"),
                Judgement::OnceMore { .. } => "once more".to_owned(),
                Judgement::Retry { .. } => "retry".to_owned(),
                Judgement::Halve { .. } => "halve".to_owned(),
                _ => "alarm".to_owned(),
            };
            assert_eq!(said, expected, "{status}");
        };
        let counts = |successful, failed| {
            format!(
                r#"{{"code":200,"status":[{{"name":"s","successful":{successful},"failed":{failed},"error":"Can't parse timestamp"}}]}}"#
            )
        };
        check(200, &counts(3, 0), "accepted");
        check(200, &counts(1, 2), "2 rejected: rejected: Can't parse timestamp");
        check(200, &counts(0, 0), "once more");
        check(200, &counts(1, 0), "once more");
        check(200, "[]", "alarm");
        check(200, "{}", "alarm");
        check(200, "", "alarm");
        check(204, "", "alarm");
        check(503, r#"{"code":503,"message":"Error# MemoryTableOverflowError"}"#, "retry");
        check(400, r#"{"code":400,"message":"Invalid json"}"#, "halve");
        check(401, "Unauthorized Access", "alarm");
    }
}
