//! `exec`: the steps of a boot, in their order, each with what the one before it gave.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use tracing::{debug, info, warn};

use super::account::Account;
use super::config::Settings;
use super::failure::Failure;
use super::layers::{Inputs, Origin, Plan};
use super::machine::RealFiles;
use super::mask::Masking;
use super::own::{Layer, Own};
use super::release::Release;
use super::supervise::kernel::Inherited;
use super::{account, r#become, environment, fetch, identity, layers, machine, outputs, program};
use crate::crypto::memory;
use crate::domain::value::{Kind, SecretValue};
use crate::settings::Environment;
use crate::wire::ReportBootRequest;

/// Boots `command` and becomes it.
///
/// # Errors
/// The first step that cannot be taken. Up to the last one, nothing was started.
pub(crate) fn run(
    command: Vec<OsString>,
    (settings, mut own): (Settings, Own),
    environment: &Environment,
    (inherited, masking): (&Inherited, Option<Masking>),
) -> Result<Infallible, Failure> {
    if let Err(errno) = memory::forbid_core_dumps() {
        warn!("core dumps cannot be turned off: {}", errno.desc());
    }
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    let Some(name) = command.first() else {
        return Err(program::FindError::NotFound(OsString::new()).into());
    };
    find_early(name, &settings, &own)?;
    let account = settings.user.as_ref().map(|wish| account::find(wish, &RealFiles)).transpose()?;
    if let Some(home) = account.as_ref().and_then(|account| account.home.as_ref()) {
        // As gosu does: what root's HOME is means nothing to another user.
        own.inherit("HOME", SecretValue::new(home.as_bytes().to_vec()));
    }

    let found = identity::find(&settings, environment, &RealFiles)?;
    for warning in &found.warnings {
        warn!("{warning}");
    }
    let file = found.leaving(&settings);
    file.check()?;
    let request = fetch::request(&settings, &layers::references(&settings.layers, &own.given)?);

    let (release, pending) = fetch::release(&found.ticket, &request, &settings, machine::now)?;
    let plan = decide(&settings, &own, &release)?;
    let files = outputs::write(&settings.files_dir, found.ticket.credential().ticket_id(), &release)?;
    if let Some(account) = &account {
        outputs::give(&files, &settings.files_dir, account)?;
    }
    let path = |entry: usize| files.get(&entry).map(AsRef::as_ref);
    let strings = environment::assemble(&plan, &own.values, &release.values, path)?;
    let program = program::find(name, path_of(&plan, &own, &release))?;
    environment::fits(&strings, &program, &command, r#become::stack_limit())?;

    file.delete()?;
    account.as_ref().map_or(Ok(()), Account::take_on)?;
    info!(
        released = release.receipt.count(),
        variables = strings.len(),
        revision = release.receipt.revision,
        "starting"
    );
    if let Some(pending) = pending {
        let variables = u32::try_from(strings.len()).unwrap_or(u32::MAX);
        pending.report(&ReportBootRequest { digest: release.receipt.digest().to_string(), variables });
    }
    if let Some(masking) = masking {
        masking.begin(masked(&own, &release)).map_err(|error| Failure::Mask(error.kind()))?;
    }
    // What the kernel copies is in `strings`: these are wiped now, should it refuse.
    drop((release, own));
    Ok(r#become::workload(&program, command, &strings, inherited)?)
}

/// The values that are not to be printed: what is encrypted in the store, and what the configuration holds.
fn masked<'a>(own: &'a Own, release: &'a Release) -> impl Iterator<Item = &'a [u8]> {
    let released = release.receipt.entries.iter().zip(&release.values);
    let released = released.filter(|(entry, _)| entry.kind == Kind::Encrypted).map(|(_, value)| value);
    let given = own.given.iter().zip(&own.values);
    let given = given.filter(|(given, _)| given.layer == Layer::Secrets && given.reference.is_none());
    released.chain(given.map(|(_, value)| value)).map(SecretValue::expose)
}

/// The plan of a boot, if it has one.
///
/// # Errors
/// All that is in the way.
pub(crate) fn decide(settings: &Settings, own: &Own, release: &Release) -> Result<Plan, Failure> {
    let (plan, obstacles) = layers::decide(Inputs::of(settings, own, &release.receipt));
    let plan = obstacles.or(plan)?;
    if let Some(entry) = plan.misses(&release.receipt) {
        return Err(environment::EnvironmentError::Incomplete(layers::variable_of(entry).into()).into());
    }
    for variable in &plan.variables {
        debug!(variable = %variable.name.display(), layer = %variable.layer);
    }
    for missing in &plan.missing_optional {
        info!("{missing} is optional and missing");
    }
    Ok(plan)
}

/// Looks for the program by what is known of PATH before the store is asked. When PATH is itself a secret, nothing is.
fn find_early(name: &OsStr, settings: &Settings, own: &Own) -> Result<(), Failure> {
    let path = layers::own(&settings.layers, &own.given, "PATH");
    if path.is_some_and(|index| own.given[index].reference.is_some()) {
        return Ok(());
    }
    program::find(name, path.map(|index| OsStr::from_bytes(own.values[index].expose())))?;
    Ok(())
}

/// The workload's own PATH.
fn path_of<'a>(plan: &Plan, own: &'a Own, release: &'a Release) -> Option<&'a OsStr> {
    let value = match plan.variable("PATH")?.origin {
        Origin::Own(index) => own.values.get(index),
        Origin::Released(entry) | Origin::Reference { entry, .. } => release.values.get(entry),
    };
    value.map(|value| OsStr::from_bytes(value.expose()))
}
