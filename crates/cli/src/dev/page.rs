//! The live page of `dev --open`: serves the page, the telemetry as server-sent events, and the repetition of an event.
//!
//! A request invokes a function, so the server listens on loopback only and refuses requests of other pages: those with another
//! `Host` (DNS rebinding) or `Origin`, and those that a form could send.
//!
//! Source: HTML Living Standard, "Server-sent events"; Fetch Standard, "CORS protocol" (simple requests).

use super::function::SessionFunction;
use super::live_page::LivePage;
use super::output::SessionOutput;
use bytes::Bytes;
use console::page::content_security_policy;
use futures_util::StreamExt as _;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use local_lambda::HttpServer;
use serde::Deserialize;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

type PageBody = UnsyncBoxBody<Bytes, Infallible>;

/// Maximum size of a request, which names an event.
const MAX_REQUEST_BYTES: usize = 1024;

/// Serves the page on this port until it is dropped.
pub(super) async fn serve(port: u16, function: &Arc<SessionFunction>) -> io::Result<HttpServer> {
    let same = Arc::clone(function);
    let answer = move |request| {
        let function = Arc::clone(&same);
        async move { Ok::<_, Infallible>(answer(request, &function).await) }
    };
    HttpServer::listen(port, answer).await
}

/// Shows the page in the browser, if there is a desktop.
pub(super) fn show(address: SocketAddr, output: &SessionOutput) {
    use settings::{Env, Source as _};
    output.say(format!("live page: http://{address}; Ctrl-C ends"));
    if Env.get("DISPLAY").or_else(|| Env.get("WAYLAND_DISPLAY")).is_some() {
        let mut browser = std::process::Command::new("xdg-open");
        browser.arg(format!("http://{address}"));
        browser.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        // Without a browser, the printed address is enough.
        browser.spawn().ok();
    }
}

async fn answer(request: Request<Incoming>, function: &Arc<SessionFunction>) -> Response<PageBody> {
    let Some(page) = function.output.page() else {
        return text(StatusCode::NOT_FOUND, "there is no live page");
    };
    let (parts, incoming) = request.into_parts();
    if let Err(foreign) = check_origin(&parts.method, &parts.headers) {
        return text(StatusCode::FORBIDDEN, foreign.as_str());
    }
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/") => html(page, &function.name),
        (&Method::GET, "/events") => events(page),
        (&Method::POST, "/rerun") => {
            let Ok(body) = Limited::new(incoming, MAX_REQUEST_BYTES).collect().await else {
                return text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large");
            };
            repeat(&body.to_bytes(), page, function)
        }
        _ => text(StatusCode::NOT_FOUND, "there is no such page"),
    }
}

/// The sign that a request comes from another page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ForeignRequest {
    Host,
    Origin,
    Site,
    ContentType,
}

impl ForeignRequest {
    fn as_str(self) -> &'static str {
        match self {
            Self::Host => "the page is at 127.0.0.1 or localhost only",
            Self::Origin | Self::Site => "a request of another page",
            Self::ContentType => "the content type is not application/json",
        }
    }
}

/// Refuses requests of other pages.
fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), ForeignRequest> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = value(header::HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !matches!(name, "127.0.0.1" | "localhost") {
        return Err(ForeignRequest::Host);
    }
    let is_own = |origin: &str| origin.strip_prefix("http://") == Some(host);
    if value(header::ORIGIN).is_some_and(|origin| !is_own(origin)) {
        return Err(ForeignRequest::Origin);
    }
    // An image or a form of another page has no origin, and would take one of the few open connections. A link to the page may
    // come from anywhere.
    let site = value(HeaderName::from_static("sec-fetch-site"));
    let is_navigation = value(HeaderName::from_static("sec-fetch-dest")) == Some("document");
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) && !is_navigation {
        return Err(ForeignRequest::Site);
    }
    // Browsers ask before they send this type for another page, and the answer is no.
    let is_json = value(header::CONTENT_TYPE) == Some("application/json");
    if *method == Method::POST && !is_json {
        return Err(ForeignRequest::ContentType);
    }
    Ok(())
}

fn html(page: &LivePage, function: &str) -> Response<PageBody> {
    let Ok(html) = page.html(function) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "cannot write the page");
    };
    response(StatusCode::OK, "text/html; charset=utf-8", Full::new(html.into()).boxed_unsync())
}

fn events(page: &Arc<LivePage>) -> Response<PageBody> {
    let Some(messages) = Arc::clone(page).messages() else {
        return text(StatusCode::TOO_MANY_REQUESTS, "too many pages are open");
    };
    let frames = messages.map(|message| Ok::<_, Infallible>(Frame::data(message)));
    let body = StreamBody::new(frames).boxed_unsync();
    response(StatusCode::OK, "text/event-stream", body)
}

#[derive(Deserialize)]
struct Repeat {
    number: u64,
}

fn repeat(
    body: &Bytes,
    page: &Arc<LivePage>,
    function: &Arc<SessionFunction>,
) -> Response<PageBody> {
    let Ok(Repeat { number }) = serde_json::from_slice(body) else {
        return text(StatusCode::BAD_REQUEST, "the request names no event");
    };
    let Some(kept) = page.event(number) else {
        return text(StatusCode::NOT_FOUND, "the event was forgotten");
    };
    let Some(permit) = page.start_repetition() else {
        return text(StatusCode::TOO_MANY_REQUESTS, "too many events run");
    };
    let function = Arc::clone(function);
    tokio::spawn(async move {
        function.invoke(&kept.event, kept.client_context).await;
        drop(permit);
    });
    text(StatusCode::ACCEPTED, "")
}

fn text(status: StatusCode, text: &'static str) -> Response<PageBody> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync();
    response(status, "text/plain; charset=utf-8", body)
}

fn response(status: StatusCode, content_type: &'static str, body: PageBody) -> Response<PageBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let policy = format!("{}; frame-ancestors 'none'", content_security_policy(true));
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
        let site = |site: &'static str| ("sec-fetch-site", site);
        check("GET", &[own, site("same-origin")], true);
        check("GET", &[own, site("none")], true);
        check("GET", &[own, site("cross-site"), ("sec-fetch-dest", "document")], true);
        for other in ["cross-site", "same-site"] {
            check("GET", &[own, site(other), ("sec-fetch-dest", "image")], false);
            check("GET", &[own, site(other)], false);
        }
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
}
