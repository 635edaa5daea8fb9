use proptest::prelude::*;

use super::*;
use crate::attributes::attribute;
use crate::read::fields::MAX_KEYS;
use crate::render;

fn attributes(attributes: Vec<(Cow<'_, str>, JsonValue<'_>)>) -> String {
    let pairs = attributes.into_iter().map(|(key, value)| {
        let value = match value {
            JsonValue::Text(text) => Any::StringValue(text.into_owned()),
            JsonValue::Other(value) => value,
        };
        attribute(&key, value)
    });
    render::attributes(&pairs.collect::<Vec<_>>())
}

/// Describes the result of a line: the record's fields, then the attributes.
fn show(line: &str) -> String {
    let Some(json) = JsonLine::parse(line) else { return String::from("-") };
    let mut text: Vec<String> = [
        ("level", json.severity.map(|severity| severity.text.into_owned())),
        ("body", json.message.map(Cow::into_owned)),
        ("request", json.request_id),
        ("xray", json.xray_trace_id),
        ("trace", Some(wire::ids::to_hex(&json.trace_id)).filter(|id| !id.is_empty())),
        ("span", Some(wire::ids::to_hex(&json.span_id)).filter(|id| !id.is_empty())),
    ]
    .into_iter()
    .filter_map(|(key, word)| Some(format!("{key}:{}", word?)))
    .collect();
    if !json.attributes.is_empty() {
        text.push(attributes(json.attributes));
    }
    text.join(" ")
}

#[track_caller]
fn check(line: &str, expected: &str) {
    assert_eq!(show(line), expected, "{line}");
}

const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const XRAY: &str = "1-5759e988-bd862e3fe1be46a994272793";

#[test]
fn json_lines_of_common_loggers_are_parsed() {
    // Python's structlog and loguru.
    check(
        r#"{"order":7,"event":"declined","level":"error","timestamp":"2026-09-21T14:13:20.123Z"}"#,
        "level:ERROR body:declined order=7 timestamp=2026-09-21T14:13:20.123Z",
    );
    check(
        r#"{"text":"… low\n","record":{"level":{"icon":"!","name":"WARNING","no":30},"message":"low","extra":{"order":7}}}"#,
        "level:WARN body:low text=… low\n record={level={icon=! name=WARNING no=30} message=low extra={order=7}}",
    );
    check(r#"{"event":"order","level":"info","msg":"x"}"#, "level:INFO body:x event=order");
    check(r#"{"level":"info","event":{"id":7}}"#, "level:INFO event={id=7}");
    check(r#"{"event":"order","n":1}"#, "n=1 event=order");
    check(r#"{"record":{"level":"low","message":5}}"#, "record={level=low message=5}");
    check(
        &format!(
            r#"{{"timestamp":"2026-09-21T14:13:20.123Z","level":"INFO","requestId":"{ID}","message":"order 42"}}"#
        ),
        &format!("level:INFO body:order 42 request:{ID} timestamp=2026-09-21T14:13:20.123Z"),
    );
    check(
        &format!(
            r#"{{"level":"WARNING","location":"handler:10","message":"low","service":"orders","cold_start":true,"function_memory_size":128,"function_request_id":"{ID}","xray_trace_id":"{XRAY}"}}"#
        ),
        &format!(
            "level:WARN body:low request:{ID} xray:{XRAY} location=handler:10 service=orders cold_start=true function_memory_size=128"
        ),
    );
    check(
        r#"{"level":50,"time":1790000000123,"pid":8,"msg":"db down"}"#,
        "level:ERROR body:db down time=1790000000123 pid=8",
    );
    check(
        &format!(
            r#"{{"level":"INFO","fields":{{"message":"order","n":1}},"span":{{"requestId":"{ID}","xrayTraceId":"Root={XRAY};Parent=53995c3f42cd8ad8;Sampled=1","name":"Lambda runtime invoke"}}}}"#
        ),
        &format!(
            "level:INFO body:order request:{ID} xray:{XRAY} fields={{message=order n=1}} span={{requestId={ID} xrayTraceId=Root={XRAY};Parent=53995c3f42cd8ad8;Sampled=1 name=Lambda runtime invoke}}"
        ),
    );
    check(
        &format!(
            r#"{{"severity":"error","otelTraceID":"{TRACE}","otelSpanID":"b7ad6b7169203331","message":"x"}}"#
        ),
        &format!("level:ERROR body:x trace:{TRACE} span:b7ad6b7169203331"),
    );
    check(
        &format!(r#"{{"traceId":"Root={XRAY};Sampled=0","message":"x"}}"#),
        &format!("body:x xray:{XRAY}"),
    );
    check(
        r#"{"level":"ERROR","errorMessage":"no","errorType":"ValueError","stackTrace":["a","b"]}"#,
        "level:ERROR body:no errorMessage=no errorType=ValueError stackTrace=[a,b]",
    );
    // Python's `logger.exception("failed")`, and Node's `console.error(error)`.
    check(
        r#"{"level":"ERROR","errorMessage":"no","errorType":"ValueError","message":"failed"}"#,
        "level:ERROR body:failed errorMessage=no errorType=ValueError",
    );
    check(
        r#"{"level":"ERROR","message":{"errorType":"TypeError","errorMessage":"no \"x\"","stackTrace":["a"]}}"#,
        r#"level:ERROR body:no "x" message={errorType=TypeError errorMessage=no "x" stackTrace=[a]}"#,
    );
    check(r#"{"message":{"errorMessage":7}}"#, "message={errorMessage=7}");
    check(
        r#"{"errorMessage":"first","message":{"errorMessage":"b"}}"#,
        "body:first errorMessage=first message={errorMessage=b}",
    );
}

#[test]
fn powertools_lines_are_parsed_in_every_language() {
    // Python, TypeScript, Java: snake case. The order of the keys differs.
    check(
        &format!(
            r#"{{"cold_start":true,"function_arn":"arn:aws:lambda:eu-west-1:123456789012:function:orders","function_memory_size":"128","function_name":"orders","function_request_id":"{ID}","level":"INFO","message":"order","sampling_rate":0,"service":"orders","timestamp":"2026-09-21T14:13:20.123Z","xray_trace_id":"{XRAY}"}}"#
        ),
        &format!(
            "level:INFO body:order request:{ID} xray:{XRAY} cold_start=true function_arn=arn:aws:lambda:eu-west-1:123456789012:function:orders function_memory_size=128 function_name=orders sampling_rate=0 service=orders timestamp=2026-09-21T14:13:20.123Z"
        ),
    );
    // .NET in its two other cases.
    check(
        &format!(
            r#"{{"coldStart":true,"xrayTraceId":"{XRAY}","functionRequestId":"{ID}","level":"Information","service":"orders","name":"Logger","message":"order"}}"#
        ),
        &format!(
            "level:INFO body:order request:{ID} xray:{XRAY} coldStart=true service=orders name=Logger"
        ),
    );
    check(
        &format!(
            r#"{{"ColdStart":true,"XrayTraceId":"{XRAY}","FunctionRequestId":"{ID}","Level":"Warning","Service":"orders","Message":"order"}}"#
        ),
        &format!("level:WARN body:order request:{ID} xray:{XRAY} ColdStart=true Service=orders"),
    );
    // An exception.
    check(
        r#"{"level":"ERROR","location":"handler:10","message":"failed","service":"orders","exception":"Traceback …","exception_name":"ValueError","correlation_id":"c-1"}"#,
        "level:ERROR body:failed location=handler:10 service=orders exception=Traceback … exception_name=ValueError correlation_id=c-1",
    );
}

#[test]
fn json_lines_of_lambda_runtimes_are_parsed() {
    check(
        &format!(
            r#"{{"level":"WARN","fields":{{"message":"slow","took_ms":12}},"target":"orders","spans":[{{"requestId":"{ID}","xrayTraceId":"Root={XRAY};Sampled=0","name":"Lambda runtime invoke"}},{{"requestId":"another","name":"inner"}}]}}"#
        ),
        &format!(
            "level:WARN body:slow request:{ID} xray:{XRAY} fields={{message=slow took_ms=12}} target=orders spans=[{{requestId={ID} xrayTraceId=Root={XRAY};Sampled=0 name=Lambda runtime invoke}},{{requestId=another name=inner}}]"
        ),
    );
    // Lambda's JSON log format, as the runtimes of Java and .NET write it.
    check(
        &format!(
            r#"{{"timestamp":"2026-09-21T14:13:20.123Z","level":"INFO","AWSRequestId":"{ID}","message":"order"}}"#
        ),
        &format!("level:INFO body:order request:{ID} timestamp=2026-09-21T14:13:20.123Z"),
    );
}

#[test]
fn malformed_known_fields_stay_attributes() {
    check(r#"{"trace_id":"123"}"#, "trace_id=123");
    check(
        r#"{"trace_id":"00000000000000000000000000000000"}"#,
        "trace_id=00000000000000000000000000000000",
    );
    check(
        r#"{"trace_id":"0af7651916cd43dd8448eb211c80319g"}"#,
        "trace_id=0af7651916cd43dd8448eb211c80319g",
    );
    check(
        r#"{"trace_id":"0af7651916cd43dd8448eb211c8031é"}"#,
        "trace_id=0af7651916cd43dd8448eb211c8031é",
    );
    check(r#"{"trace_id":7}"#, "trace_id=7");
    check(r#"{"span_id":"b7ad6b7169203331"}"#, "span_id=b7ad6b7169203331");
    check(r#"{"requestId":"my-own"}"#, "requestId=my-own");
    check(
        r#"{"request_id":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11"}"#,
        "request_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11",
    );
    check(r#"{"message":{"a":1}}"#, "message={a=1}");
    check(r#"{"message":"a","msg":"b"}"#, "body:a msg=b");
    check(r#"{"level":"INFO","severity":"ERROR"}"#, "level:INFO severity=ERROR");
    check(r#"{"level":null}"#, "");
    check(r#"{"level":7}"#, "level=7");
    check(r#"{"level":"audit"}"#, "level:AUDIT");
    check(r#"{"level":""}"#, "level=");
    check(r#"{"level":"  Error "}"#, "level:ERROR");
    check(r#"{"level":" audit "}"#, "level:AUDIT");
    // Each key once: a span id without a trace stays an attribute.
    check(
        r#"{"span_id":[7],"spanId":"EEE19B7EC3C1B174"}"#,
        r#"span_id=[7] lambda_otlp.rest={"span_id":"EEE19B7EC3C1B174"}"#,
    );
    // Node's winston with `format.colorize()`.
    check(r#"{"level":"\u001b[31merror\u001b[39m"}"#, "level:ERROR");
    check(r#"{"level":"\u001b[1;34maudit\u001b[0m"}"#, "level:AUDIT");
    // Not a level. Rules redact attributes, but no severity.
    check(r#"{"level":"bob@example.com"}"#, "level=bob@example.com");
    check(r#"{"level":"gold customer"}"#, "level=gold customer");
    let long = "x".repeat(33);
    check(&format!(r#"{{"level":"{long}"}}"#), &format!("level={long}"));
    // Only the first trace id counts.
    let other = "1".repeat(32);
    check(
        &format!(r#"{{"trace_id":"{TRACE}","traceId":"{other}"}}"#),
        &format!("trace:{TRACE} traceId={other}"),
    );
    check(r#"{"xray_trace_id":"1-2-3"}"#, "xray_trace_id=1-2-3");
}

#[test]
fn json_values_keep_their_types() {
    check(
        r#"{"s":"ü","i":-3,"f":2.5,"b":false,"n":null,"a":[1,null,"x"],"o":{"k":{"d":1},"n":null}}"#,
        "s=ü i=-3 f=2.5 b=false a=[1,none,x] o={k={d=1}}",
    );
    check(r#"{"big":9223372036854775807}"#, "big=9223372036854775807");
    check(r#"{"bigger":9223372036854775808}"#, "bigger=9223372036854775808");
    check(r#"{"least":-9223372036854775808}"#, "least=-9223372036854775808");
    let digits = "123456789012345678901234567890";
    check(
        &format!(r#"{{"id":{digits},"within":{{"ids":[-{digits}]}}}}"#),
        &format!("id={digits} within={{ids=[-{digits}]}}"),
    );
    check(r#"{"far":1e999,"within":[1e999,1e3]}"#, "far=1e999 within=[1e999,1000.0]");
    check(r#"{"halves":["\ud800"]}"#, r#"halves=["\ud800"]"#);
}

#[test]
fn repeated_keys_keep_all_their_values() {
    check(r#"{"o":{"a":1,"a":2}}"#, r#"o={"a":1,"a":2}"#);
    check(r#"{"l":[{"k":1,"o":{"a":1,"b":0,"a":2}}]}"#, r#"l=[{k=1 o={"a":1,"b":0,"a":2}}]"#);
}

#[test]
fn the_time_of_a_json_line_is_parsed() {
    let check = |line: &str, expected: Option<u64>| {
        assert_eq!(JsonLine::parse(line).unwrap().time_unix_nano, expected, "{line}");
    };
    let millis = Some(1_790_000_000_123_000_000);
    check(r#"{"timestamp":"2026-09-21T14:13:20.123Z"}"#, millis);
    check(r#"{"@timestamp":"2026-09-21 16:13:20,123+0200"}"#, millis);
    check(r#"{"time":1790000000123}"#, millis);
    check(r#"{"ts":1790000000.123}"#, millis);
    check(
        r#"{"time":"noon","@t":"2026-09-21T14:13:20.1234567Z"}"#,
        Some(1_790_000_000_123_456_700),
    );
    for none in [
        r#"{"time":-1}"#,
        r#"{"time":0}"#,
        r#"{"time":1e300}"#,
        r#"{"time":null}"#,
        r#"{"time":{}}"#,
    ] {
        check(none, None);
    }
}

#[test]
fn excess_and_reserved_keys_become_one_json_string() {
    let fields: Vec<String> =
        (0..MAX_ATTRIBUTES + 2).map(|n| format!(r#""k{n}": [{n}]"#)).collect();
    let line = format!("{{{}}}", fields.join(","));
    let json = JsonLine::parse(&line).unwrap();
    assert_eq!(json.attributes.len(), MAX_ATTRIBUTES + 1);
    let rest = attributes(json.attributes.into_iter().skip(MAX_ATTRIBUTES).collect());
    assert_eq!(rest, r#"lambda_otlp.rest={"k32":[32],"k33":[33]}"#);

    check(r#"{"a":1,"a":2}"#, r#"a=1 lambda_otlp.rest={"a":2}"#);
    check(r#"{"":1}"#, r#"lambda_otlp.rest={"":1}"#);
    check(r#"{"log.record.uid":"forged"}"#, r#"lambda_otlp.rest={"log.record.uid":"forged"}"#);
    check(
        r#"{"faas.invocation_id":"forged"}"#,
        r#"lambda_otlp.rest={"faas.invocation_id":"forged"}"#,
    );
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    check(&format!(r#"{{"{long}":1}}"#), &format!(r#"lambda_otlp.rest={{"{long}":1}}"#));
    check(r#"{"a\"b":1,"a\"b":2}"#, r#"a"b=1 lambda_otlp.rest={"a\"b":2}"#);
}

#[test]
fn text_other_than_one_json_object_is_not_parsed() {
    for line in
        ["", "{", "}", "{}x", "[1]", "\"{}\"", "{a}", "{\"a\":1}{\"b\":2}", "{\"a\":}", "{'a':1}"]
    {
        check(line, "-");
    }
    check("{}", "");
    check(" {\"a\":1} \n", "a=1");
    let keys: Vec<String> = (0..=MAX_KEYS).map(|n| format!("\"{n}\":0")).collect();
    check(&format!("{{{}}}", keys.join(",")), "-");
}

#[test]
fn a_large_list_becomes_json_text() {
    let list = |bytes| format!("[{}]", " ".repeat(bytes - "[]".len()));
    let line = |bytes| format!("{{\"a\":{}}}", list(bytes));
    assert_eq!(show(&line(MAX_VALUE_BYTES)), "a=[]");
    assert_eq!(show(&line(MAX_VALUE_BYTES + 1)), format!("a={}", list(MAX_VALUE_BYTES + 1)));
}

#[test]
fn deep_nesting_becomes_json_text() {
    let nested = |depth| format!("{}\"x\"{}", "[".repeat(depth), "]".repeat(depth));
    let line = |depth| format!("{{\"a\":{}}}", nested(depth));
    let typed = |depth| format!("a={}", nested(depth).replace('"', ""));
    assert_eq!(show(&line(MAX_DEPTH)), typed(MAX_DEPTH));
    // Quotes mark values that are JSON text.
    let arrays = ["[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)].join("[\"x\"]");
    assert_eq!(show(&line(MAX_DEPTH + 1)), format!("a={arrays}"));
    assert_eq!(show(&line(100_000)), format!("a={}", nested(100_000)));
    let objects = |depth, x| format!("{}{x}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let typed = objects(MAX_DEPTH, r#"{"a":1}"#).replacen(r#"{"a":"#, "{a=", MAX_DEPTH);
    assert_eq!(
        show(&format!(r#"{{"a":{}}}"#, objects(MAX_DEPTH, r#"{"a":1}"#))),
        format!("a={typed}")
    );
}

proptest! {
    #[test]
    fn parsing_arbitrary_json_lines_never_panics(line in "\\PC*") {
        JsonLine::parse(&line);
        JsonLine::parse(&format!("{{{line}}}"));
    }

    #[test]
    fn parsing_arbitrary_json_values_never_panics(
        key in "(level|message|requestId|traceId|span_id|xray_trace_id|fields|spans|\\PC{0,3})",
        value in "(null|-?[0-9]{1,25}|[0-9]e[0-9]{1,4}|\"[0-9a-f-]{0,36}\"|\"\\\\u[0-9a-f]{4}\"|\\{\"message\":[0-9]\\}|\\[\\{\"requestId\":null\\}\\])",
    ) {
        let key = serde_json::Value::from(key).to_string();
        JsonLine::parse(&format!("{{{key}:{value}}}"));
    }
}

#[test]
fn only_a_valid_arn_names_a_durable_execution() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders:1/durable-execution/n/i";
    assert!(is_durable_execution(arn));
    let too_long = format!("{arn}{}", "x".repeat(500));
    for other in ["orders/durable-execution/n/i", "arn:aws:lambda:::function:orders", &too_long] {
        assert!(!is_durable_execution(other), "{other}");
    }
    assert!(!is_durable_execution(&arn.replace(":function:", ":layer:")));
}

#[test]
fn only_very_large_objects_become_json_strings() {
    for (bytes, is_map) in [(60_000, true), (70_000, false)] {
        let note = "x".repeat(bytes);
        let shown = show(&format!(r#"{{"order":{{"note":"{note}"}}}}"#));
        let map = format!("order={{note={note}}}");
        let string = format!(r#"order={{"note":"{note}"}}"#);
        assert_eq!((shown == map, shown == string), (is_map, !is_map), "{bytes}");
    }
}
