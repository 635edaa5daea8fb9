//! The subscriber of a deployed stack, which restores its own selection every hour.

use crate::aws::{self, Aws, resource_name};
use crate::doctor::DeployedFunction;
use console::quantity::plural;
use subscriber::{Action, Collect, Config, LogGroupEntry, Selection, SweepReport, Task};
use wire::arn::Arn;

/// The tag that CloudFormation sets on the functions of a stack.
const STACK_TAG: &str = "aws:cloudformation:stack-name";

/// The subscriber of a stack, as it is deployed.
pub(super) struct StackSubscriber {
    stack: String,
    selection: Selection,
    /// The pattern of its filters.
    pattern: String,
}

/// Returns the subscriber of the forwarder's stack; `None` if there is none, or without the permissions to find it.
pub(super) async fn find(
    aws: &Aws,
    stack: Option<&str>,
    forwarder: &str,
) -> Option<StackSubscriber> {
    let stack = if let Some(stack) = stack {
        stack.to_owned()
    } else {
        // Tags belong to the function, not to a version or alias.
        let function = Arn::parse(forwarder)?.unqualified()?;
        aws.lambda().ok()?.tags(&function).await.ok()?.remove(STACK_TAG)?
    };
    let subscriber = resource_name(aws, &stack, "SubscriberFunction").await.ok()?;
    let function = DeployedFunction::of(aws::function(aws, &subscriber).await.ok()?);
    let config = Config::from_source(&function.settings()).0.ok()?;
    let pattern = config.wanted.ours.as_filter().pattern;
    Some(StackSubscriber { stack, selection: config.selection, pattern })
}

impl StackSubscriber {
    /// Warns of the changes in this report that the subscriber will revert.
    pub(super) fn warnings(
        &self,
        report: &SweepReport,
        collect: Collect,
        task: Task,
    ) -> Vec<String> {
        let Self { stack, selection, pattern } = self;
        let if_tagged =
            if selection.asks_for_tags() { " if they have the tags of SubscribeTags" } else { "" };
        let count = |is_reverted: &dyn Fn(&LogGroupEntry) -> bool| {
            report.entries.iter().filter(|entry| is_reverted(entry)).count()
        };
        let is_selected = |entry: &LogGroupEntry| selection.check_name(&entry.group.name).is_ok();
        let is_subscribed = |entry: &LogGroupEntry| {
            matches!(entry.action, Action::Add | Action::Update | Action::Keep)
        };
        let mut warnings = Vec::new();
        let added_again = count(&|entry| entry.action == Action::Remove && is_selected(entry));
        if added_again > 0 {
            let filters = plural(added_again, "removed filter");
            warnings.push(format!(
                "warning: the subscriber of stack {stack} adds {filters} again within the hour{if_tagged}: first deploy the stack with another LogGroups or ExcludedLogGroups"
            ));
        }
        if task == Task::Remove {
            return warnings;
        }
        let is_ruled_out = |entry: &LogGroupEntry| {
            settings::Pattern::any_matches(selection.include(), &entry.group.name)
                && !is_selected(entry)
        };
        let removed = count(&|entry| is_subscribed(entry) && is_ruled_out(entry));
        if removed > 0 {
            let filters = plural(removed, "filter");
            warnings.push(format!(
                "warning: the subscriber of stack {stack} removes {filters} within the hour, because its ExcludedLogGroups rules out the log group: first deploy the stack with another ExcludedLogGroups"
            ));
        }
        if selection.asks_for_tags() && task == Task::Add {
            let tagged = count(&|entry| entry.action == Action::Add && is_selected(entry));
            if tagged > 0 {
                let filters = plural(tagged, "added filter");
                warnings.push(format!(
                    "warning: the subscriber of stack {stack} removes {filters} within the hour unless the log groups have the tags of SubscribeTags: first tag them, or deploy the stack with another SubscribeTags"
                ));
            }
        }
        let is_changed = |entry: &LogGroupEntry| {
            // The subscriber leaves filters for spilled lines as they are.
            is_subscribed(entry) && is_selected(entry) && !entry.stays_spilled
        };
        let changed = count(&is_changed);
        let is_kept = *pattern == collect.pattern() || collect == Collect::Spilled;
        if changed > 0 && !is_kept {
            let filters = plural(changed, "filter");
            warnings.push(format!(
                "warning: the subscriber of stack {stack} changes the pattern of {filters} to that of its Collect within the hour{if_tagged}: deploy the stack with another Collect"
            ));
        }
        warnings
    }
}
