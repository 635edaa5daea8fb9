//! What an item states about its sampling: the member `ot` of a span's `tracestate`, and the hash by which the forwarder samples.
//!
//! A caller chooses the trace id and the `tracestate` of a function's spans, so a statement counts only if the id agrees, and only
//! up to [`MAX_STATED_COUNT`].
//!
//! Source: OpenTelemetry, "TraceState: Probability Sampling" and "TraceState Handling".

use crate::fnv;

/// The largest number of items that an item may state to stand for.
pub const MAX_STATED_COUNT: f64 = 10_000.0;

/// `2^56`: thresholds and randomness have 56 bits.
pub const ALL: u64 = 1 << 56;
/// Digits of 56 bits.
pub const DIGITS: usize = 14;

/// FNV-1a with the finalizer of MurmurHash3, because FNV's upper bits hardly depend on the last bytes. The bits of the id itself
/// are no choice: SDK samplers use them, and X-Ray ids begin with the time. Users rely on the result, so it must never change.
pub fn sampling_hash(id: &[u8]) -> u64 {
    let folded = |value: u64| value ^ (value >> 33);
    let once = folded(fnv::hash(id)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let twice = folded(once).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    folded(twice)
}

/// The member `ot` of a `tracestate`.
#[derive(Debug, Default)]
pub struct OtelMember<'t> {
    pub threshold: Option<u64>,
    pub randomness: Option<u64>,
    /// Fields of other extensions.
    pub others: Vec<&'t str>,
}

impl<'t> OtelMember<'t> {
    /// Reads the member; an empty one if the `tracestate` has none.
    pub fn read(trace_state: &'t str) -> Self {
        let mut member = Self::default();
        let mut members = trace_state.split(',').map(str::trim);
        let own = members.find_map(|member| member.strip_prefix("ot=")).unwrap_or_default();
        for field in own.split(';').filter(|field| !field.is_empty()) {
            match field.split_once(':') {
                Some(("th", digits)) => member.threshold = threshold(digits),
                Some(("rv", digits)) if digits.len() == DIGITS => {
                    member.randomness = hexadecimal(digits);
                }
                Some(("rv", _)) => {}
                _ => member.others.push(field),
            }
        }
        member
    }

    /// The number of values, out of [`ALL`], that the stated threshold keeps: [`ALL`] if none is stated, if the trace's randomness
    /// is below it, so that no sampler would have kept the trace, or if it stands for more than [`MAX_STATED_COUNT`].
    pub fn kept_values(&self, trace_id: &[u8]) -> u64 {
        let threshold = self.threshold.unwrap_or_default();
        let randomness = self.randomness.or_else(|| randomness_of(trace_id)).unwrap_or_default();
        let kept = ALL - threshold;
        let is_plausible = randomness >= threshold && count_of(kept) <= MAX_STATED_COUNT;
        if is_plausible { kept } else { ALL }
    }
}

/// The number of items that one stands for, of which this many of [`ALL`] values were kept.
#[expect(clippy::cast_precision_loss, reason = "a count needs no 56 bits")]
pub fn count_of(kept_values: u64) -> f64 {
    ALL as f64 / kept_values.max(1) as f64
}

/// The randomness of a trace without a stated one: the last 56 bits of its id (W3C Trace Context Level 2, "Randomness of trace-id").
fn randomness_of(trace_id: &[u8]) -> Option<u64> {
    let last = trace_id.last_chunk::<8>()?;
    Some(u64::from_be_bytes(*last) % ALL)
}

/// Reads a threshold, whose trailing zeros are left out.
fn threshold(digits: &str) -> Option<u64> {
    if digits.is_empty() || digits.len() > DIGITS {
        return None;
    }
    hexadecimal(&format!("{digits:0<DIGITS$}"))
}

fn hexadecimal(digits: &str) -> Option<u64> {
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_digits.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(sampling_hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(sampling_hash(&[0x5b; 16]), 0xaae2_72b4_be73_6b7d);
    }

    /// A caller's header must not make one span stand for 10^17.
    #[test]
    fn a_threshold_counts_only_if_the_trace_could_have_passed_it() {
        #[track_caller]
        fn check(trace_state: &str, last_bytes: u64, count: f64) {
            let id = [&[0x5b; 8][..], &last_bytes.to_be_bytes()].concat();
            let own = count_of(OtelMember::read(trace_state).kept_values(&id));
            assert!((own / count - 1.0).abs() < 1e-9, "{trace_state} {last_bytes:x}: {own}");
        }
        check("", 0, 1.0);
        check("ot=th:c", 0xffc0_0000_0000_0000, 4.0);
        check("a=1, ot=th:c", 0x00c0_0000_0000_0000, 4.0);
        check("ot=th:c", 0xffbf_ffff_ffff_ffff, 1.0);
        // The stated randomness replaces that of the id.
        check("ot=th:c;rv:c0000000000000", 0, 4.0);
        check("ot=th:c;rv:bfffffffffffff", u64::MAX, 1.0);
        check("ot=th:ffffffffffffff", 0x5b5b, 1.0);
        // The trace agrees, because the caller chose its id too.
        check("ot=th:ffffffffffffff", u64::MAX, 1.0);
        check("ot=th:ffffffffffffff;rv:ffffffffffffff", 0, 1.0);
        check("ot=th:fff972474538ef", u64::MAX, 10_000.0);
        check("ot=th:fff9", u64::MAX, 65_536.0 / 7.0);
        check("ot=th:fff973", u64::MAX, 1.0);
        // An id without randomness.
        let none = OtelMember::read("ot=th:c").kept_values(&[]);
        assert_eq!(none, ALL);
    }
}
