//! Functions that import nothing of OpenTelemetry, below the layer's wrapper: each invocation has to be one trace, written before
//! the response, and each has to end as it does without the layer.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::packages::{pinned, unchanged_node, unchanged_python};
use super::{Tally, Workshop, instrumented, items, output};
use crate::checks::unix_nanos;
use crate::dist;
use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::{Value, json};
use simulator::{FunctionSpec, Initialization, Invocation, InvocationResult, Lambda};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::runtime::Runtime;

/// The function's instructions, in order. "wait" waits for an answer that never comes, "compute" and "block" compute
/// for ever, "kill" ends the process at once, "leave" and "exit" end it as a program does, "throw" and "reject" by an
/// uncaught error.
const PYTHON_STORY: &[&str] = &[
    "take",
    "odd",
    "take",
    "libraries",
    "threads",
    "queue",
    "topic",
    "fail",
    "wait",
    "take",
    "compute",
    "kill",
    "take",
    "leave",
    "take",
];
const NODE_STORY: &[&str] = &[
    "take", "odd", "take", "fail", "wait", "take", "block", "exit", "take", "throw", "reject",
    "take",
];
const ENDS: [&str; 7] = ["take", "odd", "fail", "libraries", "threads", "queue", "topic"];
const SHORT_STORY: &[&str] = &["take", "odd", "fail", "take", "wait"];
pub(super) const INIT: Duration = Duration::from_mins(1);
/// The time that requests and messages waited, by their events.
const WAITED_NANOS: u64 = 2_000_000_000;
/// The start after a timeout is part of the invocation. With boto3, a slow machine took more than 4 s.
const TIMEOUT: Duration = Duration::from_secs(8);
pub(super) const FUNCTION: &str = "shop-unchanged";
const PLATFORM_SCOPE: &str = "lambda-otlp/platform";
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const CONSUMER: u64 = 5;

pub(super) fn check(workshop: &Workshop, tally: &mut Tally) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("cannot start tokio")?;
    let root = &workshop.root;
    let requirements = "tests/interop/unchanged/python/requirements.txt";
    let (client, aws) =
        (pinned(root, requirements, "awslambdaric")?, pinned(root, requirements, "boto3")?);
    let name = format!("no code to change: Python with boto3 {aws} below awslambdaric {client}");
    let python = unchanged_python(root, "python")?;
    let patched = format!("{name}, patched by gevent {}", pinned(root, requirements, "gevent")?);
    for (name, handler, story) in
        [(name, "shop.handler", PYTHON_STORY), (patched, "patched.handler", SHORT_STORY)]
    {
        tally.note(&name, runtime.block_on(python_function(workshop, &python, handler, story)));
    }

    let aws = pinned(root, "tests/interop/unchanged/node/package.json", "@aws-sdk/client-sqs")?;
    // Forms that handlers have: a promise, a callback, within an object, in a module of the language.
    for (handler, story) in [
        ("shop.handler", NODE_STORY),
        ("shop.calledBack", SHORT_STORY),
        ("shop.inside.handler", SHORT_STORY),
        ("shop_module.handler", SHORT_STORY),
    ] {
        let name = format!("no code to change: Node with @aws-sdk/client-sqs {aws}, {handler}");
        tally.check(&name, || {
            let (without, with) = node_function(workshop, handler, "node")?;
            runtime.block_on(compare(workshop, story, without, with))
        });
    }

    let name = "no code to change: Node on managed instances, in a thread of the runtime's";
    tally.note(name, runtime.block_on(in_a_thread(workshop)));
    let sdk = "@opentelemetry/sdk-trace-base";
    let sdk = pinned(root, "tests/interop/unchanged/own_sdk/package.json", sdk)?;
    let name = format!("no code to change: Node with OpenTelemetry {sdk} among its packages");
    let ran = async {
        let (without, with) = node_function(workshop, "shop.handler", "own_sdk")?;
        compare(workshop, SHORT_STORY, without, with).await
    };
    tally.note(&name, runtime.block_on(ran));
    let name = format!("left alone: Node with an SDK {sdk} of its own");
    tally.note(&name, runtime.block_on(own_sdk(workshop)));
    Ok(())
}

/// The function without the layer and with it, with the packages of this folder.
pub(super) fn node_function(
    workshop: &Workshop,
    handler: &str,
    folder: &str,
) -> anyhow::Result<(FunctionSpec, FunctionSpec)> {
    let node = output(Command::new("node").args(["-p", "process.execPath"]))?.stdout;
    let node = PathBuf::from(String::from_utf8(node)?.trim());
    let packages = dist::node::packages(&workshop.root)?;
    let layer = layer(workshop, "node", &dist::node::zip(&packages)?)?;
    let task = node_task(workshop, folder)?;
    let spec = |program: &Path| {
        FunctionSpec::new(FUNCTION, program)
            .handler(handler)
            .directory(&task)
            .env("NODE_NO_WARNINGS", "1")
    };
    let runtime = task.join("runtime.mjs");
    let runtime = runtime.to_string_lossy();
    let without = spec(&node).argument(runtime.clone());
    let with = spec(&layer.join("lambda-otlp-handler")).layer(&layer);
    let with = with.argument(node.to_string_lossy()).argument(runtime);
    Ok((without, with))
}

fn node_task(workshop: &Workshop, folder: &str) -> anyhow::Result<PathBuf> {
    let task = workshop.scratch.path().join(format!("task-{folder}"));
    if task.exists() {
        return Ok(task);
    }
    std::fs::create_dir_all(&task)?;
    for sources in ["node", folder] {
        for source in
            std::fs::read_dir(workshop.root.join("tests/interop/unchanged").join(sources))?
        {
            let source = source?;
            std::fs::copy(source.path(), task.join(source.file_name()))?;
        }
    }
    let packages = unchanged_node(&workshop.root, folder)?;
    std::os::unix::fs::symlink(packages, task.join("node_modules"))?;
    Ok(task)
}

/// An SDK that the function sets up by `NODE_OPTIONS` has its own spans of the calls, each once, and the log says why there are
/// no others.
async fn own_sdk(workshop: &Workshop) -> anyhow::Result<String> {
    let services = Services::start()?;
    let (_, with) = node_function(workshop, "shop.handler", "own_sdk")?;
    let with = with.env("NODE_OPTIONS", "--require ./tracing.js");
    let story = ["take"; 4];
    let told = run(&story, with, &services).await?;
    let why = "not instrumented, because it loads @opentelemetry/instrumentation";
    let said = told.log.iter().filter(|line| line.contains(why)).count();
    ensure!(said == 1, "the reason was told {said} times; its log: {}", told.text());
    let spans = spans_in(workshop, &told.log)?;
    let calls = |method: &str, path: &str| {
        let url = format!("{}{path}", services.base);
        let of_call = spans
            .iter()
            .filter(|span| span["name"] == *method && span["attributes"]["http.url"] == *url);
        of_call.count()
    };
    // The last invocation's may be under way when the environment ends.
    for (method, path) in [("GET", "/price"), ("POST", "/")] {
        let found = calls(method, path);
        ensure!((story.len() - 1..=story.len()).contains(&found), "{found} {method}: {spans:?}");
    }
    ensure!(!spans.iter().any(|span| span["scope"] == "lambda-otlp/handler"), "{spans:?}");
    Ok(format!("{} spans of its own", spans.len()))
}

/// The function without the layer and with it.
pub(super) fn python_specs(
    workshop: &Workshop,
    python: &Path,
    handler: &str,
) -> anyhow::Result<(FunctionSpec, FunctionSpec)> {
    let root = &workshop.root;
    let packages = dist::python::packages(root, python)?;
    let layer = layer(workshop, "python", &dist::python::zip(root, &packages, python)?)?;
    let spec = |program: &Path| {
        FunctionSpec::new(FUNCTION, program)
            .handler(handler)
            .directory(workshop.root.join("tests/interop/unchanged/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
    };
    let runtime =
        |spec: FunctionSpec| spec.argument("-m").argument("awslambdaric").argument(handler);
    let without = runtime(spec(python));
    let with = spec(&layer.join("lambda-otlp-handler")).layer(&layer);
    let with = runtime(with.argument(python.to_string_lossy()));
    Ok((without, with))
}

async fn python_function(
    workshop: &Workshop,
    python: &Path,
    handler: &str,
    story: &[&str],
) -> anyhow::Result<String> {
    let (without, with) = python_specs(workshop, python, handler)?;
    let fast = compare_starts(workshop, story, without.clone(), with.clone(), false).await;
    let fast = fast.context("fast start")?;
    // A variable that only the SDK reads.
    let with = with.env("OTEL_BSP_EXPORT_TIMEOUT", "30000");
    let by_sdk = compare_starts(workshop, story, without, with, true).await;
    let by_sdk = by_sdk.context("the SDK")?;
    Ok(format!("fast start: {fast}; the SDK: {by_sdk}"))
}

async fn compare(
    workshop: &Workshop,
    story: &[&str],
    without: FunctionSpec,
    with: FunctionSpec,
) -> anyhow::Result<String> {
    compare_starts(workshop, story, without, with, false).await
}

/// Runs the story without the layer and with it, beside another extension that receives OTLP. The log says if the function starts
/// with OpenTelemetry's SDK for Python.
async fn compare_starts(
    workshop: &Workshop,
    story: &[&str],
    without: FunctionSpec,
    with: FunctionSpec,
    has_sdk: bool,
) -> anyhow::Result<String> {
    let services = Services::start()?;
    let expected = run(story, without, &services).await?;
    // Occupies the usual port, so that the extension uses another and the wrapper tells the SDK. If another program
    // has the port, the effect is the same.
    let taken = TcpListener::bind(("127.0.0.1", 4318));
    let found = run(story, with, &services).await?;
    drop(taken);
    let says_sdk = found.log.iter().any(|line| line.contains("starts with OpenTelemetry's SDK"));
    ensure!(says_sdk == has_sdk, "not the expected start; its log: {}", found.text());
    for ((action, without), with) in story.iter().zip(&expected.outcomes).zip(&found.outcomes) {
        ensure!(without == with, "{action}: {without} became {with}; its log: {}", found.text());
    }
    let traces = traces(workshop, story, &found);
    let traces = traces.map_err(|error| anyhow!("{error:#}; its log: {}", found.text()))?;
    let init = |run: &Told| run.init.map_or(0, |init| init.as_millis());
    Ok(format!("{traces}; init {} ms, {} ms without the layer", init(&found), init(&expected)))
}

/// On managed instances, a thread of the runtime's calls the handler, and the extension writes spans when it likes.
async fn in_a_thread(workshop: &Workshop) -> anyhow::Result<String> {
    let (services, story) = (Services::start()?, ["take", "odd", "fail", "take"]);
    let (without, with) = node_function(workshop, "shop.handler", "node")?;
    let managed = |spec: FunctionSpec| spec.initialization(Initialization::ManagedInstances);
    let expected = run(&story, managed(without), &services).await?;
    let told = run(&story, managed(with), &services).await?;
    ensure!(told.outcomes == expected.outcomes, "{:?}; its log: {}", told.outcomes, told.text());
    let all = spans_in(workshop, &told.log)?;
    for (action, request_id) in story.iter().zip(&told.request_ids) {
        let server = server(&all, action, request_id)?;
        ensure!(server["attributes"]["faas.coldstart"] == false, "{server}");
        let of_trace = all.iter().filter(|span| span["trace_id"] == server["trace_id"]);
        let of_trace: Vec<_> = of_trace.cloned().collect();
        check_calls(&workshop.root, action, server, &of_trace)?;
    }
    Ok(format!("{} spans, {} outcomes as without", all.len(), story.len()))
}

struct Told {
    /// The results, without request ids and source lines.
    outcomes: Vec<String>,
    request_ids: Vec<String>,
    log: Vec<String>,
    init: Option<Duration>,
}

impl Told {
    fn text(&self) -> String {
        self.log.join("\n")
    }
}

async fn run(story: &[&str], spec: FunctionSpec, services: &Services) -> anyhow::Result<Told> {
    let spec = spec.timeout(TIMEOUT).init_timeout(INIT).memory_mb(512);
    let spec = spec.env("PRICES", &services.base).env("AWS_ENDPOINT_URL", &services.base);
    // Ended spans are exported soon: by default, five seconds after their end.
    let spec = spec.env("OTEL_BSP_SCHEDULE_DELAY", "100").env("LAMBDA_OTLP_INFERRED_SPANS", "true");
    let lambda = Lambda::start().await?;
    lambda.create_function(spec)?;
    let mut invocations: Vec<Invocation> = Vec::new();
    for (action, number) in story.iter().zip(1..) {
        // The event comes from outside: its sender may put anything into it.
        let parent = if *action == "odd" { json!(5) } else { Value::Null };
        let mut event =
            json!({ "action": action, "number": number, "headers": { "traceparent": parent } });
        let sent_ms = (unix_nanos() - WAITED_NANOS) / 1_000_000;
        if let records @ Value::Array(_) = instrumented::records(action, sent_ms) {
            event["Records"] = records;
        } else if *action == "take" {
            event["requestContext"] = json!({ "requestTimeEpoch": sent_ms });
        }
        invocations.push(lambda.invoke(FUNCTION, event.to_string()).await?);
    }
    lambda.recycle(FUNCTION).await?;
    let log = lambda.log_events(FUNCTION).into_iter();
    let log = log.map(|event| event.message.trim_end().to_owned()).collect();
    lambda.shut_down().await;
    Ok(Told {
        outcomes: invocations.iter().map(|invocation| outcome(&invocation.result)).collect(),
        init: invocations.first().and_then(|invocation| invocation.init_duration),
        request_ids: invocations.into_iter().map(|invocation| invocation.request_id).collect(),
        log,
    })
}

fn outcome(result: &InvocationResult) -> String {
    match result {
        InvocationResult::Response(body) => String::from_utf8_lossy(body).into_owned(),
        InvocationResult::FunctionError { error_type, body } => {
            let error: Value = serde_json::from_slice(body).unwrap_or_default();
            format!("{error_type}: {}", error["errorMessage"])
        }
        other => format!("{other:?}"),
    }
}

/// Each invocation has one SERVER span, of the function's name, in a trace of its own, with its calls as children, however it
/// ended.
fn traces(workshop: &Workshop, story: &[&str], told: &Told) -> anyhow::Result<String> {
    let (mut spans, mut traces) = (0, 0);
    let all = spans_in(workshop, &told.log)?;
    let mut ids: Vec<_> = all.iter().map(|span| span["span_id"].to_string()).collect();
    ids.sort_unstable();
    ensure!(ids.windows(2).all(|pair| pair[0] != pair[1]), "a span was written twice: {all:?}");
    for (&action, request_id) in story.iter().zip(&told.request_ids) {
        let server = server(&all, action, request_id)?;
        let found = written_before_the_end(workshop, told, request_id)?;
        // Not every instrumentation can read the odd event.
        if action == "odd" && found.is_empty() {
            continue;
        }
        traces += 1;
        let is_cut_off = !ENDS.contains(&action);
        ensure!((server["status"] == 2) == (is_cut_off || action == "fail"), "{server}");
        for span in &found {
            ensure!(span["service"] == FUNCTION, "not the function's service: {span}");
            ensure!(span["trace_id"] == server["trace_id"], "not in the trace: {span}");
        }
        check_calls(&workshop.root, action, server, &found)?;
        spans += found.len();
    }
    Ok(format!("{spans} spans in {traces} traces, {} outcomes as without", story.len()))
}

/// The one SERVER span of an invocation.
fn server<'s>(all: &'s [Value], action: &str, request_id: &str) -> anyhow::Result<&'s Value> {
    let servers = all.iter().filter(|span| {
        span["kind"] == SERVER && span["attributes"]["faas.invocation_id"] == *request_id
    });
    let [server] = servers.collect::<Vec<_>>()[..] else {
        bail!("{action}: not one SERVER span: {all:?}")
    };
    Ok(server)
}

/// Calls are below the invocation's span. Spans that were open when the invocation was cut off are partial and
/// errors.
fn check_calls(root: &Path, action: &str, server: &Value, found: &[Value]) -> anyhow::Result<()> {
    let below = |kind: u64, parent: &Value| -> Vec<&Value> {
        let is_below =
            |span: &&Value| span["kind"] == kind && span["parent_span_id"] == parent["span_id"];
        found.iter().filter(is_below).collect()
    };
    // Python's instrumentation has a span of its own for the messages of a queue.
    let consumers = below(CONSUMER, server);
    let calls = below(CLIENT, consumers.first().copied().unwrap_or(server));
    instrumented::check(root, action, &calls, found)?;
    if let Some(name) = match action {
        "take" => Some("HTTP wait"),
        "queue" => Some("orders wait"),
        _ => None,
    } {
        let waits = below(INTERNAL, server);
        let [wait] = waits.iter().filter(|span| span["name"] == name).collect::<Vec<_>>()[..]
        else {
            bail!("{action}: not one span {name}: {found:?}")
        };
        ensure!(wait["attributes"]["lambda_otlp.inferred"] == true, "{wait}");
        let start = |span: &Value| span["start"].as_str().and_then(|text| text.parse::<u64>().ok());
        let waited = start(server).zip(start(wait)).map(|(server, wait)| server - wait);
        ensure!(waited >= Some(WAITED_NANOS), "{action}: {wait} of {server}");
    }
    let has = |part: &str, is_partial: bool| {
        calls.iter().any(|span| {
            span["name"].as_str().is_some_and(|name| name.contains(part))
                && (span["attributes"]["lambda_otlp.partial"] == true) == is_partial
                && (!is_partial || span["status"] == 2)
        })
    };
    ensure!(!found.iter().any(|span| span["name"] == "POST"), "{action}: the runtime's: {found:?}");
    let is_complete = action == "fail" || has("GET", false) && has("ListQueues", false);
    let has_open = !["wait", "exit", "throw", "reject"].contains(&action) || has("GET", true);
    ensure!(is_complete && has_open, "{action}: the calls are {calls:?} of {found:?}");
    // The extension writes the spans that the function had no time for.
    let is_own = server["scope"] != PLATFORM_SCOPE;
    let is_partial = server["attributes"]["lambda_otlp.partial"] == true;
    let (expects_own, expects_partial) = match action {
        // Python's threads take turns.
        "wait" | "compute" | "exit" | "throw" | "reject" => (true, true),
        // Node's timers wait.
        "block" | "kill" => (false, false),
        _ => (true, false),
    };
    ensure!((is_own, is_partial) == (expects_own, expects_partial), "{action}: {server}");
    let exception = match action {
        "throw" | "reject" => Some("RangeError"),
        "leave" => Some("SystemExit"),
        "exit" => return check_type(action, server, "Runtime.ExitError"),
        _ => None,
    };
    let Some(exception) = exception else { return Ok(()) };
    let event = &server["events"][0];
    ensure!(event["attributes"]["exception.type"] == *exception, "{action}: {server}");
    check_type(action, server, exception)
}

fn check_type(action: &str, server: &Value, error_type: &str) -> anyhow::Result<()> {
    ensure!(server["attributes"]["error.type"] == *error_type, "{action}: {server}");
    Ok(())
}

/// The function's spans in the part of the log that Lambda wrote between an invocation's START and END.
fn written_before_the_end(
    workshop: &Workshop,
    told: &Told,
    request_id: &str,
) -> anyhow::Result<Vec<Value>> {
    let at = |word: &str| {
        let line = format!("{word} RequestId: {request_id}");
        told.log.iter().position(|event| event.starts_with(&line))
    };
    let (Some(start), Some(end)) = (at("START"), at("END")) else {
        bail!("the log has no START or no END of {request_id}");
    };
    let mut spans = spans_in(workshop, told.log.get(start..end).unwrap_or_default())?;
    spans.retain(|span| span["scope"] != PLATFORM_SCOPE);
    Ok(spans)
}

fn spans_in(workshop: &Workshop, log: &[String]) -> anyhow::Result<Vec<Value>> {
    let read = items::decoded(&workshop.decode(log.join("\n").as_bytes())?)?;
    Ok(read.into_iter().filter(|item| item["signal"] == "span").collect())
}

/// A folder as Lambda mounts our two layers at `/opt`.
fn layer(workshop: &Workshop, language: &str, packages: &[u8]) -> anyhow::Result<PathBuf> {
    let layer = workshop.scratch.path().join(format!("opt-{language}"));
    zip::ZipArchive::new(std::io::Cursor::new(packages))?.extract(&layer)?;
    dist::unpack(&workshop.root, &workshop.extension, &layer)?;
    Ok(layer)
}

/// Takes the place of the shop's price list and of AWS: each request is answered with an empty JSON object, but for one.
pub(super) struct Services {
    pub(super) base: String,
}

impl Services {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let base = format!("http://{}", listener.local_addr()?);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that breaks off is no error of the services.
                std::thread::spawn(move || answer(&connection).ok());
            }
        });
        Ok(Self { base })
    }
}

fn answer(mut connection: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 0 {
        if line.starts_with("GET /never ") {
            // Until the client goes away.
            return reader.read_to_end(&mut Vec::new()).map(drop);
        }
        let (name, value) = line.trim().split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            reader.by_ref().take(length).read_to_end(&mut Vec::new())?;
            length = 0;
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{}")?;
        }
        line.clear();
    }
    Ok(())
}
