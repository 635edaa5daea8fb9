//! Fields whose columns collide with columns of the resource or of the backend.

use super::forwarded;
use crate::support::default_options;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

fn keys(record: &LogRecord) -> Vec<&str> {
    let keys = record.attributes.iter().map(|attribute| attribute.key.as_str());
    keys.filter(|key| *key != "log.record.uid").collect()
}

fn keys_of(line: &str) -> Vec<String> {
    let (_, records, _) = forwarded(&[line], default_options());
    let [record] = records.as_slice() else { panic!("{} records", records.len()) };
    keys(record).into_iter().map(str::to_owned).collect()
}

#[test]
fn record_fields_cannot_overwrite_origin_columns() {
    for key in [
        "faas.name",
        "faas_name",
        "FAAS-NAME",
        "cloud.account.id",
        "cloud.provider",
        "aws.log.group.names",
        "service.name",
        "_o2_id",
        "_original",
        "_all",
        "_all_values",
        "_o2_ingest_ts",
        "_timestamp",
    ] {
        let line = format!(r#"{{"message":"hello","user":"u","{key}":"forged"}}"#);
        assert_eq!(keys_of(&line), ["user".to_owned(), format!("attr_{key}")], "{key}");
    }
}

#[test]
fn record_maps_cannot_overwrite_origin_columns() {
    for (key, value) in [
        ("faas", r#"{"id":1,"name":"forged"}"#),
        ("Faas", r#"{"Name":"forged"}"#),
        ("cloud", r#"{"account":{"id":"forged"}}"#),
        ("service", r#"{"name":"forged"}"#),
        ("aws.log", r#"{"group.names":"forged"}"#),
    ] {
        let line = format!(r#"{{"message":"hello","user":"u","{key}":{value}}}"#);
        assert_eq!(keys_of(&line), ["user".to_owned(), format!("attr_{key}")], "{key} {value}");
    }
}

#[test]
fn fields_without_a_conflict_keep_their_names() {
    let line = r#"{"message":"hello","faas":{"id":"x"},"cloud":{"account":"x"},"name":"x","app.faas.name":"x","id":"x"}"#;
    assert_eq!(keys_of(line), ["faas", "cloud", "name", "app.faas.name", "id"]);
    // Known fields are not removed.
    let line = r#"{"message":"hello","faas.name":"orders","cloud.provider":"aws"}"#;
    assert_eq!(keys_of(line), ["faas.name", "cloud.provider"]);
}
