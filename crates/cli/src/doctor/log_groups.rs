//! Checks the subscriptions of log groups, each by its name or many by a pattern.

use super::answers::Question;
use super::function::DeployedFunction;
use super::wiring::{self, CheckedForwarder, FoundFilter};
use crate::aws::{self, Aws, deadline, matching_log_groups};
use crate::progress::Tally;
use ::aws::{AccountPolicy, CloudWatchLogs, LogGroup, SubscriptionFilter};
use console::quantity::plural;
use futures_util::StreamExt as _;
use settings::{Check, Verdict};
use std::collections::BTreeMap;
use subscriber::{Selection, Unselected};
use wire::arn::Arn;

const NAME: &str = "subscription";
/// AWS allows ten requests a second.
const AT_A_TIME: usize = 4;
/// Problems of one pattern that are printed.
const MAX_PROBLEMS: usize = 10;
/// The log groups of our own stacks, which are never forwarded.
const OWN: &str = "/lambda-otlp/";

pub(super) struct LogGroups<'a> {
    pub(super) aws: &'a Aws,
    pub(super) logs: &'a CloudWatchLogs,
    pub(super) policies: &'a [AccountPolicy],
    pub(super) forwarder: CheckedForwarder<'a>,
    /// Further log groups that are never forwarded.
    pub(super) own: &'a [&'a String],
    /// Log groups to which the forwarder's backend writes.
    pub(super) written: &'a [String],
    /// The log groups that the stack selects.
    pub(super) selection: Option<&'a Selection>,
}

/// The result of checking one or several log groups.
#[derive(Default)]
pub(super) struct CheckedLogGroups {
    pub(super) checks: Vec<Check>,
    /// The functions that write to the log groups.
    pub(super) functions: Vec<DeployedFunction>,
}

impl LogGroups<'_> {
    /// Checks the log group of this name, or all of a pattern with `*`.
    pub(super) async fn check(&self, pattern: &str, progress: &Tally) -> CheckedLogGroups {
        if !pattern.contains('*') {
            return self.check_one(pattern).await;
        }
        let groups = match matching_log_groups(self.logs, pattern).await {
            Ok(groups) => groups,
            Err(error) => {
                return CheckedLogGroups::of(Check::failed(NAME, format!("{pattern}: {error:#}")));
            }
        };
        let is_forwarded = |name: &String| {
            !name.starts_with(OWN) && !self.own.contains(&name) && !self.written.contains(name)
        };
        let names: Vec<String> =
            groups.into_iter().map(|group| group.name).filter(is_forwarded).collect();
        if names.is_empty() {
            let place = aws::place(self.aws).await;
            let hint = aws::hint_without_path([pattern].into_iter());
            let remedy = hint.as_deref().unwrap_or(
                "check the pattern, --region and --profile, or invoke a function, which creates its log group",
            );
            let text = format!("{pattern}: no log group matches in {place}: {remedy}");
            return CheckedLogGroups::of(Check::failed(NAME, text));
        }
        progress.set_total(names.len());
        let checks = names.iter().map(|name| self.check_one(name));
        let mut checked = std::pin::pin!(futures_util::stream::iter(checks).buffered(AT_A_TIME));
        let mut all = CheckedLogGroups::default();
        while let Some(CheckedLogGroups { checks, functions }) = checked.next().await {
            all.checks.extend(checks);
            all.functions.extend(functions);
            progress.add(1);
        }
        all.checks = summary(pattern, names.len(), all.checks);
        all
    }

    /// Checks that none of the log groups is forwarded to which the backend writes.
    pub(super) async fn check_written(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        for group in self.written {
            // Without the log group, nothing has been written.
            let Ok(filters) = self.logs.subscription_filters(group, deadline()).await else {
                continue;
            };
            let filters = self.filters(group, filters);
            if let Some(filter) = filters.iter().find(|it| self.forwarder.receives_from(it)) {
                let FoundFilter { description, removal, .. } = filter;
                let text = format!(
                    "{group}: {description} leads to the forwarder, whose backend writes this log group: each log event would cause another, so the forwarder drops them: `{removal}`"
                );
                checks.push(Check::failed(NAME, text));
            }
        }
        checks
    }

    /// The filters of a log group, and of the account's policies that apply to it.
    fn filters(&self, group: &str, of_log_group: Vec<SubscriptionFilter>) -> Vec<FoundFilter> {
        let aws_flags = self.forwarder.aws_flags;
        let of_log_group = of_log_group.into_iter();
        let of_policies = self.policies.iter().filter_map(|policy| {
            let AccountPolicy { name, document, selection_criteria } = policy;
            FoundFilter::of_policy(name, document, selection_criteria, group, aws_flags)
        });
        of_log_group
            .map(|filter| FoundFilter::of_log_group(group, filter, aws_flags))
            .chain(of_policies)
            .collect()
    }

    async fn check_one(&self, group: &str) -> CheckedLogGroups {
        if self.written.iter().any(|written| written == group) {
            // `check_written` finds a filter.
            let text = format!("{group}: not forwarded, because the forwarder's backend writes it");
            return CheckedLogGroups::of(Check { name: NAME, verdict: Verdict::Skipped, text });
        }
        let subscription_filters = match self.logs.subscription_filters(group, deadline()).await {
            Ok(filters) => filters,
            Err(error) if error.is_gone() => {
                let place = aws::place(self.aws).await;
                let hint = aws::hint_without_path([group].into_iter());
                let remedy = hint.as_deref().unwrap_or(
                    "check its name, --region and --profile, or invoke the function, which creates it",
                );
                let text = format!("{group}: does not exist in {place}: {remedy}");
                return CheckedLogGroups::of(Check::failed(NAME, text));
            }
            Err(error) => {
                let permission = "logs:DescribeSubscriptionFilters";
                let question = Question { check: NAME, subject: group, permission };
                return CheckedLogGroups::of(question.unanswered(error.cause()));
            }
        };
        let filters = self.filters(group, subscription_filters);
        let is_forwarded = filters.iter().any(|filter| self.forwarder.receives_from(filter));
        if !is_forwarded && let Some(check) = self.left_out(group).await {
            return CheckedLogGroups::of(check);
        }
        let mut function = None;
        if let Some(name) = group.strip_prefix("/aws/lambda/") {
            function = aws::function(self.aws, name).await.ok().map(DeployedFunction::of);
        }
        let mut checks = wiring::subscription(group, &filters, function.as_ref(), self.forwarder);
        if let Some(function) = &function {
            checks.extend(wiring::double_wiring(self.forwarder, group, function, &filters));
        }
        CheckedLogGroups { checks, functions: function.into_iter().collect() }
    }

    /// Returns the reason why the stack leaves a log group out, if it does.
    async fn left_out(&self, group: &str) -> Option<Check> {
        let selection = self.selection?;
        let reason = match selection.check_name(group) {
            Err(Unselected::Excluded) => "ExcludedLogGroups rules it out",
            Err(Unselected::Own) => "it is a log group of the stack",
            Err(Unselected::RegionalCopy) => {
                "a web function writes the same events to the log group without \".local\" in its home region"
            }
            Ok(()) if selection.asks_for_tags() => {
                let tags = self.tags(group).await?;
                selection.check_tags(&tags).err()?;
                "it does not have the tags of SubscribeTags"
            }
            _ => return None,
        };
        let text = format!("{group}: not forwarded, because {reason}");
        Some(Check { name: NAME, verdict: Verdict::Skipped, text })
    }

    /// Returns the tags of a log group; `None` without the permission to read them.
    async fn tags(&self, group: &str) -> Option<BTreeMap<String, String>> {
        let Arn { partition, region, account, .. } = Arn::parse(self.forwarder.arn)?;
        let arn = format!("arn:{partition}:logs:{region}:{account}:log-group:{group}");
        let group = LogGroup { name: group.to_owned(), arn, ..LogGroup::default() };
        self.logs.tags(&group, deadline()).await.ok()
    }
}

impl CheckedLogGroups {
    fn of(check: Check) -> Self {
        Self { checks: vec![check], functions: Vec::new() }
    }
}

/// Returns one check for all log groups without a problem, and the first problems.
fn summary(pattern: &str, groups: usize, checks: Vec<Check>) -> Vec<Check> {
    let is_problem = |check: &Check| matches!(check.verdict, Verdict::Warning | Verdict::Failed);
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let fine = count(Verdict::Ok);
    let all = plural(groups, "log group");
    let mut text = format!("{pattern}: {fine} of {all} lead to the forwarder");
    let left_out = count(Verdict::Skipped);
    if left_out > 0 {
        text = format!(
            "{text}; the stack leaves out {left_out}, by its ExcludedLogGroups or SubscribeTags"
        );
    }
    let mut problems: Vec<Check> = checks.into_iter().filter(is_problem).collect();
    // Failures come before warnings.
    problems.sort_by_key(|check| !check.is_failed());
    let further_count = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    let mut summary = vec![Check::ok(NAME, text)];
    summary.extend(problems);
    if further_count > 0 {
        let further = plural(further_count, "further problem");
        let text = format!("{pattern}: {further}: fix the first one, or narrow the pattern");
        summary.push(Check::warning(NAME, text));
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_prints_one_line_for_all_that_is_fine_and_the_first_problems() {
        let fine = (0..3).map(|n| Check::ok(NAME, format!("/fine-{n}")));
        let warned = (0..2).map(|n| Check::warning("double wiring", format!("/warned-{n}")));
        let failed = (0..10).map(|n| Check::failed(NAME, format!("/failed-{n}")));
        let left_out = Check { name: NAME, verdict: Verdict::Skipped, text: "/dev".to_owned() };
        let checks = fine.chain([left_out]).chain(warned).chain(failed).collect();
        let summary = summary("/*", 15, checks);
        let texts: Vec<&str> = summary.iter().map(|check| check.text.as_str()).collect();
        assert_eq!(
            texts[0],
            "/*: 3 of 15 log groups lead to the forwarder; the stack leaves out 1, by its ExcludedLogGroups or SubscribeTags"
        );
        assert_eq!(texts[1..11].iter().filter(|text| text.starts_with("/failed-")).count(), 10);
        assert_eq!(
            texts[11..],
            ["/*: 2 further problems: fix the first one, or narrow the pattern"]
        );
    }
}
