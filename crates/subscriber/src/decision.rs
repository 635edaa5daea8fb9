//! Decides about one log group's subscription filters, without I/O.

use crate::config::Collect;
use crate::selection::Unselected;
use aws::SubscriptionFilter;
use wire::arn::Arn;

/// The maximum number of filters of a log group (CloudWatch Logs User Guide, "CloudWatch Logs quotas").
pub(crate) const MAX_FILTERS: usize = 2;

/// The filter that sends a log group to the forwarder, directly or through a Kinesis stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurFilter {
    name: String,
    pattern: String,
    forwarder: String,
    stream: Option<KinesisStream>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KinesisStream {
    pub arn: String,
    /// The ARN of the role with which CloudWatch Logs writes to it.
    pub role: String,
}

impl OurFilter {
    /// Creates the filter for the forwarder with this ARN, which it invokes or which reads the stream. Its name identifies the
    /// forwarder, because two stacks may subscribe one log group. `None` if the ARN is not a function's.
    pub fn new(forwarder: &str, stream: Option<KinesisStream>, pattern: &str) -> Option<Self> {
        let function = function_name(forwarder)?;
        let pattern = pattern.to_owned();
        let forwarder = forwarder.to_owned();
        Some(Self { name: format!("lambda-otlp/{function}"), pattern, forwarder, stream })
    }

    pub fn as_filter(&self) -> SubscriptionFilter {
        let Self { name, pattern, forwarder, stream } = self.clone();
        let (destination, role) = match stream {
            Some(KinesisStream { arn, role }) => (arn, Some(role)),
            None => (forwarder, None),
        };
        SubscriptionFilter { name, pattern, destination, role }
    }

    /// The forwarder's default log group.
    pub fn default_log_group(&self) -> String {
        format!("/aws/lambda/{}", function_name(&self.forwarder).unwrap_or_default())
    }

    /// Returns `true` if this is our filter, whatever its pattern: it has our name, and leads to our function.
    fn matches(&self, filter: &SubscriptionFilter) -> bool {
        filter.name == self.name && self.receives_from(filter)
    }

    /// Returns `true` if a filter sends to our function in any version or alias, directly or through the stream.
    fn receives_from(&self, filter: &SubscriptionFilter) -> bool {
        let is_our_stream =
            self.stream.as_ref().is_some_and(|stream| stream.arn == filter.destination);
        let is_forwarder = |destination: &Arn<'_>| {
            Arn::parse(&self.forwarder).is_some_and(|own| own.is_same_function(destination))
        };
        is_our_stream || Arn::parse(&filter.destination).as_ref().is_some_and(is_forwarder)
    }
}

/// The name of the function with this ARN.
fn function_name(arn: &str) -> Option<&str> {
    Some(Arn::parse(arn)?.function()?.name)
}

/// The filter that log groups should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedFilter {
    /// Our filter for selected log groups.
    pub ours: OurFilter,
    /// Our former filter, for another forwarder or another route, which is removed.
    pub former: Option<OurFilter>,
    /// `true` if a log group with another owner's filter gets ours in addition.
    pub beside_others: bool,
    /// `true` if our filter for spilled lines stays one. A person chose it for a function in direct mode, whose telemetry would
    /// arrive twice with all lines.
    pub keeps_spilled: bool,
}

impl WantedFilter {
    /// Returns our filter for a log group that has these filters.
    pub(crate) fn filter_for(&self, filters: &[SubscriptionFilter]) -> OurFilter {
        let mut ours = self.ours.clone();
        if self.stays_spilled(filters) {
            Collect::Spilled.pattern().clone_into(&mut ours.pattern);
        }
        ours
    }

    /// Returns `true` if our filter among these stays one for spilled lines, though other lines are selected.
    pub(crate) fn stays_spilled(&self, filters: &[SubscriptionFilter]) -> bool {
        let spilled = Collect::Spilled.pattern();
        let is_own = |filter: &SubscriptionFilter| {
            self.ours.matches(filter)
                || self.former.as_ref().is_some_and(|former| former.matches(filter))
        };
        self.keeps_spilled
            && self.ours.pattern != spilled
            && filters.iter().any(|filter| filter.pattern == spilled && is_own(filter))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Add,
    Update,
    Keep,
    /// Delete our filters.
    Remove,
    /// Change nothing.
    Skip,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Skip => "skip",
        }
    }
}

/// The reason of a decision, if it is not obvious.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecisionReason {
    #[error("{0}")]
    Unselected(Unselected),
    #[error("its class {0} allows no subscription filters")]
    Class(String),
    /// Two filters of other owners.
    #[error("already has two filters ({0}): remove one")]
    Full(String),
    #[error(
        "has another product's filter ({0}); `lambda-otlp subscribe --beside-others --yes` adds ours"
    )]
    Foreign(String),
    /// Another owner's filter leads to our forwarder: with ours every event would arrive twice.
    #[error("filter {0}, which is not ours, leads to this forwarder already")]
    LeadsHere(String),
    /// A second filter, of another owner, leads to our forwarder.
    #[error(
        "filter {0}, which is not ours, leads to this forwarder too: every event arrives twice; remove it"
    )]
    Twice(String),
    /// A filter with our name leads to this destination, and ours would replace it.
    #[error("a filter with our name leads to {0}: rename or remove it")]
    NameTaken(String),
}

impl DecisionReason {
    /// Returns `true` if a person should know: a requested log group is not subscribed, or subscribed twice.
    pub fn is_notable(&self) -> bool {
        !matches!(self, Self::Unselected(_))
    }

    /// The kind of reason in a few words, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unselected(_) => "not selected",
            Self::Class(_) => "class without subscription filters",
            Self::Full(_) => "two filters of other systems",
            Self::Foreign(_) => "another system's filter",
            Self::LeadsHere(_) => "subscribed by another filter",
            Self::Twice(_) => "subscribed twice",
            Self::NameTaken(_) => "name taken",
        }
    }
}

/// The decision about one log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) action: Action,
    /// The reason, if it is not obvious.
    pub(crate) reason: Option<DecisionReason>,
    /// The filters to delete; all of them are ours.
    pub(crate) delete: Vec<String>,
    /// The pattern of our present filter, if it changes.
    pub(crate) former_pattern: Option<String>,
}

impl Decision {
    /// Deletes these filters of ours, and adds none. Without filters to delete, the log group is skipped.
    fn remove(reason: DecisionReason, delete: Vec<String>) -> Self {
        let action = if delete.is_empty() { Action::Skip } else { Action::Remove };
        Self { action, reason: Some(reason), delete, former_pattern: None }
    }
}

/// The filters of a log group by their owner.
struct PresentFilters<'f> {
    /// Our filter.
    current: Option<&'f SubscriptionFilter>,
    /// Filters of our former forwarder or route.
    former: Vec<&'f SubscriptionFilter>,
    /// Filters of other owners.
    others: Vec<&'f SubscriptionFilter>,
}

impl<'f> PresentFilters<'f> {
    fn of(
        ours: &OurFilter,
        former_filter: Option<&OurFilter>,
        filters: &'f [SubscriptionFilter],
    ) -> Self {
        let mut present = Self { current: None, former: Vec::new(), others: Vec::new() };
        for filter in filters {
            if ours.matches(filter) {
                present.current = present.current.or(Some(filter));
            } else if former_filter.is_some_and(|former| former.matches(filter)) {
                present.former.push(filter);
            } else {
                present.others.push(filter);
            }
        }
        present
    }
}

/// Returns the class of a log group if it allows no subscription filters. A log group never changes its class, and `None`, an
/// unstated one, is `STANDARD` (CloudWatch Logs User Guide, "Log classes").
pub(crate) fn class_without_filters(class: Option<&str>) -> Option<&str> {
    class.filter(|class| *class != "STANDARD")
}

/// Decides about a log group of this class with these filters. Only our own filters are changed or deleted.
pub(crate) fn decide(
    wanted: &WantedFilter,
    selected: Result<(), Unselected>,
    class: Option<&str>,
    filters: &[SubscriptionFilter],
) -> Decision {
    let ours = &wanted.filter_for(filters);
    let PresentFilters { current, former, others } =
        PresentFilters::of(ours, wanted.former.as_ref(), filters);
    let former_names: Vec<String> = former.iter().map(|filter| filter.name.clone()).collect();
    let former_pattern = current
        .or(former.first().copied())
        .map(|filter| filter.pattern.clone())
        .filter(|pattern| *pattern != ours.pattern);
    if let Err(why) = selected {
        let current_name = current.map(|filter| filter.name.clone());
        let delete = current_name.into_iter().chain(former_names).collect();
        return Decision::remove(DecisionReason::Unselected(why), delete);
    }
    let skip = |reason| Decision::remove(reason, Vec::new());
    if let Some(class) = class_without_filters(class) {
        return skip(DecisionReason::Class(class.to_owned()));
    }
    let leads_here = others.iter().find(|filter| ours.receives_from(filter));
    if let Some(current) = current {
        let is_as_wanted = *current == ours.as_filter() && former_names.is_empty();
        let action = if is_as_wanted { Action::Keep } else { Action::Update };
        let reason = leads_here.map(|filter| DecisionReason::Twice(filter.name.clone()));
        return Decision { action, reason, delete: former_names, former_pattern };
    }
    if let Some(other) = leads_here {
        return Decision::remove(DecisionReason::LeadsHere(other.name.clone()), former_names);
    }
    if let Some(other) = others.iter().find(|filter| filter.name == ours.name) {
        return skip(DecisionReason::NameTaken(other.destination.clone()));
    }
    let other_names = || others.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
    if others.len() >= MAX_FILTERS {
        return skip(DecisionReason::Full(other_names()));
    }
    // A former filter of ours next to another owner's shows that the log group was subscribed in addition.
    if !others.is_empty() && !wanted.beside_others && former_names.is_empty() {
        return skip(DecisionReason::Foreign(other_names()));
    }
    let action = if former_names.is_empty() { Action::Add } else { Action::Update };
    // Putting a filter replaces the one of its name atomically, so no line is missed.
    let delete = former_names.into_iter().filter(|name| *name != ours.name).collect();
    Decision { action, reason: None, delete, former_pattern }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: &str = "arn:aws:lambda:eu-west-1:123456789012:function:fwd";
    const FORMER: &str = "arn:aws:lambda:eu-west-1:123456789012:function:old";
    const ELSEWHERE: &str = "arn:aws:firehose:eu-west-1:123456789012:deliverystream/x";
    const STREAM: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/s";
    const ROLE: &str = "arn:aws:iam::123456789012:role/r";

    fn wanted(beside_others: bool) -> WantedFilter {
        let ours = OurFilter::new(HERE, None, "p").unwrap();
        let former = OurFilter::new(FORMER, None, "p");
        WantedFilter { ours, former, beside_others, keeps_spilled: false }
    }

    /// `name>destination` or `name>destination~pattern`; `here`, `old`, `else`, `stream` for destinations; `other-role` is the
    /// stream without its role.
    fn filters(text: &str) -> Vec<SubscriptionFilter> {
        let filter = |text: &str| {
            let (name, rest) = text.split_once('>').unwrap();
            let (destination, pattern) = rest.split_once('~').unwrap_or((rest, "p"));
            let destination_arn = match destination {
                "here" => HERE.to_owned(),
                "old" => FORMER.to_owned(),
                "else" => ELSEWHERE.to_owned(),
                "stream" | "other-role" => STREAM.to_owned(),
                alias => format!("{HERE}:{alias}"),
            };
            let has_role = destination == "stream";
            SubscriptionFilter {
                name: name.to_owned(),
                pattern: pattern.to_owned(),
                destination: destination_arn,
                role: has_role.then(|| ROLE.to_owned()),
            }
        };
        text.split_whitespace().map(filter).collect()
    }

    fn described(decision: &Decision) -> String {
        let mut text = decision.action.as_str().to_owned();
        if let Some(reason) = &decision.reason {
            text = format!("{text}: {}", reason.kind());
        }
        for name in &decision.delete {
            text = format!("{text}, deletes {name}");
        }
        if let Some(pattern) = &decision.former_pattern {
            text = format!("{text}, pattern {pattern} before");
        }
        text
    }

    #[track_caller]
    fn check(wanted: &WantedFilter, selected: Result<(), Unselected>, has: &str, expected: &str) {
        let filters = filters(has);
        let decision = decide(wanted, selected, Some("STANDARD"), &filters);
        assert_eq!(described(&decision), expected, "{has}");
    }

    #[test]
    fn a_selected_log_group_gets_our_filter_once() {
        for (has, expected) in [
            ("", "add"),
            ("lambda-otlp/fwd>here", "keep"),
            ("lambda-otlp/fwd>here~other", "update, pattern other before"),
            ("lambda-otlp/fwd>live", "update"),
            ("lambda-otlp/fwd>here audit>else", "keep"),
            ("audit>else", "skip: another system's filter"),
            ("audit>else audit2>else", "skip: two filters of other systems"),
            ("by-hand>here", "skip: subscribed by another filter"),
            ("by-hand>live", "skip: subscribed by another filter"),
            ("lambda-otlp/fwd>here by-hand>here", "keep: subscribed twice"),
            ("lambda-otlp/fwd>else", "skip: name taken"),
            ("lambda-otlp/dev>else", "skip: another system's filter"),
            // Of a former forwarder.
            ("lambda-otlp/old>old", "update, deletes lambda-otlp/old"),
            ("lambda-otlp/old>old~other", "update, deletes lambda-otlp/old, pattern other before"),
            ("lambda-otlp/old>old audit>else", "update, deletes lambda-otlp/old"),
            ("lambda-otlp/old>old lambda-otlp/fwd>here", "update, deletes lambda-otlp/old"),
            (
                "lambda-otlp/old>old by-hand>here",
                "remove: subscribed by another filter, deletes lambda-otlp/old",
            ),
            // One with the former forwarder's name, and another owner's.
            ("lambda-otlp/old>else", "skip: another system's filter"),
        ] {
            check(&wanted(false), Ok(()), has, expected);
        }
        let beside_others = wanted(true);
        check(&beside_others, Ok(()), "audit>else", "add");
        check(
            &beside_others,
            Ok(()),
            "audit>else audit2>else",
            "skip: two filters of other systems",
        );
        check(&beside_others, Ok(()), "lambda-otlp/fwd>else", "skip: name taken");
    }

    #[test]
    fn a_filter_for_spilled_lines_stays_one_unless_other_lines_are_asked_for() {
        let of = |name: &str, destination: &str| SubscriptionFilter {
            name: name.to_owned(),
            pattern: Collect::Spilled.pattern().to_owned(),
            destination: destination.to_owned(),
            role: None,
        };
        let keeping = WantedFilter { keeps_spilled: true, ..wanted(false) };
        for (wanted, filter, expected, pattern) in [
            (&keeping, of("lambda-otlp/fwd", HERE), "keep", Collect::Spilled.pattern()),
            (
                &keeping,
                of("lambda-otlp/old", FORMER),
                "update, deletes lambda-otlp/old",
                Collect::Spilled.pattern(),
            ),
            // Of another owner.
            (&keeping, of("audit", ELSEWHERE), "skip: another system's filter", "p"),
            (
                &wanted(false),
                of("lambda-otlp/fwd", HERE),
                "update, pattern { $.spill IS TRUE } before",
                "p",
            ),
        ] {
            let filters = [filter];
            let decision = decide(wanted, Ok(()), Some("STANDARD"), &filters);
            assert_eq!(described(&decision), expected, "{filters:?}");
            assert_eq!(wanted.filter_for(&filters).as_filter().pattern, pattern, "{filters:?}");
        }
    }

    #[test]
    fn direct_and_kinesis_filters_replace_each_other() {
        let arn = STREAM.to_owned();
        let role = ROLE.to_owned();
        let stream = OurFilter::new(HERE, Some(KinesisStream { arn, role }), "p").unwrap();
        let direct = wanted(false).ours;
        let there =
            WantedFilter { ours: stream.clone(), former: Some(direct.clone()), ..wanted(false) };
        for (has, expected) in [
            ("", "add"),
            ("lambda-otlp/fwd>here", "update"),
            ("lambda-otlp/fwd>stream", "keep"),
            ("lambda-otlp/fwd>stream~other", "update, pattern other before"),
            ("lambda-otlp/fwd>other-role", "update"),
            // Every event would arrive twice, through the stream and directly.
            ("by-hand>here", "skip: subscribed by another filter"),
            ("by-hand>stream", "skip: subscribed by another filter"),
        ] {
            check(&there, Ok(()), has, expected);
        }
        let back = WantedFilter { ours: direct, former: Some(stream), ..wanted(false) };
        check(&back, Ok(()), "lambda-otlp/fwd>stream", "update");
        check(&back, Ok(()), "lambda-otlp/fwd>here", "keep");
        // Without the update's statement of the previous properties, a stream with our name may belong to anyone.
        let unstated = WantedFilter { former: None, ..wanted(false) };
        check(&unstated, Ok(()), "lambda-otlp/fwd>stream", "skip: name taken");
    }

    #[test]
    fn an_unselected_log_group_loses_only_our_filter() {
        for (has, expected) in [
            ("", "skip: not selected"),
            ("lambda-otlp/fwd>here~any", "remove: not selected, deletes lambda-otlp/fwd"),
            ("lambda-otlp/old>old audit>else", "remove: not selected, deletes lambda-otlp/old"),
            ("audit>else by-hand>here", "skip: not selected"),
            ("lambda-otlp/fwd>else", "skip: not selected"),
        ] {
            check(&wanted(true), Err(Unselected::Tags), has, expected);
        }
    }

    #[test]
    fn log_classes_without_filter_support_are_skipped() {
        let decision = |class| described(&decide(&wanted(true), Ok(()), class, &[]));
        let skipped = "skip: class without subscription filters";
        assert_eq!(decision(Some("INFREQUENT_ACCESS")), skipped);
        assert_eq!(decision(Some("ONE_OF_TOMORROW")), skipped);
        assert_eq!(decision(None), "add");
    }

    #[test]
    fn only_a_function_arn_is_a_valid_destination() {
        assert!(OurFilter::new(&format!("{HERE}:live"), None, "").is_some());
        for other in [ELSEWHERE, "arn:aws:lambda:eu-west-1:1:function:", "forwarder", ""] {
            assert_eq!(OurFilter::new(other, None, ""), None, "{other}");
        }
    }

    /// The filters of a log group after a decision, as in CloudWatch Logs.
    fn carried_out(
        wanted: &WantedFilter,
        decision: &Decision,
        filters: &[SubscriptionFilter],
    ) -> Vec<SubscriptionFilter> {
        let mut after: Vec<SubscriptionFilter> =
            filters.iter().filter(|f| !decision.delete.contains(&f.name)).cloned().collect();
        if matches!(decision.action, Action::Add | Action::Update) {
            let ours = wanted.ours.as_filter();
            after.retain(|filter| filter.name != ours.name);
            after.push(ours);
        }
        after
    }

    proptest! {
        #[test]
        fn decisions_keep_foreign_filters_and_are_idempotent(
            texts in prop::collection::vec(
                "(lambda-otlp/fwd|lambda-otlp/old|audit|by-hand)>(here|live|old|else)~[pq]", 0..=2,
            ),
            is_selected: bool,
            beside_others: bool,
        ) {
            let mut filters = filters(&texts.join(" "));
            filters.dedup_by(|a, b| a.name == b.name);
            let wanted = wanted(beside_others);
            let selected = if is_selected { Ok(()) } else { Err(Unselected::Excluded) };
            let of = |filters: &[SubscriptionFilter]| decide(&wanted, selected, None, filters);
            let decision = of(&filters);
            let after = carried_out(&wanted, &decision, &filters);
            let former = wanted.former.as_ref().unwrap();
            let is_ours = |f: &SubscriptionFilter| wanted.ours.matches(f) || former.matches(f);
            prop_assert!(filters.iter().filter(|f| !is_ours(f)).all(|f| after.contains(f)));
            prop_assert!(after.len() <= MAX_FILTERS);
            prop_assert!(after.iter().all(|f| !former.matches(f)) || decision.reason.is_some());
            if !is_selected {
                prop_assert!(!after.iter().any(is_ours));
            }
            let again = of(&after);
            prop_assert!(again.delete.is_empty(), "{again:?}");
            prop_assert!(matches!(again.action, Action::Keep | Action::Skip), "{again:?}");
        }
    }
}
