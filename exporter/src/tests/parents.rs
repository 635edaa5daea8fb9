//! The origin of an invocation's trace, and its sampling decision.

use super::driver::{Function, REQUEST_ID, attribute, event, succeed};
use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use wire::ids::{to_hex, trace_id_from_request_id};

const W3C_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const XRAY_TRACE: &str = "5759e988bd862e3fe1be46a994272793";
const UNSAMPLED: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=a:0";

/// Trace id and parent id of the span; `None` if none was written.
fn invoke(
    variables: &[(&str, &str)],
    traceparent: Option<&str>,
    xray: Option<&str>,
) -> Option<(String, String, Option<String>)> {
    let function = Function::with_variables(variables);
    let payload = traceparent
        .map_or_else(|| json!({}), |parent| json!({ "headers": { "Traceparent": parent } }));
    let mut event = event(payload);
    event.context.xray_trace_id = xray.map(str::to_owned);
    function.handle(event, succeed).unwrap();
    let written = function.written();
    let span = written.spans.first()?;
    Some((
        to_hex(&span.trace_id),
        to_hex(&span.parent_span_id),
        attribute(span, "aws.xray.parent_id"),
    ))
}

#[test]
fn the_ambient_xray_header_supplies_only_the_trace_id() {
    let (trace, parent, xray_parent) = invoke(&[], None, Some(UNSAMPLED)).unwrap();
    assert_eq!((trace.as_str(), parent.as_str()), (XRAY_TRACE, ""));
    assert_eq!(xray_parent.as_deref(), Some("\"53995c3f42cd8ad8\""));
}

#[test]
fn without_an_xray_header_the_request_id_gives_the_trace_id() {
    let (trace, parent, xray_parent) = invoke(&[], None, None).unwrap();
    assert_eq!(trace, to_hex(&trace_id_from_request_id(REQUEST_ID)));
    assert_eq!((parent.as_str(), xray_parent), ("", None));
}

#[test]
fn a_w3c_parents_sampling_decision_is_respected() {
    let sampled = format!("00-{W3C_TRACE}-b7ad6b7169203331-01");
    let (trace, parent, _) = invoke(&[], Some(&sampled), Some(UNSAMPLED)).unwrap();
    assert_eq!((trace.as_str(), parent.as_str()), (W3C_TRACE, "b7ad6b7169203331"));
    let unsampled = format!("00-{W3C_TRACE}-b7ad6b7169203331-00");
    assert_eq!(invoke(&[], Some(&unsampled), None), None);
}

/// An API Gateway request sent by a test or another function with `Lambda.Invoke` has headers without a `traceparent`.
#[test]
fn the_client_context_supplies_the_parent_missing_from_headers() {
    let invoke = |headers: Value| {
        let function = Function::with_variables(&[]);
        let mut event = event(json!({ "headers": headers }));
        let client = json!({
            "installation_id": "", "app_title": "", "app_version_name": "", "app_version_code": "",
            "app_package_name": "",
        });
        let custom = json!({ "traceparent": format!("00-{W3C_TRACE}-b7ad6b7169203331-01") });
        let context = json!({ "client": client, "custom": custom, "env": {} });
        event.context.client_context = serde_json::from_value(context).unwrap();
        function.handle(event, succeed).unwrap();
        to_hex(&function.written().spans[0].parent_span_id)
    };
    assert_eq!(invoke(json!({})), "b7ad6b7169203331");
    assert_eq!(invoke(json!({ "host": "orders.example" })), "b7ad6b7169203331");
    assert_eq!(invoke(json!({ "traceparent": "00-broken" })), "b7ad6b7169203331");
    let own = format!("00-{W3C_TRACE}-00f067aa0ba902b7-01");
    assert_eq!(invoke(json!({ "traceparent": own })), "00f067aa0ba902b7");
}

#[test]
fn an_unsampled_parent_drops_the_spans_and_is_reported() {
    let check = |variables: &[(&str, &str)], flags: &str, expected: bool| {
        let function = Function::with_variables(variables);
        let parent = format!("00-{W3C_TRACE}-b7ad6b7169203331-{flags}");
        let event = event(json!({ "headers": { "traceparent": parent } }));
        function.handle(event, succeed).unwrap();
        let told = &function.completion.telemetry.facts.told_of_unsampled;
        assert_eq!(told.load(Ordering::Relaxed), expected, "{variables:?} {flags}");
        assert_eq!(function.written().spans.is_empty(), expected, "{variables:?} {flags}");
    };
    check(&[], "00", true);
    check(&[], "01", false);
    check(&[("OTEL_TRACES_SAMPLER", "always_on")], "00", false);
}

#[test]
fn xray_lambda_uses_the_ambient_header_as_parent_and_decision() {
    let variables = [("OTEL_PROPAGATORS", "tracecontext,xray-lambda")];
    assert_eq!(invoke(&variables, None, Some(UNSAMPLED)), None);
    let sampled = UNSAMPLED.replace("Sampled=0", "Sampled=1");
    let (trace, parent, xray_parent) = invoke(&variables, None, Some(&sampled)).unwrap();
    assert_eq!((trace.as_str(), parent.as_str()), (XRAY_TRACE, "53995c3f42cd8ad8"));
    assert_eq!(xray_parent, None, "it is the parent already");
}

#[test]
fn otel_traces_sampler_selects_the_sampler() {
    let check = |sampler: &str, argument: &str, is_recorded: bool| {
        let variables = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)];
        let recorded = invoke(&variables, None, None).is_some();
        assert_eq!(recorded, is_recorded, "{sampler} {argument}");
    };
    check("always_on", "", true);
    check("always_off", "", false);
    check("traceidratio", "1", true);
    check("traceidratio", "0", false);
    check("parentbased_traceidratio", "0", false);
    check("nonsense", "", true);
}

/// Records without sampling: such spans are only for processors in the function.
#[derive(Clone, Debug)]
struct RecordOnly;

impl ShouldSample for RecordOnly {
    fn should_sample(
        &self,
        _parent: Option<&Context>,
        _trace_id: TraceId,
        _name: &str,
        _kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        SamplingResult {
            decision: SamplingDecision::RecordOnly,
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}

#[test]
fn a_recorded_but_unsampled_span_is_not_written() {
    let function = Function::with(&[], |config| config.with_sampler(RecordOnly));
    drop(function.completion.tracer().start("recorded"));
    function.completion.complete();
    assert_eq!(function.written().span_names(), [""; 0]);
    let overruled = Function::with(&[("OTEL_TRACES_SAMPLER", "always_on")], |config| {
        config.with_sampler(RecordOnly)
    });
    drop(overruled.completion.tracer().start("sampled"));
    overruled.completion.complete();
    assert_eq!(overruled.written().span_names(), ["sampled"]);
}

#[test]
fn no_log_level_switches_spans_off() {
    for level in ["TRACE", "WARN", "ERROR", "FATAL", "off"] {
        assert!(
            invoke(&[("AWS_LAMBDA_LOG_LEVEL", level), ("RUST_LOG", level)], None, None).is_some()
        );
    }
}
