//! The layer's wrapper of a function's runtime, run by a shell as Lambda runs it.

#![allow(clippy::unwrap_used, reason = "a test that cannot run its program fails")]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn wrapper() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../extension/layer/lambda-otlp-handler")
}

const OF_LAMBDA: [(&str, &str); 3] = [
    ("AWS_REGION", "eu-west-1"),
    ("AWS_LAMBDA_FUNCTION_NAME", "shop"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
];

/// A folder as Lambda mounts the layer at `/opt`.
fn layer() -> TempDir {
    let (layer, source) = (tempfile::tempdir().unwrap(), wrapper());
    symlink(&source, layer.path().join("lambda-otlp-handler")).unwrap();
    symlink(source.parent().unwrap(), layer.path().join("lambda-otlp")).unwrap();
    layer
}

/// Runs a program through the wrapper, with Lambda's variables and these.
fn run(variables: &[(&str, &str)], program: &[&str]) -> Output {
    run_by(&wrapper(), variables, program)
}

fn run_by(wrapper: &Path, variables: &[(&str, &str)], program: &[&str]) -> Output {
    let mut wrapper = Command::new(wrapper);
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
    for none in ["70000", "0", "00000000000000000004320", "-1", "4318x"] {
        let found = seen(&[("OTEL_LAMBDA_RECEIVER_PORT", none)]);
        assert_eq!(found["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://127.0.0.1:4318", "{none}");
    }
    let attributes = "team=blue,service.name=checkout";
    let found = seen(&[("OTEL_RESOURCE_ATTRIBUTES", attributes)]);
    assert!(found["OTEL_RESOURCE_ATTRIBUTES"].ends_with(&format!(",{attributes}")));
    assert!(!found.contains_key("OTEL_SERVICE_NAME"), "it would win over the attribute");
}

#[test]
fn an_sdk_is_told_the_port_that_the_extension_had_to_take() {
    // Nobody else's: the process's number is no port of this address.
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
fn a_file_that_replaces_the_variables_is_said() {
    let output = run(&[("OTEL_CONFIG_FILE", "/var/task/otel.yaml")], &["echo", "runtime"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("OTEL_CONFIG_FILE is set") && said.lines().count() == 1, "{said}");
    assert_eq!(output.stdout, b"runtime\n");
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

/// What the wrapper has the runtime load: the values of these variables, where the program is called so.
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
fn each_runtime_is_given_what_instruments_its_language() {
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
fn beside_another_wrapper_and_a_misspelt_switch_nothing_is_instrumented() {
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

/// Runs Python through the wrapper, with a module `shop` beside it; nothing where there is no Python.
fn python(variables: &[(&str, &str)], shop: &str, program: &str) -> Option<Output> {
    let (layer, task) = (layer(), tempfile::tempdir().unwrap());
    let python = simulator::packages::find_python()?;
    // The interpreter itself, since pyenv's programs look for variables that Lambda does not have.
    let asked = Command::new(python).args(["-c", "import sys; print(sys.executable)"]).output();
    let python = String::from_utf8(asked.unwrap().stdout).unwrap();
    std::fs::write(task.path().join("shop.py"), shop).unwrap();
    std::fs::write(task.path().join("sitecustomize.py"), "print('sitecustomize of others')")
        .unwrap();
    let program = format!("import sys; sys.path.insert(0, '{}')\n{program}", task.path().display());
    let mut all = vec![("_HANDLER", "shop.handler"), ("PYTHONDONTWRITEBYTECODE", "1")];
    all.extend_from_slice(variables);
    let wrapper = layer.path().join("lambda-otlp-handler");
    let others = task.path().to_str().unwrap().to_owned();
    let all = all.into_iter().map(|(name, value)| (name, value.replace("TASK", &others)));
    let all: Vec<_> = all.collect();
    let all: Vec<_> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Some(run_by(&wrapper, &all, &[python.trim(), "-c", &program]))
}

#[test]
fn a_python_function_without_the_packages_runs_as_without_the_layer_and_is_told_once() {
    let program = "import os, shop; print(os.environ.get('PYTHONPATH')); print(shop.handler(1, 2))";
    let shop = "def handler(event, context):\n    return event + context\n";
    let Some(output) = python(&[], shop, program) else { return };
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("lambda-otlp-handler: without instrumentation: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "None\n3\n");

    let output = python(&[("PYTHONPATH", "TASK")], shop, program).unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let [others, path, result] = lines.as_slice() else { panic!("{told}") };
    assert_eq!((*others, *result), ("sitecustomize of others", "3"));
    assert!(!path.contains("lambda-otlp"), "children of the function are not instrumented: {path}");
}

#[test]
fn a_python_function_that_sets_an_sdk_up_is_left_alone_and_its_log_says_why() {
    let shop = "import sys\ndef unused():\n    import opentelemetry.sdk\n\
                def handler(event, context):\n    return 3\n";
    let program = "import shop; print(shop.handler(1, 2))";
    let Some(output) = python(&[], shop, program) else { return };
    assert_eq!(output.stdout, b"3\n");
    expect_test::expect![[r"
        lambda-otlp-handler: the function is not instrumented, because it sets OpenTelemetry up itself: shop imports opentelemetry.sdk; remove that to have it instrumented, or set LAMBDA_OTLP_INSTRUMENT=off to keep it
    "]]
    .assert_eq(&String::from_utf8(output.stderr).unwrap());
}

/// What one of the scripts prints of the layer's modules.
fn told_by_python(script: &str) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrapper_python").join(script);
    let mut python = Command::new(simulator::packages::find_python()?);
    python.arg(script).arg(wrapper().with_file_name("python"));
    let output = python.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_python_handler_of_each_form_stays_what_it_is_and_is_flushed_in_time() {
    let Some(told) = told_by_python("handlers.py") else { return };
    expect_test::expect![[r"
        value: begun, flushed, flushed, 3
        failure: begun, charged, flushed, flushed, ValueError declined in ['charge']
        failure in C: begun, flushed, flushed, TypeError str.join() takes exactly one argument (2 given) in []
        one parameter: begun, flushed, flushed, TypeError <lambda>() takes 1 positional argument but 2 were given in []
        exit: begun, charged, current error.type=SystemExit, current error: SystemExit: 3, flushed, flushed, SystemExit 3 in ['leave']
        calls itself: begun, flushed, flushed, 0
        odd event: suppressed, 3
        broken instrumentation: begun, charged, flushed, flushed, 3
        watched: watched, begun, let go, flushed, flushed, 3
        watched failure: watched, begun, charged, let go, flushed, flushed, ValueError declined in ['charge']
        watched exit: watched, begun, charged, current error.type=SystemExit, current error: SystemExit: 3, root error.type=SystemExit, root error: SystemExit: 3, let go, left, flushed, flushed, SystemExit 3 in ['leave']
        watched odd event: watched, suppressed, let go, 3
        watched calls itself: watched, begun, let go, flushed, flushed, 0
        broken watch: begun, flushed, flushed, 3
        result: begun, flushed, flushed, 3
        nothing is kept: True
        queue: 16384, of the function's own: None
        hidden until the function is loaded: ['good'], False
        too old: None, False, False
        before the first flush: 0.9
        after an export: 0.9
        after one that failed at once: 0.01
        after one that had nothing to export: 0.01
        after one that is accepted again: 0.9
        after an exception: 0.01
        after an exporter that reports nothing: 0.9
        slow flush: begun, 3
        in time: True
        slow flush again: begun, 3
        in some milliseconds: True
        no time left: begun, 3
        at once: True
    "]]
    .assert_eq(&told);
}

#[test]
fn a_python_function_is_set_up_by_what_it_has_and_is_told_why_it_is_left_alone() {
    let Some(told) = told_by_python("start.py") else { return };
    expect_test::expect![[r"
        one library after another: None, httpx2 begins, httpx2 is loaded, httpx begins, httpx is loaded
        after a broken one: None, broken begins, broken is loaded, calls of broken have no spans: RuntimeError('no such function'), httpx begins, httpx is loaded
        beside another distribution: distro
        asked for another distribution: aws_distro
        asked for one that is missing: distro, OTEL_PYTHON_DISTRO=other_distro names no installed package: distro is used, as without the variable
        says nothing: {}
        http/protobuf: {}
        grpc: {'OTEL_EXPORTER_OTLP_PROTOCOL': 'http/protobuf'}, OTEL_EXPORTER_OTLP_PROTOCOL=grpc has no exporter in this function: http/protobuf is used; remove the variable, or install the exporter
        http/json for traces: {'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL': 'http/protobuf'}, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json has no exporter in this function: http/protobuf is used; remove the variable, or install the exporter
        times: {}
        a time of 0: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got 0: 1 is used
        a time of -1: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got -1: 1 is used
        a time of nan: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got nan: 1 is used
        a time of inf: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got inf: 1 is used
        a time of soon: {'OTEL_EXPORTER_OTLP_TIMEOUT': '1'}, OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds above 0, got soon: 1 is used
        a file: {'OTEL_CONFIG_FILE': ''}, OTEL_CONFIG_FILE is not read, since opentelemetry-configuration is not installed: the other OTEL_… variables are used
        grpc with its exporter: {}
        a comment: None
        the API: None
        another package: None
        the SDK: opentelemetry.sdk.trace
        in a method: opentelemetry.instrumentation.redis
        no Python: None
        no SDK: None
        another provider: its tracer provider is ddtrace.opentelemetry.OfAnother
        an SDK that somebody has loaded: one of its modules imports opentelemetry.sdk
        an SDK that a library has loaded: sentry_sdk imports opentelemetry.sdk
        left alone: None, the function is not instrumented, because it sets OpenTelemetry up itself: sentry_sdk imports opentelemetry.sdk; remove that to have it instrumented, or set LAMBDA_OTLP_INSTRUMENT=off to keep it
    "]].assert_eq(&told);
}

#[test]
fn each_message_of_a_python_invocation_is_linked_to_its_sender_once() {
    let Some(told) = told_by_python("messages.py") else { return };
    expect_test::expect![[r"
        a queue: 1 1, 3 3
        so far: 1 1
        a queue that is linked: 1 1, 2 2
        of one sender: 1 1, 2 1
        a topic: 1 1
        a topic's in a queue: 1 2
        a sender of its own: 1 1
        beside odd ones:  4
        no more than a span has: 128
    "]]
    .assert_eq(&told);
}

#[test]
fn a_python_invocation_that_is_cut_off_leaves_its_open_spans_and_others_none() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrapper_python/cut_off.py");
    let (folder, files) = (wrapper().with_file_name("python"), tempfile::tempdir().unwrap());
    let Some(python) = simulator::packages::find_python() else { return };
    let mut python = Command::new(python);
    python.arg(script).arg(folder).arg(files.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    let told = String::from_utf8(python.output().unwrap().stdout).unwrap();
    expect_test::expect![[r#"
        times out: ['/v1/traces partial ["root error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True", "open error: the invocation was about to time out {\'url\': \'a\', \'lambda_otlp.partial\': True} True"]', 'flushed']
        what was left open before is not among the next one's: ['/v1/traces partial ["next error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True"]', 'flushed']
        ends in time: ['/v1/traces partial ["next error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True"]', 'flushed']
        beside another: ['/v1/traces partial ["second error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True", "below error: the invocation was about to time out {\'lambda_otlp.partial\': True} True"]', 'flushed']
        leaves: [True, None, '/v1/traces partial ["of a thread error: the process ended before this span did {\'lambda_otlp.partial\': True} True"]']
        computes: ['/v1/traces partial ["root error: the invocation was about to time out {\'error.type\': \'timeout\', \'lambda_otlp.partial\': True} True"]', 'flushed']
        is refused: ['/v1/traces partial', 'the open spans of an invocation that is cut off are not written', 'flushed']
        is not sampled: ['flushed']
        is told of no deadline: []
        forks: 0
        elsewhere: [None, None, None, None, None, None]
        here: [('127.0.0.1', 4318), ('localhost', 43180)]
        ms ahead: [200, 128, 100, 100, 100, 50]
        records: [b'v1 3da1f2dc-3222-475e-9205-e2e6c6318895 000000000000000000000000000000ab 00000000000000cd\r', b'v1 short                                000000000000000000000000000000ab 00000000000000cd\r']
        what a link names: precious
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_node_process_that_ends_in_the_middle_leaves_what_has_not_been_exported_and_others_nothing() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrapper_node/last_words.cjs");
    let (folder, files) = (wrapper().with_file_name("node"), tempfile::tempdir().unwrap());
    let version = format!("const VERSION = \"{}\";", env!("CARGO_PKG_VERSION"));
    assert!(std::fs::read_to_string(folder.join("lines.cjs")).unwrap().contains(&version));
    let mut node = Command::new("node");
    let Ok(output) = node.arg(script).args([&folder, files.path()]).output() else { return };
    let told = String::from_utf8(output.stdout).unwrap();
    expect_test::expect![[r#"
        exits: [3,[{"source":"shop","endpoint":"/v1/traces","method":"POST","content-type":"application/x-protobuf","content-encoding":"gzip","base64":true}],"[\"root\",\"the process ended with exit code 3\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true] [\"open\",\"the process ended with exit code 3\",{\"lambda_otlp.partial\":true},[],true] [\"open later\",\"the process ended with exit code 3\",{\"lambda_otlp.partial\":true},[],true] [\"of a listener\",null,{},[],true] [\"of an earlier one\",null,{},[],true] [\"ended\",null,{},[],true]","true"]
        throws: [1,1,"[\"root\",\"nobody catches this\",{\"lambda_otlp.partial\":true,\"error.type\":\"RangeError\"},[\"RangeError\"],true] [\"open\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true},[],true]","true"]
        throws what nobody can look at: [129,1,"[\"root\",\"the process ended with exit code 129\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true]","true"]
        rejects: [128,1,"[\"root\",\"nobody handles this\",{\"lambda_otlp.partial\":true,\"error.type\":\"RangeError\"},[\"RangeError\"],true]","true"]
        rejects, as Node ends by itself: [1,1,"[\"root\",\"nobody handles this\",{\"lambda_otlp.partial\":true,\"error.type\":\"RangeError\"},[\"RangeError\"],true]","true"]
        waits for nothing: [0,1,"[\"root\",\"the process ended with exit code 0\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true]","true"]
        goes on after a rejection: [0,1,"[\"next\",\"the process ended with exit code 0\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true] [\"root\",null,{},[],true]","true,true"]
        ends between invocations: [0,0,"","false"]
        what is on its way is not written again: [1,1,"[\"root\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true] [\"ended\",null,{},[],true]","true"]
        what did not get on its way is written: [1,1,"[\"root\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true] [\"not sent\",null,{},[],true]","true"]
        was about to time out: [1,1,"[\"began later\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true},[],true]","false"]
        writes JSON logs: [1,[{"source":"shop","endpoint":"/v1/traces","method":"POST","content-type":"application/x-protobuf","content-encoding":"gzip","level":"ERROR","base64":true,"timestamp":24}],"[\"root\",\"the process ended with exit code 1\",{\"lambda_otlp.partial\":true,\"error.type\":\"Runtime.ExitError\"},[],true]","true"]
        has much: [1,true,1,3002,3002,["lambda-otlp-handler: spans of a process that ends are not written: Error: 1 of 3003 fit no line, or stdout takes no more"],"true"]
        nobody reads: [1,true,1,"true",true]
    "#]].assert_eq(&told);
}

/// Runs Node through the wrapper, with a module `shop` as the handler's and these files beside it. `NODE_OPTIONS` begins with
/// `options`. Returns nothing if there is no Node.
fn node_with(files: &[(&str, &str)], options: &str, shop: &str) -> Option<Output> {
    let (layer, task) = (layer(), tempfile::tempdir().unwrap());
    let node = Command::new("node").args(["-p", "process.execPath"]).output().ok()?.stdout;
    let node = String::from_utf8(node).unwrap();
    for (path, text) in files.iter().chain(&[("shop.js", shop)]) {
        let path = task.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let options = options.replace("TASK", task.path().to_str().unwrap());
    let variables = [
        ("_HANDLER", "shop.handler"),
        ("LAMBDA_TASK_ROOT", task.path().to_str().unwrap()),
        ("NODE_OPTIONS", &options),
    ];
    let program = "const { handler } = require(`${process.env.LAMBDA_TASK_ROOT}/shop.js`); \
                   console.log(process.env.NODE_OPTIONS, handler(1, 2))";
    let wrapper = layer.path().join("lambda-otlp-handler");
    Some(run_by(&wrapper, &variables, &[node.trim(), "-e", program]))
}

fn node(shop: &str) -> Option<Output> {
    node_with(&[], "--no-warnings", shop)
}

const ADDS: &str = "exports.handler = (event, context) => event + context;";

/// The one line that the layer says of the function, which runs as without it.
fn said_once(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.starts_with("lambda-otlp-handler: "), "{said}");
    assert!(output.stdout.ends_with(b" 3\n"), "{said}");
    said
}

#[test]
fn a_node_function_without_the_packages_runs_as_without_the_layer_and_is_told_once() {
    let Some(output) = node(ADDS) else { return };
    assert_eq!(output.stdout, b"--no-warnings 3\n", "children are not instrumented");
    assert!(said_once(output).contains("neither among the function's nor in a layer"));
}

#[test]
fn a_node_function_that_another_tracer_has_instrumented_is_left_alone_and_is_told_why() {
    let check = |tracing: &str, package: &str, expected: &str| {
        let package = format!("node_modules/{package}/index.js");
        let files = [("tracing.js", tracing), (&package, "")];
        let output = node_with(&files, "--require TASK/tracing.js", ADDS)?;
        let said = said_once(output);
        assert!(said.contains(": info: ") && said.contains(expected), "{said}");
        assert!(said.contains("LAMBDA_OTLP_INSTRUMENT=off"), "{said}");
        Some(())
    };
    let registered = "globalThis[Symbol.for('opentelemetry.js.api.1')] = { trace: {} };";
    if check(registered, "none", "a tracer provider of its own").is_none() {
        return;
    }
    let sentry = format!("require('@sentry/node'); {registered}");
    check(&sentry, "@sentry/node", "traced by @sentry/node,");
    check("require('dd-trace');", "dd-trace", "traced by dd-trace,");
    let instruments = "require('@opentelemetry/instrumentation');";
    check(
        instruments,
        "@opentelemetry/instrumentation",
        "traced by @opentelemetry/instrumentation,",
    );
}

#[test]
fn a_text_that_names_a_tracer_is_no_reason_to_leave_a_node_function_alone() {
    let shop = format!("// Not NodeSDK, require('@opentelemetry/sdk-node') or dd-trace.\n{ADDS}");
    let Some(output) = node(&shop) else { return };
    assert!(
        said_once(output).contains("OpenTelemetry's packages are neither"),
        "they were looked for"
    );
}

#[test]
fn a_node_function_with_older_packages_is_told_which_one_is_too_old() {
    let names = [
        ("@opentelemetry/api", "1.9.0"),
        ("@opentelemetry/context-async-hooks", "2.0.0"),
        ("@opentelemetry/core", "2.10.1"),
        ("@opentelemetry/exporter-trace-otlp-http", "0.205.0"),
        ("@opentelemetry/instrumentation", "0.205.0"),
        ("@opentelemetry/resources", "2.0.0"),
        ("@opentelemetry/sdk-trace-base", "1.27.0"),
        ("require-in-the-middle", "7.4.0"),
    ];
    let files = names.map(|(name, version)| {
        let description = format!(r#"{{ "name": "{name}", "version": "{version}" }}"#);
        (format!("node_modules/{name}/package.json"), description)
    });
    let mains = names.map(|(name, _)| (format!("node_modules/{name}/index.js"), String::new()));
    let files: Vec<_> = files.iter().chain(&mains).map(|(path, text)| (&**path, &**text)).collect();
    let Some(output) = node_with(&files, "--no-warnings", ADDS) else { return };
    let said = said_once(output);
    assert!(
        said.contains("@opentelemetry/sdk-trace-base is 1.27.0, and 2.0.0 is needed"),
        "{said}"
    );
}

#[test]
fn a_node_handler_whose_file_is_missing_is_told() {
    let asked = Command::new("node").args(["-p", "process.execPath"]).output();
    let Ok(node) = asked.map(|asked| String::from_utf8(asked.stdout).unwrap()) else { return };
    let layer = layer();
    let root = layer.path().to_str().unwrap();
    let variables = [("_HANDLER", "dist/shop.handler"), ("LAMBDA_TASK_ROOT", root)];
    let wrapper = layer.path().join("lambda-otlp-handler");
    let output = run_by(&wrapper, &variables, &[node.trim(), "-e", "console.log('', 3)"]);
    assert!(said_once(output).contains("no file of the handler dist/shop.handler"));
}

#[test]
fn a_node_invocation_is_linked_to_the_spans_that_sent_its_messages() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrapper_node/messages.cjs");
    let folder = wrapper().with_file_name("node");
    let Ok(output) = Command::new("node").arg(script).arg(folder).output() else { return };
    let told = String::from_utf8(output.stdout).unwrap();
    expect_test::expect![[r#"
        a batch of two: {"faas.trigger":"pubsub","messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.batch.message_count":2} a of m1, b of m2
        two messages of one sender: {"faas.trigger":"pubsub","messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.batch.message_count":2} a of m1, a of m2
        one message: {"faas.trigger":"pubsub","messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.message.id":"m1"} a of m1
        a notification in a queue: {"faas.trigger":"pubsub","messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.message.id":"m1"} c of m1
        a notification: {"faas.trigger":"pubsub","messaging.system":"aws.sns","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"news","messaging.message.id":"n"} c of n
        a notification without attributes: {"faas.trigger":"pubsub","messaging.system":"aws.sns","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"news","messaging.message.id":"n"} 
        odd messages: {"faas.trigger":"pubsub","messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.batch.message_count":4} d of m4
        a large batch: {"faas.trigger":"pubsub","messaging.system":"aws_sqs","messaging.operation.type":"process","messaging.operation.name":"process","messaging.destination.name":"orders","messaging.batch.message_count":200} 128
        {"Records":[null]}: {} 
        {"Records":5}: {} 
        {"Records":[]}: {} 
        null: {} 
        5: {} 
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_node_handler_of_each_form_stays_what_it_is_and_is_flushed_before_its_result() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrapper_node/handlers.cjs");
    let folder = wrapper().with_file_name("node");
    let Ok(output) = Command::new("node").arg(script).arg(folder).output() else { return };
    let told = String::from_utf8(output.stdout).unwrap();
    expect_test::expect![[r#"
        promise: begun shop, ended, flushed, 3
        status: begun shop, http.response.status_code=502, failed, ended, flushed, 3
        rejection: begun shop, failed, failed, ended, flushed, error no
        throw: begun shop, failed, failed, ended, flushed, error no
        value: begun shop, ended, flushed, 3
        value beside a callback: begun shop, ended, flushed, null
        async function that never settles: begun shop, failed, failed, ended, flushed, null
        promise that never settles: begun shop, ended, flushed, null
        callback: begun shop, ended, flushed, 3
        failed callback: begun shop, failed, failed, ended, flushed, error no
        callback of a promise: begun shop, ended, flushed, 3
        callback before the promise: begun shop, ended, flushed, 3
        callback before an error: begun shop, ended, flushed, 3
        callback of the arguments: begun shop, ended, flushed, 3
        context: begun shop, ended, flushed, 3
        failed context: begun shop, failed, failed, ended, flushed, error no
        thrown null: begun shop, ended, flushed, undefined
        thenable: begun shop, ended, flushed, 3
        status that throws: begun shop, ended, flushed, 3
        error without a text: begun shop, failed, ended, flushed, error no
        calls itself: begun shop, ended, flushed, 3
        stream: begun shop, ended, flushed, stream shop
        watched: begun shop, watched, let go, ended, flushed, 3
        watched rejection: begun shop, watched, let go, failed, failed, ended, flushed, error no
        watched callback: begun shop, watched, let go, ended, flushed, 3
        watched value beside a callback: begun shop, watched, let go, ended, flushed, null
        watched calls itself: begun shop, watched, let go, ended, flushed, 3
        broken watch: begun shop, ended, flushed, 3
        no time left: begun shop, ended, 3
        failed flush: begun shop, ended, 3
        no span: 3
        queue: 16384, batch: 512
        queue of "8": 8, batch: 8
        queue of "0": 16384, batch: 512, lambda-otlp-handler: OTEL_BSP_MAX_QUEUE_SIZE must be a whole number above 0, got 0: 16384 is used, lambda-otlp-handler: OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be a whole number above 0, got 0: 512 is used
        queue of "-5": 16384, batch: 512, lambda-otlp-handler: OTEL_BSP_MAX_QUEUE_SIZE must be a whole number above 0, got -5: 16384 is used, lambda-otlp-handler: OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be a whole number above 0, got -5: 512 is used
        queue of "0.5": 16384, batch: 512, lambda-otlp-handler: OTEL_BSP_MAX_QUEUE_SIZE must be a whole number above 0, got 0.5: 16384 is used, lambda-otlp-handler: OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be a whole number above 0, got 0.5: 512 is used
        queue of "few": 16384, batch: 512, lambda-otlp-handler: OTEL_BSP_MAX_QUEUE_SIZE must be a whole number above 0, got few: 16384 is used, lambda-otlp-handler: OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be a whole number above 0, got few: 512 is used
        queue of "": 16384, batch: 512
        exports: in vain after its time, in vain after some milliseconds, taken at once, in vain after its time
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_node_invocation_that_is_cut_off_leaves_its_open_spans_and_others_none() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrapper_node/cut_off.cjs");
    let (folder, files) = (wrapper().with_file_name("node"), tempfile::tempdir().unwrap());
    let mut node = Command::new("node");
    let Ok(output) = node.arg(script).args([&folder, files.path()]).output() else { return };
    let told = String::from_utf8(output.stdout).unwrap();
    expect_test::expect![[r#"
        times out: ["suppressed root error: the invocation was about to time out {\"error.type\":\"timeout\",\"lambda_otlp.partial\":true} true | open error: the invocation was about to time out {\"url\":\"a\",\"lambda_otlp.partial\":true} true","flushed"]
        the span itself goes on: [false,{"url":"a"}]
        ends in time: ["suppressed next error: the invocation was about to time out {\"error.type\":\"timeout\",\"lambda_otlp.partial\":true} true","flushed"]
        beside another: ["suppressed second error: the invocation was about to time out {\"error.type\":\"timeout\",\"lambda_otlp.partial\":true} true | of the second error: the invocation was about to time out {\"lambda_otlp.partial\":true} true","flushed"]
        is not sampled: [[],0]
        is told of no deadline: []
        known at most, and when the invocation is over: [1024,1]
        has no exporter: ["lambda-otlp-handler: the open spans of an invocation that is about to time out are not written: Error: no exporter","flushed"]
        records: ["v1 3da1f2dc-3222-475e-9205-e2e6c6318895 abababababababababababababababab 00000000000000cd\r","v1 short                                abababababababababababababababab 00000000000000cd\r"]
        what a link names: precious
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_node_function_of_modules_sees_what_they_assign_later() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrapper_node/modules.cjs");
    let folder = wrapper().with_file_name("node");
    let task = tempfile::tempdir().unwrap();
    let task = task.path();
    let Ok(output) = Command::new("node").arg(script).args([&folder, task]).output() else {
        return;
    };
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(told, "replaced connected, seen in a circle: orders\n", "{output:?}");
}

#[test]
fn a_node_that_is_too_old_reads_what_it_is_given_and_is_told_so() {
    let start = wrapper().with_file_name("node/start.cjs");
    let source = std::fs::read_to_string(&start).unwrap();
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    for new in ["=>", "const ", "let ", "`", "?.", "??", "node:", "catch {"] {
        assert!(!code.clone().any(|line| line.contains(new)), "{new}");
    }
    let script = "Object.defineProperty(process.versions, 'node', { value: '12.22.12' }); \
                  require(process.argv[1]); console.log(process.env.NODE_OPTIONS)";
    let mut node = Command::new("node");
    node.args(["-e", script]).arg(&start).env("NODE_OPTIONS", "--no-warnings");
    let Ok(output) = node.output() else { return };
    assert_eq!(output.stdout, b"--no-warnings\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.contains("12.22.12"), "{said}");
}
