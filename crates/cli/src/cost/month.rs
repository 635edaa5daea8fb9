//! The monthly cost of one way of delivery, by service.

use super::prices::{self, GB, GB_SECOND, REQUEST, STORED_GB};
use super::{Assumptions, DeliveryWay, PEAK, SECONDS_OF_MONTH};
use crate::lines::LineFormat;
use serde::Serialize;

/// Bytes that CloudWatch Logs counts per log event in addition to its text (CloudWatch Logs User Guide, "Quotas").
const LOG_EVENT_BYTES: f64 = 26.0;
/// The memory that gives a function one CPU (Lambda Developer Guide, "Configure Lambda function memory").
const MB_OF_CPU: f64 = 1769.0;

/// Spans, and bytes of the line with them: means of the 40 functions of `bench`'s workload, with 14 resource attributes, and 13
/// attributes a span.
const STANDARD_BYTES: [LineBytes; 5] = [
    LineBytes { spans: 1.0, bytes: 1348.0 },
    LineBytes { spans: 3.0, bytes: 1831.0 },
    LineBytes { spans: 5.0, bytes: 2124.0 },
    LineBytes { spans: 10.0, bytes: 2742.0 },
    LineBytes { spans: 100.0, bytes: 11_694.0 },
];
/// The same functions with the typical ratio of billed bytes: `bench`'s row "recorded, held out".
const COMPACT_BYTES: [LineBytes; 5] = [
    LineBytes { spans: 1.0, bytes: 282.0 },
    LineBytes { spans: 3.0, bytes: 475.0 },
    LineBytes { spans: 5.0, bytes: 617.0 },
    LineBytes { spans: 10.0, bytes: 923.0 },
    LineBytes { spans: 100.0, bytes: 6022.0 },
];
/// CPU milliseconds that the library adds to an invocation (docs/figures.md, "Rust library": mode `sync`).
const WRITING_MS: f64 = 0.033;
/// CPU milliseconds of the forwarder per OTLP line of either format, and per invocation's other log events, five lines of its own
/// among them (docs/figures.md, "Forwarder": 600 OTLP lines, and all log events of 500 invocations).
const LINE_MS: f64 = 12.1 / 600.0;
const OTHERS_MS: f64 = 17.7 / 500.0 - LINE_MS;
/// CPU milliseconds of the forwarder per event in addition, however small: 1.4 million instructions of a release build with TLS and
/// requests of three signals (callgrind), at 0.1 ms per million as in the event of 500 invocations, and 0.2 of that in the kernel.
const EVENT_MS: f64 = 0.17;
/// Bytes sent to the backend per span, and per invocation's other log events, from the same events.
const SENT_OF_SPAN: f64 = 166_188.0 / 1800.0;
const SENT_OF_OTHERS: f64 = 148_391.0 / 500.0;
/// Bytes of a line of the forwarder's log with `Vitals=emf`: measured on `forwarder/src/vitals/emf.rs`, for events with START and END
/// lines, and a function name of 42 characters.
const VITALS_BYTES: f64 = 607.0;
/// An environment writes at most this many in a month of 30 days: ten a minute.
const MAX_VITALS: f64 = 10.0 * SECONDS_OF_MONTH / 60.0;
/// Custom metrics of the forwarder and the redrive function: `METRICS` of `forwarder/src/vitals/emf.rs`.
const OWN_METRICS: f64 = 8.0;
/// Alarms of the stack without a Kinesis stream.
const ALARMS: f64 = 11.0;
/// Lambda asks an empty queue with this many pollers, each of which waits 20 s (Lambda Developer Guide, "Using Lambda with Amazon
/// SQS").
const POLLERS: f64 = 5.0;
const POLL_SECONDS: f64 = 20.0;
/// EventBridge's message, its receipt and its deletion.
const REQUESTS_OF_EXECUTION: f64 = 3.0;
/// The stack's default memory of the forwarder in MB, and the assumed response time of the backend in milliseconds.
const FORWARDER_MB: f64 = 128.0;
const BACKEND_MS: f64 = 50.0;
/// Milliseconds for which the layer holds an invocation until `platform.runtimeDone` is there (docs/figures.md, "Layer: time added
/// to an invocation").
const REPORTED_AFTER_MS: f64 = 27.0;
/// The event source of the stack's Kinesis stream: records of a batch, its window, and bytes of an invocation's payload (Lambda
/// Developer Guide, "Lambda quotas").
const BATCH_RECORDS: f64 = 100.0;
const BATCH_WINDOW_SECONDS: f64 = 5.0;
const PAYLOAD_BYTES: f64 = 6.0 * 1024.0 * 1024.0;
/// Shards of a new stream on demand, and what a shard accepts in a second (Amazon Kinesis Data Streams Developer Guide, "Quotas
/// and limits").
const ON_DEMAND_SHARDS: f64 = 4.0;
const SHARD_RECORDS: f64 = 1000.0;
const SHARD_BYTES: f64 = 1024.0 * 1024.0;
/// The longest time for which Firehose collects records by default, and the most bytes it passes on to a transformation (Amazon Data
/// Firehose Developer Guide, "Transform source data").
const FIREHOSE_SECONDS: f64 = 60.0;
const FIREHOSE_BYTES: f64 = 3.0 * 1024.0 * 1024.0;
/// Days for which the class Delivery keeps log events (CloudWatch Logs API Reference, "CreateLogGroup").
const DELIVERY_DAYS: f64 = 1.0;
/// Base64 has four bytes for three.
const BASE64: f64 = 4.0 / 3.0;

/// The row that does not depend on the memory of the function.
pub(super) const TRAFFIC_TO_THE_BACKEND: &str = "traffic to the backend";

/// A part of the cost.
#[derive(Serialize)]
pub(super) struct CostRow {
    pub(super) what: &'static str,
    pub(super) quantity: String,
    pub(super) usd: f64,
    /// `true` if the price is the same without an invocation.
    pub(super) is_fixed: bool,
}

/// The cost of a month.
pub(super) struct Month {
    pub(super) rows: Vec<CostRow>,
    /// Invocations of the forwarder.
    pub(super) events: f64,
    /// Milliseconds of the forwarder per event.
    pub(super) event_ms: f64,
    /// Shards of the Kinesis stream; 0 without a stream.
    pub(super) shards: f64,
}

impl Month {
    pub(super) fn of(assumptions: &Assumptions, delivery: DeliveryWay) -> Self {
        let traffic = Traffic::of(assumptions);
        let mut month = match delivery {
            DeliveryWay::Direct => traffic.sent_directly(assumptions),
            DeliveryWay::Subscription => {
                let forwarding = traffic.forwarded_by_subscription();
                traffic.written_to_the_log(assumptions, forwarding)
            }
            DeliveryWay::KinesisOnDemand => {
                let forwarding = traffic.forwarded_by_on_demand_stream();
                traffic.written_to_the_log(assumptions, forwarding)
            }
            DeliveryWay::KinesisProvisioned => {
                let forwarding = traffic.forwarded_by_shards();
                traffic.written_to_the_log(assumptions, forwarding)
            }
            DeliveryWay::ClassDelivery => {
                let forwarding = traffic.forwarded_by_firehose();
                traffic.written_to_the_log(assumptions, forwarding)
            }
        };
        // Without a stack, nothing reads histories.
        let executions = assumptions.executions.filter(|_| delivery != DeliveryWay::Direct);
        month.rows.extend(executions.into_iter().flat_map(rows_of_executions));
        month
    }

    pub(super) fn total(&self) -> f64 {
        self.rows.iter().map(|row| row.usd).sum()
    }

    /// The part of the total that grows with the invocations.
    pub(super) fn variable(&self) -> f64 {
        self.rows.iter().filter(|row| !row.is_fixed).map(|row| row.usd).sum()
    }
}

/// What the functions write in a month.
struct Traffic {
    invocations: f64,
    /// Bytes of an invocation's OTLP line.
    line_bytes: f64,
    /// Deliveries of CloudWatch Logs.
    deliveries: f64,
    per_delivery: f64,
    sent_gb: f64,
}

/// The class of the functions' log groups.
#[derive(Clone, Copy)]
enum LogClass {
    Standard,
    Delivery,
}

/// How the forwarder gets the log events.
struct Forwarding {
    class: LogClass,
    /// Requests that Lambda charges.
    requests: f64,
    events: f64,
    event_ms: f64,
    shards: f64,
    /// Cost of a stream.
    rows: Vec<CostRow>,
}

impl Traffic {
    fn of(assumptions: &Assumptions) -> Self {
        let measured = match assumptions.line {
            LineFormat::Standard => &STANDARD_BYTES,
            LineFormat::Compact => &COMPACT_BYTES,
        };
        let invocations = assumptions.invocations;
        let per_delivery = assumptions.per_delivery;
        let sent_bytes = f64::from(assumptions.spans) * SENT_OF_SPAN + SENT_OF_OTHERS;
        Self {
            invocations,
            line_bytes: line_bytes(measured, assumptions.spans),
            deliveries: (invocations / per_delivery).ceil(),
            per_delivery,
            sent_gb: invocations * sent_bytes / GB,
        }
    }

    /// Bytes of a delivery to Lambda, which is compressed and then base64. Most of a line's bytes are base64 already: compression
    /// removes as many bytes as base64 adds. The other log events are compressed to about the size of the requests made from them.
    fn delivery_bytes(&self) -> f64 {
        self.per_delivery * (self.line_bytes + SENT_OF_OTHERS * BASE64)
    }

    /// Duration of the forwarder for this many deliveries at once. Lambda bills whole milliseconds.
    fn forwarder_ms(&self, deliveries: f64) -> f64 {
        let invocations = deliveries * self.per_delivery;
        let cpu_ms = EVENT_MS + invocations * (LINE_MS + OTHERS_MS);
        (on_share_of_cpu(cpu_ms, FORWARDER_MB) + BACKEND_MS).ceil()
    }

    fn forwarded_by_subscription(&self) -> Forwarding {
        Forwarding {
            class: LogClass::Standard,
            requests: self.deliveries * prices::requests_of_event(self.delivery_bytes()),
            events: self.deliveries,
            event_ms: self.forwarder_ms(1.0),
            shards: 0.0,
            rows: Vec::new(),
        }
    }

    fn forwarded_by_on_demand_stream(&self) -> Forwarding {
        let record_bytes = self.delivery_bytes() / BASE64;
        let units = (record_bytes / prices::ON_DEMAND_UNIT_BYTES).ceil();
        let billed_gb = self.deliveries * units * prices::ON_DEMAND_UNIT_BYTES / GB;
        let hours = SECONDS_OF_MONTH / 3600.0;
        let rows = vec![
            fixed("Kinesis: stream", format!("{hours:.0} hours"), hours * prices::ON_DEMAND_HOUR),
            row("Kinesis: data", gb(billed_gb), billed_gb * prices::ON_DEMAND_GB),
        ];
        self.forwarded_by_stream(self.shards().max(ON_DEMAND_SHARDS), rows)
    }

    fn forwarded_by_shards(&self) -> Forwarding {
        let shards = self.shards();
        let record_bytes = self.delivery_bytes() / BASE64;
        let units = self.deliveries * (record_bytes / prices::PUT_UNIT_BYTES).ceil();
        let hours = shards * SECONDS_OF_MONTH / 3600.0;
        let rows = vec![
            fixed("Kinesis: shards", format!("{hours:.0} hours"), hours * prices::SHARD_HOUR),
            row("Kinesis: data", format!("{units:.0} units"), units * prices::PUT_UNIT),
        ];
        self.forwarded_by_stream(shards, rows)
    }

    /// Shards that accept the peak.
    fn shards(&self) -> f64 {
        let records = self.deliveries / SECONDS_OF_MONTH * PEAK;
        let bytes = records * self.delivery_bytes() / BASE64;
        (records / SHARD_RECORDS).max(bytes / SHARD_BYTES).ceil().max(1.0)
    }

    fn forwarded_by_stream(&self, shards: f64, rows: Vec<CostRow>) -> Forwarding {
        let in_window = self.deliveries / SECONDS_OF_MONTH / shards * BATCH_WINDOW_SECONDS;
        let most = BATCH_RECORDS.min(PAYLOAD_BYTES / self.delivery_bytes());
        self.forwarded_in_batches(in_window.min(most), LogClass::Standard, shards, rows)
    }

    fn forwarded_in_batches(
        &self,
        deliveries: f64,
        class: LogClass,
        shards: f64,
        rows: Vec<CostRow>,
    ) -> Forwarding {
        let deliveries = deliveries.max(1.0);
        let events = self.deliveries / deliveries;
        let event_ms = self.forwarder_ms(deliveries);
        Forwarding { class, requests: events, events, event_ms, shards, rows }
    }

    fn forwarded_by_firehose(&self) -> Forwarding {
        let record_bytes = self.delivery_bytes() / BASE64;
        let units = (record_bytes / prices::FIREHOSE_UNIT_BYTES).ceil();
        let billed_gb = self.deliveries * units * prices::FIREHOSE_UNIT_BYTES / GB;
        let rows = vec![row("Firehose: data", gb(billed_gb), billed_gb * prices::FIREHOSE_GB)];
        let in_window = self.deliveries / SECONDS_OF_MONTH * FIREHOSE_SECONDS;
        let records = in_window.min(FIREHOSE_BYTES / record_bytes);
        self.forwarded_in_batches(records, LogClass::Delivery, 0.0, rows)
    }

    /// The cost of OTLP lines in the log, and of a forwarder.
    fn written_to_the_log(&self, assumptions: &Assumptions, forwarding: Forwarding) -> Month {
        let Forwarding { class, requests, events, event_ms, shards, rows: stream_rows } =
            forwarding;
        let ingested_gb = self.invocations * (self.line_bytes + LOG_EVENT_BYTES) / GB;
        let function_mb = f64::from(assumptions.memory);
        let writing_ms = on_share_of_cpu(WRITING_MS, function_mb);
        let writing_gb_seconds = gb_seconds(self.invocations, writing_ms, function_mb);
        let forwarding_gb_seconds = gb_seconds(events, event_ms, FORWARDER_MB);

        let forwarders_at_once = events * event_ms / 1000.0 / SECONDS_OF_MONTH;
        let own_lines = events.min(MAX_VITALS * forwarders_at_once.ceil());
        let own_log_gb = own_lines * (VITALS_BYTES + LOG_EVENT_BYTES) / GB;
        let retention = f64::from(assumptions.retention);
        let (ingestion_usd, days, standard_gb) = match class {
            LogClass::Standard => (prices::ingestion(ingested_gb), retention, ingested_gb),
            LogClass::Delivery => (prices::ingestion_for_delivery(ingested_gb), DELIVERY_DAYS, 0.0),
        };
        let own_log_usd =
            prices::ingestion(standard_gb + own_log_gb) - prices::ingestion(standard_gb);
        let stored_gb = (ingested_gb * days + own_log_gb * retention) / 30.0;
        let polls = POLLERS * SECONDS_OF_MONTH / POLL_SECONDS;
        let mut rows = vec![
            row("CloudWatch Logs: ingestion of OTLP lines", gb(ingested_gb), ingestion_usd),
            row("CloudWatch Logs: storage", gb(stored_gb), stored_gb * STORED_GB),
            row(
                "functions: writing OTLP lines",
                duration(writing_ms, writing_gb_seconds),
                writing_gb_seconds * GB_SECOND,
            ),
        ];
        rows.extend(stream_rows);
        rows.extend([
            row("forwarder: requests", format!("{requests:.0} requests"), requests * REQUEST),
            row(
                "forwarder: duration",
                duration(event_ms, forwarding_gb_seconds),
                forwarding_gb_seconds * GB_SECOND,
            ),
            row("forwarder: its own log", gb(own_log_gb), own_log_usd),
            self.traffic_to_the_backend(),
            fixed(
                "forwarder: its own metrics",
                format!("{OWN_METRICS} metrics"),
                OWN_METRICS * prices::CUSTOM_METRIC,
            ),
            fixed("alarms", format!("{ALARMS} alarms"), ALARMS * prices::ALARM),
            fixed(
                "retry queue: polling",
                format!("{polls:.0} requests"),
                polls * prices::QUEUE_REQUEST,
            ),
        ]);
        Month { rows, events, event_ms, shards }
    }

    /// The cost of direct mode, with one flush for each invocation.
    fn sent_directly(&self, assumptions: &Assumptions) -> Month {
        let function_mb = f64::from(assumptions.memory);
        let hold_ms = REPORTED_AFTER_MS + BACKEND_MS;
        let hold_gb_seconds = gb_seconds(self.invocations, hold_ms, function_mb);
        let rows = vec![
            row(
                "functions: waiting for the backend",
                duration(hold_ms, hold_gb_seconds),
                hold_gb_seconds * GB_SECOND,
            ),
            self.traffic_to_the_backend(),
        ];
        Month { rows, events: 0.0, event_ms: 0.0, shards: 0.0 }
    }

    fn traffic_to_the_backend(&self) -> CostRow {
        let charged = (self.sent_gb - prices::FREE_EGRESS_GB).max(0.0);
        row(TRAFFIC_TO_THE_BACKEND, gb(self.sent_gb), charged * prices::EGRESS_GB)
    }
}

/// What the traces of executions cost, which don't depend on the functions' invocations. EventBridge's events of AWS services and
/// the APIs of histories are free.
fn rows_of_executions(executions: f64) -> [CostRow; 2] {
    let ms = 2.0 * BACKEND_MS;
    let gb_seconds = executions * ms / 1000.0 * FORWARDER_MB / 1024.0;
    let requests = executions * REQUESTS_OF_EXECUTION;
    let usd = executions * REQUEST + gb_seconds * GB_SECOND + requests * prices::QUEUE_REQUEST;
    let polls = POLLERS * SECONDS_OF_MONTH / POLL_SECONDS;
    [
        fixed("executions: queue and histories", format!("{executions:.0} executions"), usd),
        fixed(
            "executions: asking the queue",
            format!("{polls:.0} requests"),
            polls * prices::QUEUE_REQUEST,
        ),
    ]
}

fn row(what: &'static str, quantity: String, usd: f64) -> CostRow {
    CostRow { what, quantity, usd, is_fixed: false }
}

fn fixed(what: &'static str, quantity: String, usd: f64) -> CostRow {
    CostRow { what, quantity, usd, is_fixed: true }
}

fn gb(gb: f64) -> String {
    format!("{gb:.2} GB")
}

fn duration(milliseconds: f64, gb_seconds: f64) -> String {
    format!("{milliseconds:.2} ms, {gb_seconds:.0} GB-s")
}

fn gb_seconds(invocations: f64, milliseconds: f64, memory_mb: f64) -> f64 {
    invocations * milliseconds / 1000.0 * memory_mb / 1024.0
}

/// Converts CPU time to duration in a function of this memory.
fn on_share_of_cpu(cpu_ms: f64, memory_mb: f64) -> f64 {
    cpu_ms * (MB_OF_CPU / memory_mb).max(1.0)
}

/// The mean length of a line with this many spans.
#[derive(Clone, Copy)]
struct LineBytes {
    spans: f64,
    bytes: f64,
}

/// Interpolates linearly between the measured points, and extrapolates beyond the last.
fn line_bytes(measured: &[LineBytes], spans: u32) -> f64 {
    let spans = f64::from(spans);
    let mut pairs = measured.iter().zip(measured.iter().skip(1));
    let within = pairs.clone().find(|(_, to)| spans <= to.spans).or_else(|| pairs.next_back());
    let Some((from, to)) = within else { return 0.0 };
    if spans < from.spans {
        return from.bytes;
    }
    let share = (spans - from.spans) / (to.spans - from.spans);
    from.bytes + share * (to.bytes - from.bytes)
}
