//! Splits requests that exceed OpenObserve's column limit.
//!
//! OpenObserve 0.60.5 and 0.92.2 refuse a request if the records of one stream have more than 1,000 distinct field names together
//! (`ZO_COLS_PER_RECORD_LIMIT`; OpenObserve Cloud allows 200): logs with a 200 and nothing written, traces and metrics with a
//! 400.

mod keys;

use super::fields::{
    CONTAINER, ITEM, MAP, MAP_ENTRY, RESOURCE, RESOURCE_ATTRIBUTE, SCOPE, fields, key_and_value,
};
use super::names;
use super::same_column::MOST_LEVELS;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use wire::protobuf::messages;
use wire::{Request, SignalKind};

/// A request with few keys has far fewer columns than this (`Survey::has_few_keys`).
const FEW_KEYS_ARE_BELOW: usize = 700;

/// Nested maps in logs become columns down to this depth, and a JSON string below it (`ZO_INGEST_FLATTEN_LEVEL`).
const FLATTEN_LEVELS: usize = 3;

/// An attribute with a column of its own takes more bytes than this, so a small request cannot have too many columns.
const LEAST_ATTRIBUTE_BYTES: usize = 4;

/// Maximum number of bytes of resources, scopes and metric names that splitting may repeat; the rest then stays one request. Only
/// adversarial requests with large resources and hundreds of attributes an item reach it.
const MOST_REPEATED_BYTES: usize = 16 << 20;

// Field numbers: opentelemetry-proto 1.x, `common/v1/common.proto` and the protos of the signals.
const SPAN_ATTRIBUTE: u32 = 9;
const LOG_BODY: u32 = 5;
const LOG_ATTRIBUTE: u32 = 6;
const METRIC_NAME: u32 = 1;
const POINT: u32 = 1;

/// Splits a request, in order, into the fewest pieces with at most `max_columns` distinct columns of one stream.
///
/// A single item with more columns stays alone, so that its neighbours are accepted. A request with few keys costs one pass; one
/// known to have few keys, or of a few KiB, costs nothing.
pub(crate) fn split_by_columns(request: Request, max_columns: usize) -> Vec<Request> {
    let fixed = match request.kind() {
        SignalKind::Traces => &names::SPAN,
        SignalKind::Logs => &names::LOG_RECORD,
        SignalKind::Metrics => &names::DATA_POINT,
    };
    let max_columns = max_columns.saturating_sub(fixed.len());
    if (request.has_few_keys() && max_columns >= FEW_KEYS_ARE_BELOW)
        || request.bytes().len() / LEAST_ATTRIBUTE_BYTES <= max_columns
        || keys::are_few(request.kind(), request.bytes(), max_columns)
    {
        return vec![request];
    }
    let mut splitter = Splitter::new(max_columns);
    splitter.scan(request.kind(), request.bytes());
    let mut pieces = Vec::with_capacity(splitter.sizes.len() + 1);
    split(request, &splitter.sizes, &mut pieces);
    pieces
}

/// Splits the request into pieces with these numbers of items, and one with the rest. Cutting in halves copies each byte once per
/// level instead of once per piece.
fn split(request: Request, sizes: &[usize], pieces: &mut Vec<Request>) {
    let Some(middle) = sizes.len().checked_sub(1).map(|last| last / 2) else {
        return pieces.push(request);
    };
    let (left, right) = sizes.split_at(middle + 1);
    let (first, second) = request.split_at(left.iter().sum());
    split(first, sizes.get(..middle).unwrap_or_default(), pieces);
    split(second, right, pieces);
}

/// The parts shared by all items of one resource.
struct Container {
    index: usize,
    columns: Vec<u64>,
    /// Bytes of the resource and its schema URL, which each further piece repeats.
    head_bytes: usize,
}

/// Finds the split positions.
struct Splitter {
    max_columns: usize,
    hasher: RandomState,
    /// The number of items of each complete piece.
    sizes: Vec<usize>,
    items: usize,
    /// Hashes of the current piece's columns, by the hash of their stream.
    columns: HashMap<u64, HashSet<u64>>,
    /// The stream and container whose shared columns were added last.
    last_added: Option<(u64, usize)>,
    last_container: Option<usize>,
    repeated_bytes: usize,
}

impl Splitter {
    fn new(max_columns: usize) -> Self {
        Self {
            max_columns,
            hasher: RandomState::new(),
            sizes: Vec::new(),
            items: 0,
            columns: HashMap::new(),
            last_added: None,
            last_container: None,
            repeated_bytes: 0,
        }
    }

    /// Visits the items in the order in which [`Request::split_at`] counts them.
    fn scan(&mut self, kind: SignalKind, request: &[u8]) {
        let (mut name, mut own) = (Vec::new(), Vec::new());
        for (index, message) in messages(request, CONTAINER).enumerate() {
            let container = self.container(kind, index, message);
            for scope in messages(message, SCOPE) {
                let head_bytes = container.head_bytes + head_bytes(scope, &[ITEM]);
                for item in messages(scope, ITEM) {
                    own.clear();
                    match kind {
                        SignalKind::Traces => {
                            self.flatten(item, SPAN_ATTRIBUTE, MOST_LEVELS, &mut name, &mut own);
                            self.place(0, &container, &own, head_bytes);
                        }
                        SignalKind::Logs => {
                            self.add_log_record(item, &mut own);
                            self.place(0, &container, &own, head_bytes);
                        }
                        SignalKind::Metrics => self.scan_metric(item, &container, head_bytes),
                    }
                }
            }
        }
    }

    fn container(&self, kind: SignalKind, index: usize, message: &[u8]) -> Container {
        let (mut name, levels) = match kind {
            SignalKind::Traces => (b"service_".to_vec(), MOST_LEVELS),
            SignalKind::Logs => (Vec::new(), FLATTEN_LEVELS),
            SignalKind::Metrics => (Vec::new(), MOST_LEVELS),
        };
        let mut columns = Vec::new();
        for resource in messages(message, RESOURCE) {
            self.flatten(resource, RESOURCE_ATTRIBUTE, levels, &mut name, &mut columns);
        }
        columns.sort_unstable();
        columns.dedup();
        // One column above the limit is enough.
        columns.truncate(self.max_columns.saturating_add(1));
        Container { index, columns, head_bytes: head_bytes(message, &[SCOPE]) }
    }

    fn add_log_record(&self, log_record: &[u8], own: &mut Vec<u64>) {
        self.flatten(log_record, LOG_ATTRIBUTE, FLATTEN_LEVELS, &mut Vec::new(), own);
        // The entries of a map body are columns: `body_level`, `body_msg`.
        for map in messages(log_record, LOG_BODY).flat_map(|body| messages(body, MAP)) {
            self.flatten(map, MAP_ENTRY, FLATTEN_LEVELS - 1, &mut b"body_".to_vec(), own);
        }
    }

    /// Visits a metric, a stream of its own with the columns of all its data points.
    fn scan_metric(&mut self, metric: &[u8], container: &Container, head_bytes: usize) {
        let name = messages(metric, METRIC_NAME).last().unwrap_or_default();
        // OpenObserve turns each run of other characters into one `_`; here they are skipped. Two streams confused thereby have
        // their columns added up, so the request is split earlier than necessary, never later.
        let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
        let stream = self.hasher.hash_one(letters.map(u8::to_ascii_lowercase).collect::<Vec<_>>());
        let head_bytes = head_bytes + self::head_bytes(metric, &DATA);
        for (point, attribute) in points(metric) {
            let mut own = Vec::new();
            self.flatten(point, attribute, MOST_LEVELS, &mut Vec::new(), &mut own);
            self.place(stream, container, &own, head_bytes);
        }
    }

    /// Visits the columns of the attributes in `message` under this field number, prefixed by `name`. Maps have a column for each
    /// entry while `levels` remain.
    fn flatten(
        &self,
        message: &[u8],
        number: u32,
        levels: usize,
        name: &mut Vec<u8>,
        columns: &mut Vec<u64>,
    ) {
        let prefix = name.len();
        for attribute in messages(message, number) {
            let (key, value) = key_and_value(attribute);
            name.extend(key.iter().map(|byte| normalised(*byte)));
            let map = if levels > 1 { messages(value, MAP).last() } else { None };
            if let Some(map) = map {
                name.push(b'_');
                self.flatten(map, MAP_ENTRY, levels - 1, name, columns);
            } else {
                columns.push(self.hasher.hash_one(name.as_slice()));
            }
            name.truncate(prefix);
        }
    }

    /// Adds the next item to the current piece, or starts a new one if it would have too many columns.
    fn place(&mut self, stream: u64, container: &Container, own: &[u64], head_bytes: usize) {
        let repeats = self.last_container == Some(container.index);
        self.last_container = Some(container.index);
        // If the resource alone has too many columns, a split does not help.
        let is_lost_anyway = repeats && container.columns.len() > self.max_columns;
        let repeated_bytes = self.repeated_bytes + if repeats { head_bytes } else { 0 };
        if !self.add(stream, container, own)
            && self.items > 0
            && !is_lost_anyway
            && repeated_bytes <= MOST_REPEATED_BYTES
        {
            self.repeated_bytes = repeated_bytes;
            self.sizes.push(std::mem::take(&mut self.items));
            self.columns.clear();
            self.last_added = None;
            self.add(stream, container, own);
        }
        self.items += 1;
    }

    /// Adds the columns of an item to its stream. Returns `false` above the limit.
    fn add(&mut self, stream: u64, container: &Container, own: &[u64]) -> bool {
        let columns = self.columns.entry(stream).or_default();
        if self.last_added.replace((stream, container.index)) != Some((stream, container.index)) {
            columns.extend(&container.columns);
        }
        columns.extend(own);
        columns.len() <= self.max_columns
    }
}

/// Fields of a metric that hold its data points.
const DATA: [u32; 5] = [5, 7, 9, 10, 11];

/// The data points of a metric, each with the field number of its attributes.
fn points(metric: &[u8]) -> impl Iterator<Item = (&[u8], u32)> {
    fields(metric).filter(|field| DATA.contains(&field.number)).flat_map(|field| {
        // Attributes are field 9 of a histogram's point, 1 of an exponential one's, and 7 of gauges, sums and summaries.
        let attribute = match field.number {
            9 => 9,
            10 => 1,
            _ => 7,
        };
        let points = field.as_len().into_iter().flat_map(|data| messages(data, POINT));
        points.map(move |point| (point, attribute))
    })
}

/// Returns a byte of a key as OpenObserve stores it: lower case, and `_` for everything but letters, digits and `_`. Non-ASCII
/// bytes stay unchanged, so two keys of one column may count as two, and the request is split earlier than necessary.
fn normalised(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        byte @ (b'a'..=b'z' | b'0'..=b'9' | 0x80..) => byte,
        _ => b'_',
    }
}

/// Number of bytes of all fields but these, which each piece of a split repeats.
fn head_bytes(message: &[u8], children: &[u32]) -> usize {
    let heads = fields(message).filter(|field| !children.contains(&field.number));
    heads.map(|field| field.raw.len()).sum()
}

#[cfg(test)]
mod tests;
