//! `lambda-otlp dashboards` and `alerts` against a backend: installed, edited by a user, installed again, removed.

use super::shapes::files;
use base64::Engine as _;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use lambda_otlp_tests::{binary, layer};
use serde_json::{Value, json};
use simulator::sink::{Builder, ScriptedResponse, Sink};
use simulator::{FunctionSpec, Lambda};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

const USER: &str = "root@example.com";
const PASSWORD: &str = "s3cret-password";

fn sink() -> Builder {
    Sink::builder().user(USER, PASSWORD)
}

fn authorization(password: &str) -> String {
    let credentials = format!("{USER}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
}

/// Runs the command with these words; returns exit code, output and messages.
async fn lambda_otlp(sink: &Sink, words: &str) -> (i32, String, String) {
    let header = format!("authorization={}", authorization(PASSWORD));
    with_header(sink, words, &header).await
}

async fn with_header(sink: &Sink, words: &str, header: &str) -> (i32, String, String) {
    let output = Command::new(binary("lambda-otlp"))
        .args(words.split(' '))
        .args(["--endpoint", sink.base(), "--header", header])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn ask(sink: &Sink, method: &str, path: &str, body: Option<&Value>) -> Value {
    let stream = TcpStream::connect(sink.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::builder()
        .method(method)
        .uri(format!("/api/{path}"))
        .header("host", "localhost")
        .header("authorization", authorization(PASSWORD))
        .header("content-type", "application/json")
        .body(body.map(Value::to_string).unwrap_or_default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status();
    let answer = response.into_body().collect().await.unwrap().to_bytes();
    assert!(status.is_success(), "{method} {path}: {status} {answer:?}");
    serde_json::from_slice(&answer).unwrap_or(Value::Null)
}

async fn folder(sink: &Sink, of: &str) -> Option<String> {
    let folders = ask(sink, "GET", &format!("v2/default/folders/{of}"), None).await;
    let list = folders["list"].as_array().unwrap();
    let found = list.iter().find(|folder| folder["name"] == "lambda-otlp")?;
    Some(found["folderId"].as_str().unwrap().to_owned())
}

/// The dashboards in the folder by title, each as the server has it.
async fn dashboards(sink: &Sink) -> Vec<Value> {
    let Some(folder) = folder(sink, "dashboards").await else { return Vec::new() };
    let path = format!("default/dashboards?folder={folder}");
    let mut found = Vec::new();
    for item in ask(sink, "GET", &path, None).await["dashboards"].as_array().unwrap() {
        let id = item["dashboard_id"].as_str().unwrap();
        found.push(ask(sink, "GET", &format!("default/dashboards/{id}"), None).await);
    }
    found
}

/// The actions in the printed rows.
fn actions(printed: &str) -> Vec<&str> {
    const ACTIONS: [&str; 5] = ["install", "replace", "remove", "wait", "failed"];
    let words = printed.lines().filter_map(|line| line.split(' ').next());
    words.filter(|word| ACTIONS.contains(word)).collect()
}

fn titles(dashboards: &[Value]) -> Vec<&str> {
    dashboards.iter().map(|it| it["v5"]["title"].as_str().unwrap()).collect()
}

/// Sends the telemetry that alerts watch to this backend, from a function with the layer and the forwarder as processes:
/// invocations, an error, a panic, an exit, a timeout, exhausted memory, and the forwarder's own figures.
async fn send_all_kinds(sink: &Sink, headers: &str) {
    let directory = tempfile::tempdir().unwrap();
    let layer = layer(directory.path().join("layer"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();

    let lambda = Lambda::start().await.unwrap();
    let forwarder = FunctionSpec::new("forwarder", binary("lambda-otlp-forwarder"))
        .timeout(Duration::from_mins(1))
        .env("LAMBDA_OTLP_VITALS", "otlp")
        .env("LAMBDA_OTLP_HEADERS", headers)
        .env("LAMBDA_OTLP_ENDPOINT", sink.base());
    lambda.create_function(forwarder).unwrap();
    let orders = FunctionSpec::new("orders", binary("demo-function"))
        .timeout(Duration::from_secs(2))
        .layer(layer)
        .env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string())
        .env("DEMO_LEDGER", directory.path().join("ledger").to_str().unwrap());
    lambda.create_function(orders).unwrap();
    lambda.subscribe("/aws/lambda/orders", "forwarder", "").unwrap();
    // An environment sends its figures with its first delivery, and then once a minute; the delivery of CloudWatch's
    // probe has none.
    lambda.flush_subscriptions().await;
    lambda.recycle("forwarder").await.unwrap();

    for action in ["ok", "ok", "error", "panic", "exit", "timeout"] {
        let payload = json!({"action": action, "children": 2, "logs": 1}).to_string();
        lambda.invoke("orders", payload).await.unwrap();
        lambda.wait_for_invocations().await;
        lambda.flush_subscriptions().await;
    }
    // An invocation hangs until its memory is exhausted.
    let hanging = lambda.invoke("orders", json!({"action": "timeout"}).to_string());
    let exhausted = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        while lambda.exhaust_memory("orders") == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (invoked, ()) = tokio::join!(hanging, exhausted);
    invoked.unwrap();
    lambda.recycle("orders").await.unwrap();
    lambda.flush_subscriptions().await;
    lambda.wait_for_async_invocations().await;
    lambda.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_folder_creation_is_reported_and_resumable() {
    let sink = sink().start().await.unwrap();
    let zeros = std::iter::repeat_n(ScriptedResponse::Ok, 4);
    sink.script(zeros.chain([ScriptedResponse::Status(503)]));
    let (code, printed, _) = lambda_otlp(&sink, "dashboards install").await;
    let mut expected = vec!["install"; 4];
    expected.push("failed");
    assert_eq!((code, actions(&printed)), (1, expected), "{printed}");
    let failed = printed.lines().find(|line| line.starts_with("failed")).unwrap();
    assert!(failed.contains("lambda-otlp ") && failed.contains("the folder: answered 503"));
    // The next time the rest is done.
    let (code, printed, _) = lambda_otlp(&sink, "dashboards install").await;
    assert_eq!((code, dashboards(&sink).await.len()), (0, files("dashboards").len()), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_are_installed_replaced_and_removed() {
    let sink = sink().start().await.unwrap();
    let count = files("dashboards").len();

    let (code, printed, said) = lambda_otlp(&sink, "dashboards install --dry-run").await;
    assert_eq!((code, said.as_str()), (0, ""), "{printed}");
    assert!(printed.ends_with("nothing was changed\n"), "{printed}");
    assert_eq!((dashboards(&sink).await.len(), sink.counts().data_points), (0, 0));

    // A function that never failed has no stream of errors: it is made.
    let (code, printed, said) = lambda_otlp(&sink, "dashboards install").await;
    assert_eq!((code, said.as_str()), (0, ""), "{printed}");
    assert_eq!(actions(&printed), vec!["install"; count + 4], "{printed}");
    let zeros: Vec<String> = sink.metrics().iter().map(|metric| metric.stream.clone()).collect();
    assert_eq!(
        zeros,
        ["faas_errors", "faas_timeouts", "faas_coldstarts", "aws_lambda_out_of_memory"]
    );
    let installed = dashboards(&sink).await;
    assert_eq!(installed.len(), count);

    // A user edits a dashboard in place, and has a copy of it and a dashboard of ours in another folder.
    let mut edited = installed[0]["v5"].clone();
    edited["tabs"][0]["panels"][0]["title"] = json!("Edited");
    let id = edited["dashboardId"].as_str().unwrap().to_owned();
    let path = format!("default/dashboards/{id}?hash={}", installed[0]["hash"].as_str().unwrap());
    ask(&sink, "PUT", &path, Some(&edited)).await;
    let mut copy = edited.clone();
    copy["title"] = json!("Lambda: overview - Copy");
    let folder_id = folder(&sink, "dashboards").await.unwrap();
    ask(&sink, "POST", &format!("default/dashboards?folder={folder_id}"), Some(&copy)).await;
    let elsewhere = "default/dashboards?folder=default";
    ask(&sink, "POST", elsewhere, Some(&edited)).await;

    let (_, printed, _) = lambda_otlp(&sink, "dashboards install --dry-run").await;
    assert_eq!(actions(&printed), vec!["replace"; count], "{printed}");
    let (code, printed, said) = lambda_otlp(&sink, "dashboards install").await;
    assert_eq!((code, said.as_str()), (0, ""), "{printed}");
    assert_eq!(actions(&printed), vec!["replace"; count], "{printed}");
    assert!(printed.contains("Edits made in OpenObserve are overwritten"), "{printed}");
    let again = dashboards(&sink).await;
    assert_eq!(again[..count], installed, "the same dashboards, with the same ids");
    assert_eq!(again[count]["v5"]["tabs"], edited["tabs"], "the copy is the user's");
    assert_eq!(again.len(), count + 1);
    assert_eq!(sink.metrics().len(), 4);

    // Another stream makes other dashboards.
    lambda_otlp(&sink, "dashboards install --stream shop").await;
    let text = dashboards(&sink).await[0].to_string();
    assert!(text.contains(r#""stream":"shop""#) && !text.contains(r#""stream":"default""#));

    let (code, printed, _) = lambda_otlp(&sink, "dashboards remove").await;
    assert_eq!((code, actions(&printed)), (0, vec!["remove"; count]), "{printed}");
    let left = dashboards(&sink).await;
    assert_eq!(titles(&left), ["Lambda: overview - Copy"]);
    let others = ask(&sink, "GET", elsewhere, None).await;
    assert_eq!(others["dashboards"].as_array().unwrap().len(), 1, "{others}");

    // An empty folder goes too.
    let id = left[0]["v5"]["dashboardId"].as_str().unwrap();
    ask(&sink, "DELETE", &format!("default/dashboards/{id}"), None).await;
    lambda_otlp(&sink, "dashboards install").await;
    lambda_otlp(&sink, "dashboards remove").await;
    assert_eq!(folder(&sink, "dashboards").await, None);
    let (code, printed, _) = lambda_otlp(&sink, "dashboards remove").await;
    assert_eq!((code, printed.as_str()), (0, "nothing is installed\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_permissions_and_arguments_are_reported_first() {
    let sink = sink().start().await.unwrap();
    let wrong = format!("authorization={}", authorization("wr0ng-password"));
    let (code, printed, said) = with_header(&sink, "dashboards install", &wrong).await;
    assert_eq!((code, printed.as_str()), (64, ""));
    assert!(said.contains("answered 401: these credentials may not manage"), "{said}");
    assert!(!said.contains("wr0ng") && said.lines().count() == 1, "{said}");
    let (code, _, said) = lambda_otlp(&sink, "alerts install").await;
    assert!(code == 64 && said.contains("--notify"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_page_is_printed_in_one_line_without_credentials() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/api/default", server.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut request = vec![0; 64 * 1024];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]);
            let header = request.lines().find(|line| line.starts_with("authorization")).unwrap();
            let page = format!("<h1>\x1b[2JError</h1>\n<p>{header} {USER}:{PASSWORD}</p>\n");
            let head = format!("HTTP/1.1 500 Oh\r\ncontent-length: {}\r\n\r\n", page.len());
            stream.write_all((head + &page).as_bytes()).await.unwrap();
        }
    });
    let header = format!("authorization={}", authorization(PASSWORD));
    let output = Command::new(binary("lambda-otlp"))
        .args(["dashboards", "remove", "--endpoint", &base, "--header", &header])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected =
        "lambda-otlp: answered 500: <h1> [2JError</h1> <p>authorization: **** ****</p>\n";
    assert_eq!(said, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_installed_once_their_streams_exist() {
    let sink = sink().start().await.unwrap();
    let count = files("alerts").len();
    let template = json!({"name": "text", "body": "{\"text\":\"{alert_name}\"}", "type": "http"});
    ask(&sink, "POST", "default/alerts/templates", Some(&template)).await;
    let pager = json!({
        "name": "pager", "url": "https://example.com/", "method": "post", "skip_tls_verify": false,
        "template": "text", "headers": {}, "type": "http"
    });
    ask(&sink, "POST", "default/alerts/destinations", Some(&pager)).await;

    // Before anything has run there is nothing that some of them could watch.
    let (code, printed, _) = lambda_otlp(&sink, "alerts install --notify pager").await;
    assert_eq!(code, 1, "{printed}");
    assert!(
        printed.contains(
            "there is no stream lambda_otlp_forwarder_lag_max yet: set the stack's Vitals"
        ),
        "{printed}"
    );
    let (code, printed, _) = lambda_otlp(&sink, "alerts install --notify nobody").await;
    assert!(code == 1 && printed.contains("Alert destination \"nobody\" not found"), "{printed}");

    send_all_kinds(&sink, &format!("authorization={}", authorization(PASSWORD))).await;
    let (code, printed, _) = lambda_otlp(&sink, "alerts install --notify pager").await;
    assert_eq!(code, 0, "{printed}");

    // A user pauses an alert, changes a threshold of another, and adds one.
    let folder_id = folder(&sink, "alerts").await.unwrap();
    let listed = ask(&sink, "GET", &format!("v2/default/alerts?folder={folder_id}"), None).await;
    let id = |name: &str| {
        let found = listed["list"].as_array().unwrap().iter().find(|alert| alert["name"] == name);
        format!("v2/default/alerts/{}", found.unwrap()["alert_id"].as_str().unwrap())
    };
    let (paused, changed) = (id("lambda_timeouts"), id("pipeline_lag"));
    let mut alert = ask(&sink, "GET", &paused, None).await;
    alert["enabled"] = json!(false);
    ask(&sink, "PUT", &paused, Some(&alert)).await;
    let mut alert = ask(&sink, "GET", &changed, None).await;
    alert["trigger_condition"]["silence"] = json!(5);
    ask(&sink, "PUT", &changed, Some(&alert)).await;
    alert["name"] = json!("pipeline_lag_of_ours");
    ask(&sink, "POST", &format!("v2/default/alerts?folder={folder_id}"), Some(&alert)).await;

    let (code, printed, _) = lambda_otlp(&sink, "alerts install --notify pager").await;
    assert_eq!((code, actions(&printed)), (0, vec!["replace"; count]), "{printed}");
    let still = ask(&sink, "GET", &paused, None).await;
    assert_eq!(still["enabled"], false, "a paused alert stays paused");
    let replaced = ask(&sink, "GET", &changed, None).await;
    assert_eq!(replaced["trigger_condition"]["silence"], 60);

    let (code, printed, _) = lambda_otlp(&sink, "alerts remove").await;
    assert_eq!((code, actions(&printed)), (0, vec!["remove"; count]), "{printed}");
    let left = ask(&sink, "GET", &format!("v2/default/alerts?folder={folder_id}"), None).await;
    assert_eq!(left["list"][0]["name"], "pipeline_lag_of_ours");
    assert_eq!(left["list"].as_array().unwrap().len(), 1);
}
