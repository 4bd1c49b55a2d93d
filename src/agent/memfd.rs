//! Secrets that are delivered as files where there is no tmpfs: each is a sealed memfd that the workload inherits, under the path
//! `/proc/self/fd/N` (memfd_create(2)). It belongs to the workload's user and can only be read.
#![expect(clippy::disallowed_methods, reason = "opens files of /proc")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::close;

use super::account::Account;
use super::secret_files::SecretFileError;
use super::verified_release::VerifiedRelease;
use crate::domain::value::{Delivery, SecretValue};

/// The path of a descriptor, without its number. proc_pid_fd(5): opening it needs the rights of the file, and no tmpfs.
const FOLDER: &str = "/proc/self/fd";
/// The lowest number: above those that shells, job servers and socket activation use.
const FIRST: i32 = 100;
/// Descriptors from `FIRST` on that have to be free: a limit of 256, which some systems have, is enough.
const MIN_FREE: u64 = 128;
/// Shown in /proc/PID/fd.
const NAME: &str = "dropsafe";
/// `MFD_NOEXEC_SEAL` of linux/memfd.h, since Linux 6.3. The sysctl vm.memfd_noexec=2 demands it.
const NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(8);

/// Whether files can be delivered in this way: the workload finds them through `/proc`. Asked before a use of the ticket is spent.
pub(crate) fn is_possible() -> bool {
    let (Ok((limit, _)), Ok(entries)) = (getrlimit(Resource::RLIMIT_NOFILE), fs::read_dir(FOLDER)) else {
        return false;
    };
    let open = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // A sandbox may refuse the system call.
    let tried = || create(&[], None).is_ok_and(|number| close(number).is_ok());
    free_numbers(limit, open) >= MIN_FREE && tried()
}

/// How many descriptors from `FIRST` on can be opened below `limit`.
fn free_numbers(limit: u64, open: impl Iterator<Item = i32>) -> u64 {
    let taken = open.filter(|number| *number >= FIRST).count() as u64;
    limit.saturating_sub(u64::from(FIRST.unsigned_abs())).saturating_sub(taken)
}

/// Makes a memfd of each file of `release`, for `account` if the workload runs as another user. Returns the path of each entry that
/// is a file, by its index in the receipt. The descriptors stay open, also across execve(2).
pub(crate) fn create_all(
    release: &VerifiedRelease,
    account: Option<&Account>,
) -> Result<BTreeMap<usize, PathBuf>, SecretFileError> {
    let entries = release.receipt.entries.iter().zip(&release.values).enumerate();
    let files = entries.filter(|(_, (entry, _))| entry.delivery == Delivery::File);
    let create = |(index, (_, value)): (usize, (_, &SecretValue))| {
        let number = create(value.expose(), account).map_err(|error| SecretFileError::Memfd(error.kind()))?;
        Ok((index, Path::new(FOLDER).join(number.to_string())))
    };
    files.map(create).collect()
}

/// Returns the number of a descriptor that a new program inherits.
fn create(bytes: &[u8], account: Option<&Account>) -> io::Result<i32> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let created = match memfd_create(NAME, flags | NOEXEC_SEAL) {
        // An older kernel.
        Err(Errno::EINVAL) => memfd_create(NAME, flags),
        created => created,
    };
    let mut file = File::from(created?);
    file.write_all(bytes)?;
    file.rewind()?;
    if let Some(account) = account {
        fchown(&file, Some(account.uid.as_raw()), Some(account.gid.as_raw()))?;
    }
    file.set_permissions(PermissionsExt::from_mode(0o400))?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
    // The duplicate has no FD_CLOEXEC, so it stays open across execve(2).
    Ok(fcntl(&file, FcntlArg::F_DUPFD(FIRST))?)
}

/// Gives this process the memfd that another process knows as `path`, under the same number. Does nothing for any other path.
///
/// # Errors
/// The other process does not have it, or the number is taken here.
pub(crate) fn inherit(pid: u32, path: &[u8]) -> io::Result<()> {
    let number = str::from_utf8(path).ok().and_then(|path| path.strip_prefix(FOLDER)?.strip_prefix('/'));
    let number = number.and_then(|number| number.parse::<i32>().ok()).filter(|number| *number >= FIRST);
    let Some(number) = number else { return Ok(()) };
    let theirs = format!("/proc/{pid}/fd/{number}");
    // The workload may have put something else there, such as a pipe, which would be waited for.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&theirs)?;
    // Of what was opened: the workload can put something else there at any moment.
    let target = fs::read_link(format!("{FOLDER}/{}", file.as_raw_fd()))?;
    if !target.to_string_lossy().starts_with(&format!("/memfd:{NAME}")) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let taken = fcntl(&file, FcntlArg::F_DUPFD(number))?;
    if taken == number { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memfd_can_be_read_by_its_path_and_not_changed() {
        let number = create(b"value", None).unwrap();
        assert!(number >= FIRST);
        let path = Path::new(FOLDER).join(number.to_string());
        assert_eq!(fs::read(&path).unwrap(), b"value");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        // Root may open it for writing, and the seals hold for root too.
        if let Ok(mut file) = File::options().write(true).open(&path) {
            assert!(file.write_all(b"other").is_err() && file.set_len(1).is_err());
        }
        assert_eq!(fs::read(&path).unwrap(), b"value");
    }

    #[test]
    fn descriptors_that_are_taken_are_not_free() {
        assert_eq!(free_numbers(256, [0, 1, 2, 99].into_iter()), 156);
        assert_eq!(free_numbers(256, (0..200).chain([255])), 55);
        assert_eq!(free_numbers(64, 0..64), 0);
        assert!(is_possible());
    }

    #[test]
    fn only_a_memfd_of_the_agent_is_inherited() {
        let own = std::process::id();
        let file = File::open("/dev/null").unwrap();
        let other = fcntl(&file, FcntlArg::F_DUPFD(FIRST + 100)).unwrap();
        assert!(inherit(own, format!("{FOLDER}/{other}").as_bytes()).is_err());
        assert!(inherit(own, format!("{FOLDER}/99999").as_bytes()).is_err());
        // Here, its own number is taken, of course.
        let number = create(b"value", None).unwrap();
        let error = inherit(own, format!("{FOLDER}/{number}").as_bytes()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        for ignored in ["/run/dropsafe/x", "/proc/self/fd/3", "/proc/self/fd/x", "/proc/self/fd/+100/x", ""] {
            assert!(inherit(own, ignored.as_bytes()).is_ok());
        }
    }
}
