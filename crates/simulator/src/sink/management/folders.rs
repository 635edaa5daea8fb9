//! Folders of dashboards and of alerts.

use serde_json::{Value, json};

use super::kept::{Kept, Made};
use super::{Answer, text};
use crate::sink::http_response::HttpResponse;

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
pub(super) struct Folders(Kept<Folder>);

impl Folders {
    pub(super) fn has(&self, organization: &str, of: &str, id: &str) -> bool {
        self.0.of(organization, of).any(|folder| folder.id == id)
    }

    pub(super) fn name(&self, organization: &str, of: &str, id: &str) -> String {
        let found = self.0.of(organization, of).find(|folder| folder.id == id);
        found.map_or(id, |folder| &folder.content.name).to_owned()
    }

    pub(super) fn list(&self, organization: &str, of: &str) -> HttpResponse {
        let default = json!({"folderId": "default", "name": "default", "description": "default"});
        let folders = self.0.of(organization, of).map(Made::to_json);
        let list: Vec<Value> = std::iter::once(default).chain(folders).collect();
        HttpResponse::json(200, &json!({ "list": list }))
    }

    pub(super) fn create(
        &mut self,
        organization: &str,
        of: &str,
        id: String,
        body: &Value,
    ) -> Answer {
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

    pub(super) fn delete(
        &mut self,
        organization: &str,
        of: &str,
        id: &str,
        is_used: bool,
    ) -> Answer {
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
