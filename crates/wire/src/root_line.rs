//! The root line: names the root span of an invocation as it begins, on a managed instance.
//!
//! A managed instance runs many invocations at a time, so that most events of a subscription begin and end within some of them.
//! The OTLP line with an invocation's spans comes at its end, perhaps in a later event than its printed lines. The root line
//! comes before them, so that lines before and after the boundary of two events get their trace. `docs/line-format.md` specifies
//! it.

use crate::ids::{id, to_hex};
use crate::timestamp;

/// The beginning of a root line. The marker is the first and only key, or `timestamp` and `level` follow.
const HEAD: &str = "{\"_root\":\"";

/// The longest request id. Lambda's have 36 bytes.
const REQUEST_ID_BYTES: usize = 64;

/// The sizes of a line with Lambda's request id, without its newline: plain, and with levels of 4 and 5 letters.
const SIZES: [usize; 3] = [98, 152, 153];

/// The content of a root line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootLine<'a> {
    pub request_id: &'a str,
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
}

impl<'a> RootLine<'a> {
    /// Writes the line with its newline; `None` for a request id that Lambda never creates. `level` is the application log level.
    ///
    /// Lambda takes a line without a level as INFO. Only with a higher level does the line need `timestamp` and `level`, which are
    /// longer than a third of it.
    pub fn write(&self, level: Option<&str>, unix_nanos: u64) -> Option<String> {
        let Self { request_id, trace_id, span_id } = self;
        if !is_request_id(request_id) {
            return None;
        }
        let trace_id = to_hex(trace_id);
        let span_id = to_hex(span_id);
        let level = level.filter(|level| is_above_info(level)).map(|level| {
            let time = timestamp::rfc3339_millis(unix_nanos);
            format!(",\"timestamp\":\"{time}\",\"level\":\"{level}\"")
        });
        let level = level.unwrap_or_default();
        Some(format!("{HEAD}{request_id} {trace_id} {span_id}\"{level}}}\n"))
    }

    /// Reads a log event; `None` unless it is a root line.
    #[inline]
    pub fn read(text: &'a str) -> Option<Self> {
        Self::read_content(text.strip_prefix(HEAD)?)
    }

    /// Reads a root line and the text before it. Some runtimes print a text and its newline in two writes, between which another
    /// process may write a line: Python's client does on a managed instance.
    #[inline]
    pub fn read_last(text: &'a str) -> Option<(&'a str, Self)> {
        let text = text.trim_ascii_end();
        if !text.ends_with("\"}") {
            return None;
        }
        SIZES.into_iter().find_map(|size| {
            let (before, line) = text.split_at_checked(text.len().checked_sub(size)?)?;
            Some((before, Self::read(line)?))
        })
    }

    fn read_content(text: &'a str) -> Option<Self> {
        let (content, rest) = text.split_once('"')?;
        let rest = rest.trim_end().strip_suffix('}')?;
        if !rest.is_empty() && !rest.starts_with(",\"timestamp\":\"") {
            return None;
        }
        let mut words = content.split(' ');
        let request_id = words.next().filter(|id| is_request_id(id))?;
        let trace_id = id(words.next()?)?;
        let span_id = id(words.next()?)?;
        let is_end = words.next().is_none();
        is_end.then_some(Self { request_id, trace_id, span_id })
    }
}

fn is_request_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.len() <= REQUEST_ID_BYTES && text.bytes().all(is_plain)
}

fn is_above_info(level: &str) -> bool {
    ["WARN", "ERROR", "FATAL"].iter().any(|above| level.eq_ignore_ascii_case(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: RootLine<'static> = RootLine {
        request_id: "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11",
        trace_id: [0x5b; 16],
        span_id: [0x0a; 8],
    };

    #[test]
    fn a_root_line_is_read_as_written() {
        let plain = r#"{"_root":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b 0a0a0a0a0a0a0a0a"}"#;
        let with_level =
            plain.replace('}', r#","timestamp":"2026-09-21T14:13:20.000Z","level":"WARN"}"#);
        let time = 1_790_000_000_000_000_000;
        for (level, expected) in [
            (None, plain),
            (Some("INFO"), plain),
            (Some("debug"), plain),
            (Some("WARN"), with_level.as_str()),
        ] {
            let line = LINE.write(level, time).unwrap();
            assert_eq!(line.strip_suffix('\n'), Some(expected), "{level:?}");
            assert_eq!(RootLine::read(&line), Some(LINE), "{level:?}");
        }
        assert_eq!(RootLine { request_id: "a b", ..LINE }.write(None, time), None);
    }

    #[test]
    fn a_root_line_behind_other_text_is_read() {
        for level in [None, Some("WARN"), Some("ERROR"), Some("FATAL")] {
            let line = LINE.write(level, 1_790_000_000_000_000_000).unwrap();
            for before in ["", "printed", "höher", "{\"a\":\"b\"}"] {
                let text = format!("{before}{line}");
                assert_eq!(RootLine::read_last(&text), Some((before, LINE)), "{text}");
            }
            let cut_off = line.strip_prefix('{').unwrap_or_default().to_owned();
            for other in [format!("{line}x"), line.replace("_root", "_groot"), cut_off] {
                assert_eq!(RootLine::read_last(&other), None, "{other}");
            }
        }
        for short in ["", "\"}", "ü\"}", "printed"] {
            assert_eq!(RootLine::read_last(short), None);
        }
    }

    #[test]
    fn other_text_is_no_root_line() {
        let line = LINE.write(None, 0).unwrap();
        for other in [
            format!(" {line}"),
            line.replace("_root", "root"),
            line.replace("0a0a", "0a"),
            line.replace("5b5b", "xyzw"),
            line.replace("0a\"", "0a more\""),
            line.replace('}', ",\"user\":1}"),
            line.replace('}', ""),
            line.replace("8f507cfc", "8f507cfc?"),
            line.replace(LINE.request_id, ""),
            line.replace(LINE.request_id, &"a".repeat(65)),
            line.replace("0a", "00"),
        ] {
            assert_eq!(RootLine::read(&other), None, "{other}");
        }
    }
}
