//! Reads a rules file: each of its tables with serde. Reports the first mistake of each table.

mod actions;
mod conditions;
mod routing;
mod values;

use super::condition::Conditions;
use super::mistake::{Mistake, Mistakes, Position};
use super::trace::{MAX_ATTRIBUTES, TraceAttributes};
use super::{MAX_BYTES, MAX_REGEXES, MAX_RULES, Rule, RuleSet, ServiceRule, Template};
use serde::Deserialize;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use values::{List, Text};

type Node<'t> = Spanned<DeValue<'t>>;

impl RuleSet {
    /// Parses a rules file. The error has the first mistake of each table.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        if text.len() > MAX_BYTES {
            return Err(Mistakes::of_file(format!("the file has more than {MAX_BYTES} bytes")));
        }
        let mut file = File { text, mistakes: Vec::new() };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            file.mistake(error.span(), "", format!("invalid TOML: {}", error.message()));
        }
        if !errors.is_empty() {
            // After a syntax error, further mistakes would be guesses.
            return Mistakes::check(file.mistakes).map(|()| Self::default());
        }
        let mut root = document.into_inner();
        let mut rules = file.rules(root.remove("rule"));
        let trace_attributes = file.trace_attributes(&mut rules);
        let services = file.list::<ServiceText>("service", root.remove("service"));
        let destinations = file.destinations(root.remove("destination"));
        let routes = file.routes(root.remove("route"), &destinations.names);
        for key in root.keys() {
            let problem = "unknown key; there are rule, service, destination and route, and a table of a rule is `[rule.…]`";
            file.mistake(Some(key.span()), key.get_ref(), problem.to_owned());
        }
        Mistakes::check(file.mistakes)?;
        let service_rules = services.into_iter().map(|Located { value, .. }| {
            let ServiceText { log_group, name } = value;
            ServiceRule { log_groups: log_group.patterns(), name }
        });
        Ok(Self {
            rules,
            services: service_rules.collect(),
            routes,
            destinations: destinations.rules,
            trace_attributes,
        })
    }
}

/// A table of the file, read.
struct Located<T> {
    /// The bytes of the table.
    at: Range<usize>,
    value: T,
}

/// A file whose tables are read one after another.
struct File<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl<'t> File<'t> {
    fn mistake(&mut self, at: Option<Range<usize>>, key: &str, problem: String) {
        let Position { line, column } = Position::of(self.text, &at.unwrap_or_default());
        self.mistakes.push(Mistake { line, column, key: key.to_owned(), problem });
    }

    /// Reads one table, or notes its first mistake.
    fn read<T: Deserialize<'t>>(&mut self, key: &str, node: Node<'t>) -> Option<T> {
        let at = node.span();
        match values::table(ValueDeserializer::from(node), "a table") {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(error.span().or(Some(at)), key, error.message().to_owned());
                None
            }
        }
    }

    /// Reads the tables of `[[key]]`.
    fn list<T: Deserialize<'t>>(&mut self, key: &str, node: Option<Node<'t>>) -> Vec<Located<T>> {
        let tables = self.tables(key, node).into_iter();
        let read = |table: Node<'t>| {
            let at = table.span();
            Some(Located { at, value: self.read(key, table)? })
        };
        tables.filter_map(read).collect()
    }

    fn tables(&mut self, key: &str, node: Option<Node<'t>>) -> Vec<Node<'t>> {
        let Some(node) = node else { return Vec::new() };
        let at = node.span();
        let DeValue::Array(tables) = node.into_inner() else {
            self.mistake(Some(at), key, format!("expected a list, [[{key}]]"));
            return Vec::new();
        };
        if tables.len() > MAX_RULES {
            let problem = format!("there are {}, at most {MAX_RULES} are read", tables.len());
            self.mistake(Some(at), key, problem);
            return Vec::new();
        }
        tables.into_iter().collect()
    }

    fn rules(&mut self, node: Option<Node<'t>>) -> Vec<Rule> {
        let mut lines: HashMap<_, usize> = HashMap::new();
        let mut rules = Vec::new();
        let mut regexes = 0;
        for table in self.tables("rule", node) {
            let at = table.span();
            let Some(rule) = self.read::<Rule>("rule", table) else { continue };
            regexes += rule.regexes();
            if regexes > MAX_REGEXES {
                let problem =
                    format!("more than {MAX_REGEXES} patterns in one file, with those of presets");
                self.mistake(None, "rule", problem);
                // Each compiled one uses memory.
                break;
            }
            let Position { line, .. } = Position::of(self.text, &at);
            if let Some(first) = lines.insert(rule.name.clone(), line) {
                let problem = format!("the rule in line {first} has the same name");
                self.mistake(Some(at), "name", problem);
            }
            rules.push(rule);
        }
        rules
    }

    /// Numbers the conditions on attributes of traces. `None` if no rule asks about traces.
    fn trace_attributes(&mut self, rules: &mut [Rule]) -> Option<Arc<TraceAttributes>> {
        if !rules.iter().any(Rule::asks_traces) {
            return None;
        }
        let mut attributes = TraceAttributes::default();
        let conditions = rules.iter_mut().flat_map(Rule::all_conditions);
        let are_few = conditions
            .flat_map(Conditions::traces_mut)
            .all(|conditions| attributes.add(conditions));
        if !are_few {
            let problem = format!(
                "more than {MAX_ATTRIBUTES} conditions on attributes of traces in one file"
            );
            self.mistake(None, "rule", problem);
        }
        Some(Arc::new(attributes))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceText {
    log_group: List<Text>,
    name: Template,
}
