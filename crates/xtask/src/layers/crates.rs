//! Checks that each crate of the workspace uses only the crates of the architecture.

use anyhow::{Context as _, bail};
use serde_json::Value;
use std::process::Command;

/// Crates and their allowed normal and build dependencies, as in the table of `ARCHITECTURE.md`. `*` allows all.
const ALLOWED: &[(&str, &[&str])] = &[
    ("lambda-otlp-deflate", &[]),
    ("lambda-otlp-extensions-api", &[]),
    ("lambda-otlp-wire", &["lambda-otlp-deflate"]),
    ("lambda-otlp-settings", &[]),
    ("lambda-otlp-platform", &["lambda-otlp-wire"]),
    ("lambda-otlp-backend", &["lambda-otlp-wire", "lambda-otlp-settings", "lambda-otlp-aws"]),
    ("lambda-otlp-aws", &["lambda-otlp-wire", "lambda-otlp-settings"]),
    (
        "lambda-otlp-exporter",
        &["lambda-otlp-wire", "lambda-otlp-settings", "lambda-otlp-extensions-api"],
    ),
    ("lambda-otlp-forwarder", SERVICE),
    ("lambda-otlp-subscriber", &["lambda-otlp-wire", "lambda-otlp-settings", "lambda-otlp-aws"]),
    (
        "lambda-otlp-extension",
        &[
            "lambda-otlp-wire",
            "lambda-otlp-settings",
            "lambda-otlp-extensions-api",
            "lambda-otlp-platform",
            "lambda-otlp-backend",
            "lambda-otlp-aws",
        ],
    ),
    ("lambda-otlp-simulator", &["lambda-otlp-wire"]),
    ("lambda-otlp-demo", &["lambda-otlp-exporter"]),
    ("lambda-otlp-example", &["lambda-otlp-exporter"]),
    ("lambda-otlp-demo-parcels", &["lambda-otlp-demo", "lambda-otlp-exporter"]),
    (
        "lambda-otlp-console",
        &[
            "lambda-otlp-backend",
            "lambda-otlp-settings",
            "lambda-otlp-simulator",
            "lambda-otlp-wire",
        ],
    ),
    ("lambda-otlp-demo-program", &["*"]),
    ("lambda-otlp-start", &[]),
    ("lambda-otlp-cli", &["*"]),
    ("lambda-otlp-tests", &["*"]),
    ("lambda-otlp-bench", &["*"]),
    ("xtask", &["*"]),
];

const SERVICE: &[&str] = &[
    "lambda-otlp-wire",
    "lambda-otlp-settings",
    "lambda-otlp-platform",
    "lambda-otlp-backend",
    "lambda-otlp-aws",
];

/// Packages that must not come near the function: size, cold start, MSRV.
const NEVER_IN_THE_FUNCTION: &[&str] =
    &["prost", "opentelemetry-proto", "reqwest", "rustls", "aws-config", "url"];

pub(super) fn check(metadata: &Value) -> anyhow::Result<()> {
    let mistakes = mistakes(metadata, ALLOWED);
    for mistake in &mistakes {
        eprintln!("{mistake}");
    }
    if !mistakes.is_empty() {
        bail!("{} dependencies are not allowed by the architecture", mistakes.len());
    }
    let tree = Command::new("cargo")
        .args([
            "tree",
            "--package",
            "lambda-otlp-exporter",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .output()
        .context("cannot run cargo tree")?;
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    if !tree.starts_with("lambda-otlp-exporter ") {
        bail!("cargo tree did not list the dependencies of lambda-otlp-exporter");
    }
    if let Some(heavy) = NEVER_IN_THE_FUNCTION
        .iter()
        .find(|name| tree.lines().any(|line| line.split(' ').next() == Some(name)))
    {
        bail!("lambda-otlp-exporter depends on {heavy}, which must stay out of the function");
    }
    println!("layers: {} crates use what they may", ALLOWED.len());
    Ok(())
}

fn mistakes(metadata: &Value, allowed: &[(&str, &[&str])]) -> Vec<String> {
    let mut mistakes = Vec::new();
    let packages = metadata.get("packages").and_then(Value::as_array);
    let names: Vec<&str> =
        packages.into_iter().flatten().filter_map(|package| text(package, "name")).collect();
    for package in packages.into_iter().flatten() {
        let name = text(package, "name").unwrap_or_default();
        let Some((_, may_use)) = allowed.iter().find(|(of, _)| *of == name) else {
            mistakes.push(format!("{name}: has no row in crates/xtask/src/layers/crates.rs"));
            continue;
        };
        let dependencies = package.get("dependencies").and_then(Value::as_array);
        for dependency in dependencies.into_iter().flatten() {
            let used = text(dependency, "name").unwrap_or_default();
            let is_dev = text(dependency, "kind") == Some("dev");
            let is_ours = names.contains(&used);
            if is_ours && !is_dev && !may_use.contains(&used) && !may_use.contains(&"*") {
                mistakes.push(format!("{name}: must not use {used}"));
            }
        }
    }
    mistakes
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}
