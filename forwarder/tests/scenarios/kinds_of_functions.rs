//! Platform lines of special functions: with tenants, durable, web functions, on managed instances.
//!
//! Sources: Lambda Developer Guide, "Monitoring tenant-isolated functions", "Monitoring durable functions", "System log event
//! schema for Lambda Web Functions", "Telemetry API Event schema reference"; Durable Execution SDK, "Logging".

use crate::support::{body, default_options, deliver_event, incoming, payload};
use expect_test::expect;
use lambda_otlp_forwarder::{Options, PlatformSpans};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use std::fmt::Write as _;

const ID: &str = "a0f40320-b43c-44b3-91bf-d5b5240a1bed";
const NEXT: &str = "b1f40320-b43c-44b3-91bf-d5b5240a1bed";
/// Too long for a length of one byte in protobuf.
const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:orders:7/durable-execution/order-of-everything-that-there-is-in-the-shop-42000042/0d5b8f1e-6a3c-4f0e-9b1d-2c7e8f9a0b1c";

fn with_spans() -> Options {
    let mut options = default_options();
    options.convert.platform_spans = Some(PlatformSpans::default());
    options
}

fn value(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}

fn shown(attributes: &[KeyValue]) -> String {
    let is_shown = |key: &str| {
        ["tenant", "durable", "operationName", "latency", "response", "event.type"]
            .iter()
            .any(|part| key.contains(part))
            || key == "faas.invocation_id"
    };
    let mut shown = String::new();
    for KeyValue { key, value: found, .. } in attributes.iter().filter(|one| is_shown(&one.key)) {
        let text = found.as_ref().and_then(|found| found.value.as_ref()).map(value);
        let text = text.unwrap_or_default().replace(ID, "ID").replace(NEXT, "NEXT");
        write!(shown, " {key}={}", text.replace(ARN, "ARN")).unwrap();
    }
    shown
}

/// The records, spans and metrics of these lines, one per line, with the relevant attributes.
fn converted(messages: &[String], options: Options) -> String {
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    let event = incoming(&payload("/aws/lambda/orders", &messages));
    let delivered = deliver_event(event, options);
    let mut lines = Vec::new();
    for span in delivered.spans() {
        lines.push(format!("span {} |{}", span.name, shown(&span.attributes)));
    }
    for metric in delivered.metrics() {
        let text = format!("{:?}", metric.data);
        assert!(!text.contains("tenant") && !text.contains("durable"), "{text}");
        lines.push(format!("metric {}", metric.name));
    }
    for record in delivered.records() {
        let body: String = body(record).chars().take(12).collect();
        lines.push(format!("{} {body} |{}", record.severity_text, shown(&record.attributes)));
    }
    lines.join("\n")
}

fn all(messages: &[&str]) -> Vec<String> {
    let message =
        |message: &&str| message.replace("NEXT", NEXT).replace("{id}", ID).replace("{arn}", ARN);
    messages.iter().map(message).collect()
}

#[test]
fn the_tenant_id_is_set_on_records_and_spans_only() {
    let json = all(&[
        r#"{"time":"2025-10-13T19:48:06.990Z","type":"platform.start","record":{"requestId":"{id}","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:orders","version":"$LATEST","tenantId":"BlueTenant"}}"#,
        r#"{"timestamp":"2025-10-13T19:48:06.992Z","level":"INFO","requestId":"{id}","tenantId":"BlueTenant","message":"custom log line1"}"#,
        "printed, not logged",
        r#"{"time":"2025-10-13T19:48:07.038Z","type":"platform.report","record":{"requestId":"{id}","tenantId":"BlueTenant","metrics":{"durationMs":45.9,"billedDurationMs":46,"memorySizeMB":128,"maxMemoryUsedMB":31},"status":"success"}}"#,
        r#"{"time":"2025-10-13T19:49:06.990Z","type":"platform.start","record":{"requestId":"NEXT","version":"$LATEST"}}"#,
        "of the next invocation, which has no tenant",
    ]);
    expect![[r#"
        span orders | faas.invocation_id=ID aws.lambda.tenant_id=BlueTenant
        metric aws.lambda.invocations
        metric faas.invocations
        metric faas.invoke_duration
        metric aws.lambda.billed_duration
        metric aws.lambda.billed_gb_seconds
        metric faas.mem_usage
        metric aws.lambda.memory_utilization
        metric aws.lambda.memory_limit
        INFO custom log l | faas.invocation_id=ID aws.lambda.tenant_id=BlueTenant
        INFO printed, not | faas.invocation_id=ID aws.lambda.tenant_id=BlueTenant
        INFO of the next  | faas.invocation_id=NEXT
        INFO {"time":"202 | faas.invocation_id=ID aws.lambda.tenant_id=BlueTenant aws.lambda.event.type=platform.report"#]]
    .assert_eq(&converted(&json, with_spans()));
    let text = all(&[
        "START RequestId: {id} Version: $LATEST TenantId: Blue Tenant\n",
        "printed",
        "END RequestId: {id}\n",
        "REPORT RequestId: {id}\tDuration: 45.90 ms\tBilled Duration: 46 ms\tMemory Size: 128 MB\tMax Memory Used: 31 MB\tTenant ID: Blue Tenant\t\n",
    ]);
    expect![[r"
        span orders | faas.invocation_id=ID aws.lambda.tenant_id=Blue Tenant
        metric aws.lambda.invocations
        metric faas.invocations
        metric faas.invoke_duration
        metric aws.lambda.billed_duration
        metric aws.lambda.billed_gb_seconds
        metric faas.mem_usage
        metric aws.lambda.memory_utilization
        metric aws.lambda.memory_limit
        INFO printed | faas.invocation_id=ID aws.lambda.tenant_id=Blue Tenant
        INFO REPORT Reque | faas.invocation_id=ID aws.lambda.tenant_id=Blue Tenant aws.lambda.event.type=platform.report"]]
    .assert_eq(&converted(&text, with_spans()));
}

#[test]
fn a_tenant_id_outside_lambdas_format_stays_a_plain_field() {
    let lines = all(&[
        r#"{"level":"INFO","tenantId":"a customer of ours","message":"x"}"#,
        r#"{"level":"INFO","function_request_id":"{id}","tenantId":"a customer of ours","message":"x"}"#,
        r#"{"level":"INFO","requestId":"{id}","tenantId":"","message":"x"}"#,
        &r#"{"level":"INFO","requestId":"{id}","tenantId":"LONG","message":"x"}"#
            .replace("LONG", &"l".repeat(257)),
        r#"{"level":"INFO","requestId":"{id}","tenantId":7,"aws.lambda.tenant_id":"forged","message":"x"}"#,
    ]);
    expect![[r"
        INFO x | tenantId=a customer of ours
        INFO x | faas.invocation_id=ID tenantId=a customer of ours
        INFO x | faas.invocation_id=ID tenantId=
        INFO x | faas.invocation_id=ID tenantId=lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll
        INFO x | faas.invocation_id=ID tenantId=7"]]
    .assert_eq(&converted(&lines, default_options()));
}

#[test]
fn records_of_an_invocation_carry_its_durable_execution_arn() {
    let lines = all(&[
        "START RequestId: {id} Version: 7\n",
        "printed before the first line of the SDK's logger",
        r#"{"timestamp":"2026-09-21T14:13:20.110Z","level":"INFO","requestId":"{id}","durableExecutionArn":"{arn}","operationId":"1","operationName":"charge","attempt":1,"message":"charging"}"#,
        // Contradicting ids stay separate.
        r#"{"level":"INFO","requestId":"{id}","durableExecutionArn":"{arn}2","message":"mistaken"}"#,
        "printed behind it",
        "END RequestId: {id}\n",
        "REPORT RequestId: {id}\tDuration: 45.90 ms\tBilled Duration: 46 ms\tMemory Size: 128 MB\tMax Memory Used: 31 MB\t\n",
        // The execution continues in another invocation with its own REPORT line.
        "START RequestId: NEXT Version: 7\n",
        r#"{"timestamp":"2026-09-21T14:13:21.110Z","level":"INFO","requestId":"NEXT","durableExecutionArn":"{arn}","operationName":"ship","message":"shipping"}"#,
        "END RequestId: NEXT\n",
        "REPORT RequestId: NEXT\tDuration: 45.90 ms\tBilled Duration: 46 ms\tMemory Size: 128 MB\tMax Memory Used: 31 MB\t\n",
        r#"{"level":"INFO","durableExecutionArn":"not an ARN","message":"of no invocation"}"#,
        r#"{"level":"INFO","durableExecutionArn":"{arn}","message":"of no invocation"}"#,
    ]);
    expect![[r"
        span orders | faas.invocation_id=ID aws.lambda.durable_execution.arn=ARN
        span orders | faas.invocation_id=NEXT aws.lambda.durable_execution.arn=ARN
        metric aws.lambda.invocations
        metric faas.invocations
        metric faas.invoke_duration
        metric aws.lambda.billed_duration
        metric aws.lambda.billed_gb_seconds
        metric faas.mem_usage
        metric aws.lambda.memory_utilization
        metric aws.lambda.memory_limit
        INFO printed befo | faas.invocation_id=ID aws.lambda.durable_execution.arn=ARN
        INFO charging | faas.invocation_id=ID aws.lambda.durable_execution.arn=ARN operationName=charge
        INFO mistaken | faas.invocation_id=ID aws.lambda.durable_execution.arn=ARN2
        INFO printed behi | faas.invocation_id=ID aws.lambda.durable_execution.arn=ARN
        INFO shipping | faas.invocation_id=NEXT aws.lambda.durable_execution.arn=ARN operationName=ship
        INFO of no invoca | durableExecutionArn=not an ARN
        INFO of no invoca | aws.lambda.durable_execution.arn=ARN
        INFO REPORT Reque | faas.invocation_id=ID aws.lambda.durable_execution.arn=ARN aws.lambda.event.type=platform.report
        INFO REPORT Reque | faas.invocation_id=NEXT aws.lambda.durable_execution.arn=ARN aws.lambda.event.type=platform.report"]]
    .assert_eq(&converted(&lines, with_spans()));
}

#[test]
fn a_log_line_sets_tenant_and_execution_only_for_itself() {
    let lines = all(&[
        "START RequestId: {id} Version: 7\n",
        r#"{"level":"INFO","requestId":"{id}","tenantId":"forged","durableExecutionArn":"arn:aws:lambda:eu-west-1:123456789012:function:payments:7/durable-execution/a/b","message":"said by somebody"}"#,
        r#"{"level":"INFO","requestId":"{id}","durableExecutionArn":"arn:aws:lambda:eu-west-1:999999999999:function:orders:7/durable-execution/a/b","message":"said by somebody"}"#,
        "printed",
    ]);
    expect![[r"
        INFO said by some | faas.invocation_id=ID aws.lambda.tenant_id=forged aws.lambda.durable_execution.arn=arn:aws:lambda:eu-west-1:123456789012:function:payments:7/durable-execution/a/b
        INFO said by some | faas.invocation_id=ID aws.lambda.durable_execution.arn=arn:aws:lambda:eu-west-1:999999999999:function:orders:7/durable-execution/a/b
        INFO printed | faas.invocation_id=ID"]]
    .assert_eq(&converted(&lines, default_options()));
}

#[test]
fn web_function_events_become_log_records_not_invocations() {
    let envelope = |level: &str, kind: &str, record: &str| {
        format!(
            r#"{{"timestamp":"2026-09-21T14:13:20.123Z","level":"{level}","type":"platform.{kind}","region":"eu-west-1","record":{record}}}"#
        )
    };
    let lines = [
        envelope("INFO", "initStart", r#"{"runtimeVersion":"nodejs:24.v1"}"#),
        envelope("INFO", "initReport", r#"{"status":"success","metrics":{"durationMs":812.5}}"#),
        envelope("INFO", "invokeStart", "{}"),
        envelope(
            "DEBUG",
            "requestComplete",
            r#"{"requestId":"w1","status":200,"metrics":{"durationMs":8.5}}"#,
        ),
        "printed".to_owned(),
        envelope("INFO", "invokeSummary", r#"{"metrics":{"durationMs":60000,"requests":42}}"#),
        envelope(
            "WARN",
            "invokeReport",
            r#"{"status":"failure","errorType":"Runtime.ExitError","metrics":{"durationMs":90000}}"#,
        ),
        envelope("INFO", "spinDownStart", "{}"),
        envelope("INFO", "spinDownReport", r#"{"status":"success"}"#),
    ];
    expect![[r#"
        INFO printed |
        INFO {"timestamp" | aws.lambda.event.type=platform.initReport
        INFO {"timestamp" | aws.lambda.event.type=platform.invokeStart
        DEBUG {"timestamp" | faas.invocation_id=w1 aws.lambda.event.type=platform.requestComplete
        INFO {"timestamp" | aws.lambda.event.type=platform.invokeSummary
        ERROR {"timestamp" | aws.lambda.event.type=platform.invokeReport
        INFO {"timestamp" | aws.lambda.event.type=platform.spinDownStart
        INFO {"timestamp" | aws.lambda.event.type=platform.spinDownReport"#]]
    .assert_eq(&converted(&lines, with_spans()));
}

#[test]
fn response_metrics_come_from_the_report_without_extension() {
    let lines = all(&[
        r#"{"time":"2026-09-21T14:13:20.100Z","type":"platform.start","record":{"requestId":"{id}","version":"8"}}"#,
        r#"{"time":"2026-09-21T14:13:20.105Z","type":"platform.start","record":{"requestId":"NEXT","version":"8"}}"#,
        r#"{"time":"2026-09-21T14:13:20.200Z","type":"platform.report","record":{"requestId":"{id}","status":"success","metrics":{"durationMs":100.5},"spans":[{"name":"responseLatency","start":"2026-09-21T14:13:20.100Z","durationMs":99.5},{"name":"responseDuration","start":"2026-09-21T14:13:20.199Z","durationMs":0.5}]}}"#,
        r#"{"time":"2026-09-21T14:13:20.300Z","type":"platform.report","record":{"requestId":"NEXT","status":"success","metrics":{"durationMs":195},"spans":[{"name":"responseLatency","start":"2026-09-21T14:13:20.105Z","durationMs":190}]}}"#,
    ]);
    expect![[r#"
        span orders | faas.invocation_id=ID
        span orders | faas.invocation_id=NEXT
        metric aws.lambda.invocations
        metric faas.invocations
        metric faas.invoke_duration
        metric aws.lambda.response_latency
        metric aws.lambda.response_duration
        INFO {"time":"202 | faas.invocation_id=ID aws.lambda.event.type=platform.report aws.lambda.response_latency_ms=99.5 aws.lambda.response_duration_ms=0.5
        INFO {"time":"202 | faas.invocation_id=NEXT aws.lambda.event.type=platform.report aws.lambda.response_latency_ms=190"#]]
    .assert_eq(&converted(&lines, with_spans()));
    // With the extension, the extension owns these metrics.
    expect![[r#"
        metric aws.lambda.invocations
        metric faas.invocations
        metric faas.invoke_duration
        INFO {"time":"202 | faas.invocation_id=ID aws.lambda.event.type=platform.report aws.lambda.response_latency_ms=99.5 aws.lambda.response_duration_ms=0.5
        INFO {"time":"202 | faas.invocation_id=NEXT aws.lambda.event.type=platform.report aws.lambda.response_latency_ms=190"#]]
    .assert_eq(&converted(&lines, default_options()));
}
