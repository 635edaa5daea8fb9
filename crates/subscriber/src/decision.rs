//! Decides what becomes of one log group's subscription filters; pure.

use crate::selection::Unselected;
use aws::SubscriptionFilter;
use std::fmt;

/// CloudWatch Logs takes no third one (CloudWatch Logs User Guide, "CloudWatch Logs quotas").
const MOST_FILTERS: usize = 2;

/// The filter that leads a log group to the forwarder, at once or through a Kinesis stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurFilter {
    name: String,
    pattern: String,
    /// The forwarder's ARN.
    forwarder: String,
    stream: Option<KinesisStream>,
}

/// A Kinesis stream that the forwarder reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KinesisStream {
    /// Its ARN.
    pub arn: String,
    /// The ARN of the role that CloudWatch Logs writes into it as.
    pub role: String,
}

impl OurFilter {
    /// The filter of the forwarder with this ARN, which it invokes, or which reads what it writes into the stream. Its name says whose
    /// it is: two stacks may subscribe one log group. `None` where the ARN is not of a function.
    pub fn new(forwarder: &str, stream: Option<KinesisStream>, pattern: &str) -> Option<Self> {
        let function = function_name(forwarder)?;
        let (pattern, forwarder) = (pattern.to_owned(), forwarder.to_owned());
        Some(Self { name: format!("lambda-otlp/{function}"), pattern, forwarder, stream })
    }

    /// As CloudWatch Logs has it.
    pub fn as_filter(&self) -> SubscriptionFilter {
        let Self { name, pattern, forwarder, stream } = self.clone();
        let (destination, role) = match stream {
            Some(KinesisStream { arn, role }) => (arn, Some(role)),
            None => (forwarder, None),
        };
        SubscriptionFilter { name, pattern, destination, role }
    }

    /// The log group that Lambda gives the forwarder unless it is told otherwise.
    pub fn default_log_group(&self) -> String {
        format!("/aws/lambda/{}", function_name(&self.forwarder).unwrap_or_default())
    }

    /// Whether this is our filter, whatever its pattern: it has our name and leads to our function.
    fn is(&self, filter: &SubscriptionFilter) -> bool {
        filter.name == self.name && self.is_led_to_by(filter)
    }

    /// Whether a filter leads to our function, whatever its version or alias, by itself or through the stream.
    fn is_led_to_by(&self, filter: &SubscriptionFilter) -> bool {
        let is_our_stream =
            self.stream.as_ref().is_some_and(|stream| stream.arn == filter.destination);
        is_our_stream || unqualified(&filter.destination) == unqualified(&self.forwarder)
    }
}

/// `arn:{partition}:lambda:{region}:{account}:function:{name}`, with a version or alias behind it or without.
fn function_name(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts.as_slice() {
        ["arn", _, "lambda", _, _, "function", name, ..] if !name.is_empty() => Some(name),
        _ => None,
    }
}

fn unqualified(arn: &str) -> Vec<&str> {
    arn.split(':').take(7).collect()
}

/// What is wanted of log groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The filter that selected log groups are to have.
    pub ours: OurFilter,
    /// What ours was before it led to another forwarder, or another way there: it goes.
    pub former: Option<OurFilter>,
    /// Whether a log group that has one filter of someone else gets ours beside it.
    pub beside_others: bool,
}

/// What there is of one log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State<'a> {
    /// Whether it is selected.
    pub selected: Result<(), Unselected>,
    /// `STANDARD`, or one that takes no subscription filters; `None` where AWS does not say.
    pub class: Option<&'a str>,
    /// Its subscription filters.
    pub filters: &'a [SubscriptionFilter],
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Our filter is put.
    Put,
    /// Our filter is there and is changed.
    Update,
    /// Our filter is there as it should be.
    Keep,
    /// Our filter is deleted.
    Remove,
    /// Nothing is done.
    Leave,
}

impl Action {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Update => "update",
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Leave => "leave",
        }
    }
}

/// Why it is done, where that does not go without saying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not selected.
    Unselected(Unselected),
    /// A log group of this class takes no subscription filters.
    Class(String),
    /// Two filters of someone else.
    Full(String),
    /// One filter of someone else.
    Foreign(String),
    /// A filter that is not ours leads to our forwarder: with ours every event would come twice.
    LeadsHere(String),
    /// Beside ours, another filter leads to our forwarder: every event comes twice.
    Twice(String),
    /// A filter of our name leads elsewhere: putting ours would take its place.
    NameTaken(String),
}

impl Reason {
    /// Whether a person may want to know of it: a log group that was asked for is not subscribed, or is subscribed twice.
    pub fn is_notable(&self) -> bool {
        !matches!(self, Self::Unselected(_))
    }

    /// The kind of reason in few words, to count by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unselected(_) => "not selected",
            Self::Class(_) => "class without subscription filters",
            Self::Full(_) => "two filters of others",
            Self::Foreign(_) => "a filter of others",
            Self::LeadsHere(_) => "subscribed by another filter",
            Self::Twice(_) => "subscribed twice",
            Self::NameTaken(_) => "name taken",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unselected(why) => write!(f, "{why}"),
            Self::Class(class) => {
                write!(f, "its class {class} takes no subscription filters")
            }
            Self::Full(names) => write!(f, "has its two filters already ({names}): remove one"),
            Self::Foreign(name) => write!(
                f,
                "has a filter of someone else ({name}); with LAMBDA_OTLP_BESIDE_OTHERS=true ours is put beside it"
            ),
            Self::LeadsHere(name) => {
                write!(f, "filter {name}, which is not ours, leads to this forwarder already")
            }
            Self::Twice(name) => write!(
                f,
                "filter {name}, which is not ours, leads to this forwarder too: every event comes twice, remove it"
            ),
            Self::NameTaken(destination) => {
                write!(
                    f,
                    "a filter with the name of ours leads to {destination}: rename or remove it"
                )
            }
        }
    }
}

/// What becomes of one log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What is done, and counted as.
    pub action: Action,
    /// Why, where that does not go without saying.
    pub reason: Option<Reason>,
    /// The filters that are deleted first; all of them are ours.
    pub delete: Vec<String>,
}

/// What becomes of a log group. Nothing is put or deleted but what is ours.
pub fn decide(wish: &Wish, state: &State<'_>) -> Decision {
    let Wish { ours, former, beside_others } = wish;
    let is_former = |filter: &SubscriptionFilter| {
        !ours.is(filter) && former.as_ref().is_some_and(|former| former.is(filter))
    };
    let own = state.filters.iter().find(|filter| ours.is(filter));
    let retired = state.filters.iter().filter(|filter| is_former(filter));
    let retired: Vec<String> = retired.map(|filter| filter.name.clone()).collect();
    if let Err(why) = state.selected {
        let delete: Vec<String> =
            own.map(|filter| filter.name.clone()).into_iter().chain(retired).collect();
        let action = if delete.is_empty() { Action::Leave } else { Action::Remove };
        return Decision { action, reason: Some(Reason::Unselected(why)), delete };
    }
    let leave =
        |reason| Decision { action: Action::Leave, reason: Some(reason), delete: Vec::new() };
    if let Some(class) = state.class.filter(|class| *class != "STANDARD") {
        return leave(Reason::Class(class.to_owned()));
    }
    let others: Vec<&SubscriptionFilter> =
        state.filters.iter().filter(|filter| !ours.is(filter) && !is_former(filter)).collect();
    let leads_here = others.iter().find(|filter| ours.is_led_to_by(filter));
    if let Some(own) = own {
        let is_as_it_should = *own == ours.as_filter() && retired.is_empty();
        let action = if is_as_it_should { Action::Keep } else { Action::Update };
        let reason = leads_here.map(|filter| Reason::Twice(filter.name.clone()));
        return Decision { action, reason, delete: retired };
    }
    if let Some(other) = leads_here {
        return Decision { delete: retired, ..leave(Reason::LeadsHere(other.name.clone())) };
    }
    if let Some(other) = others.iter().find(|filter| filter.name == ours.name) {
        return leave(Reason::NameTaken(other.destination.clone()));
    }
    let names = || others.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
    if others.len() >= MOST_FILTERS {
        return leave(Reason::Full(names()));
    }
    // Who has a former filter of ours beside someone else's was subscribed beside it.
    if !others.is_empty() && !beside_others && retired.is_empty() {
        return leave(Reason::Foreign(names()));
    }
    let action = if retired.is_empty() { Action::Put } else { Action::Update };
    // A filter that is put takes the place of the one of its name at once: no line is written while there is none.
    let delete = retired.into_iter().filter(|name| *name != ours.name).collect();
    Decision { action, reason: None, delete }
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

    fn wish(beside_others: bool) -> Wish {
        let ours = OurFilter::new(HERE, None, "p").unwrap();
        Wish { ours, former: OurFilter::new(FORMER, None, "p"), beside_others }
    }

    fn through_the_stream() -> OurFilter {
        let (arn, role) = (STREAM.to_owned(), ROLE.to_owned());
        OurFilter::new(HERE, Some(KinesisStream { arn, role }), "p").unwrap()
    }

    /// `name>destination` or `name>destination~pattern`; `here`, `old`, `else`, `stream` for destinations.
    fn filters(text: &str) -> Vec<SubscriptionFilter> {
        let filter = |text: &str| {
            let (name, rest) = text.split_once('>').unwrap();
            let (destination, pattern) = rest.split_once('~').unwrap_or((rest, "p"));
            let destination = match destination {
                "here" => HERE.to_owned(),
                "old" => FORMER.to_owned(),
                "else" => ELSEWHERE.to_owned(),
                "stream" => STREAM.to_owned(),
                alias => format!("{HERE}:{alias}"),
            };
            let role = (destination == STREAM).then(|| ROLE.to_owned());
            let (name, pattern) = (name.to_owned(), pattern.to_owned());
            SubscriptionFilter { name, pattern, destination, role }
        };
        text.split_whitespace().map(filter).collect()
    }

    fn said(decision: &Decision) -> String {
        let mut said = decision.action.as_str().to_owned();
        if let Some(reason) = &decision.reason {
            said = format!("{said}: {}", reason.kind());
        }
        for name in &decision.delete {
            said = format!("{said}, deletes {name}");
        }
        said
    }

    #[track_caller]
    fn check(has: &str, selected: Result<(), Unselected>, beside_others: bool, expected: &str) {
        let filters = filters(has);
        let state = State { selected, class: Some("STANDARD"), filters: &filters };
        assert_eq!(said(&decide(&wish(beside_others), &state)), expected, "{has}");
    }

    #[test]
    fn a_selected_log_group_gets_our_filter_once() {
        let check = |has, expected| check(has, Ok(()), false, expected);
        check("", "put");
        check("lambda-otlp/fwd>here", "keep");
        check("lambda-otlp/fwd>here~other", "update");
        check("lambda-otlp/fwd>live", "update");
        check("lambda-otlp/fwd>here audit>else", "keep");
        check("audit>else", "leave: a filter of others");
        check("audit>else audit2>else", "leave: two filters of others");
        check("by-hand>here", "leave: subscribed by another filter");
        check("by-hand>live", "leave: subscribed by another filter");
        check("lambda-otlp/fwd>here by-hand>here", "keep: subscribed twice");
        check("lambda-otlp/fwd>else", "leave: name taken");
        check("lambda-otlp/dev>else", "leave: a filter of others");
    }

    #[test]
    fn beside_others_there_is_one_place() {
        let check = |has, expected| check(has, Ok(()), true, expected);
        check("audit>else", "put");
        check("audit>else audit2>else", "leave: two filters of others");
        check("lambda-otlp/fwd>else", "leave: name taken");
    }

    #[test]
    fn the_filter_of_a_former_forwarder_makes_room_for_ours() {
        let check = |has, expected| check(has, Ok(()), false, expected);
        check("lambda-otlp/old>old", "update, deletes lambda-otlp/old");
        check("lambda-otlp/old>old audit>else", "update, deletes lambda-otlp/old");
        check("lambda-otlp/old>old lambda-otlp/fwd>here", "update, deletes lambda-otlp/old");
        check(
            "lambda-otlp/old>old by-hand>here",
            "leave: subscribed by another filter, deletes lambda-otlp/old",
        );
        // Of the former forwarder's name, and somebody else's.
        check("lambda-otlp/old>else", "leave: a filter of others");
    }

    #[test]
    fn a_filter_through_the_stream_takes_the_place_of_the_one_without_and_back() {
        let direct = OurFilter::new(HERE, None, "p").unwrap();
        let check = |ours: &OurFilter, former: &OurFilter, has: &str, expected: &str| {
            let (ours, former) = (ours.clone(), Some(former.clone()));
            let wish = Wish { ours, former, beside_others: false };
            let filters = filters(has);
            let state = State { selected: Ok(()), class: None, filters: &filters };
            assert_eq!(said(&decide(&wish, &state)), expected, "{has}");
        };
        let there = |has, expected| check(&through_the_stream(), &direct, has, expected);
        there("", "put");
        there("lambda-otlp/fwd>here", "update");
        there("lambda-otlp/fwd>stream", "keep");
        there("lambda-otlp/fwd>stream~other", "update");
        // Every event would come twice, through the stream and without it.
        there("by-hand>here", "leave: subscribed by another filter");
        there("by-hand>stream", "leave: subscribed by another filter");
        let back = |has, expected| check(&direct, &through_the_stream(), has, expected);
        back("lambda-otlp/fwd>stream", "update");
        back("lambda-otlp/fwd>here", "keep");
        // Without the update's word on what was before, a stream of our name may be anybody's.
        let wish = Wish { former: None, ..wish(false) };
        let filters = filters("lambda-otlp/fwd>stream");
        let state = State { selected: Ok(()), class: None, filters: &filters };
        assert_eq!(said(&decide(&wish, &state)), "leave: name taken");
    }

    #[test]
    fn a_role_of_its_own_is_put_again() {
        let ours = through_the_stream();
        let other = SubscriptionFilter { role: Some("other".to_owned()), ..ours.as_filter() };
        let wish = Wish { ours, former: None, beside_others: false };
        let filters = [other];
        let state = State { selected: Ok(()), class: None, filters: &filters };
        assert_eq!(said(&decide(&wish, &state)), "update");
    }

    #[test]
    fn who_is_not_selected_loses_ours_and_nothing_else() {
        for why in [Unselected::Excluded, Unselected::Tags, Unselected::Removed] {
            let check = |has, expected| check(has, Err(why), true, expected);
            check("", "leave: not selected");
            check("lambda-otlp/fwd>here~any", "remove: not selected, deletes lambda-otlp/fwd");
            check(
                "lambda-otlp/old>old audit>else",
                "remove: not selected, deletes lambda-otlp/old",
            );
            check("audit>else by-hand>here", "leave: not selected");
            check("lambda-otlp/fwd>else", "leave: not selected");
        }
    }

    #[test]
    fn classes_without_subscription_filters_are_skipped() {
        for class in ["INFREQUENT_ACCESS", "DELIVERY", "ONE_OF_TOMORROW"] {
            let state = State { selected: Ok(()), class: Some(class), filters: &[] };
            let decision = decide(&wish(true), &state);
            assert_eq!(said(&decision), "leave: class without subscription filters");
            assert!(decision.reason.unwrap().to_string().contains(class));
        }
        let state = State { selected: Ok(()), class: None, filters: &[] };
        assert_eq!(said(&decide(&wish(true), &state)), "put");
    }

    #[test]
    fn only_a_function_can_be_the_forwarder() {
        assert!(OurFilter::new(&format!("{HERE}:live"), None, "").is_some());
        for other in [ELSEWHERE, "arn:aws:lambda:eu-west-1:1:function:", "forwarder", ""] {
            assert_eq!(OurFilter::new(other, None, ""), None, "{other}");
        }
    }

    fn any_filter() -> impl Strategy<Value = SubscriptionFilter> {
        let names = ["lambda-otlp/fwd", "lambda-otlp/old", "audit", "by-hand"];
        let live = format!("{HERE}:live");
        let destinations = [HERE.to_owned(), live, FORMER.to_owned(), ELSEWHERE.to_owned()];
        let parts = (
            prop::sample::select(names.to_vec()),
            prop::sample::select(destinations.to_vec()),
            "[pq]",
        );
        parts.prop_map(|(name, destination, pattern)| SubscriptionFilter {
            name: name.to_owned(),
            pattern,
            destination,
            role: None,
        })
    }

    /// The filters of a log group after a decision is carried out, as CloudWatch Logs would have them.
    fn carried_out(
        wish: &Wish,
        decision: &Decision,
        filters: &[SubscriptionFilter],
    ) -> Vec<SubscriptionFilter> {
        let mut after: Vec<SubscriptionFilter> =
            filters.iter().filter(|f| !decision.delete.contains(&f.name)).cloned().collect();
        if matches!(decision.action, Action::Put | Action::Update) {
            let ours = wish.ours.as_filter();
            after.retain(|filter| filter.name != ours.name);
            after.push(ours);
        }
        after
    }

    proptest! {
        #[test]
        fn others_filters_stay_no_third_is_made_and_a_second_run_does_nothing(
            mut filters in prop::collection::vec(any_filter(), 0..=2),
            is_selected: bool,
            beside_others: bool,
        ) {
            filters.dedup_by(|a, b| a.name == b.name);
            let wish = wish(beside_others);
            let selected = if is_selected { Ok(()) } else { Err(Unselected::Excluded) };
            let of = |filters: &[SubscriptionFilter]| {
                decide(&wish, &State { selected, class: None, filters })
            };
            let decision = of(&filters);
            let after = carried_out(&wish, &decision, &filters);
            let former = wish.former.as_ref().unwrap();
            let is_ours = |f: &SubscriptionFilter| wish.ours.is(f) || former.is(f);
            prop_assert!(filters.iter().filter(|f| !is_ours(f)).all(|f| after.contains(f)));
            prop_assert!(after.len() <= MOST_FILTERS);
            prop_assert!(after.iter().all(|f| !former.is(f)) || decision.reason.is_some());
            if !is_selected {
                prop_assert!(!after.iter().any(is_ours));
            }
            let again = of(&after);
            prop_assert!(again.delete.is_empty(), "{again:?}");
            prop_assert!(matches!(again.action, Action::Keep | Action::Leave), "{again:?}");
        }
    }
}
