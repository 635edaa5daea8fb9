//! Telemetry as JSON objects, one per line: `{"trace": …}`, `{"logRecord": …}`, `{"metric": …}` or `{"line": …}`, in
//! the form of OTLP/JSON with an additional `service`.

use super::View;
use super::choice::Choice;
use super::held::{Held, HeldSpan};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

pub(crate) struct Json<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) choice: Choice,
    pub(crate) telemetry_only: bool,
}

impl View for Json<'_> {
    fn show(&mut self, held: Held) -> io::Result<()> {
        let held = self.choice.of(held);
        for (trace_id, trace) in held.traces() {
            let spans = trace.spans.iter().map(|HeldSpan { service, scope, span }| {
                let mut span = of_service(service, span)?;
                span.insert("scope".to_owned(), scope.as_str().into());
                Ok(Value::Object(span))
            });
            let spans = spans.collect::<io::Result<Vec<_>>>()?;
            let records = trace.records.iter().map(|(service, record)| of_service(service, record));
            let records = records.collect::<io::Result<Vec<_>>>()?;
            let trace_id = wire::ids::to_hex(trace_id);
            let trace = json!({ "traceId": trace_id, "spans": spans, "logRecords": records });
            self.write("trace", trace)?;
        }
        for (service, record) in held.records.iter().filter(|(_, own)| own.trace_id.is_empty()) {
            self.write("logRecord", of_service(service, record)?.into())?;
        }
        for (service, metric) in &held.metrics {
            self.write("metric", of_service(service, metric)?.into())?;
        }
        self.out.flush()
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        if self.telemetry_only {
            return Ok(());
        }
        self.write("line", line.into())?;
        self.out.flush()
    }
}

impl Json<'_> {
    fn write(&mut self, kind: &str, value: Value) -> io::Result<()> {
        let object: Map<String, Value> = [(kind.to_owned(), value)].into_iter().collect();
        serde_json::to_writer(&mut *self.out, &object)?;
        self.out.write_all(b"\n")
    }
}

fn of_service(service: &str, item: &impl Serialize) -> io::Result<Map<String, Value>> {
    let mut object = match serde_json::to_value(item)? {
        Value::Object(object) => object,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    object.insert("service".to_owned(), service.into());
    Ok(object)
}
