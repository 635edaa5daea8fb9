//! How far an invocation is: what waits to be delivered, and what became of the rest.

use crate::convert::Window;
use crate::deliver::enqueue::Keep;
use crate::deliver::{Lane, Outgoing, Since};
use crate::destination::DEFAULT_DESTINATION;
use crate::ledger::Ledger;
use crate::parking::{Content, Origin, Parked};
use crate::pipeline::Invocation;
use crate::pipeline::report::Report;
use crate::pipeline::routing::Prepared;
use crate::rules::Effect;
use backend::Fate;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How far an invocation is.
pub(crate) struct Progress {
    pub(crate) report: Report,
    /// When the event began.
    pub(crate) began: Instant,
    pub(crate) window: Window,
    /// Converted and not delivered yet.
    outgoing: Vec<Outgoing>,
    outgoing_bytes: usize,
    /// To be dead-lettered with the next delivery.
    letters: Vec<Keep>,
    pub(crate) patience: Patience,
    /// Whether the log events come from a message of the retry queue: by now their log group may have
    /// forgotten them.
    pub(crate) is_redriven: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            report: Report::default(),
            began: Instant::now(),
            window: Window::default(),
            outgoing: Vec::new(),
            outgoing_bytes: 0,
            letters: Vec::new(),
            patience: Patience::default(),
            is_redriven: false,
        }
    }

    /// Bytes of what waits to be delivered or kept.
    pub(crate) fn outgoing_bytes(&self) -> usize {
        self.outgoing_bytes
    }

    /// Whether nothing waits to be delivered or kept.
    pub(crate) fn is_idle(&self) -> bool {
        self.outgoing.is_empty() && self.letters.is_empty()
    }

    /// Items that were returned so far.
    pub(crate) fn returned(&self) -> usize {
        self.report.account.total.returned
    }

    /// Counts something for the destination that it is parked for, and dead-letters it with the next
    /// delivery, which its bytes may bring about.
    pub(crate) fn bury(&mut self, parked: Parked) {
        let counted = match &parked.content {
            Content::Request(request) => Ledger::of_items(request.kind(), parked.items),
            _ => Ledger::of_undecodable(parked.items),
        };
        self.report.account.add(&parked.destination, counted);
        self.outgoing_bytes += parked.content_bytes();
        let is_in_log_group = !self.is_redriven && matches!(parked.content, Content::Line { .. });
        self.letters.push(Keep { parked, fate: Fate::DeadLetter, is_in_log_group });
    }

    /// Dead-letters bytes that nobody can read: one item.
    pub(crate) fn bury_raw(
        &mut self,
        bytes: Vec<u8>,
        reason: String,
        origin: &Origin,
        invocation: &Invocation,
    ) {
        self.bury(letter(Content::Raw(bytes), 1, reason, origin, invocation));
    }

    /// Takes what log events became.
    pub(crate) fn take(&mut self, prepared: Prepared, most_details: usize) {
        let Prepared { account, outgoing, dropped, rules, unreadable } = prepared;
        self.outgoing_bytes += outgoing.iter().map(|out| out.request.bytes().len()).sum::<usize>();
        self.outgoing.extend(outgoing);
        self.report.account += account;
        self.report.dropped.extend(dropped);
        self.report.dropped.truncate(most_details);
        self.report.unreadable += unreadable;
        Effect::add_all(&mut self.report.rules, rules);
    }

    /// Gives away what waits to be delivered, and what waits to be dead-lettered.
    pub(crate) fn take_waiting(&mut self) -> (Vec<Outgoing>, Vec<Keep>) {
        self.outgoing_bytes = 0;
        (std::mem::take(&mut self.outgoing), std::mem::take(&mut self.letters))
    }
}

/// Since when each destination has taken nothing of a signal, in one event.
#[derive(Default)]
pub(crate) struct Patience {
    failing_since: BTreeMap<Lane, Instant>,
}

impl Patience {
    /// Until when it is tried: `longest` after it began to fail, in this delivery or in one before.
    pub(crate) fn deadline(&self, lane: Lane, since: Since, longest: Duration) -> Instant {
        let since = match since {
            Since::FirstSent(at) => self.failing_since.get(&lane).copied().unwrap_or(at),
            Since::LastTaken(at) => at,
        };
        since + longest
    }

    /// Notes what is known after a delivery that began at `began`.
    pub(crate) fn note(&mut self, verdicts: BTreeMap<Lane, Option<bool>>, began: Instant) {
        for (lane, takes) in verdicts {
            match takes {
                Some(true) => {
                    self.failing_since.remove(&lane);
                }
                Some(false) => {
                    self.failing_since.entry(lane).or_insert(began);
                }
                None => {}
            }
        }
    }
}

/// Something to be kept, for the default destination, with no times of its own.
pub(crate) fn letter(
    content: Content,
    items: usize,
    reason: String,
    origin: &Origin,
    invocation: &Invocation,
) -> Parked {
    Parked {
        destination: DEFAULT_DESTINATION.to_owned(),
        stream: None,
        content,
        items,
        oldest_unix_nano: 0,
        newest_unix_nano: 0,
        first_seen_unix_nano: invocation.observed_unix_nano,
        reason,
        partial: false,
        origin: origin.clone(),
    }
}
