//! Listens for the events of Lambda's Telemetry API, and takes them into the loop's buffer.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API reference". Lambda keeps and repeats what is not answered with 200,
//! so 200 means that the events are in the buffer, and 503 that the buffer is full.

use crate::config::TELEMETRY_MAX_BYTES;
use crate::counts::{Count, Counts};
use crate::event::{Event, LogLine, TelemetryBatch, Told};
use crate::http::{BoxedResponse, HttpResponse, Request, Respond, Unread};
use hyper::StatusCode;
use platform::{LineSource, TelemetryEvent, TelemetryRecord, parse_batch};
use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

/// The largest event: 1 MiB, as CloudWatch Logs takes it, in JSON that escapes each of its bytes.
const MAX_EVENT_BYTES: usize = 2 * 1024 * 1024;

/// So many of the newest deliveries are known again: Lambda repeats one whose answer it did not get.
const RECENT: usize = 16;

/// The name that Lambda gives the environment's own address.
const SANDBOX: &str = "sandbox.localdomain";

/// Where the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In Lambda, and the address of the sandbox if it is known.
    Lambda(Option<IpAddr>),
    /// In an emulator, a simulator, a test.
    Elsewhere,
}

impl Place {
    /// Lambda names the sandbox in its hosts file, and serves its APIs on port 9001. The name is not looked up otherwise, since
    /// that takes seconds where there is no name server.
    pub(crate) fn of(hosts_file: &str, runtime_api: &str) -> Self {
        let address = hosts_file.lines().find_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|name| name == SANDBOX).then_some(address)
        });
        match address {
            Some(address) => Self::Lambda(Some(address)),
            None if runtime_api.ends_with(":9001") => Self::Lambda(None),
            None => Self::Elsewhere,
        }
    }

    /// Where to listen, and the host that Lambda is told.
    fn address(self) -> (IpAddr, &'static str) {
        match self {
            Self::Lambda(Some(address)) => (address, SANDBOX),
            Self::Lambda(None) => (Ipv4Addr::UNSPECIFIED.into(), SANDBOX),
            // Only processes of this machine have to reach it.
            Self::Elsewhere => (Ipv4Addr::LOCALHOST.into(), "127.0.0.1"),
        }
    }
}

async fn bind(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((address, port)).await {
        Ok(socket) => Ok(socket),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

/// A listener, and the address that Lambda is told.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) uri: String,
    path: String,
}

impl Listener {
    /// Binds a free port of the place's address. `salt` makes the path one that the function cannot guess.
    pub(crate) async fn bind(place: Place, salt: u64) -> io::Result<Self> {
        let (address, host) = place.address();
        let socket = bind(address, 0).await?;
        let port = socket.local_addr()?.port();
        let path = format!("/telemetry/{salt:016x}");
        Ok(Self { uri: format!("http://{host}:{port}{path}"), socket, path })
    }

    /// Binds the address that Lambda was told before, `http://host:port/path`.
    pub(crate) async fn bind_again(place: Place, uri: &str) -> io::Result<Self> {
        let told = uri.strip_prefix("http://").and_then(|uri| uri.split_once('/'));
        let port =
            told.and_then(|(host, path)| Some((host.rsplit_once(':')?.1.parse().ok()?, path)));
        let (port, path) = port.ok_or(io::ErrorKind::InvalidInput)?;
        let (address, _) = place.address();
        let socket = bind(address, port).await?;
        Ok(Self { uri: uri.to_owned(), socket, path: format!("/{path}") })
    }

    /// What answers this listener's requests.
    pub(crate) fn intake(
        &self,
        events: mpsc::Sender<Event>,
        counts: Arc<Counts>,
        lines: Lines,
    ) -> Intake {
        Intake {
            path: self.path.clone(),
            // A batch may have twice the bytes that were asked for, and one event that is larger than that.
            max_body_bytes: 2 * TELEMETRY_MAX_BYTES + MAX_EVENT_BYTES,
            room: Arc::new(Semaphore::new(3 * TELEMETRY_MAX_BYTES + MAX_EVENT_BYTES)),
            events,
            counts,
            lines,
            recent: Recent::default(),
        }
    }
}

/// Which lines are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// None: CloudWatch has them already.
    None,
    /// Those that were subscribed to, which are sent.
    Sent,
}

/// The newest deliveries that were taken, by their hashes.
#[derive(Default)]
struct Recent {
    hashes: Mutex<VecDeque<u64>>,
    hasher: RandomState,
}

impl Recent {
    fn has(&self, hash: u64) -> bool {
        self.hashes.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash)
    }

    fn add(&self, hash: u64) {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if hashes.len() == RECENT {
            hashes.pop_front();
        }
        hashes.push_back(hash);
    }
}

/// Takes batches into the loop's channel, which has a bound in bytes.
pub(crate) struct Intake {
    path: String,
    max_body_bytes: usize,
    /// One permit for each byte of batches that the loop has not looked at.
    room: Arc<Semaphore>,
    events: mpsc::Sender<Event>,
    counts: Arc<Counts>,
    lines: Lines,
    recent: Recent,
}

impl Respond for Intake {
    fn respond<'c>(&'c self, request: Request<'c>) -> BoxedResponse<'c> {
        Box::pin(async move { HttpResponse::new(self.status(request).await, "text/plain", "") })
    }
}

impl Intake {
    /// Answers one HTTP request.
    async fn status(&self, request: Request<'_>) -> StatusCode {
        if request.head.uri.path() != self.path {
            return StatusCode::NOT_FOUND;
        }
        let body = match request.body.read(self.max_body_bytes).await {
            Ok(body) => body,
            // Answered with an error it would be repeated for ever, and never be taken.
            Err(Unread::TooLarge) => {
                self.counts.add(Count::Malformed, 1);
                return StatusCode::OK;
            }
            Err(Unread::BrokenOff) => return StatusCode::BAD_REQUEST,
        };
        self.take(&body)
    }

    fn take(&self, body: &[u8]) -> StatusCode {
        let permits = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(permits) else {
            self.counts.add(Count::TelemetryRefused, 1);
            return StatusCode::SERVICE_UNAVAILABLE;
        };
        let hash = self.recent.hasher.hash_one(body);
        let body = String::from_utf8_lossy(body);
        let batch = parse_batch(&body);
        let malformed = batch.refused + usize::from(batch.is_broken);
        let all = batch.events.len();
        let mut told: Vec<Told> =
            batch.events.into_iter().filter_map(|event| self.told(event)).collect();
        let log_events = all - told.len();
        if self.recent.has(hash) {
            // Platform events are known again one by one, however they are delivered.
            let all = told.len();
            told.retain(|told| matches!(told, Told::Platform { .. }));
            self.counts.add(Count::Repeated, all - told.len());
        }
        let lines = told.iter().filter(|told| matches!(told, Told::Line(_))).count();
        let platform_events = told.len() - lines;
        if !told.is_empty()
            && self.events.try_send(Event::Telemetry(TelemetryBatch::new(told, room))).is_err()
        {
            self.counts.add(Count::TelemetryRefused, 1);
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        if self.lines == Lines::Sent {
            self.recent.add(hash);
        }
        self.counts.add(Count::Malformed, malformed);
        self.counts.add(Count::Events, platform_events);
        self.counts.add(Count::LogEvents, log_events);
        self.counts.add(Count::LogLines, lines);
        StatusCode::OK
    }

    /// What the loop is told of an event; nothing of lines that are not sent.
    fn told(&self, event: TelemetryEvent<'_>) -> Option<Told> {
        let TelemetryEvent { time_unix_nano, text, record } = event;
        let is_sent = self.lines == Lines::Sent;
        match record {
            TelemetryRecord::Platform(event) => {
                Some(Told::Platform { event, text: if is_sent { text.into() } else { "".into() } })
            }
            TelemetryRecord::Line { from, message, is_json } => {
                let is_own = from == LineSource::Extension && is_own(&message);
                let line = LogLine { from, time_unix_nano, message: message.into(), is_json };
                (is_sent && !is_own).then_some(Told::Line(line))
            }
        }
    }
}

/// Whether an extension's line is of this one: its log, or an OTLP line. Sent, it would come back for ever.
fn is_own(line: &str) -> bool {
    const OF_LOG: [&str; 2] = ["lambda-otlp-extension: ", "\"logger\":\"lambda-otlp-extension\""];
    wire::mentions_otlp(line) || OF_LOG.iter().any(|mark| line.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_is_known_by_its_hosts_file_or_its_port() {
        let check = |hosts_file: &str, runtime_api, expected| {
            assert_eq!(
                Place::of(hosts_file, runtime_api),
                expected,
                "{hosts_file:?} {runtime_api}"
            );
        };
        let sandbox = Place::Lambda(Some(Ipv4Addr::new(169, 254, 79, 129).into()));
        let hosts_file =
            "127.0.0.1 localhost\n169.254.79.129 sandbox sandbox.localdomain # Lambda\n";
        check(hosts_file, "169.254.100.1:9001", sandbox);
        check(hosts_file, "127.0.0.1:40123", sandbox);
        check("127.0.0.1 localhost", "127.0.0.1:9001", Place::Lambda(None));
        check("", "127.0.0.1:40123", Place::Elsewhere);
        check("# 1.2.3.4 sandbox.localdomain", "127.0.0.1:19001", Place::Elsewhere);
        check("nonsense sandbox.localdomain", "127.0.0.1:1", Place::Elsewhere);
    }

    /// An intake with room for 200 bytes and so many batches, and the loop's end of its channel.
    fn intake(events: usize) -> (Intake, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(events);
        let intake = Intake {
            path: String::new(),
            max_body_bytes: 1000,
            room: Arc::new(Semaphore::new(200)),
            events: sender,
            counts: Arc::default(),
            lines: Lines::None,
            recent: Recent::default(),
        };
        (intake, receiver)
    }

    const EVENT: &str = r#"[{"time":"2026-09-21T14:13:20.123Z","type":"platform.start","record":{"requestId":"r"}}]"#;

    #[test]
    fn a_full_buffer_is_said_and_has_room_again_when_it_is_emptied() {
        let (intake, mut buffer) = intake(8);
        assert_eq!(intake.take(EVENT.as_bytes()), 200);
        assert_eq!(intake.take(EVENT.as_bytes()), 200);
        assert_eq!(intake.take(EVENT.as_bytes()), 503, "by its bytes");
        drop(buffer.try_recv().unwrap());
        assert_eq!(intake.take(EVENT.as_bytes()), 200);
        assert_eq!(intake.counts.get(Count::Events), 3);
        assert_eq!(intake.counts.get(Count::TelemetryRefused), 1);
    }

    #[test]
    fn a_loop_that_is_behind_refuses_and_counts_nothing_as_taken() {
        let (intake, _buffer) = intake(1);
        assert_eq!(intake.take(EVENT.as_bytes()), 200);
        assert_eq!(intake.take(EVENT.as_bytes()), 503);
        assert_eq!(intake.counts.get(Count::Events), 1);
    }

    #[test]
    fn the_bounds_follow_the_subscription() {
        let (sender, _receiver) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let listener = runtime.block_on(Listener::bind(Place::Elsewhere, 7)).unwrap();
        assert!(listener.uri.ends_with("/telemetry/0000000000000007"), "{}", listener.uri);
        let intake = listener.intake(sender, Arc::default(), Lines::None);
        assert!(intake.room.available_permits() >= intake.max_body_bytes);
        let event = EVENT.trim_matches(['[', ']']);
        let large = event.replace(
            r#""requestId":"r""#,
            &format!(r#""requestId":"r","x":"{}""#, "x".repeat(1 << 20)),
        );
        let delivery = format!("[{}{large}]", format!("{event},").repeat(5_000));
        assert!(delivery.len() < intake.max_body_bytes, "{}", delivery.len());
        assert_eq!(intake.take(delivery.as_bytes()), 200);
        assert_eq!(intake.counts.get(Count::Events), 5_001);
    }
}
