//! Log records: severity, name of the event, and body.

use super::adapter::{Adapter, ItemContext};
use super::plan::NewItem;
use super::planned::ReadAttribute;
use super::severity::{self, Severity};
use super::write::write_value;
use wire::edit::{Edit, Rewrite};
use wire::field::{any_value, log_record};
use wire::protobuf::{Value, Writer, fields, messages};
use wire::view::key_and_value;

const EVENT_NAME: &str = "event.name";

impl Adapter<'_> {
    pub(super) fn adapt_log_record(
        &mut self,
        record: &[u8],
        context: &ItemContext<'_, '_>,
    ) -> Edit {
        let mut severity = Severity::default();
        let mut shape = context.begin_shape();
        let mut time = 0;
        let mut observed = 0;
        let mut body = None;
        let mut event_name: &[u8] = &[];
        for field in fields(record) {
            match (field.number, field.value) {
                (log_record::TIME, Value::Fixed64(value)) => time = value,
                (log_record::OBSERVED_TIME, Value::Fixed64(value)) => observed = value,
                (log_record::SEVERITY_NUMBER, Value::Varint(number)) => {
                    severity.number = severity::to_number(number);
                }
                (log_record::SEVERITY_TEXT, Value::Len(text)) => severity.text = text,
                (log_record::EVENT_NAME, Value::Len(name)) => event_name = name,
                (log_record::BODY, Value::Len(value)) => body = Some(value),
                (log_record::ATTRIBUTES, Value::Len(attribute)) => {
                    let (key, value) = key_and_value(attribute);
                    shape.add(key, value, context.taken);
                }
                _ => {}
            }
        }
        self.facts.times.add(if time == 0 { observed } else { time });
        shape.add_value(body.unwrap_or_default());
        let new_text = severity.new_text();
        let original = new_text
            .filter(|text| severity.is_shortened_by(text))
            .map(|_| encode_text(severity.text));
        let named_event = needs_event_name(event_name, record).then(|| encode_text(event_name));
        shape.add_fact(u64::from(original.is_some()) << 1 | u64::from(named_event.is_some()));
        let added = original.iter().map(|it| (severity::ORIGINAL, it));
        for (key, value) in added.chain(named_event.iter().map(|it| (EVENT_NAME, it))) {
            shape.add(key.as_bytes(), value, context.taken);
        }
        let read = || {
            let original = original.iter().map(|it| ReadAttribute::added(severity::ORIGINAL, it));
            let own = messages(record, log_record::ATTRIBUTES).map(ReadAttribute::read);
            let named_event = named_event.iter().map(|it| ReadAttribute::added(EVENT_NAME, it));
            original.chain(own).chain(named_event).collect::<Vec<_>>()
        };
        let plan = self.find_plan(&shape, None, context, || NewItem {
            attributes: read(),
            body,
            gen_ai: None,
        });
        let is_extended = original.is_some() || named_event.is_some();
        if plan.is_as_read() && new_text.is_none() && !is_extended {
            return Edit::Keep;
        }
        let mut attributes = (plan.attributes.is_some() || is_extended).then(read);
        let writes_attributes = attributes.is_some();
        let mut rewrite = Rewrite::new(record);
        for field in fields(record) {
            match (field.number, field.value) {
                (log_record::ATTRIBUTES, _) if writes_attributes => {
                    rewrite.leave_out(&field);
                    if let Some(attributes) = attributes.take() {
                        plan.write(&mut rewrite.append(), log_record::ATTRIBUTES, &attributes);
                    }
                }
                (log_record::SEVERITY_TEXT, _) if new_text.is_some() => rewrite.leave_out(&field),
                (log_record::EVENT_NAME, _) if named_event.is_some() => rewrite.leave_out(&field),
                (log_record::BODY, Value::Len(value)) => match &plan.body {
                    Some(planned) => {
                        rewrite.leave_out(&field);
                        rewrite
                            .append()
                            .message(log_record::BODY, |out| write_value(out, planned, value));
                    }
                    None => rewrite.keep(&field),
                },
                _ => rewrite.keep(&field),
            }
        }
        if let Some(attributes) = attributes {
            plan.write(&mut rewrite.append(), log_record::ATTRIBUTES, &attributes);
        }
        if let Some(text) = new_text {
            rewrite.append().string(log_record::SEVERITY_TEXT, text);
        }
        rewrite.finish().map_or(Edit::Keep, Edit::Replace)
    }
}

/// Returns `true` if the event's name, which OpenObserve does not store, is to become an attribute, because no attribute says the same.
/// The records of Lambda's platform have it as `aws.lambda.event.type`.
fn needs_event_name(name: &[u8], record: &[u8]) -> bool {
    let says_it = |(key, value): (&[u8], &[u8])| {
        key == EVENT_NAME.as_bytes() || messages(value, any_value::STRING).next() == Some(name)
    };
    !name.is_empty() && !messages(record, log_record::ATTRIBUTES).map(key_and_value).any(says_it)
}

/// An encoded value. The structure was checked when the request was created, so that each text is UTF-8.
fn encode_text(text: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    Writer::new(&mut value).always_bytes(any_value::STRING, text);
    value
}
