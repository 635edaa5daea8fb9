//! Records of our own that test a backend; each can be found again by its trace id.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use wire::{Logs, Request};

/// The fields shared by the records of one test.
#[derive(Clone, Copy, Debug)]
pub struct Canary {
    pub service: &'static str,
    /// The trace id of each record.
    pub trace_id: [u8; 16],
    /// Their time, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
}

impl Canary {
    /// Derives the trace id from this time, which is unique enough for manual tests.
    pub fn at(time_unix_nano: u64, service: &'static str) -> Self {
        let mut trace_id = [0xca; 16];
        for (to, from) in trace_id.iter_mut().skip(8).zip(time_unix_nano.to_be_bytes()) {
            *to = from;
        }
        Self { service, trace_id, time_unix_nano }
    }

    /// The trace id as 32 hexadecimal digits.
    pub fn trace_id_text(&self) -> String {
        wire::ids::to_hex(&self.trace_id)
    }

    /// The span id in that trace.
    pub fn span_id(&self) -> Vec<u8> {
        self.trace_id.iter().skip(8).copied().collect()
    }

    pub fn resource(&self) -> Resource {
        let value = Some(AnyValue { value: Some(Value::StringValue(self.service.to_owned())) });
        let key = wire::resource::SERVICE_NAME.to_owned();
        Resource {
            attributes: vec![KeyValue { key, value, ..KeyValue::default() }],
            ..Resource::default()
        }
    }

    pub fn log_record(&self, body: &str) -> Request {
        let record = LogRecord {
            time_unix_nano: self.time_unix_nano,
            severity_number: 9,
            severity_text: "INFO".to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
            trace_id: self.trace_id.to_vec(),
            span_id: self.span_id(),
            ..LogRecord::default()
        };
        let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
        let resource = Some(self.resource());
        let logs = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
        Request::encode::<Logs>(&ExportLogsServiceRequest { resource_logs: vec![logs] })
    }
}
