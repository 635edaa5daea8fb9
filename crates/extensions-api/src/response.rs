//! Responses as HTTP/1.1.
//!
//! Only Lambda itself responds here, so a short parser suffices. `httparse` reads chunk sizes only: parsing a head makes it ask the
//! CPU for its features, which takes 0.1 ms in a virtual machine, a twelfth of the time from start to the first `next`.

use crate::{IDENTIFIER, MAX_RESPONSE_BYTES};
use httparse::{Status, parse_chunk_size};
use std::io;

/// A response of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    headers: String,
    /// The body, without transfer encoding.
    pub body: Vec<u8>,
}

impl Response {
    /// The identifier in the response to register, which later calls repeat.
    pub fn identifier(&self) -> Option<&str> {
        header(&self.headers, IDENTIFIER)
    }

    /// Parses a response, or returns `None` if it is not complete. `is_end` is `true` if no more bytes will come.
    ///
    /// # Errors
    ///
    /// The response is not HTTP/1.1, is longer than [`MAX_RESPONSE_BYTES`], or ends early.
    pub fn parse(received: &[u8], is_end: bool) -> io::Result<Option<Self>> {
        match parse(received, is_end) {
            Ok(None) if is_end => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(None) if received.len() > MAX_RESPONSE_BYTES => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"))
            }
            parsed => parsed.map_err(|MalformedResponse(problem)| {
                io::Error::new(io::ErrorKind::InvalidData, problem)
            }),
        }
    }
}

#[derive(Debug)]
struct MalformedResponse(&'static str);

/// Parses a response, or returns `None` if it is not complete. `is_end` is `true` if no more bytes will come.
fn parse(received: &[u8], is_end: bool) -> Result<Option<Response>, MalformedResponse> {
    const NOT_HTTP: MalformedResponse = MalformedResponse("the answer is not HTTP/1.1");
    let Some(head_end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, rest) = received.split_at_checked(head_end).ok_or(NOT_HTTP)?;
    let rest = rest.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| NOT_HTTP)?;
    let (status_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let digits = status_line.strip_prefix("HTTP/1.").and_then(|line| line.split(' ').nth(1));
    let status: u16 = digits.and_then(|digits| digits.parse().ok()).ok_or(NOT_HTTP)?;
    if status < 200 {
        // The final response follows an interim one.
        return parse(rest, is_end);
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
    Ok(body.map(|body| Response { status, headers: headers.to_owned(), body }))
}

/// Joins the chunks, or returns `None` if the last one is missing.
fn unchunked(mut rest: &[u8]) -> Result<Option<Vec<u8>>, MalformedResponse> {
    const NOT_CHUNKS: MalformedResponse = MalformedResponse("the answer's chunks are malformed");
    let mut body = Vec::new();
    loop {
        let parsed = parse_chunk_size(rest).map_err(|_| NOT_CHUNKS)?;
        let Status::Complete((start, size)) = parsed else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        let bytes = usize::try_from(size).ok().filter(|bytes| *bytes <= MAX_RESPONSE_BYTES);
        let end = start + bytes.ok_or(NOT_CHUNKS)?;
        let Some(chunk) = rest.get(start..end) else { return Ok(None) };
        body.extend_from_slice(chunk);
        // A line break follows the chunk.
        let Some(next) = rest.get(end + 2..) else { return Ok(None) };
        rest = next;
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
    fn api_responses_are_parsed_in_every_framing() {
        let check = |received: &str, is_end, expected: Result<Option<(u16, &str)>, ()>| {
            let response = parse(received.as_bytes(), is_end);
            let read = response.as_ref().map(|response| {
                let response = response.as_ref()?;
                Some((response.status, std::str::from_utf8(&response.body).unwrap()))
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
    fn the_identifier_header_is_case_insensitive() {
        let received =
            b"HTTP/1.1 200 OK\r\nlambda-extension-identifier:  an-id \r\nContent-Length: 0\r\n\r\n";
        let response = Response::parse(received, false).unwrap().unwrap();
        assert_eq!(response.identifier(), Some("an-id"));
        let error = Response::parse(b"HTTP/1.1 200 OK\r\n", true).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
