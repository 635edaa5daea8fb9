//! `lambda-otlp dashboards`, `alerts` and `slos` against a server: installed, edited by a user, installed again, removed.

use super::shapes::{files, metric_streams, queries, queries_of_items};
use crate::program::Ended;
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use lambda_otlp_tests::binary;
use local_lambda::HttpServer;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::process::Command;
use wire::{Limits, Metrics, SignalKind};

const USER: &str = "root@example.com";
const PASSWORD: &str = "s3cret-password";
/// The beginnings of the names of metric streams that each function fills in its first invocation. All others are created.
const OF_FUNCTIONS: [&str; 9] = [
    "aws_lambda_billed_",
    "aws_lambda_extension_overhead",
    "aws_lambda_invocations",
    "aws_lambda_memory_",
    "aws_lambda_response_",
    "aws_lambda_runtime_overhead",
    "faas_init_duration",
    "faas_invoke_duration",
    "faas_mem_usage",
];
/// Metrics of streams that `install` creates.
const RARE: usize = 15;

fn authorization(password: &str) -> String {
    let credentials = format!("{USER}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

/// A server with the paths of OpenObserve's API for folders, dashboards and alerts in the organization `default`.
struct Server {
    base: String,
    state: Arc<Mutex<State>>,
    _http: HttpServer,
}

#[derive(Default)]
struct State {
    items: Vec<InstalledObject>,
    metric_streams: BTreeSet<String>,
    metrics_received: usize,
    /// Requests with log records or spans.
    rows_received: usize,
    /// Columns of each stream, `default?type=logs`.
    columns: BTreeMap<String, BTreeSet<String>>,
    /// Their user-defined schemas.
    defined: BTreeMap<String, BTreeSet<String>>,
    /// A stream with more columns gets a user-defined schema.
    most_without_schema: Option<usize>,
    max_query_hours: u64,
    refuses_folders: bool,
    /// `true` for an older version.
    has_no_slos: bool,
    /// `true` for a version of 2025.
    cannot_declare: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct InstalledObject {
    /// `folders/dashboards`, `dashboards`, `folders/alerts`, `alerts` or `slos`.
    kind: String,
    folder: String,
    id: String,
    content: Value,
    /// The number of updates, which is the hash of this version.
    updates: usize,
}

impl Server {
    async fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let http =
            HttpServer::start(move |request| answer(Arc::clone(&shared), request)).await.unwrap();
        Self { base: format!("http://{}/api/default", http.address()), state, _http: http }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn items(&self, kind: &str) -> Vec<InstalledObject> {
        self.state().items.iter().filter(|item| item.kind == kind).cloned().collect()
    }

    /// Runs the command with these words.
    async fn lambda_otlp(&self, words: &str) -> Ended {
        run(&self.base, words, PASSWORD).await
    }
}

async fn run(base: &str, words: &str, password: &str) -> Ended {
    let output = Command::new(binary("lambda-otlp"))
        .args(words.split(' '))
        .args(["--endpoint", base, "--header"])
        .arg(format!("authorization={}", authorization(password)))
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    Ended::new(output)
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, incoming) = request.into_parts();
    let body = incoming.collect().await.unwrap().to_bytes();
    let is_known =
        parts.headers.get("authorization").is_some_and(|it| *it == *authorization(PASSWORD));
    let (status, json) = if is_known {
        let query = parts.uri.query().unwrap_or_default();
        let json = serde_json::from_slice(&body).unwrap_or_default();
        let mut state = state.lock().unwrap();
        if parts.uri.path().ends_with("/v1/metrics") {
            let body = wire::gzip::inflate(&body, 1 << 20).unwrap();
            let request = wire::Request::check(SignalKind::Metrics, body, &Limits::default());
            state.store(&request.unwrap().decode::<Metrics>().unwrap().unwrap());
        }
        state.answer(parts.method.as_str(), parts.uri.path(), query, json)
    } else {
        (401, Value::Null)
    };
    let body = Full::from(if json.is_null() { String::new() } else { json.to_string() });
    Response::builder().status(status).body(body).unwrap()
}

impl State {
    /// Creates the streams of these metrics, as OpenObserve does.
    fn store(&mut self, request: &ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
        for metric in scopes.flat_map(|scope| &scope.metrics) {
            let suffixes: &[&str] = match metric.data {
                Some(Data::Histogram(_)) => &["", "_bucket", "_count", "_max", "_min", "_sum"],
                _ => &[""],
            };
            let name = backend::stored_stream(&metric.name);
            for stream in suffixes.iter().map(|suffix| format!("{name}{suffix}")) {
                self.columns.entry(format!("{stream}?type=metrics")).or_default();
                self.metric_streams.insert(stream);
            }
        }
    }

    fn answer(&mut self, method: &str, path: &str, query: &str, body: Value) -> (u16, Value) {
        let path = path.trim_start_matches("/api/").trim_start_matches("v2/");
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (kind, id) = match segments.as_slice() {
            ["streams"] => {
                let streams = self.metric_streams.iter().map(|name| json!({ "name": name }));
                return (200, json!({ "list": streams.collect::<Value>() }));
            }
            ["v1", "metrics"] => {
                self.metrics_received += 1;
                return (200, Value::Null);
            }
            ["streams", stream, "schema"] => {
                let stream = format!("{stream}?{query}");
                let Some(columns) = self.columns.get(&stream) else { return (404, Value::Null) };
                let schema: Value = columns.iter().map(|name| json!({"name": name})).collect();
                let settings = json!({
                    "defined_schema_fields": self.defined.get(&stream).cloned().unwrap_or_default(),
                    "max_query_range": self.max_query_hours,
                });
                return (200, json!({ "schema": schema, "settings": settings }));
            }
            ["streams", stream, "settings"] => {
                let defined = self.defined.entry(format!("{stream}?{query}")).or_default();
                let add = body["defined_schema_fields"]["add"].as_array().unwrap();
                defined.extend(add.iter().map(|name| name.as_str().unwrap().to_owned()));
                return (200, Value::Null);
            }
            ["streams", _, "update_fields"] if self.cannot_declare => return (404, Value::Null),
            ["streams", stream, "update_fields"] => {
                let stream = format!("{stream}?{query}");
                let columns = self.columns.entry(stream.clone()).or_default();
                for field in body["fields"].as_array().unwrap() {
                    columns.insert(field["name"].as_str().unwrap().to_owned());
                }
                // As on 0.93-dev: of a declaration that exceeds the limit, the first columns by name.
                if let Some(most) = self.most_without_schema.filter(|most| columns.len() > *most) {
                    let first = columns.iter().take(most).cloned().collect();
                    self.defined.entry(stream).or_insert(first);
                }
                return (200, Value::Null);
            }
            ["v1", _] => {
                self.rows_received += 1;
                return (200, Value::Null);
            }
            ["slos", ..] if self.has_no_slos => return (404, json!({"message": "Not Found"})),
            ["folders", of] => (format!("folders/{of}"), ""),
            ["folders", of, id] => (format!("folders/{of}"), *id),
            [kind] => ((*kind).to_owned(), ""),
            [kind, id] => ((*kind).to_owned(), *id),
            _ => return (404, Value::Null),
        };
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
        };
        let folder = parameter("folder").to_owned();
        let hash = parameter("hash");
        let place = self.items.iter().position(|item| item.kind == kind && item.id == id);
        match (method, place) {
            ("GET", _) => {
                let all = self.items.iter();
                let listed = all.filter(|item| item.kind == kind && item.folder == folder);
                let list: Value = listed.map(InstalledObject::to_json).collect();
                (200, json!({ "list": list, "dashboards": list }))
            }
            ("POST", _) if self.refuses_folders && kind.starts_with("folders/") => {
                (503, Value::Null)
            }
            ("POST", _) => {
                let id = (self.items.len() + 1).to_string();
                let item = InstalledObject { kind, folder, id, content: body, updates: 0 };
                let answer = item.to_json();
                self.items.push(item);
                (200, answer)
            }
            // An update of a dashboard must have the hash of the stored version.
            ("PUT", Some(at))
                if kind != "dashboards" || hash == self.items[at].updates.to_string() =>
            {
                self.items[at].content = body;
                self.items[at].updates += 1;
                (200, Value::Null)
            }
            ("PUT", Some(_)) => (409, Value::Null),
            ("DELETE", Some(at)) => {
                self.items.remove(at);
                (200, Value::Null)
            }
            _ => (404, Value::Null),
        }
    }
}

impl InstalledObject {
    /// The item in a list.
    fn to_json(&self) -> Value {
        let mut json = json!({
            "folderId": self.id, "id": self.id, "dashboard_id": self.id, "alert_id": self.id, "hash": self.updates.to_string(),
        });
        for key in ["name", "description", "title", "enabled"] {
            if let Some(value) = self.content.get(key) {
                json[key] = value.clone();
            }
        }
        json
    }
}

/// The actions in the printed rows.
fn actions(stdout: &str) -> Vec<&str> {
    const ACTIONS: [&str; 5] = ["install", "replace", "remove", "wait", "failed"];
    let words = stdout.lines().filter_map(|line| line.split(' ').next());
    words.filter(|word| ACTIONS.contains(word)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_folder_creation_is_reported_and_resumable() {
    let server = Server::start().await;
    server.state().refuses_folders = true;
    let Ended { code, stdout, stderr } = server.lambda_otlp("dashboards install").await;
    assert_eq!((code, stdout.as_str()), (64, ""));
    assert!(stderr.contains("cannot create the folder lambda-otlp: "), "{stderr}");
    assert!(stderr.contains(" answered 503"), "{stderr}");
    // The next time the rest is done.
    server.state().refuses_folders = false;
    let Ended { code, stdout, .. } = server.lambda_otlp("dashboards install").await;
    let expected = files("dashboards").len();
    assert_eq!((code, server.items("dashboards").len()), (0, expected), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_are_installed_replaced_and_removed() {
    let server = Server::start().await;
    let count = files("dashboards").len();

    let Ended { code, stdout, stderr } = server.lambda_otlp("dashboards install --dry-run").await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.ends_with("nothing was changed\n"), "{stdout}");
    let untouched = |state: &State| {
        state.items.is_empty() && state.metrics_received == 0 && state.columns.is_empty()
    };
    assert!(untouched(&server.state()));

    // A function that never failed has no stream of errors, and without a forwarder there are none of the pipeline: they are made.
    let Ended { code, stdout, stderr } = server.lambda_otlp("dashboards install").await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert_eq!(actions(&stdout), vec!["install"; count + RARE + 3], "{stdout}");
    assert_eq!(server.state().metrics_received, RARE);
    // Columns need no record and no span.
    assert_eq!(server.state().rows_received, 0);
    for (name, dashboard) in files("dashboards") {
        assert_has_columns(&server.state(), &name, &dashboard);
    }
    for (name, dashboard) in files("dashboards") {
        for stream in metric_streams(&dashboard) {
            let is_there = server.state().metric_streams.contains(stream);
            let is_of_functions = OF_FUNCTIONS.iter().any(|name| stream.starts_with(name));
            assert_ne!(is_there, is_of_functions, "{name}: {stream}");
        }
    }
    let installed = server.items("dashboards");
    assert_eq!(installed.len(), count);

    // A user edits a dashboard in place, and has a copy of it and a dashboard of ours in another folder.
    let first = &installed[0];
    let mut copy = first.content.clone();
    copy["title"] = json!("Lambda: overview - Copy");
    let copies = [
        InstalledObject { id: "copy".to_owned(), content: copy, ..first.clone() },
        InstalledObject { id: "other".to_owned(), folder: "default".to_owned(), ..first.clone() },
    ];
    {
        let mut state = server.state();
        let at = state.items.iter().position(|item| item == first).unwrap();
        state.items[at].content["tabs"][0]["panels"][0]["title"] = json!("Edited");
        state.items[at].updates += 1;
        state.items.extend(copies.clone());
    }
    let Ended { code, stdout, stderr } = server.lambda_otlp("dashboards install").await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert_eq!(actions(&stdout), vec!["replace"; count], "{stdout}");
    let again = server.items("dashboards");
    let ids_and_contents = |items: &[InstalledObject]| -> Vec<(String, Value)> {
        items.iter().map(|item| (item.id.clone(), item.content.clone())).collect()
    };
    assert_eq!(ids_and_contents(&again[..count]), ids_and_contents(&installed));
    assert_eq!((&again[count..], server.state().metrics_received), (&copies[..], RARE));

    // Another stream makes other dashboards.
    server.lambda_otlp("dashboards install --stream shop").await;
    let text = server.items("dashboards")[0].content.to_string();
    assert!(text.contains(r#""stream":"shop""#) && !text.contains(r#""stream":"default""#));
    assert!(text.contains(r#"FROM \"logs\".\"shop\""#), "{text}");
    assert!(text.contains(r#""folder":"lambda-otlp""#), "{text}");
    // Links lead to dashboards of the same folder.
    server.lambda_otlp("dashboards install --folder ours").await;
    let all = server.items("dashboards");
    let text = all.iter().map(|item| item.content.to_string()).find(|it| it.contains("\"ours\""));
    assert!(!text.unwrap().contains(r#""folder":"lambda-otlp""#));
    server.lambda_otlp("dashboards remove --folder ours").await;

    let Ended { code, stdout, .. } = server.lambda_otlp("dashboards remove").await;
    assert_eq!((code, actions(&stdout)), (0, vec!["remove"; count]), "{stdout}");
    assert_eq!(server.items("dashboards"), copies);

    let Ended { code, stdout, .. } = server.lambda_otlp("dashboards remove").await;
    assert_eq!((code, stdout.as_str()), (0, "nothing is installed\n"));
}

/// Fails if a query of a dashboard or alert asks for a column that only some rows have, and no one made.
fn assert_has_columns(state: &State, name: &str, content: &Value) {
    const OF_EVERY_SPAN: [&str; 10] = [
        "_timestamp",
        "duration",
        "end_time",
        "operation_name",
        "service_name",
        "span_id",
        "span_kind",
        "span_status",
        "start_time",
        "trace_id",
    ];
    const OF_EVERY_POINT: [&str; 4] = ["_timestamp", "faas_name", "le", "value"];
    for (_, query) in queries(content).into_iter().filter(|(signal, _)| *signal == "metrics") {
        let Some((_, from)) = query.split_once("FROM \"") else { continue };
        let stream = from.split('"').next().unwrap();
        let Some(created) = state.columns.get(&format!("{stream}?type=metrics")) else { continue };
        for column in columns(query) {
            // The forwarder's own zero has its columns.
            let is_there = created.contains(column)
                || OF_EVERY_POINT.contains(&column)
                || column.starts_with("lambda_otlp_");
            assert!(is_there, "{name}: {stream}: {column}");
        }
    }
    for (signal, query) in queries_of_items(content) {
        let created = state.columns.get(&format!("default?type={signal}"));
        for column in columns(query) {
            let is_there = created.is_some_and(|created| created.contains(column))
                || (signal == "traces" && OF_EVERY_SPAN.contains(&column));
            assert!(is_there, "{name}: {signal}: {column}");
        }
    }
}

/// The columns that a query asks: lower-case words outside of quotes that are no functions and no names of its own results.
fn columns(query: &str) -> BTreeSet<&str> {
    let unquoted = query.split(['"', '\'']).step_by(2);
    let is_of_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut columns = BTreeSet::new();
    for part in unquoted {
        let mut rest = part;
        let mut is_name = false;
        while let Some(start) = rest.find(is_of_word) {
            let (before, from_word) = rest.split_at(start);
            let length = from_word.find(|it| !is_of_word(it)).unwrap_or(from_word.len());
            let (word, after) = from_word.split_at(length);
            let is_column =
                word.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
            let is_result =
                ["x_axis_", "y_axis_", "breakdown_"].iter().any(|it| word.starts_with(it));
            let is_variable = before.ends_with('$');
            if is_column && !is_name && !is_result && !is_variable && !after.starts_with('(') {
                columns.insert(word);
            }
            is_name = word == "AS";
            rest = after;
        }
    }
    columns
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_create_columns_is_reported() {
    let server = Server::start().await;
    server.state().cannot_declare = true;
    let Ended { code, stdout, .. } = server.lambda_otlp("alerts install --notify pager").await;
    assert_eq!(code, 0, "{stdout}");
    let row = "this OpenObserve is too old to create columns of logs: panels fail until telemetry has them";
    assert!(stdout.contains(row), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_defined_schema_has_established_columns_and_those_that_panels_ask() {
    const MOST: usize = 40;
    let own: BTreeSet<String> = (0..MOST).map(|number| format!("zone_{number}")).collect();
    // The declaration begins the schema of one signal. Telemetry began that of the other.
    let server = Server::start().await;
    {
        let mut state = server.state();
        state.most_without_schema = Some(MOST);
        state.columns.insert("default?type=logs".to_owned(), own.clone());
        state.columns.insert("default?type=traces".to_owned(), own.clone());
        state.defined.insert("default?type=traces".to_owned(), ["zone_1".to_owned()].into());
    }
    let Ended { code, stdout, .. } = server.lambda_otlp("dashboards install").await;
    assert_eq!(code, 0, "{stdout}");
    {
        let state = server.state();
        let logs = &state.defined["default?type=logs"];
        let traces = &state.defined["default?type=traces"];
        assert!(logs.is_superset(&own), "{logs:?}");
        for (signal, defined) in [("logs", logs), ("traces", traces)] {
            let query = format!("default?type={signal}");
            let asked: BTreeSet<String> = state.columns[&query].difference(&own).cloned().collect();
            assert!(!asked.is_empty() && defined.is_superset(&asked), "{signal}: {defined:?}");
        }
        // What the user left out stays out.
        assert!(
            !traces.contains("zone_2") && stdout.contains("of traces added to its user-defined")
        );
    }
    let Ended { stdout, .. } = server.lambda_otlp("dashboards install").await;
    assert!(!stdout.contains("user-defined"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_reads_no_more_hours_than_its_stream_allows() {
    let server = Server::start().await;
    server.state().max_query_hours = 24;
    let Ended { code, stdout, .. } = server.lambda_otlp("alerts install --notify pager").await;
    assert_eq!(code, 0, "{stdout}");
    let alerts = server.items("alerts");
    let error = alerts.iter().find(|it| it.content["name"] == "lambda_new_error").unwrap();
    assert_eq!(error.content["trigger_condition"]["period"], 24 * 60);
    assert!(stdout.contains("reads 24 hours"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_permissions_and_arguments_are_reported_first() {
    let server = Server::start().await;
    let Ended { code, stdout, stderr } =
        run(&server.base, "dashboards install", "wr0ng-password").await;
    assert_eq!((code, stdout.as_str()), (64, ""));
    assert!(stderr.contains("answered 401: these credentials may not manage"), "{stderr}");
    assert!(!stderr.contains("wr0ng") && stderr.lines().count() == 1, "{stderr}");
    let Ended { code, stderr, .. } = server.lambda_otlp("alerts install").await;
    assert!(code == 64 && stderr.contains("--notify"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_page_is_printed_in_one_line_without_credentials() {
    let page = |request: Request<Incoming>| {
        let header = request.headers()["authorization"].to_str().unwrap();
        let text = format!("authorization: {header} {USER}:{PASSWORD}");
        let page = format!("<h1>\x1b[2JError</h1>\n<p>{text}</p>\n");
        std::future::ready(Response::builder().status(500).body(page.into()).unwrap())
    };
    let server = HttpServer::start(page).await.unwrap();
    let base = format!("http://{}/api/default", server.address());
    let Ended { stderr, .. } = run(&base, "dashboards remove", PASSWORD).await;
    let text = ": <h1> [2JError</h1> <p>authorization: **** ****</p>\n";
    assert!(stderr.contains("/api/v2/default/folders/dashboards answered 500"), "{stderr}");
    assert!(stderr.ends_with(text) && stderr.lines().count() == 1, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_installed_once_their_streams_exist() {
    let server = Server::start().await;
    let alerts = files("alerts");
    let install = "alerts install --notify pager";

    // Before anything has run there is nothing that some of them could watch.
    let Ended { code, stdout, .. } = server.lambda_otlp(install).await;
    assert_eq!(code, 0, "{stdout}");
    assert!(
        stdout.contains(
            "there is no stream aws_lambda_memory_utilization_max yet: install again after a function has run"
        ),
        "{stdout}"
    );
    let streams = alerts.iter().map(|(_, alert)| alert["stream_name"].as_str().unwrap().to_owned());
    server.state().metric_streams = streams.collect();
    let Ended { code, stdout, .. } = server.lambda_otlp(install).await;
    assert_eq!((code, server.items("alerts").len()), (0, alerts.len()), "{stdout}");
    for (name, alert) in &alerts {
        assert_has_columns(&server.state(), name, alert);
    }

    // A user pauses an alert, changes a threshold of another, and adds one.
    let installed = server.items("alerts");
    assert_eq!(installed[0].content["destinations"], json!(["pager"]));
    let place = |name: &str| installed.iter().position(|it| it.content["name"] == name).unwrap();
    let paused = place("lambda_timeouts");
    let changed = place("pipeline_lag");
    let mut own = installed[changed].clone();
    (own.id, own.content["name"]) = ("own".to_owned(), json!("pipeline_lag_of_ours"));
    {
        let mut state = server.state();
        for item in &mut state.items {
            if item.id == installed[paused].id {
                item.content["enabled"] = json!(false);
            } else if item.id == installed[changed].id {
                item.content["trigger_condition"]["silence"] = json!(5);
            }
        }
        state.items.push(own.clone());
    }
    let Ended { code, stdout, .. } = server.lambda_otlp(install).await;
    assert_eq!((code, actions(&stdout)), (0, vec!["replace"; alerts.len()]), "{stdout}");
    let again = server.items("alerts");
    assert_eq!(again[paused].content["enabled"], false, "a paused alert stays paused");
    assert_eq!(again[changed].content, installed[changed].content);
    assert_eq!(again[alerts.len()..], [own.clone()]);

    let Ended { code, stdout, .. } = server.lambda_otlp("alerts remove").await;
    assert_eq!((code, actions(&stdout)), (0, vec!["remove"; alerts.len()]), "{stdout}");
    assert_eq!(server.items("alerts"), [own]);
}

#[tokio::test(flavor = "multi_thread")]
async fn objectives_and_their_alerts_are_installed_replaced_and_removed() {
    let server = Server::start().await;
    let count = files("slos").len();
    // Two burn rates of each.
    let all = 3 * count;
    let install = "slos install --notify pager --success 99.9 --fast 0.5";

    let Ended { code, stdout, .. } = server.lambda_otlp(&format!("{install} --dry-run")).await;
    assert_eq!((code, actions(&stdout)), (0, vec!["install"; all]), "{stdout}");
    assert_eq!(server.state().items, []);

    let Ended { code, stdout, stderr } = server.lambda_otlp(install).await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let slos = server.items("slos");
    let alerts = server.items("alerts");
    assert_eq!((slos.len(), alerts.len()), (count, 2 * count));
    let named = |name: &str| &slos.iter().find(|it| it.content["name"] == name).unwrap().content;
    assert_eq!(named("lambda_success")["target"], 99.9);
    let latency = named("lambda_latency");
    assert_eq!(latency["target"], 95.0);
    assert!(latency.to_string().contains(r#"le=\"0.5\"}[5m]"#), "{latency}");
    assert!(latency["description"].as_str().unwrap().ends_with("at most 0.5 s."), "{latency}");
    for alert in &alerts {
        let condition = &alert.content["query_condition"]["slo_condition"];
        let slo = slos.iter().find(|slo| condition["slo_id"] == slo.id).unwrap();
        let name = alert.content["name"].as_str().unwrap();
        assert!(name.starts_with(slo.content["name"].as_str().unwrap()), "{name}");
        assert_eq!(alert.content["destinations"], json!(["pager"]));
    }

    // A user pauses one of each, and has an alert.
    {
        let mut state = server.state();
        for kind in ["slos", "alerts"] {
            let item = state.items.iter_mut().find(|item| item.kind == kind).unwrap();
            item.content["enabled"] = json!(false);
        }
        let mut own = alerts[0].clone();
        (own.id, own.content["name"]) = ("own".to_owned(), json!("lambda_success_of_ours"));
        state.items.push(own);
    }
    let Ended { code, stdout, .. } = server.lambda_otlp(install).await;
    assert_eq!((code, actions(&stdout)), (0, vec!["replace"; all]), "{stdout}");
    assert_eq!(server.items("slos")[0].content["enabled"], false);
    assert_eq!(server.items("alerts")[0].content["enabled"], false);

    let Ended { code, stdout, .. } = server.lambda_otlp("slos remove").await;
    assert_eq!((code, actions(&stdout)), (0, vec!["remove"; all]), "{stdout}");
    assert_eq!((server.items("slos").len(), server.items("alerts").len()), (0, 1));

    server.state().has_no_slos = true;
    let Ended { code, stdout, stderr } = server.lambda_otlp(install).await;
    assert_eq!((code, stdout.as_str()), (64, ""));
    assert!(
        stderr.contains("this OpenObserve has no SLOs") && stderr.lines().count() == 1,
        "{stderr}"
    );
}
