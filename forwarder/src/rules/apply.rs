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
use crate::report::Report;
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

    /// Applies the rules to requests, and adds their effects to the report. `traces` are those of the whole event.
    #[must_use = "dropped items must be counted"]
    pub(crate) fn apply(
        &self,
        requests: Vec<Request>,
        traces: Option<&SeenTraces>,
        report: &mut Report,
    ) -> Vec<Request> {
        let apply = |request| apply(&self.rules, self.origin, request, traces, report);
        requests.into_iter().filter_map(apply).collect()
    }
}

/// Returns `None` if no item is left. The report gets the effects of all rules that matched an item.
fn apply(
    rules: &[OriginRule<'_>],
    origin: &Origin,
    request: Request,
    traces: Option<&SeenTraces>,
    report: &mut Report,
) -> Option<Request> {
    let kind = request.kind();
    let mut active: Vec<Active<'_>> = Vec::new();
    let mut may_change = false;
    for OriginRule { rule, unless } in rules {
        let matches = &rule.conditions;
        if !matches.includes(kind) || !rule.action.acts_on(kind) {
            continue;
        }
        // An earlier rule may write a text that is missing in the request.
        let may_match =
            || matches.may_be_met_in(request.bytes()) && rule.action.may_act_in(request.bytes());
        if !may_change && !may_match() {
            continue;
        }
        let unless = unless.filter(|unless| unless.includes(kind));
        if unless.is_some_and(|unless| unless.resource.is_empty() && unless.item.is_empty()) {
            continue;
        }
        may_change |= matches!(rule.action, Action::Redact(_) | Action::Change(..));
        let effect = active.len();
        active.push(Active { rule, unless: unless.is_some(), effect });
    }
    if active.is_empty() || request.items() == 0 {
        return Some(request);
    }
    let effect = |Active { rule, .. }: &Active<'_>| Effect {
        rule: Arc::clone(&rule.name),
        ..Effect::default()
    };
    let mut pass = Pass {
        origin,
        effects: active.iter().map(effect).collect(),
        unreadable: 0,
        active,
        on_resource: Vec::new(),
        reads_items: false,
        scope: InstrumentationScope::default(),
        traces,
    };
    let request = request.edit(&mut pass);
    report.unreadable += pass.unreadable;
    let effects = pass.effects.into_iter().filter(|effect| effect.matched > 0).collect();
    Effect::add_all(&mut report.rules, effects);
    request.filter(|request| request.items() > 0)
}

/// A rule that may match the current part of the request.
#[derive(Clone, Copy)]
struct Active<'r> {
    rule: &'r Rule,
    /// `true` if its exceptions are still undecided.
    unless: bool,
    effect: usize,
}

impl Active<'_> {
    /// Returns `true` if the items decide about the rule.
    fn asks_items(&self) -> bool {
        !self.rule.conditions.item.is_empty() || self.unless
    }

    /// Returns `true` if the items decide about the rule or its effect.
    fn reads_items(&self) -> bool {
        self.asks_items() || matches!(self.rule.action, Action::Sample(_))
    }
}

struct Pass<'r> {
    origin: &'r Origin,
    effects: Vec<Effect>,
    /// Undecodable items, which stay unchanged.
    unreadable: usize,
    /// The rules that may match the request.
    active: Vec<Active<'r>>,
    /// The rules that may match the current resource.
    on_resource: Vec<Active<'r>>,
    /// `true` if one of them reads items to decide.
    reads_items: bool,
    /// The current scope.
    scope: InstrumentationScope,
    /// The traces of the event; `None` if no rule asks for them.
    traces: Option<&'r SeenTraces>,
}

impl Editor for Pass<'_> {
    fn resource(&mut self, container: Container<'_>) -> Head {
        let Ok(mut resource) = Resource::decode(&*container.resource()) else {
            self.unreadable += container.count();
            return Head::Keep;
        };
        let mut changed = false;
        self.on_resource.clear();
        for at in 0..self.active.len() {
            let rule = self.active.get(at).and_then(|rule| on_resource(rule, &resource));
            let Some(on_items) = rule else { continue };
            if !on_items.asks_items() {
                changed |= self.change_resource(&on_items, &mut resource);
            }
            self.on_resource.push(on_items);
        }
        if self.on_resource.is_empty() {
            return Head::Keep;
        }
        self.reads_items = self.on_resource.iter().any(Active::reads_items);
        if let Some(effect) = drops_all(&self.on_resource) {
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
        let Ok(mut scope) = InstrumentationScope::decode(&*container.scope()) else {
            self.unreadable += container.count();
            return Head::Keep;
        };
        let mut changed = false;
        for rule in self.on_resource.iter().filter(|rule| !rule.asks_items()) {
            if let Action::Redact(redaction) = &rule.rule.action
                && let Some(effect) = self.effects.get_mut(rule.effect)
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
            ItemKind::Span => self.decided::<Span>(item),
            ItemKind::LogRecord => self.decided::<LogRecord>(item),
            ItemKind::NumberDataPoint => self.decided::<NumberDataPoint>(item),
            ItemKind::HistogramDataPoint => self.decided::<HistogramDataPoint>(item),
            ItemKind::ExponentialHistogramDataPoint => {
                self.decided::<ExponentialHistogramDataPoint>(item)
            }
            ItemKind::SummaryDataPoint => self.decided::<SummaryDataPoint>(item),
        }
    }
}

/// An item on its way through the rules. It stays encoded until an action needs its decoded form.
enum Subject<'i, I> {
    /// As received. The view is empty if no rule reads it.
    Encoded {
        item: view::Item<'i>,
        view: EncodedItem<'i>,
    },
    /// Redacted.
    Rewritten(Vec<u8>),
    Decoded(I),
}

impl<'i, I: Item> Subject<'i, I> {
    /// Returns `None` if the item is undecodable.
    fn of(item: view::Item<'i>, is_read: bool) -> Option<Self> {
        let view = if is_read { EncodedItem::of(item) } else { Some(EncodedItem::default()) };
        match view {
            Some(view) => Some(Self::Encoded { item, view }),
            None => I::decode(item.bytes).ok().map(Self::Decoded),
        }
    }

    /// The decoded item; `None` if it is undecodable.
    fn decoded(&mut self) -> Option<&mut I> {
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

    /// Asks an item that is not rewritten.
    fn meets(&self, conditions: &Conditions, surroundings: &Surroundings<'_>) -> bool {
        match self {
            Self::Encoded { view, .. } => conditions.meets_item(view, surroundings),
            Self::Decoded(item) => conditions.meets_item(item, surroundings),
            Self::Rewritten(_) => false,
        }
    }

    /// Samples an item that is not rewritten.
    fn sampled(&self, share: Share, traces: Option<&SeenTraces>) -> Sampling {
        match self {
            Self::Encoded { view, .. } => share.decide_item(view, traces),
            Self::Decoded(item) => share.decide_item(item, traces),
            Self::Rewritten(_) => Sampling::Keep,
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
        self.decoded()?.redact(redaction, redacted);
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

impl Pass<'_> {
    fn decided<I: Item>(&mut self, encoded: view::Item<'_>) -> Edit {
        let Some(subject) = Subject::<I>::of(encoded, self.reads_items) else {
            self.unreadable += 1;
            return Edit::Keep;
        };
        self.ruled(subject, encoded.metric_name()).unwrap_or_else(|| {
            self.unreadable += 1;
            Edit::Keep
        })
    }

    /// Applies the rules to an item. Returns `None` if the item is undecodable.
    fn ruled<I: Item>(&mut self, mut subject: Subject<'_, I>, metric_name: &str) -> Option<Edit> {
        let scope = &self.scope;
        let surroundings = Surroundings { scope, metric_name, traces: self.traces };
        let mut is_kept = false;
        let mut changed = false;
        let mut sampled: Option<Sampled> = None;
        for active in &self.on_resource {
            let rule = active.rule;
            if matches!(subject, Subject::Rewritten(_)) {
                subject.decoded()?;
            }
            let is_excepted = || {
                let unless = rule.unless.as_ref().filter(|_| active.unless);
                unless.is_some_and(|unless| subject.meets(unless, &surroundings))
            };
            if !subject.meets(&rule.conditions, &surroundings) || is_excepted() {
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
                Action::Sample(share) => match subject.sampled(*share, self.traces) {
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
                    subject.redact(redaction, &mut redacted)?;
                    changed |= effect.add_redacted(redacted);
                }
                Action::Change(Target::Attributes, change) => {
                    let is_new = change.apply(subject.decoded()?.attributes_mut(), self.origin);
                    effect.changed += usize::from(is_new);
                    changed |= is_new;
                }
                Action::Change(Target::Resource, _) => {}
            }
            effect.matched += 1;
        }
        if let Some(sampled) = sampled.filter(|sampled| sampled.share.is_a_part()) {
            subject.decoded()?.note_sampled(sampled);
            changed = true;
        }
        Some(subject.finish(changed))
    }

    fn change_resource(&mut self, active: &Active<'_>, resource: &mut Resource) -> bool {
        let Some(effect) = self.effects.get_mut(active.effect) else { return false };
        match &active.rule.action {
            Action::Change(Target::Resource, change) => {
                let is_new = change.apply(&mut resource.attributes, self.origin);
                effect.changed += usize::from(is_new);
                is_new
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

/// The rule for the items of this resource; `None` if it matches none of them.
fn on_resource<'r>(active: &Active<'r>, resource: &Resource) -> Option<Active<'r>> {
    let rule = active.rule;
    if !rule.conditions.meets_resource(&resource.attributes) {
        return None;
    }
    let unless = rule
        .unless
        .as_ref()
        .filter(|unless| active.unless && unless.meets_resource(&resource.attributes));
    if unless.is_some_and(|unless| unless.item.is_empty()) {
        return None;
    }
    Some(Active { unless: unless.is_some(), ..*active })
}

/// The effect of the first rule, if it drops all items without looking at them. A rule before it needs the items for its counts.
fn drops_all(active: &[Active<'_>]) -> Option<usize> {
    let first = active.first()?;
    (matches!(first.rule.action, Action::Drop) && !first.asks_items()).then_some(first.effect)
}
