//! The command line as a process: what it prints, and with which exit code it ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use lambda_otlp_tests::{binary, fixture, workspace};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

fn run(arguments: &[&str]) -> Output {
    Command::new(binary("lambda-otlp"))
        .current_dir(workspace().join("tests/fixtures"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_summary_counts_what_the_samples_hold() {
    let check = |file: &str, counts: [usize; 3]| {
        let output = run(&["decode", "--summary", "--json", &format!("lines/{file}.jsonl")]);
        let [lines, requests, spans] = counts;
        let expected = format!(
            "{{\"file\":\"lines/{file}.jsonl\",\"lines\":{lines},\"requests\":{requests},\"spans\":{spans},\
             \"data_points\":0,\"log_records\":0,\"undecodable\":0}}\n"
        );
        assert_eq!(text(&output.stdout), expected);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    };
    for language in ["python", "node", "rust"] {
        check(&format!("{language}-1"), [1, 1, 1]);
        check(&format!("{language}-10"), [1, 1, 10]);
        check(&format!("{language}-500"), [1, 1, 500]);
    }
    for two in ["node-headers-level", "rust-headers-level", "python-bigattr", "rust-bigattr"] {
        check(two, [1, 1, 2]);
    }
    check("rust-empty", [4, 4, 0]);
    check("rust-lite-handler", [1, 1, 1]);
}

#[test]
fn a_line_in_pieces_is_joined() {
    let line = String::from_utf8(fixture("lines/python-10.jsonl")).unwrap();
    let (head, tail) = line.trim_end().split_at(1_100);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pieces");
    std::fs::write(&path, format!("text\n{head}\n{tail}\n{head}\ntext\n")).unwrap();
    let output = run(&["decode", "--summary", "--json", path.to_str().unwrap()]);
    let out = text(&output.stdout);
    assert!(out.contains("\"lines\":5,\"requests\":1,\"spans\":10"), "{out}");
    assert!(out.contains("\"undecodable\":1"), "{out}");
    assert!(text(&output.stderr).contains(":4: "), "{}", text(&output.stderr));
}

#[test]
fn decoded_requests_are_otlp_json_without_any_header_value() {
    let output =
        run(&["decode", "lines/rust-headers-level.jsonl", "lines/node-headers-level.jsonl"]);
    let out = text(&output.stdout);
    assert_eq!(out.lines().count(), 2);
    for line in out.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(request["resourceSpans"].is_array());
    }
    assert!(!out.contains("secret"), "{out}");
}

#[test]
fn an_undecodable_line_is_named_and_fails_the_command() {
    let output = run(&["decode", "--summary", "lines/bombs.jsonl"]);
    // Each row of that file is an object of its own whose `line` is no top-level line.
    assert_eq!(output.status.code(), Some(0));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines");
    std::fs::write(&path, "{\"__otel_otlp_stdout\":\"1\",\"headers\":{\"k\":\"s3cret\"},\"payload\":\"AAAA\"}\ntext\n").unwrap();
    let output = run(&["decode", "--summary", "--json", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("\"lines\":2,\"requests\":0"));
    assert!(text(&output.stdout).contains("\"undecodable\":1"));
    let said = text(&output.stderr);
    assert!(said.contains(":1: payload is no OTLP request") && said.contains("SHA-256"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_dry_run_prints_the_ledger_and_succeeds() {
    let output = run(&["forward", "events/awslogs-text-mixed.json", "--dry-run", "--json"]);
    let ledger: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    let keys: Vec<&str> = ledger.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "events",
        "consumed",
        "consumed_by",
        "items",
        "accepted",
        "parked",
        "dead_lettered",
        "dropped",
        "returned",
        "lost",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(ledger["events"], 18);
    assert_eq!(ledger["items"]["spans"], 30);
    assert_eq!(ledger["lost"], 0);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_file_for_the_other_command_is_told_so() {
    let event = "events/awslogs-text-mixed.json";
    let output = run(&["decode", event]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let said = text(&output.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&format!("`lambda-otlp forward --dry-run {event}`")), "{said}");

    // One line alone is a JSON object too.
    for lines in ["lines/python-10.jsonl", "lines/rust-1.jsonl"] {
        let output = run(&["forward", lines, "--dry-run"]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(said.contains(&format!("`lambda-otlp decode {lines}`")), "{said}");
    }

    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.log");
    std::fs::write(&plain, "one\n\ntwo\n").unwrap();
    let output = run(&["decode", plain.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    assert!(said.ends_with("plain.log: no OTLP line among 2\n"), "{said}");
    // What holds lines needs no hint.
    assert_eq!(text(&run(&["decode", "lines/python-10.jsonl"]).stderr), "");
}

#[test]
fn the_rules_of_the_forwarder_hold_for_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    std::fs::write(&rules, "[[rule]]\nname = \"no logs\"\nmatch.signal = \"logs\"\ndrop = true\n")
        .unwrap();
    let forward = || {
        Command::new(binary("lambda-otlp"))
            .args(["forward", "events/awslogs-text-mixed.json", "--dry-run", "--json"])
            .current_dir(workspace().join("tests/fixtures"))
            .env("LAMBDA_OTLP_RULES", &rules)
            .output()
            .unwrap()
    };
    let output = forward();
    let ledger: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!((&ledger["dropped"], &ledger["lost"]), (&8.into(), &0.into()));
    std::fs::write(&rules, "[[rule]]\nname = \"x\"\nmatch.signal = \"smoke\"\ndrop = true\n")
        .unwrap();
    let output = forward();
    let said = text(&output.stderr);
    assert!(said.contains("rules.toml") && said.contains("smoke"), "{said}");
    assert!(!output.status.success(), "what may have to be redacted is not sent without the rules");
}

#[test]
fn what_the_backend_did_not_take_fails_the_command() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let event = "events/awslogs-otlp-only.json";
    let output = run(&[
        "forward",
        event,
        "--endpoint",
        &endpoint,
        "--header",
        "authorization=Basic s3cret",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let ledger: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!((&ledger["returned"], &ledger["lost"]), (&530.into(), &0.into()));
    let said = text(&output.stderr);
    assert!(said.contains("returned: 530 spans of traces") && said.contains("refused"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");

    // All three signals fail for one reason, which is printed once.
    let output = run(&["forward", "events/awslogs-text-mixed.json", "--endpoint", &endpoint]);
    let said = text(&output.stderr);
    assert_eq!(said.matches("connection refused").count(), 1, "{said}");
    for signal in ["spans of traces", "data points of metrics", "log records of logs"] {
        assert!(said.contains(signal), "{said}");
    }
}

#[test]
fn a_file_that_is_no_event_does_not_stop_the_others() {
    let output = run(&[
        "forward",
        "lines/python-1.jsonl",
        "events/awslogs-otlp-only.json",
        "--dry-run",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("\"spans\":530"));
    assert!(text(&output.stderr).contains("python-1.jsonl"), "{}", text(&output.stderr));
}

#[test]
fn an_undecodable_line_in_an_event_is_told_with_its_reason_and_counted_as_dropped() {
    let output = run(&["forward", "events/awslogs-one-garbage.json", "--dry-run", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("\"dropped\":1"));
    let said = text(&output.stderr);
    assert!(
        said.contains("not decoded: event 3193571716593115") && said.contains("no OTLP request"),
        "{said}"
    );
}

#[test]
fn wrong_arguments_are_all_named() {
    let output = run(&[
        "forward",
        "events/awslogs-empty.json",
        "--endpoint",
        "nowhere",
        "--stream",
        "a b\n",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(64));
    let said = text(&output.stderr);
    assert!(said.contains("LAMBDA_OTLP_ENDPOINT") && said.contains("LAMBDA_OTLP_STREAM"), "{said}");
}

/// Runs the demo with these variables, behind a PATH that begins with `programs`.
fn demo(
    arguments: &[&str],
    programs: &Path,
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    // Held for all tests: demos that run at the same time would take the SDKs' usual port from each other.
    static USUAL_PORT: LazyLock<Option<TcpListener>> =
        LazyLock::new(|| TcpListener::bind(("127.0.0.1", 4318)).ok());
    // One after the other: a function that has too little of the machine cannot write what it has before it times out.
    static ONE: Mutex<()> = Mutex::new(());
    LazyLock::force(&USUAL_PORT);
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new("sh")
        .args(["-c", r#"PATH="$1:$PATH"; shift; exec "$@""#, "sh"])
        .arg(programs)
        .arg(binary("lambda-otlp"))
        .arg("demo")
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const BALANCED: &str = "balanced: every item that ended was found exactly once";
const WITHOUT_PYTHON: &str = "without the Python function \"shop\": ";

/// The spans of a waterfall by service, depth and name.
fn waterfall(out: &str, label: &str) -> Vec<(String, usize, String)> {
    let is_head = |line: &&str| line.starts_with("Trace ") && line.ends_with(label);
    let lines = out.lines().skip_while(|line| !is_head(line)).skip(1);
    let spans = lines.take_while(|line| !line.is_empty()).filter(|line| line.contains(" ms |"));
    spans
        .map(|line| {
            let (service, name) = line.trim_start().split_once(' ').unwrap();
            let name = name.trim_start_matches(' ');
            let column = line.len() - line.trim_start().len() + 9;
            let depth = (line.find(name).unwrap() - column) / 2;
            let name = name.split("  ").next().unwrap();
            (service.to_owned(), depth, name.to_owned())
        })
        .collect()
}

#[test]
fn the_demo_balances_and_shows_one_trace_through_both_functions() {
    let (code, out, said) = demo(&[], Path::new("/nowhere"), &[]);
    assert!(code == Some(0) && out.contains(BALANCED), "{code:?}\n{out}\n{said}");
    for process in ["orders (Rust)", "lambda-otlp-extension beside orders", "lambda-otlp-forwarder"]
    {
        assert!(out.contains(process), "{out}");
    }
    if said.contains(WITHOUT_PYTHON) {
        return;
    }
    for process in ["shop (Python)", "lambda-otlp-extension beside shop"] {
        assert!(out.contains(process), "{out}");
    }
    let mut spans = waterfall(&out, ": shop, warm, calls orders");
    spans.sort();
    let mut expected = [
        ("shop", 0, "POST /shop"),
        ("shop", 1, "aws.lambda.invocation"),
        ("shop", 1, "find price"),
        ("shop", 1, "invoke orders"),
        ("orders", 2, "POST /orders/{id}"),
        ("orders", 3, "aws.lambda.invocation"),
        ("orders", 3, "reserve item"),
        ("orders", 3, "reserve item"),
    ]
    .map(|(service, depth, name)| (service.to_owned(), depth, name.to_owned()));
    expected.sort();
    assert_eq!(spans, expected, "{out}");
}

#[test]
fn the_demo_without_python_says_so_and_balances() {
    let programs = tempfile::tempdir().unwrap();
    for name in ["python3", "python3.12", "python3.13", "python3.14", "pyenv"] {
        let program = programs.path().join(name);
        std::fs::write(&program, "#!/bin/sh\nexit 127\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (code, out, said) = demo(&[], programs.path(), &[]);
    assert!(code == Some(0) && out.contains(BALANCED), "{code:?}\n{out}\n{said}");
    assert!(said.contains(&format!("{WITHOUT_PYTHON}there is no Python 3.12")), "{said}");
    assert!(out.contains("lambda-otlp-extension beside orders"), "{out}");
    assert!(!out.contains("shop"), "{out}");
}

#[test]
fn the_demo_without_pypi_says_so_and_balances() {
    let cache = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let variables = [
        ("XDG_CACHE_HOME", cache.path().to_str().unwrap()),
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_INDEX_URL", &format!("http://{nobody}/simple")),
        ("PIP_EXTRA_INDEX_URL", ""),
        ("PIP_FIND_LINKS", ""),
    ];
    let (code, out, said) = demo(&[], Path::new("/nowhere"), &variables);
    assert!(code == Some(0) && out.contains(BALANCED), "{code:?}\n{out}\n{said}");
    // Or there is no Python at all.
    let reason = said.lines().find(|line| line.contains(WITHOUT_PYTHON)).unwrap_or(&said);
    assert!(reason.contains("from PyPI (") || reason.contains("there is no Python"), "{reason}");
    assert!(!out.contains("shop"), "{out}");
}

#[test]
fn the_demo_notices_what_the_backend_lost() {
    for after in ["0", "70"] {
        let arguments = ["--lose", "1", "--lose-after", after];
        let (code, out, said) = demo(&arguments, Path::new("/nowhere"), &[]);
        assert!(code == Some(1) && out.contains("NOT BALANCED"), "{code:?}\n{out}\n{said}");
        assert!(out.contains("the backend was told to lose 1, and lost 1"), "{out}");
        assert!(out.contains(" missing: "), "{out}");
    }
}
