//! The table of backends, from what their documentation says.

use anyhow::{Context as _, bail};
use std::fmt::Write as _;
use test_support::backends::{Backend, Deltas, FACTS, SizeLimit};

pub(crate) use test_support::backends::FACTS as DESCRIPTION;

/// Returns the table in Markdown. Fails if `page` doesn't name the parameters of a backend.
pub(crate) fn table(facts: &str, page: &str) -> anyhow::Result<String> {
    let mut table = String::from(
        "| backend | `Endpoint` | `Secret` | signals | delta metrics | largest request |\n|---|---|---|---|---|---|\n",
    );
    for backend in Backend::read_all(facts).context(FACTS)? {
        let Backend { name, page: link, endpoint, .. } = &backend;
        if let Some(word) = backend.set.split(' ').find(|word| !page.contains(*word)) {
            bail!("docs/backends.md names no {word} for {name}, which {FACTS} has");
        }
        let secret = match (&backend.secret_is, &backend.secret) {
            (Some(text), _) => text.clone(),
            (None, secret) => format!("`{}`", secret.as_deref().unwrap_or_default()),
        };
        let (signals, deltas, limits) = (signals(&backend), deltas(&backend), limits(&backend));
        writeln!(
            table,
            "| [{name}]({link}) | `{endpoint}` | {secret} | {signals} | {deltas} | {limits} |"
        )?;
    }
    Ok(table)
}

fn signals(backend: &Backend) -> String {
    if backend.signals.len() == 3 {
        return "all".to_owned();
    }
    let signals = backend.signals.join(", ");
    match backend.on_request.join(", ") {
        others if others.is_empty() => signals,
        others => format!("{signals}; {others} on request"),
    }
}

fn deltas(backend: &Backend) -> &'static str {
    match backend.deltas {
        Deltas::Taken => "yes",
        Deltas::Preferred => "preferred",
        Deltas::Required => "only these",
        Deltas::Refused => "no",
        Deltas::NotStated => "not stated",
    }
}

fn limits(backend: &Backend) -> String {
    if backend.limits.is_empty() {
        return "not stated".to_owned();
    }
    let text = |limit: &SizeLimit| {
        let compressed = if limit.of_compressed { " compressed" } else { "" };
        let signal = limit.signal.as_ref().map(|signal| format!(" of {signal}"));
        format!("{}{compressed}{}", size(limit.bytes), signal.unwrap_or_default())
    };
    backend.limits.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// `16 MB`, or `20 MiB` if that is whole.
fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1 << 20) {
        return format!("{} MiB", bytes >> 20);
    }
    match (bytes / 1_000_000, bytes % 1_000_000 / 100_000) {
        (whole, 0) => format!("{whole} MB"),
        (whole, tenth) => format!("{whole}.{tenth} MB"),
    }
}
