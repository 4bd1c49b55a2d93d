//! Why a data folder or a file in it cannot be used, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::FolderUse;

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock; its number is known if the lock file contains one.
    #[error("{} uses the data in {} (process {})", display_use(*purpose), path.display(), pid.as_deref().unwrap_or("unknown"))]
    InUse { path: PathBuf, pid: Option<String>, purpose: Option<FolderUse> },
    #[error("{} is incomplete: creating the store was interrupted", path.display())]
    Incomplete { path: PathBuf },
    #[error("{} is not empty", path.display())]
    NotEmpty { path: PathBuf },
    #[error("{} can be read by other users", path.display())]
    Exposed { path: PathBuf },
    #[error("{} belongs to the user {owner}, and this process runs as another one", path.display())]
    Owner { path: PathBuf, owner: u32 },
    #[error("{} is larger than 16 MiB", path.display())]
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
            Self::InUse { .. } => Some("stop it or wait for its end, or use another folder".to_owned()),
            Self::Incomplete { .. } => {
                Some("run dropsafe init again on the same folder, or delete the folder".to_owned())
            }
            Self::NotEmpty { .. } => Some("choose a folder that is empty or does not exist".to_owned()),
            Self::Owner { .. } => {
                Some("run the command as that user: runuser -u USER -- dropsafe …".to_owned())
            }
            Self::Exposed { path } => Some(format!("chmod 600 {}", path.display())),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("to create a store: dropsafe init --data DIR".to_owned())
            }
            Self::TooLarge { .. } | Self::NotText { .. } | Self::Io { .. } => None,
        }
    }
}

fn display_use(purpose: Option<FolderUse>) -> &'static str {
    match purpose {
        Some(FolderUse::Serve) | None => "another server",
        Some(FolderUse::Init) => "`dropsafe init`",
        Some(FolderUse::Restore) => "`dropsafe restore`",
        Some(FolderUse::Migrate) => "`dropsafe migrate`",
        Some(FolderUse::RotateTls) => "`dropsafe tls rotate`",
    }
}

/// Turns an error of the operating system into one that says what failed on which file.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io { doing, path: path.to_owned(), source }
}
