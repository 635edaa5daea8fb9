//! Follows log groups of CloudWatch Logs by a Live Tail session, or by polling.

mod groups;
mod live;
mod poll;
mod seen;

use super::MOST_WAITING;
use crate::aws::{self, AwsArguments};
use crate::log_events::gathered::Gathered;
use crate::log_events::{Converter, StreamOf};
use crate::shown::Incoming;
use anyhow::bail;
use aws_sdk_cloudwatchlogs::Client;
use console::time_arguments::{TimeArgument, now_unix_nano};
use forwarder::LogEvent;
use groups::Group;
use poll::Poll;
use seen::Seen;
use std::pin::pin;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

pub(super) struct Asked {
    pub(super) patterns: Vec<String>,
    pub(super) stack: Option<String>,
    pub(super) since: Option<TimeArgument>,
    pub(super) poll: bool,
    pub(super) aws: AwsArguments,
}

/// The maximum number of log groups of Live Tail (StartLiveTail, `logGroupIdentifiers`).
const MOST_GROUPS_LIVE: usize = 10;
/// The maximum number of polled log groups. Each costs a request every two seconds, and CloudWatch Logs allows a few
/// per second.
const MOST_GROUPS: usize = 50;
/// Newer events wait for related ones.
const SETTLES_MS: i64 = 500;

/// Follows the log groups on a thread, until Ctrl-C.
pub(super) fn follow(asked: &Asked) -> anyhow::Result<Receiver<Incoming>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let now_unix_nano = now_unix_nano();
    let aws = runtime.block_on(aws::load(&asked.aws));
    let client = Client::new(&aws);
    let groups = runtime.block_on(groups::resolve(&aws, &client, asked))?;
    if groups.len() > MOST_GROUPS {
        bail!("{} log groups match, more than {MOST_GROUPS}: narrow the pattern", groups.len());
    }
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let following = format!("following {}", names.join(", "));
    let converter = Converter::new(aws.region().map(AsRef::as_ref))?;
    // Live Tail has its own host, `streaming-` and the service's, which exists only at AWS.
    let is_live = !asked.poll
        && asked.since.is_none()
        && groups.len() <= MOST_GROUPS_LIVE
        && aws.endpoint_url().is_none();
    let from_ms = asked.since.unwrap_or(TimeArgument::NOW).millis(now_unix_nano);
    let (sender, incoming) = sync_channel(MOST_WAITING);
    sender.send(Incoming::Said(following))?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let gathered = groups.iter().map(|_| Gathered::default()).collect();
            let mut following = Following { client, groups, converter, gathered, sender };
            let followed = following.follow(is_live, from_ms).await;
            // Events that were read before the end are still shown.
            following.pass_on(i64::MAX).await.ok();
            if let Err(error) = followed {
                following.sender.send(Incoming::Failed(error)).ok();
            }
        });
    });
    Ok(incoming)
}

struct Following {
    client: Client,
    groups: Vec<Group>,
    converter: Converter,
    gathered: Vec<Gathered>,
    sender: SyncSender<Incoming>,
}

struct Found {
    group: usize,
    stream: String,
    event: LogEvent,
}

impl Following {
    /// Reads until Ctrl-C or a permanent error.
    async fn follow(&mut self, is_live: bool, from_ms: i64) -> anyhow::Result<()> {
        let mut stop = pin!(tokio::signal::ctrl_c());
        let mut seen = Seen::default();
        let mut from_ms = from_ms;
        if is_live {
            let why = match live::Session::open(&self.client, &self.groups).await {
                Ok(mut session) => loop {
                    let next = tokio::select! {
                        next = session.next(&self.groups, &self.sender) => next,
                        _ = &mut stop => return Ok(()),
                    };
                    match next {
                        Ok(found) => {
                            from_ms = now_ms() - poll::OVERLAP_MS;
                            for found in found {
                                seen.note(&found);
                                self.add(found);
                            }
                            seen.forget_before(from_ms);
                            self.pass_on(now_ms() - SETTLES_MS).await?;
                        }
                        Err(error) => break error,
                    }
                },
                Err(error) => error,
            };
            let said = format!("no Live Tail ({why:#}): polling CloudWatch Logs every 2 s instead");
            self.sender.send(Incoming::Said(said)).ok();
        }
        let mut poll = Poll::new(self.groups.len(), from_ms, seen);
        loop {
            let found = tokio::select! {
                found = poll.round(&self.client, &self.groups, &self.sender) => found?,
                _ = &mut stop => return Ok(()),
            };
            for found in found {
                self.add(found);
            }
            self.pass_on(now_ms() - SETTLES_MS).await?;
            tokio::select! {
                () = tokio::time::sleep(poll::INTERVAL) => {}
                _ = &mut stop => return Ok(()),
            }
        }
    }

    fn add(&mut self, found: Found) {
        let Found { group, stream, event } = found;
        if let Some(gathered) = self.gathered.get_mut(group) {
            gathered.add(stream, event);
        }
    }

    /// Converts the events before this time, and passes them to the view.
    async fn pass_on(&mut self, before_ms: i64) -> anyhow::Result<()> {
        for (group, gathered) in self.groups.iter().zip(&mut self.gathered) {
            for (stream, mut events) in gathered.take_before(before_ms) {
                // Late events are sorted in.
                events.sort_by_key(|event| event.timestamp_ms);
                let (account, log_group) = (group.account.as_str(), group.name.as_str());
                let events = StreamOf { account, log_group, stream: &stream, events: &events };
                let converted = self.converter.convert(&events).await?;
                let wrong = converted.undecodable.into_iter().map(Incoming::Wrong);
                for incoming in [Incoming::Requests(converted.requests)].into_iter().chain(wrong) {
                    self.sender
                        .send(incoming)
                        .map_err(|_| anyhow::anyhow!("the display has ended"))?;
                }
            }
        }
        Ok(())
    }
}

fn now_ms() -> i64 {
    i64::try_from(now_unix_nano() / 1_000_000).unwrap_or(i64::MAX)
}
