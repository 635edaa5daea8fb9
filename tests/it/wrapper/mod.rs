//! The layer's wrapper of a function's runtime, run by a shell as Lambda runs it.

mod node;
mod python;

use lambda_otlp_tests::{node_path, python_path};
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

pub(crate) fn wrapper() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../extension/layer/lambda-otlp-handler")
}

const OF_LAMBDA: [(&str, &str); 3] = [
    ("AWS_REGION", "eu-west-1"),
    ("AWS_LAMBDA_FUNCTION_NAME", "shop"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
];

/// A folder as Lambda mounts the layer at `/opt`.
pub(crate) fn layer() -> TempDir {
    let (layer, source) = (tempfile::tempdir().unwrap(), wrapper());
    symlink(&source, layer.path().join("lambda-otlp-handler")).unwrap();
    symlink(source.parent().unwrap(), layer.path().join("lambda-otlp")).unwrap();
    layer
}

/// The output of a script of this folder, whose first argument is the folder of the layer's modules. Nothing without interpreter.
fn told_by(language: &str, script: &str, arguments: &[&Path]) -> Option<String> {
    let interpreter = if language == "node" { node_path() } else { python_path() }?;
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("it/wrapper").join(language).join(script);
    let mut command = Command::new(interpreter);
    command.arg(script).arg(wrapper().with_file_name(language)).args(arguments);
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn run(variables: &[(&str, &str)], program: &[&str]) -> Output {
    run_by(&wrapper(), variables, program)
}

pub(crate) fn run_by(wrapper: &Path, variables: &[(&str, &str)], program: &[&str]) -> Output {
    let mut wrapper = Command::new(wrapper);
    wrapper.args(program).env_clear().env("PATH", "/usr/bin:/bin");
    wrapper.envs(OF_LAMBDA.iter().chain(variables).copied()).output().unwrap()
}

fn seen(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let output = run(variables, &["env"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .filter(|(name, _)| name.starts_with("OTEL_") || name.starts_with("AWS_XRAY_"))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn the_wrapper_sets_endpoint_and_resource_for_the_sdk() {
    let expected = [
        ("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:4318"),
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
fn variables_of_the_function_take_precedence() {
    let own = [
        ("AWS_XRAY_DAEMON_ADDRESS", "tcp:169.254.79.129:2000 udp:169.254.79.129:2000"),
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
    let of_lambda = ("AWS_XRAY_DAEMON_ADDRESS", "169.254.79.129:2000");
    let found = seen(&[("OTEL_LAMBDA_RECEIVER_PORT", "4320"), of_lambda]);
    assert_eq!(found["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://127.0.0.1:4320");
    assert_eq!(found["AWS_XRAY_DAEMON_ADDRESS"], "127.0.0.1:4320");
    let xray_with = |endpoint: &str| {
        let found = seen(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
        found["AWS_XRAY_DAEMON_ADDRESS"].clone()
    };
    assert_eq!(xray_with("http://localhost:5000"), "127.0.0.1:5000");
    assert_eq!(xray_with("http://127.0.0.1:5000/v1/traces"), "127.0.0.1:5000");
    for none in
        ["http://localhost", "http://localhost:x", "https://o2.example.com:5080/api/default"]
    {
        assert_eq!(xray_with(none), "127.0.0.1:4318", "{none}");
    }
    for none in ["70000", "0", "00000000000000000004320", "-1", "4318x"] {
        let found = seen(&[("OTEL_LAMBDA_RECEIVER_PORT", none)]);
        assert_eq!(found["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://127.0.0.1:4318", "{none}");
    }
    for attributes in ["team=blue,service.name=checkout", "team=blue, service.name=checkout"] {
        let found = seen(&[("OTEL_RESOURCE_ATTRIBUTES", attributes)]);
        assert!(found["OTEL_RESOURCE_ATTRIBUTES"].ends_with(&format!(",{attributes}")));
        assert!(!found.contains_key("OTEL_SERVICE_NAME"), "it would win over the attribute");
    }
}

#[test]
fn in_direct_mode_the_sdk_exports_to_the_extension() {
    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const HEADERS: (&str, &str) = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20a");
    let check = |endpoint: &str, others: &[(&str, &str)], expected: &str, keeps_headers: bool| {
        let mut variables = vec![(ENDPOINT, endpoint), HEADERS];
        variables.extend_from_slice(others);
        let found = seen(&variables);
        assert_eq!(found[ENDPOINT], expected, "{variables:?}");
        assert_eq!(found.contains_key(HEADERS.0), keeps_headers, "{variables:?}");
        for (name, value) in others.iter().filter(|(name, _)| name.starts_with("OTEL_EXPORTER")) {
            assert_eq!(found[*name], *value);
        }
    };
    let (backend, extension) = ("https://o2.example.com/api/default", "http://127.0.0.1:4318");
    for elsewhere in [backend, "o2.example.com:4317", "https://localhost@example.com?a@127.0.0.1"] {
        check(elsewhere, &[], extension, false);
    }
    for output in ["otlp", "json"] {
        check(backend, &[("LAMBDA_OTLP_OUTPUT", output)], extension, false);
    }
    check(backend, &[("OTEL_LAMBDA_RECEIVER_PORT", "4320")], "http://127.0.0.1:4320", false);
    check(backend, &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], extension, false);
    // The function sends this signal to another vendor, maybe with the same headers.
    for signal in ["TRACES", "METRICS", "LOGS"] {
        let own = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
        check(backend, &[(own.as_str(), "https://b.example.com/v1/x")], extension, true);
    }
    for output in ["stdout", " Stdout "] {
        check(backend, &[("LAMBDA_OTLP_OUTPUT", output)], backend, true);
    }
    for here in [
        "http://LOCALHOST:5000",
        "localhost:5000",
        "http://a:b@127.8.9.1:5000/v1",
        "http://0.0.0.0:5000",
        "http://[::1]:5000",
        "http://[::ffff:127.0.0.1]:5000",
    ] {
        check(here, &[], here, true);
    }
}

#[test]
fn the_wrapper_sets_the_fallback_port_of_the_extension() {
    // A unique address: the process's number is no port in use.
    let api = format!("127.9.9.9:{}", std::process::id());
    let file = PathBuf::from(format!("/tmp/.lambda-otlp-receiver-{}", api.replace(':', "-")));
    let check = |text: &str, variables: &[(&str, &str)], expected: &str| {
        std::fs::write(&file, text).unwrap();
        let mut all = vec![("AWS_LAMBDA_RUNTIME_API", api.as_str())];
        all.extend_from_slice(variables);
        let found = seen(&all);
        assert_eq!(found["OTEL_EXPORTER_OTLP_ENDPOINT"], expected, "{text} {variables:?}");
        std::fs::remove_file(&file).unwrap();
    };
    check("43180\n", &[], "http://127.0.0.1:43180");
    check("", &[], "http://127.0.0.1:4318");
    check("evil.example.com\n", &[], "http://127.0.0.1:4318");
    check("43180\n", &[("OTEL_LAMBDA_RECEIVER_PORT", "4320")], "http://127.0.0.1:4320");
    let own = "http://127.0.0.1:4319";
    check("43180\n", &[("OTEL_EXPORTER_OTLP_ENDPOINT", own)], own);
}

#[test]
fn the_wrapper_warns_of_a_configuration_file() {
    let output = run(&[("OTEL_CONFIG_FILE", "/var/task/otel.yaml")], &["echo", "runtime"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("OTEL_CONFIG_FILE is set") && said.lines().count() == 1, "{said}");
    assert_eq!(output.stdout, b"runtime\n");
}

#[test]
fn the_wrapper_passes_arguments_and_exit_code_through() {
    let output = run(&[], &["sh", "-c", "printf '%s|' \"$@\"; exit 7", "sh", "two words", "*", ""]);
    assert_eq!(output.stdout, b"two words|*||");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn the_next_wrapper_runs_and_an_unusable_one_is_skipped() {
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

/// The variables with the modules that the wrapper loads into a program of this name.
fn loaded(variables: &[(&str, &str)], name: &str) -> (Output, String) {
    let layer = layer();
    let program = layer.path().join(name);
    symlink("/bin/sh", &program).unwrap();
    let script = "echo \"${PYTHONPATH-unset} ${NODE_OPTIONS-unset}\"";
    let wrapper = layer.path().join("lambda-otlp-handler");
    let output = run_by(&wrapper, variables, &[program.to_str().unwrap(), "-c", script]);
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    let told = told.trim().replace(layer.path().to_str().unwrap(), "/opt");
    (output, told)
}

#[test]
fn the_wrapper_loads_the_instrumentation_of_each_runtime() {
    let check = |variables: &[(&str, &str)], program, expected: &str| {
        let (output, told) = loaded(variables, program);
        assert_eq!(told, expected, "{program} {variables:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    };
    let managed = |name| [("AWS_EXECUTION_ENV", name)];
    let python = "/opt/lambda-otlp/python unset";
    check(&managed("AWS_Lambda_python3.13"), "python3.13", python);
    check(&[], "python3.13", python);
    check(
        &[("PYTHONPATH", "/var/runtime")],
        "python3",
        "/opt/lambda-otlp/python:/var/runtime unset",
    );
    let node = "unset --require=/opt/lambda-otlp/node/start.cjs";
    check(&managed("AWS_Lambda_nodejs22.x"), "node", node);
    check(&[], "node", node);
    let own = "--enable-source-maps --require=/opt/lambda-otlp/node/start.cjs";
    check(&[("NODE_OPTIONS", "--enable-source-maps")], "node", &format!("unset {own}"));
    check(&[("LAMBDA_OTLP_INSTRUMENT", "off")], "node", "unset unset");
    check(&managed("AWS_Lambda_java21"), "java", "unset unset");
    check(&managed("AWS_Lambda_java21"), "python3", "unset unset");
    check(&[], "bootstrap", "unset unset");
    check(&managed("AWS_Lambda_python3.10"), "python3.10", python);
    check(&managed("AWS_Lambda_nodejs18.x"), "node", node);
    for (old, program) in [
        ("AWS_Lambda_nodejs12.x", "node"),
        ("AWS_Lambda_nodejs8.10", "node"),
        ("AWS_Lambda_python3.9", "python3.9"),
        ("AWS_Lambda_python2.7", "python2.7"),
    ] {
        let (output, told) = loaded(&managed(old), program);
        assert_eq!(told, "unset unset", "{old}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{old}");
    }
    check(&[("LAMBDA_OTLP_INSTRUMENT", "off")], "python3", "unset unset");
    check(&[("LAMBDA_OTLP_INSTRUMENT", "auto")], "python3", python);
}

#[test]
fn another_wrapper_or_a_misspelt_switch_disables_instrumentation() {
    let next = [("LAMBDA_OTLP_NEXT_WRAPPER", "/usr/bin/env")];
    let (output, told) = loaded(&next, "python3");
    assert_eq!(told, "unset unset");
    assert!(output.stderr.is_empty());
    for variable in [("LAMBDA_OTLP_NEXT_WRAPPER", "/opt/none"), ("LAMBDA_OTLP_INSTRUMENT", "no")] {
        let (output, told) = loaded(&[variable], "python3");
        assert_eq!(told, "unset unset", "{variable:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.lines().count() == 1 && said.contains(variable.0), "{said}");
    }
}
