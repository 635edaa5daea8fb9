//! Delivers a request by carrying out the decisions of [`Delivery`].

mod body;
mod delivery;
mod learned;
mod outcome;
mod retry;

#[cfg(test)]
mod tests;

use crate::destination::Compression;
use crate::http::{HttpRequest, Transport, TransportError};
use body::LastBody;
pub use body::gzip_level;
pub(crate) use delivery::Delivery;
use delivery::Step;
use http::{HeaderMap, HeaderValue};
pub(crate) use learned::Learned;
pub use outcome::{Fate, Outcome, UndeliveredPart};
pub(crate) use retry::Jitter;
pub use retry::{InvalidRetryPolicy, RetryPolicy};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

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
