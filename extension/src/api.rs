//! The extension's three calls to Lambda: register, the next event, and the subscription to telemetry.

use crate::descriptors::SpareDescriptor;
use crate::http::{Connections, is_out_of_descriptors};
use extensions_api::{NextEvent, Registration, Response};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{call} got no answer")]
    Unreachable { call: &'static str, source: io::Error },
    /// Lambda refused the call. After 403 and 500 the process has to exit.
    #[error("{call} was answered with {status}")]
    Refused { call: &'static str, status: u16 },
    /// The API does not describe such an answer.
    #[error("register was answered without an identifier")]
    NoIdentifier,
}

/// Lambda's APIs. Each call has its own connection: over loopback it takes 30 µs, and it is never stale after a freeze.
#[derive(Clone, Debug)]
pub(crate) struct ExtensionsApi {
    /// The text of `AWS_LAMBDA_RUNTIME_API`.
    runtime_api: String,
    socket: SocketAddr,
    /// From the answer to register.
    pub(crate) identifier: String,
    spare: Arc<SpareDescriptor>,
    /// The connections that are closed if the process has no descriptor for a call.
    pub(crate) connections: Arc<Connections>,
}

/// The pause before another attempt to make a call, after there was no free descriptor.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(10);

const REGISTER: &str = "register";
const NEXT: &str = "next";
const SUBSCRIBE: &str = "subscribe";

impl ExtensionsApi {
    /// Parses the API's address. Lambda gives an IP address; a host name is resolved once.
    pub(crate) fn resolve(runtime_api: &str, connections: &Arc<Connections>) -> io::Result<Self> {
        let host = extensions_api::host(runtime_api);
        let socket = match host.parse() {
            Ok(socket) => socket,
            Err(_) => host.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?,
        };
        let spare = Arc::<SpareDescriptor>::default();
        spare.keep();
        let runtime_api = runtime_api.to_owned();
        let identifier = String::new();
        let connections = Arc::clone(connections);
        Ok(Self { runtime_api, socket, identifier, spare, connections })
    }

    /// Registers for these events, and returns the identifier. `name` is the name of the file in `/opt/extensions`.
    pub(crate) async fn register(
        &self,
        name: &str,
        events: &[&str],
    ) -> Result<(String, Registration), ApiError> {
        let request = extensions_api::register(&self.runtime_api, name, events);
        let answer = accepted(REGISTER, self.call(REGISTER, &request).await?)?;
        let identifier = answer.identifier().ok_or(ApiError::NoIdentifier)?.to_owned();
        // An unreadable body says nothing about the function, but the environment variables still do.
        Ok((identifier, serde_json::from_slice(&answer.body).unwrap_or_default()))
    }

    /// Tells Lambda that the extension is done, and waits for the next event.
    pub(crate) async fn next(&self) -> Result<NextEvent, ApiError> {
        let request = extensions_api::next(&self.runtime_api, &self.identifier);
        let answer = accepted(NEXT, self.call(NEXT, &request).await?)?;
        Ok(NextEvent::parse(&answer.body))
    }

    /// Returns `false` if there is no Telemetry API here: the runtime interface emulator, SAM, LocalStack.
    pub(crate) async fn subscribe(&self, body: &str) -> Result<bool, ApiError> {
        let request = extensions_api::subscribe(&self.runtime_api, &self.identifier, body);
        let answer = self.call(SUBSCRIBE, &request).await?;
        // The subscription of the extension before a reset; no page of AWS's gives the status.
        let is_subscribed = String::from_utf8_lossy(&answer.body).contains("Already subscribed");
        match answer.status {
            status if status == 200 || is_subscribed => Ok(true),
            202 | 404 => Ok(false),
            status => Err(ApiError::Refused { call: SUBSCRIBE, status }),
        }
    }

    async fn call(&self, call: &'static str, request: &str) -> Result<Response, ApiError> {
        loop {
            self.spare.release();
            let answer = exchange(self.socket, request).await;
            self.spare.keep();
            match answer {
                // The function's connections may take all descriptors, but the extension must not end because of that.
                Err(error) if is_out_of_descriptors(&error) => {
                    self.connections.free_descriptor();
                    tokio::time::sleep(DESCRIPTOR_PAUSE).await;
                }
                answer => return answer.map_err(|source| ApiError::Unreachable { call, source }),
            }
        }
    }
}

/// Sends a request and waits for the answer. There is no time limit, because Lambda may answer `next` hours later, after a freeze.
async fn exchange(socket: SocketAddr, request: &str) -> io::Result<Response> {
    let mut stream = TcpStream::connect(socket).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut received = Vec::new();
    loop {
        let is_end = stream.read_buf(&mut received).await? == 0;
        if let Some(answer) = Response::parse(&received, is_end)? {
            return Ok(answer);
        }
    }
}

/// Returns the answer if Lambda accepted the call.
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
            // 403 and 500 are final.
            refused @ Err(ApiError::Refused { status: 403 | 500, .. }) => return refused,
            Err(ApiError::Unreachable { .. } | ApiError::Refused { .. }) => {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            answered => return answered,
        }
    }
    call().await
}
