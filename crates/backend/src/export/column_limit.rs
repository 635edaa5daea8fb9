//! Splits requests that exceed OpenObserve's column limit.
//!
//! OpenObserve 0.60.5 and 0.92.2 refuse a request if the records of one stream have more than 1,000 distinct field names together
//! (`ZO_COLS_PER_RECORD_LIMIT`; OpenObserve Cloud allows 200): logs with a 200 and nothing written, traces and metrics with a
//! 400.

use crate::sanitize::limits::{LOG_MAP_LEVELS, MAP_LEVELS};
use crate::sanitize::number_of_reserved_columns;
use crate::sanitize::same_column::{add_places, start};
use std::collections::{HashMap, HashSet};
use wire::field::log_record;
use wire::protobuf::messages;
use wire::view::{self, Item, ItemKind, data_points, key_and_value, map_entries, metric_name};
use wire::{MAX_REPEATED_BYTES, Request, SignalKind};

/// A request with few keys has far fewer columns than this (`RequestFacts::to_column_facts`).
const FEW_KEYS_ARE_BELOW: usize = 700;

/// An attribute with a column of its own takes more bytes than this, so a small request cannot have too many columns.
const LEAST_ATTRIBUTE_BYTES: usize = 4;

/// Splits a request, in order, into the fewest pieces with at most `max_columns` distinct columns of one stream.
///
/// A single item with more columns stays alone, so that its neighbours are accepted. A request with few keys costs one pass; one
/// known to have few keys, or of a few KiB, costs nothing.
pub(crate) fn split_by_columns(request: Request, max_columns: usize) -> Vec<Request> {
    let max_columns = max_columns.saturating_sub(number_of_reserved_columns(request.kind()));
    let has_few_keys = request.column_facts().is_some_and(|facts| facts.has_few_keys);
    if (has_few_keys && max_columns >= FEW_KEYS_ARE_BELOW)
        || request.bytes().len() / LEAST_ATTRIBUTE_BYTES <= max_columns
    {
        return vec![request];
    }
    let mut splitter = Splitter { max_columns, ..Splitter::default() };
    splitter.visit_request(&request);
    request.parts(&splitter.sizes)
}

/// The parts shared by all items of one resource.
struct ContainerColumns {
    index: usize,
    columns: Vec<u64>,
}

/// Finds the split positions.
#[derive(Default)]
struct Splitter {
    max_columns: usize,
    /// The number of items of each complete piece.
    sizes: Vec<usize>,
    items: usize,
    /// Hashes of the columns that the resources of the current piece have together. Each stream counts all of them: a set for
    /// each metric would need the memory of a resource for each metric.
    shared: HashSet<u64>,
    /// Hashes of the other columns of the current piece, by the hash of their stream.
    own: HashMap<u64, HashSet<u64>>,
    /// The container whose columns were added last.
    last_added: Option<usize>,
    last_container: Option<usize>,
    repeated_bytes: usize,
}

impl Splitter {
    /// Visits the items in the order in which [`Request::parts`] counts them.
    fn visit_request(&mut self, request: &Request) {
        for (index, container) in request.containers().enumerate() {
            let head_bytes = container.head_bytes();
            let shared = self.shared(request.kind(), index, container);
            for scope in container.scopes() {
                let head_bytes = head_bytes + scope.head_bytes();
                for message in scope.messages() {
                    match ItemKind::of_signal(request.kind()) {
                        Some(kind) => {
                            self.place(0, &shared, Item::new(kind, message), head_bytes);
                        }
                        None => self.visit_metric(message, &shared, head_bytes),
                    }
                }
            }
        }
    }

    fn shared(
        &self,
        kind: SignalKind,
        index: usize,
        container: view::Container<'_>,
    ) -> ContainerColumns {
        let (prefix, levels) = match kind {
            SignalKind::Traces => ("service_", MAP_LEVELS),
            SignalKind::Logs => ("", LOG_MAP_LEVELS),
            SignalKind::Metrics => ("", MAP_LEVELS),
        };
        let mut columns = columns_of(prefix, container.attributes(), levels);
        columns.sort_unstable();
        columns.dedup();
        // One column above the limit is enough.
        columns.truncate(self.max_columns.saturating_add(1));
        ContainerColumns { index, columns }
    }

    /// Visits a metric, a stream of its own with the columns of all its data points.
    fn visit_metric(&mut self, metric: &[u8], container: &ContainerColumns, head_bytes: usize) {
        // OpenObserve turns each run of other characters into one `_`; here they are skipped. Two streams confused thereby have
        // their columns added up, so the request is split earlier than necessary, never later.
        let letters = metric_name(metric).iter().filter(|byte| byte.is_ascii_alphanumeric());
        let name: String = letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
        let stream = start(&name).column;
        let head_bytes = head_bytes + view::metric_head_bytes(metric);
        for point in data_points(metric) {
            self.place(stream, container, point, head_bytes);
        }
    }

    /// Adds the next item to the current piece, or starts a new one if it would have too many columns.
    fn place(
        &mut self,
        stream: u64,
        container: &ContainerColumns,
        item: Item<'_>,
        head_bytes: usize,
    ) {
        let own = &columns_of_item(item);
        let repeats = self.last_container == Some(container.index);
        self.last_container = Some(container.index);
        // If the resource alone has too many columns, a split does not help.
        let is_lost_anyway = repeats && container.columns.len() > self.max_columns;
        let repeated_bytes = self.repeated_bytes + if repeats { head_bytes } else { 0 };
        if !self.add(stream, container, own)
            && self.items > 0
            && !is_lost_anyway
            && repeated_bytes <= MAX_REPEATED_BYTES
        {
            self.repeated_bytes = repeated_bytes;
            self.sizes.push(std::mem::take(&mut self.items));
            self.shared.clear();
            self.own.clear();
            self.last_added = None;
            self.add(stream, container, own);
        }
        self.items += 1;
    }

    /// Adds the columns of an item to its stream. Returns `false` above the limit.
    fn add(&mut self, stream: u64, container: &ContainerColumns, own: &[u64]) -> bool {
        if self.last_added.replace(container.index) != Some(container.index) {
            self.shared.extend(&container.columns);
        }
        let columns = self.own.entry(stream).or_default();
        columns.extend(own.iter().filter(|column| !self.shared.contains(column)));
        // A column that a later resource has too is counted twice: the request is split earlier than necessary, never later.
        self.shared.len() + columns.len() <= self.max_columns
    }
}

fn columns_of_item(item: Item<'_>) -> Vec<u64> {
    if item.kind != ItemKind::LogRecord {
        return columns_of("", item.attributes(), MAP_LEVELS);
    }
    let mut columns = columns_of("", item.attributes(), LOG_MAP_LEVELS);
    // The entries of a map body are columns: `body_level`, `body_msg`.
    for entries in messages(item.bytes, log_record::BODY).map(map_entries) {
        columns.extend(columns_of("body_", entries, LOG_MAP_LEVELS - 1));
    }
    columns
}

/// The columns of these attributes with this prefix. Maps have a column for each entry while `levels` remain.
fn columns_of<'a>(
    prefix: &str,
    attributes: impl Iterator<Item = &'a [u8]>,
    levels: usize,
) -> Vec<u64> {
    let mut places = Vec::new();
    for (key, value) in attributes.map(key_and_value) {
        add_places(start(prefix), key, value, levels - 1, &mut places);
    }
    places.into_iter().map(|place| place.column).collect()
}

#[cfg(test)]
mod tests;
