//! Rules: match, drop, sample, redact, rename, add, service names and routes.
//!
//! `docs/rules.md` is the reference. [`RuleSet::parse`] reads a file and reports the first mistake of each table. [`LiveRules`] reloads the file.
//!
//! Only the [`Origin`] decides about routes ([`RuleSet::routes`]), never the content of a log event.

mod adjusted_count;
mod apply;
mod change;
mod condition;
mod item;
mod load;
mod mistake;
mod parse;
mod redact;
mod route;
mod sample;
mod share;
mod template;
mod trace;
mod value_range;

pub(crate) use apply::OriginRules;
pub use load::RulesSource;
pub(crate) use load::{LiveRules, RulesError};
pub use route::DestinationRule;
pub use template::Template;
pub(crate) use template::{MAX_STREAM_BYTES, is_stream};
pub use trace::{SeenTraces, TraceReading};

use crate::report::Report;
use crate::source::Origin;
use change::Change;
use condition::Conditions;
use redact::{Redacted, Redaction};
use route::RouteRule;
use settings::Pattern;
use share::Share;
use std::sync::Arc;
use trace::TraceAttributes;
use wire::{Request, SignalKind};

/// Size limit of a rules file. An SSM parameter has at most 8 KiB; a file in the package may be larger.
pub const MAX_BYTES: usize = 64 * 1024;
/// Limit on the rules, the services and the routes of one file.
pub(crate) const MAX_RULES: usize = 256;
/// Limit on destinations: each has its own client and ledger.
pub(crate) const MAX_DESTINATIONS: usize = 16;
/// Limit on regular expressions, including presets. Each takes up to 512 KiB in use.
pub(crate) const MAX_REGEXES: usize = 64;

/// The content of a rules file. The default changes nothing.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    services: Vec<ServiceRule>,
    routes: Vec<RouteRule>,
    destinations: Vec<DestinationRule>,
    /// The conditions on attributes of traces; `None` if no rule asks about traces.
    trace_attributes: Option<Arc<TraceAttributes>>,
}

#[derive(Clone, Debug)]
struct Rule {
    name: Arc<str>,
    conditions: Conditions,
    unless: Option<Conditions>,
    action: Action,
}

impl Rule {
    fn all_conditions(&mut self) -> impl Iterator<Item = &mut Conditions> {
        std::iter::once(&mut self.conditions).chain(&mut self.unless)
    }

    fn asks_traces(&self) -> bool {
        self.conditions.asks_traces() || self.unless.as_ref().is_some_and(Conditions::asks_traces)
    }

    fn regexes(&self) -> usize {
        let conditions = std::iter::once(&self.conditions).chain(&self.unless);
        let in_action = match &self.action {
            Action::Redact(redaction) => redaction.finders.len(),
            _ => 0,
        };
        conditions.map(Conditions::regexes).sum::<usize>() + in_action
    }
}

#[derive(Clone, Debug)]
enum Action {
    /// Exempts the item from later drop and sample rules.
    Keep,
    Drop,
    Sample(Share),
    Redact(Box<Redaction>),
    Change(Target, Change),
}

impl Action {
    /// Metrics are not sampled: a missing data point would falsify a sum.
    fn acts_on(&self, kind: SignalKind) -> bool {
        !matches!(self, Self::Sample(_)) || kind != SignalKind::Metrics
    }

    /// Returns `false` if the action cannot change anything in this encoded request.
    fn may_act_in(&self, request: &[u8]) -> bool {
        match self {
            Self::Redact(redaction) => redaction.may_find_in_encoded(request),
            _ => true,
        }
    }
}

/// The owner of the changed attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Resource,
    Attributes,
}

/// The service name for matching log groups.
#[derive(Clone, Debug)]
struct ServiceRule {
    log_groups: Vec<Pattern>,
    name: Template,
}

/// Upper limit on the growth of an item; an estimate for items with very many texts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Growth {
    pub(crate) item_bytes: usize,
    /// `true` if the size may also double.
    pub(crate) may_double: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    pub rule: Arc<str>,
    pub matched: usize,
    pub dropped: usize,
    pub changed: usize,
    pub redacted: usize,
    /// Texts that were replaced whole because they needed too much searching or replacing.
    pub replaced_whole: usize,
}

impl Effect {
    /// Adds the counts of a redaction, and returns `true` if something was redacted.
    fn add_redacted(&mut self, redacted: Redacted) -> bool {
        let has_changed = redacted.values() > 0;
        self.redacted += redacted.values();
        self.replaced_whole += redacted.whole();
        self.changed += usize::from(has_changed);
        has_changed
    }

    pub fn add_all(effects: &mut Vec<Self>, others: Vec<Self>) {
        for other in others {
            match effects.iter_mut().find(|effect| effect.rule == other.rule) {
                Some(effect) => {
                    effect.matched += other.matched;
                    effect.dropped += other.dropped;
                    effect.changed += other.changed;
                    effect.redacted += other.redacted;
                    effect.replaced_whole += other.replaced_whole;
                }
                None => effects.push(other),
            }
        }
    }
}

impl RuleSet {
    /// Begins to read the traces of an event. `None` if no rule asks about traces.
    pub fn trace_reading(&self) -> Option<TraceReading> {
        self.trace_attributes.clone().map(TraceReading::new)
    }

    /// Decides the conditions on the origin.
    pub(crate) fn of_origin<'r>(&'r self, origin: &'r Origin) -> OriginRules<'r> {
        OriginRules::of(&self.rules, origin)
    }

    /// Applies the rules to requests from this origin, and adds their effects to the report. `traces` are those of the whole event.
    #[must_use = "dropped items must be counted"]
    pub fn apply(
        &self,
        origin: &Origin,
        requests: Vec<Request>,
        traces: Option<&SeenTraces>,
        report: &mut Report,
    ) -> Vec<Request> {
        let ruled = self.of_origin(origin).apply(requests, traces);
        report.note_effects(ruled.effects);
        ruled.requests
    }

    /// The service name of this origin, for telemetry made from log lines.
    pub fn service_name(&self, origin: &Origin) -> Option<String> {
        let service = self
            .services
            .iter()
            .find(|service| Pattern::any_matches(&service.log_groups, &origin.log_group))?;
        Some(service.name.fill(origin))
    }

    /// The destinations besides `default`.
    pub fn destinations(&self) -> &[DestinationRule] {
        &self.destinations
    }

    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    pub(crate) fn growth(&self) -> Growth {
        let mut growth = Growth::default();
        for rule in &self.rules {
            match &rule.action {
                Action::Change(_, change) => {
                    growth.item_bytes = growth.item_bytes.saturating_add(change.growth());
                }
                Action::Redact(_) => {
                    growth.may_double = true;
                    growth.item_bytes = growth.item_bytes.saturating_add(redact::MAX_GROWTH);
                }
                Action::Sample(_) => {
                    growth.item_bytes =
                        growth.item_bytes.saturating_add(adjusted_count::MAX_GROWTH);
                }
                Action::Keep | Action::Drop => {}
            }
        }
        growth
    }
}
