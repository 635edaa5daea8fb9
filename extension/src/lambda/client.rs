//! One HTTP/1.1 request at a time to Lambda's APIs, on a connection of its own.
//!
//! Three small calls over loopback do not need a client with a pool: a fresh connection costs some 30 µs, and is never stale
//! after a freeze. Heads are read here, since what answers is Lambda itself: the first head that httparse reads makes it ask
//! the CPU for its features, which in a virtual machine takes 0.1 ms, a twelfth of the time from the start to the first `next`.

use httparse::{Status, parse_chunk_size};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::{AsFd as _, OwnedFd};
use tokio::net::TcpStream;

/// Where Lambda's APIs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// As `AWS_LAMBDA_RUNTIME_API` has it, for the header `Host`.
    authority: String,
    socket: SocketAddr,
}

impl Address {
    /// Reads `host:port`. Lambda gives an address; a name is looked up, once.
    pub(crate) fn resolve(authority: &str) -> io::Result<Self> {
        let socket = match authority.parse() {
            Ok(socket) => socket,
            Err(_) => authority.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?,
        };
        Ok(Self { authority: authority.to_owned(), socket })
    }
}

/// What is sent.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// JSON, or empty.
    pub(crate) body: &'a str,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiResponse {
    pub(crate) status: u16,
    headers: String,
    pub(crate) body: Vec<u8>,
}

impl ApiResponse {
    /// The value of a header; of several the first.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// Lambda's answers are small: the largest is an INVOKE event, of less than 1 KiB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A request that was sent, and the connection on which its answer comes.
pub(crate) struct Asked(TcpStream);

impl Asked {
    /// Sends a request, where `note` calls what it is given, which gives the connection: who holds a lock there knows at any time
    /// whether it was sent.
    pub(crate) async fn ask(
        address: &Address,
        call: &Call<'_>,
        note: impl FnOnce(&dyn Fn() -> io::Result<OwnedFd>) -> io::Result<()>,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address.socket).await?;
        let request = request(&address.authority, call);
        note(&|| {
            let connection = stream.as_fd().try_clone_to_owned()?;
            // A new connection takes some hundred bytes at once.
            if stream.try_write(request.as_bytes())? < request.len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
            Ok(connection)
        })?;
        Ok(Self(stream))
    }

    /// A request that was sent on this connection before it came into these hands.
    pub(crate) fn on(connection: OwnedFd) -> io::Result<Self> {
        let stream = std::net::TcpStream::from(connection);
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream).map(Self)
    }

    /// Waits for the answer without a limit: `next` may be answered hours later, on the other side of a freeze. Nothing is taken off
    /// the connection but under the lock.
    pub(crate) async fn answer<L>(self, lock: impl Fn() -> L) -> io::Result<ApiResponse> {
        let mut received = Vec::new();
        loop {
            self.0.readable().await?;
            let read = {
                let _locked = lock();
                self.0.try_read_buf(&mut received)
            };
            let is_end = match read {
                Ok(bytes) => bytes == 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            if let Some(answer) = answer(&received, is_end).map_err(io::Error::other)? {
                return Ok(answer);
            }
            if is_end || received.len() > MAX_ANSWER_BYTES {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn request(authority: &str, call: &Call<'_>) -> String {
    let Call { method, path, headers, body } = call;
    let mut request = [method, " ", path, " HTTP/1.1\r\nHost: ", authority].concat();
    request.push_str("\r\nConnection: close\r\nContent-Type: application/json");
    for (name, value) in *headers {
        request.push_str(&["\r\n", name, ": ", value].concat());
    }
    request.push_str(&["\r\nContent-Length: ", &body.len().to_string(), "\r\n\r\n", body].concat());
    request
}

/// The answer, if these bytes are all of it. `is_end` says that no more bytes will come.
fn answer(received: &[u8], is_end: bool) -> Result<Option<ApiResponse>, &'static str> {
    const NOT_HTTP: &str = "the answer is not HTTP/1.1";
    let Some(head_end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, rest) = received.split_at_checked(head_end).ok_or(NOT_HTTP)?;
    let rest = rest.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| NOT_HTTP)?;
    let (status_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status_line.strip_prefix("HTTP/1.").and_then(|line| line.split(' ').nth(1));
    let status: u16 = status.and_then(|status| status.parse().ok()).ok_or(NOT_HTTP)?;
    if status < 200 {
        // An interim answer; the real one follows it.
        return answer(rest, is_end);
    }
    let is_chunked = header(headers, "transfer-encoding")
        .is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked"));
    let body = if is_chunked {
        unchunked(rest)?
    } else if let Some(length) = header(headers, "content-length") {
        let length: usize = length.parse().map_err(|_| NOT_HTTP)?;
        rest.get(..length).map(<[u8]>::to_vec)
    } else {
        is_end.then(|| rest.to_vec())
    };
    Ok(body.map(|body| ApiResponse { status, headers: headers.to_owned(), body }))
}

/// The chunks put together, if the last is among them.
fn unchunked(mut rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    const NOT_CHUNKS: &str = "the answer's chunks are malformed";
    let mut body = Vec::new();
    loop {
        let size = parse_chunk_size(rest).map_err(|_| NOT_CHUNKS)?;
        let Status::Complete((start, size)) = size else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_ANSWER_BYTES);
        let end = start + size.ok_or(NOT_CHUNKS)?;
        let Some(chunk) = rest.get(start..end) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(after) = rest.get(end + 2..) else { return Ok(None) };
        rest = after;
    }
}

/// The value of a header in these lines; of several the first.
fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = headers.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_every_framing() {
        let check = |received: &str, is_end, expected: Result<Option<(u16, &str)>, ()>| {
            let answer = answer(received.as_bytes(), is_end);
            let read = answer.as_ref().map(|answer| {
                let answer = answer.as_ref()?;
                Some((answer.status, std::str::from_utf8(&answer.body).unwrap()))
            });
            assert_eq!(read.map_err(|_| ()), expected, "{received:?}");
        };
        check("", false, Ok(None));
        check("HTTP/1.1 200 OK\r\nContent-Le", false, Ok(None));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", false, Ok(None));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, Ok(Some((200, "{}"))));
        check("HTTP/1.1 202 \r\ncontent-length:0\r\n\r\n", false, Ok(Some((202, ""))));
        check("HTTP/1.1 500\r\n\r\nwhy", false, Ok(None));
        check("HTTP/1.0 500\r\n\r\nwhy", true, Ok(Some((500, "why"))));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(
            &format!("{chunked}1\r\n{{\r\n1;x=y\r\n}}\r\n0\r\n\r\n"),
            false,
            Ok(Some((200, "{}"))),
        );
        check(&format!("{chunked}1\r\n{{\r\n"), false, Ok(None));
        check(&format!("{chunked}1\r\n{{"), false, Ok(None));
        check(&format!("{chunked}x\r\n"), false, Err(()));
        check(&format!("{chunked}fffffffff\r\n"), false, Err(()));
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            false,
            Ok(Some((200, ""))),
        );
        check("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", false, Err(()));
        check("SSH-2.0-OpenSSH\r\n\r\n", false, Err(()));
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let received =
            b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier:  an-id \r\nContent-Length: 0\r\n\r\n";
        let answer = answer(received, false).unwrap().unwrap();
        assert_eq!(answer.header("lambda-extension-identifier"), Some("an-id"));
        assert_eq!(answer.header("Lambda"), None);
    }

    #[test]
    fn a_request_says_its_length() {
        let call =
            Call { method: "POST", path: "/register", headers: &[("A", "b")], body: "{\"e\":1}" };
        expect_test::expect![[r#"
            POST /register HTTP/1.1
            Host: 127.0.0.1:9001
            Connection: close
            Content-Type: application/json
            A: b
            Content-Length: 7

            {"e":1}"#]]
        .assert_eq(&request("127.0.0.1:9001", &call).replace('\r', ""));
    }
}
