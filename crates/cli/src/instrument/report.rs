//! The plan and the result of a run, as a table and as JSON.

use super::configuration::Configuration;
use super::layers::short;
use super::plan::{Change, FunctionStep};
use super::run::InstrumentTask;
use super::snippets;
use super::trust::is_of_account;
use console::screen::on_one_line;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FunctionFate {
    Planned,
    Done,
    /// The function was deleted meanwhile.
    Gone,
    Failed(String),
    /// The command was stopped before.
    NotReached,
}

/// A selected function.
#[derive(Clone, Debug)]
pub(super) struct FunctionEntry {
    pub(super) name: String,
    pub(super) before: Configuration,
    pub(super) step: FunctionStep,
    pub(super) fate: FunctionFate,
}

#[derive(Clone, Debug, Default)]
pub(super) struct FunctionReport {
    pub(super) entries: Vec<FunctionEntry>,
}

/// The state of a function: its decision and fate in one word, as in the first column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FunctionState {
    Change,
    Changed,
    Keep,
    Refuse,
    Gone,
    Waits,
    Failed,
}

impl FunctionState {
    /// All states, in the order of the sums.
    const ALL: [Self; 7] = [
        Self::Change,
        Self::Changed,
        Self::Keep,
        Self::Refuse,
        Self::Gone,
        Self::Waits,
        Self::Failed,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Changed => "changed",
            Self::Keep => "keep",
            Self::Refuse => "refuse",
            Self::Gone => "gone",
            Self::Waits => "waits",
            Self::Failed => "failed",
        }
    }
}

impl FunctionEntry {
    pub(super) fn without_configuration(name: String, fate: FunctionFate) -> Self {
        Self { name, before: Configuration::default(), step: FunctionStep::Keep, fate }
    }

    pub(super) fn is_planned_change(&self) -> bool {
        matches!(self.step, FunctionStep::Change(_)) && self.fate == FunctionFate::Planned
    }

    fn state(&self) -> FunctionState {
        match (&self.fate, &self.step) {
            (FunctionFate::Gone, _) => FunctionState::Gone,
            (FunctionFate::Failed(_), _) => FunctionState::Failed,
            (FunctionFate::NotReached, _) => FunctionState::Waits,
            (FunctionFate::Planned, FunctionStep::Change(_)) => FunctionState::Change,
            (FunctionFate::Done, FunctionStep::Change(_)) => FunctionState::Changed,
            (FunctionFate::Planned | FunctionFate::Done, FunctionStep::Keep) => FunctionState::Keep,
            (FunctionFate::Planned | FunctionFate::Done, FunctionStep::Refuse(_)) => {
                FunctionState::Refuse
            }
        }
    }

    fn text(&self) -> String {
        match (&self.fate, &self.step) {
            (FunctionFate::Gone, _) => "was deleted meanwhile".to_owned(),
            (FunctionFate::Failed(text), _) => text.clone(),
            (FunctionFate::NotReached, _) => "the command was stopped: run it again".to_owned(),
            (_, FunctionStep::Refuse(refusal)) => refusal.to_string(),
            (_, FunctionStep::Change(change)) => self.describe(change),
            (_, FunctionStep::Keep) => String::new(),
        }
    }

    /// Describes a change: `layers a:1 -> a:1, lambda-otlp-arm64:7; sets AWS_LAMBDA_EXEC_WRAPPER`.
    fn describe(&self, change: &Change) -> String {
        let mut parts = Vec::new();
        let before = self.before.layer_arns();
        if before != change.layers {
            // The name of a foreign account's layer may be that of ours.
            let shown = |arn: &String| {
                let is_own = is_of_account(arn, &self.before.arn);
                if is_own { short(arn).to_owned() } else { arn.clone() }
            };
            let listed = |arns: &[String]| match arns {
                [] => "none".to_owned(),
                arns => arns.iter().map(shown).collect::<Vec<_>>().join(", "),
            };
            parts.push(format!("layers {} -> {}", listed(&before), listed(&change.layers)));
        }
        let set = self.variables_set(change);
        if !set.is_empty() {
            parts.push(format!("sets {}", set.join(", ")));
        }
        let removed = self.variables_removed(change);
        if !removed.is_empty() {
            parts.push(format!("removes {}", removed.join(", ")));
        }
        if parts.is_empty() {
            parts.push("removes the tags of instrument".to_owned());
        }
        parts.extend(change.notes.iter().cloned());
        parts.join("; ")
    }

    /// The names of variables that the change adds or sets.
    fn variables_set(&self, change: &Change) -> Vec<String> {
        let is_set =
            |(name, value): &(&String, &String)| self.before.variables.get(*name) != Some(*value);
        change.variables.iter().filter(is_set).map(|(name, _)| name.clone()).collect()
    }

    fn variables_removed(&self, change: &Change) -> Vec<String> {
        let names = self.before.variables.keys();
        names.filter(|name| !change.variables.contains_key(*name)).cloned().collect()
    }

    fn to_json(&self) -> Value {
        let Configuration { runtime, architecture, .. } = &self.before;
        let mut entry = json!({
            "function": self.name,
            "step": self.state().word(),
            "runtime": runtime,
            "architecture": architecture,
            "layers_before": self.before.layer_arns(),
        });
        if let Some(entry) = entry.as_object_mut() {
            match &self.step {
                FunctionStep::Change(change) => {
                    entry.insert("layers_after".to_owned(), json!(change.layers));
                    entry.insert("variables_set".to_owned(), json!(self.variables_set(change)));
                    entry.insert(
                        "variables_removed".to_owned(),
                        json!(self.variables_removed(change)),
                    );
                    entry.insert("notes".to_owned(), json!(change.notes));
                }
                FunctionStep::Keep => {}
                FunctionStep::Refuse(refusal) => {
                    entry.insert("reason".to_owned(), json!(refusal.to_string()));
                }
            }
            if let FunctionFate::Failed(text) = &self.fate {
                entry.insert("error".to_owned(), json!(text));
            }
        }
        entry
    }
}

impl FunctionReport {
    /// Returns the number of functions that would be changed.
    pub(super) fn changes(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_planned_change()).count()
    }

    fn count(&self, state: FunctionState) -> usize {
        self.entries.iter().filter(|entry| entry.state() == state).count()
    }

    /// Returns `true` unless a function failed or was not reached, or all were refused.
    pub(super) fn is_successful(&self) -> bool {
        let is_complete = self.count(FunctionState::Failed) + self.count(FunctionState::Waits) == 0;
        is_complete && self.count(FunctionState::Refuse) < self.entries.len()
    }

    /// Writes a row for each function that changes or that cannot change, the sums, and texts for templates.
    pub(super) fn write_plan(&self, task: &InstrumentTask, out: &mut dyn Write) -> io::Result<()> {
        self.write_rows(&|entry| entry.state() != FunctionState::Keep, out)?;
        if let InstrumentTask::Instrument(options) = task {
            write!(out, "{}", snippets::of(&self.entries, options))?;
        }
        Ok(())
    }

    /// Writes a row for each function that the plan did not show so, and the sums.
    pub(super) fn write_result(&self, out: &mut dyn Write) -> io::Result<()> {
        let is_new = |entry: &FunctionEntry| {
            use FunctionState::{Failed, Gone, Waits};
            matches!(entry.state(), Gone | Waits | Failed)
        };
        self.write_rows(&is_new, out)
    }

    fn write_rows(
        &self,
        is_shown: &dyn Fn(&FunctionEntry) -> bool,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let shown: Vec<&FunctionEntry> =
            self.entries.iter().filter(|entry| is_shown(entry)).collect();
        let width = |text: &dyn Fn(&FunctionEntry) -> usize| {
            shown.iter().map(|entry| text(entry)).max().unwrap_or(0)
        };
        let runtime =
            |entry: &FunctionEntry| entry.before.runtime.clone().unwrap_or_else(|| "-".to_owned());
        let name_width = width(&|entry| entry.name.len());
        let runtime_width = width(&|entry| runtime(entry).len());
        for entry in &shown {
            let FunctionEntry { name, before: Configuration { architecture, .. }, .. } = entry;
            let runtime = runtime(entry);
            let word = entry.state().word();
            let text = entry.text();
            let row = format!(
                "{word:<7} {name:<name_width$}  {runtime:<runtime_width$}  {architecture:<6}  {text}"
            );
            writeln!(out, "{}", on_one_line(&row).trim_end())?;
        }
        let mut counts = Vec::new();
        for state in FunctionState::ALL {
            let count = self.count(state);
            if count > 0 {
                counts.push(format!("{count} {}", state.word()));
            }
        }
        let functions = if self.entries.len() == 1 { "function" } else { "functions" };
        writeln!(out, "{} {functions}: {}", self.entries.len(), counts.join(", "))
    }

    pub(super) fn to_json(&self) -> Value {
        let counts = FunctionState::ALL.map(|state| (state.word(), self.count(state)));
        json!({
            "functions": self.entries.iter().map(FunctionEntry::to_json).collect::<Vec<_>>(),
            "counts": BTreeMap::from(counts),
        })
    }
}
