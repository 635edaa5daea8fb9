//! Connections to AWS.
//!
//! A host that accepts no connection, or a proxy that does not reach it, fails after three attempts, whatever number of
//! attempts a command wants for throttled requests. The error names the host. Attempts that take seconds are reported.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

/// Attempts in a row without an answer of AWS, after which a host counts as unreachable.
const MAX_ATTEMPTS: u32 = 3;

/// A client whose requests without an answer of AWS end early, with errors that name the host.
#[derive(Debug)]
pub(super) struct BoundedClient {
    client: SharedHttpClient,
    attempts: Arc<ConnectionAttempts>,
}

impl BoundedClient {
    pub(super) fn of(client: SharedHttpClient) -> SharedHttpClient {
        SharedHttpClient::new(Self { client, attempts: Arc::default() })
    }
}

impl HttpClient for BoundedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.client.http_connector(settings, components);
        SharedHttpConnector::new(Connector { connector, attempts: Arc::clone(&self.attempts) })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.client.connector_metadata()
    }
}

#[derive(Debug)]
struct Connector {
    connector: SharedHttpConnector,
    attempts: Arc<ConnectionAttempts>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = host_of(request.uri());
        let answer = self.connector.call(request);
        let attempts = Arc::clone(&self.attempts);
        HttpConnectorFuture::new(async move {
            let answered = answer.await;
            let Some(host) = host else { return answered };
            match answered {
                Ok(answer) if is_page_of_proxy(&answer) => {
                    let cause = format!("HTTP {} with a web page", answer.status().as_u16());
                    Err(attempts.failed(&host, cause, ConnectorError::io))
                }
                Ok(answer) => {
                    attempts.succeeded(&host);
                    Ok(answer)
                }
                Err(error) if error.is_timeout() => {
                    let cause = ::aws::deepest(&error).to_string();
                    Err(attempts.failed(&host, cause, ConnectorError::timeout))
                }
                Err(error) if error.is_io() => {
                    let cause = ::aws::deepest(&error).to_string();
                    Err(attempts.failed(&host, cause, ConnectorError::io))
                }
                Err(error) => Err(error),
            }
        })
    }
}

/// Returns `true` for the page of a proxy that reaches no server. AWS's SDK would repeat the request as after an error of AWS.
fn is_page_of_proxy(answer: &HttpResponse) -> bool {
    let is_page =
        answer.headers().get("content-type").is_some_and(|it| it.starts_with("text/html"));
    is_page && (502..=504).contains(&answer.status().as_u16())
}

/// Returns host and port. `None` for the link-local addresses of an instance's metadata, which most machines do not have.
fn host_of(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    let host = url.host_str().filter(|host| !host.starts_with("169.254."))?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The attempts in a row without an answer of AWS, by host.
#[derive(Debug, Default)]
struct ConnectionAttempts {
    failed: Mutex<HashMap<String, u32>>,
}

impl ConnectionAttempts {
    fn succeeded(&self, host: &str) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }

    /// Counts a failure, and returns its error of this kind. AWS's SDK repeats the request after the errors before the last.
    fn failed(
        &self,
        host: &str,
        cause: String,
        kind: fn(BoxError) -> ConnectorError,
    ) -> ConnectorError {
        let mut counts = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(host.to_owned()).or_default();
        *count = count.saturating_add(1);
        let is_last = *count >= MAX_ATTEMPTS;
        let is_first = *count == 1;
        drop(counts);
        let error: BoxError = NoAnswer { host: host.to_owned(), cause }.into();
        if is_last {
            return ConnectorError::other(error, None);
        }
        let error = kind(error);
        if is_first && error.is_timeout() {
            eprintln!("{host} does not answer, trying again");
        }
        error
    }
}

#[derive(Debug, thiserror::Error)]
#[error("no answer of AWS at {host}: {cause}")]
struct NoAnswer {
    host: String,
    cause: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{explain, for_tests};
    use aws_config::retry::RetryConfig;

    #[test]
    fn a_host_is_named_with_its_port_and_instance_metadata_is_not_counted() {
        assert_eq!(host_of("http://127.0.0.1:9/x").as_deref(), Some("127.0.0.1:9"));
        let lambda = "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/";
        assert_eq!(host_of(lambda).as_deref(), Some("lambda.eu-west-1.amazonaws.com"));
        assert_eq!(host_of("http://169.254.169.254/latest/api/token"), None);
    }

    #[tokio::test]
    async fn a_refused_connection_ends_after_three_attempts_of_many() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let retries = RetryConfig::adaptive()
            .with_max_attempts(100)
            .with_initial_backoff(std::time::Duration::from_millis(1));
        let aws = for_tests().into_builder().endpoint_url(format!("http://{address}"));
        let client = aws_sdk_sqs::Client::new(&aws.retry_config(retries).build());
        for _ in 0..2 {
            let error = client.list_queues().send().await.unwrap_err();
            let said = explain(&error).to_string();
            let expected =
                format!("no answer of AWS at {address}: Connection refused (os error 111)");
            assert!(said.starts_with(&expected), "{said}");
            assert!(error.as_service_error().is_none());
        }
    }
}
