//! Parses the action of a rule.

use super::super::change::{Change, NewValue};
use super::super::redact::{
    Finder, ItemPart, MOST_REPLACEMENT, PRESETS, Preset, Redaction, Replacement,
};
use super::super::sample::Share;
use super::super::template::Template;
use super::super::{Action, Target};
use super::document::{Document, Node, join};
use settings::Pattern;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The actions; each rule has one.
pub(super) const NAMES: [&str; 8] =
    ["keep", "drop", "sample", "redact", "add", "set", "rename", "remove"];

const NO_NAME: &str = "the name of an attribute cannot be empty";

pub(super) fn read<'t>(
    document: &mut Document<'t>,
    at: &Range<usize>,
    table: &DeTable<'t>,
) -> Option<Action> {
    let mut named = NAMES.iter().filter_map(|name| Some((*name, table.get(*name)?)));
    let Some((name, node)) = named.next() else {
        // A misspelt action was reported above.
        let known =
            |key: &str| NAMES.contains(&key) || ["name", "match", "unless", "on"].contains(&key);
        if table.iter().all(|(key, _)| known(key.get_ref())) {
            let problem = format!("the rule does nothing; expected one of {}", NAMES.join(", "));
            document.mistake(at.clone(), "", problem);
        }
        return None;
    };
    for (other, node) in named {
        let problem =
            format!("a rule does one thing, and this one has `{name}`: write a second rule");
        document.mistake(node.span(), other, problem);
    }
    let target = target(document, table, name);
    match name {
        "keep" => only_true(document, name, node).map(|()| Action::Keep),
        "drop" => only_true(document, name, node).map(|()| Action::Drop),
        "sample" => {
            let share = document.number(name, node)?;
            let action = Share::new(share).map(Action::Sample);
            if action.is_none() {
                document.mistake(
                    node.span(),
                    name,
                    "expected a share from 0 to 1: 0.1 keeps a tenth",
                );
            }
            action
        }
        "redact" => Some(Action::Redact(Box::new(redaction(document, node)))),
        "add" => Some(Action::Change(target, Change::Add(new_values(document, name, node)?))),
        "set" => Some(Action::Change(target, Change::Set(new_values(document, name, node)?))),
        "rename" => {
            let table = document.table(name, node)?;
            let mut pairs = Vec::new();
            for (key, node) in table {
                let from = key.get_ref();
                if from.is_empty() {
                    document.mistake(node.span(), name, NO_NAME);
                }
                let to = document.string(&join(name, from), node);
                pairs.extend(to.map(|to| (from.to_string(), to.to_owned())));
            }
            Some(Action::Change(target, Change::Rename(pairs)))
        }
        _ => Some(Action::Change(target, Change::Remove(document.patterns(name, node)))),
    }
}

fn only_true<'t>(document: &mut Document<'t>, name: &str, node: &Node<'t>) -> Option<()> {
    let value = document.bool(name, node)?;
    if !value {
        document.mistake(node.span(), name, "expected true; delete a rule that does nothing");
    }
    value.then_some(())
}

fn target<'t>(document: &mut Document<'t>, table: &DeTable<'t>, action: &str) -> Target {
    const TARGETS: &[(&str, Target)] =
        &[("attributes", Target::Attributes), ("resource", Target::Resource)];
    let Some(node) = table.get("on") else { return Target::Attributes };
    if !["add", "set", "rename", "remove"].contains(&action) {
        let problem = format!("goes with add, set, rename and remove, not with `{action}`");
        document.mistake(node.span(), "on", problem);
    }
    let text = document.string("on", node);
    let target = text.and_then(|text| document.word("on", text, node.span(), TARGETS));
    target.unwrap_or(Target::Attributes)
}

fn new_values<'t>(
    document: &mut Document<'t>,
    path: &str,
    node: &Node<'t>,
) -> Option<Vec<(String, NewValue)>> {
    let table = document.table(path, node)?;
    let mut values = Vec::new();
    for (key, node) in table {
        let name = key.get_ref();
        if name.is_empty() {
            document.mistake(node.span(), path, NO_NAME);
        }
        let value = new_value(document, &join(path, name), node);
        values.extend(value.map(|value| (name.to_string(), value)));
    }
    Some(values)
}

fn new_value<'t>(document: &mut Document<'t>, key: &str, node: &Node<'t>) -> Option<NewValue> {
    match node.get_ref() {
        DeValue::String(text) if text.is_empty() => Template::parse("").ok().map(NewValue::Text),
        DeValue::String(_) => document.template(key, node).map(NewValue::Text),
        DeValue::Boolean(value) => Some(NewValue::Bool(*value)),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            if number.is_err() {
                document.mistake(node.span(), key, "the number does not fit into 64 bits");
            }
            number.ok().map(NewValue::Int)
        }
        DeValue::Array(array) => {
            let mut values = Vec::new();
            for node in array {
                values.extend(new_value(document, key, node));
            }
            Some(NewValue::Array(values))
        }
        DeValue::Table(_) => {
            let problem = "expected a value, found a table. A key that has dots is written in quotes: \"http.route\"";
            document.mistake(node.span(), key, problem);
            None
        }
        DeValue::Datetime(_) => {
            document.mistake(node.span(), key, "expected a value; write a date as a string");
            None
        }
        DeValue::Float(_) => document.number(key, node).map(NewValue::Double),
    }
}

const REDACT_KEYS: &[&str] =
    &["presets", "patterns", "keys", "attributes", "except", "in", "with", "salt"];

fn redaction<'t>(document: &mut Document<'t>, node: &Node<'t>) -> Redaction {
    let mut redaction = Redaction {
        finders: Vec::new(),
        keys: Vec::new(),
        has_own_keys: false,
        only: Vec::new(),
        except: Vec::new(),
        parts: ItemPart::default_parts(),
        replacement: Replacement { with: Replacement::DEFAULT.to_owned(), salt: String::new() },
    };
    let Some(table) = node.get_ref().as_table() else {
        presets(document, "redact", node, &mut redaction);
        return redaction;
    };
    document.check_keys("redact", table, REDACT_KEYS);
    if !["presets", "patterns", "keys"].iter().any(|key| table.contains_key(*key)) {
        document.mistake(
            node.span(),
            "redact",
            "nothing to look for: expected presets, patterns or keys",
        );
    }
    for (key, node) in table {
        let name = key.get_ref().as_ref();
        let key = join("redact", name);
        match name {
            "presets" => presets(document, &key, node, &mut redaction),
            "patterns" => patterns(document, &key, node, &mut redaction),
            "keys" => {
                let keys = document.strings(&key, node);
                let keys = keys.into_iter().map(|(key, _)| Pattern::new(&key.to_ascii_lowercase()));
                redaction.keys.extend(keys);
                redaction.has_own_keys = true;
            }
            "attributes" => redaction.only = document.patterns(&key, node),
            "except" => redaction.except = document.patterns(&key, node),
            "in" => redaction.parts = document.words(&key, node, &ItemPart::NAMED),
            "with" => replacement(document, &key, table, node, &mut redaction),
            "salt" => {
                let salt = document.string(&key, node).unwrap_or_default();
                if salt.len() < 16 {
                    document.mistake(node.span(), &key, "expected at least 16 characters");
                }
                salt.clone_into(&mut redaction.replacement.salt);
            }
            _ => {}
        }
    }
    redaction
}

fn presets<'t>(document: &mut Document<'t>, key: &str, node: &Node<'t>, redaction: &mut Redaction) {
    let known: Vec<(&str, &str)> =
        PRESETS.iter().map(|preset| (preset.name, preset.name)).collect();
    for (text, at) in document.strings(key, node) {
        let name = document.word(key, text, at.clone(), &known);
        let Some(preset) = name.and_then(Preset::named) else { continue };
        let finders = document.checked(key, at, |_| preset.finders());
        redaction.finders.extend(finders.into_iter().flatten());
        redaction.keys.extend(preset.keys());
    }
}

fn patterns<'t>(
    document: &mut Document<'t>,
    path: &str,
    node: &Node<'t>,
    redaction: &mut Redaction,
) {
    let Some(table) = document.table(path, node) else { return };
    for (key, node) in table {
        let name = key.get_ref();
        let key = join(path, name);
        let Some(pattern) = document.string(&key, node) else { continue };
        let finder = document.checked(&key, node.span(), |_| Finder::of_pattern(name, pattern));
        redaction.finders.extend(finder);
    }
}

fn replacement<'t>(
    document: &mut Document<'t>,
    key: &str,
    table: &DeTable<'t>,
    node: &Node<'t>,
    redaction: &mut Redaction,
) {
    let Some(with) = node.get_ref().as_str() else {
        document.string(key, node);
        return;
    };
    with.clone_into(&mut redaction.replacement.with);
    if with.len() > MOST_REPLACEMENT {
        document.mistake(node.span(), key, format!("expected at most {MOST_REPLACEMENT} bytes"));
    }
    let rest = with.replace("{name}", "").replace("{hash}", "");
    if rest.contains(['{', '}']) {
        document.mistake(node.span(), key, "the only placeholders are {name} and {hash}");
    }
    if with.contains("{hash}") && !table.contains_key("salt") {
        let problem = "{hash} needs a `salt`: without one, an attacker can find values with few possibilities by trying them";
        document.mistake(node.span(), key, problem);
    }
}
