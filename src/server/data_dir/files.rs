//! Single files of a store: read with bounds and into memory that is wiped, with a check of who else can read them.
#![expect(clippy::disallowed_methods, reason = "the files of a store are read here")]

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::{fs, io};

use nix::fcntl::{Flock, FlockArg};
use zeroize::Zeroizing;

use super::error::{DataDirError, failed};

/// The largest file that is read here: `log-heads` after more than 100,000 starts of servers.
const MAX_FILE: u64 = 16 << 20;

/// Reads a key or a passphrase, which only its owner and group may read.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, DataDirError> {
    if is_exposed(path)? {
        return Err(DataDirError::Exposed { path: path.to_owned() });
    }
    read(path)
}

/// Whether users other than a file's owner and group have access to it.
pub(crate) fn is_exposed(path: &Path) -> Result<bool, DataDirError> {
    let mode = fs::metadata(path).map_err(failed("opening", path))?.permissions().mode();
    // A group is allowed: it is how a key is shared with the one service that needs it.
    Ok(mode & 0o007 != 0)
}

/// Reads a text file of at most 16 MiB into memory that is wiped.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, DataDirError> {
    let mut file = File::open(path).map_err(failed("opening", path))?;
    let size = file.metadata().map_err(failed("reading", path))?.len();
    if size > MAX_FILE {
        return Err(DataDirError::TooLarge { path: path.to_owned() });
    }
    // Reserved in full, with room to notice the end: a buffer that grows leaves a copy behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 64));
    // Bounded again: the file may grow between the two calls.
    io::Read::take(&mut file, MAX_FILE).read_to_end(&mut bytes).map_err(failed("reading", path))?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            // The error owns the bytes now, and they may be a key in another encoding.
            drop(Zeroizing::new(error.into_bytes()));
            Err(DataDirError::NotText { path: path.to_owned() })
        }
    }
}

/// Writes a file atomically: no reader sees a part of it, or a wider mode.
pub(crate) fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<(), DataDirError> {
    let temporary = path.with_extension("new");
    let write = || {
        // An earlier attempt may have left this file, with another mode, and in a folder that other users can write to it may be a link.
        ignore_missing(fs::remove_file(&temporary))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(failed("writing", path))?;
    replace(&temporary, path)
}

/// Treats a file that is missing as removed.
pub(crate) fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Renames a file durably, over another one if there is one.
pub(crate) fn replace(from: &Path, to: &Path) -> Result<(), DataDirError> {
    fs::rename(from, to).map_err(failed("writing", to))?;
    sync(to.parent().unwrap_or(to))
}

/// Makes the names in a folder durable.
pub(crate) fn sync(folder: &Path) -> Result<(), DataDirError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing", folder))
}

/// A folder that no other process locks as long as this value lives.
pub(crate) type FolderLock = Flock<File>;

/// Waits for the lock of a folder.
pub(crate) fn lock_folder(path: &Path) -> Result<FolderLock, DataDirError> {
    let folder = File::open(path).map_err(failed("opening", path))?;
    Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, errno)| failed("locking", path)(errno.into()))
}

/// Fails unless this process runs as the owner of the folder: the server could not read what another user creates in it.
pub(crate) fn check_owner(path: &Path) -> Result<(), DataDirError> {
    let owner = fs::metadata(path).map_err(failed("opening", path))?.uid();
    if owner == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    Err(DataDirError::Owner { path: path.to_owned(), owner })
}

/// Removes the socket of a server that was killed. The caller holds the folder's lock, so no other server uses it.
pub(crate) fn remove_stale_socket(path: &Path) -> Result<(), DataDirError> {
    ignore_missing(fs::remove_file(path)).map_err(failed("removing", path))
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), DataDirError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("changing the mode of", path))
}

/// Makes new files of this process private to their owner, whatever the caller's umask was.
pub(crate) fn restrict_new_files() {
    // SQLite creates its files itself; there is no other way to give them a mode.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        fs::write(&path, "canary").unwrap();
        set_mode(&path, 0o644).unwrap();
        assert!(matches!(read_private(&path), Err(DataDirError::Exposed { .. })));
        set_mode(&path, 0o640).unwrap();
        read_private(&path).unwrap();
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(read(&path), Err(DataDirError::NotText { .. })));
    }
}
