//! Facts that lines state about their invocation, and the attributes that its other records get from them.

use std::collections::BTreeMap;

use wire::protobuf::{Reader, Writer};

use crate::attributes::PlainValue;
use crate::logs::records::{ATTRIBUTE, RecordWriter};
use crate::names::{self, lambda};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    pub(crate) tenant_id: Option<&'a str>,
    pub(crate) durable_execution_arn: Option<&'a str>,
}

impl<'a> Facts<'a> {
    pub(crate) fn attributes(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let words = [
            (lambda::TENANT_ID, self.tenant_id),
            (lambda::DURABLE_EXECUTION_ARN, self.durable_execution_arn),
        ];
        words.into_iter().filter_map(|(key, word)| Some((key, word?)))
    }

    /// Returns the facts of `others` that are missing here.
    pub(crate) fn beside(self, others: Self) -> Self {
        Self {
            tenant_id: others.tenant_id.filter(|_| self.tenant_id.is_none()),
            durable_execution_arn: others
                .durable_execution_arn
                .filter(|_| self.durable_execution_arn.is_none()),
        }
    }

    pub(crate) fn write(self, record: &mut RecordWriter<'_, '_>) {
        for (key, word) in self.attributes() {
            record.attribute(key, PlainValue::Text(word));
        }
    }

    /// Writes the facts stated by another line, within the size limit.
    pub(crate) fn repeat(self, record: &mut RecordWriter<'_, '_>) {
        for (key, word) in self.attributes() {
            if record.takes_room(key.len() + word.len()) {
                record.attribute(key, PlainValue::Text(word));
            }
        }
    }
}

/// The owned form. If two lines contradict each other, the first counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    tenant_id: Option<String>,
    durable_execution_arn: Option<String>,
}

impl Told {
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            tenant_id: self.tenant_id.as_deref(),
            durable_execution_arn: self.durable_execution_arn.as_deref(),
        }
    }

    /// Adds missing facts. Returns `true` if there were any.
    pub(crate) fn add(&mut self, facts: Facts<'_>) -> bool {
        let places = [
            (&mut self.tenant_id, facts.tenant_id),
            (&mut self.durable_execution_arn, facts.durable_execution_arn),
        ];
        let mut is_news = false;
        for (place, word) in places {
            if place.is_none() && word.is_some() {
                *place = word.map(str::to_owned);
                is_news = true;
            }
        }
        is_news
    }
}

pub(crate) type ToldOf = BTreeMap<String, Told>;

/// The attributes missing in a record that was written before its invocation's facts were known.
pub(crate) fn missing(record: &[u8], told: &ToldOf) -> Vec<u8> {
    let attributes = || {
        let fields = Reader::new(record).map_while(Result::ok);
        fields.filter(|field| field.number == ATTRIBUTE).filter_map(|field| field.as_len())
    };
    let find = |key: &str| attributes().find(|pair| field(pair, 0) == Some(key.as_bytes()));
    // Key and value of a `KeyValue`, and the text of an `AnyValue`, as written here.
    let id = find(names::FAAS_INVOCATION_ID).and_then(|pair| field(field(pair, 1)?, 0));
    let mut missing = Vec::new();
    if let Some(told) = id.and_then(|id| told.get(std::str::from_utf8(id).ok()?)) {
        for (key, word) in told.facts().attributes() {
            if find(key).is_none() {
                Writer::new(&mut missing).message(ATTRIBUTE, |pair| {
                    pair.always_string(1, key);
                    pair.message(2, |value| value.always_string(1, word));
                });
            }
        }
    }
    missing
}

fn field(message: &[u8], at: usize) -> Option<&[u8]> {
    Reader::new(message).nth(at)?.ok()?.as_len()
}
