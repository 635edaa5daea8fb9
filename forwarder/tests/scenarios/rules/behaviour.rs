//! Order of rules, unchanged telemetry, and unknown fields of later OTLP versions.

use super::support::*;
use crate::support::{Telemetry, attribute, body, deliver, pairs};
use expect_test::expect;
use lambda_otlp_forwarder::RuleSet;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value,
};
use wire::protobuf::Writer;
use wire::{Limits, Request, SignalKind};

fn rules(text: &str) -> RuleSet {
    RuleSet::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[track_caller]
fn effect(text: &str, requests: Vec<Request>) -> String {
    applied(&rules(text), &place(), requests)
}

#[test]
fn items_of_one_trace_or_request_are_sampled_together() {
    let half = rules("[[rule]]\nname = \"half\"\nsample = 0.5\n");
    let kept = |request: Request| !apply(&half, &place(), vec![request]).0.is_empty();
    for n in 0..100u8 {
        let trace = kept(traces("", "", vec![span(n, "a", 1, 0, "")]));
        let record = kept(logs("", "", vec![in_trace(log(9, "a", "faas.invocation_id=r"), n)]));
        assert!(trace == record || n == 0, "{n}");
        let hex = format!("{n:02x}");
        let root = format!("aws.xray.trace_id=1-{}-{}", hex.repeat(4), hex.repeat(12));
        let by_xray = kept(logs("", "", vec![log(9, "a", &root)]));
        assert!(trace == by_xray || n == 0, "{n}");
        let request_id = |uid| format!("faas.invocation_id=id-{n} log.record.uid=u{uid}");
        let lines = [1, 2, 3].map(|uid| kept(logs("", "", vec![log(9, "a", &request_id(uid))])));
        assert!(lines == [true; 3] || lines == [false; 3], "{n}");
    }
    assert!(kept(logs("", "", vec![log(9, "nothing to go by", "")])));
    assert!(kept(metrics("", vec![point("m", "")])));
}

#[test]
fn empty_resources_and_metrics_are_removed() {
    let text = "[[rule]]\nname = \"x\"\nmatch.attributes.x = 1\ndrop = true\n";
    let mixed = |attributes: [&str; 2]| {
        let [first, second] =
            attributes.map(|text| traces(text, "", vec![span(1, "a", 1, 0, text)]));
        let mut bytes = first.into_bytes();
        bytes.extend(second.into_bytes());
        Request::check(SignalKind::Traces, bytes, &Limits::default()).unwrap()
    };
    expect![[r"
        resource y=1
        span a y=1
        x: 1 matched, 1 dropped, 0 changed, 0 redacted
    "]]
    .assert_eq(&effect(text, vec![mixed(["x=1", "y=1"])]));
    expect![[r"
        x: 2 matched, 2 dropped, 0 changed, 0 redacted
    "]]
    .assert_eq(&effect(text, vec![mixed(["x=1", "x=1"])]));
}

#[test]
fn an_unchanged_request_is_returned_byte_for_byte() {
    let text = "[[rule]]\nname = \"x\"\nmatch.attributes.x = 1\ndrop = true\n\n[[rule]]\nname = \"y\"\nredact = [\"email\", \"card\"]\n";
    let request = traces("host=x", "s", vec![span(1, "x", 1, 0, "y=1 to=someone")]);
    let (left, _) = apply(&rules(text), &place(), vec![request.clone()]);
    assert_eq!(left.as_slice(), std::slice::from_ref(&request));
    let (left, report) = apply(&RuleSet::default(), &place(), vec![request.clone()]);
    assert_eq!(left, [request]);
    assert!(report.rules.is_empty());
}

/// Only changed messages are encoded again.
#[test]
fn unknown_protobuf_fields_are_preserved() {
    let unknown = |out: &mut Writer<'_>| out.always_string(999, "new");
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes);
    out.message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |record| {
                record.always_bytes(6, &[]);
                unknown(record);
            });
            scope.message(2, |dropped| dropped.varint(2, 17));
            unknown(scope);
        });
        unknown(container);
    });
    unknown(&mut out);
    let request = Request::check(SignalKind::Logs, bytes, &Limits::default()).unwrap();
    assert_eq!(request.items(), 2);
    let text = "[[rule]]\nname = \"e\"\nmatch.severity = \"ERROR\"\ndrop = true\n\n[[rule]]\nname = \"r\"\nadd = { a = 1 }\non = \"resource\"\n";
    let left = apply(&rules(text), &place(), vec![request]).0.remove(0);
    assert_eq!(left.items(), 1);
    let news = left.bytes().windows(3).filter(|bytes| *bytes == b"new").count();
    assert_eq!(news, 4);
    let key = b"\x0a\x01a";
    assert!(left.bytes().windows(key.len()).any(|bytes| bytes == key));
}

#[test]
fn conditions_compare_numbers_texts_and_booleans() {
    let check = |condition: &str, attributes: &str, expected: bool| {
        let text =
            format!("[[rule]]\nname = \"r\"\nmatch.attributes.a = {condition}\ndrop = true\n");
        let records = vec![logs("", "", vec![log(9, "x", attributes)])];
        let (_, report) = apply(&rules(&text), &place(), records);
        assert_eq!(report.dropped_by_rules() == 1, expected, "{condition} / {attributes}");
    };
    check("500", "a=500", true);
    check("500", "a=500.0", true);
    check("500", "a=501", false);
    check("\"500\"", "a=500", true);
    check("\"5*\"", "a=500", true);
    check("true", "a=true", true);
    check("\"true\"", "a=true", true);
    check("true", "a=yes", false);
    check("[1, \"x*\"]", "a=xyz", true);
    check("[1, \"x*\"]", "a=2", false);
    check("{ not = 1 }", "a=2", true);
    check("{ not = 1 }", "a=1", false);
    check("{ not = 1 }", "b=1", true);
    check("{ exists = false }", "b=1", true);
    check("{ exists = false }", "a=1", false);
    check("{ exists = true }", "a=1", true);
    check("{ above = 1, below = 3 }", "a=2", true);
    check("{ above = 1, below = 3 }", "a=3", false);
    check("{ at_least = 2, at_most = 2.5 }", "a=2.5", true);
    check("{ above = 1 }", "a=text", false);
    check("{ contains = \"b\", not = \"abc\" }", "a=abd", true);
    check("{ contains = \"b\", not = \"abc\" }", "a=abc", false);
    check("{ regex = \"^a.c$\" }", "a=abc", true);
    check("{ regex = '^\\d+$' }", "a=12", true);
    check("\"Abc\"", "a=abc", false);
    check("1234567890123456789", "a=1234567890123456789", true);
    check("1234567890123456789", "a=1234567890123456788", false);
    check("{ not = 9007199254740993 }", "a=9007199254740992", true);
}

/// A request without the text of a condition is not decoded, which must not change the matches.
#[test]
fn skipping_the_decoding_does_not_change_the_matches() {
    let check = |condition: &str, expected: usize| {
        let text = format!("[[rule]]\nname = \"r\"\nmatch.{condition}\ndrop = true\n");
        let records = vec![log(9, "GET /health_check 200", "k.x=1"), log(9, "7", "")];
        let mut requests = logs("host.name=h", "scope/a", records).into_bytes();
        let mut body = log(9, "", "");
        body.body = Some(value("307"));
        requests.extend(logs("", "", vec![body]).into_bytes());
        let request = Request::check(SignalKind::Logs, requests, &Limits::default()).unwrap();
        let (_, report) = apply(&rules(&text), &place(), vec![request]);
        assert_eq!(report.dropped_by_rules(), expected, "{condition}");
    };
    check("body = \"*/health_check*\"", 1);
    check("body = \"GET*check*200\"", 1);
    check("body = { contains = \"_check 2\" }", 1);
    check("body = { contains = \"nothing of it\" }", 0);
    check("body = \"307\"", 1);
    check("body = { contains = \"30\" }", 1);
    check("body = { contains = \"20\" }", 1);
    check("attributes.\"k.x\" = 1", 1);
    check("attributes.\"k.y\" = 1", 0);
    check("attributes.\"k.y\" = { not = 1 }", 3);
    check("resource.\"host.name\" = \"h\"", 2);
    check("scope_name = \"scope/*\"", 2);
    check("scope_name = \"scope/b\"", 0);
}

/// The forwarder copies `errorMessage` and the `message` of some maps to the body.
#[test]
fn a_body_that_repeats_the_value_of_a_hidden_key_is_redacted() {
    let request = || {
        // In a map in a list.
        let nested = |body: &str, key: &str| {
            let mut record = log(9, body, "");
            let values = attributes(&format!("{key}=ssn_123"));
            let map = AnyValue { value: Some(Value::KvlistValue(KeyValueList { values })) };
            let list = Value::ArrayValue(ArrayValue { values: vec![map] });
            let value = Some(AnyValue { value: Some(list) });
            record.attributes.push(KeyValue {
                key: "fields".to_owned(),
                value,
                ..KeyValue::default()
            });
            record
        };
        let records = vec![
            log(17, "ssn 123", "errorMessage=ssn_123"),
            log(17, "another", "errorMessage=ssn_123"),
            log(17, "ssn 123", "other=ssn_123"),
            nested("ssn 123", "errorMessage"),
            nested("ssn 123", "other"),
        ];
        vec![logs("", "", records)]
    };
    let bodies = |options: &str| -> Vec<String> {
        let text = format!(
            "[[rule]]\nname = \"keys\"\n[rule.redact]\nkeys = [\"errormessage\"]\n{options}"
        );
        let (left, _) = apply(&rules(&text), &place(), request());
        let telemetry = Telemetry::of(&left);
        telemetry.records().map(|record| body(record).to_owned()).collect()
    };
    assert_eq!(bodies(""), ["****", "another", "ssn 123", "****", "ssn 123"]);
    for options in ["in = [\"attributes\"]", "in = [\"body\"]", "attributes = [\"other\"]"] {
        assert_eq!(
            bodies(options),
            ["ssn 123", "another", "ssn 123", "ssn 123", "ssn 123"],
            "{options}"
        );
    }
}

/// What the forwarder moved out of a logger's keys is redacted where it went, by pattern and by key.
#[test]
fn an_exception_that_was_read_from_a_line_is_redacted() {
    const STACK: &str =
        "ShopError: no mail to a@example.com\\n    at pay (/var/task/a@example.com.js:3:9)";
    let lines = [
        format!(
            r#"{{"level":"error","message":"failed","err":{{"type":"ShopError","message":"no mail to a@example.com","stack":"{STACK}"}}}}"#
        ),
        format!("failed {}", STACK.replace("\\n", "\n")),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let redacted = |rule: &str| -> Vec<Vec<KeyValue>> {
        let records = deliver(&lines).records().cloned().collect();
        let text = format!("[[rule]]\nname = \"r\"\n{rule}");
        let (left, _) = apply(&rules(&text), &place(), vec![logs("", "", records)]);
        let telemetry = Telemetry::of(&left);
        telemetry.records().map(|record| record.attributes.clone()).collect()
    };
    for attributes in redacted("redact = \"email\"") {
        let value = |key: &str| attribute(&attributes, key).unwrap();
        assert_eq!(value("exception.type"), "ShopError");
        assert_eq!(value("exception.message"), "no mail to ****");
        assert!(!pairs(&attributes).contains("example.com"), "{}", pairs(&attributes));
        assert!(value("exception.stacktrace").contains("at pay"));
    }
    for attributes in redacted("redact = { keys = [\"exception.*\"] }") {
        for key in ["exception.type", "exception.message", "exception.stacktrace"] {
            assert_eq!(attribute(&attributes, key), Some("****"));
        }
    }
}

/// A stack trace of 1 MB and deeply nested causes: one record, whole, and redacted as any other.
#[test]
fn an_exception_of_any_size_is_read_and_redacted() {
    const CAUSES: usize = 1000;
    const ADDRESS: &str = "a@example.com";
    let frames = "\n    at pay (/var/task/orders.js:3:9)".repeat(30_000);
    let short = format!("ShopError: no mail to {ADDRESS}\n    at pay (/var/task/orders.js:3:9)");
    let long = format!("{short}{frames}\n    at {ADDRESS}");
    let error = |stack: &str, cause: &str| {
        let stack = serde_json::Value::from(stack);
        format!(r#"{{"type":"ShopError","message":"no mail to {ADDRESS}","stack":{stack}{cause}}}"#)
    };
    let nested = (0..CAUSES)
        .fold(error(&short, ""), |inner, _| error(&short, &format!(r#","cause":{inner}"#)));
    let list = vec![error(&short, ""); CAUSES].join(",");
    let record = |error: &str| format!(r#"{{"level":"error","message":"failed","err":{error}}}"#);
    let caused = format!("{short}{}", format!("\nCaused by: {short}").repeat(CAUSES));
    let rows = [
        ("a text", format!("failed {long}"), format!("failed {long}")),
        ("a key", record(&error(&long, "")), long),
        ("causes of a text", caused.clone(), caused),
        ("nested causes", record(&nested), short.clone()),
        ("a list of causes", record(&format!("[{list}]")), short),
    ];
    let redact = rules("[[rule]]\nname = \"r\"\nredact = \"email\"\n");
    for (name, line, stack) in &rows {
        let records: Vec<_> = deliver(&[line]).records().cloned().collect();
        assert_eq!(records.len(), 1, "{name}");
        let (left, _) = apply(&redact, &place(), vec![logs("", "", records)]);
        let telemetry = Telemetry::of(&left);
        let attributes = &telemetry.records().next().unwrap().attributes;
        assert_eq!(attribute(attributes, "exception.type"), Some("ShopError"), "{name}");
        assert_eq!(attribute(attributes, "exception.message"), Some("no mail to ****"), "{name}");
        let expected = stack.replace(ADDRESS, "****");
        let found = attribute(attributes, "exception.stacktrace").unwrap();
        assert!(found == expected, "{name}: {} of {} bytes", found.len(), expected.len());
        let sent = String::from_utf8_lossy(left[0].bytes());
        assert!(!sent.contains("example.com"), "{name}");
    }
}

/// If a pattern cannot be searched in bounded time, the text is never sent unchanged.
#[test]
fn whole_text_replacements_are_counted_for_their_rule() {
    let text = r#"
        [[rule]]
        name = "slow"
        redact.patterns.token = "token=(?<value>[0-9a-f]+)(.*expires)?"

        [[rule]]
        name = "quick"
        redact = "email"
    "#;
    let bodies = ["token=0 ".repeat(3000), "token=0".to_owned(), "bob@example.com".to_owned()];
    let records = bodies.iter().map(|body| log(9, body, "")).collect();
    let expected = "resource\nlog 9 ****\nlog 9 token=****\nlog 9 ****\n";
    let effects = "slow: 3 matched, 0 dropped, 2 changed, 2 redacted\nquick: 3 matched, 0 dropped, 1 changed, 1 redacted\n";
    assert_eq!(effect(text, vec![logs("", "", records)]), format!("{expected}{effects}"));
}
