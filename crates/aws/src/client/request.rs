//! A request of AWS's JSON protocols, and its signature.

use super::credentials::Credentials;
use super::error::NoResponse;
use super::signature::{Scope, amz_date, authorization};
use super::transport::AwsHttpRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::time::SystemTime;
use tokio::time::Instant;
use url::Url;

/// A request without its signing time.
#[derive(Debug)]
pub struct SignedRequest<'a> {
    pub credentials: &'a Credentials,
    /// The service's name in signatures: `sqs`.
    pub service: &'a str,
    pub region: &'a str,
    pub endpoint: &'a Url,
    /// `application/x-amz-json-1.0` or `-1.1`, depending on the service.
    pub content_type: &'a str,
    /// The operation: `AmazonSQS.SendMessageBatch`.
    pub target: &'a str,
    pub body: Vec<u8>,
    pub deadline: Instant,
    pub max_response_bytes: usize,
}

/// Returns the request with its signature over all headers except the length.
pub(super) fn signed<'a>(
    request: SignedRequest<'a>,
    host: &str,
    time: SystemTime,
) -> Result<AwsHttpRequest<'a>, NoResponse> {
    let SignedRequest { service, region, endpoint: url, content_type, target, body, .. } = request;
    let Credentials { access_key_id, secret_access_key, session_token } = request.credentials;
    if url.query().is_some() {
        return Err(NoResponse::NotMade("an AWS endpoint must not have a query"));
    }
    let time = amz_date(time);
    let scope = Scope { service, region, time: &time };
    let mut values = vec![("content-type", content_type), ("host", host), ("x-amz-date", &time)];
    values.extend(session_token.iter().map(|token| ("x-amz-security-token", token.expose())));
    values.push(("x-amz-target", target));
    let authorization =
        authorization(&scope, (access_key_id, secret_access_key), url, &values, &body);
    values.push(("authorization", &authorization));
    let mut headers = HeaderMap::new();
    for (name, value) in values {
        let unfit = "the credentials contain characters that a header cannot";
        let mut value = HeaderValue::from_str(value).map_err(|_| NoResponse::NotMade(unfit))?;
        value.set_sensitive(matches!(name, "authorization" | "x-amz-security-token"));
        headers.insert(HeaderName::from_static(name), value);
    }
    let max_response_bytes = request.max_response_bytes;
    let (method, is_direct) = (Method::POST, false);
    Ok(AwsHttpRequest { method, url, headers, body, is_direct, max_response_bytes })
}
