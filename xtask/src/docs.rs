//! Writes the tables of variables into the README, from the tables that the binaries read.

use anyhow::{Context as _, bail};
use std::path::PathBuf;

/// Part of the README, and the table that belongs there.
fn tables() -> [(&'static str, settings::Table); 3] {
    [
        ("forwarder", forwarder::TABLE),
        ("extension", extension::TABLE),
        ("exporter", exporter::TABLE),
    ]
}

/// Writes the README, or with `check` fails if it is not what would be written.
pub(crate) fn write(check: bool) -> anyhow::Result<()> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let before = std::fs::read_to_string(&path).context("README.md")?;
    let mut after = before.clone();
    for (name, table) in tables() {
        after = replace(&after, name, &table.markdown())?;
    }
    if check && before != after {
        bail!("README.md: tables of variables are not up to date, run `cargo xtask docs`");
    }
    if before != after {
        std::fs::write(&path, after).context("README.md")?;
    }
    println!("docs: the tables of variables are up to date");
    Ok(())
}

fn replace(text: &str, name: &str, table: &str) -> anyhow::Result<String> {
    let (begin, end) = (format!("<!-- variables: {name} -->\n"), "<!-- end -->");
    let (before, rest) =
        text.split_once(&begin).with_context(|| format!("README.md: no line {}", begin.trim()))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("README.md: no {end}"))?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_replaced_between_its_marks() {
        let text = "a\n<!-- variables: x -->\nold\n<!-- end -->\nb";
        let new = replace(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- variables: x -->\nnew\n<!-- end -->\nb");
        assert_eq!(replace(&new, "x", "new\n").unwrap(), new);
        assert!(replace(text, "y", "").is_err());
    }
}
