//! The subscriber on moto: 500 log groups with tags and pages, throttling, filters of others, through a stack's life; and the
//! same from the command line.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::Workshop;
use super::aws::{ACCOUNT, Moto, REGION};
use super::front::Front;
use super::queues::receive;
use super::subscription::create_function;
use crate::checks::Tally;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use simulator::{FunctionSpec, InvocationResult, Lambda};
use std::time::Duration;
use tokio::process::Command;

const FORWARDER: &str = "forwarder";
const AUDIT: &str = "audit";
const STREAM: &str = "logs";
const OURS: &str = "lambda-otlp/forwarder";
/// All of them below `/aws/lambda/`; every other one has the tag.
const LOG_GROUPS: usize = 500;
const TAG: (&str, &str) = ("team", "shop");
const INFREQUENT_ACCESS: &str = "/aws/lambda/f-000";
const WITH_ONE_OTHER: &str = "/aws/lambda/f-002";
const WITH_TWO_OTHERS: &str = "/aws/lambda/f-004";

pub(super) async fn check(workshop: &Workshop, tally: &mut Tally) {
    let stand = match Stand::new(workshop).await {
        Ok(stand) => stand,
        Err(error) => return tally.note("subscriber", Err(error)),
    };
    tally.note("subscribe --dry-run", stand.dry_run().await);
    tally.note("subscriber, create", stand.create().await);
    tally.note("subscriber, again by the schedule", stand.again().await);
    tally.note("subscriber, a new log group", stand.new_log_group().await);
    tally.note("subscriber, update", stand.update().await);
    tally.note("subscriber, into a stream and back", stand.stream().await);
    tally.note("subscriber, delete", stand.delete().await);
    tally.note("subscribe and unsubscribe", stand.command_line().await);
    stand.lambda.shut_down().await;
}

struct Stand<'a> {
    workshop: &'a Workshop,
    moto: Moto,
    front: Front,
    lambda: Lambda,
    retry_queue: String,
}

fn arn(function: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}")
}

fn stream_arn() -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{STREAM}")
}

fn role_arn() -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/subscription")
}

/// The properties `Include`, `Tags` and so on of the custom resource and the function.
struct Wanted {
    function: &'static str,
    include: &'static str,
    exclude: &'static str,
    tags: &'static str,
    collect: &'static str,
    /// The destination kind: `true` if log groups are sent to a stream.
    stream: bool,
}

const FIRST: Wanted = Wanted {
    function: "subscriber",
    include: "/aws/lambda/*",
    exclude: "",
    tags: "team=shop",
    collect: "all",
    stream: false,
};
const SECOND: Wanted = Wanted {
    function: "subscriber-updated",
    include: "/aws/lambda/f-0*",
    exclude: "*9*",
    collect: "telemetry",
    ..FIRST
};
const THIRD: Wanted = Wanted { function: "subscriber-stream", stream: true, ..SECOND };

impl Wanted {
    fn properties(&self) -> Value {
        let (stream, role) = self.stream();
        json!({
            "Include": self.include, "Tags": self.tags, "Destination": arn(FORWARDER),
            "KinesisStream": stream, "KinesisRole": role,
        })
    }

    fn stream(&self) -> (String, String) {
        if self.stream { (stream_arn(), role_arn()) } else { (String::new(), String::new()) }
    }
}

impl<'a> Stand<'a> {
    async fn new(workshop: &'a Workshop) -> anyhow::Result<Self> {
        let lambda = Lambda::start().await?;
        let moto = Moto::start(workshop, None)?;
        let front = Front::start(&moto, INFREQUENT_ACCESS).await?;
        for function in [FORWARDER, AUDIT] {
            create_function(&moto, function).await?;
        }
        let retry_queue = moto.create_queue("retry").await?;
        let stream = json!({ "StreamName": STREAM, "ShardCount": 1 });
        moto.call("kinesis", "Kinesis_20131202.CreateStream", &stream).await?;
        for wanted in [FIRST, SECOND, THIRD] {
            let (stream, role) = wanted.stream();
            lambda.create_function(
                FunctionSpec::new(wanted.function, &workshop.subscriber)
                    .timeout(Duration::from_mins(10))
                    .region(REGION)
                    .env("LAMBDA_OTLP_DESTINATION", arn(FORWARDER))
                    .env("LAMBDA_OTLP_INCLUDE", wanted.include)
                    .env("LAMBDA_OTLP_EXCLUDE", wanted.exclude)
                    .env("LAMBDA_OTLP_TAGS", wanted.tags)
                    .env("LAMBDA_OTLP_COLLECT", wanted.collect)
                    .env("LAMBDA_OTLP_KINESIS_STREAM", stream)
                    .env("LAMBDA_OTLP_KINESIS_ROLE", role)
                    .env("LAMBDA_OTLP_RETRY_QUEUE_URL", &retry_queue)
                    .env("AWS_ENDPOINT_URL_SQS", &moto.endpoint)
                    .env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", &front.endpoint),
            )?;
        }
        let stand = Self { workshop, moto, front, lambda, retry_queue };
        for number in 0..LOG_GROUPS {
            let tags = if number % 2 == 0 { json!({ TAG.0: TAG.1 }) } else { json!({}) };
            stand.log_group(&format!("/aws/lambda/f-{number:03}"), &tags).await?;
        }
        for own in ["/lambda-otlp/stack/forwarder", "/aws/lambda/forwarder"] {
            stand.log_group(own, &json!({ TAG.0: TAG.1 })).await?;
        }
        for (group, filter) in
            [(WITH_ONE_OTHER, "a"), (WITH_TWO_OTHERS, "a"), (WITH_TWO_OTHERS, "b")]
        {
            let filter = json!({
                "logGroupName": group, "filterName": filter, "filterPattern": "",
                "destinationArn": arn(AUDIT),
            });
            stand.logs("PutSubscriptionFilter", &filter).await?;
        }
        Ok(stand)
    }

    async fn logs(&self, operation: &str, body: &Value) -> anyhow::Result<Value> {
        self.moto.call("logs", &format!("Logs_20140328.{operation}"), body).await
    }

    async fn log_group(&self, name: &str, tags: &Value) -> anyhow::Result<()> {
        let group = json!({ "logGroupName": name, "tags": tags });
        self.logs("CreateLogGroup", &group).await.map(drop)
    }

    /// The names of a log group's filters, and the pattern of ours.
    async fn filters(&self, group: &str) -> anyhow::Result<(Vec<String>, Option<String>)> {
        let body = json!({ "logGroupName": group });
        let described = self.logs("DescribeSubscriptionFilters", &body).await?;
        let filters = described["subscriptionFilters"].as_array().cloned().unwrap_or_default();
        let text =
            |filter: &Value, name: &str| filter[name].as_str().unwrap_or_default().to_owned();
        let ours = filters.iter().find(|filter| filter["filterName"] == OURS);
        let pattern = ours.map(|filter| text(filter, "filterPattern"));
        Ok((filters.iter().map(|filter| text(filter, "filterName")).collect(), pattern))
    }

    /// How many log groups have our filter, after it was looked at that no other filter is gone or new.
    async fn subscribed(&self) -> anyhow::Result<usize> {
        let mut subscribed = 0;
        for number in 0..LOG_GROUPS {
            let group = format!("/aws/lambda/f-{number:03}");
            let (names, ours) = self.filters(&group).await?;
            let others: Vec<&str> =
                names.iter().map(String::as_str).filter(|name| *name != OURS).collect();
            let expected: &[&str] = match group.as_str() {
                WITH_ONE_OTHER => &["a"],
                WITH_TWO_OTHERS => &["a", "b"],
                _ => &[],
            };
            ensure!(others == expected, "{group} has the filters {names:?}");
            subscribed += usize::from(ours.is_some());
        }
        for own in ["/lambda-otlp/stack/forwarder", "/aws/lambda/forwarder"] {
            ensure!(self.filters(own).await?.0.is_empty(), "{own} is subscribed");
        }
        Ok(subscribed)
    }

    async fn invoke(&self, function: &str, event: &Value) -> anyhow::Result<Value> {
        let invocation = self.lambda.invoke(function, event.to_string()).await?;
        match invocation.result {
            InvocationResult::Response(response) => Ok(serde_json::from_slice(&response)?),
            other => anyhow::bail!("{function} ended with {other:?}"),
        }
    }

    /// The answer to CloudFormation's request: the sums.
    async fn request(&self, wanted: &Wanted, kind: &str, rest: &Value) -> anyhow::Result<Value> {
        let mut event = json!({
            "RequestType": kind, "ResponseURL": self.front.response_url(), "RequestId": kind,
            "StackId": format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/o2/1"),
            "LogicalResourceId": "Subscriptions", "ResourceProperties": wanted.properties(),
        });
        let rest = rest.as_object().cloned().unwrap_or_default();
        event.as_object_mut().context("an object")?.extend(rest);
        self.invoke(wanted.function, &event).await?;
        let answers = self.front.take_answers();
        let [answer] = answers.as_slice() else { anyhow::bail!("answers: {answers:?}") };
        ensure!(answer["Status"] == "SUCCESS", "{answer}");
        ensure!(answer["PhysicalResourceId"] == "o2-Subscriptions", "{answer}");
        ensure!(answer["RequestId"] == kind, "{answer}");
        Ok(answer["Data"].clone())
    }

    /// The calls since the last time; there may be no others than these operations, each so often and once more for each that was
    /// throttled.
    fn calls(&self, expected: &[(&str, usize)]) -> anyhow::Result<String> {
        let (calls, throttled) = self.front.take_calls();
        let made: usize = calls.values().sum();
        let wanted: usize = expected.iter().map(|(_, count)| count).sum();
        let known = calls.keys().all(|name| expected.iter().any(|(known, _)| known == name));
        ensure!(
            known && made == wanted + throttled,
            "{calls:?}, {throttled} throttled, not {expected:?}"
        );
        let calls: Vec<String> =
            calls.iter().map(|(name, count)| format!("{count} {name}")).collect();
        Ok(format!("{} ({throttled} throttled)", calls.join(", ")))
    }

    /// Runs `lambda-otlp … --json`.
    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.workshop.command_line);
        let command = command.args(arguments).args(["--destination", &arn(FORWARDER), "--json"]);
        let command = command.env_clear().envs(self.moto.variables());
        let output =
            command.env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", &self.front.endpoint).output().await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).context(said)
    }

    async fn dry_run(&self) -> anyhow::Result<String> {
        let include = ["subscribe", "--include", "/aws/lambda/", "--tag", "team=shop"];
        let report = self.run(&[&include[..], &["--dry-run"]].concat()).await?;
        ensure!(report["put"] == 247 && report["left"] == 254, "{report}");
        let (calls, _) = self.front.take_calls();
        ensure!(!calls.contains_key("PutSubscriptionFilter"), "{calls:?}");
        ensure!(self.subscribed().await? == 0, "a dry run subscribed");
        Ok("247 would be put".to_owned())
    }

    async fn create(&self) -> anyhow::Result<String> {
        let sums = self.request(&FIRST, "Create", &json!({})).await?;
        // 250 have the tag; three of them cannot be subscribed. The forwarder's own is the 501st.
        ensure!(sums["put"] == 247 && sums["log_groups"] == 501, "{sums}");
        let notable = "a filter of others: 1 (/aws/lambda/f-002); class without subscription filters: 1 (/aws/lambda/f-000); two filters of others: 1 (/aws/lambda/f-004)";
        ensure!(sums["notable"] == notable, "{sums}");
        ensure!(self.subscribed().await? == 247, "not all are subscribed");
        self.calls(&[
            ("DescribeLogGroups", 11),
            ("ListTagsForResource", 499),
            ("DescribeSubscriptionFilters", 499),
            ("PutSubscriptionFilter", 247),
        ])
    }

    async fn again(&self) -> anyhow::Result<String> {
        let sums =
            self.invoke(FIRST.function, &json!({ "detail-type": "Scheduled Event" })).await?;
        ensure!(sums["kept"] == 247 && sums["put"] == 0 && sums["updated"] == 0, "{sums}");
        self.calls(&[
            ("DescribeLogGroups", 11),
            ("ListTagsForResource", 499),
            ("DescribeSubscriptionFilters", 499),
        ])
    }

    async fn new_log_group(&self) -> anyhow::Result<String> {
        let (group, stream) = ("/aws/lambda/new", "2026/11/21/[$LATEST]0");
        self.log_group(group, &json!({ TAG.0: TAG.1 })).await?;
        let names = json!({ "logGroupName": group, "logStreamName": stream });
        self.logs("CreateLogStream", &names).await?;
        let now_ms = crate::checks::unix_nanos() / 1_000_000;
        let mut put = names;
        put["logEvents"] = json!([
            { "timestamp": now_ms, "message": "one" }, { "timestamp": now_ms + 1, "message": "two" },
        ]);
        self.logs("PutLogEvents", &put).await?;
        let event = json!({
            "detail-type": "AWS API Call via CloudTrail",
            "detail": { "eventName": "CreateLogGroup", "requestParameters": { "logGroupName": group } },
        });
        let sums = self.invoke(FIRST.function, &event).await?;
        ensure!(sums["put"] == 1 && sums["replayed_lines"] == 2, "{sums}");
        let messages = receive(&self.moto, &self.retry_queue).await?;
        let message = messages.first().context("nothing was sent to the queue")?;
        let body: Value = serde_json::from_str(message["Body"].as_str().unwrap_or_default())?;
        ensure!(body["awslogs"]["data"].is_string(), "{body}");
        // Once more: the event may come twice.
        let sums = self.invoke(FIRST.function, &event).await?;
        ensure!(sums["kept"] == 1 && sums["replayed_lines"] == 0, "{sums}");
        self.front.take_calls();
        Ok("subscribed, its two lines in the retry queue, the second event changes nothing"
            .to_owned())
    }

    async fn update(&self) -> anyhow::Result<String> {
        let rest = json!({
            "PhysicalResourceId": "o2-Subscriptions", "OldResourceProperties": FIRST.properties(),
        });
        let sums = self.request(&SECOND, "Update", &rest).await?;
        // Of f-000 to f-099 the even ones, without three that cannot be and five with a 9; the rest, and the new one, go.
        ensure!(sums["updated"] == 42 && sums["put"] == 0 && sums["removed"] == 206, "{sums}");
        ensure!(self.subscribed().await? == 42, "{} are subscribed", self.subscribed().await?);
        let (_, pattern) = self.filters("/aws/lambda/f-010").await?;
        let pattern = pattern.context("f-010 is not subscribed")?;
        ensure!(pattern.starts_with(r#"?"__otel_otlp_stdout""#), "{pattern}");
        self.front.take_calls();
        let sums = self.request(&SECOND, "Update", &rest).await?;
        ensure!(sums["kept"] == 42 && sums["removed"] == 0, "{sums}");
        let (calls, _) = self.front.take_calls();
        let changes = ["PutSubscriptionFilter", "DeleteSubscriptionFilter"];
        ensure!(changes.iter().all(|name| !calls.contains_key(*name)), "{calls:?}");
        Ok("42 updated, 206 removed; again: nothing".to_owned())
    }

    /// An update that adds a stream, and one that removes it: each filter is changed in place, and none is missing
    /// meanwhile.
    async fn stream(&self) -> anyhow::Result<String> {
        for (before, after) in [(&SECOND, &THIRD), (&THIRD, &SECOND)] {
            let rest = json!({
                "PhysicalResourceId": "o2-Subscriptions",
                "OldResourceProperties": before.properties(),
            });
            let sums = self.request(after, "Update", &rest).await?;
            ensure!(sums["updated"] == 42 && sums["put"] == 0 && sums["removed"] == 0, "{sums}");
            let (calls, _) = self.front.take_calls();
            ensure!(!calls.contains_key("DeleteSubscriptionFilter"), "{calls:?}");
            let body = json!({ "logGroupName": "/aws/lambda/f-010" });
            let described = self.logs("DescribeSubscriptionFilters", &body).await?;
            let filter = &described["subscriptionFilters"][0];
            let (stream, role) = after.stream();
            let expected = if after.stream { stream } else { arn(FORWARDER) };
            ensure!(filter["destinationArn"] == expected.as_str(), "{filter}");
            ensure!(filter["roleArn"].as_str().unwrap_or_default() == role, "{filter}");
            let sums = self.request(after, "Update", &rest).await?;
            ensure!(sums["kept"] == 42 && sums["updated"] == 0, "{sums}");
            self.front.take_calls();
        }
        Ok("42 log groups there and back, none without a filter meanwhile".to_owned())
    }

    async fn delete(&self) -> anyhow::Result<String> {
        let rest = json!({ "PhysicalResourceId": "o2-Subscriptions" });
        let sums = self.request(&SECOND, "Delete", &rest).await?;
        ensure!(sums["removed"] == 42 && sums["failed"] == 0, "{sums}");
        ensure!(self.subscribed().await? == 0, "some are still subscribed");
        let calls = self.calls(&[
            ("DescribeLogGroups", 2),
            ("DescribeSubscriptionFilters", 99),
            ("DeleteSubscriptionFilter", 42),
        ])?;
        let sums = self.request(&SECOND, "Delete", &rest).await?;
        ensure!(sums["removed"] == 0, "{sums}");
        self.front.take_calls();
        Ok(calls)
    }

    async fn command_line(&self) -> anyhow::Result<String> {
        let subscribe = ["subscribe", "--include", "/aws/lambda/f-1*", "--beside-others"];
        let report = self.run(&subscribe).await?;
        ensure!(report["put"] == 100, "{report}");
        let report = self.run(&subscribe).await?;
        ensure!(report["put"] == 0 && report["kept"] == 100, "{report}");
        ensure!(self.subscribed().await? == 100, "not as it says");
        let report = self.run(&["unsubscribe"]).await?;
        ensure!(report["removed"] == 100 && report["failed"] == 0, "{report}");
        ensure!(self.subscribed().await? == 0, "some are still subscribed");
        Ok("100 log groups and back".to_owned())
    }
}
