//! Polls CloudWatch Logs for events. Polls overlap, because events arrive late and out of order; known events are
//! recognized by their ids.

use super::Group;
use super::{Found, now_ms};
use crate::aws::explain;
use crate::shown::Incoming;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsError;
use forwarder::LogEvent;
use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

pub(super) const INTERVAL: Duration = Duration::from_secs(2);
/// The latest arrival of an event that is still shown.
const OVERLAP_MS: i64 = 30_000;

pub(super) struct Poll {
    groups: Vec<Progress>,
    /// The last poll was incomplete, which was reported.
    is_disturbed: bool,
}

#[derive(Default)]
struct Progress {
    from_ms: i64,
    /// Times of known events by id.
    ids: HashMap<String, i64>,
}

impl Poll {
    pub(super) fn new(groups: usize, from_ms: i64) -> Self {
        let progress = || Progress { from_ms, ids: HashMap::new() };
        Self {
            groups: std::iter::repeat_with(progress).take(groups).collect(),
            is_disturbed: false,
        }
    }

    /// Polls all groups, and returns the new events. After a passing error, the next poll returns them.
    pub(super) async fn round(
        &mut self,
        client: &Client,
        groups: &[Group],
        sender: &SyncSender<Incoming>,
    ) -> anyhow::Result<Vec<Found>> {
        let mut new = Vec::new();
        let mut disturbed = None;
        for (number, (group, progress)) in groups.iter().zip(&mut self.groups).enumerate() {
            let began_ms = now_ms();
            match progress.read(client, group, number, &mut new).await {
                Ok(()) => progress.advance(began_ms - OVERLAP_MS),
                Err(error) if is_passing(&error) => disturbed = Some(explain(&error)),
                Err(error) => {
                    let error = explain(&error);
                    return Err(error.context(format!("cannot read log group {}", group.name)));
                }
            }
        }
        if let Some(error) = disturbed.as_ref().filter(|_| !self.is_disturbed) {
            let said = format!("polling CloudWatch Logs again: {error:#}");
            sender.send(Incoming::Said(said)).ok();
        }
        self.is_disturbed = disturbed.is_some();
        Ok(new)
    }
}

impl Progress {
    async fn read(
        &mut self,
        client: &Client,
        group: &Group,
        number: usize,
        new: &mut Vec<Found>,
    ) -> Result<(), SdkError<FilterLogEventsError>> {
        let asked = client.filter_log_events().log_group_name(&group.name).start_time(self.from_ms);
        let mut pages = asked.into_paginator().send();
        while let Some(page) = pages.next().await {
            for event in page?.events.unwrap_or_default() {
                let id = event.event_id.unwrap_or_default();
                let timestamp_ms = event.timestamp.unwrap_or_default();
                if self.ids.insert(id.clone(), timestamp_ms).is_none() {
                    let message = event.message.unwrap_or_default();
                    let stream = event.log_stream_name.unwrap_or_default();
                    let event = LogEvent { id, timestamp_ms, message };
                    new.push(Found { group: number, stream, event });
                }
            }
        }
        Ok(())
    }

    /// Forgets events before this time minus the overlap.
    fn advance(&mut self, to_ms: i64) {
        self.from_ms = self.from_ms.max(to_ms);
        let from_ms = self.from_ms;
        self.ids.retain(|_, time_ms| *time_ms >= from_ms);
    }
}

/// Returns `true` for an error that may pass in two seconds.
fn is_passing(error: &SdkError<FilterLogEventsError>) -> bool {
    const PASSING: [&str; 4] = [
        "ThrottlingException",
        "LimitExceededException",
        "ServiceUnavailableException",
        "InternalFailure",
    ];
    match error {
        SdkError::ServiceError(said) => {
            said.raw().status().is_server_error()
                || said.err().code().is_some_and(|code| PASSING.contains(&code))
        }
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        _ => false,
    }
}
