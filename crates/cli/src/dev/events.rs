//! Events in a stream of JSON texts, each on one line or on several.

use serde::de::IgnoredAny;
use serde_json::Deserializer;

/// The largest event (AWS Lambda quotas: 6 MB).
const MAX_BYTES: usize = 6 * 1024 * 1024;

/// An event, or the reason why lines are none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Event(String),
    Wrong(String),
}

/// Reads events from lines.
#[derive(Default)]
pub(super) struct EventReader {
    /// The number of lines so far.
    count: usize,
    /// The lines of an incomplete event.
    lines: Vec<String>,
    bytes: usize,
    /// The number of open brackets in these lines.
    depth: usize,
    /// `true` after lines that are no event: the rest of their JSON may follow.
    is_behind_wrong: bool,
}

enum Parsed {
    Complete(Vec<String>),
    Incomplete,
    Wrong(serde_json::Error),
}

impl EventReader {
    /// Reads all events of a text.
    pub(super) fn of_text(text: &str) -> Vec<Read> {
        let mut events = Self::default();
        let mut read: Vec<Read> = text.lines().flat_map(|line| events.line(line)).collect();
        read.extend(events.end());
        read
    }

    /// Adds a line. Returns the events that end in it.
    pub(super) fn line(&mut self, line: &str) -> Vec<Read> {
        self.count += 1;
        let is_rest = line.starts_with([' ', '\t', '}', ']']);
        if self.lines.is_empty() && (line.trim().is_empty() || self.is_behind_wrong && is_rest) {
            return Vec::new();
        }
        self.is_behind_wrong = false;
        self.push(line.to_owned());
        // A parse at each power of two finds mistakes early, and all parses together cost little.
        let is_due = self.depth == 0 || self.lines.len().is_power_of_two();
        if self.bytes > MAX_BYTES {
            self.lines.clear();
            self.reset(Vec::new());
            self.is_behind_wrong = true;
            return vec![Read::Wrong(format!(
                "line {}: the event is larger than 6 MB",
                self.count
            ))];
        }
        if is_due { self.take(false) } else { Vec::new() }
    }

    /// Returns the rest at the end of the input.
    pub(super) fn end(&mut self) -> Vec<Read> {
        self.take(true)
    }

    fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.depth = depth_behind(&line, self.depth);
        self.lines.push(line);
    }

    fn take(&mut self, is_end: bool) -> Vec<Read> {
        let mut read = Vec::new();
        while !self.lines.is_empty() {
            let first = self.count + 1 - self.lines.len();
            let why = match parsed(&self.lines.join("\n")) {
                Parsed::Complete(events) => {
                    read.extend(events.into_iter().map(Read::Event));
                    self.reset(Vec::new());
                    return read;
                }
                Parsed::Incomplete if !is_end => return read,
                Parsed::Incomplete => "it has no end".to_owned(),
                Parsed::Wrong(error) => error.to_string(),
            };
            read.push(Read::Wrong(format!("line {first}: the event is not JSON: {why}")));
            let lines = std::mem::take(&mut self.lines);
            let is_rest =
                |line: &String| line.is_empty() || line.starts_with([' ', '\t', '}', ']']);
            self.reset(lines.into_iter().skip(1).skip_while(is_rest).collect());
            self.is_behind_wrong = true;
        }
        read
    }

    /// Begins again with these lines.
    fn reset(&mut self, lines: Vec<String>) {
        self.bytes = 0;
        self.depth = 0;
        self.lines = Vec::new();
        for line in lines {
            self.push(line);
        }
    }
}

/// Returns the number of open brackets behind a line. No text of JSON goes beyond its line.
fn depth_behind(line: &str, before: usize) -> usize {
    let mut depth = before;
    let mut is_text = false;
    let mut is_escaped = false;
    for byte in line.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => depth += 1,
            b'}' | b']' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth
}

fn parsed(text: &str) -> Parsed {
    let mut values = Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut events = Vec::new();
    loop {
        let start = values.byte_offset();
        match values.next() {
            None => return Parsed::Complete(events),
            Some(Ok(_)) => {
                let event = text.get(start..values.byte_offset()).unwrap_or_default();
                events.push(event.trim().to_owned());
            }
            Some(Err(error)) if error.is_eof() => return Parsed::Incomplete,
            Some(Err(error)) => return Parsed::Wrong(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let read = EventReader::of_text(text).into_iter().map(|read| match read {
            Read::Event(event) => event.replace(['\n', ' '], ""),
            Read::Wrong(why) => why,
        });
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn events_have_one_line_or_several() {
        check("{\"a\":1}\n\n{\"b\":2}\n", &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("{\n  \"a\": [\n    1\n  ]\n}\n{\n\"b\": \"}\" }", &[r#"{"a":[1]}"#, r#"{"b":"}"}"#]);
        check("{ \"a\": 1,\n  \"b\": 2,\n  \"c\": 3 }\n7", &[r#"{"a":1,"b":2,"c":3}"#, "7"]);
    }

    #[test]
    fn events_beside_a_wrong_one_are_read() {
        check(
            "{\"a\":1}\nnonsense\n{\"b\":2}",
            &[
                r#"{"a":1}"#,
                "line 2: the event is not JSON: expected ident at line 1 column 2",
                r#"{"b":2}"#,
            ],
        );
        check(
            "{\n  \"a\": oops,\n  \"b\": [\n    1\n  ]\n}\n{\"c\":3}",
            &["line 1: the event is not JSON: expected value at line 2 column 8", r#"{"c":3}"#],
        );
        check(
            "{\"a\":\n{\"b\":1}\n{\"c\":2}\n",
            &[
                "line 1: the event is not JSON: expected `,` or `}` at line 3 column 1",
                r#"{"b":1}"#,
                r#"{"c":2}"#,
            ],
        );
        check("{\"a\":1}\n{\n", &[r#"{"a":1}"#, "line 2: the event is not JSON: it has no end"]);
    }
}
