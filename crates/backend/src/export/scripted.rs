//! A backend that follows a script.

use crate::http::{HttpRequest, HttpResponse, Transport, TransportError};
use bytes::Bytes;
use http::HeaderMap;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;
use wire::Request;

/// Log records whose bodies are the numbers from 0.
pub(super) fn numbered(records: usize) -> Request {
    let number = |number: usize| any_value::Value::IntValue(i64::try_from(number).unwrap());
    let log_record =
        |n| LogRecord { body: Some(AnyValue { value: Some(number(n)) }), ..Default::default() };
    Request::of_log_records(None, (0..records).map(log_record).collect())
}

pub(super) fn numbers(request: &Request) -> Vec<usize> {
    let decoded = request.decode::<wire::Logs>().unwrap().unwrap();
    let scopes = decoded.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    scopes
        .flat_map(|scope| &scope.log_records)
        .map(|record| match record.body.as_ref().and_then(|body| body.value.as_ref()) {
            Some(any_value::Value::IntValue(number)) => usize::try_from(*number).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// The backend's reaction to one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reply {
    /// Stores the request, unless it is too large or holds a refused record.
    Ok,
    /// Answers this status and stores nothing.
    Status(u16),
    /// Answers this status and stores everything.
    StoredBut(u16),
    RetryAfter(u64),
    /// Answers 200 `0a 00` and stores nothing.
    NothingWritten,
    /// Answers 200 `0a 00` and stores everything.
    StoredButNothingWritten,
    /// Stores everything and warns.
    Warning,
    /// Stores all but this many items.
    Partial(usize),
    /// Refuses the connection.
    Unreachable,
    /// Closes the connection after reading the body, which is stored or not.
    Closed {
        stored: bool,
    },
    /// Answers nothing within the request's timeout.
    Hangs,
}

/// A backend that follows a script, and afterwards stores everything that it does not refuse.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    script: Mutex<VecDeque<Reply>>,
    refused: BTreeSet<usize>,
    most_items: Option<usize>,
    pub(super) received: Mutex<Vec<(Vec<usize>, Reply)>>,
    pub(super) stored: Mutex<BTreeMap<usize, usize>>,
}

pub(super) fn scripted(steps: impl IntoIterator<Item = Reply>) -> Scripted {
    Scripted { script: Mutex::new(steps.into_iter().collect()), ..Scripted::default() }
}

impl Scripted {
    pub(super) fn refusing(self, records: impl IntoIterator<Item = usize>) -> Self {
        Self { refused: records.into_iter().collect(), ..self }
    }

    /// Responds with 413 to requests of more items than this.
    pub(super) fn taking_at_most(self, items: impl Into<Option<usize>>) -> Self {
        Self { most_items: items.into(), ..self }
    }

    /// Sizes of the requests received.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.received.lock().unwrap().iter().map(|(numbers, _)| numbers.len()).collect()
    }

    fn store(&self, numbers: &[usize]) {
        let mut stored = self.stored.lock().unwrap();
        for number in numbers {
            *stored.entry(*number).or_default() += 1;
        }
    }
}

fn response(status: u16, body: &[u8]) -> HttpResponse {
    let headers = HeaderMap::new();
    HttpResponse { status, headers, body: Bytes::copy_from_slice(body), cut: false }
}

impl Transport for &Scripted {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let request_timeout = request.timeout;
        assert!(!request_timeout.is_zero());
        let body = if request.gzip {
            wire::gzip::inflate(&request.body, 1 << 20).unwrap()
        } else {
            request.body.to_vec()
        };
        let request = Request::check(request.kind, body, &wire::Limits::default()).unwrap();
        let numbers = numbers(&request);
        assert!(!numbers.is_empty(), "an empty request was sent");
        let step = self.script.lock().unwrap().pop_front().unwrap_or(Reply::Ok);
        self.received.lock().unwrap().push((numbers.clone(), step));
        let no_answer = |sent| {
            Err(TransportError { sent, text: "no answer from test: s3cret-token".to_owned() })
        };
        let response = match step {
            Reply::Ok if self.most_items.is_some_and(|most| numbers.len() > most) => {
                response(413, b"")
            }
            Reply::Ok if numbers.iter().any(|number| self.refused.contains(number)) => {
                response(400, b"bad record")
            }
            Reply::Ok => {
                self.store(&numbers);
                response(200, b"")
            }
            Reply::Status(status) => response(status, b""),
            Reply::StoredBut(status) => {
                self.store(&numbers);
                response(status, b"")
            }
            Reply::RetryAfter(seconds) => {
                let mut response = response(503, b"");
                response.headers.insert(http::header::RETRY_AFTER, seconds.into());
                response
            }
            Reply::NothingWritten => response(200, &[0x0a, 0x00]),
            Reply::StoredButNothingWritten => {
                self.store(&numbers);
                response(200, &[0x0a, 0x00])
            }
            Reply::Warning => {
                self.store(&numbers);
                response(200, b"\x0a\x05\x12\x03old")
            }
            Reply::Partial(rejected) => {
                let rejected = rejected.min(numbers.len());
                self.store(&numbers[rejected..]);
                response(200, &[0x0a, 0x02, 0x08, u8::try_from(rejected).unwrap()])
            }
            Reply::Unreachable => return no_answer(false),
            Reply::Closed { stored } => {
                if stored {
                    self.store(&numbers);
                }
                return no_answer(true);
            }
            Reply::Hangs => {
                // A transport begins to measure the time later than its caller.
                tokio::time::sleep(request_timeout + Duration::from_millis(2)).await;
                return no_answer(true);
            }
        };
        Ok(response)
    }
}
