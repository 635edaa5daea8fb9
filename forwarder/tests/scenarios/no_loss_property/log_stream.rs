//! The log stream of an execution environment: OTLP lines between plain lines, cut by Lambda or by the function's
//! end, in several deliveries.

use super::cloud::Unit;
use super::items::Course;
use super::marks;
use super::telemetry::{Maker, delivery, gzip, line};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_otlp_forwarder::LogEvent;
use serde_json::json;

/// Lambda cuts a raw line at multiples of this length.
const CUT_BYTES: usize = 65_536;

/// The deliveries of one log stream.
struct Deliveries {
    done: Vec<(String, Unit)>,
    events: Vec<LogEvent>,
    unit: Unit,
}

impl Maker {
    /// The log events of an environment, in one or more events of the subscription.
    pub(crate) fn log_stream(&mut self) -> Vec<(String, Unit)> {
        let place = self.place();
        let course = self.course(place);
        let mut deliveries =
            Deliveries { done: Vec::new(), events: Vec::new(), unit: Unit::delivered() };
        for _ in 0..self.random.between(1, 8) {
            match self.random.below(10) {
                0..4 => {
                    let (id, age) = (self.event_id(), self.age());
                    let unit = &mut deliveries.unit;
                    let event = self.log_event(id, age, false, &course, unit);
                    deliveries.events.push(event);
                }
                _ => self.otlp_line(&mut deliveries, &course),
            }
            if self.random.percent(30) {
                deliveries.end(&course);
                self.census.met("stream: several deliveries");
            }
        }
        deliveries.end(&course);
        deliveries.done
    }

    fn event_id(&mut self) -> String {
        format!("{:056}", self.serial())
    }

    /// Adds an OTLP line, which may be cut.
    fn otlp_line(&mut self, deliveries: &mut Deliveries, course: &Course) {
        let mut unit = Unit::default();
        let request = self.request(&mut unit, course);
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
            deliveries.unit.take(&unit);
        }
        text.push('\n');
        let pieces = text.len().div_ceil(CUT_BYTES);
        if pieces > 1 {
            self.census.met("line: cut by Lambda");
        }
        let parted_at = if is_parted { self.random.between(1, pieces - 1) } else { 0 };
        for (number, piece) in text.as_bytes().chunks(CUT_BYTES).enumerate() {
            let (id, age) = (self.event_id(), self.age());
            if number == parted_at && number > 0 {
                self.census.met("line: its pieces in two deliveries");
                deliveries.end(course);
            }
            let unit = &mut deliveries.unit;
            unit.events += 1;
            if is_truncated || is_parted {
                self.owe_record(unit, course, (&id, age), None);
                // The other pieces have no marker of an OTLP line.
                if number == 0 {
                    unit.marks.push(marks::at(super::setup::DEFAULT, &marks::of_line(&id)));
                }
            } else {
                // A cut just before the line's end.
                let is_empty = piece == b"\n";
                unit.consumed.empty_lines += usize::from(is_empty);
                unit.consumed.line_pieces += usize::from(number > 0 && !is_empty);
            }
            let message = String::from_utf8(piece.to_vec()).unwrap();
            let timestamp_ms = i64::try_from(age.time_ms()).unwrap();
            deliveries.events.push(LogEvent { id, timestamp_ms, message });
        }
    }
}

impl Deliveries {
    fn end(&mut self, course: &Course) {
        if self.events.is_empty() {
            return;
        }
        let unit = std::mem::replace(&mut self.unit, Unit::delivered());
        let events = std::mem::take(&mut self.events);
        let text = delivery("DATA_MESSAGE", &course.place, &events);
        let data = STANDARD.encode(gzip("", text.as_bytes()));
        self.done.push((json!({"awslogs": {"data": data}}).to_string(), unit));
    }
}
