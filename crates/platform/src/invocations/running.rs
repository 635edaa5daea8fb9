//! Which invocations run, and which of them a line belongs to.

use super::limits::MAX_CONCURRENT;
use super::{Id, Invocations};
use crate::event::{EventKind, PlatformEvent};
use crate::read::runtime_error::Failure;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// The number of its start.
    start: u64,
    id: Id,
}

/// The runtime's line that may be the last one of its invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastWords {
    pub(crate) failure: Failure,
    /// The position of its record, in the same chunk.
    pub(crate) record: Option<usize>,
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

/// Lines between `START` and `END` without a request id belong to the running invocation, unless several run at a time, as on
/// managed instances. This is best effort: if a delivery begins in the middle of an invocation, its first lines belong to none.
impl Invocations {
    /// The running invocation, if it is known and the only one.
    pub(crate) fn only_running(&self) -> Option<&str> {
        let is_only = self.running.len() == 1 && !self.is_concurrent;
        self.running.front().filter(|_| is_only).map(|running| &*running.id)
    }

    pub(crate) fn is_concurrent(&self) -> bool {
        self.is_concurrent
    }

    /// Notes that several invocations run at a time.
    pub fn note_concurrency(&mut self) {
        self.is_concurrent = true;
    }

    /// The running invocation of a runtime's line. `named` is the request id in the line, if it has one. An id counts only if its
    /// invocation runs, because a function can print any id.
    pub(crate) fn invocation_of_line(&self, named: Option<&str>) -> LineInvocation<'_> {
        let running = match named {
            Some(named) => self.running_id(named),
            None => self.only_running(),
        };
        match running {
            Some(id) => LineInvocation::Running(id),
            None if self.running.is_empty() && (named.is_some() || !self.is_concurrent) => {
                LineInvocation::Unknown
            }
            None => LineInvocation::None,
        }
    }

    /// The request id, if the invocation runs.
    fn running_id(&self, request_id: &str) -> Option<&str> {
        self.get(request_id).filter(|known| known.start.is_some()).map(|known| &*known.id)
    }

    pub(crate) fn is_running(&self, request_id: &str) -> bool {
        self.running_id(request_id).is_some()
    }

    /// Notes the start or end of an invocation. If the environment runs invocations `one_at_a_time`, a start ends
    /// the others. A log stream does not show that in either format.
    pub(crate) fn note_start_or_end(&mut self, event: &PlatformEvent, one_at_a_time: bool) {
        self.is_concurrent |= event.is_of_managed_instance();
        let Some(request_id) = &event.request_id else { return };
        match event.kind {
            EventKind::Start => {
                if one_at_a_time {
                    while !self.running.is_empty() {
                        self.end_oldest();
                    }
                }
                self.start(request_id);
            }
            // The end of another invocation is ignored: a function can print it.
            EventKind::End | EventKind::Report => self.end(request_id),
            _ => {}
        }
    }

    fn start(&mut self, request_id: &str) {
        self.end(request_id);
        if self.running.len() == MAX_CONCURRENT {
            self.end_oldest();
        }
        let start = self.starts;
        self.starts += 1;
        let invocation = self.entry(request_id);
        invocation.start = Some(start);
        let id = Arc::clone(&invocation.id);
        self.running.push_back(Running { start, id });
    }

    fn end(&mut self, request_id: &str) {
        let Some(invocation) = self.entries.get_mut(request_id) else { return };
        let Some(start) = invocation.start.take() else { return };
        if let Ok(at) = self.running.binary_search_by_key(&start, |running| running.start) {
            self.running.remove(at);
        }
    }

    fn end_oldest(&mut self) {
        let oldest = self.running.pop_front();
        if let Some(invocation) = oldest.and_then(|oldest| self.entries.get_mut(&oldest.id)) {
            invocation.start = None;
        }
    }
}

/// The runtime's line that counts if its invocation prints nothing more.
impl Invocations {
    pub(crate) fn has_last_words(&self) -> bool {
        self.with_last_words > 0
    }

    pub(crate) fn set_last_words(&mut self, request_id: &str, words: LastWords) {
        let earlier = self.entry(request_id).last_words.replace(words);
        self.with_last_words += usize::from(earlier.is_none());
    }

    pub(crate) fn take_last_words(&mut self, request_id: &str) -> Option<LastWords> {
        let words = self.entries.get_mut(request_id)?.last_words.take();
        self.with_last_words -= usize::from(words.is_some());
        words
    }

    /// Forgets the records of last words, which the next chunk does not have.
    pub(crate) fn forget_records(&mut self) {
        if self.has_last_words() {
            for words in self.entries.values_mut().filter_map(|known| known.last_words.as_mut()) {
                words.record = None;
            }
        }
    }
}
