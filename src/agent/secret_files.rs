//! Secrets that are delivered as files. Each is written atomically, readable by one user, and only to a file system in memory: no
//! secret is written to a file on a disk. The workload finds the path in `NAME_FILE`.
//!
//! The folders belong to the agent's user. With `--user` that is root and not the workload's user: a folder's owner can put a symbolic
//! link where the next boot writes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::account::Account;
use super::folder::{FileAccess, Folder};
use super::verified_release::VerifiedRelease;
use crate::domain::value::Delivery;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretFileError {
    #[error("{} is not on a tmpfs: secrets are not written to a disk", .0.display())]
    Disk(PathBuf),
    #[error("other users can replace files in {}", .0.display())]
    Shared(PathBuf),
    #[error("cannot use the folder for secrets {}: {kind}", folder.display())]
    Io { folder: PathBuf, kind: io::ErrorKind },
    /// There is no tmpfs either.
    #[error("a secret that is a file cannot be put into a memfd: {0}")]
    Memfd(io::ErrorKind),
}

impl SecretFileError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Disk(_) | Self::Io { .. } => {
                "set files_dir to a writable folder on a tmpfs, for example a unit's RuntimeDirectory; `exec` needs no tmpfs where \
                 /proc is mounted"
            }
            Self::Memfd(_) => "mount a tmpfs at files_dir, or raise the limit of open files (ulimit -n)",
            Self::Shared(_) => {
                "use a folder below it that the agent creates, or make it writable for its owner alone; its owner must be root, the \
                 agent's user or the file's owner"
            }
        }
    }
}

/// Writes the files of `release` below `folder`, in the folder of an identity, for `account` if the workload runs as another user. Returns the path of each entry
/// that is a file, by its index in the receipt.
pub(crate) fn write_all(
    folder: &Path,
    identity: &str,
    release: &VerifiedRelease,
    account: Option<&Account>,
) -> Result<BTreeMap<usize, PathBuf>, SecretFileError> {
    let mut paths = BTreeMap::new();
    let entries = release.receipt.entries.iter().zip(&release.values).enumerate();
    let mut files = entries.filter(|(_, (entry, _))| entry.delivery == Delivery::File).peekable();
    if files.peek().is_none() {
        return Ok(paths);
    }
    // Another identity may have another value for the same name, so each has a folder.
    let path = folder.join(identity);
    let failed = |error: io::Error| failed(folder, &error);
    let own = open_own(folder, &path, account)?;
    let access = FileAccess {
        uid: account.map(|account| account.uid.as_raw()),
        gid: account.map(|account| account.gid.as_raw()),
        ..FileAccess::OWNER
    };
    for (index, (entry, value)) in files {
        own.replace(entry.env.as_str().as_ref(), value.expose(), access, false).map_err(failed)?;
        paths.insert(index, path.join(entry.env.as_str()));
    }
    Ok(paths)
}

/// Opens the identity's folder at `path`, in `folder`, and lets `account` pass through both.
fn open_own(folder: &Path, path: &Path, account: Option<&Account>) -> Result<Folder, SecretFileError> {
    let failed = |error: io::Error| failed(folder, &error);
    let above = Folder::create(folder, 0o700).map_err(failed)?;
    let own = above.subfolder(path.file_name().unwrap_or_default(), 0o700).map_err(failed)?;
    require_safe(&own, path, false, None)?;
    if let Some(account) = account {
        // x without r: others may pass through, and cannot list the names of other identities' folders.
        let (mode, _) = above.mode_and_gid().map_err(failed)?;
        if mode & 0o011 != 0o011 {
            above.set_mode(mode | 0o011).map_err(failed)?;
        }
        own.set_group(account.gid.as_raw()).and_then(|()| own.set_mode(0o710)).map_err(failed)?;
    }
    Ok(own)
}

/// Checks whether files can be written below `folder`, which need not exist yet. Writes nothing.
pub(crate) fn check_place(folder: &Path, allow_disk: bool) -> Result<(), SecretFileError> {
    // A boot creates what is missing, on the file system of the nearest folder that exists.
    let nearest = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    access(nearest, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| failed(folder, &errno.into()))?;
    let in_memory = Folder::open(nearest).and_then(|nearest| nearest.in_memory());
    if allow_disk || in_memory.map_err(|error| failed(folder, &error))? {
        return Ok(());
    }
    Err(SecretFileError::Disk(folder.to_owned()))
}

/// Checks the same, and as [`check_protected`].
pub(crate) fn check_folder(
    folder: &Path,
    allow_disk: bool,
    owner: Option<u32>,
) -> Result<(), SecretFileError> {
    check_place(folder, allow_disk)?;
    check_protected(folder, owner)
}

/// Checks that other users than `owner` cannot replace files in `folder` if it exists.
pub(crate) fn check_protected(folder: &Path, owner: Option<u32>) -> Result<(), SecretFileError> {
    match Folder::open(folder).and_then(|open| open.is_protected(owner)) {
        Ok(false) => Err(SecretFileError::Shared(folder.to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(folder, &error)),
        _ => Ok(()),
    }
}

/// Requires that secrets of `owner` may be written to an open folder.
pub(crate) fn require_safe(
    folder: &Folder,
    path: &Path,
    allow_disk: bool,
    owner: Option<u32>,
) -> Result<(), SecretFileError> {
    let failed = |error: io::Error| failed(path, &error);
    if !allow_disk && !folder.in_memory().map_err(failed)? {
        return Err(SecretFileError::Disk(path.to_owned()));
    }
    if folder.is_protected(owner).map_err(failed)? {
        return Ok(());
    }
    Err(SecretFileError::Shared(path.to_owned()))
}

pub(crate) fn failed(folder: &Path, error: &io::Error) -> SecretFileError {
    SecretFileError::Io { folder: folder.to_owned(), kind: error.kind() }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test reads what was written")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::verified_release::ReleaseSource;
    use super::super::verified_release::tests::response;
    use super::*;

    fn release(value: &str) -> VerifiedRelease {
        let mut answer = response(&[("plain", "x"), ("tls-key", value)]);
        answer.receipt.entries[1].delivery = Delivery::File;
        answer.digest = answer.receipt.digest();
        VerifiedRelease::verify(answer, ReleaseSource::Store).unwrap()
    }

    #[test]
    fn a_file_is_written_in_memory_for_this_user_alone() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let ticket = "tkt_x";
        for value in ["first", "second"] {
            let paths = write_all(folder.path(), ticket, &release(value), None).unwrap();
            assert_eq!(paths.keys().collect::<Vec<_>>(), [&1]);
            assert_eq!(fs::read_to_string(&paths[&1]).unwrap(), value);
            assert_eq!(fs::metadata(&paths[&1]).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_dir(paths[&1].parent().unwrap()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_place_is_checked_without_a_trace() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let place = folder.path().join("not/there");
        assert_eq!(check_folder(&place, false, None), Ok(()));
        assert_eq!(check_place(&place, false), Ok(()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // procfs accepts no file, and is no tmpfs.
        assert!(check_place(Path::new("/proc/sys/nowhere"), false).is_err());
        let disk = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        if !Folder::open(&disk).unwrap().in_memory().unwrap() {
            assert_eq!(check_place(&disk, false), Err(SecretFileError::Disk(disk.clone())));
            assert_eq!(check_place(&disk, true), Ok(()));
        }
    }

    #[test]
    fn without_files_no_folder_is_needed() {
        let ticket = "tkt_x";
        let plain = VerifiedRelease::verify(response(&[("plain", "x")]), ReleaseSource::Store).unwrap();
        assert_eq!(write_all(Path::new("/proc/nowhere"), ticket, &plain, None), Ok(BTreeMap::new()));
        let error = write_all(Path::new("/proc/nowhere"), ticket, &release("x"), None).unwrap_err();
        assert!(matches!(error, SecretFileError::Io { .. }), "{error}");
    }
}
