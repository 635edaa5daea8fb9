//! Tracks the current invocation of a log stream and its facts, for lines that do not state them.

use crate::attributes::PlainValue;
use crate::event::{EventKind, PlatformEvent};
use crate::identity::Identity;
use crate::logs::records::{RecordWriter, take_room};
use crate::names::{self, lambda};
use crate::spans::invocations::InvocationSpans;
use std::collections::{BTreeMap, BTreeSet};
use wire::arn::Arn;
use wire::field::log_record;
use wire::protobuf::Writer;
use wire::view::{Item, ItemKind, text_attribute};

/// The current invocation of a log stream. Lines between `START` and `END` without a request id belong to it, unless several
/// invocations run at a time, as on managed instances. This is best effort: if a delivery begins in the middle of an invocation,
/// its first lines belong to none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RequestWindow {
    running: RunningInvocations,
    /// The facts that lines state about the invocations in this chunk. Most functions have none.
    stated: BTreeMap<String, StatedFacts>,
    /// The invocation of the last stated facts. Lines after its end may belong to it.
    last_stated: String,
    /// `true` if earlier records of an invocation lack a fact that a later line states.
    pub(crate) has_late_facts: bool,
    /// `true` if the stream is a managed instance's, by an event or line of it. Other invocations may have begun before the
    /// delivery, so that a line without a request id belongs to none, even if one seems to run.
    is_concurrent: bool,
}

impl RequestWindow {
    /// The running invocation, if it is known and the only one.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.running.only().filter(|_| !self.is_concurrent)
    }

    /// The running invocations.
    pub(crate) fn running(&self) -> impl Iterator<Item = &String> {
        self.running.ids()
    }

    pub(crate) fn is_concurrent(&self) -> bool {
        self.is_concurrent
    }

    /// Notes that several invocations run at a time.
    pub(crate) fn note_concurrency(&mut self) {
        self.is_concurrent = true;
    }

    /// The running invocation of a runtime's line. `named` is the request id in the line, if it has one. An id counts only if its
    /// invocation runs, because a function can print any id.
    pub(crate) fn invocation_of_line(&self, named: Option<&str>) -> LineInvocation<'_> {
        let Some(named) = named else {
            return match self.request_id() {
                Some(only) => LineInvocation::Running(only),
                None if self.running.is_empty() && !self.is_concurrent => LineInvocation::Unknown,
                None => LineInvocation::None,
            };
        };
        match self.running.get(named) {
            Some(id) => LineInvocation::Running(id),
            None if self.running.is_empty() => LineInvocation::Unknown,
            None => LineInvocation::None,
        }
    }

    /// The facts about an invocation that its lines state.
    pub(crate) fn facts_of(&self, request_id: Option<&str>) -> Facts<'_> {
        request_id.and_then(|id| self.stated.get(id)).map(StatedFacts::borrowed).unwrap_or_default()
    }

    /// The attributes of the facts of all invocations.
    pub(crate) fn attributes_of_all(&self) -> BTreeSet<(&str, &str)> {
        self.stated.values().flat_map(|stated| stated.borrowed().attributes()).collect()
    }

    /// Notes the facts that a line states about its invocation. If two lines contradict each other, the first counts. `is_late`
    /// means that the invocation may have earlier records.
    pub(crate) fn note_facts(&mut self, request_id: &str, facts: Facts<'_>, is_late: bool) {
        if facts == Facts::default() {
            return;
        }
        request_id.clone_into(&mut self.last_stated);
        if !self.stated.contains_key(request_id) {
            self.stated.insert(request_id.to_owned(), StatedFacts::default());
        }
        let Some(stated) = self.stated.get_mut(request_id) else { return };
        let StatedFacts { tenant_id, durable_execution_arn } = stated;
        for (known, new) in
            [(tenant_id, facts.tenant_id), (durable_execution_arn, facts.durable_execution_arn)]
        {
            if known.is_none() {
                self.has_late_facts |= is_late && new.is_some();
                *known = new.map(str::to_owned);
            }
        }
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

    /// Keeps what the next chunk needs: the running invocations with their facts, and the facts stated last.
    pub(crate) fn end_chunk(&mut self) {
        let needed = self.running.ids().chain([&self.last_stated]);
        let kept = needed.filter_map(|id| self.stated.remove_entry(id)).collect();
        self.stated = kept;
        self.has_late_facts = false;
    }

    /// Notes the start or end of an invocation. If the environment runs invocations `one_at_a_time`, a start ends
    /// the others. A log stream does not show that in either format.
    pub(crate) fn observe(&mut self, event: &PlatformEvent, one_at_a_time: bool) {
        self.is_concurrent |= event.is_of_managed_instance();
        let Some(request_id) = &event.request_id else { return };
        match event.kind {
            EventKind::Start => {
                if one_at_a_time {
                    self.running = RunningInvocations::default();
                }
                self.running.start(request_id);
            }
            // The end of another invocation is ignored: a function can print it.
            EventKind::End | EventKind::Report => self.running.end(request_id),
            _ => {}
        }
    }
}

/// The running invocations, found by their request ids and in the order of their starts: a function can print any number of
/// starts, and each must cost little.
#[derive(Clone, Debug, Default, PartialEq)]
struct RunningInvocations {
    /// The number of each one's start.
    starts: BTreeMap<String, u64>,
    ids: BTreeMap<u64, String>,
    next: u64,
}

impl RunningInvocations {
    fn only(&self) -> Option<&str> {
        let mut ids = self.ids.values();
        ids.next().filter(|_| ids.next().is_none()).map(String::as_str)
    }

    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id of this running invocation.
    fn get(&self, request_id: &str) -> Option<&str> {
        self.starts.get_key_value(request_id).map(|(id, _)| id.as_str())
    }

    fn ids(&self) -> impl Iterator<Item = &String> {
        self.ids.values()
    }

    fn start(&mut self, request_id: &str) {
        self.end(request_id);
        if self.ids.len() == InvocationSpans::MAX_CONCURRENT
            && let Some((_, oldest)) = self.ids.pop_first()
        {
            self.starts.remove(&oldest);
        }
        self.starts.insert(request_id.to_owned(), self.next);
        self.ids.insert(self.next, request_id.to_owned());
        self.next += 1;
    }

    fn end(&mut self, request_id: &str) {
        if let Some(start) = self.starts.remove(request_id) {
            self.ids.remove(&start);
        }
    }
}

/// The invocation of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineInvocation<'a> {
    Running(&'a str),
    /// The invocation's start is unknown, or there is none.
    Unknown,
    /// The line names no running invocation, or none of several.
    None,
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
struct StatedFacts {
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
