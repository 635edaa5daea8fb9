//! Reads destinations and routes.

use super::super::route::{DestinationRule, RouteRule};
use super::super::{MAX_DESTINATIONS, Template};
use super::conditions::OriginText;
use super::values::{Known, List, Text, Word};
use super::{File, Located, Node};
use crate::delivery::destination::DEFAULT_DESTINATION as DEFAULT;
use backend::{Profile, Signals, UnknownSignal, missing_organization};
use serde::Deserialize;
use settings::{Headers, InvalidValue, Reader, Remark, SecretReference, Setting, Table};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use toml::de::DeValue;
use url::Url;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DestinationText {
    endpoint: Text,
    secret: Option<Text>,
    #[serde(default)]
    headers: BTreeMap<String, Text>,
    stream: Option<Template>,
    profile: Option<Known<Profile>>,
    signals: Option<List<Text>>,
}

impl Word for Profile {
    const WORDS: &'static [(&'static str, Self)] =
        &[("openobserve", Self::OpenObserve), ("otlp", Self::Otlp)];
}

/// Only the origin chooses a route: the author of a log event's content could redirect telemetry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteText {
    account: Option<List<Text>>,
    region: Option<List<Text>>,
    log_group: Option<List<Text>>,
    log_stream: Option<List<Text>>,
    function: Option<List<Text>>,
    to: Option<List<Text>>,
    stream: Option<Template>,
}

/// The destinations of a file.
#[derive(Default)]
pub(super) struct Destinations {
    /// Of all, which routes may name.
    pub(super) names: Vec<String>,
    /// Those without a mistake.
    pub(super) rules: Vec<DestinationRule>,
}

impl<'t> File<'t> {
    pub(super) fn destinations(&mut self, node: Option<Node<'t>>) -> Destinations {
        let mut destinations = Destinations::default();
        let Some(node) = node else { return destinations };
        let at = node.span();
        let DeValue::Table(tables) = node.into_inner() else {
            self.mistake(Some(at), "destination", "expected a table".to_owned());
            return destinations;
        };
        if tables.len() > MAX_DESTINATIONS {
            let count = tables.len();
            let problem = format!("there are {count}, at most {MAX_DESTINATIONS} are read");
            self.mistake(Some(at), "destination", problem);
            return destinations;
        }
        for (name, node) in tables {
            let at = name.span();
            let name = name.into_inner().into_owned();
            let key = format!("destination.{name}");
            if name == DEFAULT {
                let problem = "`default` is the destination that the forwarder's variables describe; use another name";
                self.mistake(Some(at.clone()), &key, problem.to_owned());
            }
            if let Some(text) = self.read::<DestinationText>(&key, node) {
                match text.rule(&name) {
                    Ok(rule) => destinations.rules.push(rule),
                    Err(problem) => self.mistake(Some(at), &key, problem.to_string()),
                }
            }
            destinations.names.push(name);
        }
        destinations
    }

    pub(super) fn routes(&mut self, node: Option<Node<'t>>, names: &[String]) -> Vec<RouteRule> {
        let mut routes = Vec::new();
        for Located { at, value } in self.list::<RouteText>("route", node) {
            let RouteText { account, region, log_group, log_stream, function, to, stream } = value;
            let to: Vec<String> = match to {
                Some(List(names)) => names.into_iter().map(|Text(name)| name).collect(),
                None if stream.is_some() => vec![DEFAULT.to_owned()],
                None => Vec::new(),
            };
            let is_known = |name: &&String| *name == DEFAULT || names.contains(name);
            if to.is_empty() {
                self.mistake(Some(at), "route", "expected `to`, `stream`, or both".to_owned());
            } else if let Some(name) = to.iter().find(|name| !is_known(name)) {
                let problem =
                    format!("there is no [destination.{name}], and `default` is the only other");
                self.mistake(Some(at), "route", problem);
            } else if to.iter().collect::<BTreeSet<_>>().len() < to.len() {
                self.mistake(Some(at), "route", "`to` names a destination twice".to_owned());
            }
            let origin = OriginText { account, region, log_group, log_stream, function };
            routes.push(RouteRule { origin: origin.conditions(), to, stream });
        }
        routes
    }
}

/// Parts of header names with credentials.
const CREDENTIALS: &[&str] =
    &["auth", "token", "password", "passwd", "secret", "api-key", "api_key", "apikey", "cookie"];

/// The reason why a table is no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidDestination {
    #[error("headers.{name}: {problem}")]
    Header { name: String, problem: InvalidValue },
    #[error("headers.{name}: {}", NO_CREDENTIALS)]
    CredentialHeader { name: String },
    #[error("{0}")]
    Value(Remark),
    #[error("signals: {0}")]
    Signals(UnknownSignal),
    #[error("a destination needs an endpoint")]
    NoEndpoint,
    #[error("endpoint: {}", NO_CREDENTIALS)]
    CredentialInUrl,
    #[error("endpoint: {0}")]
    NoOrganization(String),
}

const NO_CREDENTIALS: &str = "credentials do not belong into this file: name where they are kept, secret = \"ssm:NAME\" or the ARN of a secret";

fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIALS.iter().any(|part| name.contains(part))
}

/// Read like the forwarder's variables, with the same rules and messages.
const ENDPOINT: Setting<Url> = Setting::url("endpoint", "Base URL.");
const SECRET: Setting<SecretReference> = Setting::secret_reference("secret", "Credentials.");
const VALUES: Table = Table::new(&[&[ENDPOINT.row(), SECRET.row()]]);

impl DestinationText {
    fn rule(self, name: &str) -> Result<DestinationRule, InvalidDestination> {
        let mut headers = Headers::new();
        for (name, Text(value)) in &self.headers {
            if is_credential(name) {
                return Err(InvalidDestination::CredentialHeader { name: name.clone() });
            }
            headers.push(name, value).map_err(|problem| {
                let name = name.clone();
                InvalidDestination::Header { name, problem }
            })?;
        }
        let Text(url) = self.endpoint;
        let mut source = HashMap::from([(ENDPOINT.name().to_owned(), url)]);
        source.extend(self.secret.map(|Text(secret)| (SECRET.name().to_owned(), secret)));
        let mut reader = Reader::new(&source, VALUES);
        let stated = reader.read(ENDPOINT);
        let secret = reader.read(SECRET);
        if let Some(mistake) = reader.finish().into_iter().next() {
            return Err(InvalidDestination::Value(mistake));
        }
        let endpoint = stated.ok_or(InvalidDestination::NoEndpoint)?;
        if endpoint.query_pairs().any(|(name, _)| is_credential(&name)) {
            return Err(InvalidDestination::CredentialInUrl);
        }
        if let Some(problem) = missing_organization(&endpoint) {
            return Err(InvalidDestination::NoOrganization(problem));
        }
        let signals = match self.signals {
            None => Signals::default(),
            Some(List(words)) => {
                let words: Vec<String> = words.into_iter().map(|Text(word)| word).collect();
                Signals::parse(&words.join(",")).map_err(InvalidDestination::Signals)?
            }
        };
        Ok(DestinationRule {
            name: name.to_owned(),
            endpoint,
            secret,
            headers,
            stream: self.stream,
            profile: self.profile.map(|Known(profile)| profile).unwrap_or_default(),
            signals,
        })
    }
}
