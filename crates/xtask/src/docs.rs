//! Keeps the documents true: writes the tables of variables from those that the binaries read, and those of backends and of calls
//! by AWS's SDKs;
//! checks the names that one table knows of another, links, and names of files and modules.

use crate::{backends, calls, checks, exporter_variables, links};
use anyhow::{Context as _, bail};
use settings::{Rows, Table, Variable, markdown};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const SETTINGS: &str = "docs/configuration.md";
const SIGNALS: &str = "docs/signals.md";
const ALIASES: &str = "docs/migration.md";
const BACKENDS: &str = "docs/backends.md";
/// The crate's page at crates.io and docs.rs, where links to other documents need an address.
const CRATE: &str = "exporter/README.md";
const ADDRESS: &str = "https://github.com/lambda-otlp/lambda-otlp/blob/main/docs/";

type Tables = [(&'static str, Table)];

const TABLES: &Tables = &[
    ("exporter", exporter_variables::TABLE),
    ("extension", extension::TABLE),
    ("wrapper", extension::WRAPPER),
    ("forwarder", forwarder::TABLE),
    ("subscriber", subscriber::TABLE),
];

/// Programs that share an environment: the first knows the names that the second reads. A function with the exporter
/// has no wrapper.
const TOGETHER: &[(&str, &str)] =
    &[("exporter", "extension"), ("extension", "exporter"), ("extension", "wrapper")];

/// A document with tables of variables.
struct Document {
    path: &'static str,
    text: String,
    /// The text with the tables of the present code.
    updated: String,
}

/// Writes the tables of variables.
pub(crate) fn write() -> anyhow::Result<()> {
    for Document { path, text, updated } in documents()? {
        if text != updated {
            std::fs::write(checks::root()?.join(path), updated).context(path)?;
        }
    }
    println!("docs: the tables of variables are up to date");
    Ok(())
}

/// Fails if a table is outdated or a link is broken.
pub(crate) fn check() -> anyhow::Result<()> {
    let root = checks::root()?;
    let mut mistakes = links::check(&root, &files(&root)?)?;
    for Document { path, text, updated } in documents()? {
        if text != updated {
            let outdated = "the tables of variables are not up to date, run `cargo xtask docs`";
            mistakes.push(format!("{path}: {outdated}"));
        }
    }
    if !mistakes.is_empty() {
        bail!("{}", mistakes.join("\n"));
    }
    println!("docs: links lead somewhere, the tables of variables are up to date");
    Ok(())
}

/// Tracked files and new files, without ignored ones.
fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let printed = checks::output(&mut git)?;
    let names = String::from_utf8(printed.stdout).context("git ls-files")?;
    // A file that is deleted and not yet committed is still in the index.
    let there = names.lines().filter(|name| root.join(name).is_file());
    Ok(there.map(str::to_owned).collect())
}

fn documents() -> anyhow::Result<[Document; 5]> {
    let problems = problems(TABLES, TOGETHER);
    if !problems.is_empty() {
        bail!("the tables of variables: {}", problems.join("; "));
    }
    let read = |document: &str| {
        std::fs::read_to_string(checks::root()?.join(document)).context(document.to_owned())
    };
    let before = read(SETTINGS)?;
    let shared = markdown(once(|table| table.shared));
    let mut after = replace(&before, SETTINGS, "variables: backend", &shared)?;
    let mut listed: Vec<&Variable> = Vec::new();
    for (name, table) in TABLES {
        let (above, own): (Vec<_>, Vec<_>) =
            table.own.iter().copied().flatten().partition(|row| listed.contains(row));
        let table = markdown(own.iter().copied());
        let names: Vec<String> = above.iter().map(|row| format!("`{}`", row.name)).collect();
        let text = match names.as_slice() {
            [] => table,
            names => format!("{table}\nAlso read, as described above: {}.\n", names.join(", ")),
        };
        after = replace(&after, SETTINGS, &format!("variables: {name}"), &text)?;
        listed.extend(own);
    }
    let migration = read(ALIASES)?;
    let aliases = markdown(once(|table| table.aliases));
    let migrated = replace(&migration, ALIASES, "variables: aliases", &aliases)?;
    let page = read(CRATE)?;
    let own = markdown(exporter_variables::TABLE.own.iter().copied().flatten());
    let own_with_addresses = own.replace("](", &format!("]({ADDRESS}"));
    let with_own = replace(&page, CRATE, "variables: exporter", &own_with_addresses)?;
    let signals = read(SIGNALS)?;
    let with_calls =
        replace(&signals, SIGNALS, "calls", &calls::table(&read(calls::DESCRIPTION)?)?)?;
    let page_of_backends = read(BACKENDS)?;
    let table = backends::table(&read(backends::DESCRIPTION)?, &page_of_backends)?;
    let with_backends = replace(&page_of_backends, BACKENDS, "backends", &table)?;
    Ok([
        Document { path: BACKENDS, text: page_of_backends, updated: with_backends },
        Document { path: SIGNALS, text: signals, updated: with_calls },
        Document { path: SETTINGS, text: before, updated: after },
        Document { path: ALIASES, text: migration, updated: migrated },
        Document { path: CRATE, text: page, updated: with_own },
    ])
}

fn once(rows: fn(&Table) -> Rows) -> impl Iterator<Item = &'static Variable> {
    let mut names = BTreeSet::new();
    let all = TABLES.iter().flat_map(move |(_, table)| rows(table)).copied().flatten();
    all.filter(move |row| names.insert(row.name))
}

/// A name that a table knows from elsewhere and no other table has a row for; a name of ours that a binary reads and its
/// neighbour in the environment would call misspelt.
fn problems(tables: &Tables, together: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (binary, table) in tables {
        for known in table.known_elsewhere {
            let is_read =
                tables.iter().any(|(other, rows)| other != binary && rows.find(known).is_some());
            if !is_read {
                problems.push(format!("{binary} lists {known}, but no other binary reads it"));
            }
        }
    }
    let table_of =
        |binary: &str| tables.iter().find(|(name, _)| *name == binary).map(|(_, table)| table);
    for (binary, neighbour) in together {
        let (Some(table), Some(rows)) = (table_of(binary), table_of(neighbour)) else { continue };
        let ours =
            rows.variables().map(|row| row.name).filter(|name| name.starts_with("LAMBDA_OTLP_"));
        let knows =
            |name: &&str| table.find(name).is_some() || table.known_elsewhere.contains(name);
        let unknown = ours.filter(|name| !knows(name));
        problems.extend(
            unknown.map(|name| format!("{binary} does not know {name} of the {neighbour}")),
        );
    }
    problems
}

/// Replaces the text between `<!-- MARK -->` and `<!-- end -->` in a document.
fn replace(text: &str, document: &str, mark: &str, table: &str) -> anyhow::Result<String> {
    let begin = format!("<!-- {mark} -->\n");
    let end = "<!-- end -->";
    let missing = || format!("{document}: no lines {begin}{end}");
    let (before, rest) = text.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(end).with_context(missing)?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}
