//! TLS with the system's and the destination's own certificate authorities.

use super::Version;
use crate::destination::{DestinationConfig, OwnAuthority};
use crate::http::ClientError;
use crate::http::own_certificate::trusting_servers;
use ::p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use graviola::hashing::{Hash, HashContext as _, HashOutput, Sha256, Sha384};
use graviola::signing::rsa;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::{PublicKey, SecretKey, ecdh};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret,
    SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, alg_id,
};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, Error, NamedGroup, PeerMisbehaved, RootCertStore, SignatureScheme};
use rustls_graviola::suites;
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
    if let Some(missing) = missing_cpu_feature() {
        let text = format!("this CPU has no {missing}, which TLS needs here");
        return Err(ClientError::Build { text });
    }
    let build = |error: rustls::Error| ClientError::Build { text: error.to_string() };
    let provider = Arc::new(provider());
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

/// TLS 1.3 and 1.2 with AES-GCM.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            suites::TLS13_AES_128_GCM_SHA256,
            suites::TLS13_AES_256_GCM_SHA384,
            suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![&P256],
        signature_verification_algorithms: ALGORITHMS,
        secure_random: &Random,
        key_provider: &NoKeys,
    }
}

/// Returns a CPU feature that graviola needs and this CPU lacks; graviola would panic. Lambda guarantees AVX2 and Graviton2,
/// which imply all of them except ADX.
pub(super) fn missing_cpu_feature() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let features = [
        ("AES", std::arch::is_x86_feature_detected!("aes")),
        ("PCLMULQDQ", std::arch::is_x86_feature_detected!("pclmulqdq")),
        ("BMI1", std::arch::is_x86_feature_detected!("bmi1")),
        ("BMI2", std::arch::is_x86_feature_detected!("bmi2")),
        ("ADX", std::arch::is_x86_feature_detected!("adx")),
        ("SSSE3", std::arch::is_x86_feature_detected!("ssse3")),
        ("AVX", std::arch::is_x86_feature_detected!("avx")),
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
    ];
    #[cfg(target_arch = "aarch64")]
    let features = [
        ("NEON", std::arch::is_aarch64_feature_detected!("neon")),
        ("AES", std::arch::is_aarch64_feature_detected!("aes")),
        ("PMULL", std::arch::is_aarch64_feature_detected!("pmull")),
        ("SHA2", std::arch::is_aarch64_feature_detected!("sha2")),
    ];
    features.into_iter().find(|(_, is_there)| !is_there).map(|(name, _)| name)
}

#[derive(Debug)]
struct Random;

impl SecureRandom for Random {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        graviola::random::fill(bytes).map_err(|_| GetRandomFailed)
    }
}

/// A client without a certificate has no signing key.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("there are no private keys here".to_owned()))
    }
}

#[derive(Debug)]
pub(super) struct P256;

impl SupportedKxGroup for P256 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = [0; 32];
        // Nearly every 256-bit number is a key: only 0 and numbers from the order of the curve upward are invalid.
        let secret = loop {
            graviola::random::fill(&mut bytes).map_err(|_| GetRandomFailed)?;
            if let Ok(secret) = SecretKey::from_slice(&bytes) {
                break secret;
            }
        };
        let public = secret.public_key().to_encoded_point(false).as_bytes().to_vec();
        Ok(Box::new(P256Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

struct P256Exchange {
    secret: SecretKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for P256Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let invalid = || Error::from(PeerMisbehaved::InvalidKeyShare);
        // TLS forbids compressed points (RFC 8446, 4.2.8.2).
        let is_uncompressed = peer.first() == Some(&4);
        let peer = PublicKey::from_sec1_bytes(peer).ok().filter(|_| is_uncompressed);
        let peer = peer.ok_or_else(invalid)?;
        let shared = ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
        Ok(SharedSecret::from(shared.raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

pub(super) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        P256_SHA256,
        P256_SHA384,
        P384_SHA256,
        P384_SHA384,
        PSS_SHA256,
        PSS_SHA384,
        PSS_SHA512,
        PKCS1_SHA256,
        PKCS1_SHA384,
        PKCS1_SHA512,
    ],
    // TLS 1.2 schemes do not name the curve, so both curves count.
    mapping: &[
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[P384_SHA384, P256_SHA384]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[P256_SHA256, P384_SHA256]),
        (SignatureScheme::RSA_PSS_SHA512, &[PSS_SHA512]),
        (SignatureScheme::RSA_PSS_SHA384, &[PSS_SHA384]),
        (SignatureScheme::RSA_PSS_SHA256, &[PSS_SHA256]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[PKCS1_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[PKCS1_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[PKCS1_SHA256]),
    ],
};

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

/// Verifies a signature. The arguments are key, message and signature.
type Verify = fn(&[u8], &[u8], &[u8]) -> Result<(), graviola::Error>;

static P256_SHA256: Algorithm =
    &Verification(alg_id::ECDSA_P256, alg_id::ECDSA_SHA256, |key, message, signature| {
        p256(key, digest::<Sha256>(message).as_ref(), signature)
    });
static P256_SHA384: Algorithm =
    &Verification(alg_id::ECDSA_P256, alg_id::ECDSA_SHA384, |key, message, signature| {
        p256(key, digest::<Sha384>(message).as_ref(), signature)
    });
static P384_SHA256: Algorithm =
    &Verification(alg_id::ECDSA_P384, alg_id::ECDSA_SHA256, |key, message, signature| {
        p384(key, digest::<Sha256>(message).as_ref(), signature)
    });
static P384_SHA384: Algorithm =
    &Verification(alg_id::ECDSA_P384, alg_id::ECDSA_SHA384, |key, message, signature| {
        p384(key, digest::<Sha384>(message).as_ref(), signature)
    });
static PSS_SHA256: Algorithm = &rsa(alg_id::RSA_PSS_SHA256, |key, message, signature| {
    rsa_key(key)?.verify_pss_sha256(signature, message)
});
static PSS_SHA384: Algorithm = &rsa(alg_id::RSA_PSS_SHA384, |key, message, signature| {
    rsa_key(key)?.verify_pss_sha384(signature, message)
});
static PSS_SHA512: Algorithm = &rsa(alg_id::RSA_PSS_SHA512, |key, message, signature| {
    rsa_key(key)?.verify_pss_sha512(signature, message)
});
static PKCS1_SHA256: Algorithm = &rsa(alg_id::RSA_PKCS1_SHA256, |key, message, signature| {
    rsa_key(key)?.verify_pkcs1_sha256(signature, message)
});
static PKCS1_SHA384: Algorithm = &rsa(alg_id::RSA_PKCS1_SHA384, |key, message, signature| {
    rsa_key(key)?.verify_pkcs1_sha384(signature, message)
});
static PKCS1_SHA512: Algorithm = &rsa(alg_id::RSA_PKCS1_SHA512, |key, message, signature| {
    rsa_key(key)?.verify_pkcs1_sha512(signature, message)
});

/// The key algorithm, the signature algorithm, and the verifying function.
#[derive(Debug)]
struct Verification(AlgorithmIdentifier, AlgorithmIdentifier, Verify);

impl SignatureVerificationAlgorithm for Verification {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.1
    }

    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        (self.2)(public_key, message, signature).map_err(|_| InvalidSignature)
    }
}

const fn rsa(signature: AlgorithmIdentifier, verify: Verify) -> Verification {
    Verification(alg_id::RSA_ENCRYPTION, signature, verify)
}

fn digest<H: Hash>(message: &[u8]) -> HashOutput {
    let mut context = H::new();
    context.update(message);
    context.finish()
}

fn p256(key: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), graviola::Error> {
    use ::p256::ecdsa::{Signature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(key).map_err(bad)?;
    key.verify_prehash(digest, &Signature::from_der(signature).map_err(bad)?).map_err(bad)
}

fn p384(key: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), graviola::Error> {
    use ::p384::ecdsa::{Signature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(key).map_err(bad)?;
    key.verify_prehash(digest, &Signature::from_der(signature).map_err(bad)?).map_err(bad)
}

fn bad(_: ::p256::ecdsa::Error) -> graviola::Error {
    graviola::Error::BadSignature
}

fn rsa_key(key: &[u8]) -> Result<rsa::VerifyingKey, graviola::Error> {
    rsa::VerifyingKey::from_pkcs1_der(key)
}
