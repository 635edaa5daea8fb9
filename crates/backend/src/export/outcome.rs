//! What became of each item of a request.

use crate::judge::Reason;
use std::ops::AddAssign;
use std::time::Duration;
use wire::Request;

/// The account of one export: `accepted` and the items of `parts` add up to the items of the request.
#[must_use = "what was not accepted must be parked, dead-lettered or returned"]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Items that the backend said it has.
    pub accepted: usize,
    /// The items that the backend does not have, in pieces that never overlap.
    pub parts: Vec<Undelivered>,
    /// Items of requests that were sent and whose response did not come, could not be read, or says that nothing was written. These
    /// items, and no others, may be stored although they are counted as undelivered, or stored twice.
    pub ambiguous_items: usize,
    /// How many HTTP requests were sent, repetitions included.
    pub requests_sent: usize,
    /// Bytes of the bodies of these requests, as they were sent.
    pub bytes_sent: usize,
    /// A new warning that came with an accepted request, the last one if there were several; empty for none.
    pub warning: String,
    /// `Retry-After` of the last response that asked for another attempt.
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// The account of a request that was not sent.
    pub fn unsent(request: Request, reason: Reason, fate: Fate) -> Self {
        let items = request.items();
        let whole = (items > 0).then_some(Undelivered { request, items, reason, fate });
        Self { parts: whole.into_iter().collect(), ..Self::default() }
    }

    /// Items that the backend does not have.
    pub fn undelivered(&self) -> usize {
        self.parts.iter().map(|part| part.items).sum()
    }

    /// Items that were accepted and that were not: together always the items of the request.
    pub fn items(&self) -> usize {
        self.accepted + self.undelivered()
    }

    /// Puts this warning, unless it is empty, before the one that is there.
    pub fn warn(&mut self, warning: String) {
        self.warning = match (warning.is_empty(), self.warning.is_empty()) {
            (true, _) => return,
            (false, true) => warning,
            (false, false) => format!("{warning}; {}", self.warning),
        };
    }
}

impl AddAssign for Outcome {
    /// Adds the account of another request. Where parts of one request are sent again, take them out of its account first.
    fn add_assign(&mut self, other: Self) {
        // The fields are named one by one, so that a new one cannot be forgotten.
        let Self {
            accepted,
            parts,
            ambiguous_items,
            requests_sent,
            bytes_sent,
            warning,
            retry_after,
        } = other;
        self.accepted += accepted;
        self.parts.extend(parts);
        self.ambiguous_items += ambiguous_items;
        self.requests_sent += requests_sent;
        self.bytes_sent += bytes_sent;
        if !warning.is_empty() {
            self.warning = warning;
        }
        self.retry_after = self.retry_after.max(retry_after);
    }
}

/// A piece of a request that the backend did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The piece. For [`Fate::DeadLetterPartial`] the whole request that was sent: the backend does not say which of its
    /// items it rejected.
    pub request: Request,
    /// How many items were not taken: all of `request`, except for [`Fate::DeadLetterPartial`].
    pub items: usize,
    /// What happened last.
    pub reason: Reason,
    /// What is to be done with it.
    pub fate: Fate,
}

/// What is to be done with what was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Keep it and try later.
    Park,
    /// Keep it and try later: a single record that was sent alone and refused for what it holds. It is at fault where the backend
    /// takes others meanwhile, and nothing says whether it does.
    ParkRefused,
    /// Keep it, and tell a person: it stays undeliverable until a setting is changed.
    ParkWithAlarm,
    /// Never send it again by itself: the backend refuses this very record, and took others beside it or says what it has too many of.
    DeadLetter,
    /// Never send it again: `items` of its items were rejected and the others are stored, which would be stored twice.
    DeadLetterPartial,
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

    fn one_record() -> Request {
        let scope = ScopeLogs { log_records: vec![LogRecord::default()], ..Default::default() };
        let resource = ResourceLogs { scope_logs: vec![scope], ..Default::default() };
        Request::encode::<wire::Logs>(&ExportLogsServiceRequest { resource_logs: vec![resource] })
    }

    #[test]
    fn an_unsent_request_is_undelivered_as_a_whole() {
        let outcome = Outcome::unsent(one_record(), Reason::Deadline, Fate::Park);
        assert_eq!((outcome.items(), outcome.undelivered(), outcome.requests_sent), (1, 1, 0));
        let empty = Request::encode::<wire::Logs>(&ExportLogsServiceRequest::default());
        assert_eq!(Outcome::unsent(empty, Reason::Deadline, Fate::Park), Outcome::default());
    }

    #[test]
    fn accounts_add_up() {
        let mut outcome = Outcome::unsent(one_record(), Reason::Deadline, Fate::Park);
        outcome.warning = "older".to_owned();
        let other = Outcome {
            accepted: 2,
            ambiguous_items: 3,
            requests_sent: 4,
            bytes_sent: 5,
            warning: "newer".to_owned(),
            ..Outcome::unsent(one_record(), Reason::Deadline, Fate::DeadLetter)
        };
        outcome += other.clone();
        assert_eq!((outcome.items(), outcome.parts.len()), (4, 2));
        outcome += Outcome { warning: String::new(), ..other };
        assert_eq!(
            (outcome.accepted, outcome.ambiguous_items, outcome.requests_sent, outcome.bytes_sent),
            (4, 6, 8, 10)
        );
        assert_eq!(outcome.warning, "newer");
    }
}
