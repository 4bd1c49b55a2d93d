//! `exec`: the steps of a boot in their order.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use tracing::{debug, info, warn};

use super::account::Account;
use super::config::AgentSettings;
use super::environment::EnvironmentError;
use super::environment_plan::{EnvironmentPlan, PlanInputs, ValueOrigin};
use super::error::AgentError;
use super::executable::ExecutableError;
use super::local_variables::{Layer, LocalContent, LocalVariables};
use super::machine::RealFiles;
use super::mask::MaskWriter;
use super::supervise::syscalls::InheritedSignals;
use super::verified_release::VerifiedRelease;
use super::{
    account, environment, environment_plan, executable, execve, fetch, machine, secret_files, ticket_source,
};
use crate::crypto::memory;
use crate::domain::value::{Kind, SecretValue};
use crate::settings::Environment;
use crate::wire::ReportBootRequest;

/// Boots `command` and becomes it.
///
/// # Errors
/// The first step that fails. The workload has not been started then.
pub(crate) fn run(
    command: Vec<OsString>,
    (settings, mut local): (AgentSettings, LocalVariables),
    environment: &Environment,
    (inherited, mask): (&InheritedSignals, Option<MaskWriter>),
) -> Result<Infallible, AgentError> {
    prepare_process(&settings.warnings);
    let name = command.first().ok_or_else(|| ExecutableError::NotFound(OsString::new()))?;
    find_executable_early(name, &settings, &local)?;
    let account = settings.user.as_ref().map(|spec| account::find(spec, &RealFiles)).transpose()?;
    if let Some(home) = account.as_ref().and_then(|account| account.home.as_ref()) {
        // As gosu and su-exec do: root's HOME is of no use to another user.
        local.set_inherited("HOME", SecretValue::new(home.as_bytes().to_vec()));
    }

    let located = ticket_source::locate(&settings, environment, &RealFiles)?;
    for warning in &located.warnings {
        warn!("{warning}");
    }
    let ticket_file = located.file_to_delete(&settings);
    ticket_file.check()?;
    let references = environment_plan::references(&settings.layers, &local.variables)?;
    let request = fetch::build_request(&settings, &references);

    // A use of the ticket is spent here. Everything above has been checked before, because it cannot be returned.
    let (release, pending) = fetch::release(&located.ticket, &request, &settings, machine::now)?;
    let plan = plan(&settings, &local, &release)?;
    let ticket_id = located.ticket.credential().ticket_id();
    let files = secret_files::write_all(&settings.files_dir, ticket_id, &release)?;
    if let Some(account) = &account {
        secret_files::change_owner(&files, &settings.files_dir, account)?;
    }
    let path = |entry: usize| files.get(&entry).map(AsRef::as_ref);
    let strings = environment::assemble(&plan, &local.values, &release.values, path)?;
    // Once more, in the workload's own PATH, which may have come from the store.
    let program = executable::find(name, workload_path(&plan, &local, &release))?;
    environment::check_size(&strings, &program, &command, execve::stack_limit())?;

    // While the process is still root: the workload's user may have no right to the file.
    ticket_file.delete()?;
    account.as_ref().map_or(Ok(()), Account::switch)?;
    info!(
        released = release.receipt.count(),
        variables = strings.len(),
        revision = release.receipt.revision,
        "starting"
    );
    if let Some(pending) = pending {
        // Not after the workload has started, since nothing of the agent is left then.
        let variables = u32::try_from(strings.len()).unwrap_or(u32::MAX);
        pending.send(&ReportBootRequest { digest: release.receipt.digest().to_string(), variables });
    }
    if let Some(mask) = mask {
        // Last of all, since the agent's own messages are not to pass through the filter.
        mask.start(values_to_mask(&local, &release)).map_err(|error| AgentError::Mask(error.kind()))?;
    }
    // The kernel copies `strings`. The values themselves are wiped now, in case it refuses to execute the program.
    drop((release, local));
    Ok(execve::replace_process(&program, command, &strings, inherited)?)
}

/// Keeps values out of core dumps, and reports the warnings of the configuration.
pub(crate) fn prepare_process(warnings: &[String]) {
    if let Err(errno) = memory::forbid_core_dumps() {
        warn!("cannot turn core dumps off: {}", errno.desc());
    }
    for warning in warnings {
        warn!("{warning}");
    }
}

/// The values that must not be printed: what is encrypted in the store, and the `secrets:` of the configuration.
fn values_to_mask<'a>(
    local: &'a LocalVariables,
    release: &'a VerifiedRelease,
) -> impl Iterator<Item = &'a [u8]> {
    // Not plain settings: a log level of `info` would turn every log line into stars.
    let released = release.receipt.entries.iter().zip(&release.values);
    let released = released.filter(|(entry, _)| entry.kind == Kind::Encrypted).map(|(_, value)| value);
    let configured = local.variables.iter().zip(&local.values).filter(|(variable, _)| {
        variable.layer == Layer::Secrets && variable.content == LocalContent::Literal
    });
    released.chain(configured.map(|(_, value)| value)).map(SecretValue::expose)
}

/// The plan of a boot.
///
/// # Errors
/// Everything that is in the way of it.
pub(crate) fn plan(
    settings: &AgentSettings,
    local: &LocalVariables,
    release: &VerifiedRelease,
) -> Result<EnvironmentPlan, AgentError> {
    let (plan, errors) = environment_plan::build(PlanInputs::new(settings, local, &release.receipt));
    let plan = errors.or(plan)?;
    // A boot is all or nothing: an entry that got lost between release and plan would go unnoticed otherwise.
    if let Some(entry) = plan.find_undelivered(&release.receipt) {
        return Err(EnvironmentError::Incomplete(environment_plan::variable_name(entry).into()).into());
    }
    for variable in &plan.variables {
        debug!(variable = %variable.name.display(), layer = %variable.layer);
    }
    for name in &plan.missing_optional {
        info!("{name} is optional and missing");
    }
    Ok(plan)
}

/// Looks for the program in the PATH that is known before the store is asked.
fn find_executable_early(
    name: &OsStr,
    settings: &AgentSettings,
    local: &LocalVariables,
) -> Result<(), ExecutableError> {
    let path = environment_plan::find_local(&settings.layers, &local.variables, "PATH");
    // If PATH is a secret, the search would be a guess.
    if path.is_some_and(|index| local.variables[index].content != LocalContent::Literal) {
        return Ok(());
    }
    executable::find(name, path.map(|index| OsStr::from_bytes(local.values[index].expose()))).map(drop)
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
