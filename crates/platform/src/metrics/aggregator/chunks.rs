//! Ends a batch or chunk of events, and carries the state of its invocations to the next one.

use opentelemetry_proto::tonic::metrics::v1::Metric;

use super::Aggregator;
use crate::metrics::open_invocations::{InvocationState, OpenInvocation, OpenInvocations};
use crate::metrics::points::Measured;

impl Aggregator {
    /// Maximum number of invocations remembered between batches.
    pub const MAX_OPEN: usize = 256;

    /// Returns the metrics so far and continues with the next batch. A failed invocation is not counted yet, because its report,
    /// which states the failure too, may follow in a later batch.
    pub fn take(&mut self) -> Vec<Metric> {
        for (request_id, invocation) in self.drain_by_age() {
            match invocation.state {
                InvocationState::Running | InvocationState::Failed(_) => {
                    self.invocations.insert(request_id, invocation);
                }
                _ => self.close(&invocation),
            }
        }
        self.forget_oldest();
        self.take_metrics()
    }

    pub(crate) fn resume(&mut self, open: OpenInvocations) {
        self.invocations = open.0;
    }

    /// Returns the metrics with all invocations counted, and the state for the next chunk.
    pub(crate) fn finish_chunk(&mut self) -> (Vec<Metric>, OpenInvocations) {
        self.forget_oldest();
        let mut known = OpenInvocations::default();
        for (request_id, mut invocation) in self.drain_by_age() {
            self.close(&invocation);
            invocation.state = match invocation.state {
                InvocationState::Running => InvocationState::Running,
                InvocationState::Failed(_) | InvocationState::FailedCounted => {
                    InvocationState::FailedCounted
                }
                InvocationState::Reported | InvocationState::Counted => InvocationState::Counted,
            };
            known.0.insert(request_id, invocation);
        }
        (self.take_metrics(), known)
    }

    fn drain_by_age(&mut self) -> Vec<(String, OpenInvocation)> {
        let mut by_age: Vec<_> = self.invocations.drain().collect();
        by_age.sort_unstable_by(|(id, one), (other_id, other)| {
            (one.time, id).cmp(&(other.time, other_id))
        });
        by_age
    }

    fn take_metrics(&mut self) -> Vec<Metric> {
        std::mem::take(&mut self.points).into_metrics(self.shape)
    }

    fn forget_oldest(&mut self) {
        let excess = self.invocations.len().saturating_sub(Self::MAX_OPEN);
        if excess == 0 {
            return;
        }
        for (at, (request_id, invocation)) in self.drain_by_age().into_iter().enumerate() {
            if at < excess {
                self.close(&invocation);
            } else {
                self.invocations.insert(request_id, invocation);
            }
        }
    }

    /// Counts a finished invocation unless it was counted before.
    pub(crate) fn close(&mut self, invocation: &OpenInvocation) {
        let measured = Measured { time: invocation.time, since: invocation.since };
        match invocation.state {
            InvocationState::Running
            | InvocationState::Counted
            | InvocationState::FailedCounted => {}
            InvocationState::Reported => self.count_end(None, measured),
            InvocationState::Failed(failure) => self.count_end(Some(failure), measured),
        }
    }
}
