//! The function that the local Lambda's tests run: a runtime that takes its instructions from the payload.
//!
//! `{"do": [{"print": "a line"}, {"exit": 3}]}` are the steps of one invocation; see [`Step`]. Without a step that
//! answers, the payload comes back.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a function's output is its log")]
#![expect(clippy::disallowed_methods, reason = "a runtime reads the variables that Lambda sets")]

use lambda_otlp_local_lambda::{ApiClient, ApiResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

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
    /// Lines with these numbers, `#00001234#`, evenly over a time.
    PrintNumbers {
        first: u32,
        count: u32,
        seconds: u32,
    },
    /// Answers with a value, or the environment.
    Respond(Value),
    RespondEnvironment,
    Fail(String),
    Exit(u8),
    Hang,
    /// A line after the response and before the next event.
    PrintAfterResponse(String),
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
    println!("init of the function");
    let mut runtime = ApiClient::connect(api)?;
    loop {
        let event = runtime.call("GET", "/2018-06-01/runtime/invocation/next", &[], b"")?;
        if event.status != 200 {
            return Err(io::Error::other(format!("next was answered with {}", event.status)));
        }
        Current::new(&mut runtime, &event).run()?;
    }
}

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
            Step::PrintNumbers { first, count, seconds } => print_numbers(first, count, seconds)?,
            Step::Respond(value) => {
                self.answer(value.to_string().as_bytes())?;
            }
            Step::RespondEnvironment => {
                let environment = self.environment();
                self.answer(json!(environment).to_string().as_bytes())?;
            }
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
            Step::Exit(code) => std::process::exit(code.into()),
            Step::Hang => loop {
                std::thread::park();
            },
        }
        Ok(())
    }

    fn answer(&mut self, body: &[u8]) -> io::Result<u16> {
        self.is_answered = true;
        Ok(self.runtime.call("POST", &format!("{}/response", self.path), &[], body)?.status)
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

/// Prints a part of the lines every hundredth of a second.
fn print_numbers(first: u32, count: u32, seconds: u32) -> io::Result<()> {
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
    io::stdout().flush()
}

impl Step {
    fn is_after_response(&self) -> bool {
        matches!(self, Self::PrintAfterResponse(_))
    }
}
