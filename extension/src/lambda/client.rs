//! HTTP/1.1 requests to Lambda's APIs, each on its own connection.
//!
//! A new connection over loopback takes 30 µs and is never stale after a freeze, so a connection pool would not pay. Only Lambda
//! itself answers here, so a short parser suffices. `httparse` reads chunk sizes only: parsing a head makes it ask the CPU for its
//! features, which takes 0.1 ms in a virtual machine, a twelfth of the time from start to the first `next`.

use httparse::{Status, parse_chunk_size};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The text of `AWS_LAMBDA_RUNTIME_API`, for the header `Host`.
    authority: String,
    socket: SocketAddr,
}

impl Address {
    /// Parses `host:port`. Lambda gives an IP address; a host name is resolved once.
    pub(crate) fn resolve(authority: &str) -> io::Result<Self> {
        let socket = match authority.parse() {
            Ok(socket) => socket,
            Err(_) => authority.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?,
        };
        Ok(Self { authority: authority.to_owned(), socket })
    }
}

pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// JSON, or empty.
    pub(crate) body: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiResponse {
    pub(crate) status: u16,
    headers: String,
    pub(crate) body: Vec<u8>,
}

impl ApiResponse {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// Lambda's answers are small: the largest is an INVOKE event, of less than 1 KiB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Sends a request and waits for the answer. There is no time limit, because Lambda may answer `next` hours later, after a freeze.
pub(crate) async fn exchange(address: &Address, call: &Call<'_>) -> io::Result<ApiResponse> {
    let mut stream = TcpStream::connect(address.socket).await?;
    stream.write_all(request(&address.authority, call).as_bytes()).await?;
    let mut received = Vec::new();
    loop {
        let is_end = stream.read_buf(&mut received).await? == 0;
        if let Some(answer) = answer(&received, is_end).map_err(io::Error::other)? {
            return Ok(answer);
        }
        if is_end || received.len() > MAX_ANSWER_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
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

/// Parses an answer, or returns `None` if it is not complete. `is_end` is `true` if no more bytes will come.
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
        // The final answer follows an interim one.
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

/// Joins the chunks, or returns `None` if the last one is missing.
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

/// Returns the value of the first header with this name in these lines.
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
