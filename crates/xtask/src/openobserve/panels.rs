//! Runs the query of each panel, with the values of the variables that OpenObserve's page would offer.

use super::server::Server;
use anyhow::Context as _;
use serde_json::Value;
use std::path::Path;

/// Queries that ran, queries with a result, and errors.
#[derive(Default)]
pub(super) struct Panels {
    pub(super) queries: usize,
    pub(super) with_rows: usize,
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
                let is_promql = text(panel, "/queryType") == "promql";
                for query in list(panel, "/queries") {
                    let mut asked = text(query, "/query").to_owned();
                    for (name, value) in &variables {
                        asked = asked.replace(&format!("${name}"), value);
                    }
                    let signal = text(query, "/fields/stream_type");
                    let rows = if is_promql {
                        server.promql(organization, &asked).await.map(|series| series.len())
                    } else {
                        server.search(organization, signal, &asked).await.map(|rows| rows.len())
                    };
                    panels.queries += 1;
                    match rows {
                        Ok(rows) => panels.with_rows += usize::from(rows > 0),
                        Err(error) => panels.errors.push(format!(
                            "{}: {}: {error:#}",
                            text(&dashboard, "/title"),
                            text(panel, "/id")
                        )),
                    }
                }
            }
        }
    }
    Ok(panels)
}

/// Name and value of the dashboard's variables, longer names first: the value that is set, or one that is stored.
async fn variables(
    server: &Server,
    organization: &str,
    dashboard: &Value,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for variable in list(dashboard, "/variables/list") {
        let mut value = text(variable, "/value").to_owned();
        let field = text(variable, "/query_data/field");
        if value.is_empty() && !field.is_empty() {
            let stream = text(variable, "/query_data/stream");
            let sql =
                format!("SELECT {field} FROM \"{stream}\" GROUP BY {field} ORDER BY {field} DESC");
            let signal = text(variable, "/query_data/stream_type");
            let rows = server.search(organization, signal, &sql).await?;
            let found = rows.first().and_then(|row| row.get(field)).and_then(Value::as_str);
            value = found.unwrap_or_default().to_owned();
        }
        variables.push((text(variable, "/name").to_owned(), value));
    }
    variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    Ok(variables)
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
