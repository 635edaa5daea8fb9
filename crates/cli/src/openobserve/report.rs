//! The report: a row for each dashboard, alert or stream.

use super::difference::Difference;
use console::waterfall::draw::short;
use serde_json::{Value, json};
use std::io::{self, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Install,
    /// It was not edited, and this version has another one.
    Update,
    /// It equals this version's.
    Keep,
    /// It was edited, or someone else made it.
    Leave,
    Remove,
    Missing,
    Differs,
    /// It cannot be installed yet.
    Wait,
    Failed,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Update => "update",
            Self::Keep => "keep",
            Self::Leave => "leave",
            Self::Remove => "remove",
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::Wait => "wait",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) action: Action,
    pub(super) name: String,
    pub(super) reason: String,
    pub(super) differences: Vec<Difference>,
}

#[derive(Debug, Default)]
pub(super) struct Report(Vec<Row>);

const MOST_DIFFERENCES: usize = 20;
const LONGEST_VALUE: usize = 160;

impl Report {
    pub(super) fn add(&mut self, action: Action, name: &str, reason: impl Into<String>) {
        self.add_differing(action, name, reason, Vec::new());
    }

    pub(super) fn add_differing(
        &mut self,
        action: Action,
        name: &str,
        reason: impl Into<String>,
        differences: Vec<Difference>,
    ) {
        self.0.push(Row { action, name: name.to_owned(), reason: reason.into(), differences });
    }

    /// Returns `true` if everything was done, or, for `diff`, is equal.
    pub(super) fn is_fine(&self) -> bool {
        self.0.iter().all(|row| {
            let action = row.action;
            !matches!(action, Action::Failed | Action::Wait | Action::Missing | Action::Differs)
        })
    }

    pub(super) fn to_json(&self) -> Value {
        let rows = self.0.iter().map(|row| {
            let differences = row.differences.iter();
            let differences: Vec<Value> = differences
                .map(|it| json!({"at": it.at, "shipped": it.shipped, "there": it.there}))
                .collect();
            json!({
                "action": row.action.word(), "name": row.name, "reason": row.reason,
                "differences": differences,
            })
        });
        rows.collect()
    }

    pub(super) fn write(&self, dry_run: bool, out: &mut dyn Write) -> io::Result<()> {
        for Row { action, name, reason, differences } in &self.0 {
            let line = format!("{:<8}{name:<28}{reason}", action.word());
            writeln!(out, "{}", line.trim_end())?;
            for Difference { at, shipped, there } in differences.iter().take(MOST_DIFFERENCES) {
                writeln!(out, "        {at}")?;
                for (sign, value) in [('-', shipped), ('+', there)] {
                    if let Some(value) = value {
                        writeln!(out, "          {sign} {}", short(value, LONGEST_VALUE))?;
                    }
                }
            }
            if differences.len() > MOST_DIFFERENCES {
                let more = differences.len() - MOST_DIFFERENCES;
                writeln!(out, "        and {more} more: use --json for all")?;
            }
        }
        if self.0.is_empty() {
            writeln!(out, "nothing is installed")?;
        }
        if dry_run {
            writeln!(out, "nothing was changed")?;
        }
        Ok(())
    }
}
