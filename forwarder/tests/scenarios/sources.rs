//! Events of Kinesis, and of the collector's test cases. The golden deliveries have the others.

use crate::support::{
    Delivered, attribute, body, default_options, deliver_event, forward_to, payload, peer_sample,
};
use backend::{Fate, Outcome, Reason};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use lambda_otlp_forwarder::{Event, Export, Options};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde_json::json;
use tokio::time::Instant;
use wire::Request;

fn event(event: serde_json::Value) -> Event {
    serde_json::from_value(event).unwrap()
}

fn kinesis(data: &[&str]) -> Event {
    let record = |(number, data): (usize, &&str)| {
        json!({"eventSource": "aws:kinesis", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
            "kinesis": {"sequenceNumber": number.to_string(), "data": data, "approximateArrivalTimestamp": 1_790_000_000.5}})
    };
    event(json!({"Records": data.iter().enumerate().map(record).collect::<Vec<_>>()}))
}

struct Refusing;

impl Export for Refusing {
    async fn export(&self, _stream: Option<&str>, request: Request, _: Instant) -> Outcome {
        Outcome::unsent(request, Reason::Deadline, Fate::Park)
    }
}

#[test]
fn a_kinesis_record_delivered_in_parts_is_returned_as_a_whole() {
    let delivery = payload("/aws/lambda/orders", &["a line", "another"]).to_string();
    let two = STANDARD.encode(wire::gzip::compress(6, delivery.repeat(2).as_bytes()));
    let options = Options { enough_to_deliver: 1, ..default_options() };
    let report = forward_to(Refusing, kinesis(&[&two, &two]), options);
    assert!(report.account.balances(), "{:?}", report.ledger());
    assert_eq!(report.ledger().returned, 4);
    assert_eq!(report.batch_item_failures, Some(vec!["0".to_owned()]));
}

/// Account, region, number of log groups, time and body of each log record.
fn described(delivered: &Delivered) -> Vec<String> {
    let mut described = Vec::new();
    for of_resource in &delivered.logs {
        let attributes = &of_resource.resource.as_ref().unwrap().attributes;
        let [account, region] = ["cloud.account.id", "cloud.region"]
            .map(|key| attribute(attributes, key).unwrap_or("-"));
        let groups = attributes.iter().find(|attribute| attribute.key == "aws.log.group.names");
        let groups = match groups.and_then(|groups| groups.value.as_ref()?.value.as_ref()) {
            Some(Value::ArrayValue(list)) => format!("{} names", list.values.len()),
            _ => "-".to_owned(),
        };
        for record in of_resource.scope_logs.iter().flat_map(|scope| &scope.log_records) {
            let (time, body) = (record.time_unix_nano, body(record));
            described.push(format!("{account} {region} {groups} {time} {body}"));
        }
    }
    described
}

/// Test cases of OpenTelemetry Collector's subscription decoder, if present.
#[test]
fn test_cases_of_the_collector_yield_the_same_log_records() {
    let Some(folder) = peer_sample("subscription-filter") else { return };
    let delivered = |file: &str| {
        let json = std::fs::read_to_string(folder.join(file)).unwrap();
        let data = STANDARD.encode(wire::gzip::compress(6, json.as_bytes()));
        let event = event(json!({"awslogs": {"data": data}}));
        let delivered = deliver_event(event, default_options());
        let mut records = described(&delivered);
        records.extend(delivered.report.unread.map(|error| error.to_string()));
        records.join("\n")
    };
    expect![[r#"
        123456789012 - 1 names 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        123456789012 - 1 names 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        123456789012 - 1 names 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}"#]]
    .assert_eq(&delivered("valid_cloudwatch_log.json"));
    assert_eq!(delivered("valid_cloudwatch_log_control.json"), "");
    expect![[r"
        123456789012 - 1 names 1771015786034000000 some text
        123456789012 - 1 names 1771015671000000000 some other text"]]
    .assert_eq(&delivered("multiple_json_objects.json"));
    expect!["999888777666 us-west-2 1 names 1725544035523000000 Hello world, here is our first log message!"]
    .assert_eq(&delivered("extracted_fields_both.json"));
    expect![[r"
        111111111111 us-east-1 1 names 1725544035523000000 First log from account 111
        222222222222 us-west-2 1 names 1725544035524000000 Second log from account 222"]]
    .assert_eq(&delivered("two_records_different_extracted_fields.json"));
    // Without a log group, the collector and the forwarder reject it; earlier log events are delivered.
    expect![[r#"
        123456789012 - - 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        123456789012 - - 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        123456789012 - - 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        `awslogs.data` is not a delivery of CloudWatch Logs: missing field `logGroup`"#]]
    .assert_eq(&delivered("invalid_cloudwatch_log.json"));
}
