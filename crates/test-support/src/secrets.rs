//! A stand-in for Secrets Manager and the parameter store: one secret, which a test may change or take away.

use crate::lock;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use local_lambda::HttpServer;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

#[derive(Clone, Debug)]
pub enum SecretAnswer {
    Value(String),
    /// `AccessDeniedException`.
    Denied,
    /// Nothing, ever.
    Hangs,
}

/// Both services at one address, for `AWS_ENDPOINT_URL`. Signatures are not checked.
#[derive(Debug)]
pub struct SecretServer {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    answer: SecretAnswer,
    asked: Vec<String>,
}

impl SecretServer {
    /// Answers so until the answer is changed, or the server dropped.
    pub async fn start(answer: SecretAnswer) -> std::io::Result<Self> {
        let state = Arc::new(Mutex::new(State { answer, asked: Vec::new() }));
        let same = Arc::clone(&state);
        let handle = move |request| respond(Arc::clone(&same), request);
        let server = HttpServer::start(handle).await?;
        Ok(Self { server, state })
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: SecretAnswer) {
        lock(&self.state).answer = answer;
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The operations that were asked for: `GetSecretValue`.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }
}

async fn respond(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.split('.').nth(1)).unwrap_or_default();
    let answer = {
        let mut state = lock(&state);
        state.asked.push(operation.to_owned());
        state.answer.clone()
    };
    let (status, body) = match answer {
        SecretAnswer::Value(value) if operation == "GetParameter" => {
            (200, json!({ "Parameter": { "Value": value } }))
        }
        SecretAnswer::Value(value) => (200, json!({ "SecretString": value })),
        SecretAnswer::Denied => {
            let message = "User: arn:aws:sts::1:assumed-role/f is not authorized to perform this";
            (400, json!({ "__type": "AccessDeniedException", "Message": message }))
        }
        SecretAnswer::Hangs => std::future::pending().await,
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}
