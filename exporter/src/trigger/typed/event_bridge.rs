//! Events of Amazon EventBridge.

use crate::output::stderr;
use crate::trigger::SpanAttributesExtractor;
use crate::trigger::sender::headers_of_json;
use crate::trigger::span_attributes::SpanAttributes;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

impl<T> SpanAttributesExtractor for aws_lambda_events::eventbridge::EventBridgeEvent<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    fn extract_span_attributes(&self) -> SpanAttributes {
        // The headers in a detail of the application's own type are found by their names.
        let detail = serde_json::to_value(&self.detail).unwrap_or_default();
        // AWS's own events have no parent.
        if cfg!(debug_assertions) && !self.source.starts_with("aws.") {
            warn_of_dropped_parent::<T>(&detail);
        }
        let time = self.time.map(|time| time.to_rfc3339());
        let fields = [
            ("id", self.id.clone().into()),
            ("source", self.source.clone().into()),
            ("detail-type", self.detail_type.clone().into()),
            ("time", time.into()),
            ("detail", detail),
        ];
        let event: Value = fields
            .into_iter()
            .map(|(name, value): (&str, Value)| (name.to_owned(), value))
            .collect();
        event.extract_span_attributes()
    }
}

/// Warns once if no event with a detail of this type can continue its sender's trace.
fn warn_of_dropped_parent<T: serde::Serialize + serde::de::DeserializeOwned>(detail: &Value) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !keeps_parent::<T>(detail) && !WARNED.swap(true, Ordering::Relaxed) {
        let name = std::any::type_name::<T>();
        stderr::warn(&format!(
            "the type {name} of an event's detail drops `traceparent`, so invocations start traces of their own: add the field \
             `traceparent: Option<String>`, or `headers` with it"
        ));
    }
}

/// Returns `true` if a value of this type, which is written as `detail`, keeps a parent, or if that is unknown because the type does
/// not read what it writes.
fn keeps_parent<T: serde::Serialize + serde::de::DeserializeOwned>(detail: &Value) -> bool {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    if serde_json::from_value::<T>(detail.clone()).is_err() {
        return true;
    }
    let Value::Object(fields) = detail else { return false };
    let places =
        [("traceparent", PARENT.into()), ("headers", serde_json::json!({ "traceparent": PARENT }))];
    places.into_iter().any(|(name, parent)| {
        let mut fields = fields.clone();
        fields.insert(name.to_owned(), parent);
        let kept =
            serde_json::from_value::<T>(Value::Object(fields)).and_then(serde_json::to_value);
        kept.is_ok_and(|kept| headers_of_json(&kept).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
    #[serde(default)]
    struct Order {
        id: u64,
    }

    #[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
    #[serde(default)]
    struct Traced {
        id: u64,
        traceparent: Option<String>,
    }

    #[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
    #[serde(default)]
    struct WithHeaders {
        headers: HashMap<String, String>,
    }

    #[test]
    fn a_type_of_a_detail_keeps_the_parent_in_its_fields() {
        let detail = serde_json::json!({ "id": 7 });
        assert!(!keeps_parent::<Order>(&detail));
        assert!(!keeps_parent::<u64>(&serde_json::json!(7)));
        assert!(keeps_parent::<Traced>(&detail));
        assert!(keeps_parent::<WithHeaders>(&detail));
        assert!(keeps_parent::<Value>(&detail));
    }
}
