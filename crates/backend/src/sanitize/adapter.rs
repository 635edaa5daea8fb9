//! The walk through one request, from its resources to its items.

use super::gen_ai::{self, GenAi};
use super::hash::combined;
use super::plan::{NewItem, Plan, Plans};
use super::planned::ReadAttribute;
use super::request_facts::RequestFacts;
use super::shape::ShapeHash;
use super::taken_columns::{SignalColumns, TakenColumns};
use super::write::write_attributes;
use std::rc::Rc;
use wire::edit::{Edit, edit_children, replace_fields};
use wire::field::{any_value, container, request, resource, scope_container};
use wire::protobuf::{Writer, messages};
use wire::resource::SERVICE_NAME;
use wire::view::{Container, ScopeContainer};
use wire::{Request, SignalKind};

/// Most resources have at most this many attributes.
const USUAL_ATTRIBUTES: usize = 24;

/// What the walk through a request found.
pub(super) struct Adapter<'p> {
    pub(super) plans: &'p mut Plans,
    kind: SignalKind,
    fallback_service: &'p str,
    pub(super) facts: RequestFacts,
    /// Number of keys that were renamed because another key had their column.
    pub(super) renamed: usize,
    /// Number of data points without a value that OpenObserve can store.
    pub(super) dropped: usize,
    /// Number of spans with invalid ids, which were taken out.
    pub(super) invalid: usize,
}

/// The surroundings of an item.
pub(super) struct ItemContext<'c, 'r> {
    pub(super) taken: &'c TakenColumns<'r>,
    /// `true` if the scope is that of an AI framework.
    pub(super) is_in_framework: bool,
    /// The shape of the resource and the scope.
    around: u64,
    /// The stream of a metric, as a hash. 0 for other signals, whose requests name it.
    pub(super) stream: u64,
}

impl<'p> Adapter<'p> {
    pub(super) fn new(plans: &'p mut Plans, kind: SignalKind, fallback_service: &'p str) -> Self {
        Self {
            plans,
            kind,
            fallback_service,
            facts: RequestFacts::NOTHING,
            renamed: 0,
            dropped: 0,
            invalid: 0,
        }
    }

    /// Adapts a request of this signal.
    pub(super) fn adapt(&mut self, request: &Request) -> Edit {
        edit_children(request.bytes(), &[request::CONTAINERS], None, |_, container| {
            self.adapt_container(container)
        })
    }

    fn adapt_container(&mut self, bytes: &[u8]) -> Edit {
        let signal = SignalColumns::of(self.kind);
        let container = Container::new(self.kind, bytes);
        let mut attributes = Vec::with_capacity(USUAL_ATTRIBUTES);
        attributes.extend(container.attributes().map(ReadAttribute::read));
        let AdaptedResource { encoded, shape, renamed_places } =
            self.adapt_resource(container, &attributes, signal);
        if !renamed_places.is_empty() {
            // An attribute with another name says nothing in its former column.
            let mut place = 0;
            attributes.retain(|_| {
                let is_renamed = renamed_places.binary_search(&place).is_ok();
                place += 1;
                !is_renamed
            });
        }
        let taken = TakenColumns::new(signal, &attributes, encoded.as_deref());
        edit_children(bytes, &[container::SCOPES], encoded.as_deref(), |_, scope| {
            self.adapt_scope(scope, shape, &taken)
        })
    }

    fn adapt_scope(&mut self, bytes: &[u8], resource: u64, taken: &TakenColumns<'_>) -> Edit {
        let scope = ScopeContainer::new(self.kind, bytes);
        let is_in_framework = self.kind == SignalKind::Traces && gen_ai::is_of_framework(scope);
        let around = resource.rotate_left(1) ^ u64::from(is_in_framework);
        let context = ItemContext { taken, is_in_framework, around, stream: 0 };
        edit_children(bytes, &[scope_container::ITEMS], None, |_, item| match self.kind {
            SignalKind::Traces => self.adapt_span(item, &context),
            SignalKind::Logs => self.adapt_log_record(item, &context),
            SignalKind::Metrics => self.adapt_metric(item, &context),
        })
    }

    /// Adapts a resource. It gets the name of the fallback service if it has none, because OpenObserve would use the previous
    /// resource's.
    fn adapt_resource(
        &mut self,
        container: Container<'_>,
        read: &[ReadAttribute<'_>],
        signal: &'static SignalColumns,
    ) -> AdaptedResource {
        let mut fallback = Vec::new();
        // Only the first of several counts.
        let own = read.iter().position(|it| it.key == SERVICE_NAME.as_bytes());
        let is_named = own.and_then(|at| read.get(at)).is_some_and(|name| {
            messages(name.value, any_value::STRING).next().is_some_and(|name| !name.is_empty())
        });
        let mut named: Vec<ReadAttribute<'_>> = Vec::new();
        if !is_named {
            Writer::new(&mut fallback).always_string(any_value::STRING, self.fallback_service);
            named.extend(read);
            let name = ReadAttribute::added(SERVICE_NAME, &fallback);
            match own.and_then(|at| named.get_mut(at)) {
                Some(nameless) => *nameless = name,
                None => named.push(name),
            }
        }
        let attributes = if is_named { read } else { &named };
        let mut shape = ShapeHash::begin(self.kind as u64);
        for attribute in attributes {
            shape.add_alone(attribute.key, attribute.value);
        }
        let shape = shape.finish();
        let plan = match self.plans.find(shape) {
            Some(plan) => plan,
            None => self.plans.add(shape, Plan::make_for_resource(attributes, signal)),
        };
        self.note(&plan);
        let encoded = (!is_named || !plan.is_as_read()).then(|| {
            replace_fields(container.resource(), resource::ATTRIBUTES, |out| {
                plan.write(out, resource::ATTRIBUTES, attributes);
            })
        });
        AdaptedResource { encoded, shape, renamed_places: plan.renamed_places.clone() }
    }

    /// Finds or makes the plan of an item's attributes. `other_columns` are facts about the other columns of a span or metric, whose
    /// shape is noted. Log records have `None`, because nobody searches them for new columns.
    pub(super) fn find_plan<'a>(
        &mut self,
        shape: &ShapeHash,
        other_columns: Option<u64>,
        context: &ItemContext<'_, '_>,
        read: impl FnOnce() -> NewItem<'a>,
    ) -> Rc<Plan<'a>> {
        let shape = shape.finish();
        let plan = match self.plans.find(shape) {
            Some(plan) => plan,
            None => self.plans.add(shape, Plan::make_for_item(&read(), context.taken)),
        };
        self.note(&plan);
        if let Some(other_columns) = other_columns {
            self.facts.add_item(combined(shape, other_columns));
        }
        plan
    }

    fn note(&mut self, plan: &Plan<'_>) {
        self.renamed += plan.renamed;
        self.facts.add_keys(&plan.keys);
    }
}

impl ItemContext<'_, '_> {
    /// The same surroundings in a stream.
    pub(super) fn in_stream(&self, stream: u64) -> Self {
        Self { stream, ..*self }
    }

    pub(super) fn begin_shape(&self) -> ShapeHash {
        ShapeHash::begin(self.around)
    }

    /// What OpenObserve would do with the attributes of a span, if it does anything.
    pub(super) fn gen_ai(&self, span: &[u8], shape: &mut ShapeHash) -> Option<GenAi> {
        let gen_ai = (shape.is_watched || self.is_in_framework)
            .then(|| GenAi::of(span, self.is_in_framework))?;
        shape.add_fact(gen_ai.as_fact());
        Some(gen_ai)
    }
}

/// A resource for OpenObserve.
struct AdaptedResource {
    /// `None` if it stays as it was read.
    encoded: Option<Vec<u8>>,
    shape: u64,
    /// The places of the attributes that get another name, in order.
    renamed_places: Vec<usize>,
}

impl Plan<'_> {
    /// Writes the attributes of an item of the plan's shape.
    pub(super) fn write(&self, out: &mut Writer<'_>, number: u32, read: &[ReadAttribute<'_>]) {
        if let Some(planned) = &self.attributes {
            return write_attributes(out, number, planned, read);
        }
        for attribute in read {
            attribute.write(out, number);
        }
    }
}
