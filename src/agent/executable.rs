//! Finds the workload's program as a shell does. It can do so before anything is fetched, since a mistyped name must not cost a use
//! of the ticket. It starts nothing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};

use super::plan_error::display_name;

/// Searched when PATH is not set, as by the shells of Debian.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExecutableError {
    #[error("{}: no such program", display_name(.0))]
    NotFound(OsString),
    #[error("{}: cannot be executed", display_name(.0))]
    NotExecutable(OsString),
}

impl ExecutableError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NotFound(name) if name.as_bytes().contains(&b'/') => {
                "check the path, inside the container if this is one"
            }
            Self::NotFound(_) => "check the name, and PATH as the workload would see it",
            Self::NotExecutable(_) => {
                "check that it is a file with the executable bit (chmod +x), and that the workload's user may reach it"
            }
        }
    }
}

/// The program that `command` names. It is searched in `path`, the workload's PATH, unless it contains a slash.
///
/// The effective user decides what can be executed.
///
/// # Errors
/// As a shell tells them apart: no such file, or a file that is not executable.
pub(crate) fn find(command: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, ExecutableError> {
    let mut exists = false;
    if command.as_bytes().contains(&b'/') {
        if is_executable(Path::new(command), &mut exists) {
            return Ok(command.into());
        }
    } else if !command.is_empty() {
        let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
        for folder in path.as_bytes().split(|byte| *byte == b':') {
            // An empty element means the working directory (POSIX XBD 8.3).
            let folder =
                if folder.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(folder)) };
            let candidate = folder.join(command);
            // A file that cannot be executed does not end the search: a later folder may have one that can (XCU 2.9.1.4).
            if is_executable(&candidate, &mut exists) {
                return Ok(candidate);
            }
        }
    }
    let name = command.to_owned();
    Err(if exists { ExecutableError::NotExecutable(name) } else { ExecutableError::NotFound(name) })
}

fn is_executable(path: &Path, exists: &mut bool) -> bool {
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) => {
            // A folder that this user may not search.
            *exists |= error.kind() == io::ErrorKind::PermissionDenied;
            return false;
        }
    };
    *exists = true;
    // The kernel's check alone accepts a folder that may be searched, and for root any file with an executable bit.
    metadata.is_file() && eaccess(path, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes the programs to be found")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(files: &[(&str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
        folder
    }

    #[test]
    fn the_first_executable_in_path_is_taken() {
        let (a, b) = (folder(&[("x", 0o644)]), folder(&[("x", 0o755)]));
        let path = format!("/nowhere:{}:{}", a.path().display(), b.path().display());
        assert_eq!(find("x".as_ref(), Some(path.as_ref())), Ok(b.path().join("x")));
        let only = a.path().as_os_str();
        assert_eq!(find("x".as_ref(), Some(only)), Err(ExecutableError::NotExecutable("x".into())));
        assert_eq!(find("y".as_ref(), Some(only)), Err(ExecutableError::NotFound("y".into())));
    }

    #[test]
    fn a_slash_means_a_path_and_nothing_else() {
        let folder = folder(&[("x", 0o755), ("y", 0o600)]);
        let inside = |name: &str| folder.path().join(name).into_os_string();
        assert_eq!(find(&inside("x"), None), Ok(folder.path().join("x")));
        assert_eq!(find(&inside("y"), None), Err(ExecutableError::NotExecutable(inside("y"))));
        assert_eq!(find(&inside("z"), None), Err(ExecutableError::NotFound(inside("z"))));
        assert!(find(folder.path().as_os_str(), None).is_err());
        assert_eq!(
            find("x/".as_ref(), Some(folder.path().as_os_str())),
            Err(ExecutableError::NotFound("x/".into()))
        );
    }

    #[test]
    fn without_a_path_the_shells_own_counts_and_an_empty_name_is_nothing() {
        assert!(find("sh".as_ref(), None).is_ok());
        assert_eq!(find("sh".as_ref(), Some("".as_ref())), Err(ExecutableError::NotFound("sh".into())));
        assert_eq!(find("".as_ref(), None), Err(ExecutableError::NotFound("".into())));
    }
}
