//! The origin of an invocation's trace, and its sampling decision.

use super::driver::{Function, REQUEST_ID, attribute, event, succeed};
use opentelemetry::trace::{SpanContext, TraceFlags, TraceState, Tracer as _};
use opentelemetry_sdk::trace::SpanProcessor as _;
use serde_json::{Value, json};
use wire::ids::{to_hex, trace_id_from_request_id};

const W3C_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const W3C_SPAN: &str = "b7ad6b7169203331";
const XRAY_TRACE: &str = "5759e988bd862e3fe1be46a994272793";
const XRAY_SPAN: &str = "53995c3f42cd8ad8";
const UNSAMPLED: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=a:0";

/// Trace id, parent id and `aws.xray.parent_id` of the span; `None` if none was written.
fn invoke(
    variables: &[(&str, &str)],
    headers: &[(&str, &str)],
    xray: Option<&str>,
) -> Option<[String; 3]> {
    let function = Function::with_variables(variables);
    let headers: Value =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let mut event = event(json!({ "headers": headers }));
    event.context.xray_trace_id = xray.map(str::to_owned);
    function.handle(event, succeed).unwrap();
    let written = function.written();
    let span = written.spans.first()?;
    let of_xray = attribute(span, "aws.xray.parent_id").unwrap_or_default();
    Some([to_hex(&span.trace_id), to_hex(&span.parent_span_id), of_xray.replace('"', "")])
}

#[test]
fn the_trace_comes_from_the_caller_or_from_xray_or_from_the_request_id() {
    let check = |propagators: Option<&str>,
                 headers: &[(&str, &str)],
                 xray: Option<&str>,
                 expected: Option<[&str; 3]>| {
        let variable = propagators.map(|names| ("OTEL_PROPAGATORS", names));
        let ids = invoke(variable.as_slice(), headers, xray);
        let found = ids.as_ref().map(|ids| ids.each_ref().map(String::as_str));
        assert_eq!(found, expected, "{propagators:?} {headers:?} {xray:?}");
    };
    let derived = to_hex(&trace_id_from_request_id(REQUEST_ID));
    let w3c = format!("00-{W3C_TRACE}-{W3C_SPAN}-01");
    let sampled = UNSAMPLED.replace("Sampled=0", "Sampled=1");
    let root = format!("Root={}", "1-5759e988-bd862e3fe1be46a994272793");
    let of_w3c = [W3C_TRACE, W3C_SPAN, ""];
    let of_xray = [XRAY_TRACE, XRAY_SPAN, ""];
    let w3c = &[("Traceparent", &*w3c)][..];
    let in_event = &[("X-Amzn-Trace-Id", &*sampled)][..];
    check(None, &[], None, Some([&derived, "", ""]));
    check(None, &[], Some(UNSAMPLED), Some([XRAY_TRACE, "", XRAY_SPAN]));
    check(None, w3c, Some(UNSAMPLED), Some([W3C_TRACE, W3C_SPAN, XRAY_SPAN]));
    check(None, &[("traceparent", "00-broken")], None, Some([&derived, "", ""]));
    // Names that select nothing leave the default, except for `none`.
    for names in ["tracecontext", " ", "b3"] {
        check(Some(names), w3c, None, Some(of_w3c));
    }
    check(Some("none"), w3c, None, Some([&derived, "", ""]));
    // The event's X-Ray header counts only if it is asked for, and decides on sampling.
    check(Some("tracecontext"), in_event, None, Some([&derived, "", ""]));
    check(Some("xray"), in_event, None, Some(of_xray));
    check(Some("xray"), &[("x-amzn-trace-id", UNSAMPLED)], Some(&sampled), None);
    check(Some("xray"), &[("x-amzn-trace-id", &root)], None, Some([&derived, "", ""]));
    check(Some("xray"), &[], Some(UNSAMPLED), Some([XRAY_TRACE, "", XRAY_SPAN]));
    // The invocation's own header is the last choice.
    check(Some("tracecontext,xray-lambda"), &[], Some(UNSAMPLED), None);
    check(Some("xray-lambda"), &[], Some(&sampled), Some(of_xray));
    check(Some("xray-lambda"), &[], Some(&root), Some([XRAY_TRACE, "", ""]));
    check(Some("xray-lambda"), in_event, Some(UNSAMPLED), Some(of_xray));
    // A W3C parent wins in any order.
    let both = [w3c, &[("x-amzn-trace-id", UNSAMPLED)]].concat();
    for names in ["tracecontext,xray", "xray,tracecontext", "xray-lambda,tracecontext"] {
        check(Some(names), &both, Some(UNSAMPLED), Some([W3C_TRACE, W3C_SPAN, XRAY_SPAN]));
    }
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
        let custom = json!({ "traceparent": format!("00-{W3C_TRACE}-{W3C_SPAN}-01") });
        let context = json!({ "client": client, "custom": custom, "env": {} });
        event.context.client_context = serde_json::from_value(context).unwrap();
        function.handle(event, succeed).unwrap();
        to_hex(&function.written().spans[0].parent_span_id)
    };
    assert_eq!(invoke(json!({})), W3C_SPAN);
    assert_eq!(invoke(json!({ "host": "orders.example" })), W3C_SPAN);
    assert_eq!(invoke(json!({ "traceparent": "00-broken" })), W3C_SPAN);
    let own = format!("00-{W3C_TRACE}-00f067aa0ba902b7-01");
    assert_eq!(invoke(json!({ "traceparent": own })), "00f067aa0ba902b7");
}

#[test]
fn otel_traces_sampler_selects_the_sampler() {
    let check = |sampler: &str, argument: &str, is_recorded: bool| {
        let variables = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)];
        let recorded = invoke(&variables, &[], None).is_some();
        assert_eq!(recorded, is_recorded, "{sampler} {argument}");
    };
    check("always_on", "", true);
    check("always_off", "", false);
    check("traceidratio", "1", true);
    check("traceidratio", "0", false);
    check("parentbased_traceidratio", "0", false);
    check("nonsense", "", true);
}

/// A sampler may record spans that are only for processors in the function.
#[test]
fn a_recorded_but_unsampled_span_is_not_written() {
    let function = Function::new();
    let span = function.completion.tracer().start("sampled");
    let mut recorded = span.exported_data().unwrap();
    drop(span);
    let trace = recorded.span_context.trace_id();
    let flags = TraceFlags::NOT_SAMPLED;
    let state = TraceState::default();
    recorded.span_context = SpanContext::new(trace, 7.into(), flags, false, state);
    function.completion.telemetry.spans.as_ref().unwrap().on_end(recorded);
    function.completion.complete();
    assert_eq!(function.written().span_names(), ["sampled"]);
}
