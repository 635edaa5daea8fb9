//! `lambda-otlp dashboards` and `alerts`: install, compare and remove the dashboards and alerts for OpenObserve.

mod api;
mod difference;
mod mark;
mod report;
mod shipped;
mod task;
mod zeros;

use crate::aws::AwsArguments;
use crate::broken_pipe;
use crate::destination::DestinationArguments;
use crate::doctor;
use anyhow::bail;
use api::Api;
use backend::Profile;
use clap::Subcommand;
use report::Report;
use shipped::Kind;
use std::io::{self, Write as _};
use std::process::ExitCode;
use task::{Care, Task};

/// The OpenObserve organization and folder.
#[derive(clap::Args)]
struct Place {
    #[command(flatten)]
    destination: DestinationArguments,
    /// The folder in OpenObserve; created if it is missing.
    #[arg(long, value_name = "NAME", default_value = "lambda-otlp")]
    folder: String,
    /// Print the results as one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp dashboards install --endpoint https://o2.example.com/api/default --header 'authorization=Basic …'
  lambda-otlp dashboards diff --endpoint https://o2.example.com/api/default")]
pub(crate) struct DashboardsArguments {
    #[command(subcommand)]
    command: Command<NoArguments>,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp alerts install --notify on-call --endpoint https://o2.example.com/api/default
  lambda-otlp alerts remove --endpoint https://o2.example.com/api/default")]
pub(crate) struct AlertsArguments {
    #[command(subcommand)]
    command: Command<Notify>,
}

/// A subcommand; `I` has further arguments of `install`.
#[derive(Subcommand)]
enum Command<I: clap::Args> {
    /// Install them, and update those that were not edited.
    Install {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        care: Care,
        #[command(flatten)]
        more: I,
    },
    /// List the differences between the installed ones and those of this version.
    Diff {
        #[command(flatten)]
        place: Place,
    },
    /// Remove the installed ones, and their folder if it is empty.
    Remove {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        care: Care,
    },
}

#[derive(clap::Args)]
struct NoArguments {}

#[derive(clap::Args)]
struct Notify {
    /// The alert destination in OpenObserve to notify; may be repeated.
    #[arg(long, value_name = "DESTINATION", required = true)]
    notify: Vec<String>,
}

impl<I: clap::Args> Command<I> {
    fn parts(&self) -> (&Place, Task, Option<&I>) {
        match self {
            Self::Install { place, care, more } => (place, Task::Install(*care), Some(more)),
            Self::Diff { place } => (place, Task::Diff, None),
            Self::Remove { place, care } => (place, Task::Remove(*care), None),
        }
    }
}

pub(crate) fn dashboards(arguments: &DashboardsArguments) -> anyhow::Result<ExitCode> {
    let (place, task, _) = arguments.command.parts();
    run(place, Kind::Dashboards, task, &[])
}

pub(crate) fn alerts(arguments: &AlertsArguments) -> anyhow::Result<ExitCode> {
    let (place, task, more) = arguments.command.parts();
    run(place, Kind::Alerts, task, more.map_or(&[], |more| &more.notify))
}

fn run(place: &Place, kind: Kind, task: Task, notify: &[String]) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let variables = place.destination.variables(false)?;
    let report = runtime.block_on(async {
        let reach = doctor::reach_of(&place.aws, &variables).await?;
        if reach.destination.profile != Profile::OpenObserve {
            bail!("dashboards and alerts need OpenObserve: change LAMBDA_OTLP_BACKEND");
        }
        let stream =
            backend::stored_stream(reach.destination.stream.as_deref().unwrap_or("default"));
        let shipped = shipped::all(kind, &stream, notify)?;
        let api = Api::new(reach)?;
        task::carry_out(&api, kind, &place.folder, &shipped, task).await
    })?;
    broken_pipe::ignored(print(&report, place.json, task.is_dry_run()))?;
    Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report, json: bool, dry_run: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json { writeln!(out, "{}", report.to_json()) } else { report.write(dry_run, &mut out) }
}
