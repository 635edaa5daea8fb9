//! Checks without decoding whether a rule of [`metrics`](crate::sanitize::metrics) would change a metric.
//!
//! Exponential histograms always change. Summaries count as changed, because few SDKs write them.

use super::EncodedCheck;
use crate::sanitize::metrics::{is_delta, is_recorded};
use crate::sanitize::taken_columns::TakenColumns;
use wire::field::{data_point, histogram_data_point, metric};
use wire::protobuf::Value::{Fixed64, Len, Varint};
use wire::protobuf::{fields, messages};
use wire::view::{Item, ItemKind, key_and_value};

/// The rules of one kind of data.
#[derive(Clone, Copy)]
struct PointRules {
    kind: ItemKind,
    /// `true` if points must not have a start time.
    without_start: bool,
    /// `true` if all points must have the same set of attribute keys.
    same_keys: bool,
}

impl EncodedCheck<'_> {
    /// Visits a metric. Returns `true` if no rule would change it.
    pub(super) fn visit_metric(&mut self, metric: &[u8], taken: &TakenColumns<'_>) -> bool {
        let mut all_data = fields(metric).filter(|field| metric::DATA.contains(&field.number));
        let Some(data) = all_data.next() else { return false };
        // Readers combine repeated data.
        if all_data.next().is_some() {
            return false;
        }
        let Some(content) = data.as_len() else { return false };
        let number = |without_start, same_keys| PointRules {
            kind: ItemKind::NumberDataPoint,
            without_start,
            same_keys,
        };
        let rules = match data.number {
            metric::GAUGE => number(true, true),
            metric::SUM => number(has_deltas(content), false),
            metric::HISTOGRAM => PointRules {
                kind: ItemKind::HistogramDataPoint,
                without_start: has_deltas(content),
                same_keys: false,
            },
            _ => return false,
        };
        let points = || messages(content, metric::POINTS).map(|bytes| Item::new(rules.kind, bytes));
        let Some(first) = points().next() else { return false };
        points().all(|point| {
            (!rules.same_keys || have_same_keys(first, point))
                && self.visit_point(point, rules, taken)
        })
    }

    /// Visits a data point. Returns `true` if no rule would change it.
    fn visit_point(
        &mut self,
        point: Item<'_>,
        rules: PointRules,
        taken: &TakenColumns<'_>,
    ) -> bool {
        if !point.attributes().all(|attribute| self.visit_attribute(attribute, taken)) {
            return false;
        }
        self.facts.times.add(point.time_unix_nano());
        let has_no_start = |number, value| match value {
            Fixed64(start) => number != data_point::START_TIME || start == 0,
            _ => true,
        };
        let may_have_start = !rules.without_start
            || fields(point.bytes).all(|field| has_no_start(field.number, field.value));
        may_have_start
            && match rules.kind {
                ItemKind::HistogramDataPoint => has_all_figures(point.bytes),
                _ => has_a_finite_value(point.bytes),
            }
            && self.end_attributes(point.attributes().map(key_and_value))
    }
}

fn has_deltas(data: &[u8]) -> bool {
    let own = fields(data).filter(|field| field.number == metric::AGGREGATION_TEMPORALITY);
    let values = own.filter_map(|field| match field.value {
        Varint(temporality) => i32::try_from(temporality).ok(),
        _ => None,
    });
    values.last().is_some_and(is_delta)
}

fn have_same_keys(one: Item<'_>, other: Item<'_>) -> bool {
    // Most SDKs write the keys of a metric in one order.
    keys(one).eq(keys(other)) || sorted_keys(one) == sorted_keys(other)
}

fn keys(point: Item<'_>) -> impl Iterator<Item = &[u8]> {
    point.attributes().map(|attribute| key_and_value(attribute).0)
}

fn sorted_keys(point: Item<'_>) -> Vec<&[u8]> {
    let mut sorted: Vec<&[u8]> = keys(point).collect();
    sorted.sort_unstable();
    sorted
}

fn has_a_finite_value(point: &[u8]) -> bool {
    let mut has_value = false;
    for field in fields(point) {
        match (field.number, field.value) {
            (data_point::FLAGS, Varint(flags)) if !is_recorded(flags) => return false,
            (data_point::AS_INT, Fixed64(_)) => has_value = true,
            (data_point::AS_DOUBLE, Fixed64(bits)) if f64::from_bits(bits).is_finite() => {
                has_value = true;
            }
            (data_point::AS_DOUBLE, _) => return false,
            _ => {}
        }
    }
    has_value
}

/// Returns `true` if a histogram's point has a finite sum, minimum and maximum, or lacks some of them and has no bounds.
fn has_all_figures(point: &[u8]) -> bool {
    let mut has_sum = false;
    let mut has_min = false;
    let mut has_max = false;
    let mut has_bounds = false;
    for field in fields(point) {
        let has_figure = match field.number {
            histogram_data_point::SUM => &mut has_sum,
            histogram_data_point::MIN => &mut has_min,
            histogram_data_point::MAX => &mut has_max,
            histogram_data_point::EXPLICIT_BOUNDS => {
                has_bounds |= !matches!(field.value, Len([]));
                continue;
            }
            histogram_data_point::FLAGS => match field.value {
                Varint(flags) if is_recorded(flags) => continue,
                _ => return false,
            },
            _ => continue,
        };
        match field.value {
            Fixed64(bits) if f64::from_bits(bits).is_finite() => *has_figure = true,
            _ => return false,
        }
    }
    !has_bounds || (has_sum && has_min && has_max)
}
