//! Finds the queues of a redrive, and checks their roles.

use super::Arguments;
use crate::aws::forwarder_of;
use crate::aws::{self, QueueUrl, explain};
use anyhow::{Context as _, anyhow, ensure};
use aws_config::SdkConfig;
use aws_sdk_sqs::types::QueueAttributeName::{
    ApproximateNumberOfMessagesNotVisible, RedrivePolicy,
};
use console::quantity::plural;
use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Roles {
    /// The dead-letter queue; `None` for a bucket.
    pub(crate) from: Option<QueueUrl>,
    pub(crate) to: QueueUrl,
}

impl Roles {
    /// Returns the queues of the arguments, or of the stack's forwarder. Fails if they are swapped.
    pub(crate) async fn of(arguments: &Arguments, aws: &SdkConfig) -> anyhow::Result<Self> {
        let (from, to) = match (&arguments.stack, &arguments.to) {
            (Some(stack), _) => {
                let (dead_letters, retry) = of_stack(aws, stack).await?;
                (Some(dead_letters), retry)
            }
            (None, Some(to)) => (arguments.from.clone(), to.clone()),
            (None, None) => return Err(anyhow!("--to is missing: name the retry queue")),
        };
        let from = from.filter(|_| arguments.bucket.is_none());
        ensure!(
            !from.as_ref().is_some_and(|from| from.is_same(&to)),
            "--from and --to are the same queue: name the dead-letter queue and the retry queue"
        );
        if let Some(from) = &from {
            check_from(aws, from, &to).await?;
        }
        check_to(aws, &to).await?;
        Ok(Self { from, to })
    }
}

async fn of_stack(aws: &SdkConfig, stack: &str) -> anyhow::Result<(QueueUrl, QueueUrl)> {
    let function = forwarder_of(aws, stack).await?;
    let name = function.function_name().unwrap_or_default();
    let variables = function.environment().and_then(|environment| environment.variables());
    let queue = |variable: &str| -> anyhow::Result<QueueUrl> {
        let url = variables.and_then(|variables| variables.get(variable));
        let url = url.with_context(|| format!("{name} has no variable {variable}"))?;
        QueueUrl::parse(url).map_err(|problem| anyhow!("{variable} of {name}: {problem}"))
    };
    Ok((queue("LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL")?, queue("LAMBDA_OTLP_RETRY_QUEUE_URL")?))
}

/// Fails if `to` is the dead-letter queue of this queue, and warns of messages that cannot be read.
async fn check_from(aws: &SdkConfig, from: &QueueUrl, to: &QueueUrl) -> anyhow::Result<()> {
    let asked = aws::sqs(aws, from).get_queue_attributes().queue_url(&from.url);
    let asked =
        asked.attribute_names(RedrivePolicy).attribute_names(ApproximateNumberOfMessagesNotVisible);
    let attributes = match asked.send().await {
        Ok(output) => output.attributes.unwrap_or_default(),
        Err(error) => {
            unchecked(&from.url, "sqs:GetQueueAttributes", &explain(&error));
            return Ok(());
        }
    };
    let policy = attributes.get(&RedrivePolicy).map(String::as_str).unwrap_or_default();
    ensure!(
        !leads_to(policy, to),
        "{} is the retry queue, and {} its dead-letter queue: --from and --to are swapped",
        from.url,
        to.url
    );
    let hidden = attributes.get(&ApproximateNumberOfMessagesNotVisible);
    if let Some(hidden @ 1..) = hidden.and_then(|hidden| hidden.parse::<usize>().ok()) {
        eprintln!(
            "warning: {} in the dead-letter queue cannot be read, because another redrive is running or was killed: try again after 10 minutes",
            plural(hidden, "message")
        );
    }
    Ok(())
}

/// Returns `true` if a queue's redrive policy names this queue:
/// `{"deadLetterTargetArn":"arn:aws:sqs:…","maxReceiveCount":1000}`.
fn leads_to(policy: &str, queue: &QueueUrl) -> bool {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let arn = policy.get("deadLetterTargetArn").and_then(Value::as_str).unwrap_or_default();
    let of_arn = arn.rsplit(':').take(2);
    let of_url = queue.url.trim_end_matches('/').rsplit('/').take(2);
    of_arn.eq(of_url)
}

/// Fails if the queue is the dead-letter queue of another one, because no function reads such a queue.
async fn check_to(aws: &SdkConfig, to: &QueueUrl) -> anyhow::Result<()> {
    let asked = aws::sqs(aws, to).list_dead_letter_source_queues().queue_url(&to.url).send().await;
    match asked.map(|output| output.queue_urls) {
        Ok(sources) => match sources.first() {
            None => Ok(()),
            Some(source) => Err(anyhow!(
                "{} is the dead-letter queue of {source}, not a retry queue: use --to {source}",
                to.url
            )),
        },
        Err(error) => {
            unchecked(&to.url, "sqs:ListDeadLetterSourceQueues", &explain(&error));
            Ok(())
        }
    }
}

/// Warns that the role of a queue is unknown. The credentials may have only the permissions of the redrive itself.
fn unchecked(url: &str, permission: &str, why: &anyhow::Error) {
    eprintln!("warning: cannot check the role of {url}, which needs {permission}: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrive_policy_identifies_its_dead_letter_queue() {
        let check = |arn: &str, url: &str, expected: bool| {
            let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1000}}"#);
            let queue = QueueUrl::parse(url).unwrap();
            assert_eq!(leads_to(&policy, &queue), expected, "{arn} {url}");
        };
        let arn = "arn:aws:sqs:eu-west-1:123456789012:dead";
        check(arn, "https://sqs.eu-west-1.amazonaws.com/123456789012/dead", true);
        check(arn, "https://sqs.eu-west-1.amazonaws.com/123456789012/dead/", true);
        // The retry queue of an old stack, whose messages move to the new stack's queue.
        check(arn, "https://sqs.eu-west-1.amazonaws.com/123456789012/new-retry", false);
        check(arn, "https://sqs.eu-west-1.amazonaws.com/210987654321/dead", false);
        check("", "https://sqs.eu-west-1.amazonaws.com/123456789012/dead", false);
        assert!(!leads_to("", &QueueUrl::parse("http://127.0.0.1:1/1/dead").unwrap()));
    }
}
