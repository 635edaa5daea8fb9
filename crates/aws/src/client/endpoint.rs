//! The URLs of AWS's services in each partition, and how errors name them.

use url::Url;

/// `https://secretsmanager.eu-west-1.amazonaws.com/`, of each partition (AWS General Reference, "Service endpoints"). The
/// region's name tells the partition where nothing else does; `None` where it is no region's name.
pub fn service_endpoint(service: &str, partition: Option<&str>, region: &str) -> Option<Url> {
    let is_region = !region.is_empty()
        && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_in = |name: &str, prefix: &str| {
        partition.map_or(region.starts_with(prefix), |partition| partition == name)
    };
    let domains = [
        ("aws-cn", "cn-", "amazonaws.com.cn"),
        ("aws-iso", "us-iso-", "c2s.ic.gov"),
        ("aws-iso-b", "us-isob-", "sc2s.sgov.gov"),
        ("aws-eusc", "eusc-", "amazonaws.eu"),
    ];
    let domain = domains
        .iter()
        .find(|(name, prefix, _)| is_in(name, prefix))
        .map_or("amazonaws.com", |(_, _, domain)| domain);
    let url = format!("https://{service}.{region}.{domain}/");
    is_region.then(|| Url::parse(&url).ok()).flatten()
}

/// The endpoint's host, with its port where that is not the usual one.
pub fn host(endpoint: &Url) -> String {
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    endpoint.host_str().unwrap_or_default().to_owned() + &port
}
