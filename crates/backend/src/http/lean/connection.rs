//! Connections to the endpoints: creation, reuse and closing.

use super::Version;
use super::grpc;
use super::{Trouble, proxy, tls};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use settings::Proxy;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Origin, Url};

/// Connections within a region take milliseconds. A host that takes longer than this counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A load balancer, or a freeze of the environment, may have dropped a connection that was idle for longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// One per signal, because requests of all signals may be in flight at once.
const MOST_IDLE: usize = 3;

/// A connection that serves one request at a time. Dropping it closes it, even in the middle of a request.
pub(super) struct Connection {
    pub(super) sender: Sender,
    task: AbortHandle,
}

pub(super) enum Sender {
    Http1(SendRequest<Full<Bytes>>),
    Http2(h2::client::SendRequest<Bytes>),
}

impl Connection {
    /// Returns `true` if the connection can take another request.
    async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => {
                // Reads what the server sent meanwhile, such as a close.
                tokio::task::yield_now().await;
                let is_ready = std::future::poll_fn(|context| sender.poll_ready(context)).await;
                is_ready.is_ok() && !self.task.is_finished()
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Idle {
    origin: Origin,
    since: Instant,
    connection: Connection,
}

/// The idle connections, and the settings for new ones.
pub(super) struct Connections {
    /// `None` if no endpoint uses TLS.
    tls: Option<TlsConnector>,
    version: Version,
    proxy: Option<Proxy>,
    idle: Mutex<Vec<Idle>>,
}

impl Connections {
    pub(super) fn new(tls: Option<TlsConnector>, version: Version, proxy: Option<Proxy>) -> Self {
        Self { tls, version, proxy, idle: Mutex::default() }
    }

    pub(super) fn proxy_of(&self, url: &Url) -> Option<&Url> {
        self.proxy.as_ref()?.of(url)
    }

    /// The proxy that receives plain requests. Other requests use a tunnel.
    pub(super) fn forwarding_proxy_of(&self, url: &Url) -> Option<&Url> {
        let is_forwarded = url.scheme() == "http" && self.version == Version::Http1;
        self.proxy_of(url).filter(|_| is_forwarded)
    }

    /// Takes an idle connection to this URL's host that is still open.
    pub(super) async fn idle(&self, url: &Url) -> Option<Connection> {
        let origin = url.origin();
        loop {
            let mut connection = self.take(&origin)?;
            if connection.is_ready().await {
                return Some(connection);
            }
        }
    }

    fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.lock();
        idle.retain(|idle| {
            idle.since.elapsed() < IDLE_TIMEOUT && !idle.connection.task.is_finished()
        });
        let position = idle.iter().rposition(|idle| idle.origin == *origin)?;
        Some(idle.remove(position).connection)
    }

    pub(super) fn keep(&self, url: &Url, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() >= MOST_IDLE {
            idle.remove(0);
        }
        idle.push(Idle { origin: url.origin(), since: Instant::now(), connection });
    }

    pub(super) fn drop_all(&self) {
        self.lock().clear();
    }

    pub(super) async fn open(&self, url: &Url) -> Result<Connection, Trouble> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "timed out");
        timeout(CONNECT_TIMEOUT, self.connect(url)).await.map_err(|_| late())?
    }

    async fn connect(&self, url: &Url) -> Result<Connection, Trouble> {
        let mut stream = match self.proxy_of(url) {
            None => dial(url).await?,
            Some(proxy) => {
                let mut stream = dial(proxy).await?;
                if let Some(tls) = self.tls.as_ref().filter(|_| proxy.scheme() == "https") {
                    let tls = tls::of_http1(tls);
                    stream = Box::new(tls.connect(server_name(proxy)?, stream).await?);
                }
                if self.forwarding_proxy_of(url).is_none() {
                    proxy::tunnel(&mut *stream, proxy, url).await?;
                }
                stream
            }
        };
        if let Some(tls) = self.tls.as_ref().filter(|_| url.scheme() == "https") {
            let encrypted = tls.connect(server_name(url)?, stream).await;
            let encrypted = match self.version {
                Version::Http1 => encrypted,
                Version::Http2 => encrypted.map_err(grpc::refused),
            };
            stream = Box::new(encrypted?);
        }
        http(stream, self.version).await
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connections({} idle)", self.lock().len())
    }
}

fn host(url: &Url) -> Result<Host<&str>, io::Error> {
    url.host().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the URL has no host"))
}

async fn dial(url: &Url) -> Result<Box<dyn ByteStream>, Trouble> {
    let port = url.port_or_known_default().unwrap_or_default();
    let stream = match host(url)? {
        Host::Domain(name) => TcpStream::connect((name, port)).await,
        Host::Ipv4(address) => TcpStream::connect((address, port)).await,
        Host::Ipv6(address) => TcpStream::connect((address, port)).await,
    }?;
    // A request's head and body are one small packet each and must not wait for each other.
    stream.set_nodelay(true).ok();
    Ok(Box::new(stream))
}

/// The name that the host's certificate must have.
fn server_name(url: &Url) -> Result<ServerName<'static>, Trouble> {
    Ok(match host(url)? {
        Host::Domain(name) => ServerName::try_from(name.to_owned())?,
        Host::Ipv4(address) => ServerName::from(IpAddr::from(address)),
        Host::Ipv6(address) => ServerName::from(IpAddr::from(address)),
    })
}

/// Bytes with or without TLS. They share one type, because each copy of HTTP for another stream type takes tens of kilobytes.
trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

async fn http(stream: Box<dyn ByteStream>, version: Version) -> Result<Connection, Trouble> {
    // The request in flight reports how the connection ends.
    let (sender, task) = match version {
        Version::Http1 => {
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            (Sender::Http1(sender), tokio::spawn(async move { drop(connection.await) }))
        }
        Version::Http2 => {
            let (sender, connection) = h2::client::Builder::new()
                .enable_push(false)
                .max_concurrent_streams(0)
                .handshake(stream)
                .await?;
            (Sender::Http2(sender), tokio::spawn(async move { drop(connection.await) }))
        }
    };
    Ok(Connection { sender, task: task.abort_handle() })
}
