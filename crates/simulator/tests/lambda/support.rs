//! What the simulator's tests share: the function that they run, and readings of its log.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use lambda_otlp_simulator::{FunctionSpec, Invocation, Lambda, LogEvent};
use serde_json::{Value, json};

/// Long enough for every machine: nothing that a test waits for takes it up.
pub(crate) const AMPLE: Duration = Duration::from_mins(1);

/// Short, for functions that are to time out.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn function(name: &str) -> FunctionSpec {
    FunctionSpec::new(name, env!("CARGO_BIN_EXE_simulated-function"))
        .timeout(AMPLE)
        .init_timeout(AMPLE)
}

pub(crate) async fn lambda(functions: impl IntoIterator<Item = FunctionSpec>) -> Lambda {
    let lambda = Lambda::start().await.unwrap();
    for function in functions {
        lambda.create_function(function).unwrap();
    }
    lambda
}

/// The payload with which the function does these steps.
pub(crate) fn steps(steps: &Value) -> Vec<u8> {
    json!({ "do": steps }).to_string().into_bytes()
}

pub(crate) async fn invoke(lambda: &Lambda, function: &str, what: Value) -> Invocation {
    lambda.invoke(function, steps(&what)).await.unwrap()
}

pub(crate) fn messages(lambda: &Lambda, function: &str) -> Vec<String> {
    lambda.log_events(function).into_iter().map(|event| event.message).collect()
}

/// The function's log, a quoted message a line, with what differs between runs replaced by its form.
pub(crate) fn log(lambda: &Lambda, function: &str) -> String {
    messages(lambda, function).iter().map(|message| mask(&format!("{message:?}\n"))).collect()
}

/// Replaces what differs between runs by its form: `ID`, `TIME`, `ROOT`, `HEX`, and `N` in figures.
pub(crate) fn mask(text: &str) -> String {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
    let mut masked = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c| belongs(c) && c != ':') {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !belongs(c)).unwrap_or(from.len()));
        masked += before;
        masked += &masked_word(word);
        rest = after;
    }
    masked += rest;
    for label in [
        "Billed Duration: ",
        "Billed Restore Duration: ",
        "Max Memory Used: ",
        "billedDurationMs\":",
        "maxMemoryUsedMB\":",
        "Lineage=1:",
    ] {
        if let Some((before, after)) = masked.split_once(label) {
            masked = format!(
                "{before}{label}N{}",
                after.trim_start_matches(|c: char| c.is_ascii_alphanumeric())
            );
        }
    }
    masked
}

fn masked_word(word: &str) -> String {
    let hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    let is_hexadecimal = word.split('-').all(hex);
    let masked = match parts.as_slice() {
        [8, 4, 4, 4, 12] if is_hexadecimal => "ID",
        [1, 8, 24] if is_hexadecimal => "ROOT",
        [4, 2, 16] if word.ends_with('Z') => "TIME",
        [16 | 32] if is_hexadecimal => "HEX",
        _ => match word.split_once('.') {
            Some((_, decimals)) if word.parse::<f64>().is_ok() => {
                return format!("N.{}", "N".repeat(decimals.len()));
            }
            _ => word,
        },
    };
    masked.to_owned()
}

/// The content of an `awslogs` event.
pub(crate) fn awslogs(payload: &Value) -> Value {
    let data = payload["awslogs"]["data"].as_str().unwrap();
    let compressed = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    let mut json = String::new();
    #[expect(clippy::disallowed_types, reason = "the test reads what the simulator itself wrote")]
    flate2::read::GzDecoder::new(compressed.as_slice()).read_to_string(&mut json).unwrap();
    serde_json::from_str(&json).unwrap()
}

/// What a function was invoked with: it echoes its payload.
pub(crate) fn payloads(lambda: &Lambda, function: &str) -> Vec<Value> {
    lambda
        .invocations(function)
        .iter()
        .filter_map(|invocation| serde_json::from_slice(invocation.response()?).ok())
        .collect()
}

pub(crate) fn ids(events: &[LogEvent]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

/// A layer of extensions, each with a script, and what they were told.
pub(crate) struct Layer(tempfile::TempDir);

impl Layer {
    pub(crate) fn new(extensions: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("extensions")).unwrap();
        let layer = Self(directory);
        for (name, script) in extensions {
            let program = layer.path().join("extensions").join(name);
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_simulated-extension"), program).unwrap();
            std::fs::write(layer.path().join(format!("{name}.script")), script).unwrap();
        }
        layer
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    /// Lets an extension go on that waits.
    pub(crate) fn go_on(&self, extension: &str) {
        std::fs::write(self.path().join(format!("{extension}.go")), "").unwrap();
    }

    /// What the record of an extension has under this word, in order.
    pub(crate) fn told(&self, extension: &str, what: &str) -> Vec<String> {
        let record = std::fs::read_to_string(self.path().join(format!("{extension}.record")));
        let record = record.unwrap_or_default();
        let lines = record.lines().filter_map(|line| line.strip_prefix(what)?.strip_prefix(' '));
        lines.map(str::to_owned).collect()
    }

    /// The events of the Extensions API that an extension got.
    pub(crate) fn events(&self, extension: &str) -> Vec<Value> {
        let events = self.told(extension, "event");
        events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    /// The telemetry that an extension accepted, event by event.
    pub(crate) fn telemetry(&self, extension: &str) -> Vec<Value> {
        let batches = self.told(extension, "batch");
        let events = batches.iter().map(|batch| serde_json::from_str::<Vec<Value>>(batch).unwrap());
        events.flatten().collect()
    }

    /// The same as words, the types of platform events and the records of lines, without those of init: there the runtime
    /// and the extensions work at the same time.
    pub(crate) fn story(&self, extension: &str) -> Vec<String> {
        let words = self.telemetry(extension).iter().map(word).collect::<Vec<_>>();
        let during_init = |word: &String| {
            word.contains("init") || word.ends_with(".extension") || word.ends_with("Subscription")
        };
        words.into_iter().filter(|word| !during_init(word)).collect()
    }

    /// The accepted telemetry of init as sorted words.
    pub(crate) fn init_story(&self, extension: &str) -> Vec<String> {
        let events = self.telemetry(extension);
        let init = events.iter().take_while(|event| event["type"] != "platform.start");
        let mut words: Vec<_> = init.map(word).collect();
        words.sort_unstable();
        words
    }
}

fn word(event: &Value) -> String {
    match event["record"].as_str() {
        Some(record) => record.trim_end().to_owned(),
        None => event["type"].as_str().unwrap_or("no type").to_owned(),
    }
}

/// An event with what differs between runs replaced by its form, whatever the number of decimals.
pub(crate) fn masked_event(event: &Value) -> String {
    mask(&event.to_string()).replace("N.NNN", "N.N").replace("N.NN", "N.N")
}

/// The script line that subscribes to these types with the shortest buffering.
pub(crate) fn subscribe(types: &[&str]) -> String {
    let body = json!({
        "schemaVersion": "2025-01-29",
        "types": types,
        "buffering": { "maxItems": 1000, "maxBytes": 262_144, "timeoutMs": 25 },
        "destination": { "protocol": "HTTP", "URI": "http://sandbox.localdomain:PORT/telemetry" },
    });
    format!("subscribe {body}\n")
}
