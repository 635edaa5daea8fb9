//! OpenObserve's API for folders, dashboards, alerts, objectives and streams.

use super::columns::{NewColumn, TIMESTAMP};
use super::shipped::ShippedKind;
use anyhow::{Context as _, anyhow, bail};
use backend::Client;
use console::reach::{self, Reach};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use wire::{Request, SignalKind};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A dashboard of a hundred panels has about 200 kB.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A dashboard, alert or objective in OpenObserve.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    pub(super) id: String,
    pub(super) name: String,
    /// `false` for a paused alert; dashboards have no such value.
    pub(super) enabled: Option<Value>,
    /// A change of a dashboard must include its hash.
    hash: String,
}

/// The API of one organization.
pub(super) struct Api {
    reach: Reach,
    /// `/prefix/api`.
    base_path: String,
    organization: String,
}

/// What OpenObserve says of a stream.
#[derive(Debug, Default)]
pub(super) struct StreamSchema {
    pub(super) columns: BTreeSet<String>,
    /// The columns of the user-defined schema. A query for any other column fails. Empty if the stream has no such schema.
    pub(super) defined: BTreeSet<String>,
    /// The longest time range of a query.
    pub(super) max_query_hours: Option<u64>,
}

/// The server has no such path.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoSuchPath(String);

impl Api {
    pub(super) fn new(reach: Reach) -> anyhow::Result<Self> {
        let split = |url: Url| {
            let (base_path, organization) = url.path().strip_suffix("/x")?.rsplit_once('/')?;
            (!organization.is_empty()).then(|| (base_path.to_owned(), organization.to_owned()))
        };
        let (base_path, organization) = reach::organization_api(&reach, "x")
            .and_then(split)
            .context("the endpoint must end in /api/{organization}")?;
        Ok(Self { reach, base_path, organization })
    }

    /// The URL of a path below `/api/{organization}`, or for `v2/…` below `/api/v2/{organization}`.
    fn url(&self, path: &str) -> anyhow::Result<Url> {
        let Self { base_path, organization, .. } = self;
        let version_2 = path.strip_prefix("v2/");
        let mut url = reach::organization_api(&self.reach, version_2.unwrap_or(path))
            .context("the endpoint is not a base URL")?;
        if let Some(path_and_query) = version_2 {
            let path = path_and_query.split('?').next().unwrap_or_default();
            url.set_path(&format!("{base_path}/v2/{organization}/{path}"));
        }
        Ok(url)
    }

    /// Sends a request, and returns the answer as JSON if possible.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        Ok(self.send_if_found(method, path, body).await??)
    }

    /// Like [`Api::send`]. For a path that the server does not have, the inner error says so.
    async fn send_if_found(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Result<Value, NoSuchPath>> {
        let url = self.url(path)?;
        let request_body = body.map(Value::to_string);
        let headers = self.reach.headers.clone();
        let transport = &self.reach.transport;
        let answer = transport
            .ask_api(method, &url, request_body, headers, REQUEST_TIMEOUT, MAX_ANSWER_BYTES)
            .await
            .map_err(|error| anyhow!(self.reach.unreachable(&error)))?;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = String::from_utf8_lossy(&answer.body);
        let message = json.get("message").and_then(Value::as_str).unwrap_or(&text);
        match answer.status {
            200..=299 => Ok(Ok(json)),
            status @ (401 | 403) => bail!(
                "answered {status}: these credentials may not manage dashboards and alerts. A passcode or ingestion token may only write: use the email and password of a user"
            ),
            status => {
                let problem = format!(
                    "{} answered {status}: {}",
                    self.reach.printable(&format!("{}{}", url.authority(), url.path())),
                    self.reach.printable(message)
                );
                if matches!(status, 404 | 405) {
                    Ok(Err(NoSuchPath(problem)))
                } else {
                    bail!(problem)
                }
            }
        }
    }

    /// Returns `false` if this version of OpenObserve has no objectives.
    pub(super) async fn has_slos(&self) -> anyhow::Result<bool> {
        let answer = self.send_if_found(Method::GET, "slos", None).await?;
        // Without the path, some versions answer with their page.
        Ok(answer.is_ok_and(|answer| answer.get("list").is_some_and(Value::is_array)))
    }

    /// Returns a stream's columns and limits; `None` if there is no such stream.
    pub(super) async fn stream_schema(
        &self,
        kind: SignalKind,
        stream: &str,
    ) -> anyhow::Result<Option<StreamSchema>> {
        let path = format!("streams/{stream}/schema?type={}", kind.as_str());
        let Ok(answer) = self.send_if_found(Method::GET, &path, None).await? else {
            return Ok(None);
        };
        let list =
            |pointer: &str| answer.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let defined = list("/settings/defined_schema_fields").filter_map(Value::as_str);
        let hours = answer.pointer("/settings/max_query_range").and_then(Value::as_u64);
        Ok(Some(StreamSchema {
            columns: list("/schema").map(|column| text(column, "name").to_owned()).collect(),
            defined: defined.map(str::to_owned).collect(),
            max_query_hours: hours.filter(|hours| *hours > 0),
        }))
    }

    /// Adds columns to the user-defined schema of a stream.
    pub(super) async fn define(
        &self,
        kind: SignalKind,
        stream: &str,
        columns: &BTreeSet<&str>,
    ) -> anyhow::Result<()> {
        let path = format!("streams/{stream}/settings?type={}", kind.as_str());
        let body = json!({ "defined_schema_fields": { "add": columns, "remove": [] } });
        self.send(Method::PUT, &path, Some(&body)).await.map(drop)
    }

    /// Declares columns of a stream, and makes the stream if it is missing. Versions before 0.16 have no such path.
    pub(super) async fn declare(
        &self,
        kind: SignalKind,
        stream: &str,
        columns: &[NewColumn],
    ) -> anyhow::Result<Result<(), NoSuchPath>> {
        let path = format!("streams/{stream}/update_fields?type={}", kind.as_str());
        let field = |column: &NewColumn| {
            let is_nullable = column.name != TIMESTAMP;
            json!({"name": column.name, "data_type": column.data_type, "nullable": is_nullable})
        };
        let body = json!({ "fields": columns.iter().map(field).collect::<Value>() });
        Ok(self.send_if_found(Method::PUT, &path, Some(&body)).await?.map(drop))
    }

    async fn list_of(&self, path: &str, key: &str) -> anyhow::Result<Vec<Value>> {
        let mut answer = self.send(Method::GET, path, None).await?;
        match answer.get_mut(key).map(Value::take) {
            Some(Value::Array(list)) => Ok(list),
            _ => bail!("the answer to {path} has no list: is this OpenObserve?"),
        }
    }

    pub(super) async fn folder(
        &self,
        kind: ShippedKind,
        name: &str,
    ) -> anyhow::Result<Option<String>> {
        let folders = self.list_of(&format!("v2/folders/{}", kind.folders()), "list").await?;
        let found = folders.iter().find(|folder| text(folder, "name") == name);
        Ok(found.map(|folder| text(folder, "folderId").to_owned()))
    }

    pub(super) async fn create_folder(
        &self,
        kind: ShippedKind,
        name: &str,
    ) -> anyhow::Result<String> {
        let body = json!({"name": name, "description": "Made by lambda-otlp"});
        let path = format!("v2/folders/{}", kind.folders());
        let answer = self.send(Method::POST, &path, Some(&body)).await?;
        Ok(text(&answer, "folderId").to_owned())
    }

    pub(super) async fn list(
        &self,
        kind: ShippedKind,
        folder: &str,
    ) -> anyhow::Result<Vec<Installed>> {
        let (key, id) = match kind {
            ShippedKind::Dashboards => ("dashboards", "dashboard_id"),
            ShippedKind::Alerts => ("list", "alert_id"),
            ShippedKind::Slos => ("list", "id"),
        };
        let list = self.list_of(&path(kind, "", folder), key).await?;
        let found = list.iter().map(|item| Installed {
            id: text(item, id).to_owned(),
            name: text(item, kind.name_key()).to_owned(),
            enabled: item.get("enabled").cloned(),
            hash: text(item, "hash").to_owned(),
        });
        Ok(found.collect())
    }

    /// Replaces what was found, or creates the first. Returns its id.
    pub(super) async fn install(
        &self,
        kind: ShippedKind,
        folder: &str,
        found: Option<&Installed>,
        content: &Value,
    ) -> anyhow::Result<String> {
        let (method, path) = match found {
            None => (Method::POST, path(kind, "", folder)),
            Some(Installed { id, hash, .. }) => {
                (Method::PUT, path(kind, &format!("/{id}"), folder) + "&hash=" + hash)
            }
        };
        let answer = self.send(method, &path, Some(content)).await?;
        Ok(found.map_or_else(|| text(&answer, "id").to_owned(), |found| found.id.clone()))
    }

    pub(super) async fn delete(
        &self,
        kind: ShippedKind,
        folder: &str,
        id: &str,
    ) -> anyhow::Result<()> {
        self.send(Method::DELETE, &path(kind, &format!("/{id}"), folder), None).await.map(drop)
    }

    pub(super) async fn metric_streams(&self) -> anyhow::Result<BTreeSet<String>> {
        let list = self.list_of("streams?type=metrics", "list").await?;
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

/// The path of all items of a folder, or of the one with this id.
fn path(kind: ShippedKind, id: &str, folder: &str) -> String {
    let version = if kind == ShippedKind::Alerts { "v2/" } else { "" };
    format!("{version}{}{id}?folder={folder}", kind.name())
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}
