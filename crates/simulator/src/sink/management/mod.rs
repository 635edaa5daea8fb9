//! OpenObserve's API for folders, dashboards, alerts and their destinations.
//!
//! Paths, answers and refusals were measured on v0.60.5, or read in its source; alerts never fire here.

mod alerts;
mod dashboards;

use self::alerts::Alerts;
use self::dashboards::Dashboards;
use super::Signal;
use super::http_response::HttpResponse;
use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

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

/// One of them. Its id is its own within its organization.
#[derive(Debug)]
struct Made<T> {
    organization: String,
    folder: String,
    id: String,
    content: T,
}

/// All of one kind, in the order in which they were made.
#[derive(Debug)]
struct Kept<T>(Vec<Made<T>>);

// By hand: the derived one would ask for a `T` that has a default.
impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Kept<T> {
    fn of(&self, organization: &str, folder: &str) -> impl Iterator<Item = &Made<T>> {
        self.0.iter().filter(move |made| made.organization == organization && made.folder == folder)
    }

    fn get(&self, organization: &str, id: &str) -> Option<&Made<T>> {
        self.0.iter().find(|made| made.organization == organization && made.id == id)
    }

    fn get_mut(&mut self, organization: &str, id: &str) -> Option<&mut Made<T>> {
        self.0.iter_mut().find(|made| made.organization == organization && made.id == id)
    }

    fn add(&mut self, made: Made<T>) {
        self.0.push(made);
    }

    /// Returns `true` if it was there.
    fn remove(&mut self, organization: &str, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|made| !(made.organization == organization && made.id == id));
        self.0.len() < before
    }
}

#[derive(Debug)]
struct Folder {
    name: String,
    description: String,
}

impl Made<Folder> {
    fn to_json(&self) -> Value {
        let Folder { name, description } = &self.content;
        json!({"folderId": self.id, "name": name, "description": description})
    }
}

/// By content: `dashboards`, `alerts`.
#[derive(Debug, Default)]
struct Folders(Kept<Folder>);

impl Folders {
    fn has(&self, organization: &str, of: &str, id: &str) -> bool {
        self.0.of(organization, of).any(|folder| folder.id == id)
    }

    fn name(&self, organization: &str, of: &str, id: &str) -> String {
        let found = self.0.of(organization, of).find(|folder| folder.id == id);
        found.map_or(id, |folder| &folder.content.name).to_owned()
    }

    fn list(&self, organization: &str, of: &str) -> HttpResponse {
        let default = json!({"folderId": "default", "name": "default", "description": "default"});
        let folders = self.0.of(organization, of).map(Made::to_json);
        let list: Vec<Value> = std::iter::once(default).chain(folders).collect();
        HttpResponse::json(200, &json!({ "list": list }))
    }

    fn create(&mut self, organization: &str, of: &str, id: String, body: &Value) -> Answer {
        let name = text(body, "name").trim();
        if name.is_empty() {
            return Err(HttpResponse::error(400, "Folder name cannot be empty"));
        }
        if self.0.of(organization, of).any(|folder| folder.content.name == name) {
            let message = "Folder with this name already exists in this organization";
            return Err(HttpResponse::error(400, message));
        }
        let description = text(body, "description").to_owned();
        let folder = Made {
            organization: organization.to_owned(),
            folder: of.to_owned(),
            id,
            content: Folder { name: name.to_owned(), description },
        };
        let answer = HttpResponse::json(200, &folder.to_json());
        self.0.add(folder);
        Ok(answer)
    }

    fn delete(&mut self, organization: &str, of: &str, id: &str, is_used: bool) -> Answer {
        if !self.has(organization, of, id) {
            return Err(HttpResponse::error(404, "Folder not found"));
        }
        if is_used {
            let message = format!(
                "Folder contains {of}. Please move/delete {of} from folder before deleting it."
            );
            return Err(HttpResponse::error(400, &message));
        }
        self.0.remove(organization, id);
        Ok(HttpResponse::text(200, "Folder deleted"))
    }
}
