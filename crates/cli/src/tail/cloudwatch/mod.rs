//! Follows log groups of CloudWatch Logs by polling.

mod poll;

use super::MOST_WAITING;
use crate::aws::{self, AwsArguments, explain, no_log_group};
use crate::log_events::Gathered;
use crate::log_events::{Converter, StreamOf};
use crate::shown::Incoming;
use anyhow::{Context as _, bail};
use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::LogGroup;
use console::time_arguments::{TimeArgument, now_unix_nano};
use forwarder::LogEvent;
use poll::Poll;
use regex::Regex;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

pub(super) struct Asked {
    pub(super) patterns: Vec<String>,
    pub(super) stack: Option<String>,
    pub(super) since: Option<TimeArgument>,
    pub(super) aws: AwsArguments,
}

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
    let groups = runtime.block_on(resolve(&aws, &client, asked))?;
    if groups.len() > MOST_GROUPS {
        bail!("{} log groups match, more than {MOST_GROUPS}: narrow the pattern", groups.len());
    }
    let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let following = format!("following {}", names.join(", "));
    let converter = Converter::new(aws.region().map(AsRef::as_ref))?;
    let from_ms = asked.since.unwrap_or(TimeArgument::NOW).millis(now_unix_nano);
    let (sender, incoming) = sync_channel(MOST_WAITING);
    sender.send(Incoming::Said(following))?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let gathered = groups.iter().map(|_| Gathered::default()).collect();
            let mut following = Following { client, groups, converter, gathered, sender };
            let followed = following.follow(from_ms).await;
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
    async fn follow(&mut self, from_ms: i64) -> anyhow::Result<()> {
        let mut stop = pin!(tokio::signal::ctrl_c());
        let mut poll = Poll::new(self.groups.len(), from_ms);
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

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    account: String,
}

/// Returns the selected log groups. Fails if a pattern or the stack has none.
async fn resolve(aws: &SdkConfig, client: &Client, asked: &Asked) -> anyhow::Result<Vec<Group>> {
    let mut groups = BTreeMap::new();
    for pattern in &asked.patterns {
        let found = matching(client, pattern).await?;
        if found.is_empty() {
            let missing = no_log_group(aws, pattern).await;
            bail!("{missing}; `*` stands for any characters, as in '*shop*'");
        }
        groups.extend(found.into_iter().map(|group| (group.name.clone(), group)));
    }
    if let Some(stack) = &asked.stack {
        let names = names_of_stack(aws, stack).await?;
        let mut missing = Vec::new();
        for name in names {
            let found = matching(client, &name).await?;
            if found.is_empty() {
                missing.push(name.clone());
            }
            groups.extend(found.into_iter().map(|group| (group.name.clone(), group)));
        }
        // Lambda creates a function's log group at its first invocation.
        if !missing.is_empty() {
            eprintln!("does not exist yet, and is not followed: {}", missing.join(", "));
        }
        if groups.is_empty() {
            bail!("stack {stack} has no function with a log group: invoke one first");
        }
    }
    Ok(groups.into_values().collect())
}

/// Returns the groups whose names match; without a `*`, the group with this name.
async fn matching(client: &Client, pattern: &str) -> anyhow::Result<Vec<Group>> {
    let is_meant = matcher(pattern)?;
    let prefix = pattern.split('*').next().filter(|prefix| !prefix.is_empty());
    let mut pages = client
        .describe_log_groups()
        .set_log_group_name_prefix(prefix.map(str::to_owned))
        .into_paginator()
        .send();
    let mut groups = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| explain(&error)).context("cannot list log groups")?;
        let found = page.log_groups.unwrap_or_default();
        groups.extend(found.into_iter().filter_map(group).filter(|g| is_meant.is_match(&g.name)));
    }
    Ok(groups)
}

/// Compiles a pattern in which `*` matches any characters.
fn matcher(pattern: &str) -> anyhow::Result<Regex> {
    let parts: Vec<String> = pattern.split('*').map(regex::escape).collect();
    Ok(Regex::new(&format!("^{}$", parts.join(".*")))?)
}

fn group(group: LogGroup) -> Option<Group> {
    let name = group.log_group_name?;
    let arn = group.arn.unwrap_or_default();
    // arn:aws:logs:{region}:{account}:log-group:{name}:*
    let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
    Some(Group { name, account })
}

/// Returns the log groups of a stack and of its nested stacks, including those of its functions.
async fn names_of_stack(aws: &SdkConfig, stack: &str) -> anyhow::Result<Vec<String>> {
    let client = aws_sdk_cloudformation::Client::new(aws);
    let mut names = Vec::new();
    let mut stacks = vec![stack.to_owned()];
    while let Some(stack) = stacks.pop() {
        let mut pages = client.list_stack_resources().stack_name(&stack).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(&error));
            let page =
                page.with_context(|| format!("cannot list the resources of stack {stack}"))?;
            for resource in page.stack_resource_summaries.unwrap_or_default() {
                let Some(id) = resource.physical_resource_id else { continue };
                match resource.resource_type.as_deref() {
                    Some("AWS::Lambda::Function") => names.push(format!("/aws/lambda/{id}")),
                    Some("AWS::Logs::LogGroup") => names.push(id),
                    Some("AWS::CloudFormation::Stack") => stacks.push(id),
                    _ => {}
                }
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_characters() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(matcher(pattern).unwrap().is_match(name), expected, "{pattern} {name}");
        };
        check("/aws/lambda/shop", "/aws/lambda/shop", true);
        check("/aws/lambda/shop", "/aws/lambda/shop-2", false);
        check("/aws/lambda/shop-*", "/aws/lambda/shop-2", true);
        check("*shop*", "/aws/lambda/eshop-2", true);
        check("*", "anything", true);
        check("/a.b*", "/axb", false);
    }
}
