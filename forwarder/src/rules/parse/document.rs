//! Reads values from TOML with positions, and collects all mistakes.

use super::super::mistake::{Mistake, nearest, position};
use super::super::redact::compile;
use super::super::template::Template;
use super::super::{MOST_REGEXES, MOST_RULES};
use regex::Regex;
use settings::Pattern;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) type Node<'t> = Spanned<DeValue<'t>>;

pub(super) struct Document<'t> {
    text: &'t str,
    pub(super) mistakes: Vec<Mistake>,
    regexes: usize,
}

impl<'t> Document<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, mistakes: Vec::new(), regexes: 0 }
    }

    pub(super) fn mistake(&mut self, at: Range<usize>, key: &str, problem: impl Into<String>) {
        let (line, column) = position(self.text, &at);
        let problem = problem.into();
        self.mistakes.push(Mistake { line, column, key: key.to_owned(), problem });
    }

    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        position(self.text, at).0
    }

    /// Reports unknown keys, with a suggestion.
    pub(super) fn check_keys(&mut self, path: &str, table: &DeTable<'t>, known: &[&str]) {
        for (key, _) in table {
            if !known.contains(&key.get_ref().as_ref()) {
                let problem = match nearest(key.get_ref(), known) {
                    Some(near) => format!("unknown key, did you mean `{near}`?"),
                    None => format!("unknown key; there are {}", known.join(", ")),
                };
                self.mistake(key.span(), &join(path, key.get_ref()), problem);
            }
        }
    }

    fn expected(&mut self, key: &str, node: &Node<'t>, what: &str) {
        let found = match node.get_ref() {
            DeValue::Array(_) => "an array",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Float(_) | DeValue::Integer(_) => "a number",
            DeValue::String(_) => "a string",
            DeValue::Table(_) => "a table",
        };
        self.mistake(node.span(), key, format!("expected {what}, found {found}"));
    }

    pub(super) fn table<'n>(&mut self, key: &str, node: &'n Node<'t>) -> Option<&'n DeTable<'t>> {
        let table = node.get_ref().as_table();
        if table.is_none() {
            self.expected(key, node, "a table");
        }
        table
    }

    /// The tables of `[[key]]`.
    pub(super) fn tables<'n>(
        &mut self,
        key: &str,
        root: &'n DeTable<'t>,
    ) -> Vec<(Range<usize>, &'n DeTable<'t>)> {
        let Some(node) = root.get(key) else { return Vec::new() };
        let Some(array) = node.get_ref().as_array() else {
            self.expected(key, node, &format!("a list, [[{key}]]"));
            return Vec::new();
        };
        if array.len() > MOST_RULES {
            let problem = format!("there are {}, at most {MOST_RULES} are read", array.len());
            self.mistake(node.span(), key, problem);
            return Vec::new();
        }
        let mut tables = Vec::new();
        for node in array {
            tables.extend(self.table(key, node).map(|table| (node.span(), table)));
        }
        tables
    }

    pub(super) fn string<'n>(&mut self, key: &str, node: &'n Node<'t>) -> Option<&'n str> {
        let text = node.get_ref().as_str();
        match text {
            None => self.expected(key, node, "a string"),
            Some("") => self.mistake(node.span(), key, "expected a string that is not empty"),
            Some(_) => return text,
        }
        None
    }

    pub(super) fn strings<'n>(
        &mut self,
        key: &str,
        node: &'n Node<'t>,
    ) -> Vec<(&'n str, Range<usize>)> {
        self.one_or_some(key, node, "a string or a list of strings")
            .into_iter()
            .filter_map(|node| Some((self.string(key, node)?, node.span())))
            .collect()
    }

    pub(super) fn one_or_some<'n>(
        &mut self,
        key: &str,
        node: &'n Node<'t>,
        what: &str,
    ) -> Vec<&'n Node<'t>> {
        match node.get_ref() {
            DeValue::Array(array) if array.is_empty() => {
                self.mistake(node.span(), key, "the list is empty");
                Vec::new()
            }
            DeValue::Array(array) => array.iter().collect(),
            DeValue::Table(_) => {
                self.expected(key, node, what);
                Vec::new()
            }
            _ => vec![node],
        }
    }

    pub(super) fn patterns(&mut self, key: &str, node: &Node<'t>) -> Vec<Pattern> {
        self.strings(key, node).into_iter().map(|(text, _)| Pattern::new(text)).collect()
    }

    pub(super) fn words<T: Copy>(
        &mut self,
        key: &str,
        node: &Node<'t>,
        known: &[(&str, T)],
    ) -> Vec<T> {
        let mut values = Vec::new();
        for (text, at) in self.strings(key, node) {
            values.extend(self.word(key, text, at, known));
        }
        values
    }

    pub(super) fn word<T: Copy>(
        &mut self,
        key: &str,
        text: &str,
        at: Range<usize>,
        known: &[(&str, T)],
    ) -> Option<T> {
        let found = known.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        if found.is_none() {
            let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
            let problem = match nearest(&text.to_ascii_lowercase(), &words) {
                Some(near) => format!("`{text}` is unknown, did you mean `{near}`?"),
                None => format!("`{text}` is unknown, expected one of {}", words.join(", ")),
            };
            self.mistake(at, key, problem);
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn number(&mut self, key: &str, node: &Node<'t>) -> Option<f64> {
        let number = match node.get_ref() {
            DeValue::Float(float) => float.as_str().replace('_', "").parse().ok(),
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                #[expect(clippy::cast_precision_loss, reason = "53 bits are compared")]
                number.map(|number| number as f64)
            }
            _ => None,
        };
        if number.is_none() {
            self.expected(key, node, "a number");
        }
        number
    }

    pub(super) fn bool(&mut self, key: &str, node: &Node<'t>) -> Option<bool> {
        let value = node.get_ref().as_bool();
        if value.is_none() {
            self.expected(key, node, "true or false");
        }
        value
    }

    pub(super) fn template(&mut self, key: &str, node: &Node<'t>) -> Option<Template> {
        let text = self.string(key, node)?;
        let template = Template::parse(text);
        if let Err(error) = &template {
            self.mistake(node.span(), key, error.to_string());
        }
        template.ok()
    }

    pub(super) fn regex(&mut self, key: &str, node: &Node<'t>) -> Option<Regex> {
        let text = self.string(key, node)?;
        self.checked(key, node.span(), |_| compile(text))
    }

    /// Compiles a pattern and counts it towards the limit.
    pub(super) fn checked<T>(
        &mut self,
        key: &str,
        at: Range<usize>,
        compile: impl FnOnce(&Self) -> Result<T, String>,
    ) -> Option<T> {
        self.regexes += 1;
        if self.regexes == MOST_REGEXES + 1 {
            let problem = format!("more than {MOST_REGEXES} patterns and presets in one file");
            self.mistake(at.clone(), key, problem);
        }
        if self.regexes > MOST_REGEXES {
            return None;
        }
        match compile(self) {
            Ok(compiled) => Some(compiled),
            Err(problem) => {
                self.mistake(at, key, problem);
                None
            }
        }
    }
}

/// Joins `path.key`. Keys with dots are quoted.
pub(super) fn join(path: &str, key: &str) -> String {
    let quote = if key.contains('.') { "\"" } else { "" };
    let separator = if path.is_empty() { "" } else { "." };
    format!("{path}{separator}{quote}{key}{quote}")
}
