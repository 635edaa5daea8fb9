//! Reads the frames of a stack trace in the notation of each language.
//!
//! Source: the runtimes of .NET, Go, Java, Node, PHP, Python, Ruby and Rust, the frames that Lambda's runtimes print as JSON, and
//! X-Ray's documents.

use crate::read::begins;
use crate::read::fields::Fields;
use std::borrow::Cow;

/// A function, and its file if that says more. One of them may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'t> {
    pub(crate) function: Cow<'t, str>,
    pub(crate) file: Cow<'t, str>,
    /// `true` for code of a library or runtime, as far as name and file show it.
    is_library: bool,
}

impl<'t> Frame<'t> {
    fn new(function: &'t str, file: &'t str) -> Self {
        let is_library = is_library(function, file);
        Self { function: function.into(), file: file.into(), is_library }
    }
}

/// The number of frames that [`top_frames`] returns. The callers of these say more about the event than about the failure.
const MAX_FRAMES: usize = 5;

/// A longer line is no frame.
const MAX_LINE_BYTES: usize = 4096;

/// Returns the innermost frames of the function's own code, or those of libraries if there are no others.
pub(crate) fn top_frames(stacktrace: &str) -> Vec<Frame<'_>> {
    let mut chosen = Chosen::default();
    if is_innermost_last(stacktrace) {
        for line in stacktrace.lines().rev() {
            chosen.add(frame(line, ""));
            if chosen.is_complete() {
                break;
            }
        }
    } else {
        let mut before = "";
        let mut is_backtrace = false;
        for line in stacktrace.lines() {
            is_backtrace |= begins_backtrace(line);
            chosen.add(if is_backtrace { numbered_frame(line) } else { frame(line, before) });
            before = line;
            if chosen.is_complete() {
                break;
            }
        }
    }
    chosen.frames()
}

#[derive(Default)]
struct Chosen<'t> {
    own: Vec<Frame<'t>>,
    libraries: Vec<Frame<'t>>,
}

impl<'t> Chosen<'t> {
    fn add(&mut self, frame: Option<Frame<'t>>) {
        let Some(frame) = frame else { return };
        let frames = if frame.is_library { &mut self.libraries } else { &mut self.own };
        // The depth of a recursion may differ.
        if frames.len() < MAX_FRAMES && frames.last() != Some(&frame) {
            frames.push(frame);
        }
    }

    fn is_complete(&self) -> bool {
        self.own.len() == MAX_FRAMES
    }

    fn frames(self) -> Vec<Frame<'t>> {
        if self.own.is_empty() { self.libraries } else { self.own }
    }
}

/// Returns `true` for Python's order.
fn is_innermost_last(stacktrace: &str) -> bool {
    let contains = |text: &str| memchr::memmem::find(stacktrace.as_bytes(), text.as_bytes());
    contains("most recent call last").or_else(|| contains("  File \"")).is_some()
}

/// The words of Rust, anyhow and color-eyre above their numbered frames.
fn begins_backtrace(line: &str) -> bool {
    line.ends_with("tack backtrace:") || line.contains(" BACKTRACE ")
}

/// The frame of a line. Go's needs the line before.
fn frame<'t>(line: &'t str, before: &'t str) -> Option<Frame<'t>> {
    if line.len() > MAX_LINE_BYTES {
        return None;
    }
    // Python's groups, loguru and rich draw these next to frames.
    let line = line.trim_matches(|c: char| c.is_whitespace() || matches!(c, '|' | '>' | '│'));
    if let Some(rest) = line.strip_prefix("File \"") {
        return python_frame(rest);
    }
    if let Some(rest) = line.strip_prefix("at ") {
        return Some(at_frame(rest));
    }
    if let Some(rest) = line.strip_prefix("from ") {
        return ruby_frame(rest);
    }
    if let Some(rest) = line.strip_prefix('#') {
        return php_frame(rest);
    }
    if line.starts_with('{') {
        return json_frame(line);
    }
    // Every other frame has a place, with a line. Most lines that are no frame have none: the source code that Python prints.
    if !line.contains(':') {
        return None;
    }
    if let Some((_, place)) = line.split_once("panicked at ") {
        return panic_frame(place);
    }
    go_frame(line, before).or_else(|| ruby_frame(line)).or_else(|| place_frame(line))
}

/// `/var/task/app.py", line 3, in pay`
fn python_frame(rest: &str) -> Option<Frame<'_>> {
    let (file, rest) = rest.split_once('"')?;
    let function = rest.split_once(", in ").map_or("", |(_, function)| function);
    Some(Frame::new(function, file))
}

/// `shop.Orders.place(Orders.java:12)`, `async pay (file:///var/task/index.mjs:3:9)`, `/var/task/index.js:3:9`,
/// `Shop.Orders.Pay(Int32 id) in /src/Orders.cs:line 7`, `pay(app.py: 7)`
fn at_frame(rest: &str) -> Frame<'_> {
    let rest = rest.strip_prefix("async ").unwrap_or(rest);
    let Some((function, inside)) = rest.split_once(" (").or_else(|| rest.split_once('(')) else {
        return match file_of(rest) {
            Some(file) => Frame::new("", file),
            None => Frame::new(rest.split(' ').next().unwrap_or_default(), ""),
        };
    };
    let inside = inside.split(')').next().unwrap_or_default();
    let of_xray = || inside.split_once(": ").map(|(file, _)| file);
    let file = file_of(inside).or_else(of_xray).unwrap_or_default();
    // Node's own functions.
    let is_native = inside == "<anonymous>";
    let frame = Frame::new(function, file);
    Frame { is_library: is_native || frame.is_library, ..frame }
}

/// ``/var/task/app.rb:3:in `pay'``. rich writes ` in pay`.
fn ruby_frame(line: &str) -> Option<Frame<'_>> {
    let (place, quoted) = line.split_once(":in ").or_else(|| line.split_once(" in "))?;
    let unquoted = quoted.trim_start_matches(['`', '\'']);
    let function = unquoted.split('\'').next().unwrap_or_default();
    Some(Frame::new(function, file_of(place)?))
}

/// `0 /var/task/index.php(12): Shop\Orders->pay(Object(Order), 17)`
fn php_frame(rest: &str) -> Option<Frame<'_>> {
    let (number, rest) = rest.split_once(' ')?;
    number.parse::<u32>().ok()?;
    let (place, call) = rest.split_once(": ")?;
    let file = place.rsplit_once('(').map_or("", |(file, _)| file);
    Some(Frame::new(call.split('(').next().unwrap_or_default(), file))
}

/// `{"path":"shop/main.go","line":3,"label":"(*T).pay"}`
fn json_frame(line: &str) -> Option<Frame<'_>> {
    const FUNCTIONS: [&str; 6] = ["label", "method", "methodName", "function", "func", "name"];
    const FILES: [&str; 6] = ["path", "class", "className", "file", "fileName", "filename"];
    let fields = Fields::of(line)?;
    let first = |keys: &[&str]| keys.iter().find_map(|key| fields.text(key));
    let function = first(&FUNCTIONS).unwrap_or_default();
    let file = first(&FILES).unwrap_or_default();
    // A class has the name of its package, and a file of Go the path of its.
    let is_library = is_library(&function, &file) || begins(&file, &LIBRARY_NAMES);
    let is_known = !function.is_empty() || !file.is_empty();
    is_known.then_some(Frame { function, file, is_library })
}

/// `src/main.rs:2:5:`, and from old versions `'no stock', src/main.rs:2:5`
fn panic_frame(text: &str) -> Option<Frame<'_>> {
    let text = text.trim_end_matches(':');
    let place = text.rsplit_once(", ").map_or(text, |(_, place)| place);
    file_of(place).map(|file| Frame::new("", file))
}

/// `/src/main.go:12 +0x1d` below `main.(*Shop).pay(0xc000012345, 0x1)`. The name has the package, so that the file adds nothing:
/// it is the path of the machine that compiled it.
fn go_frame<'t>(line: &'t str, before: &'t str) -> Option<Frame<'t>> {
    let (path, _) = line.split_once(".go:")?;
    let before = before.trim();
    let creator = before.strip_prefix("created by ").unwrap_or(before);
    let call = creator.split(" in goroutine ").next().unwrap_or_default();
    let function = match call.strip_suffix(')').and_then(|name| name.rsplit_once('(')) {
        Some((name, _)) => name,
        None => call,
    };
    let is_known = !function.is_empty() && !function.contains(' ');
    is_known.then(|| Frame { is_library: is_library(function, path), ..Frame::new(function, "") })
}

/// `  12: shop::pay::h0123456789abcdef`
fn numbered_frame(line: &str) -> Option<Frame<'_>> {
    let (number, function) = line.trim_start().split_once(": ")?;
    number.parse::<u32>().ok()?;
    let name = function.rsplit_once(" - ").map_or(function, |(_, name)| name).trim();
    let is_hash = |end: &str| end.len() == 17 && end.starts_with('h');
    let plain = name.rsplit_once("::").filter(|(_, end)| is_hash(end));
    Some(Frame::new(plain.map_or(name, |(name, _)| name), ""))
}

/// `/app/b.php:4`
fn place_frame(line: &str) -> Option<Frame<'_>> {
    file_of(line).filter(|file| file.contains(['/', '\\'])).map(|file| Frame::new("", file))
}

/// The file of a place, without its line and column.
fn file_of(place: &str) -> Option<&str> {
    let (before, number) = place.rsplit_once(':')?;
    number.parse::<u32>().ok()?;
    let is_line = |(_, line): &(&str, &str)| line.parse::<u32>().is_ok();
    let before_column = before.rsplit_once(':').filter(is_line);
    let file = before_column.map_or(before, |(file, _)| file);
    (file.contains(['.', '/']) && !file.contains(char::is_whitespace)).then_some(file)
}

/// Parts of the paths of libraries, of layers, and of runtimes. [`has_library_path`] knows their first characters.
const LIBRARY_PATHS: [&str; 17] = [
    "/site-packages/",
    "/dist-packages/",
    "/node_modules/",
    "/gems/",
    "/vendor/",
    "/pkg/mod/",
    "/.cargo/",
    "/rustc/",
    "/opt/",
    "/var/lang/",
    "/var/runtime/",
    "/usr/lib/",
    "/usr/local/",
    "/lib/python",
    "<frozen ",
    "<internal:",
    "node:",
];

/// The beginnings of the names of functions in libraries and runtimes.
const LIBRARY_NAMES: [&str; 40] = [
    "java.",
    "java/",
    "javax.",
    "jakarta.",
    "jdk.",
    "sun.",
    "com.sun.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "com.amazonaws.",
    "software.amazon.",
    "org.springframework.",
    "org.apache.",
    "org.hibernate.",
    "io.netty.",
    "reactor.",
    "System.",
    "Microsoft.",
    "Amazon.",
    "lambda_method",
    "runtime.",
    "runtime/",
    "panic",
    "net/http.",
    "reflect.",
    "github.com/aws/",
    "core::",
    "<core::",
    "std::",
    "<std::",
    "alloc::",
    "<alloc::",
    "tokio::",
    "<tokio::",
    "lambda_runtime::",
    "tower::",
    "hyper::",
    "rust_begin_unwind",
    "__rust",
];

fn is_library(function: &str, file: &str) -> bool {
    // A module of Java precedes the name: `java.base/java.util.Objects.requireNonNull`.
    begins(function, &LIBRARY_NAMES) || has_library_path(file)
}

/// Looks for all parts in one pass, which takes a tenth of the instructions of a search for each.
fn has_library_path(file: &str) -> bool {
    let mut starts = memchr::memchr3_iter(b'/', b'<', b'n', file.as_bytes());
    starts.any(|at| file.get(at..).is_some_and(|rest| begins(rest, &LIBRARY_PATHS)))
}
