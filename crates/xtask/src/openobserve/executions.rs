//! Sends ended executions the way the stack does: a status event in the queue of its rule, and the history from a stand-in for
//! AWS's APIs. Compares the figures of panels with those of the executions.

use super::panels;
use super::senders::{Senders, two_minutes_ago};
use super::server::{Columns, Server};
use crate::serve::serve;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use local_lambda::HttpServer;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Only messages of this queue count. Its account and region are those of the fixtures.
const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:executions";
const MACHINE: &str = "orders";
const DURABLE: &str = "orders-durable";

/// An execution of a fixture, whose last event was two minutes ago.
struct SentExecution {
    kind: Kind,
    arn: String,
    status: &'static str,
    seconds: f64,
    /// The status event of EventBridge.
    event: Value,
    history: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    StateMachine,
    DurableFunction,
}

/// What AWS calls the parts of a status event and of a history.
struct Words {
    arn: &'static str,
    start: &'static str,
    stop: &'static str,
    events: &'static str,
    kind: &'static str,
    time: &'static str,
}

impl Kind {
    fn fixture(self) -> &'static str {
        match self {
            Self::StateMachine => "machine",
            Self::DurableFunction => "durable",
        }
    }

    fn words(self) -> Words {
        match self {
            Self::StateMachine => Words {
                arn: "executionArn",
                start: "startDate",
                stop: "stopDate",
                events: "events",
                kind: "type",
                time: "timestamp",
            },
            Self::DurableFunction => Words {
                arn: "durableExecutionArn",
                start: "startTimestamp",
                stop: "endTimestamp",
                events: "Events",
                kind: "EventType",
                time: "EventTimestamp",
            },
        }
    }

    /// A time of a status event.
    fn time(self, seconds: f64) -> Value {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "of today")]
        let millis = (seconds * 1000.0).round() as u64;
        match self {
            Self::StateMachine => json!(millis),
            Self::DurableFunction => json!(wire::timestamp::rfc3339_millis(millis * 1_000_000)),
        }
    }
}

/// The executions of a run, and how each of them ends.
fn all(root: &Path) -> anyhow::Result<Vec<SentExecution>> {
    let now = two_minutes_ago() / 1_000_000_000;
    let read = |kind, name, end| SentExecution::read(root, kind, now, name, end);
    Ok(vec![
        // It fails, and succeeds after a redrive. Its history goes on under the same ARN.
        read(Kind::StateMachine, "first", "ExecutionFailed")?,
        read(Kind::StateMachine, "first", "ExecutionSucceeded")?,
        read(Kind::StateMachine, "second", "ExecutionFailed")?,
        // EventBridge may deliver an event twice.
        read(Kind::DurableFunction, "first", "ExecutionSucceeded")?,
        read(Kind::DurableFunction, "first", "ExecutionSucceeded")?,
        read(Kind::DurableFunction, "second", "ExecutionTimedOut")?,
    ])
}

impl SentExecution {
    /// Reads a fixture as the history of an execution of this name up to its end. If the fixture has no such end, its last event
    /// becomes it.
    fn read(
        root: &Path,
        kind: Kind,
        now_seconds: u64,
        name: &str,
        end: &str,
    ) -> anyhow::Result<Self> {
        let words = kind.words();
        let path = root.join(format!("tests/fixtures/executions/{}.json", kind.fixture()));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // Each execution has an ARN of its own.
        let text = text.replace("7c1f", name).replace("order-7", name);
        let mut fixture: Value = serde_json::from_str(&text)?;
        let mut history = fixture.get_mut("history").map(Value::take).context("no history")?;
        let mut event = fixture.get_mut("status").map(Value::take).context("no status")?;
        let events = history.get_mut(words.events).and_then(Value::as_array_mut);
        let events = events.context("no events")?;
        let is_end = |event: &Value| event.get(words.kind).is_some_and(|kind| kind == end);
        let seconds = |event: Option<&Value>| {
            event.and_then(|event| event.get(words.time)?.as_f64()).context("no time")
        };
        let last = seconds(events.last())?;
        if let Some(at) = events.iter().position(is_end) {
            events.truncate(at + 1);
        }
        let start = seconds(events.first())?;
        let stop = seconds(events.last())?;
        #[expect(clippy::cast_precision_loss, reason = "whole seconds")]
        let shift = now_seconds as f64 - last.ceil();
        shift_times(&mut history, shift, start);
        if let Some(last) =
            history.get_mut(words.events).and_then(|it| it.as_array_mut()?.last_mut())
            && !is_end(last)
            && let Some(members) = last.as_object_mut()
        {
            members.insert(words.kind.to_owned(), end.into());
        }
        let status = match end {
            "ExecutionSucceeded" => "SUCCEEDED",
            "ExecutionFailed" => "FAILED",
            _ => "TIMED_OUT",
        };
        let detail = event.get_mut("detail").and_then(Value::as_object_mut).context("no detail")?;
        detail.insert("status".to_owned(), status.into());
        detail.insert(words.start.to_owned(), kind.time(start + shift));
        detail.insert(words.stop.to_owned(), kind.time(stop + shift));
        let arn = detail.get(words.arn).and_then(Value::as_str).context("no ARN")?.to_owned();
        Ok(Self { kind, arn, status, seconds: stop - start, event, history })
    }

    fn is_failed(&self) -> bool {
        self.status != "SUCCEEDED"
    }

    /// The message of the queue.
    fn message(&self) -> Value {
        json!({ "Records": [{
            "messageId": "m", "receiptHandle": "r", "body": self.event.to_string(),
            "eventSource": "aws:sqs", "eventSourceARN": QUEUE, "awsRegion": "eu-west-1",
            "attributes": { "ApproximateReceiveCount": "1" },
        }] })
    }
}

/// Moves all times from the start of the fixture on.
fn shift_times(value: &mut Value, shift: f64, start: f64) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|it| shift_times(it, shift, start)),
        Value::Object(map) => map.values_mut().for_each(|it| shift_times(it, shift, start)),
        Value::Number(number) => {
            let time = number.as_f64().filter(|time| *time >= start);
            if let Some(time) = time {
                *value = json!(((time + shift) * 1000.0).round() / 1000.0);
            }
        }
        _ => {}
    }
}

/// Answers `GetExecutionHistory`, `GetDurableExecutionHistory` and `GetDurableExecution` about the execution that has just ended.
struct Histories {
    server: HttpServer,
    current: Arc<Mutex<Value>>,
}

impl Histories {
    async fn start() -> std::io::Result<Self> {
        let current = Arc::<Mutex<Value>>::default();
        let answer = async |history: Arc<Mutex<Value>>, request: Request<Incoming>| {
            let is_history = request.headers().contains_key("x-amz-target")
                || request.uri().path().ends_with("/history");
            request.into_body().collect().await?;
            let answer = if is_history {
                history.lock().unwrap_or_else(PoisonError::into_inner).to_string()
            } else {
                "{}".to_owned()
            };
            Ok(Response::new(Full::<Bytes>::from(answer)))
        };
        Ok(Self { server: serve(Arc::clone(&current), answer).await?, current })
    }

    fn set(&self, history: &Value) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = history.clone();
    }
}

pub(super) async fn send(
    senders: &Senders<'_>,
    organization: &str,
    root: &Path,
) -> anyhow::Result<()> {
    let histories = Histories::start().await?;
    let url = format!("http://{}", histories.server.address());
    for execution in all(root)? {
        histories.set(&execution.history);
        let variables = [("LAMBDA_OTLP_EXECUTIONS_QUEUE_ARN", QUEUE), ("AWS_ENDPOINT_URL", &url)];
        let event = execution.message();
        let answer = senders.answer_with(organization, &variables, &event).await?;
        ensure!(!answer.contains("itemIdentifier"), "{}: {answer}", execution.arn);
    }
    Ok(())
}

/// Returns the differences between the panels' figures and those of the executions.
pub(super) async fn check(
    server: &Server,
    organization: &str,
    root: &Path,
) -> anyhow::Result<Vec<String>> {
    let ask = async |panel: &str| -> anyhow::Result<Vec<Columns>> {
        let query = panels::query(root, "traces", panel).context("no such panel")?;
        server.search(organization, &query.signal, &query.asked).await
    };
    // An execution that was redriven, or whose event came twice, counts once.
    let mut ended = all(root)?;
    ended.reverse();
    let mut seen = std::collections::BTreeSet::new();
    ended.retain(|execution| seen.insert(execution.arn.clone()));
    let mut differences = Vec::new();
    let mut compare = |what: String, sent: String, shown: String| {
        println!("executions: {what}: sent {sent}, shown {shown}");
        if sent != shown {
            differences.push(format!("executions: {what}: sent {sent}, shown {shown}"));
        }
    };
    let rows = ask("executions").await?;
    for (name, kind, shown_kind) in [
        (MACHINE, Kind::StateMachine, "state machine"),
        (DURABLE, Kind::DurableFunction, "durable function"),
    ] {
        let of_kind = || ended.iter().filter(|execution| execution.kind == kind);
        let failed = of_kind().filter(|execution| execution.is_failed()).count();
        let longest = of_kind().map(|execution| execution.seconds).fold(0.0, f64::max);
        let row = rows.iter().find(|row| row.get("x_axis_1").is_some_and(|it| it == name));
        let row = row.cloned().unwrap_or_default();
        let text = |column: &str| row.get(column).map(ToString::to_string).unwrap_or_default();
        let number = |column: &str| row.get(column).and_then(Value::as_f64).unwrap_or(f64::NAN);
        compare(format!("kind of {name}"), json!(shown_kind).to_string(), text("x_axis_2"));
        compare(format!("number of {name}"), of_kind().count().to_string(), text("x_axis_3"));
        compare(format!("failed of {name}"), failed.to_string(), text("x_axis_4"));
        let [sent, shown] = [longest, number("x_axis_7")].map(|seconds| format!("{seconds:.3} s"));
        compare(format!("longest of {name}"), sent, shown);
    }
    let count = ended.len();
    let shown: u64 = ask("executions_by_status")
        .await?
        .iter()
        .filter_map(|row| row.get("y_axis_1")?.as_u64())
        .sum();
    compare("by status".to_owned(), count.to_string(), shown.to_string());
    let mut sent: Vec<&str> =
        ended.iter().filter(|it| it.is_failed()).map(|execution| execution.status).collect();
    sent.sort_unstable();
    let failed = ask("failed_executions").await?;
    let mut shown: Vec<&str> =
        failed.iter().filter_map(|row| row.get("x_axis_4")?.as_str()).collect();
    shown.sort_unstable();
    compare("failed ones".to_owned(), sent.join(" "), shown.join(" "));
    Ok(differences)
}
