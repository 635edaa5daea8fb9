//! An HTTP proxy on loopback, for tests: it tunnels (`CONNECT`) and forwards, refuses, hangs or answers nonsense. To it every name
//! is one of this machine, as names are that only a proxy can resolve.

#![expect(clippy::unwrap_used, reason = "a failure here is a mistake in a test")]

use crate::lock;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAnswer {
    Leads,
    /// Leads to this port, whatever the request names.
    LeadsTo(u16),
    /// Leads there who has this `Proxy-Authorization`, and answers 407 to others.
    Asks(&'static str),
    /// Answers with this, and closes the connection.
    Says(String),
    /// Answers with a head that has no end.
    Endless,
    Hangs,
    Closes,
}

#[derive(Debug)]
pub struct HttpProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl HttpProxy {
    /// Does this with each request that begins a connection.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(answer: ProxyAnswer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, answer.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, heads }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn heads(&self) -> Vec<String> {
        lock(&self.heads).clone()
    }
}

/// A client or a backend that goes away ends it.
async fn serve(mut client: TcpStream, answer: ProxyAnswer, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    lock(&seen).push(head.clone());
    match answer {
        ProxyAnswer::Leads => drop(lead(client, &head, None).await),
        ProxyAnswer::LeadsTo(port) => drop(lead(client, &head, Some(port)).await),
        ProxyAnswer::Asks(credentials) if has(&head, credentials) => {
            drop(lead(client, &head, None).await);
        }
        ProxyAnswer::Asks(_) => {
            let asks = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
            drop(client.write_all(asks).await);
        }
        ProxyAnswer::Says(text) => drop(client.write_all(text.as_bytes()).await),
        ProxyAnswer::Endless => {
            drop(client.write_all(b"HTTP/1.1 200 OK\r\n").await);
            while client.write_all(b"X-Filler: 0123456789abcdef\r\n").await.is_ok() {}
        }
        ProxyAnswer::Hangs => drop(client.read_to_end(&mut Vec::new()).await),
        ProxyAnswer::Closes => {}
    }
}

fn has(head: &str, credentials: &str) -> bool {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.any(|(name, value)| {
        name.eq_ignore_ascii_case("proxy-authorization") && value == credentials
    })
}

async fn lead(mut client: TcpStream, head: &str, fixed_port: Option<u16>) -> std::io::Result<()> {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let is_tunnel = head.starts_with("CONNECT ");
    let rest = target.strip_prefix("http://").unwrap_or(target);
    let (authority, _) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let named = authority.rsplit(':').next().and_then(|port| port.parse().ok());
    let port = fixed_port.or(named).unwrap_or(80);
    let mut backend = TcpStream::connect(("127.0.0.1", port)).await?;
    if is_tunnel {
        client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n").await?;
    } else {
        let origin = format!("http://{authority}");
        backend.write_all(head.replacen(&origin, "", 1).as_bytes()).await?;
    }
    copy_bidirectional(&mut client, &mut backend).await.map(drop)
}
