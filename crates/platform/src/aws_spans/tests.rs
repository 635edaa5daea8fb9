use super::*;
use crate::render;
use expect_test::{Expect, expect};
use std::fmt::Write as _;

/// Lines made from the documented format, not written by AWS.
const LINES: &str = include_str!("../../fixtures/aws-spans.jsonl");

fn line(number: usize) -> &'static str {
    LINES.lines().nth(number).unwrap()
}

/// The line with one text replaced, which it must contain.
#[track_caller]
fn with(number: usize, from: &str, to: &str) -> String {
    let line = line(number);
    assert!(line.contains(from), "{from}");
    line.replace(from, to)
}

#[track_caller]
fn ended(line: &str) -> (Resource, InstrumentationScope, Span) {
    let SpanLine::Ended(spans) = SpanLine::read(line) else { panic!("{line}") };
    let ResourceSpans { resource, mut scope_spans, .. } = *spans;
    let ScopeSpans { scope, mut spans, .. } = scope_spans.pop().unwrap();
    (resource.unwrap_or_default(), scope.unwrap_or_default(), spans.pop().unwrap())
}

#[track_caller]
fn check(line: &str, expected: &Expect) {
    let (resource, scope, span) = ended(line);
    let status = span.status.clone().unwrap_or_default();
    let mut shown = format!(
        "{}\nscope {} {}\n{} kind {} from {} to {}, status {} {:?}\n{}\n",
        render::attributes(&resource.attributes),
        scope.name,
        scope.version,
        span.name,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        status.code,
        status.message,
        render::attributes(&span.attributes),
    );
    for Event { time_unix_nano, name, attributes, .. } in &span.events {
        let attributes = render::attributes(attributes);
        writeln!(shown, "event {name} at {time_unix_nano} {attributes}").unwrap();
    }
    for Link { span_id, attributes, .. } in &span.links {
        writeln!(shown, "link {span_id:?} {}", render::attributes(attributes)).unwrap();
    }
    expected.assert_eq(&shown);
}

#[test]
fn an_aws_span_line_becomes_a_complete_span() {
    check(
        line(0),
        &expect![[r#"
        aws.local.service=shop-api/prod cloud.platform=aws_api_gateway cloud.provider=aws service.name=shop-api/prod
        scope  
        POST /orders kind 2 from 1789999990000000000 to 1789999990480000000, status 0 ""
        aws.xray.annotation_keys=[tenant] http.request.method=POST http.response.status_code=200 tenant=blue aws.xray.name=shop-api/prod aws.xray.type=segment
    "#]],
    );
    check(
        line(2),
        &expect![[r#"
        cloud.account.id=210987654321 cloud.platform=aws_lambda cloud.provider=aws faas.name=payments service.name=payments
        scope @opentelemetry/instrumentation-aws-lambda 0.61.0
        payments kind 2 from 1789999990050000000 to 1789999990400000000, status 2 "card declined"
        faas.coldstart=false faas.invocation_id=8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11 ratio=0.25
        event exception at 1789999990300000000 exception.type=Declined
        link [161, 178, 195, 212, 229, 246, 0, 9] messaging.message.id=m1
    "#]],
    );
    // A subsegment has its name and cause in X-Ray's fields.
    check(
        line(3),
        &expect![[r#"
        cloud.provider=aws
        scope  
        DynamoDB kind 3 from 1789999990100000000 to 1789999990200000000, status 2 "conditional check failed"
        http.status_code=400 aws.xray.cause={message=conditional check failed} aws.xray.name=DynamoDB aws.xray.namespace=aws aws.xray.type=subsegment
    "#]],
    );
}

#[test]
fn in_progress_span_copies_are_recognized() {
    let check =
        |line: &str, expected: &SpanLine| assert_eq!(SpanLine::read(line), *expected, "{line}");
    check(line(1), &SpanLine::InProgress);
    check(&with(1, r#""endTimeUnixNano":null,"#, ""), &SpanLine::InProgress);
    check(&with(1, r#""aws.xray.inprogress":true"#, ""), &SpanLine::InProgress);
    check(
        &with(1, r#""endTimeUnixNano":null"#, r#""x":1"#).replace("true", "false"),
        &SpanLine::Other,
    );
    // The copy that reports the end.
    let over = with(2, r#""ratio":0.25"#, r#""aws.xray.inprogress":false"#);
    assert_eq!(ended(&over).2.end_time_unix_nano, 1_789_999_990_400_000_000);
}

#[test]
fn alternative_spellings_are_parsed_or_preserved() {
    let by_duration = with(0, r#""endTimeUnixNano":1789999990480000000,"#, "");
    assert_eq!(ended(&by_duration).2, ended(line(0)).2);
    let as_text = with(0, "1789999990480000000", "\"1789999990480000000\"");
    assert_eq!(ended(&as_text).2, ended(line(0)).2);
    let xray = with(0, "69203c0b0d1a4f4e7c1b2a3948576a61", "1-69203c0b-0d1a4f4e7c1b2a3948576a61");
    assert_eq!(ended(&xray).2, ended(line(0)).2);
    let as_otlp = with(0, "\"SERVER\"", "\"SPAN_KIND_SERVER\"");
    assert_eq!(ended(&as_otlp).2, ended(line(0)).2);
    let numbered = with(0, "\"SERVER\"", "2").replace("\"UNSET\"", "0");
    assert_eq!(ended(&numbered).2, ended(line(0)).2);
    let rest = |line: &str| {
        let attributes = ended(line).2.attributes;
        let rest = attributes.into_iter().find(|attribute| attribute.key == names::REST);
        rest.map(|rest| render::attributes(&[rest])).unwrap_or_default()
    };
    assert_eq!(rest(line(2)), "");
    let unknown = with(2, "\"SERVER\"", "\"BROKER\"").replace("\"ERROR\"", "\"BROKEN\"");
    let unknown = unknown
        .replace("1789999990300000000", "\"then\"")
        .replace("\"m1\"", "\"m1\"},\"x\":{\"y\":1");
    expect![[r#"lambda_otlp.rest={"events":[{"attributes":{"exception.type":"Declined"},"name":"exception","timeUnixNano":"then"}],"kind":"BROKER","links":[{"attributes":{"messaging.message.id":"m1"},"spanId":"a1b2c3d4e5f60009","traceId":"69203c0b0d1a4f4e7c1b2a3948576a62","x":{"y":1}}],"status":{"code":"BROKEN","message":"card declined"}}"#]].assert_eq(&rest(&unknown));
    let twice = with(0, r#""tenant":"blue""#, r#""aws.xray.type":"other""#);
    assert_eq!(rest(&twice), r#"lambda_otlp.rest={"_aws":{"type":"segment"}}"#);
    let unknown = with(0, r#""flags":1"#, r#""flags":-1,"attributes2":[1],"nothing":null"#);
    expect![[r#"lambda_otlp.rest={"attributes2":[1],"flags":-1}"#]].assert_eq(&rest(&unknown));
}

/// The services of these lines' spans, in order; `+` marks a subsegment without a service.
fn services(lines: &[String]) -> Vec<String> {
    let mut segments = segments::Segments::default();
    let mut spans: Vec<ResourceSpans> = Vec::new();
    let mut marks = Vec::new();
    for line in lines {
        let SpanLine::Ended(ended) = SpanLine::read(line) else { panic!("{line}") };
        marks.push(if segments.observe(&ended) { "+" } else { "" });
        spans.push(*ended);
    }
    let named = spans.iter_mut().zip(marks).map(|(spans, mark)| {
        if !mark.is_empty() {
            segments.name(spans);
        }
        let attributes = spans.resource.clone().unwrap_or_default().attributes;
        let service = attributes.iter().find(|attribute| attribute.key == names::SERVICE_NAME);
        let service = service.map(|service| render::value(service.value.as_ref().unwrap()));
        format!("{mark}{}", service.unwrap_or_default())
    });
    named.collect()
}

#[test]
fn a_subsegment_gets_the_service_of_its_segment() {
    let (segment, subsegment) = (line(2).to_owned(), line(3).to_owned());
    // A subsegment below the other one.
    let below = with(3, "a1b2c3d4e5f60003", "a1b2c3d4e5f60004");
    let below = below.replace("a1b2c3d4e5f60002", "a1b2c3d4e5f60003");
    let check = |lines: &[&String], expected: &[&str]| {
        assert_eq!(
            services(&lines.iter().map(|line| (*line).clone()).collect::<Vec<_>>()),
            expected
        );
    };
    check(&[&below, &subsegment, &segment], &["+payments", "+payments", "payments"]);
    check(&[&below, &segment], &["+", "payments"]);
    // The same ids in another trace.
    let elsewhere = with(3, "69203c0b0d1a4f4e7c1b2a3948576a61", "69203c0b0d1a4f4e7c1b2a3948576a62");
    check(&[&segment, &elsewhere], &["payments", "+"]);
    // A span without a service that is not a subsegment.
    let other = with(3, "\"subsegment\"", "\"segment\"");
    check(&[&segment, &other], &["payments", ""]);
    let circle = with(3, "a1b2c3d4e5f60002", "a1b2c3d4e5f60003");
    check(&[&circle], &["+"]);
}

#[test]
fn lines_without_valid_ids_or_times_yield_no_span() {
    for line in [
        String::new(),
        "1".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        with(0, r#""traceId":"69203c0b0d1a4f4e7c1b2a3948576a61","#, ""),
        with(0, "69203c0b0d1a4f4e7c1b2a3948576a61", "00000000000000000000000000000000"),
        with(0, "a1b2c3d4e5f60001", "a1b2c3d4e5f6000g"),
        with(0, "1789999990000000000", "-1"),
        with(0, "1789999990000000000", "1789999990.5"),
        with(0, "1789999990480000000", "\"\"").replace("480000000", "-1"),
        format!("{} x", line(0)),
        with(0, "blue", &"x".repeat(MAX_LINE_BYTES)),
        "{\"a\":".repeat(10_000),
    ] {
        assert_eq!(SpanLine::read(&line), SpanLine::Other, "{line}");
    }
}

proptest::proptest! {
    #[test]
    fn parsing_aws_span_lines_never_panics(from in 0_usize..2_000, to in 0_usize..2_000, number in 0_usize..4, with in ".{0,8}") {
        let mut line: Vec<char> = line(number).chars().collect();
        let to = to.min(line.len());
        let from = from.min(to);
        line.splice(from..to, with.chars());
        let _read = SpanLine::read(&line.into_iter().collect::<String>());
    }
}
