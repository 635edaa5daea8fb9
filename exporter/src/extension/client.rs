//! A client of Lambda's Extensions API over one connection within the environment.
//!
//! An HTTP library would need a tokio runtime in another thread, and more space in the binary than this module.

use extensions_api::{NextEvent, Response};
use std::io::{self, ErrorKind, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// The name of the extension. Each one of an environment has its own.
const NAME: &str = "lambda-otlp-exporter";
/// Time limit for the local API, except for events, which may take hours.
const PATIENCE: Duration = Duration::from_secs(1);

/// The events for which an extension inside the function's process registers. SHUTDOWN is reserved for separate processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Events {
    /// An invocation ends only when the extension asks for the next event.
    Invoke,
    /// Registration alone makes Lambda send SIGTERM before it kills the process.
    Nothing,
}

impl Events {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Invoke => &["INVOKE"],
            Self::Nothing => &[],
        }
    }
}

#[derive(Debug)]
pub(super) struct Client {
    host: String,
    identifier: String,
    stream: TcpStream,
}

impl Client {
    /// Registers with the API at this host and port. Afterwards the extension must ask for events, because Lambda waits for it.
    pub(super) fn register(host: &str, events: Events) -> io::Result<Self> {
        let mut stream = connect(host)?;
        stream.write_all(extensions_api::register(host, NAME, events.names()).as_bytes())?;
        let response = response(&mut stream)?;
        let identifier =
            response.identifier().ok_or_else(|| invalid("no identifier in the answer"))?;
        Ok(Self { host: host.to_owned(), identifier: identifier.to_owned(), stream })
    }

    /// Asks for the next event, which ends the previous one; on a new connection if the last one failed.
    pub(super) fn ask(&mut self, has_failed: bool) -> io::Result<()> {
        if has_failed {
            self.stream = connect(&self.host)?;
        }
        let Self { host, identifier, stream } = self;
        stream.write_all(extensions_api::next(host, identifier).as_bytes())
    }

    pub(super) fn event(&mut self) -> io::Result<NextEvent> {
        self.stream.set_read_timeout(None)?;
        Ok(NextEvent::parse(&response(&mut self.stream)?.body))
    }
}

fn connect(host: &str) -> io::Result<TcpStream> {
    let address = extensions_api::host(host)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| invalid("no address"))?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads an answer. A status other than 200 is an error.
fn response(stream: &mut impl io::Read) -> io::Result<Response> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let bytes = match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        received.extend_from_slice(buffer.get(..bytes).unwrap_or_default());
        match Response::parse(&received, bytes == 0)? {
            Some(response) if response.status == 200 => return Ok(response),
            Some(Response { status, .. }) => {
                return Err(invalid(&format!("the answer has status {status}")));
            }
            None => {}
        }
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}
