//! Events in a stream of JSON texts, each on one line or on several.

use serde::de::IgnoredAny;
use serde_json::Deserializer;

/// The largest event (AWS Lambda quotas: 6 MB).
const MAX_BYTES: usize = 6 * 1024 * 1024;

/// The result of reading lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EventReading {
    Event(String),
    /// The reason why the lines are no event.
    Invalid(String),
}

/// Reads events from lines.
#[derive(Default)]
pub(super) struct EventReader {
    /// The number of lines so far.
    line_count: usize,
    /// The lines of an incomplete event.
    lines: Vec<String>,
    /// Their bytes.
    bytes: usize,
    /// The number of their open brackets.
    depth: usize,
    /// `true` after lines that are no event: the rest of their JSON may follow.
    is_after_invalid: bool,
}

enum Parsed {
    /// The events in a text that ends with one.
    Complete(Vec<String>),
    Incomplete,
    Invalid(serde_json::Error),
}

impl EventReader {
    /// Reads all events of a text.
    pub(super) fn of_text(text: &str) -> Vec<EventReading> {
        let mut reader = Self::default();
        let mut readings: Vec<EventReading> =
            text.lines().flat_map(|line| reader.add_line(line)).collect();
        readings.extend(reader.end());
        readings
    }

    /// Adds a line. Returns the events that end in it.
    pub(super) fn add_line(&mut self, line: &str) -> Vec<EventReading> {
        self.line_count += 1;
        let is_rest_of_invalid = self.is_after_invalid && continues_json(line);
        if self.lines.is_empty() && (line.trim().is_empty() || is_rest_of_invalid) {
            return Vec::new();
        }
        self.is_after_invalid = false;
        self.push(line.to_owned());
        // A parse at each power of two finds mistakes early, and all parses together cost little.
        let is_due = self.depth == 0 || self.lines.len().is_power_of_two();
        if self.bytes > MAX_BYTES {
            self.restart_with(Vec::new());
            self.is_after_invalid = true;
            return vec![EventReading::Invalid(format!(
                "line {}: the event is larger than 6 MB",
                self.line_count
            ))];
        }
        if is_due { self.take_readings(false) } else { Vec::new() }
    }

    /// Returns the rest at the end of the input.
    pub(super) fn end(&mut self) -> Vec<EventReading> {
        self.take_readings(true)
    }

    fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.depth = depth_after(&line, self.depth);
        self.lines.push(line);
    }

    /// Takes the events in the lines so far. `is_end`: no further line completes an event.
    fn take_readings(&mut self, is_end: bool) -> Vec<EventReading> {
        let mut readings = Vec::new();
        while !self.lines.is_empty() {
            let first = self.line_count + 1 - self.lines.len();
            let why = match parsed(&self.lines.join("\n")) {
                Parsed::Complete(events) => {
                    readings.extend(events.into_iter().map(EventReading::Event));
                    self.restart_with(Vec::new());
                    return readings;
                }
                Parsed::Incomplete if !is_end => return readings,
                Parsed::Incomplete => "it has no end".to_owned(),
                Parsed::Invalid(error) => error.to_string(),
            };
            let reason = format!("line {first}: the event is not JSON: {why}");
            readings.push(EventReading::Invalid(reason));
            let lines = std::mem::take(&mut self.lines);
            let is_rest = |line: &String| line.is_empty() || continues_json(line);
            self.restart_with(lines.into_iter().skip(1).skip_while(is_rest).collect());
            self.is_after_invalid = true;
        }
        readings
    }

    /// Begins again with these lines.
    fn restart_with(&mut self, lines: Vec<String>) {
        self.bytes = 0;
        self.depth = 0;
        self.lines = Vec::new();
        for line in lines {
            self.push(line);
        }
    }
}

/// Returns `true` for a line that cannot begin an event, but may continue one.
fn continues_json(line: &str) -> bool {
    line.starts_with([' ', '\t', '}', ']'])
}

/// Returns the number of open brackets after a line. A string of JSON ends on its line.
fn depth_after(line: &str, depth_before: usize) -> usize {
    let mut depth = depth_before;
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
            Some(Err(error)) => return Parsed::Invalid(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let read = EventReader::of_text(text).into_iter().map(|read| match read {
            EventReading::Event(event) => event.replace(['\n', ' '], ""),
            EventReading::Invalid(why) => why,
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
