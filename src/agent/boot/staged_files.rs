//! The files of a boot, which appear all at once or not at all: each is written in full under a temporary name beside its target, and
//! only when all of them are written are they renamed. Secrets are written to memory only, unless the configuration allows a disk.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::agent::folder::{FileAccess, Folder, StagedName};
use crate::agent::secret_files::{SecretFileError, check_place, failed, require_safe};

/// Files that are written and not yet renamed. Files that are never committed are removed on drop.
pub(crate) struct StagedFiles {
    allow_disk: bool,
    staged: Vec<(Folder, StagedName, PathBuf)>,
}

impl StagedFiles {
    pub(crate) fn new(allow_disk: bool) -> Self {
        Self { allow_disk, staged: Vec::new() }
    }

    /// Creates a folder for this user alone, if it does not exist. It lets the group `gid` in and, with `traversable`, lets everybody
    /// pass through to files of their own. An existing folder gains these permissions and never loses any.
    pub(crate) fn ensure_folder(
        &self,
        path: &Path,
        gid: Option<u32>,
        traversable: bool,
    ) -> Result<(), SecretFileError> {
        let failed = |error: io::Error| failed(path, &error);
        // Where the nearest folder that exists is on a disk, nothing is created.
        check_place(path, self.allow_disk)?;
        let folder = Folder::create(path, 0o700).map_err(failed)?;
        require_safe(&folder, path, self.allow_disk, None)?;
        let (old, group) = folder.mode_and_gid().map_err(failed)?;
        let mut mode = old;
        // A folder that everybody may enter and list needs no group. Its group may be somebody else's choice.
        if let Some(gid) = gid.filter(|_| old & 0o005 != 0o005) {
            if group != gid {
                folder.set_group(gid).map_err(failed)?;
            }
            mode |= 0o050;
        }
        if traversable {
            mode |= 0o011;
        }
        if mode == old { Ok(()) } else { folder.set_mode(mode).map_err(failed) }
    }

    /// Writes a file under a temporary name beside `target`.
    pub(crate) fn add(
        &mut self,
        target: &Path,
        bytes: &[u8],
        access: FileAccess,
    ) -> Result<(), SecretFileError> {
        let path = target.parent().unwrap_or(Path::new("/"));
        let failed = |error: io::Error| failed(path, &error);
        let folder = Folder::open(path).map_err(failed)?;
        require_safe(&folder, path, self.allow_disk, access.uid)?;
        let name: &OsStr = target.file_name().unwrap_or_default();
        let staged = folder.stage(name, bytes, access, false).map_err(failed)?;
        self.staged.push((folder, staged, target.to_owned()));
        Ok(())
    }

    /// Renames every file to its target, in the order in which they were added.
    ///
    /// # Errors
    /// A target is a folder. The files before it have been renamed.
    pub(crate) fn commit(mut self) -> Result<(), SecretFileError> {
        for (folder, staged, target) in &self.staged {
            folder.commit(staged).map_err(|error| failed(target, &error))?;
        }
        self.staged.clear();
        Ok(())
    }
}

impl Drop for StagedFiles {
    fn drop(&mut self) {
        for (folder, staged, _) in &self.staged {
            folder.discard(staged);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test reads what was written")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::agent::folder::remove_stale;

    const ALONE: FileAccess = FileAccess::OWNER;

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
