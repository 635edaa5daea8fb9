//! Queued content that is divided into messages.

use super::*;
use crate::support::{Telemetry, body};
use lambda_otlp_forwarder::{LogBatch, LogEvent};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use wire::protobuf::Writer;
use wire::{Limits, MAX_REPEATED_BYTES};

/// Log records with these bodies, a millisecond apart, of a resource of this size.
fn records(texts: &[String], resource_bytes: usize) -> Content {
    let value = |text| Some(AnyValue { value: Some(Value::StringValue(text)) });
    let record = |(at, text): (usize, &String)| LogRecord {
        time_unix_nano: NOW + at as u64 * 1_000_000,
        body: value(text.clone()),
        ..LogRecord::default()
    };
    let key = "big".to_owned();
    let value = value(noise(resource_bytes, 7));
    let attributes = vec![KeyValue { key, value, ..KeyValue::default() }];
    let resource = Resource { attributes, ..Resource::default() };
    let records = texts.iter().enumerate().map(record).collect();
    Content::Request(Request::of_log_records(resource, records))
}

/// Log events with these messages, a millisecond apart.
fn events(texts: &[String]) -> Content {
    let event = |(at, text): (usize, &String)| LogEvent {
        id: at.to_string(),
        timestamp_ms: (NOW / 1_000_000) as i64 + at as i64,
        message: text.clone(),
    };
    let events = texts.iter().enumerate().map(event).collect();
    Content::Events(LogBatch { events, ..LogBatch::default() })
}

/// The texts and times of [`records`] and [`events`].
fn found(content: &Content) -> (Vec<String>, Vec<u64>) {
    match content {
        Content::Request(request) => {
            let telemetry = Telemetry::of(std::slice::from_ref(request));
            let found = telemetry.records().map(|it| (body(it).to_owned(), it.time_unix_nano));
            found.unzip()
        }
        Content::Events(batch) => {
            let time = |event: &LogEvent| event.timestamp_ms as u64 * 1_000_000;
            batch.events.iter().map(|event| (event.message.clone(), time(event))).unzip()
        }
        other @ (Content::Execution(_) | Content::Raw(_)) => panic!("{other:?}"),
    }
}

fn of_default(content: Content, items: usize) -> QueuedTelemetry {
    let newest_unix_nano = NOW + (items as u64 - 1) * 1_000_000;
    let parked = parked("default", content, items);
    QueuedTelemetry {
        oldest_unix_nano: Some(NOW),
        newest_unix_nano: Some(newest_unix_nano),
        stream: Some("orders".to_owned()),
        ..parked
    }
}

/// Decodes the messages, and checks their sizes and the sum of their items.
#[track_caller]
fn divided(original: &QueuedTelemetry, max_bytes: usize) -> Vec<QueuedTelemetry> {
    let messages = original.clone().into_messages(max_bytes);
    let read = messages.iter().map(|message| {
        assert!(message.body.len() <= max_bytes, "{} bytes", message.body.len());
        let parked = QueuedTelemetry::from_body(&message.body).unwrap();
        assert_eq!((parked.items, parked.fate), (message.items, original.fate));
        parked
    });
    let read: Vec<QueuedTelemetry> = read.collect();
    assert_eq!(read.iter().map(|parked| parked.items).sum::<usize>(), original.items);
    read
}

fn request_bytes(parked: &QueuedTelemetry) -> usize {
    match &parked.content {
        Content::Request(request) => request.bytes().len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn splitting_limits_the_copies_of_a_large_resource() {
    let lines: Vec<String> = (0..2000).map(|at| at.to_string()).collect();
    // The resource alone is larger than a message.
    let original = of_default(records(&lines, 1_200_000), 2000);
    let read = divided(&original, MAX_MESSAGE_BYTES);
    let kept: usize = read.iter().map(request_bytes).sum();
    let whole = request_bytes(&original);
    assert!(read.len() > 1, "{} messages", read.len());
    assert!(kept <= 2 * whole + MAX_REPEATED_BYTES, "{kept} bytes of {whole}");
}

#[test]
fn a_request_above_the_item_limit_is_split() {
    // Two bytes each, far below the size limit of a message.
    let limits = Limits { items: usize::MAX, messages: usize::MAX, ..Limits::default() };
    let records = [0x12, 0x00].repeat(120_000);
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(1, |container| container.message(2, |out| out.raw(&records)));
    let request = Request::check(SignalKind::Logs, bytes, &limits).unwrap();
    assert_eq!(request.items(), 120_000);
    let parked = of_default(Content::Request(request), 120_000);
    let read = divided(&parked, MAX_MESSAGE_BYTES);
    assert!((3..=4).contains(&read.len()), "{} messages", read.len());
}

#[test]
fn a_long_reason_is_truncated_and_encoded_in_allowed_characters() {
    let reason = "\u{fffe}\u{ffff}\u{0}\u{7f}\r\n".repeat(1000);
    let original = QueuedTelemetry { reason, ..of_default(Content::Raw(vec![1]), 1) };
    let messages = original.clone().into_messages(MAX_MESSAGE_BYTES);
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(messages[0].body.chars().all(allowed));
    let read = QueuedTelemetry::from_body(&messages[0].body).unwrap();
    assert_eq!(read.reason.chars().count(), 1000);
    assert!(original.reason.starts_with(&read.reason));
}

#[test]
fn debug_output_shows_only_sizes() {
    let original = of_default(events(&["secret".to_owned()]), 1);
    let shown = format!("{original:?} {:?}", original.clone().into_messages(1000));
    let expected = "QueuedTelemetry(1 items, Events(1, 6 bytes)) [Message(1 items, ";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(!shown.contains("orders") && !shown.contains("secret"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn each_item_is_in_one_message_at_any_message_size(
        sizes in prop::collection::vec(0usize..4000, 1..20),
        resource_bytes in 0usize..4000,
        // The keys around the content need about 1 KB, and shortened content as much.
        max_bytes in 3000usize..8000,
        seed in any::<u64>(),
        partial in any::<bool>(),
    ) {
        let lines: Vec<String> =
            sizes.iter().zip(seed..=u64::MAX).map(|(size, seed)| noise(*size, seed)).collect();
        for content in [records(&lines, resource_bytes), events(&lines)] {
            // The backend rejected one item of a partial request.
            let items = if partial { 1 } else { lines.len() };
            let fate = if partial { Fate::DeadLetterPartial } else { Fate::Park };
            let original = QueuedTelemetry { fate, items, ..of_default(content, lines.len()) };
            let read = divided(&original, max_bytes);
            for QueuedTelemetry { content, oldest_unix_nano, newest_unix_nano, .. } in &read {
                let times = found(content).1;
                prop_assert_eq!(times.iter().min(), oldest_unix_nano.as_ref());
                prop_assert_eq!(times.iter().max(), newest_unix_nano.as_ref());
            }
            // The beginning of an oversized record is kept, with the size of the missing part.
            let mut missing = lines.clone();
            for text in read.iter().flat_map(|parked| found(&parked.content).0) {
                let kept = text.split_once("…[").map_or(text.as_str(), |(kept, _)| kept);
                let at = missing.iter().position(|line| {
                    *line == text || (kept != text && line.starts_with(kept))
                });
                prop_assert!(at.is_some(), "{text:?} is nobody's");
                missing.swap_remove(at.unwrap());
            }
            prop_assert!(missing.is_empty(), "{missing:?}");
        }
    }
}
