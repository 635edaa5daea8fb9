//! Reads, plans and changes several functions at a time. A function's change depends on its present configuration alone,
//! so a command that was interrupted continues when it is run again.

use super::account::{Account, POLL_AFTER, UpdateAnswer};
use super::configuration::{Configuration, Update};
use super::plan::{Change, FunctionStep, InstrumentOptions, plan};
use super::report::{FunctionEntry, FunctionFate, FunctionReport};
use super::trust::{StackLayers, TrustedLayers};
use super::undo::undo;
use crate::progress::ProgressLine;
use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use subscriber::Selection;

/// Number of functions that are read or changed at a time. More would only exceed Lambda's quota of 15 requests per second.
const AT_A_TIME: usize = 4;
/// Attempts to change a function that others change at the same time.
const MAX_CONFLICTS: u32 = 20;

#[derive(Clone, Debug)]
pub(super) enum InstrumentTask {
    Instrument(InstrumentOptions),
    Uninstrument,
}

impl InstrumentTask {
    fn decide(&self, configuration: &Configuration, trusted: &TrustedLayers) -> FunctionStep {
        match self {
            Self::Instrument(options) => plan(configuration, options, trusted),
            Self::Uninstrument => undo(configuration, trusted),
        }
    }
}

#[derive(Debug)]
pub(super) struct InstrumentRun {
    account: Account,
    stack_layers: StackLayers,
    pub(super) task: InstrumentTask,
    is_stopped: Arc<AtomicBool>,
}

impl InstrumentRun {
    pub(super) fn new(account: Account, stack_layers: StackLayers, task: InstrumentTask) -> Self {
        Self { account, stack_layers, task, is_stopped: Arc::default() }
    }

    /// Stops before the next function at the first Ctrl-C, and at once at the second.
    pub(super) fn stop_on_ctrl_c(&self) {
        let is_stopped = Arc::clone(&self.is_stopped);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            is_stopped.store(true, Ordering::Relaxed);
            eprintln!("finishing the changes under way; press Ctrl-C again to stop at once");
            if tokio::signal::ctrl_c().await.is_ok() {
                eprintln!("stopped; run the command again to continue");
                std::process::exit(1);
            }
        });
    }

    /// Reads all selected functions, and plans their changes.
    pub(super) async fn plan(&self, selection: &Selection) -> anyhow::Result<FunctionReport> {
        let mut names = self.account.function_names().await?;
        names.retain(|name| selection.check_name(name).is_ok());
        let progress = ProgressLine::start("functions read");
        let counts = progress.counts();
        counts.set_total(names.len());
        let planned = futures_util::stream::iter(names).map(async |name| {
            let entry = self.plan_one(name, selection).await;
            counts.add(1);
            entry
        });
        let entries = planned.buffered(AT_A_TIME).filter_map(async |entry| entry).collect().await;
        Ok(FunctionReport { entries })
    }

    /// Returns `None` if the function's tags do not select it.
    async fn plan_one(&self, name: String, selection: &Selection) -> Option<FunctionEntry> {
        let failed = |error: &anyhow::Error| FunctionFate::Failed(format!("{error:#}"));
        let mut before = match self.account.read(&name).await {
            Ok(Some(configuration)) => configuration,
            Ok(None) => {
                return Some(FunctionEntry::without_configuration(name, FunctionFate::Gone));
            }
            Err(error) => return Some(FunctionEntry::without_configuration(name, failed(&error))),
        };
        if selection.check_tags(&before.tags).is_err() {
            return None;
        }
        let fate = match self.account.aliases(&name).await {
            Ok(aliases) => {
                before.aliases = aliases;
                FunctionFate::Planned
            }
            Err(error) => failed(&error),
        };
        let step = self.decide(&before).await;
        Some(FunctionEntry { name, before, step, fate })
    }

    async fn decide(&self, configuration: &Configuration) -> FunctionStep {
        let trusted = self.stack_layers.trusted(configuration).await;
        self.task.decide(configuration, &trusted)
    }

    /// Makes the planned changes.
    pub(super) async fn apply(&self, report: FunctionReport) -> FunctionReport {
        let progress = ProgressLine::start("functions changed");
        let counts = progress.counts();
        counts.set_total(report.entries.len());
        let applied = futures_util::stream::iter(report.entries).map(async |entry| {
            let entry = self.apply_one(entry).await;
            counts.add(1);
            entry
        });
        let mut entries: Vec<FunctionEntry> = applied.buffer_unordered(AT_A_TIME).collect().await;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        FunctionReport { entries }
    }

    async fn apply_one(&self, mut entry: FunctionEntry) -> FunctionEntry {
        if !entry.is_planned_change() {
            return entry;
        }
        if self.is_stopped.load(Ordering::Relaxed) {
            entry.fate = FunctionFate::NotReached;
            return entry;
        }
        match self.update(&entry).await {
            Ok(UpdateResult { step, fate }) => {
                entry.step = step.unwrap_or(entry.step);
                entry.fate = fate;
            }
            Err(error) => entry.fate = FunctionFate::Failed(format!("{error:#}")),
        }
        entry
    }

    /// Updates a function. Its configuration is read again, because others may have changed it since the plan.
    async fn update(&self, entry: &FunctionEntry) -> anyhow::Result<UpdateResult> {
        for _ in 0..MAX_CONFLICTS {
            let Some(mut present) = self.account.settled(&entry.name).await? else {
                return Ok(UpdateResult { step: None, fate: FunctionFate::Gone });
            };
            present.aliases.clone_from(&entry.before.aliases);
            let step = self.decide(&present).await;
            let FunctionStep::Change(change) = &step else {
                return Ok(UpdateResult { step: Some(step), fate: FunctionFate::Planned });
            };
            if self.update_once(&present, change).await? == UpdateAnswer::Conflict {
                tokio::time::sleep(POLL_AFTER).await;
                continue;
            }
            let settled = self.account.settled(&entry.name).await?;
            let after = settled.context("it was deleted meanwhile")?;
            if let Update::Failed(reason) = after.update {
                bail!(
                    "AWS accepted the change and then failed: {reason}: run uninstrument, or repair the function"
                );
            }
            return Ok(UpdateResult { step: Some(step), fate: FunctionFate::Done });
        }
        bail!("others change it at the same time: run the command again")
    }

    /// The record is written before the change and removed after its undoing, so that a change is never without a record.
    async fn update_once(
        &self,
        present: &Configuration,
        change: &Change,
    ) -> anyhow::Result<UpdateAnswer> {
        let tags = change.record.to_tags();
        if matches!(self.task, InstrumentTask::Instrument(_)) {
            self.account.set_tags(present, &tags).await?;
        }
        if change.differs_from(present)
            && self.account.update(present, change).await? == UpdateAnswer::Conflict
        {
            return Ok(UpdateAnswer::Conflict);
        }
        if matches!(self.task, InstrumentTask::Uninstrument) {
            self.account.set_tags(present, &BTreeMap::new()).await?;
        }
        Ok(UpdateAnswer::Accepted)
    }
}

struct UpdateResult {
    /// The step that was taken, if the function was read.
    step: Option<FunctionStep>,
    fate: FunctionFate,
}
