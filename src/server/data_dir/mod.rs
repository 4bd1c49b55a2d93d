//! The data folder of a store: where its files are, who can read them, and that only one server uses it at a time.
//!
//! ```text
//! DIR/record.key    the record key: without it the byte store is noise
//! DIR/store.db      the byte store, unless it is elsewhere
//! DIR/tls/          ca.pem ca.key cert.pem key.pem
//! DIR/server.yaml   the configuration
//! DIR/lock          locked by the server that runs
//! DIR/incomplete    exists while `init` works: everything beside it is worthless
//! ```
//! Every file is private to its owner. No file is ever half written: each is written in full, synced and renamed.
#![expect(clippy::disallowed_methods, reason = "the files of a store are opened, written and removed here")]

mod error;
mod files;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

pub use error::DataDirError;
use error::failed;
pub(crate) use files::{is_exposed, read, read_private, remove_stale_socket, restrict_new_files, set_mode};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::kv;

pub(crate) const RECORD_KEY: &str = "record.key";
/// The byte store, if it is a file in the data folder.
pub(crate) const STORE: &str = "store.db";
/// The configuration.
pub(crate) const CONFIG: &str = "server.yaml";
/// The folder with the certificates and their keys.
pub(crate) const TLS: &str = "tls";
/// The Unix socket.
pub(crate) const SOCKET: &str = "dropsafe.sock";
const LOCK: &str = "lock";
const INCOMPLETE: &str = "incomplete";

/// A data folder, locked as long as this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataDir {
    /// Opens the folder of a complete store.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        // First: locking would create the lock file, and fail on a missing folder with a misleading error.
        fs::read_dir(path).map_err(failed("opening", path))?;
        let data = Self::lock(path)?;
        if path.join(INCOMPLETE).exists() {
            return Err(DataDirError::Incomplete { path: path.to_owned() });
        }
        Ok(data)
    }

    /// Prepares a folder for a new store, and creates it if it is missing. It must be empty but for the files of `kept`, or
    /// contain what an interrupted `init` left, which is removed.
    pub(crate) fn create(path: &Path, kept: &[&str]) -> Result<Self, DataDirError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("creating", path))?;
        let unfinished = path.join(INCOMPLETE).exists();
        // Before the lock, which would leave a file in a folder that belongs to something else.
        if !unfinished && !entries(path)?.iter().all(|name| name == LOCK || kept.contains(&name.as_str())) {
            return Err(DataDirError::NotEmpty { path: path.to_owned() });
        }
        let data = Self::lock(path)?;
        if unfinished {
            data.remove_created(kept)?;
        }
        data.write(INCOMPLETE, b"", 0o600)?;
        Ok(data)
    }

    /// Marks the store as complete: from now on it can be served.
    pub(crate) fn mark_complete(&self) -> Result<(), DataDirError> {
        let marker = self.path.join(INCOMPLETE);
        // Every other file is durable before the marker goes, and its removal before anybody is told of the store.
        sync(&self.path)?;
        fs::remove_file(&marker).map_err(failed("removing", &marker))?;
        sync(&self.path)
    }

    /// Removes what was created here, except `kept`.
    pub(crate) fn abandon(self, kept: &[&str]) {
        // Errors are dropped: the caller reports why it gave up, and the marker keeps the rest from being served.
        let _ = self.remove_created(kept);
        let _ = fs::remove_file(self.path.join(INCOMPLETE));
        let _ = fs::remove_file(self.path.join(LOCK));
        // Fails unless it is empty, and so removes nothing that is not ours.
        let _ = fs::remove_dir(&self.path);
    }

    /// Resolves the address of the byte store; `None` is the file in the folder.
    pub(crate) fn store_url(&self, configured: Option<kv::Url>) -> kv::Url {
        configured.unwrap_or_else(|| kv::Url::Sqlite(STORE.into())).in_folder(&self.path)
    }

    /// The path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a whole file. Nobody ever sees half of it, or a wider mode.
    pub(crate) fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), DataDirError> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent().filter(|parent| *parent != self.path) {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(failed("creating", parent))?;
        }
        let temporary = path.with_extension("new");
        let write = || {
            // An earlier attempt may have left this file: it is cut, not refused.
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(failed("writing", &path))?;
        sync(path.parent().unwrap_or(&self.path))
    }

    fn lock(path: &Path) -> Result<Self, DataDirError> {
        let file = path.join(LOCK);
        // Not cut on opening: until the lock is ours, the number in it is another server's.
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&file);
        let opened = opened.map_err(failed("opening", &file))?;
        // The kernel releases this lock with the process, however it ends; a file with a number alone would become stale.
        let mut lock = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut held, Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let _ = io::Read::take(&mut held, 16).read_to_string(&mut pid);
                // Anybody who can write to the folder chose this text, and it is printed.
                let pid = Some(pid.trim().to_owned())
                    .filter(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()));
                return Err(DataDirError::InUse { path: path.to_owned(), pid });
            }
            Err((_, errno)) => return Err(failed("locking", &file)(errno.into())),
        };
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(failed("writing", &file))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn remove_created(&self, kept: &[&str]) -> Result<(), DataDirError> {
        // By name and not everything: a mistyped folder must not lose what `init` did not create.
        let store = [STORE, "store.db-wal", "store.db-shm", "store.db-journal"];
        for name in [RECORD_KEY, CONFIG, SOCKET].iter().chain(&store).filter(|name| !kept.contains(*name)) {
            let path = self.path.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("removing", &path)(error));
                }
                _ => {}
            }
        }
        if kept.contains(&TLS) {
            return Ok(());
        }
        let tls = self.path.join(TLS);
        match fs::remove_dir_all(&tls) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", &tls)(error)),
            _ => Ok(()),
        }
    }
}

fn entries(path: &Path) -> Result<Vec<String>, DataDirError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed("reading", path))? {
        names.push(entry.map_err(failed("reading", path))?.file_name().to_string_lossy().into_owned());
    }
    // The root of an ext4 file system contains this folder from the start (mke2fs(8)).
    names.retain(|name| name != "lost+found");
    Ok(names)
}

fn sync(folder: &Path) -> Result<(), DataDirError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing", folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_folder_is_complete_only_once_it_is_marked() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/store");
        let data = DataDir::create(&path, &[]).unwrap();
        data.write("tls/key.pem", b"key", 0o600).unwrap();
        drop(data);
        assert!(matches!(DataDir::open(&path), Err(DataDirError::Incomplete { .. })));

        let data = DataDir::create(&path, &[]).unwrap();
        assert!(!path.join("tls").exists(), "what was left is removed");
        data.write(RECORD_KEY, b"key", 0o600).unwrap();
        data.mark_complete().unwrap();
        drop(data);
        assert_eq!(&**read_private(&path.join(RECORD_KEY)).unwrap(), "key");
        DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::create(&path, &[]), Err(DataDirError::NotEmpty { .. })));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn one_at_a_time_and_the_other_is_named() {
        let root = tempfile::tempdir().unwrap();
        let held = DataDir::create(root.path(), &[]).unwrap();
        held.mark_complete().unwrap();
        let error = DataDir::open(root.path()).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(held);
        DataDir::open(root.path()).unwrap();
    }

    #[test]
    fn a_failed_init_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let data = DataDir::create(&path, &[]).unwrap();
        data.write(RECORD_KEY, b"key", 0o600).unwrap();
        data.write("tls/ca.key", b"key", 0o600).unwrap();
        data.abandon(&[]);
        assert!(!path.exists());
    }
    #[test]
    fn giving_up_keeps_what_was_there_before() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(TLS)).unwrap();
        fs::write(root.path().join("tls/key.pem"), b"key").unwrap();
        let data = DataDir::create(root.path(), &[TLS]).unwrap();
        data.write(RECORD_KEY, b"key", 0o600).unwrap();
        data.abandon(&[TLS]);
        assert_eq!(fs::read(root.path().join("tls/key.pem")).unwrap(), b"key");
        assert!(!root.path().join(RECORD_KEY).exists());
    }
}
