//! Reads and subscribes log groups despite pages, throttling and refusals.

use crate::fake::{Fake, SECRET_KEY, ScriptedResponse};
use lambda_otlp_aws::{AWS, CloudWatchLogs, LOGS, LogGroup, LogsSettings, SubscriptionFilter};
use serde_json::{Value, json};
use settings::{Reader, Table};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

async fn logs(answers: &[(u16, Value)]) -> (Arc<Fake>, CloudWatchLogs) {
    let is = |(status, body): &(u16, Value)| ScriptedResponse::Is(*status, body.to_string());
    logs_that(answers.iter().map(is)).await
}

async fn logs_that(
    answers: impl IntoIterator<Item = ScriptedResponse>,
) -> (Arc<Fake>, CloudWatchLogs) {
    let (fake, url) = Fake::start(answers).await;
    let variables = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDSUBSCRIBER"),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_SESSION_TOKEN", "token"),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", url.as_str()),
    ];
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let mut reader = Reader::new(&variables, Table::new(&[AWS, LOGS, settings::PROXY]));
    let settings = LogsSettings::read(&mut reader);
    assert_eq!(reader.finish(), []);
    let clock = || UNIX_EPOCH + Duration::from_secs(1_785_500_000);
    (fake, CloudWatchLogs::new(settings.unwrap(), clock))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn requests(fake: &Fake) -> Vec<(String, Value)> {
    let requests = fake.requests.lock().unwrap();
    let request = |(target, region, body): &(String, String, String)| {
        assert_eq!(region, "eu-central-1");
        let operation = target.strip_prefix("Logs_20140328.").unwrap();
        (operation.to_owned(), serde_json::from_str(body).unwrap())
    };
    requests.iter().map(request).collect()
}

fn throttled() -> (u16, Value) {
    (400, json!({ "__type": "ThrottlingException", "message": "Rate exceeded" }))
}

#[tokio::test]
async fn log_groups_are_listed_page_by_page() {
    let group = json!({
        "logGroupName": "/aws/lambda/a", "logGroupClass": "INFREQUENT_ACCESS", "creationTime": 7,
        "arn": "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/a:*", "storedBytes": 1,
    });
    let answers = [(200, json!({ "logGroups": [group], "nextToken": "t" })), (200, json!({}))];
    let (fake, logs) = logs(&answers).await;
    let first = logs.log_groups("/aws/", None, soon()).await.unwrap();
    let [group] = first.items.as_slice() else { panic!("{first:?}") };
    assert_eq!((group.name.as_str(), group.account()), ("/aws/lambda/a", "123456789012"));
    assert_eq!((group.class.as_deref(), group.created_ms), (Some("INFREQUENT_ACCESS"), 7));
    let second = logs.log_groups("", first.next, soon()).await.unwrap();
    assert_eq!((second.items.len(), second.next), (0, None));
    let operation = "DescribeLogGroups".to_owned();
    let expected = [
        (operation.clone(), json!({ "limit": 50, "logGroupNamePrefix": "/aws/" })),
        (operation, json!({ "limit": 50, "nextToken": "t" })),
    ];
    assert_eq!(requests(&fake), expected);
}

#[tokio::test]
async fn throttled_requests_are_retried_and_denied_ones_are_not() {
    let denied = (400, json!({ "__type": "AccessDeniedException", "message": "no" }));
    let (fake, logs) = logs(&[throttled(), throttled(), (200, json!({})), denied]).await;
    let filter = SubscriptionFilter {
        name: "f".to_owned(),
        pattern: String::new(),
        destination: "arn:aws:lambda:eu-central-1:123456789012:function:f".to_owned(),
        role: None,
    };
    logs.put_subscription_filter("/g", &filter, soon()).await.unwrap();
    assert_eq!(requests(&fake).len(), 3);
    let error = logs.put_subscription_filter("/g", &filter, soon()).await.unwrap_err();
    assert!(error.to_string().ends_with("no; allow logs:PutSubscriptionFilter"), "{error}");
    assert_eq!(requests(&fake).len(), 4);
    let body = json!({
        "logGroupName": "/g", "filterName": "f", "filterPattern": "",
        "destinationArn": "arn:aws:lambda:eu-central-1:123456789012:function:f",
    });
    assert!(requests(&fake).iter().all(|request| request.1 == body));
}

#[tokio::test]
async fn retries_after_throttling_stop_at_the_deadline() {
    let answers = vec![throttled(); 20];
    let (fake, logs) = logs(&answers).await;
    let deadline = Instant::now() + Duration::from_millis(500);
    let error = logs.subscription_filters("/g", deadline).await.unwrap_err();
    assert!(error.to_string().contains("ThrottlingException") && error.is_late(), "{error}");
    assert!(requests(&fake).len() < 4);
    let late = logs.subscription_filters("/g", Instant::now()).await.unwrap_err();
    assert!(late.is_late(), "{late}");
}

#[tokio::test]
async fn deleting_a_missing_filter_succeeds() {
    let gone = (400, json!({ "__type": "ResourceNotFoundException", "message": "none" }));
    let (fake, logs) = logs(&[gone.clone(), gone]).await;
    logs.delete_subscription_filter("/g", "f", soon()).await.unwrap();
    let error = logs.subscription_filters("/g", soon()).await.unwrap_err();
    assert!(error.is_gone() && !error.is_full());
    assert_eq!(requests(&fake).len(), 2);
}

#[tokio::test]
async fn broken_connections_are_retried_and_silent_ones_time_out() {
    let answered = ScriptedResponse::Is(200, json!({ "tags": { "team": "shop" } }).to_string());
    let answers = [ScriptedResponse::Closes, answered, ScriptedResponse::Never];
    let (fake, logs) = logs_that(answers).await;
    let arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/g:*";
    let group = LogGroup { name: "/g".to_owned(), arn: arn.to_owned(), ..LogGroup::default() };
    let tags = logs.tags(&group, soon()).await.unwrap();
    assert_eq!(tags.get("team").map(String::as_str), Some("shop"));
    assert_eq!(requests(&fake)[1].1, json!({ "resourceArn": arn.strip_suffix(":*").unwrap() }));
    let deadline = Instant::now() + Duration::from_millis(300);
    let error = logs.log_events("/g", 0, None, deadline).await.unwrap_err();
    assert!(error.to_string().starts_with("FilterLogEvents of /g got no answer"), "{error}");
}
