//! Records of the `log` crate. `tracing-log` passes them to `tracing` without their key-values, for which a `tracing` event has no
//! place. They take another way: the logger keeps them for the log processor, which the event reaches on the same thread.

use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use opentelemetry::InstrumentationScope;
use opentelemetry::logs::{AnyValue, LogRecord as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use std::cell::RefCell;
use std::time::Duration;
use tracing_log::LogTracer;

thread_local! {
    /// Key-values of the record that this thread logs.
    static KEY_VALUES: RefCell<Vec<(String, AnyValue)>> = const { RefCell::new(Vec::new()) };
}

/// The previous ones. A terminating thread may have none.
fn replace(key_values: Vec<(String, AnyValue)>) -> Vec<(String, AnyValue)> {
    KEY_VALUES.try_with(|of_thread| of_thread.replace(key_values)).unwrap_or_default()
}

/// Sends records to the `tracing` subscriber. A logger installed by the application stays.
pub(crate) fn install() {
    if log::set_boxed_logger(Box::new(LogCrateLogger(LogTracer::new()))).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

struct LogCrateLogger(LogTracer);

impl Log for LogCrateLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.key_values().count() == 0 {
            return self.0.log(record);
        }
        if self.enabled(record.metadata()) {
            let mut found = FoundFields(Vec::new());
            // An error ends the visit: the first ones are kept.
            record.key_values().visit(&mut found).ok();
            replace(found.0);
            self.0.log(record);
            replace(Vec::new());
        }
    }

    fn flush(&self) {}
}

struct FoundFields(Vec<(String, AnyValue)>);

impl<'kvs> VisitSource<'kvs> for FoundFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push((key.as_str().to_owned(), typed(&value)));
        Ok(())
    }
}

/// Types that OTLP lacks, such as integers beyond `i64`, become text.
fn typed(value: &Value<'_>) -> AnyValue {
    let truth = value.to_bool().map(AnyValue::from);
    let integer = || value.to_i64().map(AnyValue::from);
    let number = || value.to_f64().map(AnyValue::from);
    truth.or_else(integer).or_else(number).unwrap_or_else(|| value.to_string().into())
}

/// Adds the key-values to a record, before other processors see it.
#[derive(Debug)]
pub(crate) struct AddKeyValues;

impl LogProcessor for AddKeyValues {
    fn emit(&self, record: &mut SdkLogRecord, _scope: &InstrumentationScope) {
        for (key, value) in replace(Vec::new()) {
            record.add_attribute(key, value);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    // The SDK's own warns.
    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
