//! CloudWatch's OTLP endpoints: each signal has a host of its own, which wants signed requests and writes to a log group.
//!
//! Source: Amazon CloudWatch User Guide, "OTLP Endpoints", with its limits.

use super::Endpoints;
use aws::{EndpointOptions, service_endpoint};
use settings::Headers;
use url::Url;
use wire::SignalKind;

/// The endpoint of one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudWatchEndpoint {
    /// The service's name in hosts and signatures.
    pub service: &'static str,
    pub region: String,
}

fn service(kind: SignalKind) -> &'static str {
    match kind {
        SignalKind::Traces => "xray",
        SignalKind::Metrics => "monitoring",
        SignalKind::Logs => "logs",
    }
}

impl CloudWatchEndpoint {
    /// Reads a URL such as `https://xray.eu-west-1.amazonaws.com/v1/traces`.
    pub fn read(url: &Url) -> Option<Self> {
        let host = url.host_str()?;
        let (name, rest) = host.split_once('.')?;
        let service = SignalKind::ALL.into_iter().map(service).find(|service| *service == name)?;
        let (region, _) = rest.split_once('.')?;
        let endpoint = service_endpoint(service, region, EndpointOptions::default())?;
        let is_same = endpoint.host_str() == Some(host) && url.scheme() == "https";
        (is_same && url.port().is_none()).then(|| Self { service, region: region.to_owned() })
    }

    /// The endpoint of a signal in the same region.
    pub(super) fn sibling(&self, kind: SignalKind) -> Option<Url> {
        service_endpoint(service(kind), &self.region, EndpointOptions::default())
    }
}

/// The largest request, in bytes before compression: that of logs and metrics. Traces may have 5 MB.
pub(super) const MAX_REQUEST_BYTES: usize = 1_000_000;

/// The largest number of items in a request.
pub(crate) fn max_items(kind: SignalKind) -> usize {
    match kind {
        SignalKind::Metrics => 1_000,
        SignalKind::Traces | SignalKind::Logs => 10_000,
    }
}

/// The log group of X-Ray's spans.
const SPANS: &str = "aws/spans";

/// The header that names the log group of records.
const LOG_GROUP: &str = "x-aws-log-group";

/// A log group to which a destination writes. Whoever forwards its log events to that destination never ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenLogGroup {
    pub name: String,
    pub region: String,
}

/// Returns the log groups to which a destination with these endpoints and headers writes.
pub(super) fn written_log_groups(endpoints: &Endpoints, headers: &Headers) -> Vec<WrittenLogGroup> {
    let region_of = |kind| CloudWatchEndpoint::read(endpoints.of(kind)).map(|it| it.region);
    let spans = region_of(SignalKind::Traces)
        .map(|region| WrittenLogGroup { name: SPANS.to_owned(), region });
    let records = region_of(SignalKind::Logs)
        .zip(headers.get(LOG_GROUP))
        .map(|(region, name)| WrittenLogGroup { name: name.expose().to_owned(), region });
    spans.into_iter().chain(records).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cloudwatchs_own_hosts_count() {
        let read = |url: &str| {
            let endpoint = CloudWatchEndpoint::read(&Url::parse(url).unwrap())?;
            Some(format!("{} {}", endpoint.service, endpoint.region))
        };
        for (url, expected) in [
            ("https://xray.eu-west-1.amazonaws.com/", Some("xray eu-west-1")),
            ("https://logs.us-gov-west-1.amazonaws.com/v1/logs", Some("logs us-gov-west-1")),
            ("https://monitoring.cn-north-1.amazonaws.com.cn/", Some("monitoring cn-north-1")),
            ("http://xray.eu-west-1.amazonaws.com/", None),
            ("https://xray.eu-west-1.amazonaws.com:8443/", None),
            ("https://xray.cn-north-1.amazonaws.com/", None),
            ("https://xray.eu-west-1.amazonaws.com.example.com/", None),
            ("https://sqs.eu-west-1.amazonaws.com/", None),
            ("https://xray.amazonaws.com/", None),
            ("https://o2.example.com/", None),
        ] {
            assert_eq!(read(url).as_deref(), expected, "{url}");
        }
    }
}
