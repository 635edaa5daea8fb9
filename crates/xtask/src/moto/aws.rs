//! moto's server as a process, and calls of the APIs that it stands in for.

use super::Workshop;
use crate::serve::{percent_encoded, send};
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use simulator::Lambda;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

pub(super) const REGION: &str = "eu-west-1";
pub(super) const ACCOUNT: &str = "123456789012";

pub(super) struct Moto {
    process: Child,
    /// `http://127.0.0.1:PORT`
    pub(super) endpoint: String,
}

impl Moto {
    /// Starts it. Its functions run in the local Lambda, or nowhere.
    pub(super) fn start(workshop: &Workshop, lambda: Option<&Lambda>) -> anyhow::Result<Self> {
        let script = workshop.root.join("crates/xtask/src/moto/server.py");
        let mut server = workshop.environment.script(&script);
        let address =
            lambda.map_or("127.0.0.1:1".to_owned(), |lambda| lambda.endpoint().to_string());
        server.arg(format!("http://{address}"));
        Self::started(server)
    }

    fn started(mut server: Command) -> anyhow::Result<Self> {
        let mut process = server
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run moto")?;
        let mut endpoint = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut endpoint)?;
        let endpoint = endpoint.trim().to_owned();
        let moto = Self { process, endpoint };
        if moto.endpoint.is_empty() {
            bail!("moto ended before it listened");
        }
        Ok(moto)
    }

    /// Calls an operation of a service with a JSON protocol, such as `Logs_20140328.PutLogEvents` of `logs`.
    pub(super) async fn call(
        &self,
        service: &str,
        target: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let version = if service == "sqs" { "1.0" } else { "1.1" };
        let content_type = format!("application/x-amz-json-{version}");
        let headers = [("content-type", content_type.as_str()), ("x-amz-target", target)];
        let answer = self.send(service, Method::POST, "/", &headers, body.to_string()).await;
        json(&answer.with_context(|| target.to_owned())?)
    }

    pub(super) async fn sqs(&self, operation: &str, body: &Value) -> anyhow::Result<Value> {
        self.call("sqs", &format!("AmazonSQS.{operation}"), body).await
    }

    /// Makes a queue; returns its URL.
    pub(super) async fn create_queue(&self, name: &str) -> anyhow::Result<String> {
        let created = self.sqs("CreateQueue", &json!({ "QueueName": name })).await?;
        Ok(created.get("QueueUrl").and_then(Value::as_str).context("no queue")?.to_owned())
    }

    /// Calls an operation of AWS's query protocol, which answers in XML.
    pub(super) async fn query(&self, service: &str, form: &[(&str, &str)]) -> anyhow::Result<()> {
        let pair = |(key, value): &(&str, &str)| format!("{key}={}", percent_encoded(value));
        let body = form.iter().map(pair).collect::<Vec<_>>().join("&");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send(service, Method::POST, "/", &headers, body).await.map(drop)
    }

    /// Puts a bucket (`/name`) or an object (`/name/key`) of S3.
    pub(super) async fn put_s3(&self, path: &str, body: &str) -> anyhow::Result<()> {
        let headers = [("content-type", "application/octet-stream")];
        let put = self.send("s3", Method::PUT, path, &headers, body.to_owned()).await;
        put.with_context(|| path.to_owned()).map(drop)
    }

    pub(super) async fn lambda(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let headers = [("content-type", "application/json")];
        let answer = self.send("lambda", method, path, &headers, body.to_string()).await;
        json(&answer.with_context(|| path.to_owned())?)
    }

    /// moto reads the service from the signature's scope, and checks no signature.
    async fn send(
        &self,
        service: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> anyhow::Result<Bytes> {
        let scope =
            format!("AWS4-HMAC-SHA256 Credential=x/20261120/{REGION}/{service}/aws4_request");
        let authorization = format!("{scope}, SignedHeaders=host, Signature=x");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers.iter().chain(&[("authorization", authorization.as_str())]) {
            request = request.header(*name, *value);
        }
        let authority = self.endpoint.strip_prefix("http://").context("no address")?;
        let answer = send(authority, request.body(Full::from(body))?).await?;
        let (status, body) = (answer.status(), answer.into_body());
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// The variables by which a function finds it instead of AWS.
    pub(super) fn variables(&self) -> HashMap<String, String> {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT_URL", &self.endpoint),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn json(answer: &Bytes) -> anyhow::Result<Value> {
    if answer.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(answer)?) }
}
