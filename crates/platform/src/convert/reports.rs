//! Recognizes Lambda's own `REPORT` lines: a function can print such lines with invented figures.
//!
//! Lambda writes one report per request, after its `END`. So a report counts once per request in a delivery, and not while the
//! `END` or another report of the request follows in the delivery. If a delivery begins after an `END`, or ends before it, the
//! two kinds are indistinguishable, and the report counts.

use crate::event::{EventKind, PlatformEvent};
use crate::read::{telemetry, text};
use foldhash::{HashMap, HashSet};
use std::borrow::{Borrow, Cow};
use std::hash::Hash;

/// The beginning of Lambda's JSON lines; those of runtimes' loggers begin with `timestamp` or other keys.
const JSON_LINE: &str = "{\"time\":\"";

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reports {
    /// The running requests, mostly one. Statements about another request may come from the function.
    open: HashSet<String>,
    ends: HashMap<String, End>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct End {
    ahead: usize,
    /// `true` if its report was counted.
    is_counted: bool,
}

impl Reports {
    /// Looks ahead at the stream's remaining lines, starting at the next one.
    pub(super) fn look_ahead<'m>(&mut self, messages: impl Iterator<Item = &'m str>) {
        self.ends.retain(|_, end| {
            end.ahead = 0;
            end.is_counted
        });
        let mut open: HashSet<Cow<'_, str>> =
            self.open.iter().map(|id| Cow::Borrowed(id.as_str())).collect();
        for message in messages.filter(|message| may_bracket(message)) {
            let boundary = text::boundary(message).or_else(|| {
                let event = telemetry::parse_line(message)?;
                Some((event.kind, Cow::Owned(event.request_id?)))
            });
            match boundary {
                Some((EventKind::Start, id)) => {
                    open.insert(id);
                }
                Some((kind, id)) if ends_request(&mut open, message, &kind, &id) => {
                    match self.ends.get_mut(&*id) {
                        Some(end) => end.ahead += 1,
                        None => {
                            self.ends.insert(id.into_owned(), End { ahead: 1, is_counted: false });
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Handles the next of Lambda's lines. Returns `false` for a report that the function printed.
    pub(super) fn take(&mut self, message: &str, event: &PlatformEvent) -> bool {
        // Only notations found by the look-ahead are counted down.
        let Some(id) = &event.request_id else { return true };
        let is_ahead = may_bracket(message);
        if is_ahead && event.kind == EventKind::Start {
            self.open.insert(id.clone());
            return true;
        }
        let is_report = event.kind == EventKind::Report;
        // Lambda writes a text report after the `END`, possibly in a later delivery.
        if is_report && is_text(message) && self.open.contains(id.as_str()) {
            return false;
        }
        let ends_request = is_ahead && ends_request(&mut self.open, message, &event.kind, id);
        let Some(end) = self.ends.get_mut(id) else {
            if is_report {
                self.ends.insert(id.clone(), End { ahead: 0, is_counted: true });
            }
            return true;
        };
        if ends_request {
            end.ahead = end.ahead.saturating_sub(1);
        }
        let is_lambdas = !is_report || (end.ahead == 0 && !end.is_counted);
        end.is_counted |= is_report && is_lambdas;
        is_lambdas
    }
}

/// Returns `true` if a line may begin or end a request; cheap for all others.
fn may_bracket(message: &str) -> bool {
    let begin = match message.as_bytes().first() {
        Some(b'S') => "START RequestId: ",
        Some(b'E') => "END RequestId: ",
        Some(b'R') => "REPORT RequestId: ",
        Some(b'{') => JSON_LINE,
        _ => return false,
    };
    // The rest of such an event around an OTLP line belongs to the function.
    message.starts_with(begin) && !wire::mentions_otlp(message)
}

/// Returns `true` if the line ends its request, as `END` and `REPORT` do, and no other request is running without it. `END` comes
/// first in text, and may be missing in JSON.
fn ends_request<Id: Borrow<str> + Eq + Hash>(
    open: &mut HashSet<Id>,
    message: &str,
    kind: &EventKind,
    id: &str,
) -> bool {
    match kind {
        EventKind::End | EventKind::RuntimeDone => open.is_empty() || open.remove(id),
        EventKind::Report => open.is_empty() || (!is_text(message) && open.contains(id)),
        _ => false,
    }
}

fn is_text(message: &str) -> bool {
    !message.starts_with('{')
}
