//! The shipped dashboards, alerts and objectives. `cargo xtask openobserve` installs them in a server, runs each query, and fires each alert.

use lambda_otlp_tests::workspace;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// The JSON files of a folder by their names without `.json`.
pub(crate) fn files(folder: &str) -> Vec<(String, Value)> {
    let folder = workspace().join("deploy/openobserve").join(folder);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| read(&file.unwrap().path())).collect();
    files.sort_by(|(left, _), (right, _)| left.cmp(right));
    assert!(!files.is_empty());
    files
}

fn read(path: &Path) -> (String, Value) {
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    (name, json)
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["tabs"]).iter().flat_map(|tab| list(&tab["panels"]))
}

/// The metric streams that panels query.
pub(crate) fn metric_streams(dashboard: &Value) -> impl Iterator<Item = &str> {
    let queries = panels(dashboard).flat_map(|panel| list(&panel["queries"]));
    let fields = queries.map(|query| &query["fields"]);
    let of_metrics = fields.filter(|fields| fields["stream_type"] == "metrics");
    of_metrics.map(|fields| text(&fields["stream"]))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[test]
fn panels_have_ids_and_queries_with_known_variables() {
    for (name, dashboard) in files("dashboards") {
        assert_eq!(dashboard["version"], 5, "{name}");
        let mut ids = BTreeSet::new();
        for panel in panels(&dashboard) {
            let at = format!("{name}: {}", panel["id"]);
            assert!(ids.insert(text(&panel["id"])), "{at}: twice");
            // A point of PromQL is the time before it: without a step, windows overlap or leave gaps.
            let is_promql = panel["queryType"] == "promql";
            assert_eq!(panel["config"]["step_value"] == "5m", is_promql, "{at}");
            for query in list(&panel["queries"]) {
                let asked = text(&query["query"]);
                assert!(asked.contains(text(&query["fields"]["stream"])), "{at}: another stream");
                assert!(!is_promql || asked.contains("[5m]"), "{at}");
                // OpenObserve repeats the first quantile at every step without samples; a factor of 1 is absent there.
                let is_quantile = asked.starts_with("histogram_quantile(");
                assert!(!is_quantile || asked.contains(">= bool 0)"), "{at}");
                for part in asked.split('$').skip(1) {
                    let mut variables = list(&dashboard["variables"]["list"]).iter();
                    let is_known = variables.any(|known| part.starts_with(text(&known["name"])));
                    assert!(is_known, "{at}: ${part}");
                }
            }
        }
    }
}

/// The signal and text of each query of a dashboard or alert for logs or traces.
pub(crate) fn queries_of_items(content: &Value) -> Vec<(&str, &str)> {
    queries(content).into_iter().filter(|(signal, _)| *signal != "metrics").collect()
}

/// The queries of panels and alerts, each after its signal.
pub(crate) fn queries(content: &Value) -> Vec<(&str, &str)> {
    match content {
        Value::Array(list) => list.iter().flat_map(queries).collect(),
        Value::Object(map) => {
            let of_panel = map.get("fields").zip(map.get("query"));
            let of_alert = map.get("query_condition").map(|condition| (content, &condition["sql"]));
            let asked = of_panel
                .or(of_alert)
                .and_then(|(place, query)| Some((place["stream_type"].as_str()?, query.as_str()?)));
            asked.into_iter().chain(map.values().flat_map(queries)).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn log_records_and_spans_are_weighted_by_their_adjusted_count() {
    const WEIGHT: &str = "coalesce(TRY_CAST(lambda_otlp_adjusted_count AS DOUBLE), 1)";
    let mut weighted = 0;
    for (name, content) in files("dashboards").into_iter().chain(files("alerts")) {
        for (_, query) in queries_of_items(&content) {
            assert!(!query.contains("count("), "{name}: {query}");
            assert!(!query.contains("approx_percentile_cont("), "{name}: {query}");
            let sums = query.matches("sum(").count();
            let percentiles = query.matches("approx_percentile_cont_with_weight(").count();
            assert_eq!(query.matches(WEIGHT).count(), sums + percentiles, "{name}: {query}");
            weighted += sums + percentiles;
        }
    }
    assert!(weighted > 0);
}

#[test]
fn links_lead_to_shipped_dashboards_and_set_their_variables() {
    let dashboards = files("dashboards");
    for (name, dashboard) in &dashboards {
        for panel in panels(dashboard) {
            for link in list(&panel["config"]["drilldown"]) {
                let at = format!("{name}: {}: {}", panel["id"], link["name"]);
                let data = &link["data"];
                let (_, target) = dashboards
                    .iter()
                    .find(|(_, it)| it["title"] == data["dashboard"])
                    .unwrap_or_else(|| panic!("{at}: to no dashboard"));
                for variable in list(&data["variables"]) {
                    let mut known = list(&target["variables"]["list"]).iter();
                    assert!(known.any(|known| known["name"] == variable["name"]), "{at}");
                    let value = text(&variable["value"]);
                    let label = value
                        .strip_prefix(r#"${row.field[""#)
                        .and_then(|text| text.strip_suffix(r#""]}"#))
                        .unwrap();
                    let mut columns = list(&panel["queries"][0]["fields"]["x"]).iter();
                    assert!(columns.any(|column| column["label"] == label), "{at}: {label}");
                }
            }
        }
    }
}

#[test]
fn the_documentation_lists_each_dashboard_alert_and_objective() {
    let page = std::fs::read_to_string(workspace().join("docs/dashboards.md")).unwrap();
    for (_, dashboard) in files("dashboards") {
        let title = text(&dashboard["title"]);
        let description = text(&dashboard["description"]);
        let row = format!("| {title} | {description} |");
        assert!(page.contains(&row), "{row}");
    }
    for (_, alert) in files("alerts").into_iter().chain(files("slos")) {
        let row = format!("| `{}` | {} |", text(&alert["name"]), text(&alert["description"]));
        assert!(page.contains(&row), "{row}");
    }
}
