//! Every example of docs/rules.md is valid, and has the described effect.

use super::support::*;
use backend::Profile;
use expect_test::expect;
use lambda_otlp_forwarder::{Origin, RuleSet};
use wire::Request;

const DOCS: &str = include_str!("../../../../docs/rules.md");

fn blocks() -> Vec<&'static str> {
    let blocks = DOCS.split("```toml\n").skip(1);
    blocks.map(|rest| rest.split_once("```").expect("an end of the block").0).collect()
}

/// The example that contains this text.
#[track_caller]
fn example(text: &str) -> RuleSet {
    let of_text: Vec<&str> = blocks().into_iter().filter(|block| block.contains(text)).collect();
    let [block] = of_text.as_slice() else { panic!("{} examples with {text}", of_text.len()) };
    RuleSet::parse(block).unwrap_or_else(|mistakes| panic!("{text}: {mistakes}"))
}

/// The effect of an example's rules on these requests.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "reads better in a table")]
fn effect(text: &str, place: Origin, requests: Vec<Request>) -> String {
    applied(&example(text), &place, requests)
}

#[test]
fn every_toml_example_in_the_docs_parses() {
    let blocks = blocks();
    assert_eq!(blocks.len(), 10, "a new example needs a test of its effect below");
    for block in blocks {
        if let Err(mistakes) = RuleSet::parse(block) {
            panic!("{mistakes}\nin\n{block}");
        }
    }
}

#[test]
fn every_condition_and_action_has_an_example_in_the_docs() {
    let toml: String = blocks().concat();
    let words = "signal, account, region, log_group, function, resource., scope_name, attributes., body, \
        severity, span_name, span_kind, span_status, metric_name, unless, not, contains, regex, \
        exists, above, at_least, below, keep, drop, sample, redact, presets, patterns, keys, \
        except, in =, with, salt, add, set, rename, remove, on =, [[service]], [[route]], \
        [destination., email, ip, card, aws_keys, bearer, jwt";
    for word in words.split(", ") {
        assert!(toml.contains(word), "{word}");
    }
}

#[test]
fn failures_are_kept_and_a_tenth_of_the_rest() {
    let spans = |status| (0..50).map(|n| span(n, "GET /orders", 2, status, "")).collect();
    let records = (0..50).map(|n| in_trace(log(9, "x", ""), n)).collect();
    let mut requests = vec![traces("", "", spans(0)), logs("", "", records)];
    requests.push(traces(
        "",
        "",
        vec![span(1, "GET /health", 2, 2, ""), span(2, "GET /health", 2, 1, "")],
    ));
    let rules = example("keep failures");
    let [kept, records, health] = requests.try_into().unwrap();
    let ids = |request: Request| -> Vec<u8> {
        let request = rules.apply(&place(), vec![request]).requests.remove(0);
        (0..50).filter(|n| request.bytes().windows(16).any(|bytes| bytes == [*n; 16])).collect()
    };
    let kept = ids(kept);
    assert!((1..=12).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept, ids(records), "traces and their log records");
    assert_eq!(ids(traces("", "", spans(2))).len(), 50, "failures");
    expect![[r"
        resource
        span GET /health
        keep failures: 1 matched, 0 dropped, 0 changed, 0 redacted
        health checks: 2 matched, 1 dropped, 0 changed, 0 redacted
        a tenth: 1 matched, 0 dropped, 0 changed, 0 redacted
    "]]
    .assert_eq(&applied(&rules, &place(), vec![health]));
}

#[test]
fn conditions() {
    let text = "noise of one function";
    let records = || {
        vec![
            log(9, "cache hit 7", ""),
            log(13, "cache hit 7", ""),
            log(9, "cache miss", ""),
            log(0, "cache hit", ""),
        ]
    };
    expect![[r"
        resource
        log 13 cache hit 7
        log 9 cache miss
        log 0 cache hit
        noise of one function: 1 matched, 1 dropped, 0 changed, 0 redacted
    "]]
    .assert_eq(&effect(text, place(), vec![logs("", "", records())]));
    expect![[r"
        resource
        log 9 cache hit 7
        log 13 cache hit 7
        log 9 cache miss
        log 0 cache hit
    "]]
    .assert_eq(&effect(text, in_group("/aws/lambda/users"), vec![logs("", "", records())]));
    let poll = "http.response.status_code=204 url.full=https://x/POLL?a";
    let spans = vec![
        span(1, "poll", 3, 0, poll),
        span(2, "poll text", 3, 0, "http.response.status_code=200x url.full=/poll"),
        span(3, "poll with items", 3, 0, &format!("{poll} poll.items=3")),
        span(4, "poll without", 3, 0, &format!("{poll} poll.items=0")),
        span(5, "poll server", 2, 0, poll),
        span(6, "poll failed", 3, 0, "http.response.status_code=300 url.full=/poll"),
        span(7, "other url", 3, 0, "http.response.status_code=200 url.full=/polls"),
    ];
    expect![[r"
        resource
        span poll text http.response.status_code=200x url.full=/poll
        span poll with items http.response.status_code=204 url.full=https://x/POLL?a poll.items=3
        span poll server http.response.status_code=204 url.full=https://x/POLL?a
        span poll failed http.response.status_code=300 url.full=/poll
        span other url http.response.status_code=200 url.full=/polls
        successful polling: 2 matched, 2 dropped, 0 changed, 0 redacted
    "]]
    .assert_eq(&effect(text, place(), vec![traces("", "", spans)]));
}

#[test]
fn conditions_on_resource_scope_and_place() {
    let text = "noise of one function";
    let points = || vec![point("queue.depth", ""), point("faas.errors", "")];
    let of_stage = |stage| metrics(&format!("deployment.environment.name={stage}"), points());
    let requests =
        vec![of_stage("test"), of_stage("dev-7"), of_stage("prod"), metrics("", points())];
    expect![[r"
        resource deployment.environment.name=test
        point faas.errors
        resource deployment.environment.name=dev-7
        point faas.errors
        resource deployment.environment.name=prod
        point queue.depth
        point faas.errors
        resource
        point queue.depth
        point faas.errors
        metrics of the test stage: 2 matched, 2 dropped, 0 changed, 0 redacted
    "]]
    .assert_eq(&effect(text, place(), requests));
    let requests = vec![
        traces(
            "",
            "hyper::client",
            vec![span(1, "a", 1, 0, "debug=true"), span(1, "b", 1, 0, "debug=false")],
        ),
        traces("", "other", vec![span(1, "c", 1, 0, "debug=true")]),
    ];
    expect![[r"
        resource
        span b debug=false
        resource
        span c debug=true
        one library's debug spans: 1 matched, 1 dropped, 0 changed, 0 redacted
    "]]
    .assert_eq(&effect(text, place(), requests));
    let elsewhere = Origin::new("210987654321", "eu-west-1", "/ecs/x", "s");
    let request = || vec![logs("", "", vec![log(17, "x", "")])];
    expect![[r"
        another account's gateways: 1 matched, 1 dropped, 0 changed, 0 redacted
    "]]
    .assert_eq(&effect(text, elsewhere, request()));
    expect![[r"
        resource
        log 17 x
    "]]
    .assert_eq(&effect(text, in_group("/ecs/x"), request()));
}

#[test]
fn sampling_by_level() {
    let record = |n: usize, severity| log(severity, "x", &format!("faas.invocation_id=r{n}"));
    let rules = example("a fifth of debug and info");
    let left = |severity| {
        let records = (0..500).map(|n| record(n, severity)).collect();
        let applied = rules.apply(&place(), vec![logs("", "", records)]);
        applied.requests.iter().map(Request::items).sum::<usize>()
    };
    assert!((70..130).contains(&left(9)), "{}", left(9));
    assert_eq!(left(13), 500);
    assert_eq!(left(0), 500);
}

#[test]
fn redaction() {
    let request = || {
        let mut span = span(1, "mail bob@example.com", 1, 2, "to=bob@example.com ip=10.1.2.3 n=7");
        span.events.push(event("exception", "exception.message=no_card_4111111111111111"));
        span.events.push(event("sent to bob@example.com", "n=1"));
        span.status.as_mut().unwrap().message = "Bearer abcdef0123456789".to_owned();
        vec![
            traces("host.ip=10.1.2.3", "", vec![span]),
            logs(
                "",
                "",
                vec![log(9, r#"{"password":"x","to":"bob@example.com"}"#, "user.password=1")],
            ),
            metrics("", vec![point("m", "to=bob@example.com")]),
        ]
    };
    expect![[r#"
        resource host.ip=****
        span mail bob@example.com to=**** ip=**** n=7
          event exception exception.message=no card ****
          event sent to **** n=1
        resource
        log 9 {"password":"x","to":"****"} user.password=1
        resource
        point m to=****
        personal data: 3 matched, 0 dropped, 4 changed, 8 redacted
    "#]]
    .assert_eq(&effect("personal data", place(), request()));
    let mut requests = request();
    requests.push(logs("", "", vec![log(9, "C-123456 sid=ab12&x", "service.version=a@b.de")]));
    expect![[r#"
        resource host.ip=10.1.2.3
        span mail [email] to=[email] ip=10.1.2.3 n=7
          event exception exception.message=no card 4111111111111111
          event sent to [email] n=1
        resource
        log 9 {"password":"[key]","to":"[email]"} user.password=0
        resource
        point m to=bob@example.com
        resource
        log 9 [customer] sid=[session]&x service.version=a@b.de
        customers: 3 matched, 0 dropped, 3 changed, 6 redacted
    "#]]
    .assert_eq(&effect("name = \"customers\"", place(), requests));
    let requests = vec![logs(
        "",
        "",
        vec![
            log(
                9,
                "x",
                "enduser.id=bob@example.com enduser.name=bob@example.com to=bob@example.com",
            ),
            log(9, "bob@example.com", "other=1"),
        ],
    )];
    expect![[r"
        resource
        log 9 x enduser.id=u-bcb3c398d7d0f2a3 enduser.name=u-bcb3c398d7d0f2a3 to=bob@example.com
        log 9 bob@example.com other=1
        addresses as pseudonyms: 1 matched, 0 dropped, 1 changed, 2 redacted
    "]]
    .assert_eq(&effect("addresses as pseudonyms", place(), requests));
}

#[test]
fn changes() {
    let request = || {
        vec![traces(
            "service.name=a process.pid=7 team=x",
            "",
            vec![
                span(
                    1,
                    "a",
                    1,
                    0,
                    "http.status_code=200 user=bob owner=me internal.x=1 internal=2",
                ),
                span(
                    2,
                    "b",
                    1,
                    0,
                    "http.status_code=200 http.response.status_code=204 aws.requestId=r",
                ),
            ],
        )]
    };
    expect![[r"
        resource service.name=a team=x
        span a http.response.status_code=200 enduser.id=bob owner=123456789012/orders-api internal=2 reviewed=true weight=0.5
        span b http.status_code=200 http.response.status_code=204 owner=123456789012/orders-api reviewed=true weight=0.5
        owner: 2 matched, 0 dropped, 2 changed, 0 redacted
        old names: 2 matched, 0 dropped, 1 changed, 0 redacted
        unused attributes: 2 matched, 0 dropped, 2 changed, 0 redacted
        no process details: 2 matched, 0 dropped, 1 changed, 0 redacted
    "]]
    .assert_eq(&effect("name = \"stage\"", place(), request()));
    expect![[r"
        resource service.name=a team=x cost=7 deployment.environment.name=prod
        span a http.response.status_code=200 enduser.id=bob owner=123456789012/orders-prod internal=2 reviewed=true weight=0.5
        span b http.status_code=200 http.response.status_code=204 owner=123456789012/orders-prod reviewed=true weight=0.5
        stage: 2 matched, 0 dropped, 1 changed, 0 redacted
        owner: 2 matched, 0 dropped, 2 changed, 0 redacted
        old names: 2 matched, 0 dropped, 1 changed, 0 redacted
        unused attributes: 2 matched, 0 dropped, 2 changed, 0 redacted
        no process details: 2 matched, 0 dropped, 1 changed, 0 redacted
    "]]
    .assert_eq(&effect("name = \"stage\"", in_group("/aws/lambda/orders-prod"), request()));
}

#[test]
fn service_names() {
    let rules = example("[[service]]");
    let check = |log_group: &str, expected: Option<&str>| {
        assert_eq!(rules.service_name(&in_group(log_group)).as_deref(), expected, "{log_group}");
    };
    check("/ecs/shop/api", Some("shop"));
    check("shop-worker", Some("shop"));
    check("/aws/apigateway/welcome", Some("gateway-eu-west-1"));
    check("/aws/lambda/orders", None);
}

#[test]
fn destinations_and_routes() {
    let rules = example("[[route]]");
    let [audit] = rules.destinations() else { panic!("{:?}", rules.destinations()) };
    assert_eq!((audit.name.as_str(), audit.profile), ("audit", Profile::OpenObserve));
    assert_eq!(audit.endpoint.as_str(), "https://o2.example.com/api/audit");
    let secret = format!("{:?}", audit.secret);
    assert!(secret.contains("\"/lambda-otlp/audit\""), "{secret}");
    assert_eq!(audit.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["x-tenant"]);
    let stream = audit.stream.as_ref().map(|stream| stream.fill_stream(&place()));
    assert_eq!(stream.as_deref(), Some("audit"));
    let check = |place: &Origin, expected: &[(&str, Option<&str>)]| {
        let routes = rules.routes(place);
        let routes: Vec<(&str, Option<&str>)> =
            routes.iter().map(|route| (route.destination, route.stream.as_deref())).collect();
        assert_eq!(routes, expected, "{place:?}");
    };
    check(&in_group("/aws/lambda/payments-api"), &[("audit", Some("audit")), ("default", None)]);
    check(&in_group("/aws/lambda/orders"), &[]);
    let other = Origin::new("210987654321", "", "/aws/lambda/orders", "");
    check(&other, &[("default", Some("210987654321_orders"))]);
}

#[test]
fn a_rule_pins_the_service_of_a_log_group() {
    let text = "service of payments";
    let request = || vec![logs("service.name=shop", "", vec![log(9, "x", "")])];
    expect![[r"
        resource service.name=payments
        log 9 x
        service of payments: 1 matched, 0 dropped, 1 changed, 0 redacted
    "]]
    .assert_eq(&effect(text, in_group("/aws/lambda/payments"), request()));
    expect![[r"
        resource service.name=shop
        log 9 x
    "]]
    .assert_eq(&effect(text, in_group("/aws/lambda/users"), request()));
}
