//! Destinations, and which of them telemetry goes to: by the envelope of its delivery only.

use super::template::{OriginField, Template};
use crate::source::Origin;
use backend::Profile;
use settings::{Headers, Pattern, SecretReference};
use url::Url;

/// The destination that the forwarder's variables describe.
pub(super) const DEFAULT: &str = "default";

/// A destination of a rules file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationRule {
    /// What routes call it.
    pub name: String,
    /// Base of the endpoint, with `/api/{org}` for OpenObserve.
    pub endpoint: Url,
    /// Where its credentials are kept. They are never in the file.
    pub secret: Option<SecretReference>,
    /// Headers that hold no credentials.
    pub headers: Headers,
    /// OpenObserve's stream for logs and traces, where the route names none.
    pub stream: Option<Template>,
    /// What the backend asks of OTLP.
    pub profile: Profile,
}

/// One way of telemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'r> {
    /// Name of the destination; `default` is the one of the variables.
    pub destination: &'r str,
    /// OpenObserve's stream for logs and traces; `None`: as the destination says.
    pub stream: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct RouteRule {
    pub(super) origin: Vec<(OriginField, Vec<Pattern>)>,
    /// Names of destinations, with the stream that each has if the route has none.
    pub(super) to: Vec<(String, Option<Template>)>,
    pub(super) stream: Option<Template>,
}

pub(super) fn routes<'r>(rules: &'r [RouteRule], origin: &Origin) -> Vec<Route<'r>> {
    let fits = |rule: &&RouteRule| {
        rule.origin.iter().all(|(field, patterns)| Pattern::any(patterns, field.of(origin)))
    };
    let Some(rule) = rules.iter().find(fits) else { return Vec::new() };
    let route = |(destination, stream): &'r (String, Option<Template>)| {
        let stream = rule.stream.as_ref().or(stream.as_ref());
        Route { destination, stream: stream.map(|stream| stream.fill_stream(origin)) }
    };
    rule.to.iter().map(route).collect()
}
