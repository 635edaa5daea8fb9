//! Receives what X-Ray's SDKs send to X-Ray's daemon: UDP datagrams at the port of the OTLP receiver.
//!
//! A datagram is a header line and a segment document, or in its place the base64 of an OTLP request of AWS's OpenTelemetry
//! distributions. UDP has no answers, so the socket's buffer holds what arrives while the loop is busy or the environment is
//! frozen.
//!
//! Source: AWS X-Ray Developer Guide, "Sending segment documents to the X-Ray daemon";
//! aws-observability/aws-otel-js-instrumentation, `otlp-udp-exporter.ts`.

use crate::counts::{Count, Counts};
use crate::invocations::roots::ReceivedSegment;
use crate::service_name::named;
use opentelemetry_proto::tonic::trace::v1::Span;
use platform::{Identity, XRayDocument, resource_spans, string_attribute};
use serde_json::Value;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use wire::resource::SERVICE_NAME;
use wire::{Limits, Request, Signal as _, SignalKind, Traces};

const MAX_DATAGRAM_BYTES: usize = 64 * 1024;
/// The socket's buffer: a thousand subsegments with the system's own bytes. Without privileges the system may grant less.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// The loop takes datagrams until they have this size together: a thousand subsegments.
const MAX_TAKEN_BYTES: usize = 1024 * 1024;
const SCOPE: &str = "lambda-otlp/xray";

/// The content of the datagrams that were read together.
#[derive(Debug, Default)]
pub(crate) struct ReceivedDatagrams {
    pub(crate) requests: Vec<Request>,
    /// The segments of the subsegments.
    pub(crate) segments: Vec<ReceivedSegment>,
    /// Bytes of all datagrams, valid or not.
    pub(crate) bytes: usize,
}

/// The daemon's place. Without a socket it receives nothing.
pub(crate) struct XRayDaemon {
    socket: Option<UdpSocket>,
    buffer: Vec<u8>,
    /// The function's identity, which the documents do not contain.
    function: Option<Identity>,
    counts: Arc<Counts>,
    /// The log already reports a malformed datagram.
    has_warned: bool,
}

impl XRayDaemon {
    /// Opens the port. A busy one is logged.
    pub(crate) async fn bind(port: u16, counts: Arc<Counts>) -> Self {
        let socket = match open(port).await {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(port, %error, "cannot receive X-Ray's documents, continuing without them");
                None
            }
        };
        let buffer = vec![0; MAX_DATAGRAM_BYTES];
        Self { socket, buffer, function: None, counts, has_warned: false }
    }

    pub(crate) fn identify(&mut self, function: &Identity) {
        self.function = Some(function.clone());
    }

    /// Waits for datagrams; forever without a socket.
    pub(crate) async fn readable(&self) {
        match &self.socket {
            // An error would repeat at once.
            Some(socket) if socket.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    /// Counts the datagrams that did not fit the socket's buffer, at the end of the environment.
    pub(crate) fn count_overflow(&self) {
        let address = self.socket.as_ref().and_then(|socket| socket.local_addr().ok());
        let Some(address) = address else { return };
        let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
        let datagrams = overflowed(&table, address.port());
        self.counts.add(Count::XRayLost, datagrams);
        if datagrams > 0 {
            tracing::error!(
                datagrams,
                "X-Ray datagrams were lost: they came faster than they could be read"
            );
        }
    }

    /// Takes the waiting datagrams, up to a limit of bytes.
    pub(crate) fn take(&mut self, now_unix_nano: u64) -> ReceivedDatagrams {
        let mut received = ReceivedDatagrams::default();
        let Some(socket) = &self.socket else { return received };
        while received.bytes < MAX_TAKEN_BYTES {
            let Ok(bytes) = socket.try_recv(&mut self.buffer) else { break };
            // An empty datagram counts too, so that the loop ends.
            received.bytes += bytes.max(1);
            let datagram = self.buffer.get(..bytes).unwrap_or_default();
            self.counts.add(Count::Received, 1);
            self.counts.add(Count::ReceivedBytes, bytes);
            let function = self.function.as_ref();
            let (lost, reason) = match read(datagram, function, now_unix_nano, &mut received) {
                Ok(0) => continue,
                Ok(refused) => (refused, "a subsegment without id, name or start_time".to_owned()),
                Err(malformed) => (1, malformed.to_string()),
            };
            self.counts.add(Count::XRayLost, lost);
            if !self.has_warned {
                self.has_warned = true;
                tracing::warn!(
                    bytes,
                    reason,
                    "malformed X-Ray datagram, dropped; further ones are only counted"
                );
            }
        }
        received
    }
}

/// Returns how many datagrams did not fit the buffer of the socket at this port, by the system's table of sockets.
fn overflowed(table: &str, port: u16) -> usize {
    let address = format!("0100007F:{port:04X}");
    let of_socket = |line: &&str| line.split_whitespace().nth(1) == Some(address.as_str());
    let drops = table.lines().find(of_socket).and_then(|line| line.split_whitespace().last());
    drops.and_then(|drops| drops.parse().ok()).unwrap_or_default()
}

async fn open(port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await?;
    if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BYTES) {
        tracing::debug!(%error, "cannot enlarge the buffer of the X-Ray socket");
    }
    Ok(socket)
}

/// The reason why all of a datagram is malformed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedDatagram {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("no header line")]
    NoHeader,
    #[error("the header is not {{\"format\": \"json\", \"version\": 1}}")]
    OtherHeader,
    #[error("invalid base64")]
    NotBase64,
    #[error(transparent)]
    Otlp(#[from] wire::Malformed),
    #[error("no segment document with trace_id, id, name and start_time")]
    NoSegment,
}

/// Reads a datagram into `received`. Returns the number of malformed subsegments in it.
fn read(
    datagram: &[u8],
    function: Option<&Identity>,
    now_unix_nano: u64,
    received: &mut ReceivedDatagrams,
) -> Result<usize, MalformedDatagram> {
    // Both formats contain only UTF-8.
    let text = std::str::from_utf8(datagram).map_err(|_| MalformedDatagram::NotUtf8)?;
    let (header, document) = text.split_once('\n').ok_or(MalformedDatagram::NoHeader)?;
    let header: Value = serde_json::from_str(header).unwrap_or_default();
    let format = header.get("format").and_then(Value::as_str);
    let version = header.get("version").and_then(Value::as_u64);
    if (format, version) != (Some("json"), Some(1)) {
        return Err(MalformedDatagram::OtherHeader);
    }
    if let Some((kind, base64)) = otlp(document) {
        let bytes = wire::decode_base64(base64.trim_end().as_bytes())
            .ok_or(MalformedDatagram::NotBase64)?;
        let request = Request::check_repairing(kind, bytes, &Limits::default())?;
        let request = request.without_foreign_names();
        if request.items() > 0 {
            let service = function.map(|function| function.service_name.as_str());
            received.requests.push(named(request, service.unwrap_or_default()));
        }
        return Ok(0);
    }
    let document =
        XRayDocument::read(document, now_unix_nano).ok_or(MalformedDatagram::NoSegment)?;
    let XRayDocument { ended: mut spans, open, service, segment, refused } = document;
    spans.extend(open);
    let start_unix_nano = spans.iter().map(|span| span.start_time_unix_nano).min();
    if let (Some(segment), Some(start_unix_nano)) = (segment, start_unix_nano) {
        received.segments.push(ReceivedSegment { segment, start_unix_nano });
    }
    received.requests.push(request(spans, function, service.as_deref()));
    Ok(refused)
}

/// Makes a request of spans. A segment is a service of its own.
fn request(spans: Vec<Span>, function: Option<&Identity>, service: Option<&str>) -> Request {
    let mut resource = function.map(Identity::log_resource).unwrap_or_default();
    if let Some(service) = service {
        resource.attributes.retain(|attribute| attribute.key != SERVICE_NAME);
        resource.attributes.push(string_attribute(SERVICE_NAME, service));
    }
    let request =
        Request::encode::<Traces>(&Traces::request(vec![resource_spans(resource, SCOPE, spans)]));
    request.rename_foreign_names()
}

/// The base64 of an OTLP request of AWS's distributions: sampled or unsampled spans, or metrics of Application Signals.
fn otlp(document: &str) -> Option<(SignalKind, &str)> {
    let prefixes =
        [("T1S", SignalKind::Traces), ("T1U", SignalKind::Traces), ("M1", SignalKind::Metrics)];
    prefixes.into_iter().find_map(|(prefix, kind)| Some((kind, document.strip_prefix(prefix)?)))
}

/// Reads a datagram like the receiver, for the fuzz targets. Returns its requests.
pub fn read_datagram(
    datagram: &[u8],
    now_unix_nano: u64,
) -> Result<Vec<Request>, MalformedDatagram> {
    let mut received = ReceivedDatagrams::default();
    read(datagram, None, now_unix_nano, &mut received)?;
    Ok(received.requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_datagrams_are_read_from_proc_net_udp() {
        // Linux 6.1, /proc/net/udp.
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n  \
            417: 0100007F:10DE 00000000:0000 07 00000000:00068100 00:00000000 00000000     0        0 4711 2 0000000000000000 12\n  \
            418: 0100007F:10DF 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 3\n";
        assert_eq!(overflowed(table, 4318), 12);
        assert_eq!(overflowed(table, 4320), 0);
        assert_eq!(overflowed("", 4318), 0);
    }
}
