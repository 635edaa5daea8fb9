//! Events of every source, and the response to Lambda.

use crate::support::{Capture, default_options, fixture, forward, forward_to, ledger, payload};
use backend::{Fate, Outcome, Reason};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::{Expect, expect};
use lambda_otlp_forwarder::{Event, Export, Options, answer};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde_json::json;
use std::path::PathBuf;
use tokio::time::Instant;
use wire::{Logs, Request};

/// The ledger of an event, and the response to Lambda.
#[track_caller]
fn check(event: Event, expected: &Expect) {
    let report = forward(event, default_options());
    let ledger = ledger(&report);
    let answer = match answer(report) {
        Ok(response) => serde_json::to_string(&response).unwrap(),
        Err(error) => format!("error: {error}"),
    };
    expected.assert_eq(&format!("{ledger}\n{answer}"));
}

fn event(event: serde_json::Value) -> Event {
    serde_json::from_value(event).unwrap()
}

fn gzip(payload: &serde_json::Value) -> String {
    STANDARD.encode(wire::gzip::compress(6, payload.to_string().as_bytes()))
}

fn kinesis(data: &[&str]) -> Event {
    let record = |(number, data): (usize, &&str)| {
        json!({"eventSource": "aws:kinesis", "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
            "kinesis": {"sequenceNumber": number.to_string(), "data": data, "approximateArrivalTimestamp": 1_790_000_000.5}})
    };
    event(json!({"Records": data.iter().enumerate().map(record).collect::<Vec<_>>()}))
}

fn queue(bodies: &[&str]) -> Event {
    let message = |(number, body): (usize, &&str)| json!({"eventSource": "aws:sqs", "messageId": format!("m{number}"), "receiptHandle": "r", "body": body});
    event(json!({"Records": bodies.iter().enumerate().map(message).collect::<Vec<_>>()}))
}

#[test]
fn kinesis_records_contain_deliveries_or_raw_lines() {
    check(
        fixture("kinesis-cwl"),
        &expect![[r#"
        19 events, 7 consumed: 30 spans, 15 data points, 9 log records, 0 undecodable
        {"batchItemFailures":[]}"#]],
    );
    check(
        fixture("kinesis-otlpline"),
        &expect![[r#"
        2 events, 0 consumed: 20 spans, 0 data points, 0 log records, 0 undecodable
        {"batchItemFailures":[]}"#]],
    );
}

#[test]
fn an_unreadable_kinesis_record_is_returned_without_a_queue() {
    let good = gzip(&payload("/aws/lambda/orders", &["a line"]));
    check(
        kinesis(&[&good, "/v8=", &good]),
        &expect![[r#"
            2 events, 0 consumed: 0 spans, 0 data points, 1 log records, 1 undecodable
            {"batchItemFailures":[{"itemIdentifier":"1"}]}"#]],
    );
    check(
        kinesis(&["!"]),
        &expect![[r#"
        1 events, 0 consumed: 0 spans, 0 data points, 0 log records, 1 undecodable
        {"batchItemFailures":[{"itemIdentifier":"0"}]}"#]],
    );
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

#[test]
fn queue_messages_contain_events_or_failed_invocation_records() {
    let delivery = payload("/aws/lambda/orders", &["a line", "another"]);
    let subscription = json!({"awslogs": {"data": gzip(&delivery)}}).to_string();
    let failed = json!({"version": "1.0", "requestContext": {"condition": "RetriesExhausted"},
        "requestPayload": {"awslogs": {"data": gzip(&delivery)}}})
    .to_string();
    check(
        queue(&[&subscription, &failed]),
        &expect![[r#"
        4 events, 0 consumed: 0 spans, 0 data points, 4 log records, 0 undecodable
        {"batchItemFailures":[]}"#]],
    );
    check(
        queue(&["hello", &failed, r#"{"requestPayload":{"orderId":1}}"#]),
        &expect![[r#"
        2 events, 0 consumed: 0 spans, 0 data points, 2 log records, 2 undecodable
        {"batchItemFailures":[{"itemIdentifier":"m0"},{"itemIdentifier":"m2"}]}"#]],
    );
}

#[test]
fn an_unreadable_kinesis_record_does_not_block_its_neighbours() {
    let good = gzip(&payload("/aws/lambda/orders", &["a line"]));
    let record = |number: usize, data: &str| json!({"eventSource": "aws:kinesis", "kinesis": {"sequenceNumber": number.to_string(), "data": data}});
    let records = [record(0, &good), record(1, "/v8="), record(2, &good)];
    let failed = json!({"requestPayload": {"Records": records}}).to_string();
    check(
        queue(&[&failed]),
        &expect![[r#"
            3 events, 0 consumed: 0 spans, 0 data points, 2 log records, 1 undecodable
            {"batchItemFailures":[{"itemIdentifier":"m0"}]}"#]],
    );
}

#[test]
fn an_sqs_event_inside_a_queue_message_is_not_acknowledged() {
    let inside = r#"{"requestPayload":{"Records":[{"eventSource":"aws:sqs","messageId":"x","receiptHandle":"r","body":"b"}]}}"#;
    check(
        queue(&[inside]),
        &expect![[r#"
            0 events, 0 consumed: 0 spans, 0 data points, 0 log records, 1 undecodable
            {"batchItemFailures":[{"itemIdentifier":"m0"}]}"#]],
    );
}

#[test]
fn an_unsupported_event_is_rejected_with_its_kind() {
    check(
        fixture("firehose-cwl"),
        &expect![[r"
        0 events, 0 consumed: 0 spans, 0 data points, 0 log records, 0 undecodable
        error: cannot forward an event of a Firehose transformation; subscribe the forwarder to the log group instead, or send through a Kinesis stream: expected a subscription of CloudWatch Logs, Kinesis records, or messages of the retry queue; 0 items before the error were delivered, and will be delivered again with the event"]],
    );
    check(
        event(json!({"orderId": 7})),
        &expect![[r"
        0 events, 0 consumed: 0 spans, 0 data points, 0 log records, 0 undecodable
        error: cannot forward an event with the keys orderId: expected a subscription of CloudWatch Logs, Kinesis records, or messages of the retry queue; 0 items before the error were delivered, and will be delivered again with the event"]],
    );
}

/// Account, region, log group, log stream, time and body of each log record.
fn described(request: &Request) -> Vec<String> {
    let request = request.decode::<Logs>().unwrap().unwrap();
    let mut described = Vec::new();
    for of_resource in request.resource_logs {
        let resource = of_resource.resource.unwrap_or_default();
        let attribute = |key: &str| {
            let found = resource.attributes.iter().find(|attribute| attribute.key == key);
            let value = found.and_then(|attribute| attribute.value.clone());
            match value.and_then(|value| value.value) {
                Some(Value::StringValue(text)) => text,
                Some(Value::ArrayValue(list)) => format!("{} names", list.values.len()),
                _ => "-".to_owned(),
            }
        };
        let place = ["cloud.account.id", "cloud.region", "aws.log.group.names"].map(attribute);
        for record in of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
            let body = match record.body.and_then(|body| body.value) {
                Some(Value::StringValue(text)) => text,
                other => format!("{other:?}"),
            };
            described.push(format!("{} {} {body}", place.join(" "), record.time_unix_nano));
        }
    }
    described
}

/// Test cases of OpenTelemetry Collector's subscription decoder, if present.
#[test]
fn test_cases_of_the_collector_yield_the_same_log_records() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/samples/peers/subscription-filter");
    if !folder.exists() {
        eprintln!("skipped: the peers' samples are not here");
        return;
    }
    let check = |file: &str, expected: Expect| {
        let json = std::fs::read_to_string(folder.join(file)).unwrap();
        let data = STANDARD.encode(wire::gzip::compress(6, json.as_bytes()));
        let taken = Capture::default();
        let event = event(json!({"awslogs": {"data": data}}));
        let report = forward_to(taken.clone(), event, default_options());
        let mut records: Vec<_> = taken.0.lock().unwrap().iter().flat_map(described).collect();
        records.extend(report.unread.map(|error| error.to_string()));
        expected.assert_eq(&records.join("\n"));
    };
    check(
        "valid_cloudwatch_log.json",
        expect![[r#"
        123456789012 - 1 names 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        123456789012 - 1 names 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        123456789012 - 1 names 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}"#]],
    );
    check("valid_cloudwatch_log_control.json", expect![[r""]]);
    check(
        "multiple_json_objects.json",
        expect![[r"
        123456789012 - 1 names 1771015786034000000 some text
        123456789012 - 1 names 1771015671000000000 some other text"]],
    );
    check(
        "extracted_fields_both.json",
        expect![
            "999888777666 us-west-2 1 names 1725544035523000000 Hello world, here is our first log message!"
        ],
    );
    check(
        "two_records_different_extracted_fields.json",
        expect![[r"
        111111111111 us-east-1 1 names 1725544035523000000 First log from account 111
        222222222222 us-west-2 1 names 1725544035524000000 Second log from account 222"]],
    );
    // Without a log group, the collector and the forwarder reject it; earlier log events are delivered.
    check(
        "invalid_cloudwatch_log.json",
        expect![[r#"
        123456789012 - - 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        123456789012 - - 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        123456789012 - - 1432826855000000000 {"eventVersion":"1.03","userIdentity":{"type":"Root"}
        `awslogs.data` is not a delivery of CloudWatch Logs: missing field `logGroup` at line 25 column 1"#]],
    );
}
