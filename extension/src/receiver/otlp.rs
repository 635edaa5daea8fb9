//! Receives OTLP over HTTP and gRPC: reads a request, gives it to the sink, and answers it.

use super::body::{self, ContentCoding, Format};
use super::grpc;
use super::response::{Encoding, Refusal, accepted, refused};
use crate::config::RECEIVED_BYTES;
use crate::counts::{Count, Counts};
use crate::event::Event;
use crate::http::{Answer, BoxedAnswer, Head, RequestBody, Respond, Unread, answer, header};
use crate::service_name::named;
use crate::sink::Intake;
use hyper::{Method, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use wire::SignalKind;

/// The size limit of a request, compressed and inflated.
const MAX_REQUEST_BYTES: usize = RECEIVED_BYTES / 2;

/// Room for a body without a length is reserved in steps of this size.
const LEAST_RESERVED_BYTES: usize = 64 * 1024;

/// Time a request may wait for room. Three signals that are flushed at once leave within milliseconds.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

pub(crate) struct Receiver {
    intake: Intake,
    events: mpsc::Sender<Event>,
    counts: Arc<Counts>,
    /// The service name of requests without one.
    service_name: String,
    /// One permit per KiB of requests that may be in memory.
    room: Arc<Semaphore>,
    /// A request refused for good has been logged.
    has_logged_refusal: AtomicBool,
    /// A request refused for want of room has been logged.
    has_logged_full: AtomicBool,
}

impl Respond for Receiver {
    fn respond<'c>(&'c self, head: &'c Head, body: &'c mut RequestBody) -> BoxedAnswer<'c> {
        Box::pin(self.answer(head, body))
    }

    fn after_panic(&self) -> StatusCode {
        self.counts.add(Count::RefusedInvalid, 1);
        // SDKs do not repeat a request after this status.
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

impl Receiver {
    pub(crate) fn new(
        intake: Intake,
        events: mpsc::Sender<Event>,
        counts: Arc<Counts>,
        service_name: String,
    ) -> Self {
        Self {
            intake,
            events,
            counts,
            service_name,
            room: Arc::new(Semaphore::new(RECEIVED_BYTES / 1024)),
            has_logged_refusal: AtomicBool::new(false),
            has_logged_full: AtomicBool::new(false),
        }
    }

    async fn answer(&self, head: &Head, body: &mut RequestBody) -> Answer {
        // djv3's extension has these, too: its wrapper reports the end of a handler, which Lambda also does.
        if matches!(head.uri.path(), "/health" | "/invocation/complete") {
            return answer(StatusCode::OK, "application/json", "{}");
        }
        let is_grpc = grpc::is_call(head);
        let content_type = header(head, "content-type").and_then(Encoding::of);
        let signal_and_format = if is_grpc {
            grpc::signal_and_format(head)
        } else {
            signal_and_format(head, content_type)
        };
        let received = match signal_and_format {
            Ok((kind, format)) => {
                self.receive(kind, format, body).await.map(|rejected| (kind, rejected))
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = &received {
            self.count(refusal);
        }
        // The answer to an unknown content type is protobuf, which most senders use.
        let encoding = content_type.unwrap_or(Encoding::Protobuf);
        match received {
            Ok((_, rejected)) if is_grpc => grpc::accepted(rejected),
            Ok((kind, rejected)) => accepted(encoding, kind, rejected),
            Err(refusal) if is_grpc => grpc::refused(&refusal),
            Err(refusal) => refused(encoding, &refusal),
        }
    }

    /// Receives a request. Returns the number of items that are too large for a line.
    async fn receive(
        &self,
        kind: SignalKind,
        format: Format,
        body: &mut RequestBody,
    ) -> Result<usize, Refusal> {
        let max_bytes = MAX_REQUEST_BYTES;
        let unread = |unread| match unread {
            Unread::TooLarge => Refusal::TooLarge { max_bytes },
            Unread::BrokenOff => Refusal::BrokenOff,
        };
        let max_body_bytes = max_bytes + if format.is_grpc { grpc::PREFIX_BYTES } else { 0 };
        let announced = body.announced(max_body_bytes).map_err(unread)?;
        // A body without a length reserves room as it arrives.
        let mut room = self.reserve(announced).await?;
        let mut bytes = Vec::with_capacity(announced);
        while let Some(piece) = body.next(bytes.len(), max_body_bytes).await.map_err(unread)? {
            self.extend(&mut room, bytes.len() + piece.len()).await?;
            bytes.extend_from_slice(&piece);
            if format.is_grpc {
                grpc::check_message(&bytes, max_bytes)?;
            }
        }
        let compressed = (format.compression != ContentCoding::None).then(|| bytes.clone());
        let mut request = body::read(kind, format, bytes, max_bytes)?;
        let inflated_bytes = request.bytes().len();
        if let Some(bytes) = compressed
            && self.try_extend(&mut room, inflated_bytes).is_err()
        {
            // Requests that wait for room may be many, so they wait compressed.
            drop(request);
            self.extend(&mut room, inflated_bytes).await?;
            request = body::read(kind, format, bytes, max_bytes)?;
        }
        self.extend(&mut room, inflated_bytes).await?;
        self.counts.add(Count::Received, 1);
        self.counts.add(Count::ReceivedBytes, request.bytes().len());
        if request.items() == 0 {
            return Ok(0);
        }
        let request = named(request, &self.service_name);
        self.extend(&mut room, request.bytes().len()).await?;
        let spans = self.intake.invocation_spans(&request);
        tracing::debug!(signal = %kind, items = request.items(), "OTLP received");
        let rejected = self.intake.accept(request, room).await.ok_or(Refusal::Full)?;
        // If the channel is full, the loop is stuck and misses root spans. The request is accepted nevertheless.
        drop(self.events.try_send(Event::Otlp(spans)));
        Ok(rejected)
    }

    /// Reserves room for this number of bytes, and waits for it if necessary.
    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let kib = u32::try_from(bytes.div_ceil(1024)).map_err(|_| Refusal::Full)?;
        let room = timeout(LONGEST_WAIT, Arc::clone(&self.room).acquire_many_owned(kib)).await;
        room.map_err(|_| Refusal::Full)?.map_err(|_| Refusal::Full)
    }

    /// Extends the room to this number of bytes in total, and waits for more if necessary.
    async fn extend(
        &self,
        room: &mut OwnedSemaphorePermit,
        total_bytes: usize,
    ) -> Result<(), Refusal> {
        let more = total_bytes.saturating_sub(room.num_permits() * 1024);
        if more > 0 {
            room.merge(self.reserve(more.max(LEAST_RESERVED_BYTES)).await?);
        }
        Ok(())
    }

    /// Extends the room to this number of bytes in total, unless there is too little now.
    fn try_extend(
        &self,
        room: &mut OwnedSemaphorePermit,
        total_bytes: usize,
    ) -> Result<(), Refusal> {
        let more = total_bytes.div_ceil(1024).saturating_sub(room.num_permits());
        let more_kib = u32::try_from(more).map_err(|_| Refusal::Full)?;
        let permit = Arc::clone(&self.room).try_acquire_many_owned(more_kib);
        room.merge(permit.map_err(|_| Refusal::Full)?);
        Ok(())
    }

    fn count(&self, refusal: &Refusal) {
        let count = match refusal {
            Refusal::Full => Count::RefusedFull,
            _ => Count::RefusedInvalid,
        };
        self.counts.add(count, 1);
        if *refusal == Refusal::Full && !self.has_logged_full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "OTLP requests are refused with 503, because too many bytes are in memory; further ones are only counted"
            );
        }
        if !refusal.may_be_sent_again() && !self.has_logged_refusal.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason = %refusal, "an OTLP request was refused; further ones are only counted");
        }
    }
}

fn signal_and_format(
    head: &Head,
    encoding: Option<Encoding>,
) -> Result<(SignalKind, Format), Refusal> {
    let path = head.uri.path().trim_end_matches('/');
    let kind =
        SignalKind::ALL.into_iter().find(|kind| kind.path() == path).ok_or(Refusal::UnknownPath)?;
    if head.method != Method::POST {
        return Err(Refusal::WrongMethod);
    }
    let encoding = encoding.ok_or(Refusal::ContentType)?;
    let compression =
        ContentCoding::of(header(head, "content-encoding")).ok_or(Refusal::ContentEncoding)?;
    Ok((kind, Format { encoding, compression, is_grpc: false }))
}
