//! Checks the forwarder's destinations: that of its variables, and those of its rules file.

use super::{CheckedSettings, DoctorArguments, openobserve, settings};
use crate::aws::{AwsArguments, Machine};
use ::aws::{AwsSecrets, AwsSecretsSettings, CachedSecret, CredentialsSource, RequestSigner};
use backend::{
    Advice, ClientError, DestinationConfig, HttpTransport, Profile, Signals, read_secret,
};
use console::reach::{self, Reach};
use forwarder::{Config, DestinationRule, RULES, RuleSet, RulesSource, read_rules, wall_clock_now};
use settings::{Check, Reader, SecretReference, SecretStore, Source, Table};
use std::sync::Arc;
use std::time::Duration;

/// Checks the settings, and each destination until one of its checks fails. `packaged_rules` is a rules file that this machine
/// doesn't have.
pub(super) async fn check(
    arguments: &DoctorArguments,
    variables: &dyn Source,
    packaged_rules: Option<&str>,
) -> Vec<Check> {
    let CheckedSettings { mut checks, config } = settings(variables);
    let Some(config) = config else { return checks };
    let rules = match packaged_rules {
        Some(file) => Err(missing_rules(file)),
        None => rules(&arguments.aws, &config).await,
    };
    let own = config.destination.clone();
    let reach = |own| reach::of_settings(own, variables);
    checks.extend(Box::pin(check_destination(arguments, own, reach)).await);
    let rules = match rules {
        Ok(rules) => rules,
        Err(check) => {
            checks.push(check);
            return checks;
        }
    };
    for rule in rules.destinations() {
        let destination = config.destination_of(rule);
        let reach = |destination| reach_rule(rule, destination);
        let found = Box::pin(check_destination(arguments, destination, reach)).await;
        let named =
            |check: Check| Check { text: format!("{}: {}", rule.name, check.text), ..check };
        checks.extend(found.into_iter().map(named));
    }
    checks.extend(check_signals(&config.destination.signals, &rules));
    checks
}

fn missing_rules(file: &str) -> Check {
    let text = format!(
        "{file} is in the function's package, which this machine does not have, so its destinations are not checked, nor which signals they take: name your copy, for example with {}={file}",
        RULES.name()
    );
    Check::warning("rules", text)
}

/// Reads the rules, those in a parameter with this machine's credentials.
async fn rules(aws: &AwsArguments, config: &Config) -> Result<Arc<RuleSet>, Check> {
    let failed = |text: String| Check::failed("rules", text);
    let settings = match &config.rules {
        None | Some(RulesSource::File(_)) => AwsSecretsSettings::default(),
        Some(RulesSource::Parameter(_)) => machine_settings(aws)
            .await
            .map_err(|error| failed(format!("cannot be read: {error:#}")))?,
    };
    let secrets = AwsSecrets::new(settings, wall_clock_now);
    read_rules(config, &secrets).await.map_err(|error| failed(error.to_string()))
}

/// A destination of the rules. Its advice names the keys of its table.
fn reach_rule(
    rule: &DestinationRule,
    destination: DestinationConfig,
) -> Result<Reach, ClientError> {
    let table = format!("[destination.{}]", rule.name);
    let advice = Advice {
        endpoint: format!("endpoint in {table}").into(),
        credentials: format!(
            "name its credentials in {table}: secret = \"ssm:NAME\", or the ARN of a secret"
        )
        .into(),
        signals: format!("signals in {table}").into(),
    };
    let transport = HttpTransport::new(&destination)?;
    Reach::new(destination, transport, advice)
}

/// Warns of signals that no destination of a route takes.
fn check_signals(own: &Signals, rules: &RuleSet) -> Vec<Check> {
    if rules.destinations().is_empty() {
        return own.check().into_iter().collect();
    }
    let signals = |name: &&str| {
        let rule = rules.destinations().iter().find(|rule| rule.name == *name);
        rule.map_or(own, |rule| &rule.signals)
    };
    let mut checks = Vec::new();
    for names in rules.route_targets() {
        let missing = Signals::union(names.iter().map(signals)).missing();
        if !missing.is_empty() {
            let text = format!(
                "{missing}: not sent from log groups that go to {}, because none of these destinations takes them",
                names.join(" and ")
            );
            checks.push(Check::warning("signals", text));
        }
    }
    checks
}

/// Checks one destination. `reach` tells how to ask it.
async fn check_destination(
    arguments: &DoctorArguments,
    destination: DestinationConfig,
    reach: impl FnOnce(DestinationConfig) -> Result<Reach, ClientError>,
) -> Vec<Check> {
    let Connection { mut checks, reach } = connect(&arguments.aws, destination, reach).await;
    let Some(reach) = reach else { return checks };
    checks.extend(reach::check(&reach).await);
    if !checks.iter().any(Check::is_failed) {
        checks.extend(openobserve::check_rights(&reach).await);
    }
    checks.extend(openobserve::check_columns(&reach).await);
    if arguments.canary && !checks.iter().any(Check::is_failed) {
        checks.extend(openobserve::check_canary(&reach, arguments.within).await);
    }
    checks
}

/// Returns the backend of the variables, with its secret. The error lists all mistakes in the settings.
pub(crate) async fn reach_of(aws: &AwsArguments, variables: &dyn Source) -> anyhow::Result<Reach> {
    let CheckedSettings { mut checks, config } = settings(variables);
    let mut reach = None;
    if let Some(config) = config {
        let of_settings = |destination| reach::of_settings(destination, variables);
        let connection = connect(aws, config.destination, of_settings).await;
        checks.extend(connection.checks);
        reach = connection.reach;
    }
    let failed = checks.into_iter().filter(Check::is_failed).map(|check| check.text);
    reach.ok_or_else(|| anyhow::anyhow!(failed.collect::<Vec<_>>().join("; ")))
}

/// A backend, if it can be asked.
struct Connection {
    checks: Vec<Check>,
    /// `None` after a failed check.
    reach: Option<Reach>,
}

/// Reads the destination's secret, and prepares to ask it.
async fn connect(
    aws: &AwsArguments,
    mut destination: DestinationConfig,
    reach: impl FnOnce(DestinationConfig) -> Result<Reach, ClientError>,
) -> Connection {
    let reference = destination.secret.clone();
    let mut checks: Vec<Check> =
        Box::pin(secret(aws, &mut destination)).await.into_iter().collect();
    if checks.iter().any(Check::is_failed) {
        return Connection { checks, reach: None };
    }
    let signer = match Box::pin(signer(aws, &destination)).await {
        Ok(signer) => signer,
        Err(error) => {
            checks.push(Check::failed("signature", format!("no credentials of AWS: {error:#}")));
            return Connection { checks, reach: None };
        }
    };
    match reach(destination) {
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
        Ok(header) => {
            let header = header.outline();
            let text =
                format!("can be read with this machine's credentials, and becomes `{header}`");
            Check::ok("secret", text)
        }
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
