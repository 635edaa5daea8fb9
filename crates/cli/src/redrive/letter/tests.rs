use super::super::tests::{NOW, SECOND, awslogs, log_request, noise, parked};
use super::*;
use forwarder::{LogBatch, LogEvent};
use serde_json::json;

const MAX: usize = MAX_MESSAGE_BYTES;

fn event_ids(messages: &[Message]) -> Vec<String> {
    let mut ids = Vec::new();
    for message in messages {
        assert!(message.body.len() <= MAX, "{} bytes", message.body.len());
        let parked = Parked::from_body(&message.body).unwrap();
        let Content::Events(batch) = parked.content else { panic!("{:?}", parked.content) };
        assert_eq!(parked.items, batch.events.len());
        assert_eq!(batch.origin.log_group, "/aws/lambda/orders");
        ids.extend(batch.events.into_iter().map(|event| event.id));
    }
    ids
}

fn record(payload: &serde_json::Value) -> Vec<u8> {
    json!({
        "version": "1.0",
        "timestamp": "2026-09-21T14:13:20.000Z",
        "requestContext": { "condition": "RetriesExhausted", "approximateInvokeCount": 3 },
        "requestPayload": payload,
        "responsePayload": { "errorMessage": "LAMBDA_OTLP_ENDPOINT: not set\nsecond line" },
    })
    .to_string()
    .into_bytes()
}

#[test]
fn a_small_record_is_redriven_as_its_original_event() {
    let event = awslogs(3, 10);
    let letter = Letter::from_record(&record(&event)).unwrap();
    assert_eq!(letter.reason, "RetriesExhausted: LAMBDA_OTLP_ENDPOINT: not set");
    assert_eq!(letter.log_group().as_deref(), Some("/aws/lambda/orders"));
    let messages = letter.into_messages(NOW).unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&messages[0].body).unwrap(), event);
}

#[test]
fn a_large_record_is_split_with_log_events_in_order() {
    let letter = Letter::from_record(&record(&awslogs(130, 8000))).unwrap();
    let messages = letter.into_messages(NOW).unwrap();
    assert!(messages.len() > 1);
    let expected: Vec<String> = (0..130).map(|id| id.to_string()).collect();
    assert_eq!(event_ids(&messages), expected);
}

#[test]
fn a_kinesis_record_keeps_its_payload() {
    let awslogs = awslogs(2, 10);
    let event = json!({ "Records": [{
        "eventSource": "aws:kinesis",
        "kinesis": { "sequenceNumber": "1", "data": awslogs["awslogs"]["data"] },
    }]});
    let record = json!({ "KinesisBatchInfo": {}, "payload": event.to_string() }).to_string();
    let messages = Letter::from_record(record.as_bytes()).unwrap().into_messages(NOW).unwrap();
    assert_eq!(messages[0].body, event.to_string());
}

#[test]
fn an_unsupported_record_is_described_in_the_error() {
    let check = |json: &str, expected: &str| {
        let error = Letter::from_record(json.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{expected}: the redrive function cannot process it")
        );
    };
    check("", "not a record of a failed invocation");
    check("[]", "not a record of a failed invocation");
    check("{}", "not a record of a failed invocation");
    check(r#"{"requestPayload":{"orderId":7}}"#, "an event with the keys orderId");
    check(r#"{"requestPayload":7}"#, "the event is not a JSON object");
    check(r#"{"payload":"x"}"#, "no event");
}

#[test]
fn a_log_event_larger_than_a_message_is_rejected() {
    let events = vec![LogEvent { id: "1".into(), timestamp_ms: 1, message: noise(1_100_000, 1) }];
    let batch = LogBatch { events, ..LogBatch::default() };
    let body = Parked { content: Content::Events(batch), ..parked("x", NOW) };
    assert!(matches!(divide(body), Err(Unreadable::TooLarge(_))));
}

#[test]
fn a_redriven_request_restarts_its_retry_period() {
    let before = Parked { partial: true, items: 1, ..parked("answered 503", NOW - SECOND) };
    let (message, _) = before.clone().into_messages(MAX);
    let letter = Letter::from_message(&message[0].body).unwrap();
    assert!(letter.is_partial());
    assert_eq!(letter.first_seen_unix_nano, NOW - SECOND);
    let messages = letter.into_messages(NOW).unwrap();
    let after = Parked::from_body(&messages[0].body).unwrap();
    let all = log_request().items();
    let expected = Parked { first_seen_unix_nano: NOW, partial: false, items: all, ..before };
    assert!(after == expected, "{after:?}");
}

#[test]
fn a_raw_body_is_decoded_again_when_redriven() {
    let raw = |bytes: Vec<u8>| {
        let parked = Parked { content: Content::Raw(bytes), items: 1, ..parked("too new", NOW) };
        parked.into_messages(MAX).0.remove(0).body
    };
    let inner = parked("x", NOW).into_messages(MAX).0.remove(0).body;
    let letter = Letter::from_message(&raw(inner.into_bytes())).unwrap();
    assert_eq!((letter.reason.as_str(), letter.items()), ("too new", 2));
    for bytes in [b"hello".to_vec(), vec![0xff, 0xfe]] {
        let error = Letter::from_message(&raw(bytes)).unwrap_err();
        assert_eq!(error, Unreadable::Raw("too new".to_owned()));
    }
    assert!(matches!(Letter::from_message("hello"), Err(Unreadable::Parked(_))));
}
