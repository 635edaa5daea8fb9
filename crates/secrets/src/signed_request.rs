//! One signed request of AWS's JSON protocols, for secrets, parameters and queues: sent once, bounded in time and size,
//! never redirected, and with an error that says whether it may have arrived.

use crate::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::Value;
use settings::Proxy;
use std::error::Error;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// A service of the same region answers the connection in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything about a request but its time.
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
    /// When waiting for the answer ends.
    pub deadline: Instant,
    /// An answer that is longer is an error.
    pub most_answer_bytes: usize,
}

/// What came back, whatever it says.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// At most as many bytes as the request allowed.
    pub body: Vec<u8>,
}

/// Why there is no answer. Nothing of the request is in it but the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// It could not be made.
    #[error("{0}")]
    NotMade(&'static str),
    /// There was no connection: nothing was sent.
    #[error("cannot reach {host}: {cause}")]
    NotConnected {
        /// With the port, where it is not the usual one.
        host: String,
        /// What happened, and what to do about it.
        cause: String,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("cannot reach {host}: {cause}")]
    Broken {
        /// With the port, where it is not the usual one.
        host: String,
        /// What happened.
        cause: String,
    },
    /// The deadline came first.
    #[error("cannot reach {host}: {TIMED_OUT}")]
    Deadline {
        /// With the port, where it is not the usual one.
        host: String,
    },
    /// The service answered at length.
    #[error("the answer of {host} is longer than {most} bytes")]
    TooLong {
        /// With the port, where it is not the usual one.
        host: String,
        /// Most bytes.
        most: usize,
    },
}

const TIMED_OUT: &str =
    "timed out; does the function's VPC have a way to it, such as a VPC endpoint?";

impl NoAnswer {
    /// Whether the service may have done what it was asked.
    pub fn may_have_arrived(&self) -> bool {
        !matches!(self, Self::NotMade(_) | Self::NotConnected { .. })
    }
}

/// Why a service refused, in AWS's words.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `AccessDeniedException`; empty where the answer is not the service's own.
    pub code: String,
    /// May be empty.
    pub message: String,
}

impl Answer {
    /// The words of an answer that is no success: `{"__type":"com.amazonaws…#AccessDeniedException","Message":"…"}`, the
    /// code also as `code`, the message in either case, and any of them twice (Smithy, "AWS JSON 1.0 protocol",
    /// "Operation error serialization").
    pub fn refusal(&self) -> Refusal {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let first = |names: [&str; 2]| {
            let mut texts = names.iter().filter_map(|name| body.get(name)?.as_str());
            texts.find(|text| !text.is_empty()).unwrap_or_default()
        };
        let code = first(["__type", "code"]);
        // A namespace before it, and in some answers a URL behind it.
        let code = code.rsplit('#').next().unwrap_or_default();
        let code = code.split(':').next().unwrap_or_default();
        Refusal { code: code.to_owned(), message: first(["message", "Message"]).to_owned() }
    }
}

/// Sends signed requests, each on a connection of its own: minutes lie between two, and maybe a freeze, which breaks what was
/// kept with the request half sent.
///
/// Nothing is prepared before the first: most environments need neither a secret nor a queue.
#[derive(Debug)]
pub struct AwsClient {
    clock: fn() -> SystemTime,
    proxy: Option<Proxy>,
    https: OnceCell<reqwest::Client>,
    /// A stand-in for AWS has no TLS, and maybe the system no certificates.
    http: OnceCell<reqwest::Client>,
}

impl AwsClient {
    /// `clock` gives the time that requests are signed with.
    pub fn new(clock: fn() -> SystemTime, proxy: Option<Proxy>) -> Self {
        Self { clock, proxy, https: OnceCell::new(), http: OnceCell::new() }
    }

    /// The time that requests are signed with.
    pub fn wall_clock(&self) -> SystemTime {
        (self.clock)()
    }

    /// Sends it once, and reads the answer.
    pub async fn send(&self, request: SignedRequest<'_>) -> Result<Answer, NoAnswer> {
        let host = host(request.endpoint);
        let shown = self.with_proxy(&host, request.endpoint);
        let (deadline, most) = (request.deadline, request.most_answer_bytes);
        let answer = async {
            let failed = |error: reqwest::Error| no_answer(&shown, &error.without_url());
            let client = self.client(request.endpoint).await.map_err(|_| {
                NoAnswer::NotMade("no client for HTTPS: are there certificates in the system?")
            })?;
            let request = signed(request, &host, self.wall_clock(), client)?;
            let mut response = client.execute(request).await.map_err(failed)?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > most {
                    return Err(NoAnswer::TooLong { host: shown.clone(), most });
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status, body })
        };
        match timeout_at(deadline, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::Deadline { host: shown }),
        }
    }

    /// The host, and the proxy on the way to it.
    fn with_proxy(&self, shown: &str, endpoint: &Url) -> String {
        match self.proxy.as_ref().and_then(|proxy| proxy.of(endpoint)) {
            Some(proxy) => {
                format!("{shown} through the proxy {} unless NO_PROXY exempts it", host(proxy))
            }
            None => shown.to_owned(),
        }
    }

    async fn client(&self, endpoint: &Url) -> Result<&reqwest::Client, reqwest::Error> {
        let is_plain = endpoint.scheme() == "http";
        let prepare = async || {
            // Fails where another part of the process has installed a provider, which serves as well.
            drop(rustls::crypto::ring::default_provider().install_default());
            let mut builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(0);
            if let Some(Proxy { http, https, exempt }) = &self.proxy {
                let proxies = [
                    http.clone().map(reqwest::Proxy::http),
                    https.clone().map(reqwest::Proxy::https),
                ];
                for proxy in proxies.into_iter().flatten() {
                    builder = builder.proxy(proxy?.no_proxy(reqwest::NoProxy::from_string(exempt)));
                }
            }
            if is_plain { builder.tls_certs_only([]) } else { builder }.build()
        };
        let client = if is_plain { &self.http } else { &self.https };
        client.get_or_try_init(prepare).await
    }
}

/// Signature Version 4 over all headers but the length.
fn signed(
    request: SignedRequest<'_>,
    host: &str,
    time: SystemTime,
    client: &reqwest::Client,
) -> Result<reqwest::Request, NoAnswer> {
    let SignedRequest { service, region, endpoint, content_type, target, body, .. } = request;
    let Credentials { access_key_id, secret_access_key, session_token } = request.credentials;
    let mut credentials = aws_credential_types::Credentials::builder()
        .access_key_id(access_key_id)
        .secret_access_key(secret_access_key.expose())
        .provider_name("environment");
    credentials.set_session_token(session_token.as_ref().map(|token| token.expose().to_owned()));
    let identity = credentials.build().into();
    let headers = [("host", host), ("content-type", content_type), ("x-amz-target", target)];
    let not_signed = NoAnswer::NotMade("the request cannot be signed");
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
    let unfit = |_| NoAnswer::NotMade("the credentials hold characters that a header cannot");
    builder.body(body).build().map_err(unfit)
}

/// With the port, where it is not the usual one.
pub(crate) fn host(endpoint: &Url) -> String {
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    endpoint.host_str().unwrap_or_default().to_owned() + &port
}

fn no_answer(host: &str, error: &reqwest::Error) -> NoAnswer {
    let (host, cause) = (host.to_owned(), cause(error));
    if error.is_connect() {
        NoAnswer::NotConnected { host, cause }
    } else {
        NoAnswer::Broken { host, cause }
    }
}

/// The first cause: the errors around it say only that a request failed.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return TIMED_OUT.to_owned();
    }
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// What a service says, on one line, cut.
pub fn excerpt(text: &str) -> String {
    const MOST_CHARS: usize = 300;
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    let head: String = line.chars().take(MOST_CHARS).collect();
    if head.len() < line.len() { format!("{head}…") } else { head }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_in_every_spelling() {
        let check = |body: &str, code: &str, message: &str| {
            let refusal = Answer { status: 400, body: body.into() }.refusal();
            assert_eq!(
                (refusal.code.as_str(), refusal.message.as_str()),
                (code, message),
                "{body}"
            );
        };
        check(r#"{"__type":"AccessDenied","Message":"no"}"#, "AccessDenied", "no");
        check(
            r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}"#,
            "QueueDoesNotExist",
            "no",
        );
        check(r#"{"__type":"Throttling:http://x/"}"#, "Throttling", "");
        check(r#"{"code":"x#Throttling","__type":null}"#, "Throttling", "");
        check(r#"{"__type":"a#A","code":"A","message":"no","Message":"no"}"#, "A", "no");
        check(r#"{"message":"Forbidden"}"#, "", "Forbidden");
        check("<html>", "", "");
        check(r#"{"__type":1}"#, "", "");
    }
}
