//! Signature algorithms of certificates and handshakes: RSA, and ECDSA over P-256 and P-384.

use ::p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use graviola::Error;
use graviola::hashing::{Hash, HashContext as _, HashOutput, Sha256, Sha384};
use graviola::signing::rsa;
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};

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
type Verify = fn(&[u8], &[u8], &[u8]) -> Result<(), Error>;

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

fn p256(key: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), Error> {
    use ::p256::ecdsa::{Signature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(key).map_err(bad)?;
    key.verify_prehash(digest, &Signature::from_der(signature).map_err(bad)?).map_err(bad)
}

fn p384(key: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), Error> {
    use ::p384::ecdsa::{Signature, VerifyingKey};
    let key = VerifyingKey::from_sec1_bytes(key).map_err(bad)?;
    key.verify_prehash(digest, &Signature::from_der(signature).map_err(bad)?).map_err(bad)
}

fn bad(_: ::p256::ecdsa::Error) -> Error {
    Error::BadSignature
}

fn rsa_key(key: &[u8]) -> Result<rsa::VerifyingKey, Error> {
    rsa::VerifyingKey::from_pkcs1_der(key)
}
