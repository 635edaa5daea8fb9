//! Counts invocations whose runtime reports exhausted memory itself.

use super::Aggregator;
use crate::metrics::instrument as metric;
use crate::metrics::open_invocations::{InvocationState, OpenInvocation};
use crate::metrics::points::Measured;

/// Stands for the request id of an invocation whose `START` is unknown.
pub(super) const UNNAMED: &str = "";

impl Aggregator {
    /// Notes a runtime's message and its invocation, if known. A later report of the platform about the same invocation is not
    /// counted again.
    pub fn add_out_of_memory(&mut self, request_id: Option<&str>, time_unix_nano: u64) {
        let key = request_id.unwrap_or(UNNAMED).to_ascii_lowercase();
        let measured = Measured { time: time_unix_nano, since: time_unix_nano };
        let known = self.invocations.entry(key).or_insert(OpenInvocation {
            state: InvocationState::Running,
            out_of_memory: false,
            time: time_unix_nano,
            since: time_unix_nano,
        });
        if !std::mem::replace(&mut known.out_of_memory, true) {
            self.points.count(&metric::OUT_OF_MEMORY, None, measured);
        }
    }

    /// An invocation with an unknown `START` is the first one named in the stream.
    pub(super) fn name_the_unnamed(&mut self, request_id: &str) {
        let is_running = |unnamed: &OpenInvocation| unnamed.state == InvocationState::Running;
        if self.invocations.get(UNNAMED).is_some_and(is_running)
            && !self.invocations.contains_key(request_id)
            && let Some(unnamed) = self.invocations.remove(UNNAMED)
        {
            self.invocations.insert(request_id.to_owned(), unnamed);
        }
    }
}
