//! What the extension receives: OTLP and X-Ray's documents from functions, and the events of Lambda's Telemetry API.

use super::fields;
use platform::{
    Aggregator, Converter, Identity, Invocations, LogEventRef, LogSource, Names, PlatformOptions,
    Shape, TelemetryRecord, parse_batch,
};
use wire::SignalKind;

/// Path, content type and content encoding, and the body of a request.
pub fn otlp_http(data: &[u8]) {
    let ([path, content_type, encoding], body) = fields(data);
    read(path, content_type, encoding, false, body);
}

/// Path, content type and gRPC encoding, and the message of a call.
pub fn otlp_grpc(data: &[u8]) {
    let ([path, content_type, encoding], body) = fields(data);
    read(path, content_type, encoding, true, body);
}

fn read(path: &str, content_type: &str, encoding: &str, is_grpc: bool, body: &[u8]) {
    const MAX_BYTES: usize = 1 << 20;
    let kind =
        SignalKind::ALL.into_iter().find(|kind| kind.path() == path).unwrap_or(SignalKind::Logs);
    match extension::read_body(kind, content_type, encoding, is_grpc, body.to_vec(), MAX_BYTES) {
        Ok(request) => {
            assert_eq!(request.kind(), kind);
            super::otlp::check_limits(&request, MAX_BYTES);
        }
        Err(refusal) => assert!(refusal.to_string().len() < 1_000, "{refusal}"),
    }
}

/// A datagram for X-Ray's daemon.
pub fn xray(data: &[u8]) {
    match extension::read_datagram(data, 1) {
        Ok(requests) => {
            for request in requests {
                super::otlp::check_limits(&request, 1 << 20);
            }
        }
        Err(malformed) => assert!(malformed.to_string().len() < 1_000, "{malformed}"),
    }
}

/// A body of the Telemetry API, and what the extension makes of its events.
pub fn telemetry(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let batch = parse_batch(&text);
    let options = PlatformOptions {
        shape: Shape::default(),
        names: Names::default(),
        platform_logs_all: true,
    };
    let source =
        LogSource { log_group: "/aws/lambda/orders", log_stream: "s", account: "1", region: None };
    let mut aggregator = Aggregator::new(options.shape, options.names);
    let mut invocations = Invocations::default();
    let mut converter = Converter::new(Identity::of(&source), options, 1);
    for event in &batch.events {
        assert!(text.contains(event.text));
        let time = event.time_unix_nano.unwrap_or(1);
        let of = |message| LogEventRef { id: "", time_ms: 1, message };
        match &event.record {
            TelemetryRecord::Platform(record) => {
                aggregator.add(&mut invocations, record, time);
                converter.convert_platform_event(&of(event.text), (**record).clone(), true);
            }
            TelemetryRecord::Line { message, .. } => converter.convert_log_event(&of(message)),
        }
    }
    drop((aggregator.take(&mut invocations), converter.finish()));
}
