//! The HTTP/1.1 server behind the OTLP receiver and the telemetry listener.

use crate::supervise::{self, Running};
use crate::vitals::Vitals;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) type Answer = Response<Full<Bytes>>;

/// An SDK holds one or two. Who comes beyond is turned away at once rather than kept waiting: that would be the function.
const MAX_CONNECTIONS: usize = 256;

/// Answers requests.
///
/// One type for all listeners: hyper's server is linked once, not once for each.
pub(crate) trait Respond: Send + Sync {
    fn respond(self: Arc<Self>, request: Request<Incoming>) -> BoxedAnswer;
}

pub(crate) type BoxedAnswer = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Serves connections for ever. A panic ends one connection and is counted; the task itself is started again.
pub(crate) fn listen(
    task: &'static str,
    socket: TcpListener,
    responder: Arc<dyn Respond>,
    vitals: &Arc<Vitals>,
) -> JoinHandle<()> {
    let (socket, serving) = (Arc::new(socket), Arc::clone(vitals));
    supervise::restarting(task, Arc::clone(vitals), move || {
        serve(Arc::clone(&socket), Arc::clone(&responder), Arc::clone(&serving))
    })
}

async fn serve(listener: Arc<TcpListener>, responder: Arc<dyn Respond>, vitals: Arc<Vitals>) {
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // About one connection that did not come to be, or no descriptors are left; the latter may pass.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if connections.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        let responder = Arc::clone(&responder);
        let running = Running::begin("connection", &connections, &vitals);
        tokio::spawn(async move {
            let _running = running;
            let service = service_fn(move |request| {
                let answer = Arc::clone(&responder).respond(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            // A client that goes away, as a killed process does, is no error of the server.
            drop(
                hyper::server::conn::http1::Builder::new()
                    .auto_date_header(false)
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    BrokenOff,
}

/// Reads a whole body of at most `max_bytes`. Of a larger one up to eight times as much is read and thrown away, because a
/// client that is still writing would see a reset connection instead of the answer.
pub(crate) async fn read_body(mut body: Incoming, max_bytes: usize) -> Result<Vec<u8>, Unread> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(announced.min(max_bytes));
    let mut refused_bytes = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::BrokenOff)?.into_data() else { continue };
        if refused_bytes == 0 && bytes.len() + data.len() <= max_bytes {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
            refused_bytes += data.len();
            if refused_bytes > max_bytes.saturating_mul(8) {
                break;
            }
        }
    }
    if refused_bytes > 0 { Err(Unread::TooLarge) } else { Ok(bytes) }
}

/// An answer of this type.
pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
