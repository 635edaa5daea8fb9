//! Functions that send to X-Ray's daemon: a backend gets one tree of spans for each invocation. X-Ray's SDK and Powertools run
//! below the layer's wrapper, with and without our instrumentation, with Powertools' metrics and log records.

use super::packages::{pinned, unchanged_node, unchanged_python};
use super::{Tally, Workshop, output};
use crate::dist;
use crate::serve::serve;
use anyhow::{Context as _, anyhow, bail, ensure};
use http::Response;
use serde_json::{Value, json};
use simulator::sink::{Row, Signal, Sink};
use simulator::{FunctionSpec, Lambda, LogFormat};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const FUNCTION: &str = "shop-unchanged";
const INIT: Duration = Duration::from_mins(1);
const STORY: [&str; 3] = ["take", "take", "fail"];
const FAILURE: &str = "the order cannot be fulfilled";
/// The span with the annotation, for each handler.
const ANNOTATED: [&str; 3] = ["charge", "## subsegments.charge", "## powertools"];
/// What starts the function's first span. The first runs in Lambda's JSON log format, the third has a variable that only
/// OpenTelemetry's SDK for Python reads.
const STARTS: [(&str, &str, &str); 3] = [
    ("fast start", "LAMBDA_OTLP_INSTRUMENT", "auto"),
    ("no instrumentation", "LAMBDA_OTLP_INSTRUMENT", "off"),
    ("the SDK", "OTEL_BSP_EXPORT_TIMEOUT", "30000"),
];

pub(super) fn check(workshop: &Workshop, tally: &mut Tally) -> anyhow::Result<()> {
    let root = &workshop.root;
    let runtime = Runtime::new().context("cannot start tokio")?;
    let requirements = "tests/interop/unchanged/python/requirements.txt";
    let python = unchanged_python(root, "python")?;
    for (handler, package) in
        [("subsegments.sdk", "aws-xray-sdk"), ("subsegments.powertools", "aws-lambda-powertools")]
    {
        let name = format!("X-Ray: PyPI {package} {}", pinned(root, requirements, package)?);
        tally.check(&name, || {
            let with = python_function(workshop, &python, handler)?;
            runtime.block_on(each_start(workshop, &with, &STARTS))
        });
    }
    let requirements = "tests/interop/unchanged/aws_distro/requirements.txt";
    let package = "aws-opentelemetry-distro";
    let name = format!("X-Ray: PyPI {package} {}", pinned(root, requirements, package)?);
    tally.note(
        &name,
        runtime.block_on(aws_distro(workshop, &unchanged_python(root, "aws_distro")?)),
    );
    let description = "tests/interop/unchanged/node/package.json";
    for (handler, package) in [
        ("subsegments.sdk", "aws-xray-sdk-core"),
        ("subsegments.powertools", "@aws-lambda-powertools/tracer"),
    ] {
        let name = format!("X-Ray: npm {package} {}", pinned(root, description, package)?);
        tally.check(&name, || {
            let with = node_function(workshop, handler)?;
            runtime.block_on(each_start(workshop, &with, &STARTS[..2]))
        });
    }
    Ok(())
}

/// The function below the layer's wrapper.
fn python_function(
    workshop: &Workshop,
    python: &Path,
    handler: &str,
) -> anyhow::Result<FunctionSpec> {
    let root = &workshop.root;
    let packages = dist::python::packages(root, python)?;
    let layer = layer(workshop, "python", &dist::python::zip(root, &packages, python)?)?;
    let spec = FunctionSpec::new(FUNCTION, layer.join("lambda-otlp-handler")).layer(&layer);
    let spec = spec.handler(handler).directory(root.join("tests/interop/unchanged/python"));
    let spec = spec.env("PYTHONDONTWRITEBYTECODE", "1").argument(python.to_string_lossy());
    Ok(spec.argument("-m").argument("awslambdaric").argument(handler))
}

fn node_function(workshop: &Workshop, handler: &str) -> anyhow::Result<FunctionSpec> {
    let node = output(Command::new("node").args(["-p", "process.execPath"]))?.stdout;
    let packages = dist::node::packages(&workshop.root)?;
    let layer = layer(workshop, "node", &dist::node::zip(&packages)?)?;
    let task = workshop.scratch.path().join("task");
    if !task.exists() {
        std::fs::create_dir_all(&task)?;
        let sources = workshop.root.join("tests/interop/unchanged/node");
        for source in std::fs::read_dir(sources)? {
            let source = source?;
            std::fs::copy(source.path(), task.join(source.file_name()))?;
        }
        let packages = unchanged_node(&workshop.root)?;
        std::os::unix::fs::symlink(packages, task.join("node_modules"))?;
    }
    let spec = FunctionSpec::new(FUNCTION, layer.join("lambda-otlp-handler")).layer(&layer);
    let spec = spec.handler(handler).directory(&task).env("NODE_NO_WARNINGS", "1");
    let spec = spec.argument(String::from_utf8(node)?.trim());
    Ok(spec.argument(task.join("runtime.mjs").to_string_lossy()))
}

/// A folder as Lambda mounts our two layers at `/opt`.
fn layer(workshop: &Workshop, language: &str, packages: &[u8]) -> anyhow::Result<PathBuf> {
    let layer = workshop.scratch.path().join(format!("opt-{language}"));
    zip::ZipArchive::new(std::io::Cursor::new(packages))?.extract(&layer)?;
    dist::unpack(&workshop.root, &workshop.extension, &layer)?;
    Ok(layer)
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
    let with = with.active_tracing().env("POWERTOOLS_SERVICE_NAME", "shop");
    let format = if start == STARTS[0].0 { LogFormat::Json } else { LogFormat::Text };
    let (rows, log) = told(workshop, with.log_format(format)).await?;
    stored(&rows, start == STARTS[2].0).map_err(|error| anyhow!("{error:#}; its log: {log}"))
}

/// Invokes the function; returns what a forwarder sent to a backend, and the function's log.
async fn told(workshop: &Workshop, function: FunctionSpec) -> anyhow::Result<(Vec<Row>, String)> {
    let prices = serve(Arc::new(()), |_, _| async { Ok(Response::new("{}".into())) }).await?;
    let sink = Sink::start().await?;
    let lambda = Lambda::start().await?;
    let forwarder = FunctionSpec::new("forwarder", &workshop.forwarder)
        .timeout(Duration::from_mins(1))
        .env("LAMBDA_OTLP_ENDPOINT", sink.base());
    lambda.create_function(forwarder)?;
    let function = function.env("PRICES", format!("http://{prices}")).memory_mb(512);
    lambda.create_function(function.timeout(INIT).init_timeout(INIT))?;
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
    let log: Vec<_> = log.iter().map(|event| event.message.as_str()).collect();
    Ok((sink.rows(), log.join("\n")))
}

/// The fast start of AWS's distribution, which sends to X-Ray's daemon, beside the layer without its wrapper.
async fn aws_distro(workshop: &Workshop, python: &Path) -> anyhow::Result<String> {
    let root = &workshop.root;
    let layer = workshop.scratch.path().join("opt-aws-distro");
    dist::unpack(root, &workshop.extension, &layer)?;
    let start = root.join("tests/bench/unchanged/adot_fast_start");
    let sources = root.join("tests/interop/unchanged/aws_distro");
    let port = simulator::free_port();
    let function = FunctionSpec::new(FUNCTION, python)
        .argument("-m")
        .argument("awslambdaric")
        .argument("charge.handler")
        .handler("charge.handler")
        .directory(&sources)
        .layer(&layer)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", format!("{}:{}", start.display(), sources.display()))
        .env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string())
        .env("AWS_XRAY_DAEMON_ADDRESS", format!("127.0.0.1:{port}"));
    let mut found = Vec::new();
    for (sampled, function) in
        [("sampled", function.clone().active_tracing()), ("not sampled", function)]
    {
        let (rows, log) = told(workshop, function).await?;
        let checked = calls_below_invocations(&rows);
        let spans = checked.map_err(|error| anyhow!("{sampled}: {error:#}; its log: {log}"))?;
        found.push(format!("{sampled}: {spans} spans"));
    }
    Ok(found.join("; "))
}

/// Checks the spans of AWS's distribution; returns their number.
fn calls_below_invocations(rows: &[Row]) -> anyhow::Result<usize> {
    let spans = spans(rows);
    let roots = roots(&spans)?;
    for (action, number) in STORY.iter().zip(1..) {
        let order = number.to_string();
        let of_order = |span: &&&Value| span["order"].as_str() == Some(&order);
        let served: Vec<&Value> = spans.iter().filter(|span| of_order(&span)).collect();
        let [served] = served[..] else {
            bail!("order {number} has the spans {served:?} of {spans:?}")
        };
        ensure!(roots.iter().any(|root| root["trace_id"] == served["trace_id"]), "{served}");
        let has_failed = *action == "fail";
        ensure!((served["span_status"] == "ERROR") == has_failed, "{served}");
        let is_told = served["events"].as_str().is_some_and(|events| events.contains(FAILURE));
        ensure!(is_told == has_failed, "{served}");
        let calls = spans.iter().filter(|span| {
            span["reference_parent_span_id"] == served["span_id"] && span["operation_name"] == "GET"
        });
        ensure!(calls.count() == usize::from(!has_failed), "{served}: its call in {spans:?}");
    }
    Ok(spans.len())
}

fn spans(rows: &[Row]) -> Vec<Value> {
    let traces = rows.iter().filter(|row| row.signal == Signal::Traces);
    traces.map(|row| json!(row.columns)).collect()
}

/// Returns the root of each invocation. Fails if a span is not below the root of its trace.
fn roots(spans: &[Value]) -> anyhow::Result<Vec<&Value>> {
    for span in spans {
        let parent = &span["reference_parent_span_id"];
        let is_parent =
            |other: &&Value| other["trace_id"] == span["trace_id"] && other["span_id"] == *parent;
        ensure!(parent.is_null() || spans.iter().any(|other| is_parent(&other)), "orphan: {span}");
    }
    let roots = spans.iter().filter(|span| span["reference_parent_span_id"].is_null());
    let roots: Vec<&Value> = roots.collect();
    ensure!(roots.len() == STORY.len(), "{} roots: {roots:?}", roots.len());
    Ok(roots)
}

/// Checks the backend's rows.
fn stored(rows: &[Row], is_sdk: bool) -> anyhow::Result<String> {
    let spans = spans(rows);
    let roots = roots(&spans)?;
    // The export of telemetry is none of the function's calls. OpenTelemetry's SDK for Python exports by `requests`, which
    // Powertools traces.
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

    let records = rows.iter().filter(|row| row.signal == Signal::Logs);
    let charged = records.map(|row| json!(row.columns));
    let charged: Vec<Value> =
        charged.filter(|record| record["body"] == "the order is charged").collect();
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
