//! What the agent reads of the machine it runs on: files, the clock, the machine's and the kernel's identity. It reads and never
//! writes; whoever needs a fact takes it as an argument.
#![expect(clippy::disallowed_methods, reason = "the file where the agent reads files and the clock")]

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::time::Timestamp;

/// Reads files; tests hand in files of their own.
pub(crate) trait Files {
    /// The whole of a text file of at most `limit` bytes.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn text(&self, path: &Path, limit: usize) -> Result<Text, ReadError> {
        let (bytes, open_to_others) = self.bytes(path, limit)?;
        let text = str::from_utf8(&bytes).map_err(|_| ReadError::NotText)?;
        Ok(Text { text: Zeroizing::new(text.to_owned()), open_to_others })
    }

    /// The whole of a file of at most `limit` bytes, and whether group or world may read it.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn bytes(&self, path: &Path, limit: usize) -> Result<(Zeroizing<Vec<u8>>, bool), ReadError>;
}

/// A file's content.
pub(crate) struct Text {
    /// Wiped when dropped.
    pub(crate) text: Zeroizing<String>,
    /// Whether group or world may read it, when it is a regular file.
    pub(crate) open_to_others: bool,
}

/// Why a file cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// Not for this user.
    #[error("this user may not read it")]
    Denied,
    /// Longer than anything of its kind.
    #[error("it is too large")]
    TooLarge,
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Anything else.
    #[error("it cannot be read: {0}")]
    Io(io::ErrorKind),
}

/// The files of this machine.
pub(crate) struct RealFiles;

impl Files for RealFiles {
    fn bytes(&self, path: &Path, limit: usize) -> Result<(Zeroizing<Vec<u8>>, bool), ReadError> {
        let mut file = File::open(path).map_err(|error| ReadError::of(&error))?;
        let metadata = file.metadata().map_err(|error| ReadError::of(&error))?;
        // Reserved in full and a little more, so that reading to the end grows nothing: what grows leaves a copy behind.
        let expected = usize::try_from(metadata.len()).unwrap_or(usize::MAX).max(4096).min(limit);
        let mut bytes = Zeroizing::new(Vec::with_capacity(expected.saturating_add(64)));
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        (&mut file).take(most).read_to_end(&mut bytes).map_err(|error| ReadError::of(&error))?;
        if bytes.len() > limit {
            return Err(ReadError::TooLarge);
        }
        Ok((bytes, metadata.is_file() && metadata.mode() & 0o044 != 0))
    }
}

impl ReadError {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            kind => Self::Io(kind),
        }
    }
}

/// Who this machine says it is, for the store's record of the boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Stable over reboots.
    pub(crate) machine: Option<String>,
    /// Of the running kernel.
    pub(crate) kernel_boot: Option<String>,
    /// For people.
    pub(crate) host: Option<String>,
}

/// Reads it. `machine` is what the configuration calls this machine, if it does.
pub(crate) fn identity(files: &dyn Files, machine: Option<String>) -> Identity {
    let line = |path: &str| {
        let text = files.text(Path::new(path), 4096).ok()?;
        Some(text.text.trim().to_owned()).filter(|line| !line.is_empty())
    };
    Identity {
        machine: machine
            .or_else(|| line("/etc/machine-id").filter(|id| id.len() == 32).map(|id| hashed(&id))),
        kernel_boot: line("/proc/sys/kernel/random/boot_id").filter(|id| id.len() <= 64),
        host: line("/proc/sys/kernel/hostname").map(|host| host.chars().take(128).collect()),
    }
}

/// machine-id(5) asks that the id itself stay on the machine, and that a hash of it under a key of the application be
/// used instead.
fn hashed(machine_id: &str) -> String {
    let hash = Sha256::new().chain_update(b"dropsafe machine v1").chain_update(machine_id).finalize();
    HEXLOWER.encode(&hash[..16])
}

/// The machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod fake {
    //! Files that a test makes up.

    use std::collections::BTreeMap;

    use super::*;

    /// Path to content, and whether others may read it.
    #[derive(Default)]
    pub(crate) struct FakeFiles(BTreeMap<String, (String, bool)>);

    impl FakeFiles {
        /// And this file, its owner's alone.
        pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
            self.0.insert(path.to_owned(), (text.to_owned(), false));
            self
        }

        /// And this file, that others may read.
        pub(crate) fn with_open(mut self, path: &str, text: &str) -> Self {
            self.0.insert(path.to_owned(), (text.to_owned(), true));
            self
        }
    }

    impl Files for FakeFiles {
        fn bytes(&self, path: &Path, limit: usize) -> Result<(Zeroizing<Vec<u8>>, bool), ReadError> {
            let (text, open) = path.to_str().and_then(|path| self.0.get(path)).ok_or(ReadError::Missing)?;
            if text.len() > limit {
                return Err(ReadError::TooLarge);
            }
            Ok((Zeroizing::new(text.clone().into_bytes()), *open))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::FakeFiles;
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "x".repeat(10_000)).unwrap();
        assert_eq!(RealFiles.text(&path, 10_000).unwrap().text.len(), 10_000);
        assert_eq!(RealFiles.text(&path, 9_999).err(), Some(ReadError::TooLarge));
        assert_eq!(RealFiles.text(&folder.path().join("g"), 1).err(), Some(ReadError::Missing));
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(RealFiles.text(&path, 10).err(), Some(ReadError::NotText));
    }

    #[test]
    fn the_machine_id_itself_stays_here() {
        let id = "0123456789abcdef0123456789abcdef";
        let files = FakeFiles::default().with("/etc/machine-id", &format!("{id}\n"));
        let told = identity(&files, None).machine.unwrap();
        assert_ne!(told, id);
        assert_eq!(told.len(), 32);
        assert_eq!(identity(&files, Some("web-1".into())).machine.as_deref(), Some("web-1"));
        assert_eq!(identity(&FakeFiles::default(), None), Identity::default());
    }
}
