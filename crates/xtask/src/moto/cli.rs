//! The command line on moto: redrive from a queue and from a bucket, replay and tail of log groups.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::Workshop;
use super::aws::{ACCOUNT, Moto, REGION};
use super::subscription::{FUNCTION, create_function, log_batch, put, subscribe};
use crate::checks::Tally;
use anyhow::{Context as _, ensure};
use forwarder::{Content, LogEventRange, MAX_MESSAGE_BYTES, Origin, Parked};
use http::Method;
use serde_json::{Value, json};
use simulator::sink::Sink;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

const BUCKET: &str = "on-failure";
const REASON: &str = "answered 503";

pub(super) async fn check(workshop: &Workshop, tally: &mut Tally) {
    let stand = match Stand::start(workshop) {
        Ok(stand) => stand,
        Err(error) => return tally.note("command line", Err(error)),
    };
    tally.note("redrive from the dead-letter queue", stand.redrive_queue().await);
    tally.note("redrive from the on-failure bucket", stand.redrive_bucket().await);
    tally.note("redrive of a stack, and of swapped queues", stand.redrive_stack().await);
    tally.note("replay of a log group", stand.replay().await);
    tally.note("tail of log groups", stand.tail().await);
    tally.note("tail of a stack", stand.tail_of_stack().await);
}

/// The command line, and moto as the AWS that it asks.
pub(super) struct Stand<'a> {
    pub(super) workshop: &'a Workshop,
    pub(super) moto: Moto,
}

impl<'a> Stand<'a> {
    pub(super) fn start(workshop: &'a Workshop) -> anyhow::Result<Self> {
        let moto = Moto::start(workshop, None)?;
        Ok(Self { workshop, moto })
    }

    /// Runs `lambda-otlp … --json`, and returns its exit code and output.
    pub(super) async fn run(
        &self,
        arguments: &[&str],
        endpoint: &str,
    ) -> anyhow::Result<(i32, Value)> {
        self.run_with(arguments, endpoint, &self.moto.endpoint).await
    }

    pub(super) async fn run_with(
        &self,
        arguments: &[&str],
        endpoint: &str,
        logs: &str,
    ) -> anyhow::Result<(i32, Value)> {
        let mut command = Command::new(&self.workshop.command_line);
        let command = command.args(arguments).arg("--json").env_clear().envs(self.moto.variables());
        let command = command.env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs);
        let output = command.env("LAMBDA_OTLP_ENDPOINT", endpoint).output().await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let printed = serde_json::from_slice(&output.stdout).with_context(|| said)?;
        Ok((output.status.code().unwrap_or(-1), printed))
    }

    /// Bodies of up to ten messages that anyone may receive.
    pub(super) async fn received(&self, url: &str) -> anyhow::Result<Vec<String>> {
        let ask = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0 });
        let answer = self.moto.sqs("ReceiveMessage", &ask).await?;
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        Ok(messages.iter().filter_map(|m| m["Body"].as_str().map(str::to_owned)).collect())
    }

    pub(super) async fn fails(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.workshop.command_line);
        let command = command.args(arguments).env_clear().envs(self.moto.variables());
        let output = command.output().await?;
        ensure!(output.status.code() == Some(64), "{arguments:?}: {}", output.status);
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub(super) async fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        let region = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        self.moto.put_s3(&format!("/{name}"), &region).await
    }

    /// Writes lines into a log group, which is made if it is not there.
    pub(super) async fn write_lines(&self, group: &str, lines: &[&str]) -> anyhow::Result<()> {
        let stream = "2026/11/21/[$LATEST]0123456789abcdef0123456789abcdef";
        let events: Vec<Value> = lines.iter().map(|line| json!({ "message": line })).collect();
        let event = json!({ "logGroup": group, "logStream": stream, "logEvents": events });
        for (operation, names) in [
            ("CreateLogGroup", json!({ "logGroupName": group })),
            ("CreateLogStream", json!({ "logGroupName": group, "logStreamName": stream })),
        ] {
            // It may be there already.
            self.moto.call("logs", &format!("Logs_20140328.{operation}"), &names).await.ok();
        }
        put(&self.moto, &event).await
    }
}

impl Stand<'_> {
    async fn redrive_queue(&self) -> anyhow::Result<String> {
        let (dead, retry) =
            (self.moto.create_queue("dead").await?, self.moto.create_queue("retry").await?);
        for reason in [REASON, REASON, "answered 400"] {
            let (messages, _) = line(reason).into_messages(MAX_MESSAGE_BYTES);
            let body = &messages.first().context("no message")?.body;
            let send = json!({ "QueueUrl": dead, "MessageBody": body });
            self.moto.sqs("SendMessage", &send).await?;
        }
        let dry = ["redrive", "--from", &dead, "--to", &retry, "--reason", "503"];
        let (code, printed) = self.run(&dry, "").await?;
        ensure!(code == 0 && printed["redriven"][0]["messages"] == 2, "dry run: {printed}");
        ensure!(self.received(&retry).await?.is_empty(), "a dry run sends nothing");
        ensure!(self.received(&dead).await?.len() == 3, "a dry run leaves all visible");
        let (code, printed) = self.run(&[&dry[..], &["--yes"]].concat(), "").await?;
        ensure!(code == 0 && printed["skipped"][0]["messages"] == 1, "{printed}");
        let (sent, left) = (self.received(&retry).await?, self.received(&dead).await?);
        ensure!((sent.len(), left.len()) == (2, 1), "{} sent, {} left", sent.len(), left.len());
        for body in &sent {
            let parked = Parked::from_body(body)?;
            ensure!(parked.reason == REASON && parked.first_seen_unix_nano > 3, "{parked:?}");
        }
        Ok("2 of 3 messages sent again, the other one is visible".to_owned())
    }

    async fn redrive_bucket(&self) -> anyhow::Result<String> {
        let retry = self.moto.create_queue("retry-of-bucket").await?;
        self.create_bucket(BUCKET).await?;
        let file = self.workshop.root.join("tests/fixtures/events/awslogs-text-mixed.json");
        let event: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        let context = json!({ "condition": "RetriesExhausted" });
        let record = json!({ "requestContext": context, "requestPayload": event }).to_string();
        self.moto.put_s3(&format!("/{BUCKET}/aws/lambda/one"), &record).await?;
        self.moto.put_s3(&format!("/{BUCKET}/aws/lambda/other"), "{}").await?;
        let redrive = ["redrive", "--bucket", BUCKET, "--to", &retry, "--yes"];
        let (code, printed) = self.run(&redrive, "").await?;
        ensure!(code == 1 && printed["unreadable"][0]["messages"] == 1, "{printed}");
        let sent = self.received(&retry).await?;
        let sent: Value = serde_json::from_str(sent.first().context("nothing was sent")?)?;
        ensure!(sent == event, "another event was sent");
        let (_, again) = self.run(&redrive, "").await?;
        ensure!(again["redriven"].as_array().is_some_and(Vec::is_empty), "not deleted: {again}");
        Ok("the event is in the queue and its object gone; another object stays".to_owned())
    }

    async fn redrive_stack(&self) -> anyhow::Result<String> {
        let dead = self.moto.create_queue("dead-of-stack").await?;
        let target = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:dead-of-stack");
        let policy = json!({ "deadLetterTargetArn": target, "maxReceiveCount": 1000 }).to_string();
        let create =
            json!({ "QueueName": "retry-of-stack", "Attributes": { "RedrivePolicy": policy } });
        let created = self.moto.sqs("CreateQueue", &create).await?;
        let retry = created["QueueUrl"].as_str().context("no queue")?.to_owned();
        let (messages, _) = line(REASON).into_messages(MAX_MESSAGE_BYTES);
        let body = &messages.first().context("no message")?.body;
        let send = json!({ "QueueUrl": retry, "MessageBody": body });
        self.moto.sqs("SendMessage", &send).await?;
        // The pending message stays in its queue.
        let swapped = ["redrive", "--from", &retry, "--to", &dead, "--yes"];
        let said = self.fails(&swapped).await?;
        ensure!(said.contains("--from and --to are swapped"), "{said}");
        let said = self.fails(&["redrive", "--bucket", BUCKET, "--to", &dead, "--yes"]).await?;
        ensure!(said.contains(&format!("use --to {retry}")), "{said}");
        ensure!(self.received(&retry).await?.len() == 1, "a pending message was moved");
        ensure!(self.received(&dead).await?.is_empty(), "the dead-letter queue has a message");

        // CloudFormation truncates the stack's name in a function's name, which has at most 64 characters.
        let stack = "lambda-otlp-of-a-team-with-a-very-long-name-production";
        let function = "lambda-otlp-of-a-team-with-a-very-ForwarderFunction-1A2B3C4D5E6F";
        self.create_stack(stack, &stack_with(function)).await?;
        let variables = json!({
            "LAMBDA_OTLP_RETRY_QUEUE_URL": retry, "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL": dead,
        });
        let path = format!("/2015-03-31/functions/{function}/configuration");
        let variables = json!({ "Environment": { "Variables": variables } });
        self.moto.lambda(Method::PUT, &path, &variables).await?;
        let send = json!({ "QueueUrl": dead, "MessageBody": body });
        self.moto.sqs("SendMessage", &send).await?;
        let (code, printed) = self.run(&["redrive", "--stack", stack, "--yes"], "").await?;
        ensure!(code == 0 && printed["redriven"][0]["messages"] == 1, "{printed}");
        ensure!(self.received(&dead).await?.is_empty(), "it is still a dead letter");
        ensure!(self.received(&retry).await?.len() == 2, "it is not in the retry queue");
        let said = self.fails(&["redrive", "--stack", "none"]).await?;
        let place = format!("in region {REGION}, account {ACCOUNT}");
        ensure!(said.contains(&place), "{said}");
        Ok("swapped queues are refused; the stack names its own".to_owned())
    }

    async fn replay(&self) -> anyhow::Result<String> {
        // The spans of the fixture are as old as it.
        let sink = Sink::builder().no_window().start().await?;
        create_function(&self.moto, FUNCTION).await?;
        let event = log_batch(self.workshop, "text-mixed")?;
        subscribe(&self.moto, &event).await?;
        // The function does not run, so the replay sent all items.
        put(&self.moto, &event).await.ok();
        let group = event["logGroup"].as_str().context("no group")?;
        let replay = ["replay", group, "--from", "1h"];
        let dry = [&replay[..], &["--dry-run"]].concat();
        let (code, printed) = self.run(&dry, sink.base()).await?;
        let count = event["logEvents"].as_array().map_or(0, Vec::len);
        ensure!(code == 0 && printed["events"] == count, "dry run: {printed}");
        ensure!(sink.counts().requests == 0, "a dry run sends nothing");
        let (code, printed) = self.run(&replay, sink.base()).await?;
        let counts = sink.counts();
        let items = counts.spans + counts.log_records + counts.data_points;
        ensure!(code == 0 && printed["accepted"] == items && items > 0, "{printed}, {counts:?}");
        Ok(format!("{count} log events, {items} items"))
    }

    /// Follows a log group that is written to meanwhile, until each of these texts was printed once.
    async fn followed(&self, arguments: &[&str], texts: &[&str]) -> anyhow::Result<Vec<Value>> {
        let mut command = Command::new(&self.workshop.command_line);
        let command = command.arg("tail").args(arguments).arg("--json").env_clear();
        let command = command.envs(self.moto.variables()).stdin(Stdio::null()).kill_on_drop(true);
        let mut tail = command.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(tail.stdout.take().context("no output")?).lines();
        let mut printed: Vec<String> = Vec::new();
        while !texts.iter().all(|text| printed.iter().any(|line| line.contains(text))) {
            let next = tokio::time::timeout(Duration::from_mins(1), lines.next_line()).await;
            let line = next.with_context(|| format!("nothing more after {printed:?}"))??;
            printed.push(line.with_context(|| format!("it ended after {printed:?}"))?);
        }
        let pid = tail.id().context("it ended")?.to_string();
        Command::new("kill").args(["-INT", &pid]).status().await?;
        while let Some(line) = lines.next_line().await? {
            printed.push(line);
        }
        ensure!(tail.wait().await?.success(), "tail failed at Ctrl-C");
        for text in texts {
            let times = printed.iter().map(|line| line.matches(text).count()).sum::<usize>();
            ensure!(times == 1, "{text} is shown {times} times: {printed:?}");
        }
        Ok(printed.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?)
    }

    /// A group with two log events, one of them an OTLP line.
    async fn write(&self, group: &str, trace_id: &str, text: &str) -> anyhow::Result<()> {
        let span = json!({
            "traceId": trace_id, "spanId": "b7ad6b7169203331", "name": "work",
            "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000001000000",
        });
        let line = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] });
        self.write_lines(group, &[&line.to_string(), text]).await
    }

    async fn tail(&self) -> anyhow::Result<String> {
        let trace = |number: u32| format!("{number:032x}");
        self.write("/aws/lambda/tail-a", &trace(1), "first words").await?;
        let follow = ["--log-group", "/aws/lambda/tail-*", "--since", "5m"];
        let texts = ["first words", "second words", "other words"];
        let written = async {
            // The first two rounds are over by then, so later events are read by `--follow`.
            tokio::time::sleep(Duration::from_secs(3)).await;
            self.write("/aws/lambda/tail-a", &trace(2), "second words").await
        };
        self.write("/aws/lambda/tail-b", &trace(3), "other words").await?;
        self.write("/aws/lambda/other-tail", &trace(4), "of another group").await?;
        let (followed, written) = tokio::join!(self.followed(&follow, &texts), written);
        written?;
        let followed = followed?;
        let traces = followed.iter().filter_map(|object| object["trace"]["traceId"].as_str());
        let mut traces: Vec<&str> = traces.collect();
        traces.sort_unstable();
        ensure!(traces == [trace(1), trace(2), trace(3)], "{traces:?}");
        let missing =
            format!("there is no log group no-such in region {REGION}, account {ACCOUNT}");
        for command in [
            &["tail", "--log-group", "no-such"][..],
            &["replay", "no-such", "--from", "1h", "--dry-run"],
        ] {
            let said = self.fails(command).await?;
            ensure!(said.contains(&missing), "{command:?}: {said}");
        }
        Ok("two groups, each trace and each line once, while they are written to".to_owned())
    }

    pub(super) async fn create_stack(&self, name: &str, resources: &Value) -> anyhow::Result<()> {
        let template = json!({ "Resources": resources }).to_string();
        let create = [
            ("Action", "CreateStack"),
            ("Version", "2010-05-15"),
            ("StackName", name),
            ("TemplateBody", &template),
        ];
        self.moto.query("cloudformation", &create).await.map(drop)
    }

    async fn tail_of_stack(&self) -> anyhow::Result<String> {
        let group = "/of-a-stack/tail";
        let resources = json!({ "Group": {
            "Type": "AWS::Logs::LogGroup", "Properties": { "LogGroupName": group },
        } });
        self.create_stack("shop", &resources).await?;
        self.write(group, &format!("{:032x}", 5), "words of the stack").await?;
        let follow = ["--stack", "shop", "--since", "5m"];
        self.followed(&follow, &["words of the stack"]).await?;
        Ok("the log group that the stack made".to_owned())
    }
}

/// The resources of a stack whose forwarder has this name.
fn stack_with(function: &str) -> Value {
    json!({ "ForwarderFunction": function_resource(function) })
}

pub(super) fn function_resource(function: &str) -> Value {
    json!({
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": function, "Runtime": "provided.al2023", "Handler": "bootstrap",
            "Role": format!("arn:aws:iam::{ACCOUNT}:role/forwarder"),
            "Code": { "ZipFile": "none" },
        },
    })
}

fn line(reason: &str) -> Parked {
    let content =
        Content::Line { event_id: "1".to_owned(), timestamp_ms: 1, line: "{}".to_owned() };
    Parked {
        destination: "default".to_owned(),
        stream: None,
        content,
        items: 1,
        oldest_unix_nano: 1,
        newest_unix_nano: 2,
        first_seen_unix_nano: 3,
        reason: reason.to_owned(),
        partial: false,
        log_events: LogEventRange {
            origin: Origin::new("", "", "/aws/lambda/orders", ""),
            ..LogEventRange::default()
        },
    }
}
