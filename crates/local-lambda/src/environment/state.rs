//! The state of an environment, seen from outside.

use super::extensions::ExtensionState;
use std::sync::Mutex;

/// The state of an environment, which the handle of the local Lambda reads too.
pub(crate) type SharedEnvironmentState = Mutex<EnvironmentState>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvironmentState {
    /// Its process; `None` after a reset and before the next init.
    pub pid: Option<u32>,
    /// The processes of its layers; none after a reset and before the next init.
    pub extensions: Vec<ExtensionState>,
    pub(crate) is_busy: bool,
    /// `true` if its process was killed because of its memory, until the failure is reported.
    pub(crate) is_out_of_memory: bool,
}

impl EnvironmentState {
    pub(super) fn note_end(&mut self) {
        self.pid = None;
        self.extensions.clear();
    }
}
