//! The function of the simulations: the program that runs them, started by the local Lambda as a bootstrap.
//!
//! It sends spans to the extension as an SDK would, notes which were acknowledged, and ends as its payload says.

use local_lambda::{ApiClient, ApiResponse};
use serde::Deserialize;
use serde_json::Value;
use settings::{Env, Source as _};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::time::{Duration, Instant};
use wire::invocation_record;
use wire::protobuf::Writer;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    spans: Vec<u64>,
    /// `true` if the first of them is the root of the invocation.
    root: bool,
    /// `true` if it leaves the record of its root span, as our exporter does.
    record: bool,
    /// How many bytes of attributes each span has.
    bytes: usize,
    lines: usize,
    /// How long each is at least.
    line_bytes: usize,
    numbers: Option<Numbers>,
    stdout: String,
    stderr: String,
    /// How long it does nothing before it ends, in milliseconds.
    pause_ms: u64,
    /// `fail`, `exit`, `panic`, `hang`, `environment` for a response with what it sees of Lambda, `client context` for one with this
    /// header; otherwise it responds with `response`.
    end: String,
    response: Value,
    /// A line after the response.
    late: String,
}

/// Lines with these numbers, `#00001234#`, evenly over a time.
#[derive(Deserialize)]
struct Numbers {
    first: u32,
    count: u32,
    seconds: u32,
}

/// Works as a function where Lambda runs this process, and ends it; elsewhere does nothing.
pub fn run_in_lambda() {
    let Some(api) = Env.get("AWS_LAMBDA_RUNTIME_API") else { return };
    print(io::stdout(), &Env.get("PRINTS_AT_INIT").unwrap_or_default()).unwrap();
    if Env.get("FAILS_AT_INIT").is_some() {
        std::process::exit(3);
    }
    // A managed instance says how many invocations it runs at a time.
    let workers = Env.get("AWS_LAMBDA_MAX_CONCURRENCY").map_or(1, |number| number.parse().unwrap());
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let api = &api;
            scope.spawn(move || {
                let ended = run(api, worker);
                // Lambda has gone: the process ends, without libtest's report.
                assert!(ended.is_err(), "the loop has no end");
                std::process::exit(0);
            });
        }
    });
}

fn run(api: &str, worker: u64) -> io::Result<()> {
    let mut number = (u64::from(std::process::id()) << 32) | (worker << 24);
    let mut runtime = ApiClient::connect(api)?;
    loop {
        let event = runtime.call("GET", "/2018-06-01/runtime/invocation/next", &[], b"")?;
        let request_id = event.header("lambda-runtime-aws-request-id").unwrap_or_default();
        let payload: Payload = serde_json::from_slice(&event.body).map_err(io::Error::other)?;
        if payload.record {
            let trace_id = crate::simulation::run::TRACE;
            let span_id = crate::simulation::run::ROOT;
            let record = invocation_record::record(request_id, &trace_id, &span_id, true);
            let path = invocation_record::path(api);
            std::fs::write(path, record.unwrap_or_default())?;
        }
        for (position, spans) in payload.spans.iter().enumerate() {
            let ids: Vec<u64> = (0..*spans).map(|span| number + span).collect();
            number += spans;
            let root = payload.root.then_some(request_id).filter(|_| position == 0);
            send(&ids, root, payload.bytes)?;
        }
        let mut lines = Vec::new();
        for line in 0..payload.lines {
            let width = payload.line_bytes;
            writeln!(lines, "{:width$}", format!("a line of the function, number {line}"))?;
        }
        io::stdout().write_all(&lines)?;
        if let Some(numbers) = &payload.numbers {
            print_numbers(numbers)?;
        }
        print(io::stdout(), &payload.stdout)?;
        print(io::stderr(), &payload.stderr)?;
        std::thread::sleep(Duration::from_millis(payload.pause_ms));
        if Env.get("SIGNALS_COMPLETION").is_some() {
            signal_completion(request_id)?;
        }
        match payload.end.as_str() {
            "fail" => {
                let path = format!("/2018-06-01/runtime/invocation/{request_id}/error");
                let kind = [("Lambda-Runtime-Function-Error-Type", "Function.Unhappy")];
                let body = br#"{"errorType":"Unhappy","errorMessage":"no","stackTrace":[]}"#;
                runtime.call("POST", &path, &kind, body)?;
            }
            "exit" => std::process::exit(3),
            "panic" => panic!("as told"),
            "hang" => {
                if let Some(hanging) = Env.get("HANGING") {
                    std::fs::write(hanging, "")?;
                }
                loop {
                    std::thread::park();
                }
            }
            end => {
                let response = match end {
                    "" => payload.response,
                    "environment" => seen(&event),
                    "client context" => {
                        event.header("lambda-runtime-client-context").unwrap_or_default().into()
                    }
                    unknown => panic!("the payload asks for an unknown end: {unknown}"),
                };
                let path = format!("/2018-06-01/runtime/invocation/{request_id}/response");
                runtime.call("POST", &path, &[], response.to_string().as_bytes())?;
            }
        }
        print(io::stdout(), &payload.late)?;
    }
}

fn print(mut out: impl Write, line: &str) -> io::Result<()> {
    if line.is_empty() { Ok(()) } else { writeln!(out, "{line}") }
}

/// Prints a part of the lines every hundredth of a second.
fn print_numbers(numbers: &Numbers) -> io::Result<()> {
    let Numbers { first, count, seconds } = numbers;
    let begun = Instant::now();
    let parts = seconds * 100;
    for part in 0..parts {
        let numbers = (count / parts * part)..(count / parts * (part + 1));
        let lines =
            numbers.map(|number| format!("INFO #{:08}# an order was paid\n", first + number));
        io::stdout().write_all(lines.collect::<String>().as_bytes())?;
        let due = Duration::from_millis(10) * (part + 1);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    Ok(())
}

/// The variables, and the headers of the event.
#[expect(clippy::disallowed_methods, reason = "a test compares all variables")]
fn seen(event: &ApiResponse) -> Value {
    let headers = ["lambda-runtime-deadline-ms", "lambda-runtime-invoked-function-arn"]
        .map(|name| (name.to_owned(), event.header(name).unwrap_or_default().to_owned()));
    std::env::vars().chain(headers).map(|(name, value)| (name, Value::String(value))).collect()
}

/// Tells djv3's extension that the handler has returned, as its wrappers for Node and Python do.
fn signal_completion(request_id: &str) -> io::Result<()> {
    let mut receiver = ApiClient::connect(&format!("127.0.0.1:{}", port()))?;
    let request_id = [("Lambda-Request-Id", request_id)];
    receiver.call("POST", "/invocation/complete", &request_id, b"").map(drop)
}

/// Posts spans with these ids, and notes the acknowledged ones. A missing listener is no error of the function.
fn send(ids: &[u64], root_of: Option<&str>, bytes: usize) -> io::Result<()> {
    let port = port();
    let body = request(ids, root_of, bytes);
    let content_type = [("Content-Type", "application/x-protobuf")];
    // A connection of its own, which no freeze outlives.
    let posted = ApiClient::connect(&format!("127.0.0.1:{port}"))
        .and_then(|mut receiver| receiver.call("POST", "/v1/traces", &content_type, &body));
    if !posted.is_ok_and(|answer| answer.status == 200) {
        return Ok(());
    }
    let acknowledged = Env.get("ACKNOWLEDGED").unwrap_or_default();
    let mut file = OpenOptions::new().append(true).create(true).open(acknowledged)?;
    let mut lines = Vec::new();
    for id in ids {
        writeln!(lines, "{id}")?;
    }
    file.write_all(&lines)
}

/// A request of spans with these ids, each with this number of bytes of noise. The first is the root of `root_of`.
fn request(ids: &[u64], root_of: Option<&str>, bytes: usize) -> Vec<u8> {
    let mut noise_state = ids.first().copied().unwrap_or(1) | 1;
    let mut body = Vec::new();
    Writer::new(&mut body).message(1, |container| {
        container.message(2, |scope| {
            scope.message(1, |scope| scope.string(1, crate::simulation::run::SCOPE));
            for (position, id) in ids.iter().enumerate() {
                let noise = noise(&mut noise_state, bytes);
                let root_of = root_of.filter(|_| position == 0);
                scope.message(2, |span| write_span(span, *id, root_of, &noise));
            }
        });
    });
    body
}

/// Text that deflate cannot compress much.
fn noise(state: &mut u64, bytes: usize) -> String {
    let letter = |_| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        char::from(b'!' + u8::try_from(*state % 90).unwrap())
    };
    (0..bytes).map(letter).collect()
}

fn write_span(span: &mut Writer<'_>, id: u64, root_of: Option<&str>, noise: &str) {
    span.bytes(1, &crate::simulation::run::TRACE);
    span.bytes(2, &id.to_be_bytes());
    if root_of.is_none() {
        span.bytes(4, &[9; 8]);
    }
    span.string(5, "query");
    span.fixed64(7, 1);
    span.fixed64(8, 2);
    for (key, value) in [("faas.invocation_id", root_of.unwrap_or_default()), ("noise", noise)] {
        if !value.is_empty() {
            span.message(9, |attribute| {
                attribute.string(1, key);
                attribute.message(2, |any| any.string(1, value));
            });
        }
    }
}

/// The endpoint of OTLP: from the variable, otherwise as the layer's wrapper tells an SDK.
fn port() -> String {
    let moved = || {
        let api = Env.get("AWS_LAMBDA_RUNTIME_API")?.replace(':', "-");
        let port = std::fs::read_to_string(format!("/tmp/.lambda-otlp-receiver-{api}")).ok()?;
        Some(port.trim().to_owned())
    };
    let named = Env.get("OTEL_LAMBDA_RECEIVER_PORT");
    named.or_else(moved).unwrap_or_else(|| "4318".to_owned())
}
