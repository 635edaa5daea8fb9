//! The function of the tests, and readers of its log.

use std::time::Duration;

use lambda_otlp_local_lambda::{FunctionSpec, Invocation, Lambda};
use serde_json::{Value, json};

/// Long enough for every machine: nothing that a test waits for takes it up.
pub(crate) const AMPLE: Duration = Duration::from_mins(1);

pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn function(name: &str) -> FunctionSpec {
    FunctionSpec::new(name, env!("CARGO_BIN_EXE_simulated-function"))
        .timeout(AMPLE)
        .init_timeout(AMPLE)
}

pub(crate) async fn lambda(functions: impl IntoIterator<Item = FunctionSpec>) -> Lambda {
    let lambda = Lambda::start().await.unwrap();
    for function in functions {
        lambda.create_function(function).unwrap();
    }
    lambda
}

pub(crate) fn steps(steps: &Value) -> Vec<u8> {
    json!({ "do": steps }).to_string().into_bytes()
}

pub(crate) async fn invoke(lambda: &Lambda, function: &str, what: Value) -> Invocation {
    lambda.invoke(function, steps(&what)).await.unwrap()
}

pub(crate) fn messages(lambda: &Lambda, function: &str) -> Vec<String> {
    lambda.log_events(function).into_iter().map(|event| event.message).collect()
}

pub(crate) fn log(lambda: &Lambda, function: &str) -> String {
    messages(lambda, function).iter().map(|message| mask(&format!("{message:?}\n"))).collect()
}

/// Masks the values that differ between runs: `ID`, `TIME`, `ROOT`, `HEX`, and `N` in figures.
pub(crate) fn mask(text: &str) -> String {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
    let mut masked = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c| belongs(c) && c != ':') {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !belongs(c)).unwrap_or(from.len()));
        masked += before;
        masked += &masked_word(word);
        rest = after;
    }
    masked += rest;
    for label in
        ["Billed Duration: ", "Max Memory Used: ", "billedDurationMs\":", "maxMemoryUsedMB\":"]
    {
        if let Some((before, after)) = masked.split_once(label) {
            masked = format!(
                "{before}{label}N{}",
                after.trim_start_matches(|c: char| c.is_ascii_alphanumeric())
            );
        }
    }
    masked
}

fn masked_word(word: &str) -> String {
    let hex = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    let is_hexadecimal = word.split('-').all(hex);
    let masked = match parts.as_slice() {
        [8, 4, 4, 4, 12] if is_hexadecimal => "ID",
        [1, 8, 24] if is_hexadecimal => "ROOT",
        [4, 2, 16] if word.ends_with('Z') => "TIME",
        [16 | 32] if is_hexadecimal => "HEX",
        _ => match word.split_once('.') {
            Some((_, decimals)) if word.parse::<f64>().is_ok() => {
                return format!("N.{}", "N".repeat(decimals.len()));
            }
            _ => word,
        },
    };
    masked.to_owned()
}
