//! What the agent reads from the machine that it runs on: files, the clock, and the ids of machine and kernel. It never writes.
//! Other modules take its answers as arguments.
#![expect(clippy::disallowed_methods, reason = "this file reads files and the clock for the agent")]

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use data_encoding::HEXLOWER;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::time::Timestamp;

/// Reads files. Tests have their own implementation.
pub(crate) trait Files {
    /// A whole text file of at most `limit` bytes.
    fn text(&self, path: &Path, limit: usize) -> Result<TextFile, FileReadError> {
        let (bytes, open_to_others) = self.bytes(path, limit)?;
        let text = str::from_utf8(&bytes).map_err(|_| FileReadError::NotText)?;
        Ok(TextFile { text: Zeroizing::new(text.to_owned()), open_to_others })
    }

    /// A whole file of at most `limit` bytes, and whether group or world may read it.
    fn bytes(&self, path: &Path, limit: usize) -> Result<(Zeroizing<Vec<u8>>, bool), FileReadError>;
}

pub(crate) struct TextFile {
    pub(crate) text: Zeroizing<String>,
    /// Whether it is a regular file that group or world may read.
    pub(crate) open_to_others: bool,
}

/// Why a file was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileReadError {
    #[error("there is no such file")]
    Missing,
    #[error("this user may not read it")]
    Denied,
    #[error("it is too large")]
    TooLarge,
    #[error("it is not UTF-8 text")]
    NotText,
    /// A pipe or device.
    #[error("nothing was written to it within {} s", PATIENCE.as_secs())]
    Late,
    #[error("it cannot be read: {}", .0.desc())]
    Io(Errno),
}

/// How long to wait for what others write to a pipe.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a pipe or device, and gives up when its time is over.
struct PatientReader<'a> {
    file: &'a File,
    end: Instant,
}

impl<'a> PatientReader<'a> {
    fn new(file: &'a File, patience: Duration) -> Self {
        Self { file, end: Instant::now() + patience }
    }
}

impl Read for PatientReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        // Before a writer opens the pipe, read(2) would return end of file; poll(2) waits.
        match poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)], left)? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => self.file.read(buffer),
        }
    }
}

/// The files of this machine.
pub(crate) struct RealFiles;

impl Files for RealFiles {
    fn bytes(&self, path: &Path, limit: usize) -> Result<(Zeroizing<Vec<u8>>, bool), FileReadError> {
        // Opening a pipe would wait for a writer.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = file.map_err(|error| FileReadError::of(&error))?;
        let metadata = file.metadata().map_err(|error| FileReadError::of(&error))?;
        // Files in /proc and /sys say that they are empty, or one page long. A vector that grows would leave a copy behind, so room
        // is reserved in full, and a little more for the read that finds the end.
        let expected = usize::try_from(metadata.len()).unwrap_or(usize::MAX).max(4096).min(limit);
        let mut bytes = Zeroizing::new(Vec::with_capacity(expected.saturating_add(64)));
        // One byte more than allowed, which tells a file that is too large from one that just fits.
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = match metadata.is_file() {
            true => (&file).take(most).read_to_end(&mut bytes),
            // A shell's <(…) is a pipe, for example.
            false => PatientReader::new(&file, PATIENCE).take(most).read_to_end(&mut bytes),
        };
        read.map_err(|error| FileReadError::of(&error))?;
        if bytes.len() > limit {
            return Err(FileReadError::TooLarge);
        }
        Ok((bytes, metadata.is_file() && metadata.mode() & 0o044 != 0))
    }
}

impl FileReadError {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::TimedOut => Self::Late,
            // By the number: std has no name for EMFILE, for one.
            _ => Self::Io(Errno::from_raw(error.raw_os_error().unwrap_or_default())),
        }
    }
}

/// What the machine says about itself, for the store's record of the boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MachineFacts {
    /// The same after a reboot.
    pub(crate) machine: Option<String>,
    /// Another one after each reboot.
    pub(crate) kernel_boot: Option<String>,
    /// The host name, for people.
    pub(crate) host: Option<String>,
}

/// Reads them. `machine` is the name from the configuration, if there is one.
pub(crate) fn read_facts(files: &dyn Files, machine: Option<String>) -> MachineFacts {
    let line = |path: &str| {
        let text = files.text(Path::new(path), 4096).ok()?;
        Some(text.text.trim().to_owned()).filter(|line| !line.is_empty())
    };
    MachineFacts {
        machine: machine
            .or_else(|| line("/etc/machine-id").filter(|id| id.len() == 32).map(|id| hash_machine_id(&id))),
        kernel_boot: line("/proc/sys/kernel/random/boot_id").filter(|id| id.len() <= 64),
        host: line("/proc/sys/kernel/hostname").map(|host| host.chars().take(128).collect()),
    }
}

fn hash_machine_id(machine_id: &str) -> String {
    // machine-id(5): the id must not leave the machine; an application hashes it with a key of its own.
    let hash = Sha256::new().chain_update(b"dropsafe machine v1").chain_update(machine_id).finalize();
    HEXLOWER.encode(&hash[..16])
}

/// The machine's clock.
pub(crate) fn now() -> Timestamp {
    // A clock before 1970 is not set, and neither is one that shows 1970.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod fake {
    //! Files that exist only in a test.

    use std::collections::BTreeMap;
    use std::path::Path;

    use zeroize::Zeroizing;

    use crate::agent::machine::{FileReadError, Files};

    /// Path to content, and whether others may read it.
    #[derive(Default)]
    pub(crate) struct FakeFiles(BTreeMap<String, (String, bool)>);

    impl FakeFiles {
        /// Adds a file that only its owner may read.
        pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
            self.0.insert(path.to_owned(), (text.to_owned(), false));
            self
        }

        /// Adds a file that others may read.
        pub(crate) fn with_open(mut self, path: &str, text: &str) -> Self {
            self.0.insert(path.to_owned(), (text.to_owned(), true));
            self
        }
    }

    impl Files for FakeFiles {
        fn bytes(&self, path: &Path, limit: usize) -> Result<(Zeroizing<Vec<u8>>, bool), FileReadError> {
            let (text, open) =
                path.to_str().and_then(|path| self.0.get(path)).ok_or(FileReadError::Missing)?;
            if text.len() > limit {
                return Err(FileReadError::TooLarge);
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
        assert_eq!(RealFiles.text(&path, 9_999).err(), Some(FileReadError::TooLarge));
        assert_eq!(RealFiles.text(&folder.path().join("g"), 1).err(), Some(FileReadError::Missing));
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(RealFiles.text(&path, 10).err(), Some(FileReadError::NotText));
    }

    #[test]
    fn a_pipe_is_waited_for_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        let mut text = String::new();
        let nobody = PatientReader::new(&file, Duration::from_millis(20)).read_to_string(&mut text);
        assert_eq!(nobody.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let writer = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, "late").unwrap()
        });
        assert_eq!(&*RealFiles.text(&path, 10).unwrap().text, "late");
        writer.join().unwrap();
    }

    #[test]
    fn the_machine_id_itself_stays_here() {
        let id = "0123456789abcdef0123456789abcdef";
        let files = FakeFiles::default().with("/etc/machine-id", &format!("{id}\n"));
        let machine = read_facts(&files, None).machine.unwrap();
        assert_ne!(machine, id);
        assert_eq!(machine.len(), 32);
        assert_eq!(read_facts(&files, Some("web-1".into())).machine.as_deref(), Some("web-1"));
        assert_eq!(read_facts(&FakeFiles::default(), None), MachineFacts::default());
    }
}
