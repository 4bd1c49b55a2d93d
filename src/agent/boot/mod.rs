//! `boot`: for a machine whose service manager starts the workloads. Takes the steps of [`super::exec`], and instead of becoming
//! a program leaves the environment, the files and the receipt in memory for others to read: all of them or none.
//!
//! | file | what it does |
//! |---|---|
//! | [`formats`] | the texts |
//! | [`publish`] | files that appear whole, all at once |

pub(crate) mod formats;
pub(crate) mod publish;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use tracing::warn;

use self::formats::Variable;
use self::publish::{Access, Publication};
use super::account::AccountError;
use super::config::Settings;
use super::environment::Strings;
use super::failure::Failure;
use super::machine::{Files, RealFiles};
use super::obstacle::shown;
use super::outputs::OutputError;
use super::own::Own;
use super::placement::Placement;
use super::release::{Release, Source};
use super::{account, environment, exec, fetch, identity, layers, machine, placement};
use crate::crypto::memory;
use crate::domain::name::EnvName;
use crate::domain::value::Delivery;
use crate::process::{Exit, SdNotify};
use crate::settings::Environment;
use crate::wire::ReportBootRequest;

/// The environment, as systemd and shells read it.
pub(crate) const ENVIRONMENT: &str = "env";
/// The same for a shell to source.
const PROFILE: &str = "profile.sh";
/// What it consists of, without values.
const RECEIPT: &str = "receipt.json";
/// The folder of secrets that are files.
pub(crate) const FILES: &str = "files";

/// Why what was fetched was not left for others. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublishError {
    /// A name that no shell takes.
    #[error("no shell can read a variable of that name: {0}")]
    Name(String),
    /// A value that Docker's format cannot hold.
    #[error("Docker's env-file cannot hold the values of {}", .0.join(", "))]
    Docker(Vec<String>),
    /// The group of the configuration is not on this machine.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Files.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl PublishError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name(_) => Some("rename it in the configuration or in the defaults file"),
            Self::Docker(_) => Some("its lines hold no newline: deliver such values as files, or use `exec`"),
            Self::Account(error) => error.hint(),
            Self::Output(error) => error.hint(),
        }
    }
}

/// Boots the machine.
///
/// # Errors
/// The first step that cannot be taken. Nothing was left for anybody then but what an earlier boot had left.
pub(crate) fn run(
    (settings, mut own): (Settings, Own),
    environment: &Environment,
    docker: Option<&Path>,
) -> Result<Exit, Failure> {
    let notify = SdNotify::new(environment.variable("NOTIFY_SOCKET"));
    let done = boot(&settings, &mut own, environment, docker, &notify);
    match &done {
        Ok(told) => notify.ready(told),
        Err(failure) => notify.status(&failure.to_string()),
    }
    done.map(|_| Exit::Success)
}

fn boot(
    settings: &Settings,
    own: &mut Own,
    environment: &Environment,
    docker: Option<&Path>,
    notify: &SdNotify,
) -> Result<String, Failure> {
    if let Err(errno) = memory::forbid_core_dumps() {
        warn!("core dumps cannot be turned off: {}", errno.desc());
    }
    // This unit's own PATH and the like are for no other unit; what refers to a secret was put there for this.
    own.keep_references();
    let found = identity::find(settings, environment, &RealFiles)?;
    for warning in settings.warnings.iter().chain(&found.warnings) {
        warn!("{warning}");
    }
    let file = found.leaving(settings);
    file.check()?;
    let request = fetch::request(settings, &layers::references(&settings.layers, &own.given)?);

    notify.status("asking the store");
    let (mut release, pending) = fetch::release(&found.ticket, &request, settings, machine::now)?;
    // Of what was released; what becomes a file here is this machine's own affair.
    let digest = release.receipt.digest().to_string();
    placement::apply(&settings.files, &mut release.receipt);
    let plan = exec::decide(settings, own, &release)?;
    let paths = paths(settings, &release);
    let strings = environment::assemble(&plan, &own.values, &release.values, |entry| {
        paths.get(&entry).map(|(path, _)| path.as_path())
    })?;
    let left = Left { settings, release: &release, paths: &paths, strings: &strings, digest: &digest };
    left.publish(docker, &RealFiles)?;

    file.delete()?;
    let variables = u32::try_from(strings.len()).unwrap_or(u32::MAX);
    if let Some(pending) = pending {
        pending.report(&ReportBootRequest { digest, variables });
    }
    let from = match release.source {
        Source::Store => String::new(),
        Source::Cache(at) => format!(", from the cache of {at}"),
        Source::Nowhere => ", without the store".to_owned(),
    };
    let files = paths.len();
    Ok(format!("{variables} variables and {files} files at revision {}{from}", release.receipt.revision))
}

/// Where each entry goes that is a file, and who placed it there.
fn paths<'a>(settings: &'a Settings, release: &Release) -> BTreeMap<usize, (PathBuf, Option<&'a Placement>)> {
    let folder = settings.files_dir.join(FILES);
    let entries = release.receipt.entries.iter().enumerate();
    let files = entries.filter(|(_, entry)| entry.delivery == Delivery::File);
    files
        .map(|(index, entry)| {
            let placed = settings.files.iter().find(|p| p.secret.is_secret(&entry.name, &entry.env));
            let path = placed.map_or(Path::new(entry.env.as_str()), |placement| &placement.path);
            (index, (folder.join(path), placed))
        })
        .collect()
}

/// What is to be left.
struct Left<'a> {
    settings: &'a Settings,
    release: &'a Release,
    paths: &'a BTreeMap<usize, (PathBuf, Option<&'a Placement>)>,
    strings: &'a Strings,
    digest: &'a str,
}

impl Left<'_> {
    fn publish(&self, docker: Option<&Path>, files: &dyn Files) -> Result<(), PublishError> {
        let folder = &self.settings.files_dir;
        let gid = match &self.settings.file_group {
            Some(name) => Some(account::group(name, files)?.as_raw()),
            None => None,
        };
        let access = Access { mode: if gid.is_some() { 0o640 } else { 0o600 }, uid: None, gid };
        let owned = self.paths.values().any(|(_, placed)| placed.is_some_and(|p| p.owner.is_some()));

        let mut publication = Publication::new(self.settings.allow_disk);
        publication.folder(folder, gid, owned)?;
        for (index, (path, placed)) in self.paths {
            let access = placed.map_or(Ok(access), |placement| access_of(placement, access, files))?;
            let mut above: Vec<&Path> =
                path.ancestors().skip(1).take_while(|p| p.starts_with(folder) && *p != folder).collect();
            above.reverse();
            for parent in above {
                publication.folder(parent, gid, true)?;
            }
            let value = self.release.values.get(*index).map_or(&[][..], |value| value.expose());
            publication.add(path, value, access)?;
        }
        let variables = self.variables()?;
        publication.add(&folder.join(PROFILE), &formats::profile(&variables), access)?;
        publication.add(&folder.join(RECEIPT), self.receipt().as_bytes(), access)?;
        if let Some(path) = docker {
            let text = formats::docker(&variables).map_err(PublishError::Docker)?;
            publication.add(path, &text, access)?;
        }
        // The last: whoever finds it finds the rest.
        publication.add(&folder.join(ENVIRONMENT), &formats::environment_file(&variables), access)?;
        publication.publish()?;

        let kept: Vec<PathBuf> = self.paths.values().map(|(path, _)| path.clone()).collect();
        let files = folder.join(FILES);
        if files.exists()
            && let Err(error) = publish::remove_others(&files, &kept)
        {
            warn!("files of an earlier boot are still in {}: {}", files.display(), error.kind());
        }
        Ok(())
    }

    fn variables(&self) -> Result<Vec<Variable<'_>>, PublishError> {
        self.strings.as_slice().iter().map(|line| variable(line.as_ref().to_bytes())).collect()
    }

    fn receipt(&self) -> String {
        let receipt = &self.release.receipt;
        let files: BTreeMap<String, String> = self
            .paths
            .iter()
            .filter_map(|(index, (path, _))| {
                Some((receipt.entries.get(*index)?.env.to_string(), path.display().to_string()))
            })
            .collect();
        let source = match self.release.source {
            Source::Store => "store",
            Source::Cache(_) => "cache",
            Source::Nowhere => "nowhere",
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

/// `NAME=VALUE` with a name that every shell takes.
fn variable(line: &[u8]) -> Result<Variable<'_>, PublishError> {
    let end = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
    let (name, value) = (&line[..end], line.get(end + 1..).unwrap_or_default());
    match str::from_utf8(name) {
        Ok(name) if EnvName::parse(name).is_ok() => Ok((name, value)),
        _ => Err(PublishError::Name(shown(OsStr::from_bytes(name)))),
    }
}

fn access_of(placement: &Placement, otherwise: Access, files: &dyn Files) -> Result<Access, PublishError> {
    let account = placement.owner.as_ref().map(|owner| account::find(owner, files)).transpose()?;
    let (uid, gid) = account
        .map_or((None, otherwise.gid), |account| (Some(account.uid.as_raw()), Some(account.gid.as_raw())));
    Ok(Access { mode: placement.mode, uid, gid })
}
