//! Remembers what earlier deliveries said about invocations whose report did not come with it.
//!
//! CloudWatch Logs may deliver the lines of an invocation in two parts. If the same forwarder sees both, the second part is converted
//! with what the first one said. A start forgets: Lambda repeats some invocations with the same request id. A report only reads, so
//! that an event converted twice, as after a failed delivery, gives the same telemetry again.

use crate::identity::Identity;
use crate::read::runtime_error::Failure;
use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The invocations of all log streams that a forwarder remembers, the newest ones.
#[derive(Debug, Default)]
pub struct RecentInvocations {
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    known: HashMap<u64, EarlierFacts>,
    /// The keys in the order in which they became known.
    order: VecDeque<u64>,
    hasher: RandomState,
}

/// What earlier deliveries said about an invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EarlierFacts {
    /// The function wrote the invocation's entry span.
    pub(crate) has_span: bool,
    /// The failure that was counted.
    pub(crate) counted_failure: Option<Failure>,
}

impl RecentInvocations {
    /// Limit on the remembered invocations, at most 4 MB. A stream leaves as many open as run at a time, usually one.
    const MAX_KNOWN: usize = 1024;

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, stream: &Identity, request_id: &str) -> Option<EarlierFacts> {
        let remembered = self.lock();
        // Most forwarders remember none.
        if remembered.known.is_empty() {
            return None;
        }
        remembered.known.get(&remembered.key(stream, request_id)).cloned()
    }

    pub(crate) fn forget(&self, stream: &Identity, request_id: &str) {
        let mut remembered = self.lock();
        if !remembered.known.is_empty() {
            let key = remembered.key(stream, request_id);
            remembered.known.remove(&key);
        }
    }

    pub(crate) fn remember(
        &self,
        stream: &Identity,
        request_id: &str,
        note: impl FnOnce(&mut EarlierFacts),
    ) {
        let mut remembered = self.lock();
        let key = remembered.key(stream, request_id);
        if !remembered.known.contains_key(&key) {
            remembered.order.push_back(key);
            // A forgotten key is still in the order.
            while remembered.order.len() > Self::MAX_KNOWN {
                let oldest = remembered.order.pop_front();
                oldest.and_then(|oldest| remembered.known.remove(&oldest));
            }
        }
        note(remembered.known.entry(key).or_default());
    }
}

impl Remembered {
    /// A request id alone is not enough: a function can print the id of another one's invocation.
    fn key(&self, stream: &Identity, request_id: &str) -> u64 {
        let Identity { account, region, log_group, log_stream, .. } = stream;
        self.hasher.hash_one((account, region, log_group, log_stream, request_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::LogSource;

    #[test]
    fn the_newest_invocations_of_each_stream_are_remembered() {
        let stream = |log_stream| {
            let source =
                LogSource { account: "1", region: None, log_group: "/aws/lambda/a", log_stream };
            Identity::of(&source)
        };
        let recent = RecentInvocations::default();
        let has_span = |log_stream, id: &str| {
            recent.find(&stream(log_stream), id).is_some_and(|facts| facts.has_span)
        };
        assert!(!has_span("x", "r-0"));
        for at in 0..=RecentInvocations::MAX_KNOWN {
            recent.remember(&stream("x"), &format!("r-{at}"), |facts| facts.has_span = true);
        }
        assert_eq!((has_span("x", "r-0"), has_span("x", "r-1")), (false, true));
        assert!(!has_span("y", "r-1"));
        recent.forget(&stream("x"), "r-1");
        assert!(!has_span("x", "r-1"));
        for _ in 0..3 * RecentInvocations::MAX_KNOWN {
            recent.remember(&stream("x"), "r-2", |_| {});
            recent.forget(&stream("x"), "r-2");
        }
        assert_eq!(recent.lock().order.len(), RecentInvocations::MAX_KNOWN);
    }
}
