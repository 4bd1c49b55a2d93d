//! The folder of a store: which file is where, who may read it, and that one server at a time uses it.
//!
//! ```text
//! DIR/record.key    the record key: without it the byte store is noise
//! DIR/store.db      the byte store, unless it is elsewhere
//! DIR/tls/          ca.pem ca.key cert.pem key.pem
//! DIR/server.yaml   the configuration
//! DIR/lock          held by the server that runs
//! DIR/incomplete    there while `init` works: what is beside it is worth nothing
//! ```
//! Every file is for its owner alone. Never leaves half a file: each is written whole, synced and renamed.
#![expect(clippy::disallowed_methods, reason = "the files of a store are opened, written and removed here")]

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use zeroize::Zeroizing;

use crate::kv;

/// The record key.
pub(crate) const RECORD_KEY: &str = "record.key";
/// The byte store, when it is a file here.
pub(crate) const STORE: &str = "store.db";
/// The configuration.
pub(crate) const CONFIG: &str = "server.yaml";
/// Certificates and their keys.
pub(crate) const TLS: &str = "tls";
/// The Unix socket.
pub(crate) const SOCKET: &str = "dropsafe.sock";
const LOCK: &str = "lock";
const INCOMPLETE: &str = "incomplete";
/// The largest file that is read here, in bytes: a certificate chain.
const MAX_FILE: u64 = 1 << 20;

/// Why a store's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds its lock.
    #[error("another server uses the data in {} (process {})", path.display(), pid.as_deref().unwrap_or("unknown"))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process, when the lock file says so.
        pid: Option<String>,
    },
    /// `init` was cut short.
    #[error("the data in {} is incomplete: making it was cut short", path.display())]
    Incomplete {
        /// The folder.
        path: PathBuf,
    },
    /// Something is there already.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Other users may read a key.
    #[error("{} may be read by other users", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// A file is too large to be what it should be.
    #[error("{} is larger than 1 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file is not text.
    #[error("{} is not text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl DataDirError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => Some("stop it first, or use another folder".to_owned()),
            Self::Incomplete { .. } => Some("run `dropsafe init` again on the same folder".to_owned()),
            Self::NotEmpty { .. } => Some("name a folder that is empty or does not exist".to_owned()),
            Self::Exposed { path } => Some(format!("chmod 600 {}", path.display())),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("`dropsafe init --data DIR` makes a store".to_owned())
            }
            Self::TooLarge { .. } | Self::NotText { .. } | Self::Io { .. } => None,
        }
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    move |source| DataDirError::Io { doing, path: path.to_owned(), source }
}

/// A store's folder, locked while this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataDir {
    /// The folder of a complete store.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        fs::read_dir(path).map_err(failed("opening", path))?;
        let data = Self::locked(path)?;
        if path.join(INCOMPLETE).exists() {
            return Err(DataDirError::Incomplete { path: path.to_owned() });
        }
        Ok(data)
    }

    /// A folder for a new store: made when missing, otherwise empty. What an `init` that was cut short left is removed.
    /// `kept` may be there already.
    pub(crate) fn create(path: &Path, kept: &[&str]) -> Result<Self, DataDirError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("making", path))?;
        let unfinished = path.join(INCOMPLETE).exists();
        if !unfinished && !entries(path)?.iter().all(|name| name == LOCK || kept.contains(&name.as_str())) {
            return Err(DataDirError::NotEmpty { path: path.to_owned() });
        }
        let data = Self::locked(path)?;
        if unfinished {
            data.remove_made(kept)?;
        }
        data.write(INCOMPLETE, b"", 0o600)?;
        Ok(data)
    }

    /// All is there: the store may be served.
    pub(crate) fn complete(&self) -> Result<(), DataDirError> {
        let marker = self.path.join(INCOMPLETE);
        sync(&self.path)?;
        fs::remove_file(&marker).map_err(failed("removing", &marker))?;
        sync(&self.path)
    }

    /// Takes back what was made here, `kept` apart.
    pub(crate) fn abandon(self, kept: &[&str]) {
        let _ = self.remove_made(kept);
        let _ = fs::remove_file(self.path.join(INCOMPLETE));
        let _ = fs::remove_file(self.path.join(LOCK));
        // Only when it is empty, hence only ours.
        let _ = fs::remove_dir(&self.path);
    }

    /// Where its byte store is: what was said, as the configuration has it, or else the file in it.
    pub(crate) fn store(&self, said: Option<kv::Url>) -> kv::Url {
        said.unwrap_or_else(|| kv::Url::Sqlite(STORE.into())).in_folder(&self.path)
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a new file whole: nobody sees half of it, or a moment with a wider mode.
    pub(crate) fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), DataDirError> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent().filter(|parent| *parent != self.path) {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(failed("making", parent))?;
        }
        let temporary = path.with_extension("new");
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(failed("writing", &path))?;
        sync(path.parent().unwrap_or(&self.path))
    }

    fn locked(path: &Path) -> Result<Self, DataDirError> {
        let file = path.join(LOCK);
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&file);
        let mut lock =
            match Flock::lock(opened.map_err(failed("opening", &file))?, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => lock,
                Err((mut held, Errno::EWOULDBLOCK)) => {
                    let mut pid = String::new();
                    let _ = io::Read::take(&mut held, 16).read_to_string(&mut pid);
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

    fn remove_made(&self, kept: &[&str]) -> Result<(), DataDirError> {
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
        let tls = self.path.join(TLS);
        match fs::remove_dir_all(&tls) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", &tls)(error)),
            _ => Ok(()),
        }
    }
}

/// Reads a file that only its owner may read, such as a key or a passphrase.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, DataDirError> {
    if is_exposed(path)? {
        return Err(DataDirError::Exposed { path: path.to_owned() });
    }
    read(path)
}

/// Whether users other than a file's owner and group may use it.
pub(crate) fn is_exposed(path: &Path) -> Result<bool, DataDirError> {
    let mode = fs::metadata(path).map_err(failed("opening", path))?.permissions().mode();
    Ok(mode & 0o007 != 0)
}

/// Reads a text file of at most 1 MiB into memory that is wiped.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, DataDirError> {
    let mut file = File::open(path).map_err(failed("opening", path))?;
    let size = file.metadata().map_err(failed("reading", path))?.len();
    if size > MAX_FILE {
        return Err(DataDirError::TooLarge { path: path.to_owned() });
    }
    // Reserved in full, with room to notice the end: a buffer that grows leaves its old self behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 64));
    io::Read::take(&mut file, MAX_FILE).read_to_end(&mut bytes).map_err(failed("reading", path))?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(DataDirError::NotText { path: path.to_owned() })
        }
    }
}

/// Removes a socket that a server which was killed left behind.
pub(crate) fn remove_stale_socket(path: &Path) -> Result<(), DataDirError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Gives a socket its mode.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), DataDirError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("changing the mode of", path))
}

/// Files made from now on are for their owner alone, whatever the caller's mask was.
pub(crate) fn restrict_new_files() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

fn entries(path: &Path) -> Result<Vec<String>, DataDirError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed("reading", path))? {
        names.push(entry.map_err(failed("reading", path))?.file_name().to_string_lossy().into_owned());
    }
    // A mount point of its own has this one from the start.
    names.retain(|name| name != "lost+found");
    Ok(names)
}

fn sync(folder: &Path) -> Result<(), DataDirError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_complete_only_when_said_so() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/store");
        let data = DataDir::create(&path, &[]).unwrap();
        data.write("tls/key.pem", b"key", 0o600).unwrap();
        drop(data);
        assert!(matches!(DataDir::open(&path), Err(DataDirError::Incomplete { .. })));

        let data = DataDir::create(&path, &[]).unwrap();
        assert!(!path.join("tls").exists(), "what was left is removed");
        data.write(RECORD_KEY, b"key", 0o600).unwrap();
        data.complete().unwrap();
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
        held.complete().unwrap();
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
    fn a_key_that_others_may_read_is_refused() {
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
