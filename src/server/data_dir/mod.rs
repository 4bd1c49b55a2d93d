//! The data folder of a store: where its files are, who can read them, and that only one server uses it at a time.
//!
//! ```text
//! DIR/record.key    the record key: without it the byte store is noise
//! DIR/store.db      the byte store, unless it is elsewhere
//! DIR/tls/          ca.pem cert.pem key.pem next.pem rotated (see `tls_keys`)
//! DIR/server.yaml   the configuration
//! DIR/log-heads     the heads of the audit log that this server has seen
//! DIR/lock          locked by the process that works on the folder, with its number and what it does
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

pub(crate) use error::DataDirError;
use error::failed;
pub(crate) use files::{
    FolderLock, check_owner, is_exposed, lock_folder, read, read_private, remove_stale_socket, replace,
    restrict_new_files, set_mode, write_atomically,
};
use files::{ignore_missing, sync};
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
/// The heads of the audit log that this server has seen.
pub(crate) const LOG_HEADS: &str = "log-heads";
const LOCK: &str = "lock";
const INCOMPLETE: &str = "incomplete";
/// The files of a byte store in the folder.
const STORE_FILES: [&str; 4] = [STORE, "store.db-wal", "store.db-shm", "store.db-journal"];
/// `tls` until it is complete.
pub(crate) const NEW_TLS: &str = "tls.new";

/// What a process does with a data folder, which it writes into the lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderUse {
    Serve,
    Init,
    Restore,
    Migrate,
    RotateTls,
}

impl FolderUse {
    const ALL: [Self; 5] = [Self::Serve, Self::Init, Self::Restore, Self::Migrate, Self::RotateTls];

    /// The command.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Init => "init",
            Self::Restore => "restore",
            Self::Migrate => "migrate",
            Self::RotateTls => "tls rotate",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|this| this.name() == name)
    }
}

/// A data folder, locked as long as this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataDir {
    /// Opens the folder of a complete store.
    pub(crate) fn open(path: &Path, purpose: FolderUse) -> Result<Self, DataDirError> {
        // First: locking would create the lock file, and fail on a missing folder with a misleading error.
        fs::read_dir(path).map_err(failed("opening", path))?;
        let data = Self::lock(path, purpose)?;
        data.check_complete()?;
        Ok(data)
    }

    /// Opens the folder in which a store is restored, and creates it if it is missing. It contains nothing but files of a store, which
    /// stay as they are. Returns the names of those that `restore` could create.
    pub(crate) fn open_for_restore(path: &Path) -> Result<(Self, Vec<String>), DataDirError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("creating", path))?;
        let created = || [RECORD_KEY, CONFIG, TLS].iter().chain(&STORE_FILES);
        let is_ours = |name: &String| {
            [LOCK, LOG_HEADS, SOCKET, INCOMPLETE, NEW_TLS].iter().chain(created()).any(|ours| ours == name)
        };
        // Before the lock, which would leave a file in a folder that belongs to something else.
        let mut names = entries(path)?;
        if !names.iter().all(is_ours) {
            return Err(DataDirError::NotEmpty { path: path.to_owned() });
        }
        let data = Self::lock(path, FolderUse::Restore)?;
        data.check_complete()?;
        names.retain(|name| created().any(|ours| ours == name));
        Ok((data, names))
    }

    fn check_complete(&self) -> Result<(), DataDirError> {
        let path = &self.path;
        if path.join(INCOMPLETE).exists() {
            return Err(DataDirError::Incomplete { path: path.clone() });
        }
        Ok(())
    }

    /// Prepares a folder for a new store, and creates it if it is missing. It must be empty but for
    /// the lock, socket and heads of an earlier server, or contain what an interrupted `init` left, which is removed.
    pub(crate) fn create(path: &Path) -> Result<Self, DataDirError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("creating", path))?;
        let unfinished = path.join(INCOMPLETE).exists();
        // Before the lock, which would leave a file in a folder that belongs to something else.
        let is_ours = |name: &String| [LOCK, LOG_HEADS, SOCKET].iter().any(|ours| ours == name);
        if !unfinished && !entries(path)?.iter().all(is_ours) {
            return Err(DataDirError::NotEmpty { path: path.to_owned() });
        }
        let data = Self::lock(path, FolderUse::Init)?;
        if unfinished {
            data.remove_created(&[])?;
        }
        // Of the store that was here before.
        ignore_missing(fs::remove_file(path.join(LOG_HEADS)))
            .map_err(failed("removing", &path.join(LOG_HEADS)))?;
        data.write(INCOMPLETE, b"", 0o600)?;
        Ok(data)
    }

    /// Marks the store as complete: from now on it can be served.
    pub(crate) fn mark_complete(&self) -> Result<(), DataDirError> {
        let marker = self.path.join(INCOMPLETE);
        // Every other file is durable before the marker is removed, and the removal before anything reports success.
        sync(&self.path)?;
        fs::remove_file(&marker).map_err(failed("removing", &marker))?;
        sync(&self.path)
    }

    /// Removes what was created here, except `kept`.
    pub(crate) fn abandon(self, kept: &[String]) {
        // Errors are ignored: the caller reports the error that made it give up.
        if self.remove_created(kept).is_ok() {
            let _ = fs::remove_file(self.path.join(INCOMPLETE));
        }
        let _ = fs::remove_file(self.path.join(LOCK));
        // Fails unless the folder is empty, so it removes no file of another program.
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

    /// Writes a file atomically: no reader sees a part of it, or a wider mode.
    pub(crate) fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), DataDirError> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent().filter(|parent| *parent != self.path) {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(failed("creating", parent))?;
        }
        write_atomically(&path, content, mode)
    }

    fn lock(path: &Path, purpose: FolderUse) -> Result<Self, DataDirError> {
        let file = path.join(LOCK);
        // Not cut on opening: until the lock is ours, the number in it is another server's.
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&file);
        let opened = opened.map_err(failed("opening", &file))?;
        // The kernel releases this lock with the process, however it ends; a file with a number alone would become stale.
        let mut lock = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut held, Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                let _ = io::Read::take(&mut held, 32).read_to_string(&mut text);
                let (pid, purpose) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
                // Anybody who can write to the folder chose this text, and it is printed.
                let pid = Some(pid.to_owned())
                    .filter(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()));
                return Err(DataDirError::InUse {
                    path: path.to_owned(),
                    pid,
                    purpose: FolderUse::parse(purpose),
                });
            }
            Err((_, errno)) => return Err(failed("locking", &file)(errno.into())),
        };
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{} {}", std::process::id(), purpose.name()))
            .map_err(failed("writing", &file))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn remove_created(&self, kept: &[String]) -> Result<(), DataDirError> {
        let is_kept = |name: &str| kept.iter().any(|kept| kept == name);
        // By name and not everything: a mistyped folder must not lose what was not created here.
        for name in [RECORD_KEY, CONFIG, SOCKET].iter().chain(&STORE_FILES).filter(|name| !is_kept(name)) {
            let path = self.path.join(name);
            ignore_missing(fs::remove_file(&path)).map_err(failed("removing", &path))?;
        }
        for name in [TLS, NEW_TLS].into_iter().filter(|name| !is_kept(name)) {
            let tls = self.path.join(name);
            ignore_missing(fs::remove_dir_all(&tls)).map_err(failed("removing", &tls))?;
        }
        Ok(())
    }

    /// Writes the folder of the certificates, all of its files or none.
    pub(crate) fn write_tls(&self, files: &[(&str, &str)]) -> Result<(), DataDirError> {
        let new = self.path.join(NEW_TLS);
        ignore_missing(fs::remove_dir_all(&new)).map_err(failed("removing", &new))?;
        for (name, content) in files {
            self.write(&format!("{NEW_TLS}/{name}"), content.as_bytes(), 0o600)?;
        }
        replace(&new, &self.path.join(TLS))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_folder_is_complete_only_once_it_is_marked() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/store");
        let data = DataDir::create(&path).unwrap();
        data.write("tls/key.pem", b"key", 0o600).unwrap();
        drop(data);
        assert!(matches!(DataDir::open(&path, FolderUse::Serve), Err(DataDirError::Incomplete { .. })));

        let data = DataDir::create(&path).unwrap();
        assert!(!path.join("tls").exists(), "what was left is removed");
        data.write(RECORD_KEY, b"key", 0o600).unwrap();
        data.mark_complete().unwrap();
        drop(data);
        assert_eq!(&**read_private(&path.join(RECORD_KEY)).unwrap(), "key");
        DataDir::open(&path, FolderUse::Serve).unwrap();
        assert!(matches!(DataDir::create(&path), Err(DataDirError::NotEmpty { .. })));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn one_at_a_time_and_the_other_is_named() {
        let root = tempfile::tempdir().unwrap();
        let held = DataDir::create(root.path()).unwrap();
        held.mark_complete().unwrap();
        let error = DataDir::open(root.path(), FolderUse::Serve).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(held);
        DataDir::open(root.path(), FolderUse::Serve).unwrap();
    }

    #[test]
    fn a_failed_init_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let data = DataDir::create(&path).unwrap();
        data.write(RECORD_KEY, b"key", 0o600).unwrap();
        data.write("tls/key.pem", b"key", 0o600).unwrap();
        data.abandon(&[]);
        assert!(!path.exists());
    }

    #[test]
    fn a_restore_that_fails_keeps_what_was_there_before() {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [(STORE, "store"), (LOG_HEADS, "heads"), (SOCKET, "")] {
            fs::write(root.path().join(name), text).unwrap();
        }
        fs::create_dir(root.path().join(TLS)).unwrap();
        fs::write(root.path().join("tls/key.pem"), b"key").unwrap();
        let (data, mut kept) = DataDir::open_for_restore(root.path()).unwrap();
        kept.sort();
        assert_eq!(kept, [STORE, TLS]);
        data.write(RECORD_KEY, b"key", 0o600).unwrap();
        data.abandon(&kept);
        for (path, text) in [(STORE, "store"), (LOG_HEADS, "heads"), ("tls/key.pem", "key")] {
            assert_eq!(fs::read_to_string(root.path().join(path)).unwrap(), text);
        }
        assert!(!root.path().join(RECORD_KEY).exists());
        fs::write(root.path().join("other"), "").unwrap();
        assert!(matches!(DataDir::open_for_restore(root.path()), Err(DataDirError::NotEmpty { .. })));
    }

    #[test]
    fn certificates_appear_together() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::create(root.path()).unwrap();
        fs::create_dir(root.path().join(NEW_TLS)).unwrap();
        fs::write(root.path().join(NEW_TLS).join("left"), "").unwrap();
        data.write_tls(&[("key.pem", "key"), ("cert.pem", "certificate")]).unwrap();
        let mut names = entries(&root.path().join(TLS)).unwrap();
        names.sort();
        assert_eq!(names, ["cert.pem", "key.pem"]);
        assert!(!root.path().join(NEW_TLS).exists());
    }
}
