//! `lambda-otlp dev` as a process: a user's function, its telemetry, and the messages if it does not work.

use crate::program::{Ended, Served, run_to_end};
use lambda_otlp_tests::binary;
use local_lambda::binaries::EXTENSION;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use test_support::openobserve::FakeOpenObserve;

pub(crate) fn dev(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("lambda-otlp"));
    command.current_dir(folder).arg("dev").arg("--extension");
    command.arg(binary(EXTENSION)).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, arguments: &[&str], input: &str) -> Ended {
    run_to_end(&mut dev(folder, arguments), input)
}

fn function() -> String {
    binary("demo-function").to_str().unwrap().to_owned()
}

fn ledger(folder: &Path) -> String {
    format!("DEMO_LEDGER={}", folder.join("ledger").display())
}

const ORDER: &str = r#"{"action":"ok","children":2,"first_number":1000}"#;

#[test]
fn dev_shows_the_telemetry_of_cold_and_warm_invocations() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("order.json"), ORDER).unwrap();
    let ledger = ledger(folder.path());
    let Ended { stdout, stderr, code } = run(
        folder.path(),
        &[
            "--name",
            "orders",
            "--env",
            &ledger,
            "--event",
            "order.json",
            "--repeat",
            "2",
            "--metrics",
            "--",
            &function(),
        ],
        "",
    );
    assert_eq!((stderr.as_str(), code), ("", 0), "{stdout}");
    let responses: Vec<&str> = stdout.lines().filter(|line| line.starts_with("=> ")).collect();
    assert_eq!(responses.len(), 2, "{stdout}");
    assert!(responses[0].contains(", cold: Init "), "{responses:?}");
    assert!(!responses[1].contains("cold"), "{responses:?}");
    for (expected, times) in [
        ("  orders     reserve item #", 4),
        (" ms INFO item reserved", 4),
        ("demo.orders.price", 4),
        ("faas.coldstarts", 1),
    ] {
        assert_eq!(stdout.matches(expected).count(), times, "{expected}: {stdout}");
    }
    // Lambda's report of each invocation is one line.
    assert_eq!(stdout.matches("Lambda: ").count(), 2, "{stdout}");
    assert_eq!(stdout.matches('$').count(), 2, "{stdout}");
    assert!(!stdout.contains("REPORT RequestId"), "{stdout}");
    // Each event's telemetry stands above its response.
    let (first, _) = stdout.split_once("\n=> ").unwrap();
    assert_eq!(first.matches(" reserve item #").count(), 2, "{stdout}");
}

#[test]
fn dev_reads_events_from_stdin_and_reports_function_errors() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    // The settings of the layer, beside the code.
    std::fs::write(folder.path().join("lambda-otlp.toml"), "[flush]\nintervall = 7\n").unwrap();
    // The first event has several lines.
    let first = ORDER.replace(',', ",\n  ");
    let input = format!("{first}\nnonsense\n\n{}\n", ORDER.replace("ok", "error"));
    let arguments = ["--json", "--env", &ledger, "--", &function()];
    let Ended { stdout, stderr, code } = run(folder.path(), &arguments, &input);
    assert_eq!(code, 1, "an invocation failed");
    let expected = "lambda-otlp: standard input, line 4: the event is not JSON";
    assert!(stderr.starts_with(expected), "{stderr}");
    let objects: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let responses: Vec<&str> =
        objects.iter().filter_map(|object| object.get("line")?.as_str()).collect();
    assert_eq!(responses.len(), 2, "{responses:?}");
    assert!(responses[1].starts_with("=> failed after "), "{responses:?}");
    assert!(stdout.contains("these keys are not used: flush.intervall"), "{stdout}");
    let traces = objects.iter().filter_map(|object| object.get("trace"));
    let spans = traces.flat_map(|trace| trace["spans"].as_array().unwrap());
    let names: Vec<&str> = spans.filter_map(|span| span["name"].as_str()).collect();
    assert_eq!(names.iter().filter(|name| **name == "reserve item").count(), 4, "{names:?}");
}

#[test]
fn dev_also_sends_telemetry_to_a_backend() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake =
        runtime.block_on(FakeOpenObserve::builder().user("u@example.com", "p").start()).unwrap();
    let post = |header: &str| {
        let arguments =
            ["--env", &ledger, "--endpoint", fake.base(), "--header", header, "--", &function()];
        run(folder.path(), &arguments, ORDER)
    };
    let Ended { stdout, stderr, code } = post("authorization=Basic dUBleGFtcGxlLmNvbTpw");
    assert_eq!(code, 0, "{stdout}");
    let counts = fake.counts();
    let items = counts.spans + counts.log_records + counts.data_points;
    assert_eq!(stderr, format!("sent to {}: {items} items\n", fake.base()));
    assert!(counts.spans >= 4 && counts.log_records > 0 && counts.data_points > 0, "{counts:?}");
    // The variables name it too.
    let mut by_variables = dev(folder.path(), &["--env", &ledger, "--", &function()]);
    by_variables.env("LAMBDA_OTLP_ENDPOINT", fake.base());
    by_variables.env("LAMBDA_OTLP_HEADERS", "authorization=Basic dUBleGFtcGxlLmNvbTpw");
    let Ended { stderr: said_by_variables, code: code_by_variables, .. } =
        run_to_end(&mut by_variables, ORDER);
    assert_eq!(code_by_variables, 0, "{said_by_variables}");
    assert!(said_by_variables.starts_with("sent to http://127.0.0.1:"), "{said_by_variables}");
    // A backend that does not know the credentials is found before the function is started.
    let Ended { stdout: refused_out, stderr: refusal, code: refused_code } =
        post("authorization=Basic s3cret");
    assert_eq!((refused_out.as_str(), refused_code), ("", 64));
    assert!(refusal.starts_with("lambda-otlp: --endpoint: "), "{refusal}");
    assert!(!refusal.contains("s3cret"), "{refusal}");
}

/// The address of `dev --http 0`.
fn address(served: &mut Served) -> String {
    let mut stderr = BufReader::new(served.process.stderr.as_mut().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    line.strip_prefix("listening on http://").unwrap().split(';').next().unwrap().to_owned()
}

/// The processes that this process has started.
fn children(pid: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(Path::new("/proc").join(pid).join("task")).unwrap();
    let children = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")));
    children
        .flat_map(|pids| pids.unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn post(address: &str, path: &str, body: &str) -> String {
    post_with(address, path, "", body)
}

/// Posts with further headers, each with its line end.
fn post_with(address: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}");
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn dev_serves_a_function_url_and_the_invoke_api() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let arguments =
        ["--name", "orders", "--metrics", "--http", "0", "--env", &ledger, "--", &function()];
    let mut served = Served::start(&mut dev(folder.path(), &arguments));
    let address = &address(&mut served);

    let by_url = post(address, "/orders/7", ORDER);
    assert!(by_url.starts_with("HTTP/1.1 201 ") && by_url.ends_with("\r\n\r\n1000"), "{by_url}");
    let invoke = "/2015-03-31/functions/orders/invocations";
    let failing = ORDER.replace("ok", "error");
    let by_invoke = post(address, invoke, &failing).to_ascii_lowercase();
    assert!(by_invoke.contains("\r\nx-amz-function-error: unhandled\r\n"), "{by_invoke}");
    let failed_by_url = post(address, "/orders/8", &failing);
    assert!(failed_by_url.starts_with("HTTP/1.1 502 "), "{failed_by_url}");

    let pid = served.process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut stdout = String::new();
    served.process.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert_eq!(served.process.wait().unwrap().code(), Some(1), "an invocation failed");
    assert_eq!(stdout.matches("\n=> ").count(), 3, "{stdout}");
    let traces: Vec<&str> = stdout.lines().filter(|line| line.starts_with("Trace ")).collect();
    let different: BTreeSet<&str> =
        traces.iter().filter_map(|line| line.split(':').next()).collect();
    assert!(!traces.is_empty() && traces.len() == different.len(), "{stdout}");
    // Lambda's own measures of the last invocation are written at SHUTDOWN.
    let (_, last) = stdout.rsplit_once("\n=> ").unwrap();
    assert!(last.contains("aws.lambda.runtime_overhead"), "{stdout}");
}

#[test]
fn dev_gives_the_function_a_client_context() {
    const ASKS: &str = r#"{"end":"client context"}"#;
    let folder = tempfile::tempdir().unwrap();
    let function = env!("CARGO_BIN_EXE_simulated-function");
    std::fs::write(folder.path().join("context.json"), "{\n\"custom\": {\"a\": 1}\n}").unwrap();
    let Ended { stdout, stderr, .. } =
        run(folder.path(), &["--client-context", "context.json", "--", function], ASKS);
    assert!(stdout.contains(r#"=> "{\"custom\":{\"a\":1}}" ("#), "{stdout} {stderr}");

    let arguments = ["--name", "orders", "--http", "0", "--", function];
    let mut served = Served::start(&mut dev(folder.path(), &arguments));
    let address = &address(&mut served);
    let invoke = |client_context: &str| {
        let header = format!("X-Amz-Client-Context: {client_context}\r\n");
        post_with(address, "/2015-03-31/functions/orders/invocations", &header, ASKS)
    };
    let encoded = invoke("eyJjdXN0b20iOnsiYSI6MX19");
    assert!(encoded.ends_with(r#""{\"custom\":{\"a\":1}}""#), "{encoded}");
    let plain = invoke("custom");
    assert!(plain.starts_with("HTTP/1.1 400 "), "{plain}");
}

#[test]
fn dev_ends_the_function_when_it_is_terminated() {
    for signal in ["-TERM", "-HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let arguments = ["--name", "orders", "--http", "0", "--env", &ledger, "--", &function()];
        let mut served = Served::start(&mut dev(folder.path(), &arguments));
        let address = address(&mut served);
        assert!(post(&address, "/orders/7", ORDER).starts_with("HTTP/1.1 201 "));
        let pid = served.process.id().to_string();
        let processes = children(&pid);
        assert!(!processes.is_empty());
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(served.process.wait().unwrap().code(), Some(0), "{signal}");
        let left = processes.into_iter().filter(|pid| Path::new("/proc").join(pid).exists());
        assert_eq!(left.count(), 0, "{signal}");
    }
}

#[test]
fn dev_explains_a_function_that_cannot_run() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.py"), "").unwrap();
    let refused = |arguments: &[&str], expected: &str| {
        let Ended { stdout, stderr, code } = run(folder.path(), arguments, "{}\n");
        assert_eq!((stdout.as_str(), code), ("", 64), "{arguments:?}: {stderr}");
        assert!(
            stderr.lines().count() == 1 && stderr.contains(expected),
            "{arguments:?}: {stderr}"
        );
    };
    refused(&["--", "./no-such-file"], "there is no program ./no-such-file");
    refused(&["--", "./app.py"], "chmod +x ./app.py");
    refused(&["--", "cargo", "lambda", "watch"], "`cargo run`");
    refused(&["--event", "no-such.json", "--", "true"], "--event: cannot read no-such.json");
    let context = ["--client-context", "app.py", "--", "true"];
    refused(&context, "--client-context: cannot use app.py: client context is not a JSON object");
    refused(&["--env", "NO_SUCH_VARIABLE", "--", "true"], "--env NO_SUCH_VARIABLE");
    refused(&["--env", "AWS_REGION=x", "--", "true"], "AWS_REGION is reserved");
    refused(&["--region", "eu-west-1", "--", "true"], "need --aws");
    refused(&["--layer", "no-such", "--", "true"], "--layer: there is no folder no-such");

    let fails = |arguments: &[&str], expected: &str| {
        let Ended { stdout, stderr, code } = run(folder.path(), arguments, "{}\n");
        assert_eq!(code, 1, "{arguments:?}: {stderr}");
        let responses: Vec<&str> = stdout.lines().filter(|line| line.starts_with("=> ")).collect();
        assert!(matches!(responses.as_slice(), [one] if one.contains(expected)), "{stdout}");
        stdout
    };
    let prints = ["--", "sh", "-c", "echo no config found; exit 3"];
    let printed = fails(&prints, "ended with exit status: 3 before it asked for an event");
    assert!(printed.contains("no config found"), "{printed}");
    let shows_variables =
        ["--", "sh", "-c", "echo $AWS_ACCESS_KEY_ID $AWS_SESSION_TOKEN $AWS_REGION; exit 3"];
    let variables = fails(&shows_variables, "ended with exit status: 3");
    assert!(variables.contains("ASIASIMULATED simulated us-east-1"), "{variables}");
    let silent = ["--timeout", "1s", "--", "sleep", "1000"];
    fails(&silent, "did not ask for an event within the 10 s of Init and 1 s more");
    let slow = ["--timeout", "1s", "--env", "DEMO_LEDGER=/dev/null", "--", &function()];
    let Ended { stdout, code, .. } = run(folder.path(), &slow, &ORDER.replace("ok", "timeout"));
    assert_eq!(code, 1);
    assert!(stdout.contains("\n=> timed out after 1 s"), "{stdout}");
}

#[test]
fn dev_takes_events_of_a_kind_and_of_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let event = ["--event", "-", "--repeat", "2", "--env", &ledger, "--", &function()];
    let Ended { stdout, stderr, code } = run(folder.path(), &event, &ORDER.replace(',', ",\n"));
    assert_eq!((stdout.matches("\n=> ").count(), code), (2, 0), "{stdout} {stderr}");
    let Ended { stderr: complaint, code: invalid_code, .. } = run(folder.path(), &event, "{\n");
    assert_eq!(invalid_code, 64);
    assert_eq!(
        complaint,
        "lambda-otlp: --event -: line 1: the event is not JSON: it has no end: correct it\n"
    );
    std::fs::write(folder.path().join("prints.py"), PRINTS).unwrap();
    let kind = ["--event-kind", "sqs", "--body", "a message", "--json"];
    let Ended { stdout, .. } =
        run(folder.path(), &[&kind[..], &["--", "python3", "prints.py"]].concat(), "");
    assert!(
        stdout.contains(r#"\"body\":\"a message\""#) && stdout.contains("arn:aws:sqs:"),
        "{stdout}"
    );
}

/// A function that prints its event.
const PRINTS: &str = r#"
import urllib.request, os

API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
with urllib.request.urlopen(API + "next") as event:
    print("the event is", event.read().decode(), flush=True)
"#;

#[test]
fn dev_takes_the_region_of_the_shell() {
    let folder = tempfile::tempdir().unwrap();
    let script = ["--event-kind", "schedule", "--", "sh", "-c", "echo region $AWS_REGION; exit 3"];
    for (name, value) in [("AWS_DEFAULT_REGION", "eu-central-1"), ("AWS_REGION", "eu-west-2")] {
        let mut command = dev(folder.path(), &script);
        command.env_remove("AWS_REGION").env("AWS_DEFAULT_REGION", "eu-central-1").env(name, value);
        let Ended { stdout, .. } = run_to_end(&mut command, "");
        assert!(stdout.contains(&format!("region {value}")), "{stdout}");
    }
}

/// Prints a line, waits longer than the display does, and prints another.
const SLOW: &str = r#"
import time, urllib.request, os

API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
NUMBER = 1
while True:
    with urllib.request.urlopen(API + "next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
    print("start", NUMBER, flush=True)
    time.sleep(1.5)
    print("end", flush=True)
    answer = urllib.request.Request(API + request + "/response", data=b"{}")
    urllib.request.urlopen(answer).close()
"#;

#[test]
fn dev_shows_the_lines_of_an_invocation_at_once_and_in_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slow.py"), SLOW).unwrap();
    let slow = ["--event-kind", "schedule", "--repeat", "2", "--", "python3", "slow.py"];
    let Ended { stdout, stderr, code } = run(folder.path(), &slow, "");
    assert_eq!(code, 0, "{stdout} {stderr}");
    // The extension writes Lambda's span of an invocation with the next one, and at the end.
    let traces: Vec<&str> = stdout.split("\nTrace ").skip(1).collect();
    assert_eq!(traces.len(), 2, "{stdout}");
    for trace in traces {
        assert!(trace.contains(" ms INFO start 1") && trace.contains(" ms INFO end"), "{stdout}");
    }
    let (before, _) = stdout.split_once("\nTrace ").unwrap();
    assert!(before.contains(" INFO  start 1\n"), "{stdout}");
}

#[test]
fn dev_reloads_changed_code() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("slow.py");
    let code = SLOW.replace("time.sleep(1.5)", "pass");
    std::fs::write(&program, &code).unwrap();
    let watch = ["--watch", "--event-kind", "schedule", "--", "python3", "slow.py"];
    let mut child = Served::start(&mut dev(folder.path(), &watch));
    let mut stderr = BufReader::new(child.process.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting for changes of the code; Ctrl-C ends\n");
    std::fs::write(&program, code.replace("NUMBER = 1", "NUMBER = 22")).unwrap();
    for expected in ["slow.py changed\n", "waiting for changes of the code; Ctrl-C ends\n"] {
        line.clear();
        stderr.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
    let pid = child.process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut stdout = String::new();
    child.process.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert!(stdout.contains("start 1\n") && stdout.contains("start 22\n"), "{stdout}");
}

#[test]
fn a_command_says_on_a_terminal_what_it_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    for (command, expected) in [
        ("decode", "waiting for lines on standard input"),
        ("tail", "waiting for lines on standard input"),
        ("dev --no-extension -- true", "waiting for events on standard input"),
    ] {
        // `script` gives the command a terminal, whose input ends at once.
        let command = format!("{} {command}", binary("lambda-otlp").display());
        let mut terminal = Command::new("script");
        terminal.current_dir(folder.path()).args(["-qec", &command, "/dev/null"]);
        let output = terminal.stdin(Stdio::null()).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains(expected), "{command}: {stdout}");
    }
}

#[test]
fn dev_passes_aws_credentials_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "echo $AWS_ACCESS_KEY_ID-$AWS_SECRET_ACCESS_KEY-$AWS_SESSION_TOKEN-$AWS_REGION; exit 3";
    let function = ["--aws", "--region", "eu-west-1", "--event", "e", "--", "sh", "-c", script];
    std::fs::write(folder.path().join("e"), "{}").unwrap();
    let mut command = dev(folder.path(), &function);
    command.env("AWS_ACCESS_KEY_ID", "AKIAMINE").env("AWS_SECRET_ACCESS_KEY", "mine");
    let output = command.env_remove("AWS_SESSION_TOKEN").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("AKIAMINE-mine--eu-west-1"), "{stdout} {output:?}");
}

/// Prints its argument, and becomes the demo's function.
const MAIN: &str = r#"
use std::os::unix::process::CommandExt;

fn main() {
    println!("{:?}", std::env::args().nth(1));
    panic!("{}", std::process::Command::new(FUNCTION).exec());
}
"#;

#[test]
fn dev_builds_a_cargo_run_command_before_starting_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir_all(folder.path().join("src/bin")).unwrap();
    write("Cargo.toml", "[package]\nname = \"orders\"\nedition = \"2021\"\n[workspace]\n");
    write("src/main.rs", &MAIN.replace("FUNCTION", &format!("{:?}", function())));
    let ledger = ledger(folder.path());
    let run = |command: &[&str]| {
        let arguments = [&["--env", &ledger, "--", "cargo", "run", "--quiet"], command].concat();
        run(folder.path(), &arguments, ORDER)
    };
    let Ended { stdout, stderr, code } = run(&["--", "its argument"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("Some(\"its argument\")") && stdout.contains("\n=> "), "{stdout}");

    write("src/bin/other.rs", "fn main() {}");
    let Ended { stderr, code, .. } = run(&[]);
    assert_eq!(code, 64);
    assert!(
        stderr.contains("cargo built several binaries (`orders`, `other`, …): add --bin NAME"),
        "{stderr}"
    );
    assert_eq!(run(&["--bin", "orders"]).code, 0);
    write("src/main.rs", "fn main() {");
    let Ended { stderr, code, .. } = run(&["--bin", "orders"]);
    assert!(code == 64 && stderr.ends_with("cargo could not build the function\n"), "{stderr}");
}
