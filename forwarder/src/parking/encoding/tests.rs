//! Valid and invalid parked messages, with the reason for each error.

use super::*;
use crate::source::{LogBatch, LogEvent, MessageType};
use serde_json::{Value, json};

/// The example of `docs/guarantees.md`.
fn example() -> Value {
    let page = include_str!("../../../../docs/guarantees.md");
    let (_, after) = page.split_once("```json\n").unwrap();
    let (json, _) = after.split_once("```").unwrap();
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_documented_example_round_trips() {
    let example = example();
    let parked = decode(&example.to_string()).unwrap();
    assert_eq!(parked.destination, "default");
    assert_eq!(parked.oldest_unix_nano, 1_790_000_000_000_000_000);
    assert_eq!(parked.log_events.last_event_id, "2");
    let Content::Request(request) = &parked.content else { panic!("{parked:?}") };
    assert_eq!((request.kind(), request.items()), (SignalKind::Logs, 2));
    let mut written: Value = serde_json::from_str(&encode(&parked).unwrap()).unwrap();
    // Other compression levels give other bytes.
    written["body"] = example["body"].clone();
    assert_eq!(written, example);
}

#[test]
fn every_message_key_is_documented() {
    let page = include_str!("../../../../docs/guarantees.md");
    let line = Content::Line { event_id: "1".to_owned(), timestamp_ms: 1, line: "x".to_owned() };
    let request = decode(&example().to_string()).unwrap();
    for parked in [Parked { partial: true, ..request.clone() }, Parked { content: line, ..request }]
    {
        let written: Value = serde_json::from_str(&encode(&parked).unwrap()).unwrap();
        for key in written.as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{key}`")), "{key}");
        }
    }
}

#[test]
fn a_parked_batch_is_readable_as_a_subscription_event() {
    let batch = LogBatch {
        message_type: MessageType::Data,
        origin: Origin::new("1", "eu-north-1", "g", "s"),
        events: vec![LogEvent { id: "7".to_owned(), timestamp_ms: 5, message: "m\n".to_owned() }],
    };
    let request = decode(&example().to_string()).unwrap();
    let parked = Parked { content: Content::Events(batch.clone()), items: 1, ..request };
    let written: Value = serde_json::from_str(&encode(&parked).unwrap()).unwrap();
    let event = json!({ "awslogs": { "data": written["body"] } });
    let event: crate::source::Event = serde_json::from_value(event).unwrap();
    let mut read = Vec::new();
    let all = &mut |batch| {
        read.push(batch);
        true
    };
    event.read(&crate::source::SourceLimits::default(), all).unwrap();
    assert_eq!(read, [batch]);
}

#[test]
fn later_minor_versions_and_unknown_keys_are_accepted() {
    let check = |key: &str, value: Value| {
        let mut message = example();
        message[key] = value;
        assert!(decode(&message.to_string()).is_ok(), "{message}");
    };
    check("v", json!("1.7"));
    check("v", json!("1"));
    check("later", json!({ "a": [1, 2] }));
    check("origin", json!({ "later": 1 }));
}

#[test]
fn invalid_messages_are_rejected_with_a_reason() {
    let check = |key: &str, value: Value, expected: &str| {
        let mut message = example();
        if value.is_null() {
            message.as_object_mut().unwrap().remove(key);
        } else {
            message[key] = value;
        }
        let error = decode(&message.to_string()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    check("v", json!("2.0"), "queue message of version 2.0, but this forwarder reads version 1");
    check("v", json!("10.0"), "queue message of version 10.0, but this forwarder reads version 1");
    check("v", json!(1), "not a queue message: ");
    check("v", json!(null), "not a queue message: missing field `v`");
    check("destination", json!(null), "not a queue message: missing field `destination`");
    check("items", json!(-1), "queue message cannot be read: invalid value: integer `-1`");
    check("items", json!(3), "queue message with an invalid `items`: 3, the request has 2");
    check("items", json!(1), "queue message with an invalid `items`: 1, the request has 2");
    check("first_seen", json!(null), "queue message cannot be read: missing field `first_seen`");
    for no_time in [
        "now",
        "2026-09-21T14:13:20",
        "2026-09-21T14:13:20+02:00",
        "2026-09-21T14:13:20.1234567890Z",
    ] {
        check("oldest", json!(no_time), "queue message with an invalid `oldest`: expected 2026-");
    }
    check("content", json!("spans"), "queue message with an invalid `content`: spans is not known");
    check("signal", json!("profiles"), "queue message with an invalid `signal`: profiles is not");
    check("signal", json!(null), "queue message with an invalid `signal`:  is not known");
    check(
        "encoding",
        json!("zstd"),
        "queue message with an invalid `encoding`: zstd, expected gzip",
    );
    check("body", json!("!"), "queued request cannot be read: ");
    check("body", json!("aGVsbG8="), "queued request cannot be read: ");
    let bomb = STANDARD.encode(wire::gzip::compress(9, &vec![0; 17 * 1024 * 1024]));
    check("body", json!(bomb), "queued request cannot be read: gzip stream inflates to more than");
    let no_request = STANDARD.encode(wire::gzip::compress(1, b"no protobuf"));
    check("body", json!(no_request), "queued request cannot be read: ");
    check(
        "stream",
        json!({ "a": "customer's text" }),
        "queue message cannot be read: invalid type: map",
    );
}

#[test]
fn foreign_bodies_are_recognized_and_no_error_quotes_content() {
    for other in ["", "null", "{}", "[]", "\"v\"", r#"{"awslogs":{"data":"x"}}"#, r#"{"v":"1.0"}"#]
    {
        assert!(matches!(decode(other), Err(NotParked::Other(_))), "{other}");
    }
    let long = format!("{{\"v\":\"{}", "1".repeat(9 * 1024 * 1024));
    assert!(matches!(decode(&long), Err(NotParked::Other(_))));
    let quoting = r#"{"v":"1.0","destination":"d","items":"a customer's text"}"#;
    assert!(!decode(quoting).unwrap_err().to_string().contains("customer"));
}
