//! The direct output in the minimal extension, which has none.

#![expect(clippy::unused_async, reason = "the one that is there waits")]

use crate::buffer::SharedBuffer;
use crate::config::Config;
use crate::counts::Counts;
use crate::invocations::state::Running;
use crate::output::LineOutput;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn buffer(_: &Config) -> Option<SharedBuffer> {
    None
}

pub(crate) struct Left;

impl Left {
    pub(crate) fn new(_: Option<SharedBuffer>, _: &LineOutput, _: &Arc<Counts>) -> Self {
        Self
    }

    pub(crate) async fn spill(&mut self) {}
}

pub(crate) enum Direct {}

impl Direct {
    pub(crate) fn start(
        _: &Config,
        _: Option<&SharedBuffer>,
        _: &LineOutput,
        _: &Arc<Counts>,
    ) -> Option<Self> {
        None
    }

    pub(crate) fn invoked(&mut self) {
        match *self {}
    }

    pub(crate) fn act(&mut self, _: Option<&Running>, _: bool) -> bool {
        match *self {}
    }

    pub(crate) fn wake_at_ms(&self, _: Option<&Running>, _: bool, _: u64) -> Option<u64> {
        match *self {}
    }

    pub(crate) async fn flown(&mut self) {
        match *self {}
    }

    pub(crate) async fn shut_down(&mut self, _: u64) {
        match *self {}
    }

    pub(crate) async fn wait_spilled(&mut self, _: Duration) {
        match *self {}
    }
}
