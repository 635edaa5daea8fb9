//! Counts the invocations whose runtime says itself that its memory is exhausted.

use super::Aggregator;
use crate::metrics::instrument as metric;
use crate::metrics::open_invocations::{OpenInvocation, State};
use crate::metrics::points::Measured;

/// Stands for the request id of an invocation whose `START` is not known.
pub(super) const UNNAMED: &str = "";

impl Aggregator {
    /// Takes note of a runtime's text, which belongs to this invocation as far as is known. The platform may say the same of
    /// the invocation later, and then it counts no more.
    pub fn add_out_of_memory(&mut self, request_id: Option<&str>, time_unix_nano: u64) {
        let key = request_id.unwrap_or(UNNAMED).to_ascii_lowercase();
        let measured = Measured { time: time_unix_nano, since: time_unix_nano, request_id };
        let known = self.invocations.entry(key).or_insert(OpenInvocation {
            state: State::Running,
            out_of_memory: false,
            time: time_unix_nano,
            since: time_unix_nano,
        });
        if !std::mem::replace(&mut known.out_of_memory, true) {
            self.points.count(&metric::OUT_OF_MEMORY, None, measured);
        }
    }

    /// An invocation whose `START` is not known is the first one that the stream names.
    pub(super) fn name_the_unnamed(&mut self, request_id: &str) {
        let is_running = |unnamed: &OpenInvocation| unnamed.state == State::Running;
        if self.invocations.get(UNNAMED).is_some_and(is_running)
            && !self.invocations.contains_key(request_id)
            && let Some(unnamed) = self.invocations.remove(UNNAMED)
        {
            self.invocations.insert(request_id.to_owned(), unnamed);
        }
    }
}
