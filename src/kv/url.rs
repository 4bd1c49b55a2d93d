//! Where a store is kept, as people write it: `sqlite:PATH` or `memory:`. Opens nothing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a store is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// `sqlite:PATH`, the path relative or absolute.
    Sqlite(PathBuf),
    /// `memory:`, gone with the process.
    Memory,
}

/// Why a text does not say where a store is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No such kind of store.
    #[error("not the address of a byte store")]
    Unknown,
    /// `sqlite:` and nothing after it.
    #[error("the address of an SQLite store lacks the path of its file")]
    NoPath,
    /// A kind of store that this program was built without.
    #[error("this build has no support for etcd")]
    Etcd,
}

// === impl Url ===

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        if text == "memory:" {
            return Ok(Url::Memory);
        }
        if text.starts_with("etcd://") {
            return Err(UrlError::Etcd);
        }
        match text.strip_prefix("sqlite:") {
            None => Err(UrlError::Unknown),
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
        }
    }
}

// === impl UrlError ===

impl UrlError {
    /// What to write instead.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            UrlError::Unknown | UrlError::NoPath => {
                Some("write sqlite:PATH, or memory: for a store that is not kept")
            }
            UrlError::Etcd => Some("build with the feature `etcd`, or write sqlite:PATH"),
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
            ("etcd://a:2379/prefix", UrlError::Etcd),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
            assert!(error.hint().is_some());
        }
    }
}
