//! A backend that accepts everything and counts numbers.

use crate::serve::serve;
use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_ENCODING};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

const MOST_BYTES: usize = 64 << 20;

pub(super) struct Backend {
    address: SocketAddr,
    /// How often each number arrived.
    arrived: Arc<Mutex<Vec<u32>>>,
}

impl Backend {
    pub(super) async fn start() -> std::io::Result<Self> {
        let arrived = Arc::default();
        let address = serve(Arc::clone(&arrived), answer).await?;
        Ok(Self { address, arrived })
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}/api/load", self.address)
    }

    /// Returns how many of these numbers, each sent `times` times, arrived less often and more often.
    pub(super) fn differences(&self, numbers: Range<u32>, times: u32) -> [usize; 2] {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |number: u32| arrived.get(number as usize).copied().unwrap_or_default();
        let missing = numbers.clone().filter(|number| of(*number) < times).count();
        [missing, numbers.filter(|number| of(*number) > times).count()]
    }
}

async fn answer(
    arrived: Arc<Mutex<Vec<u32>>>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let body = match head.headers.get(CONTENT_ENCODING) {
        Some(_) => wire::gzip::inflate(&body, MOST_BYTES).context("a body is not gzip")?,
        None => body.to_vec(),
    };
    let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
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
