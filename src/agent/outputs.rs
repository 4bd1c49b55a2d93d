//! Secrets that are delivered as files: written whole, readable by this user alone, and only where memory is the medium. The
//! workload finds each by its path in `NAME_FILE`. Nothing is written to a disk that keeps it.
#![expect(clippy::disallowed_methods, reason = "writes and renames the files of secrets")]

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};

use super::account::Account;
use super::release::Release;
use crate::domain::id::TicketId;
use crate::domain::value::Delivery;

/// `RAMFS_MAGIC` of linux/magic.h; systemd mounts credentials there.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Why a file could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutputError {
    /// The folder is on a disk.
    #[error("{} is not in memory: secrets are not written to a disk", .0.display())]
    Disk(PathBuf),
    /// The system says no.
    #[error("the folder for secrets {}: {kind}", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
}

impl OutputError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some("name a writable folder on a tmpfs with files_dir, for example a unit's RuntimeDirectory")
    }
}

/// Writes the files of `release` below `folder`, in a folder of the ticket's own, since another ticket may have another value
/// of the same name. Gives the path of each entry that is a file, by its place in the receipt.
///
/// # Errors
/// The folder is on a disk, or the system says no. No file is half-written.
pub(crate) fn write(
    folder: &Path,
    ticket: TicketId,
    release: &Release,
) -> Result<BTreeMap<usize, PathBuf>, OutputError> {
    let mut paths = BTreeMap::new();
    let files = release.receipt.entries.iter().zip(&release.values).enumerate();
    for (index, (entry, value)) in files.filter(|(_, (entry, _))| entry.delivery == Delivery::File) {
        let own = folder.join(ticket.to_string());
        if paths.is_empty() {
            prepare(folder, &own)?;
        }
        let path = own.join(entry.env.as_str());
        replace(&path, value.expose()).map_err(|error| failed(folder, &error))?;
        paths.insert(index, path);
    }
    Ok(paths)
}

/// Gives the files to the user that the workload runs as, with the folders above them as far as it takes to reach them.
///
/// # Errors
/// The system says no.
pub(crate) fn give(
    files: &BTreeMap<usize, PathBuf>,
    folder: &Path,
    account: &Account,
) -> Result<(), OutputError> {
    let to = |path: &Path| {
        let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
        chown(path, Some(uid), Some(gid)).map_err(|error| failed(folder, &error))
    };
    for path in files.values() {
        to(path)?;
        path.parent().map_or(Ok(()), to)?;
    }
    if !files.is_empty() {
        // To pass, not to look around.
        let metadata = fs::metadata(folder).map_err(|error| failed(folder, &error))?;
        let mode = metadata.permissions().mode() & 0o7777;
        let passable = fs::Permissions::from_mode(mode | 0o011);
        if mode & 0o011 != 0o011 && metadata.uid() != account.uid.as_raw() {
            fs::set_permissions(folder, passable).map_err(|error| failed(folder, &error))?;
        }
    }
    Ok(())
}

fn prepare(folder: &Path, own: &Path) -> Result<(), OutputError> {
    DirBuilder::new().recursive(true).mode(0o700).create(own).map_err(|error| failed(folder, &error))?;
    if in_memory(own)? { Ok(()) } else { Err(OutputError::Disk(folder.to_owned())) }
}

/// Whether what is written in a folder stays in memory.
///
/// # Errors
/// The system says no.
pub(crate) fn in_memory(folder: &Path) -> Result<bool, OutputError> {
    let medium = statfs(folder).map_err(|errno| failed(folder, &errno.into()))?.filesystem_type();
    Ok(medium == TMPFS_MAGIC || medium == RAMFS_MAGIC)
}

/// No reader sees half a file, and none is there in a moment with a wrong mode.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh);
    let written = opened.and_then(|mut file| {
        file.write_all(bytes)?;
        fs::rename(&fresh, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

fn failed(folder: &Path, error: &io::Error) -> OutputError {
    OutputError::Io { folder: folder.to_owned(), kind: error.kind() }
}

#[cfg(test)]
mod tests {
    use super::super::release::Source;
    use super::super::release::tests::response;
    use super::*;

    fn release(value: &str) -> Release {
        let mut answer = response(&[("plain", "x"), ("tls-key", value)]);
        answer.receipt.entries[1].delivery = Delivery::File;
        answer.digest = answer.receipt.digest().to_string();
        Release::take(answer, Source::Store).unwrap()
    }

    #[test]
    fn a_file_is_written_in_memory_for_this_user_alone() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let ticket = TicketId::from_bytes([1; 16]);
        for value in ["first", "second"] {
            let paths = write(folder.path(), ticket, &release(value)).unwrap();
            assert_eq!(paths.keys().collect::<Vec<_>>(), [&1]);
            assert_eq!(fs::read_to_string(&paths[&1]).unwrap(), value);
            assert_eq!(fs::metadata(&paths[&1]).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_dir(paths[&1].parent().unwrap()).unwrap().count(), 1);
        }
    }

    #[test]
    fn without_files_no_folder_is_needed() {
        let ticket = TicketId::from_bytes([1; 16]);
        let plain = Release::take(response(&[("plain", "x")]), Source::Store).unwrap();
        assert_eq!(write(Path::new("/proc/nowhere"), ticket, &plain), Ok(BTreeMap::new()));
        let error = write(Path::new("/proc/nowhere"), ticket, &release("x")).unwrap_err();
        assert!(matches!(error, OutputError::Io { .. }), "{error}");
    }
}
