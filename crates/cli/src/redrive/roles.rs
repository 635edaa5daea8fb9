//! Finds the queues of a redrive.

use super::Arguments;
use crate::aws::explain;
use crate::aws::forwarder_of;
use anyhow::{Context as _, anyhow, ensure};
use aws_config::SdkConfig;

pub(crate) struct Roles {
    /// The dead-letter queue; `None` for a bucket.
    pub(crate) from: Option<String>,
    pub(crate) to: String,
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
            from.as_ref().is_none_or(|from| from.trim_end_matches('/') != to.trim_end_matches('/')),
            "--from and --to are the same queue: name the dead-letter queue and the retry queue"
        );
        check_to(aws, &to).await?;
        Ok(Self { from, to })
    }
}

async fn of_stack(aws: &SdkConfig, stack: &str) -> anyhow::Result<(String, String)> {
    let function = forwarder_of(aws, stack).await?;
    let name = function.function_name().unwrap_or_default();
    let variables = function.environment().and_then(|environment| environment.variables());
    let queue = |variable: &str| {
        let url = variables.and_then(|variables| variables.get(variable)).cloned();
        url.with_context(|| format!("{name} has no variable {variable}"))
    };
    Ok((queue("LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL")?, queue("LAMBDA_OTLP_RETRY_QUEUE_URL")?))
}

/// Fails if the queue is the dead-letter queue of another one, because no function reads such a queue. The credentials may have only
/// the permissions of the redrive itself.
async fn check_to(aws: &SdkConfig, to: &str) -> anyhow::Result<()> {
    let client = aws_sdk_sqs::Client::new(aws);
    let asked = client.list_dead_letter_source_queues().queue_url(to).send().await;
    match asked.as_ref().map(|output| output.queue_urls.first()) {
        Ok(None) => {}
        Ok(Some(source)) => anyhow::bail!(
            "{to} is the dead-letter queue of {source}, not a retry queue: use --to {source}"
        ),
        Err(error) => eprintln!(
            "warning: cannot check the role of {to}, which needs sqs:ListDeadLetterSourceQueues: {}",
            explain(error)
        ),
    }
    Ok(())
}
