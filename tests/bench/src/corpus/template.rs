//! Reads templates.

use super::values::Values;
use crate::random::Random;
use crate::workload::{Attribute, AttributeValue, Kind, Span};

pub struct Template {
    pub(super) resource: Block,
    pub(super) root: Block,
    pub(super) calls: Vec<Block>,
    pub(super) logs: Vec<Block>,
    pub(super) metrics: Vec<Block>,
    pub(super) nanos_of_times: u64,
}

/// The name and the version of an instrumentation.
pub type Scope = (&'static str, &'static str);

#[derive(Clone, Default)]
pub(super) struct Block {
    pub(super) scope: Scope,
    pub(super) words: Vec<&'static str>,
    pub(super) name: &'static str,
    attributes: Vec<(&'static str, &'static str)>,
}

impl Template {
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        let mut template = Self {
            resource: Block::default(),
            root: Block::default(),
            calls: Vec::new(),
            logs: Vec::new(),
            metrics: Vec::new(),
            nanos_of_times: 1,
        };
        let mut blocks: Vec<Block> = Vec::new();
        let mut scope = ("", "");
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "scope" => scope = rest.split_once(' ').unwrap_or((rest, "")),
                "unit" => template.nanos_of_times = rest.parse().unwrap_or(1),
                "resource" => blocks.push(block(scope, line, 0)),
                "root" | "span" | "log" => blocks.push(block(scope, line, 2)),
                "metric" => blocks.push(block(scope, line, 3)),
                _ => {
                    if let (Some(block), Some(pair)) = (blocks.last_mut(), line.split_once('=')) {
                        block.attributes.push(pair);
                    }
                }
            }
        }
        for block in blocks {
            match block.words.first().copied() {
                Some("root") => template.root = block,
                Some("span") => template.calls.push(block),
                Some("log") => template.logs.push(block),
                Some("metric") => template.metrics.push(block),
                _ => template.resource = block,
            }
        }
        template
    }
}

fn block(scope: Scope, line: &'static str, words: usize) -> Block {
    let mut name = line;
    let mut before = Vec::new();
    for _ in 0..words {
        let (word, rest) = name.split_once(' ').unwrap_or((name, ""));
        before.push(word);
        name = rest;
    }
    Block { scope, words: before, name, attributes: Vec::new() }
}

impl Block {
    pub(super) fn attributes(&self, values: &Values, random: &mut Random) -> Vec<Attribute> {
        let attribute = |(key, text): &(&'static str, &'static str)| {
            let value = match text.strip_prefix('#') {
                Some(integer) => {
                    AttributeValue::Integer(values.of(integer, random).parse().unwrap_or(0))
                }
                None => AttributeValue::Text(values.of(text, random).into()),
            };
            Attribute { key, value }
        };
        self.attributes.iter().map(attribute).collect()
    }

    pub(super) fn span(
        &self,
        values: &mut Values,
        random: &mut Random,
        start_unix_nanos: u64,
        end_unix_nanos: u64,
    ) -> Span {
        let kind = match self.words.get(1).copied() {
            Some("server") => Kind::Server,
            Some("client") => Kind::Client,
            Some("producer") => Kind::Producer,
            Some("consumer") => Kind::Consumer,
            _ => Kind::Internal,
        };
        Span {
            trace_id: 0,
            span_id: 0,
            parent_span_id: 0,
            kind,
            name: values.of(self.name, random),
            start_unix_nanos,
            end_unix_nanos,
            attributes: self.attributes(values, random),
            is_error: random.below(25) == 0,
        }
    }
}
