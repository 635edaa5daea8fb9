use super::super::RuleSet;
use expect_test::{Expect, expect};

#[expect(clippy::needless_pass_by_value, reason = "reads better in a table")]
fn check(text: &str, expected: Expect) {
    expected.assert_eq(&mistakes(text));
}

/// The mistakes of a file, one per line.
fn mistakes(text: &str) -> String {
    match RuleSet::parse(text) {
        Ok(_) => "good\n".to_owned(),
        Err(mistakes) => {
            mistakes.iter().map(|mistake| format!("{mistake}\n")).collect::<Vec<_>>().concat()
        }
    }
}

/// Checks rules with an empty line between them: the lines after a rule's name, and its mistakes after `=>`.
#[track_caller]
fn check_rules(cases: &str) {
    for case in cases.split("\n\n") {
        let is_expected = |line: &&str| line.starts_with("=> ");
        let (expected, lines): (Vec<&str>, Vec<&str>) = case.trim().lines().partition(is_expected);
        let found = mistakes(&format!("[[rule]]\nname = \"r\"\n{}\n", lines.join("\n")));
        let found: Vec<String> = found.lines().map(|mistake| format!("=> {mistake}")).collect();
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn an_empty_rules_file_is_valid() {
    assert_eq!(mistakes(""), "good\n");
    assert!(RuleSet::parse("# nothing\n").unwrap().is_empty());
}

#[test]
fn all_mistakes_of_a_rules_file_are_reported_together() {
    check(
        r#"[[rule]]
name = "a"
match = { signal = "trace", severty = "WARN", body = 7 }
dorp = true

[[rule]]
match.severity = { at_least = "loud" }
sample = 10

[[rule]]
name = "a"
drop = false
redact = ["emial"]

[[rout]]
to = "audit"

[[service]]
name = "{service}"
"#,
        expect![[r"
            3:20: match.signal: `trace` is unknown, did you mean `traces`?
            3:29: match.severty: unknown key, did you mean `severity`?
            4:1: dorp: unknown key, did you mean `drop`?
            6:1: name: a rule needs a name: what it drops is counted under it
            7:31: match.severity.at_least: `loud` is unknown, expected one of trace, debug, info, warn, error, fatal
            8:10: sample: expected a share from 0 to 1: 0.1 keeps a tenth
            11:8: name: the rule in line 1 has the same name
            12:8: drop: expected true; delete a rule that does nothing
            13:10: redact: a rule does one thing, and this one has `drop`: write a second rule
            15:3: rout: unknown key, did you mean `route`?
            18:1: service: `log_group` is missing
            19:8: service.name: no placeholder is called {service}: there are {account}, {region}, {log_group}, {log_stream} and {function}
        "]],
    );
}

#[test]
fn invalid_toml_is_reported_with_its_position() {
    check(
        "[[rule]]\nname = \n[[rule]\n",
        expect![[r"
        2:8: invalid TOML: string values must be quoted, expected literal string
        3:8: invalid TOML: unclosed array table, expected `]`
    "]],
    );
}

#[test]
fn mistakes_in_conditions_are_reported_with_position() {
    check_rules(
        r#"
drop = true
match = 7
=> 4:9: match: expected a table, found a number

drop = true
match.signal = "logs"
match.span_name = "x"
=> 5:7: match.span_name: nothing can match: this is a condition on traces, and others are on logs

drop = true
match.metric_name = "x"
match.span_name = "x"
=> 5:7: match.span_name: nothing can match: this is a condition on traces, and others are on metrics

drop = true
match.attributes.http.route = "/x"
=> 4:23: match.attributes.http.route: unknown test; there are equals, not, contains, regex, exists, above, at_least, below, at_most. A key that has dots is written in quotes: "http.route"

drop = true
match.attributes.route = {}
=> 4:26: match.attributes.route: no test; there are equals, not, contains, regex, exists, above, at_least, below, at_most

drop = true
match.attributes.route = { regex = "(" }
=> 4:36: match.attributes.route.regex: the pattern does not compile: unclosed group

drop = true
match.attributes.route = { regex = "\\w{2000}" }
=> 4:36: match.attributes.route.regex: the pattern is too large: compiled it has more than 262144 bytes

drop = true
match.attributes.code = { above = "x" }
=> 4:35: match.attributes.code.above: expected a number, found a string

drop = true
match.attributes.code = []
=> 4:25: match.attributes.code: the list is empty

drop = true
match.attributes.code = 2026-09-21
=> 4:25: match.attributes.code: expected a number, found a date

drop = true
match.log_group = 7
=> 4:19: match.log_group: expected a string, found a number

drop = true
match.span_kind = "sever"
=> 4:19: match.span_kind: `sever` is unknown, did you mean `server`?

drop = true
match.severity = { more = "WARN" }
=> 4:20: match.severity.more: unknown key; there are above, at_least, below, at_most
"#,
    );
}

#[test]
fn mistakes_in_actions_are_reported_with_position() {
    check_rules(
        r##"
=> 1:1: the rule does nothing; expected one of keep, drop, sample, redact, add, set, rename, remove

sample = "10%"
=> 3:10: sample: expected a number, found a string

sample = 0.1
match.signal = "metrics"
=> 3:10: sample: metrics are not sampled: a sum without some of its data points is wrong

drop = true
on = "resource"
=> 4:6: on: goes with add, set, rename and remove, not with `drop`

add = { a.b = "c" }
=> 3:9: add.a: expected a value, found a table. A key that has dots is written in quotes: "http.route"

add = { "" = 1 }
=> 3:14: add: the name of an attribute cannot be empty

rename = { a = "", "" = "b" }
=> 3:16: rename.a: expected a string that is not empty
=> 3:25: rename: the name of an attribute cannot be empty

add = { a = "{service}" }
on = "resources"
=> 3:13: add.a: no placeholder is called {service}: there are {account}, {region}, {log_group}, {log_stream} and {function}
=> 4:6: on: `resources` is unknown, did you mean `resource`?

remove = "x"
on = "resource"
match.severity = "INFO"
=> 4:6: on: a resource is shared by all of its items: the conditions of this rule may be on signal, place, service name and resource only

remove = "x"
on = "resource"
unless.body = "x"
=> 4:6: on: a resource is shared by all of its items: the conditions of this rule may be on signal, place, service name and resource only

match.severity = "INFO"
redact = { presets = "ip", in = ["body", "resource"] }
=> 4:33: redact.in: resource and scope are shared by all of their items: the conditions of this rule may be on signal, place, service name and resource only

unless.span_name = "x"
redact = { presets = "ip", in = "scope" }
=> 4:33: redact.in: resource and scope are shared by all of their items: the conditions of this rule may be on signal, place, service name and resource only

redact = { with = "#" }
=> 3:10: redact: nothing to look for: expected presets, patterns or keys

redact = { presets = "ip", with = "{hash}" }
=> 3:35: redact.with: {hash} needs a `salt`: without one, an attacker can find values with few possibilities by trying them

redact = { presets = "ip", with = "{x}", salt = "short" }
=> 3:35: redact.with: the only placeholders are {name} and {hash}
=> 3:49: redact.salt: expected at least 16 characters

redact = { patterns = { a = "[" }, in = "bdy" }
=> 3:29: redact.patterns.a: the pattern does not compile: unclosed character class
=> 3:41: redact.in: `bdy` is unknown, did you mean `body`?
"##,
    );
}

#[test]
fn mistakes_in_routes_and_destinations_are_reported_with_position() {
    check(
        r#"
[destination.default]
endpoint = "https://o2.example.com"

[destination.audit]
endpoint = "o2.example.com/api/audit"
authorization = "Basic cm9vdDpwYXNz"
secret = "o2-password"
headers = { x-api-key = "1234", x-tenant = "a" }
profile = "o2"

[destination.other]
endpoint = "https://root:pass@o2.example.com/"

[destination.third]
endpoint = "https://o2.example.com/?token=1234"

[destination.fourth]
secrets = "ssm:/o2"

[destination.cloud]
endpoint = "https://api.openobserve.ai"
"#,
        expect![[r#"
            2:14: destination.default: `default` is the destination that the forwarder's variables describe; use another name
            6:12: destination.audit.endpoint: not an absolute URL, expected http:// or https://
            7:1: destination.audit.authorization: credentials do not belong into this file: name where they are kept, secret = "ssm:NAME" or the ARN of a secret
            8:10: destination.audit.secret: not an ARN of Secrets Manager or Systems Manager, or ssm:NAME
            9:13: destination.audit.headers.x-api-key: credentials do not belong into this file: name where they are kept, secret = "ssm:NAME" or the ARN of a secret
            10:11: destination.audit.profile: `o2` is unknown, expected one of openobserve, otlp
            13:12: destination.other.endpoint: contains credentials; give them in a header instead
            16:12: destination.third.endpoint: credentials do not belong into this file: name where they are kept, secret = "ssm:NAME" or the ARN of a secret
            18:1: destination.fourth.endpoint: a destination needs an endpoint
            19:1: destination.fourth.secrets: unknown key, did you mean `secret`?
            22:12: destination.cloud.endpoint: the URL of OpenObserve Cloud names no organization; give it as OpenObserve shows it under Data sources: https://api.openobserve.ai/api/{organization}
        "#]],
    );
    check(
        r#"
[[route]]
service_name = "orders"
to = "default"

[[route]]
body = "*audit*"
to = ["audit", "default", "default"]

[[route]]
log_groop = "/aws/lambda/*"
stream = "{service}"

[[route]]
account = "1"
"#,
        expect![[r"
            3:1: route.service_name: a route is chosen by account, region, log_group, log_stream and function only: the content of a log event must not choose a destination, because its author could redirect telemetry
            7:1: route.body: a route is chosen by account, region, log_group, log_stream and function only: the content of a log event must not choose a destination, because its author could redirect telemetry
            8:7: route.to: there is no [destination.audit], and `default` is the only other
            8:27: route.to: `default` is named twice
            11:1: route.log_groop: unknown key, did you mean `log_group`?
            12:10: route.stream: no placeholder is called {service}: there are {account}, {region}, {log_group}, {log_stream} and {function}
            14:1: route: expected `to`, `stream`, or both
        "]],
    );
}

#[test]
fn rule_pattern_and_file_size_limits_are_enforced() {
    let rule = |n: usize| format!("[[rule]]\nname = \"{n}\"\ndrop = true\n");
    let rules: String = (0..257).map(rule).collect();
    assert_eq!(mistakes(&rules), "1:1: rule: there are 257, at most 256 are read\n");
    let pattern = |n: usize| format!("p{n} = \"x{n}\"\n");
    let patterns: String = (0..70).map(pattern).collect();
    let patterns = format!("[[rule]]\nname = \"r\"\n[rule.redact.patterns]\n{patterns}\n");
    let too_many = "71:7: redact.patterns.p67: more than 64 patterns and presets in one file\n";
    assert_eq!(mistakes(&patterns), too_many);
    let too_large = "1:1: the file has more than 65536 bytes\n";
    assert_eq!(mistakes(&"#".repeat(70_000)), too_large);
}
