//! Finds the segment of a subsegment, and thereby the service of its span.
//!
//! Source: AWS X-Ray Developer Guide, "Segment documents": a subsegment belongs to the segment at the end of its chain of
//! parents. In `aws/spans` only the segment's resource names the service.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};

use crate::attributes::string;
use crate::names;

/// Maximum length of a chain of parents. X-Ray nests subsegments a few levels deep; the bound also ends circles.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Default)]
pub struct Segments {
    /// By trace id and span id: the service of a span, or its parent.
    spans: HashMap<(Vec<u8>, Vec<u8>), Place>,
}

#[derive(Debug)]
enum Place {
    Service(String),
    Below(Vec<u8>),
}

impl Segments {
    /// Adds a line's span. Returns `true` for a subsegment without a service, which [`Segments::name`] may resolve after all
    /// lines.
    pub fn observe(&mut self, line: &ResourceSpans) -> bool {
        let Some(span) = span_of(line) else { return false };
        let place = match service_of(line) {
            Some(service) => Place::Service(service.to_owned()),
            None if is_subsegment(span) => Place::Below(span.parent_span_id.clone()),
            None => return false,
        };
        let is_unnamed = matches!(place, Place::Below(_));
        self.spans.insert((span.trace_id.clone(), span.span_id.clone()), place);
        is_unnamed
    }

    /// Names the service of a subsegment, if its segment was among the lines.
    pub fn name(&self, line: &mut ResourceSpans) {
        let Some(service) = span_of(line).and_then(|span| self.service(span)) else { return };
        let service = string(names::SERVICE_NAME, service);
        line.resource.get_or_insert_default().attributes.push(service);
    }

    fn service(&self, span: &Span) -> Option<&str> {
        let mut id = (span.trace_id.clone(), span.parent_span_id.clone());
        for _ in 0..MAX_DEPTH {
            match self.spans.get(&id)? {
                Place::Service(service) => return Some(service),
                Place::Below(parent) => id.1.clone_from(parent),
            }
        }
        None
    }
}

fn span_of(line: &ResourceSpans) -> Option<&Span> {
    line.scope_spans.first()?.spans.first()
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text),
        _ => None,
    }
}

fn service_of(line: &ResourceSpans) -> Option<&str> {
    text(&line.resource.as_ref()?.attributes, names::SERVICE_NAME).filter(|name| !name.is_empty())
}

fn is_subsegment(span: &Span) -> bool {
    text(&span.attributes, "aws.xray.type") == Some("subsegment")
}
