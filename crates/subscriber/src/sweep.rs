//! Lists log groups, collects the data of each decision, and performs it.

use crate::decision::{Action, Wish, class_without_filters, decide};
use crate::replay::is_new;
use crate::report::{Entry, Fate, SweepReport};
use crate::selection::{Selection, Unselected};
use aws::{CloudWatchLogs, LogGroup, LogsError, SubscriptionFilter};
use futures_util::StreamExt as _;
use settings::Pattern;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Number of concurrently handled log groups. The quotas are five requests a second for each operation.
const AT_A_TIME: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Selected log groups get our filter. Others keep what they have.
    Add,
    /// Selected log groups get our filter, others in reach lose it.
    Follow,
    /// Selected log groups lose our filter. Others keep what they have.
    Remove,
}

/// The number of log groups that were listed so far, and that were handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub listed: usize,
    pub handled: usize,
}

/// One run over log groups.
#[derive(Debug)]
pub struct Sweep<'a> {
    pub logs: &'a CloudWatchLogs,
    pub selection: &'a Selection,
    pub wish: &'a Wish,
    pub task: Task,
    /// Names in reach in addition to those of the selection: previously included ones.
    pub reach: &'a [Pattern],
    pub dry_run: bool,
}

impl Sweep<'_> {
    /// Handles all log groups in reach until `deadline`.
    pub async fn run(&self, deadline: Instant) -> SweepReport {
        self.run_watched(deadline, |_| {}).await
    }

    /// Like [`Self::run`]. Reports the progress after each page of the list, and after each log group.
    pub async fn run_watched(
        &self,
        deadline: Instant,
        mut watch: impl FnMut(Progress),
    ) -> SweepReport {
        let mut progress = Progress::default();
        let listed = self
            .list(deadline, |count| {
                progress.listed = count;
                watch(progress);
            })
            .await;
        let mut groups: Vec<LogGroup> = listed.by_name.into_values().collect();
        let start = start(groups.len(), self.logs.wall_clock());
        groups.rotate_left(start);
        // The lines of a new log group can be replayed for a short time.
        groups.sort_by_key(|group| !is_new(group, self.logs.wall_clock()));
        let tasks = groups.into_iter().map(|group| self.handle(group, deadline));
        let mut handled = pin!(futures_util::stream::iter(tasks).buffer_unordered(AT_A_TIME));
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(entry) = handled.next().await {
            entries.push(entry);
            progress.handled = entries.len();
            watch(progress);
        }
        entries.sort_by(|a, b| a.group.name.cmp(&b.group.name));
        SweepReport { entries, not_listed: listed.problem, ..SweepReport::default() }
    }

    /// Returns `true` if a log group of this name is in reach.
    pub fn reaches(&self, name: &str) -> bool {
        match self.task {
            Task::Add | Task::Follow => {
                Pattern::any(self.selection.include(), name) || Pattern::any(self.reach, name)
            }
            Task::Remove => self.selection.check_name(name).is_ok(),
        }
    }

    /// Lists all log groups in reach. Reports their number after each page.
    async fn list(&self, deadline: Instant, mut report_count: impl FnMut(usize)) -> ListedGroups {
        let mut listed = ListedGroups::default();
        for prefix in prefixes(self.selection.include().iter().chain(self.reach)) {
            let mut next = None;
            loop {
                let page = match self.logs.log_groups(prefix, next, deadline).await {
                    Ok(page) => page,
                    Err(error) => {
                        listed.problem = Some(error.to_string());
                        return listed;
                    }
                };
                let reached = page.items.into_iter().filter(|group| self.reaches(&group.name));
                listed.by_name.extend(reached.map(|group| (group.name.clone(), group)));
                report_count(listed.by_name.len());
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
        }
        listed
    }

    /// Decides about one log group, and performs the action.
    pub async fn handle(&self, group: LogGroup, deadline: Instant) -> Entry {
        let mut entry = Entry {
            group,
            action: Action::Skip,
            reason: None,
            fate: Fate::Done,
            former_pattern: None,
            stays_spilled: false,
            subscribed: None,
        };
        if let Err(error) = self.act(&mut entry, deadline).await {
            entry.fate = match error {
                error if error.is_gone() => Fate::Gone,
                error if error.is_late() => Fate::NotReached,
                error => Fate::Failed(error.to_string()),
            };
        }
        entry
    }

    async fn act(&self, entry: &mut Entry, deadline: Instant) -> Result<(), LogsError> {
        let group = &entry.group;
        let Facts { selected, filters } = self.facts(group, deadline).await?;
        let decision = decide(self.wish, selected, group.class.as_deref(), &filters);
        entry.action = decision.action;
        entry.reason = decision.reason;
        entry.former_pattern = decision.former_pattern;
        let is_put = matches!(decision.action, Action::Add | Action::Update);
        entry.stays_spilled =
            (is_put || decision.action == Action::Keep) && self.wish.stays_spilled(&filters);
        if self.dry_run && (is_put || !decision.delete.is_empty()) {
            entry.fate = Fate::Planned;
            return Ok(());
        }
        for name in &decision.delete {
            self.logs.delete_subscription_filter(&group.name, name, deadline).await?;
        }
        if is_put {
            let ours = self.wish.filter_beside(&filters).as_filter();
            self.logs.put_subscription_filter(&group.name, &ours, deadline).await?;
            let is_first = decision.action == Action::Add;
            entry.subscribed = is_first.then(|| self.logs.wall_clock());
        }
        Ok(())
    }

    /// Collects the facts about a log group. Tags and filters are only requested if they matter.
    async fn facts(&self, group: &LogGroup, deadline: Instant) -> Result<Facts, LogsError> {
        let mut selected = self.selection.check_name(&group.name);
        let takes_filters = class_without_filters(group.class.as_deref()).is_none();
        if takes_filters && selected.is_ok() && self.selection.asks_for_tags() {
            selected = self.selection.check_tags(&self.logs.tags(group, deadline).await?);
        }
        let is_ignored = self.task != Task::Follow && selected.is_err();
        if self.task == Task::Remove && selected.is_ok() {
            selected = Err(Unselected::Removed);
        }
        if !takes_filters || is_ignored || selected == Err(Unselected::Own) {
            return Ok(Facts { selected, filters: Vec::new() });
        }
        let filters = self.logs.subscription_filters(&group.name, deadline).await?;
        Ok(Facts { selected, filters })
    }
}

/// The log groups in reach.
#[derive(Default)]
struct ListedGroups {
    by_name: BTreeMap<String, LogGroup>,
    /// The reason why some are missing.
    problem: Option<String>,
}

/// The facts about one log group that decide.
struct Facts {
    selected: Result<(), Unselected>,
    /// The present filters; empty if they do not matter.
    filters: Vec<SubscriptionFilter>,
}

/// The first of this number of log groups in a run, in case time is too short for all. Twelve runs begin once with each twelfth of
/// the list. The next twelve begin a 96th further, so that even a run that visits few log groups will begin near each.
fn start(groups: usize, now: SystemTime) -> usize {
    let hour = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 3600;
    let part = hour * 5 % 12 * 8 + hour / 12 % 8;
    groups * usize::try_from(part).unwrap_or_default() / 96
}

/// The common prefixes of these patterns. None begins with another.
fn prefixes<'a>(patterns: impl Iterator<Item = &'a Pattern>) -> Vec<&'a str> {
    let mut all: Vec<&str> = patterns.map(Pattern::prefix).collect();
    all.sort_unstable();
    let mut prefixes: Vec<&str> = Vec::new();
    for prefix in all {
        if !prefixes.last().is_some_and(|shorter| prefix.starts_with(shorter)) {
            prefixes.push(prefix);
        }
    }
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::parse_patterns;

    #[test]
    fn overlapping_patterns_share_a_listing_prefix() {
        let check = |patterns: &str, expected: &[&str]| {
            let patterns = parse_patterns(patterns).unwrap();
            assert_eq!(prefixes(patterns.iter()), expected);
        };
        check("", &[]);
        check("*", &[""]);
        check("/aws/lambda/*, *-prod", &[""]);
        check("/b/, /a/x*y, /a/xz, /b/c", &["/a/x", "/b/"]);
        check("/a, /a", &["/a"]);
    }
}
