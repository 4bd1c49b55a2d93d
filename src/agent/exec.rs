//! `exec`: the steps of a boot in their order.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::sys::prctl;
use tracing::{debug, info, warn};

use super::account::{Account, AccountError};
use super::config::AgentSettings;
use super::end_note::EndOf;
use super::environment::EnvironmentError;
use super::environment_plan::{EnvironmentPlan, PlanInputs, ValueOrigin};
use super::error::AgentError;
use super::executable::ExecutableError;
use super::execve::CoreLimit;
use super::fetch::PendingReport;
use super::local_variables::{Layer, LocalContent, LocalVariables};
use super::machine::RealFiles;
use super::mask::MaskWriter;
use super::preflight::FilePlaces;
use super::secret_files::SecretFileError;
use super::supervise::syscalls::InheritedSignals;
use super::ticket_file::TicketFile;
use super::verified_release::VerifiedRelease;
use super::{
    account, boot_end, end_note, environment, environment_plan, executable, execve, fetch, identity_source,
    machine, memfd, preflight, secret_files, withheld,
};
use crate::domain::value::{Delivery, Kind, SecretValue};
use crate::settings::Environment;
use crate::wire::{BootRequest, ReportBootRequest};

/// Boots `command` and becomes it.
///
/// # Errors
/// The first step that fails. The workload has not been started then.
pub(crate) fn run(
    command: Vec<OsString>,
    settings: AgentSettings,
    mut local: LocalVariables,
    environment: &Environment,
    inherited: &InheritedSignals,
    mask: Option<MaskWriter>,
) -> Result<Infallible, AgentError> {
    let core_limit = prepare_process(&settings);
    let name = command.first().ok_or_else(|| ExecutableError::NotFound(OsString::new()))?;
    let account = find_account(&settings, &mut local)?;
    let find = |path: Option<&OsStr>| find_executable(name, path, account.as_ref());
    find_executable_early(&settings, &local, find)?;

    let located = identity_source::locate(&settings, environment, &RealFiles)?;
    located.warnings.iter().for_each(|warning| warn!("{warning}"));
    let ticket_file = located.file_to_delete(&settings)?;
    let references = environment_plan::references(&settings.layers, &local.variables)?;
    let places = FilePlaces::for_exec(&settings, &located.identity);
    let request =
        BootRequest { refuse_files: places.refuse_all(), ..fetch::build_request(&settings, &references) };
    let time = preflight::run(&settings, &local, &places, &located.identity, &request)?;
    // A use of the ticket is spent here. Everything above has been checked before, because it cannot be returned.
    let (release, mut pending) = fetch::release(&located.identity, &request, &settings, time, machine::now)
        .map_err(|error| places.explain_refusal(error))?;
    end_note::deliver(EndOf::Workload, pending.as_mut(), located.identity.location(), &settings);
    let plan = plan(&settings, &local, &release)?;
    let files = deliver_files(&settings, &places, &located.identity.id(), &release, account.as_ref())?;
    let path = |entry: usize| files.get(&entry).map(AsRef::as_ref);
    let strings = environment::assemble(&plan, &local.values, &release.values, path)?;
    // Once more, in the workload's own PATH, which the store may have set.
    let program = find(workload_path(&plan, &local, &release))?;
    environment::check_size(&strings, &program, &command, execve::stack_limit())?;

    report(&release, strings.len(), pending);
    if let Some(mask) = mask {
        // Last of all, since the agent's own messages must not pass through the filter.
        start_mask(mask, account.as_ref(), values_to_mask(&settings, &local, &release))?;
    }
    // The kernel copies `strings`. The values themselves are wiped now, in case it refuses to execute the program.
    drop((release, local));
    // Last, since a boot that fails can be tried again with the file. While the process is still root, since the workload's user may
    // have no right to it.
    ticket_file.as_ref().map_or(Ok(()), TicketFile::remove)?;
    let started = account.as_ref().map_or(Ok(()), Account::switch).map_err(AgentError::from).and_then(|()| {
        core_limit.restore();
        Ok(execve::replace_process(&program, command, &strings, inherited)?)
    });
    if started.is_err() {
        // It was reported as started.
        boot_end::pass_failure_to_supervisor();
        if let (Some(file), Some(ticket)) = (&ticket_file, located.identity.ticket()) {
            file.keep(ticket);
        }
    }
    started
}

fn start_mask(
    mask: MaskWriter,
    account: Option<&Account>,
    values: Vec<(String, &[u8])>,
) -> Result<(), AgentError> {
    if let Some(account) = account {
        // The workload's user owns what its output passes through.
        mask.change_owner(account.uid, account.gid);
    }
    mask.start(values).map_err(AgentError::Mask)
}

/// Looks for the program with the rights of the user that is to execute it.
fn find_executable(
    name: &OsStr,
    path: Option<&OsStr>,
    account: Option<&Account>,
) -> Result<PathBuf, AgentError> {
    match account {
        Some(account) => Ok(account.act_as(|| executable::find(name, path))??),
        None => Ok(executable::find(name, path)?),
    }
}

/// Writes the secrets that are files. Returns their paths, by their indexes in the receipt.
fn deliver_files(
    settings: &AgentSettings,
    places: &FilePlaces,
    identity: &str,
    release: &VerifiedRelease,
    account: Option<&Account>,
) -> Result<BTreeMap<usize, PathBuf>, SecretFileError> {
    if places.memfd {
        return memfd::create_all(release, account);
    }
    secret_files::write_all(&settings.files_dir, identity, release, account)
}

/// Reports the boot, not after the workload has started, since nothing of the agent is left then.
fn report(release: &VerifiedRelease, variables: usize, pending: Option<PendingReport>) {
    let revision = release.receipt.revision;
    info!(released = release.receipt.count(), variables, revision, "starting");
    if let Some(pending) = pending {
        let variables = u32::try_from(variables).unwrap_or(u32::MAX);
        pending.send(&ReportBootRequest { digest: release.receipt.digest().to_string().into(), variables });
    }
}

/// The user that the workload is to run as, if this process may become that user.
fn find_account(
    settings: &AgentSettings,
    local: &mut LocalVariables,
) -> Result<Option<Account>, AccountError> {
    let Some(spec) = &settings.user else { return Ok(None) };
    let account = account::find(spec, &RealFiles)?;
    account.check()?;
    if let Some(home) = &account.home {
        // As gosu and su-exec do: root's HOME is of no use to another user.
        local.set_inherited("HOME", SecretValue::new(home.as_bytes().to_vec()));
    }
    Ok(Some(account))
}

/// Keeps values out of core dumps, and reports the warnings of the configuration. Returns the limit on the workload's core dumps.
pub(crate) fn prepare_process(settings: &AgentSettings) -> CoreLimit {
    // The limit does not stop a dump that goes to a program in every kernel, and this process has the ticket and all values. execve(2)
    // reverses this.
    let _ = prctl::set_dumpable(false);
    let limit = if settings.allow_core_dumps { CoreLimit::read() } else { CoreLimit::default() };
    if let Err(errno) = limit.suspend() {
        warn!("cannot turn core dumps off: {}", errno.desc());
    }
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    limit
}

/// The values that must not be printed, with the names of their variables: what is encrypted in the store, and the `secrets:` of the
/// configuration.
fn values_to_mask<'a>(
    settings: &AgentSettings,
    local: &'a LocalVariables,
    release: &'a VerifiedRelease,
) -> Vec<(String, &'a [u8])> {
    let released = release.receipt.entries.iter().zip(&release.values).filter(|(entry, _)| {
        // Not plain settings: a log level of `info` would turn every log line into stars.
        entry.kind == Kind::Encrypted && (settings.mask_files || entry.delivery != Delivery::File)
    });
    let released = released.map(|(entry, value)| (entry.variable_name(), value));
    let configured = local.variables.iter().zip(&local.values).filter(|(variable, _)| {
        variable.layer == Layer::Secrets && variable.content == LocalContent::Literal
    });
    let configured =
        configured.map(|(variable, value)| (variable.name.to_string_lossy().into_owned(), value));
    released.chain(configured).map(|(name, value)| (name, value.expose())).collect()
}

/// The plan of a boot.
///
/// # Errors
/// Every fault of the plan.
pub(crate) fn plan(
    settings: &AgentSettings,
    local: &LocalVariables,
    release: &VerifiedRelease,
) -> Result<EnvironmentPlan, AgentError> {
    let (plan, errors) = environment_plan::build(PlanInputs::new(settings, local, &release.receipt));
    let plan = errors.or(plan)?;
    // A boot is all or nothing: otherwise, nobody would notice an entry that is lost between release and plan.
    if let Some(entry) = plan.find_undelivered(&release.receipt) {
        return Err(EnvironmentError::Incomplete(entry.variable_name().into()).into());
    }
    for variable in &plan.variables {
        debug!(variable = %variable.name.display(), layer = %variable.layer);
    }
    for (message, remedy) in withheld::messages(&release.receipt) {
        warn!("{message}; {remedy}");
    }
    for name in &plan.missing_optional {
        info!("{name} is optional and missing");
    }
    Ok(plan)
}

/// Looks for the program in the PATH that is known before the store is asked.
fn find_executable_early(
    settings: &AgentSettings,
    local: &LocalVariables,
    find: impl FnOnce(Option<&OsStr>) -> Result<PathBuf, AgentError>,
) -> Result<(), AgentError> {
    let path = environment_plan::find_local(&settings.layers, &local.variables, "PATH");
    // If PATH is a secret, the search would be a guess.
    if path.is_some_and(|index| local.variables[index].content != LocalContent::Literal) {
        return Ok(());
    }
    find(path.map(|index| OsStr::from_bytes(local.values[index].expose()))).map(drop)
}

/// The workload's own PATH.
fn workload_path<'a>(
    plan: &EnvironmentPlan,
    local: &'a LocalVariables,
    release: &'a VerifiedRelease,
) -> Option<&'a OsStr> {
    let value = match plan.variable("PATH")?.origin {
        ValueOrigin::Local(index) => local.values.get(index),
        ValueOrigin::Released(entry) | ValueOrigin::Reference { entry, .. } => release.values.get(entry),
    };
    value.map(|value| OsStr::from_bytes(value.expose()))
}
