//! The life of the extension: register, listen, subscribe, then one loop that owns the state until SHUTDOWN.

mod event_loop;
mod idle;
mod receiver_port;

use crate::clock::unix_millis;
use crate::config::Config;
use crate::counts::Counts;
use crate::direct::{self, Direct};
use crate::event::Event;
use crate::http::listen;
use crate::invocations::identity::Identity;
use crate::invocations::invocation_records::{self, InvocationRecords};
use crate::invocations::state::State;
use crate::invocations::table::Table;
use crate::lambda::answers::Registration;
use crate::lambda::client::Address;
use crate::lambda::extensions_api::{ApiError, ExtensionsApi, Subscription, retrying};
use crate::lambda::telemetry_api::{SCHEMA_VERSIONS, subscription};
use crate::output::{LAST_LINE, LineOutput};
use crate::receiver::otlp::Receiver;
use crate::receiver::telemetry::{Lines, Listener, Place};
use crate::takeover::{Handover, MOST_PANICS};
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

/// Runs the extension until the environment ends. `name` is that of the file in `/opt/extensions`, `writer` takes the lines. After a
/// panic it goes on where the process before it was, of which `handover` tells.
pub async fn run(
    config: &Config,
    name: &str,
    writer: impl Write + Send + 'static,
    counts: &Arc<Counts>,
    handover: &Arc<Handover>,
) -> Result<(), Fatal> {
    if !config.is_in_lambda() {
        return Err(Fatal::NotInLambda);
    }
    let address = Address::resolve(&config.runtime_api).map_err(Fatal::RuntimeApi)?;
    let before = handover.notes();
    let (lines, service_name) = (&config.lines, &config.service_name);
    let output =
        LineOutput::start(lines, service_name, writer, before.has_cut_line, Arc::clone(counts))
            .map_err(Fatal::Start)?;
    let buffer = direct::buffer(config);
    let output = output.buffered(buffer.clone());
    handover.holds(&output, buffer.as_ref());
    let (sender, events) = mpsc::channel(EVENTS);
    let goes_on = !(before.is_ending || before.has_given_up());
    if goes_on {
        // Bound before register: the function's SDK may connect as soon as its init begins. And before anything is written after a
        // panic, since SDKs are refused until then.
        receive_otlp(config, &output, &sender, counts, handover).await;
    }
    let mut left = direct::Left::new(buffer.clone(), &output, counts);
    // Where even this has panicked it is not tried again.
    if let Some(number) = before.unsettled.filter(|_| before.panics <= MOST_PANICS + 1) {
        left.take_over(number).await;
    }
    if before.is_ending {
        return Ok(());
    }
    if before.has_given_up() {
        idle::refuse(&before.ports).await;
        let (api, _) = register(config, &address, name, handover).await?;
        return Ok(idle::ask(&api).await?);
    }
    let records = wire::invocation_record::path(&config.runtime_api);
    invocation_records::make_file(&records);
    let (api, registration) = register(config, &address, name, handover).await?;
    let problems = config.complaint();
    if !problems.is_empty() && before.panics == 0 {
        tracing::warn!(problems, "some variables are wrong, the rest is used");
    }
    let function = Identity::of(config, &registration).into_function();
    let direct = Direct::start(config, function, buffer.as_ref(), &output, counts);
    let table =
        Table::new(config, &registration, Arc::clone(counts), InvocationRecords::file(records));
    let mut state = State::new(config, table);
    let told_of_ends = config.telemetry_types.contains(&"platform");
    let lines = if direct.is_some() { Lines::Sent } else { Lines::None };
    if receive_telemetry(config, &api, sender, counts, lines, handover).await && told_of_ends {
        state.subscribed();
    }
    if let Some(invoke) = &before.invoke {
        state.resume(invoke, unix_millis());
    }
    let mut event_loop =
        EventLoop::new(api, output.clone(), events, state, direct, Arc::clone(counts));
    let ended = event_loop.run(handover.is_asking()).await;
    // What a flush has taken comes back with it.
    drop(event_loop);
    left.spill().await;
    output.end(LAST_LINE).await;
    ended
}

/// Opens the OTLP receiver, at gRPC's port too; a busy port that somebody named is logged and skipped.
async fn receive_otlp(
    config: &Config,
    output: &LineOutput,
    events: &mpsc::Sender<Event>,
    counts: &Arc<Counts>,
    handover: &Handover,
) {
    let budget = config.receive_budget_bytes();
    let (output, events) = (output.clone(), events.clone());
    let service = config.service_name.clone();
    let receiver = Arc::new(Receiver::new(output, events, Arc::clone(counts), service, budget));
    let before = handover.notes();
    // Once it is registered SDKs may know the ports, which need not be those that were asked for.
    let is_known = before.is_registered();
    let mut ports = before.ports;
    if !is_known {
        ports = [Some(config.receiver_port), config.grpc_port()].into_iter().flatten().collect();
        handover.note(|notes| notes.ports.clear());
    }
    let file = receiver_port::file(&config.runtime_api);
    for port in ports {
        let opened = if !is_known && port == config.receiver_port {
            receiver_port::open(port, config.receiver_port_told, &file).await
        } else {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
        };
        match opened {
            Ok(socket) => {
                let opened = socket.local_addr().map_or(port, |address| address.port());
                if !is_known {
                    handover.note(|notes| notes.ports.push(opened));
                }
                drop(listen(socket, Arc::clone(&receiver) as _));
                if opened != port {
                    // Who has the one port may have the other too.
                    return;
                }
            }
            Err(error) if is_known || port == config.receiver_port => {
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
    handover: &Arc<Handover>,
) -> Result<(ExtensionsApi, Registration), ApiError> {
    if let Some(registered) = ExtensionsApi::registered(address, handover) {
        return Ok(registered);
    }
    let events: &[&str] =
        if config.function.is_managed_instance { &["SHUTDOWN"] } else { &["INVOKE", "SHUTDOWN"] };
    retrying(|| ExtensionsApi::register(address, name, events, handover)).await
}

/// Listens for telemetry and subscribes to it; whether events will come.
async fn receive_telemetry(
    config: &Config,
    api: &ExtensionsApi,
    events: mpsc::Sender<Event>,
    counts: &Arc<Counts>,
    lines: Lines,
    handover: &Handover,
) -> bool {
    let hosts_file = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let place = Place::of(&hosts_file, &config.runtime_api);
    let told = handover.notes().telemetry_uri;
    let is_subscribed = !told.is_empty();
    let listener = if is_subscribed {
        Listener::bind_again(place, &told).await
    } else {
        Listener::bind(place, RandomState::new().hash_one(())).await
    };
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "cannot listen for telemetry, going on without");
            return false;
        }
    };
    let intake = listener.intake(events, Arc::clone(counts), lines);
    let Listener { socket, uri, .. } = listener;
    let listening = listen(socket, Arc::new(intake));
    if is_subscribed {
        return true;
    }
    let accepted = subscribe(config, api, &uri).await;
    if accepted {
        handover.note(|notes| notes.telemetry_uri = uri);
    } else {
        listening.abort();
    }
    accepted
}

async fn subscribe(config: &Config, api: &ExtensionsApi, uri: &str) -> bool {
    let mut refusal = None;
    for schema_version in SCHEMA_VERSIONS {
        let body = subscription(&config.telemetry_types, schema_version, uri);
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
