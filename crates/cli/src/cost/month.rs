//! The monthly cost by service.

use super::prices::{
    self, EGRESS_GB, FREE_EGRESS_GB, GB, GB_SECOND, REQUEST, STORED_GB, requests_of_event,
};
use super::{Arguments, LineFormat, SECONDS_OF_MONTH};

/// Bytes that CloudWatch Logs counts per log event in addition to its text (CloudWatch Logs User Guide, "Quotas").
const LOG_EVENT_BYTES: f64 = 26.0;
/// The memory that gives a function one CPU (Lambda Developer Guide, "Configure Lambda function memory").
const MB_OF_CPU: f64 = 1769.0;

/// Spans, and bytes of the line with them: means of the 40 functions of `bench`'s workload, with 14 resource attributes, and 13
/// attributes a span.
const STANDARD_BYTES: [(f64, f64); 5] =
    [(1.0, 1348.0), (3.0, 1831.0), (5.0, 2124.0), (10.0, 2742.0), (100.0, 11_694.0)];
/// The same functions with the typical ratio of billed bytes: `bench`'s row "recorded, held out".
const COMPACT_BYTES: [(f64, f64); 5] =
    [(1.0, 282.0), (3.0, 475.0), (5.0, 617.0), (10.0, 923.0), (100.0, 6022.0)];
/// CPU milliseconds that the library adds to an invocation: `bench`'s smallest function, mode `sync`, p50.
const WRITING_MS: f64 = 0.115;
/// CPU milliseconds of the forwarder per OTLP line of either format, and per invocation's other log events with five lines of its
/// own:
/// `bench`'s events "OTLP only" and "mixed".
const LINE_MS: f64 = 11.57 / 600.0;
const OTHERS_MS: f64 = 17.43 / 500.0 - LINE_MS;
/// Bytes sent to the backend per span, and per invocation's other log events, from the same events.
const SENT_OF_SPAN: f64 = 166_188.0 / 1800.0;
const SENT_OF_OTHERS: f64 = 148_391.0 / 500.0;
/// Bytes of a line of the forwarder's log with `Vitals=emf`: measured on `forwarder/src/vitals/emf.rs`, for events with START and END
/// lines, and a function name of 42 characters.
const VITALS_BYTES: f64 = 607.0;
/// An environment writes at most this many in a month of 30 days: ten a minute.
const MOST_VITALS: f64 = 10.0 * SECONDS_OF_MONTH / 60.0;
/// The stack's default memory of the forwarder in MB, and the assumed response time of the backend in milliseconds.
const FORWARDER_MB: f64 = 256.0;
const BACKEND_MS: f64 = 50.0;
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) quantity: String,
    pub(super) usd: f64,
}

pub(super) struct Month {
    pub(super) rows: Vec<Row>,
    pub(super) deliveries: f64,
    /// Milliseconds of the forwarder per delivery.
    pub(super) delivery_ms: f64,
}

impl Month {
    pub(super) fn of(arguments: &Arguments) -> Self {
        let invocations = arguments.invocations;
        let measured = match arguments.line {
            LineFormat::Standard => &STANDARD_BYTES,
            LineFormat::Compact => &COMPACT_BYTES,
        };
        let line = line_bytes(measured, arguments.spans);
        let ingested = invocations * (line + LOG_EVENT_BYTES) / GB;
        let memory = f64::from(arguments.memory);
        let writing_ms = on_share_of_cpu(WRITING_MS, memory);
        let writing = invocations * writing_ms / 1000.0 * memory / 1024.0;

        let per_delivery = f64::from(arguments.per_delivery);
        let deliveries = (invocations / per_delivery).ceil();
        // An event is base64. So are most of a line's bytes, and compression removes what their base64 added. Other log events
        // are about as small as the requests made from them.
        let event = per_delivery * (line + SENT_OF_OTHERS * 4.0 / 3.0);
        let requests = deliveries * requests_of_event(event);
        let cpu_ms = on_share_of_cpu(per_delivery * (LINE_MS + OTHERS_MS), FORWARDER_MB);
        // Lambda bills whole milliseconds.
        let delivery_ms = (cpu_ms + BACKEND_MS).ceil();
        let forwarding = deliveries * delivery_ms / 1000.0 * FORWARDER_MB / 1024.0;
        let sent = invocations * (f64::from(arguments.spans) * SENT_OF_SPAN + SENT_OF_OTHERS) / GB;

        let at_once = deliveries * delivery_ms / 1000.0 / SECONDS_OF_MONTH;
        let own_lines = deliveries.min(MOST_VITALS * at_once.ceil());
        let own_log = own_lines * (VITALS_BYTES + LOG_EVENT_BYTES) / GB;
        let own_log_usd = prices::ingestion(ingested + own_log) - prices::ingestion(ingested);
        let stored = (ingested + own_log) * (f64::from(arguments.retention) / 30.0);
        let gb = |gb: f64| format!("{gb:.2} GB");
        let gb_seconds = |milliseconds: f64, gb_seconds: f64| {
            format!("{milliseconds:.2} ms, {gb_seconds:.0} GB-s")
        };
        let row = |what, quantity, usd| Row { what, quantity, usd };
        let rows = vec![
            row(
                "CloudWatch Logs: ingestion of OTLP lines",
                gb(ingested),
                prices::ingestion(ingested),
            ),
            row("CloudWatch Logs: storage", gb(stored), stored * STORED_GB),
            row(
                "functions: writing OTLP lines",
                gb_seconds(writing_ms, writing),
                writing * GB_SECOND,
            ),
            row("forwarder: requests", format!("{requests:.0} requests"), requests * REQUEST),
            row("forwarder: duration", gb_seconds(delivery_ms, forwarding), forwarding * GB_SECOND),
            row("forwarder: its own log", gb(own_log), own_log_usd),
            row("traffic to the backend", gb(sent), (sent - FREE_EGRESS_GB).max(0.0) * EGRESS_GB),
        ];
        Self { rows, deliveries, delivery_ms }
    }

    pub(super) fn total(&self) -> f64 {
        self.rows.iter().map(|row| row.usd).sum()
    }
}

/// Converts CPU time to duration in a function of this memory.
fn on_share_of_cpu(cpu_ms: f64, memory_mb: f64) -> f64 {
    cpu_ms * (MB_OF_CPU / memory_mb).max(1.0)
}

/// Interpolates linearly between the measured points, and extrapolates beyond the last.
fn line_bytes(measured: &[(f64, f64)], spans: u32) -> f64 {
    let spans = f64::from(spans);
    let mut pairs = measured.iter().zip(measured.iter().skip(1));
    let within = pairs.clone().find(|(_, (to, _))| spans <= *to).or_else(|| pairs.next_back());
    let Some(((from, first), (to, last))) = within else { return 0.0 };
    if spans < *from { *first } else { first + (spans - from) / (to - from) * (last - first) }
}
