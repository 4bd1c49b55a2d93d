//! The files that the command line reads and writes. A file is written in full beside its final place, with its final mode from
//! the start, and then renamed: no reader sees half of it, and others can never read it, not even for a moment.
#![expect(clippy::disallowed_methods, reason = "the one place where the command line touches files by name")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use zeroize::Zeroizing;

use super::error::CliError;
use crate::process::Exit;

#[derive(Debug)]
pub(crate) enum BoundedReadError {
    /// The input is longer than the limit.
    TooLong,
    Io(io::Error),
}

impl From<io::Error> for BoundedReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads all of `input`, at most `limit` bytes, into memory that is wiped.
pub(crate) fn read_bounded(
    input: &mut dyn Read,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, BoundedReadError> {
    // Reserved in full: a vector that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    // One byte more than allowed, to tell the end of the input from the limit.
    input.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(BoundedReadError::TooLong) } else { Ok(bytes) }
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, CliError> {
    read_sized(path, limit, limit)
}

/// Reads a whole file of at most `limit` bytes if it tells its length, and otherwise of at most `unknown` bytes.
pub(crate) fn read_sized(path: &Path, limit: usize, unknown: usize) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let mut file = File::open(path).map_err(|error| read_error(path, &error))?;
    // Files of procfs are regular, and tell no length either.
    let length = file.metadata().map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 });
    // The buffer is as long as the limit, and all of it is wiped.
    let limit = match usize::try_from(length) {
        Ok(0) => unknown,
        Ok(length) => limit.min(length),
        Err(_) => limit,
    };
    read_bounded(&mut file, limit).map_err(|error| match error {
        BoundedReadError::TooLong => {
            CliError::failed(format_args!("{} is larger than {limit} bytes", path.display()))
        }
        BoundedReadError::Io(error) => read_error(path, &error),
    })
}

/// Reads a small file of this program, if it exists.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, CliError> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Not an input that the person named, as in `read_error`: it is a part of the configuration.
        Err(error) => Err(CliError::configuration(format_args!(
            "{} cannot be read: {}",
            path.display(),
            describe_io_error(&error)
        ))),
        Ok(_) => read(path, 1 << 20).map(Some),
    }
}

/// A file that appears under its name only once it is complete. Dropping it before that leaves nothing behind.
pub(crate) struct AtomicFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl AtomicFile {
    /// Creates a file that only its owner can read.
    pub(crate) fn create(path: &Path) -> Result<Self, CliError> {
        // In the same folder: a rename works only within one file system.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(name);
        // A process with the same number may have left one. If somebody puts a link here, `create_new` refuses it instead
        // of following it.
        fs::remove_file(&temporary).ok();
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|error| write_error(path, &error))?;
        Ok(Self { file, temporary, path: path.to_owned(), finished: false })
    }

    /// Makes the content durable, and then gives the file its name, in place of any file that has it.
    pub(crate) fn replace(self) -> Result<(), CliError> {
        self.finish(|temporary, path| fs::rename(temporary, path))
    }

    /// As [`replace`](Self::replace), but fails if a file has the name.
    pub(crate) fn publish_new(self) -> Result<(), CliError> {
        self.finish(|temporary, path| {
            if let Err(error) = fs::hard_link(temporary, path) {
                if error.kind() == io::ErrorKind::AlreadyExists {
                    return Err(error);
                }
            } else {
                // Both names are the complete file. What is left of the other one is removed with the next file of this process.
                let _ = fs::remove_file(temporary);
                return Ok(());
            }
            // FAT and some network file systems have no hard links. There the name is taken first and then replaced.
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            fs::rename(temporary, path).inspect_err(|_| drop(fs::remove_file(path)))
        })
    }

    fn finish(mut self, publish: impl FnOnce(&Path, &Path) -> io::Result<()>) -> Result<(), CliError> {
        // In this order: after a power cut, a name without its content would be worse than no file.
        self.file.sync_all().map_err(|error| write_error(&self.path, &error))?;
        publish(&self.temporary, &self.path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists_error(&self.path),
            _ => write_error(&self.path, &error),
        })?;
        self.finished = true;
        // The name is durable only once its folder is. Some file systems cannot sync a folder; the file is complete there too.
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
        if !self.finished {
            fs::remove_file(&self.temporary).ok();
        }
    }
}

/// Writes a whole file that only its owner can read, and creates its folder if it is missing.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    if let Some(folder) = path.parent() {
        // The mode is for folders made here. An existing ~/.config keeps the mode that its owner chose.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| write_error(folder, &error))?;
    }
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|error| write_error(path, &error))?;
    file.replace()
}

/// Refuses a path at which there is something already, also a link to nothing.
pub(crate) fn refuse_existing(path: &Path) -> Result<(), CliError> {
    if path.symlink_metadata().is_ok() { Err(exists_error(path)) } else { Ok(()) }
}

fn exists_error(path: &Path) -> CliError {
    CliError::new(Exit::CannotCreate, format_args!("{} exists already and is not replaced", path.display()))
        .hint("give another name, or move the file away")
}

/// Creates a file that only its owner can read. It must not exist yet.
pub(crate) fn create_private(path: &Path, parts: &[&[u8]]) -> Result<(), CliError> {
    // Not by a rename, which would replace an existing key file, and with it the only way to unlock a store.
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            parts.iter().try_for_each(|part| file.write_all(part))?;
            file.sync_all()
        });
    written.map_err(|error| write_error(path, &error))
}

/// Removes a file. Returns whether it existed.
pub(crate) fn remove(path: &Path) -> Result<bool, CliError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(write_error(path, &error)),
    }
}

/// The system's words for an error, without its number.
pub(crate) fn describe_io_error(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error ").map_or(text.clone(), |(words, _)| words.to_owned())
}

pub(crate) fn read_error(path: &Path, error: &io::Error) -> CliError {
    let words = describe_io_error(error);
    CliError::new(Exit::NoInput, format_args!("{} cannot be read: {words}", path.display()))
}

pub(crate) fn write_error(path: &Path, error: &io::Error) -> CliError {
    let words = describe_io_error(error);
    CliError::new(Exit::CannotCreate, format_args!("{} cannot be written: {words}", path.display()))
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
    fn an_unfinished_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_file_replaces_nothing_that_came_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let file = AtomicFile::create(&path).unwrap();
        refuse_existing(&path).unwrap();
        fs::write(&path, b"another's").unwrap();
        assert_eq!(file.publish_new().unwrap_err().exit, Exit::CannotCreate);
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nothing", &path).unwrap();
        assert_eq!(refuse_existing(&path).unwrap_err().exit, Exit::CannotCreate);
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
