//! The demo's own list of items: one JSON line for each item, written when the item ends.

use exporter::TelemetryConfig;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub const NUMBER: &str = "demo.number";

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Span,
    Log,
    DataPoint,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Started,
    Ended,
}

#[derive(Serialize)]
struct Line {
    number: i64,
    what: What,
    event: Event,
    /// Name and all attributes: `GET /orders | http.route=/orders, parcel=1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

/// Numbers items, and writes the numbers to the file `DEMO_LEDGER`, if it is set.
#[derive(Debug, Clone)]
pub struct Ledger {
    file: Option<Arc<File>>,
    next: Arc<AtomicI64>,
    invocation: Arc<AtomicI64>,
}

impl Ledger {
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo's own variable; the exporter's settings know nothing of it"
    )]
    pub fn open() -> io::Result<Self> {
        let open = |path| OpenOptions::new().append(true).create(true).open(path);
        let file = std::env::var_os("DEMO_LEDGER").map(open).transpose()?;
        Ok(Self {
            file: file.map(Arc::new),
            next: Arc::new(AtomicI64::new(1)),
            invocation: Arc::default(),
        })
    }

    /// Continues with this number. Each invocation has its own range.
    pub fn continue_at(&self, first: i64) {
        self.next.store(first, Ordering::Relaxed);
    }

    pub fn next_number(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Numbers the span of the invocation that begins.
    pub fn begin_invocation(&self) -> i64 {
        let number = self.next_number();
        self.invocation.store(number, Ordering::Relaxed);
        self.started(number);
        number
    }

    pub fn invocation_number(&self) -> i64 {
        self.invocation.load(Ordering::Relaxed)
    }

    /// Writes that a span started. A span without a second line was still open when the process ended, and may be
    /// exported as a partial span.
    pub fn started(&self, number: i64) {
        self.write(&Line { number, what: What::Span, event: Event::Started, content: None });
    }

    /// Writes that the item is complete. From then on the backend must receive it, with this content.
    pub fn ended(&self, number: i64, what: What, content: Option<String>) {
        self.write(&Line { number, what, event: Event::Ended, content });
    }

    /// Writes each line with one call, so that a kill cannot cut it and environments can share the file.
    fn write(&self, line: &Line) {
        let Some(mut file) = self.file.as_deref() else { return };
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            file.write_all(&line)
        });
        if let Err(error) = written {
            // Without this line the accounting cannot balance.
            tracing::error!(%error, "cannot write the ledger");
        }
    }
}

/// Starts a child span with a number.
#[macro_export]
macro_rules! numbered_span {
    ($ledger:expr, $name:literal $($field:tt)*) => {{
        let number = $ledger.next_number();
        $ledger.started(number);
        tracing::info_span!($name, demo.number = number $($field)*)
    }};
}

/// Writes a log record with a number.
#[macro_export]
macro_rules! numbered_log {
    ($level:ident, $ledger:expr, $($message:tt)*) => {{
        let number = $ledger.next_number();
        tracing::$level!(demo.number = number, $($message)*);
        $ledger.ended(number, $crate::ledger::What::Log, None);
    }};
}

/// Returns the content of an item: its attributes are sorted by key, and a list is only named.
fn content(head: &str, attributes: impl Iterator<Item = (String, String)>) -> String {
    let sorted: BTreeMap<String, String> = attributes.collect();
    let texts: Vec<String> =
        sorted.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{head} | {}", texts.join(", "))
}

pub fn number_invocation(ledger: &Ledger) -> i64 {
    let number = ledger.next_number();
    ledger.started(number);
    Context::current().span().set_attribute(KeyValue::new(NUMBER, number));
    number
}

/// The configuration of a function that lists its items.
pub fn telemetry(ledger: &Ledger) -> TelemetryConfig {
    let lister = Lister { ledger: ledger.clone() };
    TelemetryConfig::builder().with_additional_span_processor(lister).build()
}

/// Writes number and content of each span when it ends, including the invocation's span, which ends after the handler.
#[derive(Debug)]
struct Lister {
    ledger: Ledger,
}

impl SpanProcessor for Lister {
    fn on_start(&self, _span: &mut Span, _parent: &Context) {}

    fn on_end(&self, span: SpanData) {
        let number = span.attributes.iter().find(|attribute| attribute.key.as_str() == NUMBER);
        if let Some(Value::I64(number)) = number.map(|attribute| &attribute.value) {
            let attributes = span.attributes.iter().map(|attribute| {
                let text = match &attribute.value {
                    Value::Array(_) => "list".to_owned(),
                    value => value.to_string(),
                };
                (attribute.key.to_string(), text)
            });
            self.ledger.ended(*number, What::Span, Some(content(&span.name, attributes)));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
