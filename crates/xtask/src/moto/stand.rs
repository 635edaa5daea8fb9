//! The command line as a process beside moto.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::Workshop;
use super::aws::{Moto, REGION};
use super::subscription::put;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

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
