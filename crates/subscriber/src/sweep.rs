//! Lists log groups, collects the data of each decision, and performs it.

use crate::decision::{Action, MAX_FILTERS, WantedFilter, class_without_filters, decide};
use crate::replay::is_new;
use crate::report::{LogGroupEntry, LogGroupFate, SweepReport};
use crate::selection::{Selection, Unselected};
use aws::{CloudWatchLogs, LogGroup, LogsError, SubscriptionFilter};
use futures_util::StreamExt as _;
use settings::Pattern;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Number of concurrently handled log groups. The quotas are five requests a second for each operation.
const AT_A_TIME: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Selected log groups get our filter. Others keep what they have.
    Add,
    /// Selected log groups get our filter. Others that the sweep covers lose it.
    Follow,
    /// Selected log groups lose our filter. Others keep what they have.
    Remove,
}

/// The number of log groups that were listed so far, and that were handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepProgress {
    pub listed: usize,
    pub handled: usize,
}

/// One run over log groups.
#[derive(Debug)]
pub struct Sweep<'a> {
    pub logs: &'a CloudWatchLogs,
    pub selection: &'a Selection,
    pub wanted: &'a WantedFilter,
    pub task: Task,
    /// The names that the sweep covers in addition to those of the selection: formerly included ones.
    pub also_included: &'a [Pattern],
    pub dry_run: bool,
}

impl Sweep<'_> {
    /// Handles all log groups that the sweep covers, until `deadline`.
    pub async fn run(&self, deadline: Instant) -> SweepReport {
        self.run_watched(deadline, |_| {}).await
    }

    /// Like [`Self::run`]. Reports the progress after each page of the list, and after each log group.
    pub async fn run_watched(
        &self,
        deadline: Instant,
        mut watch: impl FnMut(SweepProgress),
    ) -> SweepReport {
        let mut progress = SweepProgress::default();
        let listed = self
            .list(deadline, |count| {
                progress.listed = count;
                watch(progress);
            })
            .await;
        let mut groups: Vec<LogGroup> = listed.by_name.into_values().collect();
        let first = first_of_run(groups.len(), self.logs.wall_clock());
        groups.rotate_left(first);
        // The lines of a new log group can be replayed for a short time.
        groups.sort_by_key(|group| !is_new(group, self.logs.wall_clock()));
        let tasks = groups.into_iter().map(|group| self.handle(group, deadline));
        let mut handled = pin!(futures_util::stream::iter(tasks).buffer_unordered(AT_A_TIME));
        let mut entries: Vec<LogGroupEntry> = Vec::new();
        while let Some(entry) = handled.next().await {
            entries.push(entry);
            progress.handled = entries.len();
            watch(progress);
        }
        entries.sort_by(|a, b| a.group.name.cmp(&b.group.name));
        SweepReport { entries, not_listed: listed.problem, ..SweepReport::default() }
    }

    /// Returns `true` if the sweep covers log groups of this name.
    pub fn covers(&self, name: &str) -> bool {
        match self.task {
            Task::Add | Task::Follow => {
                Pattern::any_matches(self.selection.include(), name)
                    || Pattern::any_matches(self.also_included, name)
            }
            Task::Remove => self.check_name(name).is_ok(),
        }
    }

    /// Checks the name of a log group. A removal includes regional copies, which may have a filter from before they were left out.
    fn check_name(&self, name: &str) -> Result<(), Unselected> {
        match self.selection.check_name(name) {
            Err(Unselected::RegionalCopy) if self.task == Task::Remove => Ok(()),
            checked => checked,
        }
    }

    /// Lists all log groups that the sweep covers. Reports their number after each page.
    async fn list(&self, deadline: Instant, mut report_count: impl FnMut(usize)) -> ListedGroups {
        let mut listed = ListedGroups::default();
        for prefix in prefixes(self.selection.include().iter().chain(self.also_included)) {
            let mut next = None;
            loop {
                let page = match self.logs.log_groups(prefix, next, deadline).await {
                    Ok(page) => page,
                    Err(error) => {
                        listed.problem = Some(error.to_string());
                        return listed;
                    }
                };
                let covered = page.items.into_iter().filter(|group| self.covers(&group.name));
                listed.by_name.extend(covered.map(|group| (group.name.clone(), group)));
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
    pub async fn handle(&self, group: LogGroup, deadline: Instant) -> LogGroupEntry {
        let mut entry = LogGroupEntry {
            group,
            action: Action::Skip,
            reason: None,
            fate: LogGroupFate::Done,
            former_pattern: None,
            stays_spilled: false,
            subscribed: None,
        };
        entry.fate = match self.carry_out(&mut entry, deadline).await {
            Ok(fate) => fate,
            Err(error) if error.is_gone() => LogGroupFate::Gone,
            Err(error) if error.is_late() => LogGroupFate::NotReached,
            Err(error) => LogGroupFate::Failed(error.to_string()),
        };
        entry
    }

    /// Decides about the log group of an entry, performs the action, and returns its fate. The entry gets the decision.
    async fn carry_out(
        &self,
        entry: &mut LogGroupEntry,
        deadline: Instant,
    ) -> Result<LogGroupFate, LogsError> {
        let group = &entry.group;
        let Facts { selected, filters } = self.facts(group, deadline).await?;
        let decision = decide(self.wanted, selected, group.class.as_deref(), &filters);
        entry.action = decision.action;
        entry.reason = decision.reason;
        entry.former_pattern = decision.former_pattern;
        let puts_filter = matches!(decision.action, Action::Add | Action::Update);
        let has_ours_then = puts_filter || decision.action == Action::Keep;
        entry.stays_spilled = has_ours_then && self.wanted.stays_spilled(&filters);
        if self.dry_run && (puts_filter || !decision.delete.is_empty()) {
            return Ok(LogGroupFate::Planned);
        }
        let deleted: Vec<&SubscriptionFilter> =
            filters.iter().filter(|filter| decision.delete.contains(&filter.name)).collect();
        if puts_filter {
            self.put(&group.name, &filters, &deleted, deadline).await?;
            let is_first = decision.action == Action::Add;
            entry.subscribed = is_first.then(|| self.logs.wall_clock());
        } else {
            self.delete(&group.name, &deleted, deadline).await?;
        }
        Ok(LogGroupFate::Done)
    }

    /// Puts our filter and deletes these former ones, afterwards if there is room for both: a log line between the two calls then
    /// arrives twice, and is not missed. If our filter is not accepted, the former ones go all the same, and the next run adds ours.
    ///
    /// Without room, another owner's filter is there. Alone it would keep ours away, so the former ones are put again if ours is
    /// not accepted.
    async fn put(
        &self,
        group: &str,
        filters: &[SubscriptionFilter],
        former: &[&SubscriptionFilter],
        deadline: Instant,
    ) -> Result<(), LogsError> {
        /// The time for putting the former filters again.
        const RESERVE: Duration = Duration::from_secs(5);
        let ours = self.wanted.filter_for(filters).as_filter();
        let has_own_name = filters.iter().any(|filter| filter.name == ours.name);
        if has_own_name || filters.len() < MAX_FILTERS {
            let put = self.logs.put_subscription_filter(group, &ours, deadline).await;
            return put.and(self.delete(group, former, deadline).await);
        }
        self.delete(group, former, deadline).await?;
        let earlier = deadline.checked_sub(RESERVE).unwrap_or(deadline);
        let put = self.logs.put_subscription_filter(group, &ours, earlier).await;
        if put.as_ref().is_err_and(|error| !error.is_gone()) {
            for filter in former {
                let again = self.logs.put_subscription_filter(group, filter, deadline).await;
                if let Err(error) = again {
                    let name = filter.name.as_str();
                    tracing::error!(group, name, %error, "cannot restore a deleted filter");
                }
            }
        }
        put
    }

    async fn delete(
        &self,
        group: &str,
        filters: &[&SubscriptionFilter],
        deadline: Instant,
    ) -> Result<(), LogsError> {
        for filter in filters {
            self.logs.delete_subscription_filter(group, &filter.name, deadline).await?;
        }
        Ok(())
    }

    /// Collects the facts about a log group. Tags and filters are only requested if they matter.
    async fn facts(&self, group: &LogGroup, deadline: Instant) -> Result<Facts, LogsError> {
        let mut selected = self.check_name(&group.name);
        let takes_filters = class_without_filters(group.class.as_deref()).is_none();
        if takes_filters && selected.is_ok() && self.selection.asks_for_tags() {
            selected = self.selection.check_tags(&self.logs.tags(group, deadline).await?);
        }
        let is_ignored = self.task != Task::Follow && selected.is_err();
        // A filter is deleted from log groups that are not selected.
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

/// The log groups that a sweep covers.
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

/// Returns the position of the first log group of a run, in case time is too short for all.
///
/// Runs start every hour. Each twelve runs begin in all twelfths of the list. The next twelve begin an eighth of a twelfth later, so
/// that after 96 runs each log group was near a beginning. Of 96 log groups, the first twelve runs begin at 0, 40, 80, 24, 64, 8,
/// 48, 88, 32, 72, 16 and 56, and the next ones at 1, 41 and so on.
fn first_of_run(groups: usize, now: SystemTime) -> usize {
    const TWELFTHS: u64 = 12;
    const EIGHTHS: u64 = 8;
    /// Neighbouring runs begin far from each other, and 5 and 12 have no common factor.
    const STEP: u64 = 5;
    let hour = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 3600;
    let twelfth = hour * STEP % TWELFTHS;
    let eighth = hour / TWELFTHS % EIGHTHS;
    let part = usize::try_from(twelfth * EIGHTHS + eighth).unwrap_or_default();
    groups * part / 96
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
