//! Checks that each crate has a description, licence, repository and Rust version.

use serde_json::Value;
use std::path::Path;

/// As `cargo metadata` calls it, and as it stands in Cargo.toml.
const FIELDS: &[(&str, &str)] = &[
    ("description", "description"),
    ("license", "license"),
    ("repository", "repository"),
    ("rust_version", "rust-version"),
];

const IN_FUNCTIONS: &[&str] = &[
    "lambda-otlp-deflate",
    "lambda-otlp-exporter",
    "lambda-otlp-extensions-api",
    "lambda-otlp-settings",
    "lambda-otlp-wire",
];
const PUBLISHED_TEXTS: &[&str] = &["readme"];
const PUBLISHED_LISTS: &[&str] = &["keywords", "categories"];
const LICENCES: &[&str] = &["LICENSE-MIT", "LICENSE-APACHE"];
const OLDEST_RUST: &str = "1.88";
const OUR_RUST: &str = "1.95";

pub(super) fn mistakes(metadata: &Value) -> Vec<String> {
    let mut mistakes = Vec::new();
    for package in metadata.get("packages").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let name = text("name").unwrap_or_default();
        let missing = FIELDS.iter().filter(|(key, _)| text(key).is_none_or(str::is_empty));
        mistakes.extend(missing.map(|(_, field)| format!("{name}: Cargo.toml has no {field}")));
        let expected = if IN_FUNCTIONS.contains(&name) { OLDEST_RUST } else { OUR_RUST };
        if let Some(rust) = text("rust_version").filter(|rust| *rust != expected) {
            mistakes.push(format!("{name}: rust-version is {rust}, not {expected}"));
        }
        let is_published = package.get("publish").is_none_or(Value::is_null);
        if is_published != IN_FUNCTIONS.contains(&name) {
            mistakes
                .push(format!("{name}: `publish = false` stands where a crate is not for others"));
        }
        if is_published {
            mistakes
                .extend(missing_for_publishing(package).map(|what| format!("{name}: no {what}")));
        }
    }
    mistakes
}

fn missing_for_publishing(package: &Value) -> impl Iterator<Item = &'static str> {
    let has_text = |key: &str| package.get(key).is_some_and(Value::is_string);
    let has_entries =
        |key: &str| package.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let manifest = package.get("manifest_path").and_then(Value::as_str).map(Path::new);
    let has_file = move |name: &str| {
        manifest.and_then(Path::parent).is_some_and(|folder| folder.join(name).is_file())
    };
    let texts = PUBLISHED_TEXTS.iter().filter(move |key| !has_text(key));
    let lists = PUBLISHED_LISTS.iter().filter(move |key| !has_entries(key));
    let licences = LICENCES.iter().filter(move |name| !has_file(name));
    texts.chain(lists).chain(licences).copied()
}
