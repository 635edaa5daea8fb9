//! A processor that notes each span for the checks; compiled once for each version of the SDK with this interface, which the parent
//! module names.

use super::api::Context;
use super::made;
use super::sdk::error::OTelSdkResult;
use super::sdk::trace::{Span, SpanData, SpanProcessor};
use std::time::Duration;

/// Notes spans of this service.
#[derive(Debug)]
pub(super) struct Notes(pub(super) &'static str);

impl SpanProcessor for Notes {
    fn on_start(&self, _span: &mut Span, _parent: &Context) {}

    fn on_end(&self, span: SpanData) {
        crate::note(&made::span(&span, self.0));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
