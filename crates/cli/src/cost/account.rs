//! The figures of an account and region, by CloudWatch's metrics.

use super::prices::{self, GB};
use crate::aws::{self, Aws};
use ::aws::AccountMetric;
use anyhow::bail;
use forwarder::wall_clock_now;
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;
use tokio::time::Instant;

/// A month of all prices.
const DAYS: u64 = 30;
const LONGEST: Duration = Duration::from_secs(30);

/// Lambda Developer Guide, "Types of metrics for Lambda functions"; CloudWatch Logs User Guide, "Monitoring with CloudWatch metrics".
const METRICS: [AccountMetric; 3] = [
    AccountMetric { namespace: "AWS/Lambda", name: "Invocations" },
    AccountMetric { namespace: "AWS/Logs", name: "IncomingLogEvents" },
    AccountMetric { namespace: "AWS/Logs", name: "IncomingBytes" },
];

/// What all functions and log groups of an account and region did in a month.
#[derive(Serialize)]
pub(super) struct AccountFigures {
    place: String,
    days: u64,
    invocations: f64,
    log_events: f64,
    log_gb: f64,
    ingestion_usd: f64,
}

impl AccountFigures {
    pub(super) async fn read(aws: &Aws) -> anyhow::Result<Self> {
        let now = wall_clock_now();
        let time = now - Duration::from_hours(24 * DAYS)..now;
        let sums = aws.metrics()?.sums(METRICS, time, Instant::now() + LONGEST).await?;
        Ok(Self::of(&aws::place(aws).await, sums))
    }

    /// Takes the sums of [`METRICS`].
    pub(super) fn of(place: &str, [invocations, log_events, bytes]: [f64; METRICS.len()]) -> Self {
        let log_gb = bytes / GB;
        Self {
            place: place.to_owned(),
            days: DAYS,
            invocations,
            log_events,
            log_gb,
            ingestion_usd: prices::ingestion(log_gb),
        }
    }

    pub(super) fn invocations(&self) -> anyhow::Result<f64> {
        if self.invocations < 1.0 {
            bail!(
                "CloudWatch has no invocations of the last {DAYS} days in {}: check --region and --profile, or give --invocations",
                self.place
            );
        }
        Ok(self.invocations)
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { place, invocations, log_events, log_gb, ingestion_usd, .. } = self;
        writeln!(out, "{:<75} {:>12}", format!("last {DAYS} days, {place}"), "USD")?;
        writeln!(out, "{:<46} {invocations:>28.0}", "invocations of all functions")?;
        writeln!(out, "{:<46} {log_events:>28.0}", "log events of all log groups")?;
        let what = "CloudWatch Logs: ingestion of all log groups";
        writeln!(out, "{what:<46} {:>28} {ingestion_usd:>12.2}\n", format!("{log_gb:.2} GB"))
    }
}
