//! Knows which `REPORT` lines are Lambda's: a function can print one too, with figures of its own.
//!
//! Lambda writes one report a request, behind the request's `END`. So a report counts once a request in a delivery, and not while
//! the delivery still shows the `END` of its request, or another report of it. Where a delivery begins behind an `END`, or ends before
//! it, nothing tells a printed report from Lambda's, and it counts.

use crate::event::{EventKind, PlatformEvent};
use crate::read::{telemetry, text};
use foldhash::{HashMap, HashSet};
use std::borrow::{Borrow, Cow};
use std::hash::Hash;

/// Lambda's JSON lines begin so, those of the runtimes' loggers with `timestamp` or otherwise.
const JSON_LINE: &str = "{\"time\":\"";

/// The reports of one log stream in one delivery.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reports {
    /// The requests that are running, mostly one. What is said of another one meanwhile may be the function's.
    open: HashSet<String>,
    /// What is known of the end of each request.
    ends: HashMap<String, End>,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct End {
    /// How many lines ahead end it.
    ahead: usize,
    /// Whether its report was counted.
    is_counted: bool,
}

impl Reports {
    /// Looks at what the stream still has, from the next line on.
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

    /// Takes the next of Lambda's lines. False for a report that is not Lambda's.
    pub(super) fn take(&mut self, message: &str, event: &PlatformEvent) -> bool {
        // What was not looked for ahead, in a notation that Lambda does not use, must not be counted off either.
        let Some(id) = &event.request_id else { return true };
        let is_ahead = may_bracket(message);
        if is_ahead && event.kind == EventKind::Start {
            self.open.insert(id.clone());
            return true;
        }
        let is_report = event.kind == EventKind::Report;
        // Lambda writes a text report behind the `END`, in whichever delivery that is.
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

/// Whether a line may be one that begins or ends a request; cheap for all others.
fn may_bracket(message: &str) -> bool {
    let begin = match message.as_bytes().first() {
        Some(b'S') => "START RequestId: ",
        Some(b'E') => "END RequestId: ",
        Some(b'R') => "REPORT RequestId: ",
        Some(b'{') => JSON_LINE,
        _ => return false,
    };
    // What is left of such an event around an OTLP line is the function's.
    message.starts_with(begin) && !wire::mentions_otlp(message)
}

/// Whether the line ends its request, as `END` and `REPORT` do, and no other request is running without it. In text the `END` comes
/// first; JSON may have none.
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
