//! Reads the texts that runtimes print when a program fails: panics, uncaught exceptions, and stack traces.
//!
//! Source: the runtimes of Go, Java, .NET, Node, PHP, Python, Ruby and Rust.

use crate::read::begins;
use crate::read::head::{HeadOf, head};
use crate::read::runtime_text::{is_place, is_rust_panic};
use crate::read::severity::{Evidence, Severity, without_colours};
use crate::read::text::is_platform;
use crate::read::time::stated_time;

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

/// A report begins in one of so many lines: the source line that failed, or text of a logger, may precede it.
const MOST_LINES_BEFORE: usize = 8;

/// Reads the exception of a text, if its first lines are a report of one.
pub(crate) fn exception(text: &str) -> Option<Exception> {
    let text = text.trim_ascii();
    // Nearly all texts are one line without any of these words.
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return if begins_as_report(text) { report(text) } else { None };
    }
    if text.contains('\r') && !text.contains('\n') {
        // Lambda's Python runtime writes the lines of one log event so.
        return exception(&text.replace('\r', "\n"));
    }
    traceback(text).or_else(|| report(text))
}

fn report(text: &str) -> Option<Exception> {
    let mut rest = text;
    for _ in 0..MOST_LINES_BEFORE {
        let (first, after) = first_line(rest);
        let line = first.trim();
        if let Some((kind, message)) = reported(line, after) {
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
        // What follows frames is a cause.
        if after.is_empty() || line.starts_with("at ") {
            return None;
        }
        rest = after;
    }
    None
}

/// The lines of a message after its first one, each with a line end before it. A stack trace ends them.
fn further_lines(after: &str) -> String {
    let mut lines = after.lines().take(MOST_MESSAGE_LINES + 1);
    let is_end = |line: &str| line.trim().is_empty() || ends_message(line);
    let count = lines.position(is_end).unwrap_or_default();
    // Deno shows the failed source line, and a mark below it.
    let is_source = |line: &str| line.trim_start().starts_with('^');
    if after.lines().take(count).any(is_source) {
        return String::new();
    }
    after.lines().take(count).flat_map(|line| ["\n", line.trim_end()]).collect()
}

/// A logger's line above a stack trace has at most so many bytes. It is read again for each line that may name an exception.
const MOST_LOGGED: usize = 4096;

/// A message has at most so many lines after its first one.
const MOST_MESSAGE_LINES: usize = 16;

/// Returns `true` for the line after a message: a frame, or what Rust and Go print before theirs.
fn ends_message(line: &str) -> bool {
    is_frame(line) || begins(line, &["stack backtrace:", "note: ", "[signal ", "Stack trace:"])
}

/// The first line and the text after it.
fn first_line(text: &str) -> (&str, &str) {
    // Faster than a search for a character.
    let end = memchr::memchr(b'\n', text.as_bytes()).unwrap_or(text.len());
    let (line, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (line, rest.get(1..).unwrap_or_default())
}

/// What color-eyre writes below the causes of an error, and in its reports of panics.
const EYRE_LINES: [&str; 5] = [
    "Message: ",
    "Location:",
    "Backtrace omitted.",
    "Run with RUST_BACKTRACE=",
    "Run with COLORBT_",
];

const THREAD: &str = "Exception in thread \"";
const PHP: [&str; 2] = ["PHP Fatal error: ", "Fatal error: Uncaught "];
const UNHANDLED: [&str; 2] = ["Unhandled exception. ", "Unhandled Exception: "];

fn begins_as_report(text: &str) -> bool {
    let has_word = match text.as_bytes().first() {
        Some(b'E') => text.starts_with(THREAD),
        Some(b'U') => text.starts_with("Uncaught ") || begins(text, &UNHANDLED),
        Some(b'p') => text.starts_with("panic: "),
        Some(b't') => text.starts_with("thread '"),
        Some(b'/' | b'<' | b'*') => true,
        _ => false,
    };
    has_word || text.ends_with(')') && ruby(text).is_some()
}

/// The type and message of an exception that this line reports. `after` is the text after the line.
fn reported<'t>(line: &'t str, after: &'t str) -> Option<(&'t str, &'t str)> {
    if let Some(message) = line.strip_prefix("panic: ") {
        return Some(("panic", message));
    }
    if let Some(message) =
        line.strip_prefix("fatal error: ").filter(|_| after.contains("goroutine "))
    {
        return Some(("fatal error", message));
    }
    if is_rust_panic(line) {
        let message =
            line.split_once("panicked at '").and_then(|(_, rest)| rest.rsplit_once("', "));
        let next = after.lines().next().unwrap_or_default();
        return Some(("panic", message.map_or(next, |(message, _)| message)));
    }
    if let Some((_, exception)) = line.strip_prefix(THREAD).and_then(|rest| rest.split_once("\" "))
    {
        return Some(named(exception));
    }
    if let Some(exception) = UNHANDLED.iter().find_map(|begin| line.strip_prefix(begin)) {
        return Some(named(exception));
    }
    if let Some((_, uncaught)) = line.split_once("Uncaught ").filter(|(before, _)| is_php(before)) {
        let with_place = uncaught.strip_prefix("(in promise) ").unwrap_or(uncaught);
        let exception =
            with_place.rsplit_once(" in /").map_or(with_place, |(exception, _)| exception);
        return Some(named(exception)).filter(|(kind, _)| is_type(kind));
    }
    if let Some(message) = panicked(line, after) {
        return Some(("panic", message));
    }
    if let Some((_, message)) = line.split_once(": panic serving ") {
        return Some(("panic", message.split_once(": ").map_or(message, |(_, message)| message)));
    }
    elixir(line)
        .or_else(|| ruby(line))
        .or_else(|| ruby_logged(line, after))
        .or_else(|| traced(line, after))
}

/// The message of a panic that a hook logs: `panicked at src/main.rs:3:4:`, or color-eyre's report. It is in the next line.
fn panicked<'t>(line: &str, after: &'t str) -> Option<&'t str> {
    let (next_line, _) = first_line(after);
    let next = next_line.trim();
    if line == EYRE {
        return next.strip_prefix("Message:").map(str::trim);
    }
    is_logged_panic(line).then_some(next)
}

const EYRE: &str = "The application panicked (crashed).";

/// Returns `true` for a line that ends with the place of a panic, whose message follows.
fn is_logged_panic(line: &str) -> bool {
    let Some(line) = line.strip_suffix(':') else { return false };
    line.rsplit_once("panicked at ").is_some_and(|(_, place)| is_place(place))
}

/// `no stock (ArgumentError)`, and below it the backtrace.
fn ruby_logged<'t>(line: &'t str, after: &'t str) -> Option<(&'t str, &'t str)> {
    let (message, kind) = line.strip_suffix(')')?.rsplit_once(" (")?;
    (is_type(kind) && is_ruby_place(after.lines().next()?)).then_some((kind, message))
}

/// `** (ArgumentError) no stock`
fn elixir(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("** (")?.split_once(") ").filter(|(kind, _)| is_type(kind))
}

/// Type and message of a line with stack frames below. A message may have several lines, and a logger's text may precede the
/// name, if the name is certainly a type's.
fn traced<'t>(line: &'t str, after: &'t str) -> Option<(&'t str, &'t str)> {
    const MOST_LINES: usize = 16;
    let mut lines = after.lines().take(MOST_LINES);
    let at = lines.position(|line| is_frame(line) && line.starts_with([' ', '\t']))?;
    let (kind, message) = named(line);
    if is_type(kind) && (at == 0 || is_certain(kind) && !message.is_empty()) {
        return Some((kind, message));
    }
    named_within(line)
}

fn is_certain(kind: &str) -> bool {
    ["Error", "Exception", "Throwable", "Fault"].iter().any(|end| kind.ends_with(end))
}

/// Type and message after a text: `failed TypeError: no stock`, `Payment declined|System.InvalidOperationException: no stock`.
fn named_within(line: &str) -> Option<(&str, &str)> {
    const MOST_COLONS: usize = 8;
    let is_between = |c: char| c.is_whitespace() || matches!(c, '|' | '(' | '"');
    let mut ends = memchr::memmem::find_iter(line.as_bytes(), ": ").take(MOST_COLONS);
    let found = ends.find_map(|end| {
        let with_code = line.get(..end)?;
        // Node puts a code after the type.
        let before = with_code
            .strip_suffix(']')
            .and_then(|text| text.rsplit_once(" ["))
            .map_or(with_code, |(text, _)| text);
        let kind = before.rsplit(is_between).next()?;
        // The name of a class in a class is no ordinary word.
        let is_sure = is_certain(kind) || kind.contains('$');
        (is_type(kind) && is_sure).then_some((kind, line.get(end + 2..)?))
    });
    found.or_else(|| {
        let last = line.trim_end().rsplit(is_between).next()?;
        (is_type(last) && is_certain(last)).then_some((last, ""))
    })
}

/// Nothing, or the words of PHP, before `Uncaught`.
fn is_php(before: &str) -> bool {
    before.is_empty() || before.trim_end().ends_with("rror:")
}

/// `/var/task/app.rb:3:in 'handler': no stock (Shop::Error)`
fn ruby(line: &str) -> Option<(&str, &str)> {
    let (place, rest) = line.split_once(":in ")?;
    let (_, message_and_kind) = rest.split_once(": ")?;
    let (message, kind) = message_and_kind.strip_suffix(')')?.rsplit_once(" (")?;
    (file_of(place).is_some() && is_type(kind)).then_some((kind, message))
}

/// The file of a place in the code: `/var/task/app.rb` of `/var/task/app.rb:3`.
fn file_of(place: &str) -> Option<&str> {
    let (file, line) = place.rsplit_once(':')?;
    line.parse::<u32>().is_ok().then_some(file)
}

/// Type and message of `java.lang.IllegalStateException: no stock`. Node puts a code after the type: `Error [ERR_X]: no stock`.
pub(crate) fn named(exception: &str) -> (&str, &str) {
    let (kind, message) = exception.split_once(": ").unwrap_or((exception, ""));
    (kind.split_once(" [").map_or(kind, |(kind, _)| kind), message)
}

/// Returns `true` for the name of an exception's type.
pub(crate) fn is_type(name: &str) -> bool {
    let is_part =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '$' | '\\' | '<' | '>');
    let last = name.rsplit(['.', ':', '$', '\\']).next().unwrap_or_default();
    name.chars().all(is_part)
        && name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '\\'))
        && last.starts_with(|c: char| c.is_uppercase())
}

/// The exception of Python's traceback. Lambda's runtime writes its name before the frames, all others after them.
fn traceback(text: &str) -> Option<Exception> {
    const HEADER: &str = "Traceback (most recent call last):";
    let at = text.find(HEADER)?;
    let (before, frames) = text.split_at_checked(at)?;
    // rich indents the whole traceback.
    let indentation =
        before.rsplit('\n').next().filter(|begin| begin.trim().is_empty()).unwrap_or_default();
    let before = before.lines().next().unwrap_or_default().trim_end();
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
        None if names_exception(before) => (before, text),
        None => return None,
    };
    let (kind, message) = named(line.trim_end());
    Some(Exception {
        kind: kind.trim_end_matches(':').to_owned(),
        message: (!message.is_empty()).then(|| message.to_owned()),
        stacktrace: Some(stacktrace.to_owned()),
    })
}

/// Where a text of several lines stands, for joining the log events of one report: runtimes that write plain text to stderr write
/// one log event for each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportState {
    /// A text that may precede a report.
    Text,
    Frames,
    /// Frames of a Python traceback, which ends with the line that names the exception.
    Traceback,
    /// After the line that names the exception. Only a chained traceback continues it.
    Named,
    /// After the words that announce a chained traceback.
    Chained,
    /// After the line with the location of a Rust panic. The message follows.
    Panic,
    /// The message of a panic. Its further lines are indented or close a bracket.
    PanicMessage,
    Backtrace,
    /// After the last line of a panic.
    PanicEnd,
    /// In a panic of Go, whose functions are not indented.
    GoPanic,
    /// In an uncaught exception of PHP.
    Php,
    /// In the message of such an exception, whose last line names the file.
    PhpMessage,
    /// After the file that Node names before an uncaught exception. Its source line follows.
    Source,
    /// After that source line.
    SourceMark,
    /// After the backtrace's first line of a logged exception of Ruby.
    RubyTrace,
    /// After the first line of a record of `java.util.logging`, which has the level in the second one.
    FirstOfTwo,
    /// After an uncaught exception's first line, with its frames, its source, and its properties.
    Uncaught,
    /// After the first line of a record of .NET's console, whose message is indented.
    Console,
    /// In color-eyre's report of a panic.
    Eyre,
}

impl ReportState {
    /// The state after a first log event; `None` if it begins no report. This is called for every line, so the first byte decides
    /// which beginnings are possible.
    pub fn begin(text: &str) -> Option<Self> {
        let (line, rest) = first_line(text);
        let first = line.trim_end();
        let state = match first.as_bytes().first() {
            Some(b'[') if first.contains("] PHP Fatal error: ") => Self::of_php(first),
            Some(b'{') => return None,
            Some(b'[') if text.trim_end().ends_with(']') && !rest.is_empty() => return None,
            _ if is_platform(text) => return None,
            None | Some(b't') if is_rust_panic(text) => return Some(Self::of_rust(text)),
            Some(b'p' | b'f') if begins(first, &["panic: ", "fatal error: "]) => Self::GoPanic,
            Some(b'P' | b'F') if begins(first, &PHP) => Self::of_php(first),
            Some(b'/' | b'f' | b'n') if is_node_source(first) => Self::Source,
            Some(b'A'..=b'Z') if is_first_of_two(first) => Self::FirstOfTwo,
            Some(b'E') if first.starts_with(THREAD) => Self::Uncaught,
            Some(b'U') if begins(first, &UNHANDLED) => Self::Uncaught,
            Some(b'T') if without_colours(first) == EYRE => Self::Eyre,
            Some(b'T' | b' ') if is_traceback(first) => Self::Traceback,
            _ if is_logged_panic(first) => Self::Panic,
            _ if first.ends_with(')') && ruby(first).is_some() => Self::Uncaught,
            _ if first.as_bytes().get(4) == Some(&b':') && is_console(first) => Self::Console,
            _ => Self::Text,
        };
        Some(state.after_lines(rest))
    }

    fn of_php(first: &str) -> Self {
        if first.contains("Uncaught ") && !first.contains(" in /") {
            Self::PhpMessage
        } else {
            Self::Php
        }
    }

    fn of_rust(text: &str) -> Self {
        let mut lines = text.trim().lines();
        let has_message = lines.next().is_some_and(|line| line.trim_end().ends_with(':'));
        let begin = if has_message { Self::Panic } else { Self::PanicMessage };
        lines.fold(begin, |state, line| state.after(line).unwrap_or(state))
    }

    /// The state after a log event; `None` if its first line is not part of the report. `before` is the text so far.
    pub fn after_event(self, before: &str, text: &str) -> Option<Self> {
        // Most lines begin with a time or are JSON, and a report's line does not.
        if self == Self::Text && text.starts_with(|c: char| c.is_ascii_digit() || c == '{') {
            return None;
        }
        let (first, rest) = first_line(text);
        // A traceback continues only the message of an error. A logger of Lambda writes both at once, and then the traceback has
        // no other message.
        let is_other = self == Self::Text
            && is_traceback(first)
            && (!rest.is_empty() || !states_error(before));
        if self == Self::Text
            && rest.is_empty()
            && names_what_was_logged(first)
            && states_error(before)
        {
            let is_ruby = is_ruby_place(first);
            return Some(if is_ruby { Self::RubyTrace } else { Self::Frames });
        }
        let state = self.after(first).filter(|_| !is_other)?;
        Some(state.after_lines(rest))
    }

    /// Returns `true` if the event may be a further line of the message that ends `before`. Only a stack trace after it shows that
    /// it is one, see [`Self::ends_message`].
    pub fn may_go_on(self, before: &str, text: &str) -> bool {
        let before = before.trim_end();
        let last = before.rsplit('\n').next().unwrap_or_default();
        let is_message = match self {
            Self::PanicMessage => true,
            Self::GoPanic => !before.contains("\ngoroutine "),
            Self::Uncaught | Self::Frames => !is_frame(last) || begins(last.trim_start(), &CAUSES),
            Self::Text => {
                before.len() == last.len() && names_java_type(last)
                    || before.len() <= MOST_LOGGED && may_name_type(text) && states_error(before)
            }
            _ => false,
        };
        is_message
            && Self::begin(text) == Some(Self::Text)
            && !names_java_type(text)
            && !has_head(text)
    }

    /// Returns `true` if the event begins the stack trace below a message.
    pub fn ends_message(text: &str) -> bool {
        ends_message(text)
    }

    fn after_lines(self, lines: &str) -> Self {
        lines.lines().fold(self, |state, line| state.after(line).unwrap_or(state))
    }

    /// The state after a line; `None` if the line is not part of the report.
    fn after(self, line: &str) -> Option<Self> {
        let is_indented = line.starts_with([' ', '\t']);
        let is_own = match self {
            Self::Panic | Self::PanicMessage | Self::Backtrace | Self::PanicEnd => {
                return self.after_in_panic(line);
            }
            Self::GoPanic => is_of_go(line),
            Self::Php => {
                begins(line, &["#", "Stack trace:", "Next "])
                    || line.trim().is_empty()
                    || line.contains("PHP  ")
            }
            Self::PhpMessage => {
                let is_last = file_of(line).and_then(|file| file.strip_suffix(".php")).is_some();
                let state = if is_last { Self::Php } else { self };
                return Some(state).filter(|_| !is_other(line) && !has_level(line));
            }
            Self::Source => {
                return Some(Self::SourceMark).filter(|_| !is_other(line) && !has_level(line));
            }
            Self::SourceMark if !line.is_empty() && is_thrown(line) => return Some(Self::Uncaught),
            Self::SourceMark => line.trim().is_empty() || line.starts_with('^'),
            Self::Uncaught => {
                line.trim().is_empty()
                    || is_frame(line)
                    || begins(line, &["}", "]", "Node.js v", "(Use `node "])
                    || ruby(line).is_some()
            }
            Self::RubyTrace => is_ruby_place(line),
            Self::FirstOfTwo => {
                let level = line.split_once(": ").map_or("", |(level, _)| level);
                let is_level = Severity::of_text(level, Evidence::AfterTime).is_some();
                return is_level.then_some(Self::Text);
            }
            Self::Console => line.starts_with("      "),
            Self::Eyre => line.trim().is_empty() || begins(line, &EYRE_LINES),
            _ => return self.after_in_trace(line),
        };
        (is_own || is_indented && !is_other(line)).then_some(self)
    }

    fn after_in_trace(self, line: &str) -> Option<Self> {
        let is_in_group = self == Self::Traceback && line.starts_with(' ');
        if is_traceback(line) && !is_in_group {
            // A second trace is another error, unless it was announced.
            return matches!(self, Self::Text | Self::Chained).then_some(Self::Traceback);
        }
        let is_blank = line.trim().is_empty();
        match self {
            // loguru marks the frame that caught the exception.
            Self::Traceback
                if is_blank || line.starts_with([' ', '\t']) || line.starts_with("> File ") =>
            {
                Some(self)
            }
            // The end of an exception group that is a cause.
            Self::Traceback if announces_another(line) => Some(Self::Chained),
            // Python's asyncio names the task before the traceback.
            Self::Text
                if begins(line, &["future: <", "handle: <", "task: <", "source_traceback: "]) =>
            {
                Some(self)
            }
            Self::Traceback if is_other(line) || !names_exception(line) => None,
            Self::Traceback => Some(Self::Named),
            Self::Named | Self::Chained if is_blank => Some(self),
            Self::Named if announces_another(line) => Some(Self::Chained),
            Self::Text | Self::Frames | Self::Named if is_frame(line) => Some(Self::Frames),
            // Node prints the properties of an error below its frames.
            Self::Frames if line.starts_with("  ") && !is_blank || line == "}" => Some(self),
            Self::Frames if begins(line, &EYRE_LINES) => Some(self),
            _ => None,
        }
    }

    /// Only the first panic of a process explains how to get a backtrace, so the message may be the last line.
    fn after_in_panic(self, line: &str) -> Option<Self> {
        let is_indented = line.starts_with([' ', '\t']);
        match self {
            _ if is_other(line) || is_rust_panic(line) => None,
            Self::Panic => Some(Self::PanicMessage),
            Self::PanicMessage if line.starts_with("note: run with `RUST_BACKTRACE=") => {
                Some(Self::PanicEnd)
            }
            Self::PanicMessage if line == "stack backtrace:" => Some(Self::Backtrace),
            Self::PanicMessage if is_indented || line.starts_with(['}', ')', ']']) => Some(self),
            Self::Backtrace if line.starts_with("note: ") => Some(Self::PanicEnd),
            Self::Backtrace if is_indented => Some(self),
            _ => None,
        }
    }
}

/// Returns `true` for the first line of a Python traceback. Python draws a frame around those of an exception group.
fn is_traceback(line: &str) -> bool {
    let text = line.trim_start_matches([' ', '|', '+']);
    text.strip_prefix("Exception Group ")
        .unwrap_or(text)
        .starts_with("Traceback (most recent call last):")
}

/// Returns `true` for the end of a Python traceback: the exception's dotted name, and usually its message.
pub(crate) fn names_exception(line: &str) -> bool {
    let before = line.split_once(": ").map_or(line, |(before, _)| before).trim_end();
    let name = before.strip_suffix(':').unwrap_or(before);
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '<' | '>');
    let last = name.rsplit('.').next().unwrap_or_default();
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(is_part)
        && (name.contains('.')
            || name.ends_with("error")
            || last.starts_with(|c: char| c.is_uppercase() || c == '_'))
}

/// Returns `true` for the text between two chained Python tracebacks.
fn announces_another(line: &str) -> bool {
    line.starts_with("During handling of the above exception")
        || line.starts_with("The above exception was the direct cause")
}

/// What Java, and Logback and Log4j with the root cause first, write before other exceptions of a stack trace.
const CAUSES: [&str; 3] = ["Caused by: ", "Suppressed: ", "Wrapped by: "];

/// Returns `true` for a frame of Java, Kotlin, Node, .NET, Ruby, Go or Rust.
pub(crate) fn is_frame(line: &str) -> bool {
    let trimmed = line.trim_start();
    let is_indented = trimmed.len() < line.len();
    if !is_indented {
        return begins(trimmed, &CAUSES) || begins(trimmed, &["--- End of ", "goroutine "]);
    }
    let words = ["at ", "from ", "--- End of ", "---> "];
    begins(trimmed, &words)
        || begins(trimmed, &CAUSES)
        || is_omission(trimmed)
        || is_numbered(trimmed)
        || is_go_file(trimmed)
}

/// `... 12 more`, `... 3 common frames omitted`
fn is_omission(line: &str) -> bool {
    line.strip_prefix("... ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// `12: core::panicking::panic`
fn is_numbered(line: &str) -> bool {
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    digits > 0 && digits <= 4 && line.get(digits..).is_some_and(|rest| rest.starts_with(": "))
}

/// `/src/main.go:12 +0x1d`
fn is_go_file(line: &str) -> bool {
    line.starts_with('/') && line.contains(".go:")
}

/// A line of Go's panic that is not indented: the signal, a goroutine, or a function, `main.handler({0x1, 0x2})`.
fn is_of_go(line: &str) -> bool {
    let is_function = || {
        let name = line.split_once('(').map(|(name, _)| name).filter(|_| line.ends_with(')'));
        name.is_some_and(|name| name == "panic" || name.contains('.') && !name.contains(' '))
    };
    let words = ["[signal ", "goroutine ", "created by ", "exit status ", "runtime stack:"];
    line.is_empty() || begins(line, &words) || is_function()
}

/// Returns `true` if the text is the message of an error: by its level, or by the words of one without a level.
fn states_error(text: &str) -> bool {
    const WORDS: [&str; 4] = ["rror", "xception", "ailed", "ERROR"];
    let severity = head(&without_colours(text), HeadOf::Line).severity;
    match severity {
        Some(severity) => severity.number >= Severity::ERROR.number,
        None => WORDS
            .iter()
            .any(|word| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some()),
    }
}

fn has_level(line: &str) -> bool {
    head(&without_colours(line), HeadOf::Line).severity.is_some()
}

fn has_head(line: &str) -> bool {
    let plain = without_colours(line);
    let head = head(&plain, HeadOf::Line);
    head.severity.is_some() || head.time.is_some()
}

/// Returns `true` for a line below the message of an error that begins its stack trace: Java's exception, or Ruby's first place.
fn names_what_was_logged(line: &str) -> bool {
    // This is asked for every line. A type has no blank, so the first word decides for nearly all.
    let word = line.split(' ').next().unwrap_or_default();
    let may_be_type = is_certain(word.strip_suffix(':').unwrap_or(word));
    may_be_type && names_java_type(line) || is_ruby_place(line) || names_causes(line)
}

/// Returns `true` for the words of Rust's `anyhow` and `snafu` before the causes of an error, one in each line.
fn names_causes(line: &str) -> bool {
    line.strip_suffix(':').is_some_and(|words| {
        words == "Caused by"
            || words == "Caused by this error"
            || words.starts_with("Caused by these errors")
    })
}

/// Returns `true` for a line that begins like the name of a type: only a stack trace below it shows that it is one.
fn may_name_type(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    match word.strip_suffix(':') {
        Some(name) => is_type(name),
        None => word.len() == line.len() && is_type(word),
    }
}

/// Returns `true` for a line that begins with the name of an exception and its package.
fn names_java_type(line: &str) -> bool {
    let (kind, _) = named(line);
    kind.contains('.') && is_certain(kind) && is_type(kind)
}

/// ``/var/task/app.rb:3:in `pay'``, without a message.
fn is_ruby_place(line: &str) -> bool {
    if !line.starts_with(['/', '<']) {
        return false;
    }
    let Some((place, _)) = line.split_once(":in ") else { return false };
    file_of(place).is_some() && ruby(line).is_none()
}

/// The first line of an uncaught exception of Node: `TypeError: no stock`, `[AggregateError: no stock] {`, `Uncaught:`.
fn is_thrown(line: &str) -> bool {
    let line = line.strip_prefix('[').unwrap_or(line);
    let (kind, _) = named(line);
    is_type(kind) || line.starts_with("Uncaught") || line.starts_with("Thrown at:")
}

/// `Nov 28, 2026 3:15:06 AM shop.Orders pay`
fn is_first_of_two(line: &str) -> bool {
    if line.as_bytes().get(3) != Some(&b' ') {
        return false;
    }
    let Some(stated) = stated_time(line).filter(|time| time.has_clock) else { return false };
    let (time, names) = line.split_at_checked(stated.bytes).unwrap_or_default();
    time.ends_with('M') && names.split_ascii_whitespace().count() == 2
}

/// `/var/task/index.js:3`, `node:internal/process/promises:389`
fn is_node_source(line: &str) -> bool {
    let Some(file) = file_of(line) else { return false };
    let is_script = [".js", ".mjs", ".cjs", ".ts"].iter().any(|end| file.ends_with(end));
    is_script && (file.starts_with('/') || file.starts_with("file:///"))
        || file.starts_with("node:internal/")
}

/// The first line of a record of .NET's console: `fail: Shop.Orders[0]`.
fn is_console(line: &str) -> bool {
    let Some((level, category)) = line.split_once(": ") else { return false };
    let is_category = category.strip_suffix(']').and_then(|category| category.rsplit_once('['));
    let is_level =
        level.len() == 4 && Severity::of_text(level, Evidence::AtStartWithColon).is_some();
    is_level && is_category.is_some_and(|(_, id)| id.parse::<i32>().is_ok())
}

/// Returns `true` if the line is certainly a separate record: a platform line, or JSON.
fn is_other(line: &str) -> bool {
    line.starts_with('{') || is_platform(line)
}
