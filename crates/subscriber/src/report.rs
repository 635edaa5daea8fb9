//! The results for all log groups, and their summary.

use crate::decision::{Action, DecisionReason};
use aws::LogGroup;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Maximum number of log group names in one line of the log, for each reason.
const MAX_NAMES: usize = 5;

/// The result for one log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroupEntry {
    pub group: LogGroup,
    pub action: Action,
    pub reason: Option<DecisionReason>,
    pub fate: LogGroupFate,
    /// The pattern of our filter before, if it changes.
    pub former_pattern: Option<String>,
    /// `true` if our filter stays one for spilled lines, though other lines are selected.
    pub stays_spilled: bool,
    /// The time when our filter was newly created.
    pub subscribed: Option<SystemTime>,
}

/// The fate of the action for one log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogGroupFate {
    Done,
    Planned,
    /// The log group was deleted meanwhile.
    Gone,
    /// CloudWatch Logs returned an error.
    Failed(String),
    /// The deadline passed; the next run continues.
    NotReached,
}

/// The results for all log groups of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Sorted by name.
    pub entries: Vec<LogGroupEntry>,
    /// The reason why log groups are missing from the list.
    pub not_listed: Option<String>,
    /// Number of lines of new log groups from before the subscription, sent to the retry queue.
    pub replayed_lines: usize,
    /// Errors about such lines, one text for each log group.
    pub not_replayed: Vec<String>,
}

impl SweepReport {
    /// Number of log groups with this action, performed or planned.
    pub fn count(&self, action: Action) -> usize {
        let is_done = |e: &&LogGroupEntry| {
            matches!(e.fate, LogGroupFate::Done | LogGroupFate::Planned) && e.action == action
        };
        self.entries.iter().filter(is_done).count()
    }

    pub fn failed_count(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.fate, LogGroupFate::Failed(_))).count()
    }

    /// Number of log groups after the deadline.
    pub fn not_reached_count(&self) -> usize {
        self.entries.iter().filter(|entry| entry.fate == LogGroupFate::NotReached).count()
    }

    /// The first error about subscriptions.
    pub fn first_error(&self) -> Option<&str> {
        let failed = self.entries.iter().find_map(|entry| match &entry.fate {
            LogGroupFate::Failed(text) => Some(text.as_str()),
            _ => None,
        });
        self.not_listed.as_deref().or(failed)
    }

    /// Returns `true` if nothing was done although something should have been.
    pub fn has_failed(&self) -> bool {
        let is_any_done = [Action::Add, Action::Update, Action::Keep, Action::Remove]
            .into_iter()
            .any(|action| self.count(action) > 0);
        self.not_listed.is_some() || (self.failed_count() > 0 && !is_any_done)
    }

    /// `two filters of other systems: 2 (/a, /b); …`: requested log groups without exactly one subscription; empty if there are none.
    pub fn notable_text(&self) -> String {
        let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(reason) = entry.reason.as_ref().filter(|reason| reason.is_notable()) {
                kinds.entry(reason.kind()).or_default().push(&entry.group.name);
            }
        }
        let texts = kinds.into_iter().map(|(kind, groups)| {
            let shown = groups.get(..MAX_NAMES.min(groups.len())).unwrap_or_default().join(", ");
            let more = if groups.len() > MAX_NAMES { ", …" } else { "" };
            format!("{kind}: {} ({shown}{more})", groups.len())
        });
        texts.collect::<Vec<_>>().join("; ")
    }

    /// The totals, for CloudFormation and manual invocations.
    pub fn sums(&self) -> Value {
        json!({
            "log_groups": self.entries.len(),
            "added": self.count(Action::Add),
            "updated": self.count(Action::Update),
            "kept": self.count(Action::Keep),
            "removed": self.count(Action::Remove),
            "skipped": self.count(Action::Skip),
            "failed": self.failed_count(),
            "not_reached": self.not_reached_count(),
            "replayed_lines": self.replayed_lines,
            "notable": self.notable_text(),
        })
    }

    /// The totals, and each log group.
    pub fn to_json(&self) -> Value {
        let entry = |entry: &LogGroupEntry| {
            let (fate, error) = match &entry.fate {
                LogGroupFate::Done => ("done", None),
                LogGroupFate::Planned => ("planned", None),
                LogGroupFate::Gone => ("gone", None),
                LogGroupFate::Failed(text) => ("failed", Some(text)),
                LogGroupFate::NotReached => ("not_reached", None),
            };
            json!({
                "log_group": entry.group.name,
                "action": entry.action.as_str(),
                "reason": entry.reason.as_ref().map(ToString::to_string),
                "former_pattern": entry.former_pattern,
                "stays_spilled": entry.stays_spilled,
                "fate": fate,
                "error": error,
            })
        };
        let mut json = self.sums();
        if let Some(json) = json.as_object_mut() {
            json.insert("not_listed".to_owned(), self.not_listed.clone().into());
            json.insert("entries".to_owned(), self.entries.iter().map(entry).collect());
        }
        json
    }

    /// A line of the log, and one for each log group whose first lines are not forwarded.
    pub(crate) fn log(&self, run: &str) {
        for problem in &self.not_replayed {
            let what = "log events from before a subscription were not forwarded";
            tracing::error!(run, problem, "{what}");
        }
        // A field of its own for metric filters.
        let sums = self.sums();
        let not_reached = self.not_reached_count();
        if let Some(failure) = self.first_error() {
            let problem = "some log groups could not be subscribed, the next run tries again";
            tracing::error!(run, not_reached, %sums, failure, "{problem}");
        } else if not_reached > 0 || !self.notable_text().is_empty() {
            tracing::warn!(run, not_reached, %sums, "some log groups stay unsubscribed");
        } else {
            tracing::info!(run, %sums, "all selected log groups are subscribed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::Unselected;

    fn entry(
        group: &str,
        action: Action,
        reason: Option<DecisionReason>,
        fate: LogGroupFate,
    ) -> LogGroupEntry {
        let group = LogGroup { name: group.to_owned(), ..LogGroup::default() };
        LogGroupEntry {
            group,
            action,
            reason,
            fate,
            former_pattern: None,
            stays_spilled: false,
            subscribed: None,
        }
    }

    #[test]
    fn a_report_counts_actions_and_notable_reasons() {
        let full = |group: &str| {
            entry(
                group,
                Action::Skip,
                Some(DecisionReason::Full("a, b".to_owned())),
                LogGroupFate::Done,
            )
        };
        let excluded = DecisionReason::Unselected(Unselected::Excluded);
        let mut entries: Vec<LogGroupEntry> = ["1", "2", "3", "4", "5", "6"].map(full).into();
        entries.push(entry("/a", Action::Add, None, LogGroupFate::Planned));
        entries.push(entry("/b", Action::Add, None, LogGroupFate::Failed("no".to_owned())));
        entries.push(entry("/c", Action::Skip, Some(excluded), LogGroupFate::Done));
        entries.push(entry("/d", Action::Skip, None, LogGroupFate::NotReached));
        let report = SweepReport { entries, ..SweepReport::default() };
        assert_eq!(report.notable_text(), "two filters of other systems: 6 (1, 2, 3, 4, 5, …)");
        assert_eq!((report.count(Action::Add), report.count(Action::Skip)), (1, 7));
        assert_eq!(
            (report.failed_count(), report.not_reached_count(), report.first_error()),
            (1, 1, Some("no"))
        );
        assert!(!report.has_failed());
        let json = report.to_json();
        assert_eq!(json.pointer("/entries/7/error").and_then(Value::as_str), Some("no"));
        let failed =
            SweepReport { entries: report.entries[7..8].to_vec(), ..SweepReport::default() };
        assert!(failed.has_failed());
        assert!(!SweepReport::default().has_failed());
    }
}
