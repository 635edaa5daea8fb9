//! Destinations and routes, selected by the origin only.

use super::RuleSet;
use super::template::{OriginField, Template};
use crate::delivery::destination::DEFAULT_DESTINATION;
use crate::source::Origin;
use backend::{Profile, Signals};
use settings::{Headers, Pattern, SecretReference};
use std::collections::BTreeSet;
use url::Url;

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
    /// The telemetry that it takes.
    pub signals: Signals,
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
    pub(super) origin: Vec<OriginCondition>,
    /// Names of destinations.
    pub(super) to: Vec<String>,
    pub(super) stream: Option<Template>,
}

impl RuleSet {
    /// The names of the destinations that get the same telemetry: those of each route, and `default` alone unless a route fits all
    /// origins.
    pub fn route_targets(&self) -> BTreeSet<Vec<&str>> {
        let catch_all = self.routes.iter().position(|route| route.origin.is_empty());
        let in_use = self.routes.iter().take(catch_all.map_or(usize::MAX, |position| position + 1));
        let others = catch_all.is_none().then(|| vec![DEFAULT_DESTINATION]);
        in_use.map(|route| route.to.iter().map(String::as_str).collect()).chain(others).collect()
    }

    /// The routes of this origin. Empty for the default destination.
    pub fn routes(&self, origin: &Origin) -> Vec<Route<'_>> {
        let fits = |rule: &&RouteRule| rule.origin.iter().all(|it| it.is_met(origin));
        let Some(rule) = self.routes.iter().find(fits) else { return Vec::new() };
        let stream = rule.stream.as_ref().map(|stream| stream.fill_stream(origin));
        rule.to.iter().map(|destination| Route { destination, stream: stream.clone() }).collect()
    }
}

/// A condition on a field of the origin, which must match one of the patterns.
#[derive(Clone, Debug)]
pub(super) struct OriginCondition {
    pub(super) field: OriginField,
    pub(super) patterns: Vec<Pattern>,
}

impl OriginCondition {
    pub(super) fn is_met(&self, origin: &Origin) -> bool {
        Pattern::any_matches(&self.patterns, self.field.of(origin))
    }
}
