//! `lambda-otlp doctor`: checks settings, backend and a deployed stack.

mod answers;
mod deployment;
mod function;
mod functions;
mod log_groups;
mod openobserve;
mod pipeline;
mod recent_errors;
mod stack;
mod wiring;

use crate::aws::{Aws, AwsArguments, Machine};
use crate::destination::DestinationArguments;
use crate::progress::{ProgressLine, Tally};
use crate::terminal;
use ::aws::{AwsSecrets, AwsSecretsSettings, CachedSecret, CredentialsSource, RequestSigner};
use anstyle::{AnsiColor, Style};
use backend::{DestinationConfig, Profile, read_secret};
use console::reach::{self, Reach};
use console::time_arguments;
use console::waterfall::draw::{BAD, GOOD};
use deployment::DeploymentArguments;
use forwarder::{Config, wall_clock_now};
use settings::{Check, Reader, Remark, SecretReference, SecretStore, Source, Table, Verdict};
use stack::StackCheck;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use function::{DeployedFunction, direct_mode_variable};
pub(crate) use wiring::permission as permission_to_invoke;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lambda-otlp doctor --canary --stack lambda-otlp --log-group /aws/lambda/shop
  lambda-otlp doctor --stack lambda-otlp --since 12h
  lambda-otlp doctor --endpoint https://o2.example.com/api/default --header 'authorization=Basic …'")]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    destination: DestinationArguments,
    /// Send a log record, a metric and a span, and read them back.
    #[arg(long)]
    canary: bool,
    /// Time limit of the canary.
    #[arg(long, value_name = "TIME", value_parser = time_arguments::parse_duration, default_value = "30s")]
    within: Duration,
    #[command(flatten)]
    deployment: DeploymentArguments,
    /// Print the checks as a JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    aws: AwsArguments,
}

pub(crate) fn run(arguments: &DoctorArguments) -> anyhow::Result<ExitCode> {
    arguments.destination.print_warnings();
    let variables = arguments.destination.variables(false)?;
    let progress = ProgressLine::start("checking");
    let Diagnosis { checks, has_begun } =
        terminal::block_on(async { Ok(diagnose(arguments, &variables, progress.counts()).await) })?;
    drop(progress);
    // anstream writes colours only to a terminal, and none if NO_COLOR is set.
    let mut out = anstream::stdout().lock();
    if arguments.json {
        let as_json = |check: &Check| {
            let Check { name, verdict, text } = check;
            serde_json::json!({ "name": name, "verdict": verdict.as_str(), "text": text })
        };
        let json = checks.iter().map(as_json).collect::<serde_json::Value>();
        writeln!(out, "{}", console::screen::json(&json))?;
    } else {
        for check in &checks {
            write(check, &mut out)?;
        }
    }
    Ok(if !has_begun {
        ExitCode::from(crate::USAGE)
    } else if checks.iter().any(Check::is_failed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The result of a run.
struct Diagnosis {
    checks: Vec<Check>,
    /// `false` if there is no such stack or function, or it cannot be read, so that nothing was checked.
    has_begun: bool,
}

fn write(check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let verdict = check.verdict.as_str();
    let style = match check.verdict {
        Verdict::Ok => GOOD,
        Verdict::Warning => AnsiColor::Yellow.on_default().bold(),
        Verdict::Failed => BAD,
        Verdict::Skipped => Style::new(),
    };
    let line = console::screen::on_one_line(&check.to_string());
    let text = line.strip_prefix(verdict).unwrap_or(&line);
    writeln!(out, "{style}{verdict}{style:#}{text}")
}

async fn diagnose(
    arguments: &DoctorArguments,
    variables: &dyn Source,
    progress: &Tally,
) -> Diagnosis {
    let deployment = &arguments.deployment;
    if !deployment.is_given() {
        return Diagnosis { checks: check_backend(arguments, variables).await, has_begun: true };
    }
    let aws = match Aws::load(&arguments.aws).await {
        Ok(aws) => aws,
        Err(error) => {
            let checks = vec![Check::failed("function", error.to_string())];
            return Diagnosis { checks, has_begun: false };
        }
    };
    let found = stack::find(&aws, deployment).await;
    let mut checks = Vec::new();
    if arguments.destination.has_endpoint() {
        checks = check_backend(arguments, variables).await;
    } else if let Ok(function) = &found
        && arguments.canary
    {
        // A function in a VPC may use a backend that this machine cannot reach, so only --canary checks it.
        checks = check_backend(arguments, &function.settings()).await;
    }
    let is_backend_checked = !checks.is_empty();
    match found {
        Ok(function) => {
            let check = StackCheck {
                aws: &aws,
                aws_arguments: &arguments.aws,
                arguments: deployment,
                function: &function,
            };
            checks.extend(check.run(progress).await);
            if !is_backend_checked {
                checks.push(unchecked_backend(arguments));
            }
            Diagnosis { checks, has_begun: true }
        }
        Err(check) => {
            checks.push(check);
            Diagnosis { checks, has_begun: is_backend_checked }
        }
    }
}

/// Says that the backend was not checked, with the command that does it.
fn unchecked_backend(arguments: &DoctorArguments) -> Check {
    let deployment = arguments.deployment.flags();
    let aws_flags = arguments.aws.flags();
    let text = format!(
        "not checked: `lambda-otlp doctor --canary {deployment}{aws_flags}` stores a record of each signal in it"
    );
    Check { name: "backend", verdict: Verdict::Skipped, text }
}

/// Runs the checks of settings and backend, until one fails.
async fn check_backend(arguments: &DoctorArguments, variables: &dyn Source) -> Vec<Check> {
    let connection = Box::pin(connect(&arguments.aws, variables)).await;
    let Connection { mut checks, reach } = connection;
    let Some(reach) = reach else { return checks };
    checks.extend(Box::pin(reach::check(&reach)).await);
    if !checks.iter().any(Check::is_failed) {
        checks.extend(openobserve::check_rights(&reach).await);
    }
    checks.extend(openobserve::check_columns(&reach).await);
    if arguments.canary && !checks.iter().any(Check::is_failed) {
        let canary = Box::pin(openobserve::check_canary(&reach, arguments.within)).await;
        checks.extend(canary);
    }
    checks
}

/// Returns the backend of the variables, with its secret. The error lists all mistakes in the settings.
pub(crate) async fn reach_of(aws: &AwsArguments, variables: &dyn Source) -> anyhow::Result<Reach> {
    let Connection { checks, reach } = connect(aws, variables).await;
    let failed = checks.into_iter().filter(Check::is_failed).map(|check| check.text);
    reach.ok_or_else(|| anyhow::anyhow!(failed.collect::<Vec<_>>().join("; ")))
}

/// The backend of settings, if it can be asked.
struct Connection {
    checks: Vec<Check>,
    /// `None` after a failed check.
    reach: Option<Reach>,
}

/// Checks the settings, and reads the backend's secret.
async fn connect(aws: &AwsArguments, variables: &dyn Source) -> Connection {
    let CheckedSettings { mut checks, config } = settings(variables);
    let Some(config) = config else { return Connection { checks, reach: None } };
    let mut destination = config.destination;
    let reference = destination.secret.clone();
    checks.extend(secret(aws, &mut destination).await);
    if checks.iter().any(Check::is_failed) {
        return Connection { checks, reach: None };
    }
    let signer = match signer(aws, &destination).await {
        Ok(signer) => signer,
        Err(error) => {
            checks.push(Check::failed("signature", format!("no credentials of AWS: {error:#}")));
            return Connection { checks, reach: None };
        }
    };
    match reach::of_settings(destination, variables) {
        Ok(reach) => {
            let reach = reach.signed_by(signer);
            let advised = match reference {
                Some(reference) => {
                    let profile = reach.destination.profile;
                    reach.advised(secret_remedy(&reference, profile, &aws.flags()).into())
                }
                None => reach,
            };
            Connection { checks, reach: Some(advised) }
        }
        Err(error) => {
            checks.push(Check::failed("settings", error.to_string()));
            Connection { checks, reach: None }
        }
    }
}

/// The remedy for credentials of a secret that the backend refuses.
fn secret_remedy(reference: &SecretReference, profile: Profile, aws_flags: &str) -> String {
    let SecretReference { store, id, key } = reference;
    if let Some(key) = key {
        return format!("correct the key {key} of {id}, which has the credentials");
    }
    let command = match store {
        SecretStore::SecretsManager => {
            format!("aws secretsmanager put-secret-value --secret-id {id} --secret-string")
        }
        SecretStore::ParameterStore => {
            format!("aws ssm put-parameter --overwrite --type SecureString --name {id} --value")
        }
    };
    let credentials = match profile {
        Profile::OpenObserve => "ORGANIZATION:TOKEN",
        Profile::Otlp => "HEADER: VALUE",
    };
    format!("the credentials are in {id}: `{command} '{credentials}'{aws_flags}`")
}

pub(crate) struct CheckedSettings {
    pub(crate) checks: Vec<Check>,
    /// `None` after a failed check.
    pub(crate) config: Option<Config>,
}

pub(crate) fn settings(variables: &dyn Source) -> CheckedSettings {
    let (config, warnings) = Config::from_source(variables);
    let warning_check = |warning: &Remark| Check::warning("settings", warning.to_string());
    let mut checks: Vec<Check> = warnings.iter().map(warning_check).collect();
    match config {
        Ok(config) => {
            let valid = if checks.is_empty() { "all" } else { "the other" };
            checks.push(Check::ok("settings", format!("{valid} variables are valid")));
            CheckedSettings { checks, config: Some(config) }
        }
        Err(invalid) => {
            let mistakes = invalid.mistakes().iter();
            checks.extend(mistakes.map(|it| Check::failed("settings", it.to_string())));
            CheckedSettings { checks, config: None }
        }
    }
}

/// Reads the destination's secret with this machine's credentials, and adds it to the headers.
async fn secret(arguments: &AwsArguments, destination: &mut DestinationConfig) -> Option<Check> {
    let reference = destination.secret.take()?;
    let unreadable =
        |error: anyhow::Error| Check::failed("secret", format!("cannot be read: {error:#}"));
    let settings = match machine_settings(arguments).await {
        Ok(settings) => settings,
        Err(error) => return Some(unreadable(error)),
    };
    let secrets = Arc::new(AwsSecrets::new(settings, wall_clock_now));
    let cached = CachedSecret::new(secrets, reference, Duration::from_mins(5));
    Some(match read_secret(destination, &cached).await {
        Ok(()) => Check::ok("secret", "can be read with this machine's credentials"),
        Err(error) => Check::failed("secret", error.to_string()),
    })
}

/// Returns what signs requests to a destination that wants it, with this machine's credentials.
async fn signer(
    arguments: &AwsArguments,
    destination: &DestinationConfig,
) -> anyhow::Result<Option<Arc<RequestSigner>>> {
    if !destination.is_signed() {
        return Ok(None);
    }
    let settings = machine_settings(arguments).await?;
    Ok(Some(Arc::new(RequestSigner::new(&settings, wall_clock_now))))
}

/// The settings for AWS's services, with this machine's credentials.
async fn machine_settings(arguments: &AwsArguments) -> anyhow::Result<AwsSecretsSettings> {
    let machine = Machine::load(arguments).await?;
    let credentials = machine.signing_credentials().await?;
    let mut reader =
        Reader::new(&settings::Env, Table::new(&[::aws::AWS, ::aws::SECRETS, settings::PROXY]));
    let mut settings = AwsSecretsSettings::read(&mut reader);
    drop(reader.finish());
    settings.credentials = Some(CredentialsSource::Variables(credentials));
    settings.region = machine.region().map(str::to_owned).or(settings.region);
    Ok(settings)
}

#[cfg(test)]
mod tests;
