//! Samples traces consistently across environments and signals.

use super::item::Item;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
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

impl Share {
    /// Returns `true` if the key belongs to the share. Larger shares include smaller ones, so a second rule keeps everything that
    /// a smaller first share kept.
    pub(super) fn keeps(self, key: &[u8]) -> bool {
        let upper = u32::try_from(hash(key) >> 32).unwrap_or(u32::MAX);
        f64::from(upper) / 4_294_967_296.0 < self.0
    }

    /// Returns `true` if the item belongs to the share, or has no key: trace id, X-Ray trace id, request id, or CloudWatch's id of
    /// the log event.
    pub(super) fn keeps_item(self, item: &impl Item) -> bool {
        let trace_id = item.trace_id();
        if trace_id.len() == 16 && trace_id.iter().any(|byte| *byte != 0) {
            return self.keeps(trace_id);
        }
        let text = |key| text(item.attributes(), key);
        if let Some(id) = text("aws.xray.trace_id").and_then(wire::ids::xray_trace_id) {
            return self.keeps(&id);
        }
        let id = text(FAAS_INVOCATION_ID).or_else(|| text("log.record.uid"));
        id.is_none_or(|id| self.keeps(id.as_bytes()))
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// FNV-1a with the finalizer of MurmurHash3, because FNV's upper bits hardly depend on the last bytes. The bits of the id itself
/// are no choice: SDK samplers use them, and X-Ray ids begin with the time. Users rely on the result, so it must never change.
fn hash(key: &[u8]) -> u64 {
    let fnv = fnv::hash(key);
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(hash(&[0x5b; 16]), 0xaae2_72b4_be73_6b7d);
    }

    #[test]
    fn a_share_keeps_the_expected_fraction_of_any_kind_of_id() {
        let check = |kind: &str, id: &dyn Fn(u64) -> Vec<u8>| {
            for share in [0.0, 0.01, 0.1, 0.5, 1.0] {
                let kept = (0..20_000).filter(|n| Share(share).keeps(&id(*n))).count();
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
        assert!((0..5_000).all(|n| !Share(0.1).keeps(&id(n)) || Share(0.2).keeps(&id(n))));
    }
}
