//! CloudWatch metrics by AWS JSON 1.0: sums over a time.

use crate::api::{Api, ApiError, ApiRequest, ApiSettings, Service};
use crate::client::{AwsResponse, Caller};
use crate::signature::PathEncoding;
use serde::Deserialize;
use serde_json::{Value, json};
use std::ops::Range;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Maximum number of pages of one answer. A page has up to 100,800 values.
const MAX_PAGES: usize = 100;
const OPERATION: &str = "GetMetricData";
/// The period of a value in seconds, which CloudWatch keeps for 15 months.
const DAY: u64 = 86_400;

/// CloudWatch metrics.
pub const METRICS_SERVICE: Service = Service {
    name: "monitoring",
    path_encoding: PathEncoding::Twice,
    max_response_bytes: 4 << 20,
    read_error: AwsResponse::refusal,
    is_temporary: |_| false,
};

/// A metric without dimensions, which adds up those of all functions or log groups of an account and region.
#[derive(Clone, Copy, Debug)]
pub struct AccountMetric {
    pub namespace: &'static str,
    pub name: &'static str,
}

#[derive(Debug)]
pub struct CloudWatchMetrics {
    api: Api,
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
    /// Creates a client; `clock` gives the signing time.
    pub fn new(settings: ApiSettings, caller: Caller, clock: fn() -> SystemTime) -> Self {
        Self { api: Api::new(&METRICS_SERVICE, settings, caller, clock) }
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
        let target = format!("GraniteServiceVersion20100801.{OPERATION}");
        let request = ApiRequest::new_json("1.0", target, body);
        let response = self.api.send(&request, deadline).await.map_err(explain)?;
        let unreadable = |_| MetricsError("got an answer of an unexpected form".to_owned());
        serde_json::from_slice(&response.body).map_err(unreadable)
    }
}

fn explain(error: ApiError) -> MetricsError {
    let remedy = match error.code() {
        Some("AccessDenied" | "AccessDeniedException") => "; allow cloudwatch:GetMetricData",
        _ => "",
    };
    MetricsError(match error {
        ApiError::Refused(_) => format!("was refused with {error}{remedy}"),
        ApiError::NotOfAws(status) => format!("was refused with status {status}"),
        error => format!("got no answer: {error}"),
    })
}
