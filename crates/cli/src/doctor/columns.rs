//! Checks whether OpenObserve's streams have nearly more columns than a search shows.

use backend::{Profile, REQUEST_TIMEOUT, stored_stream};
use console::reach::{Reach, beside};
use http::Method;
use settings::Check;
use std::collections::BTreeMap;
use wire::SignalKind;

/// OpenObserve shows 1,000 columns of `SELECT *`, the first by name.
const MANY: usize = 900;

/// Fewer columns of a prefix do not grow.
const FEW: usize = 10;

/// Prefixes that a warning names.
const MOST_PREFIXES: usize = 3;

/// A schema of 10,000 columns has about 500 kB.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Returns a warning for each stream of the destination with many columns. A stream that does not exist or may not be read has
/// none.
pub(super) async fn check(reach: &Reach) -> Vec<Check> {
    let mut checks = Vec::new();
    if reach.destination.profile != Profile::OpenObserve {
        return checks;
    }
    let stream = stored_stream(reach.destination.stream.as_deref().unwrap_or("default"));
    for kind in [SignalKind::Traces, SignalKind::Logs] {
        let path = format!("streams/{stream}/schema?type={}", kind.as_str());
        let Some(url) = beside(reach, &path) else { continue };
        let asked = reach.transport.call(
            Method::GET,
            &url,
            None,
            reach.headers.clone(),
            REQUEST_TIMEOUT,
            MAX_ANSWER_BYTES,
        );
        if let Ok(answer) = asked.await
            && answer.status == 200
        {
            checks.extend(warning(kind, &stream, &columns(&answer.body)));
        }
    }
    checks
}

fn columns(body: &[u8]) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let schema = body.get("schema").and_then(serde_json::Value::as_array).into_iter().flatten();
    schema.filter_map(|column| Some(column.get("name")?.as_str()?.to_owned())).collect()
}

fn warning(kind: SignalKind, stream: &str, columns: &[String]) -> Option<Check> {
    if columns.len() < MANY {
        return None;
    }
    let mut by_prefix: BTreeMap<&str, usize> = BTreeMap::new();
    for column in columns {
        *by_prefix.entry(prefix(column)).or_default() += 1;
    }
    let mut by_prefix: Vec<(&str, usize)> = by_prefix.into_iter().collect();
    by_prefix.sort_by_key(|(_, columns)| std::cmp::Reverse(*columns));
    let most = by_prefix.iter().filter(|(_, columns)| *columns >= FEW).take(MOST_PREFIXES);
    let most: Vec<String> =
        most.map(|(prefix, columns)| format!("{prefix}… ({columns})")).collect();
    let text = format!(
        "{kind}: stream {stream} has {} columns, and a search shows 1000; most keys begin with {}: remove them with a rule, or put their values into the body",
        columns.len(),
        most.join(", ")
    );
    Some(Check::warning("columns", text))
}

/// The part of a key before its first number, or before the first `_` of a key without numbers.
fn prefix(column: &str) -> &str {
    let end = column.find(|character: char| character.is_ascii_digit());
    let end = end.filter(|end| *end > 0).or_else(|| column.find('_').map(|at| at + 1));
    column.get(..end.unwrap_or(column.len())).unwrap_or(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_warning_names_the_most_frequent_prefixes() {
        let own = ["_timestamp", "service_name", "severity"].map(str::to_owned);
        let users = (0..600).map(|n| format!("user_{n}_name"));
        let carts = (0..296).map(|n| format!("cart_item{}", "_x".repeat(n)));
        let mut columns: Vec<String> = own.into_iter().chain(users).chain(carts).collect();
        assert!(warning(SignalKind::Logs, "default", &columns).is_none());
        columns.push("other".to_owned());
        let found = warning(SignalKind::Logs, "default", &columns).unwrap();
        assert!(
            found.text.starts_with("logs: stream default has 900 columns")
                && found.text.contains("begin with user_… (600), cart_… (296): "),
            "{}",
            found.text
        );
    }
}
