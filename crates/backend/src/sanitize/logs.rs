//! Log records: severity, body and attributes.

use super::attributes::{AdaptedResource, ItemAdapter};
use super::same_column::ColumnClaims;
use super::severity;
use super::taken_columns::LOG_RECORDS;
use super::text_values::value_to_text;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use wire::Depth;

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
    let mut claims = ColumnClaims::default();
    if let Some(body) = &mut log_record.body {
        value_to_text(body, Depth::OF_VALUES);
        if let Some(Value::KvlistValue(map)) = &mut body.value {
            claims.separate_body(&mut map.values);
        }
    }
    adapter.adapt_beside_body(&mut log_record.attributes, claims);
}
