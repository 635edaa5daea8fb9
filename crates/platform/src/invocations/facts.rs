//! Tenant and durable execution of invocations, for records whose lines do not state them.

use super::Invocations;
use crate::attributes::PlainValue;
use crate::identity::Identity;
use crate::logs::records::{RecordWriter, take_room};
use crate::names::{self, lambda};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::arn::Arn;
use wire::field::log_record;
use wire::protobuf::Writer;
use wire::view::{Item, ItemKind, text_attribute};

impl Invocations {
    /// The facts about an invocation that its lines state.
    pub(crate) fn facts_of(&self, request_id: Option<&str>) -> Facts<'_> {
        if self.with_facts == 0 {
            return Facts::default();
        }
        let known = request_id.and_then(|id| self.get(id));
        known.map(|known| known.facts.borrowed()).unwrap_or_default()
    }

    /// The attributes of the facts of all invocations.
    pub(crate) fn attributes_of_all(&self) -> BTreeSet<(&str, &str)> {
        self.entries.values().flat_map(|known| known.facts.borrowed().attributes()).collect()
    }

    /// Notes the facts that a line states about its invocation. If two lines contradict each other, the first counts. `is_late`
    /// means that the invocation may have earlier records.
    pub(crate) fn note_facts(&mut self, request_id: &str, facts: Facts<'_>, is_late: bool) {
        if facts == Facts::default() {
            return;
        }
        let invocation = self.entry(request_id);
        let is_first = invocation.facts == StatedFacts::default();
        let StatedFacts { tenant_id, durable_execution_arn } = &mut invocation.facts;
        let mut is_new = false;
        for (known, new) in
            [(tenant_id, facts.tenant_id), (durable_execution_arn, facts.durable_execution_arn)]
        {
            if known.is_none() {
                is_new |= new.is_some();
                *known = new.map(str::to_owned);
            }
        }
        self.last_stated = Arc::clone(&invocation.id);
        self.with_facts += usize::from(is_first);
        self.has_late_facts |= is_late && is_new;
    }

    /// The facts of a record's invocation that the record does not state itself.
    pub(crate) fn missing_facts(&self, record: &[u8]) -> Vec<u8> {
        let record = Item::new(ItemKind::LogRecord, record);
        let find = |key: &str| record.attributes().find_map(|pair| text_attribute(pair, key));
        let mut missing = Vec::new();
        for (key, word) in self.facts_of(find(names::FAAS_INVOCATION_ID)).attributes() {
            if find(key).is_none() {
                Writer::new(&mut missing).text_attribute(log_record::ATTRIBUTES, key, word);
            }
        }
        missing
    }
}

/// Returns `true` for the ARN of an execution of this function: `arn:{partition}:lambda:{region}:{account}:function:{name}:…`.
pub(crate) fn is_execution_of(identity: &Identity, arn: &str) -> bool {
    let Some(arn) = Arn::parse(arn) else { return false };
    let Some(function) = arn.function() else { return false };
    function.qualifier.is_some()
        && identity.account.as_deref() == Some(arn.account)
        && identity.region.as_deref().is_none_or(|region| region == arn.region)
        && identity.function_name.as_deref() == Some(function.name)
}

/// Tenant and durable execution of an invocation, as its lines state them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StatedFacts {
    tenant_id: Option<String>,
    durable_execution_arn: Option<String>,
}

impl StatedFacts {
    fn borrowed(&self) -> Facts<'_> {
        Facts {
            tenant_id: self.tenant_id.as_deref(),
            durable_execution_arn: self.durable_execution_arn.as_deref(),
        }
    }
}

/// Tenant and durable execution of an invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    pub(crate) tenant_id: Option<&'a str>,
    pub(crate) durable_execution_arn: Option<&'a str>,
}

impl<'a> Facts<'a> {
    pub(crate) fn attributes(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let tenant = self.tenant_id.map(|id| (lambda::TENANT_ID, id));
        let execution = self.durable_execution_arn.map(|arn| (lambda::DURABLE_EXECUTION_ARN, arn));
        tenant.into_iter().chain(execution)
    }

    /// Writes these facts, and the missing ones from another line, within the size limit.
    pub(crate) fn write(self, others: Self, record: &mut RecordWriter<'_, '_>) {
        let mut write = |key: &str, own: Option<&str>, other: Option<&str>| {
            let fits = |word: &&str| take_room(record.repeated_bytes, key.len() + word.len());
            if let Some(word) = own.or_else(|| other.filter(fits)) {
                record.attribute(key, PlainValue::Text(word));
            }
        };
        write(lambda::TENANT_ID, self.tenant_id, others.tenant_id);
        let execution = self.durable_execution_arn;
        write(lambda::DURABLE_EXECUTION_ARN, execution, others.durable_execution_arn);
    }
}
