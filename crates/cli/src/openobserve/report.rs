//! What was done, or would be, or differs: a row for each dashboard, alert or stream.

use super::difference::Difference;
use crate::waterfall::draw::short;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What is done to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It was not there.
    Install,
    /// It was there and unchanged, and something else is shipped now.
    Update,
    /// It is there as it is shipped.
    Keep,
    /// It is there, and it is not for us to change it.
    Leave,
    Remove,
    /// It is not there (of `diff`).
    Missing,
    /// It is there and differs (of `diff`).
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
    /// Why, and what to do; empty where there is nothing to say.
    pub(super) reason: String,
    pub(super) differences: Vec<Difference>,
}

#[derive(Debug, Default)]
pub(super) struct Report(Vec<Row>);

/// Of one dashboard: more of them are of no use.
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

    /// Whether everything is as it should be: done, or, of `diff`, the same.
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
                writeln!(out, "        and {more} more: --json has them all")?;
            }
        }
        if self.0.is_empty() {
            writeln!(out, "nothing that was installed is there")?;
        }
        if dry_run {
            writeln!(out, "nothing was changed")?;
        }
        Ok(())
    }
}
