//! Adapts the decoded attributes of a resource and its items: values that JSON lacks become text, and each value gets a column of
//! its type and its own.

use super::same_column::ColumnClaims;
use super::taken_columns::{SignalColumns, TakenColumns};
use super::text_values::{text_attribute, text_value, to_text};
use super::typed_columns::separate_types;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use wire::resource::SERVICE_NAME;

/// A resource whose attributes are adapted.
pub(super) struct AdaptedResource {
    signal: &'static SignalColumns,
    encoded: Vec<u8>,
    /// Number of keys that were renamed because another key had their column.
    renamed: usize,
}

impl AdaptedResource {
    /// Adapts a resource. It gets the name of the fallback service if it has none, because OpenObserve would use the previous
    /// resource's.
    pub(super) fn of(
        resource: &mut Option<Resource>,
        fallback_service: &str,
        signal: &'static SignalColumns,
    ) -> Self {
        let resource = resource.get_or_insert_default();
        to_text(&mut resource.attributes);
        name_service(&mut resource.attributes, fallback_service);
        let numbers = signal.has_types.then(|| separate_types(&mut resource.attributes));
        let collides =
            |attribute: &KeyValue| signal.is_reserved_in_resources(attribute.key.as_bytes());
        let mut claims = ColumnClaims::default();
        claims.separate(&mut resource.attributes, collides);
        if let Some(numbers) = numbers {
            numbers.add_to(&mut resource.attributes, collides);
        }
        let encoded = prost::Message::encode_to_vec(resource);
        Self { signal, encoded, renamed: claims.renamed() }
    }

    /// What adapts the items of this resource.
    pub(super) fn item_adapter(&self) -> ItemAdapter<'_> {
        let taken = TakenColumns::in_resource(self.signal, &self.encoded);
        ItemAdapter { taken, renamed: self.renamed }
    }
}

fn name_service(attributes: &mut Vec<KeyValue>, fallback_service: &str) {
    let is_service_name = |attribute: &&mut KeyValue| attribute.key == SERVICE_NAME;
    match attributes.iter_mut().find(is_service_name) {
        Some(KeyValue {
            value: Some(AnyValue { value: Some(Value::StringValue(name)) }), ..
        }) if !name.is_empty() => {}
        Some(nameless) => nameless.value = Some(text_value(fallback_service.to_owned())),
        None => attributes.push(text_attribute(SERVICE_NAME, fallback_service.to_owned())),
    }
}

/// Adapts the attributes of one resource's items.
pub(super) struct ItemAdapter<'r> {
    taken: TakenColumns<'r>,
    renamed: usize,
}

impl ItemAdapter<'_> {
    /// Adapts the attributes of an item.
    pub(super) fn adapt(&mut self, attributes: &mut Vec<KeyValue>) {
        self.adapt_all(attributes, ColumnClaims::default(), |_| false);
    }

    /// Like [`adapt`](Self::adapt), and renames attributes that another rule `excludes`.
    pub(super) fn adapt_excluding(
        &mut self,
        attributes: &mut Vec<KeyValue>,
        excludes: impl Fn(&KeyValue) -> bool,
    ) {
        self.adapt_all(attributes, ColumnClaims::default(), excludes);
    }

    /// Like [`adapt`](Self::adapt), for a log record whose body has claimed columns.
    pub(super) fn adapt_beside_body(&mut self, attributes: &mut Vec<KeyValue>, body: ColumnClaims) {
        self.adapt_all(attributes, body, |_| false);
    }

    fn adapt_all(
        &mut self,
        attributes: &mut Vec<KeyValue>,
        mut claims: ColumnClaims,
        excludes: impl Fn(&KeyValue) -> bool,
    ) {
        to_text(attributes);
        let numbers = self.taken.has_types().then(|| separate_types(attributes));
        let taken = &self.taken;
        let collides = |attribute: &KeyValue| taken.collides(attribute) || excludes(attribute);
        claims.separate(attributes, collides);
        if let Some(numbers) = numbers {
            numbers.add_to(attributes, |attribute| taken.collides(attribute));
        }
        self.renamed += claims.renamed();
    }

    /// Adapts the attributes of an event or link. OpenObserve stores it as JSON in a column, where `fields` are other names than
    /// those of attributes.
    pub(super) fn adapt_beside_fields(&mut self, attributes: &mut [KeyValue], fields: &[&[u8]]) {
        to_text(attributes);
        let is_field = |attribute: &KeyValue| fields.contains(&attribute.key.as_bytes());
        if attributes.iter().any(is_field) {
            let mut claims = ColumnClaims::default();
            claims.separate(attributes, is_field);
            self.renamed += claims.renamed();
        }
    }

    /// Number of keys of the resource and its items that were renamed because another key had their column.
    pub(super) fn renamed(&self) -> usize {
        self.renamed
    }
}
