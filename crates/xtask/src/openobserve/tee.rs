//! A proxy in front of the server: a model of OpenObserve gets every request that the server accepted.

use super::server::Server;
use crate::serve::serve;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use local_lambda::{HttpServer, lock};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

pub(super) struct Tee {
    http: HttpServer,
    state: Arc<State>,
}

struct State {
    server: Server,
    model: Server,
    /// Ends of the paths that are answered 503.
    down: Mutex<&'static [&'static str]>,
    /// Answers of the server that the model did not give.
    differences: Mutex<Vec<String>>,
}

impl Tee {
    pub(super) async fn start(server: Server, model: Server) -> std::io::Result<Self> {
        let state = Arc::new(State {
            server,
            model,
            down: Mutex::default(),
            differences: Mutex::default(),
        });
        let http = serve(Arc::clone(&state), answer).await?;
        Ok(Self { http, state })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.http.address()
    }

    /// Answers 503 to requests whose path has one of these ends, and passes on the others.
    pub(super) fn set_down(&self, paths: &'static [&'static str]) {
        *lock(&self.state.down) = paths;
    }

    pub(super) fn take_differences(&self) -> Vec<String> {
        let mut differences = lock(&self.state.differences);
        std::mem::take(&mut *differences)
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, incoming) = request.into_parts();
    let body = incoming.collect().await?.to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let down = *lock(&state.down);
    if down.iter().any(|end| path.ends_with(end)) {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(response);
    }
    let served =
        state.server.send(head.method.clone(), path, head.headers.clone(), body.clone()).await?;
    if head.method == Method::POST {
        state.compare(path, head.headers, body, &served).await?;
    }
    Ok(served.map(Full::new))
}

impl State {
    async fn compare(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        served: &Response<Bytes>,
    ) -> anyhow::Result<()> {
        // A request that the server did not accept is sent again, or is in the log of its sender.
        let mut difference = None;
        if served.status().is_success() {
            let modelled = self.model.send(Method::POST, path, headers, body).await?;
            // Texts of partial successes differ by version; lengths tell if there is one.
            let is_same = modelled.status() == served.status()
                && modelled.body().is_empty() == served.body().is_empty();
            if !is_same {
                difference = Some(format!("answered {}", modelled.status()));
            }
        } else if !served.status().is_server_error() {
            difference = Some("was not asked".to_owned());
        }
        if let Some(model) = difference {
            let text = String::from_utf8_lossy(served.body());
            let line = format!(
                "{path}: the server answered {} {text}, the model {model}",
                served.status()
            );
            lock(&self.differences).push(line);
        }
        Ok(())
    }
}
