//! The ticket file, which is deleted once the secrets have arrived, if the configuration says so. A card is not secret, and its file
//! stays.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::stat;
use nix::unistd::{AccessFlags, access, unlink};
use tracing::warn;

use super::folder::{FileAccess, Folder};
use crate::domain::ticket::BootTicket;

/// The ticket file, if it is to be deleted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TicketFileDeletion<'a>(pub(crate) Option<&'a Path>);

/// The ticket file is to be deleted, and that is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot delete the ticket file {}: {}", path.display(), errno.desc())]
pub(crate) struct TicketFileError {
    path: PathBuf,
    errno: Errno,
}

impl TicketFileError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        "make its folder writable, or remove delete_ticket_file"
    }
}

impl TicketFileDeletion<'_> {
    /// Checks, before a use of the ticket is spent, that the file can be deleted.
    pub(crate) fn check(self) -> Result<(), TicketFileError> {
        // Deleting needs write permission on the folder. The file's mode does not matter.
        self.with(|file| access(parent(file), AccessFlags::W_OK))
    }

    /// Deletes the file, as the last step before the workload starts. Returns who could read it.
    pub(crate) fn delete(self) -> Result<Option<FileAccess>, TicketFileError> {
        let mut access = None;
        self.with(|file| {
            // Another boot of this machine may have deleted it. Then there is nothing to delete or to restore.
            let stat = match stat(file) {
                Err(Errno::ENOENT) => return Ok(()),
                result => result?,
            };
            access = Some(FileAccess {
                mode: stat.st_mode & 0o7777,
                uid: Some(stat.st_uid),
                gid: Some(stat.st_gid),
            });
            match unlink(file) {
                Err(Errno::ENOENT) => Ok(()),
                result => result,
            }
        })?;
        Ok(access)
    }

    /// Writes the file again after a workload that did not start, so that the boot can be tried again. Says so if that is not possible.
    pub(crate) fn restore(self, ticket: Option<&BootTicket>, access: Option<FileAccess>) {
        let (Some(path), Some(access), Some(ticket)) = (self.0, access, ticket) else { return };
        let (folder, name) = (parent(path), path.file_name().unwrap_or_default());
        let text = ticket.to_text();
        let written =
            Folder::open(folder).and_then(|folder| folder.replace(name, text.as_bytes(), access, true));
        if let Err(error) = written {
            warn!(
                "the ticket file {} was deleted and cannot be written again ({}), and a use of the ticket is spent: put a ticket there \
                 before the next start",
                path.display(),
                error.kind()
            );
        }
    }

    fn with(self, act: impl FnOnce(&Path) -> Result<(), Errno>) -> Result<(), TicketFileError> {
        let Some(path) = self.0 else { return Ok(()) };
        act(path).map_err(|errno| TicketFileError { path: path.to_owned(), errno })
    }
}

fn parent(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
