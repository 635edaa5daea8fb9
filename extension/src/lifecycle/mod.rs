//! The life of the extension: register, listen, subscribe, then one loop that owns the state until SHUTDOWN.

mod event_loop;
mod receiver_port;

use crate::config::Config;
use crate::counts::{Count, Counts};
use crate::direct::{self, Direct};
use crate::event::Event;
use crate::http::listen;
use crate::invocations::identity::Identity;
use crate::invocations::invocation_records::{self, InvocationRecords};
use crate::invocations::state::State;
use crate::invocations::table::Table;
use crate::lambda::client::Address;
use crate::lambda::extensions_api::{
    ApiError, ExtensionsApi, NextEvent, Registration, Subscription, retrying,
};
use crate::lambda::telemetry_api::{SCHEMA_VERSIONS, subscription};
use crate::output::LineOutput;
use crate::receiver::otlp::Receiver;
use crate::receiver::telemetry::{Lines, Listener, Place};
use event_loop::EventLoop;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// How many events of both receivers may wait for the loop.
const EVENTS: usize = 256;

/// Why the extension ended early.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// Not in Lambda.
    #[error("AWS_LAMBDA_RUNTIME_API is not set: an extension is started by Lambda")]
    NotInLambda,
    /// The variable names no address.
    #[error("AWS_LAMBDA_RUNTIME_API is no host and port")]
    RuntimeApi(#[source] io::Error),
    /// The system gave no thread or no way to wait for events.
    #[error("cannot start")]
    Start(#[source] io::Error),
    /// Lambda refused a call, or could not be reached.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Runs the extension until the environment ends. `name` is that of the file in `/opt/extensions`, `writer` takes the lines.
pub async fn run(
    config: &Config,
    name: &str,
    writer: impl Write + Send + 'static,
    counts: &Arc<Counts>,
) -> Result<(), Fatal> {
    if !config.is_in_lambda() {
        return Err(Fatal::NotInLambda);
    }
    let address = Address::resolve(&config.runtime_api).map_err(Fatal::RuntimeApi)?;
    let output = LineOutput::start(&config.lines, &config.service_name, writer, Arc::clone(counts))
        .map_err(Fatal::Start)?;
    let buffer = direct::buffer(config);
    let output = output.buffered(buffer.clone());
    let (sender, events) = mpsc::channel(EVENTS);
    // Bound before register: the function's SDK may connect as soon as its init begins.
    receive_otlp(config, &output, &sender, counts).await;
    let records = wire::invocation_record::path(&config.runtime_api);
    invocation_records::make_file(&records);
    let (api, registration) = register(config, &address, name).await?;
    let problems = config.complaint();
    if !problems.is_empty() {
        tracing::warn!(problems, "some variables are wrong, the rest is used");
    }
    let function = Identity::of(config, &registration).into_function();
    let direct = Direct::start(config, function, buffer.as_ref(), &output, counts);
    let table =
        Table::new(config, &registration, Arc::clone(counts), InvocationRecords::file(records));
    let mut state = State::new(config, table);
    let told_of_ends = config.telemetry.types.contains(&"platform");
    let lines = if direct.is_some() { Lines::Sent } else { Lines::None };
    if receive_telemetry(config, &api, sender, counts, lines).await && told_of_ends {
        state.subscribed();
    }
    let mut left = direct::Left::new(buffer, &output, counts);
    let mut event_loop =
        EventLoop::new(api.clone(), output, events, state, direct, Arc::clone(counts));
    let ended = tokio::spawn(async move { event_loop.run().await }).await;
    left.spill().await;
    if let Ok(ended) = ended {
        return ended;
    }
    // The environment must not wait for an extension that has stopped asking.
    counts.add(Count::Panics, 1);
    tracing::error!("the loop panicked, only OTLP is taken from here on");
    idle(&api).await
}

/// Asks for events until SHUTDOWN, and does nothing else with them.
async fn idle(api: &ExtensionsApi) -> Result<(), Fatal> {
    loop {
        if let NextEvent::Shutdown(_) = retrying(|| api.next()).await? {
            return Ok(());
        }
    }
}

/// Opens the OTLP receiver, at gRPC's port too; a busy port that somebody named is logged and skipped.
async fn receive_otlp(
    config: &Config,
    output: &LineOutput,
    events: &mpsc::Sender<Event>,
    counts: &Arc<Counts>,
) {
    let budget = config.receive_budget_bytes();
    let (output, events) = (output.clone(), events.clone());
    let service = config.service_name.clone();
    let receiver = Arc::new(Receiver::new(output, events, Arc::clone(counts), service, budget));
    let ports = [Some(config.receiver_port), config.grpc_port()];
    let file = receiver_port::file(&config.runtime_api);
    for port in ports.into_iter().flatten() {
        let opened = if port == config.receiver_port {
            receiver_port::open(port, config.receiver_port_told, &file).await
        } else {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
        };
        match opened {
            Ok(socket) => {
                let is_moved = socket.local_addr().is_ok_and(|address| address.port() != port);
                drop(listen("receiver", socket, Arc::clone(&receiver) as _, counts));
                if is_moved {
                    // Who has the one port may have the other too.
                    return;
                }
            }
            Err(error) if port == config.receiver_port => {
                tracing::warn!(port, %error, "cannot receive OTLP, going on without");
                // Another extension that receives OTLP may want the other port too.
                return;
            }
            Err(_) => tracing::debug!("the port of gRPC is busy, going on without"),
        }
    }
}

async fn register(
    config: &Config,
    address: &Address,
    name: &str,
) -> Result<(ExtensionsApi, Registration), ApiError> {
    let events: &[&str] =
        if config.function.is_managed_instance { &["SHUTDOWN"] } else { &["INVOKE", "SHUTDOWN"] };
    retrying(|| ExtensionsApi::register(address, name, events)).await
}

/// Listens for telemetry and subscribes to it; whether events will come.
async fn receive_telemetry(
    config: &Config,
    api: &ExtensionsApi,
    events: mpsc::Sender<Event>,
    counts: &Arc<Counts>,
    lines: Lines,
) -> bool {
    let hosts_file = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let place = Place::of(&hosts_file, &config.runtime_api);
    let salt = RandomState::new().hash_one(());
    let listener = match Listener::bind(place, salt).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "cannot listen for telemetry, going on without");
            return false;
        }
    };
    let intake = listener.intake(&config.telemetry, events, Arc::clone(counts), lines);
    let Listener { socket, uri, .. } = listener;
    let listening = listen("telemetry listener", socket, Arc::new(intake), counts);
    let accepted = subscribe(config, api, &uri).await;
    if !accepted {
        listening.abort();
    }
    accepted
}

async fn subscribe(config: &Config, api: &ExtensionsApi, uri: &str) -> bool {
    let mut refusal = None;
    for schema_version in SCHEMA_VERSIONS {
        let body = subscription(&config.telemetry, schema_version, uri);
        match api.subscribe(&body).await {
            Ok(Subscription::Accepted) => return true,
            Ok(Subscription::Local) => {
                tracing::info!("there is no Telemetry API here, going on without");
                return false;
            }
            Err(error) => refusal = Some(error),
        }
    }
    if let Some(error) = refusal {
        tracing::warn!(%error, "cannot subscribe to telemetry, going on without");
    }
    false
}
