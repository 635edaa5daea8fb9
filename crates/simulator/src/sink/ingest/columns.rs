//! Names of columns and streams as OpenObserve makes them, and how many distinct ones a request has.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};

/// Nested maps of log records become columns down to this depth, below it a JSON string (`ZO_INGEST_FLATTEN_LEVEL`).
pub(crate) const FLATTEN_LEVEL: usize = 3;

/// `faas.invocation_id` becomes `faas_invocation_id`: lower case, everything outside `[a-z0-9_]` becomes `_`.
pub(crate) fn column(key: &str) -> String {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    key.chars().flat_map(char::to_lowercase).map(|c| if allowed(c) { c } else { '_' }).collect()
}

/// `/aws/lambda/My-Fn.Name` becomes `_aws_lambda_my_fn_name`: runs outside `[a-zA-Z0-9_:]` become one `_`, then lower case.
pub(crate) fn stream(name: &str) -> String {
    let mut stream = String::with_capacity(name.len());
    let mut in_run = false;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' || c == ':' {
            stream.push(c.to_ascii_lowercase());
            in_run = false;
        } else if !in_run {
            stream.push('_');
            in_run = true;
        }
    }
    stream
}

#[derive(Debug, Default)]
pub(crate) struct Columns(BTreeSet<String>);

impl Columns {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    pub(crate) fn add(&mut self, name: &str) {
        if !self.0.contains(name) {
            self.0.insert(name.to_owned());
        }
    }

    pub(crate) fn add_all(&mut self, names: &[&str]) {
        for name in names {
            self.add(name);
        }
    }

    /// One column for each attribute, and for each entry of a map while `levels` remain; a value of null makes none.
    pub(crate) fn flatten(&mut self, prefix: &str, attributes: &[KeyValue], levels: usize) {
        for attribute in attributes {
            let name = format!("{prefix}{}", column(&attribute.key));
            match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
                None => {}
                Some(Value::KvlistValue(map)) if levels > 1 => {
                    self.flatten(&format!("{name}_"), &map.values, levels - 1);
                }
                Some(_) => self.add(&name),
            }
        }
    }
}
