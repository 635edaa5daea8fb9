//! The three calls of an extension to Lambda: register, next event, and the subscription to telemetry.
//!
//! Each call has its own connection: over loopback it takes 30 µs, and it is never stale after a freeze.

use crate::config::TELEMETRY_MAX_BYTES;
use crate::json;
use extensions_api::{NextEvent, Registration, Response};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;
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

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Lambda did not answer.
    #[error("{call} got no answer")]
    Unreachable { call: &'static str, source: io::Error },
    /// Lambda refused the call. After 403 and 500 the process has to exit.
    #[error("{call} was answered with {status}")]
    Refused { call: &'static str, status: u16 },
    /// The API does not describe such an answer.
    #[error("{call} was answered with {problem}")]
    Unexpected { call: &'static str, problem: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscription {
    /// Lambda will send events.
    Accepted,
    /// There is no Telemetry API here: the runtime interface emulator, SAM, LocalStack.
    Local,
}

#[derive(Clone, Debug)]
pub(crate) struct ExtensionsApi {
    address: Address,
    identifier: String,
}

const REGISTER: &str = "register";
const NEXT: &str = "next";
const SUBSCRIBE: &str = "subscribe";

impl ExtensionsApi {
    /// Registers for these events. `name` is the name of the file in `/opt/extensions`.
    pub(crate) async fn register(
        address: &Address,
        name: &str,
        events: &[&str],
    ) -> Result<(Self, Registration), ApiError> {
        let request = extensions_api::register(&address.authority, name, events);
        let answer = accepted(REGISTER, ask(REGISTER, address, &request).await?)?;
        let no_identifier = || ApiError::Unexpected { call: REGISTER, problem: "no identifier" };
        let identifier = answer.identifier().ok_or_else(no_identifier)?.to_owned();
        // An unreadable body says nothing about the function, but the environment variables still do.
        let registration = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok((Self { address: address.clone(), identifier }, registration))
    }

    /// Tells Lambda that the extension is done, and waits for the next event.
    pub(crate) async fn next(&self) -> Result<NextEvent, ApiError> {
        let request = extensions_api::next(&self.address.authority, &self.identifier);
        let answer = accepted(NEXT, ask(NEXT, &self.address, &request).await?)?;
        Ok(NextEvent::parse(&answer.body))
    }

    pub(crate) async fn subscribe(&self, body: &str) -> Result<Subscription, ApiError> {
        let request = extensions_api::subscribe(&self.address.authority, &self.identifier, body);
        let answer = ask(SUBSCRIBE, &self.address, &request).await?;
        // The subscription of the extension before a reset; no page of AWS's gives the status.
        let lives_on = String::from_utf8_lossy(&answer.body).contains("Already subscribed");
        match answer.status {
            status if status == 200 || lives_on => Ok(Subscription::Accepted),
            202 | 404 => Ok(Subscription::Local),
            status => Err(ApiError::Refused { call: SUBSCRIBE, status }),
        }
    }
}

async fn ask(name: &'static str, address: &Address, request: &str) -> Result<Response, ApiError> {
    let answer = exchange(address, request).await;
    answer.map_err(|source| ApiError::Unreachable { call: name, source })
}

/// Sends a request and waits for the answer. There is no time limit, because Lambda may answer `next` hours later, after a freeze.
async fn exchange(address: &Address, request: &str) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address.socket).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut received = Vec::new();
    loop {
        let is_end = stream.read_buf(&mut received).await? == 0;
        if let Some(answer) = Response::parse(&received, is_end)? {
            return Ok(answer);
        }
    }
}

fn accepted(call: &'static str, answer: Response) -> Result<Response, ApiError> {
    match answer.status {
        200..300 => Ok(answer),
        status => Err(ApiError::Refused { call, status }),
    }
}

/// Repeats a call up to five times if Lambda did not answer or the refusal may be temporary.
pub(crate) async fn retrying<T, F>(call: impl Fn() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    const PAUSES_MS: [u64; 5] = [5, 20, 80, 320, 1280];
    for pause in PAUSES_MS {
        match call().await {
            Err(ApiError::Unreachable { .. }) => {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            // 403 and 500 are final.
            Err(ApiError::Refused { status, .. }) if status != 403 && status != 500 => {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            answered => return answered,
        }
    }
    call().await
}

/// The schema versions to try in turn. Managed instances accept only the first, older emulators perhaps only the second.
pub(crate) const SCHEMA_VERSIONS: [&str; 2] = ["2025-01-29", "2022-12-13"];

pub(crate) fn subscription(types: &[&str], schema_version: &str, uri: &str) -> String {
    let buffering = json::object(&[
        // The least values that Lambda accepts: events arrive as early as possible.
        ("maxItems", "1000"),
        ("maxBytes", &TELEMETRY_MAX_BYTES.to_string()),
        ("timeoutMs", "25"),
    ]);
    let destination = json::object(&[("protocol", "\"HTTP\""), ("URI", &json::string(uri))]);
    json::object(&[
        ("schemaVersion", &json::string(schema_version)),
        ("types", &json::strings(types)),
        ("buffering", &buffering),
        ("destination", &destination),
    ])
}
