//! A panic of the extension, in the local Lambda: the program starts anew in the same process, and the function notices nothing.
//!
//! The released program has no panic that anybody could ask for. This program is the extension too, where Lambda starts it: the
//! same code, beside a task or a thread that panics when a file says so. It has no harness of tests, since Lambda starts
//! extensions without arguments.

#![expect(clippy::unwrap_used, reason = "what goes wrong in the local Lambda fails the test")]
#![expect(clippy::print_stdout, reason = "in place of the harness")]

use lambda_otlp_extension::{ARGUMENT, Config, Counts, Handover, init_log, run, take_over_panics};
use lambda_otlp_tests::stories::states::End;
use lambda_otlp_tests::stories::{EXTENSION, Log, Program, Story, run_in_lambda};
use serde_json::{Value, json};
use settings::Source as _;
use simulator::FunctionSpec;
use simulator::sink::{Faults, ScriptedResponse, Sink};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The argument that makes this program the function.
const FUNCTION: &str = "the_function";
/// The variable with the name of the file that asks for a panic.
const PANIC: &str = "PANIC";
/// The variable that says when it panics each time: `reading` variables, or `whatever it does`.
const ALWAYS: &str = "PANIC_ALWAYS";
/// So long an invocation goes on when the extension panics, in milliseconds: for longer than the program takes to start anew.
const PAUSE_MS: u64 = 60;
const LOOK: Duration = Duration::from_millis(2);
/// What asks for a panic: in the loop's thread, beside it, and beside it so long after SHUTDOWN that the loop knows of it.
const FILE: &str = "panic";
const IN_THREAD: &str = "panic-in-thread";
const AT_THE_END: &str = "panic-at-the-end";
const SHUTDOWN_HAS_COME: Duration = Duration::from_millis(200);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == FUNCTION) {
        run_in_lambda();
    } else if arguments.first().is_some_and(|path| path.ends_with(EXTENSION)) {
        extension(&arguments);
    } else {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(stories());
    }
}

/// The extension, as `src/main.rs` has it.
fn extension(arguments: &[String]) {
    let handover = match arguments.get(1).map(String::as_str) {
        Some(ARGUMENT) => Handover::read(arguments.get(2).unwrap()),
        _ => Handover::default(),
    };
    let (handover, counts) = (Arc::new(handover), Arc::new(Counts::default()));
    take_over_panics(arguments.first().unwrap(), &handover, &counts);
    let always = settings::Env.get(ALWAYS).unwrap_or_default();
    assert_ne!(always, "whatever it does");
    let config = if handover.has_given_up() {
        Config::of_lambda(&settings::Env)
    } else {
        assert_ne!(always, "reading");
        Config::from_source(&settings::Env)
    };
    init_log(&config);
    let file = settings::Env.get(PANIC).unwrap();
    // In a thread of its own, while the loop goes on.
    for (name, pause) in [(IN_THREAD, LOOK), (AT_THE_END, SHUTDOWN_HAS_COME)] {
        let file = [&file, name.trim_start_matches(FILE)].concat();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(LOOK);
                if Path::new(&file).exists() {
                    std::thread::sleep(pause);
                    panic_if_asked(&file);
                }
            }
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async {
        // In the loop's own thread, between two of its steps.
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if Path::new(&file).exists() {
                    // A thaw ends the first sleep; now the loop has acted on what it was thawed for.
                    tokio::time::sleep(LOOK).await;
                    panic_if_asked(&file);
                }
            }
        });
        run(&config, EXTENSION, std::io::stdout(), &counts, &handover).await
    });
    runtime.shutdown_background();
    // No panic: the program ends here as the released one does.
    std::process::exit(i32::from(ended.is_err()));
}

fn panic_if_asked(file: &str) {
    assert!(std::fs::remove_file(file).is_err(), "somebody's secret");
}

fn program() -> Program {
    Program { extension: std::env::current_exe().unwrap(), function: &[FUNCTION] }
}

/// A function beside an extension that panics where the folder says so.
async fn story(folder: &Path, change: impl FnOnce(FunctionSpec) -> FunctionSpec) -> Story {
    let file = folder.join(FILE).to_str().unwrap().to_owned();
    Story::with(&program(), |spec| change(spec.env(PANIC, file))).await
}

/// Lets the extension panic during an invocation that goes on until it has.
async fn panic_in_an_invocation(story: &mut Story, folder: &Path, file: &str) {
    panic_in(story, folder, file, json!({"spans": [3], "root": true, "pause_ms": PAUSE_MS})).await;
}

async fn panic_in(story: &mut Story, folder: &Path, file: &str, payload: Value) {
    std::fs::write(folder.join(file), "").unwrap();
    story.invoke(payload.clone()).await;
    while folder.join(file).exists() {
        story.invoke(payload.clone()).await;
    }
}

fn said(log: &Log, part: &str) -> usize {
    log.text.iter().filter(|line| line.contains(part)).count()
}

/// What the extension has said.
fn own(log: &Log) -> Vec<&String> {
    log.text.iter().filter(|line| line.contains("lambda-otlp-extension: ")).collect()
}

async fn stories() {
    on_stdout().await;
    println!("panics: lines on stdout: ok");
    held().await;
    println!("panics: an invocation that is held: ok");
    sending().await;
    println!("panics: what waits to be sent: ok");
    too_often().await;
    println!("panics: too often: ok");
    refusing();
    println!("panics: what is posted after too many: ok");
    at_the_end().await;
    println!("panics: at the end of the environment: ok");
    asked_at_the_end();
    println!("panics: SHUTDOWN is asked for once: ok");
    answered_meanwhile();
    println!("panics: an answer while lines are waited for: ok");
    reading().await;
    println!("panics: while variables are read: ok");
    whatever_it_does();
    println!("panics: whatever it does: ok");
}

async fn on_stdout() {
    for file in [FILE, IN_THREAD] {
        let folder = tempfile::tempdir().unwrap();
        let mut story = story(folder.path(), |spec| spec).await;
        // From the fourth on `next` is asked for at once, so that its answer is outstanding when the panic comes.
        for _ in 0..5 {
            story.invoke(json!({"spans": [2], "root": true})).await;
        }
        panic_in_an_invocation(&mut story, folder.path(), file).await;
        for _ in 0..4 {
            story.invoke(json!({"spans": [2], "root": true})).await;
        }
        panic_in_an_invocation(&mut story, folder.path(), file).await;
        for _ in 0..4 {
            story.invoke(json!({"spans": [2], "root": true})).await;
        }
        assert!(story.results().iter().all(|result| result == "\"done\""), "{:?}", story.results());
        let log = story.end(End::Shutdown).await;
        assert_eq!(log.wrong, [0; 0], "{:?}", own(&log));
        assert!(log.acknowledged >= 26, "it receives OTLP again: {}", log.acknowledged);
        assert_eq!(said(&log, "panicked, it starts anew"), 2, "{:?}", own(&log));
        assert_eq!(said(&log, "secret"), 0, "{:?}", own(&log));
        assert!(log.made.len() >= 11, "Lambda tells it of invocations again: {}", log.made.len());
    }
}

/// `next` is not called when the panic comes.
async fn held() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = story(folder.path(), |spec| spec.env("LAMBDA_OTLP_HOLD", "always")).await;
    for _ in 0..3 {
        story.invoke(json!({"spans": [2], "root": true})).await;
        panic_in_an_invocation(&mut story, folder.path(), FILE).await;
    }
    assert!(story.results().iter().all(|result| result == "\"done\""), "{:?}", story.results());
    let log = story.end(End::Shutdown).await;
    assert_eq!(log.wrong, [0; 0], "{:?}", own(&log));
    assert_eq!(said(&log, "panicked, it starts anew"), 3, "{:?}", own(&log));
}

async fn sending() {
    for file in [FILE, IN_THREAD] {
        // What waits is in the buffer, or on its way to a backend that does not answer.
        for answer in [ScriptedResponse::Status(503), ScriptedResponse::held()] {
            let sink = Sink::builder().no_window().start().await.unwrap();
            sink.inject(Faults::seeded(1, 1.0).among([answer]));
            let folder = tempfile::tempdir().unwrap();
            let mut story = story(folder.path(), |spec| {
                spec.env("LAMBDA_OTLP_OUTPUT", "otlp").env("LAMBDA_OTLP_ENDPOINT", sink.base())
            })
            .await;
            for _ in 0..4 {
                story.invoke(json!({"spans": [5], "root": true})).await;
            }
            panic_in_an_invocation(&mut story, folder.path(), file).await;
            for _ in 0..2 {
                story.invoke(json!({"spans": [5], "root": true})).await;
            }
            let log = story.end(End::Shutdown).await;
            // What is posted while the program starts anew is not taken, and not acknowledged.
            assert!(log.acknowledged >= 25, "it receives OTLP again: {}", log.acknowledged);
            let lost: Vec<_> = log.wrong.iter().filter(|id| !log.own.contains_key(id)).collect();
            assert_eq!(lost, [&0; 0], "{:?}", own(&log));
            assert_eq!(log.spilled_lines, log.otlp_lines, "{:?}", own(&log));
            assert_eq!(said(&log, "panicked, it starts anew"), 1, "{:?}", own(&log));
        }
    }
}

async fn too_often() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = story(folder.path(), |spec| spec).await;
    for _ in 0..6 {
        panic_in(&mut story, folder.path(), FILE, json!({"pause_ms": PAUSE_MS})).await;
    }
    let before = story.invocations().len();
    for _ in 0..3 {
        story.invoke(json!({"spans": [2], "root": true})).await;
    }
    assert!(story.results().iter().all(|result| result == "\"done\""), "{:?}", story.results());
    let kept =
        story.invocations().iter().skip(before).map(|(_, invocation)| invocation.post_runtime);
    assert!(kept.max().unwrap() < Duration::from_secs(1), "nobody waits for it");
    let log = story.end(End::Shutdown).await;
    assert_eq!(log.acknowledged, 0, "nothing is received any more");
    assert_eq!(said(&log, "panicked, it starts anew"), 5, "{:?}", own(&log));
    assert_eq!(said(&log, "only asks for events"), 1, "{:?}", own(&log));
}

/// What waits is written when the environment ends, too.
async fn at_the_end() {
    let sink = Sink::builder().no_window().start().await.unwrap();
    sink.inject(Faults::seeded(1, 1.0).among([ScriptedResponse::held()]));
    let folder = tempfile::tempdir().unwrap();
    let mut story = story(folder.path(), |spec| {
        spec.env("LAMBDA_OTLP_OUTPUT", "otlp")
            .env("LAMBDA_OTLP_ENDPOINT", sink.base())
            .env("LAMBDA_OTLP_HOLD", "never")
    })
    .await;
    story.invoke(json!({"spans": [5], "root": true})).await;
    std::fs::write(folder.path().join(AT_THE_END), "").unwrap();
    let log = story.end(End::Shutdown).await;
    assert_eq!(said(&log, "panicked, it starts anew"), 1, "{:?}", own(&log));
    assert_eq!((log.wrong, log.acknowledged), (Vec::new(), 5), "{:?}", log.text);
}

/// Lambda as far as an extension knows it, which answers what it is told to.
struct Answers(TcpListener);

impl Answers {
    /// The extension beside it, whose stdout this is.
    fn start(folder: &Path, stdout: Stdio, change: impl Fn(&mut Command)) -> (Self, Child, u16) {
        let lambda = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut extension = Command::new(std::env::current_exe().unwrap());
        extension
            .arg0(format!("/opt/extensions/{EXTENSION}"))
            .env(PANIC, folder.join(FILE))
            .env("AWS_LAMBDA_RUNTIME_API", lambda.local_addr().unwrap().to_string())
            .env("OTEL_LAMBDA_RECEIVER_PORT", port.to_string())
            .stdout(stdout)
            .stderr(Stdio::null());
        change(&mut extension);
        let answers = Self(lambda);
        let extension = extension.spawn().unwrap();
        answer(&mut answers.asked("/register"), "{}");
        answer(&mut answers.asked("/telemetry"), "OK");
        (answers, extension, port)
    }

    /// The connection on which the next question comes, which is for this.
    fn asked(&self, path: &str) -> TcpStream {
        let (connection, _) = self.0.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&connection).read_line(&mut line).unwrap();
        assert!(line.contains(path), "{line}");
        connection
    }

    /// Nobody answers any more, and the extension ends.
    fn end(self, mut extension: Child) {
        let end = Instant::now() + Duration::from_secs(20);
        while extension.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(LOOK);
        }
        let ended = extension.try_wait().unwrap();
        extension.kill().ok();
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
        self.0.set_nonblocking(true).unwrap();
        assert!(self.0.accept().is_err(), "it asks for no more");
    }
}

fn answer(connection: &mut TcpStream, body: &str) {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: an-id\r\nConnection: close";
    write!(connection, "{head}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
}

const SHUTDOWN: &str = r#"{"eventType":"SHUTDOWN","shutdownReason":"spindown"}"#;

/// Lambda waits until it ends: whoever asks for another event is killed when the time is over.
fn asked_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    // Of these it waits for telemetry at the end.
    let (lambda, extension, _) = Answers::start(folder.path(), Stdio::null(), |extension| {
        extension.env("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
    });
    let mut next = lambda.asked("/event/next");
    std::fs::write(folder.path().join(AT_THE_END), "").unwrap();
    answer(&mut next, SHUTDOWN);
    lambda.end(extension);
}

/// An SDK whose connection is refused tries again, and an invocation waits for it.
fn refusing() {
    let folder = tempfile::tempdir().unwrap();
    let (lambda, extension, port) = Answers::start(folder.path(), Stdio::null(), |_| {});
    let mut next = lambda.asked("/event/next");
    let file = folder.path().join(IN_THREAD);
    for _ in 0..6 {
        std::fs::write(&file, "").unwrap();
        while file.exists() {
            std::thread::sleep(LOOK);
        }
    }
    let end = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        if let Some(answer) = post(port).filter(|answer| !answer.is_empty()) {
            break answer;
        }
        assert!(Instant::now() < end, "nobody answers");
        std::thread::sleep(LOOK);
    };
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    self::answer(&mut next, SHUTDOWN);
    lambda.end(extension);
}

/// What is answered to a request of half a mebibyte, if it is.
fn post(port: u16) -> Option<String> {
    let mut sdk = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let body = vec![0; 1 << 19];
    write!(sdk, "POST /v1/traces HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).ok()?;
    sdk.write_all(&body).ok()?;
    let mut answer = String::new();
    sdk.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// What Lambda answers while the hook waits for lines is the new program's.
fn answered_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (_reader, mut full) = std::io::pipe().unwrap();
    full.write_all(&vec![b'\n'; 1 << 16]).unwrap();
    let (lambda, extension, port) = Answers::start(folder.path(), full.into(), |_| {});
    let mut next = lambda.asked("/event/next");
    let mut sdk = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let span =
        r#"{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"a"}"#;
    let spans = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
    let head = "POST /v1/traces HTTP/1.1\r\nContent-Type: application/json";
    write!(sdk, "{head}\r\nContent-Length: {}\r\n\r\n{spans}", spans.len()).unwrap();
    std::thread::sleep(LOOK * 10);
    let file = folder.path().join(IN_THREAD);
    std::fs::write(&file, "").unwrap();
    while file.exists() {
        std::thread::yield_now();
    }
    std::thread::sleep(LOOK * 10);
    answer(&mut next, SHUTDOWN);
    lambda.end(extension);
}

/// What somebody has written into a variable or a file keeps no function from starting.
async fn reading() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = story(folder.path(), |spec| spec.env(ALWAYS, "reading")).await;
    for _ in 0..3 {
        story.invoke(json!({"spans": [2], "root": true})).await;
    }
    assert!(story.results().iter().all(|result| result == "\"done\""), "{:?}", story.results());
    let log = story.end(End::Shutdown).await;
    assert_eq!(log.acknowledged, 0, "nothing is received");
    assert_eq!(said(&log, "panicked, it starts anew"), 5, "{:?}", own(&log));
    assert_eq!(said(&log, "only asks for events"), 1, "{:?}", own(&log));
}

/// It does not start without an end, and does not fill the log.
fn whatever_it_does() {
    let ended = Command::new(std::env::current_exe().unwrap())
        .arg0(format!("/opt/extensions/{EXTENSION}"))
        .env(ALWAYS, "whatever it does")
        .env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9")
        .output()
        .unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("panicked")).count(), 10, "{log}");
    assert!(log.contains("panics whatever it does"), "{log}");
}
