//! Answers CloudFormation, which waits an hour for a missing answer.
//!
//! Source: CloudFormation User Guide, "Custom resource response objects".

use super::event::{RequestKind, ResourceRequest};
use aws::AwsClient;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A response has at most 4,096 bytes, in which JSON may double a text.
const MOST_TEXT_BYTES: usize = 1_400;
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// The answer to a request: success with totals, or the reason of a failure.
pub(super) fn response(request: &ResourceRequest, outcome: &Result<Value, String>) -> Value {
    let (status, reason, sums) = match outcome {
        // Their filters would outlive the stack, and a later stack takes them for filters of others.
        Ok(sums) if request.kind == RequestKind::Delete && not_reached(sums) > 0 => {
            ("FAILED", of_not_reached(request, not_reached(sums)), cut_texts(sums))
        }
        Ok(sums) => ("SUCCESS", "see the subscriber's log".to_owned(), cut_texts(sums)),
        // A failed removal must not block the deletion of a stack.
        Err(problem) if request.kind == RequestKind::Delete => ("SUCCESS", cut(problem), json!({})),
        Err(problem) => ("FAILED", cut(problem), json!({})),
    };
    json!({
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": request.physical_resource_id,
        "StackId": request.stack_id,
        "RequestId": request.request_id,
        "LogicalResourceId": request.logical_resource_id,
        "Data": sums,
    })
}

fn not_reached(sums: &Value) -> u64 {
    sums.get("not_reached").and_then(Value::as_u64).unwrap_or_default()
}

/// The reason of an incomplete removal. CloudFormation retains resources only of a stack whose deletion failed.
fn of_not_reached(request: &ResourceRequest, count: u64) -> String {
    let (stack, resource) = (&request.stack_id, &request.logical_resource_id);
    format!(
        "{count} log groups were not reached in time and may keep a subscription filter: delete the stack again; if that fails \
         too, run `lambda-otlp unsubscribe --stack {stack}`, then delete the stack with `--retain-resources {resource}`"
    )
}

/// The log has the whole text.
fn cut_texts(sums: &Value) -> Value {
    let sums = sums.as_object().into_iter().flatten();
    let cut = sums.map(|(name, sum)| {
        (name.clone(), sum.as_str().map_or_else(|| sum.clone(), |text| cut(text).into()))
    });
    Value::Object(cut.collect())
}

fn cut(text: &str) -> String {
    let head = text.get(..text.floor_char_boundary(MOST_TEXT_BYTES)).unwrap_or_default();
    if head.len() < text.len() { format!("{head}…") } else { head.to_owned() }
}

/// Puts the answer to CloudFormation's URL until it is accepted.
pub(super) async fn send(
    client: &AwsClient,
    request: &ResourceRequest,
    response: &Value,
    deadline: Instant,
) -> Result<(), String> {
    let body = response.to_string().into_bytes();
    loop {
        let until = deadline.min(Instant::now() + ATTEMPT);
        let put = client.put_presigned(&request.response_url, body.clone(), until).await;
        let problem = match put {
            Ok(response) if (200..300).contains(&response.status) => return Ok(()),
            Ok(response) => format!("status {}", response.status),
            Err(error) => error.to_string(),
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(format!("CloudFormation did not accept the answer: {problem}"));
        }
        tracing::warn!(problem, "CloudFormation did not accept the answer, will retry");
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;

    #[test]
    fn long_texts_are_truncated_to_fit_the_response() {
        let event = Event::read(&json!({
            "RequestType": "Update", "ResponseURL": "https://s3.example.com/b/k", "RequestId": "r".repeat(128),
            "StackId": "s".repeat(256), "LogicalResourceId": "l".repeat(128), "PhysicalResourceId": "p".repeat(256),
        }));
        let Ok(Event::Resource(request)) = event else { panic!("{event:?}") };
        let long = "\"é ".repeat(2_000);
        let answer = response(&request, &Ok(json!({ "put": 3, "notable": long })));
        assert!(answer.to_string().len() <= 4096, "{answer}");
        assert_eq!(answer["Data"]["put"], 3);
        assert!(answer["Data"]["notable"].as_str().unwrap().ends_with('…'));
        let answer = response(&request, &Err(long));
        assert_eq!(answer["Status"], "FAILED");
        assert!(answer.to_string().len() <= 4096, "{answer}");
    }
}
