//! The content of the live page: its messages so far, and the events that it can repeat.

use crate::shown::ReceivedTelemetry;
use anyhow::Context as _;
use bytes::Bytes;
use console::page::{Page, telemetry};
use console::time_arguments::now_unix_nano;
use console::waterfall::align_times_to_print_order;
use futures_util::{Stream, stream};
use local_lambda::{ClientContext, Invocation, InvocationResult};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Bounds on the kept messages. The oldest are forgotten first.
const MAX_MESSAGES: usize = 5_000;
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Bounds on the kept events.
const MAX_EVENTS: usize = 200;
const MAX_EVENT_BYTES: usize = 32 * 1024 * 1024;
/// The longest text of an event or a result on the page.
const LONGEST_TEXT: usize = 64 * 1024;
/// Maximum number of pages that are open at a time.
const MAX_PAGES: usize = 16;
/// Maximum number of events that are repeated at a time.
const MAX_REPEATED: usize = 4;

/// The telemetry and the events that the page shows.
pub(super) struct LivePage {
    /// The time at which the session began.
    base: u64,
    history: Mutex<History>,
    message_count: watch::Sender<u64>,
    open_pages: Arc<Semaphore>,
    repetitions: Arc<Semaphore>,
}

#[derive(Default)]
struct History {
    /// The number of forgotten messages.
    forgotten: u64,
    messages: VecDeque<Bytes>,
    message_bytes: usize,
    events: VecDeque<KeptEvent>,
    event_bytes: usize,
    event_count: u64,
}

/// An event that the page can repeat.
#[derive(Clone)]
pub(super) struct KeptEvent {
    number: u64,
    pub(super) event: Bytes,
    pub(super) client_context: Option<ClientContext>,
}

impl LivePage {
    pub(super) fn new() -> Self {
        Self {
            base: now_unix_nano(),
            history: Mutex::default(),
            message_count: watch::Sender::new(0),
            open_pages: Arc::new(Semaphore::new(MAX_PAGES)),
            repetitions: Arc::new(Semaphore::new(MAX_REPEATED)),
        }
    }

    /// Adds the spans and log records of requests.
    pub(super) fn add_telemetry(&self, requests: &[wire::Request]) -> anyhow::Result<()> {
        let mut added = ReceivedTelemetry::default();
        for request in requests {
            added.add(request);
        }
        if added.spans.is_empty() && added.records.is_empty() {
            return Ok(());
        }
        align_times_to_print_order(&mut added.records);
        let message = telemetry(&added.spans, &added.records);
        self.add(&message.context("cannot show telemetry on the page")?);
        Ok(())
    }

    /// Adds a finished invocation.
    pub(super) fn add_invocation(
        &self,
        invocation: &Invocation,
        event: &[u8],
        client_context: Option<ClientContext>,
    ) {
        let event = Bytes::copy_from_slice(event);
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let mut characters = text.chars();
            let short: String = characters.by_ref().take(LONGEST_TEXT).collect();
            if characters.next().is_some() { short + "…" } else { short }
        };
        let result = match &invocation.result {
            InvocationResult::Response(body) | InvocationResult::FunctionError { body, .. } => {
                text(body)
            }
            InvocationResult::Timeout => "timed out".to_owned(),
            InvocationResult::Crash { .. } => "the process ended".to_owned(),
        };
        let number = self.history().keep_event(event.clone(), client_context);
        self.add(&json!({ "invocation": {
            "number": number,
            "id": invocation.request_id,
            "event": text(&event),
            "result": result,
            "failed": !invocation.is_success(),
        } }));
    }

    fn add(&self, message: &serde_json::Value) {
        let message = Bytes::from(format!("data: {message}\n\n"));
        self.history().keep_message(message);
        self.message_count.send_modify(|count| *count += 1);
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the messages so far, and further ones as they come. A reader that is too slow begins again. Returns `None` if too
    /// many pages are open.
    pub(super) fn messages(self: Arc<Self>) -> Option<impl Stream<Item = Bytes>> {
        // The permit is given back when the page is closed.
        let permit = Arc::clone(&self.open_pages).try_acquire_owned().ok()?;
        let message_count = self.message_count.subscribe();
        let reader = MessageReader { message_count, page: self, next: None, _permit: permit };
        Some(stream::unfold(reader, |mut reader| async move {
            let message = reader.next().await?;
            Some((message, reader))
        }))
    }

    /// Returns the kept event with this number.
    pub(super) fn event(&self, number: u64) -> Option<KeptEvent> {
        self.history().events.iter().find(|kept| kept.number == number).cloned()
    }

    /// Returns `None` if too many events are repeated.
    pub(super) fn start_repetition(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.repetitions).try_acquire_owned().ok()
    }

    /// The page without telemetry, which begins to read the messages.
    pub(super) fn html(&self, function: &str) -> Result<String, serde_json::Error> {
        let page = Page {
            title: format!("{function} – lambda-otlp dev"),
            live: true,
            base: self.base.to_string(),
            ..Page::default()
        };
        page.html()
    }
}

impl History {
    fn keep_message(&mut self, message: Bytes) {
        self.message_bytes += message.len();
        self.messages.push_back(message);
        while self.messages.len() > MAX_MESSAGES || self.message_bytes > MAX_BYTES {
            let Some(oldest) = self.messages.pop_front() else { return };
            self.message_bytes -= oldest.len();
            self.forgotten += 1;
        }
    }

    /// Returns the number of the event.
    fn keep_event(&mut self, event: Bytes, client_context: Option<ClientContext>) -> u64 {
        let number = self.event_count;
        self.event_count += 1;
        self.event_bytes += event.len();
        self.events.push_back(KeptEvent { number, event, client_context });
        while self.events.len() > MAX_EVENTS || self.event_bytes > MAX_EVENT_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.event_bytes -= oldest.event.len();
        }
        number
    }

    fn message(&self, number: u64) -> Option<Bytes> {
        let index = usize::try_from(number.checked_sub(self.forgotten)?).ok()?;
        self.messages.get(index).cloned()
    }
}

/// An open page's position among the messages.
struct MessageReader {
    page: Arc<LivePage>,
    message_count: watch::Receiver<u64>,
    /// The number of the next message; `None` before the first.
    next: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

impl MessageReader {
    /// Waits for the next message. Returns `None` when the session has ended.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            {
                let history = self.page.history();
                match self.next {
                    Some(next) if next >= history.forgotten => {
                        if let Some(message) = history.message(next) {
                            self.next = Some(next + 1);
                            return Some(message);
                        }
                    }
                    _ => {
                        self.next = Some(history.forgotten);
                        return Some(Bytes::from_static(b"event: begin\ndata:\n\n"));
                    }
                }
            }
            let next = self.next.unwrap_or_default();
            self.message_count.wait_for(|count| *count > next).await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use std::pin::pin;

    #[tokio::test]
    async fn a_page_gets_all_kept_messages_and_begins_again_if_it_is_too_slow() {
        let page = Arc::new(LivePage::new());
        let mut messages = pin!(Arc::clone(&page).messages().unwrap());
        page.add(&json!(0));
        let begin = Bytes::from_static(b"event: begin\ndata:\n\n");
        assert_eq!(messages.next().await, Some(begin.clone()));
        assert_eq!(messages.next().await, Some(Bytes::from_static(b"data: 0\n\n")));
        for number in 1..=MAX_MESSAGES + 10 {
            page.add(&json!(number));
        }
        assert_eq!(page.history().messages.len(), MAX_MESSAGES);
        assert_eq!(messages.next().await, Some(begin));
        assert_eq!(messages.next().await, Some(Bytes::from_static(b"data: 11\n\n")));
    }

    #[test]
    fn kept_events_and_messages_are_bounded() {
        let mut history = History::default();
        let large = Bytes::from(vec![0; MAX_BYTES / 2]);
        for _ in 0..3 {
            history.keep_message(large.clone());
            history.keep_event(large.clone(), None);
        }
        assert_eq!(history.messages.len(), 2);
        assert_eq!(history.forgotten, 1);
        assert_eq!(history.events.len(), 2);
        for _ in 0..2 * MAX_EVENTS {
            history.keep_event(Bytes::new(), None);
        }
        assert_eq!(history.events.len(), MAX_EVENTS);
    }
}
