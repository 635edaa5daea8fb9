//! Answers Lambda: an invocation succeeds only if every item of its event has a place.

use crate::deliver::Export;
use crate::forward::{Forwarder, Invocation, Report};
use crate::source::Event;
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Kept of the invocation's time for the answer to Lambda.
const RESERVE: Duration = Duration::from_secs(1);

/// Why an invocation fails. Lambda then invokes again, twice, and keeps the event in the
/// on-failure destination after that.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvocationError {
    /// A variable is wrong: nothing is read or sent.
    #[error("wrong settings, nothing was delivered: {0}")]
    Settings(String),
    /// The event could not be read, or not to its end.
    #[error("{0}; {1} items that were read before were accepted")]
    Source(String, usize),
    /// The backend did not take everything.
    #[error("{returned} of {total} items were not delivered: {reasons}")]
    NotDelivered {
        /// Items without a place.
        returned: usize,
        /// Items of the event.
        total: usize,
        /// The first reasons, for a person.
        reasons: String,
    },
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::Settings(_) => "Forwarder.Settings",
            InvocationError::Source(..) => "Forwarder.Event",
            InvocationError::NotDelivered { .. } => "Forwarder.NotDelivered",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// Handles one invocation.
pub async fn handle<E: Export>(
    forwarder: &Forwarder<E>,
    event: LambdaEvent<Event>,
) -> Result<(), InvocationError> {
    let now = wall_clock_now();
    let invocation = Invocation {
        observed_unix_nano: unix_nano(now),
        deadline: Instant::now() + time_for_delivery(&event.context, now),
        account: account(&event.context.invoked_function_arn),
    };
    let report = forwarder.forward(event.payload, &invocation).await;
    log(&report);
    check(&report)
}

fn check(report: &Report) -> Result<(), InvocationError> {
    if report.is_complete() {
        return Ok(());
    }
    let ledger = &report.ledger;
    if let Some(unread) = &report.unread {
        return Err(InvocationError::Source(unread.to_string(), ledger.accepted));
    }
    let lost = usize::try_from(ledger.lost()).unwrap_or(0);
    let reasons: Vec<String> = report
        .undelivered
        .iter()
        .take(3)
        .map(|part| format!("{}: {}", part.kind, part.reason))
        .collect();
    Err(InvocationError::NotDelivered {
        returned: ledger.returned + lost,
        total: ledger.items.total(),
        reasons: reasons.join("; "),
    })
}

/// Writes what an operator must know: never a customer's line, sizes and hashes instead.
fn log(report: &Report) {
    if let Some(error) = &report.unread {
        tracing::error!(%error, accepted = report.ledger.accepted, "event not read, returned to Lambda");
    }
    for (event_id, line) in &report.undecodable {
        tracing::error!(
            event_id,
            reason = %line.reason,
            bytes = line.bytes,
            sha256 = line.sha256,
            "OTLP line does not decode; it stays in its log group"
        );
    }
    for part in &report.undelivered {
        tracing::error!(
            signal = part.kind.as_str(),
            items = part.items,
            reason = %part.reason,
            rest_was_stored = part.partial,
            "not delivered, event returned to Lambda"
        );
    }
    for (reason, items) in &report.dropped {
        tracing::warn!(items, %reason, "dropped: the backend cannot store it");
    }
    for warning in &report.warnings {
        tracing::warn!(warning, "backend warns");
    }
    if report.implausible_figures > 0 {
        tracing::warn!(
            figures = report.implausible_figures,
            "report lines with implausible figures"
        );
    }
    if report.panics > 0 {
        tracing::error!(batches = report.panics, "converting panicked, event returned to Lambda");
    }
    if report.ledger.lost() != 0 {
        tracing::error!(lost = report.ledger.lost(), "accounting does not balance");
    }
    let ledger = report.ledger.to_json();
    tracing::info!(%ledger, ambiguous = report.ledger.ambiguous, "delivered");
}

fn time_for_delivery(context: &Context, now: SystemTime) -> Duration {
    let left = context.deadline().duration_since(now).unwrap_or_default();
    left.saturating_sub(RESERVE)
}

/// The account in `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
fn account(arn: &str) -> Option<String> {
    arn.split(':').nth(4).filter(|account| !account.is_empty()).map(str::to_owned)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the forwarder reads the clock here, once an invocation"
)]
fn wall_clock_now() -> SystemTime {
    SystemTime::now()
}

fn unix_nano(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
