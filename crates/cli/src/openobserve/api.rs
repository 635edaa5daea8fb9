//! OpenObserve's API for folders, dashboards, alerts and streams.

use super::shipped::Kind;
use anyhow::{Context as _, anyhow, bail};
use backend::Client;
use console::reach::{self, Reach};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use wire::Request;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A dashboard of a hundred panels has about 200 kB.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

#[derive(Clone, Copy)]
enum Paths {
    /// `/api/{org}/…`
    First,
    /// `/api/v2/{org}/…`
    Second,
}

/// A dashboard or alert in OpenObserve.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) name: String,
    /// `false` for a paused alert; dashboards have no such value.
    pub(super) enabled: Option<Value>,
    /// A change of a dashboard must include its hash.
    hash: String,
}

pub(super) struct Api {
    reach: Reach,
    /// `/prefix/api` and `organization`.
    base: (String, String),
}

impl Api {
    pub(super) fn new(reach: Reach) -> anyhow::Result<Self> {
        let base = reach::beside(&reach, "x").and_then(|url| {
            let (api, organization) = url.path().strip_suffix("/x")?.rsplit_once('/')?;
            (!organization.is_empty()).then(|| (api.to_owned(), organization.to_owned()))
        });
        let base = base.context("the endpoint must end in /api/{organization}")?;
        Ok(Self { reach, base })
    }

    fn url(&self, paths: Paths, path: &str) -> anyhow::Result<Url> {
        let mut url = reach::beside(&self.reach, path).context("the endpoint is not a base URL")?;
        let (api, organization) = &self.base;
        if let Paths::Second = paths {
            let (path, _) = path.split_once('?').unwrap_or((path, ""));
            url.set_path(&format!("{api}/v2/{organization}/{path}"));
        }
        Ok(url)
    }

    /// Sends a request, and returns the answer as JSON if possible.
    async fn send(
        &self,
        method: Method,
        paths: Paths,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let url = self.url(paths, path)?;
        let (body, headers) = (body.map(Value::to_string), self.reach.headers.clone());
        let asked = self.reach.transport.call(
            method,
            &url,
            body,
            headers,
            REQUEST_TIMEOUT,
            MAX_ANSWER_BYTES,
        );
        let answer = asked.await.map_err(|error| anyhow!("{error}"))?;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = String::from_utf8_lossy(&answer.body);
        let message = json.get("message").and_then(Value::as_str).unwrap_or(&text);
        match answer.status {
            200..=299 => Ok(json),
            status @ (401 | 403) => bail!(
                "answered {status}: these credentials may not manage dashboards and alerts. A passcode or ingestion token may only write: use the email and password of a user"
            ),
            404 if message.contains("Organization") => {
                bail!("answered 404: there is no organization {}", self.base.1)
            }
            404 if message.starts_with("Alert destination") => bail!(
                "answered 404: {}: create it on OpenObserve's page Management, Alert destinations",
                self.reach.printable(message)
            ),
            404 => bail!(
                "answered 404: {}: is this OpenObserve, and does the endpoint end in /api/{{organization}}?",
                self.reach.printable(message)
            ),
            status if json.is_null() => bail!(
                "{} answered {status} without JSON, perhaps a proxy's page; check --endpoint: {}",
                self.reach.printable(&format!("{}{}", url.authority(), url.path())),
                self.reach.printable(message)
            ),
            status => bail!("answered {status}: {}", self.reach.printable(message)),
        }
    }

    /// Returns the id of the folder with this name, and `true` if its description says that we made it.
    pub(super) async fn folder(
        &self,
        kind: Kind,
        name: &str,
    ) -> anyhow::Result<Option<(String, bool)>> {
        let path = format!("folders/{}", kind.name());
        let answer = self.send(Method::GET, Paths::Second, &path, None).await?;
        let folders = answer.get("list").and_then(Value::as_array);
        let folders =
            folders.context("the answer is not a list of folders: is this OpenObserve?")?;
        let found = folders.iter().find(|folder| text(folder, "name") == name);
        Ok(found.map(|folder| {
            (text(folder, "folderId").to_owned(), text(folder, "description") == FOLDER)
        }))
    }

    pub(super) async fn create_folder(&self, kind: Kind, name: &str) -> anyhow::Result<String> {
        let body = json!({"name": name, "description": FOLDER});
        let path = format!("folders/{}", kind.name());
        let answer = self.send(Method::POST, Paths::Second, &path, Some(&body)).await?;
        Ok(text(&answer, "folderId").to_owned())
    }

    pub(super) async fn delete_folder(&self, kind: Kind, id: &str) -> anyhow::Result<()> {
        let path = format!("folders/{}/{id}", kind.name());
        self.send(Method::DELETE, Paths::Second, &path, None).await.map(drop)
    }

    pub(super) async fn list(&self, kind: Kind, folder: &str) -> anyhow::Result<Vec<Found>> {
        let path = format!("{}?folder={folder}", kind.name());
        let answer = self.send(Method::GET, paths(kind), &path, None).await?;
        let (list, id) = match kind {
            Kind::Dashboards => ("dashboards", "dashboard_id"),
            Kind::Alerts => ("list", "alert_id"),
        };
        let list = answer.get(list).and_then(Value::as_array);
        let list = list.with_context(|| format!("the answer is not a list of {}", kind.name()))?;
        let found = list.iter().map(|item| Found {
            id: text(item, id).to_owned(),
            name: text(item, kind.name_key()).to_owned(),
            enabled: item.get("enabled").cloned(),
            hash: text(item, "hash").to_owned(),
        });
        Ok(found.collect())
    }

    pub(super) async fn create(
        &self,
        kind: Kind,
        folder: &str,
        content: &Value,
    ) -> anyhow::Result<()> {
        let path = format!("{}?folder={folder}", kind.name());
        self.send(Method::POST, paths(kind), &path, Some(content)).await.map(drop)
    }

    pub(super) async fn update(
        &self,
        kind: Kind,
        folder: &str,
        Found { id, hash, .. }: &Found,
        content: &Value,
    ) -> anyhow::Result<()> {
        let path = format!("{}/{id}?folder={folder}&hash={hash}", kind.name());
        self.send(Method::PUT, paths(kind), &path, Some(content)).await.map(drop)
    }

    pub(super) async fn delete(&self, kind: Kind, folder: &str, id: &str) -> anyhow::Result<()> {
        let path = format!("{}/{id}?folder={folder}", kind.name());
        self.send(Method::DELETE, paths(kind), &path, None).await.map(drop)
    }

    pub(super) async fn metric_streams(&self) -> anyhow::Result<BTreeSet<String>> {
        let answer = self.send(Method::GET, Paths::First, "streams?type=metrics", None).await?;
        let list = answer
            .get("list")
            .and_then(Value::as_array)
            .context("the answer is not a list of streams")?;
        Ok(list.iter().map(|stream| text(stream, "name").to_owned()).collect())
    }

    pub(super) async fn export(&self, request: Request) -> anyhow::Result<()> {
        let client = Client::new(&self.reach.destination)?;
        let outcome = client.export(None, request, Instant::now() + REQUEST_TIMEOUT).await;
        match outcome.parts.first() {
            Some(part) => bail!("{}", part.reason),
            None => Ok(()),
        }
    }
}

const FOLDER: &str = "Made by lambda-otlp";

fn paths(kind: Kind) -> Paths {
    match kind {
        Kind::Dashboards => Paths::First,
        Kind::Alerts => Paths::Second,
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}
