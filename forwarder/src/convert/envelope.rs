//! Replaces resource attributes of OTLP lines that contradict the envelope of the delivery.
//!
//! A function chooses the resource of its lines and could name another function or account. The envelope wins, except for
//! `service.name`. Keys are compared in OpenObserve's stored form: `faas_name` is the column of `faas.name`.

use backend::{stored_byte, stored_key};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use platform::Identity;
use prost::Message as _;
use wire::arn::Arn;
use wire::edit::{Editor, Head};
use wire::field::{key_value, resource};
use wire::protobuf::{Writer, fields, messages};
use wire::reserved::RENAMED_PREFIX;
use wire::resource::SERVICE_NAME;
use wire::view::{Container, holds_map, key_and_value};

/// An attribute with ARNs.
struct ArnAttribute {
    key: &'static str,
    /// The service and the kind of resource in its ARNs.
    service: &'static str,
    kind: &'static str,
}

const ARNS: [ArnAttribute; 3] = [
    ArnAttribute { key: "cloud.resource_id", service: "lambda", kind: FUNCTION },
    ArnAttribute { key: "aws.log.group.arns", service: "logs", kind: "log-group" },
    ArnAttribute { key: "aws.log.stream.arns", service: "logs", kind: "log-group" },
];

const FUNCTION: &str = "function";

/// The resource that the envelope of a delivery shows.
#[derive(Debug)]
pub(super) struct EnvelopeResource {
    /// Encoded attributes. Nothing is known without a log group.
    known: Vec<Vec<u8>>,
    /// Has the expected parts of ARNs.
    identity: Identity,
    /// The previous resource. Nearly all lines of a function have the same one.
    last: Vec<u8>,
    /// The replacement of `last`; `None` if it was unchanged.
    last_replacement: Option<Vec<u8>>,
}

impl EnvelopeResource {
    /// Derives the resource from the log stream's identity. Without a log group nothing is known.
    pub(super) fn of(identity: &Identity, log_resource: &[u8]) -> Self {
        let has_group = !identity.log_group.is_empty();
        let is_known = |attribute: &&[u8]| {
            let (key, _) = wire::view::key_and_value(attribute);
            has_group && key != SERVICE_NAME.as_bytes()
        };
        let known = messages(log_resource, resource::ATTRIBUTES).filter(is_known);
        Self {
            known: known.map(<[u8]>::to_vec).collect(),
            identity: identity.clone(),
            last: Vec::new(),
            last_replacement: None,
        }
    }

    /// Returns `true` if an encoded value is a matching ARN or a list of matching ARNs.
    fn is_arn(&self, value: &[u8], expected: &ArnAttribute) -> bool {
        let is_text = |value: &any_value::Value| match value {
            any_value::Value::StringValue(text) => self.matches_arn(text, expected),
            _ => false,
        };
        match AnyValue::decode(value).map(|value| value.value) {
            Ok(Some(any_value::Value::ArrayValue(array))) => {
                array.values.iter().all(|value| value.value.as_ref().is_some_and(is_text))
            }
            Ok(Some(value)) => is_text(&value),
            _ => false,
        }
    }

    /// Matches `arn:{partition}:{service}:{region}:{account}:{kind}:{name}`, optionally with a version, a stream or `*` at the
    /// end.
    fn matches_arn(&self, text: &str, expected: &ArnAttribute) -> bool {
        let &ArnAttribute { service, kind, .. } = expected;
        let Identity { account: own_account, region: own_region, .. } = &self.identity;
        let function = self.identity.function_name.as_ref().filter(|_| kind == FUNCTION);
        let name = function.unwrap_or(&self.identity.log_group);
        let Some(arn) = Arn::parse(text) else { return false };
        let mut resource = arn.resource.split(':');
        arn.service == service
            && resource.next() == Some(kind)
            && resource.next() == Some(name.as_str())
            && own_account.as_ref().is_none_or(|own| own == arn.account)
            && own_region.as_ref().is_none_or(|own| own == arn.region)
    }

    /// Returns the replacement of a resource; `None` if it stays unchanged.
    fn replacement(&self, resource: &[u8]) -> Option<Vec<u8>> {
        let mut replacement: Option<Vec<u8>> = None;
        // Bytes that are unchanged so far, and attributes of the envelope that are in the replacement.
        let mut unchanged_bytes = 0;
        let mut placed = Vec::new();
        for field in fields(resource) {
            let attribute = field.as_len().filter(|_| field.number == resource::ATTRIBUTES);
            let change =
                attribute.map_or(AttributeChange::Keep, |attribute| self.change(attribute));
            if let (AttributeChange::Keep, None) = (&change, &replacement) {
                unchanged_bytes += field.raw.len();
                continue;
            }
            let out = replacement.get_or_insert_with(|| {
                let mut begin = Vec::with_capacity(resource.len());
                begin.extend_from_slice(resource.get(..unchanged_bytes).unwrap_or_default());
                begin
            });
            let mut writer = Writer::new(out);
            match change {
                AttributeChange::Keep => writer.raw(field.raw),
                // Only once, or each repetition would make the resource larger.
                AttributeChange::Replace(own) if placed.contains(&own) => {}
                AttributeChange::Replace(own) => {
                    placed.push(own);
                    writer.always_bytes(resource::ATTRIBUTES, own);
                }
                AttributeChange::Remove => {}
                AttributeChange::Rename => {
                    let (key, value) = key_and_value(attribute.unwrap_or_default());
                    writer.message(resource::ATTRIBUTES, |writer| {
                        writer.always_bytes(
                            key_value::KEY,
                            &[RENAMED_PREFIX.as_bytes(), key].concat(),
                        );
                        writer.always_bytes(key_value::VALUE, value);
                    });
                }
            }
        }
        replacement
    }

    /// Compares an attribute with the envelope.
    fn change(&self, attribute: &[u8]) -> AttributeChange<'_> {
        let (key, value) = key_and_value(attribute);
        // All known keys begin with these letters.
        if !matches!(key.first(), Some(b'a' | b'A' | b'c' | b'C' | b'f' | b'F')) {
            return AttributeChange::Keep;
        }
        // Fast path: nearly all lines use the conventional keys and true values.
        if self.known.is_empty() || self.known.iter().any(|own| own == attribute) {
            return AttributeChange::Keep;
        }
        let mut known = self.known.iter().map(|encoded| KnownAttribute::of(encoded));
        let has_same_column = |own: &[u8]| stored_key(key).eq(own.iter().copied().map(stored_byte));
        if let Some(same) = known.clone().find(|own| has_same_column(own.key)) {
            return if same.value == value {
                AttributeChange::Keep
            } else {
                AttributeChange::Replace(same.encoded)
            };
        }
        // Without a function, nothing is known about its ARN.
        let has_function = self.identity.function_name.is_some();
        let mut arns = ARNS.iter().filter(|arn| has_function || arn.kind != FUNCTION);
        if let Some(arn) = arns.clone().find(|arn| has_same_column(arn.key.as_bytes())) {
            return if self.is_arn(value, arn) {
                AttributeChange::Keep
            } else {
                AttributeChange::Remove
            };
        }
        // OpenObserve also stores the map `{"name": …}` under the key `faas` as `faas_name`.
        let begins_column = |own: &[u8]| {
            let mut rest = own.iter().copied().map(stored_byte);
            stored_key(key).all(|letter| rest.next() == Some(letter)) && rest.next() == Some(b'_')
        };
        let may_fill_column = holds_map(value)
            && (known.any(|own| begins_column(own.key))
                || arns.any(|arn| begins_column(arn.key.as_bytes())));
        if may_fill_column { AttributeChange::Rename } else { AttributeChange::Keep }
    }
}

/// An attribute of the envelope.
struct KnownAttribute<'e> {
    key: &'e [u8],
    value: &'e [u8],
    /// The encoded attribute, with its key.
    encoded: &'e [u8],
}

impl<'e> KnownAttribute<'e> {
    fn of(encoded: &'e [u8]) -> Self {
        let (key, value) = key_and_value(encoded);
        Self { key, value, encoded }
    }
}

/// Replaces contradicting attributes.
impl Editor for EnvelopeResource {
    /// The result for the previous resource is reused.
    fn resource(&mut self, container: Container<'_>) -> Head {
        let resource = container.resource();
        if *resource != *self.last {
            self.last_replacement = self.replacement(resource);
            self.last.clear();
            self.last.extend_from_slice(resource);
        }
        self.last_replacement.clone().map_or(Head::Keep, Head::Replace)
    }
}

/// The change of an attribute of a resource.
enum AttributeChange<'e> {
    Keep,
    /// By the envelope's attribute.
    Replace(&'e [u8]),
    /// The envelope has no such value, and this one is wrong.
    Remove,
    Rename,
}
