//! A request of AWS's JSON protocols, and its signature.

use super::error::NoResponse;
use crate::credentials::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use std::time::SystemTime;
use tokio::time::Instant;
use url::Url;

/// Everything about a request but the time that it is signed with.
#[derive(Debug)]
pub struct SignedRequest<'a> {
    /// Who asks.
    pub credentials: &'a Credentials,
    /// The service as signatures name it: `sqs`.
    pub service: &'a str,
    /// The region of the signature.
    pub region: &'a str,
    /// Where it is sent.
    pub endpoint: &'a Url,
    /// `application/x-amz-json-1.0` or `-1.1`, as the service has it.
    pub content_type: &'a str,
    /// The operation: `AmazonSQS.SendMessageBatch`.
    pub target: &'a str,
    /// JSON.
    pub body: Vec<u8>,
    /// When waiting for the response ends.
    pub deadline: Instant,
    /// A longer response is an error.
    pub max_response_bytes: usize,
}

/// Signature Version 4 over all headers but the length.
pub(super) fn signed(
    request: SignedRequest<'_>,
    host: &str,
    time: SystemTime,
    client: &reqwest::Client,
) -> Result<reqwest::Request, NoResponse> {
    let SignedRequest { service, region, endpoint, content_type, target, body, .. } = request;
    let Credentials { access_key_id, secret_access_key, session_token } = request.credentials;
    let mut credentials = aws_credential_types::Credentials::builder()
        .access_key_id(access_key_id)
        .secret_access_key(secret_access_key.expose())
        .provider_name("environment");
    credentials.set_session_token(session_token.as_ref().map(|token| token.expose().to_owned()));
    let identity = credentials.build().into();
    let headers = [("host", host), ("content-type", content_type), ("x-amz-target", target)];
    let not_signed = NoResponse::NotMade("the request cannot be signed");
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| not_signed.clone())?
        .into();
    let signable = SignableBody::Bytes(&body);
    let signable = SignableRequest::new("POST", endpoint.as_str(), headers.into_iter(), signable)
        .map_err(|_| not_signed.clone())?;
    let (instructions, _signature) = sign(signable, &params).map_err(|_| not_signed)?.into_parts();
    let mut builder = client.post(endpoint.clone());
    for (name, value) in headers.into_iter().chain(instructions.headers()) {
        builder = builder.header(name, value);
    }
    let unfit = |_| NoResponse::NotMade("the credentials hold characters that a header cannot");
    builder.body(body).build().map_err(unfit)
}

/// The endpoint's host, with its port where that is not the usual one.
pub(crate) fn host(endpoint: &Url) -> String {
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    endpoint.host_str().unwrap_or_default().to_owned() + &port
}
