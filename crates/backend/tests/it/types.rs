//! Columns of new keys and of values of different types, against the fake OpenObserve: each row is found, numbers stay numbers, and
//! spans keep their attributes.

use crate::requests::{
    attribute, destination, export, log_record, logs, send, span, spans, summary,
};
use lambda_otlp_backend::{Client, Profile};
use opentelemetry_proto::tonic::common::v1::any_value::Value::{
    self, ArrayValue, BoolValue, DoubleValue, IntValue, KvlistValue, StringValue,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use test_support::openobserve::{Builder, FakeOpenObserve, HiddenRows, ScriptedResponse};
use tokio::time::Instant;
use wire::Request;

/// A backend by the system's clock, which dates the declarations of columns.
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

/// Sends records with these values, each older than the one before, and others without the column to a new stream or one that is
/// there.
async fn expect_columns(values: Vec<Value>, is_new: bool, expected: &str) {
    let backend = started(FakeOpenObserve::builder()).await;
    let client = Client::new(&destination(backend.base())).unwrap();
    if !is_new {
        assert_eq!(send(&client, request(0, vec![])).await.accepted, 1);
    }
    for (age, value) in values.into_iter().enumerate() {
        let age = 60 * (age as u64 + 1);
        for attributes in [vec![key_value("took", value)], vec![]] {
            assert_eq!(send(&client, request(age, attributes)).await.accepted, 1);
        }
    }
    assert_eq!(found(&backend.log_rows("default"), "took"), expected);
}

#[tokio::test]
async fn each_value_has_a_column_that_holds_it() {
    const LARGE: i64 = (1 << 53) + 1;
    let map = |value| KvlistValue(KeyValueList { values: vec![key_value("ms", value)] });
    let list = ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue::default());
    let mut streams = tokio::task::JoinSet::new();
    for (values, expected) in [
        (vec![IntValue(12), text("3 s")], r#"took=12.0, took_text="3 s""#),
        (vec![text("3 s"), IntValue(12)], r#"took="3 s", took_number=12.0"#),
        (vec![IntValue(12), DoubleValue(1.5), IntValue(3)], "took=12.0, took=1.5, took=3.0"),
        (vec![IntValue(12), BoolValue(true)], "took=12.0, took=1.0"),
        (
            vec![BoolValue(true), IntValue(12), text("x")],
            r#"took=true, took_number=12.0, took_text="x""#,
        ),
        (vec![BoolValue(true), text("x")], r#"took=true, took_text="x""#),
        (vec![text("x"), BoolValue(true)], r#"took="x", took="true""#),
        (
            vec![text("x"), IntValue(1), DoubleValue(1.5)],
            r#"took="x", took_number=1.0, took_number=1.5"#,
        ),
        (
            vec![IntValue(LARGE), IntValue(3), DoubleValue(1.5)],
            "took=9007199254740993, took=3, took_number=1.5",
        ),
        (
            vec![DoubleValue(1.5), IntValue(LARGE), IntValue(-LARGE), IntValue(-3)],
            "took=1.5, took_number=9007199254740993, took_number=-9007199254740993, took=-3.0",
        ),
        (
            vec![text("x"), IntValue(1), IntValue(LARGE)],
            r#"took="x", took_number=1.0, took_number_2=9007199254740993"#,
        ),
        (
            vec![map(IntValue(1)), text("x"), map(text("2"))],
            r#"took_ms=1.0, took="x", took_ms_text="2""#,
        ),
        (vec![IntValue(1), list], "took=1.0"),
    ] {
        for is_new in [false, true] {
            streams.spawn(expect_columns(values.clone(), is_new, expected));
        }
    }
    streams.join_all().await;
}

#[tokio::test]
async fn a_column_that_is_there_keeps_its_type() {
    for (first, later, expected) in [
        (IntValue(12), DoubleValue(1.5), "took=12, took_number=1.5"),
        (IntValue(12), text("3 s"), r#"took=12, took_text="3 s""#),
        (BoolValue(true), IntValue(12), "took=true, took_number=12.0"),
    ] {
        let backend = started(FakeOpenObserve::builder()).await;
        let mut foreign = destination(backend.base());
        foreign.profile = Profile::Otlp;
        for attributes in [vec![key_value("took", first)], vec![]] {
            assert_eq!(export(&foreign, request(0, attributes)).await.accepted, 1);
        }
        let client = Client::new(&destination(backend.base())).unwrap();
        let request = request(0, vec![key_value("took", later)]);
        assert_eq!(send(&client, request).await.accepted, 1);
        assert_eq!(found(&backend.log_rows("default"), "took"), expected);
    }
}

#[tokio::test]
async fn a_column_of_its_own_takes_no_name_of_another_field() {
    let backend = started(FakeOpenObserve::builder()).await;
    let client = Client::new(&destination(backend.base())).unwrap();
    let all = |values: [(&str, Value); 2]| {
        request(0, values.map(|(key, value)| key_value(key, value)).into())
    };
    for request in [
        all([("took", IntValue(1)), ("took_text_2", IntValue(5))]),
        all([("took", text("3 s")), ("took.text", text("other"))]),
    ] {
        assert_eq!(send(&client, request).await.accepted, 1);
    }
    let found = found(&backend.log_rows("default"), "took");
    assert_eq!(found, r#"took=1.0, took_text_2=5.0, took_text="other", took_text_3="3 s""#);
    let declared = r#"{"fields":[{"data_type":"Utf8","name":"took_text_3","nullable":true}]}"#;
    assert!(backend.schema_calls().iter().any(|call| call.ends_with(declared)));
}

#[tokio::test]
async fn known_types_cost_no_call_and_new_ones_three() {
    let backend = started(FakeOpenObserve::builder()).await;
    let client = Client::new(&destination(backend.base())).unwrap();
    let schema = "GET /api/default/streams/default/schema";
    let declares = |fields: serde_json::Value| {
        format!("PUT /api/default/streams/default/update_fields {}", json!({ "fields": fields }))
    };
    let one = |key: &str, value| vec![key_value(key, value)];
    let column = |of_column: &str, name: &str| json!({"data_type": of_column, "name": name, "nullable": name != "_timestamp"});
    let stream = declares(json!([column("Int64", "_timestamp"), column("Utf8", "service_name")]));
    let a = declares(json!([column("Utf8", "a")]));
    let b = declares(json!([column("Float64", "b")]));
    let b_text = declares(json!([column("Utf8", "b_text")]));
    for (attributes, calls) in [
        (vec![], &[schema, &stream, schema][..]),
        (vec![], &[]),
        (one("a", text("x")), &[schema, &a, schema]),
        (one("a", text("y")), &[]),
        (one("b", IntValue(1)), &[schema, &b, schema]),
        (one("b", IntValue(2)), &[]),
        // The column holds it, as is known.
        (one("b", DoubleValue(1.5)), &[]),
        (one("b", text("x")), &[schema, &b_text, schema]),
        (one("b", text("y")), &[]),
    ] {
        let before = backend.schema_calls().len();
        assert_eq!(send(&client, request(0, attributes)).await.accepted, 1);
        assert_eq!(backend.schema_calls()[before..], *calls);
    }
    // Another environment knows all of it after one call.
    let client = Client::new(&destination(backend.base())).unwrap();
    let before = backend.schema_calls().len();
    assert_eq!(send(&client, request(0, one("b", IntValue(1)))).await.accepted, 1);
    assert_eq!(backend.schema_calls()[before..], [schema]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_schema_is_told_once_in_ten_minutes() {
    let backend = started(FakeOpenObserve::builder().refuse_schemas(401)).await;
    let client = Client::new(&destination(backend.base())).unwrap();
    let warning = "cannot read the columns of stream default: answered 401: use the password of a user, because an ingestion token may only write; numbers and texts of one field may share a column";
    for (wait, expected) in [(0, warning), (0, ""), (599, ""), (2, warning)] {
        tokio::time::advance(Duration::from_secs(wait)).await;
        let request = request(0, vec![key_value("took", IntValue(1))]);
        let outcome = send(&client, request).await;
        assert_eq!((outcome.accepted, outcome.warning.as_str()), (1, expected), "{wait}");
    }
    assert_eq!(backend.schema_calls().len(), 2);
}

/// OpenObserve creates an organization when it receives telemetry.
#[tokio::test]
async fn a_new_organization_gets_columns_from_its_second_request_on() {
    let backend = started(FakeOpenObserve::builder()).await;
    let base = format!("{}/api/new", backend.url());
    let client = Client::new(&destination(&base)).unwrap();
    let took = key_value("took", IntValue(1));
    for attributes in [vec![took.clone()], vec![took, attribute("city")]] {
        let outcome = send(&client, request(0, attributes)).await;
        assert_eq!((outcome.accepted, outcome.warning.as_str()), (1, ""));
    }
    let calls = backend.schema_calls();
    let is_of_city = |call: &String| call.starts_with("PUT") && call.contains("city");
    assert!(calls.iter().any(is_of_city), "{calls:?}");
}

#[tokio::test]
async fn other_backends_are_not_asked_for_types() {
    let backend = started(FakeOpenObserve::builder()).await;
    let mut openobserve = destination(backend.base());
    openobserve.profile = Profile::Otlp;
    for destination in [openobserve, destination(backend.url())] {
        let request = request(0, vec![key_value("took", IntValue(1))]);
        assert_eq!(export(&destination, request).await.accepted, 1);
    }
    assert_eq!(backend.schema_calls(), [""; 0]);
}

#[tokio::test]
async fn a_text_that_is_declared_late_meets_no_number() {
    for number in [IntValue(12), DoubleValue(1.5), BoolValue(true), IntValue(i64::MAX)] {
        let builder = FakeOpenObserve::builder().late_texts(Duration::from_millis(100));
        let backend = started(builder).await;
        let destination = destination(backend.base());
        assert_eq!(export(&destination, request(0, vec![])).await.accepted, 1);
        let sending = [text("3 s"), number].map(|value| {
            let client = Client::new(&destination).unwrap();
            async move {
                for attributes in [vec![key_value("took", value)], vec![]] {
                    assert_eq!(send(&client, request(0, attributes)).await.accepted, 1);
                }
            }
        });
        // Both read the schema before one of them declares the column.
        let [texts, numbers] = sending;
        tokio::join!(texts, numbers);
        let rows = backend.log_rows("default").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rows.len(), 5);
        let puts = backend.schema_calls().iter().filter(|call| call.starts_with("PUT")).count();
        assert_eq!(puts, 3 + usize::from(rows.iter().any(|row| row.contains_key("took_number"))));
    }
}

#[tokio::test]
async fn a_number_waits_for_a_late_text_if_another_environment_declared_its_column() {
    let builder = FakeOpenObserve::builder().late_texts(Duration::from_millis(100));
    let backend = started(builder).await;
    let destination = destination(backend.base());
    let clients = [(); 3].map(|()| Client::new(&destination).unwrap());
    for client in &clients {
        assert_eq!(send(client, request(0, vec![])).await.accepted, 1);
    }
    let [of_text, of_number, of_later_number] = &clients;
    let took = |value| request(0, vec![key_value("took", value)]);
    let later = async {
        while !backend.schema_calls().iter().any(|call| call.contains("Float64")) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        send(of_later_number, took(IntValue(13))).await
    };
    let of_text = send(of_text, took(text("3 s")));
    let of_number = send(of_number, took(IntValue(12)));
    let outcomes = <[_; 3]>::from(tokio::join!(of_text, of_number, later));
    assert_eq!(outcomes.map(|outcome| outcome.accepted), [1; 3]);
    let rows = backend.log_rows("default");
    let found = found(&rows, "took");
    assert!(found.contains(r#"took="3 s""#) && found.contains("took_number=13"), "{found}");
}

/// A number, a fraction or a text, and the second in which it was.
fn any_value() -> impl Strategy<Value = (u64, usize, Value)> {
    let value = proptest::prop_oneof![
        (0..1000_i64).prop_map(IntValue),
        (0..1000_i32).prop_map(|number| DoubleValue(f64::from(number) + 0.5)),
        "[a-z]{8} [a-z]{8}".prop_map(StringValue),
        proptest::bool::ANY.prop_map(BoolValue),
    ];
    (0..3600_u64, 0..10_usize, value)
}

async fn send_all(client: Client, values: Vec<(u64, usize, Value)>) {
    for (age, key, value) in values {
        let request = request(age, vec![key_value(&format!("key{key}"), value)]);
        let outcome = client.export(None, request, Instant::now() + Duration::from_mins(1)).await;
        assert_eq!(outcome.accepted, 1, "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_environments_hide_no_row_of_ten_keys() {
    let mut runner = TestRunner::deterministic();
    // In every other round, the environments create the stream too.
    for round in 0..6 {
        let backend = started(FakeOpenObserve::builder()).await;
        let destination = destination(backend.base());
        let before = round % 2;
        for _ in 0..before {
            assert_eq!(export(&destination, request(0, vec![])).await.accepted, 1);
        }
        // The first reading of an environment cannot know how old a column is, so it comes before the columns.
        let mut starting = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let client = Client::new(&destination).unwrap();
            starting.spawn(async move {
                assert_eq!(send(&client, request(0, vec![])).await.accepted, 1);
                client
            });
        }
        let clients = starting.join_all().await;
        let values = proptest::collection::vec(any_value(), 40);
        let mut environments = tokio::task::JoinSet::new();
        let mut texts = Vec::new();
        for client in clients {
            let values = values.new_tree(&mut runner).unwrap().current();
            texts.extend(values.iter().filter_map(|(_, _, value)| match value {
                StringValue(text) => Some(text.clone()),
                _ => None,
            }));
            environments.spawn(send_all(client, values));
        }
        environments.join_all().await;
        let rows = backend.log_rows("default").unwrap_or_else(|error| panic!("{round}: {error}"));
        assert_eq!(rows.len(), before + 6 * (1 + 40));
        let stored: Vec<&str> =
            rows.iter().flat_map(BTreeMap::values).filter_map(|value| value.as_str()).collect();
        let lost: Vec<_> = texts.iter().filter(|text| !stored.contains(&text.as_str())).collect();
        assert!(lost.is_empty(), "{round}: {lost:?}");
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

#[tokio::test]
async fn known_attributes_of_spans_cost_no_call_and_new_ones_three() {
    let backend = started(FakeOpenObserve::builder().no_window()).await;
    let client = Client::new(&destination(backend.base())).unwrap();
    let schema = "GET /api/default/streams/default/schema";
    let column = |name: &str| json!({"data_type": "Utf8", "name": name, "nullable": true});
    let declare = |columns: &[&str]| {
        let fields: Vec<_> = columns.iter().map(|name| column(name)).collect();
        format!("PUT /api/default/streams/default/update_fields {}", json!({ "fields": fields }))
    };
    let a = declare(&["a"]);
    let map = declare(&["m_b_c"]);
    let nested = |key: &str, value: KeyValue| {
        key_value(key, KvlistValue(KeyValueList { values: vec![value] }))
    };
    for (attributes, calls) in [
        // The first spans make the stream.
        (vec![], &[schema][..]),
        (vec![], &[]),
        (vec![attribute("a")], &[schema, &a, schema]),
        (vec![key_value("a", IntValue(1))], &[]),
        (vec![nested("m", nested("b", attribute("c")))], &[schema, &map, schema]),
        // The server makes columns of its own.
        (vec![attribute("gen_ai.request.model")], &[]),
    ] {
        let before = backend.schema_calls().len();
        let request = spans(vec![Span { attributes, ..span() }]);
        assert_eq!(send(&client, request).await.accepted, 1);
        assert_eq!(backend.schema_calls()[before..], *calls);
    }
}

#[tokio::test]
async fn six_environments_lose_no_new_attribute_of_spans() {
    let backend = started(FakeOpenObserve::builder().no_window().racing_schemas()).await;
    let slow = ScriptedResponse::Delayed(Duration::from_millis(20), Box::new(ScriptedResponse::Ok));
    backend.script(vec![slow; 1_000]);
    let destination = destination(backend.base());
    assert_eq!(export(&destination, spans(vec![span()])).await.accepted, 1);
    let mut environments = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let client = Client::new(&destination).unwrap();
        environments.spawn(async move {
            for round in 0..10 {
                let attributes = vec![attribute(&format!("key{round}"))];
                let parent_span_id = vec![3; 8];
                let status = Some(Status::default());
                let span = Span { attributes, parent_span_id, status, kind: 3, ..span() };
                let request = spans(vec![span; 2]);
                assert_eq!(send(&client, request).await.accepted, 2);
            }
        });
    }
    environments.join_all().await;
    assert_eq!((backend.counts().spans, backend.lost_columns()), (121, 0));
}
