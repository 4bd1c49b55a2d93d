//! An open folder, and files that are written into it. The path is resolved once, and each file is created and renamed relative to the
//! open folder, so that a process that changes names in the meantime cannot redirect what this process writes, possibly as root.
//!
//! No reader sees half of a file, and at no moment does a file have a wider mode than it ends with.
#![expect(clippy::disallowed_methods, reason = "writes and renames files")]

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::fchown;
use std::path::{Component, Path};
use std::{fs, io};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat, mkdirat};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use nix::unistd::{AccessFlags, Gid, UnlinkatFlags, faccessat, fchownat, geteuid, unlinkat};
use zeroize::Zeroizing;

use crate::crypto::random::{self, Kernel};

/// As many symbolic links as the kernel follows in one path (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// `RAMFS_MAGIC` of linux/magic.h. systemd mounts credentials on ramfs where tmpfs has no `noswap`.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileAccess {
    pub(crate) mode: u32,
    /// Default: this process's user.
    pub(crate) uid: Option<u32>,
    /// Default: this process's group.
    pub(crate) gid: Option<u32>,
}

impl FileAccess {
    /// This process's user alone.
    pub(crate) const OWNER: Self = Self { mode: 0o600, uid: None, gid: None };
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

/// A file that is complete under a temporary name.
#[derive(Debug)]
pub(crate) struct StagedName {
    temporary: OsString,
    target: OsString,
}

impl Folder {
    /// Opens the folder at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(resolve(path, None)?))
    }

    /// Opens the folder at `path`, and creates what is missing: the folder itself with `mode`, and those above with 0755. They hold
    /// nothing but this one, whose own mode protects the files.
    pub(crate) fn create(path: &Path, mode: u32) -> io::Result<Self> {
        Ok(Self(resolve(path, Some(Mode::from_bits_truncate(mode)))?))
    }

    /// Opens a folder in this one, and creates it with `mode` if it is missing. Follows no symbolic link.
    pub(crate) fn subfolder(&self, name: &OsStr, mode: u32) -> io::Result<Self> {
        match mkdirat(&self.0, name, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Whether only root, this process's user and `owner` can change the files in it.
    pub(crate) fn is_protected(&self, owner: Option<u32>) -> io::Result<bool> {
        let stat = fstat(&self.0)?;
        Ok(is_protected(&stat) || Some(stat.st_uid) == owner && !is_shared(&stat))
    }

    /// Whether its files are kept in memory.
    pub(crate) fn in_memory(&self) -> io::Result<bool> {
        // Unlike ramfs, tmpfs can be swapped out. The units forbid that for what they write (MemorySwapMax=0); elsewhere it is the
        // machine's decision.
        let medium = fstatfs(&self.0)?.filesystem_type();
        Ok(medium == TMPFS_MAGIC || medium == RAMFS_MAGIC)
    }

    /// Returns its mode without the type, and its group.
    pub(crate) fn mode_and_gid(&self) -> io::Result<(u32, u32)> {
        let stat = fstat(&self.0)?;
        Ok((stat.st_mode & 0o7777, stat.st_gid))
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        // `.` is this folder itself: fchmod(2) refuses a descriptor with O_PATH.
        let mode = Mode::from_bits_truncate(mode);
        Ok(fchmodat(&self.0, ".", mode, FchmodatFlags::FollowSymlink)?)
    }

    pub(crate) fn set_group(&self, gid: u32) -> io::Result<()> {
        Ok(fchownat(&self.0, ".", None, Some(Gid::from_raw(gid)), AtFlags::empty())?)
    }

    /// Checks that this process may create and delete files in it.
    pub(crate) fn require_writable(&self) -> io::Result<()> {
        Ok(faccessat(&self.0, ".", AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS)?)
    }

    /// The regular file of this name, and who may read it. Follows no symbolic link.
    ///
    /// # Errors
    /// `ELOOP` for a symbolic link, `EINVAL` for anything else that is not a regular file.
    pub(crate) fn regular_file(&self, name: &OsStr) -> io::Result<(FileId, FileAccess)> {
        let stat = fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        match file_type(&stat) {
            SFlag::S_IFREG => {}
            SFlag::S_IFLNK => return Err(Errno::ELOOP.into()),
            _ => return Err(Errno::EINVAL.into()),
        }
        let access =
            FileAccess { mode: stat.st_mode & 0o7777, uid: Some(stat.st_uid), gid: Some(stat.st_gid) };
        Ok((FileId { device: stat.st_dev, inode: stat.st_ino }, access))
    }

    /// Deletes a file, if the name still stands for this one.
    ///
    /// # Errors
    /// `NotFound` if it is not there any more.
    pub(crate) fn remove(&self, name: &OsStr, id: FileId) -> io::Result<()> {
        match self.regular_file(name)? {
            (found, _) if found == id => Ok(unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)?),
            _ => Err(Errno::ENOENT.into()),
        }
    }

    /// Reads a regular file, without following a symbolic link.
    pub(crate) fn read(&self, name: &OsStr) -> io::Result<Zeroizing<Vec<u8>>> {
        self.read_if(name, u64::MAX, |_| true)
    }

    /// The same for a file that decides what this process does: it belongs to root or to this process's user, and no other user can
    /// write to it. In a folder such as /dev/shm, everybody can create files. Reads `limit` bytes at most.
    ///
    /// # Errors
    /// `InvalidInput` if it belongs to another user, or is not a regular file.
    pub(crate) fn read_own(&self, name: &OsStr, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        self.read_if(name, limit, |stat| is_own(stat) && stat.st_mode & 0o022 == 0)
    }

    fn read_if(
        &self,
        name: &OsStr,
        limit: u64,
        accepts: impl Fn(&FileStat) -> bool,
    ) -> io::Result<Zeroizing<Vec<u8>>> {
        // Somebody may have put a pipe there, and opening one waits for the other end.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.0, name, flags, Mode::empty())?);
        let stat = fstat(&file)?;
        if file_type(&stat) != SFlag::S_IFREG || !accepts(&stat) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // A vector that grows leaves copies behind that are not wiped. Files in /proc say that they are empty.
        let length = u64::try_from(stat.st_size).unwrap_or_default().max(64 << 10).min(limit);
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 64));
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes a file under a temporary name. With `durable`, its content survives a power failure once it is renamed.
    pub(crate) fn stage(
        &self,
        target: &OsStr,
        bytes: &[u8],
        access: FileAccess,
        durable: bool,
    ) -> io::Result<StagedName> {
        // A random name: processes of different PID namespaces have the same numbers and may write to the same folder.
        let mut temporary = OsString::from(".");
        temporary.push(target);
        temporary.push(format!(".new-{:016x}", u64::from_ne_bytes(random::array(&mut Kernel))));
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.0, &*temporary, flags, Mode::from_bits_truncate(0o600))?;
        let staged = StagedName { temporary, target: target.to_owned() };
        let written = write(&mut File::from(file), bytes, access, durable);
        if written.is_err() {
            self.discard(&staged);
        }
        written.map(|()| staged)
    }

    /// Renames a staged file to its target, which it replaces.
    pub(crate) fn commit(&self, staged: &StagedName) -> io::Result<()> {
        Ok(renameat(&self.0, &*staged.temporary, &self.0, &*staged.target)?)
    }

    /// Removes a staged file.
    pub(crate) fn discard(&self, staged: &StagedName) {
        let _ = unlinkat(&self.0, &*staged.temporary, UnlinkatFlags::NoRemoveDir);
    }

    /// Replaces a file, or creates it.
    pub(crate) fn replace(
        &self,
        target: &OsStr,
        bytes: &[u8],
        access: FileAccess,
        durable: bool,
    ) -> io::Result<()> {
        let staged = self.stage(target, bytes, access, durable)?;
        let renamed = self.commit(&staged);
        if renamed.is_err() {
            self.discard(&staged);
        }
        renamed
    }
}

fn write(file: &mut File, bytes: &[u8], access: FileAccess, durable: bool) -> io::Result<()> {
    file.write_all(bytes)?;
    // The owner before the mode: chown(2) may clear bits of the mode.
    if access.uid.is_some() || access.gid.is_some() {
        fchown(&*file, access.uid, access.gid)?;
    }
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(access.mode))?;
    if durable {
        // Before the rename, or after a power failure the new name could have no content. The folder is not synced: if the rename is
        // lost, the old content is still there.
        file.sync_data()?;
    }
    Ok(())
}

/// Opens a folder component by component, and creates missing ones if `create` is the mode of the last one.
fn resolve(path: &Path, create: Option<Mode>) -> Result<OwnedFd, Errno> {
    let opened = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let start = |path: &Path| {
        let root = if path.is_absolute() { "/" } else { "." };
        openat(AT_FDCWD, root, opened, Mode::empty())
    };
    let mut folder = start(path)?;
    let mut left: Vec<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = left.pop() {
        let next = match (openat(&folder, &*name, opened, Mode::empty()), create) {
            (Err(Errno::ENOENT), Some(last)) => {
                let mode = if left.is_empty() { last } else { Mode::from_bits_truncate(0o755) };
                match mkdirat(&folder, &*name, mode) {
                    // Another boot at the same time.
                    Ok(()) | Err(Errno::EEXIST) => openat(&folder, &*name, opened, Mode::empty())?,
                    Err(errno) => return Err(errno),
                }
            }
            (next, _) => next?,
        };
        let stat = fstat(&next)?;
        match file_type(&stat) {
            SFlag::S_IFDIR => folder = next,
            // /var/run is a link of the distribution. A link that another user made, or can replace, leads to a folder of that user's
            // choice, where this process may have rights that the user does not have.
            SFlag::S_IFLNK if links < MAX_LINKS && is_own(&stat) && is_protected(&fstat(&folder)?) => {
                links += 1;
                let target = readlinkat(&next, "")?;
                if Path::new(&target).is_absolute() {
                    folder = start(Path::new(&target))?;
                }
                left.extend(names(Path::new(&target)));
            }
            SFlag::S_IFLNK => return Err(Errno::ELOOP),
            _ => return Err(Errno::ENOTDIR),
        }
    }
    Ok(folder)
}

/// The names in a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

fn is_protected(folder: &FileStat) -> bool {
    is_own(folder) && !is_shared(folder)
}

fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Whether it belongs to root or to this process's user.
fn is_own(stat: &FileStat) -> bool {
    stat.st_uid == 0 || stat.st_uid == geteuid().as_raw()
}

/// Whether users other than its owner can replace the files of others in it. The sticky bit prevents that (inode(7)).
fn is_shared(folder: &FileStat) -> bool {
    folder.st_mode & 0o022 != 0 && folder.st_mode & 0o1000 == 0
}

/// Removes the files in `folder`, and below it, that are not among `current`. Follows no symbolic link.
pub(crate) fn remove_stale(folder: &Path, current: &[&Path]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            remove_stale(&path, current)?;
            // rmdir(2) refuses a folder that still has a file, which is what keeps it.
            let _ = fs::remove_dir(&path);
        } else if !current.contains(&path.as_path()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    const NAME: &str = "x";

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_appears_whole_with_its_mode() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        let folder = Folder::create(&path, 0o700).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        for (bytes, mode) in [(&b"one"[..], 0o600), (b"longer", 0o440), (b"", 0o644)] {
            folder.replace(NAME.as_ref(), bytes, FileAccess { mode, ..FileAccess::OWNER }, true).unwrap();
            assert_eq!(fs::read(path.join(NAME)).unwrap(), bytes);
            assert_eq!(fs::metadata(path.join(NAME)).unwrap().mode() & 0o777, mode);
        }
        let staged = folder.stage(NAME.as_ref(), b"never", FileAccess::OWNER, false).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
        folder.discard(&staged);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        // A target that cannot be replaced leaves nothing behind.
        fs::create_dir(path.join("taken")).unwrap();
        assert!(folder.replace("taken".as_ref(), b"x", FileAccess::OWNER, false).is_err());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
    }

    #[test]
    fn the_folder_that_was_opened_is_written_to_whatever_becomes_of_its_name() {
        let place = tempfile::tempdir().unwrap();
        let (path, moved) = (place.path().join("a"), place.path().join("moved"));
        let folder = Folder::create(&path, 0o700).unwrap();
        let victim = place.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::rename(&path, &moved).unwrap();
        symlink(&victim, &path).unwrap();
        folder.replace(NAME.as_ref(), b"value", FileAccess::OWNER, false).unwrap();
        assert!(moved.join(NAME).exists() && fs::read_dir(&victim).unwrap().count() == 0);
    }

    #[test]
    fn a_symbolic_link_at_a_target_is_replaced_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let victim = place.path().join("victim");
        fs::write(&victim, "kept").unwrap();
        symlink(&victim, place.path().join(NAME)).unwrap();
        let folder = Folder::open(place.path()).unwrap();
        folder.replace(NAME.as_ref(), b"value", FileAccess::OWNER, false).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"kept");
        remove_stale(place.path(), &[&victim]).unwrap();
        symlink(place.path(), place.path().join("loop")).unwrap();
        remove_stale(place.path(), &[&victim]).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_a_regular_file_of_this_user_is_read() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let path = place.path().join(NAME);
        fs::write(&path, "text").unwrap();
        let own = |limit| folder.read_own(NAME.as_ref(), limit);
        assert_eq!(own(u64::MAX).unwrap().as_slice(), b"text");
        assert_eq!(own(3).unwrap().as_slice(), b"tex");
        for mode in [0o620, 0o602, 0o666] {
            set_mode(&path, mode);
            let refused = own(u64::MAX).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{mode:o}");
        }
        set_mode(&path, 0o644);
        if geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            assert_eq!(own(u64::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            assert!(folder.read(NAME.as_ref()).is_ok());
        }
        // Opening it would wait for somebody who writes.
        nix::unistd::mkfifo(&place.path().join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        assert_eq!(folder.read("pipe".as_ref()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        symlink(NAME, place.path().join("link")).unwrap();
        assert!(folder.read("link".as_ref()).is_err());
    }

    #[test]
    fn links_are_followed_only_where_nobody_else_can_put_them() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().join("real");
        fs::create_dir(&real).unwrap();
        for (link, target) in
            [("absolute", real.as_os_str()), ("relative", "./real".as_ref()), ("up", "real/../real".as_ref())]
        {
            symlink(target, place.path().join(link)).unwrap();
            let found = Folder::open(&place.path().join(link)).unwrap();
            assert_eq!(fstat(&found.0).unwrap().st_ino, fs::metadata(&real).unwrap().ino());
        }
        symlink("self", place.path().join("self")).unwrap();
        assert_eq!(resolve(&place.path().join("self"), None).unwrap_err(), Errno::ELOOP);
        set_mode(place.path(), 0o777);
        assert_eq!(resolve(&place.path().join("absolute"), None).unwrap_err(), Errno::ELOOP);
        assert!(Folder::open(&real).is_ok());
        // Only its owner can replace a link there.
        set_mode(place.path(), 0o1777);
        assert!(Folder::open(&place.path().join("absolute")).is_ok());
        if geteuid().is_root() {
            std::os::unix::fs::lchown(place.path().join("absolute"), Some(12345), None).unwrap();
            assert_eq!(resolve(&place.path().join("absolute"), None).unwrap_err(), Errno::ELOOP);
        }
        fs::write(place.path().join("file"), "").unwrap();
        assert_eq!(resolve(&place.path().join("file/x"), None).unwrap_err(), Errno::ENOTDIR);
    }

    #[test]
    fn a_folder_that_others_can_change_is_not_protected() {
        let place = tempfile::tempdir().unwrap();
        for (mode, protected) in
            [(0o700, true), (0o755, true), (0o1777, true), (0o770, false), (0o777, false), (0o702, false)]
        {
            set_mode(place.path(), mode);
            assert_eq!(
                Folder::open(place.path()).unwrap().is_protected(None).unwrap(),
                protected,
                "{mode:o}"
            );
        }
        if geteuid().is_root() {
            set_mode(place.path(), 0o700);
            std::os::unix::fs::chown(place.path(), Some(12345), None).unwrap();
            let folder = Folder::open(place.path()).unwrap();
            assert!(!folder.is_protected(None).unwrap() && folder.is_protected(Some(12345)).unwrap());
        }
    }
}
