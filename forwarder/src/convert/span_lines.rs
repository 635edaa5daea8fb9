//! Converts lines of `aws/spans`, the log group of X-Ray's spans.

use super::{StreamConversion, log_event, take};
use crate::source::LogEvent;
use platform::{Segments, SpanLine};
use wire::{Request, Signal as _, Traces};

/// X-Ray segments of the chunk.
#[derive(Debug, Default)]
pub(super) struct SpanLines {
    segments: Segments,
    /// Positions of requests with subsegments that name no service.
    subsegments: Vec<usize>,
}

impl StreamConversion<'_, '_> {
    /// Takes a line of `aws/spans`. Spans keep their resource, because the log group belongs to the whole account.
    pub(super) fn take_span_line(&mut self, event: &LogEvent) {
        match SpanLine::read(&event.message) {
            SpanLine::Ended(spans) => {
                if self.spans.segments.observe(&spans) {
                    self.spans.subsegments.push(self.converted.requests.len());
                }
                let request = Request::encode::<Traces>(&Traces::request(vec![*spans]));
                take(&mut self.converted, request);
            }
            SpanLine::InProgress => {
                self.converted.ledger.consumed.spans_in_progress += 1;
            }
            SpanLine::Other => {
                self.others.log_event(&log_event(event, &event.message));
            }
        }
    }

    /// Names the service of X-Ray's subsegments. Their segments may follow them.
    pub(super) fn name_subsegments(&mut self) {
        for at in std::mem::take(&mut self.spans.subsegments) {
            let Some(request) = self.converted.requests.get_mut(at) else { continue };
            if let Some(Ok(mut traces)) = request.decode::<Traces>() {
                traces.resource_spans.iter_mut().for_each(|spans| self.spans.segments.name(spans));
                *request = Request::encode::<Traces>(&traces);
            }
        }
    }
}
