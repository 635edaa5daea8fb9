//! A faulty OpenObserve in memory.

use super::census::fault_name;
use super::cloud::{Answered, RequestId};
use super::current::Current;
use super::marks;
use super::schedule::{BackendFault, Fault, PASSING, Panic};
use super::setup::{DestinationId, profile};
use backend::{Client, HttpRequest, HttpResponse, Outcome, Profile, Transport, TransportError};
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
    pub(crate) current: Current,
}

/// The backend's treatment of a request.
struct Reply {
    /// Number of items that it does not store; `None` if it stores nothing.
    rejected: Option<usize>,
    /// What the forwarder learns from the response.
    answered: Answered,
    /// Status, headers and body; `None` if the connection breaks.
    response: Option<(u16, HeaderMap, Vec<u8>)>,
}

impl Reply {
    fn refuses(status: u16, text: &str) -> Self {
        let response = Some((status, HeaderMap::new(), text.into()));
        Self { rejected: None, answered: Answered::Refused, response }
    }

    fn busy(status: u16, retry_after: Option<u64>) -> Self {
        let after = retry_after.map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds)));
        let response = Some((status, after.into_iter().collect(), b"busy".to_vec()));
        Self { rejected: None, answered: Answered::Refused, response }
    }

    /// A response that does not tell if the request was stored.
    fn vague(stores: bool, response: Option<(u16, &str)>) -> Self {
        let response = response.map(|(status, text)| (status, HeaderMap::new(), text.into()));
        Self { rejected: stores.then_some(0), answered: Answered::Unknown, response }
    }

    fn takes(rejected: usize) -> Self {
        let response = Some((200, HeaderMap::new(), partial_success(rejected)));
        Self { rejected: Some(rejected), answered: Answered::Taken { rejected }, response }
    }
}

impl Transport for Backend {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let fault = self.draw_fault();
        if fault == Some(BackendFault::ResetBeforeBody) {
            return Err(TransportError {
                sent: false,
                is_closed: false,
                text: "connection refused".to_owned(),
            });
        }
        let body = if request.gzip {
            wire::gzip::inflate(&request.body, 64 << 20).unwrap()
        } else {
            request.body.to_vec()
        };
        let decoded = Request::trusted(request.kind, body);
        let found = marks::of_request(&decoded);
        assert_eq!(found.len(), decoded.items(), "each item has its mark");
        let stream = request.stream.as_ref().map(|stream| stream.to_str().unwrap());
        let place = (self.destination, stream);
        let id = self.current.cloud().begin_request(self.current.get(), place, &decoded, &found);
        let served = self.serve(id, fault, &decoded);
        timeout(request.timeout, served).await.unwrap_or_else(|_| {
            let text = "no answer in time".to_owned();
            Err(TransportError { sent: true, is_closed: false, text })
        })
    }
}

impl Backend {
    fn draw_fault(&self) -> Option<BackendFault> {
        let drawn = self.current.draw(|fault| match fault {
            Fault::Backend(of, fault) if *of == self.destination => Some(*fault),
            _ => None,
        });
        let fault = drawn?.unwrap_or_else(|| *self.current.random().pick(PASSING));
        self.current.cloud().census.met(&fault_name(&fault));
        Some(fault)
    }

    async fn serve(
        &self,
        id: RequestId,
        fault: Option<BackendFault>,
        request: &Request,
    ) -> Result<HttpResponse, TransportError> {
        self.current.wait(Duration::from_millis(40)).await;
        let Reply { rejected, answered, response } = self.reply(id, fault, request);
        // A slow or silent backend may store the request before its answer is due.
        let stores_early = self.current.random().percent(50);
        let stores_now = |is_early: bool| rejected.filter(|_| stores_early == is_early);
        self.store(id, stores_now(true));
        match fault {
            Some(BackendFault::Slow { seconds }) => sleep(Duration::from_secs(seconds)).await,
            Some(BackendFault::Hang) => std::future::pending().await,
            _ => {}
        }
        self.store(id, stores_now(false));
        self.current.cloud().requests[id].answered = answered;
        match response {
            Some((status, headers, body)) => {
                Ok(HttpResponse { status, headers, body: body.into(), cut: false })
            }
            None => Err(TransportError {
                sent: true,
                is_closed: true,
                text: "connection reset".to_owned(),
            }),
        }
    }

    fn reply(&self, id: RequestId, fault: Option<BackendFault>, request: &Request) -> Reply {
        let is_poisoned = self.current.cloud().is_poisoned(id);
        let mut random = self.current.random();
        let stores = random.percent(50);
        match fault {
            Some(BackendFault::Busy(status, retry_after)) => Reply::busy(status, retry_after),
            Some(BackendFault::Vague(status, text)) => Reply::vague(stores, Some((status, text))),
            Some(BackendFault::ResetAfterBody) => Reply::vague(stores, None),
            Some(BackendFault::NothingWritten) if profile(self.destination) == Profile::Otlp => {
                Reply::busy(503, None)
            }
            Some(BackendFault::NothingWritten) => match request.kind() {
                SignalKind::Logs => Reply::refuses(200, "\n\0"),
                SignalKind::Traces => {
                    Reply::refuses(400, "error while writing: database or disk is full")
                }
                // Some items may have been written before the disk was full.
                SignalKind::Metrics => Reply::vague(false, Some((500, "disk full"))),
            },
            Some(BackendFault::Refuses(status, text)) => Reply::refuses(status, text),
            Some(BackendFault::TooLarge { max_bytes }) if request.bytes().len() > max_bytes => {
                Reply::refuses(413, "length limit exceeded")
            }
            _ if is_poisoned && self.current.cloud().schedule.poison_crashes() => {
                self.current.cloud().census.met("fault: crash on a record");
                Reply::vague(false, None)
            }
            _ if is_poisoned => Reply::refuses(400, "Invalid record"),
            Some(BackendFault::Rejections) if request.items() > 0 => {
                Reply::takes(random.between(1, request.items()))
            }
            _ => Reply::takes(0),
        }
    }

    /// Stores all items of the request but this number of neighbours.
    fn store(&self, id: RequestId, rejected: Option<usize>) {
        let Some(rejected) = rejected else { return };
        let mut cloud = self.current.cloud();
        let items = cloud.items(id);
        if items == 0 {
            return;
        }
        let first = self.current.random().below(items);
        cloud.store(id, |position| (position + items - first) % items >= rejected);
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
    pub(crate) current: Current,
}

impl Export for Sender {
    async fn export(&self, stream: Option<&str>, request: Request, deadline: Instant) -> Outcome {
        let panic = self.current.draw(|fault| match fault {
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
        self.current.cloud().census.met(what);
        resume_unwind(Box::new(what))
    }
}
