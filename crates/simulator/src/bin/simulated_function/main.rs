//! The function that the simulator's tests run: a runtime of its own, whose payload says what it does.
//!
//! `{"do": [{"print": "a line"}, {"exit": 3}]}` are the steps of one invocation; see [`Step`]. Without a step that
//! answers, the payload comes back. How init goes is said by the variables `INIT` and `INIT_FAILS_ONCE`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a function's output is its log")]
#![expect(clippy::disallowed_methods, reason = "a runtime reads the variables that Lambda sets")]

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use lambda_otlp_simulator::api_client::{ApiClient, ApiResponse};

#[derive(Deserialize)]
struct Instructions {
    #[serde(default, rename = "do")]
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Print(String),
    PrintError(String),
    PrintUnfinished(String),
    /// Prints a line of this many bytes, line feed included.
    PrintBytes(usize),
    /// Prints this many numbered lines.
    PrintLines(usize),
    /// Answers with a value, the environment, or this many bytes.
    Respond(Value),
    RespondEnvironment,
    RespondBytes(usize),
    /// Answers in chunks, with an error in the trailers if one is named.
    Stream {
        chunks: Vec<String>,
        error: Option<String>,
    },
    /// Makes calls that are not allowed around the right one; the statuses become lines.
    RespondWrongly,
    Fail(String),
    Exit(u8),
    Abort,
    Hang,
    /// Computes for this many milliseconds.
    Burn(u64),
    /// Takes so many MB of memory and keeps them.
    Allocate(usize),
    /// Writes a file into the directory for temporary files, or prints those that are there.
    WriteTemporary(String),
    ListTemporary,
    /// Creates one file and waits for the other.
    Meet {
        mine: PathBuf,
        other: PathBuf,
    },
    /// A line after the response and before the next event.
    PrintAfterResponse(String),
    ExitAfterResponse(u8),
    HangAfterResponse,
}

fn main() -> ExitCode {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    match run(&api) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("simulated function: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(api: &str) -> io::Result<std::convert::Infallible> {
    init(api)?;
    let mut runtime = ApiClient::connect(api)?;
    loop {
        let event = runtime.call("GET", "/2018-06-01/runtime/invocation/next", &[], b"")?;
        if event.status != 200 {
            return Err(io::Error::other(format!("next was answered with {}", event.status)));
        }
        Current::new(&mut runtime, &event).run()?;
    }
}

/// Prints a line, and goes wrong where `INIT` says so; with `INIT_FAILS_ONCE` only if that file is not there yet.
fn init(api: &str) -> io::Result<()> {
    println!("init of the function");
    if let Ok(events) = std::env::var("INTERNAL_EXTENSION") {
        extension(api, &events)?;
    }
    if std::env::var("AWS_LAMBDA_INITIALIZATION_TYPE").as_deref() == Ok("snap-start") {
        snapshot(api)?;
    }
    let Ok(init) = std::env::var("INIT") else { return Ok(()) };
    if let Ok(marker) = std::env::var("INIT_FAILS_ONCE") {
        if std::fs::exists(&marker)? {
            return Ok(());
        }
        std::fs::write(marker, "")?;
    }
    match init.as_str() {
        "exit" => std::process::exit(7),
        "hang" => loop {
            std::thread::park();
        },
        _ => {
            let body = json!({ "errorType": "ConfigInvalid", "errorMessage": "no table", "stackTrace": [] }).to_string();
            let headers = [("Lambda-Runtime-Function-Error-Type", "Function.ConfigInvalid")];
            ApiClient::connect(api)?.call(
                "POST",
                "/2018-06-01/runtime/init/error",
                &headers,
                body.as_bytes(),
            )?;
            std::process::exit(1)
        }
    }
}

/// Lets itself be frozen for a snapshot, and says how the restore goes.
fn snapshot(api: &str) -> io::Result<()> {
    println!("before the snapshot");
    let mut client = ApiClient::connect(api)?;
    let restored = client.call("GET", "/2018-06-01/runtime/restore/next", &[], b"")?;
    println!("after the restore: {}", restored.status);
    if let Ok(error_type) = std::env::var("RESTORE_ERROR") {
        let headers = [("Lambda-Runtime-Function-Error-Type", error_type.as_str())];
        client.call("POST", "/2018-06-01/runtime/restore/error", &headers, b"{}")?;
    }
    Ok(())
}

/// Registers an internal extension, and prints a line when SIGTERM comes.
fn extension(api: &str, events: &str) -> io::Result<()> {
    let mut client = ApiClient::connect(api)?;
    let headers = [("Lambda-Extension-Name", "inner")];
    let registered =
        client.call("POST", "/2020-01-01/extension/register", &headers, events.as_bytes())?;
    println!("register: {} {}", registered.status, String::from_utf8_lossy(&registered.body));
    let identifier =
        registered.header("lambda-extension-identifier").unwrap_or_default().to_owned();
    let watching = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        watching.block_on(async {
            let mut terminated =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            ready.send(()).ok();
            terminated.recv().await;
            println!("terminated");
            std::process::exit(0);
            #[expect(unreachable_code, reason = "gives the block its type")]
            io::Result::Ok(())
        })
    });
    is_ready.recv().map_err(io::Error::other)?;
    std::thread::spawn(move || {
        let headers = [("Lambda-Extension-Identifier", identifier.as_str())];
        while let Ok(event) = client.call("GET", "/2020-01-01/extension/event/next", &headers, b"")
        {
            let event: Value = serde_json::from_slice(&event.body).unwrap_or_default();
            let value = |key: &str| event.get(key).cloned().unwrap_or_default();
            println!("extension: {} {}", value("eventType"), value("requestId"));
        }
    });
    Ok(())
}

/// The invocation in progress.
struct Current<'a> {
    runtime: &'a mut ApiClient,
    event: &'a ApiResponse,
    path: String,
    is_answered: bool,
}

impl<'a> Current<'a> {
    fn new(runtime: &'a mut ApiClient, event: &'a ApiResponse) -> Self {
        let request_id = event.header("lambda-runtime-aws-request-id").unwrap_or_default();
        let path = format!("/2018-06-01/runtime/invocation/{request_id}");
        Self { runtime, event, path, is_answered: false }
    }

    fn run(mut self) -> io::Result<()> {
        let instructions: Instructions =
            serde_json::from_slice(&self.event.body).unwrap_or(Instructions { steps: Vec::new() });
        let (afterwards, steps): (Vec<_>, Vec<_>) =
            instructions.steps.into_iter().partition(Step::is_after_response);
        for step in steps {
            self.step(step)?;
        }
        if !self.is_answered {
            self.answer(&self.event.body)?;
        }
        afterwards.into_iter().try_for_each(|step| self.step(step))
    }

    fn step(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Print(line) | Step::PrintAfterResponse(line) => println!("{line}"),
            Step::PrintError(line) => eprintln!("{line}"),
            Step::PrintUnfinished(text) => {
                print!("{text}");
                io::stdout().flush()?;
            }
            Step::PrintBytes(bytes) => println!("{}", "x".repeat(bytes.saturating_sub(1))),
            Step::PrintLines(lines) => (0..lines).for_each(|number| println!("line {number}")),
            Step::Respond(value) => {
                self.answer(value.to_string().as_bytes())?;
            }
            Step::RespondEnvironment => {
                let environment = self.environment();
                self.answer(json!(environment).to_string().as_bytes())?;
            }
            Step::RespondBytes(bytes) => {
                let status = self.answer("x".repeat(bytes).as_bytes())?;
                println!("response: {status}");
            }
            Step::Stream { chunks, error } => {
                self.is_answered = true;
                self.runtime.stream(
                    &format!("{}/response", self.path),
                    &chunks,
                    error.as_deref(),
                )?;
            }
            Step::RespondWrongly => self.respond_wrongly()?,
            Step::Fail(error_type) => {
                self.is_answered = true;
                let body =
                    json!({ "errorType": error_type, "errorMessage": "as told", "stackTrace": [] })
                        .to_string();
                let headers = [("Lambda-Runtime-Function-Error-Type", error_type.as_str())];
                self.runtime.call(
                    "POST",
                    &format!("{}/error", self.path),
                    &headers,
                    body.as_bytes(),
                )?;
            }
            Step::Exit(code) | Step::ExitAfterResponse(code) => std::process::exit(code.into()),
            Step::Abort => std::process::abort(),
            Step::Hang | Step::HangAfterResponse => loop {
                std::thread::park();
            },
            Step::Burn(millis) => {
                let end = Instant::now() + Duration::from_millis(millis);
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
            }
            Step::Allocate(megabytes) => {
                std::mem::forget(std::hint::black_box(vec![1_u8; megabytes * 1024 * 1024]));
            }
            Step::WriteTemporary(name) => std::fs::write(std::env::temp_dir().join(name), "")?,
            Step::ListTemporary => {
                for entry in std::fs::read_dir(std::env::temp_dir())? {
                    println!("{}", entry?.file_name().display());
                }
            }
            Step::Meet { mine, other } => {
                std::fs::write(mine, "")?;
                while !std::fs::exists(&other)? {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, body: &[u8]) -> io::Result<u16> {
        self.is_answered = true;
        Ok(self.runtime.call("POST", &format!("{}/response", self.path), &[], body)?.status)
    }

    fn respond_wrongly(&mut self) -> io::Result<()> {
        self.is_answered = true;
        let other = "/2018-06-01/runtime/invocation/00000000-0000-4000-8000-000000000000/response";
        let own = format!("{}/response", self.path);
        for (method, path) in [
            ("POST", other),
            ("GET", "/2018-06-01/runtime/invocation/next"),
            ("POST", own.as_str()),
            ("POST", own.as_str()),
            ("POST", "/2018-06-01/runtime/nothing"),
        ] {
            println!("{}", self.runtime.call(method, path, &[], b"1")?.status);
        }
        Ok(())
    }

    /// The variables, and the headers of the event by a short name.
    fn environment(&self) -> BTreeMap<String, String> {
        let mut environment: BTreeMap<String, String> = std::env::vars().collect();
        for (name, header) in [
            ("deadline", "lambda-runtime-deadline-ms"),
            ("arn", "lambda-runtime-invoked-function-arn"),
            ("trace", "lambda-runtime-trace-id"),
        ] {
            environment
                .extend(self.event.header(header).map(|value| (name.to_owned(), value.to_owned())));
        }
        environment
    }
}

impl Step {
    fn is_after_response(&self) -> bool {
        matches!(
            self,
            Self::PrintAfterResponse(_) | Self::ExitAfterResponse(_) | Self::HangAfterResponse
        )
    }
}
