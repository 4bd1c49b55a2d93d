//! Files that the command line reads and writes. A file is written whole beside its place, with its mode from the start,
//! and renamed: no reader sees half of it, and it is never readable by others for a moment.
#![expect(clippy::disallowed_methods, reason = "the one place where the command line touches files by name")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use zeroize::Zeroizing;

use super::error::CliError;
use crate::process::Exit;

/// What a reader was given more of than it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InputTooLong;

/// All of `input`, at most `limit` bytes, in memory that is wiped; `None` when it is longer.
pub(crate) fn read_bounded(
    input: &mut dyn Read,
    limit: usize,
) -> io::Result<Result<Zeroizing<Vec<u8>>, InputTooLong>> {
    // The whole capacity at once: a vector that grows leaves unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    input.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() > limit { Err(InputTooLong) } else { Ok(bytes) })
}

/// All of a file, at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let failed = |error: &io::Error| unreadable(path, error);
    let mut file = File::open(path).map_err(|error| failed(&error))?;
    match read_bounded(&mut file, limit).map_err(|error| failed(&error))? {
        Ok(bytes) => Ok(bytes),
        Err(InputTooLong) => {
            Err(CliError::refused(format_args!("{} is larger than {limit} bytes", path.display())))
        }
    }
}

/// A small file of this program, when it is there.
pub(crate) fn read_own(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, CliError> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(CliError::configuration(format_args!("{} cannot be read: {}", path.display(), why(&error))))
        }
        Ok(_) => read(path, 1 << 20).map(Some),
    }
}

/// A file being written, that appears under its name only when it is complete.
pub(crate) struct AtomicFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl AtomicFile {
    /// Begins one that only its owner may read.
    pub(crate) fn create(path: &Path) -> Result<Self, CliError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(name);
        // A leftover of a process with the same number; what `create_new` refuses, a link above all, is never followed.
        fs::remove_file(&temporary).ok();
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|error| unwritable(path, &error))?;
        Ok(Self { file, temporary, path: path.to_owned(), kept: false })
    }

    /// It is complete: on disk, then under its name.
    pub(crate) fn finish(mut self) -> Result<(), CliError> {
        self.file.sync_all().map_err(|error| unwritable(&self.path, &error))?;
        fs::rename(&self.temporary, &self.path).map_err(|error| unwritable(&self.path, &error))?;
        self.kept = true;
        // The name itself is durable only with its folder (rename(2) says nothing of power loss).
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).ok();
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.kept {
            fs::remove_file(&self.temporary).ok();
        }
    }
}

/// Writes a whole file that only its owner may read, in a folder made for the purpose when it is missing.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    if let Some(folder) = path.parent() {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| unwritable(folder, &error))?;
    }
    let mut pending = AtomicFile::create(path)?;
    pending.write_all(bytes).map_err(|error| unwritable(path, &error))?;
    pending.finish()
}

/// Makes a file that only its owner may read, and that must not exist.
pub(crate) fn create_private(path: &Path, parts: &[&[u8]]) -> Result<(), CliError> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            parts.iter().try_for_each(|part| file.write_all(part))?;
            file.sync_all()
        });
    written.map_err(|error| unwritable(path, &error))
}

/// Removes a file; whether it was there.
pub(crate) fn remove(path: &Path) -> Result<bool, CliError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unwritable(path, &error)),
    }
}

/// What the system says of a failure, without the number.
pub(crate) fn why(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error ").map_or(text.clone(), |(words, _)| words.to_owned())
}

/// The failure to read `path`.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::NoInput, format_args!("{} cannot be read: {}", path.display(), why(error)))
}

/// The failure to write `path`.
pub(crate) fn unwritable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Exit::CannotCreate, format_args!("{} cannot be written: {}", path.display(), why(error)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_private_file_is_whole_private_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/login.json");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let mut pending = AtomicFile::create(&path).unwrap();
        pending.write_all(b"half").unwrap();
        drop(pending);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap().len(), 5);
        assert_eq!(read(&path, 4).unwrap_err().exit, Exit::Failed);
        assert_eq!(read(&folder.path().join("none"), 4).unwrap_err().exit, Exit::NoInput);
    }
}
