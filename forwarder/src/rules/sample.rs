//! Samples traces consistently across environments and signals.

use super::item::ItemView;
use super::share::{Sampled, Share};
use super::trace::{SeenTraces, trace_id, xray_trace_id};
use wire::resource::FAAS_INVOCATION_ID;
use wire::sampling::sampling_hash;

/// The decision about an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sampling {
    Drop,
    /// The item stays because it has no id to decide by.
    Keep,
    /// The item stays, and stands for others.
    Sampled(Sampled),
}

impl Share {
    /// Larger shares include smaller ones, so a second rule keeps everything that a smaller first share kept.
    fn decide(self, key: &[u8]) -> Sampling {
        Sampled::of_hash(self, sampling_hash(key)).map_or(Sampling::Drop, Sampling::Sampled)
    }

    /// Decides by trace id, X-Ray trace id, request id, or CloudWatch's id of the log event. If the traces of the event are known, a
    /// request id stands for the trace of its invocation.
    pub(super) fn decide_item(self, item: &ItemView<'_>, traces: Option<&SeenTraces>) -> Sampling {
        if let Some(id) = trace_id(item) {
            return self.decide(&id);
        }
        let request_id = item.text_of(FAAS_INVOCATION_ID);
        let seen = traces.zip(request_id);
        if let Some(id) = seen.and_then(|(traces, id)| traces.trace_of_invocation(id)) {
            return self.decide(&id);
        }
        if let Some(id) = xray_trace_id(item) {
            return self.decide(&id);
        }
        let id = request_id.or_else(|| item.text_of("log.record.uid"));
        id.map_or(Sampling::Keep, |id| self.decide(id.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(share: f64, key: &[u8]) -> bool {
        Share::try_from(share).unwrap().decide(key) != Sampling::Drop
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
