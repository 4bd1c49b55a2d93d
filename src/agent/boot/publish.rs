//! Puts files where others read them, all or none: each is written whole beside its place under a name of its own, and only when
//! every one is there are they renamed. Secrets are written to memory alone, unless the configuration allows a disk.
#![expect(clippy::disallowed_methods, reason = "writes, renames and removes the files of a boot")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::agent::outputs::{OutputError, in_memory};

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Its permissions.
    pub(crate) mode: u32,
    /// Its owner, unless it is this process's user.
    pub(crate) uid: Option<u32>,
    /// Its group, unless it is this process's.
    pub(crate) gid: Option<u32>,
}

/// Files that are written and not yet in their places; what is not put there is removed again.
pub(crate) struct Publication {
    disk: bool,
    staged: Vec<Staged>,
}

struct Staged {
    fresh: PathBuf,
    target: PathBuf,
}

impl Publication {
    /// Nothing so far. `disk`: whether a disk will do.
    pub(crate) fn new(disk: bool) -> Self {
        Self { disk, staged: Vec::new() }
    }

    /// Makes sure that there is a folder. One that is made is this user's alone, or lets the group `gid` in; with `pass`
    /// everybody may pass through to what is theirs. A folder that was there is only ever opened further, for these two.
    ///
    /// # Errors
    /// It is on a disk, or the system says no.
    pub(crate) fn folder(&self, folder: &Path, gid: Option<u32>, pass: bool) -> Result<(), OutputError> {
        let failed = |error: io::Error| failed(folder, &error);
        let made = match folder.parent() {
            Some(parent) if !folder.exists() => {
                // Parents are nobody's secret.
                DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failed)?;
                match DirBuilder::new().mode(0o700).create(folder) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                    made => made.map(|()| true).map_err(failed)?,
                }
            }
            _ => false,
        };
        if !self.disk && !in_memory(folder)? {
            if made {
                let _ = fs::remove_dir(folder);
            }
            return Err(OutputError::Disk(folder.to_owned()));
        }
        let metadata = fs::metadata(folder).map_err(failed)?;
        let (old, mut mode) = (metadata.mode() & 0o7777, metadata.mode() & 0o7777);
        // A folder that anybody may enter already needs no group.
        if let Some(gid) = gid.filter(|_| old & 0o005 != 0o005) {
            if metadata.gid() != gid {
                chown(folder, None, Some(gid)).map_err(failed)?;
            }
            mode |= 0o050;
        }
        if pass {
            mode |= 0o011;
        }
        if mode != old {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes a file beside `target`.
    ///
    /// # Errors
    /// It would be on a disk, or the system says no.
    pub(crate) fn add(&mut self, target: &Path, bytes: &[u8], access: Access) -> Result<(), OutputError> {
        let folder = target.parent().unwrap_or(Path::new("/"));
        if !self.disk && !in_memory(folder)? {
            return Err(OutputError::Disk(folder.to_owned()));
        }
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".new-{}", std::process::id()));
        let fresh = target.with_file_name(name);
        // Of a process with this number that was stopped half-way; never somebody else's link.
        let _ = fs::remove_file(&fresh);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
        let mut file = opened.map_err(|error| failed(folder, &error))?;
        self.staged.push(Staged { fresh, target: target.to_owned() });
        write(&mut file, bytes, access).map_err(|error| failed(folder, &error))
    }

    /// Puts every file in its place, in the order in which they were added.
    ///
    /// # Errors
    /// The system says no: a folder stands where a file should. Those before it are in their places.
    pub(crate) fn publish(mut self) -> Result<(), OutputError> {
        for Staged { fresh, target } in &self.staged {
            fs::rename(fresh, target).map_err(|error| failed(target, &error))?;
        }
        self.staged.clear();
        Ok(())
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        for staged in &self.staged {
            let _ = fs::remove_file(&staged.fresh);
        }
    }
}

/// Removes the files of `folder` that are none of `kept`: those of an earlier boot.
pub(crate) fn remove_others(folder: &Path, kept: &[PathBuf]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
            // Stays when something is in it.
            let _ = fs::remove_dir(&path);
        } else if !kept.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Owner before mode, since a change of owner may take bits away.
fn write(file: &mut File, bytes: &[u8], access: Access) -> io::Result<()> {
    file.write_all(bytes)?;
    if access.uid.is_some() || access.gid.is_some() {
        fchown(&*file, access.uid, access.gid)?;
    }
    file.set_permissions(fs::Permissions::from_mode(access.mode))
}

fn failed(folder: &Path, error: &io::Error) -> OutputError {
    OutputError::Io { folder: folder.to_owned(), kind: error.kind() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Access = Access { mode: 0o600, uid: None, gid: None };

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
        let mut publication = Publication::new(false);
        publication.add(&a, b"one", ALONE).unwrap();
        assert!(!a.exists());
        assert!(publication.add(Path::new("/proc/nowhere/x"), b"two", ALONE).is_err());
        drop(publication);
        assert!(names(memory.path()).is_empty());

        let mut publication = Publication::new(false);
        publication.add(&a, b"one", ALONE).unwrap();
        publication.add(&b, b"two", Access { mode: 0o440, ..ALONE }).unwrap();
        publication.publish().unwrap();
        assert_eq!(names(memory.path()), ["a", "b"]);
        assert_eq!(fs::read(&a).unwrap(), b"one");
        assert_eq!(fs::metadata(&b).unwrap().mode() & 0o777, 0o440);
        remove_others(memory.path(), &[b]).unwrap();
        assert_eq!(names(memory.path()), ["b"]);
    }

    #[test]
    fn a_disk_is_refused_unless_allowed() {
        let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let (folder, file) = (disk.path().join("x"), disk.path().join("f"));
        let mut publication = Publication::new(false);
        assert_eq!(publication.folder(&folder, None, false), Err(OutputError::Disk(folder.clone())));
        assert!(!folder.exists());
        assert!(publication.add(&file, b"x", ALONE).is_err());
        let mut allowed = Publication::new(true);
        allowed.folder(&folder, None, false).unwrap();
        allowed.add(&file, b"x", ALONE).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_was_there_is_never_closed_further() {
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let mode = |mode| fs::set_permissions(memory.path(), fs::Permissions::from_mode(mode)).unwrap();
        let seen = || fs::metadata(memory.path()).unwrap().mode() & 0o7777;
        let publication = Publication::new(false);
        mode(0o755);
        publication.folder(memory.path(), None, true).unwrap();
        assert_eq!(seen(), 0o755);
        mode(0o700);
        publication.folder(memory.path(), None, false).unwrap();
        assert_eq!(seen(), 0o700);
        publication.folder(memory.path(), None, true).unwrap();
        assert_eq!(seen(), 0o711);
        publication.folder(memory.path(), Some(nix::unistd::getgid().as_raw()), false).unwrap();
        assert_eq!(seen(), 0o751);
    }
}
