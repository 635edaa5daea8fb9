//! The URLs of AWS services in each partition, and their names in errors.

use url::Url;

/// `https://secretsmanager.eu-west-1.amazonaws.com/` for each partition, which the region's name determines (AWS General
/// Reference, "Service endpoints"). `None` if it is not a region's name.
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

/// The endpoint's host, with its port unless that is the default.
pub fn host(endpoint: &Url) -> String {
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    endpoint.host_str().unwrap_or_default().to_owned() + &port
}
