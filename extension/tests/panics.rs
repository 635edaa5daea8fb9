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
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The argument that makes this program the function.
const FUNCTION: &str = "the_function";
/// The variable with the name of the file that asks for a panic.
const PANIC: &str = "PANIC";
/// So long an invocation goes on when the extension panics, in milliseconds: for longer than the program takes to start anew.
const PAUSE_MS: u64 = 60;
const LOOK: Duration = Duration::from_millis(2);

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
    let config = Config::from_source(&settings::Env);
    init_log(&config);
    let handover = match arguments.get(1).map(String::as_str) {
        Some(ARGUMENT) => Handover::read(arguments.get(2).unwrap()),
        _ => Handover::default(),
    };
    let (handover, counts) = (Arc::new(handover), Arc::new(Counts::default()));
    take_over_panics(arguments.first().unwrap(), &handover, &counts);
    let file = settings::Env.get(PANIC).unwrap();
    // In a thread of its own, while the loop goes on.
    let in_thread = format!("{file}-in-thread");
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK);
            if Path::new(&in_thread).exists() {
                std::thread::sleep(LOOK);
                panic_if_asked(&in_thread);
            }
        }
    });
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
    let file = folder.join("panic").to_str().unwrap().to_owned();
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
}

async fn on_stdout() {
    for file in ["panic", "panic-in-thread"] {
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
        panic_in_an_invocation(&mut story, folder.path(), "panic").await;
    }
    assert!(story.results().iter().all(|result| result == "\"done\""), "{:?}", story.results());
    let log = story.end(End::Shutdown).await;
    assert_eq!(log.wrong, [0; 0], "{:?}", own(&log));
    assert_eq!(said(&log, "panicked, it starts anew"), 3, "{:?}", own(&log));
}

async fn sending() {
    for file in ["panic", "panic-in-thread"] {
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
        panic_in(&mut story, folder.path(), "panic", json!({"pause_ms": PAUSE_MS})).await;
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
