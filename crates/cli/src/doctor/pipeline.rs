//! Checks that a deployed forwarder runs and delivers: concurrency, queues, on-failure bucket and log.

use super::recent::{self, Recent};
use super::stack::{Function, MISSING, answered, unanswered};
use crate::aws;
use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::ProvideErrorMetadata as _;
use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use aws_sdk_sqs::types::QueueAttributeName;
use settings::Check;

pub(super) async fn check(
    aws: &SdkConfig,
    forwarder: &Function,
    subscriber: Option<Function>,
    sources: &[EventSourceMappingConfiguration],
    recent: &Recent,
    canary: &str,
) -> Vec<Check> {
    let lambda = Client::new(aws);
    let mut checks = vec![concurrency(&lambda, &forwarder.name).await];
    checks.extend(sources.iter().map(|mapping| source(mapping, &forwarder.log_group)));
    let mut logs = vec![forwarder.log_group.clone()];
    logs.extend(subscriber.map(|subscriber| subscriber.log_group));
    let queue_url = |variable: &str| forwarder.variables.get(variable).map(String::as_str);
    let retry = queue_url("LAMBDA_OTLP_RETRY_QUEUE_URL");
    if let Some(url) = retry {
        let meaning = format!("are queued for retry: does the backend accept telemetry? {canary}");
        let arn = queue(aws, url, &meaning, &mut checks).await;
        for reader in readers(&lambda, &arn, &mut checks).await {
            checks.push(concurrency(&lambda, &reader.name).await);
            logs.push(reader.log_group);
        }
    }
    // `redrive` without `--yes` shows the reasons and sends nothing.
    let redrive = |from: &str| {
        let to = retry.map(|to| format!(" --to {to}")).unwrap_or_default();
        let region = aws.region().map(|region| format!(" --region {region}")).unwrap_or_default();
        format!(
            "`lambda-otlp redrive {from}{to}{region}` shows why, and with --yes sends them again"
        )
    };
    if let Some(url) = queue_url("LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL") {
        let meaning = format!("are dead letters: {}", redrive(&format!("--from {url}")));
        queue(aws, url, &meaning, &mut checks).await;
    }
    checks.push(match on_failure_bucket(&lambda, &forwarder.name).await {
        Ok(bucket) => objects(aws, &bucket, &redrive(&format!("--bucket {bucket}"))).await,
        Err(check) => check,
    });
    for log in logs {
        checks.push(recent.errors(&log).await);
    }
    checks
}

async fn concurrency(lambda: &Client, name: &str) -> Check {
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

const SOURCE: &str = "event source";

fn source(mapping: &EventSourceMappingConfiguration, log_group: &str) -> Check {
    let last = |arn: Option<&str>| {
        arn.and_then(|arn| arn.rsplit(':').next()).unwrap_or_default().to_owned()
    };
    let function = last(mapping.function_arn());
    let source = last(mapping.event_source_arn());
    let problem = mapping.last_processing_result().filter(|it| it.starts_with("PROBLEM"));
    match (mapping.state().unwrap_or_default(), problem) {
        ("Disabled" | "Disabling", _) => Check::failed(
            SOURCE,
            format!(
                "{function} does not read {source}, because its event source mapping is disabled: `aws lambda update-event-source-mapping --enabled --uuid {}`",
                mapping.uuid().unwrap_or_default()
            ),
        ),
        (_, Some(problem)) => Check::failed(
            SOURCE,
            format!(
                "{function} reads {source}: {problem}: its log has the reason: {}",
                recent::show(log_group)
            ),
        ),
        _ => Check::ok(SOURCE, format!("{function} reads {source}")),
    }
}

/// Checks that a function reads this queue, and returns the functions that do.
async fn readers(lambda: &Client, arn: &str, checks: &mut Vec<Check>) -> Vec<Function> {
    // The check of the queue has failed.
    if arn.is_empty() {
        return Vec::new();
    }
    let queue = arn.rsplit(':').next().unwrap_or_default();
    let asked = lambda.list_event_source_mappings().event_source_arn(arn).send().await;
    let answer = answered(checks, SOURCE, queue, "lambda:ListEventSourceMappings", asked);
    let Some(output) = answer else { return Vec::new() };
    let mappings = output.event_source_mappings.unwrap_or_default();
    if mappings.is_empty() {
        let text = format!(
            "no function reads {queue}, so its messages are not sent again: `aws lambda create-event-source-mapping --function-name REDRIVE_FUNCTION --event-source-arn {arn} --batch-size 1 --function-response-types ReportBatchItemFailures --scaling-config MaximumConcurrency=10`, with the name of the stack's RedriveFunction"
        );
        checks.push(Check::failed(SOURCE, text));
    }
    let mut functions = Vec::new();
    for mapping in &mappings {
        let arn = mapping.function_arn().unwrap_or_default();
        let asked = lambda.get_function_configuration().function_name(arn).send().await;
        let answer = answered(checks, SOURCE, arn, "lambda:GetFunctionConfiguration", asked);
        let function = answer.map(Function::of);
        let log_group = function.as_ref().map_or("", |function| &function.log_group);
        checks.push(source(mapping, log_group));
        functions.extend(function);
    }
    functions
}

/// Checks that a queue is empty, and returns its ARN.
async fn queue(aws: &SdkConfig, url: &str, meaning: &str, checks: &mut Vec<Check>) -> String {
    const NAME: &str = "queue";
    const COUNTS: [QueueAttributeName; 3] = [
        QueueAttributeName::ApproximateNumberOfMessages,
        // Messages that wait for their next attempt are hidden or delayed.
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let name = url.rsplit('/').next().unwrap_or_default();
    let asked = aws_sdk_sqs::Client::new(aws).get_queue_attributes().queue_url(url);
    let names = COUNTS.into_iter().chain([QueueAttributeName::QueueArn]).collect();
    let asked = asked.set_attribute_names(Some(names)).send().await;
    let answer = answered(checks, NAME, name, "sqs:GetQueueAttributes", asked);
    let Some(mut attributes) = answer.and_then(|output| output.attributes) else {
        return String::new();
    };
    let number = |count| attributes.get(&count)?.parse::<u64>().ok();
    checks.push(match COUNTS.into_iter().filter_map(number).sum::<u64>() {
        0 => Check::ok(NAME, format!("{name} is empty")),
        count => Check::warning(NAME, format!("{name}: {count} messages {meaning}")),
    });
    attributes.remove(&QueueAttributeName::QueueArn).unwrap_or_default()
}

const BUCKET: &str = "bucket";

async fn on_failure_bucket(lambda: &Client, function: &str) -> Result<String, Check> {
    let asked = lambda.get_function_event_invoke_config().function_name(function).send().await;
    let config = match asked {
        Ok(output) => output.destination_config,
        Err(error) if error.code() == Some(MISSING) => None,
        Err(error) => {
            let permission = "lambda:GetFunctionEventInvokeConfig";
            return Err(unanswered(BUCKET, function, permission, &error));
        }
    };
    let destination = config.and_then(|config| config.on_failure?.destination);
    let bucket = destination.as_deref().and_then(|arn| arn.split_once(":s3:::"));
    bucket.map(|(_, bucket)| bucket.to_owned()).ok_or_else(|| {
        let text = format!(
            "{function} has no bucket as its on-failure destination: Lambda drops events for which every attempt failed: `aws lambda put-function-event-invoke-config --function-name {function} --destination-config '{{\"OnFailure\":{{\"Destination\":\"arn:aws:s3:::BUCKET\"}}}}'`, with the stack's output OnFailureBucket"
        );
        Check::warning(BUCKET, text)
    })
}

async fn objects(aws: &SdkConfig, bucket: &str, redrive: &str) -> Check {
    match aws::s3(aws).list_objects_v2().bucket(bucket).send().await {
        Ok(output) if output.contents().is_empty() => {
            Check::ok(BUCKET, format!("{bucket} is empty"))
        }
        Ok(output) => {
            let least = if output.is_truncated == Some(true) { "at least " } else { "" };
            let text = format!(
                "{bucket}: {least}{} objects are events for which every attempt failed: {redrive}",
                output.contents().len()
            );
            Check::warning(BUCKET, text)
        }
        Err(error) if error.code() == Some("NoSuchBucket") => Check::failed(
            BUCKET,
            format!(
                "{bucket} does not exist, so Lambda drops events for which every attempt failed: `aws s3 mb s3://{bucket}`"
            ),
        ),
        Err(error) => unanswered(BUCKET, bucket, "s3:ListBucket", &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Verdict::{self, Failed, Ok};

    #[test]
    fn a_disabled_or_failing_event_source_fails_the_check() {
        let check = |state: &str, result: &str, verdict: Verdict| {
            let mapping = EventSourceMappingConfiguration::builder();
            let mapping = mapping.state(state).last_processing_result(result).build();
            let found = source(&mapping, "/aws/lambda/redrive");
            assert_eq!(found.verdict, verdict, "{found}");
        };
        check("Enabled", "No records processed", Ok);
        check("Enabled", "PROBLEM: Function call failed", Failed);
        check("Disabled", "OK", Failed);
    }
}
