//! Checks the pattern of the parameter Endpoint: a URL of OpenObserve Cloud must name the organization; other hosts are not
//! restricted.

use crate::checks::output;
use crate::pypi::Environment;
use anyhow::{Context as _, ensure};
use serde_json::Value;

/// URLs, with `true` if the stack accepts them.
const URLS: [(&str, bool); 13] = [
    ("https://api.openobserve.ai", false),
    ("https://api.openobserve.ai/", false),
    ("https://api.openobserve.ai/api/", false),
    ("https://api.openobserve.ai/api/v1/traces", false),
    ("https://cloud.openobserve.ai/web/?org_identifier=shop", false),
    ("ftp://o2.example.com", false),
    ("https://api.openobserve.ai/api/shop", true),
    ("https://api.openobserve.ai/api/shop/", true),
    ("https://o2.example.com/api/default", true),
    ("https://o2.example.com", true),
    ("http://10.0.0.7:4318", true),
    ("https://notopenobserve.ai", true),
    ("https://openobserve.ai.example.com", true),
];

/// Prints `True` for each URL that matches entirely. Python and CloudFormation interpret these patterns alike.
const MATCH: &str =
    "import re, sys; print(*(bool(re.fullmatch(sys.argv[1], url)) for url in sys.argv[2:]))";

pub(super) fn check(tools: &Environment, template: &Value) -> anyhow::Result<String> {
    let pattern = template.pointer("/Parameters/Endpoint/AllowedPattern").and_then(Value::as_str);
    let mut python = tools.command("python")?;
    python.args(["-c", MATCH, pattern.context("no pattern")?]).args(URLS.map(|(url, _)| url));
    let printed = output(&mut python)?;
    let found = String::from_utf8(printed.stdout)?;
    let expected = URLS.map(|(_, is_taken)| if is_taken { "True" } else { "False" });
    for ((url, _), (found, expected)) in URLS.iter().zip(found.split_whitespace().zip(expected)) {
        ensure!(found == expected, "{url} matches: {found}");
    }
    ensure!(found.split_whitespace().count() == URLS.len(), "not all URLs were tried: {found}");
    Ok(format!("{} URLs", URLS.len()))
}
