//! Runs the query of each panel, with the values of the variables that OpenObserve's page would offer.

use super::server::Server;
use anyhow::Context as _;
use serde_json::Value;
use std::path::Path;

/// The number of queries that ran, and the errors. A panel without any result is an error.
#[derive(Default)]
pub(super) struct Panels {
    pub(super) queries: usize,
    pub(super) errors: Vec<String>,
}

pub(super) async fn run(
    server: &Server,
    organization: &str,
    root: &Path,
) -> anyhow::Result<Panels> {
    let mut panels = Panels::default();
    for file in std::fs::read_dir(root.join("deploy/openobserve/dashboards"))? {
        let path = file?.path();
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path)?)
            .with_context(|| path.display().to_string())?;
        let variables = variables(server, organization, &dashboard).await?;
        for tab in list(&dashboard, "/tabs") {
            for panel in list(tab, "/panels") {
                for query in list(panel, "/queries") {
                    let name = format!("{}: {}", text(&dashboard, "/title"), text(panel, "/id"));
                    let ask = Ask {
                        server,
                        organization,
                        signal: text(query, "/fields/stream_type"),
                        is_promql: text(panel, "/queryType") == "promql",
                    };
                    ask.panel(&name, text(query, "/query"), &variables, &mut panels).await;
                }
            }
        }
    }
    Ok(panels)
}

/// The query of a panel, with the values that its variables have at first.
pub(super) struct Query {
    pub(super) signal: String,
    pub(super) asked: String,
}

/// The first query of the panel with this id.
pub(super) fn query(root: &Path, dashboard: &str, id: &str) -> anyhow::Result<Query> {
    let path = root.join(format!("deploy/openobserve/dashboards/{dashboard}.json"));
    let dashboard: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let mut panels = list(&dashboard, "/tabs").iter().flat_map(|tab| list(tab, "/panels"));
    let panel = panels.find(|panel| text(panel, "/id") == id).context("no such panel")?;
    let mut variables: Vec<_> = list(&dashboard, "/variables/list")
        .iter()
        .map(|variable| (text(variable, "/name"), text(variable, "/value")))
        .collect();
    variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut asked = text(panel, "/queries/0/query").to_owned();
    for (name, value) in variables {
        asked = asked.replace(&format!("${name}"), value);
    }
    Ok(Query { signal: text(panel, "/queries/0/fields/stream_type").to_owned(), asked })
}

struct Ask<'a> {
    server: &'a Server,
    organization: &'a str,
    signal: &'a str,
    is_promql: bool,
}

impl Ask<'_> {
    /// Asks with one choice of the variables after another, until there is a result.
    async fn panel(&self, name: &str, query: &str, choices: &[Variables], panels: &mut Panels) {
        panels.queries += 1;
        for variables in choices {
            let mut asked = query.to_owned();
            for (name, value) in variables {
                asked = asked.replace(&format!("${name}"), value);
            }
            match self.results(&asked).await {
                Ok(0) => {}
                Ok(_) => return,
                Err(error) => return panels.errors.push(format!("{name}: {error:#}")),
            }
        }
        panels.errors.push(format!("{name}: no result with any value of the variables"));
    }

    /// The number of rows or series that a query returns.
    async fn results(&self, query: &str) -> anyhow::Result<usize> {
        Ok(if self.is_promql {
            self.server.promql(self.organization, query).await?.len()
        } else {
            self.server.search(self.organization, self.signal, query).await?.len()
        })
    }
}

/// Names and values, longer names first.
type Variables = Vec<(String, String)>;

/// Most stored values of a variable that are tried.
const MAX_CHOICES: usize = 50;

/// Returns choices of the dashboard's variables: the values that are set, and one after another of the values stored. A dashboard
/// has at most one variable without a value of its own for each panel.
async fn variables(
    server: &Server,
    organization: &str,
    dashboard: &Value,
) -> anyhow::Result<Vec<Variables>> {
    let mut all = Vec::new();
    for variable in list(dashboard, "/variables/list") {
        let name = text(variable, "/name");
        let value = text(variable, "/value");
        let (signal, stream, field) = match name {
            // Boxes for an id.
            "request_id" => ("logs", "default", "faas_invocation_id"),
            "trace_id" => ("logs", "default", "trace_id"),
            _ => (
                text(variable, "/query_data/stream_type"),
                text(variable, "/query_data/stream"),
                text(variable, "/query_data/field"),
            ),
        };
        let mut values = vec![value.to_owned()];
        if value.is_empty() && !field.is_empty() {
            let sql =
                format!("SELECT {field} FROM \"{stream}\" GROUP BY {field} ORDER BY {field} DESC");
            let rows = server.search(organization, signal, &sql).await?;
            values = rows
                .iter()
                .filter_map(|row| row.get(field)?.as_str())
                .filter(|value| !value.is_empty())
                .take(MAX_CHOICES)
                .map(str::to_owned)
                .collect();
        }
        all.push((name.to_owned(), values));
    }
    all.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let choices = all.iter().map(|(_, values)| values.len()).max().unwrap_or(1);
    let choice = |at: usize| {
        let value =
            |values: &[String]| values.get(at).or(values.last()).cloned().unwrap_or_default();
        all.iter().map(|(name, values)| (name.clone(), value(values))).collect()
    };
    Ok((0..choices).map(choice).collect())
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
