//! Requests to an OpenObserve: rows by SQL, sums by PromQL, traces, and management.

use crate::checks::unix_nanos;
use crate::serve;
use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The values of one row by column.
pub(super) type Columns = BTreeMap<String, Value>;

/// More rows than one stream of a run has.
const MAX_ROWS: u32 = 50_000;
const DAY_MICROSECONDS: u64 = 24 * 60 * 60 * 1_000_000;

/// A stream with telemetry.
#[derive(PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) signal: String,
    pub(super) name: String,
}

#[derive(Clone)]
pub(crate) struct Server {
    /// `host:port`.
    authority: String,
    pub(super) authorization: String,
}

impl Server {
    pub(crate) fn new(url: &str, user: &str, password: &str) -> anyhow::Result<Self> {
        let without_scheme = url.trim_end_matches('/').strip_prefix("http://");
        let is_authority = |text: &&str| !text.contains('/') && text.contains(':');
        let Some(authority) = without_scheme.filter(is_authority) else {
            bail!("--url {url:?} must be like http://127.0.0.1:5080");
        };
        let credentials =
            base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Ok(Self { authority: authority.to_owned(), authorization: format!("Basic {credentials}") })
    }

    /// Sends a request with these headers in place of its own ones.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Response<Bytes>> {
        let mut request = Request::builder().method(method).uri(path).body(Full::new(body))?;
        *request.headers_mut() = headers;
        serve::send(&self.authority, request).await
    }

    /// The JSON of a successful answer.
    pub(super) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, self.authorization.parse()?);
        headers.insert(http::header::CONTENT_TYPE, "application/json".parse()?);
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = self.send(method.clone(), path, headers, body.into()).await?;
        let text = String::from_utf8_lossy(answer.body());
        ensure!(answer.status().is_success(), "{method} {path}: {} {text}", answer.status());
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{method} {path}: {text}"))
    }

    /// The streams with telemetry.
    pub(super) async fn streams(&self, organization: &str) -> anyhow::Result<Vec<Stream>> {
        let answer = self.json(Method::GET, &format!("/api/{organization}/streams"), None).await?;
        let field = |stream: &Value, key: &str| {
            stream.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let listed = answer.get("list").and_then(Value::as_array).into_iter().flatten();
        let streams = listed.map(|stream| Stream {
            signal: field(stream, "stream_type"),
            name: field(stream, "name"),
        });
        // OpenObserve lists streams of its own too, for instance of the type `metadata`.
        let ours = |signal: &str| ["traces", "metrics", "logs"].contains(&signal);
        Ok(streams.filter(|stream| ours(&stream.signal)).collect())
    }

    pub(super) fn endpoint(&self, organization: &str) -> String {
        format!("http://{}/api/{organization}", self.authority)
    }

    /// Makes an organization, by an empty request.
    pub(super) async fn create(&self, organization: &str) -> anyhow::Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, self.authorization.parse()?);
        headers.insert(http::header::CONTENT_TYPE, "application/x-protobuf".parse()?);
        let path = format!("/api/{organization}/v1/logs");
        let answer = self.send(Method::POST, &path, headers, Bytes::new()).await?;
        ensure!(answer.status().is_success(), "{path}: answered {}", answer.status());
        Ok(())
    }

    /// Removes the streams of an organization. OpenObserve's API cannot remove the organization itself.
    pub(super) async fn remove(&self, organization: &str) -> anyhow::Result<()> {
        for Stream { signal, name } in self.streams(organization).await? {
            let path = format!("/api/{organization}/streams/{name}?type={signal}");
            self.json(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }

    /// The rows that an SQL query returns.
    pub(super) async fn search(
        &self,
        organization: &str,
        signal: &str,
        sql: &str,
    ) -> anyhow::Result<Vec<Columns>> {
        let (from, to) = range();
        let query = json!({"query": {
            "sql": sql, "start_time": from, "end_time": to, "from": 0, "size": MAX_ROWS,
        }});
        let path = format!("/api/{organization}/_search?type={signal}");
        let answer = self.json(Method::POST, &path, Some(&query)).await?;
        if let Some(error) = answer.get("function_error").filter(|error| is_error(error)) {
            bail!("{sql}: {error}");
        }
        let hits = answer.get("hits").cloned().unwrap_or_default();
        serde_json::from_value(hits).with_context(|| format!("the hits of {sql}"))
    }

    /// The series that a PromQL query returns for the last hour, in steps of five minutes as in our panels.
    pub(super) async fn promql(
        &self,
        organization: &str,
        query: &str,
    ) -> anyhow::Result<Vec<Value>> {
        const STEP_SECONDS: u64 = 300;
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        // OpenObserve rounds the end down to a step, which would leave out the newest points.
        let end = unix_nanos() / 1_000_000_000 + STEP_SECONDS;
        let start = end - 60 * 60;
        let path = format!(
            "/api/{organization}/prometheus/api/v1/query_range?query={query}&start={start}&end={end}&step={STEP_SECONDS}"
        );
        let answer = self.json(Method::GET, &path, None).await?;
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        result.cloned().with_context(|| format!("no result: {answer}"))
    }
}

fn is_error(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => list.iter().any(is_error),
        _ => true,
    }
}

/// The time from the fixtures' metrics, which keep their times, to tomorrow, in microseconds since 1970.
pub(super) fn range() -> (u64, u64) {
    const FIXTURES_MICROSECONDS: u64 = 1_767_225_600_000_000;
    (FIXTURES_MICROSECONDS, unix_nanos() / 1000 + DAY_MICROSECONDS)
}
