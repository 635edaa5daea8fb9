//! Knows which `REPORT` lines are Lambda's: a function can print one too, with figures of its own.
//!
//! Lambda writes one report a request, behind the request's `END`. So a report counts once a request in a delivery, and not while
//! the delivery still shows the `END` of its request, or another report of it. Where a delivery begins behind an `END`, or ends before
//! it, nothing tells a printed report from Lambda's, and it counts.

use crate::event::{EventKind, PlatformEvent};
use crate::read::{telemetry, text};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Lambda's JSON lines begin so, those of the runtimes' loggers with `timestamp` or otherwise.
const JSON_LINE: &str = "{\"time\":\"";

/// The reports of one log stream in one delivery.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reports {
    /// The requests that are running. What is said of another one meanwhile may be the function's.
    open: BTreeSet<String>,
    /// The requests whose report was counted.
    counted: BTreeSet<String>,
    /// How many lines ahead end each request.
    ahead: BTreeMap<String, usize>,
}

impl Reports {
    /// Looks at what the stream still has, from the next line on.
    pub(super) fn look_ahead<'m>(&mut self, messages: impl Iterator<Item = &'m str>) {
        self.ahead.clear();
        let mut open = self.open.clone();
        for message in messages.filter(|message| may_bracket(message)) {
            let boundary = text::boundary(message).or_else(|| {
                let event = telemetry::parse_line(message)?;
                Some((event.kind, Cow::Owned(event.request_id?)))
            });
            match boundary {
                Some((EventKind::Start, id)) => {
                    open.insert(id.into_owned());
                }
                Some((kind, id)) if ends_request(&mut open, &kind, &id) => {
                    match self.ahead.get_mut(&*id) {
                        Some(ahead) => *ahead += 1,
                        None => drop(self.ahead.insert(id.into_owned(), 1)),
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
        let ends_request = may_bracket(message) && ends_request(&mut self.open, &event.kind, id);
        if ends_request && let Some(ahead) = self.ahead.get_mut(id) {
            *ahead = ahead.saturating_sub(1);
        }
        event.kind != EventKind::Report
            || (self.ahead.get(id).is_none_or(|ahead| *ahead == 0)
                && self.counted.insert(id.clone()))
    }
}

/// Whether a line may be one that begins or ends a request; cheap for all others.
fn may_bracket(message: &str) -> bool {
    ["START RequestId: ", "END RequestId: ", "REPORT RequestId: ", JSON_LINE]
        .iter()
        .any(|begin| message.starts_with(begin))
}

/// Whether the line ends its request, as `END` and `REPORT` do, and no other request is running without it.
fn ends_request(open: &mut BTreeSet<String>, kind: &EventKind, id: &str) -> bool {
    match kind {
        EventKind::Start => {
            open.insert(id.to_owned());
            false
        }
        EventKind::End | EventKind::RuntimeDone => open.is_empty() || open.remove(id),
        EventKind::Report => open.is_empty() || open.contains(id),
        _ => false,
    }
}
