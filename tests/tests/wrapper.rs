//! The layer's wrapper of a function's runtime, run by a shell as Lambda runs it.

#![allow(clippy::unwrap_used, reason = "a test that cannot run its program fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn wrapper() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../extension/layer/lambda-otlp-handler")
}

const OF_LAMBDA: [(&str, &str); 3] = [
    ("AWS_REGION", "eu-west-1"),
    ("AWS_LAMBDA_FUNCTION_NAME", "shop"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
];

/// Runs a program through the wrapper, with Lambda's variables and these.
fn run(variables: &[(&str, &str)], program: &[&str]) -> Output {
    let mut wrapper = Command::new(wrapper());
    wrapper.args(program).env_clear().env("PATH", "/usr/bin:/bin");
    wrapper.envs(OF_LAMBDA.iter().chain(variables).copied()).output().unwrap()
}

/// What the runtime sees of OpenTelemetry's variables.
fn seen(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let output = run(variables, &["env"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .filter(|(name, _)| name.starts_with("OTEL_"))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn an_sdk_is_told_where_the_extension_is_and_whose_its_telemetry_is() {
    let expected = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_LOGS_EXPORTER", "none"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "cloud.provider=aws,cloud.region=eu-west-1,faas.name=shop,faas.version=$LATEST",
        ),
        ("OTEL_SERVICE_NAME", "shop"),
    ];
    let seen = seen(&[]);
    let seen: Vec<_> = seen.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(seen, expected);
}

#[test]
fn what_the_function_says_stays() {
    let own = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4319"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_SERVICE_NAME", "checkout"),
    ];
    let all = seen(&own);
    for (name, value) in own {
        assert_eq!(all[name], value);
    }
    let found = seen(&[("OTEL_LAMBDA_RECEIVER_PORT", "4320")]);
    assert_eq!(found["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://127.0.0.1:4320");
    let attributes = "team=blue,service.name=checkout";
    let found = seen(&[("OTEL_RESOURCE_ATTRIBUTES", attributes)]);
    assert!(found["OTEL_RESOURCE_ATTRIBUTES"].ends_with(&format!(",{attributes}")));
    assert!(!found.contains_key("OTEL_SERVICE_NAME"), "it would win over the attribute");
}

#[test]
fn the_runtime_gets_its_arguments_and_its_exit_code_is_the_wrappers() {
    let output = run(&[], &["sh", "-c", "printf '%s|' \"$@\"; exit 7", "sh", "two words", "*", ""]);
    assert_eq!(output.stdout, b"two words|*||");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn another_wrapper_comes_next_and_a_missing_one_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let next = folder.path().join("next");
    std::fs::write(&next, "#!/bin/sh\necho \"next for $OTEL_SERVICE_NAME\"\nexec \"$@\"\n")
        .unwrap();
    let missing =
        run(&[("LAMBDA_OTLP_NEXT_WRAPPER", next.to_str().unwrap())], &["echo", "runtime"]);
    assert_eq!(missing.stdout, b"runtime\n", "it may not be run");
    assert_eq!(String::from_utf8_lossy(&missing.stderr).lines().count(), 1);
    let may_run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&next, may_run).unwrap();
    let output = run(&[("LAMBDA_OTLP_NEXT_WRAPPER", next.to_str().unwrap())], &["echo", "runtime"]);
    assert_eq!(output.stdout, b"next for shop\nruntime\n");
    assert!(output.stderr.is_empty());
}
