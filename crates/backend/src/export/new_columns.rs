//! Finds the items that would add columns to OpenObserve's streams.
//!
//! If concurrent requests add the same columns, OpenObserve 0.92.2 and 0.93-dev lose values. It stores the spans of all but one
//! request without the new columns, and answers 200. For data points it answers 500 after a part was stored, so that a retry
//! stores this part twice. Requests whose columns the server knows are stored whole. So each client sends a few items
//! first. Together they have all columns that the backend has not accepted from it yet. It sends the others after the answer.
//!
//! The adapter notes the shapes of the items that it wrote. A request whose shapes are all known isn't searched.

use crate::sanitize::hash::{KeyHash, combined};
use crate::sanitize::limits::MAP_LEVELS;
use std::collections::HashSet;
use wire::edit::{Edit, Editor};
use wire::field::{metric, span};
use wire::protobuf::{Value, fields};
use wire::view::{
    self, Item, ItemKind, data_points, holds_map, key_and_value, map_entries, may_nest, metric_name,
};
use wire::{Request, SignalKind};

/// Columns that the backend has accepted from this client, as hashes, with those of all columns of an item and the adapter's shapes.
#[derive(Debug, Default)]
pub(crate) struct KnownColumns(HashSet<u64>);

/// Above this number of hashes, all are forgotten, and the next requests send items ahead again.
const MAX_HASHES: usize = 1 << 16;

/// The new columns of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NewColumns {
    /// To be added when the backend accepts the items that are sent first.
    pub(crate) hashes: Vec<u64>,
    /// Positions of a few items that together have all new columns, in order.
    items: Vec<usize>,
}

impl NewColumns {
    /// Returns `true` if the items with new columns are to be sent before the others, because they are less than half of all.
    pub(crate) fn are_ahead_in(&self, request: &Request) -> bool {
        !self.items.is_empty() && self.items.len() * 2 < request.items()
    }

    /// Divides a request into the items with new columns and the others.
    pub(super) fn divide(&self, request: Request) -> DividedRequest {
        // Each resource is written twice. Cutting at each position would repeat it as often as there are positions.
        let ahead = KeptItems::AtPositions.of(request.clone(), &self.items);
        let rest = KeptItems::Others.of(request, &self.items);
        DividedRequest { ahead, rest }
    }
}

impl KnownColumns {
    /// Adds the columns of items that the backend has accepted.
    pub(crate) fn add(&mut self, hashes: &[u64]) {
        if self.0.len() + hashes.len() > MAX_HASHES {
            self.0.clear();
        }
        self.0.extend(hashes);
    }

    /// Returns the new columns of a request for this stream. Log records have none, because OpenObserve loses none of theirs.
    pub(crate) fn new_in(&self, stream: &[u8], request: &Request) -> NewColumns {
        if request.kind() == SignalKind::Logs {
            return NewColumns::default();
        }
        let stream = KeyHash::of_item(stream).hash;
        let facts = request.column_facts();
        let shapes = facts.and_then(|facts| facts.shapes.as_deref());
        let shapes = shapes.map(|all| all.iter().map(|shape| combined(stream, *shape)));
        if shapes.clone().is_some_and(|mut shapes| shapes.all(|shape| self.0.contains(&shape))) {
            return NewColumns::default();
        }
        let mut search =
            ColumnSearch { known: &self.0, found: HashSet::new(), items: Vec::new(), position: 0 };
        search.visit_request(stream, request);
        let mut hashes: Vec<u64> = search.found.into_iter().collect();
        // A part of a request may lack some of its shapes.
        let is_whole = facts.is_some_and(|facts| facts.items == request.items());
        if let Some(shapes) = shapes.filter(|_| is_whole) {
            hashes.extend(shapes);
        }
        NewColumns { hashes, items: few_with_all(search.items) }
    }
}

/// A request in two parts.
pub(super) struct DividedRequest {
    /// The few items that are sent first.
    pub(super) ahead: Request,
    pub(super) rest: Request,
}

/// The items that an edit keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeptItems {
    AtPositions,
    Others,
}

impl KeptItems {
    /// Returns these items of a request.
    fn of(self, request: Request, positions: &[usize]) -> Request {
        let kind = request.kind();
        let kept = request.edit(&mut KeepItems { kept: self, positions, position: 0 });
        kept.unwrap_or_else(|| Request::trusted(kind, Vec::new()))
    }
}

struct KeepItems<'p> {
    kept: KeptItems,
    /// The positions that are still to come.
    positions: &'p [usize],
    /// The position of the next item.
    position: usize,
}

impl Editor for KeepItems<'_> {
    fn item(&mut self, _: Item<'_>) -> Edit {
        let is_next = self.positions.first() == Some(&self.position);
        if let Some((_, later)) = self.positions.split_first().filter(|_| is_next) {
            self.positions = later;
        }
        self.position += 1;
        let is_kept = match self.kept {
            KeptItems::AtPositions => is_next,
            KeptItems::Others => !is_next,
        };
        if is_kept { Edit::Keep } else { Edit::Drop }
    }
}

/// The search for new columns in a request.
struct ColumnSearch<'k> {
    known: &'k HashSet<u64>,
    /// All new hashes.
    found: HashSet<u64>,
    /// The items that had a new column when the search reached them.
    items: Vec<ItemWithNewColumns>,
    /// The position of the next item.
    position: usize,
}

struct ItemWithNewColumns {
    position: usize,
    columns: Vec<u64>,
}

impl ColumnSearch<'_> {
    /// Visits the items in the order in which [`Request::parts`] counts them.
    fn visit_request(&mut self, stream: u64, request: &Request) {
        for container in request.containers() {
            // All keys of a resource count as one column, because its items share them.
            let mut resource = stream;
            for attribute in container.attributes() {
                let mut add = |column| resource = combined(resource, column);
                attribute_columns(stream, attribute, &mut add);
            }
            for message in container.scopes().flat_map(view::ScopeContainer::messages) {
                if request.kind() == SignalKind::Metrics {
                    self.visit_metric(resource, message);
                } else {
                    self.visit_item(Item::new(ItemKind::Span, message), stream, resource);
                }
            }
        }
    }

    /// Visits the data points of a metric, which has one stream, or several if it is a histogram or summary.
    fn visit_metric(&mut self, resource: u64, metric: &[u8]) {
        let data = fields(metric).find(|field| metric::DATA.contains(&field.number));
        let kind = data.map_or(0, |data| data.number.into());
        let stream = KeyHash::new(metric_name(metric), kind).hash;
        for point in data_points(metric) {
            self.visit_item(point, stream, resource);
        }
    }

    #[inline]
    fn visit_item(&mut self, item: Item<'_>, stream: u64, resource: u64) {
        let mut shape = 0;
        each_column(item, stream, resource, &mut |column| shape = combined(shape, column));
        if !self.known.contains(&shape) && self.found.insert(shape) {
            self.add_shape(item, stream, resource);
        }
        self.position += 1;
    }

    #[cold]
    fn add_shape(&mut self, item: Item<'_>, stream: u64, resource: u64) {
        let mut new = Vec::new();
        each_column(item, stream, resource, &mut |column| {
            if !self.known.contains(&column) {
                new.push(column);
            }
        });
        if new.iter().any(|column| !self.found.contains(column)) {
            self.found.extend(&new);
            self.items.push(ItemWithNewColumns { position: self.position, columns: new });
        }
    }
}

/// Calls `take` with each column of an item that some items lack.
#[inline]
fn each_column<T: FnMut(u64)>(item: Item<'_>, stream: u64, resource: u64, take: &mut T) {
    if item.kind != ItemKind::Span {
        take(combined(stream, resource));
        for attribute in item.attributes() {
            attribute_columns(stream, attribute, take);
        }
        return;
    }
    take(resource);
    let mut seed = stream;
    for field in fields(item.bytes) {
        match (field.number, field.value) {
            (span::PARENT_SPAN_ID, Value::Len([_, ..])) => take(combined(stream, 4)),
            // OpenObserve infers the called service from attributes of client and producer spans, in columns of its own.
            (span::KIND, Value::Varint(3 | 4)) => seed = combined(stream, 6),
            (span::ATTRIBUTES, Value::Len(attribute)) => attribute_columns(seed, attribute, take),
            (span::STATUS, Value::Len(_)) => take(combined(stream, 15)),
            _ => {}
        }
    }
}

/// Calls `take` with the column of an attribute, or those of its entries if it is a map. Two spellings of one column count as two.
#[inline]
fn attribute_columns<T: FnMut(u64)>(seed: u64, attribute: &[u8], take: &mut T) {
    let (key, value) = key_and_value(attribute);
    let column = KeyHash::new(key, seed).hash;
    if may_nest(value) {
        value_columns(column, value, MAP_LEVELS, take);
    } else if !value.is_empty() {
        take(column);
    }
}

/// Calls `take` with the columns of a value in this column. An empty value has no column.
#[cold]
fn value_columns<T: FnMut(u64)>(column: u64, value: &[u8], levels: usize, take: &mut T) {
    if levels <= 1 || !holds_map(value) {
        if !value.is_empty() {
            take(column);
        }
        return;
    }
    for (key, value) in map_entries(value).map(key_and_value) {
        value_columns(KeyHash::new(key, column).hash, value, levels - 1, take);
    }
}

/// Returns the positions of items that together have all new columns, in order: preferably those with many.
fn few_with_all(mut items: Vec<ItemWithNewColumns>) -> Vec<usize> {
    items.sort_by_key(|item| std::cmp::Reverse(item.columns.len()));
    let mut covered: HashSet<u64> = HashSet::new();
    items.retain(|item| {
        let before = covered.len();
        covered.extend(item.columns.iter());
        covered.len() > before
    });
    let mut positions: Vec<usize> = items.into_iter().map(|item| item.position).collect();
    positions.sort_unstable();
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Profile;
    use crate::sanitize::sanitize;
    use crate::sanitize::tests::metrics::any_metric;
    use crate::sanitize::tests::{any_attributes, any_typed_attributes, attribute};
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{Metric, Summary, SummaryDataPoint};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{Span, Status};
    use proptest::prelude::*;
    use std::sync::Arc;
    use wire::protobuf::Writer;

    fn any_span() -> impl Strategy<Value = Span> {
        let attributes = prop_oneof![any_attributes(), any_typed_attributes(2)];
        let parent = prop::sample::select(vec![vec![], vec![0; 8], vec![1; 8]]);
        let status = prop::option::of(Just(Status::default()));
        let of_others = (parent, 0..5_i32, status, 0..2_u32);
        (attributes, of_others).prop_map(|(attributes, (parent_span_id, kind, status, dropped))| {
            Span {
                trace_id: vec![1; 16],
                span_id: vec![1; 8],
                parent_span_id,
                kind,
                attributes,
                dropped_links_count: dropped,
                status,
                ..Span::default()
            }
        })
    }

    fn any_request() -> impl Strategy<Value = Request> {
        let resource = || {
            any_attributes().prop_map(|attributes| Resource { attributes, ..Resource::default() })
        };
        let spans = prop::collection::vec(any_span(), 1..4);
        let metrics = prop::collection::vec(any_metric(), 1..4);
        prop_oneof![
            (resource(), spans).prop_map(|(resource, spans)| Request::of_spans(resource, spans)),
            (resource(), metrics)
                .prop_map(|(resource, metrics)| Request::of_metrics(resource, metrics)),
        ]
    }

    fn adapted(request: Request) -> Request {
        let sanitized = sanitize(Profile::OpenObserve, request, "shop");
        let facts = sanitized.facts.unwrap().to_column_facts();
        sanitized.request.unwrap().with_column_facts(Arc::new(facts))
    }

    #[test]
    fn an_accepted_part_makes_the_shapes_of_the_others_not_known() {
        let span = |key| Span {
            trace_id: vec![1; 16],
            span_id: vec![1; 8],
            attributes: vec![attribute(key, "x")],
            ..Span::default()
        };
        let mut known = KnownColumns::default();
        let (part, other) =
            adapted(Request::of_spans(None, vec![span("a"), span("b")])).split_at(1);
        known.add(&known.new_in(b"", &part).hashes);
        assert_eq!(known.new_in(b"", &part).items, [0_usize; 0]);
        assert_eq!(known.new_in(b"", &other).items, [0]);
    }

    #[test]
    fn a_summary_without_a_sum_has_columns_in_two_streams() {
        let summary = |sums: &[f64]| {
            let point = |sum: &f64| SummaryDataPoint { sum: *sum, ..SummaryDataPoint::default() };
            let data_points = sums.iter().map(point).collect();
            let data = Some(Data::Summary(Summary { data_points }));
            adapted(Request::of_metrics(
                None,
                vec![Metric { name: "m".to_owned(), data, ..Metric::default() }],
            ))
        };
        let mut known = KnownColumns::default();
        for (sums, new) in [(&[1.0][..], vec![0]), (&[1.0], vec![]), (&[f64::NAN], vec![0])] {
            let request = summary(sums);
            let found = known.new_in(b"", &request);
            assert_eq!(found.items, new, "{sums:?}");
            known.add(&found.hashes);
        }
    }

    proptest! {
        /// The shapes spare a search that would find nothing.
        #[test]
        fn shapes_hide_no_new_columns(requests in prop::collection::vec(any_request(), 1..40)) {
            let mut known_by_shapes = KnownColumns::default();
            let mut known = KnownColumns::default();
            for request in requests {
                let sanitized = sanitize(Profile::OpenObserve, request, "shop");
                let Some(request) = sanitized.request else { continue };
                let facts = sanitized.facts.unwrap().to_column_facts();
                let new = known.new_in(b"s", &request);
                let request = request.with_column_facts(Arc::new(facts));
                let new_by_shapes = known_by_shapes.new_in(b"s", &request);
                prop_assert_eq!(&new.items, &new_by_shapes.items);
                known.add(&new.hashes);
                known_by_shapes.add(&new_by_shapes.hashes);
                prop_assert_eq!(known_by_shapes.new_in(b"s", &request), NewColumns::default());
            }
        }
    }

    #[test]
    fn dividing_repeats_a_resource_once() {
        const ITEMS: usize = 1000;
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(1, |container| {
            container.message(1, |resource| resource.text_attribute(1, "x", &"x".repeat(10_000)));
            container.message(2, |scope| {
                for number in 0..ITEMS {
                    scope.message(2, |span| span.string(5, &number.to_string()));
                }
            });
        });
        let request = Request::counted(SignalKind::Traces, bytes, ITEMS);
        let bytes = request.bytes().len();
        let positions: Vec<usize> = (0..ITEMS).filter(|number| number % 3 == 1).collect();
        let new = NewColumns { hashes: Vec::new(), items: positions.clone() };
        let DividedRequest { ahead, rest } = new.divide(request);
        assert!(ahead.bytes().len() + rest.bytes().len() < 2 * bytes);
        let names = |request: &Request| -> Vec<usize> {
            let names = request.messages().map(|span| {
                let name = wire::protobuf::messages(span, 5).next().unwrap();
                std::str::from_utf8(name).unwrap().parse().unwrap()
            });
            names.collect()
        };
        assert_eq!((ahead.items(), names(&ahead)), (positions.len(), positions.clone()));
        let others: Vec<usize> = (0..ITEMS).filter(|number| number % 3 != 1).collect();
        assert_eq!((rest.items(), names(&rest)), (others.len(), others));
    }
}
