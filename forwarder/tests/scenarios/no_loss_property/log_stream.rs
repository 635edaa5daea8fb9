//! The log stream of an execution environment: OTLP lines between plain lines, cut by Lambda or by the function's
//! end, in several deliveries.

use super::cloud::Unit;
use super::items::Stream;
use super::marks;
use super::setup::DEFAULT;
use super::telemetry::{Maker, delivery, gzip, line};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Lambda cuts a raw line at multiples of this length.
const CUT_BYTES: usize = 65_536;

impl Maker {
    /// The log events of an environment, in one or more events of the subscription.
    pub(crate) fn log_stream(&mut self) -> Vec<(String, Unit)> {
        let place = self.place();
        let mut stream = self.stream(place);
        let mut deliveries = Vec::new();
        for _ in 0..self.random.between(1, 8) {
            if self.random.percent(40) {
                let event = (self.event_id(), self.age());
                self.log_event(&mut stream, event, false);
            } else {
                self.otlp_line(&mut stream, &mut deliveries);
            }
            if self.random.percent(30) {
                end(&mut stream, &mut deliveries);
                self.census.met("stream: several deliveries");
            }
        }
        end(&mut stream, &mut deliveries);
        deliveries
    }

    /// Adds an OTLP line, which may be cut.
    fn otlp_line(&mut self, stream: &mut Stream, deliveries: &mut Vec<(String, Unit)>) {
        let before = std::mem::take(&mut stream.unit);
        let request = self.request(stream);
        let unit = std::mem::replace(&mut stream.unit, before);
        // Long enough for a line that Lambda cuts.
        let padding = match self.random.below(100) {
            0..90 => 0,
            _ => self.random.between(50_000, 100_000),
        };
        let padding = "0123456789abcdef".repeat(padding / 16);
        let mut text = line(&request, &padding);
        let is_truncated = self.random.percent(8);
        if is_truncated {
            self.census.met("function: dies while it writes");
            // The payload's checksum is missing.
            let payload = text.find("\"payload\":\"").expect("an OTLP line") + 11;
            text.truncate(self.random.between(payload, text.len() - 60));
        }
        let is_parted = text.len() > CUT_BYTES && self.random.percent(40);
        if !is_truncated && !is_parted {
            stream.unit.take(&unit);
        }
        text.push('\n');
        let pieces = text.len().div_ceil(CUT_BYTES);
        if pieces > 1 {
            self.census.met("line: cut by Lambda");
        }
        let parted_at = if is_parted { self.random.between(1, pieces - 1) } else { 0 };
        for (number, piece) in text.as_bytes().chunks(CUT_BYTES).enumerate() {
            let id = self.event_id();
            let age = self.age();
            if number == parted_at && number > 0 {
                self.census.met("line: its pieces in two deliveries");
                end(stream, deliveries);
            }
            stream.unit.events += 1;
            if is_truncated || is_parted {
                self.owe_record(stream, (&id, age), None);
                // The other pieces have no marker of an OTLP line.
                if number == 0 {
                    stream.unit.marks.push(marks::at(DEFAULT, &marks::of_line(&id)));
                }
            } else {
                // A cut just before the line's end.
                let is_empty = piece == b"\n";
                let consumed = &mut stream.unit.consumed;
                consumed.empty_lines += usize::from(is_empty);
                consumed.line_pieces += usize::from(number > 0 && !is_empty);
            }
            let message = String::from_utf8(piece.to_vec()).unwrap();
            stream.events.push(age.log_event(id, message));
        }
    }
}

/// Ends a delivery, if it has log events.
fn end(stream: &mut Stream, deliveries: &mut Vec<(String, Unit)>) {
    if stream.events.is_empty() {
        return;
    }
    let unit = std::mem::replace(&mut stream.unit, Unit::delivered());
    let text = delivery("DATA_MESSAGE", &stream.place, &std::mem::take(&mut stream.events));
    let data = STANDARD.encode(gzip("", text.as_bytes()));
    deliveries.push((json!({"awslogs": {"data": data}}).to_string(), unit));
}
