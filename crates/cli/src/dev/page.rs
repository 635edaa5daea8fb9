//! The live page of `dev --open`: serves the page, the telemetry as server-sent events, and the repetition of an event.
//!
//! A request invokes a function, so the server listens on loopback only and refuses requests of other pages: those with another
//! `Host` (DNS rebinding) or `Origin`, and those that a form could send.
//!
//! Source: HTML Living Standard, "Server-sent events"; Fetch Standard, "CORS protocol" (simple requests).

use super::session::Function;
use crate::shown::Held;
use anyhow::Context as _;
use bytes::Bytes;
use console::page::{Page, policy, telemetry};
use console::time_arguments::now_unix_nano;
use console::waterfall::settle_times;
use futures_util::stream;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use local_lambda::{ClientContext, HttpServer, Invocation, InvocationResult};
use serde::Deserialize;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, watch};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Bounds on the kept messages. The oldest are forgotten first.
const MOST_MESSAGES: usize = 5_000;
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Bounds on the kept events.
const MOST_EVENTS: usize = 200;
const MOST_EVENT_BYTES: usize = 32 * 1024 * 1024;
/// The longest text of an event or a result on the page.
const LONGEST_TEXT: usize = 64 * 1024;
/// The most pages that are open at a time.
const MOST_PAGES: usize = 16;
/// The most events that are repeated at a time.
const MOST_REPEATED: usize = 4;
const MAX_REQUEST_BYTES: usize = 1024;

/// The telemetry and the events that the page shows.
pub(super) struct LivePage {
    base: u64,
    history: Mutex<History>,
    /// The number of messages so far.
    count: watch::Sender<u64>,
    pages: Arc<Semaphore>,
    repeated: Arc<Semaphore>,
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

struct KeptEvent {
    number: u64,
    event: Bytes,
    client_context: Option<ClientContext>,
}

impl LivePage {
    pub(super) fn new() -> Self {
        Self {
            base: now_unix_nano(),
            history: Mutex::default(),
            count: watch::Sender::new(0),
            pages: Arc::new(Semaphore::new(MOST_PAGES)),
            repeated: Arc::new(Semaphore::new(MOST_REPEATED)),
        }
    }

    /// Adds spans and log records.
    pub(super) fn add_telemetry(&self, requests: &[wire::Request]) -> anyhow::Result<()> {
        let mut held = Held::default();
        for request in requests {
            held.add(request);
        }
        if held.spans.is_empty() && held.records.is_empty() {
            return Ok(());
        }
        settle_times(&mut held.records);
        let message = telemetry(&held.spans, &held.records);
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
            let mut texts = text.chars();
            let short: String = texts.by_ref().take(LONGEST_TEXT).collect();
            if texts.next().is_some() { short + "…" } else { short }
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
        self.count.send_modify(|count| *count += 1);
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the messages so far, and further ones as they come. A reader that is too slow begins again.
    fn messages(self: Arc<Self>) -> Body {
        let reader = Reader { count: self.count.subscribe(), page: self, next: None };
        let frames = stream::unfold(reader, |mut reader| async move {
            let message = reader.next().await?;
            Some((Ok(Frame::data(message)), reader))
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

impl History {
    fn keep_message(&mut self, message: Bytes) {
        self.message_bytes += message.len();
        self.messages.push_back(message);
        while self.messages.len() > MOST_MESSAGES || self.message_bytes > MOST_BYTES {
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
        while self.events.len() > MOST_EVENTS || self.event_bytes > MOST_EVENT_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.event_bytes -= oldest.event.len();
        }
        number
    }

    fn message(&self, number: u64) -> Option<Bytes> {
        let place = usize::try_from(number.checked_sub(self.forgotten)?).ok()?;
        self.messages.get(place).cloned()
    }
}

struct Reader {
    page: Arc<LivePage>,
    count: watch::Receiver<u64>,
    /// The number of the next message; `None` before the first.
    next: Option<u64>,
}

impl Reader {
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
            self.count.wait_for(|count| *count > next).await.ok()?;
        }
    }
}

/// Serves the page on this port until it is dropped.
pub(super) async fn serve(port: u16, function: &Arc<Function>) -> io::Result<HttpServer> {
    let same = Arc::clone(function);
    let answer = move |request| {
        let function = Arc::clone(&same);
        async move { Ok::<_, Infallible>(answer(request, &function).await) }
    };
    HttpServer::listen(port, answer).await
}

/// Shows the page in the browser, if there is a desktop.
pub(super) fn show(address: SocketAddr, logs: &super::logs::Logs) {
    use settings::{Env, Source as _};
    logs.say(format!("live page: http://{address}; Ctrl-C ends"));
    if Env.get("DISPLAY").or_else(|| Env.get("WAYLAND_DISPLAY")).is_some() {
        let mut browser = std::process::Command::new("xdg-open");
        browser.arg(format!("http://{address}"));
        browser.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        // The address was told.
        browser.spawn().ok();
    }
}

async fn answer(request: Request<Incoming>, function: &Arc<Function>) -> Response<Body> {
    let Some(page) = function.logs.page() else {
        return text(StatusCode::NOT_FOUND, "there is no live page");
    };
    let (parts, body) = request.into_parts();
    if let Err(why) = check_origin(&parts.method, &parts.headers) {
        return text(StatusCode::FORBIDDEN, why);
    }
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/") => html(page, &function.name),
        (&Method::GET, "/events") => events(page),
        (&Method::POST, "/rerun") => {
            let Ok(body) = Limited::new(body, MAX_REQUEST_BYTES).collect().await else {
                return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large");
            };
            repeat(&body.to_bytes(), page, function)
        }
        _ => text(StatusCode::NOT_FOUND, "there is no such page"),
    }
}

/// Refuses requests of other pages.
fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), &'static str> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = value(header::HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !matches!(name, "127.0.0.1" | "localhost") {
        return Err("the page is at 127.0.0.1 or localhost only");
    }
    let is_own = |origin: &str| origin.strip_prefix("http://") == Some(host);
    if value(header::ORIGIN).is_some_and(|origin| !is_own(origin)) {
        return Err("a request of another page");
    }
    // Browsers ask before they send this type for another page, and the answer is no.
    let is_json = value(header::CONTENT_TYPE) == Some("application/json");
    if *method == Method::POST && !is_json {
        return Err("the content type is not application/json");
    }
    Ok(())
}

fn html(page: &LivePage, function: &str) -> Response<Body> {
    let html = Page {
        title: format!("{function} – lambda-otlp dev"),
        live: true,
        base: page.base.to_string(),
        ..Page::default()
    };
    let Ok(html) = html.html() else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "cannot write the page");
    };
    response(StatusCode::OK, "text/html; charset=utf-8", Full::new(html.into()).boxed_unsync())
}

fn events(page: &Arc<LivePage>) -> Response<Body> {
    let Ok(place) = Arc::clone(&page.pages).try_acquire_owned() else {
        return text(StatusCode::TOO_MANY_REQUESTS, "too many pages are open");
    };
    let messages = Arc::clone(page).messages().map_frame(move |frame| {
        // The place is free when the page is closed.
        let _held = &place;
        frame
    });
    response(StatusCode::OK, "text/event-stream", messages.boxed_unsync())
}

#[derive(Deserialize)]
struct Repeat {
    number: u64,
}

fn repeat(body: &Bytes, page: &Arc<LivePage>, function: &Arc<Function>) -> Response<Body> {
    let Ok(Repeat { number }) = serde_json::from_slice(body) else {
        return text(StatusCode::BAD_REQUEST, "the request names no event");
    };
    let found = {
        let history = page.history();
        let event = history.events.iter().find(|kept| kept.number == number);
        event.map(|kept| (kept.event.clone(), kept.client_context.clone()))
    };
    let Some((event, client_context)) = found else {
        return text(StatusCode::NOT_FOUND, "the event was forgotten");
    };
    let Ok(place) = Arc::clone(&page.repeated).try_acquire_owned() else {
        return text(StatusCode::TOO_MANY_REQUESTS, "too many events run");
    };
    let function = Arc::clone(function);
    tokio::spawn(async move {
        function.invoke(&event, client_context).await;
        drop(place);
    });
    text(StatusCode::ACCEPTED, "")
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync();
    response(status, "text/plain; charset=utf-8", body)
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let policy = format!("{}; frame-ancestors 'none'", policy(true));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.extend(
        HeaderValue::from_str(&policy).ok().map(|policy| (header::CONTENT_SECURITY_POLICY, policy)),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_other_pages_are_refused() {
        let check = |method: &str, headers: &[(&'static str, &str)], is_allowed: bool| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            let method = method.parse().unwrap();
            assert_eq!(check_origin(&method, &map).is_ok(), is_allowed, "{headers:?}");
        };
        let own = ("host", "127.0.0.1:9000");
        let json = ("content-type", "application/json");
        check("GET", &[own], true);
        check("GET", &[("host", "localhost:9000")], true);
        check("POST", &[own, json, ("origin", "http://127.0.0.1:9000")], true);
        check("GET", &[], false);
        // A name that an attacker's DNS server leads to this machine.
        check("GET", &[("host", "attacker.example:9000")], false);
        check("GET", &[("host", "127.0.0.1.attacker.example:9000")], false);
        for origin in [
            "http://attacker.example",
            "null",
            "http://127.0.0.1:9001",
            "http://localhost:9000",
            "https://127.0.0.1:9000",
        ] {
            check("POST", &[own, json, ("origin", origin)], false);
        }
        // A form can send these without a question.
        check("POST", &[own], false);
        check("POST", &[own, ("content-type", "text/plain")], false);
    }

    #[tokio::test]
    async fn a_page_gets_all_kept_messages_and_begins_again_if_it_is_too_slow() {
        let page = Arc::new(LivePage::new());
        let mut reader =
            Reader { page: Arc::clone(&page), count: page.count.subscribe(), next: None };
        page.add(&json!(0));
        let begin = Bytes::from_static(b"event: begin\ndata:\n\n");
        assert_eq!(reader.next().await, Some(begin.clone()));
        assert_eq!(reader.next().await, Some(Bytes::from_static(b"data: 0\n\n")));
        for number in 1..=MOST_MESSAGES + 10 {
            page.add(&json!(number));
        }
        assert_eq!(page.history().messages.len(), MOST_MESSAGES);
        assert_eq!(reader.next().await, Some(begin));
        assert_eq!(reader.next().await, Some(Bytes::from_static(b"data: 11\n\n")));
    }

    #[test]
    fn kept_events_and_messages_are_bounded() {
        let mut history = History::default();
        let large = Bytes::from(vec![0; MOST_BYTES / 2]);
        for _ in 0..3 {
            history.keep_message(large.clone());
            history.keep_event(large.clone(), None);
        }
        assert_eq!((history.messages.len(), history.forgotten, history.events.len()), (2, 1, 2));
        for _ in 0..2 * MOST_EVENTS {
            history.keep_event(Bytes::new(), None);
        }
        assert_eq!(history.events.len(), MOST_EVENTS);
    }
}
