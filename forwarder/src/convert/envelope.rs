//! Replaces resource attributes of OTLP lines that contradict the envelope of the delivery.
//!
//! A function chooses the resource of its lines and could name another function or account. The envelope wins, except for
//! `service.name`. Keys are compared in OpenObserve's stored form: `faas_name` is the column of `faas.name`.

use backend::{stored_byte, stored_key};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use platform::Identity;
use prost::Message as _;
use std::borrow::Cow;
use wire::edit::{Editor, Head};
use wire::field::{key_value, resource};
use wire::protobuf::{Writer, fields, messages, plain_attribute};
use wire::resource::SERVICE_NAME;
use wire::view::{Container, holds_map};

/// Attributes with the ARN of a function or a log group.
const ARNS: [(&str, Arn); 3] = [
    ("cloud.resource_id", Arn::Function),
    ("aws.log.group.arns", Arn::LogGroup),
    ("aws.log.stream.arns", Arn::LogGroup),
];

#[derive(Clone, Copy, Debug)]
enum Arn {
    Function,
    LogGroup,
}

struct ExpectedArn<'e> {
    arn: Arn,
    /// `None` if the envelope does not know it.
    account: Option<&'e str>,
    region: Option<&'e str>,
    name: &'e str,
}

impl ExpectedArn<'_> {
    /// Returns `true` if an encoded value is a matching ARN or a list of matching ARNs.
    fn is_named_by(&self, value: &[u8]) -> bool {
        match AnyValue::decode(value).map(|value| value.value) {
            Ok(Some(any_value::Value::StringValue(text))) => self.is(&text),
            Ok(Some(any_value::Value::ArrayValue(array))) => {
                array.values.iter().all(|value| match &value.value {
                    Some(any_value::Value::StringValue(text)) => self.is(text),
                    _ => false,
                })
            }
            _ => false,
        }
    }

    /// Matches `arn:{partition}:{service}:{region}:{account}:{kind}:{name}`, optionally with a version, a stream or `*` at the
    /// end.
    fn is(&self, text: &str) -> bool {
        let (service, kind) = match self.arn {
            Arn::Function => ("lambda", "function"),
            Arn::LogGroup => ("logs", "log-group"),
        };
        let parts: Vec<&str> = text.split(':').take(7).collect();
        let ["arn", _, of_service, region, account, of_kind, name] = parts.as_slice() else {
            return false;
        };
        *of_service == service
            && *of_kind == kind
            && *name == self.name
            && self.account.is_none_or(|own| own == *account)
            && self.region.is_none_or(|own| own == *region)
    }
}

#[derive(Debug, Default)]
pub(super) struct EnvelopeResource {
    known: Vec<Known>,
    /// Expected parts of ARNs. Nothing is known without a log group.
    account: Option<String>,
    region: Option<String>,
    function_name: Option<String>,
    log_group: String,
    /// The previous resource. Nearly all lines of a function have the same one.
    last: Vec<u8>,
    /// The replacement of the previous resource; `None` if it was unchanged.
    became: Option<Vec<u8>>,
}

/// An encoded attribute with its parts.
#[derive(Debug)]
struct Known {
    key: Vec<u8>,
    value: Vec<u8>,
    attribute: Vec<u8>,
}

impl EnvelopeResource {
    /// Derives the resource from the log stream's identity. Without a log group nothing is known.
    pub(super) fn of(identity: &Identity, log_resource: &[u8]) -> Self {
        if identity.log_group.is_empty() {
            return Self::default();
        }
        let known = messages(log_resource, resource::ATTRIBUTES).filter_map(|attribute| {
            let (key, value) = plain_attribute(attribute)?;
            let known = || Known {
                key: key.to_vec(),
                value: value.to_vec(),
                attribute: attribute.to_vec(),
            };
            (key != SERVICE_NAME.as_bytes()).then(known)
        });
        Self {
            known: known.collect(),
            account: identity.account.clone(),
            region: identity.region.clone(),
            function_name: identity.function_name.clone(),
            log_group: identity.log_group.clone(),
            last: Vec::new(),
            became: None,
        }
    }

    /// The expected ARN of this attribute; `None` if the envelope does not know it.
    fn expected(&self, arn: Arn) -> Option<ExpectedArn<'_>> {
        let name = match arn {
            Arn::Function => self.function_name.as_deref()?,
            Arn::LogGroup => &self.log_group,
        };
        let (account, region) = (self.account.as_deref(), self.region.as_deref());
        Some(ExpectedArn { arn, account, region, name })
    }

    /// The replacement of a resource; `None` if it is unchanged.
    fn settled(&self, resource: &[u8]) -> Option<Vec<u8>> {
        let mut became: Option<Vec<u8>> = None;
        let mut passed = 0;
        let mut placed = Vec::new();
        for field in fields(resource) {
            let attribute = field.as_len().filter(|_| field.number == resource::ATTRIBUTES);
            let judged = attribute.map_or(Judged::Stays, |attribute| self.judge(attribute));
            if let (Judged::Stays, None) = (&judged, &became) {
                passed += field.raw.len();
                continue;
            }
            let out = became.get_or_insert_with(|| {
                let mut begin = Vec::with_capacity(resource.len());
                begin.extend_from_slice(resource.get(..passed).unwrap_or_default());
                begin
            });
            let mut writer = Writer::new(out);
            match judged {
                Judged::Stays => writer.raw(field.raw),
                // Only once, or each repetition would make the resource larger.
                Judged::Replaced(own) if placed.contains(&own) => {}
                Judged::Replaced(own) => {
                    placed.push(own);
                    writer.always_bytes(resource::ATTRIBUTES, own);
                }
                Judged::Removed => {}
                Judged::Renamed => {
                    let (key, value) = key_and_value(attribute.unwrap_or_default());
                    writer.message(resource::ATTRIBUTES, |writer| {
                        writer.always_bytes(key_value::KEY, &[b"attr_", key].concat());
                        writer.always_bytes(key_value::VALUE, &value);
                    });
                }
            }
        }
        became
    }

    fn judge(&self, attribute: &[u8]) -> Judged<'_> {
        let (key, value) = key_and_value(attribute);
        let (key, value) = (key, value.as_ref());
        // All known keys begin with these letters.
        if !matches!(key.first(), Some(b'a' | b'A' | b'c' | b'C' | b'f' | b'F')) {
            return Judged::Stays;
        }
        if self.known.is_empty() {
            return Judged::Stays;
        }
        // Fast path: nearly all lines use the conventional keys and true values.
        let is_same = |known: &Known| known.key == key && known.value == value;
        if self.known.iter().any(is_same) {
            return Judged::Stays;
        }
        let is_ascii = key.is_ascii();
        let is_stored_as = |own: &[u8]| {
            if is_ascii {
                own == key
                    || own.len() == key.len()
                        && own
                            .iter()
                            .zip(key)
                            .all(|(own, key)| stored_byte(*own) == stored_byte(*key))
            } else {
                stored_key(key).eq(own.iter().copied().map(stored_byte))
            }
        };
        if let Some(known) = self.known.iter().find(|known| is_stored_as(&known.key)) {
            return if known.value == value {
                Judged::Stays
            } else {
                Judged::Replaced(&known.attribute)
            };
        }
        let arns = || ARNS.into_iter().filter_map(|(own, arn)| Some((own, self.expected(arn)?)));
        if let Some((_, arn)) = arns().find(|(own, _)| is_stored_as(own.as_bytes())) {
            return if arn.is_named_by(value) { Judged::Stays } else { Judged::Removed };
        }
        // OpenObserve also stores the map `{"name": …}` under the key `faas` as `faas_name`.
        let is_begin = |own: &[u8]| {
            let mut rest = own.iter().copied().map(stored_byte);
            stored_key(key).all(|letter| rest.next() == Some(letter)) && rest.next() == Some(b'_')
        };
        let keys = || {
            let known = self.known.iter().map(|known| known.key.as_slice());
            known.chain(arns().map(|(own, _)| own.as_bytes()))
        };
        if holds_map(value) && keys().any(is_begin) {
            return Judged::Renamed;
        }
        Judged::Stays
    }
}

/// Replaces contradicting attributes.
impl Editor for EnvelopeResource {
    /// The result for the previous resource is reused.
    fn resource(&mut self, container: Container<'_>) -> Head {
        let resource = container.resource();
        if *resource != *self.last {
            self.became = self.settled(&resource);
            self.last.clear();
            self.last.extend_from_slice(&resource);
        }
        self.became.clone().map_or(Head::Keep, Head::Replace)
    }
}

enum Judged<'e> {
    Stays,
    /// Replaced by the envelope's attribute.
    Replaced(&'e [u8]),
    /// Removed: the envelope has no such value, and this one is wrong.
    Removed,
    /// Kept under another key.
    Renamed,
}

/// The key and the value. Protobuf merges a value that was written in several pieces.
fn key_and_value(attribute: &[u8]) -> (&[u8], Cow<'_, [u8]>) {
    if let Some((key, value)) = plain_attribute(attribute) {
        return (key, value.into());
    }
    let key = messages(attribute, key_value::KEY).last().unwrap_or_default();
    let mut pieces = messages(attribute, key_value::VALUE);
    let first = pieces.next().unwrap_or_default();
    let rest: Vec<&[u8]> = pieces.collect();
    if rest.is_empty() {
        return (key, first.into());
    }
    (key, [&[first], rest.as_slice()].concat().concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Origin;

    #[test]
    fn an_arn_of_another_region_does_not_match() {
        let origin = Origin::new("123456789012", "eu-west-1", "/aws/lambda/orders", "s[7]x");
        let envelope = EnvelopeResource::of(&origin.identity(), &[]);
        let is_named = |region: &str| {
            let arn = format!("arn:aws:lambda:{region}:123456789012:function:orders");
            envelope.expected(Arn::Function).is_some_and(|expected| expected.is(&arn))
        };
        assert!(is_named("eu-west-1") && !is_named("us-west-2"));
    }
}
