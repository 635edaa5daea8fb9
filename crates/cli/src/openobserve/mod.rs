//! `lambda-otlp dashboards` and `alerts`: install and remove the dashboards and alerts for OpenObserve.

mod api;
mod shipped;
mod task;

use crate::aws::AwsArguments;
use crate::destination::DestinationArguments;
use crate::doctor;
use crate::terminal;
use anyhow::bail;
use api::Api;
use backend::Profile;
use clap::Subcommand;
use shipped::Kind;
use std::process::ExitCode;
use task::Task;

/// Arguments of all commands: the OpenObserve organization and folder.
#[derive(clap::Args)]
struct Place {
    #[command(flatten)]
    destination: DestinationArguments,
    /// The folder in OpenObserve; created if it is missing.
    #[arg(long, value_name = "NAME", default_value = "lambda-otlp")]
    folder: String,
    /// Print the changes without making them.
    #[arg(long)]
    dry_run: bool,
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
  lambda-otlp dashboards remove --endpoint https://o2.example.com/api/default")]
pub(crate) struct DashboardsArguments {
    #[command(subcommand)]
    command: DashboardsCommand,
}

#[derive(Subcommand)]
enum DashboardsCommand {
    /// Install the dashboards. Those with the same titles in the folder are replaced, with all edits.
    Install(Place),
    /// Remove the dashboards with our titles from the folder, and the folder if it is empty.
    Remove(Place),
}

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
    /// Install the alerts. Those with the same names in the folder are replaced, with all edits; paused alerts stay
    /// paused.
    Install {
        /// The alert destination in OpenObserve to notify; may be repeated.
        #[arg(long, value_name = "DESTINATION", required = true)]
        notify: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Remove the alerts with our names from the folder, and the folder if it is empty.
    Remove(Place),
}

pub(crate) fn dashboards(arguments: &DashboardsArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        DashboardsCommand::Install(place) => run(place, Kind::Dashboards, Task::Install, &[]),
        DashboardsCommand::Remove(place) => run(place, Kind::Dashboards, Task::Remove, &[]),
    }
}

pub(crate) fn alerts(arguments: &AlertsArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        AlertsCommand::Install { notify, place } => run(place, Kind::Alerts, Task::Install, notify),
        AlertsCommand::Remove(place) => run(place, Kind::Alerts, Task::Remove, &[]),
    }
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
        task::carry_out(&api, kind, &place.folder, &shipped, task, place.dry_run).await
    })?;
    terminal::ignored(report.print(place.json))?;
    Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
