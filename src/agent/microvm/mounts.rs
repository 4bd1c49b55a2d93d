//! What a kernel leaves to its first process: the file systems that programs count on, and the drivers that the image brings
//! along. Nothing on a disk is mounted.
#![expect(clippy::disallowed_methods, reason = "makes mount points and opens drivers")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};

/// Drivers lie here, as files that are loaded in the order of their names.
const MODULES: &str = "/modules";

/// What could not be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MountFault {
    /// A file system.
    #[error("{path} is not mounted: {}", errno.desc())]
    Mount {
        /// Where it belongs.
        path: &'static str,
        /// What the kernel says.
        errno: Errno,
    },
    /// A driver.
    #[error("{} is not loaded: {}", path.display(), errno.desc())]
    Module {
        /// Its file.
        path: PathBuf,
        /// What the kernel says.
        errno: Errno,
    },
}

const QUIET: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
const MEMORY: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Path, kind, flags and options of each but `/proc`.
const ALL: [(&str, &str, MsFlags, &str); 4] = [
    ("/sys", "sysfs", QUIET, ""),
    ("/dev", "devtmpfs", MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC), "mode=0755"),
    ("/run", "tmpfs", MEMORY, "mode=0755"),
    ("/tmp", "tmpfs", MEMORY, "mode=1777"),
];

/// Mounts `/proc`, which tells whether the rest is to be mounted.
///
/// # Errors
/// The kernel refuses, as it does everybody in a container.
pub(crate) fn proc() -> Result<(), MountFault> {
    one("/proc", "proc", QUIET, "")
}

/// Mounts the others and loads the drivers; gives what could not be had.
pub(crate) fn all() -> Vec<MountFault> {
    let mounted =
        ALL.into_iter().filter_map(|(path, kind, flags, options)| one(path, kind, flags, options).err());
    let mut faults: Vec<MountFault> = mounted.collect();
    faults.extend(modules(Path::new(MODULES)).into_iter().filter_map(|path| load(path).err()));
    faults
}

fn one(path: &'static str, kind: &str, flags: MsFlags, options: &str) -> Result<(), MountFault> {
    // The image may have it already, or be read-only.
    let _ = fs::create_dir(path);
    match mount(Some(kind), path, Some(kind), flags, Some(options)) {
        // The kernel itself has mounted it (CONFIG_DEVTMPFS_MOUNT).
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(MountFault::Mount { path, errno }),
    }
}

fn modules(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    files
}

fn load(path: PathBuf) -> Result<(), MountFault> {
    let os = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    let loaded =
        File::open(&path).map_err(os).and_then(|file| finit_module(file, c"", ModuleInitFlags::empty()));
    match loaded {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(MountFault::Module { path, errno }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_taken_in_the_order_of_their_names() {
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
    fn what_is_no_driver_is_told_by_its_name() {
        let fault = load(PathBuf::from("/nonexistent/x.ko")).unwrap_err();
        assert_eq!(fault.to_string(), "/nonexistent/x.ko is not loaded: No such file or directory");
    }
}
