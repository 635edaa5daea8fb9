//! A client of Lambda's Extensions API: the necessary part of HTTP/1.1, over one connection within the environment.
//!
//! An HTTP library would need a tokio runtime in another thread, and more space in the binary than this module: the API is local,
//! its answers are small, and one thread waits for them.

use serde::Deserialize;
use std::io::{self, ErrorKind, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The name of the extension. Each one of an environment has its own.
const NAME: &str = "lambda-otlp-exporter";
/// Time limit for the local API, except for events, which may take hours.
const PATIENCE: Duration = Duration::from_secs(1);
/// Maximum size of an answer; real ones are far smaller.
const MOST_BYTES: usize = 64 * 1024;

/// The events for which an extension inside the function's process registers. SHUTDOWN is reserved for separate processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Events {
    /// INVOKE: an invocation ends only when the extension asks for the next event.
    Invoke,
    /// None: registration alone makes Lambda send SIGTERM before it kills the process.
    Nothing,
}

/// An event of the API (AWS Lambda Developer Guide, "Lambda Extensions API", Next).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) event_type: String,
    #[serde(default)]
    pub(super) request_id: String,
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
        let body = match events {
            Events::Invoke => r#"{"events":["INVOKE"]}"#,
            Events::Nothing => r#"{"events":[]}"#,
        };
        let mut stream = connect(host)?;
        let request = format!(
            "POST /2020-01-01/extension/register HTTP/1.1\r\nHost: {host}\r\nLambda-Extension-Name: {NAME}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let identifier = response(&mut stream)?.identifier;
        let identifier = identifier.ok_or_else(|| invalid("no identifier in the answer"))?;
        Ok(Self { host: host.to_owned(), identifier, stream })
    }

    /// Asks for the next event, which ends the previous one. The answer may take hours; the descriptor becomes readable when it
    /// arrives.
    pub(super) fn ask(&mut self) -> io::Result<()> {
        let Self { host, identifier, stream } = self;
        let request = format!(
            "GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: {host}\r\nLambda-Extension-Identifier: {identifier}\r\n\r\n"
        );
        stream.write_all(request.as_bytes())
    }

    /// Reconnects as the same extension, and asks again.
    pub(super) fn ask_again(&mut self) -> io::Result<()> {
        self.stream = connect(&self.host)?;
        self.ask()
    }

    /// Reads the requested event.
    pub(super) fn event(&mut self) -> io::Result<Event> {
        let body = response(&mut self.stream)?.body;
        serde_json::from_slice(&body).map_err(io::Error::from)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn connect(host: &str) -> io::Result<TcpStream> {
    let mut error = invalid("no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(refused) => error = refused,
        }
    }
    Err(error)
}

/// The relevant parts of an answer with status 200.
#[derive(Debug, PartialEq, Eq)]
struct Response {
    identifier: Option<String>,
    body: Vec<u8>,
}

fn response(stream: &mut impl io::Read) -> io::Result<Response> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(response) = whole_response(&received)? {
            return Ok(response);
        }
        if received.len() > MOST_BYTES {
            return Err(invalid("the answer is too long"));
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => received.extend_from_slice(buffer.get(..bytes).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Parses an answer; `None` while it is incomplete. A status other than 200 is an error.
fn whole_response(received: &[u8]) -> io::Result<Option<Response>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(parsed) = head.parse(received) else { return Err(invalid("the answer is no HTTP")) };
    let httparse::Status::Complete(head_bytes) = parsed else { return Ok(None) };
    let status = head.code.unwrap_or_default();
    if status != 200 {
        return Err(invalid(&format!("the answer has status {status}")));
    }
    let header = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let rest = received.get(head_bytes..).unwrap_or_default();
    let is_chunked =
        header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let body = if is_chunked {
        whole_chunks(rest)?
    } else {
        let length = header("content-length").and_then(|length| length.parse().ok());
        rest.get(..length.unwrap_or_default()).map(<[u8]>::to_vec)
    };
    let identifier = header("lambda-extension-identifier").map(str::to_owned);
    Ok(body.map(|body| Response { identifier, body }))
}

/// Joins these chunks; `None` while they are incomplete.
fn whole_chunks(mut rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Ok(parsed) = httparse::parse_chunk_size(rest) else {
            return Err(invalid("the answer is no HTTP"));
        };
        let httparse::Status::Complete((begin, size)) = parsed else { return Ok(None) };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > MOST_BYTES {
            return Err(invalid("the answer is too long"));
        }
        let Some(chunk) = rest.get(begin..begin + size) else { return Ok(None) };
        // A line feed follows each chunk, and the trailers of the last one; the API sends no trailers.
        let Some(behind) = rest.get(begin + size + 2..) else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(chunk);
        rest = behind;
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns one byte at a time, like a slow connection.
    struct Slow<'a>(&'a [u8]);

    impl io::Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = usize::from(!self.0.is_empty());
            let (now, later) = self.0.split_at(bytes);
            buffer[..bytes].copy_from_slice(now);
            self.0 = later;
            Ok(bytes)
        }
    }

    #[test]
    fn an_answer_is_read_however_it_comes() {
        let check = |answer: &str, expected: Result<(Option<&str>, &str), &str>| {
            let read = response(&mut Slow(answer.as_bytes()));
            let read = read.map(|read| (read.identifier, String::from_utf8(read.body).unwrap()));
            let read = read.map_err(|error| error.to_string());
            let expected = expected
                .map(|(identifier, body)| (identifier.map(str::to_owned), body.to_owned()))
                .map_err(str::to_owned);
            assert_eq!(read, expected, "{answer:?}");
        };
        check(
            "HTTP/1.1 200 OK\r\nlambda-extension-identifier: e-1\r\nContent-Length: 2\r\n\r\n{}",
            Ok((Some("e-1"), "{}")),
        );
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
            Ok((None, "{\"a\":1}")),
        );
        check("HTTP/1.1 200 OK\r\n\r\n", Ok((None, "")));
        check("HTTP/1.1 403 Forbidden\r\n\r\n", Err("the answer has status 403"));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", Err("unexpected end of file"));
        check("SSH-2.0\r\n\r\n", Err("the answer is no HTTP"));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
            Err("the answer is too long"),
        );
        check("", Err("unexpected end of file"));
    }
}
