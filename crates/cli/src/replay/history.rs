//! Reads a log group's events by time.

use crate::aws::{explain, no_log_group};
use anyhow::{Context as _, bail};
use aws_config::SdkConfig;
use forwarder::LogEvent;

/// Some events of a range.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Events with their streams. Each stream is in order.
    pub(crate) events: Vec<(String, LogEvent)>,
    pub(crate) next: Option<String>,
}

/// A source of past log events.
pub(crate) trait History {
    /// Returns events from `from_ms` to before `to_ms`. An empty page may have a next one.
    async fn page(
        &mut self,
        from_ms: i64,
        to_ms: i64,
        next: Option<String>,
    ) -> anyhow::Result<Page>;
}

pub(crate) struct LogGroup {
    pub(crate) client: aws_sdk_cloudwatchlogs::Client,
    pub(crate) name: String,
    pub(crate) pattern: Option<String>,
}

impl LogGroup {
    /// Returns the log group's account; empty if unknown.
    pub(crate) async fn account(&self, aws: &SdkConfig) -> anyhow::Result<String> {
        let request = self.client.describe_log_groups().log_group_name_prefix(&self.name).send();
        let output = request.await.map_err(|error| explain(&error));
        let output = output.with_context(|| format!("cannot describe log group {}", self.name))?;
        let group = output.log_groups().iter().find(|g| g.log_group_name() == Some(&self.name));
        let Some(group) = group else { bail!(no_log_group(aws, &self.name).await) };
        // arn:aws:logs:{region}:{account}:log-group:{name}
        let account = group.arn().and_then(|arn| arn.split(':').nth(4));
        Ok(account.unwrap_or_default().to_owned())
    }
}

impl History for LogGroup {
    async fn page(
        &mut self,
        from_ms: i64,
        to_ms: i64,
        next: Option<String>,
    ) -> anyhow::Result<Page> {
        let request = self.client.filter_log_events().log_group_name(&self.name);
        // AWS includes the end of the range.
        let request = request
            .start_time(from_ms)
            .end_time(to_ms - 1)
            .set_filter_pattern(self.pattern.clone())
            .set_next_token(next)
            .send();
        let output = request.await.map_err(|error| explain(&error));
        let output = output.with_context(|| format!("cannot read log group {}", self.name))?;
        let events = output.events.unwrap_or_default().into_iter().map(|event| {
            let log_event = LogEvent {
                id: event.event_id.unwrap_or_default(),
                timestamp_ms: event.timestamp.unwrap_or_default(),
                message: event.message.unwrap_or_default(),
            };
            (event.log_stream_name.unwrap_or_default(), log_event)
        });
        Ok(Page { events: events.collect(), next: output.next_token })
    }
}
