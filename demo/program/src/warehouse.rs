//! The warehouse that "stock" asks over HTTP. It records each request, so that the demo knows the calls independently
//! of their spans.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// The item with a stock of 0.
pub(crate) const SOLD_OUT: u32 = 25_000;
/// The item whose requests get no answer.
pub(crate) const NEVER_COUNTED: u32 = 26_000;

pub(crate) struct Warehouse {
    pub(crate) base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Warehouse {
    pub(crate) fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let base = format!("http://{}", listener.local_addr()?);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        std::thread::spawn(move || {
            // An open connection keeps its client waiting.
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

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns `true` if a request with this path gets no answer.
pub(crate) fn is_never_answered(path: &str) -> bool {
    path.ends_with(&NEVER_COUNTED.to_string())
}

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
