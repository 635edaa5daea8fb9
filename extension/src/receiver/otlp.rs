//! Receives OTLP, over HTTP and gRPC alike: a request is read, its lines are written to stdout, then it is answered.

use super::body::{self, Format, Framing};
use super::compression::Compression;
#[cfg(feature = "grpc")]
use super::grpc;
use super::response::{Encoding, Refusal, accepted, refused};
use super::service_name::named;
use crate::counts::{Count, Counts};
use crate::event::{Event, OtlpReceived};
use crate::http::{BoxedResponse, HttpResponse, Request, Respond, Unread};
use crate::invocations::roots::{named_spans, roots};
use crate::output::LineOutput;
use hyper::{Method, StatusCode};
use std::sync::Arc;
#[cfg(not(feature = "grpc"))]
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::timeout;
use wire::SignalKind;

/// The largest request, as received and inflated: what one line may inflate to.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// Room is kept in steps of so many bytes for what comes without a length.
const LEAST_HELD_BYTES: usize = 64 * 1024;

/// A request that finds no room waits so long: three signals that are flushed at once leave it one after the other, in
/// milliseconds.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A request that has this header, with the value `true`, holds spans that have not ended: the invocation is about to be cut off. It
/// stands beside the spans and not in them, so that what a function has put into a span says nothing about it.
const PARTIAL: &str = "lambda-otlp-partial";

#[cfg(not(feature = "grpc"))]
const NO_GRPC: &str = "gRPC is not received here: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf";

/// What all connections share.
pub(crate) struct Receiver {
    output: LineOutput,
    events: mpsc::Sender<Event>,
    counts: Arc<Counts>,
    /// What is received without a name of its service gets this one.
    service_name: String,
    /// One permit for each KiB of requests that may be in memory.
    room: Semaphore,
    /// Whether the log says that gRPC is not received; once an environment is enough.
    #[cfg(not(feature = "grpc"))]
    has_told_of_grpc: AtomicBool,
    max_request_bytes: usize,
}

impl Respond for Receiver {
    fn respond<'c>(&'c self, request: Request<'c>) -> BoxedResponse<'c> {
        Box::pin(self.answer(request))
    }

    #[cfg(not(feature = "grpc"))]
    fn refuse_grpc(&self) -> &'static str {
        self.counts.add(Count::RefusedGrpc, 1);
        if !self.has_told_of_grpc.swap(true, Ordering::Relaxed) {
            tracing::warn!("{NO_GRPC}");
        }
        NO_GRPC
    }
}

impl Receiver {
    pub(crate) fn new(
        output: LineOutput,
        events: mpsc::Sender<Event>,
        counts: Arc<Counts>,
        service_name: String,
        budget_bytes: usize,
    ) -> Self {
        Self {
            output,
            events,
            counts,
            service_name,
            room: Semaphore::new(budget_bytes / 1024),
            #[cfg(not(feature = "grpc"))]
            has_told_of_grpc: AtomicBool::new(false),
            // A request is in memory as its body, as what that inflates to, and as its lines.
            max_request_bytes: MAX_REQUEST_BYTES.min(budget_bytes / 2),
        }
    }

    /// Answers one request.
    async fn answer(&self, request: Request<'_>) -> HttpResponse {
        #[cfg(feature = "grpc")]
        if grpc::is_call(request.head) {
            return self.answer_call(request).await;
        }
        let content_type = request.header("content-type").and_then(Encoding::of);
        // A request without a known content type is answered in that of most senders.
        let encoding = content_type.unwrap_or(Encoding::Protobuf);
        let path = request.head.uri.path().trim_end_matches('/');
        let Some(kind) = SignalKind::ALL.into_iter().find(|kind| kind.path() == path) else {
            if let Some(answer) = side_door(&request.head.method, path) {
                return answer;
            }
            return self.refuse(encoding, &Refusal::UnknownPath);
        };
        let received = match format(content_type, &request) {
            Ok(format) => self.receive(kind, format, request).await,
            Err(refusal) => Err(refusal),
        };
        match received {
            Ok(rejected) => accepted(encoding, kind, rejected),
            Err(refusal) => self.refuse(encoding, &refusal),
        }
    }

    /// Answers one call of gRPC.
    #[cfg(feature = "grpc")]
    async fn answer_call(&self, request: Request<'_>) -> HttpResponse {
        let received = match grpc::signal_and_format(request.head) {
            Ok((kind, format)) => self.receive(kind, format, request).await,
            Err(refusal) => Err(refusal),
        };
        received.map_or_else(
            |refusal| {
                self.count(&refusal);
                grpc::refused(&refusal)
            },
            grpc::accepted,
        )
    }

    /// Takes a request; the number of its items that no line can hold.
    async fn receive(
        &self,
        kind: SignalKind,
        format: Format,
        request: Request<'_>,
    ) -> Result<usize, Refusal> {
        let is_partial = kind == SignalKind::Traces && request.header(PARTIAL) == Some("true");
        let mut body = request.body;
        let max_bytes = self.max_request_bytes;
        let unread = |unread| match unread {
            Unread::TooLarge => Refusal::TooLarge { max_bytes },
            Unread::BrokenOff => Refusal::BrokenOff,
        };
        let max_body_bytes = max_bytes + format.framing.prefix_bytes();
        let mut bytes = body.room(max_body_bytes).map_err(unread)?;
        // Of a body whose length nobody said as much is held as has come.
        let mut held = self.hold(bytes.capacity()).await?;
        while let Some(piece) = body.next(bytes.len(), max_body_bytes).await.map_err(unread)? {
            self.hold_more(&mut held, bytes.len() + piece.len()).await?;
            bytes.extend_from_slice(&piece);
            #[cfg(feature = "grpc")]
            format.framing.check(&bytes, max_bytes)?;
        }
        let request = body::read(kind, format, bytes, max_bytes)?;
        self.hold_more(&mut held, request.bytes().len()).await?;
        self.counts.add(Count::Received, 1);
        self.counts.add(Count::ReceivedBytes, request.bytes().len());
        if request.items() == 0 {
            return Ok(0);
        }
        let request = named(request, &self.service_name);
        self.hold_more(&mut held, request.bytes().len()).await?;
        let named = if self.output.is_buffered() { named_spans(&request) } else { Vec::new() };
        let received = OtlpReceived { roots: roots(&request), named };
        let items = request.items();
        let written = if is_partial {
            self.output.write_partial(request).await
        } else {
            self.output.write(request).await
        };
        let written = written.map_err(|_| Refusal::Full)?;
        self.counts.add(Count::Requests, 1);
        self.counts.add(Count::Items, items - written.dropped_items.min(items));
        // The channel is full only if the loop is stuck. It then misses root spans, but the data is written.
        drop(self.events.try_send(Event::Otlp(received)));
        Ok(written.dropped_items)
    }

    /// Keeps room for so many bytes in all.
    async fn hold_more<'r>(
        &'r self,
        held: &mut SemaphorePermit<'r>,
        bytes: usize,
    ) -> Result<(), Refusal> {
        let more = bytes.saturating_sub(held.num_permits() * 1024);
        if more > 0 {
            held.merge(self.hold(more.max(LEAST_HELD_BYTES)).await?);
        }
        Ok(())
    }

    /// Keeps room for so many bytes, which others may have to leave first.
    async fn hold(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Refusal> {
        let kib = u32::try_from(bytes.div_ceil(1024)).map_err(|_| Refusal::Full)?;
        let held = timeout(LONGEST_WAIT, self.room.acquire_many(kib)).await;
        held.map_err(|_| Refusal::Full)?.map_err(|_| Refusal::Full)
    }

    fn refuse(&self, encoding: Encoding, refusal: &Refusal) -> HttpResponse {
        self.count(refusal);
        refused(encoding, refusal)
    }

    fn count(&self, refusal: &Refusal) {
        let count = match refusal {
            Refusal::Full => Count::RefusedFull,
            _ => Count::RefusedInvalid,
        };
        self.counts.add(count, 1);
    }
}

/// How the body of a request over HTTP is to be read.
fn format(encoding: Option<Encoding>, request: &Request<'_>) -> Result<Format, Refusal> {
    if request.head.method != Method::POST {
        return Err(Refusal::WrongMethod);
    }
    let encoding = encoding.ok_or(Refusal::ContentType)?;
    let content_encoding = request.header("content-encoding");
    let compression = Compression::of(content_encoding).ok_or(Refusal::ContentEncoding)?;
    Ok(Format { encoding, compression, framing: Framing::None })
}

/// Answers two requests that are not OTLP: one that asks whether the receiver is there, and the one with which the wrapper of
/// an older extension says that a handler has ended, which Lambda tells too.
fn side_door(method: &Method, path: &str) -> Option<HttpResponse> {
    let known =
        matches!((method.as_str(), path), ("GET", "/health") | ("POST", "/invocation/complete"));
    known.then(|| HttpResponse::new(StatusCode::OK, "application/json", "{}"))
}
