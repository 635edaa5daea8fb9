//! moto's server as a process, and calls of the APIs that it stands in for.

use crate::pypi::Environment;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;

pub(super) const REGION: &str = "eu-west-1";
pub(super) const ACCOUNT: &str = "123456789012";

pub(crate) struct Moto {
    process: Child,
    /// `http://127.0.0.1:PORT`
    pub(crate) endpoint: String,
}

impl Moto {
    /// Starts it; its functions run in the local Lambda at this address.
    pub(super) fn start(
        root: &Path,
        environment: &Environment,
        lambda: &str,
    ) -> anyhow::Result<Self> {
        let mut server = environment.script(&root.join("crates/xtask/src/moto/server.py"));
        server.arg(lambda);
        Self::started(server)
    }

    /// Starts moto for stacks, whose functions never run, with a bucket `artifacts`.
    pub(crate) fn of_stacks(root: &Path, environment: &Environment) -> anyhow::Result<Self> {
        Self::started(environment.script(&root.join("crates/xtask/src/moto/stack_server.py")))
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
        let request =
            self.request(service, Method::POST, "/", "application/x-amz-json-1.1", body)?;
        let request = request.header("x-amz-target", target);
        send(request, body).await.with_context(|| target.to_owned())
    }

    pub(super) async fn sqs(&self, operation: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.request("sqs", Method::POST, "/", "application/x-amz-json-1.0", body)?;
        let request = request.header("x-amz-target", format!("AmazonSQS.{operation}"));
        send(request, body).await.with_context(|| operation.to_owned())
    }

    /// Calls an operation of AWS's query protocol, which answers in XML.
    pub(super) async fn query(&self, service: &str, form: &[(&str, &str)]) -> anyhow::Result<()> {
        let form: Vec<String> =
            form.iter().map(|(key, value)| format!("{key}={}", percent(value))).collect();
        let body = form.join("&");
        let kind = "application/x-www-form-urlencoded";
        let request = self.request_of(service, Method::POST, "/", kind, &body)?;
        send_bytes(request, &body).await.map(drop)
    }

    /// Puts a bucket (`/name`) or an object (`/name/key`) of S3.
    pub(super) async fn put_s3(&self, path: &str, body: &str) -> anyhow::Result<()> {
        let request = self.request_of("s3", Method::PUT, path, "application/octet-stream", body)?;
        send_text(request, body).await.with_context(|| path.to_owned()).map(drop)
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

    pub(super) async fn lambda(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        send(self.request("lambda", method, path, "application/json", body)?, body)
            .await
            .with_context(|| path.to_owned())
    }

    /// moto reads the service from the signature's scope, and checks no signature.
    fn request(
        &self,
        service: &str,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> anyhow::Result<http::request::Builder> {
        self.request_of(service, method, path, content_type, &body.to_string())
    }

    fn request_of(
        &self,
        service: &str,
        method: Method,
        path: &str,
        content_type: &str,
        body: &str,
    ) -> anyhow::Result<http::request::Builder> {
        let uri: Uri = format!("{}{path}", self.endpoint).parse()?;
        let host = uri.authority().context("no address")?.to_string();
        let scope =
            format!("AWS4-HMAC-SHA256 Credential=x/20261120/{REGION}/{service}/aws4_request");
        let authorization = format!("{scope}, SignedHeaders=host, Signature=x");
        let length = body.len();
        Ok(Request::builder()
            .method(method)
            .uri(uri)
            .header("host", host)
            .header("content-type", content_type)
            .header("content-length", length)
            .header("authorization", authorization))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn send(request: http::request::Builder, body: &Value) -> anyhow::Result<Value> {
    send_text(request, &body.to_string()).await
}

/// Everything but letters and digits as `%XX`.
fn percent(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escaped).collect()
}

async fn send_text(request: http::request::Builder, body: &str) -> anyhow::Result<Value> {
    let answer = send_bytes(request, body).await?;
    if answer.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&answer)?) }
}

async fn send_bytes(request: http::request::Builder, body: &str) -> anyhow::Result<Bytes> {
    let request = request.body(Full::new(Bytes::from(body.to_owned())))?;
    let address = request.headers().get("host").context("no address")?.to_str()?.to_owned();
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    if !status.is_success() {
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}
