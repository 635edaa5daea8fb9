//! Checks CloudWatch alarms.

use super::unanswered::denied;
use crate::aws;
use ::aws::{AwsClient, SignedRequest, service_endpoint};
use anyhow::{Context as _, bail};
use aws_config::SdkConfig;
use forwarder::wall_clock_now;
use serde::Deserialize;
use serde_json::json;
use settings::{Check, Env, Proxy, Reader, Source as _, Table};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

const NAME: &str = "alarms";
const TIMEOUT: Duration = Duration::from_secs(20);
/// A page has at most 100 alarms of some kilobytes each.
const MAX_RESPONSE_BYTES: usize = 8 << 20;
const MOST_PAGES: usize = 50;

/// A page of `DescribeAlarms` (CloudWatch API Reference).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    metric_alarms: Vec<Alarm>,
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Alarm {
    #[serde(rename = "AlarmName")]
    name: String,
    #[serde(rename = "AlarmDescription")]
    description: Option<String>,
    dimensions: Vec<Dimension>,
    metrics: Vec<Query>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Query {
    metric_stat: Option<MetricStat>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat {
    metric: Metric,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Metric {
    dimensions: Vec<Dimension>,
}

impl Alarm {
    fn watches(&self, names: &[String]) -> bool {
        let of_queries = self.metrics.iter().filter_map(|query| query.metric_stat.as_ref());
        let of_queries = of_queries.flat_map(|stat| &stat.metric.dimensions);
        self.dimensions.iter().chain(of_queries).any(|dimension| names.contains(&dimension.value))
    }
}

pub(super) async fn check(aws: &SdkConfig, watched: &[String]) -> Vec<Check> {
    match in_alarm(aws).await {
        Ok(Some(alarms)) => ringing(&alarms, watched),
        Ok(None) => vec![denied(NAME, "CloudWatch's alarms", "cloudwatch:DescribeAlarms")],
        Err(error) => vec![Check::failed(NAME, format!("cannot list alarms: {error:#}"))],
    }
}

fn ringing(alarms: &[Alarm], watched: &[String]) -> Vec<Check> {
    let ringing = alarms.iter().filter(|alarm| alarm.watches(watched));
    let failed = |Alarm { name, description, .. }: &Alarm| {
        let description = description.as_deref().unwrap_or("it has no description");
        Check::failed(NAME, format!("{name} is in state ALARM: {description}"))
    };
    let mut checks: Vec<Check> = ringing.map(failed).collect();
    if checks.is_empty() {
        checks.push(Check::ok(NAME, "no alarm is in state ALARM"));
    }
    checks
}

/// Returns the account's alarms in state ALARM; `None` without the permission to list them.
///
/// Source: CloudWatch API Reference, "Making API Requests" (AWS JSON 1.0).
async fn in_alarm(aws: &SdkConfig) -> anyhow::Result<Option<Vec<Alarm>>> {
    let credentials = aws::signing_credentials(aws).await?;
    let region = aws.region().context("missing region: give --region, or set AWS_REGION")?.as_ref();
    let given = Env.get("AWS_ENDPOINT_URL_CLOUDWATCH");
    let endpoint = match given.or_else(|| aws.endpoint_url().map(str::to_owned)) {
        Some(url) => Some(Url::parse(&url).with_context(|| format!("{url} is not a URL"))?),
        None => service_endpoint("monitoring", None, region),
    };
    let endpoint = endpoint.with_context(|| format!("{region} is not a region"))?;
    let mut reader = Reader::new(&Env, Table::new(&[settings::PROXY]));
    let client = AwsClient::new(wall_clock_now, Proxy::read(&mut reader));
    let mut alarms = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..MOST_PAGES {
        let body = json!({ "StateValue": "ALARM", "MaxRecords": 100, "NextToken": next });
        let request = SignedRequest {
            credentials: &credentials,
            service: "monitoring",
            region,
            endpoint: &endpoint,
            content_type: "application/x-amz-json-1.0",
            target: "GraniteServiceVersion20100801.DescribeAlarms",
            body: body.to_string().into_bytes(),
            deadline: Instant::now() + TIMEOUT,
            max_response_bytes: MAX_RESPONSE_BYTES,
        };
        let response = client.send(request).await?;
        if response.status != 200 {
            let text = String::from_utf8_lossy(&response.body);
            if text.contains("AccessDenied") || text.contains("not authorized") {
                return Ok(None);
            }
            bail!("answered {}: {}", response.status, text.chars().take(200).collect::<String>());
        }
        let page: Page =
            serde_json::from_slice(&response.body).context("cannot read the answer")?;
        alarms.extend(page.metric_alarms);
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(Some(alarms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_alarms_of_watched_resources_are_reported() {
        let page = json!({ "MetricAlarms": [
            { "AlarmName": "errors", "AlarmDescription": "It fails.", "Dimensions": [{ "Name": "FunctionName", "Value": "forwarder" }] },
            { "AlarmName": "backlog", "Metrics": [
                { "Id": "waiting", "Expression": "visible" },
                { "Id": "visible", "MetricStat": { "Metric": { "Dimensions": [{ "Name": "QueueName", "Value": "retry" }] } } },
            ] },
            { "AlarmName": "other", "Dimensions": [{ "Name": "FunctionName", "Value": "shop" }] },
        ]});
        let page: Page = serde_json::from_value(page).unwrap();
        let check = |watched: &[&str], expected: &[&str]| {
            let watched: Vec<String> = watched.iter().map(|name| (*name).to_owned()).collect();
            let checks = ringing(&page.metric_alarms, &watched);
            let texts: Vec<&str> = checks.iter().map(|check| check.text.as_str()).collect();
            assert_eq!(texts, expected);
            assert_eq!(
                checks[0].is_failed(),
                texts[0] != "no alarm is in state ALARM",
                "{texts:?}"
            );
        };
        let errors = "errors is in state ALARM: It fails.";
        let backlog = "backlog is in state ALARM: it has no description";
        check(&["forwarder", "retry"], &[errors, backlog]);
        check(&["forwarder"], &[errors]);
        check(&["elsewhere"], &["no alarm is in state ALARM"]);
    }
}
