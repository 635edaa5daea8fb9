//! Trusts a server whose own certificate is in the destination's file of authorities.
//!
//! A self-signed server certificate is often a CA certificate too, because `openssl req -x509` marks it as one by default. webpki
//! refuses a CA certificate as a server's; OpenSSL and curl accept it. This verifier accepts the certificate if the file contains
//! exactly this one. webpki has checked its dates before, and the handshake proves that the server has its key.
//!
//! Source: RFC 5280, 4.2.1.9 "Basic Constraints"; rustls-webpki, `verify_cert.rs`, `check_issuer_independent_properties`.

use crate::destination::OwnAuthority;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// Trusts servers of the system's verifier, and those with one of these certificates.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    pub(super) verifier: Verifier,
    pub(super) own: OwnAuthority,
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

/// Returns `true` if the only error is that a server uses a CA certificate. rustls has no variant for this error.
fn is_authority_as_server(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity")
}
