//! The backend of the minimal extension, which has none.

#![expect(clippy::unused_async, reason = "the counterpart waits")]

use super::lines::LineOutput;
use crate::config::Config;
use crate::counts::Counts;
use crate::event::{LineFindings, LogLine};
use crate::invocations::roots::NamedSpan;
use crate::invocations::state::Running;
use platform::PlatformEvent;
use settings::Check;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

pub(crate) async fn health_check(_: &Config) -> Vec<Check> {
    let text = "stdout: telemetry goes to the function's log, from where a forwarder sends it";
    vec![Check::ok("output", text)]
}

pub(crate) fn buffer(_: &Config) -> Option<SharedBuffer> {
    None
}

#[derive(Clone)]
pub(crate) enum SharedBuffer {}

pub(crate) struct Unbuffered {
    pub(crate) request: Request,
    pub(crate) is_full: bool,
}

impl SharedBuffer {
    pub(crate) fn put(&self, _: Request) -> Result<usize, Unbuffered> {
        match *self {}
    }

    pub(crate) fn put_partial(&self, _: Request) -> Result<usize, Unbuffered> {
        match *self {}
    }

    pub(crate) fn close(&self) -> Vec<Request> {
        match *self {}
    }
}

pub(crate) async fn spill_rest(buffer: &SharedBuffer, _: &LineOutput, _: &Arc<Counts>) {
    match *buffer {}
}

pub(crate) enum Backend {}

impl Backend {
    pub(crate) fn start(
        _: &Config,
        _: platform::Identity,
        _: Option<&SharedBuffer>,
        _: &LineOutput,
        _: &Arc<Counts>,
    ) -> Option<Self> {
        None
    }

    pub(crate) fn invoked(&mut self) {
        match *self {}
    }

    pub(crate) fn spans_seen(&mut self, _: &[NamedSpan]) {
        match *self {}
    }

    pub(crate) fn platform_event(&mut self, _: &PlatformEvent, _: &str) {
        match *self {}
    }

    pub(crate) fn line(&mut self, _: &LogLine) -> LineFindings {
        match *self {}
    }

    pub(crate) fn write(&mut self, _: Vec<Request>) {
        match *self {}
    }

    pub(crate) fn xray(&mut self, _: Vec<Request>, _: bool) {
        match *self {}
    }

    pub(crate) fn finish_lines(&mut self) {
        match *self {}
    }

    pub(crate) fn due(&mut self, _: Option<&Running>, _: bool) -> bool {
        match *self {}
    }

    pub(crate) fn wake_at_ms(&self, _: Option<&Running>, _: bool, _: u64) -> Option<u64> {
        match *self {}
    }

    pub(crate) fn is_behind(&self) -> bool {
        match *self {}
    }

    pub(crate) async fn landed(&mut self) {
        match *self {}
    }

    pub(crate) async fn wait_written(&mut self, _: Duration) {
        match *self {}
    }

    pub(crate) async fn shut_down(&mut self, _: Instant, _: bool) {
        match *self {}
    }

    pub(crate) async fn stop(&mut self) {
        match *self {}
    }
}
