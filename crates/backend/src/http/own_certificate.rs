//! Trusts a server whose own certificate is in the destination's file of authorities.
//!
//! A certificate that a server signed for itself is often an authority's too: `openssl req -x509` says so unless it is told otherwise.
//! webpki refuses such a certificate at a server, OpenSSL and curl do not. Here it is trusted if the file names exactly this one. webpki
//! has looked at its dates by then, and the handshake proves that the server has its key.
//!
//! Source: RFC 5280, 4.2.1.9 "Basic Constraints"; rustls-webpki, `verify_cert.rs`, `check_issuer_independent_properties`.

use crate::destination::OwnAuthority;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Asks another verifier first.
#[derive(Debug)]
struct OwnCertificate {
    verifier: Arc<dyn ServerCertVerifier>,
    own: OwnAuthority,
}

/// Makes a verifier of this one that trusts the servers whose certificates are given, too.
pub(super) fn trusting_servers(
    verifier: Arc<dyn ServerCertVerifier>,
    own: Option<&OwnAuthority>,
) -> Arc<dyn ServerCertVerifier> {
    match own {
        None => verifier,
        Some(own) => Arc::new(OwnCertificate { verifier, own: own.clone() }),
    }
}

impl ServerCertVerifier for OwnCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(Error::InvalidCertificate(error))
                if is_authority_as_server(&error)
                    && self.own.certificates().any(|own| own == *end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Returns `true` if an authority's certificate being a server's is all that is wrong. rustls has no word of its own for that.
fn is_authority_as_server(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity")
}
