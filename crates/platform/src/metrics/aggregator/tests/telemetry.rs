//! Telemetry API events: ownership of metrics, and failures without a text line.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use expect_test::expect;

use super::*;
use crate::read::telemetry::{TelemetryRecord, parse_batch};

/// The Telemetry API events of one invocation without its report.
const TELEMETRY: [&str; 2] = [
    r#"[{"type":"platform.start","record":{"requestId":"r"}},
        {"type":"platform.runtimeDone","record":{"requestId":"r","status":"success","spans":[{"name":"responseLatency","durationMs":20},{"name":"responseDuration","durationMs":1},{"name":"runtimeOverhead","durationMs":2},{"name":"invented","durationMs":9}],"metrics":{"durationMs":23,"producedBytes":70}}},
        {"type":"platform.logsDropped","record":{"droppedRecords":123,"droppedBytes":9}}]"#,
    r#"[{"type":"platform.report","record":{"requestId":"r","status":"success","spans":[{"name":"extensionOverhead","durationMs":4}],"metrics":{"durationMs":27,"billedDurationMs":27,"memorySizeMB":128,"maxMemoryUsedMB":64}}}]"#,
];

fn metrics_of_telemetry(owner: Owner, batches: &[&str]) -> String {
    let mut aggregator = Aggregator::default().with_owner(owner);
    let mut text = String::new();
    for body in batches {
        for event in parse_batch(body).events {
            let TelemetryRecord::Platform(event) = event.record else { panic!("a line") };
            aggregator.add(&event, T0);
        }
        text.push_str(&render::points(&aggregator.take()));
        text.push_str("--\n");
    }
    text + &render::points(&aggregator.finish_chunk().0)
}

#[test]
fn each_metric_belongs_to_one_owner() {
    expect![[r#"
        aws.lambda.logs_dropped [{record}] 123
        aws.lambda.response_latency [s] n=1 sum=0.02000 min=0.02000 max=0.02000
        aws.lambda.response_duration [s] n=1 sum=0.00100 min=0.00100 max=0.00100
        aws.lambda.runtime_overhead [s] n=1 sum=0.00200 min=0.00200 max=0.00200
        aws.lambda.produced_bytes [By] n=1 sum=70.00000 min=70.00000 max=70.00000
        --
        aws.lambda.extension_overhead [s] n=1 sum=0.00400 min=0.00400 max=0.00400
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Extension, &TELEMETRY));
    expect![[r#"
        --
        aws.lambda.invocations [{invocation}] 1
        faas.invocations [{invocation}] 1
        faas.invoke_duration [s] n=1 sum=0.02700 min=0.02700 max=0.02700
        aws.lambda.billed_duration [s] n=1 sum=0.02700 min=0.02700 max=0.02700
        aws.lambda.billed_gb_seconds [GiBy.s] n=1 sum=0.00337 min=0.00337 max=0.00337
        faas.mem_usage [By] n=1 sum=67108864.00000 min=67108864.00000 max=67108864.00000
        aws.lambda.memory_utilization [1] n=1 sum=0.50000 min=0.50000 max=0.50000
        aws.lambda.memory_limit [By] 134217728
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Forwarder, &TELEMETRY));
    let lines = |owner| {
        let text = metrics_of_telemetry(owner, &TELEMETRY).replace("--\n", "");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut both = [lines(Owner::Forwarder), lines(Owner::Extension)].concat();
    both.sort();
    assert_eq!(lines(Owner::Sole), both);
}

#[test]
fn a_failed_runtime_is_counted_with_its_later_report() {
    let done = r#"[{"type":"platform.runtimeDone","record":{"requestId":"r","status":"timeout"}}]"#;
    let report = r#"[{"type":"platform.report","record":{"requestId":"r","status":"timeout"}}]"#;
    expect![[r#"
        --
        --
        aws.lambda.invocations [{invocation}] 1
        faas.timeouts [{timeout}] 1
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Sole, &[done, "[]", report]));
    expect![[r#"
        --
        faas.timeouts [{timeout}] 1
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Sole, &[done]));
    // The report will arrive in CloudWatch, perhaps in another delivery.
    expect![[r#"
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Forwarder, &[done]));
}

#[test]
fn a_fault_counts_as_an_error_of_its_invocation() {
    let fault = r#"[{"type":"platform.fault","record":"RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Process exited before completing request"}]"#;
    let report = r#"[{"type":"platform.report","record":{"requestId":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11"}}]"#;
    expect![[r#"
        --
        aws.lambda.invocations [{invocation}] 1
        faas.errors [{error}] 1 error.type=Runtime.ExitError
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Sole, &[fault, report]));
}

#[test]
fn an_out_of_memory_fault_counts_as_one_error() {
    let fault = r#"[{"type":"platform.fault","record":"RequestId: 8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n"}]"#;
    let report = r#"[{"type":"platform.report","record":{"requestId":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11"}}]"#;
    expect![[r#"
        aws.lambda.out_of_memory [{error}] 1
        --
        aws.lambda.invocations [{invocation}] 1
        faas.errors [{error}] 1 error.type=Runtime.OutOfMemory
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Sole, &[fault, report]));
}

#[test]
fn managed_instances_report_response_metrics() {
    let report = r#"[{"type":"platform.report","record":{"requestId":"r","status":"success","metrics":{"durationMs":3.5},"spans":[{"name":"responseLatency","durationMs":3},{"name":"responseDuration","durationMs":0.5}]}}]"#;
    expect![[r#"
        aws.lambda.invocations [{invocation}] 1
        faas.invocations [{invocation}] 1
        faas.invoke_duration [s] n=1 sum=0.00350 min=0.00350 max=0.00350
        aws.lambda.response_latency [s] n=1 sum=0.00300 min=0.00300 max=0.00300
        aws.lambda.response_duration [s] n=1 sum=0.00050 min=0.00050 max=0.00050
        --
    "#]]
    .assert_eq(&metrics_of_telemetry(Owner::Sole, &[report]));
}
