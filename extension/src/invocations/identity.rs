//! The function's identity, and requests with it as resource.

use crate::config::Config;
use extensions_api::Registration;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::Span;
use platform::{Identity, PLATFORM_SCOPE, resource_spans, scope};
use wire::{Metrics, Request, Signal as _, Traces};

const OWN_SCOPE: &str = "lambda-otlp/extension";

/// Returns the function's identity, from Lambda's answer to register or from variables.
pub(crate) fn identity(config: &Config, registration: &Registration) -> Identity {
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let function = &config.function;
    let version = said(&registration.function_version);
    Identity {
        service_name: config.service_name.clone(),
        function_name: said(&registration.function_name).or_else(|| said(&function.name)),
        function_version: version.or_else(|| function.version.clone()),
        state_machine: None,
        is_lambda: true,
        account: registration.account_id.clone(),
        region: function.region.clone(),
        // Lambda hides both from extensions. The forwarder adds them.
        log_group: String::new(),
        log_stream: String::new(),
    }
}

pub(crate) fn traces(function: &Identity, memory_mib: Option<usize>, spans: Vec<Span>) -> Request {
    let mut resource = function.log_resource();
    let bytes = memory_mib.and_then(|mib| i64::try_from(mib).ok()?.checked_mul(1024 * 1024));
    resource.attributes.extend(bytes.map(|bytes| KeyValue {
        key: wire::resource::FAAS_MAX_MEMORY.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::IntValue(bytes)) }),
        ..KeyValue::default()
    }));
    Request::encode::<Traces>(&Traces::request(vec![resource_spans(
        resource,
        PLATFORM_SCOPE,
        spans,
    )]))
}

/// Makes a request of Lambda's metrics and the extension's own. The resource is short, because each attribute becomes a label of
/// every series.
pub(crate) fn metrics(function: &Identity, platform: Vec<Metric>, own: Vec<Metric>) -> Request {
    let of_scope = |(name, metrics): (&str, Vec<Metric>)| ScopeMetrics {
        scope: Some(scope(name)),
        metrics,
        ..ScopeMetrics::default()
    };
    let scopes = [(PLATFORM_SCOPE, platform), (OWN_SCOPE, own)]
        .into_iter()
        .filter(|(_, metrics)| !metrics.is_empty());
    let resource_metrics = ResourceMetrics {
        resource: Some(function.metric_resource()),
        scope_metrics: scopes.map(of_scope).collect(),
        ..ResourceMetrics::default()
    };
    Request::encode::<Metrics>(&Metrics::request(vec![resource_metrics]))
}
