//! Applies the rules to one encoded request.
//!
//! Rules run in the file's order. Conditions on the origin are decided before anything is decoded, and conditions on the resource
//! before its items. Only changed items are encoded again.

use super::condition::Surroundings;
use super::item::Item;
use super::redact::ItemPart;
use super::{Action, Applied, Effect, Rule, Target};
use crate::source::Origin;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use wire::protobuf::{Field, Reader, Value, Writer, messages, messages_of};
use wire::{Request, SignalKind};

/// Field numbers shared by the three signals (opentelemetry-proto 1.x).
const CONTAINERS: u32 = 1;
/// The resource of a container, or the scope of a scope container.
const HEAD: u32 = 1;
const SCOPES: u32 = 2;
const ITEMS: u32 = 2;
const METRIC_NAME: u32 = 1;
const POINTS: u32 = 1;

pub(super) fn apply(rules: &[Rule], origin: &Origin, request: Request, applied: &mut Applied) {
    let mut active: Vec<Active<'_>> = Vec::new();
    let mut may_change = false;
    for rule in rules {
        let matches = &rule.conditions;
        if !matches.meets_envelope(origin, request.kind()) || !rule.action.acts_on(request.kind()) {
            continue;
        }
        // An earlier rule may write a text that is missing in the request.
        let may_match =
            || matches.may_be_met_in(request.bytes()) && rule.action.may_act_in(request.bytes());
        if !may_change && !may_match() {
            continue;
        }
        let unless = rule.unless.as_ref();
        let unless = unless.filter(|unless| unless.meets_envelope(origin, request.kind()));
        if unless.is_some_and(|unless| unless.resource.is_empty() && unless.item.is_empty()) {
            continue;
        }
        may_change |= matches!(rule.action, Action::Redact(_) | Action::Change(..));
        let effect = active.len();
        active.push(Active { rule, unless: unless.is_some(), effect });
    }
    if active.is_empty() || request.items() == 0 {
        applied.requests.push(request);
        return;
    }
    let mut pass = Pass {
        kind: request.kind(),
        origin,
        effects: active.iter().map(|active| Effect::of(active.rule)).collect(),
        unreadable: 0,
    };
    let mut message = MessageRewrite::new(request.bytes());
    for field in Reader::new(request.bytes()).map_while(Result::ok) {
        match field.as_len().filter(|_| field.number == CONTAINERS) {
            Some(container) => message.item(&field, &pass.container(container, &active)),
            None => message.keep(&field),
        }
    }
    let edited = message.finish();
    let request = match edited {
        Edited::Same => Some(request),
        Edited::Changed(bytes) => Some(Request::trusted(request.kind(), bytes)),
        Edited::Gone => None,
    };
    applied.requests.extend(request.filter(|request| request.items() > 0));
    applied.unreadable += pass.unreadable;
    let effects = pass.effects.into_iter().filter(|effect| effect.matched > 0).collect();
    Effect::add_all(&mut applied.effects, effects);
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
}

struct Pass<'r> {
    kind: SignalKind,
    origin: &'r Origin,
    effects: Vec<Effect>,
    /// Undecodable items, which stay unchanged.
    unreadable: usize,
}

impl Pass<'_> {
    fn effect(&mut self, active: &Active<'_>) -> Option<&mut Effect> {
        self.effects.get_mut(active.effect)
    }

    fn container(&mut self, bytes: &[u8], rules: &[Active<'_>]) -> Edited {
        let Ok(mut resource) = Resource::decode(head(bytes).as_slice()) else {
            self.unreadable += count(self.kind, bytes);
            return Edited::Same;
        };
        let mut changed = false;
        let mut active = Vec::with_capacity(rules.len());
        for rule in rules {
            let Some(on_items) = on_resource(rule, &resource) else { continue };
            if !on_items.asks_items() {
                changed |= self.change_resource(&on_items, &mut resource);
            }
            active.push(on_items);
        }
        if active.is_empty() {
            return Edited::Same;
        }
        if let Some(rule) = drops_all(&active) {
            let items = count(self.kind, bytes);
            if let Some(effect) = self.effect(rule) {
                effect.matched += items;
                effect.dropped += items;
            }
            return if items > 0 { Edited::Gone } else { Edited::Same };
        }
        let resource = changed.then(|| resource.encode_to_vec());
        self.children(bytes, SCOPES, resource, |pass, scope| pass.scope(scope, &active))
    }

    fn scope(&mut self, bytes: &[u8], active: &[Active<'_>]) -> Edited {
        let Ok(mut scope) = InstrumentationScope::decode(head(bytes).as_slice()) else {
            self.unreadable += count_scope(self.kind, bytes);
            return Edited::Same;
        };
        let mut changed = false;
        for rule in active.iter().filter(|rule| !rule.asks_items()) {
            if let Action::Redact(redaction) = &rule.rule.action {
                let redacted = redaction.attributes(ItemPart::Scope, &mut scope.attributes);
                changed |= redacted.values > 0;
                if let Some(effect) = self.effect(rule) {
                    effect.add_redacted(redacted);
                }
            }
        }
        let head = changed.then(|| scope.encode_to_vec());
        let surroundings = Surroundings { scope: &scope, metric_name: "" };
        self.children(bytes, ITEMS, head, |pass, item| match pass.kind {
            SignalKind::Traces => pass.item::<Span>(item, active, &surroundings),
            SignalKind::Logs => pass.item::<LogRecord>(item, active, &surroundings),
            SignalKind::Metrics => pass.metric(item, active, &scope),
        })
    }

    fn metric(
        &mut self,
        bytes: &[u8],
        active: &[Active<'_>],
        scope: &InstrumentationScope,
    ) -> Edited {
        let name = Reader::new(bytes)
            .map_while(Result::ok)
            .filter(|field| field.number == METRIC_NAME)
            .filter_map(|field| std::str::from_utf8(field.as_len()?).ok())
            .last();
        let surroundings = Surroundings { scope, metric_name: name.unwrap_or_default() };
        let mut message = MessageRewrite::new(bytes);
        for field in Reader::new(bytes).map_while(Result::ok) {
            let number = field.number;
            match (number, field.value) {
                (5 | 7 | 9 | 10 | 11, Value::Len(points)) => {
                    let fate = self.children(points, POINTS, None, |pass, bytes| match number {
                        5 | 7 => pass.item::<NumberDataPoint>(bytes, active, &surroundings),
                        9 => pass.item::<HistogramDataPoint>(bytes, active, &surroundings),
                        10 => {
                            pass.item::<ExponentialHistogramDataPoint>(bytes, active, &surroundings)
                        }
                        _ => pass.item::<SummaryDataPoint>(bytes, active, &surroundings),
                    });
                    message.item(&field, &fate);
                }
                _ => message.keep(&field),
            }
        }
        message.finish()
    }

    /// Applies `child` to the children of a message, which share a field number. A changed `head` replaces its resource or scope.
    fn children(
        &mut self,
        bytes: &[u8],
        number: u32,
        mut head: Option<Vec<u8>>,
        mut child: impl FnMut(&mut Self, &[u8]) -> Edited,
    ) -> Edited {
        let has_new_head = head.is_some();
        let mut message = MessageRewrite::new(bytes);
        for field in Reader::new(bytes).map_while(Result::ok) {
            match field.as_len() {
                Some(bytes) if field.number == number => {
                    let fate = child(self, bytes);
                    message.item(&field, &fate);
                }
                _ if field.number == HEAD && has_new_head => match head.take() {
                    Some(head) => message.replace(&field, &head),
                    None => message.leave_out(&field),
                },
                _ => message.keep(&field),
            }
        }
        if let Some(head) = head {
            message.append(HEAD, &head);
        }
        message.finish()
    }

    fn item<I: Item>(
        &mut self,
        bytes: &[u8],
        active: &[Active<'_>],
        surroundings: &Surroundings<'_>,
    ) -> Edited {
        let Ok(mut item) = I::decode(bytes) else {
            self.unreadable += 1;
            return Edited::Same;
        };
        let (mut is_kept, mut changed) = (false, false);
        for active in active {
            let rule = active.rule;
            let is_excepted = || {
                rule.unless.as_ref().is_some_and(|unless| unless.meets_item(&item, surroundings))
            };
            if !rule.conditions.meets_item(&item, surroundings) || (active.unless && is_excepted())
            {
                continue;
            }
            let origin = self.origin;
            let Some(effect) = self.effects.get_mut(active.effect) else { continue };
            effect.matched += 1;
            let drops = match &rule.action {
                Action::Keep => {
                    is_kept = true;
                    false
                }
                Action::Drop => !is_kept,
                Action::Sample(share) => !is_kept && !share.keeps_item(&item),
                Action::Redact(redaction) => {
                    let redacted = item.redact(redaction);
                    effect.add_redacted(redacted);
                    changed |= redacted.values > 0;
                    false
                }
                Action::Change(Target::Attributes, change) => {
                    let is_new = change.apply(item.attributes_mut(), origin);
                    effect.changed += usize::from(is_new);
                    changed |= is_new;
                    false
                }
                Action::Change(Target::Resource, _) => false,
            };
            if drops {
                effect.dropped += 1;
                return Edited::Gone;
            }
        }
        if changed { Edited::Changed(item.encode_to_vec()) } else { Edited::Same }
    }

    fn change_resource(&mut self, active: &Active<'_>, resource: &mut Resource) -> bool {
        match &active.rule.action {
            Action::Change(Target::Resource, change) => {
                let is_new = change.apply(&mut resource.attributes, self.origin);
                if let Some(effect) = self.effect(active) {
                    effect.changed += usize::from(is_new);
                }
                is_new
            }
            Action::Redact(redaction) => {
                let redacted = redaction.attributes(ItemPart::Resource, &mut resource.attributes);
                if let Some(effect) = self.effect(active) {
                    effect.add_redacted(redacted);
                }
                redacted.values > 0
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
    let unless = rule.unless.as_ref().filter(|_| active.unless);
    let unless = unless.filter(|unless| unless.meets_resource(&resource.attributes));
    if unless.is_some_and(|unless| unless.item.is_empty()) {
        return None;
    }
    Some(Active { unless: unless.is_some(), ..*active })
}

/// The first rule, if it drops all items without looking at them. A rule before it needs the items for its counts.
fn drops_all<'a, 'r>(active: &'a [Active<'r>]) -> Option<&'a Active<'r>> {
    let first = active.first()?;
    (matches!(first.rule.action, Action::Drop) && !first.asks_items()).then_some(first)
}

/// The resource or scope of a container. Protobuf merges repeated fields.
fn head(container: &[u8]) -> Vec<u8> {
    let fields = Reader::new(container).map_while(Result::ok);
    let heads = fields.filter(|field| field.number == HEAD).filter_map(|field| field.as_len());
    heads.collect::<Vec<_>>().concat()
}

fn count(kind: SignalKind, container: &[u8]) -> usize {
    messages(container, SCOPES).map(|scope| count_scope(kind, scope)).sum()
}

fn count_scope(kind: SignalKind, scope: &[u8]) -> usize {
    let items = messages(scope, ITEMS);
    if kind != SignalKind::Metrics {
        return items.count();
    }
    let data = items.flat_map(|metric| messages_of(metric, &[5, 7, 9, 10, 11]));
    data.map(|data| messages(data, POINTS).count()).sum()
}

#[derive(Debug)]
pub(super) enum Edited {
    Same,
    Changed(Vec<u8>),
    Gone,
}

/// A message whose fields are visited one by one. Copies nothing before the first change.
pub(super) struct MessageRewrite<'m> {
    message: &'m [u8],
    /// End of the last field.
    at: usize,
    /// Everything before this is in `out`, or removed.
    copied: usize,
    out: Option<Vec<u8>>,
    any_left: bool,
    any_gone: bool,
}

impl<'m> MessageRewrite<'m> {
    pub(super) fn new(message: &'m [u8]) -> Self {
        Self { message, at: 0, copied: 0, out: None, any_left: false, any_gone: false }
    }

    /// Keeps a field without items.
    pub(super) fn keep(&mut self, field: &Field<'_>) {
        self.at += field.raw.len();
    }

    /// Removes a field without items.
    pub(super) fn leave_out(&mut self, field: &Field<'_>) {
        self.flush();
        self.at += field.raw.len();
        self.copied = self.at;
    }

    pub(super) fn replace(&mut self, field: &Field<'_>, bytes: &[u8]) {
        self.leave_out(field);
        self.append(field.number, bytes);
    }

    pub(super) fn append(&mut self, number: u32, bytes: &[u8]) {
        let out = self.flush();
        Writer::new(out).always_bytes(number, bytes);
    }

    /// Keeps, replaces or removes an item, or a field with items.
    pub(super) fn item(&mut self, field: &Field<'_>, fate: &Edited) {
        match fate {
            Edited::Same => self.keep(field),
            Edited::Changed(bytes) => self.replace(field, bytes),
            Edited::Gone => self.leave_out(field),
        }
        let gone = matches!(fate, Edited::Gone);
        self.any_gone |= gone;
        self.any_left |= !gone;
    }

    pub(super) fn finish(mut self) -> Edited {
        if self.any_gone && !self.any_left {
            return Edited::Gone;
        }
        if self.out.is_none() {
            return Edited::Same;
        }
        Edited::Changed(std::mem::take(self.flush()))
    }

    /// Copies the kept fields up to here.
    fn flush(&mut self) -> &mut Vec<u8> {
        let message = self.message;
        let out = self.out.get_or_insert_with(|| Vec::with_capacity(message.len()));
        out.extend_from_slice(message.get(self.copied..self.at).unwrap_or_default());
        self.copied = self.at;
        out
    }
}
