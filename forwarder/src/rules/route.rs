//! Destinations and routes, selected by the origin only.

use super::template::{OriginField, Template};
use crate::source::Origin;
use backend::Profile;
use settings::{Headers, Pattern, SecretReference};
use url::Url;

pub(super) const DEFAULT: &str = "default";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationRule {
    pub name: String,
    /// Base URL, including `/api/{org}` for OpenObserve.
    pub endpoint: Url,
    /// The location of its credentials, which are never in the file.
    pub secret: Option<SecretReference>,
    /// Headers without credentials.
    pub headers: Headers,
    /// OpenObserve's stream for logs and traces, if the route names none.
    pub stream: Option<Template>,
    pub profile: Profile,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'r> {
    /// Name of the destination; `default` for the destination of the variables.
    pub destination: &'r str,
    /// OpenObserve's stream for logs and traces; `None` for the destination's own.
    pub stream: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct RouteRule {
    pub(super) origin: Vec<(OriginField, Vec<Pattern>)>,
    /// Names of destinations.
    pub(super) to: Vec<String>,
    pub(super) stream: Option<Template>,
}

pub(super) fn routes<'r>(rules: &'r [RouteRule], origin: &Origin) -> Vec<Route<'r>> {
    let fits = |rule: &&RouteRule| {
        rule.origin.iter().all(|(field, patterns)| Pattern::any(patterns, field.of(origin)))
    };
    let Some(rule) = rules.iter().find(fits) else { return Vec::new() };
    let stream = rule.stream.as_ref().map(|stream| stream.fill_stream(origin));
    rule.to.iter().map(|destination| Route { destination, stream: stream.clone() }).collect()
}
