//! Deletes the file that the ticket came from, if the configuration says so. It is kept until the workload runs, so that a failed boot can be
//! retried. With a supervisor, the supervisor deletes it. Otherwise the agent does so as the last step before execve(2), and restores it if
//! the kernel refuses.
//!
//! The folder is opened once, before a use of the ticket is spent. Only a regular file in it is deleted, so that nobody who can change
//! names there can choose what this process deletes elsewhere, or where it writes a ticket.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::{io, path};

use nix::errno::Errno;
use tracing::warn;

use super::folder::{FileAccess, FileId, Folder};
use super::supervisor_pipe;
use super::supervisor_pipe::{PipeEnds, SupervisorPipe};
use crate::domain::ticket::BootTicket;

/// The longest message: two numbers, a path and [`NOT_STARTED`].
const MAX_MESSAGE: usize = 8 << 10;
/// Follows the path if the workload was not started. No path has this byte.
const NOT_STARTED: u8 = 0;

/// In the process that becomes the workload: how it tells the supervisor about the file.
static TO_SUPERVISOR: SupervisorPipe = SupervisorPipe::new();

/// A ticket file that is to be deleted, in its open folder.
#[derive(Debug)]
pub(crate) struct TicketFile {
    path: PathBuf,
    folder: Folder,
    name: OsString,
    id: FileId,
    access: FileAccess,
}

/// The ticket file is to be deleted, and that is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot delete the ticket file {}: {}", path.display(), reason(*errno))]
pub(crate) struct TicketFileError {
    path: PathBuf,
    errno: Errno,
}

fn reason(errno: Errno) -> &'static str {
    match errno {
        Errno::ELOOP => "it, or a folder above it, is a symbolic link that is not followed",
        Errno::EINVAL => "it is not a regular file",
        errno => errno.desc(),
    }
}

impl TicketFileError {
    fn new(path: &Path, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw);
        Self { path: path.to_owned(), errno }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self.errno {
            Errno::ELOOP | Errno::EINVAL => "name the file itself, or remove delete_ticket_file",
            _ => "make its folder writable, or remove delete_ticket_file",
        }
    }
}

impl TicketFile {
    /// Opens the folder of the file, and checks that the file can be deleted.
    pub(crate) fn open(path: &Path) -> Result<Self, TicketFileError> {
        let failed = |error| TicketFileError::new(path, &error);
        let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = Folder::open(parent.unwrap_or(Path::new("."))).map_err(failed)?;
        let name = path.file_name().unwrap_or_default().to_owned();
        // Deleting needs write permission on the folder. The file's mode does not matter.
        folder.require_writable().map_err(failed)?;
        let (id, access) = folder.regular_file(&name).map_err(failed)?;
        Ok(Self { path: path.to_owned(), folder, name, id, access })
    }

    /// Deletes the file before the workload starts, or leaves it to the supervisor.
    pub(crate) fn remove(&self) -> Result<(), TicketFileError> {
        if TO_SUPERVISOR.is_open() {
            // Absolute, since the supervisor runs in another folder.
            let path = path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
            let FileId { device, inode } = self.id;
            let mut message = format!("{device} {inode} ").into_bytes();
            message.extend_from_slice(path.as_os_str().as_bytes());
            if TO_SUPERVISOR.send(&message).is_ok() {
                return Ok(());
            }
        }
        self.delete()
    }

    /// Deletes the file now.
    pub(crate) fn delete(&self) -> Result<(), TicketFileError> {
        match self.folder.remove(&self.name, self.id) {
            // Another boot of this machine may have deleted it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(TicketFileError::new(&self.path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Keeps the file of a workload that was not started, or writes it again, so that the boot can be tried again. Says so if that is not
    /// possible.
    pub(crate) fn keep(&self, ticket: &BootTicket) {
        if TO_SUPERVISOR.is_open() && TO_SUPERVISOR.send(&[NOT_STARTED]).is_ok() {
            return;
        }
        let written = self.folder.replace(&self.name, ticket.to_text().as_bytes(), self.access, true);
        if let Err(error) = written {
            warn!(
                "the ticket file {} was deleted and cannot be written again ({}), and a use of the ticket is spent: put a ticket there \
                 before the next start",
                self.path.display(),
                error.kind()
            );
        }
    }
}

/// The pipe through which the supervisor learns which file to delete. Made before the fork.
#[derive(Debug)]
pub(crate) struct TicketFilePipe(PipeEnds);

/// The supervisor's side: the workload has not been started yet.
#[derive(Debug)]
pub(crate) struct PendingDeletion(io::PipeReader);

impl TicketFilePipe {
    /// Returns `None` if the kernel is out of descriptors. Then the agent deletes the file itself.
    pub(crate) fn new() -> Option<Self> {
        PipeEnds::new().map(Self)
    }

    /// In the process that becomes the workload.
    pub(crate) fn become_writer(self) {
        self.0.become_writer(&TO_SUPERVISOR);
    }

    /// In the supervisor. The caller must not close the descriptor before the workload runs.
    pub(crate) fn become_reader(self) -> PendingDeletion {
        PendingDeletion(self.0.become_reader())
    }
}

impl AsFd for PendingDeletion {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for PendingDeletion {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl PendingDeletion {
    /// Deletes the file now that the workload runs. A supervisor prints nothing, and a file that has become another one stays.
    pub(crate) fn workload_runs(self) {
        let message = supervisor_pipe::read_now(self.0, MAX_MESSAGE);
        if let Some((id, path)) = parse(&message)
            && let Ok(file) = TicketFile::open(&path)
            && file.id == id
        {
            let _ = file.delete();
        }
    }
}

fn parse(message: &[u8]) -> Option<(FileId, PathBuf)> {
    if message.last() == Some(&NOT_STARTED) {
        return None;
    }
    let mut parts = message.splitn(3, |byte| *byte == b' ');
    let mut number = || str::from_utf8(parts.next()?).ok()?.parse().ok();
    let id = FileId { device: number()?, inode: number()? };
    Some((id, OsString::from_vec(parts.next()?.to_vec()).into()))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make the files")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_the_file_that_was_opened_is_deleted() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a ticket");
        fs::write(&path, "one").unwrap();
        let file = TicketFile::open(&path).unwrap();
        // Another one in its place, while the first is still there so that its number is taken.
        fs::rename(&path, place.path().join("moved")).unwrap();
        fs::write(&path, "another").unwrap();
        file.delete().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"another");

        let file = TicketFile::open(&path).unwrap();
        file.delete().unwrap();
        assert!(!path.exists());
        file.delete().unwrap();
    }

    #[test]
    fn what_is_no_file_is_refused_before_a_use_is_spent() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("ticket");
        let error = |path: &Path| TicketFile::open(path).unwrap_err().to_string();
        assert!(error(&path).ends_with(Errno::ENOENT.desc()));
        symlink("/etc/passwd", &path).unwrap();
        assert!(error(&path).ends_with("is a symbolic link that is not followed"), "{}", error(&path));
        assert!(error(place.path()).ends_with("it is not a regular file"), "{}", error(place.path()));
    }

    #[test]
    fn a_message_names_one_file_of_a_workload_that_runs() {
        let id = FileId { device: 3, inode: 4 };
        assert_eq!(parse(b"3 4 /a b"), Some((id, "/a b".into())));
        for message in [&b""[..], b"3 4 /a b\0", b"3 4", b"x 4 /a"] {
            assert_eq!(parse(message), None, "{message:?}");
        }
    }
}
