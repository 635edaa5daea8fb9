//! Answers CloudFormation, which waits an hour for a missing answer.
//!
//! Source: CloudFormation User Guide, "Custom resource response objects".

use super::event::{RequestKind, ResourceRequest};
use aws::AwsClient;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A response has at most 4,096 bytes.
const MOST_REASON_CHARS: usize = 700;
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// The answer to a request: success with totals, or the reason of a failure.
pub(super) fn response(request: &ResourceRequest, outcome: &Result<Value, String>) -> Value {
    let (status, reason, sums) = match outcome {
        Ok(sums) => ("SUCCESS", "see the subscriber's log".to_owned(), sums.clone()),
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

fn cut(text: &str) -> String {
    let head: String = text.chars().take(MOST_REASON_CHARS).collect();
    if head.len() < text.len() { format!("{head}…") } else { head }
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
