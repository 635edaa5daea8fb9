//! CloudWatch metrics by AWS JSON 1.0: sums over a time.

use crate::client::{AwsClient, ErrorResponse, JsonRequest, NoResponse, excerpt, service_endpoint};
use crate::credentials::{CredentialsProvider, CredentialsSource};
use serde::Deserialize;
use serde_json::{Value, json};
use settings::Proxy;
use std::ops::Range;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use url::Url;

const MAX_RESPONSE_BYTES: usize = 4 << 20;
/// Maximum number of pages of one answer. A page has up to 100,800 values.
const MAX_PAGES: usize = 100;
const OPERATION: &str = "GetMetricData";
/// The period of a value in seconds, which CloudWatch keeps for 15 months.
const DAY: u64 = 86_400;

#[derive(Clone, Debug)]
pub struct MetricsSettings {
    pub credentials: CredentialsSource,
    pub region: String,
    /// `None`: AWS's endpoint of the region.
    pub endpoint: Option<Url>,
    pub proxy: Option<Proxy>,
}

/// A metric without dimensions, which adds up those of all functions or log groups of an account and region.
#[derive(Clone, Copy, Debug)]
pub struct AccountMetric {
    pub namespace: &'static str,
    pub name: &'static str,
}

#[derive(Debug)]
pub struct CloudWatchMetrics {
    credentials: CredentialsProvider,
    region: String,
    endpoint: Url,
    client: AwsClient,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MetricDataAnswer {
    metric_data_results: Vec<MetricDataResult>,
    next_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MetricDataResult {
    id: String,
    status_code: String,
    values: Vec<f64>,
}

/// A request without success, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{OPERATION} of CloudWatch {0}")]
pub struct MetricsError(String);

impl CloudWatchMetrics {
    /// Creates a client; `clock` gives the signing time. `None` if the region is none.
    pub fn new(settings: MetricsSettings, clock: fn() -> SystemTime) -> Option<Self> {
        let aws_endpoint = || service_endpoint("monitoring", &settings.region);
        let endpoint = settings.endpoint.or_else(aws_endpoint)?;
        Some(Self {
            credentials: CredentialsProvider::of(settings.credentials),
            region: settings.region,
            endpoint,
            client: AwsClient::new(clock, settings.proxy),
        })
    }

    /// The sum of each metric over a time.
    pub async fn sums<const N: usize>(
        &self,
        metrics: [AccountMetric; N],
        time: Range<SystemTime>,
        deadline: Instant,
    ) -> Result<[f64; N], MetricsError> {
        let query = |(number, metric): (usize, AccountMetric)| {
            let AccountMetric { namespace, name } = metric;
            let metric = json!({ "Namespace": namespace, "MetricName": name });
            let sum = json!({ "Metric": metric, "Period": DAY, "Stat": "Sum" });
            json!({ "Id": format!("m{number}"), "MetricStat": sum })
        };
        let queries: Vec<Value> = metrics.into_iter().enumerate().map(query).collect();
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
        };
        let mut body = json!({
            "StartTime": seconds(time.start),
            "EndTime": seconds(time.end),
            "MetricDataQueries": queries,
        });
        let mut sums = [0.0; N];
        for _ in 0..MAX_PAGES {
            let answer = self.ask(&body, deadline).await?;
            for MetricDataResult { id, status_code, values } in answer.metric_data_results {
                if status_code == "InternalError" {
                    return Err(MetricsError("failed in AWS: run the command again".to_owned()));
                }
                let number = id.strip_prefix('m').and_then(|number| number.parse::<usize>().ok());
                if let Some(sum) = number.and_then(|number| sums.get_mut(number)) {
                    *sum += values.iter().sum::<f64>();
                }
            }
            let Some(token) = answer.next_token else { return Ok(sums) };
            if let Some(members) = body.as_object_mut() {
                members.insert("NextToken".to_owned(), token.into());
            }
        }
        Err(MetricsError(format!("has an answer of more than {MAX_PAGES} pages")))
    }

    async fn ask(&self, body: &Value, deadline: Instant) -> Result<MetricDataAnswer, MetricsError> {
        let request = JsonRequest {
            credentials: &self.credentials,
            service: "monitoring",
            region: &self.region,
            endpoint: &self.endpoint,
            content_type: "application/x-amz-json-1.0",
            target: &format!("GraniteServiceVersion20100801.{OPERATION}"),
            body: body.to_string().into_bytes(),
            deadline,
            max_response_bytes: MAX_RESPONSE_BYTES,
        };
        let no_answer = |error: NoResponse| {
            MetricsError(format!("got no answer: {}", excerpt(&error.to_string())))
        };
        let response = self.client.send(request).await.map_err(no_answer)?;
        if response.status == 200 {
            let unreadable = |_| MetricsError("got an answer of an unexpected form".to_owned());
            return serde_json::from_slice(&response.body).map_err(unreadable);
        }
        let ErrorResponse { code, message, .. } = response.refusal();
        let shown_code =
            if code.is_empty() { format!("status {}", response.status) } else { code.clone() };
        let separator = if message.is_empty() { "" } else { ": " };
        let remedy = match code.as_str() {
            "AccessDenied" | "AccessDeniedException" => "; allow cloudwatch:GetMetricData",
            _ => "",
        };
        let text = excerpt(&message);
        Err(MetricsError(format!("was refused with {shown_code}{separator}{text}{remedy}")))
    }
}
