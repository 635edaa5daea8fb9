//! The deployed forwarder: creates its destinations and keeps its rules up to date.

use crate::config::Config;
use crate::delivery::destination::{DEFAULT_DESTINATION, Destination};
use crate::executions::Executions;
use crate::invocation::{InvocationContext, InvocationError, answer, log};
use crate::pipeline::Forwarder;
use crate::pipeline::Options;
use crate::queues::put::Queues;
use crate::rules::{DestinationRule, LiveRules, RuleSet, RulesError};
use crate::source::Event;
use crate::vitals::Vitals;
use aws::{
    AwsSecrets, FreezeAwareInstant, RequestSigner, SecretService as _, SqsQueue, SqsSettings,
};
use backend::{Client, ClientError};
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use settings::{SecretReference, SecretStore};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// Time limit of reading a parameter with rules, because an invocation waits for it.
const PARAMETER_TIMEOUT: Duration = Duration::from_secs(3);

/// The forwarder of one execution environment.
#[derive(Debug)]
pub struct Handler {
    config: Config,
    aws: Arc<AwsSecrets>,
    signer: Arc<RequestSigner>,
    default_destination: Arc<Destination<Client>>,
    forwarder: Mutex<Forwarder<Client, SqsQueue>>,
    rules: Option<Mutex<LiveRules>>,
    vitals: Option<Vitals>,
}

impl Handler {
    /// Creates the forwarder of these settings. `clock` gives the time for signing requests to AWS. Sends and reads nothing
    /// before the first invocation.
    pub fn new(config: Config, clock: fn() -> SystemTime) -> Result<Self, ClientError> {
        let aws = Arc::new(AwsSecrets::new(config.secrets.clone(), clock));
        let signer = Arc::new(RequestSigner::new(&config.secrets, clock));
        let client =
            Client::authorized(&config.destination, &aws, aws::SECRET_LIFETIME)?.signed_by(&signer);
        let default_destination = default_destination(&config, client);
        let destinations = vec![Arc::clone(&default_destination)];
        let queue = |settings: &SqsSettings| SqsQueue::new(settings.clone(), clock);
        let queues = Queues {
            retry: config.queues.retry.as_ref().map(queue),
            dead_letters: config.queues.dead_letters.as_ref().map(queue),
        };
        let executions = config.executions.as_ref().map(|it| Executions::new(it, clock));
        let forwarder =
            Forwarder::new(destinations, queues, Options::of(&config)).with_executions(executions);
        Ok(Self {
            aws,
            signer,
            default_destination,
            forwarder: Mutex::new(forwarder),
            rules: config.rules.clone().map(|source| Mutex::new(LiveRules::new(source))),
            vitals: config.vitals.clone().map(Vitals::new),
            config,
        })
    }

    /// Handles one invocation. An environment runs one at a time.
    pub async fn handle(&self, event: LambdaEvent<Event>) -> Result<Value, InvocationError> {
        self.update_rules().await?;
        let forwarder = self.forwarder.lock().await;
        let invocation = InvocationContext::begin(&event.context);
        // Boxed, because the future contains the futures of all sources, destinations and queues.
        let report = Box::pin(forwarder.forward(event.payload, &invocation)).await;
        log(&report);
        if let Some(vitals) = &self.vitals {
            vitals.record(&report, &invocation, &self.default_destination).await;
        }
        answer(&report)
    }

    /// Checks for new rules if it is time. With invalid new rules, the previous ones stay in force. Without any valid rules every
    /// invocation fails, because they may say what must not be sent. Lambda keeps the events.
    async fn update_rules(&self) -> Result<(), InvocationError> {
        let Some(rules) = &self.rules else { return Ok(()) };
        let mut live_rules = rules.lock().await;
        let Err(error) = self.put_new_rules_in_force(&mut live_rules).await else {
            return Ok(());
        };
        let place = live_rules.source.to_string();
        tracing::error!(
            source = place,
            %error,
            "cannot apply the rules; previous ones, if any, stay in force"
        );
        if live_rules.are_in_force() {
            return Ok(());
        }
        Err(InvocationError::Rules { place, error: error.to_string() })
    }

    async fn put_new_rules_in_force(&self, live_rules: &mut LiveRules) -> Result<(), RulesError> {
        let now = FreezeAwareInstant::now(self.aws.wall_clock());
        let read_parameter = |name| parameter(&self.aws, name);
        let Some(new) = live_rules.read_new(now, read_parameter).await? else { return Ok(()) };
        let mut destinations = vec![Arc::clone(&self.default_destination)];
        for rule in new.rules.destinations() {
            let problem = |error| RulesError(format!("destination {}: {error}", rule.name));
            destinations.push(Arc::new(self.create_destination(rule).map_err(problem)?));
        }
        self.forwarder.lock().await.set_rules(Arc::new(new.rules), destinations);
        live_rules.note_in_force(new.version, now);
        Ok(())
    }

    fn create_destination(
        &self,
        rule: &DestinationRule,
    ) -> Result<Destination<Client>, ClientError> {
        let config = self.config.destination_of(rule);
        let client =
            Client::authorized(&config, &self.aws, aws::SECRET_LIFETIME)?.signed_by(&self.signer);
        let policy = self.config.old_records.for_profile(rule.profile);
        let destination = Destination::new(&rule.name, client, &config, policy);
        Ok(destination.with_stream(rule.stream.clone()))
    }
}

/// The destination of the variables, reached by `export`.
pub fn default_destination<E>(config: &Config, export: E) -> Arc<Destination<E>> {
    let name = DEFAULT_DESTINATION;
    let policy = config.old_records.for_profile(config.destination.profile);
    let destination = Destination::new(name, export, &config.destination, policy);
    Arc::new(destination.with_stream(config.stream.clone()))
}

/// Reads the rules of these settings once, if the settings name any.
pub async fn read_rules(
    config: &Config,
    aws: &AwsSecrets,
) -> Result<Arc<RuleSet>, InvocationError> {
    let Some(source) = &config.rules else { return Ok(Arc::default()) };
    let text = source.read(|name| parameter(aws, name)).await;
    let rules = text.and_then(|text| Ok(Arc::new(RuleSet::parse(&text)?)));
    rules.map_err(|RulesError(error)| InvocationError::Rules { place: source.to_string(), error })
}

async fn parameter(aws: &AwsSecrets, name: String) -> Result<String, RulesError> {
    let reference = SecretReference { store: SecretStore::ParameterStore, id: name, key: None };
    match tokio::time::timeout(PARAMETER_TIMEOUT, aws.read(&reference)).await {
        Ok(Ok(text)) => Ok(text.expose().to_owned()),
        Ok(Err(error)) => Err(RulesError(error.to_string())),
        Err(_) => Err(RulesError("Systems Manager did not answer in time".to_owned())),
    }
}
