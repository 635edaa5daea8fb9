//! Values of different types in one column, against the fake OpenObserve.

use crate::requests::{attribute, destination, export, log_record, logs, send, summary};
use lambda_otlp_backend::{Client, Profile};
use opentelemetry_proto::tonic::common::v1::any_value::Value::{
    self, BoolValue, DoubleValue, IntValue, StringValue,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use test_support::openobserve::{Builder, FakeOpenObserve, HiddenRows};
use wire::Request;

/// A backend by the system's clock.
async fn started(builder: Builder) -> FakeOpenObserve {
    builder.user("root@example.com", "right").start().await.unwrap()
}

type Rows = Result<Vec<BTreeMap<String, serde_json::Value>>, HiddenRows>;

fn text(text: &str) -> Value {
    StringValue(text.to_owned())
}

fn key_value(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// A record from this many seconds ago, by the clock of the backend.
#[expect(clippy::disallowed_methods, reason = "the backend compares times with its own clock")]
fn record(seconds_ago: u64, attributes: Vec<KeyValue>) -> LogRecord {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let time_unix_nano = u64::try_from(now).unwrap() - seconds_ago * 1_000_000_000;
    LogRecord { time_unix_nano, attributes, ..log_record(0) }
}

fn request(seconds_ago: u64, attributes: Vec<KeyValue>) -> Request {
    logs(vec![record(seconds_ago, attributes)])
}

/// Stream, and the columns with this key's beginning in all rows: `took=12, took_text="3 s"`.
fn found(rows: &Rows, key: &str) -> String {
    let found = match rows {
        Ok(found) => found,
        Err(hidden) => return hidden.to_string(),
    };
    let columns = found.iter().flatten().filter(|(column, _)| column.starts_with(key));
    columns.map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn without_adaptation_a_changed_type_hides_all_rows() {
    let took = |value| vec![key_value("took", value)];
    let cannot = "Cannot cast string '3 s' to value of Int64 type";
    let joined = |types| {
        format!("It is not possible to concatenate arrays of different data types ({types})")
    };
    for (records, expected) in [
        // The older text does not change the type.
        (vec![(600, took(IntValue(12))), (660, took(text("3 s")))], cannot.to_owned()),
        (
            vec![(600, took(IntValue(12))), (599, took(text("3 s")))],
            r#"took="12", took="3 s""#.to_owned(),
        ),
        // A record without the column waits with the first.
        (
            vec![(600, took(IntValue(12))), (599, vec![]), (598, took(DoubleValue(1.5)))],
            joined("Int64, Float64"),
        ),
        (
            vec![(600, took(BoolValue(true))), (599, vec![]), (598, took(text("3 s")))],
            joined("Boolean, Utf8"),
        ),
    ] {
        let backend = started(FakeOpenObserve::builder()).await;
        let mut destination = destination(backend.base());
        destination.profile = Profile::Otlp;
        for (age, attributes) in records {
            let outcome = export(&destination, request(age, attributes)).await;
            assert_eq!(summary(&outcome), "1 accepted, 0 ambiguous");
        }
        assert_eq!(found(&backend.log_rows("default"), "took"), expected);
    }
}

#[tokio::test]
async fn an_id_that_is_no_text_crashes_only_without_adaptation() {
    for (profile, accepted) in [(Profile::Otlp, 0), (Profile::OpenObserve, 1)] {
        for key in ["_id", "-id", ".Id"] {
            let backend = started(FakeOpenObserve::builder()).await;
            let mut destination = destination(backend.base());
            destination.profile = profile;
            let request = request(0, vec![key_value(key, IntValue(7)), attribute("a")]);
            let request = lambda_otlp_backend::sanitize(profile, request, "shop").request.unwrap();
            let client = Client::new(&destination).unwrap().without_retries();
            let outcome = send(&client, request).await;
            assert_eq!(outcome.accepted, accepted, "{key}: {}", summary(&outcome));
        }
    }
}
