//! The number of items that a sampled item stands for.
//!
//! Spans state it as the rejection threshold `th` in the member `ot` of their `tracestate`, with the randomness `rv` that the threshold
//! was compared with (OpenTelemetry, "TraceState: Probability Sampling" and "TraceState Handling"). Ids are not compared
//! themselves, but their hash, so `rv` is always written.

use super::share::Sampled;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use std::fmt::Write as _;
use wire::reserved::ADJUSTED_COUNT;
use wire::sampling::{ALL, DIGITS, OtelMember, count_of};

/// Limit on the growth of a sampled item: the attribute and the member of `tracestate`.
pub(super) const MAX_GROWTH: usize = 128;

/// Limit of `tracestate` on the characters of one value.
const MAX_VALUE_BYTES: usize = 256;
/// Limit of `tracestate` on its members.
const MAX_MEMBERS: usize = 32;

/// Writes the threshold of a sampled span into its `tracestate`, and returns the span's adjusted count.
///
/// An SDK that sampled the trace compared another randomness, so both probabilities are multiplied. Another forwarder compared
/// the same hash, so the smaller probability holds. A threshold that the trace contradicts is ignored.
pub(super) fn note_in_trace_state(
    trace_state: &mut String,
    trace_id: &[u8],
    sampled: Sampled,
) -> f64 {
    let members = trace_state.split(',').map(str::trim).filter(|member| !member.is_empty());
    let earlier = OtelMember::read(trace_state);
    let own_randomness = ALL - 1 - sampled.hash_bits();
    // The numbers of hash values, out of 2^56, that each of both samplers keeps.
    let kept_earlier = earlier.kept_values(trace_id);
    let kept_here = sampled.share.kept_values();
    let is_same_hash = earlier.randomness == Some(own_randomness);
    let count_earlier = count_of(kept_earlier);
    let count_here = sampled.share.adjusted_count();
    let both = if is_same_hash {
        BothSamplers {
            kept: kept_earlier.min(kept_here),
            randomness: own_randomness,
            adjusted_count: count_earlier.max(count_here),
        }
    } else {
        // The hash is scaled like the number of kept values, so that it stays below that number.
        let hash = scaled_down(sampled.hash_bits(), kept_earlier);
        BothSamplers {
            kept: scaled_up(kept_earlier, kept_here),
            randomness: ALL - 1 - hash,
            adjusted_count: count_earlier * count_here,
        }
    };
    let threshold = format!("{:0DIGITS$x}", ALL - both.kept.max(1));
    let digits = match threshold.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    let mut own = format!("ot=th:{digits};rv:{:0DIGITS$x}", both.randomness);
    for field in earlier.others {
        let _infallible = write!(own, ";{field}");
    }
    if own.len() <= MAX_VALUE_BYTES {
        let others = members.filter(|member| !member.starts_with("ot="));
        for member in others.take(MAX_MEMBERS - 1) {
            let _infallible = write!(own, ",{member}");
        }
        *trace_state = own;
    }
    both.adjusted_count
}

/// The effect of an earlier sampler and this one together.
struct BothSamplers {
    /// The number of hash values, out of 2^56, that they keep.
    kept: u64,
    randomness: u64,
    adjusted_count: f64,
}

/// `number * of / 2^56`, rounded down.
fn scaled_down(number: u64, of: u64) -> u64 {
    let product = u128::from(number) * u128::from(of);
    u64::try_from(product / u128::from(ALL)).unwrap_or(ALL)
}

/// `number * of / 2^56`, rounded up.
fn scaled_up(number: u64, of: u64) -> u64 {
    let product = u128::from(number) * u128::from(of);
    u64::try_from(product.div_ceil(u128::from(ALL))).unwrap_or(ALL)
}

/// Writes the adjusted count into the attributes. Another forwarder sampled by the same hash, so its larger count holds.
pub(super) fn note_adjusted_count(attributes: &mut Vec<KeyValue>, count: f64) {
    let value = |count| Some(AnyValue { value: Some(Value::DoubleValue(count)) });
    let Some(own) = attributes.iter_mut().find(|attribute| attribute.key == ADJUSTED_COUNT) else {
        let key = ADJUSTED_COUNT.to_owned();
        attributes.push(KeyValue { key, value: value(count), ..KeyValue::default() });
        return;
    };
    let earlier = match own.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::DoubleValue(earlier)) if earlier.is_finite() => *earlier,
        _ => count,
    };
    own.value = value(count.max(earlier));
}

#[cfg(test)]
mod tests {
    use super::super::share::Share;
    use super::*;

    /// The hash of the tests: its upper 56 bits are 0x01020304050607.
    const HASH: u64 = 0x0102_0304_0506_0708;
    const RV: &str = "fefdfcfbfaf9f8";
    /// Its randomness passes each threshold of an SDK.
    const TRACE_ID: [u8; 16] = [0xff; 16];

    #[test]
    fn a_threshold_is_written_into_the_trace_state() {
        let check = |share: f64, before: &str, after: &str, count: f64| {
            let share = Share::try_from(share).unwrap();
            let mut trace_state = before.to_owned();
            let sampled = Sampled::with_hash(share, HASH);
            let own = note_in_trace_state(&mut trace_state, &TRACE_ID, sampled);
            assert_eq!(trace_state, after.replace("RV", RV), "{before}");
            assert!((own / count - 1.0).abs() < 1e-9, "{before}: {own}");
        };
        check(0.5, "", "ot=th:8;rv:RV", 2.0);
        check(0.25, "", "ot=th:c;rv:RV", 4.0);
        check(0.05, "", "ot=th:f3333333;rv:RV", 20.0);
        check(0.005, "", "ot=th:feb851eb;rv:RV", 200.0);
        check(0.5, "a=1, b=2", "ot=th:8;rv:RV,a=1,b=2", 2.0);
        check(0.5, "a=1,ot=x:7,b=2", "ot=th:8;rv:RV;x:7,a=1,b=2", 2.0);
        check(0.5, "ot=th:0", "ot=th:8;rv:RV", 2.0);
        // An SDK kept a quarter.
        check(0.5, "ot=th:c", "ot=th:e;rv:ffbf7f3efebe7e", 8.0);
        check(0.5, "ot=rv:c0000000000001;th:c", "ot=th:e;rv:ffbf7f3efebe7e", 8.0);
        // Samplers would have dropped such a trace, or it would stand for too many.
        check(0.5, "ot=rv:00000000000001;th:c", "ot=th:8;rv:RV", 2.0);
        check(0.5, "ot=th:ffffffffffffff", "ot=th:8;rv:RV", 2.0);
        // Another forwarder kept a quarter, or most.
        check(0.5, "ot=th:c;rv:fefdfcfbfaf9f8", "ot=th:c;rv:RV", 4.0);
        check(0.5, "ot=th:2;rv:fefdfcfbfaf9f8", "ot=th:8;rv:RV", 2.0);
        // Malformed fields count as missing.
        check(0.5, "ot=th:;rv:12;th:xyz", "ot=th:8;rv:RV", 2.0);
        check(0.5, "ot=th:0123456789abcdef", "ot=th:8;rv:RV", 2.0);
        check(0.5, "ot=th:c;rv:0fefdfcfbfaf9f8", "ot=th:e;rv:ffbf7f3efebe7e", 8.0);
        let long = format!("ot=x:{}", "y".repeat(250));
        check(0.5, &long, &long, 2.0);
        let many = vec!["a=1"; 40].join(",");
        let kept = vec!["a=1"; 31].join(",");
        check(0.5, &many, &format!("ot=th:8;rv:RV,{kept}"), 2.0);
    }

    /// Whoever reads the span again with `rv >= th` comes to the same decision.
    #[test]
    fn the_randomness_is_at_least_the_threshold() {
        for earlier in ["", "ot=th:c", "ot=th:fedcba98765432", "ot=th:1"] {
            for share in [0.9, 0.5, 0.333, 0.05, 0.000_001] {
                let share = Share::try_from(share).unwrap();
                let most = share.kept_values() - 1;
                for bits in [0, 1, most / 3, most - 1, most] {
                    let mut trace_state = earlier.to_owned();
                    let sampled = Sampled::with_hash(share, bits << 8);
                    note_in_trace_state(&mut trace_state, &TRACE_ID, sampled);
                    let own = OtelMember::read(&trace_state);
                    assert!(own.randomness >= own.threshold, "{earlier} {trace_state}");
                    assert!(own.randomness.is_some(), "{trace_state}");
                }
            }
        }
    }
}
