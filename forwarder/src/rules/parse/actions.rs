//! Reads a rule with its action.

use super::super::change::{Change, NewAttribute, NewValue, Renaming};
use super::super::condition::Conditions;
use super::super::redact::{
    Finder, InvalidPattern, ItemPart, MAX_REPLACEMENT, PRESETS, Preset, Redaction, Replacement,
};
use super::super::share::Share;
use super::super::template::{Template, TemplateError};
use super::super::{Action, MAX_REGEXES, Rule, Target};
use super::values::{Known, List, Shape, Text, Word};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use settings::Pattern;
use std::collections::BTreeMap;
use wire::SignalKind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    name: Text,
    #[serde(default, rename = "match")]
    conditions: Conditions,
    unless: Option<Conditions>,
    on: Option<Known<Target>>,
    keep: Option<bool>,
    drop: Option<bool>,
    sample: Option<Share>,
    redact: Option<Redaction>,
    add: Option<BTreeMap<Text, NewValue>>,
    set: Option<BTreeMap<Text, NewValue>>,
    rename: Option<BTreeMap<Text, Text>>,
    remove: Option<List<Text>>,
}

impl Word for Target {
    const WORDS: &'static [(&'static str, Self)] =
        &[("attributes", Self::Attributes), ("resource", Self::Resource)];
}

const NAMES: &str = "keep, drop, sample, redact, add, set, rename, remove";

/// The reason why the tables of a rule, each valid by itself, are no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidRule {
    #[error("expected true; delete a rule that does nothing")]
    NotTrue,
    #[error("the rule does nothing; expected one of {}", NAMES)]
    NoAction,
    #[error("a rule does one thing: write a rule for each of {}", NAMES)]
    SeveralActions,
    #[error("`on` goes with add, set, rename and remove")]
    NeedlessTarget,
    #[error(
        "resource and scope are shared by all of their items: the conditions of this rule may be on signal, place, service name and resource only"
    )]
    SharedPart,
    #[error("metrics are not sampled: a sum without some of its data points is wrong")]
    SampledMetrics,
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(RuleText::deserialize(deserializer)?).map_err(Error::custom)
    }
}

impl TryFrom<RuleText> for Rule {
    type Error = InvalidRule;

    fn try_from(text: RuleText) -> Result<Self, InvalidRule> {
        let RuleText { name, conditions, unless, on, .. } = text;
        if text.keep == Some(false) || text.drop == Some(false) {
            return Err(InvalidRule::NotTrue);
        }
        let target = on.as_ref().map_or(Target::Attributes, |Known(target)| *target);
        let attributes = |table: BTreeMap<Text, NewValue>| {
            table.into_iter().map(|(Text(key), value)| NewAttribute { key, value }).collect()
        };
        let renamings = |table: BTreeMap<Text, Text>| {
            table.into_iter().map(|(Text(from), Text(to))| Renaming { from, to }).collect()
        };
        let changes = [
            text.add.map(|table| Change::Put { new: attributes(table), overwrites: false }),
            text.set.map(|table| Change::Put { new: attributes(table), overwrites: true }),
            text.rename.map(|table| Change::Rename(renamings(table))),
            text.remove.map(|list| Change::Remove(list.patterns())),
        ];
        let of_changes = changes.into_iter().flatten().map(|change| Action::Change(target, change));
        let others = [
            text.keep.map(|_| Action::Keep),
            text.drop.map(|_| Action::Drop),
            text.sample.map(Action::Sample),
            text.redact.map(|redaction| Action::Redact(Box::new(redaction))),
        ];
        let mut actions = others.into_iter().flatten().chain(of_changes);
        let action = actions.next().ok_or(InvalidRule::NoAction)?;
        if actions.next().is_some() {
            return Err(InvalidRule::SeveralActions);
        }
        if on.is_some() && !matches!(action, Action::Change(..)) {
            return Err(InvalidRule::NeedlessTarget);
        }
        // Items cannot decide about a resource or scope, because they share it.
        let asks_items = !conditions.item.is_empty()
            || unless.as_ref().is_some_and(|unless| !unless.item.is_empty());
        let changes_shared_part = match &action {
            Action::Change(target, _) => *target == Target::Resource,
            // Without `in`, only the parts that belong to single items are redacted.
            Action::Redact(redaction) => {
                redaction.parts != ItemPart::default_parts()
                    && (redaction.looks_into(ItemPart::Resource)
                        || redaction.looks_into(ItemPart::Scope))
            }
            _ => false,
        };
        if asks_items && changes_shared_part {
            return Err(InvalidRule::SharedPart);
        }
        let is_of_metrics = conditions.signals.as_deref() == Some(&[SignalKind::Metrics]);
        if matches!(action, Action::Sample(_)) && is_of_metrics {
            return Err(InvalidRule::SampledMetrics);
        }
        let Text(name) = name;
        Ok(Self { name: name.into(), conditions, unless, action })
    }
}

/// The reason why an attribute cannot get a value of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum InvalidNewValue {
    #[error(
        "expected a string, a number, a boolean or a list of them. A key that has dots is written in quotes: \"http.route\""
    )]
    Kind,
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl TryFrom<toml::Value> for NewValue {
    type Error = InvalidNewValue;

    fn try_from(value: toml::Value) -> Result<Self, InvalidNewValue> {
        Ok(match value {
            toml::Value::Boolean(value) => Self::Bool(value),
            toml::Value::Integer(number) => Self::Int(number),
            toml::Value::Float(number) => Self::Double(number),
            toml::Value::String(text) => Self::Text(Template::parse(&text)?),
            toml::Value::Array(values) => {
                Self::Array(values.into_iter().map(Self::try_from).collect::<Result<_, _>>()?)
            }
            toml::Value::Datetime(_) | toml::Value::Table(_) => return Err(InvalidNewValue::Kind),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RedactionTable {
    presets: Option<List<Text>>,
    patterns: BTreeMap<String, Text>,
    keys: Option<List<Text>>,
    attributes: Option<List<Text>>,
    except: Option<List<Text>>,
    r#in: Option<List<Known<ItemPart>>>,
    with: Option<String>,
    salt: Option<String>,
}

impl Word for ItemPart {
    const WORDS: &'static [(&'static str, Self)] = &Self::NAMED;
}

impl<'de> Deserialize<'de> for Redaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = match Shape::<Text, RedactionTable>::deserialize(deserializer)? {
            Shape::List(presets) => {
                RedactionTable { presets: Some(List(presets)), ..RedactionTable::default() }
            }
            Shape::Table(table) => table,
        };
        redaction(table).map_err(Error::custom)
    }
}

/// The reason why a table is no redaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidRedaction {
    #[error("nothing to look for: expected presets, patterns or keys")]
    NothingToFind,
    #[error("more than {} patterns", MAX_REGEXES)]
    ManyPatterns,
    #[error("`{name}` is unknown, expected one of {known}")]
    UnknownPreset { name: String, known: String },
    #[error(transparent)]
    Preset(#[from] InvalidPattern),
    #[error("patterns.{name}: {problem}")]
    Pattern { name: String, problem: InvalidPattern },
    #[error("with: expected at most {} bytes", MAX_REPLACEMENT)]
    LongReplacement,
    #[error("with: the only placeholders are {{name}} and {{hash}}")]
    UnknownPlaceholder,
    #[error("salt: expected at least 16 characters")]
    ShortSalt,
    #[error(
        "{{hash}} needs a `salt`: without one, an attacker can find values with few possibilities by trying them"
    )]
    HashWithoutSalt,
}

fn redaction(table: RedactionTable) -> Result<Redaction, InvalidRedaction> {
    if table.presets.is_none() && table.patterns.is_empty() && table.keys.is_none() {
        return Err(InvalidRedaction::NothingToFind);
    }
    let replacement = replacement(table.with, table.salt)?;
    if table.patterns.len() > MAX_REGEXES {
        return Err(InvalidRedaction::ManyPatterns);
    }
    let mut finders = Vec::new();
    let mut keys = Vec::new();
    for Text(name) in table.presets.iter().flat_map(|List(names)| names) {
        let preset = Preset::named(&name.to_ascii_lowercase()).ok_or_else(|| {
            let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            InvalidRedaction::UnknownPreset { name: name.clone(), known: names.join(", ") }
        })?;
        finders.extend(preset.finders()?);
        keys.extend(preset.keys());
    }
    for (name, Text(pattern)) in &table.patterns {
        let invalid = |problem| InvalidRedaction::Pattern { name: name.clone(), problem };
        finders.push(Finder::of_pattern(name, pattern).map_err(invalid)?);
    }
    let own_keys = table.keys.iter().flat_map(|List(keys)| keys);
    keys.extend(own_keys.map(|Text(key)| Pattern::new(&key.to_ascii_lowercase())));
    let patterns = |list: Option<List<Text>>| list.map(|list| list.patterns()).unwrap_or_default();
    Ok(Redaction {
        finders,
        keys,
        has_own_keys: table.keys.is_some(),
        only: patterns(table.attributes),
        except: patterns(table.except),
        parts: table.r#in.map_or_else(ItemPart::default_parts, |parts| parts.words()),
        replacement,
    })
}

fn replacement(
    with: Option<String>,
    salt: Option<String>,
) -> Result<Replacement, InvalidRedaction> {
    let with = with.unwrap_or_else(|| Replacement::DEFAULT.to_owned());
    if with.len() > MAX_REPLACEMENT {
        return Err(InvalidRedaction::LongReplacement);
    }
    if with.replace("{name}", "").replace("{hash}", "").contains(['{', '}']) {
        return Err(InvalidRedaction::UnknownPlaceholder);
    }
    if salt.as_ref().is_some_and(|salt| salt.len() < 16) {
        return Err(InvalidRedaction::ShortSalt);
    }
    if with.contains("{hash}") && salt.is_none() {
        return Err(InvalidRedaction::HashWithoutSalt);
    }
    Ok(Replacement { with, salt: salt.unwrap_or_default() })
}
