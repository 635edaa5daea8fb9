//! Alerts, and the destinations and templates that they need.

use serde_json::{Value, json};

use super::{Answer, Streams, saved, text};
use super::{Kept, Made};
use crate::sink::Signal;
use crate::sink::http_response::HttpResponse;

/// Alerts, destinations as they were given, and names of templates, by organization.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    kept: Kept<Value>,
    destinations: Vec<(String, Value)>,
    templates: Vec<(String, String)>,
}

fn missing() -> HttpResponse {
    HttpResponse::error(404, "Alert not found")
}

impl Alerts {
    pub(super) fn are_in(&self, organization: &str, folder: &str) -> bool {
        self.kept.of(organization, folder).next().is_some()
    }

    pub(super) fn list(&self, organization: &str, folder: &str, name: &str) -> HttpResponse {
        let list: Vec<Value> = self
            .kept
            .of(organization, folder)
            .map(|alert| {
                json!({
                    "alert_id": alert.id, "folder_id": folder, "folder_name": name,
                    "name": text(&alert.content, "name"),
                    "description": text(&alert.content, "description"),
                    "condition": alert.content.get("query_condition"),
                    "enabled": alert.content.get("enabled"),
                })
            })
            .collect();
        HttpResponse::json(200, &json!({ "list": list }))
    }

    pub(super) fn create(
        &mut self,
        organization: &str,
        folder: String,
        id: String,
        body: Value,
        streams: Streams<'_>,
    ) -> Answer {
        let name = text(&body, "name").to_owned();
        let is_it = |alert: &Made<Value>| text(&alert.content, "name") == name;
        if self.kept.of(organization, &folder).any(is_it) {
            return Err(HttpResponse::error(409, "Alert already exists"));
        }
        let content = self.stored(organization, &id, body, streams)?;
        let answer = json!({"code": 200, "message": "Alert saved", "id": id, "name": name});
        self.kept.add(Made { organization: organization.to_owned(), folder, id, content });
        Ok(HttpResponse::json(200, &answer))
    }

    pub(super) fn get(&self, organization: &str, id: &str) -> Answer {
        let found = self.kept.get(organization, id);
        found.map(|alert| HttpResponse::json(200, &alert.content)).ok_or_else(missing)
    }

    pub(super) fn update(
        &mut self,
        organization: &str,
        id: &str,
        body: Value,
        streams: Streams<'_>,
    ) -> Answer {
        let content = self.stored(organization, id, body, streams)?;
        self.kept.get_mut(organization, id).ok_or_else(missing)?.content = content;
        Ok(saved("Alert Updated"))
    }

    pub(super) fn delete(&mut self, organization: &str, id: &str) -> Answer {
        let was_there = self.kept.remove(organization, id);
        was_there.then(|| saved("Alert deleted")).ok_or_else(missing)
    }

    fn stored(
        &self,
        organization: &str,
        id: &str,
        mut body: Value,
        streams: Streams<'_>,
    ) -> Result<Value, HttpResponse> {
        let refuse = |status, message: String| Err(HttpResponse::error(status, &message));
        let name = text(&body, "name");
        if name.is_empty() || name.contains('/') {
            return refuse(400, "Alert name is required, and cannot contain '/'".to_owned());
        }
        let destinations = body.get("destinations").and_then(Value::as_array);
        let Some(destinations) = destinations.filter(|list| !list.is_empty()) else {
            return refuse(400, "Alert destinations is required".to_owned());
        };
        let is_known = |destination: &&Value| {
            self.destinations_of(organization).any(|it| it.get("name") == Some(destination))
        };
        if let Some(unknown) = destinations.iter().find(|it| !is_known(it)) {
            return refuse(404, format!("Alert destination {unknown} not found"));
        }
        let signal = Signal::from_path(text(&body, "stream_type")).unwrap_or(Signal::Logs);
        let stream = text(&body, "stream_name");
        if !streams(signal, stream) {
            return refuse(404, format!("Stream {stream} not found"));
        }
        let condition = body.get("query_condition").cloned().unwrap_or_default();
        match text(&condition, "type") {
            "sql" if text(&condition, "sql").is_empty() => {
                return refuse(400, "Alert with SQL mode should have a query".to_owned());
            }
            "sql" if text(&condition, "sql").contains("SELECT *") => {
                return refuse(
                    400,
                    "Alert with SQL can not contain SELECT * in the SQL query".to_owned(),
                );
            }
            "promql" if condition.get("promql_condition").is_none() => {
                return refuse(400, "Alert with PromQL mode should have a query".to_owned());
            }
            _ => {}
        }
        if let Some(body) = body.as_object_mut() {
            body.insert("id".to_owned(), json!(id));
            body.insert("org_id".to_owned(), json!(organization));
        }
        Ok(body)
    }

    fn destinations_of<'a>(&'a self, organization: &'a str) -> impl Iterator<Item = &'a Value> {
        let of = self.destinations.iter().filter(move |(of, _)| of == organization);
        of.map(|(_, destination)| destination)
    }

    pub(super) fn destinations(&self, organization: &str) -> HttpResponse {
        let list: Vec<&Value> = self.destinations_of(organization).collect();
        HttpResponse::json(200, &json!(list))
    }

    pub(super) fn add_destination(&mut self, organization: &str, body: Value) -> Answer {
        let template = (organization.to_owned(), text(&body, "template").to_owned());
        if text(&body, "name").is_empty() || text(&body, "url").is_empty() {
            return Err(HttpResponse::error(400, "Alert destination name and url are required"));
        }
        if !self.templates.contains(&template) {
            return Err(HttpResponse::error(404, "Alert template not found"));
        }
        self.destinations.push((organization.to_owned(), body));
        Ok(saved("Alert destination saved"))
    }

    pub(super) fn add_template(&mut self, organization: &str, body: &Value) -> Answer {
        let name = text(body, "name");
        if name.is_empty() || text(body, "body").is_empty() {
            return Err(HttpResponse::error(400, "Alert template name and body are required"));
        }
        self.templates.push((organization.to_owned(), name.to_owned()));
        Ok(saved("Alert template saved"))
    }
}
