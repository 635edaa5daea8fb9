//! Folders of dashboards and of alerts.

use serde_json::{Value, json};

use super::text;
use crate::sink::http_response::HttpResponse;

#[derive(Debug)]
struct Folder {
    organization: String,
    /// What is in it: `dashboards`, `alerts`.
    of: String,
    id: String,
    name: String,
    description: String,
}

impl Folder {
    fn to_json(&self) -> Value {
        json!({"folderId": self.id, "name": self.name, "description": self.description})
    }
}

#[derive(Debug, Default)]
pub(super) struct Folders(Vec<Folder>);

impl Folders {
    fn of<'a>(&'a self, organization: &'a str, of: &'a str) -> impl Iterator<Item = &'a Folder> {
        self.0.iter().filter(move |folder| folder.organization == organization && folder.of == of)
    }

    pub(super) fn has(&self, organization: &str, of: &str, id: &str) -> bool {
        self.of(organization, of).any(|folder| folder.id == id)
    }

    pub(super) fn name(&self, organization: &str, of: &str, id: &str) -> String {
        let found = self.of(organization, of).find(|folder| folder.id == id);
        found.map_or(id, |folder| &folder.name).to_owned()
    }

    pub(super) fn list(&self, organization: &str, of: &str) -> HttpResponse {
        let default = json!({"folderId": "default", "name": "default", "description": "default"});
        let folders = self.of(organization, of).map(Folder::to_json);
        let list: Vec<Value> = std::iter::once(default).chain(folders).collect();
        HttpResponse::json(200, &json!({ "list": list }))
    }

    pub(super) fn create(
        &mut self,
        organization: &str,
        of: &str,
        id: String,
        body: &Value,
    ) -> Result<HttpResponse, HttpResponse> {
        let name = text(body, "name").trim();
        if name.is_empty() {
            return Err(HttpResponse::error(400, "Folder name cannot be empty"));
        }
        if self.of(organization, of).any(|folder| folder.name == name) {
            let message = "Folder with this name already exists in this organization";
            return Err(HttpResponse::error(400, message));
        }
        let folder = Folder {
            organization: organization.to_owned(),
            of: of.to_owned(),
            id,
            name: name.to_owned(),
            description: text(body, "description").to_owned(),
        };
        let answer = HttpResponse::json(200, &folder.to_json());
        self.0.push(folder);
        Ok(answer)
    }

    pub(super) fn delete(
        &mut self,
        organization: &str,
        of: &str,
        id: &str,
        is_used: bool,
    ) -> Result<HttpResponse, HttpResponse> {
        if !self.has(organization, of, id) {
            return Err(HttpResponse::error(404, "Folder not found"));
        }
        if is_used {
            let message = format!(
                "Folder contains {of}. Please move/delete {of} from folder before deleting it."
            );
            return Err(HttpResponse::error(400, &message));
        }
        self.0.retain(|folder| {
            !(folder.organization == organization && folder.of == of && folder.id == id)
        });
        Ok(HttpResponse::text(200, "Folder deleted"))
    }
}
