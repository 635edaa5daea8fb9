//! Sums of CloudWatch's metrics are read to the last page, or an error says why not.

use crate::fake::{Fake, SECRET_KEY, ScriptedResponse};
use lambda_otlp_aws::{
    AccountMetric, ApiSettings, Attempts, Caller, CloudWatchMetrics, Credentials, CredentialsSource,
};
use settings::Secret;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

const METRICS: [AccountMetric; 2] = [
    AccountMetric { namespace: "AWS/Lambda", name: "Invocations" },
    AccountMetric { namespace: "AWS/Logs", name: "IncomingBytes" },
];

/// The result in words, and the bodies of the requests.
async fn sums(answers: &[(u16, &str)]) -> (String, Vec<String>) {
    let answer = |(status, body): &(u16, &str)| ScriptedResponse::Is(*status, (*body).to_owned());
    let (fake, url) = Fake::start(answers.iter().map(answer)).await;
    let credentials = CredentialsSource::Variables(Credentials {
        access_key_id: "AKIDTEST".to_owned(),
        secret_access_key: Secret::new(SECRET_KEY),
        session_token: Some(Secret::new("token")),
    });
    let region = "eu-central-1".to_owned();
    let settings = ApiSettings {
        credentials,
        region,
        endpoint: url,
        proxy: None,
        attempts: Attempts::AtMost(1),
    };
    let end = UNIX_EPOCH + Duration::from_secs(1_785_500_000);
    let client =
        CloudWatchMetrics::new(settings, Caller::Function, || UNIX_EPOCH + Duration::from_secs(1));
    let deadline = Instant::now() + Duration::from_mins(1);
    let sums = client.sums(METRICS, end - Duration::from_hours(24)..end, deadline).await;
    let words = sums.map_or_else(|error| error.to_string(), |sums| format!("{sums:?}"));
    let requests = std::mem::take(&mut *fake.requests.lock().unwrap());
    let bodies = requests.into_iter().map(|request| {
        assert_eq!(request.target, "GraniteServiceVersion20100801.GetMetricData");
        assert_eq!(request.region, "eu-central-1");
        request.body
    });
    (words, bodies.collect())
}

#[tokio::test]
async fn the_values_of_all_pages_are_added_up() {
    let first = r#"{"MetricDataResults": [
        {"Id": "m0", "StatusCode": "PartialData", "Timestamps": [1785400000], "Values": [3, 4]},
        {"Id": "m1", "StatusCode": "Complete", "Timestamps": [], "Values": []}], "NextToken": "2"}"#;
    let second = r#"{"MetricDataResults": [
        {"Id": "m0", "StatusCode": "Complete", "Values": [5.0]},
        {"Id": "m1", "StatusCode": "Complete", "Values": [1e9]}], "Messages": []}"#;
    let (sums, requests) = sums(&[(200, first), (200, second)]).await;
    assert_eq!(sums, "[12.0, 1000000000.0]");
    let expected = concat!(
        r#"{"EndTime":1785500000,"MetricDataQueries":[{"Id":"m0","MetricStat":{"Metric":"#,
        r#"{"MetricName":"Invocations","Namespace":"AWS/Lambda"},"Period":86400,"Stat":"Sum"}},"#,
        r#"{"Id":"m1","MetricStat":{"Metric":{"MetricName":"IncomingBytes","Namespace":"AWS/Logs"},"#,
        r#""Period":86400,"Stat":"Sum"}}],"NextToken":"2","StartTime":1785413600}"#,
    );
    assert_eq!(requests, [&expected.replace(r#""NextToken":"2","#, ""), expected]);
}

#[tokio::test]
async fn an_error_names_its_reason() {
    let check = async |status, body, expected: &str| {
        let (words, _) = sums(&[(status, body)]).await;
        assert_eq!(words, format!("GetMetricData of CloudWatch {expected}"));
    };
    check(
        400,
        r#"{"__type":"com.amazonaws#AccessDenied","Message":"not you"}"#,
        "was refused with AccessDenied: not you; allow cloudwatch:GetMetricData",
    )
    .await;
    check(400, "busy", "was refused with status 400").await;
    check(200, "<html>", "got an answer of an unexpected form").await;
    let failed = r#"{"MetricDataResults":[{"Id":"m0","StatusCode":"InternalError"}]}"#;
    check(200, failed, "failed in AWS: run the command again").await;
}
