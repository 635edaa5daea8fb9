//! Answers the requests of one connection, in HTTP/1.1 and HTTP/2.

use super::body::{Body, Unfinished};
use super::connections::Open;
use super::{Answer, Head, ReceivedRequest, Respond, header};
use crate::panics;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, Version};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The service that hyper calls for each request of a connection.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) responder: Arc<dyn Respond>,
    pub(super) open: Arc<Open>,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Service {
    type Response = Response<ResponseBody>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<ResponseBody>>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let Self { responder, open } = self.clone();
        Box::pin(async move {
            let _busy = open.busy();
            respond(&*responder, request).await
        })
    }
}

/// Answers a request, and reads the rest of its body. An error ends the connection without an answer.
///
/// A panic ends this request. Its answer keeps the client from repeating it, unlike a broken connection.
async fn respond(
    responder: &dyn Respond,
    request: hyper::Request<Incoming>,
) -> io::Result<Response<ResponseBody>> {
    let (head, incoming) = request.into_parts();
    let waits_to_be_asked = expects_continue(&head) && !incoming.is_end_stream();
    let mut body = Unfinished::new(incoming, waits_to_be_asked);
    let answer = responder.respond(ReceivedRequest { head: &head, body: Body(&mut body) });
    let answer = panics::caught(answer).await;
    let answer = answer.unwrap_or_else(|| Answer::new(responder.after_panic(), "text/plain", ""));
    // HTTP/2 clients understand an answer before the end of their body.
    let is_read = head.version == Version::HTTP_2 || body.drain().await?;
    let mut response =
        Response::new(ResponseBody { body: Bytes::from(answer.body), trailers: answer.trailers });
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some((name, value)) = answer.header {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !is_read {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn expects_continue(head: &Head) -> bool {
    head.version >= Version::HTTP_11
        && header(head, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
}

pub(super) struct ResponseBody {
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl ResponseBody {
    fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    fn next(&mut self) -> Option<Frame<Bytes>> {
        let body = std::mem::take(&mut self.body);
        if !body.is_empty() {
            return Some(Frame::data(body));
        }
        self.trailers.take().map(Frame::trailers)
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_empty() && !self.has_trailers()
    }

    fn size_hint(&self) -> SizeHint {
        // A length would say that no trailers follow.
        if self.has_trailers() {
            SizeHint::default()
        } else {
            SizeHint::with_exact(self.body.len() as u64)
        }
    }
}
