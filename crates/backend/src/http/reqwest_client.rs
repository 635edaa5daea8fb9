//! Creates reqwest's client: trusted authorities, proxies, timeouts.

use super::ClientError;
use super::cause::deepest;
use super::own_certificate::trusting_servers;
use crate::destination::{DestinationConfig, OwnAuthority};
use rustls::ClientConfig;
use rustls_platform_verifier::Verifier;
use settings::Proxy;
use std::sync::Arc;
use std::time::Duration;

/// Connections within a region take milliseconds. A host that takes longer than this counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A load balancer, or a freeze of the environment, may have dropped a connection that was idle for longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The TLS configuration; `None` if neither endpoint nor proxy uses TLS. Loading the system's certificates takes milliseconds of
/// a cold start, and fails if there are none.
pub(super) fn tls_config(
    destination: &DestinationConfig,
) -> Result<Option<ClientConfig>, ClientError> {
    let proxies = destination.proxy.iter().flat_map(Proxy::iter);
    if destination.endpoints.iter().chain(proxies).all(|url| url.scheme() == "http") {
        return Ok(None);
    }
    let build = |error: rustls::Error| ClientError::Build { text: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = destination.own_authority.iter().flat_map(OwnAuthority::certificates);
    let verifier = Verifier::new_with_extra_roots(own, Arc::clone(&provider)).map_err(build)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(build)?
        .dangerous()
        .with_custom_certificate_verifier(trusting_servers(
            Arc::new(verifier),
            destination.own_authority.as_ref(),
        ))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(config))
}

/// Creates a client without connections. It shares `tls`, and thereby resumable sessions, with earlier clients.
pub(super) fn reqwest_client(
    destination: &DestinationConfig,
    tls: Option<&ClientConfig>,
) -> Result<reqwest::Client, ClientError> {
    // This fails if another part of the process has installed a provider, which serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let build = |error: reqwest::Error| ClientError::Build { text: deepest(&error).to_string() };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("lambda-otlp/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT);
    builder = match tls {
        Some(config) => builder.tls_backend_preconfigured(config.clone()),
        None => builder.tls_certs_only([]),
    };
    if let Some(proxy) = destination.proxy.clone() {
        builder = builder.proxy(reqwest::Proxy::custom(move |url| proxy.of(url).cloned()));
    }
    builder.build().map_err(build)
}
