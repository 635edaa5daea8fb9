//! The dashboards, alerts and objectives below `deploy/openobserve/`, embedded in this program.

use anyhow::Context as _;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShippedKind {
    Dashboards,
    Alerts,
    /// Service level objectives. Their folders are those of alerts.
    Slos,
}

impl ShippedKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dashboards => "dashboards",
            Self::Alerts => "alerts",
            Self::Slos => "slos",
        }
    }

    /// The kind of its folders.
    pub(super) fn folders(self) -> &'static str {
        match self {
            Self::Dashboards => "dashboards",
            Self::Alerts | Self::Slos => "alerts",
        }
    }

    pub(super) fn name_key(self) -> &'static str {
        match self {
            Self::Dashboards => "title",
            Self::Alerts | Self::Slos => "name",
        }
    }
}

/// An embedded file.
struct ShippedFile {
    name: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($folder:literal: $($name:literal),+) => {
        [$(ShippedFile {
            name: $name,
            text: include_str!(concat!("../../../../deploy/openobserve/", $folder, "/", $name, ".json")),
        }),+]
    };
}

const DASHBOARDS: [ShippedFile; 8] = files!("dashboards": "overview", "function", "errors", "invocation", "cost", "traces", "logs", "pipeline");

const ALERTS: [ShippedFile; 12] = files!(
    "alerts": "lambda-error-share", "lambda-new-error", "lambda-timeouts", "lambda-near-timeout", "lambda-p95-rise",
    "lambda-no-invocations", "lambda-cost-jump", "lambda-out-of-memory", "lambda-memory-nearly-full",
    "pipeline-dead-letters", "pipeline-parked", "pipeline-lag"
);

const SLOS: [ShippedFile; 2] = files!("slos": "lambda-success", "lambda-latency");

pub(super) struct Shipped {
    pub(super) name: String,
    pub(super) content: Value,
}

/// The stream and folder of the user, and the destinations of alerts.
pub(super) struct Places<'a> {
    /// The stream of logs and traces.
    pub(super) stream: &'a str,
    pub(super) folder: &'a str,
    /// The destinations of alerts.
    pub(super) notify: &'a [String],
}

/// Returns everything of a kind for these places.
pub(super) fn all(kind: ShippedKind, places: &Places<'_>) -> anyhow::Result<Vec<Shipped>> {
    let Places { stream, folder, notify } = *places;
    let files: &[ShippedFile] = match kind {
        ShippedKind::Dashboards => &DASHBOARDS,
        ShippedKind::Alerts => &ALERTS,
        ShippedKind::Slos => &SLOS,
    };
    let read = |file: &ShippedFile| {
        let mut content: Value =
            serde_json::from_str(file.text).with_context(|| format!("{}.json", file.name))?;
        set_places(&mut content, stream, folder);
        if let Some(alert) = content.as_object_mut()
            && kind == ShippedKind::Alerts
        {
            alert.insert("destinations".to_owned(), json!(notify));
        }
        let name = content
            .get(kind.name_key())
            .and_then(Value::as_str)
            .with_context(|| format!("no {}", kind.name_key()))?
            .to_owned();
        Ok(Shipped { name, content })
    };
    files.iter().map(read).collect()
}

/// The stream of logs and traces in the files.
const STREAM: &str = "default";

/// The folder in the files: dashboards link to others by its name.
pub(super) const FOLDER: &str = "lambda-otlp";

/// Replaces the stream in all queries, and the folder in all links.
fn set_places(value: &mut Value, stream: &str, folder: &str) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| set_places(value, stream, folder)),
        Value::Object(map) => {
            map.values_mut().for_each(|value| set_places(value, stream, folder));
            for (key, text) in map.iter_mut() {
                match (key.as_str(), &*text) {
                    ("folder", Value::String(name)) if name == FOLDER => *text = json!(folder),
                    ("stream" | "stream_name", Value::String(name)) if name == STREAM => {
                        *text = json!(stream);
                    }
                    ("query" | "sql", Value::String(query)) => {
                        let from = |name: &str| format!("FROM \"{name}\"");
                        let joined = |name: &str| format!("FROM \"logs\".\"{name}\"");
                        let from_stream = query.replace(&from(STREAM), &from(stream));
                        *text = json!(from_stream.replace(&joined(STREAM), &joined(stream)));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Returns the streams of this signal that panels and alerts query.
pub(super) fn streams<'c>(content: &'c Value, signal: &str) -> Vec<&'c str> {
    match content {
        Value::Array(list) => list.iter().flat_map(|value| streams(value, signal)).collect(),
        Value::Object(map) => {
            let is_of_signal = map.get("stream_type").is_some_and(|of| of == signal);
            let name = map.get("stream").or(map.get("stream_name")).filter(|_| is_of_signal);
            let below = map.values().flat_map(|value| streams(value, signal));
            name.and_then(Value::as_str).into_iter().chain(below).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_shipped_file_is_embedded() {
        let check = |folder: &str, files: &[ShippedFile]| {
            let path = format!("{}/../../deploy/openobserve/{folder}", env!("CARGO_MANIFEST_DIR"));
            let names = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().file_name());
            let found: BTreeSet<String> = names.map(|name| name.into_string().unwrap()).collect();
            let embedded = files.iter().map(|file| format!("{}.json", file.name)).collect();
            assert_eq!(found, embedded);
        };
        check("dashboards", &DASHBOARDS);
        check("alerts", &ALERTS);
        check("slos", &SLOS);
    }
}
