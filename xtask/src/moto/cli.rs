//! The command line on moto: redrive from a queue and from a bucket, replay of a log group, doctor of a deployed function.

#![expect(
    clippy::indexing_slicing,
    reason = "what a JSON value does not have is null, and no panic"
)]

use super::Workshop;
use super::aws::{ACCOUNT, Moto, REGION};
use super::front::Front;
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
    let moto = match Moto::start(&workshop.root, &workshop.environment, "http://127.0.0.1:1") {
        Ok(moto) => moto,
        Err(error) => return tally.note("command line", Err(error)),
    };
    let stand = Stand { workshop, moto };
    tally.note("redrive from the dead-letter queue", stand.redrive_queue().await);
    tally.note("redrive from the on-failure bucket", stand.redrive_bucket().await);
    tally.note("replay of a log group", stand.replay().await);
    tally.note("doctor of a deployed function", stand.doctor().await);
    tally.note("tail of log groups", stand.tail().await);
    tally.note("tail of a stack", stand.tail_of_stack().await);
}

struct Stand<'a> {
    workshop: &'a Workshop,
    moto: Moto,
}

impl Stand<'_> {
    /// Runs `lambda-otlp … --json`: its exit code and what it prints.
    async fn run(&self, arguments: &[&str], endpoint: &str) -> anyhow::Result<(i32, Value)> {
        self.run_with(arguments, endpoint, &self.moto.endpoint).await
    }

    /// The same with CloudWatch Logs elsewhere.
    async fn run_with(
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

    async fn queue(&self, name: &str) -> anyhow::Result<String> {
        let created = self.moto.sqs("CreateQueue", &json!({ "QueueName": name })).await?;
        Ok(created["QueueUrl"].as_str().context("no queue")?.to_owned())
    }

    /// Bodies of up to ten messages that anyone may receive.
    async fn received(&self, url: &str) -> anyhow::Result<Vec<String>> {
        let ask = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0 });
        let answer = self.moto.sqs("ReceiveMessage", &ask).await?;
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        Ok(messages.iter().filter_map(|m| m["Body"].as_str().map(str::to_owned)).collect())
    }

    async fn redrive_queue(&self) -> anyhow::Result<String> {
        let (dead, retry) = (self.queue("dead").await?, self.queue("retry").await?);
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
        let retry = self.queue("retry-of-bucket").await?;
        let region = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        );
        self.moto.put_s3(&format!("/{BUCKET}"), &region).await?;
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

    async fn replay(&self) -> anyhow::Result<String> {
        // The spans of the fixture are as old as it.
        let sink = Sink::builder().no_window().start().await?;
        create_function(&self.moto, FUNCTION).await?;
        let event = log_batch(self.workshop, "text-mixed")?;
        subscribe(&self.moto, &event).await?;
        // The function runs nowhere: what arrives comes of the replay.
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

    /// A group with one log event that is an OTLP line, and one that is none.
    async fn write(&self, group: &str, trace_id: &str, text: &str) -> anyhow::Result<()> {
        let span = json!({
            "traceId": trace_id, "spanId": "b7ad6b7169203331", "name": "work",
            "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000001000000",
        });
        let line = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] });
        let event = json!({
            "logGroup": group, "logStream": "2026/11/21/[$LATEST]0123456789abcdef0123456789abcdef",
            "logEvents": [{ "message": line.to_string() }, { "message": text }],
        });
        for (operation, names) in [
            ("CreateLogGroup", json!({ "logGroupName": group })),
            (
                "CreateLogStream",
                json!({ "logGroupName": group, "logStreamName": event["logStream"] }),
            ),
        ] {
            // It may be there already.
            self.moto.call("logs", &format!("Logs_20140328.{operation}"), &names).await.ok();
        }
        put(&self.moto, &event).await
    }

    async fn tail(&self) -> anyhow::Result<String> {
        let trace = |number: u32| format!("{number:032x}");
        self.write("/aws/lambda/tail-a", &trace(1), "first words").await?;
        let follow = ["--log-group", "/aws/lambda/tail-*", "--since", "5m"];
        let texts = ["first words", "second words", "other words"];
        let written = async {
            // The first two rounds are over by then: what follows is read because the group is followed.
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
        ensure!(
            self.fails(&["tail", "--log-group", "no-such"]).await?.contains("no log group no-such")
        );
        Ok("two groups, each trace and each line once, while they are written to".to_owned())
    }

    /// What is said by a command that fails.
    async fn fails(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.workshop.command_line);
        let command = command.args(arguments).env_clear().envs(self.moto.variables());
        let output = command.output().await?;
        ensure!(output.status.code() == Some(64), "{arguments:?}: {}", output.status);
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    async fn tail_of_stack(&self) -> anyhow::Result<String> {
        let group = "/of-a-stack/tail";
        let resources = json!({ "Group": {
            "Type": "AWS::Logs::LogGroup", "Properties": { "LogGroupName": group },
        } });
        let template = json!({ "Resources": resources }).to_string();
        let create = [
            ("Action", "CreateStack"),
            ("Version", "2010-05-15"),
            ("StackName", "shop"),
            ("TemplateBody", &template),
        ];
        self.moto.query("cloudformation", &create).await?;
        self.write(group, &format!("{:032x}", 5), "words of the stack").await?;
        let follow = ["--stack", "shop", "--since", "5m"];
        self.followed(&follow, &["words of the stack"]).await?;
        Ok("the log group that the stack made".to_owned())
    }

    /// Of the function and the log group that `replay` made.
    async fn doctor(&self) -> anyhow::Result<String> {
        let sink = Sink::start().await?;
        let event = log_batch(self.workshop, "text-mixed")?;
        let group = event["logGroup"].as_str().context("no group")?;
        let doctor = ["doctor", "--canary", "--function", FUNCTION, "--log-group", group];
        let front = Front::start(&self.moto, "").await?;
        let run = async || self.run_with(&doctor, sink.base(), &front.endpoint).await;
        let (code, before) = run().await?;
        ensure!(code == 1 && verdict(&before, "permission") == "failed", "{before}");
        let permission = json!({
            "StatementId": "logs", "Action": "lambda:InvokeFunction",
            "Principal": "logs.amazonaws.com", "SourceAccount": ACCOUNT,
        });
        let path = format!("/2015-03-31/functions/{FUNCTION}/policy");
        self.moto.lambda(Method::POST, &path, &permission).await?;
        let (_, after) = run().await?;
        for name in ["permission", "subscription", "canary", "organization"] {
            ensure!(verdict(&after, name) == "ok", "{name}: {after}");
        }
        // As deployed, and without a backend in this shell: settings and backend are the function's.
        let queue = self.queue("waiting").await?;
        let variables =
            json!({ "LAMBDA_OTLP_ENDPOINT": sink.base(), "LAMBDA_OTLP_RETRY_QUEUE_URL": queue });
        let path = format!("/2015-03-31/functions/{FUNCTION}/configuration");
        let variables = json!({ "Environment": { "Variables": variables } });
        self.moto.lambda(Method::PUT, &path, &variables).await?;
        let (code, deployed) = self.run_with(&doctor, "", &front.endpoint).await?;
        for name in ["settings", "canary", "queue", "subscription"] {
            ensure!(verdict(&deployed, name) == "ok", "{name}: {deployed}");
        }
        ensure!(code == 0, "{deployed}");
        // A policy of the account that leads to the forwarder too, and then alone.
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}");
        let document = json!({ "DestinationArn": arn, "FilterPattern": "" }).to_string();
        front.set_account_policies(vec![json!({
            "policyName": "all", "policyType": "SUBSCRIPTION_FILTER_POLICY", "policyDocument": document,
            "selectionCriteria": r#"LogGroupName NOT IN ["/lambda-otlp/x/forwarder"]"#,
        })]);
        let (_, twice) = run().await?;
        ensure!(verdict(&twice, "subscription") == "failed", "{twice}");
        let filters = json!({ "logGroupName": group });
        let target = "Logs_20140328.DescribeSubscriptionFilters";
        let filters = self.moto.call("logs", target, &filters).await?;
        for filter in filters["subscriptionFilters"].as_array().into_iter().flatten() {
            let delete = json!({ "logGroupName": group, "filterName": filter["filterName"] });
            self.moto.call("logs", "Logs_20140328.DeleteSubscriptionFilter", &delete).await?;
        }
        let (_, by_policy) = run().await?;
        ensure!(verdict(&by_policy, "subscription") == "ok", "{by_policy}");
        Ok("permission, subscription by a filter and by the account's policy, canary".to_owned())
    }
}

/// The worst verdict on what has this name.
fn verdict<'a>(checks: &'a Value, name: &str) -> &'a str {
    let all: Vec<&str> = checks
        .as_array()
        .into_iter()
        .flatten()
        .filter(|check| check["name"] == name)
        .filter_map(|check| check["verdict"].as_str())
        .collect();
    let worst = ["failed", "warning", "ok"].into_iter().find(|verdict| all.contains(verdict));
    worst.unwrap_or("not there")
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
