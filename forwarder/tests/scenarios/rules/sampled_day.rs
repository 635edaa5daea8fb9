//! A generated day of traces through several functions, with the example of docs/rules.md that keeps whole traces.
//!
//! The log streams are cut into events anywhere, also within an invocation. For each event a model decides what is stored.
//! `DAY_TRACES=100000 cargo test -p lambda-otlp-forwarder --test scenarios a_generated_day -- --nocapture` prints the figures.

use super::docs::example;
use super::support::*;
use crate::support::{Delivered, attribute, default_options, deliver_by, event_of, line_of};
use lambda_otlp_forwarder::{IngestPolicy, RuleSet};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const FUNCTIONS: usize = 20;
const SHARE: f64 = 0.05;
const BEGIN_MS: u64 = 1_790_000_000_000;
/// Traces in the gate.
const FEW_TRACES: u64 = 400;

/// A number that looks random.
fn random(seed: u64, what: u64) -> u64 {
    let mixed = (seed << 8 | what).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The documented hash, written a second time: it must never change.
fn belongs_to_share(key: &[u8]) -> bool {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    f64::from((hash >> 32) as u32) / 4_294_967_296.0 < SHARE
}

/// One invocation of a trace.
struct PlannedInvocation {
    trace: u64,
    trace_id: [u8; 16],
    request_id: String,
    start_ms: u64,
    duration_ms: u64,
    fails: bool,
}

/// A log event: its text, and what the model knows about it.
struct Line {
    invocation: usize,
    text: String,
    items: usize,
    kind: LineKind,
}

#[derive(Clone, Copy, PartialEq)]
enum LineKind {
    Start,
    Info,
    Error,
    Spans,
    Record,
    Report,
}

/// The invocations of each function, in order.
fn invocations(traces: u64) -> Vec<Vec<PlannedInvocation>> {
    let mut functions: Vec<Vec<PlannedInvocation>> = (0..FUNCTIONS).map(|_| Vec::new()).collect();
    for trace in 0..traces {
        let trace_id =
            (u128::from(random(trace, 1)) << 64 | u128::from(random(trace, 2)) | 1).to_be_bytes();
        let calls = random(trace, 3) % 4;
        let fails = random(trace, 4).is_multiple_of(100);
        let failing = random(trace, 5) % (calls + 1);
        let is_slow = random(trace, 6).is_multiple_of(50);
        for call in 0..=calls {
            let seed = trace * 8 + call;
            let function = random(seed, 7) as usize % FUNCTIONS;
            let slow_ms = if is_slow && call == 0 { 1_200 } else { 0 };
            let hex = format!("{:016x}{:016x}", random(seed, 8), random(seed, 9));
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            functions[function].push(PlannedInvocation {
                trace,
                trace_id,
                request_id: parts.join("-"),
                start_ms: BEGIN_MS + trace * 3 + call,
                duration_ms: 5 + random(seed, 10) % 400 + slow_ms,
                fails: fails && call == failing,
            });
        }
    }
    functions
}

/// The log events of an invocation.
fn lines(number: usize, invocation: &PlannedInvocation) -> Vec<Line> {
    let PlannedInvocation { trace_id, request_id, start_ms, duration_ms, fails, .. } = invocation;
    let line = |kind, items, text| Line { invocation: number, text, items, kind };
    let id_attribute = format!("faas.invocation_id={request_id}");
    let status = if *fails { 2 } else { 0 };
    let spans = ["root", "db", "http"].map(|name| {
        let is_root = name == "root";
        let attributes = if is_root { id_attribute.clone() } else { String::new() };
        let mut span = span(1, name, 2, if is_root { status } else { 0 }, &attributes);
        span.attributes.extend(attributes_of_number(number));
        span.trace_id = trace_id.to_vec();
        span.start_time_unix_nano = start_ms * 1_000_000;
        let part = if is_root { 1 } else { 3 };
        span.end_time_unix_nano = (start_ms + duration_ms / part) * 1_000_000;
        span
    });
    let mut record = log(9, "a record of the SDK", &id_attribute);
    record.attributes.extend(attributes_of_number(number));
    record.trace_id = trace_id.to_vec();
    let records = logs("service.name=shop", "app", vec![record]);
    let spans = traces("service.name=shop", "app", spans.into());
    let text = |level: &str, text: &str| {
        format!("2026-09-21T14:13:20.123Z\t{request_id}\t{level}\t{text}\n")
    };
    let failure = if *fails { "Status: error\tError Type: Error\t" } else { "" };
    let report = format!(
        "REPORT RequestId: {request_id}\tDuration: {duration_ms}.00 ms\tBilled Duration: {duration_ms} ms\tMemory Size: 128 MB\tMax Memory Used: 64 MB\t{failure}\n"
    );
    let mut lines = vec![
        line(LineKind::Start, 0, format!("START RequestId: {request_id} Version: 7\n")),
        line(LineKind::Info, 1, text("INFO", "an order was received")),
        line(LineKind::Record, 1, line_of(records.bytes(), "logs")),
    ];
    if *fails {
        lines.push(line(LineKind::Error, 1, text("ERROR", "the order was declined")));
    }
    lines.push(line(LineKind::Info, 1, text("INFO", "the order ended")));
    lines.push(line(LineKind::Spans, 3, line_of(spans.bytes(), "traces")));
    lines.push(line(LineKind::Start, 0, format!("END RequestId: {request_id}\n")));
    lines.push(line(LineKind::Report, 1, report));
    lines
}

fn attributes_of_number(number: usize) -> Vec<KeyValue> {
    attributes(&format!("number={number}"))
}

/// What the model knows of a trace, or of an invocation without one, in an event.
#[derive(Clone, Copy, Default)]
struct TraceModel {
    fails: bool,
    begin_ms: Option<u64>,
    end_ms: u64,
    reported_ms: u64,
}

impl TraceModel {
    fn note(&mut self, kind: LineKind, invocation: &PlannedInvocation) {
        let PlannedInvocation { start_ms, duration_ms, fails, .. } = invocation;
        match kind {
            LineKind::Error => self.fails = true,
            LineKind::Spans => {
                self.fails |= fails;
                self.begin_ms = Some(self.begin_ms.unwrap_or(u64::MAX).min(*start_ms));
                self.end_ms = self.end_ms.max(start_ms + duration_ms);
            }
            LineKind::Report => {
                self.fails |= fails;
                self.reported_ms = self.reported_ms.max(*duration_ms);
            }
            LineKind::Start | LineKind::Info | LineKind::Record => {}
        }
    }

    fn is_protected(&self) -> bool {
        let of_spans = self.begin_ms.map_or(0, |begin| self.end_ms - begin);
        self.fails || of_spans.max(self.reported_ms) > 1_000
    }
}

/// The number of items of each invocation that the rules keep.
fn expected(event: &[Line], invocations: &[PlannedInvocation]) -> BTreeMap<usize, usize> {
    let names_trace = |line: &&Line| matches!(line.kind, LineKind::Spans | LineKind::Record);
    let linked: BTreeSet<usize> =
        event.iter().filter(names_trace).map(|line| line.invocation).collect();
    let key = |invocation: usize| {
        if linked.contains(&invocation) {
            invocations[invocation].trace_id.to_vec()
        } else {
            invocations[invocation].request_id.clone().into_bytes()
        }
    };
    let mut known: HashMap<Vec<u8>, TraceModel> = HashMap::new();
    for line in event {
        known
            .entry(key(line.invocation))
            .or_default()
            .note(line.kind, &invocations[line.invocation]);
    }
    let mut kept = BTreeMap::new();
    for line in event.iter().filter(|line| line.items > 0) {
        let key = key(line.invocation);
        if known[&key].is_protected() || belongs_to_share(&key) {
            *kept.entry(line.invocation).or_default() += line.items;
        }
    }
    kept
}

/// The number of stored items of each invocation.
fn stored(delivered: &Delivered, ids: &HashMap<&str, usize>) -> BTreeMap<usize, usize> {
    let spans = delivered.spans().map(|span| &span.attributes);
    let records = delivered.records().map(|record| &record.attributes);
    let mut stored = BTreeMap::new();
    for attributes in spans.chain(records) {
        let by_id = || ids[attribute(attributes, "faas.invocation_id").unwrap()];
        let number = attributes.iter().find(|attribute| attribute.key == "number");
        let number = number.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
        let invocation = match number {
            Some(Value::IntValue(number)) => usize::try_from(*number).unwrap(),
            _ => by_id(),
        };
        *stored.entry(invocation).or_default() += 1;
    }
    stored
}

/// The sum of the adjusted counts, as `sum(coalesce(lambda_otlp_adjusted_count, 1))` in the backend.
fn weighted<'a>(attributes: impl Iterator<Item = &'a Vec<KeyValue>>) -> f64 {
    let count = |attributes: &'a Vec<KeyValue>| {
        let own = attributes.iter().find(|own| own.key == "lambda_otlp.adjusted_count");
        match own.and_then(|own| own.value.as_ref()?.value.as_ref()) {
            Some(Value::DoubleValue(count)) => *count,
            _ => 1.0,
        }
    };
    attributes.map(count).sum()
}

#[derive(Default)]
struct Totals {
    events: usize,
    bytes_before: usize,
    bytes_after: usize,
    spans_before: usize,
    spans_after: usize,
    spans_weighted: f64,
    records_before: usize,
    records_after: usize,
    records_weighted: f64,
    /// Items of each failed trace that are missing, and of these, the ones of an invocation that failed.
    missing: BTreeMap<u64, Missing>,
}

#[derive(Clone, Copy, Default)]
struct Missing {
    of_failed_invocation: usize,
    of_other_invocations: usize,
}

fn forward(event: &[Line], function: usize, rules: &RuleSet) -> Delivered {
    let log_events = event.iter().enumerate().map(|(number, line)| {
        json!({"id": format!("{number:056}"), "timestamp": BEGIN_MS, "message": line.text})
    });
    let text = json!({"messageType": "DATA_MESSAGE", "owner": "123456789012",
        "logGroup": format!("/aws/lambda/f{function}"), "logStream": "2026/09/21/[7]abc",
        "logEvents": log_events.collect::<Vec<_>>()});
    deliver_by(
        event_of(&text.to_string()),
        default_options(),
        IngestPolicy::any_time(),
        rules.clone(),
    )
}

fn a_day(traces: u64) -> Totals {
    let rules = example("failed traces");
    let mut totals = Totals::default();
    for (function, invocations) in invocations(traces).iter().enumerate() {
        let ids = invocations.iter().enumerate();
        let ids: HashMap<&str, usize> =
            ids.map(|(number, invocation)| (invocation.request_id.as_str(), number)).collect();
        let mut rest = invocations.iter().enumerate().flat_map(|(number, of)| lines(number, of));
        loop {
            let length = 50 + random(totals.events as u64, 11) as usize % 500;
            let event: Vec<Line> = rest.by_ref().take(length).collect();
            if event.is_empty() {
                break;
            }
            let before = forward(&event, function, &RuleSet::default());
            let after = forward(&event, function, &rules);
            let stored = stored(&after, &ids);
            assert_eq!(stored, expected(&event, invocations), "event {}", totals.events);
            assert_eq!(before.metrics().count(), after.metrics().count(), "no sampled metrics");
            totals.add(&before, &after);
            totals.note_missing(&event, &stored, invocations);
        }
    }
    totals
}

impl Totals {
    fn add(&mut self, before: &Delivered, after: &Delivered) {
        self.events += 1;
        self.bytes_before += before.report.bytes_sent;
        self.bytes_after += after.report.bytes_sent;
        self.spans_before += before.spans().count();
        self.spans_after += after.spans().count();
        self.spans_weighted += weighted(after.spans().map(|span| &span.attributes));
        self.records_before += before.records().count();
        self.records_after += after.records().count();
        self.records_weighted += weighted(after.records().map(|record| &record.attributes));
    }

    fn note_missing(
        &mut self,
        event: &[Line],
        stored: &BTreeMap<usize, usize>,
        invocations: &[PlannedInvocation],
    ) {
        let mut given: BTreeMap<usize, usize> = BTreeMap::new();
        for line in event {
            *given.entry(line.invocation).or_default() += line.items;
        }
        for (number, items) in given {
            let PlannedInvocation { trace, fails, .. } = &invocations[number];
            let missing = items - stored.get(&number).copied().unwrap_or_default();
            let of_trace = self.missing.entry(*trace).or_default();
            match fails {
                true => of_trace.of_failed_invocation += missing,
                false => of_trace.of_other_invocations += missing,
            }
        }
    }
}

/// What is kept of a day is what the rules say for each event; sums by the adjusted count are right.
#[test]
#[expect(clippy::disallowed_methods, reason = "tells this process how long the day is")]
fn a_generated_day_keeps_each_failed_trace_of_an_event_whole() {
    let traces = std::env::var("DAY_TRACES").ok().and_then(|traces| traces.parse().ok());
    let traces = traces.unwrap_or(FEW_TRACES);
    let failed: BTreeSet<u64> = invocations(traces)
        .iter()
        .flatten()
        .filter(|invocation| invocation.fails)
        .map(|invocation| invocation.trace)
        .collect();
    let totals = a_day(traces);
    let missing = |trace: &&u64| totals.missing[*trace];
    let lacks_own = |trace: &&u64| missing(trace).of_failed_invocation > 0;
    let lacks_other = |trace: &&u64| missing(trace).of_other_invocations > 0;
    let own = failed.iter().filter(lacks_own).count();
    let other = failed.iter().filter(lacks_other).count();
    println!("{traces} traces in {} events; {} traces failed", totals.events, failed.len());
    println!("{own} lack a part of the failed invocation, {other} a part of another invocation");
    println!("bytes {} -> {}", totals.bytes_before, totals.bytes_after);
    println!(
        "spans {} -> {}, weighted {:.0}",
        totals.spans_before, totals.spans_after, totals.spans_weighted
    );
    println!(
        "records {} -> {}, weighted {:.0}",
        totals.records_before, totals.records_after, totals.records_weighted
    );
    assert!(!failed.is_empty() && own < failed.len());
}
