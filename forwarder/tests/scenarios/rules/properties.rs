//! For all rules and telemetry: items in = items out + dropped, and the output is valid.

use super::support::*;
use crate::support::{Telemetry, body};
use lambda_otlp_forwarder::RuleSet;
use proptest::prelude::*;
use std::sync::LazyLock;
use wire::{Limits, Request, SignalKind};

const CONDITIONS: [&str; 14] = [
    "",
    "match.signal = \"logs\"",
    "match.log_group = \"/aws/lambda/*\"",
    "match.service_name = \"s1\"",
    "match.resource.r = { exists = true }",
    "match.attributes.a = 1",
    "match.attributes.a = { not = 1 }",
    "match.attributes.b = \"*x*\"",
    "match.severity = { below = \"WARN\" }",
    "match.span_status = \"error\"",
    "match.metric_name = \"m1\"",
    "match.body = { contains = \"a@\" }",
    "unless.attributes.a = 1",
    "unless.service_name = \"s1\"",
];

const ACTIONS: [&str; 10] = [
    "drop = true",
    "keep = true",
    "sample = 0.5",
    "sample = 0",
    "redact = [\"email\", \"card\", \"ip\"]",
    "redact = { keys = [\"a\", \"*r*\"], in = [\"attributes\", \"body\", \"name\"] }",
    "add = { c = \"{function}\" }",
    "set = { a = 1 }",
    "rename = { b = \"a\" }",
    "remove = \"*\"",
];

const ATTRIBUTES: [&str; 5] = ["", "a=1", "a=2 b=x", "b=bob@example.com", "a=1 b=4111111111111111"];
const RESOURCES: [&str; 3] = ["", "service.name=s1", "service.name=s2 r=10.1.2.3"];

static REDACTION: LazyLock<RuleSet> = LazyLock::new(|| {
    let text = "[[rule]]\nname = \"r\"\nredact = [\"email\", \"ip\", \"card\", \"bearer\"]\n";
    RuleSet::parse(text).unwrap()
});

fn request() -> impl Strategy<Value = Request> {
    let item = (0..5usize, 0..3u8, 0..3u8);
    let items = prop::collection::vec(item, 0..6);
    let container = (0..3usize, items);
    (0..3usize, prop::collection::vec(container, 1..4)).prop_map(|(kind, containers)| {
        let mut bytes = Vec::new();
        for (resource, items) in containers {
            let resource = RESOURCES[resource];
            let one = match kind {
                0 => {
                    let span = |(a, n, b): (usize, u8, u8)| {
                        span(n, "bob@example.com", 1, b.into(), ATTRIBUTES[a])
                    };
                    traces(resource, "", items.into_iter().map(span).collect())
                }
                1 => {
                    let point = |(a, n, _): (usize, u8, u8)| point(&format!("m{n}"), ATTRIBUTES[a]);
                    metrics(resource, items.into_iter().map(point).collect())
                }
                _ => {
                    let record = |(a, n, b): (usize, u8, u8)| {
                        in_trace(log(i32::from(b) * 8 + 1, ATTRIBUTES[a], ATTRIBUTES[a]), n)
                    };
                    logs(resource, "", items.into_iter().map(record).collect())
                }
            };
            bytes.extend(one.into_bytes());
        }
        let kind = [SignalKind::Traces, SignalKind::Metrics, SignalKind::Logs][kind];
        Request::check(kind, bytes, &Limits::default()).unwrap()
    })
}

fn rules() -> impl Strategy<Value = String> {
    let rule = (0..CONDITIONS.len(), 0..ACTIONS.len());
    prop::collection::vec(rule, 0..6).prop_map(|rules| {
        let rule = |(at, (condition, action)): (usize, &(usize, usize))| {
            let condition = CONDITIONS[*condition];
            let action = ACTIONS[*action];
            format!("[[rule]]\nname = \"{at}\"\n{action}\n{condition}\n")
        };
        rules.iter().enumerate().map(rule).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn every_item_is_kept_or_counted_as_dropped(request in request(), text in rules()) {
        // Sampling metrics alone is a mistake; such rules are skipped.
        let Ok(rules) = RuleSet::parse(&text) else { return Ok(()) };
        let kind = request.kind();
        let items = request.items();
        let (requests, report) = apply(&rules, &place(), vec![request]);
        let left = requests.iter().map(Request::items).sum::<usize>();
        prop_assert_eq!(items, left + report.dropped_by_rules());
        prop_assert!(report.rules.iter().all(|effect| effect.dropped <= effect.matched));
        for request in requests {
            let checked = Request::check(kind, request.bytes().to_vec(), &Limits::default());
            prop_assert_eq!(checked.map(|request| request.items()), Ok(left));
        }
    }

    /// Redacted text has no further matches, and JSON stays JSON.
    #[test]
    fn redaction_is_idempotent_and_preserves_json_validity(text in "(\\{\"[a-z@.]{1,12}\": ?(\"[ -~]{0,20}\"|[0-9]{1,17})\\}|[ -~]{0,40})") {
        let rules = &*REDACTION;
        let was_json = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        let (first, _) = apply(rules, &place(), vec![logs("", "", vec![log(9, &text, "")])]);
        let (second, _) = apply(rules, &place(), first.clone());
        prop_assert_eq!(&first, &second);
        let redacted = Telemetry::of(&first);
        let redacted = body(redacted.records().next().unwrap());
        prop_assert_eq!(was_json, serde_json::from_str::<serde_json::Value>(redacted).is_ok());
    }
}
