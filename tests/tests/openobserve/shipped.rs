//! The files below `deploy/openobserve/`, and the queries in them.

use lambda_otlp_tests::workspace;
use serde_json::Value;
use simulator::sink::Signal;
use std::path::Path;

/// The JSON files of a folder by their names without `.json`.
pub(crate) fn files(folder: &str) -> Vec<(String, Value)> {
    let folder = workspace().join("deploy/openobserve").join(folder);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| read(&file.unwrap().path())).collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!files.is_empty());
    files
}

fn read(path: &Path) -> (String, Value) {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    (name, json)
}

pub(crate) fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["tabs"]).iter().flat_map(|tab| list(&tab["panels"]))
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

pub(crate) fn signal(name: &Value) -> Signal {
    let signals = [Signal::Traces, Signal::Metrics, Signal::Logs];
    signals.into_iter().find(|signal| signal.name() == text(name)).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Sql,
    Promql,
}

/// A query of a panel or an alert.
pub(crate) struct Query {
    pub(crate) at: String,
    pub(crate) language: Language,
    pub(crate) text: String,
    pub(crate) signal: Signal,
    pub(crate) stream: String,
    /// The columns that the panel shows, by their aliases; none for an alert.
    pub(crate) aliases: Option<Vec<String>>,
    pub(crate) legend: String,
}

pub(crate) fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (name, dashboard) in files("dashboards") {
        for panel in panels(&dashboard) {
            let language = match text(&panel["queryType"]) {
                "sql" => Language::Sql,
                "promql" => Language::Promql,
                other => panic!("{other}"),
            };
            for query in list(&panel["queries"]) {
                let fields = &query["fields"];
                let axes = ["x", "y", "z", "breakdown"];
                let aliases = axes.iter().flat_map(|axis| list(&fields[axis]));
                let at = format!("{name}: {}", panel["id"]);
                queries.push(Query {
                    text: with_values(text(&query["query"]), &dashboard, &at),
                    at,
                    language,
                    signal: signal(&fields["stream_type"]),
                    stream: text(&fields["stream"]).to_owned(),
                    aliases: Some(aliases.map(|axis| text(&axis["alias"]).to_owned()).collect()),
                    legend: text(&query["config"]["promql_legend"]).to_owned(),
                });
            }
        }
    }
    for (name, alert) in files("alerts") {
        let condition = &alert["query_condition"];
        let (language, query) = match text(&condition["type"]) {
            "sql" => (Language::Sql, &condition["sql"]),
            _ => (Language::Promql, &condition["promql"]),
        };
        queries.push(Query {
            at: name,
            language,
            text: text(query).to_owned(),
            signal: signal(&alert["stream_type"]),
            stream: text(&alert["stream_name"]).to_owned(),
            aliases: None,
            legend: String::new(),
        });
    }
    queries
}

/// A sample value for a variable that takes its values from the telemetry.
pub(crate) const ANY: &str = "any";

/// The query as OpenObserve's page sends it: each variable of the dashboard replaced, longer names first.
fn with_values(query: &str, dashboard: &Value, at: &str) -> String {
    let mut variables: Vec<_> = list(&dashboard["variables"]["list"])
        .iter()
        .map(|variable| {
            let value = text(&variable["value"]);
            (text(&variable["name"]), if value.is_empty() { ANY } else { value })
        })
        .collect();
    variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut query = query.to_owned();
    for (name, value) in variables {
        query = query.replace(&format!("${name}"), value);
    }
    assert!(!query.contains('$'), "{at}: a variable that the dashboard does not have: {query}");
    query
}
