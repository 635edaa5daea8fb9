//! Knows which invocation a log stream is in, for lines that have no request id of their own.

use crate::event::{EventKind, PlatformEvent};

/// The invocation that a log stream is in. Lines between `START` and `END` that have no request id of their own belong to
/// it. This is best effort: a delivery may begin in the middle of an invocation, and then its first lines belong to none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RequestWindow {
    request_id: Option<String>,
}

impl RequestWindow {
    /// The invocation that is running, as far as is known.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Takes note of what Lambda says.
    pub(crate) fn observe(&mut self, event: &PlatformEvent) {
        match event.kind {
            EventKind::Start => self.request_id.clone_from(&event.request_id),
            EventKind::End | EventKind::Report => self.request_id = None,
            _ => {}
        }
    }
}
