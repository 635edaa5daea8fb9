//! Functions that trace with X-Ray's SDK or Powertools, below the layer's wrapper: a backend gets one tree of spans for each invocation,
//! with and without our instrumentation, and Powertools' metrics and log records.

use super::packages::{pinned, unchanged_python};
use super::unchanged::{FUNCTION, INIT, Services, node_function, python_specs};
use super::{Tally, Workshop};
use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::{Value, json};
use simulator::sink::{Row, Signal, Sink};
use simulator::{FunctionSpec, Lambda, LogFormat};
use std::time::Duration;
use tokio::runtime::Runtime;

const STORY: [&str; 3] = ["take", "take", "fail"];
const FAILURE: &str = "the order cannot be fulfilled";
/// The span with the annotation, for each handler.
const ANNOTATED: [&str; 3] = ["charge", "## subsegments.charge", "## powertools"];
/// What starts the function's first span. The first runs in Lambda's JSON log format, the third has a variable that only OpenTelemetry's SDK for Python reads.
const STARTS: [(&str, &str, &str); 3] = [
    ("fast start", "LAMBDA_OTLP_INSTRUMENT", "auto"),
    ("no instrumentation", "LAMBDA_OTLP_INSTRUMENT", "off"),
    ("the SDK", "OTEL_BSP_EXPORT_TIMEOUT", "30000"),
];

pub(super) fn check(workshop: &Workshop, tally: &mut Tally) -> anyhow::Result<()> {
    let root = &workshop.root;
    let runtime = Runtime::new().context("cannot start tokio")?;
    let requirements = "tests/interop/unchanged/python/requirements.txt";
    let python = unchanged_python(root)?;
    for (handler, package) in
        [("subsegments.sdk", "aws-xray-sdk"), ("subsegments.powertools", "aws-lambda-powertools")]
    {
        let name = format!("X-Ray: PyPI {package} {}", pinned(root, requirements, package)?);
        let Some(python) = &python else {
            println!("skip  {name}: there is no Python that is new enough on this machine");
            continue;
        };
        let (_, with) = python_specs(workshop, python, handler)?;
        tally.note(&name, runtime.block_on(each_start(workshop, &with, &STARTS)));
    }
    let description = "tests/interop/unchanged/node/package.json";
    for (handler, package) in [
        ("subsegments.sdk", "aws-xray-sdk-core"),
        ("subsegments.powertools", "@aws-lambda-powertools/tracer"),
    ] {
        let name = format!("X-Ray: npm {package} {}", pinned(root, description, package)?);
        if let Err(skipped) = workshop.packages.node() {
            println!("skip  {name}: {skipped}");
            continue;
        }
        let (_, with) = node_function(workshop, handler, "node")?;
        tally.note(&name, runtime.block_on(each_start(workshop, &with, &STARTS[..2])));
    }
    Ok(())
}

async fn each_start(
    workshop: &Workshop,
    with: &FunctionSpec,
    starts: &[(&str, &str, &str)],
) -> anyhow::Result<String> {
    let mut found = Vec::new();
    for (start, variable, value) in starts {
        let with = with.clone().env(*variable, *value);
        found.push(format!(
            "{start}: {}",
            run(workshop, start, with).await.with_context(|| (*start).to_owned())?
        ));
    }
    Ok(found.join("; "))
}

async fn run(workshop: &Workshop, start: &str, with: FunctionSpec) -> anyhow::Result<String> {
    let services = Services::start()?;
    let sink = Sink::start().await?;
    let lambda = Lambda::start().await?;
    let forwarder = FunctionSpec::new("forwarder", &workshop.forwarder)
        .timeout(Duration::from_mins(1))
        .env("LAMBDA_OTLP_ENDPOINT", sink.base());
    lambda.create_function(forwarder)?;
    let with = with.active_tracing().env("PRICES", &services.base).memory_mb(512);
    let with = with.env("POWERTOOLS_SERVICE_NAME", "shop").timeout(INIT).init_timeout(INIT);
    let format = if start == STARTS[0].0 { LogFormat::Json } else { LogFormat::Text };
    lambda.create_function(with.log_format(format))?;
    lambda.subscribe(&format!("/aws/lambda/{FUNCTION}"), "forwarder", "")?;
    for (action, number) in STORY.iter().zip(1..) {
        let event = json!({ "action": action, "number": number });
        let invocation = lambda.invoke(FUNCTION, event.to_string()).await?;
        ensure!(invocation.is_success() == (*action != "fail"), "{:?}", invocation.result);
    }
    lambda.recycle(FUNCTION).await?;
    lambda.flush_subscriptions().await;
    let log = lambda.log_events(FUNCTION);
    lambda.shut_down().await;
    let checked = stored(&sink.rows(), start == STARTS[2].0);
    let text = || log.iter().map(|event| event.message.as_str()).collect::<Vec<_>>().join("\n");
    checked.map_err(|error| anyhow!("{error:#}; its log: {}", text()))
}

/// Checks the backend's rows.
fn stored(rows: &[Row], is_sdk: bool) -> anyhow::Result<String> {
    let of =
        |signal| rows.iter().filter(move |row| row.signal == signal).map(|row| json!(row.columns));
    let spans: Vec<Value> = of(Signal::Traces).collect();
    // Every span is below the root of its trace, and each invocation has one root.
    for span in &spans {
        let parent = &span["reference_parent_span_id"];
        let is_parent =
            |other: &&Value| other["trace_id"] == span["trace_id"] && other["span_id"] == *parent;
        ensure!(parent.is_null() || spans.iter().any(|other| is_parent(&other)), "orphan: {span}");
    }
    let roots: Vec<&Value> =
        spans.iter().filter(|span| span["reference_parent_span_id"].is_null()).collect();
    ensure!(roots.len() == STORY.len(), "{} roots: {roots:?}", roots.len());

    // The export of telemetry is none of the function's calls. OpenTelemetry's SDK for Python exports by `requests`, which Powertools
    // traces.
    let is_export =
        |span: &&Value| span["http_url"].as_str().is_some_and(|url| url.contains("/v1/"));
    ensure!(is_sdk || !spans.iter().any(|span| is_export(&span)), "an export: {spans:?}");

    for (action, number) in STORY.iter().zip(1..) {
        let order = number.to_string();
        let annotated: Vec<&Value> =
            spans.iter().filter(|span| span["order"].as_str() == Some(&order)).collect();
        let [span] = annotated[..] else { bail!("order {number} has the spans {annotated:?}") };
        let is_named = ANNOTATED.iter().any(|name| span["operation_name"] == **name);
        ensure!(is_named && span["aws_xray_annotations"].is_string(), "{span}");
        let metadata = span["aws_xray_metadata_shop"].as_str().unwrap_or_default();
        ensure!(metadata.contains(r#""items":["tea"]"#), "{span}");
        let in_trace = |other: &&Value| other["trace_id"] == span["trace_id"];
        ensure!(roots.iter().copied().filter(in_trace).count() == 1, "no root: {span}");
        let has_failed = *action == "fail";
        ensure!((span["span_status"] == "ERROR") == has_failed, "{span}");
        let events = span["events"].as_str().unwrap_or_default();
        let has_stack = events.contains(FAILURE)
            && events.contains("exception.stacktrace")
            && events.contains("fulfil");
        ensure!(has_stack == has_failed, "{span}");
    }

    let charged: Vec<Value> =
        of(Signal::Logs).filter(|row| row["body"] == "the order is charged").collect();
    for record in &charged {
        let is_below = |span: &&Value| {
            span["trace_id"] == record["trace_id"] && span["span_id"] == record["span_id"]
        };
        ensure!(!record["order"].is_null() && spans.iter().any(|span| is_below(&span)), "{record}");
    }
    let points = rows.iter().filter(|row| row.stream == "orderscharged");
    let counted: f64 = points.filter_map(|row| row.columns.get("value")?.as_f64()).sum();
    let counted_is_logged = charged.len().to_string() == format!("{:.0}", counted.abs());
    let is_powertools = spans.iter().any(|span| span["operation_name"] == "## powertools");
    let expected = if is_powertools { STORY.len() } else { 0 };
    ensure!(counted_is_logged && charged.len() == expected, "{counted} counted, {charged:?}");
    Ok(format!("{} spans below {} roots, {} log records", spans.len(), roots.len(), charged.len()))
}
