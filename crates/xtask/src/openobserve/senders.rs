//! The ways into the backend: the forwarder, its retry queue, direct mode, and the demo.

use super::edge;
use super::tee::Tee;
use crate::checks::{self, delivery, unix_nanos};
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method};
use local_lambda::binaries;
use local_lambda::queue::{Queue, QueueServer};
use local_lambda::{FunctionSpec, InvocationResult, Lambda};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Events whose lines are telemetry or text; the others test refusals.
const FIXTURES: [&str; 6] =
    ["apigw-access", "corrupted-mixed", "large", "otlp-only", "text-mixed", "wrapped"];

const FORWARDER: &str = "forwarder";

/// The names of the functions and of the forwarder that have failures of each kind. The second round comes during the alerts'
/// silence about the first one.
#[derive(Clone, Copy)]
pub(super) enum Round {
    First,
    Second,
}

impl Round {
    /// The name of the function in this role: `failed`, `slow`, `near`, `gone` or `forwarder`.
    pub(super) fn name(self, role: &str) -> String {
        let round = match self {
            Self::First => "first",
            Self::Second => "second",
        };
        format!("{role}_{round}")
    }
}

pub(super) struct Senders<'a> {
    root: &'a Path,
    programs: HashMap<String, PathBuf>,
    layer: PathBuf,
    scratch: tempfile::TempDir,
    tee: &'a Tee,
    authorization: String,
}

impl<'a> Senders<'a> {
    pub(super) fn new(root: &'a Path, tee: &'a Tee, authorization: &str) -> anyhow::Result<Self> {
        let programs = binaries::build(root, &binaries::OF_TESTS)?;
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let layer = checks::layer(scratch.path(), &programs)?;
        let authorization = format!("authorization={authorization}");
        Ok(Self { root, programs, layer, scratch, tee, authorization })
    }

    fn endpoint(&self, organization: &str) -> String {
        format!("http://{}/api/{organization}", self.tee.address())
    }

    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(binaries::find(&self.programs, program)?);
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    /// Recorded events, through the forwarder's pipeline, with times of today.
    pub(super) async fn fixtures(&self, organization: &str) -> anyhow::Result<()> {
        for name in FIXTURES {
            let mut command = self.command("lambda-otlp")?;
            let event = self.root.join(format!("tests/fixtures/events/awslogs-{name}.json"));
            command.arg("forward").arg(event).args(["--shift-time", "--stream", name]);
            command.args(["--endpoint", &self.endpoint(organization)]);
            let output = command.args(["--header", &self.authorization]).output().await?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.success(), "lambda-otlp forward {name}: {said}");
        }
        Ok(())
    }

    fn forwarder(&self, organization: &str) -> anyhow::Result<FunctionSpec> {
        self.forwarder_named(FORWARDER, organization)
    }

    fn forwarder_named(&self, name: &str, organization: &str) -> anyhow::Result<FunctionSpec> {
        let program = binaries::find(&self.programs, "lambda-otlp-forwarder")?;
        Ok(FunctionSpec::new(name, program)
            .timeout(Duration::from_mins(1))
            .env("LAMBDA_OTLP_STREAM", "edge")
            .env("LAMBDA_OTLP_VITALS", "otlp")
            .env("LAMBDA_OTLP_HEADERS", &self.authorization)
            .env("LAMBDA_OTLP_ENDPOINT", self.endpoint(organization)))
    }

    /// Edge cases through the forwarder.
    pub(super) async fn edge_cases(&self, organization: &str) -> anyhow::Result<()> {
        let lambda = Lambda::start().await?;
        lambda.create_function(self.forwarder(organization)?)?;
        succeed(&lambda, &event(two_minutes_ago(), &edge::lines(two_minutes_ago())?)).await?;
        lambda.shut_down().await;
        Ok(())
    }

    /// Edge cases through the retry queue: the backend is down at first.
    pub(super) async fn redrive(&self, organization: &str) -> anyhow::Result<()> {
        let lambda = Lambda::start().await?;
        let queue =
            QueueServer::start(Queue::new("retry").visibility_timeout(Duration::ZERO)).await?;
        let forwarder = self
            .forwarder(organization)?
            .env("LAMBDA_OTLP_RETRY_QUEUE_URL", queue.queue_url())
            .env("AWS_ENDPOINT_URL_SQS", queue.endpoint());
        lambda.create_function(forwarder)?;
        self.tee.set_down(&["/v1/traces", "/v1/metrics", "/v1/logs"]);
        let queued =
            succeed(&lambda, &event(two_minutes_ago(), &edge::lines(two_minutes_ago())?)).await;
        self.tee.set_down(&[]);
        queued?;
        ensure!(!queue.queue().is_empty(), "nothing is in the retry queue");
        // A new environment, without the circuit breaker of the first.
        lambda.recycle(FORWARDER).await?;
        let messages = queue.queue().receive(10);
        let answer = succeed(&lambda, &queue.queue().lambda_event(&messages)).await?;
        lambda.shut_down().await;
        ensure!(!answer.contains("itemIdentifier"), "the redrive failed: {answer}");
        Ok(())
    }

    /// Edge cases that a function sends to an extension in direct mode with this protocol.
    pub(super) async fn direct(&self, organization: &str, protocol: &str) -> anyhow::Result<()> {
        let endpoint = self.endpoint(organization);
        self.direct_to(endpoint, &self.authorization, protocol).await
    }

    /// The same over gRPC, to the server at this address.
    pub(super) async fn grpc(&self, organization: &str, address: SocketAddr) -> anyhow::Result<()> {
        let headers = format!("{},organization={organization}", self.authorization);
        self.direct_to(format!("http://{address}"), &headers, "grpc").await
    }

    async fn direct_to(
        &self,
        endpoint: String,
        headers: &str,
        protocol: &str,
    ) -> anyhow::Result<()> {
        let lambda = Lambda::start().await?;
        let port = local_lambda::free_port();
        let function =
            FunctionSpec::new("orders", binaries::find(&self.programs, "demo-function")?)
                .timeout(Duration::from_secs(3))
                .layer(&self.layer)
                .env("DEMO_LEDGER", self.scratch.path().join("ledger").to_string_lossy())
                .env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string())
                .env("LAMBDA_OTLP_OUTPUT", "otlp")
                .env("LAMBDA_OTLP_PROTOCOL", protocol)
                .env("LAMBDA_OTLP_BACKEND", "openobserve")
                .env("LAMBDA_OTLP_STREAM", "edge")
                .env("LAMBDA_OTLP_HEADERS", headers)
                .env("LAMBDA_OTLP_ENDPOINT", endpoint);
        lambda.create_function(function)?;
        lambda.invoke("orders", json!({"action": "ok"}).to_string()).await?;
        // The receiver answers while the handler waits for its timeout; the environment is not frozen then.
        let waiting = lambda.invoke("orders", json!({"action": "timeout"}).to_string());
        let (waited, sent) = tokio::join!(waiting, send(port));
        waited?;
        sent?;
        lambda.recycle("orders").await?;
        let log = lambda.log_events("orders");
        lambda.shut_down().await;
        let failed = log.iter().find(|event| event.message.contains("cannot deliver"));
        match failed {
            None => Ok(()),
            Some(event) => bail!("direct mode: {}", event.message.trim_end()),
        }
    }

    /// The demo with its functions, log groups and forwarders, twice: into new streams, and into existing ones.
    pub(super) async fn demo(&self, organization: &str) -> anyhow::Result<()> {
        for _ in 0..2 {
            let mut command = self.command("lambda-otlp-demo")?;
            command.args(["--endpoint", &self.endpoint(organization)]);
            let output = command.args(["--header", &self.authorization]).output().await?;
            // The verdict is on standard output, an error on the other.
            let last_lines = [output.stdout, output.stderr].map(|printed| {
                let text = String::from_utf8_lossy(&printed);
                text.lines().last().unwrap_or_default().to_owned()
            });
            ensure!(output.status.success(), "the demo: {}", last_lines.join("; "));
        }
        Ok(())
    }

    /// Failures of a function and of the pipeline: a timeout, an environment without memory, rejected and queued items, late
    /// events.
    pub(super) async fn failures(&self, organization: &str, round: Round) -> anyhow::Result<()> {
        let name = round.name(FORWARDER);
        let log_group = format!("/aws/lambda/{}", round.name("failed"));
        let event = |time: u64, lines: &[String]| delivery(&log_group, LOG_STREAM, time, lines);
        let text = ["a line of a function".to_owned()];
        for (variable, is_dead_letter) in
            [("LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL", true), ("LAMBDA_OTLP_RETRY_QUEUE_URL", false)]
        {
            // The server rejects an old record. It is down for another one.
            let time =
                if is_dead_letter { two_minutes_ago() - 24 * HOUR } else { two_minutes_ago() };
            let lambda = Lambda::start().await?;
            let queue = QueueServer::start(Queue::new("queue")).await?;
            let forwarder = self.forwarder_named(&name, organization)?;
            let forwarder = forwarder.env(variable, queue.queue_url());
            lambda.create_function(forwarder.env("AWS_ENDPOINT_URL_SQS", queue.endpoint()))?;
            // The forwarder's own metrics are sent after the first event.
            self.tee.set_down(if is_dead_letter { &[] } else { &["/v1/logs"] });
            let sent = answer_of(&lambda, &name, &event(time, &text)).await;
            self.tee.set_down(&[]);
            sent?;
            ensure!(!queue.queue().is_empty(), "{variable}: nothing is in the queue");
            answer_of(&lambda, &name, &event(two_minutes_ago(), &reports())).await?;
            lambda.shut_down().await;
        }
        Ok(())
    }

    /// Sends events through the forwarder to the stream that dashboards and alerts ask.
    pub(super) async fn deliver(&self, organization: &str, events: &[Value]) -> anyhow::Result<()> {
        let forwarder = self.forwarder(organization)?;
        deliver_by(forwarder, events).await
    }

    /// Sends an event through a forwarder with these variables, and returns its answer.
    pub(super) async fn answer_with(
        &self,
        organization: &str,
        variables: &[(&str, &str)],
        event: &Value,
    ) -> anyhow::Result<String> {
        let lambda = Lambda::start().await?;
        let forwarder = self.forwarder(organization)?.env("LAMBDA_OTLP_STREAM", "default");
        let with = |spec: FunctionSpec, (key, value): &(&str, &str)| spec.env(*key, *value);
        lambda.create_function(variables.iter().fold(forwarder, with))?;
        let answer = succeed(&lambda, event).await;
        lambda.shut_down().await;
        answer
    }

    /// Like [`Senders::deliver`], with a file of rules.
    pub(super) async fn deliver_by_rules(
        &self,
        organization: &str,
        rules: &str,
        events: &[Value],
    ) -> anyhow::Result<()> {
        let path = self.scratch.path().join("rules.toml");
        std::fs::write(&path, rules)?;
        let forwarder = self.forwarder(organization)?;
        deliver_by(forwarder.env("LAMBDA_OTLP_RULES", path.to_string_lossy()), events).await
    }

    /// Invocations that meet the conditions of alerts on changes: a function becomes slow and expensive, comes near its timeout,
    /// fails as never before, and another one is not invoked any more.
    pub(super) async fn changes(&self, organization: &str, round: Round) -> anyhow::Result<()> {
        let event_of = |role: &str, time: u64, lines: &[String]| {
            delivery(&format!("/aws/lambda/{}", round.name(role)), LOG_STREAM, time, lines)
        };
        let many = |duration_ms: u32, memory_mb: u32| -> Vec<String> {
            (0..30).map(|id| report(id, duration_ms, memory_mb, "success")).collect()
        };
        let error = "[ERROR] ValueError: no stock\rTraceback (most recent call last):\r  File \"/var/task/new.py\", line 3, in place\r    raise ValueError(text)";
        let timeout = report(31, 3000, 128, "timeout");
        let near = report(32, 2900, 128, "success");
        let expensive = report(33, 800_000, 10_240, "success");
        let lines = [many(2900, 128), vec![error.to_owned(), expensive]].concat();
        let events = [
            event_of("gone", two_minutes_ago() - 48 * HOUR - HOUR / 2, &many(100, 128)),
            event_of("gone", two_minutes_ago() - 24 * HOUR - HOUR / 2, &many(100, 128)),
            event_of("slow", two_minutes_ago() - 60 * HOUR, &many(100, 128)),
            event_of("slow", two_minutes_ago() - 2 * HOUR, &many(100, 128)),
            event_of("slow", two_minutes_ago(), &lines),
            event_of("near", two_minutes_ago() - 2 * HOUR, &[timeout]),
            event_of("near", two_minutes_ago(), &[near]),
        ];
        self.deliver(organization, &events).await
    }

    /// One of a function's hundred invocations fails, and is stored some time before the others.
    pub(super) async fn diluted(&self, organization: &str, function: &str) -> anyhow::Result<()> {
        const SUCCESSES: u32 = 99;
        let log_group = format!("/aws/lambda/{function}");
        let failed = [report(40, 100, 128, "error")];
        let successes: Vec<String> =
            (0..SUCCESSES).map(|id| report(id, 100, 128, "success")).collect();
        let events = [
            delivery(&log_group, LOG_STREAM, two_minutes_ago() - 3 * MINUTE, &failed),
            delivery(&log_group, LOG_STREAM, two_minutes_ago(), &successes),
        ];
        self.deliver(organization, &events).await
    }

    /// Installs dashboards, alerts or objectives, not by the proxy.
    pub(super) async fn install(&self, endpoint: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command("lambda-otlp")?;
        command.args(arguments).args(["--endpoint", endpoint]);
        let output = command.args(["--header", &self.authorization]).output().await?;
        let printed = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&printed);
        ensure!(output.status.success(), "lambda-otlp {}: {text}", arguments.join(" "));
        Ok(())
    }
}

async fn deliver_by(forwarder: FunctionSpec, events: &[Value]) -> anyhow::Result<()> {
    let lambda = Lambda::start().await?;
    let forwarder = forwarder.env("LAMBDA_OTLP_STREAM", "default");
    // Log records that are too old for OpenObserve have metrics, which are not.
    lambda.create_function(forwarder.env("LAMBDA_OTLP_OLD_RECORDS", "drop"))?;
    for event in events {
        succeed(&lambda, event).await?;
    }
    lambda.shut_down().await;
    Ok(())
}

/// Lambda's reports of failed invocations.
fn reports() -> [String; 2] {
    let out_of_memory = "error\tError Type: Runtime.OutOfMemory";
    [report(1, 3000, 128, "timeout"), report(2, 3000, 128, out_of_memory)]
}

fn report(id: u32, duration_ms: u32, memory_mb: u32, status: &str) -> String {
    format!(
        "REPORT RequestId: 8f507cfc-6a9b-4d0f-9c8c-5b6d8e0f00{id:02}\tDuration: {duration_ms}.00 ms\tBilled Duration: {duration_ms} ms\t\
         Memory Size: {memory_mb} MB\tMax Memory Used: 128 MB\tStatus: {status}"
    )
}

const MINUTE: u64 = 60 * 1_000_000_000;
const HOUR: u64 = 60 * MINUTE;
const LOG_STREAM: &str = "2026/11/22/[$LATEST]0";

/// The time of a run's newest items, which are never in the future.
pub(super) fn two_minutes_ago() -> u64 {
    unix_nanos() - 2 * MINUTE
}

/// The subscription's event with log events of this time.
fn event(unix_nano: u64, lines: &[String]) -> Value {
    delivery("/aws/lambda/edge", LOG_STREAM, unix_nano, lines)
}

async fn succeed(lambda: &Lambda, event: &Value) -> anyhow::Result<String> {
    answer_of(lambda, FORWARDER, event).await
}

/// Invokes the forwarder of this name.
async fn answer_of(lambda: &Lambda, name: &str, event: &Value) -> anyhow::Result<String> {
    match lambda.invoke(name, event.to_string()).await?.result {
        InvocationResult::Response(answer) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        other => bail!("the forwarder failed: {other:?}"),
    }
}

/// Sends the edge cases to the extension's receiver.
async fn send(port: u16) -> anyhow::Result<()> {
    let receiver = super::server::Server::new(&format!("http://127.0.0.1:{port}"), "", "")?;
    for (path, body) in edge::requests(two_minutes_ago())? {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, "application/x-protobuf".parse()?);
        let answer = receiver.send(Method::POST, path, headers, Bytes::from(body)).await?;
        ensure!(answer.status().is_success(), "the receiver answered {}", answer.status());
    }
    Ok(())
}
