//! Delivers a request by carrying out the decisions of [`Delivery`].

mod delivery;
mod outcome;
mod retry;
#[cfg(test)]
mod scripted;

use crate::destination::Compression;
use crate::http::{HttpRequest, Transport, TransportError};
use crate::sanitize::KnownColumns;
use bytes::Bytes;
pub(crate) use delivery::Delivery;
use delivery::Step;
use http::{HeaderMap, HeaderValue};
pub use outcome::{Fate, Outcome, UndeliveredPart};
pub(crate) use retry::{BUDGET, Jitter, RETRIES};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};
use wire::{Request, SignalKind};

pub(crate) struct Attempt<'a> {
    pub(crate) compression: Compression,
    pub(crate) timeout: Duration,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) stream: Option<&'a HeaderValue>,
}

/// Delivers a request until all of its items are accounted for, at the latest at `deadline`.
pub(crate) async fn export(
    transport: &impl Transport,
    attempt: &Attempt<'_>,
    deadline: Instant,
    mut delivery: Delivery,
) -> Outcome {
    let start = Instant::now();
    let mut last_body = LastBody::default();
    let (mut requests_sent, mut bytes_sent) = (0, 0);
    loop {
        match delivery.next(start.elapsed()) {
            Step::Send { request, serial } => {
                let body = last_body.of(serial, request, attempt.compression);
                requests_sent += 1;
                bytes_sent += body.len();
                let http_request = HttpRequest {
                    kind: request.kind(),
                    body,
                    gzip: attempt.compression == Compression::Gzip,
                    headers: attempt.headers.clone(),
                    stream: attempt.stream.cloned(),
                    timeout: attempt.timeout.min(transport_time(deadline)),
                };
                let response = timeout_at(deadline, transport.send(http_request)).await;
                let response = response.unwrap_or_else(|_| {
                    let text = "no answer before the deadline".to_owned();
                    Err(TransportError { sent: true, text })
                });
                delivery.answered(start.elapsed(), response.as_ref().map_err(Clone::clone));
            }
            Step::WaitUntil(time) => sleep_until(start + time).await,
            Step::Done => return Outcome { requests_sent, bytes_sent, ..delivery.finish() },
        }
    }
}

/// The time that a request has before `deadline`, a little less than is left: only the transport's own error names the host,
/// and says whether anything was sent.
fn transport_time(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.saturating_sub((left / 20).min(Duration::from_millis(20)))
}

/// The gzip level for a signal: 6, the default of gzip and of OpenTelemetry's exporters. Builds with `bulk` use level 1 for log
/// records: libdeflate's level 1 produces 9 % more bytes than its level 6 in two fifths of the time, and levels 2 and 3 are no
/// smaller than 1.
pub const fn gzip_level(kind: SignalKind) -> u32 {
    match kind {
        SignalKind::Logs if cfg!(feature = "bulk") => 1,
        SignalKind::Traces | SignalKind::Metrics | SignalKind::Logs => 6,
    }
}

/// The most recently sent body.
#[derive(Debug, Default)]
pub(super) struct LastBody(Option<(usize, Bytes)>);

impl LastBody {
    /// Returns the body of this request. A retry has the same `serial` and reuses the previous body.
    pub(super) fn of(
        &mut self,
        serial: usize,
        request: &Request,
        compression: Compression,
    ) -> Bytes {
        match &self.0 {
            Some((of, body)) if *of == serial => body.clone(),
            _ => {
                let body = Bytes::from(match compression {
                    Compression::None => request.bytes().to_vec(),
                    Compression::Gzip => {
                        wire::gzip::compress(gzip_level(request.kind()), request.bytes())
                    }
                });
                self.0.insert((serial, body)).1.clone()
            }
        }
    }
}

/// Lower limits are ignored, because each record would become a request of its own.
const LEAST_COLUMNS: usize = 50;

/// The lowest size limit to learn. With a lower one, nearly each record would become a request of its own.
const LEAST_BYTES: usize = 16 * 1024;

/// The maximum number of warnings to log. A backend may put a different number into each.
const MOST_WARNINGS: usize = 16;

/// Facts learned about a backend, shared between clones.
#[derive(Debug, Clone)]
pub(crate) struct Learned(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_columns: AtomicUsize,
    max_bytes: AtomicUsize,
    columns: Mutex<KnownColumns>,
    warnings: Mutex<Vec<String>>,
}

impl Learned {
    pub(crate) fn new(max_columns: usize) -> Self {
        Self(Arc::new(Inner {
            max_columns: AtomicUsize::new(max_columns),
            max_bytes: AtomicUsize::new(usize::MAX),
            columns: Mutex::default(),
            warnings: Mutex::default(),
        }))
    }

    /// Notes a column limit that the backend stated. Returns `true` if it is lower than the known limit.
    pub(super) fn learn_max_columns(&self, columns: usize) -> bool {
        columns >= LEAST_COLUMNS
            && self.0.max_columns.fetch_min(columns, Ordering::Relaxed) > columns
    }

    /// The maximum number of columns of a request: a tenth below the limit, which leaves room for columns that newer versions of
    /// OpenObserve add.
    pub(super) fn columns(&self) -> usize {
        let limit = self.0.max_columns.load(Ordering::Relaxed);
        limit - limit / 10
    }

    /// Lowers the size limit of later requests, but not below [`LEAST_BYTES`].
    pub(super) fn learn_max_bytes(&self, bytes: usize) {
        self.0.max_bytes.fetch_min(bytes.max(LEAST_BYTES), Ordering::Relaxed);
    }

    /// The size limit of requests before compression; `usize::MAX` until the backend refuses one as too large.
    pub(super) fn max_bytes(&self) -> usize {
        self.0.max_bytes.load(Ordering::Relaxed)
    }

    /// Gives access to the columns that the backend has accepted.
    fn with_columns<T>(&self, with: impl FnOnce(&mut KnownColumns) -> T) -> T {
        // The set stays usable if another thread panics.
        with(&mut self.0.columns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns `true` if the warning is new: a backend may repeat it with each request.
    pub(super) fn is_new_warning(&self, warning: &str) -> bool {
        // The list stays complete if another thread panics.
        let mut told = self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = told.len() < MOST_WARNINGS && told.iter().all(|other| other != warning);
        if is_new {
            told.push(warning.to_owned());
        }
        is_new
    }
}

#[cfg(test)]
mod tests;
