//! Converts a document of X-Ray's SDKs to spans: a segment or subsegment, and the subsegments in it.
//!
//! The attributes are those of the OpenTelemetry Collector's `awsxrayreceiver`, so that queries for its spans apply. Fields
//! unknown to it get the prefix `aws.xray.`.
//!
//! Source: AWS X-Ray Developer Guide, "X-Ray segment documents"; OpenTelemetry Collector contrib, `receiver/awsxrayreceiver`.

mod fields;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Map, Value};

use crate::attributes::{boolean, string};
use crate::aws_spans::value::{span_id, take, take_text, trace_id};
use crate::names;
use crate::spans::invocation::XRaySegment;

/// W3C trace flags: sampled. SDKs send no other documents.
const SAMPLED: u32 = 1;

/// The latest time in seconds that fits nanoseconds of 64 bits.
const MAX_SECONDS: f64 = 1.8e10;

/// The content of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct XRayDocument {
    pub ended: Vec<Span>,
    /// The spans in progress, which another document with the same ids completes.
    pub open: Vec<Span>,
    /// The name of a segment, which is a service of its own.
    pub service: Option<String>,
    /// The segment that a subsegment belongs to.
    pub segment: Option<XRaySegment>,
    /// Subsegments without a valid id, name or start, with all below them.
    pub refused: usize,
}

impl XRayDocument {
    /// Reads a document received at this Unix time in nanoseconds. Returns `None` if it is no segment or subsegment.
    pub fn read(document: &str, now: u64) -> Option<Self> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(document) else { return None };
        let trace = take(&mut fields, "trace_id", trace_id)?;
        let parent = take(&mut fields, "parent_id", span_id);
        let is_subsegment = fields.get("type").and_then(Value::as_str) == Some("subsegment");
        let mut read = Self::default();
        read.add(fields, &trace, parent.as_deref(), is_subsegment, now);
        let top = read.ended.first().or(read.open.first())?;
        if !is_subsegment {
            read.service = Some(top.name.clone());
        } else if let (Some(parent), Ok(trace)) = (parent, trace.try_into()) {
            let segment = |span_id| XRaySegment { trace_id: trace, span_id };
            read.segment = parent.try_into().ok().map(segment);
        }
        Some(read)
    }

    /// Adds a segment and the subsegments in it. The depth is bounded by the reader of JSON.
    fn add(
        &mut self,
        mut fields: Map<String, Value>,
        trace: &[u8],
        parent: Option<&[u8]>,
        is_subsegment: bool,
        now: u64,
    ) {
        let Some(mut span) = span_of(&mut fields) else {
            self.refused += 1;
            return;
        };
        span.trace_id = trace.to_vec();
        span.parent_span_id = parent.unwrap_or_default().to_vec();
        let below = fields.remove("subsegments");
        let end = take(&mut fields, "end_time", unix_nanos);
        let is_open = take(&mut fields, "in_progress", Value::as_bool) == Some(true);
        let end = end.filter(|_| !is_open);
        // Clocks of two languages may differ by less than a microsecond.
        span.end_time_unix_nano = end.unwrap_or(now).max(span.start_time_unix_nano);
        span.kind = if is_subsegment { SpanKind::Internal } else { SpanKind::Server } as i32;
        for key in ["trace_id", "parent_id", "type"] {
            fields.remove(key);
        }
        fields::add(&mut span, fields);
        let id = span.span_id.clone();
        if end.is_some() {
            self.ended.push(span);
        } else {
            span.attributes.push(boolean(names::PARTIAL, true));
            self.open.push(span);
        }
        let Some(Value::Array(below)) = below else { return };
        for fields in below {
            match fields {
                Value::Object(fields) => self.add(fields, trace, Some(&id), true, now),
                _ => self.refused += 1,
            }
        }
    }
}

/// The mandatory fields: id, name and start.
fn span_of(fields: &mut Map<String, Value>) -> Option<Span> {
    let id = take(fields, "id", span_id)?;
    let name = take_text(fields, "name")?;
    let start = take(fields, "start_time", unix_nanos)?;
    let mut span =
        Span { span_id: id, start_time_unix_nano: start, flags: SAMPLED, ..Span::default() };
    if fields.get("namespace").and_then(Value::as_str) == Some("aws") {
        span.attributes.push(string("aws.service", &name));
    }
    span.name = name;
    Some(span)
}

/// Reads seconds since 1970. Doubles have no more than microseconds at this size.
fn unix_nanos(seconds: &Value) -> Option<u64> {
    let seconds = seconds.as_f64().filter(|seconds| (0.0..MAX_SECONDS).contains(seconds))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    let micros = (seconds * 1e6).round() as u64;
    Some(micros * 1000)
}

#[cfg(test)]
mod tests;
