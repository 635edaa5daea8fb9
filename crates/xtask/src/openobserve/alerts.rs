//! Fires each alert into a receiver of its own: for one function, and for another one during the silence about the first.

use super::senders::{Round, Senders};
use super::server::Server;
use crate::serve::serve;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use local_lambda::{HttpServer, lock};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The name of the template and of the destination in OpenObserve.
const NAME: &str = "lambda_otlp_check";

/// Each alert runs once a minute here. A server with other work runs them minutes later.
const MAX_SECONDS: usize = 400;

/// The role whose failures each alert notifies of (`Round::name`).
const ROLES: [(&str, &str); 12] = [
    ("lambda_cost_jump", "slow"),
    ("lambda_error_share", "failed"),
    ("lambda_memory_nearly_full", "failed"),
    ("lambda_near_timeout", "near"),
    ("lambda_new_error", "slow"),
    ("lambda_no_invocations", "gone"),
    ("lambda_out_of_memory", "failed"),
    ("lambda_p95_rise", "slow"),
    ("lambda_timeouts", "failed"),
    ("pipeline_dead_letters", "forwarder"),
    ("pipeline_lag", "forwarder"),
    ("pipeline_parked", "forwarder"),
];

/// This alert has no state for each error, and repeats a new one once.
const REPEATS: &str = "lambda_new_error";

/// A function that no alert is to notify of: one of its hundred invocations failed.
const DILUTED: &str = "diluted";

/// Sends failures, and then those of the second round. Returns the number of alerts. All of them have to notify of both rounds,
/// once each, with the function's name.
pub(super) async fn check(
    server: &Server,
    senders: &Senders<'_>,
    organization: &str,
) -> anyhow::Result<usize> {
    let receiver = AlertReceiver::start(server, organization).await?;
    let endpoint = server.endpoint(organization);
    senders.diluted(organization, DILUTED).await?;
    senders.install(&endpoint, &["alerts", "install", "--notify", NAME]).await?;
    let slos = ["slos", "install", "--notify", NAME];
    senders.install(&endpoint, &slos).await?;
    senders.install(&endpoint, &["slos", "remove"]).await?;
    run_each_minute(server, organization).await?;
    receiver.wait_for(Round::First).await?;
    senders.failures(organization, Round::Second).await?;
    senders.changes(organization, Round::Second).await?;
    receiver.wait_for(Round::Second).await?;
    receiver.check_notifications()?;
    senders.install(&endpoint, &["alerts", "remove"]).await?;
    AlertReceiver::remove(server, organization).await?;
    Ok(ROLES.len())
}

/// Shortens the intervals of all alerts, and leaves their windows and silences.
async fn run_each_minute(server: &Server, organization: &str) -> anyhow::Result<()> {
    let path = format!("/api/v2/{organization}/alerts");
    let answer = server.json(Method::GET, &path, None).await?;
    let listed = answer.get("list").and_then(Value::as_array).context("no list of alerts")?;
    ensure!(listed.len() == ROLES.len(), "{} alerts are installed: {answer}", listed.len());
    for alert in listed {
        let id = alert.get("alert_id").and_then(Value::as_str).context("an alert without id")?;
        let path = format!("{path}/{id}");
        let mut alert = server.json(Method::GET, &path, None).await?;
        let frequency = alert.pointer_mut("/trigger_condition/frequency").context("no interval")?;
        *frequency = json!(1);
        server.json(Method::PUT, &path, Some(&alert)).await?;
    }
    Ok(())
}

struct AlertReceiver {
    /// The rows of each notification, by the name of the alert.
    notifications: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    _http: HttpServer,
}

impl AlertReceiver {
    /// Starts the receiver, and makes it an alert destination of this organization.
    async fn start(server: &Server, organization: &str) -> anyhow::Result<Self> {
        let notifications = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let http = serve(Arc::clone(&notifications), receive).await?;
        let post = async |path: &str, body: Value| {
            let path = format!("/api/{organization}/alerts/{path}");
            server.json(Method::POST, &path, Some(&body)).await
        };
        let body = json!({"alert": "{alert_name}", "rows": "{rows}"}).to_string();
        post("templates", json!({"name": NAME, "body": body, "type": "http", "title": ""})).await?;
        let destination = json!({
            "name": NAME, "type": "http", "url": format!("http://{}/", http.address()), "method": "post",
            "template": NAME, "skip_tls_verify": false, "headers": {},
        });
        post("destinations", destination).await?;
        Ok(Self { notifications, _http: http })
    }

    /// Removes the destination from OpenObserve.
    async fn remove(server: &Server, organization: &str) -> anyhow::Result<()> {
        for kind in ["destinations", "templates"] {
            let path = format!("/api/{organization}/alerts/{kind}/{NAME}");
            server.json(Method::DELETE, &path, None).await?;
        }
        Ok(())
    }

    /// The number of an alert's notifications that name this function.
    fn count(&self, alert: &str, function: &str) -> usize {
        let row = format!("{function}: ");
        let notifications = lock(&self.notifications);
        let rows = notifications.get(alert).into_iter().flatten();
        rows.filter(|rows| rows.contains(&row)).count()
    }

    /// Waits until all alerts have notified of this round.
    async fn wait_for(&self, round: Round) -> anyhow::Result<()> {
        let mut silent = Vec::new();
        for _ in 0..MAX_SECONDS {
            silent.clear();
            for (alert, role) in ROLES {
                let function = round.name(role);
                if self.count(alert, &function) == 0 {
                    silent.push(format!("{alert} of {function}"));
                }
            }
            if silent.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let received = lock(&self.notifications);
        anyhow::bail!("alerts did not notify: {}; received: {received:?}", silent.join(", "))
    }

    /// Checks that no alert has repeated itself in its silence, or notified of the function whose share of errors is small.
    fn check_notifications(&self) -> anyhow::Result<()> {
        for (alert, role) in ROLES.into_iter().filter(|(alert, _)| *alert != REPEATS) {
            for function in [Round::First.name(role), Round::Second.name(role)] {
                let times = self.count(alert, &function);
                ensure!(times == 1, "{alert} notified {times} times of {function}");
            }
        }
        let alarms = self.count("lambda_error_share", DILUTED);
        ensure!(alarms == 0, "lambda_error_share notified of 1 error in 100 invocations");
        Ok(())
    }
}

async fn receive(
    notifications: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let notification: Value = serde_json::from_slice(&body)
        .with_context(|| format!("a notification without JSON: {body:?}"))?;
    let alert = notification.get("alert").and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = notification.get("rows").map(Value::to_string).unwrap_or_default();
    lock(&notifications).entry(alert).or_default().push(rows);
    Ok(Response::new(Full::default()))
}
