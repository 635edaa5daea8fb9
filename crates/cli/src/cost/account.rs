//! The figures of an account and region, by CloudWatch's metrics.

use super::prices::{self, GB};
use crate::aws;
use ::aws::{AccountMetric, CloudWatchMetrics, LogsSettings, MetricsSettings};
use anyhow::{Context as _, bail};
use aws_config::SdkConfig;
use forwarder::wall_clock_now;
use serde::Serialize;
use settings::{Env, Source as _};
use std::io::{self, Write};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// A month of all prices.
const DAYS: u64 = 30;
const LONGEST: Duration = Duration::from_secs(30);
const ENDPOINT: &str = "AWS_ENDPOINT_URL_CLOUDWATCH";

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
    pub(super) async fn read(aws: &SdkConfig) -> anyhow::Result<Self> {
        let LogsSettings { credentials, region, proxy, .. } = aws::logs_settings(aws).await?;
        let endpoint = Env
            .get(ENDPOINT)
            .or_else(|| aws.endpoint_url().map(str::to_owned))
            .map(|url| Url::parse(&url))
            .transpose()
            .with_context(|| format!("{ENDPOINT} must be an absolute URL"))?;
        let settings = MetricsSettings { credentials, region, endpoint, proxy };
        let client = CloudWatchMetrics::new(settings, wall_clock_now)
            .context("cannot call CloudWatch: check --region")?;
        let now = wall_clock_now();
        let time = now - Duration::from_hours(24 * DAYS)..now;
        let sums = client.sums(METRICS, time, Instant::now() + LONGEST).await?;
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
