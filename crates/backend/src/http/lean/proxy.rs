//! The HTTP proxy protocol: credentials, tunnels, and requests with an absolute URL (RFC 9110 §9.3.6, RFC 9112 §3.2.2).

use super::{AGENT, Trouble};
use crate::http::cause::host_and_port;
use bytes::Bytes;
use http::header::{HeaderValue, PROXY_AUTHORIZATION};
use http::{Request, StatusCode};
use percent_encoding::percent_decode_str;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use url::{Position, Url};

/// A proper proxy's answer has a shorter head.
const MOST_HEAD_BYTES: usize = 8 * 1024;

/// The first bytes of an HTTP/1.1 answer.
const VERSION: &[u8] = b"HTTP/1.";

/// Asks the proxy for a tunnel to the URL's host. Later bytes go to that host.
pub(super) async fn tunnel(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin + ?Sized),
    proxy: &Url,
    url: &Url,
) -> Result<(), Trouble> {
    let host = host_and_port(url);
    let mut head = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ").into_bytes();
    head.extend_from_slice(AGENT.as_bytes());
    if let Some(credentials) = credentials(proxy)? {
        head.extend_from_slice(b"\r\nProxy-Authorization: ");
        head.extend_from_slice(credentials.as_bytes());
    }
    head.extend_from_slice(b"\r\n\r\n");
    stream.write_all(&head).await?;
    stream.flush().await?;
    match status(stream).await? {
        200..=299 => Ok(()),
        status => Err(refusal(status)),
    }
}

/// Reads the head of the answer, and nothing beyond it, and returns its status.
async fn status(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> Result<u16, Trouble> {
    let no_http = || trouble("the proxy's answer is not HTTP".to_owned());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MOST_HEAD_BYTES {
            return Err(trouble("the head of the proxy's answer is longer than 8 KiB".to_owned()));
        }
        // One byte at a time, because the following bytes belong to the host.
        head.push(stream.read_u8().await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                trouble("the proxy hung up before it answered".to_owned())
            }
            _ => error.into(),
        })?);
        if !head.iter().zip(VERSION).all(|(is, expected)| is == expected) {
            return Err(no_http());
        }
    }
    let status = head.split(u8::is_ascii_whitespace).nth(1);
    let status = status.and_then(|status| str::from_utf8(status).ok()?.parse().ok());
    status.ok_or_else(no_http)
}

/// Gives the request the form that a proxy forwards.
pub(super) fn address(message: &mut Request<Bytes>, proxy: &Url, url: &Url) -> Result<(), Trouble> {
    *message.uri_mut() = url[..Position::AfterQuery].parse()?;
    if let Some(credentials) = credentials(proxy)? {
        message.headers_mut().insert(PROXY_AUTHORIZATION, credentials);
    }
    Ok(())
}

/// Describes an error that the proxy itself answered instead of forwarding the request.
pub(super) fn refused(status: StatusCode) -> Option<Trouble> {
    let is_its_own = status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    is_its_own.then(|| refusal(status.as_u16()))
}

fn refusal(status: u16) -> Trouble {
    trouble(match status {
        407 => {
            "the proxy answered 407: user and password of its URL are wrong or missing".to_owned()
        }
        status => format!("the proxy answered {status}"),
    })
}

fn trouble(text: String) -> Trouble {
    io::Error::other(text).into()
}

/// User and password of the proxy's URL, if any (RFC 7617 §2).
fn credentials(proxy: &Url) -> Result<Option<HeaderValue>, Trouble> {
    let (user, password) = (proxy.username(), proxy.password());
    if user.is_empty() && password.is_none() {
        return Ok(None);
    }
    let mut text: Vec<u8> = percent_decode_str(user).collect();
    text.push(b':');
    text.extend(percent_decode_str(password.unwrap_or_default()));
    let mut value = b"Basic ".to_vec();
    wire::push_base64(&mut value, &text);
    let mut value = HeaderValue::from_bytes(&value)?;
    value.set_sensitive(true);
    Ok(Some(value))
}
