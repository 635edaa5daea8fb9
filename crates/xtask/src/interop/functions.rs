//! Functions in the local Lambda: our demo's, for dev7a's forwarder, and functions with OpenTelemetry's SDKs for
//! Python and Node, which send to the extension.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::lines::{forwarder_core, read_by_forwarder_core};
use super::packages::pinned;
use super::{Tally, Workshop, items, output};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use simulator::{FunctionSpec, Lambda};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Long enough for every machine: nothing is expected to take it up.
const AMPLE: Duration = Duration::from_mins(1);
const INVOCATIONS: u64 = 4;
const EXTENSION_SCOPES: [&str; 2] = ["lambda-otlp/platform", "lambda-otlp/extension"];

pub(super) fn check(workshop: &Workshop, tally: &mut Tally) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("cannot start tokio")?;
    let name = format!("{} reads the log of the demo's function", forwarder_core(workshop));
    tally.note(&name, runtime.block_on(the_demo(workshop, &workshop.packages.rust)));

    let root = &workshop.root;
    let client = pinned(root, "demo/python/requirements.txt", "awslambdaric")?;
    let sdk = pinned(root, "demo/python/requirements.txt", "opentelemetry-sdk")?;
    let name = format!("extension: PyPI opentelemetry-sdk {sdk} below awslambdaric {client}");
    let spec = python_spec(workshop, &workshop.packages.python);
    tally.note(&name, runtime.block_on(with_the_extension(workshop, "python", spec)));

    let package = "opentelemetry-exporter-otlp-proto-grpc";
    let version = pinned(root, "tests/interop/python/requirements.txt", package)?;
    let spec = python_spec(workshop, &workshop.packages.python);
    let spec = spec.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let received = runtime.block_on(with_the_extension(workshop, "python-grpc", spec));
    tally.note(&format!("extension: PyPI {package} {version}"), received);

    let package = "opentelemetry-exporter-otlp-json-file";
    let version = pinned(root, "tests/interop/python/requirements.txt", package)?;
    let name = format!("no layer: PyPI {package} {version} below awslambdaric {client}");
    tally.note(&name, runtime.block_on(printing_function(workshop, &workshop.packages.python)));

    for (encoding, words) in [("http", "JSON"), ("proto", "protobuf"), ("grpc", "gRPC")] {
        let package = format!("@opentelemetry/exporter-trace-otlp-{encoding}");
        let version = pinned(root, "tests/interop/node/package.json", &package)?;
        let name = format!("extension: npm {package} {version} ({words})");
        let received = node_function(workshop, &workshop.packages.node, encoding);
        tally.note(&name, runtime.block_on(received));
    }
    Ok(())
}

/// The exporter's lines in the log group: dev7a's forwarder must find the function's spans with the same content as
/// `decode`.
async fn the_demo(workshop: &Workshop, rust: &Path) -> anyhow::Result<String> {
    let ledger = workshop.made_file("demo");
    let spec = FunctionSpec::new("orders", &workshop.demo_function)
        .env("DEMO_LEDGER", ledger.to_string_lossy());
    let payload = |number: u64| json!({"children": number, "first_number": number * 1000});
    let log = log_of(spec, payload).await?;
    let is_traces = |line: &&String| {
        serde_json::from_str(line).is_ok_and(|line: Value| line["endpoint"] == "/v1/traces")
    };
    let lines: Vec<String> = log.iter().filter(is_traces).cloned().collect();
    let read = read_by_forwarder_core(rust, &lines)?;
    let decoded = items::decoded(&workshop.decode(lines.join("\n").as_bytes())?)?;
    let compared = items::compare(&decoded, &read)?;

    let noted: BTreeSet<u64> = items::made(&ledger)?
        .iter()
        .filter(|line| line["what"] == "span" && line["event"] == "ended")
        .filter_map(|line| line["number"].as_u64())
        .collect();
    let numbers = read.iter().filter_map(|item| item["attributes"]["demo.number"].as_u64());
    let numbers: BTreeSet<u64> = numbers.collect();
    if noted != numbers || noted.len() != read.len() {
        bail!("the function noted {noted:?}, of {} spans read are {numbers:?}", read.len());
    }
    Ok(format!("{compared} in {} lines", lines.len()))
}

/// A function without a layer and with an SDK that prints OTLP/JSON: all its items must be in the log group,
/// including lines that Lambda cut.
async fn printing_function(workshop: &Workshop, python: &Path) -> anyhow::Result<String> {
    let made = workshop.made_file("python-prints");
    let spec = python_spec(workshop, python)
        .env("INTEROP_PRINTS", "1")
        .env("INTEROP_MADE", made.to_string_lossy());
    let log = log_of(spec, |number| json!({ "number": number })).await?;
    let is_cut = |event: &&String| event.starts_with('{') && !event.ends_with('}');
    let cut = log.iter().filter(is_cut).count();
    if cut == 0 {
        bail!("no line was cut");
    }
    let read = items::decoded(&workshop.decode(log.join("\n").as_bytes())?)?;
    let compared = items::compare(&items::made(&made)?, &read)?;
    Ok(format!("{compared}, of which {cut} lines were cut"))
}

fn python_spec(workshop: &Workshop, python: &Path) -> FunctionSpec {
    FunctionSpec::new("orders-python", python)
        .argument("-m")
        .argument("awslambdaric")
        .argument("function.handler")
        .handler("function.handler")
        .directory(workshop.root.join("tests/interop/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
}

async fn node_function(
    workshop: &Workshop,
    modules: &Path,
    encoding: &str,
) -> anyhow::Result<String> {
    let node = output(Command::new("node").args(["-p", "process.execPath"]))?.stdout;
    let node = PathBuf::from(String::from_utf8(node)?.trim());
    let script = workshop.root.join("tests/interop/node/function.js");
    let spec = FunctionSpec::new("orders-node", node)
        .argument(script.to_string_lossy())
        .env("NODE_PATH", modules.to_string_lossy())
        .env("INTEROP_ENCODING", encoding);
    with_the_extension(workshop, &format!("node-{encoding}"), spec).await
}

/// Runs the function beside the extension: each item of its SDK must be in the log group once.
async fn with_the_extension(
    workshop: &Workshop,
    name: &str,
    spec: FunctionSpec,
) -> anyhow::Result<String> {
    let made = workshop.made_file(name);
    let layer = workshop.scratch.path().join("layer");
    let extensions = layer.join("extensions");
    if !extensions.exists() {
        std::fs::create_dir_all(&extensions)?;
        std::os::unix::fs::symlink(&workshop.extension, extensions.join("lambda-otlp-extension"))?;
    }
    // Tests that run at the same time may use the usual ports.
    let endpoint = format!("http://127.0.0.1:{}", simulator::free_port());
    let spec = spec
        .layer(layer)
        .env("INTEROP_MADE", made.to_string_lossy())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    let log = log_of(spec, |number| json!({ "number": number })).await?;
    let mut read = items::decoded(&workshop.decode(log.join("\n").as_bytes())?)?;
    read.retain(|item| EXTENSION_SCOPES.iter().all(|scope| item["scope"] != *scope));
    items::compare(&items::made(&made)?, &read)
}

/// Invokes the function a few times in one environment, shuts it down, and gives its log events.
async fn log_of(spec: FunctionSpec, payload: impl Fn(u64) -> Value) -> anyhow::Result<Vec<String>> {
    let name = spec.name().to_owned();
    let lambda = Lambda::start().await?;
    lambda.create_function(spec.timeout(AMPLE).init_timeout(AMPLE).memory_mb(1024))?;
    let mut failure = None;
    for number in 1..=INVOCATIONS {
        let invocation = lambda.invoke(&name, payload(number).to_string()).await?;
        if !invocation.is_success() {
            failure = Some(invocation.result);
            break;
        }
    }
    lambda.recycle(&name).await?;
    let log = lambda.log_events(&name);
    let log: Vec<String> =
        log.into_iter().map(|event| event.message.trim_end().to_owned()).collect();
    lambda.shut_down().await;
    match failure {
        None => Ok(log),
        Some(outcome) => bail!("{outcome:?}; its log: {}", log.join("\n")),
    }
}
