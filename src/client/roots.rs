//! The certificate authorities that verify a server without a pin: those of a configured PEM file, or the system's.
//!
//! It only reads files, and has no authorities of its own.
#![expect(clippy::disallowed_methods, reason = "reads the file of certificate authorities")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// The bundle's path on Debian and Alpine, Fedora and RHEL, SUSE, OpenSSL's default, NixOS.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-bundle.crt",
];

/// The largest file that is read. Public bundles have about a quarter of a MiB.
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
        /// The system's error.
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
    /// None of the usual paths has a bundle.
    #[error("this system has no bundle of certificate authorities")]
    NoSystemBundle,
}

impl RootsError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "set DROPSAFE_CA to a readable PEM file, or add the server's pin (#sha256/…) to the address"
            }
            Self::TooLarge { .. } => "use a PEM file with the authority's certificate alone",
            Self::Empty { .. } => "use a PEM file with the authority's BEGIN CERTIFICATE block",
            Self::NoSystemBundle => {
                "add the server's pin to the address (https://HOST:PORT#sha256/…), set \
                 DROPSAFE_CA to the PEM file of its authority, or install the package ca-certificates"
            }
        }
    }
}

impl Roots {
    /// Loads the authorities from the PEM file at `path`, or the system's if there is no path.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, RootsError> {
        path.map_or_else(Self::system, Self::from_file)
    }

    fn from_file(path: &Path) -> Result<Self, RootsError> {
        let pem = read(path)
            .map_err(|error| RootsError::Unreadable { path: path.to_owned(), why: error.kind() })?
            .ok_or_else(|| RootsError::TooLarge { path: path.to_owned() })?;
        let mut roots = RootCertStore::empty();
        // Bundles also hold comments, keys and certificates that webpki cannot parse. One of them must not disable the rest.
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
        if roots.is_empty() {
            return Err(RootsError::Empty { path: path.to_owned() });
        }
        Ok(Self(Arc::new(roots)))
    }

    fn system() -> Result<Self, RootsError> {
        // The first usable one. Some systems link several of these paths to the same file.
        SYSTEM_BUNDLES
            .iter()
            .find_map(|path| Self::from_file(Path::new(path)).ok())
            .ok_or(RootsError::NoSystemBundle)
    }

    pub(crate) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

/// Reads the file. `None` if it is larger than [`LARGEST_FILE`].
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use io::Read;
    let mut bytes = Vec::new();
    // Bounded while reading: the size that stat(2) reports is 0 for a pipe or a device.
    std::fs::File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= LARGEST_FILE))
}
