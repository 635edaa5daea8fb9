//! AWS's prices in us-east-1, in USD.
//!
//! Sources: Amazon CloudWatch pricing ("Logs", tiers for Lambda since May 2025; "Metrics"; "Alarms"), Amazon
//! Kinesis Data Streams pricing, Amazon Data Firehose pricing ("Direct PUT"), Amazon SQS pricing, Amazon EC2 pricing ("Data
//! transfer"). Only the free tier of data transfer is included.

pub(super) use console::prices::{GB_SECOND, REQUEST};

pub(super) const GB: f64 = 1e9;

/// A part of a month's GB with a price of its own.
struct Tier {
    gb: f64,
    usd_per_gb: f64,
}

/// Of Lambda's logs, into log groups of the class Standard.
const STANDARD: [Tier; 4] = [
    Tier { gb: 10_000.0, usd_per_gb: 0.50 },
    Tier { gb: 20_000.0, usd_per_gb: 0.25 },
    Tier { gb: 20_000.0, usd_per_gb: 0.10 },
    Tier { gb: f64::INFINITY, usd_per_gb: 0.05 },
];
/// Of the class Delivery, to Firehose or S3.
const DELIVERY: [Tier; 4] = [
    Tier { gb: 10_000.0, usd_per_gb: 0.25 },
    Tier { gb: 20_000.0, usd_per_gb: 0.15 },
    Tier { gb: 20_000.0, usd_per_gb: 0.075 },
    Tier { gb: f64::INFINITY, usd_per_gb: 0.05 },
];

/// Price of ingesting Lambda's logs into CloudWatch Logs.
pub(super) fn ingestion(gb: f64) -> f64 {
    sum(&STANDARD, gb)
}

/// Price of ingesting Lambda's logs into log groups of the class Delivery.
pub(super) fn ingestion_for_delivery(gb: f64) -> f64 {
    sum(&DELIVERY, gb)
}

fn sum(tiers: &[Tier], gb: f64) -> f64 {
    let mut left = gb;
    let mut usd = 0.0;
    for tier in tiers {
        let gb_of_tier = left.min(tier.gb);
        left -= gb_of_tier;
        usd += gb_of_tier * tier.usd_per_gb;
    }
    usd
}

/// Price of storing a GB in a log group for a month.
pub(super) const STORED_GB: f64 = 0.03;

/// Returns the number of requests that Lambda charges for an asynchronous event of this size: one up to 256 KB, and
/// one more for each further 64 KB (AWS Lambda pricing).
pub(super) fn requests_of_event(bytes: f64) -> f64 {
    1.0 + ((bytes - 256.0 * 1024.0) / (64.0 * 1024.0)).ceil().max(0.0)
}

/// Price per GB from a region to the internet in the first 10 TB of a month, and the free GB before.
pub(super) const EGRESS_GB: f64 = 0.09;
pub(super) const FREE_EGRESS_GB: f64 = 100.0;

/// Prices of a Kinesis stream on demand: for an hour, and for each GB that is written and read once.
pub(super) const ON_DEMAND_HOUR: f64 = 0.04;
pub(super) const ON_DEMAND_GB: f64 = 0.08 + 0.04;
/// On-demand streams round records up to a KB.
pub(super) const ON_DEMAND_UNIT_BYTES: f64 = 1024.0;

/// Prices of a provisioned Kinesis stream: for an hour of a shard, and for a PUT payload unit.
pub(super) const SHARD_HOUR: f64 = 0.015;
pub(super) const PUT_UNIT: f64 = 0.014 / 1e6;
pub(super) const PUT_UNIT_BYTES: f64 = 25.0 * 1024.0;

/// Price of a GB through Firehose in the first 500 TB of a month, and the size to which it rounds records up.
pub(super) const FIREHOSE_GB: f64 = 0.029;
pub(super) const FIREHOSE_UNIT_BYTES: f64 = 5.0 * 1024.0;

/// Price of a custom metric for a month, in the first 10,000.
pub(super) const CUSTOM_METRIC: f64 = 0.30;
/// Price of an alarm of a metric for a month.
pub(super) const ALARM: f64 = 0.10;
/// Price of a request to a standard queue.
pub(super) const QUEUE_REQUEST: f64 = 0.40 / 1e6;

pub(super) const ASSUMED: &str = "\
Assumed: us-east-1, 30 days, no free tier except 100 GB of data transfer. CloudWatch Logs ingestion 0.50 USD per GB (0.25 from 10 TB on,
0.10 from 30, 0.05 from 50); storage 0.03 per GB and month; a custom metric 0.30 and an alarm 0.10 a month. Lambda 0.20 per million
requests, an event above 256 KB counting once more for each further 64 KB; 0.0000133334 per GB-second on arm64 (x86_64: a quarter more).
Kinesis on demand 0.04 an hour and 0.12 per GB, records rounded up to 1 KB; a provisioned shard 0.015 an hour and 0.014 per million units
of 25 KB. Class Delivery: ingestion 0.25 per GB (0.15, 0.075, 0.05), Firehose 0.029 per GB, records rounded up to 5 KB. SQS 0.40 per
million requests. Data transfer to the internet 0.09 per GB. All log events are subscribed, the forwarder has 128 MB, and the backend
answers within 50 ms. Bytes and CPU time come from the repository's benchmarks. Not included: the function's other lines, Secrets
Manager, messages in the queues, a NAT gateway, and the backend.";
