//! The files that a boot leaves: the environment, the same for shells, the receipt, and the secrets that are files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use tracing::warn;

use super::environment_file;
use super::environment_file::{ENVIRONMENT, EnvPair, RECEIPT};
use super::staged_files::StagedFiles;
use crate::agent::account::AccountError;
use crate::agent::config::AgentSettings;
use crate::agent::environment::EnvironmentStrings;
use crate::agent::file_mapping::FileMapping;
use crate::agent::folder::{FileAccess, remove_stale};
use crate::agent::machine::Files;
use crate::agent::plan_error::display_name;
use crate::agent::secret_files::SecretFileError;
use crate::agent::verified_release::{ReleaseSource, VerifiedRelease};
use crate::agent::{account, file_mapping, machine};
use crate::domain::name::EnvName;
use crate::domain::value::Delivery;

/// The environment for a shell to source.
const PROFILE: &str = "profile.sh";
/// The folder of secrets that are files.
const FILES: &str = "files";

/// Why the files of a boot were not written. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("no shell can read a variable of that name: {0}")]
    Name(String),
    /// Values that Docker's format cannot hold.
    #[error("Docker's env-file cannot hold the values of {}", .0.join(", "))]
    Docker(Vec<String>),
    /// The group, or the owner of a file, does not exist on this machine.
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    File(#[from] SecretFileError),
}

impl PublishError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name(_) => Some("rename it in the configuration or in the defaults file"),
            Self::Docker(_) => {
                Some("its lines cannot contain a newline: deliver such values as files, or use `exec`")
            }
            Self::Account(error) => error.hint(),
            Self::File(error) => Some(error.hint()),
        }
    }
}

/// The target of a secret that is delivered as a file.
pub(crate) struct SecretPath<'a> {
    pub(crate) path: PathBuf,
    /// The machine's own mapping, if there is one.
    pub(crate) mapping: Option<&'a FileMapping>,
}

/// The path of each entry that is a file, by its index in the receipt.
pub(crate) fn secret_paths<'a>(
    settings: &'a AgentSettings,
    release: &VerifiedRelease,
) -> BTreeMap<usize, SecretPath<'a>> {
    let folder = settings.files_dir.join(FILES);
    let mapped = file_mapping::mapped_entries(&settings.files, &release.receipt);
    let entries = release.receipt.entries.iter().enumerate();
    let files = entries.filter(|(_, entry)| entry.delivery == Delivery::File);
    files
        .map(|(index, entry)| {
            let mapping = mapped.get(&index).copied();
            // `join` with an absolute path returns that path.
            let path = folder.join(mapping.map_or(Path::new(entry.env.as_str()), |mapping| &mapping.path));
            (index, SecretPath { path, mapping })
        })
        .collect()
}

/// Everything that the files of a boot are made from.
pub(crate) struct BootOutput<'a> {
    pub(crate) settings: &'a AgentSettings,
    pub(crate) release: &'a VerifiedRelease,
    pub(crate) paths: &'a BTreeMap<usize, SecretPath<'a>>,
    pub(crate) strings: &'a EnvironmentStrings,
    pub(crate) digest: &'a str,
}

impl BootOutput<'_> {
    /// Writes the files, all or none, and removes the secrets of an earlier boot.
    pub(crate) fn publish(&self, docker_env: Option<&Path>, files: &dyn Files) -> Result<(), PublishError> {
        let folder = &self.settings.files_dir;
        let gid = match &self.settings.file_group {
            Some(name) => Some(account::group(name, files)?.as_raw()),
            None => None,
        };
        let access = FileAccess { mode: if gid.is_some() { 0o640 } else { 0o600 }, uid: None, gid };
        let mut staged = StagedFiles::new(self.settings.allow_disk);
        // A file of another user is only reachable if that user may pass through the folders above it.
        let owned = self.paths.values().any(|secret| secret.mapping.is_some_and(|m| m.owner.is_some()));
        staged.ensure_folder(folder, gid, owned)?;
        for (index, SecretPath { path, mapping }) in self.paths {
            let access = mapping.map_or(Ok(access), |mapping| mapped_access(mapping, access, files))?;
            let mut above: Vec<&Path> =
                path.ancestors().skip(1).take_while(|p| p.starts_with(folder) && *p != folder).collect();
            above.reverse();
            for parent in above {
                staged.ensure_folder(parent, gid, true)?;
            }
            let value = self.release.values.get(*index).map_or(&[][..], |value| value.expose());
            staged.add(path, value, access)?;
        }
        let variables = self.variables()?;
        staged.add(&folder.join(PROFILE), &environment_file::profile_script(&variables), access)?;
        staged.add(&folder.join(RECEIPT), self.receipt().as_bytes(), access)?;
        if let Some(path) = docker_env {
            let text = environment_file::docker_env_file(&variables).map_err(PublishError::Docker)?;
            staged.add(path, &text, access)?;
        }
        // Last, so that a reader who finds the environment finds the files that it names.
        staged.add(&folder.join(ENVIRONMENT), &environment_file::format(&variables), access)?;
        staged.commit()?;
        self.remove_stale_secrets();
        Ok(())
    }

    fn remove_stale_secrets(&self) {
        let current: Vec<&Path> = self.paths.values().map(|secret| secret.path.as_path()).collect();
        let folder = self.settings.files_dir.join(FILES);
        // Only after the new files are in place, and no reason to fail: the boot's own files are complete.
        if folder.exists()
            && let Err(error) = remove_stale(&folder, &current)
        {
            warn!("files of an earlier boot are still in {}: {}", folder.display(), error.kind());
        }
    }

    fn variables(&self) -> Result<Vec<EnvPair<'_>>, PublishError> {
        self.strings.as_slice().iter().map(|line| shell_variable(line.as_ref().to_bytes())).collect()
    }

    fn receipt(&self) -> String {
        let receipt = &self.release.receipt;
        let files: BTreeMap<String, String> = self
            .paths
            .iter()
            .filter_map(|(index, secret)| {
                Some((receipt.entries.get(*index)?.env.to_string(), secret.path.display().to_string()))
            })
            .collect();
        let source = match self.release.source {
            ReleaseSource::Store => "store",
            ReleaseSource::Cache(_) => "cache",
            ReleaseSource::WithoutStore => "nowhere",
        };
        let receipt = json!({
            "at": machine::now(),
            "source": source,
            "digest": self.digest,
            "revision": receipt.revision,
            "variables": self.strings.len(),
            "files": files,
            "entries": receipt.entries,
            "skipped": receipt.skipped,
        });
        format!("{receipt:#}\n")
    }
}

/// Splits `NAME=VALUE`, if every shell accepts the name.
fn shell_variable(line: &[u8]) -> Result<EnvPair<'_>, PublishError> {
    let end = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
    let (name, value) = (&line[..end], line.get(end + 1..).unwrap_or_default());
    match str::from_utf8(name) {
        Ok(name) if EnvName::parse(name).is_ok() => Ok((name, value)),
        // A shell that reads the file would stop at this line, and the variables after it would be missing.
        _ => Err(PublishError::Name(display_name(OsStr::from_bytes(name)))),
    }
}

fn mapped_access(
    mapping: &FileMapping,
    default: FileAccess,
    files: &dyn Files,
) -> Result<FileAccess, PublishError> {
    let account = mapping.owner.as_ref().map(|owner| account::find(owner, files)).transpose()?;
    let (uid, gid) = account
        .map_or((None, default.gid), |account| (Some(account.uid.as_raw()), Some(account.gid.as_raw())));
    Ok(FileAccess { mode: mapping.mode, uid, gid })
}
