//! Checks that each crate says what it is, under which licence, where it comes from, and which Rust it needs.

use serde_json::Value;

/// As `cargo metadata` calls it, and as it stands in Cargo.toml.
const FIELDS: &[(&str, &str)] = &[
    ("description", "description"),
    ("license", "license"),
    ("repository", "repository"),
    ("rust_version", "rust-version"),
];

/// What is compiled into functions, whose Rust may be older than ours.
const IN_FUNCTIONS: &[&str] =
    &["lambda-otlp-deflate", "lambda-otlp-exporter", "lambda-otlp-settings", "lambda-otlp-wire"];
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
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_crate_says_what_it_is() {
        let check = |package: Value, expected: &[&str]| {
            assert_eq!(mistakes(&json!({ "packages": [package] })), expected);
        };
        let package = |name: &str, rust: &str| {
            json!({
                "name": name, "description": "Text.", "license": "MIT", "repository": "https://…",
                "rust_version": rust,
            })
        };
        check(package("lambda-otlp-wire", "1.88"), &[]);
        check(package("xtask", "1.95"), &[]);
        check(package("xtask", "1.88"), &["xtask: rust-version is 1.88, not 1.95"]);
        check(
            json!({ "name": "a", "description": "", "license": "MIT", "repository": null }),
            &[
                "a: Cargo.toml has no description",
                "a: Cargo.toml has no repository",
                "a: Cargo.toml has no rust-version",
            ],
        );
    }
}
