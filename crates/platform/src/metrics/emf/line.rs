//! Reads the metrics, dimensions and units of a line in the embedded metric format.

use super::metadata::{self, DeclaredMetric, Directive};
use crate::attributes::string;
use crate::metrics::points::StatisticSet;
use crate::read::fields::{Elements, Fields, MAX_MS, of_millis, text_of};
use foldhash::HashMap;
use memchr::memmem::Finder;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use prost::Message as _;
use serde_json::value::RawValue;
use std::sync::{Arc, LazyLock};
use wire::reserved::{RENAMED_PREFIX, is_reserved, is_reserved_metric};
use wire::{stored_key, stored_stream};

pub(crate) const KEY: &str = "_aws";

/// Maximum number of metrics of one line; the specification allows 100 in each directive.
pub(super) const MAX_METRICS: usize = 200;
/// Maximum number of dimensions of one metric, the specification's limit.
pub(super) const MAX_DIMENSIONS: usize = 30;
/// Maximum length of a name or of a dimension's value; the specification allows 1,024 characters.
const MAX_TEXT_BYTES: usize = 4096;
/// Maximum number of directives, metrics and sets of dimensions read from one list, and of names in a set.
pub(super) const MAX_ELEMENTS: usize = 1_000;
/// Maximum size of the attributes of a line's metrics. Each metric repeats all dimensions.
const MAX_ATTRIBUTE_BYTES: usize = 2 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct EmfLine {
    /// Unix time in nanoseconds.
    pub(crate) time: Option<u64>,
    /// Empty if the line declares this format but contains no readable metric.
    pub(crate) metrics: Vec<EmfMetric>,
    /// Number of values that were not numbers or beyond a limit, and of metrics without a name.
    pub(crate) refused: usize,
    attribute_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct EmfMetric {
    pub(crate) series: SeriesKey,
    pub(crate) values: Distribution,
    /// `true` if the line adds values up, so that their kind does not depend on the unit.
    pub(crate) is_added_up: bool,
}

#[derive(Debug)]
pub(crate) struct SeriesKey {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    /// Shared by the metrics of a directive: together they may be many times the line.
    pub(crate) attributes: Arc<[KeyValue]>,
}

pub(super) const COUNT: &str = "{count}";

/// The unit of this name in UCUM's notation; empty for names unknown to CloudWatch.
fn unit_of(name: Option<&str>) -> &'static str {
    match name.unwrap_or_default() {
        "Seconds" => "s",
        "Milliseconds" => "ms",
        "Microseconds" => "us",
        "Bytes" => "By",
        "Kilobytes" => "kBy",
        "Megabytes" => "MBy",
        "Gigabytes" => "GBy",
        "Terabytes" => "TBy",
        "Bits" => "bit",
        "Kilobits" => "kbit",
        "Megabits" => "Mbit",
        "Gigabits" => "Gbit",
        "Terabits" => "Tbit",
        "Percent" => "%",
        "Count" => COUNT,
        "Bytes/Second" => "By/s",
        "Kilobytes/Second" => "kBy/s",
        "Megabytes/Second" => "MBy/s",
        "Gigabytes/Second" => "GBy/s",
        "Terabytes/Second" => "TBy/s",
        "Bits/Second" => "bit/s",
        "Kilobits/Second" => "kbit/s",
        "Megabits/Second" => "Mbit/s",
        "Gigabits/Second" => "Gbit/s",
        "Terabits/Second" => "Tbit/s",
        "Count/Second" => "{count}/s",
        _ => "",
    }
}

// A static, because creating a finder takes longer than one search.
static FIND_METRICS: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new("\"CloudWatchMetrics\""));

/// Reads the metrics of a line's JSON object. `None` if it is not in this format, which one search excludes for other lines.
///
/// `emf_fields` has the fields of the object, if [`KEY`] is one of them.
pub(crate) fn parse(json: &str, emf_fields: Option<&Fields<'_>>) -> Option<EmfLine> {
    FIND_METRICS.find(json.as_bytes())?;
    let mut read = EmfLine::default();
    let Some(fields) = emf_fields else {
        // The number of its figures is unknown.
        read.refused = 1;
        return Fields::of(json).is_none().then_some(read);
    };
    let metadata = fields.get(KEY)?;
    metadata::read(metadata, &LineValues::of(fields), &mut read).then_some(read)
}

/// The values of a line by their keys; of a repeated key the first one.
pub(super) struct LineValues<'a> {
    fields: &'a Fields<'a>,
    /// The values of lines with many keys. A directive may name very many.
    by_key: HashMap<&'a str, &'a RawValue>,
}

impl<'a> LineValues<'a> {
    /// Up to this number of keys, comparing them is cheaper than their hashes.
    const FEW_KEYS: usize = 16;

    fn of(fields: &'a Fields<'a>) -> Self {
        let mut by_key = HashMap::default();
        if fields.pairs.len() > Self::FEW_KEYS {
            for (key, value) in &fields.pairs {
                by_key.entry(key.as_ref()).or_insert(*value);
            }
        }
        Self { fields, by_key }
    }

    fn get(&self, key: &str) -> Option<&'a RawValue> {
        if self.by_key.is_empty() { self.fields.get(key) } else { self.by_key.get(key).copied() }
    }
}

pub(super) fn timestamp(value: &RawValue) -> Option<u64> {
    let ms: f64 = value.get().parse().ok()?;
    (0.0..=MAX_MS).contains(&ms).then(|| of_millis(ms))
}

impl EmfLine {
    pub(super) fn add_directive(
        &mut self,
        directive: &Directive<'_>,
        line_values: &LineValues<'_>,
    ) {
        let namespace = directive
            .namespace
            .and_then(text_of)
            .filter(|text| is_short(text))
            .map(|text| string("aws.cloudwatch.namespace", text));
        let mut own: Vec<KeyValue> = namespace.into_iter().collect();
        own.extend(dimensions(directive, line_values));
        let attributes: Arc<[KeyValue]> = own.into();
        self.refused += directive.others;
        let bytes: usize = attributes.iter().map(KeyValue::encoded_len).sum();
        for DeclaredMetric { name, unit } in &directive.metrics {
            let Some(name) = name.and_then(text_of).filter(|name| is_short(name)) else {
                self.refused += 1;
                continue;
            };
            let Some(value) = line_values.get(&name) else { continue };
            let has_room = self.attribute_bytes + bytes <= MAX_ATTRIBUTE_BYTES;
            if self.metrics.len() == MAX_METRICS || !has_room {
                self.refused += 1;
                continue;
            }
            if let Some(values) = self.read_values(value) {
                let series = SeriesKey {
                    name: metric_name(&name),
                    unit: unit_of(unit.and_then(text_of).as_deref()),
                    attributes: Arc::clone(&attributes),
                };
                let is_added_up = value.get().starts_with('{');
                self.attribute_bytes += bytes;
                self.metrics.push(EmfMetric { series, values, is_added_up });
            }
        }
    }

    /// The values of a metric: one number, an array of numbers, or an object that represents many.
    fn read_values(&mut self, value: &RawValue) -> Option<Distribution> {
        if value.get().starts_with('{') {
            return self.read_object(value);
        }
        let given = if value.get().starts_with('[') {
            Elements::first_of(value.get(), MAX_VALUES)
        } else {
            Elements { values: vec![value], ..Elements::default() }
        };
        let once = |value: &&RawValue| Some(CountedValue { value: number(value)?, count: 1 });
        let values: Vec<_> = given.values.iter().filter_map(once).collect();
        self.refused += given.values.len() + given.others - values.len();
        (!values.is_empty()).then(|| Distribution::of(values))
    }

    /// Reads a value that is an object: a statistic set, or values with their counts. Without measurements it is none.
    fn read_object(&mut self, value: &RawValue) -> Option<Distribution> {
        let Some(fields) = Fields::of(value.get()) else {
            self.refused += 1;
            return None;
        };
        let set = statistic_set(&fields);
        let Some(listed) = fields.get("Values") else {
            self.refused += usize::from(set.is_none());
            let statistics = set.filter(|set| set.count > 0)?;
            return Some(Distribution { statistics, values: Vec::new() });
        };
        let Elements { values, others, .. } = Elements::first_of(listed.get(), MAX_VALUES);
        let counts =
            fields.get("Counts").map(|counts| Elements::first_of(counts.get(), MAX_VALUES).values);
        let counted: Vec<CountedValue> = values
            .iter()
            .zip(counts.iter().flatten())
            .filter_map(|(value, times)| {
                Some(CountedValue { value: number(value)?, count: count(times)? })
            })
            .collect();
        self.refused += (values.len() + others).max(1) - counted.len();
        let mut all = Distribution::of(counted);
        // The values may be midpoints of buckets; then only the set has exact figures.
        if let Some(set) = set.filter(|set| set.count == all.statistics.count) {
            all.statistics = set;
        }
        Some(all).filter(|all| all.statistics.count > 0)
    }
}

/// The name of a metric, with a prefix if its stream may be one of ours. Metrics `faas.*` and `aws.lambda.*` come from Lambda's own
/// events.
fn metric_name(name: &str) -> String {
    let is_ours = is_reserved_metric(name.as_bytes()) || begins_ours(stored_stream(name).bytes());
    if is_ours { format!("{RENAMED_PREFIX}{name}") } else { name.to_owned() }
}

/// The same for the name of a dimension, with which a column begins.
fn dimension_name(name: &str) -> String {
    let is_ours = is_reserved(name.as_bytes()) || begins_ours(stored_key(name.as_bytes()));
    if is_ours { format!("{RENAMED_PREFIX}{name}") } else { name.to_owned() }
}

fn begins_ours(stored: impl Iterator<Item = u8>) -> bool {
    const OURS: [&[u8]; 2] = [b"faas_", b"aws_lambda_"];
    const LONGEST: usize = 11;
    let begin: Vec<u8> = stored.take(LONGEST).collect();
    OURS.iter().any(|own| begin.starts_with(own))
}

fn is_short(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len())
}

/// Maximum number of dimension names looked up for a directive. The format allows 30 in a set.
pub(super) const MAX_NAMES: usize = 1_000;

/// The dimensions of all sets, each once, with their values in the line.
fn dimensions(directive: &Directive<'_>, line_values: &LineValues<'_>) -> Vec<KeyValue> {
    let mut dimensions: Vec<KeyValue> = Vec::new();
    for name in directive.dimensions.iter().filter_map(|name| text_of(name)) {
        let key = dimension_name(&name);
        let is_known = dimensions.iter().any(|known| known.key == key);
        if is_known || !is_short(&name) || dimensions.len() == MAX_DIMENSIONS {
            continue;
        }
        // By the specification a value is a string; numbers are converted to text.
        let Some(json) = line_values.get(&name) else { continue };
        let value = text_of(json).unwrap_or_else(|| json.get().into());
        if is_short(&value) {
            dimensions.push(string(&key, value));
        }
    }
    // Writers do not order their dimensions, and equal series need equal attributes.
    dimensions.sort_by(|a, b| a.key.cmp(&b.key));
    dimensions
}

/// Maximum number of values of one metric, the specification's limit.
pub(super) const MAX_VALUES: usize = 100;
/// Maximum value, so that sums stay finite.
const MAX_VALUE: f64 = 1e18;

pub(super) fn number(value: &RawValue) -> Option<f64> {
    value.get().parse().ok().filter(|value: &f64| value.abs() <= MAX_VALUE)
}

/// Maximum number of values in one distribution, so that counts stay whole numbers.
const MAX_COUNT: f64 = 1e15;

/// The values of a metric in one line.
#[derive(Debug)]
pub(crate) struct Distribution {
    pub(crate) statistics: StatisticSet,
    /// The values with their counts; empty if the distribution is unknown.
    pub(crate) values: Vec<CountedValue>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedValue {
    pub(crate) value: f64,
    pub(crate) count: u64,
}

impl Distribution {
    fn of(values: Vec<CountedValue>) -> Self {
        let mut statistics = StatisticSet::EMPTY;
        for CountedValue { value, count } in values.iter().copied().filter(|of| of.count > 0) {
            statistics.add(StatisticSet {
                count,
                sum: value * as_float(count),
                min: value,
                max: value,
            });
        }
        Self { statistics, values }
    }
}

fn statistic_set(fields: &Fields<'_>) -> Option<StatisticSet> {
    let number = |key| number(fields.get(key)?);
    let set = StatisticSet {
        count: count(fields.get("Count")?)?,
        sum: number("Sum")?,
        min: number("Min")?,
        max: number("Max")?,
    };
    (set.min <= set.max).then_some(set)
}

/// A whole number, with or without a decimal point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole and within the bound"
)]
fn count(value: &RawValue) -> Option<u64> {
    let count = number(value)?;
    (count.fract() == 0.0 && (0.0..=MAX_COUNT).contains(&count)).then_some(count as u64)
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}
