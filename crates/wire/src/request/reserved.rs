//! Renames reserved names of content in a request.

use super::Request;
use crate::field::{event, key_value, log_record, metric, scope, scope_container};
use crate::protobuf::{Field, Writer, begin_delimited, end_delimited, fields};
use crate::reserved::{
    Place, RENAMED_PREFIX, Surroundings, is_own_event, is_own_metric, is_reserved,
    is_reserved_attribute, is_reserved_metric, may_state,
};
use crate::schema::{self, Kind, Message};
use crate::view::{Item, ItemKind, key_and_value, message as message_of, metric_name};

impl Request {
    /// Puts [`RENAMED_PREFIX`] before the names of content that this project computes (see [`crate::reserved`]), unless one of our programs
    /// writes them there.
    ///
    /// Free for a request whose check found no such name. A request that was not checked is ours, and stays unchanged.
    #[must_use]
    pub fn without_foreign_names(self) -> Self {
        if self.may_have_reserved_names { self.rename_foreign_names() } else { self }
    }

    /// Like [`without_foreign_names`](Self::without_foreign_names), for a request that we made of another format's content.
    #[must_use]
    pub fn rename_foreign_names(self) -> Self {
        let mut rename = Rename { out: Vec::with_capacity(self.bytes.len() + 64), renamed: 0 };
        let surroundings = Surroundings { place: Place::Head, scope: &[], metric_name: &[] };
        rename.message(schema::request(self.kind), &self.bytes, surroundings);
        if rename.renamed == 0 {
            return self;
        }
        Self { bytes: rename.out, ..self }
    }
}

struct Rename {
    out: Vec<u8>,
    renamed: usize,
}

impl Rename {
    /// The depth is that of OTLP's messages: values, which may nest, are copied.
    fn message(&mut self, message: &'static Message, bytes: &[u8], around: Surroundings<'_>) {
        for field in fields(bytes) {
            let kind = message.field(field.number).map(|known| known.kind);
            match (kind, field.as_len()) {
                (Some(Kind::Message(inner)), Some(attribute)) if schema::is_key_value(inner) => {
                    self.attribute(&field, attribute, around);
                }
                (Some(Kind::Message(inner)), Some(content)) if !schema::is_any_value(inner) => {
                    let content_at = begin_delimited(&mut self.out, field.number);
                    self.message(inner, content, around_content(inner, content, around));
                    end_delimited(&mut self.out, content_at);
                }
                (Some(Kind::String), Some(name)) if is_foreign(message, &field, name, around) => {
                    self.renamed += 1;
                    let new = [RENAMED_PREFIX.as_bytes(), name].concat();
                    Writer::new(&mut self.out).always_bytes(field.number, &new);
                }
                _ => self.out.extend_from_slice(field.raw),
            }
        }
    }

    fn attribute(&mut self, field: &Field<'_>, attribute: &[u8], around: Surroundings<'_>) {
        let (key, value) = key_and_value(attribute);
        if !is_reserved_attribute(key, value) || may_state(key, value, &around) {
            self.out.extend_from_slice(field.raw);
            return;
        }
        self.renamed += 1;
        let content_at = begin_delimited(&mut self.out, field.number);
        let new = [RENAMED_PREFIX.as_bytes(), key].concat();
        Writer::new(&mut self.out).always_bytes(key_value::KEY, &new);
        for field in fields(attribute).filter(|field| field.number != key_value::KEY) {
            self.out.extend_from_slice(field.raw);
        }
        end_delimited(&mut self.out, content_at);
    }
}

/// The surroundings of the names in a message.
fn around_content<'r>(
    message: &'static Message,
    content: &'r [u8],
    around: Surroundings<'r>,
) -> Surroundings<'r> {
    if schema::is_scope_container(message) {
        let scope = message_of(content, scope_container::SCOPE);
        return Surroundings { scope: message_of(scope, scope::NAME), ..around };
    }
    if schema::is_metric(message) {
        let metric_name = metric_name(content);
        return Surroundings { place: Place::Metric, metric_name, ..around };
    }
    let place = match (schema::kind_of_item(message), around.place) {
        (Some(kind), _) => {
            Place::Item(Item { kind, bytes: content, metric_name: around.metric_name })
        }
        (None, Place::Item(_)) => Place::Other,
        (None, place) => place,
    };
    Surroundings { place, ..around }
}

/// Returns `true` for a reserved name of a metric or an event that is not ours.
fn is_foreign(
    message: &'static Message,
    field: &Field<'_>,
    name: &[u8],
    around: Surroundings<'_>,
) -> bool {
    match (around.place, field.number) {
        (Place::Metric, metric::NAME) if schema::is_metric(message) => {
            is_reserved_metric(name) && !is_own_metric(name, around.scope)
        }
        // The event of a span.
        (Place::Other, event::NAME) if schema::is_event(message) => is_reserved(name),
        (Place::Item(item), log_record::EVENT_NAME) if item.kind == ItemKind::LogRecord => {
            is_reserved(name) && !is_own_event(name, around.scope)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::signal::SignalKind;

    #[test]
    fn reserved_names_of_content_are_renamed_at_each_place_and_everything_else_stays() {
        let json = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"lambda_otlp.a","value":{"stringValue":"1"}},{"key":"lambda_otlp.truncated","value":{"boolValue":true}}]},"scopeSpans":[{"scope":{"name":"lambda_otlp.a","attributes":[{"key":"lambda_otlp.b","value":{"intValue":"1"}}]},"spans":[{"name":"lambda_otlp.c","attributes":[{"key":"a","value":{"kvlistValue":{"values":[{"key":"lambda_otlp.d","value":{"stringValue":"2"}}]}}},{"key":"lambda_otlp.partial","value":{"boolValue":true}}],"events":[{"name":"lambda_otlp.e","attributes":[{"key":"Lambda-Otlp.f","value":{}}]}],"links":[{"attributes":[{"key":"lambda_otlp.partial","value":{"boolValue":true}}]}],"status":{"message":"lambda_otlp.g"}}]}]}]}"#;
        let request = Request::from_json(SignalKind::Traces, json.as_bytes(), &Limits::default());
        let renamed = request.unwrap().without_foreign_names();
        let mut expected = json.to_owned();
        for (name, new) in [
            ("\"lambda_otlp.a\",\"value", "\"attr_lambda_otlp.a\",\"value"),
            ("\"lambda_otlp.b", "\"attr_lambda_otlp.b"),
            ("\"lambda_otlp.e", "\"attr_lambda_otlp.e"),
            ("\"Lambda-Otlp.f", "\"attr_Lambda-Otlp.f"),
            (
                "\"links\":[{\"attributes\":[{\"key\":\"lambda",
                "\"links\":[{\"attributes\":[{\"key\":\"attr_lambda",
            ),
        ] {
            assert!(expected.contains(name), "{name}");
            expected = expected.replacen(name, new, 1);
        }
        let expected =
            Request::from_json(SignalKind::Traces, expected.as_bytes(), &Limits::default());
        assert_eq!(renamed.to_json(), expected.unwrap().to_json());
        // A second reader, such as another forwarder, finds nothing to rename.
        assert_eq!(renamed.clone().rename_foreign_names(), renamed);
    }

    fn renamed(attribute: &[u8]) -> String {
        let mut resource = vec![0x0a, u8::try_from(attribute.len()).unwrap()];
        resource.extend_from_slice(attribute);
        let mut container = vec![0x0a, u8::try_from(resource.len()).unwrap()];
        container.extend_from_slice(&resource);
        container.extend_from_slice(b"\x12\x02\x12\x00");
        let mut bytes = vec![0x0a, u8::try_from(container.len()).unwrap()];
        bytes.extend_from_slice(&container);
        let request = Request::check(SignalKind::Traces, bytes, &Limits::default()).unwrap();
        String::from_utf8(request.without_foreign_names().into_bytes()).unwrap()
    }

    /// Readers take the last of several keys, and merge maps in several values.
    #[test]
    fn an_attribute_in_several_pieces_is_found() {
        let renamed_key = renamed(b"\x0a\x01a\x0a\x0dlambda_otlp.x\x12\x00");
        assert!(renamed_key.contains("attr_lambda_otlp.x"), "{renamed_key:?}");
        let map = b"\x0a\x06lambda\x12\x09\x32\x07\x0a\x05\x0a\x01x\x12\x00\x12\x0c\x32\x0a\x0a\x08\x0a\x04otlp\x12\x00";
        let renamed_map = renamed(map);
        assert!(renamed_map.contains("attr_lambda"), "{renamed_map:?}");
    }

    /// The names of metrics are folded, and X-Ray's exceptions have a fingerprint.
    #[test]
    fn names_of_metrics_and_of_our_events_are_judged_by_their_place() {
        let metric = |name: &str| {
            format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"{name}","gauge":{{"dataPoints":[{{}}]}}}}]}}]}}]}}"#
            )
        };
        let read = |kind, json: &str| {
            let request = Request::from_json(kind, json.as_bytes(), &Limits::default()).unwrap();
            request.without_foreign_names().to_json().clone()
        };
        let folded = read(SignalKind::Metrics, &metric("lambda..otlp.forwarder.items"));
        assert!(folded.contains("\"attr_lambda..otlp.forwarder.items"), "{folded}");
        for (scope, is_kept) in [("lambda-otlp/logs", true), ("other", false)] {
            let json = format!(
                r#"{{"resourceLogs":[{{"scopeLogs":[{{"scope":{{"name":"{scope}"}},"logRecords":[{{"eventName":"lambda_otlp.undecodable"}}]}}]}}]}}"#
            );
            let read = read(SignalKind::Logs, &json);
            assert_eq!(!read.contains("attr_lambda_otlp"), is_kept, "{read}");
        }
        for (scope, is_kept) in [("lambda-otlp/xray", true), ("other", false)] {
            let json = format!(
                r#"{{"resourceSpans":[{{"scopeSpans":[{{"scope":{{"name":"{scope}"}},"spans":[{{"events":[{{"name":"exception","attributes":[{{"key":"lambda_otlp.exception.fingerprint","value":{{"stringValue":"6f5f1fd5a63fa228"}}}}]}}]}}]}}]}}]}}"#
            );
            let read = read(SignalKind::Traces, &json);
            assert_eq!(!read.contains("attr_lambda_otlp"), is_kept, "{read}");
        }
    }

    #[test]
    fn a_checked_request_without_such_names_is_not_walked() {
        let check = |key: &str, expected: bool| {
            let json = format!(
                r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"lambda_otlp"}},"attributes":[{{"key":"{key}","value":{{"stringValue":"lambda_otlp"}}}}]}}]}}]}}]}}"#
            );
            let request = Request::from_json(SignalKind::Logs, json.as_bytes(), &Limits::default());
            assert_eq!(request.unwrap().may_have_reserved_names, expected, "{key}");
        };
        check("faas.name", false);
        check("lambda_otel_lite.mode", false);
        check("lambda", true);
        check("LAMBDA_otlp.x", true);
        check("lambda_otlp.名", true);
    }
}
