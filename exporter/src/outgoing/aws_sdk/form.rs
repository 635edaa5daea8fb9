//! Form requests (Smithy, "AWS query protocol"), as used by Amazon SNS.

use super::super::fields::Fields;
use crate::handler::trigger::percent_encoded;
use std::collections::BTreeSet;

/// The percent-encoded value of a parameter.
pub(super) fn value<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    parameters(form).find(|(own, _)| *own == name).map(|(_, value)| value)
}

fn parameters(form: &str) -> impl Iterator<Item = (&str, &str)> {
    form.split('&').filter_map(|parameter| parameter.split_once('='))
}

/// The prefixes of the parameters of a batch's entries.
fn entries(form: &str) -> BTreeSet<String> {
    const ENTRIES: &str = "PublishBatchRequestEntries.member.";
    let numbers = parameters(form).filter_map(|(name, _)| {
        let (number, _) = name.strip_prefix(ENTRIES)?.split_once('.')?;
        Some(format!("{ENTRIES}{number}."))
    });
    numbers.collect()
}

pub(super) fn count_entries(form: &str) -> usize {
    entries(form).len()
}

/// Adds the fields to each message of the form as attributes.
pub(super) fn with_attributes(form: &str, is_batch: bool, fields: &Fields) -> String {
    let entries = if is_batch { entries(form) } else { BTreeSet::from([String::new()]) };
    let mut written = form.to_owned();
    for entry in entries {
        let attributes = format!("{entry}MessageAttributes.entry.");
        let is_name =
            |name: &str| name.strip_prefix(&attributes).is_some_and(|rest| rest.ends_with(".Name"));
        let names = parameters(form).filter(|(name, _)| is_name(name)).map(|(_, value)| value);
        let names: Vec<&str> = names.collect();
        let own = fields.clone().for_message(names.iter().copied());
        for (number, (name, value)) in (names.len() + 1..).zip(own) {
            let (name, value) = (percent_encoded(&name), percent_encoded(&value));
            let value =
                format!("Value.DataType=String&{attributes}{number}.Value.StringValue={value}");
            for parameter in [format!("Name={name}"), value] {
                written.extend(["&", &attributes, &number.to_string(), ".", &parameter]);
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::propagation::Injector as _;

    #[test]
    fn each_message_gets_the_fields_after_its_own_attributes() {
        let mut fields = Fields::default();
        fields.set("traceparent", "00-1".to_owned());
        fields.set("tracestate", "a=1,b=2".to_owned());
        let check = |form: &str, is_batch, expected: &[&str]| {
            let written = with_attributes(form, is_batch, &fields);
            let added: Vec<&str> = written.strip_prefix(form).unwrap().split('&').skip(1).collect();
            assert_eq!(added, expected, "{form}");
        };
        check(
            "Action=Publish&MessageAttributes.entry.1.Name=a&MessageAttributes.entry.1.Value.DataType=String",
            false,
            &[
                "MessageAttributes.entry.2.Name=traceparent",
                "MessageAttributes.entry.2.Value.DataType=String",
                "MessageAttributes.entry.2.Value.StringValue=00-1",
                "MessageAttributes.entry.3.Name=tracestate",
                "MessageAttributes.entry.3.Value.DataType=String",
                "MessageAttributes.entry.3.Value.StringValue=a%3D1,b%3D2",
            ],
        );
        check("MessageAttributes.entry.1.Name=traceparent", false, &[]);
        check("Action=PublishBatch", true, &[]);
        let batch = "PublishBatchRequestEntries.member.1.Id=a&PublishBatchRequestEntries.member.2.Id=b\
                     &PublishBatchRequestEntries.member.2.MessageAttributes.entry.1.Name=tracestate";
        check(
            batch,
            true,
            &[
                "PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Name=traceparent",
                "PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.DataType=String",
                "PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.StringValue=00-1",
                "PublishBatchRequestEntries.member.1.MessageAttributes.entry.2.Name=tracestate",
                "PublishBatchRequestEntries.member.1.MessageAttributes.entry.2.Value.DataType=String",
                "PublishBatchRequestEntries.member.1.MessageAttributes.entry.2.Value.StringValue=a%3D1,b%3D2",
            ],
        );
    }
}
