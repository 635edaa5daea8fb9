//! Log records: severity, body and attributes, decoded or, if no other rule applies, encoded.

use super::attributes::{AdaptedResource, ItemAdapter};
use super::same_column::ColumnClaims;
use super::severity::{self, Severity};
use super::taken_columns::LOG_RECORDS;
use super::text_values::{text_attribute, value_to_text};
use super::typed_columns::{EncodedColumns, separate_body};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use wire::Depth;
use wire::edit::{Edit, Editor, Head, Rewrite};
use wire::field::{any_value, log_record, resource};
use wire::protobuf::{fields, messages};
use wire::view::{Container, Item, key_and_value};

/// Returns the number of renamed keys.
pub(super) fn adapt(logs: &mut ExportLogsServiceRequest, fallback_service: &str) -> usize {
    let mut renamed = 0;
    for resource_logs in &mut logs.resource_logs {
        let resource =
            AdaptedResource::of(&mut resource_logs.resource, fallback_service, &LOG_RECORDS);
        let mut adapter = resource.item_adapter();
        for scope_logs in &mut resource_logs.scope_logs {
            for log_record in &mut scope_logs.log_records {
                adapt_log_record(log_record, &mut adapter);
            }
        }
        renamed += adapter.renamed();
    }
    renamed
}

fn adapt_log_record(log_record: &mut LogRecord, adapter: &mut ItemAdapter<'_>) {
    severity::adapt(log_record);
    name_event(log_record);
    let mut claims = ColumnClaims::default();
    if let Some(body) = &mut log_record.body {
        value_to_text(body, Depth::OF_VALUES);
        if let Some(Value::KvlistValue(map)) = &mut body.value {
            separate_body(&mut map.values);
            claims.separate_body(&mut map.values);
        }
    }
    adapter.adapt_beside_body(&mut log_record.attributes, claims);
}

const EVENT_NAME: &str = "event.name";

/// Makes an attribute of the event's name, which OpenObserve does not store, unless an attribute says the same. The records of
/// Lambda's platform have it as `aws.lambda.event.type`.
fn name_event(log_record: &mut LogRecord) {
    let name = &log_record.event_name;
    let says_it = |attribute: &KeyValue| {
        attribute.key == EVENT_NAME || string_of(attribute) == Some(name.as_str())
    };
    if !name.is_empty() && !log_record.attributes.iter().any(says_it) {
        let name = std::mem::take(&mut log_record.event_name);
        log_record.attributes.push(text_attribute(EVENT_NAME, name));
    }
}

fn string_of(attribute: &KeyValue) -> Option<&str> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Returns `true` if this name of an event is to become an attribute of an encoded record.
pub(super) fn needs_event_name(name: &[u8], record: &[u8]) -> bool {
    let says_it = |(key, value): (&[u8], &[u8])| {
        key == EVENT_NAME.as_bytes() || messages(value, any_value::STRING).last() == Some(name)
    };
    !name.is_empty() && !messages(record, log_record::ATTRIBUTES).map(key_and_value).any(says_it)
}

/// Gives encoded records the texts of their severities and the columns of their types, and keeps everything else byte for byte.
/// No record may have an attribute in a column that this adds.
pub(super) struct EncodedRecords {
    columns: EncodedColumns,
}

impl EncodedRecords {
    pub(super) fn new() -> Self {
        Self { columns: EncodedColumns::new(log_record::ATTRIBUTES) }
    }
}

impl Editor for EncodedRecords {
    fn resource(&mut self, container: Container<'_>) -> Head {
        let mut columns = EncodedColumns::new(resource::ATTRIBUTES);
        Head::Visit(columns.write_all(container.resource()))
    }

    fn item(&mut self, record: Item<'_>) -> Edit {
        let severity = Severity::of(record.bytes);
        let new_text = severity.new_text();
        let mut rewrite = Rewrite::new(record.bytes);
        if new_text.is_some_and(|text| severity.is_shortened_by(text)) {
            // The structure was checked when the request was created, so that each text is UTF-8.
            let text = str::from_utf8(severity.text).unwrap_or_default();
            rewrite.append().text_attribute(log_record::ATTRIBUTES, severity::ORIGINAL, text);
        }
        for field in fields(record.bytes) {
            if new_text.is_some() && field.number == log_record::SEVERITY_TEXT {
                rewrite.leave_out(&field);
            } else {
                self.columns.visit(&field, &mut rewrite);
            }
        }
        self.columns.end(&mut rewrite);
        if let Some(new_text) = new_text {
            rewrite.append().string(log_record::SEVERITY_TEXT, new_text);
        }
        rewrite.finish().map_or(Edit::Keep, Edit::Replace)
    }
}
