//! Answers Lambda: an invocation succeeds only if every item of its event has a fate.

use crate::report::{KeptIn, Report, ReportedLine, Undelivered};
use backend::Fate;
use lambda_runtime::{Context, Diagnostic};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use wire::arn::account_id;

/// Time reserved for the answer to Lambda.
const RESERVE_FOR_ANSWER: Duration = Duration::from_millis(500);

/// Time reserved for the queues and the remaining conversion, at most a quarter of the invocation: functions with little memory
/// have a slower CPU.
const RESERVE_FOR_QUEUES: Duration = Duration::from_secs(15);

/// The time and the account of one invocation.
#[derive(Clone, Debug)]
pub struct InvocationContext {
    /// Start of the invocation, in nanoseconds since the Unix epoch.
    pub observed_unix_nano: u64,
    pub deadline: Instant,
    pub queue_deadline: Instant,
    /// The forwarder's own account, if known. A log group of the same name in another account is foreign.
    pub account: Option<String>,
}

/// The error of a failed invocation. Lambda invokes twice more, then puts the event into the on-failure destination.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvocationError {
    /// Invalid settings. Nothing was read or sent.
    #[error("invalid settings, nothing was delivered: {0}")]
    Settings(String),
    /// No valid rules. Nothing was read or sent, because they may say what must not be sent.
    #[error("cannot apply the rules at {place}, nothing was delivered: {error}")]
    Rules { place: String, error: String },
    /// An event that is not readable to its end.
    #[error(
        "{error}; {delivered} items before the error were delivered, and will be delivered again with the event"
    )]
    Source {
        error: String,
        /// Items of the event that were accepted or queued. Its next delivery stores them twice.
        delivered: usize,
    },
    /// Items that neither the backend nor a queue accepted.
    #[error(
        "{returned} of {total} items were not delivered ({delivered} others were, and will be delivered again with them): {reasons}"
    )]
    NotDelivered {
        returned: usize,
        total: usize,
        /// Items of the event that were accepted or queued. Its next delivery stores them twice.
        delivered: usize,
        reasons: String,
    },
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::Settings(_) | InvocationError::Rules { .. } => "Forwarder.Settings",
            InvocationError::Source { .. } => "Forwarder.Event",
            InvocationError::NotDelivered { .. } => "Forwarder.NotDelivered",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

impl InvocationContext {
    /// The context of an invocation that begins now.
    pub(crate) fn begin(context: &Context) -> Self {
        let now = wall_clock_now();
        let begin = Instant::now();
        let left = context.deadline().duration_since(now).unwrap_or_default();
        let until_answer = left.saturating_sub(RESERVE_FOR_ANSWER);
        let queue_reserve = RESERVE_FOR_QUEUES.min(until_answer / 4);
        Self {
            observed_unix_nano: unix_nano(now),
            deadline: begin + until_answer.saturating_sub(queue_reserve),
            queue_deadline: begin + until_answer,
            account: account_id(&context.invoked_function_arn).map(str::to_owned),
        }
    }
}

/// The response to Lambda: `null`, or the failed records or messages (Lambda Developer Guide, "Configuring partial batch response").
pub fn answer(report: &Report) -> Result<Value, InvocationError> {
    let ledger = *report.ledger();
    let delivered = report.taken_of_returned();
    if let Some(error) = &report.read_error {
        return Err(InvocationError::Source { error: error.to_string(), delivered });
    }
    // If the accounting does not balance, the whole event comes again.
    if report.ledgers.balances() {
        if let Some(failures) = &report.batch_item_failures {
            let failures = failures.iter().map(|id| json!({ "itemIdentifier": id }));
            return Ok(json!({ "batchItemFailures": failures.collect::<Value>() }));
        }
        if ledger.returned == 0 {
            return Ok(Value::Null);
        }
    }
    // Items with two fates make it negative. Then the log has the number, and the event is returned too.
    let lost = usize::try_from(ledger.lost()).unwrap_or(0);
    let reasons: Vec<String> = report
        .undelivered
        .iter()
        .filter(|part| matches!(part.kept_in, KeptIn::Returned(_)))
        .take(3)
        .map(|part| format!("{}: {}", signal_name(part), full_reason(part)))
        .collect();
    Err(InvocationError::NotDelivered {
        returned: ledger.returned + lost,
        total: ledger.items.total(),
        delivered,
        reasons: reasons.join("; "),
    })
}

fn signal_name(part: &Undelivered) -> &'static str {
    part.signal.map_or("log events", |signal| signal.as_str())
}

/// The reason, and the error of the queue, if there is one.
fn full_reason(part: &Undelivered) -> String {
    match &part.kept_in {
        KeptIn::Returned(Some(error)) => format!("{}; {error}", part.reason),
        _ => part.reason.clone(),
    }
}

/// Logs the outcome, with sizes and hashes in place of log lines.
pub(crate) fn log(report: &Report) {
    let ledger = report.ledger();
    if let Some(error) = &report.read_error {
        tracing::error!(%error, accepted = ledger.accepted, "cannot read the event, returned to Lambda");
    }
    for ReportedLine { event_id, line } in &report.undecodable {
        tracing::error!(
            event_id,
            reason = %line.reason,
            bytes = line.bytes,
            sha256 = line.sha256,
            "OTLP line does not decode"
        );
    }
    for part in &report.undelivered {
        log_undelivered(part);
    }
    warn_if_any(
        report.dropped_points,
        "data points without a finite value dropped: the backend cannot store them",
    );
    warn_if_any(
        report.not_taken,
        "items dropped: no destination takes their signal, see LAMBDA_OTLP_SIGNALS, and signals of destinations in the rules",
    );
    warn_if_any(
        report.dropped_for_time,
        "records outside the backend's ingest window dropped, see LAMBDA_OTLP_OLD_RECORDS",
    );
    warn_if_any(
        report.restamped,
        "records outside the backend's ingest window restamped, see LAMBDA_OTLP_OLD_RECORDS",
    );
    warn_if_any(
        report.dropped_figures,
        "values of log lines gave no data points: implausible or too many",
    );
    warn_if_any(
        ledger.undivided,
        "log events with too many JSON lines: each became one log record with their text",
    );
    warn_if_any(ledger.cut, "log events with a message that is too long: the message was cut");
    for effect in report.rules.iter().filter(|effect| effect.replaced_whole > 0) {
        let rule = &*effect.rule;
        let values = effect.replaced_whole;
        tracing::warn!(
            rule,
            values,
            "a rule replaced entire values: they needed too much searching or replacing"
        );
    }
    for warning in &report.warnings {
        tracing::warn!(warning, "warning about the backend");
    }
    error_if_any(report.panics, "conversion of batches panicked, please report this");
    if !report.ledgers.balances() {
        tracing::error!(
            lost = ledger.lost(),
            "accounting does not balance, event returned to Lambda"
        );
    }
    tracing::info!(ledger = ledger.to_json(), ambiguous = ledger.ambiguous, "delivered");
}

fn warn_if_any(count: usize, message: &str) {
    if count > 0 {
        tracing::warn!(count, "{message}");
    }
}

fn error_if_any(count: usize, message: &str) {
    if count > 0 {
        tracing::error!(count, "{message}");
    }
}

fn log_undelivered(part: &Undelivered) {
    let Undelivered { destination, items, fate, .. } = part;
    let signal = signal_name(part);
    let reason = full_reason(part);
    let message = match &part.kept_in {
        // The undecodable line was logged above.
        KeptIn::LogGroup if part.signal.is_none() => return,
        KeptIn::LogGroup => "not delivered, only in its log group: there is no dead-letter queue",
        KeptIn::DeadLetterQueue => "put into the dead-letter queue",
        KeptIn::Returned(_) => "not delivered, returned to Lambda",
        KeptIn::Message | KeptIn::RetryQueue if *fate == Fate::ParkWithAlarm => {
            "stays in the retry queue until a setting is changed"
        }
        KeptIn::Message => "stays in the retry queue",
        KeptIn::RetryQueue => "queued for retry",
    };
    let is_retried = matches!(part.kept_in, KeptIn::Message | KeptIn::RetryQueue);
    if is_retried && *fate != Fate::ParkWithAlarm {
        tracing::warn!(destination, signal, items, reason, "{message}");
    } else {
        let rest_was_stored = *fate == Fate::DeadLetterPartial;
        tracing::error!(destination, signal, items, reason, rest_was_stored, "{message}");
    }
}

/// The wall-clock time. All other code gets it as an argument.
#[expect(
    clippy::disallowed_methods,
    reason = "once an invocation, and for the signature of a request to AWS"
)]
pub fn wall_clock_now() -> SystemTime {
    SystemTime::now()
}

fn unix_nano(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
