//! Private certificate authorities, from a PEM file in the deployment package.

use super::variables::CA_FILE;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use settings::Reader;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The problem of a file with certificates, without its path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAuthority {
    #[error("cannot be read: {kind}")]
    Unreadable { kind: ErrorKind },
    #[error("certificate {number} is not valid PEM")]
    NotPem { number: usize },
    #[error("certificate {number} is broken or of an unknown kind")]
    Broken { number: usize },
    #[error("contains no PEM certificate (-----BEGIN CERTIFICATE-----)")]
    Empty,
}

/// Authorities that are trusted in addition to the system's.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnAuthority {
    /// At least one certificate; each can be a trust anchor.
    certificates: Arc<[CertificateDer<'static>]>,
}

impl OwnAuthority {
    /// Reads the variable. A relative path starts at the function's code.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let given = reader.read(CA_FILE)?;
        // Lambda sets this variable. Outside of Lambda a relative path starts at the working directory.
        let code = PathBuf::from(reader.raw("LAMBDA_TASK_ROOT").unwrap_or_default());
        let path = code.join(given.trim());
        let authority = Self::from_file(&path);
        if let Err(problem) = &authority {
            reader.mistake(CA_FILE, format!("{}: {problem}", path.display()));
        }
        authority.ok()
    }

    /// Reads a PEM file with one or more certificates.
    pub fn from_file(path: &Path) -> Result<Self, InvalidAuthority> {
        let pem = std::fs::read(path)
            .map_err(|error| InvalidAuthority::Unreadable { kind: error.kind() })?;
        Self::from_pem(&pem)
    }

    fn from_pem(pem: &[u8]) -> Result<Self, InvalidAuthority> {
        let mut certificates = Vec::new();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let number = certificates.len() + 1;
            let certificate = certificate.map_err(|_| InvalidAuthority::NotPem { number })?;
            roots.add(certificate.clone()).map_err(|_| InvalidAuthority::Broken { number })?;
            certificates.push(certificate);
        }
        if certificates.is_empty() {
            return Err(InvalidAuthority::Empty);
        }
        Ok(Self { certificates: certificates.into() })
    }

    pub(crate) fn certificates(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        self.certificates.iter().cloned()
    }
}

impl fmt::Debug for OwnAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnAuthority({} certificates)", self.certificates.len())
    }
}
