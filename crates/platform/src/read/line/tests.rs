use super::*;
use crate::attributes::attribute;
use crate::read::fields::MAX_KEYS;
use crate::render;

fn attributes(attributes: Vec<(Cow<'_, str>, FieldValue<'_>)>) -> String {
    let pairs = attributes.into_iter().map(|(key, value)| {
        let value = match value {
            FieldValue::Text(text) => Any::StringValue(text.into_owned()),
            FieldValue::Other(value) => value,
        };
        attribute(&key, value)
    });
    render::attributes(&pairs.collect::<Vec<_>>())
}

/// Describes the result of a line: the record's fields, then the attributes.
fn show(line: &str) -> String {
    let read = function_line(line, true);
    if read.json.is_none_or(|json| object_fields(json).is_none()) {
        return String::from("-");
    }
    let mut text: Vec<String> = [
        ("level", read.severity.map(|severity| severity.text.to_owned())),
        ("body", read.message.map(Cow::into_owned)),
        ("request", read.request_id.map(Cow::into_owned)),
        ("xray", read.xray_trace_id),
        ("trace", read.trace.map(|ids| wire::ids::to_hex(&ids.trace_id))),
        ("span", read.trace.and_then(|ids| ids.span_id).map(|id| wire::ids::to_hex(&id))),
    ]
    .into_iter()
    .filter_map(|(key, word)| Some(format!("{key}:{}", word?)))
    .collect();
    if !read.attributes.is_empty() {
        text.push(attributes(read.attributes));
    }
    text.join(" ")
}

#[track_caller]
fn check(line: &str, expected: &str) {
    assert_eq!(show(line), expected, "{line}");
}

/// Checks a table of lines, with `{ID}`, `{TRACE}` and `{XRAY}` filled in.
#[track_caller]
fn check_all(table: &str) {
    let table = table.replace("{ID}", ID).replace("{TRACE}", TRACE).replace("{XRAY}", XRAY);
    for (line, expected) in render::cases(&table) {
        check(line, expected);
    }
}

const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const XRAY: &str = "1-5759e988-bd862e3fe1be46a994272793";

#[test]
fn keys_of_data_are_no_message() {
    check_all(
        r#"
        {"event":"order","level":"info","msg":"x"} => level:INFO body:x event=order
        {"level":"info","event":{"id":7}} => level:INFO event={id=7}
        {"event":"order","n":1} => event=order n=1
        {"record":{"level":"low","message":5}} => record={level=low message=5}
        {"traceId":"Root={XRAY};Sampled=0","message":"x"} => body:x xray:{XRAY}
        {"message":{"errorMessage":7}} => message={errorMessage=7}
        {"errorMessage":"first","message":{"errorMessage":"b"}}
            => body:first errorMessage=first message={errorMessage=b}
        {"level":50,"player":"x"} => level=50 player=x
        "#,
    );
}

#[test]
fn malformed_known_fields_stay_attributes() {
    check_all(
        r#"
        {"trace_id":"123"} => trace_id=123
        {"trace_id":"00000000000000000000000000000000"} => trace_id=00000000000000000000000000000000
        {"trace_id":"0af7651916cd43dd8448eb211c80319g"} => trace_id=0af7651916cd43dd8448eb211c80319g
        {"trace_id":"0af7651916cd43dd8448eb211c8031é"} => trace_id=0af7651916cd43dd8448eb211c8031é
        {"trace_id":7} => trace_id=7
        {"span_id":"b7ad6b7169203331"} => span_id=b7ad6b7169203331
        {"requestId":"my-own"} => requestId=my-own
        {"request_id":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11"}
            => request_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11
        {"message":{"a":1}} => message={a=1}
        {"message":"a","msg":"b"} => body:a msg=b
        {"level":"INFO","severity":"ERROR"} => level:INFO severity=ERROR
        {"level":null} =>
        {"level":7} => level=7
        {"level":"audit"} => level=audit
        {"level":""} => level=
        {"level":"  Error "} => level:ERROR
        {"level":" warn "} => level:WARN
        // Node's winston with `format.colorize()`.
        {"level":"\u001b[31merror\u001b[39m"} => level:ERROR
        {"level":"\u001b[1;34mwarn\u001b[0m"} => level:WARN
        // Only the first trace id counts.
        {"trace_id":"{TRACE}","traceId":"11111111111111111111111111111111"}
            => trace:{TRACE} traceId=11111111111111111111111111111111
        {"xray_trace_id":"1-2-3"} => xray_trace_id=1-2-3
        "#,
    );
}

#[test]
fn json_values_keep_their_types() {
    check_all(
        r#"
        {"s":"ü","i":-3,"f":2.5,"b":false,"n":null,"a":[1,null,"x"],"o":{"k":{"d":1},"n":null}}
            => s=ü i=-3 f=2.5 b=false a=[1,none,x] o={k={d=1}}
        {"big":9223372036854775807} => big=9223372036854775807
        {"bigger":9223372036854775808} => bigger=9223372036854775808
        {"least":-9223372036854775808} => least=-9223372036854775808
        {"id":123456789012345678901234567890,"within":{"ids":[-123456789012345678901234567890]}}
            => id=123456789012345678901234567890 within={ids=[-123456789012345678901234567890]}
        {"far":1e999,"within":[1e999,1e3]} => far=1e999 within=[1e999,1000.0]
        {"halves":["\ud800"]} => halves=["\ud800"]
        "#,
    );
}

#[test]
fn repeated_keys_keep_all_their_values() {
    check(r#"{"o":{"a":1,"a":2}}"#, r#"o={"a":1,"a":2}"#);
    check(r#"{"l":[{"k":1,"o":{"a":1,"b":0,"a":2}}]}"#, r#"l=[{k=1 o={"a":1,"b":0,"a":2}}]"#);
}

#[test]
fn the_time_of_a_json_line_is_parsed() {
    let check = |line: &str, expected: Option<u64>| {
        assert_eq!(function_line(line, true).time.map(|time| time.unix_nano), expected, "{line}");
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
    let json = function_line(&line, true);
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
