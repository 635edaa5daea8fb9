//! The warehouse that the function "stock" asks over HTTP: it notes each request, so that the calls are known from their other end.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Of this item there is nothing.
pub(super) const SOLD_OUT: u32 = 25_000;
/// Whoever asks for this item waits for ever.
pub(super) const NEVER_COUNTED: u32 = 26_000;

pub(super) struct Warehouse {
    pub(super) base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Warehouse {
    pub(super) fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let base = format!("http://{}", listener.local_addr()?);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        std::thread::spawn(move || {
            // As long as they are open their clients wait.
            let mut waiting = Vec::new();
            for connection in listener.incoming().flatten() {
                if let Ok(path) = answer(&connection) {
                    if is_never_answered(&path) {
                        waiting.push(connection);
                    }
                    notes.lock().unwrap_or_else(PoisonError::into_inner).push(path);
                }
            }
        });
        Ok(Self { base, asked })
    }

    /// The paths of all requests.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a request of this path gets no answer.
pub(super) fn is_never_answered(path: &str) -> bool {
    path.ends_with(&NEVER_COUNTED.to_string())
}

/// Answers one request, and closes; its path.
fn answer(mut connection: &TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(connection).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    if is_never_answered(&path) {
        return Ok(path);
    }
    let count = if path.ends_with(&SOLD_OUT.to_string()) { "0" } else { "3" };
    write!(connection, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n{count}")?;
    Ok(path)
}
