//! The events for the forwarders: deliveries of one log stream by CloudWatch Logs.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use lambda_otlp_bench::{Service, uuid};
use serde_json::json;
use wire::compact::OwnedContext;
use wire::{Envelope, Limits, LineEncoder, LineLimits, read_line};

/// Spans of the invocations, one after the other; three on average.
const SPANS: [u64; 7] = [1, 2, 3, 3, 3, 4, 5];
const START_MS: u64 = 1_790_000_000_000;

pub(crate) struct Event {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The inflated `awslogs.data`.
    pub(crate) inflated_bytes: usize,
    pub(crate) spans: u64,
}

/// Nothing but OTLP lines, as a subscription with a filter for them delivers.
pub(crate) fn otlp_only() -> anyhow::Result<Event> {
    let service = Service::http(0);
    let spans = spans(600).sum();
    Ok(Event { spans, ..event("OTLP only", &service, otlp_lines(&service, 600)?) })
}

/// The same spans in compact lines.
pub(crate) fn compact() -> anyhow::Result<Event> {
    let service = Service::http(0);
    let Service { name, account, stream, region, .. } = &service;
    let names = OwnedContext::of_function(name, region, &format!("/aws/lambda/{name}"), stream);
    let mut encoder = LineEncoder::compact(names.with_account(account), LineLimits::default());
    let mut out = Vec::new();
    for line in otlp_lines(&service, 600)? {
        let reading = read_line(&line, &Limits::default()).context("no OTLP line")?;
        for request in reading.decoded {
            let written = encoder.encode(&Envelope::default(), request, &mut out);
            ensure!(written.lines == 1, "{written:?}");
        }
    }
    let lines = String::from_utf8(out)?.lines().map(str::to_owned).collect();
    Ok(event("compact lines", &service, lines))
}

pub(crate) fn mixed() -> anyhow::Result<Event> {
    const INVOCATIONS: usize = 500;
    let service = Service::http(0);
    let mut random = Rng::with_seed(7);
    let mut lines = Vec::new();
    for (otlp, number) in otlp_lines(&service, INVOCATIONS)?.into_iter().zip(0..) {
        let id = uuid(&mut random);
        let order = random.u64(..10_000_000);
        let mut below = |bound: u64| random.u64(..bound);
        let minute = number / 60 % 60;
        let second = number % 60;
        let milli = below(1000);
        let time = format!("2026-11-20T10:{minute:02}:{second:02}.{milli:03}Z");
        let duration = 20 + below(200);
        let log = |level: &str, text: String| format!("{time}\t{id}\t{level}\t{text}");
        lines.extend([
            format!("START RequestId: {id} Version: $LATEST"),
            log("INFO", format!("loading order {order} for customer {}", below(100_000))),
            log("INFO", "cache miss, reading from the table orders-production".to_owned()),
            json!({"timestamp": time, "level": "INFO", "requestId": id, "message": "order loaded", "order": order,
                "items": below(20), "took_ms": below(50)}).to_string(),
            log("WARN", format!("price of order {order} changed since {}", below(100_000))),
            format!("GET /orders/{order} 200 {duration} ms - {} bytes", below(10_000)),
            otlp,
            format!("END RequestId: {id}"),
            format!(
                "REPORT RequestId: {id}\tDuration: {duration}.{:02} ms\tBilled Duration: {} ms\tMemory Size: 128 MB\tMax Memory Used: {} MB\t",
                below(100), duration + 1, 60 + below(60)
            ),
        ]);
    }
    Ok(Event { spans: spans(INVOCATIONS).sum(), ..event("mixed", &service, lines) })
}

/// Log lines that are nearly the same, and inflate to thirty times the event.
pub(crate) fn thirty_fold() -> Event {
    let service = Service::http(0);
    let mut random = Rng::with_seed(9);
    let text = "retrying the request to the inventory service because the connection was closed by the peer before the \
        response was complete; ".repeat(6);
    let lines = (0..33_000_u64).map(|number| {
        if number % 2 == 0 {
            format!("{text}{:04x}", random.u64(..1 << 16))
        } else {
            json!({"timestamp": "2026-11-20T10:00:00.000Z", "level": "DEBUG", "message": text, "attempt": random.u64(..1000)}).to_string()
        }
    });
    event("inflates 30-fold", &service, lines.collect())
}

fn spans(invocations: usize) -> impl Iterator<Item = u64> {
    SPANS.into_iter().cycle().take(invocations)
}

fn otlp_lines(service: &Service, invocations: usize) -> anyhow::Result<Vec<String>> {
    let spans = spans(invocations).zip(0..);
    service.lines(spans.map(|(spans, number)| service.invocation(number, spans)))
}

/// CloudWatch Logs writes the keys in this order: who knows the envelope before the log events need not keep them.
fn event(name: &'static str, service: &Service, lines: Vec<String>) -> Event {
    let log_event = |(line, number): (String, u64)| {
        let timestamp = START_MS + number * 7;
        let message = json!(format!("{line}\n"));
        // CloudWatch's ids: 56 digits that grow with time.
        let id = format!("390000{timestamp:018}{:032}", 1_000_003 * u128::from(number));
        format!(r#"{{"id":"{id}","timestamp":{timestamp},"message":{message}}}"#)
    };
    let log_events: Vec<String> = lines.into_iter().zip(0..).map(log_event).collect();
    let Service { name: function, account, stream, .. } = service;
    let delivery = format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"{account}","logGroup":"/aws/lambda/{function}","logStream":"{stream}","subscriptionFilters":["lambda-otlp"],"logEvents":[{}]}}"#,
        log_events.join(",")
    );
    let data = STANDARD.encode(wire::gzip::compress(6, delivery.as_bytes()));
    let bytes = json!({"awslogs": {"data": data}}).to_string().into_bytes();
    Event { name, bytes, inflated_bytes: delivery.len(), spans: 0 }
}
