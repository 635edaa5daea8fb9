//! The rules that users write: match, drop, sample, redact, rename, add, service names and routes.
//!
//! `docs/rules.md` is the reference. A rule set is read once ([`RuleSet::parse`]), all its mistakes
//! are found at once, and it is applied to one request after the other. [`LiveRules`] keeps it up
//! to date.
//!
//! Nothing inside a log event decides where data is sent: [`RuleSet::routes`] sees the [`Origin`]
//! only.

mod apply;
mod change;
mod condition;
mod item;
mod load;
mod mistake;
mod parse;
mod redact;
mod rewrite;
mod route;
mod sample;
mod template;

pub(crate) use load::{LiveRules, Refreshed, RulesSource};
pub use mistake::{Mistake, Mistakes};
pub(crate) use route::{DestinationRule, Route};
pub use template::Template;

use crate::source::Origin;
use change::Change;
use condition::Conditions;
use redact::{Redacted, Redaction};
use route::RouteRule;
use sample::Share;
use settings::Pattern;
use std::sync::Arc;
use wire::{Request, SignalKind};

/// Largest rules file. A parameter of SSM holds 8 KiB at most, a file in the package may hold more.
pub const MOST_BYTES: usize = 64 * 1024;
/// Most rules of one file, most services, and most routes.
pub(crate) const MOST_RULES: usize = 256;
/// Most destinations: each has a client and a ledger of its own.
pub(crate) const MOST_DESTINATIONS: usize = 16;
/// Most regular expressions of one file, presets included; each takes up to half a megabyte when it is used.
pub(crate) const MOST_REGEXES: usize = 64;

/// What a rules file says. The default has no rules and keeps everything.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    services: Vec<Service>,
    routes: Vec<RouteRule>,
    destinations: Vec<DestinationRule>,
}

#[derive(Clone, Debug)]
struct Rule {
    name: Arc<str>,
    conditions: Conditions,
    /// What meets these conditions is excepted.
    unless: Option<Conditions>,
    action: Action,
}

#[derive(Clone, Debug)]
enum Action {
    /// No later rule drops or samples the item.
    Keep,
    Drop,
    Sample(Share),
    Redact(Box<Redaction>),
    Change(Target, Change),
}

impl Action {
    /// A data point without its neighbours makes a sum wrong: metrics are not sampled.
    fn acts_on(&self, kind: SignalKind) -> bool {
        !matches!(self, Self::Sample(_)) || kind != SignalKind::Metrics
    }

    /// False if the action would change nothing in these bytes of a request.
    fn may_act_in(&self, request: &[u8]) -> bool {
        match self {
            Self::Redact(redaction) => redaction.may_find_in(request),
            _ => true,
        }
    }
}

/// Whose attributes are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Resource,
    Attributes,
}

/// The service that the log groups of a pattern are.
#[derive(Clone, Debug)]
struct Service {
    log_groups: Vec<Pattern>,
    name: Template,
}

/// What became of one request.
#[derive(Debug, Default)]
#[must_use = "what was dropped has to be counted"]
pub struct Applied {
    /// What is left of it; `None` if nothing is.
    pub request: Option<Request>,
    /// What each rule did that matched at least one item, in the file's order.
    pub effects: Vec<Effect>,
    /// Items that do not decode: they are kept as they are. Always 0 for requests that were checked.
    pub unreadable: usize,
}

impl Applied {
    /// How many items were dropped; what is left and these are all items of the request.
    pub fn dropped(&self) -> usize {
        self.effects.iter().map(|effect| effect.dropped).sum()
    }
}

/// What became of several requests.
#[derive(Debug, Default)]
#[must_use = "what was dropped has to be counted"]
pub struct AppliedAll {
    /// What is left of them.
    pub requests: Vec<Request>,
    /// What each rule did that matched at least one item.
    pub effects: Vec<Effect>,
    /// Items that do not decode, which are kept as they are.
    pub unreadable: usize,
}

impl AppliedAll {
    /// How many items were dropped.
    pub fn dropped(&self) -> usize {
        self.effects.iter().map(|effect| effect.dropped).sum()
    }
}

/// By how much rules let an item grow at most; for one of very many texts an estimate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Growth {
    /// By so many bytes.
    pub(crate) item_bytes: usize,
    /// And to twice its size before.
    pub(crate) may_double: bool,
}

/// What one rule did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The rule's name.
    pub rule: Arc<str>,
    /// Items that met its conditions.
    pub matched: usize,
    /// Items that it dropped.
    pub dropped: usize,
    /// Items, scopes and resources that it changed.
    pub changed: usize,
    /// Values in which it replaced something.
    pub redacted: usize,
    /// The number of texts it replaced whole, because they had too much to search or replace.
    pub replaced_whole: usize,
}

impl Effect {
    fn of(rule: &Rule) -> Self {
        let rule = Arc::clone(&rule.name);
        Self { rule, matched: 0, dropped: 0, changed: 0, redacted: 0, replaced_whole: 0 }
    }

    fn add_redacted(&mut self, redacted: Redacted) {
        self.redacted += redacted.values;
        self.replaced_whole += redacted.whole;
        self.changed += usize::from(redacted.values > 0);
    }

    /// Adds the counts of another request to those of the same rules.
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
    /// Reads a rules file; the error names all mistakes at once.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        parse::parse(text)
    }

    /// Applies the rules to a request that came from `origin`. Where no rule can match, the request
    /// is not decoded and comes back as it is.
    pub fn apply(&self, origin: &Origin, request: Request) -> Applied {
        apply::apply(&self.rules, origin, request)
    }

    /// Applies the rules to all requests of one origin: what is left of them is in
    /// its `requests`, in their order.
    pub fn apply_all(&self, origin: &Origin, requests: Vec<Request>) -> AppliedAll {
        let mut all = AppliedAll::default();
        for request in requests {
            let applied = self.apply(origin, request);
            all.requests.extend(applied.request);
            all.unreadable += applied.unreadable;
            Effect::add_all(&mut all.effects, applied.effects);
        }
        all
    }

    /// The service name that the file gives to what comes from this origin, for telemetry that the
    /// forwarder makes of log lines.
    pub fn service_name(&self, origin: &Origin) -> Option<String> {
        let service = self
            .services
            .iter()
            .find(|service| Pattern::any(&service.log_groups, &origin.log_group))?;
        Some(service.name.fill(origin))
    }

    /// Where telemetry from this origin goes: by the first route that fits; if none fits the list
    /// is empty, and it goes to the default destination.
    pub fn routes(&self, origin: &Origin) -> Vec<Route<'_>> {
        route::routes(&self.routes, origin)
    }

    /// The destinations that routes may name besides `default`.
    pub fn destinations(&self) -> &[DestinationRule] {
        &self.destinations
    }

    /// Names of the rules, in the file's order.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    /// The patterns of redactions that may have to read a text very often, each with its rule's name: such a text is replaced whole.
    pub fn slow_patterns(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.iter().flat_map(|rule| {
            let finders = match &rule.action {
                Action::Redact(redaction) => redaction.finders.as_slice(),
                _ => &[],
            };
            let slow = finders.iter().filter(|finder| finder.is_slow());
            slow.map(move |finder| (&*rule.name, finder.name()))
        })
    }

    /// Number of service names and of routes, for a summary.
    pub fn counts(&self) -> (usize, usize) {
        (self.services.len(), self.routes.len())
    }

    /// By how much an item may grow at most.
    pub(crate) fn growth(&self) -> Growth {
        let mut growth = Growth::default();
        for rule in &self.rules {
            match &rule.action {
                Action::Change(_, change) => {
                    growth.item_bytes = growth.item_bytes.saturating_add(change.growth());
                }
                Action::Redact(_) => {
                    growth.may_double = true;
                    growth.item_bytes = growth.item_bytes.saturating_add(redact::MOST_GROWTH);
                }
                Action::Keep | Action::Drop | Action::Sample(_) => {}
            }
        }
        growth
    }

    /// True if nothing is ever changed, dropped or routed.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.services.is_empty() && self.routes.is_empty()
    }
}
