//! Writes the tables of variables into `docs/configuration.md`, from the tables that the binaries read, and checks what
//! the tables say of one another.

use super::replace;
use crate::checks;
use anyhow::{Context as _, bail};
use settings::Table;
use std::path::PathBuf;

const DOCUMENT: &str = "docs/configuration.md";

/// A binary, and its table.
type Tables = [(&'static str, Table)];

const TABLES: &Tables = &[
    ("exporter", exporter::TABLE),
    ("extension", extension::TABLE),
    ("wrapper", extension::WRAPPER),
    ("forwarder", forwarder::TABLE),
    ("subscriber", subscriber::TABLE),
];

/// Programs that run in one environment, of which the first knows the names that the second reads. Where a function has the
/// exporter there is no wrapper.
const TOGETHER: &[(&str, &str)] =
    &[("exporter", "extension"), ("extension", "exporter"), ("extension", "wrapper")];

/// Writes the tables into the document.
pub(super) fn write() -> anyhow::Result<()> {
    let (path, before, after) = texts()?;
    if before != after {
        std::fs::write(&path, after).context(DOCUMENT)?;
    }
    println!("docs: the tables of variables are up to date");
    Ok(())
}

/// Fails if the document is not what would be written.
pub(super) fn check() -> anyhow::Result<()> {
    let (_, before, after) = texts()?;
    if before != after {
        bail!("{DOCUMENT}: the tables of variables are not up to date, run `cargo xtask docs`");
    }
    println!("docs: links lead somewhere, the tables of variables are up to date");
    Ok(())
}

/// The document's path, its text as it is, and as it should be.
fn texts() -> anyhow::Result<(PathBuf, String, String)> {
    let problems = problems(TABLES, TOGETHER);
    if !problems.is_empty() {
        bail!("the tables of variables: {}", problems.join("; "));
    }
    let path = checks::root()?.join(DOCUMENT);
    let before = std::fs::read_to_string(&path).context(DOCUMENT)?;
    let mut after = before.clone();
    for (name, table) in TABLES {
        after = replace(&after, DOCUMENT, &format!("variables: {name}"), &table.markdown())?;
    }
    Ok((path, before, after))
}

/// A name that a table knows from elsewhere and no other table has a row for; a name of ours that a binary reads and its
/// neighbour in the environment would call misspelt.
fn problems(tables: &Tables, together: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (binary, table) in tables {
        for known in table.known_elsewhere() {
            let is_read =
                tables.iter().any(|(other, rows)| other != binary && rows.find(known).is_some());
            if !is_read {
                problems.push(format!("{binary} knows {known}, which nobody else reads"));
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
            |name: &&str| table.find(name).is_some() || table.known_elsewhere().contains(name);
        let unknown = ours.filter(|name| !knows(name));
        problems.extend(
            unknown.map(|name| format!("{binary} does not know {name} of the {neighbour}")),
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::{Kind, Variable};

    #[test]
    fn tables_know_of_one_another() {
        const fn row(name: &'static str) -> Variable {
            Variable { name, default: None, kind: Kind::Text, doc: "A variable." }
        }
        const LEFT: Table = Table::new(&[&[row("LAMBDA_OTLP_A"), row("OTHER")]])
            .with_known_elsewhere(&["LAMBDA_OTLP_B", "LAMBDA_OTLP_GONE", "LAMBDA_OTLP_A"]);
        const RIGHT: Table = Table::new(&[&[row("LAMBDA_OTLP_B"), row("LAMBDA_OTLP_C")]]);
        let tables: &Tables = &[("left", LEFT), ("right", RIGHT)];
        assert_eq!(
            problems(tables, &[("left", "right"), ("right", "left")]),
            [
                "left knows LAMBDA_OTLP_GONE, which nobody else reads",
                "left knows LAMBDA_OTLP_A, which nobody else reads",
                "left does not know LAMBDA_OTLP_C of the right",
                "right does not know LAMBDA_OTLP_A of the left",
            ]
        );
        assert_eq!(problems(TABLES, TOGETHER), [""; 0]);
    }
}
