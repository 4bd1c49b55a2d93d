//! Files that appear all at once or not at all: each is written in full under a temporary name beside its target, and only when all
//! of them are written are they renamed. Secrets are written to memory only, unless the configuration allows a disk.
#![expect(clippy::disallowed_methods, reason = "writes, renames and removes the files of a boot")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::agent::secret_files::{SecretFileError, in_memory};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileAccess {
    pub(crate) mode: u32,
    /// Default: this process's user.
    pub(crate) uid: Option<u32>,
    /// Default: this process's group.
    pub(crate) gid: Option<u32>,
}

/// Files that are written and not yet renamed. Files that are never committed are removed on drop.
pub(crate) struct StagedFiles {
    allow_disk: bool,
    staged: Vec<StagedFile>,
}

struct StagedFile {
    temporary: PathBuf,
    target: PathBuf,
}

impl StagedFiles {
    pub(crate) fn new(allow_disk: bool) -> Self {
        Self { allow_disk, staged: Vec::new() }
    }

    /// Creates a folder for this user alone, if it does not exist. It lets the group `gid` in and, with `traversable`, lets everybody
    /// pass through to files of their own. An existing folder gains these permissions and never loses any.
    pub(crate) fn ensure_folder(
        &self,
        folder: &Path,
        gid: Option<u32>,
        traversable: bool,
    ) -> Result<(), SecretFileError> {
        let failed = |error: io::Error| failed(folder, &error);
        let created = match folder.parent() {
            Some(parent) if !folder.exists() => {
                // The folders above hold nothing but this one, whose own mode protects the secrets.
                DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failed)?;
                match DirBuilder::new().mode(0o700).create(folder) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                    created => created.map(|()| true).map_err(failed)?,
                }
            }
            _ => false,
        };
        if !self.allow_disk && !in_memory(folder)? {
            // Nothing has been written yet, so that the folder can go without a trace.
            if created {
                let _ = fs::remove_dir(folder);
            }
            return Err(SecretFileError::Disk(folder.to_owned()));
        }
        let metadata = fs::metadata(folder).map_err(failed)?;
        let (old, mut mode) = (metadata.mode() & 0o7777, metadata.mode() & 0o7777);
        // A folder that everybody may enter and list needs no group. Its group may be somebody else's choice.
        if let Some(gid) = gid.filter(|_| old & 0o005 != 0o005) {
            if metadata.gid() != gid {
                chown(folder, None, Some(gid)).map_err(failed)?;
            }
            mode |= 0o050;
        }
        if traversable {
            mode |= 0o011;
        }
        if mode != old {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes a file under a temporary name beside `target`.
    pub(crate) fn add(
        &mut self,
        target: &Path,
        bytes: &[u8],
        access: FileAccess,
    ) -> Result<(), SecretFileError> {
        let folder = target.parent().unwrap_or(Path::new("/"));
        if !self.allow_disk && !in_memory(folder)? {
            return Err(SecretFileError::Disk(folder.to_owned()));
        }
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".new-{}", std::process::id()));
        let temporary = target.with_file_name(name);
        // A process with the same number may have been killed half-way. `create_new` below refuses a link that somebody else puts
        // there in the meantime.
        let _ = fs::remove_file(&temporary);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let mut file = opened.map_err(|error| failed(folder, &error))?;
        self.staged.push(StagedFile { temporary, target: target.to_owned() });
        write(&mut file, bytes, access).map_err(|error| failed(folder, &error))
    }

    /// Renames every file to its target, in the order in which they were added.
    ///
    /// # Errors
    /// A target is a folder. The files before it have been renamed.
    pub(crate) fn commit(mut self) -> Result<(), SecretFileError> {
        for StagedFile { temporary, target } in &self.staged {
            fs::rename(temporary, target).map_err(|error| failed(target, &error))?;
        }
        self.staged.clear();
        Ok(())
    }
}

impl Drop for StagedFiles {
    fn drop(&mut self) {
        for staged in &self.staged {
            let _ = fs::remove_file(&staged.temporary);
        }
    }
}

/// Removes the files in `folder`, and below it, that are not among `current`.
pub(crate) fn remove_stale(folder: &Path, current: &[&Path]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_stale(&path, current)?;
            // rmdir(2) refuses a folder that still has a file, which is what keeps it.
            let _ = fs::remove_dir(&path);
        } else if !current.contains(&path.as_path()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn write(file: &mut File, bytes: &[u8], access: FileAccess) -> io::Result<()> {
    file.write_all(bytes)?;
    // The owner before the mode: chown(2) may clear bits of the mode.
    if access.uid.is_some() || access.gid.is_some() {
        fchown(&*file, access.uid, access.gid)?;
    }
    file.set_permissions(fs::Permissions::from_mode(access.mode))
}

fn failed(folder: &Path, error: &io::Error) -> SecretFileError {
    SecretFileError::Io { folder: folder.to_owned(), kind: error.kind() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: FileAccess = FileAccess { mode: 0o600, uid: None, gid: None };

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn all_files_are_put_there_or_none() {
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let (a, b) = (memory.path().join("a"), memory.path().join("b"));
        let mut staged = StagedFiles::new(false);
        staged.add(&a, b"one", ALONE).unwrap();
        assert!(!a.exists());
        assert!(staged.add(Path::new("/proc/nowhere/x"), b"two", ALONE).is_err());
        drop(staged);
        assert!(names(memory.path()).is_empty());

        let mut staged = StagedFiles::new(false);
        staged.add(&a, b"one", ALONE).unwrap();
        staged.add(&b, b"two", FileAccess { mode: 0o440, ..ALONE }).unwrap();
        staged.commit().unwrap();
        assert_eq!(names(memory.path()), ["a", "b"]);
        assert_eq!(fs::read(&a).unwrap(), b"one");
        assert_eq!(fs::metadata(&b).unwrap().mode() & 0o777, 0o440);
        remove_stale(memory.path(), &[&b]).unwrap();
        assert_eq!(names(memory.path()), ["b"]);
    }

    #[test]
    fn a_disk_is_refused_unless_allowed() {
        let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let (folder, file) = (disk.path().join("x"), disk.path().join("f"));
        let mut staged = StagedFiles::new(false);
        assert_eq!(staged.ensure_folder(&folder, None, false), Err(SecretFileError::Disk(folder.clone())));
        assert!(!folder.exists());
        assert!(staged.add(&file, b"x", ALONE).is_err());
        let mut allowed = StagedFiles::new(true);
        allowed.ensure_folder(&folder, None, false).unwrap();
        allowed.add(&file, b"x", ALONE).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_was_there_is_never_closed_further() {
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let mode = |mode| fs::set_permissions(memory.path(), fs::Permissions::from_mode(mode)).unwrap();
        let seen = || fs::metadata(memory.path()).unwrap().mode() & 0o7777;
        let staged = StagedFiles::new(false);
        mode(0o755);
        staged.ensure_folder(memory.path(), None, true).unwrap();
        assert_eq!(seen(), 0o755);
        mode(0o700);
        staged.ensure_folder(memory.path(), None, false).unwrap();
        assert_eq!(seen(), 0o700);
        staged.ensure_folder(memory.path(), None, true).unwrap();
        assert_eq!(seen(), 0o711);
        staged.ensure_folder(memory.path(), Some(nix::unistd::getgid().as_raw()), false).unwrap();
        assert_eq!(seen(), 0o751);
    }
}
