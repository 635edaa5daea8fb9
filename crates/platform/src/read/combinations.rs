//! Crosses the formats of loggers with messages, request ids and exceptions, so that what a message says decides nothing.
//!
//! Samples have one message each, and rules that fit the samples may fit their messages. Here each combination has a known right
//! answer: the level of the format's place, and the exception that was thrown. A new format needs a row in [`TEXTS`] or
//! [`RECORDS`]. All formats are those of packages, with the options that their documentation shows.

use super::line::{FunctionLine, function_line};
use super::severity::Severity;
use serde_json::{Value, json};

const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const TIME: &str = "2026-11-30 02:18:41";
const ISO: &str = "2026-11-30T02:18:41.183Z";
/// Enough for "5,000 in the gate", if rows leave.
const FEWEST: usize = 5000;

/// A level in the words of loggers.
struct Level {
    severity: &'static str,
    upper: &'static str,
    lower: &'static str,
    letter: char,
    dotnet: &'static str,
    pino: u32,
}

const fn level(
    severity: &'static str,
    upper: &'static str,
    lower: &'static str,
    dotnet: &'static str,
    pino: u32,
) -> Level {
    let [letter, ..] = upper.as_bytes() else { panic!("an empty word") };
    Level { severity, upper, lower, letter: *letter as char, dotnet, pino }
}

const LEVELS: [Level; 5] = [
    level("DEBUG", "DEBUG", "debug", "Debug", 20),
    level("INFO", "INFO", "info", "Information", 30),
    level("WARN", "WARNING", "warning", "Warning", 40),
    level("ERROR", "ERROR", "error", "Error", 50),
    level("FATAL", "CRITICAL", "critical", "Critical", 60),
];

/// Messages that begin with a level, a number, a word of English, a pair or a class, or that have such words within them.
const MESSAGES: [&str; 22] = [
    "payment declined",
    "error while reading",
    "ERROR while reading",
    "Error while reading",
    "Error: none found, FATAL: no",
    "warning: low",
    "WARNING low",
    "info about 3 orders",
    "DEBUG mode is on, payment declined",
    "ERROR none found in batch 7",
    "critical path took 3 s",
    "fatal: no such ref",
    "none left",
    "42 left",
    "3.5 % of orders failed",
    "a new order",
    "the order failed",
    "order=42 level=error",
    "error=0 level=ERROR is only text {\"a\": [1, 2]} café ✓",
    "shop: ERROR page shown",
    "[warn] is a level, too",
    "trace of parcel 7: INFO desk",
];

type WriteText = fn(&Level, &str) -> String;

/// The formats of text. `%L` and the like are in the comments of the tables of `head/evidence`.
const TEXTS: [(&str, WriteText); 51] = [
    ("name - L - m", |l, m| format!("shop - {} - {m}", l.upper)),
    ("name: L: m", |l, m| format!("shop: {}: {m}", l.upper)),
    ("name  L : m", |l, m| format!("app    {} : {m}", l.upper)),
    ("a.name L m", |l, m| format!("shop.orders {} {m}", l.upper)),
    ("t name l: m", |l, m| format!("{TIME} shop {}: {m}", l.lower)),
    ("L m", |l, m| format!("{} {m}", l.upper)),
    ("L  m", |l, m| format!("{:<8}  {m}", l.upper)),
    ("L | m", |l, m| format!("{} | {m}", l.upper)),
    ("L - m", |l, m| format!("{} - {m}", l.upper)),
    ("L, m", |l, m| format!("{}, {m}", l.upper)),
    ("L: m", |l, m| format!("{}: {m}", l.upper)),
    ("L:root:m", |l, m| format!("{}:root:{m}", l.upper)),
    ("L/name: m", |l, m| format!("{}/app: {m}", l.upper)),
    ("L\\tm", |l, m| format!("{}\t{m}", l.upper)),
    ("l: m", |l, m| format!("{}: {m}", l.lower)),
    ("l [label] m", |l, m| format!("{} [shop] {m}", l.lower)),
    ("symbol l [label] m", |l, m| format!("● {} [shop] {m}", l.lower)),
    ("[L] m", |l, m| format!("[{}] {m}", l.upper)),
    ("[L/time] m", |l, m| format!("[{}/{TIME}] {m}", l.upper)),
    ("[time][L]m", |l, m| format!("[{TIME}][{}]{m}", l.upper)),
    ("[time] [l] m", |l, m| format!("[{TIME}] [{}] {m}", l.lower)),
    ("time [l] m", |l, m| format!("{TIME} [{}] {m}", l.lower)),
    ("time L m", |l, m| format!("{TIME},183 {} {m}", l.upper)),
    ("time L: m", |l, m| format!("{TIME} {}: {m}", l.upper)),
    ("time L name m", |l, m| format!("{TIME},183 {} shop.orders {m}", l.upper)),
    ("time - name - L - m", |l, m| format!("{TIME},183 - shop - {} - {m}", l.upper)),
    ("time | L | m", |l, m| format!("{TIME}.183 | {} | {m}", l.upper)),
    ("time | l | m", |l, m| format!("11-30-2026 08:02:51 AM | {} | {m}", l.lower)),
    ("symbol l  m", |l, m| format!("✖  {:<9} {m}", l.lower)),
    ("a name.L: m", |l, m| format!("root.{}: {m}", l.upper)),
    ("thread:L:m", |l, m| format!("MainThread:{}:{m}", l.upper)),
    ("time twice L m", |l, m| format!("{TIME},183.183 {} app - pay: {m}", l.upper)),
    ("time|name|L|m", |l, m| format!("{TIME}.1834|shop|{}|{m}", l.upper)),
    ("time, name, L, m", |l, m| format!("{TIME}.183,shop,{},{m}", l.upper)),
    ("name : L m", |l, m| format!("shop : {} {m}", l.upper)),
    ("time|L|name|m", |l, m| format!("{TIME}.1834|{}|shop|{m}", l.upper)),
    ("loguru", |l, m| format!("{TIME}.183 | {:<8} | shop:pay:5 - {m}", l.upper)),
    ("structlog", |l, m| format!("2026-11-30 02:18.41 [{:<9}] {m}", l.lower)),
    ("winston", |l, m| format!("{ISO} {}: {m}", l.lower)),
    ("ISO l m", |l, m| format!("{ISO} {} {m}", l.lower)),
    ("logback", |l, m| format!("02:18:41.183 [main] {} shop.Orders -- {m}", l.upper)),
    ("ftlog", |l, m| format!("{TIME}.183+00 0ms {} main [src/main.rs:64] {m}", l.upper)),
    ("Log4perl", |l, m| format!("2026/11/30 02:18:41 {}> pay.pl:7 main:: - {m}", l.upper)),
    ("capnslog", |l, m| format!("{TIME}.183148 {} | {m}", l.letter)),
    ("glog", |l, m| format!("{}1130 02:18:41.183148    8 pay.go:12] {m}", l.letter)),
    ("Ruby", |l, m| format!("{}, [{TIME}.183 #8] {} -- : {m}", l.letter, l.upper)),
    ("Sidekiq", |l, m| format!("pid=8 tid=91b {}: {m}", l.upper)),
    ("number thread L m", |l, m| format!("  20 MainThread {} {m}", l.upper)),
    (".NET trace", |l, m| format!("shop {}: 7 : {m}", l.dotnet)),
    ("tracing tree", |l, m| format!("├─ {} {m}", l.upper)),
    ("Python in Lambda", |l, m| format!("[{}]\t{ISO}\t{ID}\t{m}", l.upper)),
];

type WriteRecord = fn(&Level, &str, &str) -> Value;

/// The formats of records, with a message and a request id.
const RECORDS: [(&str, WriteRecord); 12] = [
    (
        "winston",
        |l, m, id| json!({"level": l.lower, "message": m, "requestId": id, "timestamp": ISO}),
    ),
    (
        "python-json-logger",
        |l, m, id| json!({"levelname": l.upper, "message": m, "requestId": id, "timestamp": ISO}),
    ),
    (
        "Python in Lambda",
        |l, m, id| json!({"timestamp": ISO, "level": l.upper, "message": m, "logger": "root", "requestId": id}),
    ),
    (
        "pino",
        |l, m, id| json!({"level": l.pino, "time": 1_796_005_348_635_u64, "pid": 8, "requestId": id, "msg": m}),
    ),
    (
        "bunyan",
        |l, m, id| json!({"name": "s", "pid": 8, "level": l.pino, "msg": m, "time": ISO, "requestId": id, "v": 0}),
    ),
    ("zap", |l, m, id| json!({"level": l.lower, "ts": 1_796_005_348.6, "msg": m, "requestId": id})),
    ("slog", |l, m, id| json!({"time": ISO, "level": l.upper, "msg": m, "requestId": id})),
    (
        "logstash",
        |l, m, id| json!({"@timestamp": ISO, "@version": "1", "message": m, "level": l.upper, "requestId": id}),
    ),
    (
        "Elastic Common Schema",
        |l, m, id| json!({"@timestamp": ISO, "log.level": l.upper, "message": m, "AWSRequestId": id}),
    ),
    ("Serilog", |l, m, id| json!({"@t": ISO, "@m": m, "@l": l.dotnet, "requestId": id})),
    (
        "Powertools",
        |l, m, id| json!({"level": l.upper, "message": m, "timestamp": ISO, "function_request_id": id}),
    ),
    (
        "structlog",
        |l, m, id| json!({"event": m, "level": l.lower, "timestamp": ISO, "aws_request_id": id}),
    ),
];

const IDS: [&str; 3] = [ID, "r-1", "req-42"];

/// An exception as a runtime prints it.
struct Thrown {
    kind: &'static str,
    write: fn(&str) -> String,
}

const MESSAGE: &str = "no stock for order 42";

fn python(kind: &str) -> String {
    format!(
        "Traceback (most recent call last):\n  File \"/var/task/app.py\", line 8, in pay\n    raise x\n{kind}: {MESSAGE}"
    )
}

fn node(kind: &str) -> String {
    format!(
        "{kind}: {MESSAGE}\n    at pay (/var/task/index.js:3:9)\n    at async /var/task/index.js:9:3"
    )
}

fn java(kind: &str) -> String {
    format!(
        "{kind}: {MESSAGE}\n\tat shop.Orders.pay(Orders.java:12)\n\tat shop.Handler.handle(Handler.java:7)"
    )
}

fn dotnet(kind: &str) -> String {
    format!("{kind}: {MESSAGE}\n   at Shop.Orders.Pay(Int32 id) in /src/Orders.cs:line 7")
}

const fn thrown(write: fn(&str) -> String, kind: &'static str) -> Thrown {
    Thrown { kind, write }
}

/// Real classes, with and without a package, and with and without a word that says what they are.
const THROWN: [Thrown; 22] = [
    thrown(python, "KeyError"),
    thrown(python, "OutOfStock"),
    thrown(python, "app.OutOfStock"),
    thrown(python, "botocore.exceptions.ClientError"),
    thrown(python, "sqlalchemy.exc.OperationalError"),
    thrown(python, "json.decoder.JSONDecodeError"),
    thrown(python, "urllib3.exceptions.MaxRetryError"),
    thrown(node, "TypeError"),
    thrown(node, "Error"),
    thrown(node, "OutOfStock"),
    thrown(node, "Declined"),
    thrown(node, "ConditionalCheckFailedException"),
    thrown(node, "NoSuchKey"),
    thrown(java, "java.lang.IllegalStateException"),
    thrown(java, "shop.OutOfStock"),
    thrown(java, "shop.Orders$OutOfStock"),
    thrown(java, "software.amazon.awssdk.services.s3.model.NoSuchKeyException"),
    thrown(java, "com.fasterxml.jackson.databind.exc.MismatchedInputException"),
    thrown(dotnet, "System.InvalidOperationException"),
    thrown(dotnet, "Shop.OutOfStock"),
    thrown(dotnet, "Amazon.DynamoDBv2.Model.ConditionalCheckFailedException"),
    thrown(dotnet, "Npgsql.PostgresException"),
];

type WriteThrown = fn(&Thrown) -> String;

/// The places of an exception in a record.
const THROWN_IN: [(&str, WriteThrown); 8] = [
    ("alone", |t| (t.write)(t.kind)),
    ("below a text", |t| {
        format!("{TIME},183 ERROR shop.orders checkout failed\n{}", (t.write)(t.kind))
    }),
    ("a text of JSON", |t| {
        json!({"level": "ERROR", "message": "failed", "exception": (t.write)(t.kind)}).to_string()
    }),
    ("a name without the package", |t| {
        let class = t.kind.rsplit('.').next();
        let text = (t.write)(t.kind);
        json!({"level": "ERROR", "message": "failed", "exception": text, "exception_name": class})
            .to_string()
    }),
    ("an object", |t| {
        let error = json!({"type": t.kind, "message": MESSAGE, "stack": (t.write)(t.kind)});
        json!({"level": 50, "time": 1_796_005_348_635_u64, "msg": "failed", "err": error})
            .to_string()
    }),
    ("an object under any key", |t| {
        let error = json!({"name": t.kind, "message": MESSAGE, "stack": (t.write)(t.kind)});
        json!({"level": "error", "message": "failed", "reason": error}).to_string()
    }),
    ("an object in an object", |t| {
        let error = json!({"name": t.kind, "message": MESSAGE, "stack": (t.write)(t.kind)});
        json!({"level": "error", "message": "failed", "data": {"order": 42, "e": error}})
            .to_string()
    }),
    ("attributes", |t| {
        let stack = (t.write)(t.kind);
        let attributes = json!({"exception.type": t.kind, "exception.message": MESSAGE, "exception.stacktrace": stack});
        json!({"severity_text": "ERROR", "body": "failed", "attributes": attributes}).to_string()
    }),
];

#[derive(Default)]
struct Combinations {
    count: usize,
    wrong: Vec<String>,
}

impl Combinations {
    fn check_level(&mut self, format: &str, line: &str, level: &Level, message: Option<&str>) {
        let read = function_line(line, true);
        let severity = read.severity.unwrap_or(Severity::INFO).text;
        let body = read.message.as_deref().unwrap_or(line);
        let has_message = body == line || message.is_none_or(|message| message == body);
        let is_right = severity == level.severity && has_message && read.exception.is_none();
        self.add(is_right, format, line, &read);
    }

    fn check_exception(&mut self, format: &str, thrown: &Thrown) {
        let line = (THROWN_IN.iter().find(|(name, _)| *name == format).unwrap().1)(thrown);
        let read = function_line(&line, true);
        let is_right = read.severity == Some(Severity::ERROR)
            && read.exception.as_ref().is_some_and(|exception| {
                exception.kind == thrown.kind && exception.message.as_deref() == Some(MESSAGE)
            });
        self.add(is_right, format, &line, &read);
    }

    fn add(&mut self, is_right: bool, format: &str, line: &str, read: &FunctionLine<'_>) {
        self.count += 1;
        if !is_right {
            let FunctionLine { severity, exception, message, .. } = read;
            let severity = severity.map(|severity| severity.text);
            let kind = exception.as_ref().map(|exception| &exception.kind);
            self.wrong.push(format!("{format}: {line:?}: {severity:?} {kind:?} {message:?}"));
        }
    }
}

#[test]
fn no_message_id_or_class_changes_what_a_format_states() {
    let mut combinations = Combinations::default();
    for level in &LEVELS {
        for message in MESSAGES {
            for (format, write) in TEXTS {
                combinations.check_level(format, &write(level, message), level, None);
            }
            for ((format, write), id) in RECORDS.iter().flat_map(|row| IDS.map(|id| (row, id))) {
                let line = write(level, message, id).to_string();
                combinations.check_level(format, &line, level, Some(message));
            }
        }
    }
    for thrown in &THROWN {
        for (format, _) in THROWN_IN {
            combinations.check_exception(format, thrown);
        }
    }
    let Combinations { count, wrong } = combinations;
    println!("{} of {count}", count - wrong.len());
    assert!(count >= FEWEST, "{count}");
    assert_eq!(wrong, Vec::<String>::new());
}
