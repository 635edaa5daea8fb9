//! Receives the events of Lambda's Telemetry API and passes them to the loop.
//!
//! Source: Lambda Developer Guide, "Lambda Telemetry API reference". Lambda repeats deliveries that are not answered with 200, so
//! 200 means that the events are in the loop's channel, and 503 that it is full.

use crate::config::TELEMETRY_MAX_BYTES;
use crate::counts::{Count, Counts};
use crate::event::{Event, LogLine, TelemetryItem};
use crate::http::{BoxedAnswer, Head, RequestBody, Respond, Unread, answer};
use crate::own_file;
use crate::recent::Recent;
use hyper::{Method, StatusCode};
use platform::{LineSource, ParsedBatch, TelemetryEvent, TelemetryRecord, parse_batch};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The size limit of an event: the 1 MiB of CloudWatch Logs in JSON that escapes each byte.
const MAX_EVENT_BYTES: usize = 2 * 1024 * 1024;
/// The size limit of a delivery: it may exceed the subscribed size by a factor of two and by one large event.
const MAX_BODY_BYTES: usize = 2 * TELEMETRY_MAX_BYTES + MAX_EVENT_BYTES;
/// The memory of an event besides its text.
const EVENT_BYTES: usize = 1024;

/// The number of remembered deliveries. Lambda repeats a delivery if it did not get the answer.
const MAX_RECENT: usize = 16;

/// Lambda's name of the environment's own address.
const SANDBOX: &str = "sandbox.localdomain";

/// The environment's own host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnHost {
    /// The address to listen at.
    address: IpAddr,
    /// Its name for Lambda.
    name: &'static str,
}

impl OwnHost {
    /// Recognizes Lambda by the name of the sandbox in the hosts file, or by port 9001 of its APIs. A DNS lookup could take seconds.
    pub(crate) fn find(hosts_file: &str, runtime_api: &str) -> Self {
        let sandbox = hosts_file.lines().find_map(|line| {
            let without_comment = line.split('#').next().unwrap_or_default();
            let mut words = without_comment.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|name| name == SANDBOX).then_some(address)
        });
        match sandbox {
            Some(address) => Self { address, name: SANDBOX },
            None if runtime_api.ends_with(":9001") => {
                Self { address: Ipv4Addr::UNSPECIFIED.into(), name: SANDBOX }
            }
            // Only local processes need access to the listener in an emulator or a test.
            None => Self { address: Ipv4Addr::LOCALHOST.into(), name: "127.0.0.1" },
        }
    }
}

pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) uri: String,
    pub(crate) path: String,
}

impl Listener {
    /// Binds the port and path in `file`, or a free port and a random path, and keeps them in the file. A reset environment keeps
    /// its files and the subscription of the extension before, whose waiting events arrive at the same place.
    pub(crate) async fn bind(host: OwnHost, file: &Path) -> io::Result<Self> {
        let kept = KeptPlace::read(file);
        let random = RandomState::new().hash_one(());
        let ports = kept.map(|kept| kept.port).into_iter().chain(free_ports(random));
        let addresses: Vec<_> = ports
            .map(|port| SocketAddr::from((host.address, port)))
            .chain([(Ipv4Addr::UNSPECIFIED, 0).into()])
            .collect();
        let socket = TcpListener::bind(addresses.as_slice()).await?;
        let port = socket.local_addr()?.port();
        let path_number =
            kept.filter(|kept| kept.port == port).map_or(random, |kept| kept.path_number);
        let place = KeptPlace { port, path_number };
        if kept != Some(place)
            && let Err(error) = place.write(file)
        {
            tracing::debug!(%error, "cannot keep the port for a reset environment");
        }
        let path = format!("/telemetry/{path_number:016x}");
        Ok(Self { uri: format!("http://{}:{port}{path}", host.name), socket, path })
    }
}

/// The place of the listener, which a reset environment keeps in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeptPlace {
    port: u16,
    /// The random number in the path.
    path_number: u64,
}

impl KeptPlace {
    /// Reads the file, which the function may have changed.
    fn read(file: &Path) -> Option<Self> {
        const MAX_BYTES: u64 = 64;
        let mut text = String::new();
        own_file::open(file).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
        let (port, path_number) = text.trim_end().split_once(' ')?;
        let port = port.parse().ok().filter(|port| *port >= FIRST_PORT)?;
        Some(Self { port, path_number: u64::from_str_radix(path_number, 16).ok()? })
    }

    fn write(self, file: &Path) -> io::Result<()> {
        own_file::write(file, &format!("{} {:016x}\n", self.port, self.path_number))
    }
}

/// The first port above Linux's ports for outgoing connections, 32768 to 60999, one of which the function may have.
const FIRST_PORT: u16 = 61_000;

fn free_ports(random: u64) -> impl Iterator<Item = u16> {
    const ATTEMPTS: u64 = 16;
    let ports = u64::from(u16::MAX - FIRST_PORT) + 1;
    let port = move |attempt| random.wrapping_add(attempt) % ports + u64::from(FIRST_PORT);
    (0..ATTEMPTS).filter_map(move |attempt| port(attempt).try_into().ok())
}

/// The path at which AWS's published code for managed instances delivers telemetry, whatever the subscription says
/// (`internal/lambda-managed-instances/telemetry` of aws-lambda-runtime-interface-emulator at 4fa2157). Nobody has observed a
/// managed instance on AWS, so both paths are accepted there.
const ROOT: &str = "/";

/// The settings of the responder.
#[derive(Debug)]
pub(crate) struct ResponderSettings {
    /// The agreed path. Its random number keeps other processes from guessing it.
    pub(crate) path: String,
    /// Until a delivery has come at the agreed path, `/` is accepted too.
    pub(crate) accepts_root: bool,
    /// The sink takes printed lines.
    pub(crate) takes_lines: bool,
}

/// A delivery, and the room that it occupies.
struct Delivery {
    bytes: Vec<u8>,
    room: OwnedSemaphorePermit,
}

enum UnreadDelivery {
    NoRoom,
    Body(Unread),
}

impl From<Unread> for UnreadDelivery {
    fn from(unread: Unread) -> Self {
        Self::Body(unread)
    }
}

/// Passes deliveries to the loop, within a bound of bytes.
pub(crate) struct TelemetryResponder {
    path: String,
    accepts_root: AtomicBool,
    /// One permit per byte of deliveries that are being read, or that the loop has not processed.
    room: Arc<Semaphore>,
    events: mpsc::Sender<Event>,
    counts: Arc<Counts>,
    takes_lines: bool,
    recent_deliveries: Mutex<Recent>,
    /// A refused delivery has been logged.
    has_logged_refusal: AtomicBool,
    /// A delivery at another path has been logged.
    has_logged_path: AtomicBool,
}

impl Respond for TelemetryResponder {
    fn respond<'c>(&'c self, head: &'c Head, body: &'c mut RequestBody) -> BoxedAnswer<'c> {
        Box::pin(async move { answer(self.receive(head, body).await, "text/plain", "") })
    }

    fn after_panic(&self) -> StatusCode {
        self.accept_malformed()
    }
}

impl TelemetryResponder {
    pub(crate) fn new(
        settings: ResponderSettings,
        events: mpsc::Sender<Event>,
        counts: Arc<Counts>,
    ) -> Self {
        let ResponderSettings { path, accepts_root, takes_lines } = settings;
        let max_bytes =
            MAX_BODY_BYTES + ParsedBatch::MAX_EVENTS * EVENT_BYTES + TELEMETRY_MAX_BYTES;
        let room = Arc::new(Semaphore::new(max_bytes));
        Self {
            path,
            accepts_root: AtomicBool::new(accepts_root),
            room,
            events,
            counts,
            takes_lines,
            recent_deliveries: Mutex::new(Recent::new(MAX_RECENT)),
            has_logged_refusal: AtomicBool::new(false),
            has_logged_path: AtomicBool::new(false),
        }
    }

    /// Takes a delivery, and returns the status of its answer.
    async fn receive(&self, head: &Head, body: &mut RequestBody) -> StatusCode {
        let path = head.uri.path();
        let is_agreed = path == self.path;
        if is_agreed {
            self.accepts_root.store(false, Ordering::Relaxed);
        } else if !(path == ROOT
            && head.method == Method::POST
            && self.accepts_root.load(Ordering::Relaxed))
        {
            return self.refuse_misaddressed();
        }
        match self.read(body).await {
            Ok(delivery) => self.take(delivery),
            Err(UnreadDelivery::NoRoom) => self.refuse_for_room(),
            Err(UnreadDelivery::Body(Unread::TooLarge)) => self.accept_malformed(),
            Err(UnreadDelivery::Body(Unread::BrokenOff)) => self.refuse_broken_off(),
        }
    }

    fn refuse_misaddressed(&self) -> StatusCode {
        self.counts.add(Count::TelemetryMisaddressed, 1);
        if !self.has_logged_path.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a delivery of telemetry at another path than the agreed one is refused; further ones are only counted"
            );
        }
        StatusCode::NOT_FOUND
    }

    fn refuse_broken_off(&self) -> StatusCode {
        self.counts.add(Count::TelemetryBrokenOff, 1);
        if !self.has_logged_refusal.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a delivery of telemetry broke off, Lambda repeats it; further ones are only counted"
            );
        }
        StatusCode::BAD_REQUEST
    }

    /// Reads a delivery into room that it reserves first.
    async fn read(&self, body: &mut RequestBody) -> Result<Delivery, UnreadDelivery> {
        let announced = body.announced(MAX_BODY_BYTES)?;
        let mut room = self.reserve(announced).ok_or(UnreadDelivery::NoRoom)?;
        let mut bytes = Vec::with_capacity(announced);
        while let Some(piece) = body.next(bytes.len(), MAX_BODY_BYTES).await? {
            let missing = (bytes.len() + piece.len()).saturating_sub(room.num_permits());
            room.merge(self.reserve(missing).ok_or(UnreadDelivery::NoRoom)?);
            bytes.extend_from_slice(&piece);
        }
        Ok(Delivery { bytes, room })
    }

    fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes).ok()?;
        Arc::clone(&self.room).try_acquire_many_owned(permits).ok()
    }

    /// Counts a delivery for which there is no room. Lambda repeats it.
    fn refuse_for_room(&self) -> StatusCode {
        self.counts.add(Count::TelemetryRefused, 1);
        if !self.has_logged_refusal.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "telemetry of Lambda is refused until earlier deliveries are processed; further ones are only counted"
            );
        }
        StatusCode::SERVICE_UNAVAILABLE
    }

    /// Counts an unusable batch and accepts it, because Lambda would repeat a refused one forever.
    fn accept_malformed(&self) -> StatusCode {
        self.counts.add(Count::Malformed, 1);
        StatusCode::OK
    }

    /// Passes a delivery to the loop.
    fn take(&self, Delivery { bytes, mut room }: Delivery) -> StatusCode {
        tracing::debug!(bytes = bytes.len(), "telemetry received");
        let text = String::from_utf8_lossy(&bytes);
        let batch = parse_batch(&text);
        let Some(room_of_events) = self.reserve(batch.events.len() * EVENT_BYTES) else {
            return self.refuse_for_room();
        };
        room.merge(room_of_events);
        let malformed = batch.refused + usize::from(batch.is_broken);
        let mut items: Vec<TelemetryItem> =
            batch.events.into_iter().filter_map(|event| self.item(event)).collect();
        if self.recent_deliveries().contains(&bytes) {
            // The invocation table recognizes repeated platform events.
            items.retain(|item| matches!(item, TelemetryItem::Platform { .. }));
        }
        let lines = items.iter().filter(|item| matches!(item, TelemetryItem::Line(_))).count();
        if !items.is_empty()
            && self.events.try_send(Event::Telemetry { items, _room: room }).is_err()
        {
            return self.refuse_for_room();
        }
        if self.takes_lines {
            self.recent_deliveries().add(&bytes);
        }
        self.counts.add(Count::Malformed, malformed);
        self.counts.add(Count::LogLines, lines);
        StatusCode::OK
    }

    fn recent_deliveries(&self) -> MutexGuard<'_, Recent> {
        self.recent_deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Converts an event for the loop. Returns `None` for lines that the sink does not take.
    fn item(&self, event: TelemetryEvent<'_>) -> Option<TelemetryItem> {
        let TelemetryEvent { time_unix_nano, text, record } = event;
        match record {
            TelemetryRecord::Platform(event) => {
                let text = if self.takes_lines { text.into() } else { "".into() };
                Some(TelemetryItem::Platform { event, text })
            }
            TelemetryRecord::Line { from, message, is_json } => {
                let is_own = from == LineSource::Extension && is_own(&message);
                let line = LogLine { from, time_unix_nano, message: message.into(), is_json };
                (self.takes_lines && !is_own).then_some(TelemetryItem::Line(line))
            }
        }
    }
}

/// Returns `true` for a line of this extension: its log or an OTLP line. Such a line would come back forever.
fn is_own(line: &str) -> bool {
    const OF_LOG: [&str; 2] = ["lambda-otlp-extension: ", "\"logger\":\"lambda-otlp-extension\""];
    wire::mentions_otlp(line) || OF_LOG.iter().any(|mark| line.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_is_detected_by_its_hosts_file_or_api_port() {
        let check = |hosts_file: &str, runtime_api, address: [u8; 4], name| {
            let expected = OwnHost { address: Ipv4Addr::from(address).into(), name };
            let found = OwnHost::find(hosts_file, runtime_api);
            assert_eq!(found, expected, "{hosts_file:?} {runtime_api}");
        };
        let hosts_file =
            "127.0.0.1 localhost\n169.254.79.129 sandbox sandbox.localdomain # Lambda\n";
        check(hosts_file, "169.254.100.1:9001", [169, 254, 79, 129], SANDBOX);
        check(hosts_file, "127.0.0.1:40123", [169, 254, 79, 129], SANDBOX);
        check("127.0.0.1 localhost", "127.0.0.1:9001", [0, 0, 0, 0], SANDBOX);
        let local = "127.0.0.1";
        check("", "127.0.0.1:40123", [127, 0, 0, 1], local);
        check("# 1.2.3.4 sandbox.localdomain", "127.0.0.1:19001", [127, 0, 0, 1], local);
        check("nonsense sandbox.localdomain", "127.0.0.1:1", [127, 0, 0, 1], local);
    }

    #[test]
    fn a_full_channel_refuses_telemetry() {
        let (events, _channel) = mpsc::channel(1);
        let settings =
            ResponderSettings { path: String::new(), accepts_root: false, takes_lines: false };
        let responder = TelemetryResponder::new(settings, events, Arc::default());
        let event = r#"[{"type":"platform.start","record":{"requestId":"r"}}]"#.as_bytes();
        let take = || {
            let room = responder.reserve(event.len()).unwrap();
            responder.take(Delivery { bytes: event.to_vec(), room })
        };
        assert_eq!((take(), take()), (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE));
    }
}
