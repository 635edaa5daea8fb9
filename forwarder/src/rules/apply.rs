//! Applies the rules to one encoded request.
//!
//! Rules run in the file's order. Conditions on the origin are decided before anything is decoded, and conditions on the resource
//! before its items. Conditions and redactions read encoded items. Only changed items are encoded again.

use super::condition::{Conditions, Surroundings};
use super::item::{EncodedItem, Item};
use super::redact::{ItemPart, Redacted, Redaction};
use super::sample::Sampling;
use super::share::{Sampled, Share};
use super::trace::SeenTraces;
use super::{Action, Effect, Rule, Target};
use crate::source::Origin;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use std::sync::Arc;
use wire::Request;
use wire::edit::{Edit, Editor, Head};
use wire::view::{self, Container, ItemKind, ScopeContainer};

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
        let mut effects = RuleEffects::default();
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
    pub(crate) effects: RuleEffects,
}

/// The effects of rules on requests.
#[derive(Default)]
pub(crate) struct RuleEffects {
    /// One for each rule that matched an item.
    pub(crate) by_rule: Vec<Effect>,
    /// Undecodable items, which stay unchanged.
    pub(crate) unreadable: usize,
}

impl RuleEffects {
    /// Number of items that the rules dropped.
    pub(crate) fn dropped(&self) -> usize {
        self.by_rule.iter().map(|effect| effect.dropped).sum()
    }
}

/// Applies the rules to a request, and adds their effects to `effects`. Returns `None` if no item is left.
fn apply(
    rules: &[OriginRule<'_>],
    origin: &Origin,
    request: Request,
    traces: Option<&SeenTraces>,
    effects: &mut RuleEffects,
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
        unreadable: 0,
        rules_for_request: active_rules,
        rules_for_resource: Vec::new(),
        needs_view: false,
        scope: InstrumentationScope::default(),
        traces,
    };
    let edited = request.edit(&mut pass);
    effects.unreadable += pass.unreadable;
    let of_request = pass.effects.into_iter().filter(|effect| effect.matched > 0).collect();
    Effect::add_all(&mut effects.by_rule, of_request);
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
    fn for_resource(&self, resource: &Resource) -> Option<Self> {
        let rule = self.rule;
        if !rule.conditions.meets_resource(&resource.attributes) {
            return None;
        }
        let exceptions =
            self.exceptions().filter(|unless| unless.meets_resource(&resource.attributes));
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
    /// Undecodable items, which stay unchanged.
    unreadable: usize,
    rules_for_request: Vec<ActiveRule<'r>>,
    /// The rules that may match an item of the current resource.
    rules_for_resource: Vec<ActiveRule<'r>>,
    /// `true` if one of those needs a view of the items.
    needs_view: bool,
    /// The current scope.
    scope: InstrumentationScope,
    /// The traces of the event; `None` if no rule asks for them.
    traces: Option<&'r SeenTraces>,
}

impl Editor for RulePass<'_> {
    fn resource(&mut self, container: Container<'_>) -> Head {
        let Ok(mut resource) = Resource::decode(container.resource()) else {
            self.unreadable += container.count();
            return Head::Keep;
        };
        let mut changed = false;
        self.rules_for_resource.clear();
        for position in 0..self.rules_for_request.len() {
            let active = self.rules_for_request.get(position);
            let Some(rule) = active.and_then(|rule| rule.for_resource(&resource)) else { continue };
            if !rule.decides_by_items() {
                changed |= self.change_resource(&rule, &mut resource);
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
        Head::Visit(changed.then(|| resource.encode_to_vec()))
    }

    fn scope(&mut self, container: ScopeContainer<'_>) -> Head {
        let Ok(mut scope) = InstrumentationScope::decode(container.scope()) else {
            self.unreadable += container.count();
            return Head::Keep;
        };
        let mut changed = false;
        for active in self.rules_for_resource.iter().filter(|active| !active.decides_by_items()) {
            if let Action::Redact(redaction) = &active.rule.action
                && let Some(effect) = self.effects.get_mut(active.effect)
            {
                let part = ItemPart::Scope;
                let attributes = &mut scope.attributes;
                let mut redacted = Redacted::default();
                redaction.attributes(part, attributes, &mut redacted);
                changed |= effect.add_redacted(redacted);
            }
        }
        let head = changed.then(|| scope.encode_to_vec());
        self.scope = scope;
        Head::Visit(head)
    }

    fn item(&mut self, item: view::Item<'_>) -> Edit {
        match item.kind {
            ItemKind::Span => self.apply_to_encoded::<Span>(item),
            ItemKind::LogRecord => self.apply_to_encoded::<LogRecord>(item),
            ItemKind::NumberDataPoint => self.apply_to_encoded::<NumberDataPoint>(item),
            ItemKind::HistogramDataPoint => self.apply_to_encoded::<HistogramDataPoint>(item),
            ItemKind::ExponentialHistogramDataPoint => {
                self.apply_to_encoded::<ExponentialHistogramDataPoint>(item)
            }
            ItemKind::SummaryDataPoint => self.apply_to_encoded::<SummaryDataPoint>(item),
        }
    }
}

/// An item in the form that the rules have given it so far. It stays encoded until an action needs its decoded form.
enum RuledItem<'i, I> {
    /// As received. The view is empty if no rule reads it.
    Encoded {
        item: view::Item<'i>,
        view: EncodedItem<'i>,
    },
    /// Redacted, and encoded.
    Rewritten(Vec<u8>),
    Decoded(I),
}

impl<'i, I: Item> RuledItem<'i, I> {
    fn received(item: view::Item<'i>, needs_view: bool) -> Self {
        let view = if needs_view { EncodedItem::read(item) } else { EncodedItem::default() };
        Self::Encoded { item, view }
    }

    /// The decoded item; `None` if it is undecodable.
    fn decode(&mut self) -> Option<&mut I> {
        let bytes = match self {
            Self::Encoded { item, .. } => Some(item.bytes),
            Self::Rewritten(bytes) => Some(bytes.as_slice()),
            Self::Decoded(_) => None,
        };
        if let Some(bytes) = bytes {
            *self = Self::Decoded(I::decode(bytes).ok()?);
        }
        match self {
            Self::Decoded(item) => Some(item),
            Self::Encoded { .. } | Self::Rewritten(_) => None,
        }
    }

    /// The item in a form that conditions can read, which is decoded if it is rewritten. `None` if it is undecodable.
    fn readable(&mut self) -> Option<ReadableItem<'_, 'i, I>> {
        if matches!(self, Self::Rewritten(_)) {
            self.decode()?;
        }
        match self {
            Self::Encoded { view, .. } => Some(ReadableItem::Encoded(view)),
            Self::Decoded(item) => Some(ReadableItem::Decoded(item)),
            Self::Rewritten(_) => None,
        }
    }

    /// Returns `None` if the item is undecodable.
    fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted) -> Option<()> {
        if let Self::Encoded { item, .. } = self
            && let Ok(new) = redaction.encoded(*item, redacted)
        {
            if let Some(bytes) = new {
                *self = Self::Rewritten(bytes);
            }
            return Some(());
        }
        self.decode()?.redact(redaction, redacted);
        Some(())
    }

    fn finish(self, changed: bool) -> Edit {
        match self {
            Self::Rewritten(bytes) => Edit::Replace(bytes),
            Self::Decoded(item) if changed => Edit::Replace(item.encode_to_vec()),
            Self::Encoded { .. } | Self::Decoded(_) => Edit::Keep,
        }
    }
}

/// An item that conditions and samples read.
enum ReadableItem<'a, 'i, I> {
    Encoded(&'a EncodedItem<'i>),
    Decoded(&'a I),
}

impl<I: Item> ReadableItem<'_, '_, I> {
    fn meets(&self, conditions: &Conditions, surroundings: &Surroundings<'_>) -> bool {
        match *self {
            Self::Encoded(view) => conditions.meets_item(view, surroundings),
            Self::Decoded(item) => conditions.meets_item(item, surroundings),
        }
    }

    fn sample(&self, share: Share, traces: Option<&SeenTraces>) -> Sampling {
        match *self {
            Self::Encoded(view) => share.decide_item(view, traces),
            Self::Decoded(item) => share.decide_item(item, traces),
        }
    }
}

impl RulePass<'_> {
    fn apply_to_encoded<I: Item>(&mut self, encoded: view::Item<'_>) -> Edit {
        let item = RuledItem::<I>::received(encoded, self.needs_view);
        let edit = self.apply_to_item(item, encoded.metric_name());
        edit.unwrap_or_else(|| {
            self.unreadable += 1;
            Edit::Keep
        })
    }

    /// Applies the rules to an item. Returns `None` if the item is undecodable.
    fn apply_to_item<I: Item>(
        &mut self,
        mut item: RuledItem<'_, I>,
        metric_name: &str,
    ) -> Option<Edit> {
        let scope = &self.scope;
        let surroundings = Surroundings { scope, metric_name, traces: self.traces };
        let mut is_kept = false;
        let mut changed = false;
        let mut sampled: Option<Sampled> = None;
        for active in &self.rules_for_resource {
            let rule = active.rule;
            let readable = item.readable()?;
            let is_excepted =
                || active.exceptions().is_some_and(|unless| readable.meets(unless, &surroundings));
            if !readable.meets(&rule.conditions, &surroundings) || is_excepted() {
                continue;
            }
            let Some(effect) = self.effects.get_mut(active.effect) else { continue };
            match &rule.action {
                Action::Keep => is_kept = true,
                Action::Drop | Action::Sample(_) if is_kept => {}
                Action::Drop => {
                    effect.matched += 1;
                    effect.dropped += 1;
                    return Some(Edit::Drop);
                }
                Action::Sample(share) => match readable.sample(*share, self.traces) {
                    Sampling::Drop => {
                        effect.matched += 1;
                        effect.dropped += 1;
                        return Some(Edit::Drop);
                    }
                    Sampling::Keep => {}
                    Sampling::Sampled(new) => sampled = Some(new.smaller(sampled)),
                },
                Action::Redact(redaction) => {
                    let mut redacted = Redacted::default();
                    item.redact(redaction, &mut redacted)?;
                    changed |= effect.add_redacted(redacted);
                }
                Action::Change(Target::Attributes, change) => {
                    let has_changed = change.apply(item.decode()?.attributes_mut(), self.origin);
                    effect.changed += usize::from(has_changed);
                    changed |= has_changed;
                }
                Action::Change(Target::Resource, _) => {}
            }
            effect.matched += 1;
        }
        if let Some(sampled) = sampled.filter(|sampled| sampled.share.is_less_than_all()) {
            item.decode()?.note_sampled(sampled);
            changed = true;
        }
        Some(item.finish(changed))
    }

    /// Applies a rule to the resource itself. Returns `true` if it changed.
    fn change_resource(&mut self, active: &ActiveRule<'_>, resource: &mut Resource) -> bool {
        let Some(effect) = self.effects.get_mut(active.effect) else { return false };
        match &active.rule.action {
            Action::Change(Target::Resource, change) => {
                let has_changed = change.apply(&mut resource.attributes, self.origin);
                effect.changed += usize::from(has_changed);
                has_changed
            }
            Action::Redact(redaction) => {
                let part = ItemPart::Resource;
                let attributes = &mut resource.attributes;
                let mut redacted = Redacted::default();
                redaction.attributes(part, attributes, &mut redacted);
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
