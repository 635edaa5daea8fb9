//! Signature Version 4 in the header of a request whose body is known.
//!
//! Source: AWS Identity and Access Management User Guide, "Create a signed AWS API request". aws-sigv4 does the same and much
//! more.

use hmac::{Hmac, Mac as _};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use settings::Secret;
use sha2::{Digest as _, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;
use wire::ids::to_hex;
use wire::timestamp::rfc3339_millis;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Credentials of a role, or of a user in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Secret,
    /// `AWS_SESSION_TOKEN`, for a role's credentials.
    pub session_token: Option<Secret>,
}

pub(crate) struct Scope<'a> {
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    /// The value of `x-amz-date`: `20150830T123600Z`.
    pub(crate) time: &'a str,
}

impl Scope<'_> {
    fn date(&self) -> &str {
        self.time.split('T').next().unwrap_or_default()
    }

    /// `20150830/us-east-1/iam/aws4_request`
    fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date(), self.region, self.service)
    }
}

pub(crate) fn amz_date(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = rfc3339_millis(u64::try_from(since.as_nanos()).unwrap_or_default());
    // 2015-08-30T12:36:00.000Z
    let seconds = text.split('.').next().unwrap_or_default();
    let digits: String = seconds.chars().filter(|character| !"-:".contains(*character)).collect();
    digits + "Z"
}

/// A request without its signature.
pub(crate) struct ToSign<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    /// Lower-case names in alphabetical order, each once, and values without surrounding spaces.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    /// See [`payload_hash`].
    pub(crate) payload_hash: &'a str,
    pub(crate) path_encoding: PathEncoding,
}

/// How often a path is percent-encoded in what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEncoding {
    /// As it is sent: S3.
    Once,
    /// All other services.
    Twice,
}

/// The hash of a body: hexadecimal SHA-256.
pub(crate) fn payload_hash(body: &[u8]) -> String {
    to_hex(&Sha256::digest(body))
}

/// The value of the header `authorization`.
pub(crate) fn authorization(request: &ToSign<'_>, credentials: &Credentials) -> String {
    let ToSign { scope, method, url, headers, payload_hash, path_encoding } = request;
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let signed_headers = names.join(";");
    let lines: String =
        headers.iter().flat_map(|(name, value)| [*name, ":", *value, "\n"]).collect();
    let path = match path_encoding {
        PathEncoding::Once => url.path().to_owned(),
        PathEncoding::Twice => utf8_percent_encode(url.path(), ENCODED_IN_PATH).to_string(),
    };
    let query = canonical_query(url);
    let canonical_request =
        format!("{method}\n{path}\n{query}\n{lines}\n{signed_headers}\n{payload_hash}");
    let digest = to_hex(&Sha256::digest(canonical_request));
    let signature = signature(scope, &credentials.secret_access_key, &digest);
    let access_key_id = &credentials.access_key_id;
    let scope = scope.text();
    format!(
        "{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"
    )
}

/// The parameters of a URL's query, encoded and sorted.
fn canonical_query(url: &Url) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ENCODED_IN_QUERY).to_string();
    let mut pairs: Vec<String> = url
        .query_pairs()
        .map(|(name, value)| format!("{}={}", encode(&name), encode(&value)))
        .collect();
    pairs.sort_unstable();
    pairs.join("&")
}

fn signature(scope: &Scope<'_>, secret_access_key: &Secret, digest: &str) -> String {
    let mut key = format!("AWS4{}", secret_access_key.expose()).into_bytes();
    for part in [scope.date(), scope.region, scope.service, "aws4_request"] {
        key = hmac(&key, part);
    }
    let to_sign = format!("{ALGORITHM}\n{}\n{}\n{digest}", scope.time, scope.text());
    to_hex(&hmac(&key, &to_sign))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // Keys of any length are accepted.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// All characters of a query's names and values but these are encoded.
pub(crate) const ENCODED_IN_QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// All characters of a path but these are encoded.
pub(crate) const ENCODED_IN_PATH: &AsciiSet = &ENCODED_IN_QUERY.remove(b'/');

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// AWS's documented example ("Examples of how to derive a signing key for Signature Version 4", and its request).
    #[test]
    fn the_signature_of_the_aws_example_matches() {
        let scope = Scope { service: "iam", region: "us-east-1", time: "20150830T123600Z" };
        let digest = "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        assert_eq!(
            signature(&scope, &Secret::new(SECRET_KEY), digest),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn times_and_paths_are_formatted_for_signing() {
        let at = |millis| amz_date(UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(
            [at(1_440_938_160_000), at(0), at(1999)],
            ["20150830T123600Z", "19700101T000000Z", "19700101T000001Z"]
        );
        let path = utf8_percent_encode("/a%20b/c-d_e.f~g:=", ENCODED_IN_PATH).to_string();
        assert_eq!(path, "/a%2520b/c-d_e.f~g%3A%3D");
    }
    /// Amazon S3 API Reference, "Signature Calculations for the Authorization Header", the examples of a bucket.
    #[test]
    fn a_query_is_signed_in_the_order_of_its_names() {
        let credentials = Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        let payload = payload_hash(b"");
        for (query, expected) in [
            ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            (
                "prefix=J&max-keys=2",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let url = format!("https://examplebucket.s3.amazonaws.com/?{query}");
            let to_sign = ToSign {
                scope: Scope { service: "s3", region: "us-east-1", time: "20130524T000000Z" },
                method: &Method::GET,
                url: &Url::parse(&url).unwrap(),
                headers: &[
                    ("host", "examplebucket.s3.amazonaws.com"),
                    ("x-amz-content-sha256", &payload),
                    ("x-amz-date", "20130524T000000Z"),
                ],
                payload_hash: &payload,
                path_encoding: PathEncoding::Once,
            };
            let authorization = authorization(&to_sign, &credentials);
            let signature = authorization.rsplit('=').next();
            assert_eq!(signature, Some(expected), "{query}");
        }
    }
}
