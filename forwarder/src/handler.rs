//! The deployed forwarder: creates its destinations and keeps its rules up to date.

use crate::config::Config;
use crate::delivery::destination::{DEFAULT_DESTINATION, Destination};
use crate::invocation::{InvocationError, Response, answer, forward};
use crate::pipeline::Forwarder;
use crate::pipeline::Options;
use crate::queues::put::Queues;
use crate::rules::{DestinationRule, LiveRules, RuleSet, RulesProblem};
use crate::source::Event;
use crate::vitals::Vitals;
use aws::{AwsSecrets, FreezeAwareInstant, SecretService as _, SqsQueue, SqsSettings};
use backend::{Client, ClientError, DestinationConfig};
use lambda_runtime::LambdaEvent;
use settings::{SecretReference, SecretStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

const RULES_LIFETIME: Duration = Duration::from_mins(1);

/// Limit on reading rules in an invocation.
const LONGEST_LOOK: Duration = Duration::from_secs(3);

/// The forwarder of one execution environment.
#[derive(Debug)]
pub struct Handler {
    config: Config,
    aws: Arc<AwsSecrets>,
    default: Arc<Destination<Client>>,
    forwarder: Mutex<Forwarder<Client, Arc<SqsQueue>>>,
    rules: Option<Mutex<LiveRules>>,
    vitals: Option<Vitals>,
    rules_known: AtomicBool,
}

impl Handler {
    /// Creates the forwarder of these settings. `clock` gives the time for signing requests to AWS. Sends and reads nothing
    /// before the first invocation.
    pub fn new(config: Config, clock: fn() -> SystemTime) -> Result<Self, ClientError> {
        let aws = Arc::new(AwsSecrets::new(config.secrets.clone(), clock));
        let client = Client::authorized(&config.destination, &aws, aws::SECRET_LIFETIME)?;
        let default = default_destination(&config, client);
        let destinations = vec![Arc::clone(&default)];
        let queue = |settings: &SqsSettings| Arc::new(SqsQueue::new(settings.clone(), clock));
        let queues = Queues {
            retry: config.queues.retry.as_ref().map(queue),
            dead_letters: config.queues.dead_letters.as_ref().map(queue),
        };
        let forwarder = Forwarder::new(destinations, queues, Options::of(&config));
        let rules = config.rules.clone().map(|source| LiveRules::new(source, RULES_LIFETIME));
        Ok(Self {
            aws,
            default,
            forwarder: Mutex::new(forwarder),
            rules: rules.map(Mutex::new),
            vitals: config.vitals.clone().map(Vitals::new),
            rules_known: AtomicBool::new(false),
            config,
        })
    }

    /// Handles one invocation. An environment runs one at a time.
    pub async fn handle(&self, event: LambdaEvent<Event>) -> Result<Response, InvocationError> {
        self.refresh_rules().await?;
        let forwarder = self.forwarder.lock().await;
        let (report, invocation) = forward(&forwarder, event).await;
        if let Some(vitals) = &self.vitals {
            vitals.record(&report, &invocation, &self.default).await;
        }
        answer(report)
    }

    /// Checks for new rules if it is time. With invalid new rules, the previous ones stay in force. Without any valid rules every
    /// invocation fails, because they may say what must not be sent. Lambda keeps the events.
    async fn refresh_rules(&self) -> Result<(), InvocationError> {
        let Some(rules) = &self.rules else { return Ok(()) };
        let mut rules = rules.lock().await;
        let refreshed = rules
            .refresh(FreezeAwareInstant::now(self.aws.wall_clock()), |name| {
                parameter(&self.aws, name)
            })
            .await;
        let source = rules.source().to_string();
        match refreshed {
            None => {}
            Some(Ok(new)) => match self.put_in_force(Arc::new(new)).await {
                Ok(()) => self.rules_known.store(true, Ordering::Relaxed),
                Err(error) => {
                    // Repeated with the next check, because the cause may lie outside the rules.
                    rules.look_again();
                    tracing::error!(
                        source,
                        error,
                        "cannot apply the new rules; previous ones, if any, stay in force"
                    );
                }
            },
            Some(Err(RulesProblem::Invalid(mistakes))) => {
                for mistake in mistakes.iter() {
                    tracing::error!(source, %mistake, "invalid rules; previous ones, if any, stay in force");
                }
            }
            Some(Err(RulesProblem::Unread(error))) => {
                tracing::error!(
                    source,
                    error,
                    "cannot read the rules; previous ones, if any, stay in force"
                );
            }
        }
        if self.rules_known.load(Ordering::Relaxed) {
            return Ok(());
        }
        let problem = rules.problem().map(|problem| format!(": {problem}")).unwrap_or_default();
        Err(InvocationError::Settings(format!("cannot apply the rules at {source}{problem}")))
    }

    async fn put_in_force(&self, rules: Arc<RuleSet>) -> Result<(), String> {
        let mut destinations = vec![Arc::clone(&self.default)];
        for rule in rules.destinations() {
            let destination = self.destination(rule);
            let destination =
                destination.map_err(|error| format!("destination {}: {error}", rule.name))?;
            destinations.push(Arc::new(destination));
        }
        let mut forwarder = self.forwarder.lock().await;
        forwarder.set_rules(rules, destinations);
        Ok(())
    }

    fn destination(&self, rule: &DestinationRule) -> Result<Destination<Client>, ClientError> {
        let DestinationConfig {
            own_authority,
            proxy,
            request_timeout,
            compression,
            max_request_bytes,
            max_columns,
            ..
        } = self.config.destination.clone();
        // The destination has its own endpoint and credentials. The proxy and TLS settings are common.
        let config = DestinationConfig {
            headers: rule.headers.clone(),
            secret: rule.secret.clone(),
            own_authority,
            proxy,
            profile: rule.profile,
            request_timeout,
            compression,
            max_request_bytes,
            max_columns,
            ..DestinationConfig::new(&rule.endpoint)
        };
        let client = Client::authorized(&config, &self.aws, aws::SECRET_LIFETIME)?;
        let policy = self.config.old_records.of(rule.profile);
        let destination = Destination::new(&rule.name, client, &config, policy);
        Ok(destination.with_stream(rule.stream.clone()))
    }
}

/// The destination of the variables, reached by `export`.
pub fn default_destination<E>(config: &Config, export: E) -> Arc<Destination<E>> {
    let name = DEFAULT_DESTINATION;
    let policy = config.old_records.of(config.destination.profile);
    let destination = Destination::new(name, export, &config.destination, policy);
    Arc::new(destination.with_stream(config.stream.clone()))
}

/// Reads the rules of these settings once, if the settings name any. The error has a line for each mistake.
pub async fn read_rules(config: &Config, aws: &AwsSecrets) -> Result<Arc<RuleSet>, String> {
    let Some(source) = &config.rules else { return Ok(Arc::default()) };
    let text = source.read(|name| parameter(aws, name)).await;
    let text = text.map_err(|error| format!("cannot read the rules at {source}: {error}"))?;
    RuleSet::parse(&text).map(Arc::new).map_err(|mistakes| {
        let lines: Vec<_> = mistakes.iter().map(|mistake| format!("{source}: {mistake}")).collect();
        lines.join("\n")
    })
}

async fn parameter(aws: &AwsSecrets, name: String) -> Result<String, String> {
    let reference = SecretReference { store: SecretStore::ParameterStore, id: name, key: None };
    match tokio::time::timeout(LONGEST_LOOK, aws.read(&reference)).await {
        Ok(Ok(text)) => Ok(text.expose().to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("Systems Manager did not answer in time".to_owned()),
    }
}
