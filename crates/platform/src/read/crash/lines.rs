//! Recognizes single lines of the texts that runtimes print when a program fails.

use crate::read::begins;
use crate::read::runtime_text::is_place;

pub(super) const JAVA_THREAD: &str = "Exception in thread \"";
pub(super) const DOTNET_UNHANDLED: [&str; 2] = ["Unhandled exception. ", "Unhandled Exception: "];
pub(super) const CPP: &str = "terminate called after throwing an instance of '";
/// The first line of Python's traceback. rich draws a box around it, without a colon.
pub(super) const TRACEBACK: &str = "Traceback (most recent call last)";
/// The first line of color-eyre's report of a panic.
pub(super) const EYRE_PANIC: &str = "The application panicked (crashed).";

/// The words before other exceptions of a stack trace, of Java, and of Logback and Log4j with the root cause first.
pub(super) const CAUSES: [&str; 3] = ["Caused by: ", "Suppressed: ", "Wrapped by: "];

/// The first line and the text after it.
pub(super) fn first_line(text: &str) -> (&str, &str) {
    // Faster than a search for a character.
    let end = memchr::memchr(b'\n', text.as_bytes()).unwrap_or(text.len());
    let (line, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (line, rest.get(1..).unwrap_or_default())
}

/// The type and the message of an exception, as a line names them.
#[derive(Clone, Copy)]
pub(crate) struct NamedException<'t> {
    pub(crate) kind: &'t str,
    /// Empty if the line has none.
    pub(crate) message: &'t str,
}

impl<'t> NamedException<'t> {
    pub(super) fn panic(message: &'t str) -> Self {
        Self { kind: "panic", message }
    }

    /// Splits `java.lang.IllegalStateException: no stock`. Node puts a code after the type: `Error [ERR_X]: no stock`.
    pub(crate) fn split(text: &'t str) -> Self {
        let (with_code, with_inner) = text.split_once(": ").unwrap_or((text, ""));
        // .NET Framework and Mono write all inner exceptions into the first line.
        let message = with_inner.split_once(" ---> ").map_or(with_inner, |(message, _)| message);
        let kind = with_code.split_once(" [").map_or(with_code, |(kind, _)| kind);
        Self { kind, message }
    }
}

/// Returns `true` for the name of an exception's type.
pub(crate) fn is_type(name: &str) -> bool {
    let is_part =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '$' | '\\' | '<' | '>');
    let last = name.rsplit(['.', ':', '$', '\\']).next().unwrap_or_default();
    let is_balanced = name.matches('<').count() == name.matches('>').count();
    name.chars().all(is_part)
        && is_balanced
        && name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '\\'))
        && last.starts_with(|c: char| c.is_uppercase())
}

/// Returns `true` for the name of a type that is certainly an exception's, and no other word with a capital.
pub(super) fn is_certain(kind: &str) -> bool {
    ["Error", "Exception", "Throwable", "Fault"].iter().any(|end| kind.ends_with(end))
}

/// Returns `true` for the name of a class that no word of a language is: a capital within it, or a package.
pub(super) fn is_class(kind: &str) -> bool {
    let is_inner_capital = |pair: &[u8]| matches!(pair, [b'a'..=b'z', b'A'..=b'Z']);
    kind.contains(['.', '$', ':', '\\']) || kind.as_bytes().windows(2).any(is_inner_capital)
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

/// Returns `true` for a line that begins with the name of an exception and its package.
pub(super) fn names_java_type(line: &str) -> bool {
    // This is asked for every line. A type has no blank, so the first word decides for nearly all.
    let word = line.split(' ').next().unwrap_or_default();
    if !is_certain(word.strip_suffix(':').unwrap_or(word)) {
        return false;
    }
    let NamedException { kind, .. } = NamedException::split(line);
    kind.contains('.') && is_certain(kind) && is_type(kind)
}

/// The file of a place in the code: `/var/task/app.rb` of `/var/task/app.rb:3`.
pub(super) fn file_of(place: &str) -> Option<&str> {
    let (file, line) = place.rsplit_once(':')?;
    line.parse::<u32>().is_ok().then_some(file)
}

/// `/var/task/app.rb:3:in 'handler': no stock (Shop::Error)`
pub(super) fn ruby_exception(line: &str) -> Option<NamedException<'_>> {
    let (place, rest) = line.split_once(":in ")?;
    let (_, message_and_kind) = rest.split_once(": ")?;
    let (message, kind) = message_and_kind.strip_suffix(')')?.rsplit_once(" (")?;
    let is_exception = file_of(place).is_some() && is_type(kind);
    is_exception.then_some(NamedException { kind, message })
}

/// `no stock (Shop::Error)`, above the backtrace.
pub(super) fn message_and_type(line: &str) -> Option<NamedException<'_>> {
    let (message, kind) = line.strip_suffix(')')?.rsplit_once(" (")?;
    is_type(kind).then_some(NamedException { kind, message })
}

/// ``/var/task/app.rb:3:in `pay'`` or ``config.ru:2:in `call'``, without a message.
pub(super) fn is_ruby_place(line: &str) -> bool {
    let Some((first, _)) = line.split_once(' ') else { return false };
    let Some(file) = first.strip_suffix(":in").and_then(file_of) else { return false };
    let is_script =
        file.starts_with(['/', '<']) || [".rb", ".ru"].iter().any(|end| file.ends_with(end));
    is_script && ruby_exception(line).is_none()
}

/// Returns `true` for a line that ends with the place of a panic, whose message follows.
pub(super) fn is_logged_panic(line: &str) -> bool {
    let Some(line) = line.strip_suffix(':') else { return false };
    line.rsplit_once("panicked at ").is_some_and(|(_, place)| is_place(place))
}

/// Returns `true` for the line after a message: a frame, or what Rust and Go print before theirs.
pub(super) fn begins_trace(line: &str) -> bool {
    is_frame(line)
        || is_go_file(line)
        || begins(line, &["stack backtrace:", "note: ", "[signal ", "Stack trace:"])
}

/// Returns `true` for a frame of Java, Kotlin, Node, .NET, Ruby, Go or Rust.
pub(crate) fn is_frame(line: &str) -> bool {
    let trimmed = line.trim_start();
    let is_indented = trimmed.len() < line.len();
    if !is_indented {
        return begins(trimmed, &CAUSES) || begins(trimmed, &["--- End of ", "goroutine "]);
    }
    // Youch draws a bullet.
    let words = ["at ", "from ", "--- End of ", "---> ", "⁃ at "];
    begins(trimmed, &words)
        || begins(trimmed, &CAUSES)
        || is_omission(trimmed)
        || is_numbered(trimmed)
        || is_go_file(trimmed)
        || is_ruby_place(trimmed)
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

/// `/src/main.go:12 +0x1d`, `shop/main.go:12 (0x4907dd)`
pub(super) fn is_go_file(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    let extension = file_of(word).and_then(|file| file.rsplit_once('.'));
    extension.is_some_and(|(_, extension)| matches!(extension, "go" | "s"))
}

/// `main.lookup`, `net/http.(*conn).serve`: the name of a function, above its file.
pub(super) fn is_go_function(line: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_./()*-{}[]".contains(&byte);
    line.contains('.')
        && line.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && line.bytes().all(is_part)
}
