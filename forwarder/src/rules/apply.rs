//! Applies the rules to one encoded request.
//!
//! Rules run in the file's order. Conditions on the origin are decided before anything is decoded, and conditions on the resource
//! before its items. Conditions and redactions read encoded items. Only changed items are encoded again.

use super::condition::{Conditions, Scope, Surroundings};
use super::item::{ItemView, change_attributes, note_sampled, read_attributes, with_attributes};
use super::redact::{ItemPart, Redacted};
use super::sample::Sampling;
use super::share::Sampled;
use super::trace::SeenTraces;
use super::{Action, Effect, Rule, Target};
use crate::source::Origin;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use std::sync::Arc;
use wire::Request;
use wire::edit::{Edit, Editor, Head};
use wire::field::{resource, scope};
use wire::protobuf::messages;
use wire::view::{self, Container, ScopeContainer};

/// The rules for the requests of one origin, whose conditions on the origin are decided.
pub(crate) struct OriginRules<'r> {
    origin: &'r Origin,
    rules: Vec<OriginRule<'r>>,
}

/// A rule for all requests of an origin.
struct OriginRule<'r> {
    rule: &'r Rule,
    /// The exceptions, if they may hold for this origin.
    unless: Option<&'r Conditions>,
}

impl<'r> OriginRule<'r> {
    /// Returns `None` if the rule is not for this origin.
    fn of(rule: &'r Rule, origin: &Origin) -> Option<Self> {
        let unless = rule.unless.as_ref().filter(|unless| unless.fits_origin(origin));
        rule.conditions.fits_origin(origin).then_some(Self { rule, unless })
    }
}

impl<'r> OriginRules<'r> {
    pub(super) fn of(rules: &'r [Rule], origin: &'r Origin) -> Self {
        let rules = rules.iter().filter_map(|rule| OriginRule::of(rule, origin)).collect();
        Self { origin, rules }
    }

    /// Returns `true` if the rules leave all requests unchanged.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Applies the rules to requests. `traces` are those of the whole event.
    pub(crate) fn apply(
        &self,
        requests: Vec<Request>,
        traces: Option<&SeenTraces>,
    ) -> RuledRequests {
        let mut effects = Vec::new();
        let apply = |request| apply(&self.rules, self.origin, request, traces, &mut effects);
        let requests = requests.into_iter().filter_map(apply).collect();
        RuledRequests { requests, effects }
    }
}

/// Requests after the rules.
#[must_use = "dropped items must be counted"]
pub(crate) struct RuledRequests {
    /// The requests with items that are left.
    pub(crate) requests: Vec<Request>,
    /// One for each rule that matched an item.
    pub(crate) effects: Vec<Effect>,
}

impl RuledRequests {
    /// Number of items that the rules dropped.
    pub(crate) fn dropped(&self) -> usize {
        self.effects.iter().map(|effect| effect.dropped).sum()
    }
}

/// Applies the rules to a request, and adds their effects to `effects`. Returns `None` if no item is left.
fn apply(
    rules: &[OriginRule<'_>],
    origin: &Origin,
    request: Request,
    traces: Option<&SeenTraces>,
    effects: &mut Vec<Effect>,
) -> Option<Request> {
    let active_rules = rules_for_request(rules, &request);
    if active_rules.is_empty() || request.items() == 0 {
        return Some(request);
    }
    let effect_of = |ActiveRule { rule, .. }: &ActiveRule<'_>| Effect {
        rule: Arc::clone(&rule.name),
        ..Effect::default()
    };
    let mut pass = RulePass {
        origin,
        effects: active_rules.iter().map(effect_of).collect(),
        rules_for_request: active_rules,
        rules_for_resource: Vec::new(),
        needs_view: false,
        scope: Scope::default(),
        traces,
    };
    let edited = request.edit(&mut pass);
    let of_request = pass.effects.into_iter().filter(|effect| effect.matched > 0).collect();
    Effect::add_all(effects, of_request);
    edited.filter(|request| request.items() > 0)
}

/// The rules that may match an item of this request.
fn rules_for_request<'r>(rules: &[OriginRule<'r>], request: &Request) -> Vec<ActiveRule<'r>> {
    let kind = request.kind();
    let mut active: Vec<ActiveRule<'r>> = Vec::new();
    let mut may_be_changed = false;
    for &OriginRule { rule, unless } in rules {
        let conditions = &rule.conditions;
        if !conditions.includes(kind) || !rule.action.acts_on(kind) {
            continue;
        }
        let may_match =
            || conditions.may_be_met_in(request.bytes()) && rule.action.may_act_in(request.bytes());
        // An earlier rule may write a text that is missing in the request.
        if !may_be_changed && !may_match() {
            continue;
        }
        let unless = unless.filter(|unless| unless.includes(kind));
        let is_excepted =
            unless.is_some_and(|unless| unless.resource.is_empty() && unless.item.is_empty());
        if is_excepted {
            continue;
        }
        may_be_changed |= matches!(rule.action, Action::Redact(_) | Action::Change(..));
        let effect = active.len();
        active.push(ActiveRule { rule, has_exceptions: unless.is_some(), effect });
    }
    active
}

/// A rule that may match the current part of the request.
#[derive(Clone, Copy)]
struct ActiveRule<'r> {
    rule: &'r Rule,
    /// `true` if its exceptions (`unless`) are still undecided.
    has_exceptions: bool,
    /// Position of its effect among those of the pass.
    effect: usize,
}

impl<'r> ActiveRule<'r> {
    /// The rule for the items of this resource; `None` if it matches none of them.
    fn for_resource(&self, attributes: &[KeyValue]) -> Option<Self> {
        let rule = self.rule;
        if !rule.conditions.meets_resource(attributes) {
            return None;
        }
        let exceptions = self.exceptions().filter(|unless| unless.meets_resource(attributes));
        if exceptions.is_some_and(|unless| unless.item.is_empty()) {
            return None;
        }
        Some(Self { has_exceptions: exceptions.is_some(), ..*self })
    }

    /// The exceptions that are still undecided.
    fn exceptions(&self) -> Option<&'r Conditions> {
        self.rule.unless.as_ref().filter(|_| self.has_exceptions)
    }

    /// Returns `true` if the items decide about the rule.
    fn decides_by_items(&self) -> bool {
        !self.rule.conditions.item.is_empty() || self.has_exceptions
    }

    /// Returns `true` if the items decide about the rule or its effect, so that it reads a view of them.
    fn needs_view(&self) -> bool {
        self.decides_by_items() || matches!(self.rule.action, Action::Sample(_))
    }
}

/// The application of rules to one request.
struct RulePass<'r> {
    origin: &'r Origin,
    /// The effects of the rules for the request.
    effects: Vec<Effect>,
    rules_for_request: Vec<ActiveRule<'r>>,
    /// The rules that may match an item of the current resource.
    rules_for_resource: Vec<ActiveRule<'r>>,
    /// `true` if one of those needs a view of the items.
    needs_view: bool,
    /// The current scope.
    scope: Scope,
    /// The traces of the event; `None` if no rule asks for them.
    traces: Option<&'r SeenTraces>,
}

impl Editor for RulePass<'_> {
    fn resource(&mut self, container: Container<'_>) -> Head {
        let mut attributes = read_attributes(container.attributes());
        let mut changed = false;
        self.rules_for_resource.clear();
        for position in 0..self.rules_for_request.len() {
            let active = self.rules_for_request.get(position);
            let Some(rule) = active.and_then(|rule| rule.for_resource(&attributes)) else {
                continue;
            };
            if !rule.decides_by_items() {
                changed |= self.change_resource(&rule, &mut attributes);
            }
            self.rules_for_resource.push(rule);
        }
        if self.rules_for_resource.is_empty() {
            return Head::Keep;
        }
        self.needs_view = self.rules_for_resource.iter().any(ActiveRule::needs_view);
        if let Some(effect) = effect_that_drops_all(&self.rules_for_resource) {
            let items = container.count();
            if let Some(effect) = self.effects.get_mut(effect) {
                effect.matched += items;
                effect.dropped += items;
            }
            return if items > 0 { Head::Drop } else { Head::Keep };
        }
        let number = resource::ATTRIBUTES;
        Head::Visit(changed.then(|| with_attributes(container.resource(), number, &attributes)))
    }

    fn scope(&mut self, container: ScopeContainer<'_>) -> Head {
        let name = std::str::from_utf8(container.name()).unwrap_or_default().to_owned();
        let mut attributes = read_attributes(messages(container.scope(), scope::ATTRIBUTES));
        let mut changed = false;
        for active in self.rules_for_resource.iter().filter(|active| !active.decides_by_items()) {
            if let Action::Redact(redaction) = &active.rule.action
                && let Some(effect) = self.effects.get_mut(active.effect)
            {
                let mut redacted = Redacted::default();
                redaction.attributes(ItemPart::Scope, &mut attributes, &mut redacted);
                changed |= effect.add_redacted(redacted);
            }
        }
        let number = scope::ATTRIBUTES;
        let head = changed.then(|| with_attributes(container.scope(), number, &attributes));
        self.scope = Scope { name, attributes };
        Head::Visit(head)
    }

    fn item(&mut self, item: view::Item<'_>) -> Edit {
        let mut state = ItemState::default();
        let mut rewritten: Option<Vec<u8>> = None;
        let mut position = 0;
        loop {
            let current = item.with_bytes(rewritten.as_deref().unwrap_or(item.bytes));
            match self.apply_from(position, current, &mut state) {
                ItemStep::Drop => return Edit::Drop,
                ItemStep::Changed { bytes, next_rule } => {
                    rewritten = Some(bytes);
                    position = next_rule;
                }
                ItemStep::Done => {
                    let sampled = state.sampled.filter(|it| it.share.is_less_than_all());
                    let noted = sampled.and_then(|sampled| note_sampled(current, sampled));
                    return noted.or(rewritten).map_or(Edit::Keep, Edit::Replace);
                }
            }
        }
    }
}

/// What the rules have decided about an item so far.
#[derive(Default)]
struct ItemState {
    /// `true` if a rule keeps it from being dropped by later ones.
    is_kept: bool,
    sampled: Option<Sampled>,
}

/// The end of a pass over an item's rules.
enum ItemStep {
    Drop,
    Done,
    /// A rule changed the item. The rules after it read the new one.
    Changed {
        bytes: Vec<u8>,
        next_rule: usize,
    },
}

impl RulePass<'_> {
    /// Applies the rules from a position on, until one changes the item.
    fn apply_from(
        &mut self,
        next_rule: usize,
        item: view::Item<'_>,
        state: &mut ItemState,
    ) -> ItemStep {
        let view = if self.needs_view { ItemView::read(item) } else { ItemView::default() };
        let metric_name = item.metric_name();
        let surroundings = Surroundings { scope: &self.scope, metric_name, traces: self.traces };
        for (position, active) in self.rules_for_resource.iter().enumerate().skip(next_rule) {
            let rule = active.rule;
            let is_excepted = || {
                let mut exceptions = active.exceptions().into_iter();
                exceptions.any(|unless| unless.meets_item(&view, &surroundings))
            };
            if !rule.conditions.meets_item(&view, &surroundings) || is_excepted() {
                continue;
            }
            let Some(effect) = self.effects.get_mut(active.effect) else { continue };
            effect.matched += 1;
            let changed = match &rule.action {
                Action::Keep => {
                    state.is_kept = true;
                    None
                }
                Action::Drop | Action::Sample(_) if state.is_kept => None,
                Action::Drop => {
                    effect.dropped += 1;
                    return ItemStep::Drop;
                }
                Action::Sample(share) => match share.decide_item(&view, self.traces) {
                    Sampling::Drop => {
                        effect.dropped += 1;
                        return ItemStep::Drop;
                    }
                    Sampling::Keep => None,
                    Sampling::Sampled(new) => {
                        state.sampled = Some(new.smaller(state.sampled));
                        None
                    }
                },
                Action::Redact(redaction) => {
                    let mut redacted = Redacted::default();
                    let changed = redaction.redact_item(item, &mut redacted);
                    effect.add_redacted(redacted);
                    changed
                }
                Action::Change(Target::Attributes, change) => {
                    let changed = change_attributes(item, |it| change.apply(it, self.origin));
                    effect.changed += usize::from(changed.is_some());
                    changed
                }
                Action::Change(Target::Resource, _) => None,
            };
            if let Some(bytes) = changed {
                return ItemStep::Changed { bytes, next_rule: position + 1 };
            }
        }
        ItemStep::Done
    }

    /// Applies a rule to the resource itself. Returns `true` if it changed.
    fn change_resource(&mut self, active: &ActiveRule<'_>, attributes: &mut Vec<KeyValue>) -> bool {
        let Some(effect) = self.effects.get_mut(active.effect) else { return false };
        match &active.rule.action {
            Action::Change(Target::Resource, change) => {
                let has_changed = change.apply(attributes, self.origin);
                effect.changed += usize::from(has_changed);
                has_changed
            }
            Action::Redact(redaction) => {
                let mut redacted = Redacted::default();
                redaction.attributes(ItemPart::Resource, attributes, &mut redacted);
                effect.add_redacted(redacted)
            }
            _ => false,
        }
    }
}

/// The effect of the first rule, if it drops all items without looking at them. A rule before it needs the items for its counts.
fn effect_that_drops_all(rules: &[ActiveRule<'_>]) -> Option<usize> {
    let first = rules.first()?;
    let drops_all = matches!(first.rule.action, Action::Drop) && !first.decides_by_items();
    drops_all.then_some(first.effect)
}
