//! Tests of the table of invocations by topic, with shared helpers in this file.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "times of the tests are small"
)]

mod identity;
mod init;
mod phases;
mod status;
mod table;

use expect_test::Expect;

use super::*;
use crate::options::{SpanEnd, SpanMapping};
use crate::read::telemetry::{self, TelemetryRecord};
use crate::render;

/// 2022-10-21T14:05:03Z.
const ZERO: u64 = 1_666_361_103_000_000_000;

const TRACING: &str = r#""tracing":{"spanId":"24cd7d670fa455f0","type":"X-Amzn-Trace-Id","value":"Root=1-6352a70e-1e2c502e358361800241fd45;Parent=35465b3a9e2f7c6a;Sampled=0"}"#;

fn options(mapping: SpanMapping, end: SpanEnd) -> SpanOptions {
    SpanOptions { mapping, end, function_name: String::from("orders"), ..SpanOptions::default() }
}

/// Adds events: seconds since `ZERO`, type, and fields of the record, in which `{t}` stands for the tracing.
fn feed(invocations: &mut Invocations, events: &[(f64, &str, &str)]) {
    for (seconds, kind, record) in events {
        let time = ZERO.saturating_add_signed((seconds * 1e3).round() as i64 * 1_000_000);
        let json = format!(
            r#"{{"time":"{}","type":"platform.{kind}","record":{{{}}}}}"#,
            wire::timestamp::rfc3339_millis(time),
            record.replace("{t}", TRACING)
        );
        let event = telemetry::parse(serde_json::from_str(&json).unwrap()).unwrap();
        let TelemetryRecord::Platform(platform) = event.record else { panic!("{json}") };
        invocations.observe(&platform, event.time_unix_nano.unwrap());
    }
}

fn shown(invocations: &mut Invocations) -> String {
    render::spans(&invocations.take_finished(), ZERO)
}

#[expect(clippy::needless_pass_by_value, reason = "as expect_test's macro gives it")]
fn check(options: SpanOptions, events: &[(f64, &str, &str)], expected: Expect) {
    let mut invocations = Invocations::new(options);
    feed(&mut invocations, events);
    expected.assert_eq(&shown(&mut invocations));
}

/// The events of a cold invocation, without its report.
const COLD: &[(f64, &str, &str)] = &[
    (
        -0.6,
        "initStart",
        r#""initializationType":"on-demand","phase":"init","runtimeVersion":"nodejs-14.v3","runtimeVersionArn":"arn:rv","functionVersion":"7""#,
    ),
    (
        -0.1,
        "initRuntimeDone",
        r#""initializationType":"on-demand","phase":"init","status":"success","spans":[{"name":"boot","start":"2022-10-21T14:05:02.500Z","durationMs":100}]"#,
    ),
    (
        -0.05,
        "initReport",
        r#""initializationType":"on-demand","phase":"init","metrics":{"durationMs":549.04}"#,
    ),
    (0.165, "start", r#""requestId":"r1","version":"7",{t}"#),
    (
        2.764,
        "runtimeDone",
        r#""requestId":"r1","status":"success",{t},"spans":[{"name":"responseLatency","start":"2022-10-21T14:05:03.165Z","durationMs":2598},{"name":"responseDuration","start":"2022-10-21T14:05:05:763Z","durationMs":0},{"name":"runtimeOverhead","start":2598.5,"durationMs":0.5}],"metrics":{"durationMs":2599,"producedBytes":8}"#,
    ),
];
const REPORT: (f64, &str, &str) = (
    2.766,
    "report",
    r#""requestId":"r1","status":"success",{t},"spans":[{"name":"extensionOverhead","start":"2022-10-21T14:05:05.764Z","durationMs":1.9}],"metrics":{"durationMs":2599.4,"billedDurationMs":2600,"memorySizeMB":128,"maxMemoryUsedMB":94,"initDurationMs":549.04}"#,
);

const WARM: &[(f64, &str, &str)] = &[
    (1.0, "start", r#""requestId":"r1""#),
    (1.5, "runtimeDone", r#""requestId":"r1","status":"success""#),
];
