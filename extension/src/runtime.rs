//! The life of the extension: listen, register, subscribe, then one loop until SHUTDOWN. And its three calls to Lambda: register,
//! next event, and the subscription to telemetry.

use crate::config::{Config, PortKnownTo, TELEMETRY_MAX_BYTES};
use crate::counts::Counts;
use crate::descriptors::{SpareDescriptor, connection_limits};
use crate::event::Event;
use crate::event_loop::EventLoop;
use crate::http::{Clients, Connections, is_out_of_descriptors, listen};
use crate::invocations::identity::identity;
use crate::invocations::invocation_records;
use crate::invocations::state::InvocationState;
use crate::invocations::table::InvocationTable;
use crate::own_file;
use crate::receiver::otlp::Receiver;
use crate::receiver::telemetry::{Deliveries, Listener, TelemetryResponder, place};
use crate::receiver::xray::XRayDaemon;
use crate::sink::{Intake, Sink};
use crate::tasks;
use crate::termination::Termination;
use extensions_api::{NextEvent, Registration, Response};
use serde_json::json;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use wire::invocation_record::environment_file;

/// The name of the file with the receiver's port, which the wrapper reads.
const RECEIVER_PORT: &str = "receiver";
/// The number of received events that may wait for the loop.
const EVENTS: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    #[error("AWS_LAMBDA_RUNTIME_API is not set: Lambda must start the extension")]
    NotInLambda,
    #[error("AWS_LAMBDA_RUNTIME_API is not HOST:PORT")]
    RuntimeApi(#[source] io::Error),
    /// The system provided no thread or no event queue.
    #[error("cannot start")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The extension panicked before it asked for the first event.
    #[error("cannot start because of a bug: please report the error above")]
    Panicked,
}

/// Runs the extension until the environment ends. `name` is the name of the file in `/opt/extensions`, `writer` gets the lines.
pub async fn run(
    config: &Config,
    name: &str,
    writer: impl Write + Send + 'static,
    counts: &Arc<Counts>,
) -> Result<(), Fatal> {
    if !config.is_in_lambda() {
        return Err(Fatal::NotInLambda);
    }
    let mut termination = Termination::listen();
    let limits = connection_limits(config.is_direct());
    let connections = Arc::new(Connections::new(limits, Arc::clone(counts)));
    let api =
        ExtensionsApi::resolve(&config.runtime_api, &connections).map_err(Fatal::RuntimeApi)?;
    let mut sink = Sink::open(config, writer, counts).map_err(Fatal::Start)?;
    let life = live(config, api, name, &mut sink, &mut termination, counts);
    let ended = tasks::caught(life).await;
    sink.end().await;
    ended.unwrap_or(Err(Fatal::Panicked))
}

async fn live(
    config: &Config,
    mut api: ExtensionsApi,
    name: &str,
    sink: &mut Sink,
    termination: &mut Termination,
    counts: &Arc<Counts>,
) -> Result<(), Fatal> {
    let (sender, events) = mpsc::channel(EVENTS);
    // Listen before registering: the function's SDK may connect as soon as its init begins.
    let receiving = receive_otlp(config, sink.intake(), &api.connections, &sender, counts);
    // The wrapper gives X-Ray's SDKs the same port.
    let port = tasks::caught(receiving).await.unwrap_or(config.receiver_port);
    let mut xray = XRayDaemon::bind(port, Arc::clone(counts)).await;
    let records = wire::invocation_record::path(&config.runtime_api);
    invocation_records::make_file(&records);
    let names: &[&str] =
        if config.function.is_managed_instance { &["SHUTDOWN"] } else { &["INVOKE", "SHUTDOWN"] };
    let registered = tokio::select! {
        registered = retrying(|| api.register(name, names)) => registered,
        () = termination.requested() => return Ok(()),
    };
    let (identifier, registration) = registered?;
    api.identifier = identifier;
    let problems = config.complaint();
    if !problems.is_empty() {
        tracing::warn!(problems, "some variables are invalid, the others apply");
    }
    let function = identity(config, &registration);
    xray.identify(&function);
    sink.connect(config, function.clone());
    let table = InvocationTable::new(config, function, Arc::clone(counts), records);
    let mut state = InvocationState::new(config, table);
    let reports_ends = config.telemetry_types.contains(&"platform");
    // CloudWatch Logs has them anyway.
    let takes_lines = sink.backend.is_some();
    let subscribing = receive_telemetry(config, &api, sender, counts, takes_lines);
    let subscribed = tokio::select! {
        subscribed = tasks::caught(subscribing) => subscribed.unwrap_or_default(),
        () = termination.requested() => return Ok(()),
    };
    if subscribed && reports_ends {
        state.note_subscription();
    }
    let counts = Arc::clone(counts);
    EventLoop { api, events, xray, termination, counts, state, sink, has_panicked: false }
        .run()
        .await
}

/// Opens the OTLP receiver, on gRPC's port too, and returns its port. A busy port is logged and skipped.
async fn receive_otlp(
    config: &Config,
    intake: &Intake,
    connections: &Arc<Connections>,
    events: &mpsc::Sender<Event>,
    counts: &Arc<Counts>,
) -> u16 {
    let intake = intake.clone();
    let events = events.clone();
    let service = config.service_name.clone();
    let receiver = Arc::new(Receiver::new(intake, events, Arc::clone(counts), service));
    let file = PathBuf::from(environment_file(RECEIVER_PORT, &config.runtime_api));
    let port = config.receiver_port;
    let opened = match open_receiver_port(port, config.receiver_port_known_to, &file).await {
        Ok(socket) => {
            let opened = socket.local_addr().map_or(port, |address| address.port());
            drop(listen(socket, Arc::clone(&receiver) as _, Clients::Function, connections));
            opened
        }
        Err(error) => {
            tracing::warn!(port, %error, "cannot receive OTLP, continuing without it");
            return port;
        }
    };
    // The extension that uses the receiver's port may use gRPC's port too.
    if let Some(of_grpc) = config.grpc_port().filter(|_| opened == port) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, of_grpc)).await {
            Ok(socket) => drop(listen(socket, receiver, Clients::Function, connections)),
            Err(error) => {
                tracing::debug!(%error, "cannot open the gRPC port, continuing without gRPC");
            }
        }
    }
    opened
}

/// Listens for telemetry and subscribes to it. Returns `true` if Lambda will send events.
async fn receive_telemetry(
    config: &Config,
    api: &ExtensionsApi,
    events: mpsc::Sender<Event>,
    counts: &Arc<Counts>,
    takes_lines: bool,
) -> bool {
    let hosts_file = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let place = place(&hosts_file, &config.runtime_api);
    let file = PathBuf::from(environment_file("telemetry", &config.runtime_api));
    let listener = match Listener::bind(place, &file).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "cannot listen for Lambda's telemetry, continuing without it");
            return false;
        }
    };
    let Listener { socket, uri, path } = listener;
    let may_come_at_root = config.function.is_managed_instance;
    let deliveries = Deliveries { path, may_come_at_root, takes_lines };
    let responder = TelemetryResponder::new(deliveries, events, Arc::clone(counts));
    let listening = listen(socket, Arc::new(responder), Clients::Lambda, &api.connections);
    match api.subscribe(&subscription(config, &uri)).await {
        Ok(true) => return true,
        Ok(false) => tracing::info!("no Telemetry API here, continuing without it"),
        Err(error) => {
            tracing::warn!(%error, "cannot subscribe to Lambda's telemetry, continuing without it");
        }
    }
    listening.abort();
    false
}

/// Opens `port`, or another one if it is busy and no SDK knows it. Afterwards the file exists only if the wrapper needs it: a
/// reset environment keeps its files.
async fn open_receiver_port(
    port: u16,
    known_to: PortKnownTo,
    file: &Path,
) -> io::Result<TcpListener> {
    let opened = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    drop(std::fs::remove_file(file));
    let listener = match opened {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse && known_to == PortKnownTo::Nobody =>
        {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?
        }
        opened => opened?,
    };
    let other = listener.local_addr()?.port();
    if other != port {
        tracing::info!(port, other, "the port is in use, receiving OTLP at another one");
    }
    if (other != port || known_to == PortKnownTo::Extension)
        && let Err(error) = own_file::write(file, &format!("{other}\n"))
    {
        tracing::warn!(other, %error, "cannot tell the wrapper the port: set OTEL_EXPORTER_OTLP_ENDPOINT on the function");
    }
    Ok(listener)
}

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
    /// The text of `AWS_LAMBDA_RUNTIME_API`, for the header `Host`.
    authority: String,
    socket: SocketAddr,
    /// From the answer to register.
    identifier: String,
    spare: Arc<SpareDescriptor>,
    /// The connections that are closed if the process has no descriptor for a call.
    connections: Arc<Connections>,
}

/// The pause before another attempt to make a call without a free descriptor.
const DESCRIPTOR_AGAIN: Duration = Duration::from_millis(10);

const REGISTER: &str = "register";
const NEXT: &str = "next";
const SUBSCRIBE: &str = "subscribe";

impl ExtensionsApi {
    /// Parses `host:port`. Lambda gives an IP address; a host name is resolved once.
    fn resolve(authority: &str, connections: &Arc<Connections>) -> io::Result<Self> {
        let socket = match authority.parse() {
            Ok(socket) => socket,
            Err(_) => authority.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?,
        };
        let spare = Arc::<SpareDescriptor>::default();
        spare.keep();
        let authority = authority.to_owned();
        let identifier = String::new();
        let connections = Arc::clone(connections);
        Ok(Self { authority, socket, identifier, spare, connections })
    }

    /// Registers for these events, and returns the identifier. `name` is the name of the file in `/opt/extensions`.
    async fn register(
        &self,
        name: &str,
        events: &[&str],
    ) -> Result<(String, Registration), ApiError> {
        let request = extensions_api::register(&self.authority, name, events);
        let answer = accepted(REGISTER, self.ask(REGISTER, &request).await?)?;
        let identifier = answer.identifier().ok_or(ApiError::NoIdentifier)?.to_owned();
        // An unreadable body says nothing about the function, but the environment variables still do.
        Ok((identifier, serde_json::from_slice(&answer.body).unwrap_or_default()))
    }

    /// Tells Lambda that the extension is done, and waits for the next event.
    pub(crate) async fn next(&self) -> Result<NextEvent, ApiError> {
        let request = extensions_api::next(&self.authority, &self.identifier);
        let answer = accepted(NEXT, self.ask(NEXT, &request).await?)?;
        Ok(NextEvent::parse(&answer.body))
    }

    /// Returns `false` if there is no Telemetry API here: the runtime interface emulator, SAM, LocalStack.
    async fn subscribe(&self, body: &str) -> Result<bool, ApiError> {
        let request = extensions_api::subscribe(&self.authority, &self.identifier, body);
        let answer = self.ask(SUBSCRIBE, &request).await?;
        // The subscription of the extension before a reset; no page of AWS's gives the status.
        let lives_on = String::from_utf8_lossy(&answer.body).contains("Already subscribed");
        match answer.status {
            status if status == 200 || lives_on => Ok(true),
            202 | 404 => Ok(false),
            status => Err(ApiError::Refused { call: SUBSCRIBE, status }),
        }
    }

    async fn ask(&self, call: &'static str, request: &str) -> Result<Response, ApiError> {
        loop {
            self.spare.release();
            let answer = exchange(self.socket, request).await;
            self.spare.keep();
            match answer {
                // The function's connections may take all descriptors, but the extension must not end because of that.
                Err(error) if is_out_of_descriptors(&error) => {
                    self.connections.free_descriptor();
                    tokio::time::sleep(DESCRIPTOR_AGAIN).await;
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

/// The least time that Lambda accepts. Invocations are held until the event of their end arrives.
const BUFFERED_MS: u64 = 25;
/// The time on a managed instance, where nothing is held. AWS's published code for managed instances deadlocks if a subscriber
/// answers later than this time.
const BUFFERED_UNHELD_MS: u64 = 500;

fn subscription(config: &Config, uri: &str) -> String {
    let buffered_ms =
        if config.function.is_managed_instance { BUFFERED_UNHELD_MS } else { BUFFERED_MS };
    let subscription = json!({
        // Managed instances accept no older one.
        "schemaVersion": "2025-01-29",
        "types": config.telemetry_types,
        // The least sizes that Lambda accepts: events arrive as early as possible.
        "buffering": {"maxItems": 1000, "maxBytes": TELEMETRY_MAX_BYTES, "timeoutMs": buffered_ms},
        "destination": {"protocol": "HTTP", "URI": uri},
    });
    subscription.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_default_port_is_replaced_and_saved_to_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("port");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let opened = async |known_to| {
            let opened = open_receiver_port(port, known_to, &file).await;
            let said = std::fs::read_to_string(&file).ok();
            (opened.ok().map(|opened| opened.local_addr().unwrap().port()), said)
        };
        let (moved, said) = opened(PortKnownTo::Nobody).await;
        assert!(moved.is_some_and(|moved| moved != port && said == Some(format!("{moved}\n"))));
        assert_eq!(opened(PortKnownTo::All).await, (None, None), "an SDK knows this one");
        opened(PortKnownTo::Nobody).await;
        drop(taken);
        // An environment before the reset left the file.
        assert_eq!(opened(PortKnownTo::Nobody).await, (Some(port), None));
        let (_, said) = opened(PortKnownTo::Extension).await;
        assert_eq!(said, Some(format!("{port}\n")));
    }
}
