//! Metrics: adapted so that OpenObserve, which converts nothing, adds them up.

use super::adapter::{Adapter, ItemContext};
use super::hash::KeyHash;
use super::histograms::{complete, to_explicit_buckets};
use super::plan::NewItem;
use super::planned::ReadAttribute;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, ExponentialHistogramDataPoint, HistogramDataPoint,
    NumberDataPoint, SummaryDataPoint,
};
use prost::Message as _;
use std::collections::BTreeMap;
use wire::edit::{Edit, Rewrite, edit_children, replace_fields};
use wire::field::{data_point, histogram_data_point, metric};
use wire::protobuf::Value::{Fixed64, Len, Varint};
use wire::protobuf::{Writer, fields, messages};
use wire::view::{Item, ItemKind, key_and_value, message, metric_head_bytes, metric_name};

/// Maximum number of bytes for the repeated names and descriptions of a gauge's groups. A larger gauge is not split, because the
/// request could become hundreds of times as long as the line.
const MAX_HEAD_BYTES: usize = 1024 * 1024;

impl Adapter<'_> {
    /// Adapts a metric: none is left without data points, because it would create an empty stream, and a gauge with different sets of
    /// attribute keys becomes several.
    pub(super) fn adapt_metric(&mut self, metric: &[u8], context: &ItemContext<'_, '_>) -> Edit {
        let data = fields(metric).find(|field| metric::DATA.contains(&field.number));
        let Some((kind, of_points)) = data.and_then(|data| Some((data.number, data.as_len()?)))
        else {
            return Edit::Drop;
        };
        // Each metric has a stream of its own.
        let context = &context.in_stream(KeyHash::new(metric_name(metric), kind.into()).hash);
        match kind {
            metric::GAUGE => self.adapt_gauge(metric, of_points, context),
            metric::SUM => {
                let without_start = has_deltas(of_points);
                edit_data(metric, |point| self.adapt_number(point, without_start, context))
            }
            metric::HISTOGRAM => {
                let without_start = has_deltas(of_points);
                edit_data(metric, |point| self.adapt_histogram(point, without_start, context))
            }
            metric::EXPONENTIAL_HISTOGRAM => {
                let explicit = with_explicit_buckets(metric, of_points);
                let without_start = has_deltas(of_points);
                let edit = edit_data(&explicit, |point| {
                    self.adapt_histogram(point, without_start, context)
                });
                if matches!(edit, Edit::Keep) { Edit::Replace(explicit) } else { edit }
            }
            metric::SUMMARY => self.adapt_summary(metric, of_points, context),
            _ => Edit::Drop,
        }
    }

    fn adapt_gauge(
        &mut self,
        metric: &[u8],
        of_points: &[u8],
        context: &ItemContext<'_, '_>,
    ) -> Edit {
        let edit = edit_data(metric, |point| self.adapt_number(point, true, context));
        if have_same_keys(of_points) || matches!(edit, Edit::Drop) {
            return edit;
        }
        let adapted = if let Edit::Replace(bytes) = edit { bytes } else { metric.to_vec() };
        let groups = by_key_set(message(&adapted, metric::GAUGE));
        if groups.len() <= 1 || groups.len() * metric_head_bytes(metric) > MAX_HEAD_BYTES {
            return Edit::Replace(adapted);
        }
        let of_group = |points: Vec<&[u8]>| with_points(&adapted, metric::GAUGE, &points);
        Edit::Split(groups.into_iter().map(of_group).collect())
    }

    fn adapt_number(
        &mut self,
        point: &[u8],
        without_start: bool,
        context: &ItemContext<'_, '_>,
    ) -> Edit {
        if !is_recorded_point(point, data_point::FLAGS) || !has_a_finite_value(point) {
            self.dropped += 1;
            return Edit::Drop;
        }
        self.adapt_point(point, ItemKind::NumberDataPoint, without_start, context)
    }

    fn adapt_histogram(
        &mut self,
        point: &[u8],
        without_start: bool,
        context: &ItemContext<'_, '_>,
    ) -> Edit {
        if !is_recorded_point(point, histogram_data_point::FLAGS) {
            self.dropped += 1;
            return Edit::Drop;
        }
        let completed = (!has_all_figures(point)).then(|| completed(point)).flatten();
        let whole = completed.as_deref().unwrap_or(point);
        let edit = self.adapt_point(whole, ItemKind::HistogramDataPoint, without_start, context);
        match (edit, completed) {
            (Edit::Keep, Some(completed)) => Edit::Replace(completed),
            (edit, _) => edit,
        }
    }

    fn adapt_summary(
        &mut self,
        metric: &[u8],
        of_points: &[u8],
        context: &ItemContext<'_, '_>,
    ) -> Edit {
        let mut counts = Vec::new();
        let edit = edit_data(metric, |bytes| {
            let Ok(point) = SummaryDataPoint::decode(bytes) else { return Edit::Keep };
            if !is_recorded(point.flags) {
                self.dropped += 1;
                return Edit::Drop;
            }
            // A summary without values has NaN quantiles, but its count and sum are valid.
            let is_finite = point.quantile_values.iter().all(|it| it.value.is_finite());
            let finite = (!is_finite).then(|| {
                let mut finite = point.clone();
                finite.quantile_values.retain(|quantile| quantile.value.is_finite());
                finite.encode_to_vec()
            });
            let whole = finite.as_deref().unwrap_or(bytes);
            let edit = self.adapt_point(whole, ItemKind::SummaryDataPoint, false, context);
            let adapted = match (edit, finite) {
                (Edit::Replace(bytes), _) => Some(bytes),
                (_, finite) => finite,
            };
            if point.sum.is_finite() {
                return adapted.map_or(Edit::Keep, Edit::Replace);
            }
            let point = SummaryDataPoint::decode(adapted.as_deref().unwrap_or(bytes));
            counts.extend(point.map(|point| count_of(point).encode_to_vec()));
            Edit::Drop
        });
        if counts.is_empty() {
            return edit;
        }
        // The counts have another stream.
        self.facts.shapes.forget();
        let name = [message(metric, metric::NAME), b"_count"].concat();
        let named = replace_fields(metric, metric::NAME, |out| out.bytes(metric::NAME, &name));
        let counts: Vec<&[u8]> = counts.iter().map(Vec::as_slice).collect();
        let mut gauge = Vec::new();
        Writer::new(&mut gauge).message(metric::GAUGE, |data| {
            write_points(data, &counts);
        });
        let count_metric = replace_fields(&named, metric::SUMMARY, |out| out.raw(&gauge));
        let has_others = messages(of_points, metric::POINTS).count() > counts.len();
        match edit {
            Edit::Replace(summary) => Edit::Split(vec![count_metric, summary]),
            Edit::Keep if has_others => Edit::Split(vec![count_metric, metric.to_vec()]),
            _ => Edit::Replace(count_metric),
        }
    }

    /// Adapts the attributes and the start of a data point.
    fn adapt_point(
        &mut self,
        point: &[u8],
        kind: ItemKind,
        without_start: bool,
        context: &ItemContext<'_, '_>,
    ) -> Edit {
        let number = kind.attributes();
        let mut shape = context.begin_shape();
        let mut has_start = false;
        for field in fields(point) {
            match (field.number, field.value) {
                (own, Len(attribute)) if own == number => {
                    let (key, value) = key_and_value(attribute);
                    shape.add(key, value, context.taken);
                }
                (data_point::START_TIME, Fixed64(1..)) => has_start = true,
                _ => {}
            }
        }
        let item = Item::new(kind, point);
        self.facts.times.add(item.time_unix_nano());
        let read = || item.attributes().map(ReadAttribute::read).collect::<Vec<_>>();
        let plan = self.find_plan(&shape, Some(context.stream), context, || NewItem {
            attributes: read(),
            body: None,
            gen_ai: None,
        });
        let loses_start = without_start && has_start;
        if plan.is_as_read() && !loses_start {
            return Edit::Keep;
        }
        let mut attributes = plan.attributes.is_some().then(read);
        let writes_attributes = attributes.is_some();
        let mut rewrite = Rewrite::new(point);
        for field in fields(point) {
            if field.number == number && writes_attributes {
                rewrite.leave_out(&field);
                if let Some(attributes) = attributes.take() {
                    plan.write(&mut rewrite.append(), number, &attributes);
                }
            } else if field.number == data_point::START_TIME && loses_start {
                rewrite.leave_out(&field);
            } else {
                rewrite.keep(&field);
            }
        }
        rewrite.finish().map_or(Edit::Keep, Edit::Replace)
    }
}

/// Decides about the data points of a metric.
fn edit_data(metric: &[u8], mut point: impl FnMut(&[u8]) -> Edit) -> Edit {
    let mut has_points = false;
    let edit = edit_children(metric, metric::DATA, None, |_, data| {
        edit_children(data, &[metric::POINTS], None, |_, bytes| {
            has_points = true;
            point(bytes)
        })
    });
    if has_points { edit } else { Edit::Drop }
}

fn write_points(data: &mut Writer<'_>, points: &[&[u8]]) {
    for point in points {
        data.always_bytes(metric::POINTS, point);
    }
}

/// A metric with these data points alone, in the field of this number.
fn with_points(metric: &[u8], number: u32, points: &[&[u8]]) -> Vec<u8> {
    let data = message(metric, number);
    let mut others = Vec::new();
    for field in fields(data).filter(|field| field.number != metric::POINTS) {
        others.extend_from_slice(field.raw);
    }
    replace_fields(metric, number, |out| {
        out.message(number, |data| {
            write_points(data, points);
            data.raw(&others);
        });
    })
}

fn has_deltas(data: &[u8]) -> bool {
    let field = fields(data).find(|field| field.number == metric::AGGREGATION_TEMPORALITY);
    match field.map(|field| field.value) {
        Some(Varint(temporality)) => i32::try_from(temporality).is_ok_and(is_delta),
        _ => false,
    }
}

fn is_recorded_point(point: &[u8], flags: u32) -> bool {
    match fields(point).find(|field| field.number == flags).map(|field| field.value) {
        Some(Varint(flags)) => is_recorded(flags),
        _ => true,
    }
}

/// Returns `true` if a number is there and finite.
fn has_a_finite_value(point: &[u8]) -> bool {
    fields(point).any(|field| match (field.number, field.value) {
        (data_point::AS_INT, Fixed64(_)) => true,
        (data_point::AS_DOUBLE, Fixed64(bits)) => f64::from_bits(bits).is_finite(),
        _ => false,
    })
}

/// Returns `true` if a histogram's point has a finite sum, minimum and maximum, or lacks some of them and has no bounds.
fn has_all_figures(point: &[u8]) -> bool {
    let mut figures = 0;
    let mut has_bounds = false;
    for field in fields(point) {
        match (field.number, field.value) {
            (
                histogram_data_point::SUM | histogram_data_point::MIN | histogram_data_point::MAX,
                Fixed64(bits),
            ) if f64::from_bits(bits).is_finite() => figures += 1,
            (
                histogram_data_point::SUM | histogram_data_point::MIN | histogram_data_point::MAX,
                _,
            ) => return false,
            (histogram_data_point::EXPLICIT_BOUNDS, value) => has_bounds |= value != Len(&[]),
            _ => {}
        }
    }
    figures == 3 || !has_bounds
}

/// The point of a histogram with all figures; `None` if it is undecodable, which the check excludes.
fn completed(point: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = HistogramDataPoint::decode(point).ok()?;
    complete(&mut decoded);
    Some(decoded.encode_to_vec())
}

/// The metric with explicit buckets in place of exponential ones.
fn with_explicit_buckets(metric: &[u8], content: &[u8]) -> Vec<u8> {
    let unit = std::str::from_utf8(message(metric, metric::UNIT)).unwrap_or_default();
    replace_fields(metric, metric::EXPONENTIAL_HISTOGRAM, |out| {
        out.message(metric::HISTOGRAM, |data| {
            for field in fields(content) {
                let point = field.as_len().filter(|_| field.number == metric::POINTS);
                match point.and_then(|point| ExponentialHistogramDataPoint::decode(point).ok()) {
                    Some(point) => data.encoded(metric::POINTS, &to_explicit_buckets(point, unit)),
                    None => data.raw(field.raw),
                }
            }
        });
    })
}

/// Returns `true` if all points have the same set of attribute keys.
fn have_same_keys(gauge: &[u8]) -> bool {
    let mut points = messages(gauge, metric::POINTS);
    let Some(first) = points.next() else { return true };
    // Most SDKs write the keys of a metric in one order.
    points.all(|point| keys(first).eq(keys(point)) || sorted_keys(first) == sorted_keys(point))
}

fn keys(point: &[u8]) -> impl Iterator<Item = &[u8]> {
    messages(point, data_point::ATTRIBUTES).map(|attribute| key_and_value(attribute).0)
}

fn sorted_keys(point: &[u8]) -> Vec<&[u8]> {
    let mut sorted: Vec<&[u8]> = keys(point).collect();
    sorted.sort_unstable();
    sorted
}

/// Groups points by their set of attribute keys: within one gauge, OpenObserve 0.60 copies missing attributes from the previous
/// point.
fn by_key_set(gauge: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut groups: BTreeMap<Vec<&[u8]>, Vec<&[u8]>> = BTreeMap::new();
    for point in messages(gauge, metric::POINTS) {
        groups.entry(sorted_keys(point)).or_default().push(point);
    }
    groups.into_values().collect()
}

/// Returns `true` if the values are deltas. Their `start_time` becomes 0, "unknown" in OTLP: OpenObserve makes it part of the
/// series' identity, so each delta with its true start would be a series of its own.
pub(super) fn is_delta(aggregation_temporality: i32) -> bool {
    aggregation_temporality == AggregationTemporality::Delta as i32
}

/// The count of a summary whose sum OpenObserve cannot store, as the row that OpenObserve makes of it.
fn count_of(point: SummaryDataPoint) -> NumberDataPoint {
    NumberDataPoint {
        attributes: point.attributes,
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        value: Some(Number::AsInt(i64::try_from(point.count).unwrap_or(i64::MAX))),
        flags: point.flags,
        ..NumberDataPoint::default()
    }
}

/// Returns `false` for a point that only marks the end of its series (OTLP, `DataPointFlags`). OpenObserve would store it as a
/// value of 0.
pub(super) fn is_recorded(flags: impl Into<u64>) -> bool {
    flags.into() & DataPointFlags::NoRecordedValueMask as u64 == 0
}
