//! A stand-in for the two APIs that have the histories of executions, after AWS's service models of Step Functions and Lambda.

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use local_lambda::HttpServer;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

/// A call, with what an answer depends on.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// `AWSStepFunctions.GetExecutionHistory`, or method and path.
    pub(crate) operation: String,
    /// The members of the body, or the parameters of the query.
    pub(crate) input: Value,
}

impl Call {
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.input.get(key).and_then(Value::as_str)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status and body.
    Is(u16, String),
    Never,
}

pub(crate) struct StandIn {
    calls: Arc<Mutex<Vec<Call>>>,
    server: HttpServer,
}

impl StandIn {
    /// Answers each call, which has a number from 0.
    pub(crate) async fn start(
        answer: impl Fn(usize, &Call) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let noted = Arc::clone(&calls);
        let answer = Arc::new(answer);
        let handle = move |request| {
            let noted = Arc::clone(&noted);
            let answer = Arc::clone(&answer);
            async move {
                let call = read(request).await;
                let number = {
                    let mut noted = noted.lock().unwrap();
                    noted.push(call.clone());
                    noted.len() - 1
                };
                let Answer::Is(status, body) = answer(number, &call) else {
                    return std::future::pending().await;
                };
                let response = Response::builder().status(status);
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from(body)).unwrap())
            }
        };
        Self { calls, server: HttpServer::listen(0, handle).await.unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

async fn read(request: Request<Incoming>) -> Call {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let is_signed = head.headers.get("authorization").is_some_and(|value| {
        value.to_str().unwrap().starts_with("AWS4-HMAC-SHA256 Credential=id/")
    });
    assert!(is_signed, "{:?}", head.headers);
    if let Some(target) = head.headers.get("x-amz-target") {
        let operation = target.to_str().unwrap().to_owned();
        return Call { operation, input: serde_json::from_slice(&body).unwrap() };
    }
    let pairs = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let input = pairs.map(|(key, value)| (key.into_owned(), json!(value))).collect();
    Call { operation: format!("{} {}", head.method, head.uri.path()), input: Value::Object(input) }
}

pub(crate) fn refusal(status: u16, code: &str) -> Answer {
    Answer::Is(status, json!({ "__type": code, "message": "no" }).to_string())
}

pub(crate) fn page(events: &[Value], next: Option<&str>) -> Answer {
    let mut page = json!({ "events": events });
    if let Some(next) = next {
        page["nextToken"] = json!(next);
    }
    Answer::Is(200, page.to_string())
}

pub(crate) fn durable_page(events: &[Value], next: Option<&str>) -> Answer {
    let mut page = json!({ "Events": events });
    if let Some(next) = next {
        page["NextMarker"] = json!(next);
    }
    Answer::Is(200, page.to_string())
}
