//! Checks that a deployed forwarder runs and delivers: concurrency, queues, on-failure bucket and log.

use super::recent::Recent;
use super::stack::Function;
use super::stack::unanswered;
use crate::aws::{self, QueueUrl};
use aws_config::SdkConfig;
use aws_sdk_lambda::operation::get_function_event_invoke_config::GetFunctionEventInvokeConfigError;
use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use aws_sdk_sqs::types::QueueAttributeName;
use settings::Check;

const RETRY_QUEUE_URL: &str = "LAMBDA_OTLP_RETRY_QUEUE_URL";
const DEAD_LETTER_QUEUE_URL: &str = "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL";

pub(super) async fn check(
    aws: &SdkConfig,
    forwarder: &Function,
    subscriber: Option<Function>,
    sources: &[EventSourceMappingConfiguration],
    recent: &Recent,
) -> Vec<Check> {
    let lambda = aws_sdk_lambda::Client::new(aws);
    let mut checks = vec![concurrency(&lambda, &forwarder.name).await];
    checks.extend(sources.iter().map(source));
    let mut logs = vec![forwarder.log_group.clone()];
    if let Some(subscriber) = subscriber {
        logs.push(subscriber.log_group);
    }
    let queue_url = |variable: &str| forwarder.variables.get(variable).map(String::as_str);
    let (retry, dead) = (queue_url(RETRY_QUEUE_URL), queue_url(DEAD_LETTER_QUEUE_URL));
    if let Some(url) = retry {
        let (check, arn) =
            queue(aws, url, "are queued for retry: does the backend accept telemetry?").await;
        checks.push(check);
        if let Some(arn) = arn {
            let (of_readers, readers) = readers(&lambda, &arn).await;
            checks.extend(of_readers);
            for reader in readers {
                checks.push(concurrency(&lambda, &reader.name).await);
                logs.push(reader.log_group);
            }
        }
    }
    // `redrive` without `--yes` shows the reasons and sends nothing.
    let redrive = |from: &str| {
        let to = retry.map(|to| format!(" --to {to}")).unwrap_or_default();
        format!("`lambda-otlp redrive {from}{to}` shows why, and with --yes sends them again")
    };
    if let Some(url) = dead {
        let meaning = format!("are dead letters: {}", redrive(&format!("--from {url}")));
        checks.push(queue(aws, url, &meaning).await.0);
    }
    match on_failure_bucket(&lambda, &forwarder.name).await {
        Ok(bucket) => {
            let redrive = redrive(&format!("--bucket {bucket}"));
            checks.push(objects(aws, &bucket, &redrive).await);
        }
        Err(check) => checks.push(check),
    }
    for log in logs {
        checks.push(recent.errors(&log).await);
    }
    checks
}

async fn concurrency(lambda: &aws_sdk_lambda::Client, name: &str) -> Check {
    const NAME: &str = "concurrency";
    let asked = lambda.get_function_concurrency().function_name(name).send().await;
    match asked.map(|output| output.reserved_concurrent_executions) {
        Ok(Some(0)) => Check::failed(
            NAME,
            format!(
                "{name}: its reserved concurrency is 0, so Lambda never invokes it: `aws lambda delete-function-concurrency \
                 --function-name {name}`, or deploy the stack with another ReservedConcurrency"
            ),
        ),
        Ok(Some(reserved)) => Check::ok(NAME, format!("{name}: {reserved} reserved")),
        Ok(None) => Check::ok(NAME, format!("{name}: none reserved")),
        Err(error) => unanswered(NAME, name, "lambda:GetFunctionConcurrency", &error),
    }
}

fn source(mapping: &EventSourceMappingConfiguration) -> Check {
    const NAME: &str = "event source";
    let last = |arn: Option<&str>| {
        arn.and_then(|arn| arn.rsplit(':').next()).unwrap_or_default().to_owned()
    };
    let (function, source) = (last(mapping.function_arn()), last(mapping.event_source_arn()));
    let problem = mapping.last_processing_result().filter(|it| it.starts_with("PROBLEM"));
    match (mapping.state().unwrap_or_default(), problem) {
        ("Disabled" | "Disabling", _) => Check::failed(
            NAME,
            format!(
                "{function} does not read {source}, because its event source mapping is disabled: `aws lambda update-event-source-mapping --enabled --uuid {}`",
                mapping.uuid().unwrap_or_default()
            ),
        ),
        (_, Some(problem)) => Check::failed(NAME, format!("{function} reads {source}: {problem}")),
        _ => Check::ok(NAME, format!("{function} reads {source}")),
    }
}

/// Checks that a function reads this queue, and returns the functions that do.
async fn readers(lambda: &aws_sdk_lambda::Client, arn: &str) -> (Vec<Check>, Vec<Function>) {
    const NAME: &str = "event source";
    let queue = arn.rsplit(':').next().unwrap_or_default();
    let asked = lambda.list_event_source_mappings().event_source_arn(arn).send().await;
    let mappings = match asked {
        Ok(output) => output.event_source_mappings.unwrap_or_default(),
        Err(error) => {
            let check = unanswered(NAME, queue, "lambda:ListEventSourceMappings", &error);
            return (vec![check], Vec::new());
        }
    };
    if mappings.is_empty() {
        let text = format!(
            "no function reads {queue}, so its messages are not sent again: deploy the stack again to create the event source mapping"
        );
        return (vec![Check::failed(NAME, text)], Vec::new());
    }
    let mut checks = Vec::new();
    let mut functions = Vec::new();
    for mapping in &mappings {
        checks.push(source(mapping));
        let Some(arn) = mapping.function_arn() else { continue };
        match lambda.get_function_configuration().function_name(arn).send().await {
            Ok(output) => functions.push(Function::of(output)),
            Err(error) => {
                checks.push(unanswered(NAME, arn, "lambda:GetFunctionConfiguration", &error));
            }
        }
    }
    (checks, functions)
}

fn name_of_queue(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// Checks that a queue is empty, and returns its ARN.
async fn queue(aws: &SdkConfig, url: &str, meaning: &str) -> (Check, Option<String>) {
    const NAME: &str = "queue";
    const COUNTS: [QueueAttributeName; 3] = [
        QueueAttributeName::ApproximateNumberOfMessages,
        // Messages that wait for their next attempt are hidden or delayed.
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let queue = match QueueUrl::parse(url) {
        Ok(queue) => queue,
        Err(problem) => return (Check::failed(NAME, format!("{url}: {problem}")), None),
    };
    let name = name_of_queue(url);
    let asked = aws::sqs(aws, &queue).get_queue_attributes().queue_url(url);
    let names = COUNTS.into_iter().chain([QueueAttributeName::QueueArn]).collect();
    match asked.set_attribute_names(Some(names)).send().await {
        Ok(output) => {
            let attributes = output.attributes.unwrap_or_default();
            let number = |count| attributes.get(&count)?.parse::<u64>().ok();
            let messages: u64 = COUNTS.into_iter().filter_map(number).sum();
            let check = match messages {
                0 => Check::ok(NAME, format!("{name} is empty")),
                count => Check::warning(NAME, format!("{name}: {count} messages {meaning}")),
            };
            (check, attributes.get(&QueueAttributeName::QueueArn).cloned())
        }
        Err(error) => (unanswered(NAME, name, "sqs:GetQueueAttributes", &error), None),
    }
}

async fn on_failure_bucket(
    lambda: &aws_sdk_lambda::Client,
    function: &str,
) -> Result<String, Check> {
    const NAME: &str = "bucket";
    let asked = lambda.get_function_event_invoke_config().function_name(function).send().await;
    let destination = match asked {
        Ok(output) => output
            .destination_config
            .and_then(|config| config.on_failure)
            .and_then(|on_failure| on_failure.destination),
        Err(error)
            if error.as_service_error().is_some_and(
                GetFunctionEventInvokeConfigError::is_resource_not_found_exception,
            ) =>
        {
            None
        }
        Err(error) => {
            let permission = "lambda:GetFunctionEventInvokeConfig";
            return Err(unanswered(NAME, function, permission, &error));
        }
    };
    let bucket = destination.as_deref().and_then(|arn| arn.split_once(":s3:::"));
    bucket.map(|(_, bucket)| bucket.to_owned()).ok_or_else(|| {
        let text = format!(
            "{function} has no bucket as its on-failure destination: Lambda drops events for which every attempt failed"
        );
        Check::warning(NAME, text)
    })
}

async fn objects(aws: &SdkConfig, bucket: &str, redrive: &str) -> Check {
    const NAME: &str = "bucket";
    match aws::s3(aws).list_objects_v2().bucket(bucket).send().await {
        Ok(output) => {
            let least = if output.is_truncated == Some(true) { "at least " } else { "" };
            match output.contents().len() {
                0 => Check::ok(NAME, format!("{bucket} is empty")),
                count => Check::warning(
                    NAME,
                    format!(
                        "{bucket}: {least}{count} objects are events for which every attempt failed: {redrive}"
                    ),
                ),
            }
        }
        Err(error) => unanswered(NAME, bucket, "s3:ListBucket", &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Verdict;

    #[test]
    fn a_disabled_or_failing_event_source_fails_the_check() {
        let check = |state: &str, result: &str, verdict: Verdict, text: &str| {
            let mapping = EventSourceMappingConfiguration::builder()
                .uuid("1-2-3")
                .event_source_arn("arn:aws:sqs:eu-west-1:123456789012:retry")
                .function_arn("arn:aws:lambda:eu-west-1:123456789012:function:redrive")
                .state(state)
                .last_processing_result(result)
                .build();
            let found = source(&mapping);
            assert_eq!(found.verdict, verdict, "{found}");
            assert!(found.text.contains(text), "{found}");
        };
        let remedy = "`aws lambda update-event-source-mapping --enabled --uuid 1-2-3`";
        check("Enabled", "OK", Verdict::Ok, "redrive reads retry");
        check("Enabled", "No records processed", Verdict::Ok, "redrive reads retry");
        check("Enabled", "PROBLEM: Function call failed", Verdict::Failed, "Function call failed");
        check("Disabled", "OK", Verdict::Failed, remedy);
        check("Disabling", "OK", Verdict::Failed, remedy);
    }
}
