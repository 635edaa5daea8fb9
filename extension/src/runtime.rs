//! The life of the extension: listen, register, subscribe, then one loop until SHUTDOWN.

use crate::api::{ApiError, ExtensionsApi, retrying};
use crate::clock::unix_millis;
use crate::config::{Config, PortKnownTo, TELEMETRY_MAX_BYTES};
use crate::counts::Counts;
use crate::descriptors::connection_limits;
use crate::event::Event;
use crate::event_loop::EventLoop;
use crate::http::{Clients, Connections, listen};
use crate::invocations::identity::identity;
use crate::invocations::invocation_records;
use crate::invocations::state::InvocationState;
use crate::invocations::table::InvocationTable;
use crate::own_file;
use crate::receiver::otlp::Receiver;
use crate::receiver::telemetry::{Listener, OwnHost, ResponderSettings, TelemetryResponder};
use crate::receiver::xray::XRayDaemon;
use crate::sink::{Intake, Sink};
use crate::tasks;
use crate::termination::Termination;
use serde_json::json;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
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
    #[error("AWS_LAMBDA_RUNTIME_API is neither HOST:PORT nor a URL")]
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
    let life = run_until_shutdown(config, api, name, &mut sink, &mut termination, counts);
    let ended = tasks::catch_future(life).await;
    sink.end().await;
    ended.unwrap_or(Err(Fatal::Panicked))
}

async fn run_until_shutdown(
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
    let port = tasks::catch_future(receiving).await.unwrap_or(config.receiver_port);
    let mut xray = XRayDaemon::bind(port, Arc::clone(counts)).await;
    let records_path = wire::invocation_record::path(&config.runtime_api);
    invocation_records::make_file(&records_path);
    let event_types: &[&str] =
        if config.function.is_managed_instance { &["SHUTDOWN"] } else { &["INVOKE", "SHUTDOWN"] };
    let registered = tokio::select! {
        registered = retrying(|| api.register(name, event_types)) => registered,
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
    let table =
        InvocationTable::new(config, function, Arc::clone(counts), records_path, unix_millis());
    let mut state = InvocationState::new(config, table, Arc::clone(counts));
    let gets_platform_events = config.telemetry_types.contains(&"platform");
    // In stdout mode CloudWatch Logs has the lines anyway.
    let takes_lines = sink.backend.is_some();
    let subscribing = receive_telemetry(config, &api, sender, counts, takes_lines);
    let subscribed = tokio::select! {
        subscribed = tasks::catch_future(subscribing) => subscribed.unwrap_or_default(),
        () = termination.requested() => return Ok(()),
    };
    if subscribed && gets_platform_events {
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
    let host = OwnHost::find(&hosts_file, &config.runtime_api);
    let file = PathBuf::from(environment_file("telemetry", &config.runtime_api));
    let listener = match Listener::bind(host, &file).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "cannot listen for Lambda's telemetry, continuing without it");
            return false;
        }
    };
    let Listener { socket, uri, path } = listener;
    let accepts_root = config.function.is_managed_instance;
    let settings = ResponderSettings { path, accepts_root, takes_lines };
    let responder = TelemetryResponder::new(settings, events, Arc::clone(counts));
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
    let opened_port = listener.local_addr()?.port();
    if opened_port != port {
        tracing::info!(
            port,
            other = opened_port,
            "the port is in use, receiving OTLP at another one"
        );
    }
    if (opened_port != port || known_to == PortKnownTo::Extension)
        && let Err(error) = own_file::write(file, &format!("{opened_port}\n"))
    {
        tracing::warn!(other = opened_port, %error, "cannot tell the wrapper the port: set OTEL_EXPORTER_OTLP_ENDPOINT on the function");
    }
    Ok(listener)
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
