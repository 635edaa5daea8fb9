//! The direct output in the minimal extension, which has none.

#![expect(clippy::unused_async, reason = "the one that is there waits")]

use crate::buffer::SharedBuffer;
use crate::config::Config;
use crate::counts::Counts;
use crate::event::LogLine;
use crate::invocations::roots::NamedSpan;
use crate::invocations::state::Running;
use crate::output::LineOutput;
use platform::PlatformEvent;
use settings::Check;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;
use wire::Request;

/// Nothing is to be reached.
pub(crate) async fn health_check(_: &Config) -> Vec<Check> {
    let text = "stdout: telemetry goes to the function's log, from where a forwarder sends it";
    vec![Check::ok("output", text)]
}

pub(crate) fn buffer(_: &Config) -> Option<SharedBuffer> {
    None
}

pub(crate) struct Left;

impl Left {
    pub(crate) fn new(_: Option<SharedBuffer>, _: &LineOutput, _: &Arc<Counts>) -> Self {
        Self
    }

    pub(crate) async fn take_over(&mut self, _number: RawFd) {}

    pub(crate) async fn spill(&mut self) {}
}

pub(crate) struct TakenLine {
    pub(crate) requests: Vec<Request>,
    pub(crate) partial: Vec<Request>,
    pub(crate) out_of_memory: Option<(Option<String>, u64)>,
}

pub(crate) enum Direct {}

impl Direct {
    pub(crate) fn start(
        _: &Config,
        _: platform::Identity,
        _: Option<&SharedBuffer>,
        _: &LineOutput,
        _: &Arc<Counts>,
    ) -> Option<Self> {
        None
    }

    pub(crate) fn platform_event(&mut self, _: &PlatformEvent, _: &str) {
        match *self {}
    }

    pub(crate) fn line(&mut self, _: &LogLine) -> TakenLine {
        match *self {}
    }

    pub(crate) fn put(&mut self, _: Vec<Request>) {
        match *self {}
    }

    pub(crate) fn put_partial(&mut self, _: Vec<Request>) {
        match *self {}
    }

    pub(crate) fn spans_seen(&mut self, _: &[NamedSpan]) {
        match *self {}
    }

    pub(crate) fn spans_of(&mut self, _: &Request) {
        match *self {}
    }

    pub(crate) fn makes_telemetry(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_behind(&self) -> bool {
        match *self {}
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

    pub(crate) async fn shut_down(&mut self, _: u64, _: bool) {
        match *self {}
    }

    pub(crate) async fn wait_spilled(&mut self, _: Duration) {
        match *self {}
    }
}
