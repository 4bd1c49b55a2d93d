//! `boot`: for a machine whose service manager starts the workloads. It takes the steps of [`super::exec`], and instead of becoming
//! a program leaves the environment, the files and the receipt in memory for others to read: all of them or none.
//!
//! | file | holds |
//! |---|---|
//! | [`environment_file`] | the formats of the environment |
//! | [`output`] | the files of a boot and who may read them |
//! | [`staged_files`] | files that appear whole, all at once |

pub(crate) mod environment_file;
pub(crate) mod output;
pub(crate) mod staged_files;

use std::path::Path;

use tracing::warn;

use self::output::{BootOutput, secret_paths};
use super::config::AgentSettings;
use super::end_note::EndOf;
use super::error::AgentError;
use super::local_variables::LocalVariables;
use super::machine::RealFiles;
use super::preflight::FilePlaces;
use super::ticket_file::TicketFile;
use super::verified_release::ReleaseSource;
use super::{
    end_note, environment, environment_plan, exec, fetch, file_mapping, identity_source, machine, preflight,
};
use crate::process::{Exit, SdNotify};
use crate::settings::Environment;
use crate::wire::ReportBootRequest;

/// Boots the machine.
///
/// # Errors
/// The first step that fails. The files of an earlier boot are unchanged then.
pub(crate) fn run(
    settings: AgentSettings,
    mut local: LocalVariables,
    environment: &Environment,
    docker_env: Option<&Path>,
) -> Result<Exit, AgentError> {
    let notify = SdNotify::new(environment.variable("NOTIFY_SOCKET"));
    let booted = boot(&settings, &mut local, environment, docker_env, &notify);
    match &booted {
        Ok(summary) => notify.ready(summary),
        Err(error) => notify.status(&error.to_string()),
    }
    booted.map(|_| Exit::Success)
}

/// Returns a summary for `systemctl status`.
fn boot(
    settings: &AgentSettings,
    local: &mut LocalVariables,
    environment: &Environment,
    docker_env: Option<&Path>,
    notify: &SdNotify,
) -> Result<String, AgentError> {
    exec::prepare_process(settings);
    // This unit's PATH, HOME and INVOCATION_ID are for no other unit.
    local.drop_inherited();
    let located = identity_source::locate(settings, environment, &RealFiles)?;
    for warning in &located.warnings {
        warn!("{warning}");
    }
    let ticket_file = located.file_to_delete(settings)?;
    let references = environment_plan::references(&settings.layers, &local.variables)?;
    let request = fetch::build_request(settings, &references);

    let places = FilePlaces::for_boot(settings, docker_env)?;
    notify.status("asking the store");
    let time = preflight::run(settings, local, &places, &located.identity, &request)?;
    let (mut release, mut pending) =
        fetch::release(&located.identity, &request, settings, time, machine::now)?;
    // Taken before the mapping changes the receipt: the store knows the digest of what it released, and not what this machine turns
    // into files.
    let digest = release.receipt.digest().to_string();
    file_mapping::apply(&settings.files, &mut release.receipt);
    let plan = exec::plan(settings, local, &release)?;
    let paths = secret_paths(settings, &release);
    let strings = environment::assemble(&plan, &local.values, &release.values, |entry| {
        paths.get(&entry).map(|secret| secret.path.as_path())
    })?;
    let output =
        BootOutput { settings, release: &release, paths: &paths, strings: &strings, digest: &digest };
    output.publish(docker_env, &RealFiles)?;
    end_note::deliver(EndOf::Machine, pending.as_mut(), located.identity.location(), settings);

    // After the files are there: a boot that failed before can be tried again with the same ticket file.
    ticket_file.as_ref().map_or(Ok(()), TicketFile::delete)?;
    let variables = u32::try_from(strings.len()).unwrap_or(u32::MAX);
    if let Some(pending) = pending {
        pending.send(&ReportBootRequest { digest: digest.into(), variables });
    }
    let from = match release.source {
        ReleaseSource::Store => String::new(),
        ReleaseSource::Cache(at) => format!(", from the cache of {at}"),
        ReleaseSource::WithoutStore => ", without the store".to_owned(),
    };
    let files = paths.len();
    Ok(format!("{variables} variables and {files} files at revision {}{from}", release.receipt.revision))
}
