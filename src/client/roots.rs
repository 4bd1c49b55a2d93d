//! The certificate authorities that decide about a server without a pin: those of a named PEM file, or the system's.
//!
//! It only reads, and never adds an authority that nobody asked for.
#![expect(clippy::disallowed_methods, reason = "reads the file of certificate authorities")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// Where distributions keep the bundle: Debian and Alpine, Fedora and RHEL, SUSE, the BSDs' way, NixOS.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-bundle.crt",
];

/// The longest file read: the largest public bundles have a quarter of a MiB.
const LARGEST_FILE: u64 = 8 << 20;

/// Certificate authorities, at least one.
#[derive(Clone, Debug)]
pub(crate) struct Roots(Arc<RootCertStore>);

/// Why there are no certificate authorities.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("the certificate authorities in {} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::ErrorKind,
    },
    /// The file is longer than any bundle.
    #[error("{} is too large for a file of certificate authorities", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no usable certificate.
    #[error("{} holds no usable certificate", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// No bundle stands at any of the places where systems keep one.
    #[error("this system has no bundle of certificate authorities")]
    NoSystemBundle,
}

impl RootsError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "name a readable PEM file (DROPSAFE_CA), or add #sha256/… to the address"
            }
            Self::TooLarge { .. } => "name the PEM file of the authority alone",
            Self::Empty { .. } => "name a PEM file with the authority's BEGIN CERTIFICATE block",
            Self::NoSystemBundle => {
                "add the server's pin to the address (https://HOST:PORT#sha256/…), name its authority with \
                 DROPSAFE_CA, or install the package ca-certificates"
            }
        }
    }
}

impl Roots {
    /// The authorities in the PEM file at `path`, or else those that this system trusts.
    pub(crate) fn chosen(path: Option<&Path>) -> Result<Self, RootsError> {
        path.map_or_else(Self::system, Self::from_file)
    }

    /// The authorities in the PEM file at `path`. Sections that are no certificates are passed over.
    fn from_file(path: &Path) -> Result<Self, RootsError> {
        let pem = read(path)
            .map_err(|error| RootsError::Unreadable { path: path.to_owned(), why: error.kind() })?
            .ok_or_else(|| RootsError::TooLarge { path: path.to_owned() })?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
        if roots.is_empty() {
            return Err(RootsError::Empty { path: path.to_owned() });
        }
        Ok(Self(Arc::new(roots)))
    }

    /// The authorities that this system trusts.
    fn system() -> Result<Self, RootsError> {
        SYSTEM_BUNDLES
            .iter()
            .find_map(|path| Self::from_file(Path::new(path)).ok())
            .ok_or(RootsError::NoSystemBundle)
    }

    pub(crate) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

/// The file's bytes, or none when there are too many.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= LARGEST_FILE))
}
