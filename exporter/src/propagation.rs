//! Reads a span's parent, and writes it for the next service, also in X-Ray's header `X-Amzn-Trace-Id`.

#[cfg(feature = "aws-sdk")]
pub use crate::outgoing::aws_sdk::AwsSdkInterceptor;
pub use crate::outgoing::{
    inject_client_context, inject_headers, inject_json, inject_message_attributes,
};

use crate::output::stderr;
use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{
    Extractor, Injector, TextMapCompositePropagator, TextMapPropagator,
};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use settings::{Env, Source as _};
use std::collections::HashMap;
use std::sync::Arc;
use wire::ids::{XRayHeader, to_hex};

pub(crate) type BoxedPropagator = Box<dyn TextMapPropagator + Send + Sync>;

pub(crate) fn by_names(names: &str) -> Vec<BoxedPropagator> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let propagators: Vec<BoxedPropagator> = names.filter_map(named).collect();
    if propagators.is_empty() { default() } else { propagators }
}

/// The propagator of this name. An unknown name is reported on stderr.
pub(crate) fn named(name: &str) -> Option<BoxedPropagator> {
    Some(match name {
        "tracecontext" => Box::new(TraceContextPropagator::new()),
        "baggage" => Box::new(BaggagePropagator::new()),
        "xray" => Box::new(XrayPropagator),
        "xray-lambda" => Box::new(LambdaXrayPropagator),
        "none" => Box::new(Propagation::new(Vec::new())),
        _ => {
            stderr::warn(&format!("unknown propagator {name:?} ignored"));
            return None;
        }
    })
}

/// `tracecontext,baggage`, the default of OpenTelemetry.
pub(crate) fn default() -> Vec<BoxedPropagator> {
    vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())]
}

/// Combines the propagators, for the event's carrier and for the application.
#[derive(Debug, Clone)]
pub(crate) struct Propagation(Arc<TextMapCompositePropagator>);

impl TextMapPropagator for Propagation {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        self.0.inject_context(cx, injector);
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        self.0.extract_with_context(cx, extractor)
    }

    fn fields(&self) -> FieldIter<'_> {
        self.0.fields()
    }
}

impl Propagation {
    pub(crate) fn new(propagators: Vec<BoxedPropagator>) -> Self {
        Self(Arc::new(TextMapCompositePropagator::new(propagators)))
    }

    /// The parent of an invocation with its baggage. Without a span in it the invocation starts a trace.
    pub(crate) fn parent(
        &self,
        headers: Option<&HashMap<String, String>>,
        ambient_xray: Option<&str>,
    ) -> Context {
        let carrier = EventCarrier { headers, ambient_xray: ambient_xray.unwrap_or_default() };
        self.0.extract_with_context(&Context::new(), &carrier)
    }
}

/// The event's headers in any case, and the invocation's own X-Ray header under its own name.
struct EventCarrier<'a> {
    headers: Option<&'a HashMap<String, String>>,
    ambient_xray: &'a str,
}

impl Extractor for EventCarrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        if key == AMBIENT_XRAY {
            return Some(self.ambient_xray);
        }
        let headers = self.headers?;
        let value = headers.get(key).map(String::as_str).or_else(|| {
            headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, value)| value.as_str())
        });
        value.filter(|value| key != TRACEPARENT || is_traceparent(value))
    }

    fn keys(&self) -> Vec<&str> {
        self.headers.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }
}

const TRACEPARENT: &str = "traceparent";

/// Returns `true` for a header in W3C's format (Trace Context, 3.2.2). OpenTelemetry's propagator accepts ids that are too short.
pub(crate) fn is_traceparent(header: &str) -> bool {
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let mut parts = header.trim_matches([' ', '\t']).split('-');
    let Some(version) = parts.next() else { return false };
    let has_ids =
        [32, 16, 2].into_iter().all(|digits| parts.next().is_some_and(|part| is_hex(part, digits)));
    // Only later versions may have more.
    is_hex(version, 2) && version != "ff" && has_ids && (version != "00" || parts.next().is_none())
}

/// The header's name in events and requests.
pub(crate) const XRAY_HEADER: &str = "x-amzn-trace-id";
/// The carrier's key for the invocation's own header, from Lambda's variable.
const AMBIENT_XRAY: &str = "_X_AMZN_TRACE_ID";

/// Reads the X-Ray header of a carrier, for example an HTTP event's headers (`xray` in `OTEL_PROPAGATORS`).
///
/// A W3C parent in the same carrier wins, because API Gateway adds an X-Ray header to every request.
#[derive(Debug, Clone, Copy, Default)]
pub struct XrayPropagator;

/// Like [`XrayPropagator`], with the invocation's own header as the fallback (`xray-lambda` in `OTEL_PROPAGATORS`).
///
/// That parent is Lambda's own segment, which only X-Ray receives, and without active tracing it requests no sampling: use this
/// only if traces go to X-Ray.
#[derive(Debug, Clone, Copy, Default)]
pub struct LambdaXrayPropagator;

impl LambdaXrayPropagator {
    /// Creates the propagator.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

static FIELDS: std::sync::LazyLock<[String; 1]> =
    std::sync::LazyLock::new(|| [XRAY_HEADER.to_owned()]);

impl TextMapPropagator for XrayPropagator {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        if let Some(header) = xray_header(cx.span().span_context()) {
            injector.set(XRAY_HEADER, header);
        }
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let parent = extractor.get(XRAY_HEADER).and_then(xray_parent);
        or_else_parent(cx, || parent)
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(FIELDS.as_slice())
    }
}

impl TextMapPropagator for LambdaXrayPropagator {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        XrayPropagator.inject_context(cx, injector);
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let cx = XrayPropagator.extract_with_context(cx, extractor);
        or_else_parent(&cx, || match extractor.get(AMBIENT_XRAY) {
            Some(header) => xray_parent(header),
            None => xray_parent(&Env.get(AMBIENT_XRAY)?),
        })
    }

    fn fields(&self) -> FieldIter<'_> {
        XrayPropagator.fields()
    }
}

/// Returns `cx` itself if it already has a parent.
fn or_else_parent(cx: &Context, parent: impl FnOnce() -> Option<SpanContext>) -> Context {
    if cx.span().span_context().is_valid() {
        return cx.clone();
    }
    match parent() {
        Some(parent) => cx.with_remote_span_context(parent),
        None => cx.clone(),
    }
}

/// Returns a parent only if the header names a trace and a segment. An undecided header (`Sampled=?`, or no `Sampled`) counts as
/// sampled.
fn xray_parent(header: &str) -> Option<SpanContext> {
    let header = XRayHeader::parse(header);
    let flags = match header.sampled {
        Some(false) => TraceFlags::NOT_SAMPLED,
        Some(true) | None => TraceFlags::SAMPLED,
    };
    Some(SpanContext::new(
        TraceId::from_bytes(header.trace_id?),
        SpanId::from_bytes(header.parent_id?),
        flags,
        true,
        TraceState::default(),
    ))
}

fn xray_header(span: &SpanContext) -> Option<String> {
    if !span.is_valid() {
        return None;
    }
    let trace_id = to_hex(&span.trace_id().to_bytes());
    let (seconds, random) = trace_id.split_at_checked(8)?;
    let parent = to_hex(&span.span_id().to_bytes());
    let sampled = u8::from(span.is_sampled());
    Some(format!("Root=1-{seconds}-{random};Parent={parent};Sampled={sampled}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    #[test]
    fn a_traceparent_has_w3cs_format() {
        let check =
            |header: &str, expected| assert_eq!(is_traceparent(header), expected, "{header}");
        let fields = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let valid = &format!("00-{fields}");
        check(valid, true);
        check(&format!(" {valid}\t"), true);
        check(&format!("cc-{fields}-what-the-future-brings"), true);
        check(&format!("{valid}-x"), false);
        check(&format!("{valid},{valid}"), false);
        check(&format!("ff-{fields}"), false);
        check(&valid.to_uppercase(), false);
        check("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", false);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01", false);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", false);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false);
        check("", false);
    }

    #[test]
    fn a_parsed_xray_header_is_written_back_unchanged() {
        let parent = xray_parent(XRAY).unwrap();
        assert_eq!(xray_header(&parent).as_deref(), Some(XRAY));
    }
}
