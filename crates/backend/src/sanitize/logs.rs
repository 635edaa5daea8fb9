//! Log records: severity and attribute names.

use super::same_column::Columns;
use super::taken::{self, Taken};
use super::{adapt_resource, severity, value_to_text};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use wire::Depth;

/// Returns the number of renamed keys.
pub(super) fn adapt(logs: &mut ExportLogsServiceRequest, fallback_service: &str) -> usize {
    let mut renamed = 0;
    for resource_logs in &mut logs.resource_logs {
        let signal = &taken::LOG_RECORDS;
        let resource = adapt_resource(&mut resource_logs.resource, fallback_service, signal);
        let taken = Taken::in_resource(signal, &resource.encoded);
        let scopes = resource_logs.scope_logs.iter_mut();
        scopes
            .flat_map(|scope_logs| &mut scope_logs.log_records)
            .for_each(|log_record| adapt_log_record(log_record, &taken));
        renamed += resource.renamed + taken.renamed();
    }
    renamed
}

fn adapt_log_record(log_record: &mut LogRecord, taken: &Taken<'_>) {
    severity::adapt(log_record);
    let mut columns = Columns::default();
    if let Some(body) = &mut log_record.body {
        value_to_text(body, Depth::OF_VALUES);
        if let Some(Value::KvlistValue(map)) = &mut body.value {
            columns.add_body(&mut map.values);
        }
    }
    taken.adapt(&mut log_record.attributes, columns);
}
