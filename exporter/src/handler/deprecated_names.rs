//! The former names of HTTP attributes.

use opentelemetry::{KeyValue, Value};

/// The former names of HTTP attributes, for `OTEL_SEMCONV_STABILITY_OPT_IN=http/dup` (semantic conventions, "HTTP migration
/// guide").
pub(super) fn deprecated_names(attributes: &[KeyValue]) -> Vec<KeyValue> {
    const DEPRECATED: [(&str, &str); 7] = [
        ("http.request.method", "http.method"),
        ("url.scheme", "http.scheme"),
        ("user_agent.original", "http.user_agent"),
        ("client.address", "http.client_ip"),
        ("server.address", "net.host.name"),
        ("server.port", "net.host.port"),
        ("network.protocol.version", "http.flavor"),
    ];
    let value_of =
        |name: &str| attributes.iter().find(|own| own.key.as_str() == name).map(|own| &own.value);
    let mut old: Vec<KeyValue> = DEPRECATED
        .into_iter()
        .filter_map(|(new, old)| Some(KeyValue::new(old, value_of(new)?.clone())))
        .collect();
    if let Some(path) = value_of("url.path") {
        let query = value_of("url.query").map(|query| format!("?{query}")).unwrap_or_default();
        old.push(KeyValue::new("http.target", Value::from(format!("{path}{query}"))));
    }
    old
}
