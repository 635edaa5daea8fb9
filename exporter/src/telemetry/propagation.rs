//! Reads a span's parent, and writes it for the next service.

use super::xray_propagator::{AMBIENT_XRAY, LambdaXrayPropagator, XrayPropagator};
use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{
    Extractor, Injector, TextMapCompositePropagator, TextMapPropagator,
};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) type BoxedPropagator = Box<dyn TextMapPropagator + Send + Sync>;

/// The propagators for a list of names, and the unknown names.
pub(crate) fn by_names(names: &str) -> (Vec<BoxedPropagator>, Vec<String>) {
    let mut propagators: Vec<BoxedPropagator> = Vec::new();
    let mut unknown = Vec::new();
    let mut is_none = false;
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match named(name) {
            Some(propagator) => propagators.push(propagator),
            None if name == "none" => is_none = true,
            None => unknown.push(name.to_owned()),
        }
    }
    if propagators.is_empty() && !is_none {
        propagators = default();
    }
    (propagators, unknown)
}

/// The propagator of this name; `None` also for `none`.
pub(crate) fn named(name: &str) -> Option<BoxedPropagator> {
    Some(match name {
        "tracecontext" => Box::new(TraceContextPropagator::new()),
        "baggage" => Box::new(BaggagePropagator::new()),
        "xray" => Box::new(XrayPropagator),
        "xray-lambda" => Box::new(LambdaXrayPropagator),
        _ => return None,
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
        headers.get(key).map(String::as_str).or_else(|| {
            headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key))
                .map(|(_, value)| value.as_str())
        })
    }

    fn keys(&self) -> Vec<&str> {
        self.headers.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::baggage::BaggageExt as _;
    use opentelemetry::trace::TraceContextExt as _;

    const W3C: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const W3C_UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    const XRAY_UNSAMPLED: &str =
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
    const XRAY_ROOT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793";

    /// `names`, the event's headers, the invocation's own header -> parent's span id and flag.
    fn check(names: &str, headers: &[(&str, &str)], ambient: Option<&str>, expected: &str) {
        let headers: HashMap<String, String> =
            headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let parent = Propagation::new(by_names(names).0).parent(Some(&headers), ambient);
        let span = parent.span();
        let span = span.span_context();
        let shown = if span.is_valid() {
            format!(
                "{} {}",
                span.span_id(),
                if span.is_sampled() { "sampled" } else { "unsampled" }
            )
        } else {
            "none".to_owned()
        };
        assert_eq!(shown, expected, "{names} {headers:?} {ambient:?}");
        assert!(!span.is_valid() || span.is_remote());
    }

    #[test]
    fn the_parent_comes_from_the_named_propagators() {
        let default = "tracecontext,baggage";
        check(default, &[], None, "none");
        check(default, &[("traceparent", W3C)], None, "b7ad6b7169203331 sampled");
        check(default, &[("Traceparent", W3C)], None, "b7ad6b7169203331 sampled");
        check(default, &[("traceparent", W3C_UNSAMPLED)], None, "b7ad6b7169203331 unsampled");
        check(default, &[("traceparent", "00-broken")], None, "none");
        check("", &[("traceparent", W3C)], None, "b7ad6b7169203331 sampled");
        check("b3", &[("traceparent", W3C)], None, "b7ad6b7169203331 sampled");
        check("none", &[("traceparent", W3C)], None, "none");
    }

    #[test]
    fn an_xray_parent_is_used_only_with_an_xray_propagator() {
        let event = [("X-Amzn-Trace-Id", XRAY_UNSAMPLED)];
        check("tracecontext", &event, Some(XRAY), "none");
        check("xray", &event, Some(XRAY), "53995c3f42cd8ad8 unsampled");
        check("xray", &[], Some(XRAY_UNSAMPLED), "none");
        check("xray", &[("x-amzn-trace-id", XRAY_ROOT)], None, "none");
        check("xray-lambda", &[], Some(XRAY_UNSAMPLED), "53995c3f42cd8ad8 unsampled");
        check("xray-lambda", &[], Some(XRAY_ROOT), "none");
        check(
            "xray-lambda",
            &[("x-amzn-trace-id", XRAY)],
            Some(XRAY_UNSAMPLED),
            "53995c3f42cd8ad8 sampled",
        );
    }

    #[test]
    fn a_w3c_parent_wins_over_xray_in_either_order() {
        let both = [("traceparent", W3C), ("x-amzn-trace-id", XRAY_UNSAMPLED)];
        check("tracecontext,xray", &both, Some(XRAY_UNSAMPLED), "b7ad6b7169203331 sampled");
        check("xray,tracecontext", &both, Some(XRAY_UNSAMPLED), "b7ad6b7169203331 sampled");
        check("xray-lambda,tracecontext", &both, Some(XRAY_UNSAMPLED), "b7ad6b7169203331 sampled");
        check("tracecontext,xray-lambda", &both, Some(XRAY_UNSAMPLED), "b7ad6b7169203331 sampled");
    }

    #[test]
    fn the_default_propagators_extract_baggage() {
        let headers = HashMap::from([("baggage".to_owned(), "tenant=a".to_owned())]);
        let parent = Propagation::new(default()).parent(Some(&headers), None);
        assert_eq!(parent.baggage().get("tenant").map(ToString::to_string).as_deref(), Some("a"));
    }

    #[test]
    fn unknown_propagators_are_reported() {
        assert_eq!(by_names("tracecontext, b3 ,jaeger").1, ["b3", "jaeger"]);
    }
}
