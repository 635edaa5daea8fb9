//! TLS with the system's and the destination's own certificate authorities.

use super::provider;
use super::version::Version;
use crate::destination::{DestinationConfig, OwnAuthority};
use crate::http::ClientError;
use crate::http::own_certificate::trusting_servers;
use rustls::client::WebPkiServerVerifier;
use rustls::{ClientConfig, RootCertStore};
use settings::Proxy;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// The TLS connector; `None` if neither endpoint nor proxy uses TLS, since loading the system's certificates takes milliseconds.
pub(super) fn connector(
    destination: &DestinationConfig,
    version: Version,
) -> Result<Option<TlsConnector>, ClientError> {
    let proxies = destination.proxy.iter().flat_map(Proxy::iter);
    if destination.endpoints.iter().chain(proxies).all(|url| url.scheme() == "http") {
        return Ok(None);
    }
    trusting(destination.own_authority.as_ref(), version).map(Some)
}

pub(super) fn trusting(
    own: Option<&OwnAuthority>,
    version: Version,
) -> Result<TlsConnector, ClientError> {
    if let Some(missing) = provider::missing_cpu_feature() {
        let text = format!("this CPU has no {missing}, which TLS needs here");
        return Err(ClientError::Build { text });
    }
    let build = |error: rustls::Error| ClientError::Build { text: error.to_string() };
    let provider = Arc::new(provider::provider());
    let roots = Arc::new(roots(own)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let verifier =
        verifier.build().map_err(|error| build(rustls::Error::General(error.to_string())))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(build)?
        .dangerous()
        .with_custom_certificate_verifier(trusting_servers(verifier, own))
        .with_no_client_auth();
    config.alpn_protocols = vec![version.alpn().to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Like the connector, for HTTP/1.1 only.
pub(super) fn of_http1(tls: &TlsConnector) -> TlsConnector {
    let mut config = ClientConfig::clone(tls.config());
    config.alpn_protocols = vec![Version::Http1.alpn().to_vec()];
    TlsConnector::from(Arc::new(config))
}

fn roots(own: Option<&OwnAuthority>) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    // Unreadable system certificates are skipped, as in other programs.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(own.into_iter().flat_map(OwnAuthority::certificates));
    if roots.is_empty() {
        let text = "this system has no certificates of authorities, give a bundle of them in LAMBDA_OTLP_CA_FILE";
        return Err(ClientError::Build { text: text.to_owned() });
    }
    Ok(roots)
}
