//! Checks that a deployed forwarder runs and delivers: concurrency, queues, on-failure bucket and log.

use super::answers::Question;
use super::deployment::{CommandWord, Deployment};
use super::function::DeployedFunction;
use super::recent_errors::{self, ErrorSearch};
use crate::aws::{Aws, EventSourceMapping, Lambda, MappingsOf};
use settings::Check;
use wire::arn::Arn;

/// The deployed functions and queues.
#[derive(Clone, Copy)]
pub(super) struct Pipeline<'a> {
    pub(super) aws: &'a Aws,
    pub(super) deployment: &'a Deployment,
    pub(super) forwarder: &'a DeployedFunction,
}

impl Pipeline<'_> {
    pub(super) async fn check(
        &self,
        lambda: &Lambda,
        subscriber: Option<DeployedFunction>,
        sources: &[EventSourceMapping],
        search: &ErrorSearch<'_>,
    ) -> Vec<Check> {
        let Self { aws, deployment, forwarder } = *self;
        let aws_flags = &deployment.aws_flags;
        let mut checks = vec![concurrency(lambda, &forwarder.name, aws_flags).await];
        checks.extend(
            sources.iter().map(|mapping| source(mapping, &forwarder.log_group, deployment)),
        );
        let mut logs = vec![forwarder.log_group.clone()];
        logs.extend(subscriber.map(|subscriber| subscriber.log_group));
        let retry = self.queue_url("LAMBDA_OTLP_RETRY_QUEUE_URL");
        let dead_letters = self.queue_url("LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL");
        if let Some(url) = retry {
            let canary = format!(
                "`lambda-otlp doctor --canary {}` shows its answer",
                deployment.doctor_flags()
            );
            let queue = StackQueue {
                url,
                content: format!(
                    "are queued for retry: does the backend accept telemetry? {canary}"
                ),
                consequence: "the forwarder cannot queue telemetry for retry",
                dead_letters,
            };
            if let Some(arn) = self.queue(&queue, &mut checks).await {
                let consequence = "its messages are not sent again";
                for reader in self.readers(lambda, &arn, consequence, &mut checks).await {
                    checks.push(concurrency(lambda, &reader.name, aws_flags).await);
                    let executions = reader.variables.get(EXECUTIONS_QUEUE);
                    // The stack sets an empty one if they are off.
                    if let Some(executions) = executions.filter(|arn| !arn.is_empty()) {
                        let consequence = "there are no traces of executions";
                        self.readers(lambda, executions, consequence, &mut checks).await;
                    }
                    logs.push(reader.log_group);
                }
            }
        }
        // `redrive` without `--yes` shows the reasons and sends nothing.
        let redrive = |bucket: Option<&str>| {
            let from = dead_letters.unwrap_or_default();
            let flags = deployment.redrive_flags(from, retry, bucket);
            format!("`lambda-otlp redrive {flags}` shows why, and with --yes sends them again")
        };
        if let Some(url) = dead_letters {
            let queue = StackQueue {
                url,
                content: format!("are dead letters: {}", redrive(None)),
                consequence: "events with undeliverable telemetry fail, and end in the on-failure bucket",
                dead_letters: None,
            };
            self.queue(&queue, &mut checks).await;
        }
        checks.push(match self.on_failure_bucket(lambda).await {
            Ok(bucket) => check_bucket(aws, &bucket, &redrive(Some(&bucket)), aws_flags).await,
            Err(check) => check,
        });
        for log in logs {
            checks.push(search.check(&log).await);
        }
        checks
    }

    fn queue_url(&self, variable: &str) -> Option<&str> {
        self.forwarder.variables.get(variable).map(String::as_str)
    }
}

async fn concurrency(lambda: &Lambda, name: &str, aws_flags: &str) -> Check {
    const NAME: &str = "concurrency";
    match lambda.reserved_concurrency(name).await {
        Ok(Some(0)) => Check::failed(
            NAME,
            format!(
                "{name}: its reserved concurrency is 0, so Lambda never invokes it: `aws lambda delete-function-concurrency \
                 --function-name {name}{aws_flags}`, or deploy the stack with another ReservedConcurrency"
            ),
        ),
        Ok(Some(reserved)) => Check::ok(NAME, format!("{name}: {reserved} reserved")),
        Ok(None) => Check::ok(NAME, format!("{name}: none reserved")),
        Err(error) => {
            let permission = "lambda:GetFunctionConcurrency";
            Question { check: NAME, subject: name, permission }.unanswered(&error)
        }
    }
}

const SOURCE: &str = "event source";
/// The redrive function's variable with the ARN of the queue of status events.
const EXECUTIONS_QUEUE: &str = "LAMBDA_OTLP_EXECUTIONS_QUEUE_ARN";

fn source(mapping: &EventSourceMapping, log_group: &str, deployment: &Deployment) -> Check {
    let name_in = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
    let function = name_in(&mapping.function_arn);
    let source = name_in(&mapping.event_source_arn);
    let result = mapping.last_processing_result.as_str();
    let problem = Some(result).filter(|it| it.starts_with("PROBLEM"));
    match (mapping.state.as_str(), problem) {
        ("Disabled" | "Disabling", _) => Check::failed(
            SOURCE,
            format!(
                "{function} does not read {source}, because its event source mapping is disabled: `aws lambda update-event-source-mapping --enabled --uuid {}{}`",
                mapping.uuid, deployment.aws_flags
            ),
        ),
        (_, Some(problem)) => Check::failed(
            SOURCE,
            format!(
                "{function} reads {source}: {problem}: its log has the reason: {}",
                recent_errors::show_command(log_group, &deployment.aws_flags)
            ),
        ),
        _ => Check::ok(SOURCE, format!("{function} reads {source}")),
    }
}

/// A queue of the stack.
struct StackQueue<'a> {
    url: &'a str,
    /// Describes its messages, with a remedy.
    content: String,
    /// Describes the effect if the queue does not exist.
    consequence: &'static str,
    /// The URL of its dead-letter queue.
    dead_letters: Option<&'a str>,
}

impl StackQueue<'_> {
    fn name(&self) -> &str {
        queue_name(self.url)
    }

    /// Returns the command that creates the queue as the template does. `kms_key` encrypts it.
    fn create_command(&self, forwarder: &str, kms_key: Option<&str>, aws_flags: &str) -> String {
        let mut attributes = vec![
            "\"MessageRetentionPeriod\":\"1209600\"".to_owned(),
            "\"VisibilityTimeout\":\"720\"".to_owned(),
        ];
        attributes.extend(kms_key.map(|key| format!("\"KmsMasterKeyId\":\"{key}\"")));
        if let Some(dead_letters) = self.dead_letters
            && let Some(Arn { partition, region, account, .. }) = Arn::parse(forwarder)
        {
            let queue = queue_name(dead_letters);
            attributes.push(format!(
                r#""RedrivePolicy":"{{\"deadLetterTargetArn\":\"arn:{partition}:sqs:{region}:{account}:{queue}\",\"maxReceiveCount\":\"1000\"}}""#
            ));
        }
        let name = self.name();
        let members = attributes.join(",");
        format!(
            "`aws sqs create-queue --queue-name {name} --attributes '{{{members}}}'{aws_flags}`, at least 60 seconds after the deletion"
        )
    }
}

/// Returns the name at the end of a queue's URL.
fn queue_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

impl Pipeline<'_> {
    /// Checks that a function reads this queue, and returns the functions that do.
    async fn readers(
        &self,
        lambda: &Lambda,
        arn: &str,
        consequence: &str,
        checks: &mut Vec<Check>,
    ) -> Vec<DeployedFunction> {
        let Self { deployment, .. } = *self;
        let queue = arn.rsplit(':').next().unwrap_or_default();
        let question = Question {
            check: SOURCE,
            subject: queue,
            permission: "lambda:ListEventSourceMappings",
        };
        let answer = lambda.event_source_mappings(MappingsOf::EventSource(arn)).await;
        let Some(mappings) = question.answered(answer, checks) else { return Vec::new() };
        if mappings.is_empty() {
            let meaning = "the name of the stack's RedriveFunction";
            let CommandWord { word: function, hint } =
                deployment.command_word("RedriveFunctionArn", "REDRIVE_FUNCTION", meaning);
            let text = format!(
                "no function reads {queue}, so {consequence}: `aws lambda create-event-source-mapping --function-name {function} --event-source-arn {arn} --batch-size 1 --function-response-types ReportBatchItemFailures --scaling-config MaximumConcurrency=10{}`{hint}",
                deployment.aws_flags
            );
            checks.push(Check::failed(SOURCE, text));
        }
        let mut functions = Vec::new();
        for mapping in &mappings {
            let arn = mapping.function_arn.as_str();
            let question = Question {
                check: SOURCE,
                subject: arn,
                permission: "lambda:GetFunctionConfiguration",
            };
            let answer = lambda.function_configuration(arn, None).await;
            let function = question.answered(answer, checks).map(DeployedFunction::of);
            let log_group = function.as_ref().map_or("", |function| &function.log_group);
            checks.push(source(mapping, log_group, deployment));
            functions.extend(function);
        }
        functions
    }

    /// Checks that a queue is empty, and returns its ARN; `None` if it cannot be read.
    async fn queue(&self, queue: &StackQueue<'_>, checks: &mut Vec<Check>) -> Option<String> {
        const NAME: &str = "queue";
        // The code of AWS JSON, and that of the query protocol, which SQS sends too.
        const MISSING_QUEUE: [&str; 2] =
            ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"];
        const ARN: &str = "QueueArn";
        const COUNTS: [&str; 3] = [
            "ApproximateNumberOfMessages",
            // Messages that wait for their next attempt are hidden or delayed.
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ];
        let Self { aws, deployment, forwarder } = *self;
        let name = queue.name();
        let names: Vec<&str> = COUNTS.into_iter().chain([ARN]).collect();
        let client = match aws.queue(queue.url) {
            Ok(client) => client,
            Err(error) => {
                checks.push(Check::failed(NAME, format!("{name}: {error:#}")));
                return None;
            }
        };
        let answer = client.attributes(&names).await;
        if let Err(error) = &answer
            && error.code().is_some_and(|code| MISSING_QUEUE.contains(&code))
        {
            let kms_key = deployment.parameter("StorageKmsKeyArn");
            let create = queue.create_command(&forwarder.arn, kms_key, &deployment.aws_flags);
            let text = format!("{name} does not exist, so {}: {create}", queue.consequence);
            checks.push(Check::failed(NAME, text));
            return None;
        }
        let question =
            Question { check: NAME, subject: name, permission: "sqs:GetQueueAttributes" };
        let mut attributes = question.answered(answer, checks)?;
        let number = |count| attributes.get(count)?.parse::<u64>().ok();
        checks.push(match COUNTS.into_iter().filter_map(number).sum::<u64>() {
            0 => Check::ok(NAME, format!("{name} is empty")),
            count => Check::warning(NAME, format!("{name}: {count} messages {}", queue.content)),
        });
        attributes.remove(ARN)
    }

    async fn on_failure_bucket(&self, lambda: &Lambda) -> Result<String, Check> {
        let Self { deployment, forwarder: DeployedFunction { name, .. }, .. } = *self;
        let destination = match lambda.on_failure_destination(name).await {
            Ok(destination) => destination,
            Err(error) => {
                let permission = "lambda:GetFunctionEventInvokeConfig";
                return Err(
                    Question { check: BUCKET, subject: name, permission }.unanswered(&error)
                );
            }
        };
        let bucket = destination.as_deref().and_then(|arn| arn.split_once(":s3:::"));
        bucket.map(|(_, bucket)| bucket.to_owned()).ok_or_else(|| {
            let meaning = "the bucket of the stack's output OnFailureBucket";
            let CommandWord { word: bucket, hint } =
                deployment.command_word("OnFailureBucket", "BUCKET", meaning);
            let text = format!(
                "{name} has no on-failure bucket, so Lambda drops events that failed at every attempt: `aws lambda put-function-event-invoke-config --function-name {name} --destination-config '{{\"OnFailure\":{{\"Destination\":\"arn:aws:s3:::{bucket}\"}}}}'{}`{hint}",
                deployment.aws_flags
            );
            Check::warning(BUCKET, text)
        })
    }
}

const BUCKET: &str = "bucket";

/// Checks that the on-failure bucket is empty.
async fn check_bucket(aws: &Aws, bucket: &str, redrive: &str, aws_flags: &str) -> Check {
    let client = match aws.bucket(bucket) {
        Ok(client) => client,
        Err(error) => return Check::failed(BUCKET, format!("{bucket}: {error:#}")),
    };
    match client.list(None, 1000).await {
        Ok(list) if list.objects.is_empty() => Check::ok(BUCKET, format!("{bucket} is empty")),
        Ok(list) => {
            let least = if list.is_truncated { "at least " } else { "" };
            let text = format!(
                "{bucket}: {least}{} events failed at every attempt: {redrive}",
                list.objects.len()
            );
            Check::warning(BUCKET, text)
        }
        Err(error) if error.code() == Some("NoSuchBucket") => Check::failed(
            BUCKET,
            format!(
                "{bucket} does not exist, so Lambda drops events that failed at every attempt: `aws s3 mb s3://{bucket}{aws_flags}`"
            ),
        ),
        Err(error) => {
            let permission = "s3:ListBucket";
            Question { check: BUCKET, subject: bucket, permission }.unanswered(&error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::Verdict::{self, Failed, Ok};

    #[test]
    fn a_disabled_or_failing_event_source_fails_the_check() {
        let check = |state: &str, result: &str, verdict: Verdict| {
            let mapping = EventSourceMapping {
                state: state.to_owned(),
                last_processing_result: result.to_owned(),
                ..EventSourceMapping::default()
            };
            let found = source(&mapping, "/aws/lambda/redrive", &Deployment::default());
            assert_eq!(found.verdict, verdict, "{found}");
        };
        check("Enabled", "No records processed", Ok);
        check("Enabled", "PROBLEM: Function call failed", Failed);
        check("Disabled", "OK", Failed);
    }

    #[test]
    fn a_deleted_queue_is_created_as_the_template_does() {
        let queue = StackQueue {
            url: "https://sqs.eu-west-1.amazonaws.com/123456789012/retry",
            content: String::new(),
            consequence: "",
            dead_letters: Some("https://sqs.eu-west-1.amazonaws.com/123456789012/dead"),
        };
        let forwarder = "arn:aws:lambda:eu-west-1:123456789012:function:forwarder";
        let command = queue.create_command(forwarder, Some("arn:aws:kms:x"), " --region eu-west-1");
        let attributes = command.split('\'').nth(1).unwrap();
        let expected = serde_json::json!({
            "MessageRetentionPeriod": "1209600",
            "VisibilityTimeout": "720",
            "KmsMasterKeyId": "arn:aws:kms:x",
            "RedrivePolicy": r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:dead","maxReceiveCount":"1000"}"#,
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(attributes).unwrap(), expected);
        assert!(command.starts_with("`aws sqs create-queue --queue-name retry --attributes '{"));
        assert!(command.contains("}' --region eu-west-1`"), "{command}");
    }
}
