use super::*;
use crate::render;
use expect_test::{Expect, expect};
use std::fmt::Write as _;

/// Documents of Powertools for Python 3.37 and TypeScript and of X-Ray's SDKs, in the order in which they were sent.
const DOCUMENTS: &str = include_str!("../../fixtures/xray.jsonl");

const NOW: u64 = 1_795_384_600_000_000_000;

fn shown(spans: &[Span]) -> String {
    let mut shown = String::new();
    for span in spans {
        let [trace, id, parent] =
            [&span.trace_id, &span.span_id, &span.parent_span_id].map(|id| wire::ids::to_hex(id));
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        let status = span.status.clone().unwrap_or_default();
        writeln!(
            shown,
            "{} kind {} {id} below {parent} of {trace}, {start} to {end}, status {} {:?}\n  {}",
            span.name,
            span.kind,
            status.code,
            status.message,
            render::attributes(&span.attributes)
        )
        .unwrap();
        for event in &span.events {
            let attributes = render::attributes(&event.attributes);
            writeln!(shown, "  {} at {}: {attributes}", event.name, event.time_unix_nano).unwrap();
        }
    }
    shown
}

#[track_caller]
fn check(document: &str, expected: &Expect) {
    let read = XRayDocument::read(document, NOW).expect(document);
    let mut text = shown(&read.ended);
    for line in shown(&read.open).lines() {
        writeln!(text, "open: {line}").unwrap();
    }
    if read.refused > 0 {
        writeln!(text, "refused: {}", read.refused).unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn xray_sdk_subsegments_become_spans() {
    let line = |number: usize| DOCUMENTS.lines().nth(number).unwrap();
    check(
        line(0),
        &expect![[r#"
        DynamoDB kind 3 4e4b62e8852792c9 below 9c981735d62174fa of 5759e988bd862e3fe1be46a994272793, 1795384611466225000 to 1795384611466353000, status 0 ""
          aws.service=DynamoDB http.status_code=200 aws.operation=GetItem aws.region=eu-west-1 aws.request_id=R1 aws.xray.retries=1 aws.table_name=orders
    "#]],
    );
    check(
        line(1),
        &expect![[r#"
        db@host kind 3 1c3bfe2b4a894e93 below 9c981735d62174fa of 5759e988bd862e3fe1be46a994272793, 1795384611466526000 to 1795384611466540000, status 0 ""
          db.connection_string=postgresql://db:5432 db.name=shop db.system=PostgreSQL db.statement=SELECT 1 db.user=app
    "#]],
    );
    check(
        line(2),
        &expect![[r#"
        api.example.com kind 3 208d7bf8adb04283 below 9c981735d62174fa of 5759e988bd862e3fe1be46a994272793, 1795384611466585000 to 1795384611466600000, status 2 ""
          aws.xray.error=true aws.xray.throttle=true http.method=GET http.url=https://api.example.com/x http.status_code=429
    "#]],
    );
    check(
        line(3),
        &expect![[r#"
        ## __main__.pay kind 1 34d7a8f8af792cd2 below 9c981735d62174fa of 5759e988bd862e3fe1be46a994272793, 1795384611466638000 to 1795384611467032000, status 2 "card declined"
          aws.xray.fault=true aws.xray.annotations=[order] order=A-1 aws.xray.metadata.orders={"__main__.pay error":{},"cart":{"items":3}} error.type=ValueError
          exception at 1795384611467032000: exception.message=card declined exception.type=ValueError exception.stacktrace=ValueError: card declined
        	at decorate(tracer.py: 712)
        	at pay(f.py: 7) aws.xray.exception.id=6c73dcee004f17f9 aws.xray.exception.remote=false
    "#]],
    );
    check(
        line(4),
        &expect![[r#"
        ## handler kind 1 9c981735d62174fa below 53995c3f42cd8ad8 of 5759e988bd862e3fe1be46a994272793, 1795384611466190000 to 1795384611467124000, status 0 ""
          aws.xray.annotations=[ColdStart,Service] ColdStart=true Service=orders aws.xray.metadata.orders={"handler response":{"ok":1}}
    "#]],
    );
    check(
        line(5),
        &expect![[r#"
        S3 kind 3 84fcb38356d83da3 below cf519107b0936389 of 5759e988bd862e3fe1be46a994272793, 1795384612672000000 to 1795384612672000000, status 0 ""
          aws.service=S3
    "#]],
    );
    check(
        line(6),
        &expect![[r#"
        ## index.handler kind 1 cf519107b0936389 below 53995c3f42cd8ad8 of 5759e988bd862e3fe1be46a994272793, 1795384612672000000 to 1795384612674000000, status 2 "bad card"
          aws.xray.fault=true aws.xray.annotations=[ColdStart,Service] ColdStart=false Service=orders error.type=TypeError
          exception at 1795384612674000000: exception.message=bad card exception.type=TypeError exception.stacktrace=TypeError: bad card
        	at Object.<anonymous>(/var/task/f.js: 7)
        	at Module._compile(node: )
        	at Module._extensions..js(node: )
        	at Module.load(node: )
        	at Module._load(node: )
        	at Function.executeUserEntryPoint [as runMain](node: )
        	at anonymous(node: ) aws.xray.exception.id=9bad1982800ef1dc aws.xray.exception.remote=false
    "#]],
    );
}

#[test]
fn a_segment_becomes_a_server_span_with_children() {
    let document = r#"{"trace_id":"1-5759e988-bd862e3fe1be46a994272793","id":"00000000000000a1","name":"shop","start_time":1.5,"end_time":2.5,
        "http":{"request":{"method":"POST","client_ip":"192.0.2.1","url":"http://shop/","user_agent":"curl","x_forwarded_for":true},"response":{"status":200,"content_length":7}},
        "user":"u1","resource_arn":"arn:x","fault":false,"annotations":{"http.url":"own","tier":2},
        "cause":"0123456789abcdef","subsegments":[
            {"id":"00000000000000a2","name":"open","start_time":2,"in_progress":true,"subsegments":[{"id":"00000000000000a3","name":"inner","start_time":2,"end_time":2.25,"sql":{"url":"mysql"}}]},
            {"id":"x","name":"no id","start_time":2,"subsegments":[{"id":"00000000000000a4"}]}, 7, {"id":"00000000000000a5","name":"no time"}]}"#;
    check(
        document,
        &expect![[r#"
        shop kind 2 00000000000000a1 below  of 5759e988bd862e3fe1be46a994272793, 1500000000 to 2500000000, status 2 ""
          http.method=POST http.client_ip=192.0.2.1 http.user_agent=curl http.url=http://shop/ aws.xray.x_forwarded_for=true http.status_code=200 http.response_content_length=7 aws.xray.annotations=[http.url,tier] tier=2 enduser.id=u1 aws.xray.cause=0123456789abcdef aws.xray.resource_arn=arn:x
        inner kind 1 00000000000000a3 below 00000000000000a2 of 5759e988bd862e3fe1be46a994272793, 2000000000 to 2250000000, status 0 ""
          db.connection_string=mysql
        open: open kind 1 00000000000000a2 below 00000000000000a1 of 5759e988bd862e3fe1be46a994272793, 2000000000 to 1795384600000000000, status 0 ""
        open:   lambda_otlp.partial=true
        refused: 3
    "#]],
    );
    let read = XRayDocument::read(document, NOW).unwrap();
    assert_eq!((read.service.as_deref(), read.segment), (Some("shop"), None));
    let read = XRayDocument::read(DOCUMENTS.lines().next().unwrap(), NOW).unwrap();
    let segment = read.segment.unwrap();
    assert_eq!(read.service, None);
    assert_eq!(segment.span_id.to_vec(), read.ended[0].parent_span_id);
}

#[test]
fn invalid_xray_documents_are_rejected() {
    let valid = DOCUMENTS.lines().next().unwrap();
    for (from, to) in [
        ("\"id\": \"", "\"id\": \"0"),
        ("1-5759e988", "2-5759e988"),
        ("\"start_time\": ", "\"start_time\": -"),
        ("\"start_time\": ", "\"start_time\": 99"),
        ("\"name\"", "\"names\""),
        ("{", "[{"),
    ] {
        assert!(valid.contains(from), "{from}");
        assert_eq!(XRayDocument::read(&valid.replacen(from, to, 1), NOW), None, "{to}");
    }
    let deep = format!("{}{}", "{\"subsegments\":[".repeat(30_000), "]}".repeat(30_000));
    assert_eq!(XRayDocument::read(&deep, NOW), None);
}
