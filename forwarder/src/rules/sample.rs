//! Samples traces consistently across environments and signals.

use super::adjusted_count::ADJUSTED_COUNT;
use super::item::ItemView;
use super::trace::{SeenTraces, trace_id, xray_trace_id};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use serde::Deserialize;
use wire::fnv;
use wire::resource::FAAS_INVOCATION_ID;

/// A share of all traces, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Share(f64);

impl TryFrom<f64> for Share {
    type Error = &'static str;

    fn try_from(share: f64) -> Result<Self, Self::Error> {
        let is_share = (0.0..=1.0).contains(&share);
        is_share.then_some(Self(share)).ok_or("expected a share from 0 to 1: 0.1 keeps a tenth")
    }
}

/// The decision about an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sampling {
    Drop,
    /// The item stays because it has no id to decide by.
    Keep,
    /// The item stays, and stands for others.
    Sampled(Sampled),
}

/// An item that belongs to a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampled {
    pub(super) share: Share,
    hash: u64,
}

impl Sampled {
    #[cfg(test)]
    pub(super) fn of_hash(share: Share, hash: u64) -> Self {
        Self { share, hash }
    }

    /// The upper 56 bits of the hash, which are below [`Share::kept_values`].
    pub(super) fn hash_bits(self) -> u64 {
        self.hash >> 8
    }

    /// The decision of two rules: the smaller share holds.
    pub(super) fn smaller(self, other: Option<Self>) -> Self {
        other.filter(|other| other.share.0 < self.share.0).unwrap_or(self)
    }
}

impl Share {
    /// Larger shares include smaller ones, so a second rule keeps everything that a smaller first share kept.
    fn decide(self, key: &[u8]) -> Sampling {
        let hash = hash(key);
        let upper = u32::try_from(hash >> 32).unwrap_or(u32::MAX);
        let is_kept = f64::from(upper) / PARTS < self.0;
        if is_kept { Sampling::Sampled(Sampled { share: self, hash }) } else { Sampling::Drop }
    }

    /// Decides by trace id, X-Ray trace id, request id, or CloudWatch's id of the log event. If the traces of the event are known, a
    /// request id stands for the trace of its invocation.
    pub(super) fn decide_item(self, item: &impl ItemView, traces: Option<&SeenTraces>) -> Sampling {
        if let Some(id) = trace_id(item) {
            return self.decide(&id);
        }
        let request_id = item.text_of(FAAS_INVOCATION_ID);
        let seen = traces.zip(request_id.as_deref());
        if let Some(id) = seen.and_then(|(traces, id)| traces.trace_of_invocation(id)) {
            return self.decide(&id);
        }
        if let Some(id) = xray_trace_id(item) {
            return self.decide(&id);
        }
        let id = request_id.or_else(|| item.text_of("log.record.uid"));
        id.map_or(Sampling::Keep, |id| self.decide(id.as_bytes()))
    }

    /// Returns `false` for the share of all traces.
    pub(super) fn is_a_part(self) -> bool {
        self.0 < 1.0
    }

    /// The number of items that an item of the share stands for.
    pub(super) fn adjusted_count(self) -> f64 {
        self.0.recip()
    }

    /// The number of hash values, out of `2^56`, that belong to the share.
    pub(super) fn kept_values(self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 0 to 2^32"
        )]
        let parts = (self.0 * PARTS).ceil() as u64;
        parts << 24
    }
}

/// Shares are compared with the upper 32 bits of the hash.
const PARTS: f64 = 4_294_967_296.0;

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

/// FNV-1a with the finalizer of MurmurHash3, because FNV's upper bits hardly depend on the last bytes. The bits of the id itself
/// are no choice: SDK samplers use them, and X-Ray ids begin with the time. Users rely on the result, so it must never change.
fn hash(key: &[u8]) -> u64 {
    let folded = |value: u64| value ^ (value >> 33);
    let once = folded(fnv::hash(key)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let twice = folded(once).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    folded(twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(share: f64, key: &[u8]) -> bool {
        Share(share).decide(key) != Sampling::Drop
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(hash(&[0x5b; 16]), 0xaae2_72b4_be73_6b7d);
    }

    #[test]
    fn a_share_keeps_the_expected_fraction_of_any_kind_of_id() {
        let check = |kind: &str, id: &dyn Fn(u64) -> Vec<u8>| {
            for share in [0.0, 0.01, 0.1, 0.5, 1.0] {
                let kept = (0..20_000).filter(|n| keeps(share, &id(*n))).count();
                let expected = share * 20_000.0;
                let off = (f64::from(u32::try_from(kept).unwrap()) - expected).abs();
                assert!(off <= 4.0 * (expected * (1.0 - share)).sqrt(), "{kind}: {kept} of 20,000");
            }
        };
        check("counted", &|n| u128::from(n).to_be_bytes().to_vec());
        check("counted in the first bytes", &|n| (u128::from(n) << 64).to_be_bytes().to_vec());
        check("text", &|n| format!("3{n:055}").into_bytes());
    }

    #[test]
    fn a_larger_share_keeps_every_id_of_a_smaller_one() {
        let id = |n: u64| u128::from(n).to_be_bytes();
        assert!((0..5_000).all(|n| !keeps(0.1, &id(n)) || keeps(0.2, &id(n))));
    }
}
