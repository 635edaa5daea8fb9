//! A Go function with OpenTelemetry's SDK and the layer: each invocation has one trace, and a timeout loses no ended span.

use lambda_otlp_tests::{forwarded, workspace};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Debian's package of OpenTelemetry's SDK for Go.
const SDK: &str = "/usr/share/gocode/src/go.opentelemetry.io/otel";

/// Compiles the function with Debian's packages.
fn build(directory: &Path) -> PathBuf {
    let bootstrap = directory.join("bootstrap");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&bootstrap).arg(".");
    go.current_dir(workspace().join("tests/fixtures/go"));
    // Debian's packages are no modules.
    go.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode");
    go.env("GOCACHE", directory.join("cache")).env_remove("GOFLAGS");
    let status = go.status().unwrap();
    assert!(status.success(), "{go:?} ended with {status}");
    bootstrap
}

#[tokio::test]
async fn each_go_invocation_has_one_server_span() {
    if !Path::new(SDK).exists() || Command::new("go").arg("version").output().is_err() {
        println!("skipped: it needs `apt-get install golang-go golang-opentelemetry-otel-dev`");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let bootstrap = build(directory.path());
    let timeout = Duration::from_secs(2);
    let events = ["a book", "a sold out book", "a slow book"];
    let (fake, _) = forwarded(directory.path(), bootstrap, timeout, &events).await;

    let stored = fake.spans();
    let spans: Vec<&Span> = stored.iter().map(|span| &span.item).collect();
    let own = stored.iter().filter(|span| span.scope.name == "shop").map(|span| &span.item);
    let (roots, children): (Vec<&Span>, Vec<&Span>) =
        own.partition(|span| span.kind == SpanKind::Server as i32);
    // The timeout keeps the function's span of the invocation open. The layer writes one instead.
    assert_eq!(roots.len(), 2, "{spans:#?}");
    let served = spans.iter().filter(|span| span.kind == SpanKind::Server as i32);
    assert_eq!(served.count(), 3, "{spans:#?}");
    assert_eq!(children.len(), 3, "the timeout lost an ended span: {spans:#?}");
    for root in &roots {
        let children = spans.iter().filter(|span| span.parent_span_id == root.span_id);
        let mut below: Vec<(&str, bool)> =
            children.map(|span| (span.name.as_str(), span.trace_id == root.trace_id)).collect();
        below.sort_unstable();
        assert_eq!(below, [("aws.lambda.invocation", true), ("reserve item", true)]);
    }
    let has_failed = |root: &&&Span| {
        root.status.as_ref().is_some_and(|status| status.message == "no parcel is left")
    };
    let all_failed: Vec<&&Span> = roots.iter().filter(has_failed).collect();
    let [failed] = all_failed.as_slice() else { panic!("{} failed: {spans:#?}", all_failed.len()) };
    let events: Vec<&str> = failed.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["exception"]);
    let records = fake.log_records();
    let is_printed =
        |record: &serde_json::Value| record["body"]["stringValue"] == "a parcel is packed";
    let all_records = records.iter().map(|record| serde_json::to_value(&record.item).unwrap());
    let printed: Vec<serde_json::Value> = all_records.filter(is_printed).collect();
    let other_root = roots.iter().find(|root| root.span_id != failed.span_id).unwrap();
    let served = serde_json::to_value(other_root).unwrap();
    let traces: Vec<_> = printed.iter().map(|record| &record["traceId"]).collect();
    assert_eq!(traces, [&served["traceId"]]);
}
