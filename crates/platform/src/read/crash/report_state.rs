//! Joins the log events of one report: runtimes that write plain text to stderr write one log event for each line.

use super::lines::{
    CAUSES, CPP, DOTNET_UNHANDLED, EYRE_PANIC, JAVA_THREAD, NamedException, TRACEBACK,
    begins_trace, file_of, first_line, is_frame, is_go_file, is_go_function, is_logged_panic,
    is_ruby_place, is_type, message_and_type, names_exception, names_java_type, ruby_exception,
};
use crate::read::begins;
use crate::read::head::{HeadOf, head};
use crate::read::runtime_text::is_rust_panic;
use crate::read::severity::{LevelWordSet, Severity, without_colours};
use crate::read::text::is_platform;
use crate::read::time::stated_time;

const PHP_ERRORS: [&str; 2] = ["PHP Fatal error: ", "Fatal error: Uncaught "];

/// The end of a text of several lines, which decides about the line that may continue it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportState {
    /// A text that may precede a report.
    Text,
    /// In the indented lines below a logged problem.
    Continued,
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
    /// In an object of which each line is a log event.
    Object,
    /// After its last line.
    ObjectEnd,
}

/// Maximum size of a logger's line above a stack trace. It is read again for each line that may name an exception.
const MAX_LOGGED: usize = 4096;

/// The beginnings of color-eyre's lines below the causes of an error, and in its reports of panics.
const EYRE_LINES: [&str; 5] = [
    "Message: ",
    "Location:",
    "Backtrace omitted.",
    "Run with RUST_BACKTRACE=",
    "Run with COLORBT_",
];

impl ReportState {
    /// The state after a first log event; `None` if nothing can continue it. This is called for every line, so the first byte decides
    /// which beginnings are possible.
    pub fn begin(text: &str) -> Option<Self> {
        let (line, rest) = first_line(text);
        let first = line.trim_end();
        let state = match first.as_bytes().first() {
            Some(b'[') if first.contains("] PHP Fatal error: ") => Self::of_php(first),
            Some(b'{') => return (first == "{").then(|| Self::Object.after_lines(rest)),
            Some(b'[') if text.trim_end().ends_with(']') && !rest.is_empty() => return None,
            _ if is_platform(text) => return None,
            None | Some(b't') if is_rust_panic(text) => return Some(Self::of_rust(text)),
            Some(b'p' | b'f') if begins(first, &["panic: ", "fatal error: "]) => Self::GoPanic,
            Some(b'P' | b'F') if begins(first, &PHP_ERRORS) => Self::of_php(first),
            Some(b'/' | b'f' | b'n') if is_node_source(first) => Self::Source,
            Some(b'A'..=b'Z') if is_first_of_two(first) => Self::FirstOfTwo,
            Some(b'E') if first.starts_with(JAVA_THREAD) => Self::Uncaught,
            Some(b'U') if begins(first, &DOTNET_UNHANDLED) => Self::Uncaught,
            Some(b't') if first.starts_with(CPP) => Self::Uncaught,
            Some(b'T') if without_colours(first) == EYRE_PANIC => Self::Eyre,
            Some(b'T' | b' ' | b'\t' | 0x1b | 128..) if is_traceback(first) => Self::Traceback,
            // After a logger's head and message.
            _ if first.strip_suffix(':').is_some_and(|text| text.ends_with(TRACEBACK)) => {
                Self::Traceback
            }
            _ if is_logged_panic(first) => Self::Panic,
            _ if first.ends_with("panic recovered:") => Self::GoPanic,
            _ if names_php_object(first) => Self::Php,
            _ if first.ends_with(')') && ruby_exception(first).is_some() => Self::Uncaught,
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

    /// The state after the line below a logged problem that begins its stack trace, or continues its message.
    fn below_problem(line: &str) -> Option<Self> {
        match line.trim_end() {
            place if is_ruby_place(place) => Some(Self::RubyTrace),
            "Stack trace:" => Some(Self::Php),
            line if names_java_type(line)
                || names_causes(line)
                || announces_trace(line)
                || is_go_file(line) =>
            {
                Some(Self::Frames)
            }
            line if is_traceback(line) || is_frame(line) => None,
            text if !text.is_empty() && line.starts_with([' ', '\t']) => Some(Self::Continued),
            _ => None,
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
        // A traceback continues only the message of a problem. A logger of Lambda writes both at once, and then the traceback has
        // no other message.
        let is_another_traceback = self == Self::Text
            && is_traceback(first)
            && (!rest.is_empty() || !states_problem(before));
        if self == Self::Text
            && rest.is_empty()
            && let Some(below) = Self::below_problem(first)
            && states_problem(before)
        {
            return Some(below);
        }
        let state = self.after(first).filter(|_| !is_another_traceback)?;
        Some(state.after_lines(rest))
    }

    /// Returns `true` if the event may be a further line of the message that ends `before`. Only a stack trace after it shows that
    /// it is one, see [`Self::begins_trace`].
    pub fn may_go_on(self, before: &str, text: &str) -> bool {
        let before = before.trim_end();
        let is_message = match self {
            Self::PanicMessage => true,
            Self::GoPanic => !before.contains("\ngoroutine "),
            Self::Uncaught | Self::Frames => {
                let last = before.rsplit('\n').next().unwrap_or_default();
                !is_frame(last)
                    || begins(last.trim_start(), &CAUSES)
                    || is_go_file(last.trim_start()) && is_go_function(text)
            }
            Self::Text => {
                names_java_type(before) && !before.contains('\n')
                    || before.len() <= MAX_LOGGED && may_name_type(text) && states_problem(before)
            }
            _ => false,
        };
        is_message
            && Self::begin(text) == Some(Self::Text)
            && !names_java_type(text)
            && !has_head(text)
    }

    /// Returns `true` if the event begins the stack trace below a message.
    pub fn begins_trace(text: &str) -> bool {
        begins_trace(text)
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
                begins(
                    line,
                    &["#", "Stack trace:", "Next ", "[stacktrace]", "[previous exception]", "\"}"],
                ) || line.trim().is_empty()
                    || line.contains("PHP  ")
            }
            Self::PhpMessage => {
                let is_last = file_of(line).and_then(|file| file.strip_suffix(".php")).is_some();
                let state = if is_last { Self::Php } else { self };
                return Some(state).filter(|_| !is_separate_record(line) && !has_level(line));
            }
            Self::Source => {
                return Some(Self::SourceMark)
                    .filter(|_| !is_separate_record(line) && !has_level(line));
            }
            Self::SourceMark if !line.is_empty() && is_thrown(line) => return Some(Self::Uncaught),
            Self::SourceMark => line.trim().is_empty() || line.starts_with('^'),
            Self::Uncaught => {
                line.trim().is_empty()
                    || is_frame(line)
                    || begins(line, &["}", "]", "Node.js v", "(Use `node "])
                    || ruby_exception(line).is_some()
            }
            Self::RubyTrace => is_ruby_place(line),
            Self::Continued if is_traceback(line) || is_frame(line) => {
                return Self::Text.after_in_trace(line);
            }
            Self::Continued => line.trim().is_empty(),
            Self::FirstOfTwo => {
                let level = line.split_once(": ").map_or("", |(level, _)| level);
                let is_level = Severity::of_text(level, LevelWordSet::Upper).is_some();
                return is_level.then_some(Self::Text);
            }
            Self::Console => line.starts_with("      "),
            Self::Object => {
                let is_end = line == "}";
                let state = if is_end { Self::ObjectEnd } else { self };
                return Some(state).filter(|_| is_end || is_indented);
            }
            Self::ObjectEnd => return None,
            Self::Eyre => line.trim().is_empty() || begins(line, &EYRE_LINES),
            _ => return self.after_in_trace(line),
        };
        (is_own || is_indented && !is_separate_record(line)).then_some(self)
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
                if is_blank
                    || line.starts_with([' ', '\t', '│', '╰'])
                    || line.starts_with("> File ") =>
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
            Self::Traceback if is_separate_record(line) || !names_exception(line) => None,
            Self::Traceback => Some(Self::Named),
            Self::Named | Self::Chained if is_blank => Some(self),
            Self::Named if announces_another(line) => Some(Self::Chained),
            Self::Text | Self::Frames | Self::Named if is_frame(line) => Some(Self::Frames),
            Self::Frames if is_go_file(line) => Some(self),
            // Node prints the properties of an error below its frames.
            Self::Frames if begins(line, &["  ", "\t", "}"]) && !is_blank => Some(self),
            Self::Frames if begins(line, &EYRE_LINES) => Some(self),
            _ => None,
        }
    }

    /// Only the first panic of a process explains how to get a backtrace, so the message may be the last line.
    fn after_in_panic(self, line: &str) -> Option<Self> {
        let is_indented = line.starts_with([' ', '\t']);
        match self {
            _ if is_separate_record(line) || is_rust_panic(line) => None,
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
    match line.as_bytes().first() {
        Some(b'T') => return line.starts_with(TRACEBACK),
        // Of a group, or in a box.
        Some(b' ' | b'\t' | b'E' | b'|' | b'+' | 0x1b | 128..) => {}
        _ => return false,
    }
    let plain = without_colours(line);
    let text = plain.trim_start_matches([' ', '\t', '|', '+', '│', '╭', '─']);
    text.strip_prefix("Exception Group ").unwrap_or(text).starts_with(TRACEBACK)
}

/// Returns `true` for a record of Monolog with an exception, whose stack trace Laravel writes below it.
fn names_php_object(line: &str) -> bool {
    line.ends_with(')') && memchr::memmem::find(line.as_bytes(), b":\"[object] (").is_some()
}

/// Returns `true` for the text between two chained Python tracebacks.
fn announces_another(line: &str) -> bool {
    line.starts_with("During handling of the above exception")
        || line.starts_with("The above exception was the direct cause")
}

/// A line of Go's panic that is not indented: the signal, a goroutine, or a function, `main.handler({0x1, 0x2})`.
fn is_of_go(line: &str) -> bool {
    let is_function = || {
        let name = line.split_once('(').map(|(name, _)| name).filter(|_| line.ends_with(')'));
        name.is_some_and(|name| name == "panic" || name.contains('.') && !name.contains(' '))
    };
    let words = ["[signal ", "goroutine ", "created by ", "exit status ", "runtime stack:"];
    let is_file = || line.starts_with('/') && line.contains(".go:");
    is_file() || line.is_empty() || begins(line, &words) || is_function()
}

/// Returns `true` if the text is the message of an error or a warning: by its level, or by the words of an error without a level.
fn states_problem(text: &str) -> bool {
    const WORDS: [&str; 4] = ["rror", "xception", "ailed", "ERROR"];
    let severity = head(&without_colours(text), HeadOf::Line).severity;
    match severity {
        Some(severity) => severity.number >= Severity::WARN.number,
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

/// Returns `true` for the line above the frames of C++, Go, Lua and others: `stack traceback:`, `*** Check failure stack trace: ***`.
fn announces_trace(line: &str) -> bool {
    const WORDS: [&str; 4] = ["stack trace", "Stack trace", "stack traceback", "Backtrace"];
    let text = line.trim_matches([' ', '*']);
    text.strip_suffix(':').is_some_and(|text| WORDS.iter().any(|words| text.ends_with(words)))
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
    if line.ends_with(')') && message_and_type(line).is_some() || is_go_function(line) {
        return true;
    }
    let line = line.trim_ascii_start();
    let word = line.split(' ').next().unwrap_or_default();
    match word.strip_suffix(':') {
        Some(name) => is_type(name),
        None => word.len() == line.len() && is_type(word),
    }
}

/// The first line of an uncaught exception of Node: `TypeError: no stock`, `[AggregateError: no stock] {`, `Uncaught:`.
fn is_thrown(line: &str) -> bool {
    let line = line.strip_prefix('[').unwrap_or(line);
    is_type(NamedException::split(line).kind)
        || line.starts_with("Uncaught")
        || line.starts_with("Thrown at:")
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
        level.len() == 4 && Severity::of_text(level, LevelWordSet::UsualIfCapitalised).is_some();
    is_level && is_category.is_some_and(|(_, id)| id.parse::<i32>().is_ok())
}

/// Returns `true` if the line is certainly a separate record: a platform line, or JSON.
fn is_separate_record(line: &str) -> bool {
    line.starts_with('{') || is_platform(line)
}
