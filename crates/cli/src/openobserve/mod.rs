//! `lambda-otlp dashboards` and `alerts`: what is shipped for OpenObserve, installed there, compared, and taken away again.

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

/// Where it is.
#[derive(clap::Args)]
struct Place {
    #[command(flatten)]
    destination: DestinationArguments,
    /// The folder in OpenObserve; made if it is not there.
    #[arg(long, value_name = "NAME", default_value = "lambda-otlp")]
    folder: String,
    /// Print what was looked at as one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

/// Arguments of `lambda-otlp dashboards`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp dashboards install --endpoint https://o2.example.com/api/default --header 'authorization=Basic …'
  lambda-otlp dashboards diff --endpoint https://o2.example.com/api/default")]
pub(crate) struct DashboardsArguments {
    #[command(subcommand)]
    command: DashboardsCommand,
}

#[derive(Subcommand)]
enum DashboardsCommand {
    /// Installs the dashboards, and updates the ones that were not edited.
    Install {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        care: Care,
    },
    /// Lists the differences between the installed dashboards and the ones of this version.
    Diff {
        #[command(flatten)]
        place: Place,
    },
    /// Removes the installed dashboards, and their folder if it is empty then.
    Remove {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        care: Care,
    },
}

/// Arguments of `lambda-otlp alerts`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp alerts install --notify on-call --endpoint https://o2.example.com/api/default
  lambda-otlp alerts remove --endpoint https://o2.example.com/api/default")]
pub(crate) struct AlertsArguments {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Subcommand)]
enum AlertsCommand {
    /// Installs the alerts, and updates the ones that were not edited.
    Install {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        care: Care,
        /// The alert destination in OpenObserve to notify; may be repeated.
        #[arg(long, value_name = "DESTINATION", required = true)]
        notify: Vec<String>,
    },
    /// Lists the differences between the installed alerts and the ones of this version.
    Diff {
        #[command(flatten)]
        place: Place,
    },
    /// Removes the installed alerts, and their folder if it is empty then.
    Remove {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        care: Care,
    },
}

pub(crate) fn dashboards(arguments: &DashboardsArguments) -> anyhow::Result<ExitCode> {
    let (place, task) = match &arguments.command {
        DashboardsCommand::Install { place, care } => (place, Task::Install(*care)),
        DashboardsCommand::Diff { place } => (place, Task::Diff),
        DashboardsCommand::Remove { place, care } => (place, Task::Remove(*care)),
    };
    run(place, Kind::Dashboards, task, &[])
}

pub(crate) fn alerts(arguments: &AlertsArguments) -> anyhow::Result<ExitCode> {
    let (place, task, notify) = match &arguments.command {
        AlertsCommand::Install { place, care, notify } => {
            (place, Task::Install(*care), notify.as_slice())
        }
        AlertsCommand::Diff { place } => (place, Task::Diff, &[][..]),
        AlertsCommand::Remove { place, care } => (place, Task::Remove(*care), &[][..]),
    };
    run(place, Kind::Alerts, task, notify)
}

fn run(place: &Place, kind: Kind, task: Task, notify: &[String]) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let variables = place.destination.variables(false)?;
    let report = runtime.block_on(async {
        let reach = doctor::reach_of(&place.aws, &variables).await?;
        if reach.destination.profile != Profile::OpenObserve {
            bail!("dashboards and alerts are OpenObserve's: LAMBDA_OTLP_BACKEND says otherwise");
        }
        let stream = doctor::stream_name(reach.destination.stream.as_deref().unwrap_or("default"));
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
