//! Fires each alert into a receiver of its own.

use super::server::Server;
use crate::serve::serve;
use anyhow::ensure;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use local_lambda::{HttpServer, lock};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The name of the template and of the destination in OpenObserve.
const NAME: &str = "lambda_otlp_check";

/// OpenObserve checks a new alert within its next scheduler interval, by default 10 s.
const MAX_TRIES: usize = 90;

pub(super) struct Receiver {
    /// The names of alerts that have notified.
    fired: Arc<Mutex<BTreeSet<String>>>,
    _http: HttpServer,
}

impl Receiver {
    /// Starts the receiver, and makes it an alert destination of this organization; returns its name too.
    pub(super) async fn start(
        server: &Server,
        organization: &str,
    ) -> anyhow::Result<(Self, &'static str)> {
        let fired = Arc::new(Mutex::default());
        let http = serve(Arc::clone(&fired), receive).await?;
        let post = async |path: &str, body: Value| {
            let path = format!("/api/{organization}/alerts/{path}");
            server.json(Method::POST, &path, Some(&body)).await
        };
        let body = json!({"alert": "{alert_name}"}).to_string();
        post("templates", json!({"name": NAME, "body": body, "type": "http", "title": ""})).await?;
        let destination = json!({
            "name": NAME, "type": "http", "url": format!("http://{}/", http.address()), "method": "post",
            "template": NAME, "skip_tls_verify": false, "headers": {},
        });
        post("destinations", destination).await?;
        Ok((Self { fired, _http: http }, NAME))
    }

    /// Removes the destination from OpenObserve.
    pub(super) async fn remove(server: &Server, organization: &str) -> anyhow::Result<()> {
        for kind in ["destinations", "templates"] {
            let path = format!("/api/{organization}/alerts/{kind}/{NAME}");
            server.json(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }

    /// Waits until all alerts of the organization have notified; returns their number.
    pub(super) async fn all(&self, server: &Server, organization: &str) -> anyhow::Result<usize> {
        let path = format!("/api/v2/{organization}/alerts");
        let answer = server.json(Method::GET, &path, None).await?;
        let listed = answer.get("list").and_then(Value::as_array).into_iter().flatten();
        let name = |alert: &Value| alert.get("name")?.as_str().map(str::to_owned);
        let alerts: BTreeSet<String> = listed.filter_map(name).collect();
        ensure!(!alerts.is_empty(), "no alert is installed: {answer}");
        let mut silent = Vec::new();
        for _ in 0..MAX_TRIES {
            {
                let fired = lock(&self.fired);
                silent = alerts.difference(&fired).cloned().collect();
            }
            if silent.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        ensure!(silent.is_empty(), "alerts did not notify: {}", silent.join(", "));
        Ok(alerts.len())
    }
}

async fn receive(
    fired: Arc<Mutex<BTreeSet<String>>>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let notification: Value = serde_json::from_slice(&body)?;
    let alert = notification.get("alert").and_then(Value::as_str).map(str::to_owned);
    lock(&fired).extend(alert);
    Ok(Response::new(Full::default()))
}
