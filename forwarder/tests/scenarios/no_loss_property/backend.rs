//! A faulty OpenObserve in memory.

use super::census::fault_name;
use super::cloud::{Answered, RequestId, Shared};
use super::current::Current;
use super::marks;
use super::schedule::{BackendFault, Fault, Panic};
use super::setup::{DestinationId, profile};
use backend::{Client, HttpRequest, HttpResponse, Outcome, Profile, Transport, TransportError};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use lambda_otlp_forwarder::Export;
use std::panic::resume_unwind;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use wire::protobuf::Writer;
use wire::{Request, SignalKind};

#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) destination: DestinationId,
    pub(crate) cloud: Shared,
    pub(crate) current: Current,
}

/// The backend's treatment of a request, and its answer.
enum Reply {
    Status(u16, HeaderMap, &'static str),
    /// Stores all but some items, and reports the number.
    Takes {
        rejected: usize,
    },
    NothingWritten,
    /// Stores it or not, without a clear answer.
    Vague {
        stores: bool,
        answer: Option<(u16, &'static str)>,
    },
}

impl Transport for Backend {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let fault = self.draw_fault();
        if fault == Some(BackendFault::ResetBeforeBody) {
            return Err(TransportError { sent: false, text: "connection refused".to_owned() });
        }
        let body = if request.gzip {
            wire::gzip::inflate(&request.body, 64 << 20).unwrap()
        } else {
            request.body.to_vec()
        };
        let bytes = body.len();
        let decoded = Request::trusted(request.kind, body);
        let found = marks::of_request(&decoded);
        assert_eq!(found.len(), decoded.items(), "each item has its mark");
        let stream = request.stream.as_ref().map(|stream| stream.to_str().unwrap());
        let id = self.cloud.lock().begin_request(
            self.current.get(),
            self.destination,
            (decoded.kind(), stream),
            &found,
            decoded.bytes(),
        );
        let served = self.serve(id, fault, &request, bytes);
        timeout(request.timeout, served).await.unwrap_or_else(|_| {
            Err(TransportError { sent: true, text: "no answer in time".to_owned() })
        })
    }
}

impl Backend {
    fn draw_fault(&self) -> Option<BackendFault> {
        let destination = self.destination;
        let drawn = self.current.draw(&self.cloud, |fault| match fault {
            Fault::Backend(of, fault) if *of == destination => Some(*fault),
            _ => None,
        });
        let fault = match drawn? {
            BackendFault::Any => BackendFault::any(&mut self.current.random()),
            other => other,
        };
        self.cloud.lock().census.met(&fault_name(&fault));
        Some(fault)
    }

    async fn serve(
        &self,
        id: RequestId,
        fault: Option<BackendFault>,
        request: &HttpRequest,
        bytes: usize,
    ) -> Result<HttpResponse, TransportError> {
        self.current.wait(Duration::from_millis(40)).await;
        let reply = self.reply(id, fault, bytes);
        // A slow or silent backend may store the request before its answer is due.
        let stores_early = self.current.random().percent(50);
        if stores_early {
            self.store(id, &reply);
        }
        match fault {
            Some(BackendFault::Slow { seconds }) => sleep(Duration::from_secs(seconds)).await,
            Some(BackendFault::Hang) => std::future::pending().await,
            _ => {}
        }
        if !stores_early {
            self.store(id, &reply);
        }
        self.answer(id, reply, request.kind)
    }

    fn reply(&self, id: RequestId, fault: Option<BackendFault>, bytes: usize) -> Reply {
        let status = |status, text| Reply::Status(status, HeaderMap::new(), text);
        let wait = |status, seconds: Option<u64>| {
            let after = seconds.map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds)));
            Reply::Status(status, after.into_iter().collect(), "busy")
        };
        let cloud = self.cloud.lock();
        let stores = self.current.random().percent(50);
        let vague = |answer| Reply::Vague { stores, answer };
        match fault {
            Some(BackendFault::Throttled { retry_after }) => return wait(429, retry_after),
            Some(BackendFault::Status503 { retry_after }) => return wait(503, retry_after),
            Some(BackendFault::Status500) => return vague(Some((500, "oops"))),
            Some(BackendFault::Status502) => return vague(Some((502, "bad gateway"))),
            Some(BackendFault::HtmlPage) => return vague(Some((200, "<html>"))),
            Some(BackendFault::ErrorAs200) => {
                return vague(Some((
                    200,
                    r#"{"code":503,"message":"Error# MemoryTableOverflowError"}"#,
                )));
            }
            Some(BackendFault::ResetAfterBody) => return vague(None),
            Some(BackendFault::NothingWritten) => {
                // OpenObserve's answer to a wrong password.
                return match profile(self.destination) {
                    Profile::OpenObserve => Reply::NothingWritten,
                    Profile::Otlp => wait(503, None),
                };
            }
            Some(BackendFault::BadRequest) => return status(400, "Bad Request"),
            Some(BackendFault::Unauthorized) => return status(401, "Unauthorized Access"),
            Some(BackendFault::Forbidden) => return status(403, "Forbidden"),
            Some(BackendFault::NotFound) => return status(404, "Organization not found"),
            Some(BackendFault::TooLarge { most_bytes }) if bytes > most_bytes => {
                return status(413, "length limit exceeded");
            }
            _ => {}
        }
        if cloud.is_poisoned(id) {
            return status(400, "Invalid record");
        }
        let items = cloud.items(id);
        match fault {
            Some(BackendFault::Rejections) => {
                Reply::Takes { rejected: self.current.random().between(1, items) }
            }
            _ => Reply::Takes { rejected: 0 },
        }
    }

    fn store(&self, id: RequestId, reply: &Reply) {
        let mut cloud = self.cloud.lock();
        match reply {
            Reply::Takes { rejected } => {
                let items = cloud.items(id);
                let first = self.current.random().below(items);
                let is_rejected = |position: usize| (position + items - first) % items < *rejected;
                cloud.store(id, |position| !is_rejected(position));
            }
            Reply::Vague { stores: true, .. } => cloud.store(id, |_| true),
            Reply::Vague { stores: false, .. } | Reply::Status(..) | Reply::NothingWritten => {}
        }
    }

    fn answer(
        &self,
        id: RequestId,
        reply: Reply,
        kind: SignalKind,
    ) -> Result<HttpResponse, TransportError> {
        let answer = |status, headers, body: &[u8]| {
            Ok(HttpResponse { status, headers, body: Bytes::copy_from_slice(body), cut: false })
        };
        let plain = |status, body: &[u8]| answer(status, HeaderMap::new(), body);
        let answered = |answered| self.cloud.lock().requests[id].answered = answered;
        match reply {
            Reply::Status(status, headers, text) => {
                answered(Answered::Refused);
                answer(status, headers, text.as_bytes())
            }
            Reply::Takes { rejected } => {
                answered(Answered::Taken { rejected });
                plain(200, &partial_success(rejected))
            }
            Reply::NothingWritten => match kind {
                SignalKind::Logs => {
                    answered(Answered::Refused);
                    plain(200, &[0x0a, 0])
                }
                SignalKind::Traces => {
                    answered(Answered::Refused);
                    plain(400, b"error while writing: database or disk is full")
                }
                // Some items may have been written before the disk was full.
                SignalKind::Metrics => plain(500, b"disk full"),
            },
            Reply::Vague { answer: Some((status, body)), .. } => plain(status, body.as_bytes()),
            Reply::Vague { answer: None, .. } => {
                Err(TransportError { sent: true, text: "connection reset".to_owned() })
            }
        }
    }
}

/// An encoded `Export…ServiceResponse`: field 1 is `partial_success`, with the number of rejected items in its field 1.
fn partial_success(rejected: usize) -> Vec<u8> {
    let mut response = Vec::new();
    if rejected > 0 {
        Writer::new(&mut response).message(1, |partial| partial.varint(1, rejected as u64));
    }
    response
}

pub(crate) struct Sender {
    pub(crate) client: Client<Backend>,
    pub(crate) cloud: Shared,
    pub(crate) current: Current,
}

impl Export for Sender {
    async fn export(&self, stream: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        let panic = self.current.draw(&self.cloud, |fault| match fault {
            Fault::Panic(panic) => Some(*panic),
            _ => None,
        });
        if panic == Some(Panic::Before) {
            self.panics("panic: before a request was sent");
        }
        let outcome = self.client.export(stream, request, deadline).await;
        if panic == Some(Panic::After) {
            self.panics("panic: after a request was answered");
        }
        outcome
    }
}

impl Sender {
    /// Without a message, which would be printed.
    fn panics(&self, what: &'static str) -> ! {
        self.cloud.lock().census.met(what);
        resume_unwind(Box::new(what))
    }
}
