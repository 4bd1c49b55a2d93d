//! Finds the workload's program as a shell does, so that it can be done before anything is fetched: a mistyped name must not
//! cost a use of the ticket. It looks and starts nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::obstacle::shown;

/// Where a shell looks when nobody set PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why there is no program to become.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FindError {
    /// Nowhere.
    #[error("{}: there is no such program", shown(.0))]
    NotFound(OsString),
    /// There, and not executable.
    #[error("{}: it cannot be executed", shown(.0))]
    NotExecutable(OsString),
}

impl FindError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NotFound(name) if name.as_bytes().contains(&b'/') => {
                "check the path, inside the container if this is one"
            }
            Self::NotFound(_) => "check the name, and PATH as the workload would see it",
            Self::NotExecutable(_) => "check that it is a file with the executable bit (chmod +x)",
        }
    }
}

/// The program that `command` means, looked for in `path` (the workload's PATH) unless it holds a slash.
///
/// # Errors
/// As a shell tells them apart: not there, or there and not executable.
pub(crate) fn find(command: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, FindError> {
    let mut there = false;
    if command.as_bytes().contains(&b'/') {
        if executable(Path::new(command), &mut there) {
            return Ok(command.into());
        }
    } else if !command.is_empty() {
        let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
        for folder in path.as_bytes().split(|byte| *byte == b':') {
            // An empty element means the working directory (POSIX XBD 8.3).
            let folder =
                if folder.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(folder)) };
            let candidate = folder.join(command);
            if executable(&candidate, &mut there) {
                return Ok(candidate);
            }
        }
    }
    let name = command.to_owned();
    Err(if there { FindError::NotExecutable(name) } else { FindError::NotFound(name) })
}

fn executable(path: &Path, there: &mut bool) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    *there = true;
    // For root every file with any executable bit will do, and so will a directory.
    metadata.is_file() && access(path, AccessFlags::X_OK).is_ok()
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
        assert_eq!(find("x".as_ref(), Some(only)), Err(FindError::NotExecutable("x".into())));
        assert_eq!(find("y".as_ref(), Some(only)), Err(FindError::NotFound("y".into())));
    }

    #[test]
    fn a_slash_means_a_path_and_nothing_else() {
        let folder = folder(&[("x", 0o755), ("y", 0o600)]);
        let inside = |name: &str| folder.path().join(name).into_os_string();
        assert_eq!(find(&inside("x"), None), Ok(folder.path().join("x")));
        assert_eq!(find(&inside("y"), None), Err(FindError::NotExecutable(inside("y"))));
        assert_eq!(find(&inside("z"), None), Err(FindError::NotFound(inside("z"))));
        assert!(find(folder.path().as_os_str(), None).is_err());
        assert_eq!(
            find("x/".as_ref(), Some(folder.path().as_os_str())),
            Err(FindError::NotFound("x/".into()))
        );
    }

    #[test]
    fn without_a_path_the_shells_own_counts_and_an_empty_name_is_nothing() {
        assert!(find("sh".as_ref(), None).is_ok());
        assert_eq!(find("sh".as_ref(), Some("".as_ref())), Err(FindError::NotFound("sh".into())));
        assert_eq!(find("".as_ref(), None), Err(FindError::NotFound("".into())));
    }
}
