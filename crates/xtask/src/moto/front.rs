//! A proxy in front of moto: it counts calls, throttles some as AWS does, adds the log group class and account
//! policies that moto lacks, and receives answers for CloudFormation.

use super::aws::Moto;
use crate::serve::{send, serve};
use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The share of calls that is throttled, among those that change or describe filters.
const THROTTLED_OF: usize = 10;

pub(super) struct Front {
    /// `http://127.0.0.1:PORT`
    pub(super) endpoint: String,
    state: Arc<State>,
}

struct State {
    /// `127.0.0.1:PORT`
    moto: String,
    infrequent_access: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    calls: BTreeMap<String, usize>,
    throttled: usize,
    answers: Vec<Value>,
    account_policies: Vec<Value>,
}

impl Front {
    pub(super) async fn start(moto: &Moto, infrequent_access: &str) -> anyhow::Result<Self> {
        let moto = moto.endpoint.strip_prefix("http://").context("no address")?.to_owned();
        let infrequent_access = infrequent_access.to_owned();
        let state = Arc::new(State { moto, infrequent_access, seen: Mutex::default() });
        let answer = |state: Arc<State>, request| async move { state.answer(request).await };
        let endpoint = format!("http://{}", serve(Arc::clone(&state), answer).await?);
        Ok(Self { endpoint, state })
    }

    pub(super) fn response_url(&self) -> String {
        format!("{}/answer?X-Amz-Signature=x", self.endpoint)
    }

    /// The calls of each operation since the last time it was asked, and how many of them were throttled.
    pub(super) fn take_calls(&self) -> (BTreeMap<String, usize>, usize) {
        let mut seen = self.state.seen();
        (std::mem::take(&mut seen.calls), std::mem::take(&mut seen.throttled))
    }

    pub(super) fn set_account_policies(&self, policies: Vec<Value>) {
        self.state.seen().account_policies = policies;
    }

    /// The answers of custom resources since the last time they were asked for.
    pub(super) fn take_answers(&self) -> Vec<Value> {
        std::mem::take(&mut self.state.seen().answers)
    }
}

impl State {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        if head.method == Method::PUT && head.uri.path() == "/answer" {
            self.seen().answers.push(serde_json::from_slice(&body)?);
            return Ok(Response::default());
        }
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.split('.').next_back()).unwrap_or("none");
        let operation = operation.to_owned();
        if self.is_throttled(&operation) {
            let refusal = json!({ "__type": "ThrottlingException", "message": "Rate exceeded" });
            return Ok(Response::builder().status(400).body(Full::from(refusal.to_string()))?);
        }
        if operation == "DescribeAccountPolicies" {
            let policies = json!({ "accountPolicies": self.seen().account_policies });
            return Ok(Response::new(Full::from(policies.to_string())));
        }
        let request = Request::from_parts(head, Full::new(body));
        let (head, mut body) = send(&self.moto, request).await?.into_parts();
        if operation == "DescribeLogGroups" {
            body = self.with_class(&body)?;
        }
        Ok(Response::builder().status(head.status).body(Full::new(body))?)
    }

    fn is_throttled(&self, operation: &str) -> bool {
        let mut seen = self.seen();
        let calls = seen.calls.entry(operation.to_owned()).or_default();
        *calls += 1;
        let is_of_filters = operation.contains("SubscriptionFilter") || operation.contains("Tags");
        let is_throttled = is_of_filters && calls.is_multiple_of(THROTTLED_OF);
        seen.throttled += usize::from(is_throttled);
        is_throttled
    }

    fn with_class(&self, body: &Bytes) -> anyhow::Result<Bytes> {
        let mut page: Value = serde_json::from_slice(body)?;
        let groups = page.get_mut("logGroups").and_then(Value::as_array_mut);
        for group in groups.into_iter().flatten().filter_map(Value::as_object_mut) {
            let is_it = group.get("logGroupName").and_then(Value::as_str)
                == Some(self.infrequent_access.as_str());
            let class = if is_it { "INFREQUENT_ACCESS" } else { "STANDARD" };
            group.insert("logGroupClass".to_owned(), class.into());
        }
        Ok(page.to_string().into())
    }
}
