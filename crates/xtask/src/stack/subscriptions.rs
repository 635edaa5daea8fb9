//! Checks the stack's subscriptions: of one log group or the account, with or without a stream, or by the subscriber; never of
//! its own log groups.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value returns null if the key is missing"
)]

use super::grants::text;
use super::template::{OWN_GROUPS, arn_of, of_type, resource, same};
use super::{Case, case};
use crate::checks::Tally;
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

/// Parameters, and the resulting numbers of filters, account-level policies and subscribers.
type Way = (&'static [(&'static str, &'static str)], [usize; 3]);

const WAYS: [Way; 14] = [
    (&[], [0, 0, 0]),
    (&[("SubscribeBy", "subscriber")], [0, 0, 0]),
    (&[("LogGroups", "/aws/lambda/orders")], [1, 0, 0]),
    (&[("LogGroups", "/aws/lambda/orders"), ("ExcludedLogGroups", "*-dev")], [1, 0, 0]),
    (&[("LogGroups", "/aws/lambda/orders"), ("SubscribeBy", "subscriber")], [0, 0, 1]),
    (&[("LogGroups", "/aws/lambda/orders,/ecs/shop")], [0, 0, 1]),
    (&[("LogGroups", "/aws/lambda/*")], [0, 0, 1]),
    (&[("LogGroups", "/aws/lambda/")], [0, 0, 1]),
    (&[("LogGroups", "*")], [0, 1, 0]),
    (&[("LogGroups", "*"), ("ExcludedLogGroups", "/aws/lambda/a,/aws/lambda/b")], [0, 1, 0]),
    // An account-level policy supports only whole names and no tags.
    (&[("LogGroups", "*"), ("ExcludedLogGroups", "/aws/lambda/a,*-dev")], [0, 0, 1]),
    (&[("LogGroups", "*"), ("SubscribeBy", "subscriber")], [0, 0, 1]),
    (&[("SubscribeTags", "team=shop")], [0, 0, 1]),
    (&[("LogGroups", "/aws/lambda/*"), ("CreateKinesisStream", "true")], [0, 0, 1]),
];

/// The parameters of each way to subscribe, in the order of [`check`]'s templates.
pub(super) fn cases() -> Vec<Case> {
    let all = ("LogGroups", "*");
    let mut cases = vec![
        case(&[]),
        case(&[("LogGroups", "/aws/lambda/orders")]),
        case(&[all, ("Collect", "telemetry"), ("ExcludedLogGroups", "/aws/lambda/noisy,vpc")]),
        case(&[all, ("CreateKinesisStream", "true")]),
        case(&[("LogGroups", "/aws/lambda/orders"), ("CreateKinesisStream", "true")]),
        case(&[("LogGroups", "/aws/lambda/*"), ("CreateKinesisStream", "true")]),
    ];
    cases.extend(WAYS.map(|(said, _)| case(said)));
    cases
}

pub(super) fn check(template: &Value, folded: &[Value], tally: &mut Tally) {
    let (shown, ways) = folded.split_at(folded.len().saturating_sub(WAYS.len()));
    tally.note("subscriptions", subscriptions(template, shown));
    tally.note("who subscribes", who_subscribes(ways));
}

fn who_subscribes(folded: &[Value]) -> anyhow::Result<String> {
    ensure!(folded.len() == WAYS.len(), "{} cases", folded.len());
    for ((said, expected), template) in WAYS.iter().zip(folded) {
        let made = [
            "AWS::Logs::SubscriptionFilter",
            "AWS::Logs::AccountPolicy",
            "Custom::LogSubscriptions",
        ]
        .map(|kind| of_type(template, kind).len());
        ensure!(
            made == *expected,
            "{said:?}: {made:?} filters, policies and subscribers, not {expected:?}"
        );
        let functions = of_type(template, "AWS::Lambda::Function").len();
        ensure!(functions == 2 + made[2], "{said:?}: {functions} functions");
    }
    Ok(format!("{} selections: by a filter, a policy, the subscriber, or none", WAYS.len()))
}

fn subscriptions(template: &Value, folded: &[Value]) -> anyhow::Result<String> {
    let [none, group, account, account_by_kinesis, group_by_kinesis, pattern_by_kinesis] = folded
    else {
        bail!("{} cases", folded.len());
    };
    for name in ["Subscription", "AccountSubscription"] {
        let awaited = &template["Resources"][name]["DependsOn"];
        for first in ["ForwarderPermission", "ForwarderInvokeConfig"] {
            let waits = awaited.as_array().is_some_and(|awaited| awaited.contains(&json!(first)));
            ensure!(waits, "{name} may be made before {first}");
        }
    }
    let forwarder = arn_of("ForwarderFunction");
    let made = |template: &Value| {
        ["AWS::Logs::SubscriptionFilter", "AWS::Logs::AccountPolicy"]
            .map(|kind| of_type(template, kind).len())
    };
    ensure!(made(none) == [0, 0], "log groups are subscribed without a selection");
    ensure!(made(group) == [1, 0] && made(group_by_kinesis) == [1, 0], "not one log group");
    ensure!(made(account) == [0, 1] && made(account_by_kinesis) == [0, 1], "not the account");

    let filter = &group["Resources"]["Subscription"]["Properties"];
    same("DestinationArn", &filter["DestinationArn"], forwarder)?;
    ensure!(filter["RoleArn"].is_null(), "Lambda is invoked by no role");
    let filter = &group_by_kinesis["Resources"]["Subscription"]["Properties"];
    same("DestinationArn", &filter["DestinationArn"], arn_of("KinesisStream"))?;
    same("RoleArn", &filter["RoleArn"], arn_of("SubscriptionRole"))?;
    let read = &group_by_kinesis["Resources"]["KinesisSource"]["Properties"]["EventSourceArn"];
    same("what is read", read, arn_of("KinesisStream"))?;
    let subscriptions = &pattern_by_kinesis["Resources"]["Subscriptions"]["Properties"];
    same("KinesisStream", &subscriptions["KinesisStream"], arn_of("KinesisStream"))?;
    same("KinesisRole", &subscriptions["KinesisRole"], arn_of("SubscriptionRole"))?;

    // The subscriber and `lambda-otlp unsubscribe` identify the stack's filters by this name.
    let command = template["Outputs"]["SubscribeCommand"].to_string();
    let name = "--filter-name lambda-otlp/${ForwarderFunction} ";
    ensure!(command.contains(name), "SubscribeCommand makes a filter of another name: {command}");

    // The parameter's pattern rejects the stack's own log groups.
    let allowed = template["Parameters"]["LogGroups"]["AllowedPattern"].as_str();
    let refuses = format!("(?!{OWN_GROUPS})");
    let times = allowed.map_or(0, |allowed| allowed.matches(&refuses).count());
    ensure!(times == 2, "the first name or a further one may be of the stack: {allowed:?}");

    let policy = policy(account)?;
    same("DestinationArn", &policy["DestinationArn"], "${ForwarderFunction.Arn}")?;
    let pattern = &template["Mappings"]["FilterPatterns"]["telemetry"]["Pattern"];
    same("FilterPattern", &policy["FilterPattern"], pattern.clone())?;
    let excluded = excluded(account)?;
    let of_subscriber = text(&resource(template, "SubscriberLogGroup")?["LogGroupName"]);
    for group in ["/aws/lambda/noisy", "vpc", &of_subscriber] {
        ensure!(excluded.contains(&json!(group)), "{group} is not excluded: {excluded:?}");
    }
    let policy = self::policy(account_by_kinesis)?;
    same("DestinationArn", &policy["DestinationArn"], "${KinesisStream.Arn}")?;
    same("RoleArn", &policy["RoleArn"], "${SubscriptionRole.Arn}")?;
    let own = self::excluded(account_by_kinesis)?.len();
    Ok(format!(
        "a log group, or the account without {own} log groups of the stack; to the forwarder, or to a stream"
    ))
}

fn account_policy(template: &Value) -> &Value {
    &template["Resources"]["AccountSubscription"]["Properties"]
}

fn policy(template: &Value) -> anyhow::Result<Value> {
    let document = text(&account_policy(template)["PolicyDocument"]);
    serde_json::from_str(&document).with_context(|| format!("no JSON: {document}"))
}

/// Returns the excluded names, which must include all log groups of the stack.
fn excluded(template: &Value) -> anyhow::Result<Vec<Value>> {
    let criteria = text(&account_policy(template)["SelectionCriteria"]);
    // CloudWatch Logs supports no other criteria for subscriptions.
    // <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutAccountPolicy.html>
    let names = criteria.strip_prefix("LogGroupName NOT IN ").context("no exclusion")?;
    let names: Vec<Value> = serde_json::from_str(names).with_context(|| names.to_owned())?;
    for (group, _) in of_type(template, "AWS::Logs::LogGroup") {
        let reference = json!(format!("${{{group}}}"));
        ensure!(names.contains(&reference), "{group} of the stack itself is not excluded");
    }
    Ok(names)
}
