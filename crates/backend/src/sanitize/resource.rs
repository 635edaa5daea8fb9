//! Resources: service name and attribute names.

use super::{names, same_column, values};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use wire::resource::SERVICE_NAME;

/// Gives the resource a `service.name`, and renames attributes that would overwrite OpenObserve's columns.
pub(super) fn shape(
    resource: &mut Option<Resource>,
    fallback_service: &str,
    reserved: &names::Reserved,
) {
    let resource = resource.get_or_insert_default();
    values::to_text(&mut resource.attributes);
    names::rename(&mut resource.attributes, reserved);
    let is_service_name = |attribute: &&mut KeyValue| attribute.key == SERVICE_NAME;
    let text = |name: &str| AnyValue { value: Some(Value::StringValue(name.to_owned())) };
    match resource.attributes.iter_mut().find(is_service_name) {
        Some(KeyValue {
            value: Some(AnyValue { value: Some(Value::StringValue(name)) }), ..
        }) if !name.is_empty() => {}
        Some(nameless) => nameless.value = Some(text(fallback_service)),
        None => resource.attributes.push(KeyValue {
            key: SERVICE_NAME.to_owned(),
            value: Some(text(fallback_service)),
            ..Default::default()
        }),
    }
    same_column::separate(&mut resource.attributes);
}
