//! Reads the exception that a text reports.

use super::lines::{
    CPP, DOTNET_UNHANDLED, EYRE_PANIC, JAVA_THREAD, NamedException, TRACEBACK, begins_trace,
    first_line, is_certain, is_class, is_frame, is_logged_panic, is_ruby_place, is_type,
    message_and_type, names_exception, ruby_exception,
};
use crate::read::begins;
use crate::read::runtime_text::is_rust_panic;

/// The exception of a log record (OpenTelemetry's semantic conventions, exceptions in logs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) kind: String,
    pub(crate) message: Option<String>,
    pub(crate) stacktrace: Option<String>,
}

/// A borrowed [`Exception`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExceptionRef<'e> {
    pub(crate) kind: &'e str,
    pub(crate) message: Option<&'e str>,
    pub(crate) stacktrace: Option<&'e str>,
}

impl Exception {
    pub(crate) fn as_ref(&self) -> ExceptionRef<'_> {
        let Self { kind, message, stacktrace } = self;
        ExceptionRef { kind, message: message.as_deref(), stacktrace: stacktrace.as_deref() }
    }
}

/// Maximum number of lines of which one begins a report: the source line that failed, or text of a logger, may precede it.
const MAX_LINES_BEFORE: usize = 8;

/// Maximum number of lines of a message after its first one.
const MAX_MESSAGE_LINES: usize = 16;

/// Reads the exception of a text, if its first lines are a report of one.
pub(crate) fn exception(text: &str) -> Option<Exception> {
    let text = text.trim_ascii();
    // Nearly all texts are one line without any of these words.
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return match text.as_bytes().last() {
            _ if begins_as_report(text) => report(text),
            Some(b'}' | b']') => php_object(text),
            _ => None,
        };
    }
    if text.contains('\r') && !text.contains('\n') {
        // Lambda's Python runtime writes the lines of one log event so.
        return exception(&text.replace('\r', "\n"));
    }
    traceback(text).or_else(|| report(text)).or_else(|| php_object(text))
}

fn begins_as_report(text: &str) -> bool {
    let has_word = match text.as_bytes().first() {
        Some(b'E') => text.starts_with(JAVA_THREAD),
        Some(b'U') => text.starts_with("Uncaught ") || begins(text, &DOTNET_UNHANDLED),
        Some(b'p') => text.starts_with("panic: "),
        Some(b't') => text.starts_with("thread '"),
        Some(b'/' | b'<' | b'*' | b'#') => true,
        _ => false,
    };
    has_word || text.ends_with(')') && ruby_exception(text).is_some()
}

/// The exception that Monolog's formatters write into a record: `[object] (Shop\Declined(code: 7): no stock at /app/a.php:7)`.
/// Laravel adds the stack trace.
#[cold]
fn php_object(text: &str) -> Option<Exception> {
    const OBJECT: &str = "[object] (";
    let at = memchr::memmem::find(text.as_bytes(), OBJECT.as_bytes())?;
    let object = text.get(at + OBJECT.len()..)?;
    let (kind, rest) = object.split_once("(code: ")?;
    let (_, with_place) = rest.split_once("): ")?;
    let (message, after) = with_place.split_once(" at /")?;
    let trace = after.split_once("[stacktrace]").map(|(_, frames)| frames);
    // Monolog writes the record as JSON.
    let unescaped = |text: &str| {
        serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap_or_else(|_| text.to_owned())
    };
    is_type(kind).then(|| Exception {
        kind: unescaped(kind),
        message: Some(unescaped(message)),
        stacktrace: trace.map(|frames| frames.trim().to_owned()),
    })
}

fn report(text: &str) -> Option<Exception> {
    let mut rest = text;
    for _ in 0..MAX_LINES_BEFORE {
        let (first, after) = first_line(rest);
        let line = first.trim();
        if let Some(NamedException { kind, message }) = reported(line, after) {
            let further = if line.ends_with(message) {
                further_lines(after)
            } else if is_rust_panic(line) || is_logged_panic(line) {
                let (_, after_message) = first_line(after);
                further_lines(after_message)
            } else {
                String::new()
            };
            return Some(Exception {
                kind: kind.to_owned(),
                message: (!message.is_empty()).then(|| [message, &further].concat()),
                stacktrace: (!after.is_empty()).then(|| rest.to_owned()),
            });
        }
        // A cause follows the frames.
        if after.is_empty() || line.starts_with("at ") {
            return None;
        }
        rest = after;
    }
    None
}

/// The lines of a message after its first one, each with a line end before it. A stack trace ends them.
fn further_lines(after: &str) -> String {
    let mut lines = after.lines().take(MAX_MESSAGE_LINES + 1);
    let is_end = |line: &str| line.trim().is_empty() || begins_trace(line);
    let count = lines.position(is_end).unwrap_or_default();
    // Deno shows the failed source line, and a mark below it.
    let is_source = |line: &str| line.trim_start().starts_with('^');
    if after.lines().take(count).any(is_source) {
        return String::new();
    }
    after.lines().take(count).flat_map(|line| ["\n", line.trim_end()]).collect()
}

/// The exception that this line reports. `after` is the text after the line.
fn reported<'t>(line: &'t str, after: &'t str) -> Option<NamedException<'t>> {
    if let Some(message) = line.strip_prefix("panic: ") {
        return Some(NamedException::panic(message));
    }
    if let Some(message) =
        line.strip_prefix("fatal error: ").filter(|_| after.contains("goroutine "))
    {
        return Some(NamedException { kind: "fatal error", message });
    }
    if is_rust_panic(line) {
        return Some(NamedException::panic(message_of_rust_panic(line, after)));
    }
    if let Some((_, exception)) =
        line.strip_prefix(JAVA_THREAD).and_then(|rest| rest.split_once("\" "))
    {
        return Some(NamedException::split(exception));
    }
    if let Some(exception) = DOTNET_UNHANDLED.iter().find_map(|begin| line.strip_prefix(begin)) {
        return Some(NamedException::split(exception));
    }
    if let Some((before, uncaught)) = line.split_once("Uncaught ")
        && is_php(before)
    {
        return uncaught_exception(uncaught);
    }
    if after.trim_start().starts_with("Stack trace:\n#0 ") {
        return exception_of_php(line);
    }
    if let Some(message) = message_of_logged_panic(line, after) {
        return Some(NamedException::panic(message));
    }
    if let Some((_, served)) = line.split_once(": panic serving ") {
        let message = served.split_once(": ").map_or(served, |(_, message)| message);
        return Some(NamedException::panic(message));
    }
    if let Some(thrown) = line.strip_prefix(CPP) {
        let kind = thrown.trim_end_matches('\'');
        let what = after.lines().next().and_then(|line| line.trim().strip_prefix("what():"));
        return Some(NamedException { kind, message: what.unwrap_or_default().trim() });
    }
    if let Some(kind_and_message) = line.strip_prefix("#<").and_then(|rest| rest.strip_suffix('>'))
    {
        // Ruby's `inspect`; other objects have no message.
        return Some(NamedException::split(kind_and_message))
            .filter(|named| is_type(named.kind) && !named.message.is_empty());
    }
    if line.ends_with("panic recovered:") {
        return Some(NamedException::panic(after.lines().next().unwrap_or_default()));
    }
    elixir_exception(line)
        .or_else(|| numbered_error(line, after))
        .or_else(|| ruby_exception(line))
        .or_else(|| logged_ruby_exception(line, after))
        .or_else(|| exception_above_frames(line, after))
}

/// The message of Rust's panic: in the same line before Rust 1.73, and since then in the next one.
fn message_of_rust_panic<'t>(line: &'t str, after: &'t str) -> &'t str {
    let quoted = line.split_once("panicked at '").and_then(|(_, rest)| rest.rsplit_once("', "));
    match quoted {
        Some((message, _)) => message,
        None => after.lines().next().unwrap_or_default(),
    }
}

/// The exception after `Uncaught `, of Node, Deno, PHP or Symfony. PHP names the place after it.
fn uncaught_exception(uncaught: &str) -> Option<NamedException<'_>> {
    if let Some(of_symfony) = uncaught.strip_prefix("PHP Exception ") {
        // `Shop\StockGone: "no stock" at a.php line 7`
        let (exception, _place) = of_symfony.rsplit_once("\" at ")?;
        let (kind, message) = exception.split_once(": \"")?;
        return is_type(kind).then_some(NamedException { kind, message });
    }
    let with_place = uncaught.strip_prefix("(in promise) ").unwrap_or(uncaught);
    let exception = with_place.rsplit_once(" in /").map_or(with_place, |(exception, _)| exception);
    Some(NamedException::split(exception)).filter(|named| is_type(named.kind))
}

/// An exception of PHP as text, perhaps after a logger's words: `checkout failed: Shop\StockGone: no stock in /app/a.php:7`.
fn exception_of_php(line: &str) -> Option<NamedException<'_>> {
    let (text, _place) = line.rsplit_once(" in /")?;
    exception_within(text, is_no_constant)
}

/// Nothing, or the words of PHP, before `Uncaught`.
fn is_php(before: &str) -> bool {
    before.is_empty() || before.trim_end().ends_with("rror:")
}

/// The message of a panic that a hook logs: `panicked at src/main.rs:3:4:`, or color-eyre's report. It is in the next line.
fn message_of_logged_panic<'t>(line: &str, after: &'t str) -> Option<&'t str> {
    let (next_line, _) = first_line(after);
    let next = next_line.trim();
    if line == EYRE_PANIC {
        return next.strip_prefix("Message:").map(str::trim);
    }
    is_logged_panic(line).then_some(next)
}

/// `** (ArgumentError) no stock`
fn elixir_exception(line: &str) -> Option<NamedException<'_>> {
    let (kind, message) = line.strip_prefix("** (")?.split_once(") ")?;
    is_type(kind).then_some(NamedException { kind, message })
}

/// color-eyre's `Error:`, and below it the error and its causes with their numbers.
fn numbered_error<'t>(line: &str, after: &'t str) -> Option<NamedException<'t>> {
    let message = after.lines().next()?.trim_start().strip_prefix("0: ")?;
    (line == "Error:").then_some(NamedException { kind: "Error", message })
}

/// `no stock (ArgumentError)`, `ArgumentError (no stock):` of Rails and ActiveJob, `ArgumentError - no stock:` of Sinatra, and below it Ruby's or
/// Crystal's backtrace.
fn logged_ruby_exception<'t>(line: &'t str, after: &'t str) -> Option<NamedException<'t>> {
    let next = after.lines().find(|line| !line.trim().is_empty())?.trim_start();
    if !(is_ruby_place(next) || next.starts_with("from ")) {
        return None;
    }
    if let Some(named) = message_and_type(line) {
        let message = named.message.trim_start_matches("Unhandled exception: ");
        return Some(NamedException { message, ..named });
    }
    let before_colon = line.strip_suffix(':')?;
    let of_rails = || {
        let text = before_colon.strip_suffix(')')?;
        let mut ends = memchr::memmem::find_iter(text.as_bytes(), " (");
        ends.find_map(|end| {
            let before = text.get(..end)?;
            // ActiveJob writes other text before it.
            let kind = before.rsplit_once(": ").map_or(before, |(_, kind)| kind);
            let message = text.get(end + 2..)?;
            is_type(kind).then_some(NamedException { kind, message })
        })
    };
    let of_sinatra = || {
        let (kind, message) = before_colon.split_once(" - ")?;
        is_type(kind).then_some(NamedException { kind, message })
    };
    of_rails().or_else(of_sinatra)
}

/// Returns `true` for a text that begins with the name of an exception, has its message behind the name, and its frames in the next
/// lines: the words of the message are no fields of a logger.
pub(crate) fn begins_with_exception(text: &str) -> bool {
    // Most texts are one line.
    let Some(end) = memchr::memchr(b'\n', text.as_bytes()) else { return false };
    let (first, after) = text.split_at_checked(end).unwrap_or_default();
    let word = first.split(' ').next().unwrap_or_default();
    let is_frames = |line: &str| is_frame(line) && line.starts_with([' ', '\t']);
    word.strip_suffix(':').is_some_and(is_type) && after.lines().nth(1).is_some_and(is_frames)
}

/// The exception of a line with stack frames below. A message may have several lines, and a logger's text may precede the name, if
/// the name is certainly a type's, or the frames follow at once.
fn exception_above_frames<'t>(line: &'t str, after: &'t str) -> Option<NamedException<'t>> {
    const MAX_LINES: usize = 16;
    let mut lines = after.lines().filter(|line| !line.trim().is_empty()).take(MAX_LINES);
    let at = lines.position(|line| is_frame(line) && line.starts_with([' ', '\t']))?;
    let named = NamedException::split(line);
    let is_sure = at == 0 || is_certain(named.kind) && !named.message.is_empty();
    if is_type(named.kind) && is_sure {
        return Some(named);
    }
    let of = |is_sure: fn(&str) -> bool| exception_within(line, is_sure);
    let certain = of(|kind| is_certain(kind) || kind.contains('$'));
    if at > 0 {
        return certain;
    }
    certain.or_else(|| of(is_class)).or_else(|| of(is_no_constant))
}

/// Returns `false` for a level or an error code in a message: `DEBUG: bad factory`, `ENOENT: no such file`.
fn is_no_constant(kind: &str) -> bool {
    kind.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// The exception after another text: `failed TypeError: no stock`, `Payment declined|System.InvalidOperationException: no stock`.
/// `is_sure` says which types' names are no other words.
fn exception_within(line: &str, is_sure: fn(&str) -> bool) -> Option<NamedException<'_>> {
    const MAX_COLONS: usize = 8;
    let is_between = |c: char| c.is_whitespace() || matches!(c, '|' | '(' | '"');
    let mut ends = memchr::memmem::find_iter(line.as_bytes(), ": ").take(MAX_COLONS);
    let found = ends.find_map(|end| {
        let with_code = line.get(..end)?;
        // Node puts a code after the type.
        let before = with_code
            .strip_suffix(']')
            .and_then(|text| text.rsplit_once(" ["))
            .map_or(with_code, |(text, _)| text);
        let kind = before.rsplit(is_between).next()?;
        let message = line.get(end + 2..)?;
        (is_type(kind) && is_sure(kind)).then_some(NamedException { kind, message })
    });
    found.or_else(|| {
        let last = line.trim_end().rsplit(is_between).next()?;
        let is_exception = is_type(last) && is_certain(last);
        is_exception.then_some(NamedException { kind: last, message: "" })
    })
}

/// The exception of Python's traceback. Lambda's runtime writes its name before the frames, all others after them.
fn traceback(text: &str) -> Option<Exception> {
    let at = text.find(TRACEBACK)?;
    let (before, frames) = text.split_at_checked(at)?;
    // rich indents the whole traceback, and logfire draws a line before it.
    let is_drawn = |text: &&str| text.chars().all(|c| c.is_whitespace() || c == '│');
    let indentation = before.rsplit('\n').next().filter(is_drawn).unwrap_or_default();
    let logged = before.lines().next().unwrap_or_default().trim_end();
    // Python draws a frame around the lines of an exception group. As a cause, it is followed by another traceback.
    let is_group = text.contains("Exception Group Traceback")
        && !text.contains(concat!("\n", "Traceback (most recent call last):"));
    let lines = || {
        frames.lines().skip(1).map(|line| {
            let line = line.strip_prefix("  | ").unwrap_or(line);
            line.strip_prefix(indentation).unwrap_or(line)
        })
    };
    let mut names = lines().filter(|line| names_exception(line));
    let found = if is_group { names.next() } else { names.last() };
    let (line, stacktrace) = match found {
        Some(name) => (name, frames),
        None if names_exception(logged) => (logged, text),
        None => return None,
    };
    let NamedException { kind, message } = NamedException::split(line.trim_end());
    Some(Exception {
        kind: kind.trim_end_matches(':').to_owned(),
        message: (!message.is_empty()).then(|| message.to_owned()),
        stacktrace: Some(stacktrace.to_owned()),
    })
}
