//! OpenObserve's API for folders, dashboards, alerts and their destinations.
//!
//! Paths, answers and refusals were measured on v0.60.5, or read in its source; alerts never fire here.

mod alerts;
mod dashboards;
mod folders;
mod kept;

use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

use self::alerts::Alerts;
use self::dashboards::Dashboards;
use self::folders::Folders;
use super::http_response::HttpResponse;
use super::signal::Signal;

#[derive(Debug, Default)]
pub(super) struct Management {
    folders: Folders,
    dashboards: Dashboards,
    alerts: Alerts,
    made: u64,
}

/// The response of a request that was carried out, or of one that was refused.
type Answer = Result<HttpResponse, HttpResponse>;

/// The streams that an alert may watch.
pub(super) type Streams<'a> = &'a dyn Fn(Signal, &str) -> bool;

#[derive(Debug)]
pub(super) struct Request {
    pub(super) organization: String,
    target: Target,
    method: Method,
    folder: String,
    hash: Option<String>,
    body: Result<Value, String>,
}

#[derive(Debug)]
enum Target {
    Folders { of: String },
    Folder { of: String, id: String },
    Dashboards,
    Dashboard(String),
    Alerts,
    Alert(String),
    Destinations,
    Templates,
}

impl Request {
    /// The request, if its path is one of this API.
    pub(super) fn of(parts: &Parts, body: &[u8]) -> Option<Self> {
        let segments: Vec<&str> = parts.uri.path().strip_prefix("/api/")?.split('/').collect();
        let text = |text: &&str| (*text).to_owned();
        let (organization, target) = match segments.as_slice() {
            ["v2", organization, "folders", of] => (organization, Target::Folders { of: text(of) }),
            ["v2", organization, "folders", of, id] => {
                (organization, Target::Folder { of: text(of), id: text(id) })
            }
            ["v2", organization, "alerts"] => (organization, Target::Alerts),
            ["v2", organization, "alerts", id] => (organization, Target::Alert(text(id))),
            [organization, "dashboards"] => (organization, Target::Dashboards),
            [organization, "dashboards", id] => (organization, Target::Dashboard(text(id))),
            [organization, "alerts", "destinations"] => (organization, Target::Destinations),
            [organization, "alerts", "templates"] => (organization, Target::Templates),
            _ => return None,
        };
        let query = parts.uri.query().unwrap_or_default();
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        Some(Self {
            organization: text(organization),
            target,
            method: parts.method.clone(),
            folder: parameter("folder").unwrap_or_else(|| DEFAULT_FOLDER.to_owned()),
            hash: parameter("hash"),
            body: serde_json::from_slice(body).map_err(|error| error.to_string()),
        })
    }
}

const DEFAULT_FOLDER: &str = "default";

impl Management {
    pub(super) fn answer(&mut self, request: Request, streams: Streams<'_>) -> HttpResponse {
        self.made += 1;
        let id = format!("{:019}", self.made);
        self.carried_out(request, id, streams).unwrap_or_else(|refusal| refusal)
    }

    fn carried_out(&mut self, request: Request, id: String, streams: Streams<'_>) -> Answer {
        let Request { organization, target, method, folder, hash, body } = request;
        let body = || {
            let body = body.map_err(|error| HttpResponse::error(400, &error))?;
            if body.is_object() { Ok(body) } else { Err(HttpResponse::error(400, "no object")) }
        };
        let folder_of = |folders: &Folders, of: &str| {
            let is_there = folder == DEFAULT_FOLDER || folders.has(&organization, of, &folder);
            is_there.then_some(()).ok_or_else(|| HttpResponse::error(404, "Folder not found"))
        };
        match (&method, target) {
            (&Method::GET, Target::Folders { of }) => Ok(self.folders.list(&organization, &of)),
            (&Method::POST, Target::Folders { of }) => {
                self.folders.create(&organization, &of, id, &body()?)
            }
            (&Method::DELETE, Target::Folder { of, id }) => {
                let is_used = match of.as_str() {
                    "dashboards" => self.dashboards.are_in(&organization, &id),
                    _ => self.alerts.are_in(&organization, &id),
                };
                self.folders.delete(&organization, &of, &id, is_used)
            }
            (&Method::GET, Target::Dashboards) => Ok(self.dashboards.list(&organization, &folder)),
            (&Method::POST, Target::Dashboards) => {
                folder_of(&self.folders, "dashboards")?;
                self.dashboards.create(&organization, folder, id, body()?)
            }
            (&Method::GET, Target::Dashboard(id)) => self.dashboards.get(&organization, &id),
            (&Method::PUT, Target::Dashboard(id)) => {
                self.dashboards.update(&organization, &id, hash.as_deref(), body()?)
            }
            (&Method::DELETE, Target::Dashboard(id)) => self.dashboards.delete(&organization, &id),
            (&Method::GET, Target::Alerts) => {
                let name = self.folders.name(&organization, "alerts", &folder);
                Ok(self.alerts.list(&organization, &folder, &name))
            }
            (&Method::POST, Target::Alerts) => {
                folder_of(&self.folders, "alerts")?;
                self.alerts.create(&organization, folder, id, body()?, streams)
            }
            (&Method::GET, Target::Alert(id)) => self.alerts.get(&organization, &id),
            (&Method::PUT, Target::Alert(id)) => {
                self.alerts.update(&organization, &id, body()?, streams)
            }
            (&Method::DELETE, Target::Alert(id)) => self.alerts.delete(&organization, &id),
            (&Method::GET, Target::Destinations) => Ok(self.alerts.destinations(&organization)),
            (&Method::POST, Target::Destinations) => {
                self.alerts.add_destination(&organization, body()?)
            }
            (&Method::POST, Target::Templates) => self.alerts.add_template(&organization, &body()?),
            _ => Err(HttpResponse::empty(405)),
        }
    }
}

/// The text of a key; empty where there is none.
fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn saved(message: &str) -> HttpResponse {
    HttpResponse::json(200, &json!({"code": 200, "message": message}))
}
