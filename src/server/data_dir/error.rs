//! Why a data folder or a file in it cannot be used, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock; its number is known if the lock file contains one.
    #[error("another server uses the data in {} (process {})", path.display(), pid.as_deref().unwrap_or("unknown"))]
    InUse { path: PathBuf, pid: Option<String> },
    #[error("{} is incomplete: creating the store was interrupted", path.display())]
    Incomplete { path: PathBuf },
    #[error("{} is not empty", path.display())]
    NotEmpty { path: PathBuf },
    #[error("{} can be read by other users", path.display())]
    Exposed { path: PathBuf },
    #[error("{} is larger than 1 MiB", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} is not valid UTF-8", path.display())]
    NotText { path: PathBuf },
    /// The operating system refused, for example `opening`.
    #[error("{doing} {}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl DataDirError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => Some("stop it first, or use another folder".to_owned()),
            Self::Incomplete { .. } => Some("run dropsafe init again on the same folder".to_owned()),
            Self::NotEmpty { .. } => Some("choose a folder that is empty or does not exist".to_owned()),
            Self::Exposed { path } => Some(format!("chmod 600 {}", path.display())),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("to create a store: dropsafe init --data DIR".to_owned())
            }
            Self::TooLarge { .. } | Self::NotText { .. } | Self::Io { .. } => None,
        }
    }
}

/// Turns an error of the operating system into one that says what failed on which file.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io { doing, path: path.to_owned(), source }
}
