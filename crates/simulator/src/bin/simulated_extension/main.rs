//! The extension that the simulator's tests run.
//!
//! What it does is said by `LAYER/NAME.script`, an instruction a line (see [`Script`]); what it is told it appends to
//! `LAYER/NAME.record`: `register STATUS BODY`, `subscribe STATUS BODY`, `event BODY`, `batch BODY`, and more.

#![expect(clippy::print_stdout, reason = "an extension's output is part of its function's log")]
#![expect(clippy::disallowed_methods, reason = "an extension reads the variables that Lambda sets")]

mod listener;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_otlp_simulator::api_client::{ApiClient, ApiResponse};
use listener::Listener;

/// The instructions of a script, in the order of their lines.
///
/// - `name NAME`, `feature FEATURE`, `events EVENT …`: how it registers
/// - `answers STATUS …`: how the listener answers, the last one for ever
/// - `subscribe BODY`: subscribes with this body, in which PORT is the listener's
/// - `init|invoke|shutdown ACTION`: what it does before its first `next`, or on an event; see [`Extension::act`]
struct Script(Vec<(String, String)>);

impl Script {
    fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let instruction = |line: &str| {
            let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
            (key.to_owned(), rest.to_owned())
        };
        Ok(Self(text.lines().map(instruction).collect()))
    }

    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, rest)| rest.as_str())
    }

    fn last<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.all(key).last()
    }
}

/// What the extension was told, for the test to read.
#[derive(Clone)]
struct Record(Arc<Mutex<File>>);

impl Record {
    fn write(&self, line: &str) {
        if let Ok(mut file) = self.0.lock() {
            file.write_all(format!("{line}\n").as_bytes()).ok();
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            println!("simulated extension: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<ExitCode> {
    let program = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let layer = program.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let script = Script::read(&layer.join(format!("{name}.script")))?;
    let record = layer.join(format!("{name}.record"));
    let file = File::options().create(true).append(true).open(record)?;
    let record = Record(Arc::new(Mutex::new(file)));
    let directory = std::env::current_dir()?;
    record.write(&format!("directory {}", directory.display()));
    for (name, value) in std::env::vars() {
        record.write(&format!("variable {name}={value}"));
    }
    let statuses = script.last("answers").unwrap_or("200");
    let statuses = statuses.split(' ').filter_map(|status| status.parse().ok()).collect();
    let listener = Listener::start(record.clone(), statuses)?;
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    let mut extension = Extension {
        client: ApiClient::connect(&api)?,
        identifier: String::new(),
        request_id: String::new(),
        listener,
        record,
        script,
        go: layer.join(format!("{name}.go")),
    };
    extension.start(&name)?;
    extension.serve()
}

struct Extension {
    client: ApiClient,
    identifier: String,
    request_id: String,
    listener: Listener,
    record: Record,
    script: Script,
    go: PathBuf,
}

impl Extension {
    fn start(&mut self, name: &str) -> io::Result<()> {
        let name = self.script.last("name").unwrap_or(name).to_owned();
        self.identifier = self.register(&name)?;
        let bodies: Vec<String> = self.script.all("subscribe").map(str::to_owned).collect();
        for body in bodies {
            self.subscribe(&body)?;
        }
        self.act("init").map(drop)
    }

    fn register(&mut self, name: &str) -> io::Result<String> {
        let events = self.script.last("events").unwrap_or("INVOKE SHUTDOWN");
        let events: Vec<_> =
            events.split_whitespace().map(|event| format!("\"{event}\"")).collect();
        let body = format!("{{\"events\":[{}]}}", events.join(","));
        let features = self.script.last("feature").unwrap_or_default();
        let headers =
            [("Lambda-Extension-Name", name), ("Lambda-Extension-Accept-Feature", features)];
        let path = "/2020-01-01/extension/register";
        let answer = self.client.call("POST", path, &headers, body.as_bytes())?;
        self.note("register", &answer);
        Ok(answer.header("lambda-extension-identifier").unwrap_or_default().to_owned())
    }

    fn subscribe(&mut self, body: &str) -> io::Result<()> {
        let body = body.replace("PORT", &self.listener.port().to_string());
        let headers = [("Lambda-Extension-Identifier", self.identifier.as_str())];
        let answer = self.client.call("PUT", "/2022-07-01/telemetry", &headers, body.as_bytes())?;
        self.note("subscribe", &answer);
        Ok(())
    }

    fn serve(&mut self) -> io::Result<ExitCode> {
        loop {
            let headers = [("Lambda-Extension-Identifier", self.identifier.as_str())];
            let path = "/2020-01-01/extension/event/next";
            let answer = self.client.call("GET", path, &headers, b"")?;
            if answer.status != 200 {
                self.note("next", &answer);
                return Ok(ExitCode::FAILURE);
            }
            let event = String::from_utf8_lossy(&answer.body).into_owned();
            self.record.write(&format!("event {event}"));
            let when = if event.contains("\"SHUTDOWN\"") { "shutdown" } else { "invoke" };
            if let Some((_, rest)) = event.split_once("\"requestId\":\"") {
                rest.split('"').next().unwrap_or_default().clone_into(&mut self.request_id);
            }
            self.act(when)?;
            if when == "shutdown" {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    /// Does what the script says for this time:
    ///
    /// - `print TEXT`, `exit CODE`, `hang`
    /// - `error TYPE`: reports an error, at init as an init error, and goes on
    /// - `hold TYPE`: waits for the telemetry event of this type that is about the last request
    /// - `wait`: waits for the file `LAYER/NAME.go`
    /// - `subscribe BODY`, `register NAME`: too late
    fn act(&mut self, when: &str) -> io::Result<()> {
        let actions: Vec<String> = self.script.all(when).map(str::to_owned).collect();
        for action in actions {
            let (verb, rest) = action.split_once(' ').unwrap_or((&action, ""));
            match verb {
                "print" => println!("{rest}"),
                "exit" => std::process::exit(rest.parse().unwrap_or(1)),
                "hang" => loop {
                    std::thread::park();
                },
                "error" => {
                    let phase = if when == "init" { "init" } else { "exit" };
                    let path = format!("/2020-01-01/extension/{phase}/error");
                    let headers = [
                        ("Lambda-Extension-Identifier", self.identifier.as_str()),
                        ("Lambda-Extension-Function-Error-Type", rest),
                    ];
                    let answer = self.client.call("POST", &path, &headers, b"{}")?;
                    self.note("error", &answer);
                }
                "wait" => self.wait()?,
                "hold" => self.listener.wait_for(rest, &self.request_id),
                "subscribe" => self.subscribe(rest)?,
                "register" => self.register(rest).map(drop)?,
                _ => return Err(io::Error::other(format!("no such action: {action}"))),
            }
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        while !std::fs::exists(&self.go)? {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn note(&self, what: &str, answer: &ApiResponse) {
        let body = String::from_utf8_lossy(&answer.body);
        self.record.write(&format!("{what} {} {body}", answer.status));
    }
}
