//! Installs, compares and removes dashboards and alerts. `state` decides the action for each of them.

use super::api::{Api, Found};
use super::difference::differences;
use super::mark::{Mark, essence, fingerprint};
use super::report::{Action, Report};
use super::shipped::{Kind, Shipped, metric_streams};
use super::zeros;
use serde_json::Value;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Install(Care),
    Diff,
    Remove(Care),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Care {
    /// Also overwrite or remove those that were edited since their installation.
    #[arg(long)]
    changed_too: bool,
    /// Print the changes without making them.
    #[arg(long)]
    dry_run: bool,
}

impl Task {
    pub(super) fn is_dry_run(self) -> bool {
        matches!(self, Self::Install(care) | Self::Remove(care) if care.dry_run)
    }
}

/// The relation of installed content to this version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Same,
    /// Installed by another version, and not edited.
    Outdated,
    /// Edited since its installation.
    Changed,
    /// It has our name and no mark.
    Foreign,
}

fn state(shipped: &Value, there: &Value) -> State {
    let Some(mark) = Mark::read(there) else { return State::Foreign };
    if mark.kept != fingerprint(there) {
        State::Changed
    } else if mark.shipped != fingerprint(shipped) {
        State::Outdated
    } else {
        State::Same
    }
}

const CHANGED: &str = "edited since its installation: use --changed-too to replace it";
const FOREIGN: &str = "not installed by lambda-otlp, or its description lost the mark: rename it, or choose another --folder";

pub(super) async fn carry_out(
    api: &Api,
    kind: Kind,
    folder: &str,
    shipped: &[Shipped],
    task: Task,
) -> anyhow::Result<Report> {
    let known = api.folder(kind, folder).await?;
    let there = match &known {
        Some((id, _)) => api.list(kind, id).await?,
        None => Vec::new(),
    };
    let mut report = Report::default();
    match task {
        Task::Diff => diff(kind, shipped, &there, &mut report),
        Task::Install(care) => {
            let streams = zeros::of_what_is_rare(api, shipped, care.dry_run, &mut report).await?;
            let id = match known {
                Some((id, _)) => id,
                None if care.dry_run => String::new(),
                None => match api.create_folder(kind, folder).await {
                    Ok(id) => id,
                    // Actions before the error are still reported.
                    Err(error) => {
                        report.add(Action::Failed, folder, format!("the folder: {error:#}"));
                        return Ok(report);
                    }
                },
            };
            let installation = Installation { api, kind, folder: &id, streams: &streams, care };
            for shipped in shipped {
                installation.install(shipped, &there, &mut report).await;
            }
        }
        Task::Remove(care) => {
            let Some((id, is_ours)) = known else { return Ok(report) };
            let mut left = there.len();
            for found in &there {
                let removed = remove(api, kind, &id, found, care, &mut report);
                left -= usize::from(removed.await);
            }
            if left == 0
                && is_ours
                && !care.dry_run
                && let Err(error) = api.delete_folder(kind, &id).await
            {
                report.add(Action::Failed, folder, format!("the folder: {error:#}"));
            }
        }
    }
    Ok(report)
}

fn named<'a>(shipped: &Shipped, there: &'a [Found]) -> Option<&'a Found> {
    let mut named = there.iter().filter(|found| found.name == shipped.name);
    let first = named.clone().next();
    named.find(|found| Mark::read(&found.content).is_some()).or(first)
}

fn diff(kind: Kind, shipped: &[Shipped], there: &[Found], report: &mut Report) {
    for shipped in shipped {
        let name = &shipped.name;
        let Some(found) = named(shipped, there) else {
            report.add(Action::Missing, name, "");
            continue;
        };
        let mut expected = shipped.content.clone();
        // The destinations of an alert are chosen at its installation.
        if let (Kind::Alerts, Some(map), Some(destinations)) =
            (kind, expected.as_object_mut(), found.content.get("destinations"))
        {
            map.insert("destinations".to_owned(), destinations.clone());
        }
        let reason = match state(&expected, &found.content) {
            State::Same => {
                report.add(Action::Keep, name, "");
                continue;
            }
            State::Outdated => "not edited; this version has another one",
            State::Changed => "edited since its installation",
            State::Foreign => "not installed by lambda-otlp, or its description lost the mark",
        };
        let differing = differences(&essence(&expected), &essence(&found.content));
        report.add_differing(Action::Differs, name, reason, differing);
    }
}

struct Installation<'a> {
    api: &'a Api,
    kind: Kind,
    folder: &'a str,
    streams: &'a BTreeSet<String>,
    care: Care,
}

impl Installation<'_> {
    async fn install(&self, shipped: &Shipped, there: &[Found], report: &mut Report) {
        let name = &shipped.name;
        let found = named(shipped, there);
        let (action, reason) = match found.map(|found| state(&shipped.content, &found.content)) {
            None => (Action::Install, ""),
            Some(State::Same) => (Action::Keep, ""),
            Some(State::Outdated) => (Action::Update, ""),
            Some(State::Changed) if self.care.changed_too => (Action::Update, "changes are lost"),
            Some(State::Changed) => (Action::Leave, CHANGED),
            Some(State::Foreign) => (Action::Leave, FOREIGN),
        };
        let missing = self.missing_stream(shipped);
        if let (Kind::Alerts, Action::Install | Action::Update, Some(stream)) =
            (self.kind, action, missing)
        {
            report.add(Action::Wait, name, zeros::why_missing(stream));
            return;
        }
        let done = match (action, found) {
            _ if self.care.dry_run => Ok(()),
            (Action::Install, _) => self.write(shipped, None).await,
            (Action::Update, found) => self.write(shipped, found).await,
            _ => Ok(()),
        };
        match done {
            Ok(()) => report.add(action, name, reason),
            Err(error) => report.add(Action::Failed, name, format!("{error:#}")),
        }
    }

    /// Returns a stream that the alert needs and that is missing; OpenObserve would refuse the alert.
    fn missing_stream<'b>(&self, shipped: &'b Shipped) -> Option<&'b str> {
        let mut streams = metric_streams(&shipped.content).into_iter();
        streams.find(|stream| !self.streams.contains(*stream))
    }

    /// Writes the content with its mark. If the server stores it differently, writes it again with a second
    /// fingerprint.
    async fn write(&self, shipped: &Shipped, known: Option<&Found>) -> anyhow::Result<()> {
        let mut content = shipped.content.clone();
        // A paused alert stays paused.
        if let (Some(enabled), Some(map)) =
            (known.and_then(|known| known.content.get("enabled")), content.as_object_mut())
        {
            map.insert("enabled".to_owned(), enabled.clone());
        }
        let mut mark = Mark::of(&content);
        let marked = mark.write(&content);
        let kept = match known {
            None => self.api.create(self.kind, self.folder, &marked).await?,
            Some(known) => self.api.update(self.kind, self.folder, known, &marked).await?,
        };
        let fingerprint = fingerprint(&kept.content);
        if fingerprint != mark.kept {
            mark.kept = fingerprint;
            let marked = mark.write(&content);
            self.api.update(self.kind, self.folder, &kept, &marked).await?;
        }
        Ok(())
    }
}

/// Removes the content if we installed it. Returns `true` if it was removed.
async fn remove(
    api: &Api,
    kind: Kind,
    folder: &str,
    found: &Found,
    care: Care,
    report: &mut Report,
) -> bool {
    let Some(mark) = Mark::read(&found.content) else { return false };
    if mark.kept != fingerprint(&found.content) && !care.changed_too {
        let reason = "edited since its installation: use --changed-too to remove it";
        report.add(Action::Leave, &found.name, reason);
        return false;
    }
    if !care.dry_run
        && let Err(error) = api.delete(kind, folder, &found.id).await
    {
        report.add(Action::Failed, &found.name, format!("{error:#}"));
        return false;
    }
    report.add(Action::Remove, &found.name, "");
    true
}
