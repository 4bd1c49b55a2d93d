//! Secrets that are delivered as files. Each is written atomically, readable by one user, and only to a file system in memory: no
//! secret reaches a persistent disk. The workload finds the path in `NAME_FILE`.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};

use super::account::Account;
use super::atomic_file;
use super::verified_release::VerifiedRelease;
use crate::domain::id::TicketId;
use crate::domain::value::Delivery;

/// `RAMFS_MAGIC` of linux/magic.h. systemd mounts credentials on ramfs where tmpfs has no `noswap`.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretFileError {
    #[error("{} is not on a tmpfs: secrets are not written to a disk", .0.display())]
    Disk(PathBuf),
    #[error("the folder for secrets {}: {kind}", folder.display())]
    Io { folder: PathBuf, kind: io::ErrorKind },
}

impl SecretFileError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        "set files_dir to a writable folder on a tmpfs, for example a unit's RuntimeDirectory"
    }
}

/// Writes the files of `release` below `folder`. Returns the path of each entry that is a file, by its index in the receipt.
pub(crate) fn write_all(
    folder: &Path,
    ticket: TicketId,
    release: &VerifiedRelease,
) -> Result<BTreeMap<usize, PathBuf>, SecretFileError> {
    let mut paths = BTreeMap::new();
    let files = release.receipt.entries.iter().zip(&release.values).enumerate();
    for (index, (entry, value)) in files.filter(|(_, (entry, _))| entry.delivery == Delivery::File) {
        // Another ticket may have another value for the same name, so each ticket has a folder.
        let own = folder.join(ticket.to_string());
        if paths.is_empty() {
            create_folder(folder, &own)?;
        }
        let path = own.join(entry.env.as_str());
        atomic_file::replace(&path, value.expose(), false).map_err(|error| failed(folder, &error))?;
        paths.insert(index, path);
    }
    Ok(paths)
}

/// Makes the workload's user the owner of the files, and lets that user reach them.
pub(crate) fn change_owner(
    files: &BTreeMap<usize, PathBuf>,
    folder: &Path,
    account: &Account,
) -> Result<(), SecretFileError> {
    let give = |path: &Path| {
        let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
        chown(path, Some(uid), Some(gid)).map_err(|error| failed(folder, &error))
    };
    for path in files.values() {
        give(path)?;
        path.parent().map_or(Ok(()), give)?;
    }
    if !files.is_empty() {
        // x without r: others may pass through, and cannot list the names of other tickets' folders.
        let metadata = fs::metadata(folder).map_err(|error| failed(folder, &error))?;
        let mode = metadata.permissions().mode() & 0o7777;
        let passable = fs::Permissions::from_mode(mode | 0o011);
        if mode & 0o011 != 0o011 && metadata.uid() != account.uid.as_raw() {
            fs::set_permissions(folder, passable).map_err(|error| failed(folder, &error))?;
        }
    }
    Ok(())
}

fn create_folder(folder: &Path, own: &Path) -> Result<(), SecretFileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(own).map_err(|error| failed(folder, &error))?;
    if in_memory(own)? { Ok(()) } else { Err(SecretFileError::Disk(folder.to_owned())) }
}

/// Whether files in the folder are kept in memory.
pub(crate) fn in_memory(folder: &Path) -> Result<bool, SecretFileError> {
    // Unlike ramfs, tmpfs can be swapped out. The units forbid that for what they write (MemorySwapMax=0); elsewhere it is the
    // machine's decision.
    let medium = statfs(folder).map_err(|errno| failed(folder, &errno.into()))?.filesystem_type();
    Ok(medium == TMPFS_MAGIC || medium == RAMFS_MAGIC)
}

fn failed(folder: &Path, error: &io::Error) -> SecretFileError {
    SecretFileError::Io { folder: folder.to_owned(), kind: error.kind() }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test reads what was written")]
mod tests {
    use super::super::verified_release::ReleaseSource;
    use super::super::verified_release::tests::response;
    use super::*;

    fn release(value: &str) -> VerifiedRelease {
        let mut answer = response(&[("plain", "x"), ("tls-key", value)]);
        answer.receipt.entries[1].delivery = Delivery::File;
        answer.digest = answer.receipt.digest().to_string();
        VerifiedRelease::verify(answer, ReleaseSource::Store).unwrap()
    }

    #[test]
    fn a_file_is_written_in_memory_for_this_user_alone() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let ticket = TicketId::from_bytes([1; 16]);
        for value in ["first", "second"] {
            let paths = write_all(folder.path(), ticket, &release(value)).unwrap();
            assert_eq!(paths.keys().collect::<Vec<_>>(), [&1]);
            assert_eq!(fs::read_to_string(&paths[&1]).unwrap(), value);
            assert_eq!(fs::metadata(&paths[&1]).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_dir(paths[&1].parent().unwrap()).unwrap().count(), 1);
        }
    }

    #[test]
    fn without_files_no_folder_is_needed() {
        let ticket = TicketId::from_bytes([1; 16]);
        let plain = VerifiedRelease::verify(response(&[("plain", "x")]), ReleaseSource::Store).unwrap();
        assert_eq!(write_all(Path::new("/proc/nowhere"), ticket, &plain), Ok(BTreeMap::new()));
        let error = write_all(Path::new("/proc/nowhere"), ticket, &release("x")).unwrap_err();
        assert!(matches!(error, SecretFileError::Io { .. }), "{error}");
    }
}
