//! Dashboards: the required fields of a body, and its stored form.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde_json::{Value, json};

use super::{Answer, text};
use super::{Kept, Made};
use crate::sink::http_response::HttpResponse;

/// The newest version of dashboards, and the one of a body that names none.
const NEWEST: i64 = 8;

#[derive(Debug)]
struct Dashboard {
    version: i64,
    content: Value,
}

impl Dashboard {
    fn hash(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.content.to_string().hash(&mut hasher);
        hasher.finish().to_string()
    }

    fn details(&self) -> Value {
        let mut details = json!({"version": self.version, "hash": self.hash(), "updatedAt": 0});
        if let Some(details) = details.as_object_mut() {
            for version in 1..=NEWEST {
                let is_it = version == self.version;
                let content = if is_it { self.content.clone() } else { Value::Null };
                details.insert(format!("v{version}"), content);
            }
        }
        details
    }
}

#[derive(Debug, Default)]
pub(super) struct Dashboards(Kept<Dashboard>);

fn missing() -> HttpResponse {
    HttpResponse::error(404, "Dashboard not found")
}

impl Dashboards {
    pub(super) fn are_in(&self, organization: &str, folder: &str) -> bool {
        self.0.of(organization, folder).next().is_some()
    }

    /// The list has no panels; a client reads each dashboard on its own.
    pub(super) fn list(&self, organization: &str, folder: &str) -> HttpResponse {
        let list: Vec<Value> = self
            .0
            .of(organization, folder)
            .map(|Made { id, content: dashboard, .. }| {
                json!({
                    "version": dashboard.version, "hash": dashboard.hash(), "folder_id": folder,
                    "dashboard_id": id, "title": text(&dashboard.content, "title"),
                    "description": text(&dashboard.content, "description"),
                })
            })
            .collect();
        HttpResponse::json(200, &json!({ "dashboards": list }))
    }

    pub(super) fn create(
        &mut self,
        organization: &str,
        folder: String,
        id: String,
        body: Value,
    ) -> Answer {
        let content = stored(body, &id)?;
        let answer = HttpResponse::json(200, &content.details());
        self.0.add(Made { organization: organization.to_owned(), folder, id, content });
        Ok(answer)
    }

    pub(super) fn get(&self, organization: &str, id: &str) -> Answer {
        let found = self.0.get(organization, id);
        found.map(|it| HttpResponse::json(200, &it.content.details())).ok_or_else(missing)
    }

    /// An update without the hash of the stored version is refused.
    pub(super) fn update(
        &mut self,
        organization: &str,
        id: &str,
        hash: Option<&str>,
        body: Value,
    ) -> Answer {
        let dashboard = &mut self.0.get_mut(organization, id).ok_or_else(missing)?.content;
        if hash != Some(dashboard.hash().as_str()) {
            let message = "Conflict: Failed to save due to concurrent changes. Please refresh the page after backing up your work to avoid losing changes.";
            return Err(HttpResponse::error(409, message));
        }
        *dashboard = stored(body, id)?;
        Ok(HttpResponse::json(200, &dashboard.details()))
    }

    pub(super) fn delete(&mut self, organization: &str, id: &str) -> Answer {
        let deleted =
            || HttpResponse::json(200, &json!({"code": 200, "message": "Dashboard deleted"}));
        self.0.remove(organization, id).then(deleted).ok_or_else(missing)
    }
}

/// Checks a dashboard, and gives it its id. The defaults that OpenObserve adds are missing.
fn stored(mut body: Value, id: &str) -> Result<Dashboard, HttpResponse> {
    let version = body.get("version").and_then(Value::as_i64).unwrap_or(NEWEST);
    if !(1..=NEWEST).contains(&version) {
        return Err(HttpResponse::error(422, &format!("unsupported version: {version}")));
    }
    if text(&body, "title").trim().is_empty() {
        return Err(HttpResponse::error(400, "Dashboard name cannot be empty"));
    }
    for tab in list(&body, "tabs") {
        require(tab, &["tabId", "name"])?;
        for panel in list(tab, "panels") {
            check(panel)?;
        }
    }
    if let Some(body) = body.as_object_mut() {
        body.insert("dashboardId".to_owned(), json!(id));
    }
    Ok(Dashboard { version, content: body })
}

fn check(panel: &Value) -> Result<(), HttpResponse> {
    let keys = ["id", "type", "title", "description", "config", "queries", "layout"];
    require(panel, &keys)?;
    require(&panel["config"], &["show_legends"])?;
    for query in list(panel, "queries") {
        require(query, &["customQuery", "fields", "config"])?;
        require(&query["config"], &["promql_legend"])?;
        let fields = &query["fields"];
        require(fields, &["stream", "stream_type", "x", "y", "filter"])?;
        for axis in ["x", "y", "z", "breakdown"] {
            for item in list(fields, axis) {
                require(item, &["label", "alias", "column"])?;
            }
        }
    }
    Ok(())
}

fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn require(object: &Value, keys: &[&str]) -> Result<(), HttpResponse> {
    match keys.iter().find(|key| object.get(**key).is_none()) {
        Some(key) => Err(HttpResponse::error(400, &format!("missing field `{key}`"))),
        None => Ok(()),
    }
}
