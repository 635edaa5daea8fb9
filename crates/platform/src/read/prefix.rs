//! Reads level and request id from the runtimes' loggers' prefix of a text line.
//!
//! | source | line |
//! |---|---|
//! | awslambdaric (Python) | `[INFO]\t<time>\t<request id>\t<message>` |
//! | aws-lambda-ric (Node) | `<time>\t<request id>\tINFO\t<message>` |
//! | Amazon.Lambda.RuntimeSupport (.NET) | `<time>\t<request id>\tinfo\t<message>` |
//! | aws_lambda_ric (Ruby) | `I, [<time> #8]  INFO <request id> -- <program>: <message>` |
//! | aws-lambda-java-core, and the layer's extension | `[INFO] <message>` |
//! | log4j2, with the pattern that AWS documents | `<date> <time> <request id> INFO …` |
//! | logback, by default | `<time> [<thread>] INFO …` |
//! | tracing-subscriber (Rust) | `<time>  INFO …` |
//! | lambda_runtime (Rust), its default subscriber | ` INFO Lambda runtime invoke{requestId="<request id>" …}: …` |
//! | loguru (Python) | `<date> <time> \| INFO \| …` |
//! | structlog (Python), its console format | `<date> <time> [info     ] …` |
//!
//! tracing-subscriber and structlog may colour their lines.

use crate::read::ids::is_uuid;
use crate::read::severity::Severity;
use crate::read::severity::{ESC, without_colours};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefix<'a> {
    pub(crate) severity: Option<Severity>,
    pub(crate) request_id: Option<&'a str>,
}

/// The prefix has at most four fields: date, time, and two of request id, thread, separator and level.
const MAX_FIELDS: usize = 4;

/// Reads the prefix of a line; a line without one has an empty prefix.
pub(crate) fn prefix(line: &str) -> Prefix<'_> {
    if let Some(prefix) = rust(line) {
        return prefix;
    }
    match line.as_bytes().first() {
        Some(b'[') => python(line),
        Some(b'0'..=b'9') => dated(line),
        Some(b'D' | b'I' | b'W' | b'E' | b'F' | b'A') => ruby(line),
        Some(0x1b) => coloured(line),
        _ => Prefix::default(),
    }
}

/// Reads the level of a line that begins with a terminal colour. Loggers that write request ids write no colours.
fn coloured(line: &str) -> Prefix<'_> {
    /// A prefix with its colours is shorter.
    const MOST_BYTES: usize = 256;
    let head = line.get(..line.floor_char_boundary(MOST_BYTES)).unwrap_or_default();
    let plain = without_colours(head);
    if plain.starts_with(ESC) {
        return Prefix::default();
    }
    Prefix { severity: prefix(&plain).severity, request_id: None }
}

/// Splits a JSON object behind the prefix of Node's, .NET's or Python's runtime into the prefix, its time as Unix time in
/// nanoseconds, and the object.
pub(crate) fn object_behind_prefix(line: &str) -> Option<(Prefix<'_>, Option<u64>, &str)> {
    let (fields, behind) = line.split_at_checked(line.find("\t{")?)?;
    let mut fields = fields.split('\t');
    let fields = (fields.next()?, fields.next()?, fields.next()?, fields.next());
    let time = match fields {
        (time, id, _, None) if is_request(id) => time,
        (level, time, id, None) if level.starts_with('[') && is_request(id) => time,
        _ => return None,
    };
    let prefix = Some(prefix(line)).filter(|prefix| prefix.severity.is_some() && is_date(time))?;
    Some((prefix, wire::timestamp::parse_rfc3339(time), behind.trim_start()))
}

/// A request id, or its placeholder during the init phase.
fn is_request(field: &str) -> bool {
    is_uuid(field) || field.is_empty() || field == "undefined"
}

/// `[ERROR]\t<time>\t<request id>\t…`, or for an unhandled exception `[ERROR] ValueError: …`.
fn python(line: &str) -> Prefix<'_> {
    let level = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((level, rest)) = level else { return Prefix::default() };
    let Some(severity) = Severity::of_text(level) else { return Prefix::default() };
    // The request id is empty during the init phase.
    let request_id = rest
        .strip_prefix('\t')
        .and_then(|rest| rest.split('\t').nth(1))
        .filter(|field| is_uuid(field));
    Prefix { severity: Some(severity), request_id }
}

/// `I, [2026-09-21T14:13:20.123456 #8]  INFO <request id> -- program: …`. Lines of Ruby's own logger have no request id.
fn ruby(line: &str) -> Prefix<'_> {
    let rest = line.get(1..).and_then(|rest| rest.strip_prefix(", ["));
    let Some((stamp, rest)) = rest.and_then(|rest| rest.split_once("] ")) else {
        return Prefix::default();
    };
    let Some((head, _)) = rest.split_once("-- ") else { return Prefix::default() };
    let mut fields = head.split_ascii_whitespace();
    // `ANY` is Ruby's level for messages that are logged at every level.
    let severity = fields.next().and_then(|word| match word {
        "ANY" => Some(Severity::UNSAID),
        word => Severity::of_text(word),
    });
    if severity.is_none() || !stamp.split(' ').next().is_some_and(is_date) {
        return Prefix::default();
    }
    Prefix { severity, request_id: fields.next().filter(|field| is_uuid(field)) }
}

/// `ERROR Lambda runtime invoke{requestId="<request id>" …`, with levels of five characters.
fn rust(line: &str) -> Option<Prefix<'_>> {
    let (level, rest) = line.split_at_checked(5)?;
    let fields = rest.strip_prefix(" Lambda runtime invoke{")?;
    let severity = Some(Severity::of_text(level.trim_start())?);
    let request_id = fields.strip_prefix("requestId=\"").and_then(|rest| rest.split('"').next());
    Some(Prefix { severity, request_id: request_id.filter(|id| is_uuid(id)) })
}

/// `<time>\t<request id>\tinfo\t…`. .NET's levels are lower case like ordinary words, so they count only in the third field after a
/// time and a request id.
fn dotnet(line: &str) -> Option<Prefix<'_>> {
    let (time, rest) = line.split_at_checked(memchr::memchr(b'\t', line.as_bytes())?)?;
    let rest = rest.get(1..).filter(|_| is_date(time))?;
    let (id, rest) = rest.split_at_checked(memchr::memchr(b'\t', rest.as_bytes())?)?;
    let mut fields = rest.get(1..)?.splitn(2, '\t');
    let severity = match fields.next()? {
        "trce" | "trace" => "TRACE",
        "dbug" | "debug" => "DEBUG",
        "info" => "INFO",
        "warn" => "WARN",
        "fail" | "error" => "ERROR",
        "crit" | "critical" => "FATAL",
        _ => return None,
    };
    let is_id = is_uuid(id);
    // The request id is empty during the init phase.
    let is_prefix = (is_id || id.is_empty()) && fields.next().is_some();
    is_prefix.then(|| Prefix {
        severity: Severity::of_word(severity),
        request_id: Some(id).filter(|_| is_id),
    })
}

/// `14:13:20.123 [main] INFO …`.
fn logback(line: &str) -> Option<Prefix<'_>> {
    // Excludes most lines without the search for ` [`, the most expensive step.
    if !line.bytes().take(3).any(|byte| byte == b':') {
        return None;
    }
    let (time, rest) = line.split_once(" [")?;
    let (_, rest) = rest.split_once("] ")?;
    let level = rest.split_ascii_whitespace().next()?;
    let severity = Severity::of_text(level)?;
    (is_time(time) && time.len() >= "14:13:20".len())
        .then_some(Prefix { severity: Some(severity), request_id: None })
}

/// Reads the fields after a date, up to the level or to the first field that belongs to no prefix.
fn dated(line: &str) -> Prefix<'_> {
    if let Some(prefix) = dotnet(line).or_else(|| logback(line)) {
        return prefix;
    }
    let mut fields =
        line.split(['\t', ' ']).filter(|field| !field.is_empty()).take(MAX_FIELDS).peekable();
    let mut prefix = Prefix::default();
    if !fields.next().is_some_and(is_date) {
        return prefix;
    }
    while let Some(field) = fields.next() {
        if let Some(severity) = Severity::of_text(field) {
            prefix.severity = Some(severity);
            break;
        }
        if is_uuid(field) && prefix.request_id.is_none() {
            prefix.request_id = Some(field);
        } else if let Some(level) = field.strip_prefix('[')
            && fields.peek() == Some(&"]")
        {
            // Of structlog, which pads its levels, and writes them in lower case.
            let is_lower = level.bytes().all(|byte| byte.is_ascii_lowercase());
            prefix.severity = Severity::of_word(level).filter(|_| is_lower);
            break;
        } else if !is_time(field) && !["undefined", "|"].contains(&field) && !is_thread(field) {
            break;
        }
    }
    prefix
}

/// `2026-09-21`, optionally followed by a time.
fn is_date(field: &str) -> bool {
    let Some((date, rest)) = field.split_at_checked("2026-09-21".len()) else { return false };
    let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date && (rest.is_empty() || rest.starts_with('T'))
}

/// `[main]`, the thread that logback or log4j2 names before the level.
fn is_thread(field: &str) -> bool {
    field.starts_with('[') && field.ends_with(']')
}

/// `14:13:20`, with or without a fraction.
fn is_time(field: &str) -> bool {
    field.contains(':')
        && field.bytes().all(|byte| byte.is_ascii_digit() || b":.,Z+".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";

    /// `{id}` stands for a request id; expected are the level or `-`, and then `id` if the id was found.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let line = line.replace("{id}", ID);
        let prefix = prefix(&line);
        let level = prefix.severity.as_ref().map_or("-", |severity| severity.text.as_ref());
        let id = if prefix.request_id == Some(ID) { " id" } else { "" };
        assert_eq!(format!("{level}{id}"), expected, "{line:?}");
    }

    #[test]
    fn runtime_prefixes_yield_level_and_request_id() {
        // Python
        check("[INFO]\t2026-09-21T14:13:20.123Z\t{id}\torder 42", "INFO id");
        check("[WARNING]\t2026-09-21T14:13:20.123Z\t{id}\torder 42", "WARN id");
        check("[CRITICAL]\t2026-09-21T14:13:20.123Z\t{id}\torder 42", "FATAL id");
        check("[DEBUG]\t2026-09-21T14:13:20.123Z\t\tin the init phase", "DEBUG");
        check("[ERROR] ValueError: no\nTraceback (most recent call last):", "ERROR");
        check("[ERROR]", "ERROR");
        // Node
        check("2026-09-21T14:13:20.123Z\t{id}\tINFO\torder 42", "INFO id");
        check("2026-09-21T14:13:20.123Z\t{id}\tERROR\tInvoke Error \t{}", "ERROR id");
        check("2026-09-21T14:13:20.123Z\tundefined\tWARN\tin the init phase", "WARN");
        // Java, log4j2 as AWS sets it up
        check("2026-09-21 14:13:20 {id} INFO  Handler - order 42", "INFO id");
        check("2026-09-21 14:13:20,123 {id} ERROR Handler - order 42", "ERROR id");
        check("2026-09-21 14:13:20.123 [main] WARN  c.e.Handler - order 42", "WARN");
        check("14:13:20.123 [main] ERROR c.e.Handler -- order 42", "ERROR");
        check("14:13:20 [main] WARN c.e.Handler -- order 42", "WARN");
        check("14:13:20.123 [pool-1 thread-2] INFO  c.e.Handler - x", "INFO");
        check("2026-09-21T14:13:20.123Z  INFO 8 --- [main] c.e.Application : x", "INFO");
        check("[INFO] order 42", "INFO");
        // This layer's extension
        check("[WARN] lambda-otlp-extension: cannot deliver", "WARN");
        // .NET
        check("2026-09-21T14:13:20.123Z\t{id}\tinfo\torder 42", "INFO id");
        check("2026-09-21T14:13:20.123Z\t{id}\tfail\torder 42", "ERROR id");
        check("2026-09-21T14:13:20.123Z\t{id}\tcrit\torder 42", "FATAL id");
        check("2026-09-21T14:13:20.123Z\t\twarn\tin the init phase", "WARN");
        check("2026-09-21T14:13:20.123Z\t{id}\ttrce\tx", "TRACE id");
        check("2026-09-21T14:13:20.123Z\t{id}\tdbug\tx", "DEBUG id");
        // Ruby
        check("I, [2026-09-21T14:13:20.123456 #8]  INFO {id} -- : order 42", "INFO id");
        check("E, [2026-09-21T14:13:20.123456 #8] ERROR {id} -- app: x -- y", "ERROR id");
        check("F, [2026-09-21T14:13:20.123456 #8] FATAL -- : no id", "FATAL");
        check("W, [2026-09-21T14:13:20.123456 #8]  WARN  -- : in the init phase", "WARN");
        check("A, [2026-09-21T14:13:20.123456 #8]   ANY {id} -- : x", "INFO id");
        // Rust, tracing-subscriber
        check("2026-09-21T14:13:20.123456Z  WARN orders: order 42", "WARN");
        check("2026-09-21T14:13:20.123456Z TRACE orders: order 42", "TRACE");
        check(
            "\x1b[2m2026-09-21T14:13:20.123456Z\x1b[0m \x1b[33m WARN\x1b[0m \x1b[2morders\x1b[0m\x1b[2m:\x1b[0m order 42",
            "WARN",
        );
        // Rust, lambda_runtime's default subscriber
        check(
            r#"ERROR Lambda runtime invoke{requestId="{id}" xrayTraceId="Root=1-2"}: no"#,
            "ERROR id",
        );
        check(r#" WARN Lambda runtime invoke{requestId="{id}"}:store: few left"#, "WARN id");
        check("\x1b[31mERROR\x1b[0m \x1b[1mLambda runtime invoke\x1b[0m\x1b[1m{\x1b[0m", "ERROR");
        // Python's loguru and structlog
        check(
            "\x1b[2m2026-09-21 14:13:20\x1b[0m [\x1b[31m\x1b[1merror    \x1b[0m] \x1b[1mdeclined\x1b[0m",
            "ERROR",
        );
        check("\x1b[31m", "-");
        check("\x1b\x1b[31m[ERROR] x", "-");
        check("2026-09-21 14:13:20.123 | WARNING  | shop:handler:5 - low", "WARN");
        check("2026-09-21 14:13:20.123 | SUCCESS  | shop:handler:5 - done", "-");
        check("2026-09-21 14:13:20 [error    ] declined       order=7", "ERROR");
        check("2026-09-21T14:13:20.123456Z [critical ] declined", "FATAL");
    }

    #[test]
    fn a_json_object_is_found_only_after_a_complete_prefix() {
        let check = |line: &str, expected: Option<&str>| {
            let line = line.replace("{id}", ID);
            let object = object_behind_prefix(&line).map(|(.., object)| object);
            assert_eq!(object, expected, "{line:?}");
        };
        check("[INFO]\t2026-09-21T14:13:20.123Z\t{id}\t{}", Some("{}"));
        check("2026-09-21T14:13:20.123Z\t{id}\tINFO\t{}", Some("{}"));
        check("2026-09-21T14:13:20.123Z\tundefined\tINFO\t{}", Some("{}"));
        for other in [
            "[INFO]\t2026-09-21T14:13:20.123Z\tsomebody\t{}",
            "INFO\t2026-09-21T14:13:20.123Z\t{id}\t{}",
            "2026-09-21T14:13:20.123Z\tsomebody\tINFO\t{}",
            "[INFO]\tyesterday\t{id}\t{}",
            "[INFO]\t2026-09-21T14:13:20.123Z\t{id}\tx\t{}",
        ] {
            check(other, None);
        }
    }

    #[test]
    fn text_without_a_valid_prefix_yields_no_level() {
        check("", "-");
        check("plain", "-");
        check("there were no ERRORs", "-");
        check("ERROR this is a word", "-");
        check("[Error] not a level of a runtime", "-");
        check("[info]\t2026-09-21T14:13:20.123Z\t{id}\tx", "-");
        check("[1, 2, 3]", "-");
        check("[", "-");
        check("[]", "-");
        check("[INFO", "-");
        check("[INFO]\tno\t{id}x\tids", "INFO");
        check("2026-09-21T14:13:20.123Z\t{id}\tno level, only ERROR in the text", "- id");
        check("2026-09-21T14:13:20.123Z order INFO", "-");
        check("2026-09-21", "-");
        check("2026-09-21T14:13:20.123Z", "-");
        check("2026-09-2x INFO", "-");
        check("2026 INFO", "-");
        check("99 bottles INFO", "-");
        check("2026-09-21 14:13:20 14:13:20 14:13:20 INFO", "-");
        check("2026-09-21 14:13:20.123 [main WARN x", "-");
        check("2026-09-21 x:y WARN z", "-");
        check("2026-09-21 14 WARN z", "-");
        // For .NET, Ruby and logback only the complete form is a prefix.
        check("2026-09-21T14:13:20.123Z\t{id}\tinfo", "- id");
        check("2026-09-21T14:13:20.123Z {id} info x", "- id");
        check("2026-09-21T14:13:20.123Z\tsomebody\tinfo\tx", "-");
        check("2026-09-21T14:13:20.123Z\tsomebody\tINFO\tx", "-");
        check("I, [2026-09-21T14:13:20.123456 #8]  INFO {id} : x", "-");
        check("I, [yesterday #8]  INFO {id} -- : x", "-");
        check("I, for one, [2026-09-21] INFO -- x", "-");
        check("Error, [2026-09-21T14:13:20 #8] ERROR -- : x", "-");
        check("Did, [x", "-");
        check("2026-09-21 14:13:20 [error] x", "-");
        check("2026-09-21 14:13:20 [error is a word ] x", "-");
        check("2026-09-21 14:13:20 [Error ] x", "-");
        check("2026-09-21 14:13:20 | x ERROR", "-");
        check("14:13 [main] INFO x", "-");
        check("99 [bottles] INFO x", "-");
        check("14:13:20.123 [main] Information", "-");
    }
}
