//! A backend that accepts everything and counts numbers.

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_ENCODING};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

const MOST_BYTES: usize = 64 << 20;

pub(super) struct Backend {
    address: SocketAddr,
    /// How often each number arrived.
    arrived: Arc<Mutex<Vec<u32>>>,
}

impl Backend {
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let arrived = Arc::new(Mutex::default());
        let counting = Arc::clone(&arrived);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let arrived = Arc::clone(&counting);
                let answer = service_fn(move |request| answer(Arc::clone(&arrived), request));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(async move { connection.await.ok() });
            }
        });
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
