//! The address of a byte store: `sqlite:PATH`, `etcd://HOST:PORT,…/PREFIX` or `memory:`. Opens nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[cfg(feature = "etcd")]
use super::etcd;

/// The address of a byte store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// `sqlite:PATH`, the path relative or absolute.
    Sqlite(PathBuf),
    /// `memory:`, which ends with the process.
    Memory,
    /// `etcd://HOST:PORT,…/PREFIX`.
    #[cfg(feature = "etcd")]
    Etcd(etcd::Address),
}

/// Why a text is not the address of a byte store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// An unknown kind of store.
    #[error("not the address of a byte store")]
    Unknown,
    /// `sqlite:` without a path.
    #[error("the address of an SQLite store lacks the path of its file")]
    NoPath,
    /// etcd, which this build does not support.
    #[cfg(not(feature = "etcd"))]
    #[error("this build has no support for etcd")]
    Etcd,
    /// Not the address of a store on etcd.
    #[cfg(feature = "etcd")]
    #[error(transparent)]
    Etcd(#[from] etcd::AddressError),
}

impl Url {
    /// Resolves the paths of its files against `folder`.
    pub fn in_folder(self, folder: &Path) -> Url {
        match self {
            Url::Sqlite(path) => Url::Sqlite(folder.join(path)),
            Url::Memory => Url::Memory,
            #[cfg(feature = "etcd")]
            Url::Etcd(address) => Url::Etcd(address.in_folder(folder)),
        }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        if text == "memory:" {
            return Ok(Url::Memory);
        }
        #[cfg(feature = "etcd")]
        if let Some(address) = text.strip_prefix("etcd://") {
            return Ok(Url::Etcd(address.parse()?));
        }
        // A clear error for a build without etcd: "unknown" would send the operator looking for a typing mistake.
        #[cfg(not(feature = "etcd"))]
        if text.starts_with("etcd://") {
            return Err(UrlError::Etcd);
        }
        match text.strip_prefix("sqlite:") {
            None => Err(UrlError::Unknown),
            // Refused here, because no file's name can hold a zero byte.
            Some(path) if path.is_empty() || path.contains('\0') => Err(UrlError::NoPath),
            Some(path) => Ok(Url::Sqlite(PathBuf::from(path))),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Url::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Url::Memory => f.write_str("memory:"),
            #[cfg(feature = "etcd")]
            Url::Etcd(address) => address.fmt(f),
        }
    }
}

impl UrlError {
    /// What to write instead.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            UrlError::Unknown | UrlError::NoPath => {
                Some("write sqlite:PATH, or memory: for a store that ends with the process")
            }
            #[cfg(not(feature = "etcd"))]
            UrlError::Etcd => Some("build with the feature `etcd`, or write sqlite:PATH"),
            #[cfg(feature = "etcd")]
            UrlError::Etcd(_) => Some(
                "write etcd://HOST:PORT,HOST:PORT/PREFIX, and behind it perhaps ?ca=FILE&cert=FILE&key=FILE&user=NAME&password-file=FILE",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_a_store_is_kept() {
        assert_eq!(
            "sqlite:/var/lib/dropsafe/store.db".parse(),
            Ok(Url::Sqlite("/var/lib/dropsafe/store.db".into()))
        );
        assert_eq!("sqlite:store.db".parse(), Ok(Url::Sqlite("store.db".into())));
        assert_eq!("memory:".parse(), Ok(Url::Memory));
        assert_eq!("sqlite:/a b".parse::<Url>().map(|url| url.to_string()).as_deref(), Ok("sqlite:/a b"));
    }

    #[test]
    fn refuses_the_rest_with_a_remedy() {
        for (text, error) in [
            ("", UrlError::Unknown),
            ("/var/lib/store.db", UrlError::Unknown),
            ("memory:x", UrlError::Unknown),
            ("sqlite:", UrlError::NoPath),
            ("sqlite:a\0b", UrlError::NoPath),
            #[cfg(not(feature = "etcd"))]
            ("etcd://a:2379/prefix", UrlError::Etcd),
            #[cfg(feature = "etcd")]
            ("etcd://a:2379", UrlError::Etcd(etcd::AddressError::NoPrefix)),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
            assert!(error.hint().is_some());
        }
    }
}
