//! Tracks the current invocation of a log stream and its facts, for lines that do not state them.

use crate::attributes::PlainValue;
use crate::event::{EventKind, PlatformEvent};
use crate::identity::Identity;
use crate::logs::records::{RecordWriter, takes_room};
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
    running: RunningRequest,
    /// The facts of the invocations in this chunk, in the order of [`KEYS`]. Most functions have none.
    told: BTreeMap<String, [Option<String>; 2]>,
    /// The invocation of the last stated facts. Lines after its end may belong to it.
    told_last: String,
    /// `true` if a line stated a fact that earlier records of its invocation lack.
    pub(crate) is_told_late: bool,
    /// `true` if the stream is a managed instance's, by an event or line of it. Other invocations may have begun before the
    /// delivery, so that a line without a request id belongs to none, even if one seems to run.
    is_shared: bool,
}

impl RequestWindow {
    /// The running invocation, if it is known and the only one.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.running.only().filter(|_| !self.is_shared)
    }

    /// The running invocations.
    pub(crate) fn running(&self) -> impl Iterator<Item = &String> {
        self.running.ids()
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Notes that several invocations run at a time.
    pub(crate) fn share(&mut self) {
        self.is_shared = true;
    }

    /// The running invocation to which a line belongs that may name one. A function cannot name another one.
    pub(crate) fn owner(&self, named: Option<&str>) -> LineOwner<'_> {
        let Some(named) = named else {
            return match self.request_id() {
                Some(only) => LineOwner::Invocation(only),
                None if self.running.is_empty() && !self.is_shared => LineOwner::Unknown,
                None => LineOwner::Nobody,
            };
        };
        match self.running.get(named) {
            Some(id) => LineOwner::Invocation(id),
            None if self.running.is_empty() => LineOwner::Unknown,
            None => LineOwner::Nobody,
        }
    }

    pub(crate) fn told(&self, request_id: Option<&str>) -> Facts<'_> {
        let told = request_id.and_then(|id| self.told.get(id));
        told.map(|told| Facts(told.each_ref().map(Option::as_deref))).unwrap_or_default()
    }

    /// The attributes of the facts of all invocations.
    pub(crate) fn facts(&self) -> BTreeSet<(&str, &str)> {
        let told = self.told.values();
        told.flat_map(|told| Facts(told.each_ref().map(Option::as_deref)).attributes()).collect()
    }

    /// Notes the facts that a line states about its invocation. If two lines contradict each other, the first counts. `is_late`
    /// means that the invocation may have earlier records.
    pub(crate) fn tell(&mut self, request_id: &str, facts: Facts<'_>, is_late: bool) {
        if facts == Facts::default() {
            return;
        }
        request_id.clone_into(&mut self.told_last);
        if !self.told.contains_key(request_id) {
            self.told.insert(request_id.to_owned(), [None, None]);
        }
        let Some(told) = self.told.get_mut(request_id) else { return };
        for (place, word) in told.iter_mut().zip(facts.0).filter(|(place, _)| place.is_none()) {
            self.is_told_late |= is_late && word.is_some();
            *place = word.map(str::to_owned);
        }
    }

    /// The facts of a record's invocation that the record does not state itself.
    pub(crate) fn missing(&self, record: &[u8]) -> Vec<u8> {
        let record = Item::new(ItemKind::LogRecord, record);
        let find = |key: &str| record.attributes().find_map(|pair| text_attribute(pair, key));
        let mut missing = Vec::new();
        for (key, word) in self.told(find(names::FAAS_INVOCATION_ID)).attributes() {
            if find(key).is_none() {
                Writer::new(&mut missing).text_attribute(log_record::ATTRIBUTES, key, word);
            }
        }
        missing
    }

    /// Keeps what the next chunk needs: the running invocations with their facts, and the facts stated last.
    pub(crate) fn end_chunk(&mut self) {
        let needed = self.running.ids().chain([&self.told_last]);
        let kept = needed.filter_map(|id| self.told.remove_entry(id)).collect();
        self.told = kept;
        self.is_told_late = false;
    }

    /// Notes the start or end of an invocation. `is_only` means that the environment runs one at a time, so that a start ends
    /// the others. A log stream does not tell that in either format.
    pub(crate) fn observe(&mut self, event: &PlatformEvent, is_only: bool) {
        self.is_shared |= event.is_of_managed_instance();
        let Some(request_id) = &event.request_id else { return };
        match event.kind {
            EventKind::Start => {
                if is_only {
                    self.running = RunningRequest::default();
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
struct RunningRequest {
    /// The number of each one's start.
    starts: BTreeMap<String, u64>,
    ids: BTreeMap<u64, String>,
    next: u64,
}

impl RunningRequest {
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
pub(crate) enum LineOwner<'a> {
    Invocation(&'a str),
    /// The invocation's start is unknown, or there is none.
    Unknown,
    /// The line names no running invocation, or none of several.
    Nobody,
}

/// Returns `true` for the ARN of an execution of this function: `arn:{partition}:lambda:{region}:{account}:function:{name}:…`.
pub(crate) fn is_execution_of(identity: &Identity, arn: &str) -> bool {
    let Some(arn) = Arn::parse(arn) else { return false };
    let Some(function) = arn.function() else { return false };
    function.qualifier.is_some()
        && identity.account.as_deref() == Some(arn.account)
        && identity.function_name.as_deref() == Some(function.name)
}

const KEYS: [&str; 2] = [lambda::TENANT_ID, lambda::DURABLE_EXECUTION_ARN];

/// Tenant and durable execution of an invocation, in the order of [`KEYS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts<'a>([Option<&'a str>; 2]);

impl<'a> Facts<'a> {
    pub(crate) fn new(tenant_id: Option<&'a str>, durable_execution_arn: Option<&'a str>) -> Self {
        Self([tenant_id, durable_execution_arn])
    }

    pub(crate) fn attributes(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        KEYS.into_iter().zip(self.0).filter_map(|(key, word)| Some((key, word?)))
    }

    /// Writes these facts, and the missing ones from another line, within the size limit.
    pub(crate) fn write(self, others: Self, record: &mut RecordWriter<'_, '_>) {
        for ((key, own), other) in KEYS.into_iter().zip(self.0).zip(others.0) {
            let fits = |word: &&str| takes_room(record.repeated_bytes, key.len() + word.len());
            if let Some(word) = own.or_else(|| other.filter(fits)) {
                record.attribute(key, PlainValue::Text(word));
            }
        }
    }
}
