//! Tracks the current invocation of a log stream and its facts, for lines that do not state them.

use crate::attributes::PlainValue;
use crate::event::{EventKind, PlatformEvent};
use crate::identity::Identity;
use crate::logs::records::RecordWriter;
use crate::names::{self, lambda};
use crate::spans::invocations::Invocations;
use std::collections::BTreeMap;
use wire::field::log_record;
use wire::protobuf::Writer;
use wire::view::{Item, ItemKind, text_attribute};

/// The current invocation of a log stream. Lines between `START` and `END` without a request id belong to it, unless several
/// invocations run at a time, as on managed instances. This is best effort: if a delivery begins in the middle of an invocation,
/// its first lines belong to none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RequestWindow {
    running: Vec<String>,
    told: Option<Box<(String, Told)>>,
    /// Account and name of this stream's function; only its executions count.
    function: Option<(String, String)>,
    /// `true` if there are facts that the caller has not read.
    has_news: bool,
}

impl RequestWindow {
    /// The running invocation, if it is known and the only one.
    pub(crate) fn request_id(&self) -> Option<&str> {
        if let [only] = self.running.as_slice() { Some(only) } else { None }
    }

    pub(crate) fn set_function(&mut self, identity: &Identity) {
        let Identity { account, function_name, .. } = identity;
        self.function = account.clone().zip(function_name.clone());
    }

    /// The state for the next chunk, which gets the owner again.
    pub(crate) fn forget_function(&mut self) {
        self.function = None;
    }

    /// Filters facts that may be copied to other records. An attacker who gets a JSON line into the log must not be able to
    /// assign the surrounding records to another function's execution, nor to a tenant, which only Lambda's own lines name.
    pub(crate) fn believed<'f>(&self, facts: Facts<'f>) -> Facts<'f> {
        let is_ours = |arn: &&str| self.function.as_ref().is_some_and(|own| is_of(arn, own));
        let Facts([_, durable_execution_arn]) = facts;
        Facts::new(None, durable_execution_arn.filter(is_ours))
    }

    /// Returns `true` if there are any facts; most functions have none.
    #[inline]
    pub(crate) fn has_told(&self) -> bool {
        self.told.is_some()
    }

    pub(crate) fn told(&self, request_id: Option<&str>) -> Facts<'_> {
        match &self.told {
            Some(told) if Some(told.0.as_str()) == request_id => told.1.facts(),
            _ => Facts::default(),
        }
    }

    /// Notes the facts that a line states about its invocation, and forgets another invocation's facts: a stream handles one
    /// after the other, and on managed instances with several at once, each line states its own.
    pub(crate) fn tell(&mut self, request_id: &str, facts: Facts<'_>) {
        if facts == Facts::default() {
            return;
        }
        let told = self.told.get_or_insert_default();
        if told.0 != request_id {
            **told = (request_id.to_owned(), Told::default());
        }
        self.has_news |= told.1.add(facts);
    }

    pub(crate) fn last_told(&self) -> Option<(String, Told)> {
        self.told.as_deref().cloned()
    }

    #[inline]
    pub(crate) fn take_news(&mut self) -> Option<(String, Told)> {
        std::mem::take(&mut self.has_news).then(|| self.last_told())?
    }

    pub(crate) fn observe(&mut self, event: &PlatformEvent) {
        let Some(request_id) = &event.request_id else { return };
        match event.kind {
            EventKind::Start => {
                // In the text format, which has no time, invocations run one after the other.
                let is_json = event.time_unix_nano.is_some();
                self.running.retain(|id| is_json && id != request_id);
                if self.running.len() == Invocations::MAX_CONCURRENT {
                    self.running.remove(0);
                }
                self.running.push(request_id.clone());
            }
            // The end of another invocation is ignored: a function can print it.
            EventKind::End | EventKind::Report => self.running.retain(|id| id != request_id),
            _ => {}
        }
    }
}

/// Returns `true` for the ARN of an execution of this function: `arn:{partition}:lambda:{region}:{account}:function:{name}:…`.
fn is_of(arn: &str, (account, name): &(String, String)) -> bool {
    let parts: Vec<&str> = arn.splitn(8, ':').collect();
    matches!(
        parts.as_slice(),
        ["arn", _, "lambda", _, of_account, "function", of_name, _]
            if of_account == account && of_name == name
    )
}

/// The attributes of facts.
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

    /// Returns the facts of `others` that are missing here.
    pub(crate) fn beside(self, others: Self) -> Self {
        let [tenant, execution] = self.0.map(|own| own.is_none());
        let [other_tenant, other_execution] = others.0;
        Self([other_tenant.filter(|_| tenant), other_execution.filter(|_| execution)])
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
pub(crate) struct Told([Option<String>; 2]);

impl Told {
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts(self.0.each_ref().map(Option::as_deref))
    }

    /// Adds missing facts. Returns `true` if there were any.
    pub(crate) fn add(&mut self, facts: Facts<'_>) -> bool {
        let mut is_news = false;
        for (place, word) in self.0.iter_mut().zip(facts.0).filter(|(place, _)| place.is_none()) {
            is_news |= word.is_some();
            *place = word.map(str::to_owned);
        }
        is_news
    }
}

pub(crate) type ToldOf = BTreeMap<String, Told>;

/// The attributes missing in a record that was written before its invocation's facts were known.
pub(crate) fn missing(record: &[u8], told: &ToldOf) -> Vec<u8> {
    let record = Item::new(ItemKind::LogRecord, record);
    let find = |key: &str| record.attributes().find_map(|pair| text_attribute(pair, key));
    let told = find(names::FAAS_INVOCATION_ID).and_then(|id| told.get(id));
    let mut missing = Vec::new();
    for (key, word) in told.into_iter().flat_map(|told| told.facts().attributes()) {
        if find(key).is_none() {
            Writer::new(&mut missing).text_attribute(log_record::ATTRIBUTES, key, word);
        }
    }
    missing
}
