//! What would stop a boot on this machine, found before the boot spends a use of the ticket: a use cannot be returned once
//! values have been sent. Places for files are checked here. If there is none, the store refuses a boot with a file. The
//! plan is made from the store's explanation, which is one more request, so only where something depends on it: names are
//! required, or a mapped file has no place. Writes nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use super::boot_identity::BootIdentity;
use super::config::AgentSettings;
use super::environment_plan::PlanInputs;
use super::error::AgentError;
use super::fetch::FetchError;
use super::local_variables::LocalVariables;
use super::machine::RealFiles;
use super::secret_files::{check_folder, check_place, check_protected};
use super::{account, environment_plan, fetch, file_mapping, memfd};
use crate::client::CallRefusal;
use crate::domain::receipt::{Receipt, ReceiptEntry};
use crate::domain::value::Delivery;
use crate::wire::{BootRequest, Code};

/// Which of the places that secrets are written to cannot be used. That stops a boot only if it receives such a secret.
#[derive(Debug, Default)]
pub(crate) struct FilePlaces {
    faults: Vec<PlaceFault>,
    /// Whether there is no tmpfs and memfds take its place.
    pub(crate) memfd: bool,
}

#[derive(Debug)]
struct PlaceFault {
    /// The index of the mapping whose file cannot be written; `None` for the files without a mapping.
    mapping: Option<usize>,
    error: AgentError,
}

impl FilePlaces {
    /// Checks where `exec` writes files.
    pub(crate) fn for_exec(settings: &AgentSettings, identity: &BootIdentity) -> Self {
        let folder = settings.files_dir.join(identity.id());
        let checked = check_place(&settings.files_dir, false).and_then(|()| check_protected(&folder, None));
        let memfd = checked.is_err() && memfd::is_possible();
        let error = checked.err().filter(|_| !memfd);
        let faults = error.map(|error| PlaceFault { mapping: None, error: error.into() });
        Self { faults: faults.into_iter().collect(), memfd }
    }

    /// Checks where `boot` writes files.
    ///
    /// # Errors
    /// A place that every boot writes to.
    pub(crate) fn for_boot(settings: &AgentSettings, docker_env: Option<&Path>) -> Result<Self, AgentError> {
        check_folder(&settings.files_dir, settings.allow_disk, None)?;
        if let Some(folder) = docker_env.and_then(Path::parent) {
            check_folder(folder, settings.allow_disk, None)?;
        }
        if let Some(group) = &settings.file_group {
            account::group(group, &RealFiles).map_err(unpublishable)?;
        }
        let mut faults = Vec::new();
        for (index, mapping) in settings.files.iter().enumerate() {
            let owner = mapping.owner.as_ref().map(|owner| account::find(owner, &RealFiles)).transpose();
            let path = settings.files_dir.join(&mapping.path);
            let folder = path.parent().unwrap_or(Path::new("/"));
            let error = match owner {
                Ok(owner) => {
                    let uid = owner.map(|account| account.uid.as_raw());
                    check_folder(folder, settings.allow_disk, uid).map_err(AgentError::from).err()
                }
                Err(error) => Some(unpublishable(error)),
            };
            faults.extend(error.map(|error| PlaceFault { mapping: Some(index), error }));
        }
        Ok(Self { faults, memfd: false })
    }

    /// Whether no secret can be a file here, which the request tells the store.
    pub(crate) fn refuse_all(&self) -> bool {
        self.faults.iter().any(|fault| fault.mapping.is_none())
    }

    /// Returns the error of a boot. That of the place says more than the store's refusal because of it.
    pub(crate) fn explain_refusal(&self, error: FetchError) -> AgentError {
        let refused = matches!(&error, FetchError::Refused(CallRefusal::Problem(problem)) if problem.code == Code::FilesRefused);
        let fault = self.faults.iter().find(|fault| refused && fault.mapping.is_none());
        fault.map_or_else(|| error.into(), |fault| fault.error.clone())
    }

    /// Returns why a file of the receipt cannot be written.
    pub(crate) fn find_fault(&self, settings: &AgentSettings, receipt: &Receipt) -> Option<&AgentError> {
        let mapping = |entry: &ReceiptEntry| {
            settings.files.iter().position(|mapping| mapping.secret.matches_secret(&entry.name, &entry.env))
        };
        let files = receipt.entries.iter().filter(|entry| entry.delivery == Delivery::File);
        files.map(mapping).find_map(|of| {
            // `exec` has no mappings, so that its one fault is that of every file.
            self.faults
                .iter()
                .find(|fault| fault.mapping.is_none() || fault.mapping == of)
                .map(|fault| &fault.error)
        })
    }
}

/// Makes the plan from what the store would release. Returns the time that remains for the release.
///
/// # Errors
/// What would stop the boot. The ticket has all of its uses.
pub(crate) fn run(
    settings: &AgentSettings,
    local: &LocalVariables,
    places: &FilePlaces,
    identity: &BootIdentity,
    request: &BootRequest,
) -> Result<Duration, AgentError> {
    let started = Instant::now();
    if settings.require.is_empty() && places.faults.iter().all(|fault| fault.mapping.is_none()) {
        return Ok(settings.deadline);
    }
    let mut options = fetch::options(settings);
    // The release decides what happens in an outage or after a refusal, and needs time of its own.
    options.deadline /= 2;
    let Ok(mut explanation) = fetch::explain(identity, request, &options) else {
        return Ok(settings.deadline.saturating_sub(started.elapsed()));
    };
    file_mapping::apply(&settings.files, &mut explanation.receipt);
    let (_, errors) = environment_plan::build(PlanInputs::new(settings, local, &explanation.receipt));
    errors.or(())?;
    match places.find_fault(settings, &explanation.receipt) {
        Some(error) => Err(error.clone()),
        None => Ok(settings.deadline.saturating_sub(started.elapsed())),
    }
}

fn unpublishable(error: account::AccountError) -> AgentError {
    super::boot::output::PublishError::from(error).into()
}
