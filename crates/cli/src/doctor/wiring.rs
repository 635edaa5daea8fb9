//! Checks the permission to invoke the forwarder, the filters of log groups, and telemetry that is sent twice.

use super::function::{DeployedFunction, direct_mode_variable};
use crate::aws::policy_excludes;
use ::aws::SubscriptionFilter;
use serde_json::Value;
use settings::Check;
use subscriber::Collect;
use wire::arn::{Arn, account_id};
use wire::{COMPACT_MARKER, MARKER};

/// A subscription filter of a log group, or a subscription policy of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundFilter {
    /// `filter {name}`, or `the account's policy {name}`.
    pub(crate) description: String,
    pub(crate) pattern: String,
    pub(crate) destination: String,
    /// The command of AWS's command line that deletes it.
    pub(crate) removal: String,
    /// `true` for a policy of the account, which takes no place among a log group's two filters.
    pub(crate) is_of_account: bool,
}

impl FoundFilter {
    /// Reads a filter of this log group. `aws_flags` are for the command that removes it.
    pub(crate) fn of_log_group(group: &str, filter: SubscriptionFilter, aws_flags: &str) -> Self {
        let SubscriptionFilter { name, pattern, destination, .. } = filter;
        Self {
            description: format!("filter {name}"),
            pattern,
            destination,
            removal: format!(
                "aws logs delete-subscription-filter --log-group-name {group} --filter-name {name}{aws_flags}"
            ),
            is_of_account: false,
        }
    }

    /// Reads a policy of the account as a filter of this log group. Returns `None` if it excludes the log group, or is
    /// not about subscriptions.
    ///
    /// Source: CloudWatch Logs API Reference, "PutAccountPolicy": the document's `DestinationArn` and `FilterPattern`.
    pub(crate) fn of_policy(
        name: &str,
        document: &str,
        criteria: &str,
        group: &str,
        aws_flags: &str,
    ) -> Option<Self> {
        if policy_excludes(criteria, group) {
            return None;
        }
        let fields: Value = serde_json::from_str(document).ok()?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        Some(Self {
            description: format!("the account's policy {name}"),
            pattern: text("FilterPattern").unwrap_or_default().to_owned(),
            destination: text("DestinationArn")?.to_owned(),
            removal: format!(
                "aws logs delete-account-policy --policy-name {name} --policy-type SUBSCRIPTION_FILTER_POLICY{aws_flags}"
            ),
            is_of_account: true,
        })
    }
}

/// The deployed forwarder, to which filters should lead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckedForwarder<'a> {
    pub(crate) arn: &'a str,
    pub(crate) streams: &'a [String],
    /// The flags with which `subscribe` finds it: `--stack NAME`, or `--destination ARN`, with region and profile.
    pub(crate) subscribe_flags: &'a str,
    /// Region and profile as flags, each with a space before it.
    pub(crate) aws_flags: &'a str,
    /// The lines that the stack forwards.
    pub(crate) collect: Collect,
}

/// The maximum number of filters of a log group (CloudWatch Logs User Guide, "CloudWatch Logs quotas").
const MAX_FILTERS: usize = 2;

impl CheckedForwarder<'_> {
    /// Returns the command that subscribes a log group with these lines.
    fn subscribe_command(&self, group: &str, collect: Collect) -> String {
        self.subscribe_command_with(group, collect, "")
    }

    /// Like [`Self::subscribe_command`], with another flag, which begins with a space.
    fn subscribe_command_with(&self, group: &str, collect: Collect, flag: &str) -> String {
        let flags = self.subscribe_flags;
        let word = Collect::word_of(collect.pattern()).unwrap_or_default();
        let lines =
            if collect == Collect::All { String::new() } else { format!(" --collect {word}") };
        format!("`lambda-otlp subscribe {flags} --include {group}{lines}{flag} --yes`")
    }

    /// Returns the remedy for a log group without a filter of ours, and with these others.
    fn missing_filter_remedy(
        &self,
        group: &str,
        collect: Collect,
        others: &[&FoundFilter],
    ) -> String {
        let of_log_group: Vec<&FoundFilter> =
            others.iter().filter(|filter| !filter.is_of_account).copied().collect();
        match of_log_group.as_slice() {
            [] => self.subscribe_command(group, collect),
            [_] => self.subscribe_command_with(group, collect, " --beside-others"),
            several => {
                let most = MAX_FILTERS.min(several.len());
                format!(
                    "it has {most} filters of others, and CloudWatch Logs allows no third: remove one, for example with `{}`, then {}",
                    removal_of_one(several),
                    self.subscribe_command_with(group, collect, " --beside-others")
                )
            }
        }
    }

    pub(super) fn receives_from(&self, filter: &FoundFilter) -> bool {
        is_same_function(&filter.destination, self.arn)
            || self.streams.contains(&filter.destination)
    }
}

/// Checks that the function's resource policy allows CloudWatch Logs to invoke it.
///
/// Source: CloudWatch Logs User Guide, "Subscription filters with AWS Lambda".
pub(crate) fn permission(function: &str, policy: Option<&str>, aws_flags: &str) -> Check {
    let document: Value =
        policy.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut statements = document.get("Statement").and_then(Value::as_array).into_iter().flatten();
    let service =
        |statement: &Value| statement.pointer("/Principal/Service")?.as_str().map(str::to_owned);
    if statements.any(|it| service(it).is_some_and(|service| service.starts_with("logs."))) {
        Check::ok("permission", "CloudWatch Logs may invoke the function")
    } else {
        let account = account_id(function).unwrap_or_default();
        let text = format!(
            "CloudWatch Logs may not invoke {function}, so no filter can lead to it, and existing ones lose their events: `aws lambda add-permission --function-name {function} --statement-id logs --action lambda:InvokeFunction --principal logs.amazonaws.com --source-account {account}{aws_flags}`"
        );
        Check::failed("permission", text)
    }
}

/// Checks the filters of a log group, and of the function that writes to it.
pub(crate) fn subscription(
    group: &str,
    filters: &[FoundFilter],
    function: Option<&DeployedFunction>,
    forwarder: CheckedForwarder<'_>,
) -> Vec<Check> {
    let is_own = |filter: &&FoundFilter| forwarder.receives_from(filter);
    let own: Vec<&FoundFilter> = filters.iter().filter(is_own).collect();
    let others: Vec<&FoundFilter> = filters.iter().filter(|filter| !is_own(filter)).collect();
    let mut checks = Vec::new();
    match own.as_slice() {
        [] => checks.push(match function.and_then(in_direct_mode) {
            Some(variable) => Check::warning(
                "subscription",
                format!(
                    "{group}: its function is in direct mode ({variable}), and telemetry that the backend does not accept stays in the log, because no filter leads to the forwarder: {}",
                    forwarder.missing_filter_remedy(group, Collect::Spilled, &others)
                ),
            ),
            None => Check::failed(
                "subscription",
                format!(
                    "{group}: no filter leads to the forwarder, so nothing is forwarded: {}",
                    forwarder.missing_filter_remedy(group, forwarder.collect, &others)
                ),
            ),
        }),
        [filter] => checks.push(Check::ok(
            "subscription",
            format!(
                "{group}: {} with pattern {:?}{}",
                filter.description,
                filter.pattern,
                hidden_errors(group, filter, forwarder)
            ),
        )),
        several => checks.push(Check::failed(
            "subscription",
            format!(
                "{group}: {} lead to the forwarder: every event arrives twice: `{}`",
                names(several),
                removal_of_one(several)
            ),
        )),
    }
    if !others.is_empty() {
        let text = format!(
            "{group}: {} leads elsewhere: if its destination sends to the same backend, everything is stored twice; if you no longer need it: `{}`",
            names(&others),
            removal_of_one(&others)
        );
        checks.push(Check::warning("double wiring", text));
    }
    checks.extend(own.iter().filter_map(|filter| without_compact_lines(group, filter, forwarder)));
    if let Some(function) = function {
        let only_spilled = |filter: &&FoundFilter| only_spilled(group, filter, function, forwarder);
        checks.extend(own.iter().filter_map(only_spilled));
    }
    checks
}

/// Warns of a filter for spilled lines if no variable puts the function into direct mode: its telemetry stays in the log. A file in
/// its package may do so too.
fn only_spilled(
    group: &str,
    filter: &FoundFilter,
    function: &DeployedFunction,
    forwarder: CheckedForwarder<'_>,
) -> Option<Check> {
    let is_wanted = forwarder.collect == Collect::Spilled || in_direct_mode(function).is_some();
    if is_wanted || !is_of_spilled(filter) {
        return None;
    }
    let lines = Collect::word_of(forwarder.collect.pattern()).unwrap_or_default();
    let text = format!(
        "{group}: {} selects spilled lines only, but no variable of {} asks for direct mode, so its telemetry stays in the log: `lambda-otlp subscribe {} --include {group} --collect {lines} --yes`",
        filter.description, function.name, forwarder.subscribe_flags
    );
    Some(Check::warning("filter", text))
}

fn is_of_spilled(filter: &FoundFilter) -> bool {
    filter.pattern.contains("$.spill")
}

/// Describes what a filter for telemetry hides: AWS reports an error of the handler as a success, and the filter does not select
/// the runtime's line about it. Empty for another filter.
fn hidden_errors(group: &str, filter: &FoundFilter, forwarder: CheckedForwarder<'_>) -> String {
    if filter.pattern.contains(MARKER) {
        let remedy = match forwarder.collect {
            Collect::Telemetry => "deploy the stack with Collect=all".to_owned(),
            _ => forwarder.subscribe_command(group, Collect::All),
        };
        format!(
            "; it leaves out the runtimes' lines about failed invocations, so a handler's error counts only if a span states it; to count all: {remedy}"
        )
    } else {
        String::new()
    }
}

/// The command that deletes one of these filters: one that our tools did not make, if there is one.
fn removal_of_one<'a>(filters: &[&'a FoundFilter]) -> &'a str {
    let is_by_hand = |filter: &&&FoundFilter| !filter.description.contains("filter lambda-otlp/");
    let filter = filters.iter().find(is_by_hand).or(filters.first());
    filter.map_or("", |filter| &filter.removal)
}

/// Warns of a filter from before the compact line: it selects OTLP lines by the standard line's marker only.
fn without_compact_lines(
    group: &str,
    filter: &FoundFilter,
    forwarder: CheckedForwarder<'_>,
) -> Option<Check> {
    let names = |marker| filter.pattern.contains(marker);
    let text = format!(
        "{group}: {} leaves out compact lines, and so the telemetry of functions with LAMBDA_OTLP_LINE=compact: update the stack, or {}",
        filter.description,
        forwarder.subscribe_command(group, Collect::Telemetry)
    );
    (names(MARKER) && !names(COMPACT_MARKER)).then(|| Check::warning("filter", text))
}

/// Returns `true` if both ARNs name the same function, in any version or alias.
fn is_same_function(one: &str, other: &str) -> bool {
    let parsed = Arn::parse(one).zip(Arn::parse(other));
    parsed.is_some_and(|(one, other)| one.is_same_function(&other))
}

fn names(filters: &[&FoundFilter]) -> String {
    let names: Vec<&str> = filters.iter().map(|filter| filter.description.as_str()).collect();
    names.join(", ")
}

/// Returns the variable that puts the layer of this function into direct mode.
fn in_direct_mode(function: &DeployedFunction) -> Option<&'static str> {
    direct_mode_variable(function.layers.iter().map(String::as_str), &function.variables)
}

/// Checks whether a function with these filters also sends the same telemetry in direct mode. A filter for spilled lines does not
/// conflict with that.
pub(crate) fn double_wiring(
    forwarder: CheckedForwarder<'_>,
    group: &str,
    function: &DeployedFunction,
    filters: &[FoundFilter],
) -> Option<Check> {
    let variable = in_direct_mode(function)?;
    let filter = filters.iter().find(|filter| !is_of_spilled(filter))?;
    let text = format!(
        "{} is in direct mode ({variable}), and {} also forwards its log: that telemetry is stored twice: {}; or set LAMBDA_OTLP_OUTPUT=stdout on the function",
        function.name,
        filter.description,
        forwarder.subscribe_command(group, Collect::Spilled)
    );
    Some(Check::failed("double wiring", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use settings::Verdict::{self, Failed, Ok, Warning};

    const FORWARDER: &str = "arn:aws:lambda:eu-west-1:123456789012:function:forwarder";

    /// A forwarder whose stack forwards all lines.
    fn forwarder(streams: &[String]) -> CheckedForwarder<'_> {
        CheckedForwarder {
            arn: FORWARDER,
            streams,
            subscribe_flags: "--stack o2 --region eu-west-1",
            aws_flags: " --region eu-west-1",
            collect: Collect::All,
        }
    }

    #[test]
    fn the_remedy_of_a_missing_filter_fits_the_log_group() {
        let remedy = |names: &[&str], function: Option<&DeployedFunction>, collect: Collect| {
            let other = |name: &&str| FoundFilter {
                description: format!("filter {name}"),
                destination: "arn:aws:lambda:eu-west-1:123456789012:function:audit".to_owned(),
                removal: format!("aws logs delete-subscription-filter --filter-name {name}"),
                ..FoundFilter::default()
            };
            let others: Vec<FoundFilter> = names.iter().map(other).collect();
            let forwarder = CheckedForwarder { collect, ..forwarder(&[]) };
            let checks = subscription("/g", &others, function, forwarder);
            let Check { text, verdict, .. } = &checks[0];
            format!("{} {}", verdict.as_str(), text.split_once(": ").unwrap().1)
        };
        let subscribe = "lambda-otlp subscribe --stack o2 --region eu-west-1 --include /g";
        let nothing = "failed no filter leads to the forwarder, so nothing is forwarded: ";
        assert_eq!(remedy(&[], None, Collect::All), format!("{nothing}`{subscribe} --yes`"));
        assert_eq!(
            remedy(&[], None, Collect::Telemetry),
            format!("{nothing}`{subscribe} --collect telemetry --yes`")
        );
        assert_eq!(
            remedy(&["a"], None, Collect::All),
            format!("{nothing}`{subscribe} --beside-others --yes`")
        );
        let two = remedy(&["a", "b"], None, Collect::All);
        let removal =
            "remove one, for example with `aws logs delete-subscription-filter --filter-name a`";
        assert!(two.contains(removal), "{two}");
        assert!(two.ends_with(&format!("then `{subscribe} --beside-others --yes`")), "{two}");
        let endpoint = ("LAMBDA_OTLP_ENDPOINT".to_owned(), "https://o2.example.com".to_owned());
        let function = DeployedFunction {
            variables: [endpoint].into(),
            layers: vec!["arn:aws:lambda:eu-west-1:1:layer:lambda-otlp-arm64:7".to_owned()],
            ..DeployedFunction::default()
        };
        let spilled = FoundFilter {
            description: "filter lambda-otlp/forwarder".to_owned(),
            pattern: Collect::Spilled.pattern().to_owned(),
            destination: FORWARDER.to_owned(),
            ..FoundFilter::default()
        };
        let of_spilled = |function: &DeployedFunction, collect: Collect| {
            let forwarder = CheckedForwarder { collect, ..forwarder(&[]) };
            let filters = std::slice::from_ref(&spilled);
            let checks = subscription("/g", filters, Some(function), forwarder);
            checks.into_iter().find(|check| check.name == "filter").map(|check| check.text)
        };
        let left = DeployedFunction { name: "left".to_owned(), ..DeployedFunction::default() };
        assert_eq!(of_spilled(&function, Collect::All), None);
        assert_eq!(of_spilled(&left, Collect::Spilled), None);
        let stays = of_spilled(&left, Collect::Telemetry).unwrap_or_default();
        assert!(stays.contains("no variable of left asks for direct mode"), "{stays}");
        assert!(stays.ends_with(&format!("`{subscribe} --collect telemetry --yes`")), "{stays}");
        let direct = remedy(&[], Some(&function), Collect::All);
        assert!(direct.starts_with("warning its function is in direct mode"), "{direct}");
        assert!(direct.ends_with("--include /g --collect spilled --yes`"), "{direct}");
    }

    #[test]
    fn cloudwatch_logs_needs_the_permission_to_invoke() {
        let check = |principal: &str, expected: Verdict| {
            let policy = json!({ "Statement": [{ "Principal": { "Service": principal } }] });
            assert_eq!(
                permission(FORWARDER, Some(&policy.to_string()), "").verdict,
                expected,
                "{policy}"
            );
        };
        check("logs.amazonaws.com", Ok);
        check("logs.eu-west-1.amazonaws.com", Ok);
        check("s3.amazonaws.com", Failed);
        let missing = permission(FORWARDER, None, " --region eu-west-1");
        assert_eq!(missing.verdict, Failed);
        let end = "--source-account 123456789012 --region eu-west-1`";
        assert!(missing.text.ends_with(end), "{missing}");
    }

    #[test]
    fn duplicate_or_missing_forwarder_filters_fail_the_check() {
        let filter = |name: &str, destination: &str| FoundFilter {
            description: name.to_owned(),
            destination: destination.to_owned(),
            ..FoundFilter::default()
        };
        let stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/logs";
        let streams = [stream.to_owned()];
        let forwarder = forwarder(&streams);
        let check = |filters: &[FoundFilter], expected: &[(&str, Verdict)]| {
            let checks = subscription("/g", filters, None, forwarder);
            let found: Vec<_> = checks.iter().map(|check| (check.name, check.verdict)).collect();
            assert_eq!(found, expected, "{checks:?}");
        };
        let other = "arn:aws:lambda:eu-west-1:123456789012:function:datadog";
        let alias = format!("{FORWARDER}:live");
        let subscribed = ("subscription", Ok);
        let twice = ("double wiring", Warning);
        check(&[], &[("subscription", Failed)]);
        for own in [FORWARDER, &alias, stream] {
            check(&[filter("a", own)], &[subscribed]);
            check(&[filter("a", own), filter("b", FORWARDER)], &[("subscription", Failed)]);
        }
        check(&[filter("a", other), filter("b", FORWARDER)], &[subscribed, twice]);
        check(&[filter("a", other)], &[("subscription", Failed), twice]);
        let with_pattern =
            |pattern: &str| FoundFilter { pattern: pattern.to_owned(), ..filter("a", FORWARDER) };
        for pattern in [Collect::Telemetry.pattern(), Collect::Spilled.pattern(), "ERROR"] {
            check(&[with_pattern(pattern)], &[subscribed]);
            let checks = subscription("/g", &[with_pattern(pattern)], None, forwarder);
            let hides = checks.iter().any(|check| check.text.contains("the runtimes' lines"));
            assert_eq!(hides, pattern == Collect::Telemetry.pattern(), "{pattern}");
        }
        let old = with_pattern(r#"?"__otel_otlp_stdout" ?"resourceSpans""#);
        check(std::slice::from_ref(&old), &[subscribed, ("filter", Warning)]);
        let elsewhere = FoundFilter { destination: other.to_owned(), ..old };
        check(&[filter("a", FORWARDER), elsewhere], &[subscribed, twice]);
    }

    #[test]
    fn an_account_policy_filters_all_log_groups_except_excluded_ones() {
        let document =
            json!({ "DestinationArn": FORWARDER, "FilterPattern": "p", "Distribution": "Random" })
                .to_string();
        let of = |criteria: &str, group: &str| {
            FoundFilter::of_policy("all", &document, criteria, group, "")
        };
        let criteria = r#"LogGroupName NOT IN ["/lambda-otlp/x/forwarder","/noisy"]"#;
        let filter = of(criteria, "/aws/lambda/shop").unwrap();
        assert_eq!(filter.description, "the account's policy all");
        assert_eq!((filter.pattern.as_str(), filter.destination.as_str()), ("p", FORWARDER));
        assert_eq!(of(criteria, "/noisy"), None);
        assert!(of("", "/noisy").is_some());
        assert_eq!(FoundFilter::of_policy("all", "no JSON", "", "/g", ""), None);
    }

    #[test]
    fn double_wiring_of_a_direct_sender_is_detected() {
        let forwarder = forwarder(&[]);
        let check = |variables: &[(&str, &str)], layer: &str, pattern: &str, expected: bool| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let filter = FoundFilter { pattern: pattern.to_owned(), ..FoundFilter::default() };
            let function = DeployedFunction {
                variables: variables.iter().map(owned).collect(),
                layers: vec![layer.to_owned()],
                ..DeployedFunction::default()
            };
            let found = double_wiring(forwarder, "/g", &function, &[filter]);
            assert_eq!(found.is_some(), expected, "{function:?} {pattern}");
        };
        let ours = "arn:aws:lambda:eu-west-1:123456789012:layer:lambda-otlp-x86_64:7";
        let theirs = "arn:aws:lambda:eu-west-1:1:layer:opentelemetry-lambda-extension:1";
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://o2.example.com/api/default");
        let own = ("LAMBDA_OTLP_ENDPOINT", "https://o2.example.com/api/default");
        let here = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        let o2 = [("O2_ORGANIZATION_ID", "o"), ("O2_AUTHORIZATION_HEADER", "Basic x")];
        for pattern in ["", Collect::Telemetry.pattern()] {
            for variables in [&[endpoint][..], &[own], &o2, &[here, own]] {
                check(variables, ours, pattern, true);
            }
            // In stdout mode.
            for variables in [&[][..], &[here], &[own, ("LAMBDA_OTLP_OUTPUT", "stdout")]] {
                check(variables, ours, pattern, false);
            }
            check(&[own], theirs, pattern, false);
        }
        check(&[own], ours, Collect::Spilled.pattern(), false);
    }
}
