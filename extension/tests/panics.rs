//! Panics of the extension in the local Lambda: the function does not notice them, and acknowledged items reach the log or the
//! backend.
//!
//! No request makes the released program panic. So this program is the extension too, when Lambda starts it: the same code with
//! the same log, except that logging a chosen event panics, and so does writing a line, when a file asks for it. The test has no
//! harness, because Lambda starts extensions without arguments.

#![expect(clippy::unwrap_used, reason = "an error in the local Lambda fails the test")]
#![expect(clippy::print_stdout, reason = "in place of the harness")]

use lambda_otlp_extension::{Counts, log, read_config, report_panics, run};
use lambda_otlp_tests::stories::states::End;
use lambda_otlp_tests::stories::{EXTENSION, Log, Program, Story, run_in_lambda};
use local_lambda::FunctionSpec;
use serde_json::json;
use settings::Source;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use test_support::openobserve::{Faults, ScriptedResponse, Sink};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// The argument that makes this program the function.
const FUNCTION: &str = "the_function";
/// The variable with the folder of the files that ask for panics.
const PANICS: &str = "PANICS";
/// The variable that makes reading the other variables panic.
const READING: &str = "PANIC_READING";

/// A place that panics: the message of its log event, and the file that asks for the panic.
struct PanicPlace {
    message: &'static str,
    file: &'static str,
}

const REQUEST: PanicPlace = PanicPlace { message: "OTLP received", file: "request" };
const DELIVERY: PanicPlace = PanicPlace { message: "telemetry received", file: "delivery" };
const EVENT: PanicPlace = PanicPlace { message: "platform event", file: "event" };
const INVOCATION: PanicPlace = PanicPlace { message: "invocation begins", file: "invocation" };
const FLUSH_BEGIN: PanicPlace = PanicPlace { message: "flush begins", file: "flush-begin" };
const FLUSH: PanicPlace = PanicPlace { message: "cannot deliver", file: "flush" };
/// It has no log event.
const LINE: PanicPlace = PanicPlace { message: "\0", file: "line" };
const ALL: [PanicPlace; 7] = [REQUEST, DELIVERY, EVENT, INVOCATION, FLUSH_BEGIN, FLUSH, LINE];

impl PanicPlace {
    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(self.file)
    }

    /// Panics if the file asks for it: once, or always if the file says so.
    fn panic_if_asked(&self, folder: &Path) {
        let path = self.path(folder);
        let Ok(asked) = std::fs::read_to_string(&path) else { return };
        if asked != "always" {
            std::fs::remove_file(&path).ok();
        }
        panic!("somebody's secret");
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|argument| argument == FUNCTION) {
        run_in_lambda();
        ExitCode::SUCCESS
    } else if arguments.first().is_some_and(|path| path.ends_with(EXTENSION)) {
        extension()
    } else {
        // Flags of the standard harness are ignored.
        let filter = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
        stories(filter.map_or("", String::as_str))
    }
}

/// The extension, like `src/main.rs`.
fn extension() -> ExitCode {
    let counts = Arc::new(Counts::default());
    report_panics(&counts);
    let config = read_config(&Variables);
    let folder = PathBuf::from(settings::Env.get(PANICS).unwrap());
    let stdout = PanickingStdout(folder.clone());
    tracing::subscriber::set_global_default(PanickingLog { log: log(&config), folder }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(run(&config, EXTENSION, stdout, &counts));
    runtime.shutdown_background();
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The environment. With the variable [`READING`], reading a variable that is not Lambda's panics.
struct Variables;

impl Source for Variables {
    fn get(&self, name: &str) -> Option<String> {
        let is_lambdas = name.starts_with("AWS_LAMBDA_");
        assert!(is_lambdas || settings::Env.get(READING).is_none(), "somebody's secret");
        settings::Env.get(name)
    }

    fn names(&self) -> Vec<String> {
        settings::Env.names()
    }
}

struct PanickingStdout(PathBuf);

impl Write for PanickingStdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINE.panic_if_asked(&self.0);
        std::io::stdout().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

/// The extension's log, whose events at the chosen places panic.
struct PanickingLog<L> {
    log: L,
    folder: PathBuf,
}

impl<L: Subscriber> Subscriber for PanickingLog<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("lambda_otlp_")
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        for place in ALL.iter().filter(|place| message.0.contains(place.message)) {
            place.panic_if_asked(&self.folder);
        }
        if self.log.enabled(event.metadata()) {
            self.log.event(event);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

fn program() -> Program {
    Program { extension: std::env::current_exe().unwrap(), function: &[FUNCTION] }
}

/// A function beside an extension that panics when a file in the folder asks for it.
async fn story(folder: &Path, change: impl FnOnce(FunctionSpec) -> FunctionSpec) -> Story {
    let folder = folder.to_str().unwrap().to_owned();
    Story::with(&program(), |spec| change(spec.env(PANICS, folder))).await
}

/// A function beside such an extension, which sends to the sink.
async fn direct(folder: &Path, sink: &Sink, flush_timeout: &str) -> Story {
    story(folder, |spec| {
        spec.env("LAMBDA_OTLP_OUTPUT", "otlp")
            .env("LAMBDA_OTLP_ENDPOINT", sink.base())
            .env("OTEL_LAMBDA_FLUSH_TIMEOUT", flush_timeout)
    })
    .await
}

/// A backend that always answers like this.
async fn answering(answer: ScriptedResponse) -> Sink {
    let sink = Sink::builder().no_window().start().await.unwrap();
    sink.inject(Faults::seeded(1, 1.0).among([answer]));
    sink
}

/// Invokes the function that often; each sends this number of spans.
async fn invoke(story: &mut Story, times: usize, spans: usize) {
    for _ in 0..times {
        story.invoke(json!({"spans": [spans], "root": true})).await;
    }
}

/// Invokes the function until the extension has panicked there.
async fn panic_at(story: &mut Story, folder: &Path, place: &PanicPlace) {
    std::fs::write(place.path(folder), "once").unwrap();
    let mut invocations = 0;
    while place.path(folder).exists() {
        assert!(invocations < 20, "no panic at {}", place.file);
        // Lambda delivers telemetry after 25 ms.
        story.invoke(json!({"spans": [3], "root": true, "pause_ms": 60})).await;
        invocations += 1;
    }
}

fn said(log: &Log, part: &str) -> usize {
    log.text.iter().filter(|line| line.contains(part)).count()
}

/// The extension's log.
fn own(log: &Log) -> Vec<&String> {
    log.text.iter().filter(|line| line.contains("lambda-otlp-extension: ")).collect()
}

/// Ends the environment. No invocation failed, no acknowledged item is lost, and the place of the panic is logged once, without
/// its message.
async fn ended(story: Story) -> Log {
    let results = story.results();
    assert!(results.iter().all(|result| result == "\"done\""), "{results:?}");
    let log = story.end(End::Shutdown).await;
    let lost: Vec<_> = log.wrong.iter().filter(|id| !log.own.contains_key(id)).collect();
    assert_eq!(lost, [&0; 0], "{:?}", own(&log));
    let panicked = "the extension panicked and continues, please report this";
    assert_eq!(said(&log, panicked), 1, "{:?}", own(&log));
    assert_eq!(said(&log, "secret"), 0, "{:?}", own(&log));
    log
}

/// A story that is told when it is polled.
type Telling = Pin<Box<dyn Future<Output = ()>>>;

/// Tells the stories whose names contain the filter.
fn stories(filter: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let stories: [(&str, Telling); 5] = [
        ("on stdout", Box::pin(on_stdout())),
        ("in direct mode", Box::pin(in_direct_mode())),
        ("always", Box::pin(always())),
        ("at the end", Box::pin(at_the_end())),
        ("reading", Box::pin(reading())),
    ];
    let mut code = ExitCode::SUCCESS;
    for (name, story) in stories.into_iter().filter(|(name, _)| name.contains(filter)) {
        let told = catch_unwind(AssertUnwindSafe(|| runtime.block_on(story)));
        println!("panics: {name}: {}", if told.is_ok() { "ok" } else { "FAILED" });
        if told.is_err() {
            code = ExitCode::FAILURE;
        }
    }
    code
}

async fn on_stdout() {
    for place in [REQUEST, DELIVERY, EVENT, INVOCATION, LINE] {
        let folder = tempfile::tempdir().unwrap();
        let mut story = story(folder.path(), |spec| spec).await;
        // From the fourth invocation on, `next` is called at once, so that it is outstanding during the panic.
        invoke(&mut story, 4, 2).await;
        panic_at(&mut story, folder.path(), &place).await;
        invoke(&mut story, 4, 2).await;
        let log = ended(story).await;
        assert!(log.acknowledged >= 16, "{}: {}", place.file, log.acknowledged);
    }
}

async fn in_direct_mode() {
    for place in [REQUEST, DELIVERY, EVENT, INVOCATION, FLUSH_BEGIN, FLUSH] {
        for answer in [ScriptedResponse::Status(503), ScriptedResponse::held()] {
            let sink = answering(answer).await;
            let folder = tempfile::tempdir().unwrap();
            let mut story = direct(folder.path(), &sink, "100ms").await;
            panic_at(&mut story, folder.path(), &place).await;
            invoke(&mut story, 4, 5).await;
            let log = ended(story).await;
            assert!(log.acknowledged >= 20, "{}: {}", place.file, log.acknowledged);
            assert_eq!(log.spilled_lines, log.otlp_lines, "{:?}", own(&log));
        }
    }
}

/// Telemetry goes on beside requests, deliveries and events that always panic.
async fn always() {
    for place in [DELIVERY, EVENT, INVOCATION, FLUSH_BEGIN, FLUSH] {
        let sink = answering(ScriptedResponse::Status(503)).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(place.path(folder.path()), "always").unwrap();
        let mut story = direct(folder.path(), &sink, "1s").await;
        invoke(&mut story, 8, 5).await;
        let log = ended(story).await;
        assert_eq!(log.acknowledged, 40, "{}", place.file);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(REQUEST.path(folder.path()), "always").unwrap();
    let mut story = story(folder.path(), |spec| spec).await;
    invoke(&mut story, 3, 2).await;
    let log = ended(story).await;
    assert_eq!((log.acknowledged, log.made.len()), (0, 3), "the invocations' own spans");
}

/// The flush at SHUTDOWN panics.
async fn at_the_end() {
    let sink = answering(ScriptedResponse::Status(503)).await;
    for place in [FLUSH_BEGIN, FLUSH] {
        let folder = tempfile::tempdir().unwrap();
        let mut story = direct(folder.path(), &sink, "0").await;
        story.invoke(json!({"spans": [5], "root": true})).await;
        std::fs::write(place.path(folder.path()), "once").unwrap();
        let log = ended(story).await;
        assert_eq!((&log.wrong[..], log.acknowledged), (&[][..], 5), "{:?}", log.text);
        assert_eq!(said(&log, "telemetry was lost in this environment"), 1, "{:?}", own(&log));
    }
}

/// A bug in the reading of variables does not keep the function from starting, nor telemetry from the log.
async fn reading() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = story(folder.path(), |spec| spec.env(READING, "true")).await;
    invoke(&mut story, 3, 2).await;
    let log = ended(story).await;
    assert_eq!(log.made.len(), 3, "the invocations' own spans");
}
