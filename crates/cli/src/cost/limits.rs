//! The limits that bind, and what to do at each.

use super::month::Month;
use super::{Arguments, SECONDS_OF_MONTH, Through};

/// Invocations at the same time that an account has in a region unless it asked for more (Lambda Developer Guide, "Lambda quotas").
const ACCOUNT_CONCURRENCY: f64 = 1000.0;
/// The part of them that forwarders may take; the functions themselves have the rest.
const SHARE: f64 = 0.2;
/// Traffic has hours: so much more than the mean comes at its peak.
const PEAK: f64 = 3.0;
/// MB a second that a new stream on demand takes, and up to which it follows its traffic (Kinesis Developer Guide, "On-demand mode").
const STREAM_MB: f64 = 4.0;
const STREAM_MOST_MB: f64 = 200.0;

pub(super) fn of(arguments: &Arguments, month: &Month) -> Vec<String> {
    let deliveries = month.deliveries / SECONDS_OF_MONTH * PEAK;
    let at_once = deliveries * month.delivery_ms / 1000.0;
    let mut limits = vec![format!(
        "At a peak of {PEAK} times the mean: {deliveries:.1} deliveries a second, {at_once:.1} forwarders at a time."
    )];
    let room = ACCOUNT_CONCURRENCY * SHARE;
    match arguments.through {
        Through::Subscription if at_once <= room => limits.push(format!(
            "That is within a fifth of the {ACCOUNT_CONCURRENCY} invocations at a time that an account has: a subscription leads to the forwarder directly. ReservedConcurrency bounds it, where functions beside it need the rest."
        )),
        Through::Subscription if at_once > ACCOUNT_CONCURRENCY => limits.push(format!(
            "That is above the {ACCOUNT_CONCURRENCY} concurrent invocations an account has: lead the log groups to a stream (--through kinesis), or ask AWS for a higher quota."
        )),
        Through::Subscription => limits.push(format!(
            "That is more than a fifth of the {ACCOUNT_CONCURRENCY} invocations at a time that an account has. If few invocations share a delivery, take a stream (--through kinesis), whose batches hold what many log groups wrote; Collect=telemetry where logs go as OTLP too; a higher quota; or several stacks, each for some of the log groups."
        )),
        Through::Kinesis => {
            let peak = month.streamed_gb * 1000.0 / SECONDS_OF_MONTH * PEAK;
            limits.push(format!("Into the stream: {peak:.1} MB a second."));
            limits.push(if peak <= STREAM_MB {
                format!("A stream on demand takes {STREAM_MB} MB a second from the beginning.")
            } else if peak <= STREAM_MOST_MB {
                format!(
                    "A stream on demand begins with {STREAM_MB} MB a second and takes double what it has taken before, up to {STREAM_MOST_MB}: subscribe the log groups one after the other."
                )
            } else {
                format!(
                    "A stream on demand grows to {STREAM_MOST_MB} MB a second, unless AWS is asked for more: take several stacks, each for some of the log groups."
                )
            });
            if arguments.per_delivery == 1 {
                limits.push(
                    "A batch of a stream holds what many streams of log events wrote: say --per-delivery 100 or more.".to_owned(),
                );
            }
        }
    }
    limits
}
