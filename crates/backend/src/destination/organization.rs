//! The organization in the URL of OpenObserve Cloud.

use url::Url;

/// The domain of OpenObserve Cloud. Any other host may be a collector or a proxy that adds the organization.
const CLOUD: &str = "openobserve.ai";

/// Returns the mistake in an OpenObserve Cloud URL without an organization, which the service answers with 404.
///
/// Source: OpenObserve's documentation, "OTLP/HTTP": the endpoint is `https://{host}/api/{organization}/v1/{signal}`.
pub fn missing_organization(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let is_cloud = host.strip_suffix(CLOUD).is_some_and(|it| it.is_empty() || it.ends_with('.'));
    let segments: Vec<&str> = url.path_segments()?.filter(|it| !it.is_empty()).collect();
    // `v1` begins the path of a signal.
    let is_named = |pair: &[&str]| matches!(pair, ["api", organization] if *organization != "v1");
    (is_cloud && !segments.windows(2).any(is_named)).then(|| {
        format!(
            "the URL of OpenObserve Cloud names no organization; give it as OpenObserve shows it under Data sources: \
             https://{host}/api/{{organization}}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_openobserve_cloud_urls_require_an_organization() {
        let check = |url: &str, is_missing: bool| {
            let found = missing_organization(&Url::parse(url).unwrap());
            assert_eq!(found.is_some(), is_missing, "{url}: {found:?}");
        };
        check("https://api.openobserve.ai", true);
        check("https://api.openobserve.ai/", true);
        check("https://api.openobserve.ai/api", true);
        check("https://api.openobserve.ai/api/", true);
        check("https://api.openobserve.ai/v1/traces", true);
        check("https://api.openobserve.ai/api/v1/traces", true);
        check("https://API.OpenObserve.ai/default", true);
        check("https://cloud.openobserve.ai/web/?org_identifier=shop", true);
        check("https://openobserve.ai", true);
        check("https://api.openobserve.ai/api/shop", false);
        check("https://api.openobserve.ai/api/shop/", false);
        check("https://api.openobserve.ai/api/shop/v1/logs", false);
        // Other hosts are not checked.
        check("http://127.0.0.1:4318", false);
        check("http://collector:4318", false);
        check("https://o2.example.com", false);
        check("https://notopenobserve.ai", false);
        check("https://openobserve.ai.example.com", false);
    }
}
