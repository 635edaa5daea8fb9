//! The files have the shape of version 5, which every OpenObserve since 0.13 reads.

use lambda_otlp_tests::workspace;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const GRID: i64 = 48;

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

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["tabs"]).iter().flat_map(|tab| list(&tab["panels"]))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn has(object: &Value, keys: &[&str], at: &str) {
    for key in keys {
        assert!(object.get(key).is_some_and(|value| !value.is_null()), "{at}: no {key}: {object}");
    }
}

#[test]
fn dashboards_have_the_fields_of_version_5() {
    for (name, dashboard) in files("dashboards") {
        has(&dashboard, &["title", "description", "tabs", "variables"], &name);
        assert_eq!(dashboard["version"], 5, "{name}");
        let mut ids = BTreeSet::new();
        for panel in panels(&dashboard) {
            let at = format!("{name}: {}", panel["id"]);
            has(panel, &["id", "type", "title", "description", "config", "queries", "layout"], &at);
            assert!(ids.insert(text(&panel["id"])), "{at}: twice");
            assert!(!text(&panel["description"]).is_empty(), "{at} says nothing");
            assert!(panel["config"]["show_legends"].is_boolean(), "{at}");
            // A point of PromQL is the time before it: without a step, windows overlap or leave gaps.
            let is_promql = panel["queryType"] == "promql";
            assert_eq!(panel["config"]["step_value"] == "5m", is_promql, "{at}");
            for query in list(&panel["queries"]) {
                has(query, &["query", "customQuery", "fields", "config"], &at);
                has(&query["fields"], &["stream", "stream_type", "x", "y", "z", "filter"], &at);
                let conditions = list(&query["fields"]["filter"]["conditions"]);
                assert!(
                    query["fields"]["filter"]["conditions"].is_array() && conditions.is_empty()
                );
                assert!(query["config"]["promql_legend"].is_string(), "{at}");
                let asked = text(&query["query"]);
                assert!(asked.contains(text(&query["fields"]["stream"])), "{at}: another stream");
                assert!(!is_promql || asked.contains("[5m]"), "{at}");
                // OpenObserve repeats the first quantile at every step without samples; a factor of 1 is absent there.
                let is_quantile = asked.starts_with("histogram_quantile(");
                assert!(!is_quantile || asked.contains(">= bool 0)"), "{at}");
                knows_its_variables(asked, &dashboard, &at);
            }
        }
        lies_on_the_grid(&dashboard, &name);
    }
}

/// Fails if a query has a variable that the dashboard has not.
fn knows_its_variables(query: &str, dashboard: &Value, at: &str) {
    let variables = list(&dashboard["variables"]["list"]);
    for part in query.split('$').skip(1) {
        let is_known = variables.iter().any(|known| part.starts_with(text(&known["name"])));
        assert!(is_known, "{at}: ${part}");
    }
}

fn lies_on_the_grid(dashboard: &Value, name: &str) {
    let mut taken = BTreeSet::new();
    for panel in panels(dashboard) {
        let side = |key: &str| panel["layout"][key].as_i64().unwrap();
        assert!(side("x") >= 0 && side("x") + side("w") <= GRID, "{name}: {}", panel["id"]);
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{name}: {} lies on another panel", panel["id"]);
            }
        }
    }
}

#[test]
fn the_documentation_lists_each_dashboard_and_alert() {
    let page = std::fs::read_to_string(workspace().join("docs/dashboards.md")).unwrap();
    for (_, dashboard) in files("dashboards") {
        let (title, description) = (text(&dashboard["title"]), text(&dashboard["description"]));
        let row = format!("| {title} | {description} |");
        assert!(page.contains(&row), "{row}");
    }
    for (_, alert) in files("alerts") {
        let row = format!("| `{}` | {} |", text(&alert["name"]), text(&alert["description"]));
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn alerts_have_the_fields_of_version_2() {
    for (name, alert) in files("alerts") {
        has(&alert, &["name", "description", "stream_type", "stream_name"], &name);
        has(&alert, &["is_real_time", "query_condition", "trigger_condition", "enabled"], &name);
        assert_eq!(text(&alert["name"]), name.replace('-', "_"));
        // Recipients are named at installation.
        assert!(alert.get("destinations").is_none(), "{name}");
        let trigger = &alert["trigger_condition"];
        has(trigger, &["period", "operator", "threshold", "frequency", "silence"], &name);
        assert_eq!(trigger["frequency_type"], "minutes", "{name}");
        let condition = &alert["query_condition"];
        match text(&condition["type"]) {
            "sql" => assert!(
                !text(&condition["sql"]).contains('*'),
                "{name}: OpenObserve refuses SELECT *"
            ),
            "promql" => {
                has(&condition["promql_condition"], &["column", "operator", "value"], &name);
            }
            other => panic!("{name}: {other}"),
        }
    }
}
