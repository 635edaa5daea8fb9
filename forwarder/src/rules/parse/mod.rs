//! Parses a rules file and reports all of its mistakes.

mod actions;
mod conditions;
mod document;
mod routing;

#[cfg(test)]
mod tests;

use super::condition::Conditions;
use super::mistake::Mistakes;
use super::redact::ItemPart;
use super::{Action, MOST_BYTES, Rule, RuleSet, ServiceRule, Target};
use document::Document;
use std::collections::HashMap;
use std::ops::Range;
use toml::de::DeTable;
use wire::SignalKind;

pub(super) fn parse(text: &str) -> Result<RuleSet, Mistakes> {
    if text.len() > MOST_BYTES {
        return Err(Mistakes::of_file(format!("the file has more than {MOST_BYTES} bytes")));
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut document = Document::new(text);
    for error in &errors {
        document.mistake(
            error.span().unwrap_or(0..0),
            "",
            format!("invalid TOML: {}", error.message()),
        );
    }
    if !errors.is_empty() {
        // After a syntax error, further mistakes would be guesses.
        return Mistakes::check(document.mistakes).map(|()| RuleSet::default());
    }
    let root = root.get_ref();
    document.check_keys("", root, &["rule", "service", "destination", "route"]);
    let rules = rules(&mut document, root);
    let services = services(&mut document, root);
    let destinations = routing::destinations(&mut document, root);
    let routes = routing::routes(&mut document, root, &destinations);
    Mistakes::check(document.mistakes)?;
    Ok(RuleSet { rules, services, routes, destinations })
}

fn rules<'t>(document: &mut Document<'t>, root: &DeTable<'t>) -> Vec<Rule> {
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut rules = Vec::new();
    for (at, table) in document.tables("rule", root) {
        let line = document.line(&at);
        if let Some(node) = table.get("name")
            && let Some(name) = node.get_ref().as_str()
            && let Some(first) = names.insert(name.to_owned(), line)
        {
            let problem = format!("the rule in line {first} has the same name");
            document.mistake(node.span(), "name", problem);
        }
        rules.extend(rule(document, &at, table));
    }
    rules
}

fn rule<'t>(document: &mut Document<'t>, at: &Range<usize>, table: &DeTable<'t>) -> Option<Rule> {
    let known: Vec<&str> =
        ["name", "match", "unless", "on"].into_iter().chain(actions::NAMES).collect();
    document.check_keys("", table, &known);
    let named = table.get("name");
    if named.is_none() {
        let problem = "a rule needs a name: what it drops is counted under it";
        document.mistake(at.clone(), "name", problem);
    }
    let name = named.and_then(|node| document.string("name", node));
    let conditions = table.get("match").map(|node| conditions::read(document, "match", node));
    let conditions = conditions.unwrap_or_default();
    let unless = table.get("unless").map(|node| conditions::read(document, "unless", node));
    let action = actions::read(document, at, table)?;
    check_target(document, table, &action, &conditions, unless.as_ref());
    if matches!(action, Action::Sample(_))
        && conditions.signals.as_deref() == Some(&[SignalKind::Metrics])
        && let Some(node) = table.get("sample")
    {
        document.mistake(
            node.span(),
            "sample",
            "metrics are not sampled: a sum without some of its data points is wrong",
        );
    }
    Some(Rule { name: name?.into(), conditions, unless, action })
}

const IS_SHARED: &str = "a resource is shared by all of its items: the conditions of this rule may be on signal, place, service name and resource only";
const IS_SHARED_REDACTED: &str = "resource and scope are shared by all of their items: the conditions of this rule may be on signal, place, service name and resource only";

/// Items cannot decide about a resource or scope, because they share it.
fn check_target<'t>(
    document: &mut Document<'t>,
    table: &DeTable<'t>,
    action: &Action,
    conditions: &Conditions,
    unless: Option<&Conditions>,
) {
    let asks_items = !conditions.item.is_empty() || unless.is_some_and(|u| !u.item.is_empty());
    if !asks_items {
        return;
    }
    match action {
        Action::Change(Target::Resource, _) => {
            if let Some(node) = table.get("on") {
                document.mistake(node.span(), "on", IS_SHARED);
            }
        }
        Action::Redact(redaction) => {
            let names_shared =
                [ItemPart::Resource, ItemPart::Scope].map(|part| redaction.looks_into(part));
            let redact = table.get("redact").and_then(|node| node.get_ref().as_table());
            // Without `in`, only the parts that belong to single items are redacted.
            if names_shared.contains(&true)
                && let Some(node) = redact.and_then(|redact| redact.get("in"))
            {
                document.mistake(node.span(), "redact.in", IS_SHARED_REDACTED);
            }
        }
        _ => {}
    }
}

fn services<'t>(document: &mut Document<'t>, root: &DeTable<'t>) -> Vec<ServiceRule> {
    let mut services = Vec::new();
    for (at, table) in document.tables("service", root) {
        document.check_keys("service", table, &["log_group", "name"]);
        let log_groups = table.get("log_group");
        let log_groups = log_groups.map(|node| document.patterns("service.log_group", node));
        let name = table.get("name").map(|node| document.template("service.name", node));
        for (key, missing) in [("log_group", log_groups.is_none()), ("name", name.is_none())] {
            if missing {
                document.mistake(at.clone(), "service", format!("`{key}` is missing"));
            }
        }
        if let (Some(log_groups), Some(Some(name))) = (log_groups, name) {
            services.push(ServiceRule { log_groups, name });
        }
    }
    services
}
