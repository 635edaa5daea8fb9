//! The limits that apply, and their remedies.

use super::month::Month;
use super::{Arguments, SECONDS_OF_MONTH, Through};

/// The default concurrency of an account in a region (Lambda Developer Guide, "Lambda quotas").
const ACCOUNT_CONCURRENCY: f64 = 1000.0;
const SHARE: f64 = 0.2;
/// The ratio of peak to mean traffic.
const PEAK: f64 = 3.0;
/// MB per second of a new on-demand stream (Kinesis Developer Guide, "On-demand mode").
const STREAM_MB: f64 = 4.0;
/// MB per second of a grown one (Kinesis Developer Guide, "Quotas and limits").
const STREAM_MOST_MB: f64 = 200.0;
const STREAM_MOST_IN_LARGE_REGIONS_MB: f64 = 10_000.0;
const LARGE_REGIONS: &str = "us-east-1, us-west-2 and eu-west-1";

pub(super) fn of(arguments: &Arguments, month: &Month) -> Vec<String> {
    let deliveries = month.deliveries / SECONDS_OF_MONTH * PEAK;
    let at_once = deliveries * month.delivery_ms / 1000.0;
    let mut limits = vec![format!(
        "At a peak of {PEAK} times the mean: {deliveries:.1} events per second, {at_once:.1} concurrent forwarders."
    )];
    let room = ACCOUNT_CONCURRENCY * SHARE;
    match arguments.through {
        Through::Subscription if at_once <= room => limits.push(format!(
            "That is within a fifth of the {ACCOUNT_CONCURRENCY} concurrent invocations of an account: subscribe the forwarder directly. To protect the concurrency of other functions, set ReservedConcurrency."
        )),
        Through::Subscription if at_once > ACCOUNT_CONCURRENCY => limits.push(format!(
            "That exceeds the {ACCOUNT_CONCURRENCY} concurrent invocations of an account: use a stream (--through kinesis), or ask AWS for a higher quota."
        )),
        Through::Subscription => limits.push(format!(
            "That exceeds a fifth of the {ACCOUNT_CONCURRENCY} concurrent invocations of an account. Use a stream (--through kinesis), whose batches combine log groups; Collect=telemetry, if the functions also send logs as OTLP; a higher quota; or several stacks, each for some of the log groups."
        )),
        Through::Kinesis => {
            let peak = month.streamed_gb * 1000.0 / SECONDS_OF_MONTH * PEAK;
            limits.push(format!("Into the stream: {peak:.1} MB a second."));
            limits.push(if peak <= STREAM_MB {
                format!("A new on-demand stream accepts {STREAM_MB} MB a second.")
            } else if peak <= STREAM_MOST_MB {
                format!(
                    "A new on-demand stream accepts {STREAM_MB} MB a second, and then up to twice its previous peak: subscribe the log groups one after the other."
                )
            } else if peak <= STREAM_MOST_IN_LARGE_REGIONS_MB {
                format!(
                    "An on-demand stream grows to {STREAM_MOST_MB} MB a second, and in {LARGE_REGIONS} to 10 GB. In other regions, use several stacks, each for some of the log groups, or ask AWS for a higher quota."
                )
            } else {
                "An on-demand stream grows to 10 GB a second at most: use several stacks, each for some of the log groups.".to_owned()
            });
            if arguments.per_delivery == 1 {
                limits.push(
                    "A batch of a Kinesis stream combines many log streams: use --per-delivery 100 or more.".to_owned(),
                );
            }
        }
    }
    limits
}
