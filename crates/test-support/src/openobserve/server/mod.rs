//! Reads a request, lets its scripted answer or the rules of `ingest` decide, writes the answer.

mod search;

use crate::openobserve::http_response::HttpResponse;
use crate::openobserve::ingest::{Submission, json_stream};
use crate::openobserve::route::{self, Target};
use crate::openobserve::script::ScriptedResponse;
use crate::openobserve::shared::Shared;
use crate::openobserve::store::{ReceivedRequest, Ticket};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_ENCODING, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::io::Write;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::{JoinError, spawn_blocking};

/// A body may be this much larger than the limit before reading stops: enough to answer 413 to an encoded body.
const RAW_BODY_SLACK_BYTES: usize = 2 * 1024 * 1024;

/// Bodies from this size on are handled aside: where tests are built without optimisation, 80 KiB of data points take 0.2 s and
/// megabytes of log records take seconds. Meanwhile hyper notices that the client is gone, and drops the request unanswered.
const LARGE_BODY_BYTES: usize = 16 * 1024;

pub(crate) async fn respond(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Abandoned> {
    let (mut parts, body) = request.into_parts();
    if let Some(authorization) = parts.headers.get_mut(AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    let signal = route::target(parts.uri.path()).and_then(|target| target.signal());
    let answer = shared.begin(signal, parts.method == Method::POST);
    let mut received = ReceivedRequest {
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: parts.headers.clone(),
        body: Bytes::new(),
        signal,
        status: None,
        stored: 0,
        answered_whole: false,
    };
    if answer == ScriptedResponse::CloseBeforeBody {
        shared.receive(received);
        return Err(Abandoned);
    }
    let limit = shared.config.payload_limit.saturating_add(RAW_BODY_SLACK_BYTES);
    let encoded = match Limited::new(body, limit).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let ticket = shared.receive(received);
            let mut reply = HttpResponse::too_large();
            reply.headers.push((CONNECTION, HeaderValue::from_static("close")));
            return Ok(write(&shared, ticket, reply, BodyShape::Whole));
        }
        Err(_) => return Err(Abandoned),
    };
    if let Some(question) = search::Question::of(&parts, &encoded) {
        let ticket = shared.receive(received);
        let reply = match answer {
            ScriptedResponse::Status(status) => error(status),
            _ => question.answer(&shared, &parts.headers),
        };
        return Ok(write(&shared, ticket, reply, BodyShape::Whole));
    }
    let target = route::route(&parts.method, parts.uri.path());
    let encoded_len = encoded.len();
    let known = Arc::clone(&shared);
    let submit = move || Submission::new(&known.config, target, parts.headers, &encoded);
    let submission = aside(encoded_len, submit).await;
    received.body = submission.body();
    let inflated_len = received.body.len().max(encoded_len);
    let ticket = shared.receive(received);

    let mut is_gzipped = false;
    let mut answer = answer;
    let answer = loop {
        answer = match answer {
            ScriptedResponse::Held(inner) => {
                shared.hold().await;
                *inner
            }
            ScriptedResponse::Delayed(delay, inner) => {
                tokio::time::sleep(delay).await;
                *inner
            }
            ScriptedResponse::Gzipped(inner) => {
                is_gzipped = true;
                *inner
            }
            answer => break answer,
        };
    };
    let known = Arc::clone(&shared);
    let conclude = move || conclude(&known, submission, ticket, answer);
    let (mut reply, shape) = aside(inflated_len, conclude).await?;
    // If the client left meanwhile, its connection ends here, and the request does not count as answered.
    tokio::task::yield_now().await;
    if is_gzipped {
        compress(&mut reply);
    }
    Ok(write(&shared, ticket, reply, shape))
}

/// Handles a body of this size, a large one on another thread. A real backend is another machine, so it must not
/// delay a Lambda on this thread, which reads pipes and checks deadlines meanwhile.
async fn aside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes < LARGE_BODY_BYTES {
        return work();
    }
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime ends, and this task with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Gives the answer, after the rules if the answer accepts the request.
fn conclude(
    shared: &Shared,
    submission: Submission,
    ticket: Ticket,
    answer: ScriptedResponse,
) -> Result<(HttpResponse, BodyShape), Abandoned> {
    let reply = match answer {
        ScriptedResponse::PartialSuccess(refuse) => shared.ingest(submission, ticket, refuse),
        ScriptedResponse::Status(status) => error(status),
        ScriptedResponse::RetryAfter(status, wait) => {
            error(status).with_header("retry-after", &whole_seconds(wait).to_string())
        }
        ScriptedResponse::Response { status, headers, body } => {
            let mut reply = HttpResponse::empty(status);
            for (name, value) in headers {
                reply = reply.with_header(&name, &value);
            }
            reply.body = body.into();
            reply
        }
        ScriptedResponse::WriteFailed => write_failed(&submission),
        ScriptedResponse::CloseBeforeBody | ScriptedResponse::CloseAfterBody => {
            return Err(Abandoned);
        }
        ScriptedResponse::CloseAfterStore => {
            shared.ingest(submission, ticket, 0);
            return Err(Abandoned);
        }
        ScriptedResponse::HalfResponse => {
            return Ok((shared.ingest(submission, ticket, 0), BodyShape::Half));
        }
        ScriptedResponse::Huge(bytes) => {
            let mut reply = shared.ingest(submission, ticket, 0);
            reply.body = vec![b' '; bytes].into();
            reply
        }
        ScriptedResponse::Ok
        | ScriptedResponse::Held(_)
        | ScriptedResponse::Delayed(..)
        | ScriptedResponse::Gzipped(_) => shared.ingest(submission, ticket, 0),
    };
    if reply.closes { Err(Abandoned) } else { Ok((reply, BodyShape::Whole)) }
}

fn write(
    shared: &Shared,
    ticket: Ticket,
    reply: HttpResponse,
    shape: BodyShape,
) -> Response<ResponseBody> {
    shared.answered(ticket, reply.status, shape != BodyShape::Half);
    let mut response = Response::new(ResponseBody::new(shape, reply.body));
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    response
}

fn error(status: u16) -> HttpResponse {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    HttpResponse::error(status, reason.unwrap_or("scripted"))
}

fn write_failed(submission: &Submission) -> HttpResponse {
    match &submission.target {
        Ok(target @ Target::Json { .. }) => json_stream::write_failed(target),
        _ => HttpResponse::write_failed(),
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn compress(reply: &mut HttpResponse) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    if let Ok(body) = encoder.write_all(&reply.body).and_then(|()| encoder.finish()) {
        reply.body = body.into();
        reply.headers.push((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
    }
}

/// Ends a connection without a (whole) answer.
#[derive(Debug, thiserror::Error)]
#[error("connection closed by the fake's script")]
pub(crate) struct Abandoned;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyShape {
    Whole,
    /// Half of the promised `Content-Length`; then the connection is closed.
    Half,
}

#[derive(Debug)]
pub(crate) enum ResponseBody {
    Whole(Option<Bytes>),
    Half { first: Option<Bytes>, flushed: bool },
}

const PROMISED_BYTES: u64 = 64;
const GIVEN: &[u8] = &[0; 32];

impl ResponseBody {
    pub(crate) fn new(shape: BodyShape, body: Bytes) -> Self {
        match shape {
            BodyShape::Whole => Self::Whole(Some(body).filter(|body| !body.is_empty())),
            BodyShape::Half => {
                Self::Half { first: Some(Bytes::from_static(GIVEN)), flushed: false }
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Abandoned;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Abandoned>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Half { first, flushed } => {
                if let Some(first) = first.take() {
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                if !*flushed {
                    // hyper flushes its buffer while the body is pending, and drops it when the body fails.
                    *flushed = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(Abandoned)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(body) => body.as_ref().map_or(0, |body| body.len() as u64),
            Self::Half { .. } => PROMISED_BYTES,
        })
    }
}
