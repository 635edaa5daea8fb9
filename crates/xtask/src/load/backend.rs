//! A backend that counts numbers. It can be down, or slow.

use crate::serve::serve;
use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_ENCODING};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use local_lambda::{HttpServer, lock};
use std::ops::{AddAssign, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

const MAX_BYTES: usize = 64 << 20;

pub(super) struct Backend {
    http: HttpServer,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// How often each number arrived.
    arrived: Mutex<Vec<u32>>,
    /// Answers 503.
    is_down: AtomicBool,
    /// The bytes that it takes in a second; 0 for any number.
    bytes_a_second: AtomicU64,
    /// The requests that wait for others.
    turns: tokio::sync::Mutex<()>,
    /// Accepted bytes, inflated.
    bytes: Arc<AtomicU64>,
}

impl Backend {
    pub(super) async fn start() -> std::io::Result<Self> {
        let state = Arc::default();
        let http = serve(Arc::clone(&state), answer).await?;
        Ok(Self { http, state })
    }

    pub(super) fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Takes no more bytes in a second from now on.
    pub(super) fn limit(&self, bytes_a_second: u64) {
        self.state.bytes_a_second.store(bytes_a_second, Ordering::Relaxed);
    }

    /// The number of bytes accepted so far.
    pub(super) fn bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.state.bytes)
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}/api/load", self.http.address())
    }

    /// Compares the numbers that arrived with these, each of which was sent `times` times.
    pub(super) fn differences(&self, numbers: Range<u32>, times: u32) -> Differences {
        let arrived = lock(&self.state.arrived);
        let times_of = |number: u32| arrived.get(number as usize).copied().unwrap_or_default();
        Differences {
            missing: numbers.clone().filter(|number| times_of(*number) < times).count(),
            repeated: numbers.filter(|number| times_of(*number) > times).count(),
        }
    }
}

/// How many numbers arrived less often, and more often, than they were sent.
#[derive(Default)]
pub(super) struct Differences {
    pub(super) missing: usize,
    pub(super) repeated: usize,
}

impl AddAssign for Differences {
    fn add_assign(&mut self, other: Self) {
        self.missing += other.missing;
        self.repeated += other.repeated;
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    if state.is_down.load(Ordering::Relaxed) {
        let down = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
        return Ok(down.body(Full::default())?);
    }
    let encoded = body.collect().await?.to_bytes();
    let body = match head.headers.get(CONTENT_ENCODING) {
        Some(_) => wire::gzip::inflate(&encoded, MAX_BYTES).context("a body is not gzip")?,
        None => encoded.to_vec(),
    };
    let bytes = body.len() as u64;
    let bytes_a_second = state.bytes_a_second.load(Ordering::Relaxed);
    if bytes_a_second > 0 {
        let _turn = state.turns.lock().await;
        sleep(Duration::from_secs(bytes) / u32::try_from(bytes_a_second)?).await;
    }
    state.bytes.fetch_add(bytes, Ordering::Relaxed);
    let mut arrived = lock(&state.arrived);
    for number in numbers(&body) {
        let number = number as usize;
        if arrived.len() <= number {
            arrived.resize(number + 1, 0);
        }
        if let Some(times) = arrived.get_mut(number) {
            *times += 1;
        }
    }
    Ok(Response::new(Full::default()))
}

/// The numbers in these bytes, `#00001234#`.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    memchr::memchr_iter(b'#', bytes).filter_map(|at| {
        let digits = bytes.get(at + 1..at + 9)?;
        let is_number = digits.iter().all(u8::is_ascii_digit) && bytes.get(at + 9) == Some(&b'#');
        is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
    })
}
