//! `lambda-otlp dev` as a process: a user's function, its telemetry, and the messages if it does not work.

use lambda_otlp_tests::binary;
use local_lambda::binaries::EXTENSION;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use test_support::openobserve::FakeOpenObserve;

pub(crate) fn dev(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("lambda-otlp"));
    command.current_dir(folder).arg("dev").arg("--extension");
    command.arg(binary(EXTENSION)).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, arguments: &[&str], input: &str) -> (String, String, Option<i32>) {
    run_command(&mut dev(folder, arguments), input)
}

fn run_command(command: &mut Command, input: &str) -> (String, String, Option<i32>) {
    let mut child = command.spawn().unwrap();
    // A program that refuses the input may have ended.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
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
    let (out, said, code) = run(
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
    assert_eq!((said.as_str(), code), ("", Some(0)), "{out}");
    let responses: Vec<&str> = out.lines().filter(|line| line.starts_with("=> ")).collect();
    assert_eq!(responses.len(), 2, "{out}");
    assert!(responses[0].contains(", cold: Init "), "{responses:?}");
    assert!(!responses[1].contains("cold"), "{responses:?}");
    for (expected, times) in [
        ("  orders     reserve item #", 4),
        (" ms INFO item reserved", 4),
        ("demo.orders.price", 4),
        ("faas.coldstarts", 1),
    ] {
        assert_eq!(out.matches(expected).count(), times, "{expected}: {out}");
    }
    // Lambda's report of each invocation is one line.
    assert_eq!(out.matches("Lambda: ").count(), 2, "{out}");
    assert_eq!(out.matches("$").count(), 2, "{out}");
    assert!(!out.contains("REPORT RequestId"), "{out}");
    // Each event's telemetry stands above its response.
    let (first, _) = out.split_once("\n=> ").unwrap();
    assert_eq!(first.matches(" reserve item #").count(), 2, "{out}");
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
    let (out, said, code) = run(folder.path(), &arguments, &input);
    assert_eq!(code, Some(1), "an invocation failed");
    let expected = "lambda-otlp: standard input, line 4: the event is not JSON";
    assert!(said.starts_with(expected), "{said}");
    let objects: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let responses: Vec<&str> =
        objects.iter().filter_map(|object| object.get("line")?.as_str()).collect();
    assert_eq!(responses.len(), 2, "{responses:?}");
    assert!(responses[1].starts_with("=> failed after "), "{responses:?}");
    assert!(out.contains("these keys are not used: flush.intervall"), "{out}");
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
    let (out, said, code) = post("authorization=Basic dUBleGFtcGxlLmNvbTpw");
    assert_eq!(code, Some(0), "{out}");
    let counts = fake.counts();
    let items = counts.spans + counts.log_records + counts.data_points;
    assert_eq!(said, format!("sent to {}: {items} items\n", fake.base()));
    assert!(counts.spans >= 4 && counts.log_records > 0 && counts.data_points > 0, "{counts:?}");
    // The variables name it too.
    let mut by_variables = dev(folder.path(), &["--env", &ledger, "--", &function()]);
    by_variables.env("LAMBDA_OTLP_ENDPOINT", fake.base());
    by_variables.env("LAMBDA_OTLP_HEADERS", "authorization=Basic dUBleGFtcGxlLmNvbTpw");
    let (_, said_by_variables, code_by_variables) = run_command(&mut by_variables, ORDER);
    assert_eq!(code_by_variables, Some(0), "{said_by_variables}");
    assert!(said_by_variables.starts_with("sent to http://127.0.0.1:"), "{said_by_variables}");
    // A backend that does not know the credentials is found before the function is started.
    let (refused_out, refusal, refused_code) = post("authorization=Basic s3cret");
    assert_eq!((refused_out.as_str(), refused_code), ("", Some(64)));
    assert!(refusal.starts_with("lambda-otlp: --endpoint: "), "{refusal}");
    assert!(!refusal.contains("s3cret"), "{refusal}");
}

/// A process that ends with the test.
pub(crate) struct Served(pub(crate) Child);

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The address of `dev --http 0`.
fn address(served: &mut Served) -> String {
    let mut said = BufReader::new(served.0.stderr.as_mut().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
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
    let mut served = Served(dev(folder.path(), &arguments).spawn().unwrap());
    let address = &address(&mut served);

    let by_url = post(address, "/orders/7", ORDER);
    assert!(by_url.starts_with("HTTP/1.1 201 ") && by_url.ends_with("\r\n\r\n1000"), "{by_url}");
    let invoke = "/2015-03-31/functions/orders/invocations";
    let failing = ORDER.replace("ok", "error");
    let by_invoke = post(address, invoke, &failing).to_ascii_lowercase();
    assert!(by_invoke.contains("\r\nx-amz-function-error: unhandled\r\n"), "{by_invoke}");
    let failed_by_url = post(address, "/orders/8", &failing);
    assert!(failed_by_url.starts_with("HTTP/1.1 502 "), "{failed_by_url}");

    let pid = served.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut out = String::new();
    served.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(served.0.wait().unwrap().code(), Some(1), "an invocation failed");
    assert_eq!(out.matches("\n=> ").count(), 3, "{out}");
    let traces: Vec<&str> = out.lines().filter(|line| line.starts_with("Trace ")).collect();
    let different: BTreeSet<&str> =
        traces.iter().filter_map(|line| line.split(':').next()).collect();
    assert!(!traces.is_empty() && traces.len() == different.len(), "{out}");
    // Lambda's own measures of the last invocation are written at SHUTDOWN.
    let (_, last) = out.rsplit_once("\n=> ").unwrap();
    assert!(last.contains("aws.lambda.runtime_overhead"), "{out}");
}

#[test]
fn dev_gives_the_function_a_client_context() {
    const ASKS: &str = r#"{"end":"client context"}"#;
    let folder = tempfile::tempdir().unwrap();
    let function = env!("CARGO_BIN_EXE_simulated-function");
    std::fs::write(folder.path().join("context.json"), "{\n\"custom\": {\"a\": 1}\n}").unwrap();
    let (out, said, _) =
        run(folder.path(), &["--client-context", "context.json", "--", function], ASKS);
    assert!(out.contains(r#"=> "{\"custom\":{\"a\":1}}" ("#), "{out} {said}");

    let arguments = ["--name", "orders", "--http", "0", "--", function];
    let mut served = Served(dev(folder.path(), &arguments).spawn().unwrap());
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
        let mut served = Served(dev(folder.path(), &arguments).spawn().unwrap());
        let address = address(&mut served);
        assert!(post(&address, "/orders/7", ORDER).starts_with("HTTP/1.1 201 "));
        let pid = served.0.id().to_string();
        let processes = children(&pid);
        assert!(!processes.is_empty());
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(served.0.wait().unwrap().code(), Some(0), "{signal}");
        let left = processes.into_iter().filter(|pid| Path::new("/proc").join(pid).exists());
        assert_eq!(left.count(), 0, "{signal}");
    }
}

#[test]
fn dev_explains_a_function_that_cannot_run() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.py"), "").unwrap();
    let refused = |arguments: &[&str], expected: &str| {
        let (out, said, code) = run(folder.path(), arguments, "{}\n");
        assert_eq!((out.as_str(), code), ("", Some(64)), "{arguments:?}: {said}");
        assert!(said.lines().count() == 1 && said.contains(expected), "{arguments:?}: {said}");
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
        let (out, said, code) = run(folder.path(), arguments, "{}\n");
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        let responses: Vec<&str> = out.lines().filter(|line| line.starts_with("=> ")).collect();
        assert!(matches!(responses.as_slice(), [one] if one.contains(expected)), "{out}");
        out
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
    let (out, _, code) = run(folder.path(), &slow, &ORDER.replace("ok", "timeout"));
    assert_eq!(code, Some(1));
    assert!(out.contains("\n=> timed out after 1 s"), "{out}");
}

#[test]
fn dev_takes_events_of_a_kind_and_of_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let event = ["--event", "-", "--repeat", "2", "--env", &ledger, "--", &function()];
    let (out, said, code) = run(folder.path(), &event, &ORDER.replace(',', ",\n"));
    assert_eq!((out.matches("\n=> ").count(), code), (2, Some(0)), "{out} {said}");
    let (_, complaint, invalid_code) = run(folder.path(), &event, "{\n");
    assert_eq!(invalid_code, Some(64));
    assert_eq!(
        complaint,
        "lambda-otlp: --event -: line 1: the event is not JSON: it has no end: correct it\n"
    );
    std::fs::write(folder.path().join("prints.py"), PRINTS).unwrap();
    let kind = ["--event-kind", "sqs", "--body", "a message", "--json"];
    let (out, _, _) =
        run(folder.path(), &[&kind[..], &["--", "python3", "prints.py"]].concat(), "");
    assert!(out.contains(r#"\"body\":\"a message\""#) && out.contains("arn:aws:sqs:"), "{out}");
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
        let (out, _, _) = run_command(&mut command, "");
        assert!(out.contains(&format!("region {value}")), "{out}");
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
    let (out, said, code) = run(folder.path(), &slow, "");
    assert_eq!(code, Some(0), "{out} {said}");
    // The extension writes Lambda's span of an invocation with the next one, and at the end.
    let traces: Vec<&str> = out.split("\nTrace ").skip(1).collect();
    assert_eq!(traces.len(), 2, "{out}");
    for trace in traces {
        assert!(trace.contains(" ms INFO start 1") && trace.contains(" ms INFO end"), "{out}");
    }
    let (before, _) = out.split_once("\nTrace ").unwrap();
    assert!(before.contains(" INFO  start 1\n"), "{out}");
}

#[test]
fn dev_reloads_changed_code() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("slow.py");
    let code = SLOW.replace("time.sleep(1.5)", "pass");
    std::fs::write(&program, &code).unwrap();
    let watch = ["--watch", "--event-kind", "schedule", "--", "python3", "slow.py"];
    let mut child = Served(dev(folder.path(), &watch).spawn().unwrap());
    let mut said = BufReader::new(child.0.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "waiting for changes of the code; Ctrl-C ends\n");
    std::fs::write(&program, code.replace("NUMBER = 1", "NUMBER = 22")).unwrap();
    for expected in ["slow.py changed\n", "waiting for changes of the code; Ctrl-C ends\n"] {
        line.clear();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
    }
    let pid = child.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut out = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(out.contains("start 1\n") && out.contains("start 22\n"), "{out}");
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
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.contains(expected), "{command}: {out}");
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
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("AKIAMINE-mine--eu-west-1"), "{out} {output:?}");
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
    let (out, said, code) = run(&["--", "its argument"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("Some(\"its argument\")") && out.contains("\n=> "), "{out}");

    write("src/bin/other.rs", "fn main() {}");
    let (_, said, code) = run(&[]);
    assert_eq!(code, Some(64));
    assert!(
        said.contains("cargo built several binaries (`orders`, `other`, …): add --bin NAME"),
        "{said}"
    );
    assert_eq!(run(&["--bin", "orders"]).2, Some(0));
    write("src/main.rs", "fn main() {");
    let (_, said, code) = run(&["--bin", "orders"]);
    assert!(code == Some(64) && said.ends_with("cargo could not build the function\n"), "{said}");
}
