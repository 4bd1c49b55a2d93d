//! What the kernel leaves to its first process: mounting the file systems that programs rely on, and loading the drivers of the image.
//! Nothing on a disk is mounted.
#![expect(clippy::disallowed_methods, reason = "makes mount points and opens drivers")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount, umount};

/// The folder of drivers, which are loaded in the order of their names.
const MODULES: &str = "/modules";

/// What is missing afterwards.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MountFault {
    #[error("cannot mount {path}: {}", errno.desc())]
    Mount { path: &'static str, errno: Errno },
    #[error("cannot load {}: {}", path.display(), errno.desc())]
    Module { path: PathBuf, errno: Errno },
}

const QUIET: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
const MEMORY: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Path, type, flags and options of each except `/proc`.
const ALL: [(&str, &str, MsFlags, &str); 4] = [
    ("/sys", "sysfs", QUIET, ""),
    ("/dev", "devtmpfs", MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC), "mode=0755"),
    ("/run", "tmpfs", MEMORY, "mode=0755"),
    ("/tmp", "tmpfs", MEMORY, "mode=1777"),
];

/// Mounts `/proc`.
pub(crate) fn mount_proc() -> Result<(), MountFault> {
    mount_one("/proc", "proc", QUIET, "")
}

/// Takes it away again.
pub(crate) fn unmount_proc() {
    let _ = umount("/proc");
}

/// Mounts the others and loads the drivers. Returns what failed.
pub(crate) fn mount_all() -> Vec<MountFault> {
    let mounted = ALL
        .into_iter()
        .filter_map(|(path, kind, flags, options)| mount_one(path, kind, flags, options).err());
    let mut faults: Vec<MountFault> = mounted.collect();
    faults.extend(modules(Path::new(MODULES)).into_iter().filter_map(|path| load(path).err()));
    faults
}

fn mount_one(path: &'static str, kind: &str, flags: MsFlags, options: &str) -> Result<(), MountFault> {
    // Fails if the image has the folder already, or is read-only; then mount(2) decides.
    let _ = fs::create_dir(path);
    match mount(Some(kind), path, Some(kind), flags, Some(options)) {
        // EBUSY: the kernel itself has mounted it (CONFIG_DEVTMPFS_MOUNT).
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(MountFault::Mount { path, errno }),
    }
}

fn modules(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    // Drivers depend on each other, and there is no modules.dep here: the person who builds the image numbers them.
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

fn load(path: PathBuf) -> Result<(), MountFault> {
    let os = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    let loaded =
        File::open(&path).map_err(os).and_then(|file| finit_module(file, c"", ModuleInitFlags::empty()));
    match loaded {
        // EEXIST: it is loaded, or built into the kernel.
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(MountFault::Module { path, errno }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_loaded_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["10-c.ko", "02-b.ko", "01-a.ko"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> =
            modules(folder.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["01-a.ko", "02-b.ko", "10-c.ko"]);
        assert!(modules(&folder.path().join("none")).is_empty());
    }

    #[test]
    fn a_file_that_is_not_a_driver_is_named() {
        let fault = load(PathBuf::from("/nonexistent/x.ko")).unwrap_err();
        assert_eq!(fault.to_string(), "cannot load /nonexistent/x.ko: No such file or directory");
    }
}
