//! Follows log groups of CloudWatch Logs by polling. Polls overlap, because events arrive late and out of order; known events are
//! recognized by their ids.

use super::{MAX_WAITING, TailArguments};
use crate::aws::{self, Aws, OwnedLogGroup, StackResource, deadline, explain};
use crate::log_events::{Converter, GatheredEvents, RunningInvocations, delivery_event};
use crate::shown::Incoming;
use ::aws::CloudWatchLogs;
use anyhow::{Context as _, bail};
use console::time_arguments::{TimeArgument, now_unix_nano};
use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// The maximum number of polled log groups. Each costs a request every two seconds, and CloudWatch Logs allows a few
/// per second.
const MAX_GROUPS: usize = 50;
const INTERVAL: Duration = Duration::from_secs(2);
/// The latest arrival of an event that is still shown.
const OVERLAP_MS: i64 = 30_000;
/// Newer events wait for related ones.
const LATEST_SHOWN_MS: i64 = 500;

/// Follows the log groups on a thread, until Ctrl-C.
pub(super) fn follow(arguments: &TailArguments) -> anyhow::Result<Receiver<Incoming>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let from_ms = arguments.since.unwrap_or(TimeArgument::NOW).millis(now_unix_nano());
    let aws = runtime.block_on(Aws::load(&arguments.aws))?;
    let client = aws.patient().logs()?;
    // A wrong region or endpoint shows at once.
    let accounts = runtime.block_on(accounts_of_groups(&aws, &client, arguments))?;
    if accounts.len() > MAX_GROUPS {
        bail!("{} log groups match, more than {MAX_GROUPS}: narrow the pattern", accounts.len());
    }
    let names: Vec<&str> = accounts.keys().map(String::as_str).collect();
    let following_text = format!("following {}", names.join(", "));
    let converter = Converter::new(Some(aws.region()))?;
    let (sender, incoming) = sync_channel(MAX_WAITING);
    sender.send(Incoming::Message(following_text))?;
    let groups = accounts.into_iter().map(|(name, account)| FollowedGroup {
        name,
        account,
        from_ms,
        known: HashMap::new(),
        gathered: GatheredEvents::default(),
        running: RunningInvocations::default(),
    });
    let mut following = Following { client, groups: groups.collect(), converter, sender };
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let followed = tokio::select! {
                followed = following.follow() => followed,
                _ = tokio::signal::ctrl_c() => Ok(()),
            };
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
    client: CloudWatchLogs,
    groups: Vec<FollowedGroup>,
    converter: Converter,
    sender: SyncSender<Incoming>,
}

/// A log group with the events that were read and not yet shown.
struct FollowedGroup {
    name: String,
    account: String,
    /// The beginning of the next poll.
    from_ms: i64,
    /// Times of known events by id.
    known: HashMap<String, i64>,
    gathered: GatheredEvents,
    running: RunningInvocations,
}

impl Following {
    /// Reads and shows events until an error that waiting does not end.
    async fn follow(&mut self) -> anyhow::Result<()> {
        loop {
            for group in &mut self.groups {
                let began_ms = now_ms();
                let read = group
                    .read(&self.client)
                    .await
                    .with_context(|| format!("cannot read log group {}", group.name))?;
                if let GroupReading::Unreachable(text) = read {
                    self.sender.send(Incoming::Message(text)).context("the display has ended")?;
                    continue;
                }
                group.from_ms = group.from_ms.max(began_ms - OVERLAP_MS);
                let from_ms = group.from_ms;
                group.known.retain(|_, time_ms| *time_ms >= from_ms);
            }
            self.pass_on(now_ms() - LATEST_SHOWN_MS).await?;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Converts the events before this time, and passes them to the view.
    async fn pass_on(&mut self, before_ms: i64) -> anyhow::Result<()> {
        for FollowedGroup { name, account, gathered, running, .. } in &mut self.groups {
            for mut events in gathered.take_before(before_ms) {
                // Late events are sorted in.
                events.events.sort_by_key(|event| event.timestamp_ms);
                let event = delivery_event(account, name, &running.with_starts(events))?;
                for incoming in self.converter.convert(name, event).await {
                    self.sender.send(incoming).context("the display has ended")?;
                }
            }
        }
        Ok(())
    }
}

impl FollowedGroup {
    /// Gathers the new events.
    async fn read(&mut self, client: &CloudWatchLogs) -> anyhow::Result<GroupReading> {
        let mut next = None;
        loop {
            let search = (self.from_ms..).into();
            let page = match client.log_events(&self.name, search, next, deadline()).await {
                Ok(page) => page,
                Err(error) if error.cause().is_unreachable() => {
                    let text = format!("{}: {}, trying again", self.name, explain(error.cause()));
                    return Ok(GroupReading::Unreachable(text));
                }
                Err(error) => return Err(explain(error.cause())),
            };
            for event in page.items {
                if self.known.insert(event.id.clone(), event.timestamp_ms).is_none() {
                    self.gathered.add(event);
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(GroupReading::Complete);
            }
        }
    }
}

/// The result of reading a log group.
enum GroupReading {
    Complete,
    /// AWS could not be reached, for this reason. The next attempt may succeed.
    Unreachable(String),
}

fn now_ms() -> i64 {
    i64::try_from(now_unix_nano() / 1_000_000).unwrap_or(i64::MAX)
}

/// Returns the accounts of the selected log groups, by the groups' names. Fails if a pattern or the stack has no log group.
async fn accounts_of_groups(
    aws: &Aws,
    client: &CloudWatchLogs,
    arguments: &TailArguments,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut accounts = BTreeMap::new();
    let mut add = |groups: Vec<OwnedLogGroup>| {
        accounts.extend(groups.into_iter().map(|group| (group.name, group.account)));
    };
    for pattern in &arguments.log_groups {
        add(aws::log_groups(aws, client, pattern).await?);
    }
    if let Some(stack) = &arguments.stack {
        for name in names_of_stack(aws, stack).await? {
            let found = aws::matching_log_groups(client, &name).await?;
            // Lambda creates a function's log group at its first invocation.
            if found.is_empty() {
                eprintln!("{name} does not exist yet, so it is not followed");
            }
            add(found);
        }
        if accounts.is_empty() {
            bail!("stack {stack} has no function with a log group: invoke one first");
        }
    }
    Ok(accounts)
}

/// Returns the log groups of a stack and of its nested stacks, including those of its functions.
async fn names_of_stack(aws: &Aws, stack: &str) -> anyhow::Result<Vec<String>> {
    let client = aws.cloudformation()?;
    let mut names = Vec::new();
    let mut stacks = vec![stack.to_owned()];
    while let Some(stack) = stacks.pop() {
        let resources = client.resources(&stack).await;
        let resources = resources
            .map_err(|error| explain(&error))
            .with_context(|| format!("cannot list the resources of stack {stack}"))?;
        for StackResource { kind, physical_id } in resources {
            match kind.as_str() {
                "AWS::Lambda::Function" => names.push(format!("/aws/lambda/{physical_id}")),
                "AWS::Logs::LogGroup" => names.push(physical_id),
                "AWS::CloudFormation::Stack" => stacks.push(physical_id),
                _ => {}
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
