//! In simulated time: 20,000 log groups, with the quotas of CloudWatch Logs, refusals and lost answers; and answers to
//! CloudFormation, which waits an hour for a missing one.

use super::*;
use crate::decision::{Action, DecisionReason, OurFilter};
use crate::report::LogGroupFate;
use aws::{AwsHttpRequest, AwsResponse, LogGroup, NoResponse, RequestSender, ResponseFuture};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;
use tokio::time::{sleep, sleep_until};

const OURS: &str = "lambda-otlp/fwd";
const FORWARDER: &str = "arn:aws:lambda:eu-west-1:123456789012:function:fwd";
/// The filter of the forwarder before an update.
const FORMER: &str = "lambda-otlp/old";
const FORMER_FORWARDER: &str = "arn:aws:lambda:eu-west-1:123456789012:function:old";
const FOREIGN: &str = "arn:aws:firehose:eu-west-1:123456789012:deliverystream/x";
const LOG_GROUPS: usize = 20_000;
/// 200 have filters of others, 40 a class without filters.
const FOREIGN_OR_UNFIT: usize = 240;
/// The timeout of the template, and its schedule.
const TIMEOUT: Duration = Duration::from_mins(15);
const SCHEDULE: Duration = Duration::from_hours(1);

const LATENCY: Duration = Duration::from_millis(100);

thread_local! {
    static START: Instant = Instant::now();
}

/// The wall clock, which goes with the paused one.
fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_785_500_000) + START.with(Instant::elapsed)
}

fn in_ms(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap().as_millis()
}

fn name(number: usize) -> String {
    format!("/aws/lambda/f-{number:05}")
}

/// The filters that others have made.
fn foreign(number: usize) -> usize {
    match number {
        number if number.is_multiple_of(1000) => 2,
        number if number.is_multiple_of(100) => 1,
        _ => 0,
    }
}

fn is_standard(number: usize) -> bool {
    number % 500 != 7
}

/// The behaviour of CloudWatch Logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Logs {
    /// With the quotas of an account, refusals and lost answers.
    #[default]
    IsBusy,
    Works,
    Refuses,
    Fails,
    IsSilent,
}

/// CloudWatch Logs in an account: its log groups with their filters. And the bucket for CloudFormation's answer.
#[derive(Debug, Default)]
struct Account {
    logs: Logs,
    /// Number of answers refused before the first accepted one.
    refuses: usize,
    answers: Vec<Value>,
    groups: BTreeMap<String, Group>,
    /// The time when the next call of an operation is allowed, by the token bucket of its quota.
    quotas: BTreeMap<String, Instant>,
    seed: u64,
    calls: usize,
    throttled: usize,
    in_flight: BTreeSet<String>,
    /// Messages in the retry queue.
    messages: usize,
    /// Refuses our filter.
    refuses_ours: bool,
    /// A log group had no filter after a deletion.
    left_without_filter: bool,
}

#[derive(Debug)]
struct Group {
    class: &'static str,
    created_ms: u128,
    filters: BTreeMap<String, Value>,
    /// How often our filter was added.
    added: usize,
}

impl Account {
    fn new(seed: u64) -> Self {
        let audit =
            |number: usize| (format!("audit-{number}"), json!({ "destinationArn": FOREIGN }));
        let group = |number: usize| {
            let class = if is_standard(number) { "STANDARD" } else { "INFREQUENT_ACCESS" };
            let filters = (0..foreign(number)).map(audit).collect();
            (name(number), Group { class, created_ms: 0, filters, added: 0 })
        };
        let groups = (0..LOG_GROUPS).map(group).collect();
        Self { groups, seed, ..Self::default() }
    }

    /// One of this number of calls, chosen by the seed.
    fn is_one_of(&mut self, number: u64) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33).is_multiple_of(number)
    }

    /// Returns `true` if a call exceeds its quota, or is one of the tenth that others of the account have exceeded.
    fn is_throttled(&mut self, operation: &str) -> bool {
        let rate = if operation == "DescribeLogGroups" { 10 } else { 5 };
        let now = Instant::now();
        let next = self.quotas.entry(operation.to_owned()).or_insert(now);
        let allowed = *next <= now + Duration::from_secs(1);
        if allowed {
            *next = (*next).max(now) + Duration::from_secs(1) / rate;
        }
        !allowed || self.is_one_of(10)
    }

    fn perform(&mut self, operation: &str, body: &Value) -> (u16, Value) {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        if operation == "DescribeLogGroups" {
            assert_ne!(body["logGroupNamePrefix"], "", "AWS refuses an empty prefix");
            let prefix = text("logGroupNamePrefix");
            let from = text("nextToken");
            let mut found = self.groups.range(from..).filter(|(name, _)| name.starts_with(&prefix));
            let described = found.by_ref().take(50).map(|(name, group)| {
                json!({ "logGroupName": name, "logGroupClass": group.class, "creationTime": group.created_ms })
            });
            let page: Vec<Value> = described.collect();
            return (
                200,
                json!({ "logGroups": page, "nextToken": found.next().map(|(name, _)| name) }),
            );
        }
        if let Some(entries) = body["Entries"].as_array() {
            self.messages += entries.len();
            let accepted: Vec<Value> =
                entries.iter().map(|entry| json!({ "Id": entry["Id"] })).collect();
            return (200, json!({ "Successful": accepted }));
        }
        let group = self.groups.get_mut(&text("logGroupName")).unwrap();
        assert_eq!(group.class, "STANDARD", "{operation} of a class without filters");
        match operation {
            "DescribeSubscriptionFilters" => {
                let filters = group.filters.iter().map(|(name, filter)| {
                    let mut filter = filter.clone();
                    filter["filterName"] = name.as_str().into();
                    filter
                });
                (200, json!({ "subscriptionFilters": filters.collect::<Vec<_>>() }))
            }
            "PutSubscriptionFilter" => {
                let name = text("filterName");
                assert!([OURS, FORMER].contains(&name.as_str()), "{name}");
                if self.refuses_ours && name == OURS {
                    return (400, json!({ "__type": "InvalidParameterException" }));
                }
                if group.filters.len() == 2 && !group.filters.contains_key(&name) {
                    return (400, json!({ "__type": "LimitExceededException" }));
                }
                let filter = json!({ "destinationArn": body["destinationArn"] });
                group.added += usize::from(group.filters.insert(name, filter).is_none());
                (200, json!({}))
            }
            "DeleteSubscriptionFilter" => match group.filters.remove(&text("filterName")) {
                Some(_) => {
                    self.left_without_filter |= group.filters.is_empty();
                    (200, json!({}))
                }
                None => (400, json!({ "__type": "ResourceNotFoundException" })),
            },
            "FilterLogEvents" => {
                let line = json!({ "logStreamName": "s", "ingestionTime": group.created_ms, "message": "first" });
                (200, json!({ "events": [line] }))
            }
            other => panic!("a call of {other}"),
        }
    }
}

#[derive(Clone, Debug)]
struct Fake(Arc<Mutex<Account>>);

impl Fake {
    fn count(&self, is: impl Fn(&Group) -> bool) -> usize {
        self.0.lock().unwrap().groups.values().filter(|group| is(group)).count()
    }

    /// CloudFormation's bucket.
    fn put(&self, request: &AwsHttpRequest<'_>) -> u16 {
        let account = &mut *self.0.lock().unwrap();
        if let Some(left) = account.refuses.checked_sub(1) {
            account.refuses = left;
            return 503;
        }
        assert_eq!(request.url.query(), Some("X-Amz-Signature=secret"));
        assert!(request.headers.is_empty(), "none is part of the signature");
        account.answers.push(serde_json::from_slice(&request.body).unwrap());
        200
    }

    async fn answer(&self, request: AwsHttpRequest<'_>) -> Result<AwsResponse, NoResponse> {
        if request.method.as_str() == "PUT" {
            return Ok(AwsResponse::new(self.put(&request), Vec::new()));
        }
        let logs = self.0.lock().unwrap().logs;
        let refused = r#"{"__type":"AccessDeniedException","message":"not\nyou"}"#;
        match logs {
            Logs::Refuses => return Ok(AwsResponse::new(400, refused)),
            Logs::Fails => return Ok(AwsResponse::new(500, "{}")),
            Logs::IsSilent => std::future::pending().await,
            Logs::Works | Logs::IsBusy => {}
        }
        let target = request.headers["x-amz-target"].to_str().unwrap().to_owned();
        let (_, operation) = target.split_once('.').unwrap();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let group = body["logGroupName"].as_str().unwrap_or_default().to_owned();
        sleep(LATENCY / 2).await;
        let (is_lost, (status, answer)) = {
            let mut account = self.0.lock().unwrap();
            account.calls += 1;
            if logs == Logs::Works {
                (false, account.perform(operation, &body))
            } else if account.is_throttled(operation) {
                account.throttled += 1;
                (
                    false,
                    (400, json!({ "__type": "ThrottlingException", "message": "Rate exceeded" })),
                )
            } else if !group.is_empty() && !account.in_flight.insert(group.clone()) {
                (false, (400, json!({ "__type": "OperationAbortedException" })))
            } else {
                (account.is_one_of(50), account.perform(operation, &body))
            }
        };
        sleep(LATENCY / 2).await;
        self.0.lock().unwrap().in_flight.remove(&group);
        if is_lost {
            return Err(NoResponse::Ambiguous("cannot reach logs: reset".to_owned()));
        }
        Ok(AwsResponse::new(status, answer.to_string()))
    }
}

impl RequestSender for Fake {
    fn send<'a>(&'a self, request: AwsHttpRequest<'a>) -> ResponseFuture<'a> {
        Box::pin(self.answer(request))
    }
}

fn service(fake: &Fake) -> Subscriber {
    service_of(fake, "/aws/lambda/*", clock)
}

fn service_of(fake: &Fake, include: &str, clock: fn() -> SystemTime) -> Subscriber {
    let variables = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("LAMBDA_OTLP_INCLUDE", include),
        ("LAMBDA_OTLP_DESTINATION", FORWARDER),
        ("LAMBDA_OTLP_RETRY_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/123456789012/retry"),
    ];
    let variables: std::collections::HashMap<String, String> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let client = || AwsClient::with_transport(fake.clone(), clock);
    let (config, _) = Config::from_source(&variables);
    let services = config.map(|config| Services {
        logs: CloudWatchLogs::with_client(config.logs.clone(), client()),
        retry_queue: config.retry_queue.clone().map(|queue| SqsQueue::with_client(queue, client())),
        config,
    });
    Subscriber { services, answers: client(), answer_urls: AnswerUrls::S3, clock }
}

#[tokio::test(start_paused = true)]
async fn successive_runs_subscribe_twenty_thousand_log_groups_once() {
    let fake = Fake(Arc::new(Mutex::new(Account::new(7))));
    let mut notable = String::new();
    let mut runs = 0;
    while fake.count(|group| group.added == 0) > FOREIGN_OR_UNFIT {
        runs += 1;
        assert!(
            runs <= 12,
            "{} log groups without our filter",
            fake.count(|group| group.added == 0)
        );
        let begun = Instant::now();
        let ends = clock() + TIMEOUT;
        // Each in an environment of its own.
        let sums = service(&fake).handle(&json!({}), ends).await.unwrap();
        assert!(clock() < ends);
        assert_eq!((&sums["log_groups"], &sums["failed"]), (&json!(LOG_GROUPS), &json!(0)));
        assert!(sums["not_reached"].as_u64() > Some(0), "time is too short for one run: {sums}");
        notable += sums["notable"].as_str().unwrap();
        sleep_until(begun + SCHEDULE).await;
    }
    let account = fake.0.lock().unwrap();
    for (number, group) in account.groups.values().enumerate() {
        let is_ours = is_standard(number) && foreign(number) == 0;
        assert_eq!(group.added, usize::from(is_ours), "{}", name(number));
        assert_eq!(group.filters.len(), foreign(number) + group.added, "{}", name(number));
    }
    for reason in ["another system's filter", "two filters of other systems", "class without"] {
        assert!(notable.contains(reason), "{notable}");
    }
    assert!(account.throttled > account.calls / 10, "{} of {}", account.throttled, account.calls);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_fails_until_every_log_group_is_reached() {
    let mut account = Account::new(9);
    for group in account.groups.values_mut().filter(|group| group.class == "STANDARD") {
        group.filters.insert(OURS.to_owned(), json!({ "destinationArn": FORWARDER }));
    }
    let fake = Fake(Arc::new(Mutex::new(account)));
    let delete = async || {
        let event = SubscriberEvent::read(&of_kind("Delete"), AnswerUrls::S3);
        let Ok(SubscriberEvent::Resource(request)) = event else { panic!("{event:?}") };
        let outcome = service(&fake).perform(&request, Instant::now() + TIMEOUT).await;
        response(&request, outcome)
    };
    let answer = delete().await;
    let left = fake.count(|group| group.filters.contains_key(OURS));
    let not_reached = answer["Data"]["not_reached"].as_u64().unwrap();
    assert!(0 < left && left as u64 <= not_reached, "{left} of {answer}");
    assert_eq!(answer["Status"], "FAILED");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("{not_reached} log groups were not reached")), "{reason}");
    assert!(reason.contains("`lambda-otlp unsubscribe --stack stack/o2 --yes`"), "{reason}");
    // As many as one run reaches.
    fake.0.lock().unwrap().groups.retain(|name, _| name.ends_with('3'));
    assert_eq!(delete().await["Status"], "SUCCESS");
    assert_eq!(fake.count(|group| group.filters.contains_key(OURS)), 0);
}

#[tokio::test(start_paused = true)]
async fn a_short_run_subscribes_and_replays_new_log_groups() {
    let fake = Fake(Arc::new(Mutex::new(Account::new(8))));
    let new = [3, 7003, 14003];
    for number in new {
        let created = clock() - Duration::from_mins(5);
        fake.0.lock().unwrap().groups.get_mut(&name(number)).unwrap().created_ms = in_ms(created);
    }
    let sums = service(&fake).handle(&json!({}), clock() + TIMEOUT).await.unwrap();
    assert!(sums["not_reached"].as_u64() > Some(0), "{sums}");
    assert_eq!(sums["replayed_lines"], new.len(), "{sums}");
    let account = fake.0.lock().unwrap();
    assert_eq!(account.messages, new.len());
    assert!(new.iter().all(|number| account.groups[&name(*number)].added == 1));
}

/// A change of the forwarder, during which CloudWatch Logs accepts or refuses ours, and the next hourly run, which knows no former
/// filter.
#[tokio::test(start_paused = true)]
async fn a_former_filter_goes_when_ours_is_there() {
    struct Case {
        has_foreign: bool,
        refuses_ours: bool,
        after_change: &'static [&'static str],
        after_run: &'static [&'static str],
        is_without_filter: bool,
    }
    let cases = [
        Case {
            has_foreign: false,
            refuses_ours: false,
            after_change: &[OURS],
            after_run: &[OURS],
            is_without_filter: false,
        },
        Case {
            has_foreign: true,
            refuses_ours: false,
            after_change: &["audit", OURS],
            after_run: &["audit", OURS],
            is_without_filter: false,
        },
        Case {
            has_foreign: false,
            refuses_ours: true,
            after_change: &[],
            after_run: &[OURS],
            is_without_filter: true,
        },
        Case {
            has_foreign: true,
            refuses_ours: true,
            after_change: &["audit", FORMER],
            after_run: &["audit", FORMER],
            is_without_filter: false,
        },
    ];
    for case in cases {
        let of_former = (FORMER.to_owned(), json!({ "destinationArn": FORMER_FORWARDER }));
        let mut filters = BTreeMap::from([of_former]);
        if case.has_foreign {
            filters.insert("audit".to_owned(), json!({ "destinationArn": FOREIGN }));
        }
        let group = Group { class: "STANDARD", created_ms: 0, filters, added: 0 };
        let fake = Fake(Arc::new(Mutex::new(Account {
            logs: Logs::Works,
            groups: BTreeMap::from([(name(1), group)]),
            refuses_ours: case.refuses_ours,
            ..Account::default()
        })));
        let filters = || {
            let account = fake.0.lock().unwrap();
            account.groups[&name(1)].filters.keys().cloned().collect::<Vec<String>>()
        };
        let subscriber = service(&fake);
        let services = subscriber.services.as_ref().unwrap();
        let former = OurFilter::new(FORMER_FORWARDER, None, "");
        let wanted = WantedFilter { former, ..services.config.wanted.clone() };
        let report = services.sweep(&wanted, &[]).run(Instant::now() + TIMEOUT).await;
        assert_eq!(report.failed_count(), usize::from(case.refuses_ours));
        assert_eq!(filters(), case.after_change);
        assert_eq!(fake.0.lock().unwrap().left_without_filter, case.is_without_filter);
        fake.0.lock().unwrap().refuses_ours = false;
        services.sweep_all("schedule", Instant::now() + TIMEOUT).await;
        assert_eq!(filters(), case.after_run);
    }
}

#[test]
fn long_texts_are_truncated_to_fit_the_response() {
    let event = json!({
        "RequestType": "Update", "ResponseURL": "https://s3.eu-west-1.amazonaws.com/b/k", "RequestId": "r".repeat(128),
        "StackId": "s".repeat(256), "LogicalResourceId": "l".repeat(128), "PhysicalResourceId": "p".repeat(256),
    });
    let event = SubscriberEvent::read(&event, AnswerUrls::S3);
    let Ok(SubscriberEvent::Resource(request)) = event else { panic!("{event:?}") };
    let long = "\"é ".repeat(2_000);
    let entry = LogGroupEntry {
        group: LogGroup { name: long.clone(), ..LogGroup::default() },
        action: Action::Skip,
        reason: Some(DecisionReason::Full(String::new())),
        fate: LogGroupFate::Done,
        former_pattern: None,
        stays_spilled: false,
        subscribed: None,
    };
    let report = SweepReport { entries: vec![entry], ..SweepReport::default() };
    let answer = response(&request, Ok(report));
    assert!(answer.to_string().len() <= 4096, "{answer}");
    assert_eq!(answer["Data"]["skipped"], 1);
    assert!(answer["Data"]["notable"].as_str().unwrap().ends_with('…'));
    let answer = response(&request, Err(SubscriberError::LogGroups(long)));
    assert_eq!(answer["Status"], "FAILED");
    assert!(answer.to_string().len() <= 4096, "{answer}");
}

impl Fake {
    fn answers(logs: Logs) -> Self {
        Self(Arc::new(Mutex::new(Account { logs, ..Account::default() })))
    }

    /// The only answer to CloudFormation: status and reason.
    fn answered(&self) -> (String, String) {
        let answers = &self.0.lock().unwrap().answers;
        let [answer] = answers.as_slice() else { panic!("{answers:?}") };
        for (name, expected) in [
            ("PhysicalResourceId", "o2-Subscriptions"),
            ("RequestId", "request"),
            ("LogicalResourceId", "Subscriptions"),
            ("StackId", "stack/o2"),
        ] {
            assert_eq!(answer[name], expected);
        }
        assert!(answer.to_string().len() < 4096);
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        assert!(!text("Reason").contains('\n'));
        (text("Status"), text("Reason"))
    }
}

fn of_kind(kind: &str) -> Value {
    let mut request = json!({
        "RequestType": kind, "ResponseURL": "https://s3.eu-west-1.amazonaws.com/b/k?X-Amz-Signature=secret",
        "StackId": "stack/o2", "RequestId": "request", "LogicalResourceId": "Subscriptions",
        "ResourceProperties": { "Include": "/aws/lambda/*" },
    });
    // A resource gets its id when it is created.
    if kind != "Create" {
        request["PhysicalResourceId"] = "o2-Subscriptions".into();
    }
    request
}

/// The time of an invocation that CloudFormation waits for.
const TIME: Duration = Duration::from_secs(8);

#[tokio::test(start_paused = true)]
async fn each_request_is_answered_and_a_failure_blocks_no_deletion() {
    let refused = "DescribeLogGroups of /aws/lambda/ was refused with AccessDeniedException: not you; allow logs:DescribeLogGroups";
    let silent = "DescribeLogGroups of /aws/lambda/ got no answer: cannot reach logs.eu-west-1.amazonaws.com: timed out";
    for (logs, kind, status, reason) in [
        (Logs::Works, "Create", "SUCCESS", ""),
        (Logs::Works, "Update", "SUCCESS", ""),
        (Logs::Works, "Delete", "SUCCESS", ""),
        (Logs::Refuses, "Create", "FAILED", refused),
        (Logs::Refuses, "Update", "FAILED", refused),
        (Logs::Refuses, "Delete", "SUCCESS", refused),
        (Logs::Fails, "Create", "FAILED", "status 500"),
        (Logs::IsSilent, "Create", "FAILED", silent),
        (Logs::IsSilent, "Delete", "SUCCESS", ""),
    ] {
        let fake = Fake::answers(logs);
        let ends = clock() + TIME;
        service(&fake).handle(&of_kind(kind), ends).await.unwrap();
        assert!(clock() < ends, "{logs:?} {kind}");
        let (found, said) = fake.answered();
        assert!(found == status && said.contains(reason), "{logs:?} {kind}: {found} {said}");
    }
    // All log groups.
    for (logs, reason) in [(Logs::Works, ""), (Logs::Refuses, "DescribeLogGroups was refused with")]
    {
        let fake = Fake::answers(logs);
        service_of(&fake, "*", clock).handle(&of_kind("Create"), clock() + TIME).await.unwrap();
        let (_, said) = fake.answered();
        assert!(said.contains(reason), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_settings_are_reported_to_cloudformation() {
    for (kind, expected) in [("Create", "FAILED"), ("Delete", "SUCCESS")] {
        let fake = Fake::answers(Logs::Works);
        let service = service_of(&fake, "/aws/{lambda}", clock);
        service.handle(&of_kind(kind), clock() + TIME).await.unwrap();
        let (status, reason) = fake.answered();
        assert_eq!(status, expected, "{kind}");
        let begin = "invalid settings, no log group was checked: LAMBDA_OTLP_INCLUDE";
        assert!(reason.starts_with(begin), "{reason}");
        let error = service.handle(&json!({}), clock() + TIME).await.unwrap_err();
        assert!(error.to_string().contains("LAMBDA_OTLP_INCLUDE"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_reported_to_cloudformation() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn broken_clock() -> SystemTime {
        // The first call precedes any action.
        assert!(CALLS.fetch_add(1, Ordering::Relaxed) == 0, "the clock is broken");
        clock()
    }
    let fake = Fake::answers(Logs::Works);
    let service = service_of(&fake, "/aws/lambda/*", broken_clock);
    service.handle(&of_kind("Create"), clock() + TIME).await.unwrap();
    let (status, reason) = fake.answered();
    assert_eq!(status, "FAILED");
    assert!(reason.starts_with("the subscriber panicked"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_repeated_until_cloudformation_accepts_it_or_the_invocation_ends() {
    let fake = Fake::answers(Logs::Works);
    let ends = clock() + TIME;
    fake.0.lock().unwrap().refuses = 2;
    service(&fake).handle(&of_kind("Create"), ends).await.unwrap();
    assert_eq!(fake.answered().0, "SUCCESS");
    fake.0.lock().unwrap().refuses = usize::MAX;
    let error = service(&fake).handle(&of_kind("Delete"), ends).await.unwrap_err();
    assert_eq!(error.to_string(), "CloudFormation did not accept the answer: status 503");
    assert!(clock() < ends);
}

/// Each URL that is not S3's: no log group is touched, and nothing is sent.
#[tokio::test(start_paused = true)]
async fn an_answer_goes_to_s3_only() {
    for (url, scheme_and_host) in [
        (
            "http://s3.eu-west-1.amazonaws.com/b/k?X-Amz-Signature=secret",
            "http://s3.eu-west-1.amazonaws.com",
        ),
        ("https://example.com/b/k?X-Amz-Signature=secret", "https://example.com"),
        ("https://127.0.0.1:8080/k", "https://127.0.0.1"),
        ("http://169.254.169.254/latest/meta-data", "http://169.254.169.254"),
        ("file:///etc/passwd", "file://"),
        ("gopher://example.com/1x", "gopher://example.com"),
    ] {
        let fake = Fake::answers(Logs::Works);
        let mut event = of_kind("Delete");
        event["ResponseURL"] = url.into();
        let begun = Instant::now();
        let error = service(&fake).handle(&event, clock() + TIME).await.unwrap_err();
        let expected = format!(
            "a custom resource's request was refused: its ResponseURL is {scheme_and_host}, expected https and a host of S3, as \
             CloudFormation sends it"
        );
        assert_eq!(error.to_string(), expected);
        let account = fake.0.lock().unwrap();
        assert_eq!((account.calls, account.answers.len()), (0, 0), "{url}");
        assert_eq!(Instant::now(), begun, "no attempt");
    }
}
