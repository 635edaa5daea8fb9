//! The hosts of S3.

use crate::client::{DEFAULT_DOMAIN, PARTITIONS};
use url::Url;

/// Returns `true` for a URL of S3 in any partition: `https://{bucket}.s3.{region}.amazonaws.com/…`, with the bucket in the path, with
/// `s3-fips` or `dualstack`, and in the older forms `s3-{region}` and without a region (S3 User Guide, "Virtual hosting of general
/// purpose buckets" and "Amazon S3 dual-stack endpoints").
pub fn is_s3(url: &Url) -> bool {
    let is_plain = url.scheme() == "https" && url.port().is_none();
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    is_plain && is_anonymous && url.host_str().is_some_and(is_host)
}

fn is_host(host: &str) -> bool {
    let mut domains = PARTITIONS.iter().map(|partition| partition.domain).chain([DEFAULT_DOMAIN]);
    domains.any(|domain| {
        let rest = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
        rest.is_some_and(is_service)
    })
}

/// The labels before the domain: the bucket, which may have dots, and the service.
fn is_service(labels: &str) -> bool {
    let mut labels = labels.rsplit('.');
    let last = labels.next().unwrap_or_default();
    if !is_region(last) {
        let region = last.strip_prefix("s3-").filter(|region| !region.starts_with("website-"));
        return last == "s3" || region.is_some_and(is_region);
    }
    let service = match labels.next() {
        Some("dualstack") => labels.next(),
        service => service,
    };
    matches!(service, Some("s3" | "s3-fips"))
}

/// `eu-west-1`, `us-gov-west-1`, `us-isob-east-1`. `s3` and `s3-website` are none.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    let [words @ .., number] = parts.as_slice() else { return false };
    let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    words.len() >= 2
        && words.iter().all(|word| !word.is_empty() && is_word(word))
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_s3_is_known_in_every_partition_and_style() {
        for (url, expected) in [
            // CloudFormation's own, as events show them.
            (
                "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/arn%3Aaws?X=1",
                true,
            ),
            (
                "https://cloudformation-custom-resource-response-euwest1.s3-eu-west-1.amazonaws.com/k",
                true,
            ),
            (
                "https://cloudformation-custom-resource-response-useast1.s3.us-east-1.amazonaws.com/k",
                true,
            ),
            (
                "https://cloudformation-custom-resource-response-usgovwest1.s3-us-gov-west-1.amazonaws.com/k",
                true,
            ),
            (
                "https://cloudformation-custom-resource-response-cnnorth1.s3.cn-north-1.amazonaws.com.cn/k",
                true,
            ),
            ("https://b.s3.us-iso-east-1.c2s.ic.gov/k", true),
            ("https://b.s3.us-isob-east-1.sc2s.sgov.gov/k", true),
            ("https://b.s3.eu-isoe-west-1.cloud.adc-e.uk/k", true),
            ("https://b.s3.us-isof-south-1.csp.hci.ic.gov/k", true),
            ("https://b.s3.eusc-de-east-1.amazonaws.eu/k", true),
            ("https://s3.eu-west-1.amazonaws.com/b/k", true),
            ("https://s3-eu-west-1.amazonaws.com/b/k", true),
            ("https://s3.amazonaws.com/b/k", true),
            ("https://b.s3.dualstack.eu-west-1.amazonaws.com/k", true),
            ("https://s3.dualstack.eu-west-1.amazonaws.com/b/k", true),
            ("https://b.s3-fips.dualstack.us-gov-east-1.amazonaws.com/k", true),
            ("https://with.dots.s3.EU-WEST-1.amazonaws.com:443/k", true),
            ("http://b.s3.eu-west-1.amazonaws.com/k", false),
            ("https://b.s3.eu-west-1.amazonaws.com:8443/k", false),
            ("https://user@b.s3.eu-west-1.amazonaws.com/k", false),
            ("https://s3.eu-west-1.amazonaws.com.example.com/k", false),
            ("https://s3.eu-west-1.example.com/k", false),
            ("https://example.com/s3.eu-west-1.amazonaws.com", false),
            ("https://s3.amazonaws.com@example.com/", false),
            ("https://evils3.amazonaws.com.cn/k", false),
            ("https://s3.evilamazonaws.com/k", false),
            ("https://amazonaws.com/k", false),
            // Of other customers.
            ("https://s3.execute-api.eu-west-1.amazonaws.com/k", false),
            ("https://s3.eu-west-1.elb.amazonaws.com/k", false),
            ("https://s3.compute-1.amazonaws.com/k", false),
            ("https://b.s3-website-eu-west-1.amazonaws.com/k", false),
            ("https://b.s3-website.eu-west-1.amazonaws.com/k", false),
            ("https://169.254.169.254/latest", false),
            ("https://[::1]/k", false),
            ("file:///etc/passwd", false),
            ("gopher://s3.amazonaws.com/1", false),
            ("data:,x", false),
        ] {
            assert_eq!(is_s3(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
