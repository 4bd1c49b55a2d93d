//! Fetches the release from the store within one deadline.
//!
//! It tells outages from refusals. The configuration decides what happens in an outage. A refusal ends the boot at once, and a denial
//! by the store itself destroys the cache. Values leave this file completely or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use tokio::runtime::Runtime;
use tracing::{info, warn};

use super::boot_identity::BootIdentity;
use super::config::{AgentSettings, OnOutage};
use super::machine::RealFiles;
use super::release_cache::{CacheError, ReleaseCache};
use super::requested_name::RequestedName;
use super::seen_revisions::SeenRevisions;
use super::verified_release::{IncompleteRelease, ReleaseSource, VerifiedRelease};
use super::{boot_end, machine, runtime, verified_release};
use crate::client;
use crate::client::{
    BootCallError, BootOptions, BootProgress, BootSession, CallRefusal, ProbeResult, SystemTimer,
};
use crate::crypto::random::Kernel;
use crate::domain::credential::Credential;
use crate::domain::name::{EnvName, PluginName, SecretName};
use crate::domain::time::Timestamp;
use crate::process::Exit;
use crate::wire::{BootRequest, BootResponse, ExplainResponse, ReportBootRequest, SecretNameText};

/// Why there is no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// The store could not be reached, or was not ready, until the deadline.
    #[error("{0}")]
    Outage(BootCallError),
    /// The same, and the cache cannot be used.
    #[error("{outage}; and {cache}")]
    NoCache { outage: BootCallError, cache: CacheError },
    /// The store, or something else at its address, refused.
    #[error("{0}")]
    Refused(CallRefusal),
    #[error(transparent)]
    Incomplete(#[from] IncompleteRelease),
    /// The kernel is out of descriptors or memory.
    #[error("cannot prepare a connection: {}", .0.desc())]
    Runtime(Errno),
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        Self::Runtime(Errno::from_raw(error.raw_os_error().unwrap_or_default()))
    }
}

impl FetchError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Outage(error) | Self::NoCache { outage: error, .. } => error.hint(),
            Self::Refused(refused) => refused.hint(),
            Self::Incomplete(_) => Some(
                "nothing was started; try again, and check the proxies between this machine and the store",
            ),
            Self::Runtime(Errno::EMFILE) => Some(client::MORE_DESCRIPTORS),
            Self::Runtime(_) => None,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Outage(_) | Self::NoCache { .. } => Exit::Unreachable,
            Self::Incomplete(_) | Self::Runtime(_) => Exit::TryAgain,
            Self::Refused(refused) => match refused.exit() {
                exit @ (Exit::Denied | Exit::TryAgain) => exit,
                // Something else answers instead of a store, until a person changes the ticket or the network. The units stop
                // retrying at 78 (RestartPreventExitStatus=), and would retry forever at 69.
                _ => Exit::Configuration,
            },
        }
    }
}

/// The connection on which the store waits for the report of a boot.
pub(crate) struct PendingReport {
    runtime: Runtime,
    /// `None` once it was used.
    session: Option<BootSession>,
    /// What ends this boot. Older stores send nothing for it.
    end: Option<Credential>,
    /// Whether a supervisor has it too, and reports how the boot ends.
    supervised: bool,
}

impl PendingReport {
    /// Reports to the store that the workload starts, without waiting for the answer. It cannot fail.
    pub(crate) fn send(mut self, report: &ReportBootRequest) {
        // By value, so that the runtime and its descriptors are gone before the workload starts.
        self.send_progress(BootProgress::Started(report));
    }

    fn send_progress(&mut self, progress: BootProgress<'_>) {
        if let Some(session) = self.session.take() {
            let _ = runtime::run(&self.runtime, session.send_progress_nowait(progress));
        }
    }

    /// After a supervisor has got the note: it reports a failure too.
    pub(crate) fn leave_to_supervisor(&mut self) {
        self.supervised = true;
    }

    /// The credential that ends this boot.
    pub(crate) fn end(&self) -> Option<&Credential> {
        self.end.as_ref()
    }
}

impl Drop for PendingReport {
    /// Reports to the store that the workload was not started, in the same way. Otherwise it would count as a holder.
    fn drop(&mut self) {
        // After `send`, there is no session.
        if self.session.is_none() {
            return;
        }
        if self.supervised {
            boot_end::pass_failure_to_supervisor();
        } else if let Some(end) = self.end.take() {
            self.send_progress(BootProgress::Failed(&end));
        }
    }
}

/// How to reach the store.
pub(crate) fn options(settings: &AgentSettings) -> BootOptions {
    BootOptions { deadline: settings.deadline, authorities: settings.authorities.clone() }
}

/// The names to request, and what this machine says about itself.
pub(crate) fn build_request(
    settings: &AgentSettings,
    references: &BTreeMap<OsString, SecretName>,
) -> BootRequest {
    let facts = machine::read_facts(&RealFiles, settings.machine.clone());
    // Required and optional names too: to name a secret is to ask for it, so it need not be auto-installed.
    let mut include: Vec<SecretNameText> = [&settings.include, &settings.require, &settings.optional]
        .into_iter()
        .flatten()
        .flat_map(RequestedName::names)
        .map(Into::into)
        .collect();
    // In one order, since the cache is bound to the request.
    include.sort();
    include.dedup();
    let secrets: BTreeSet<&SecretName> = references.values().collect();
    // The store judges names by which clients of services find their settings, and no such name has other characters.
    let named = |(variable, secret): (&OsString, &SecretName)| {
        let variable = EnvName::parse(variable.to_str()?).ok()?;
        Some((variable.as_str().into(), secret.as_str().into()))
    };
    BootRequest {
        include,
        exclude: settings.exclude.iter().flat_map(RequestedName::names).map(Into::into).collect(),
        references: secrets.into_iter().map(|name| name.as_str().into()).collect(),
        referenced_as: references.iter().filter_map(named).collect(),
        plugins: settings
            .plugins
            .as_ref()
            .map(|plugins| plugins.iter().map(PluginName::as_str).map(Into::into).collect()),
        allow_names: settings.allow_names.iter().map(|name| name.as_str().into()).collect(),
        machine: facts.machine,
        kernel_boot: facts.kernel_boot,
        host: facts.host,
        agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
        workload: None,
        reports_end: boot_end::is_reported(settings.report_end),
        refuse_files: false,
    }
}

/// Fetches a release within `deadline`, or falls back as the configuration says. `now` is this machine's time.
pub(crate) fn release(
    identity: &BootIdentity,
    request: &BootRequest,
    settings: &AgentSettings,
    deadline: Duration,
    now: impl Fn() -> Timestamp,
) -> Result<(VerifiedRelease, Option<PendingReport>), FetchError> {
    // Not opened unless it is needed: deriving its key costs hashing, and most machines have no cache.
    let cache = || identity.ticket().map(|ticket| ReleaseCache::new(&settings.cache_dir, ticket, request));
    let seen = SeenRevisions::read(&settings.cache_dir);
    let runtime = runtime::start()?;
    let options = BootOptions { deadline, ..options(settings) };
    let mut timer = SystemTimer::start();
    match runtime::run(&runtime, client::boot(identity.proof(), request, &options, &mut timer))? {
        Ok((response, session)) => {
            let end = response.end_credential.as_ref().and_then(|text| Credential::parse(text.expose()).ok());
            let pending = PendingReport { runtime, session: Some(session), end, supervised: false };
            // Before it is cached: an answer that was cut must not replace a complete one.
            verified_release::verify_digest(&response)?;
            let (store, revision) = (response.store, response.receipt.revision);
            // A release of a store that has gone back replaces neither a newer one nor what this machine remembers.
            if !store.is_some_and(|store| seen.warn_if_rolled_back(store, revision)) {
                if settings.on_outage == OnOutage::Cache
                    && let Some(cache) = cache()
                {
                    save_to_cache(&cache, &response, now());
                }
                // After the cache, which creates the folder.
                if let Some(store) = store {
                    seen.remember(store, revision, response.checkpoint.as_deref());
                }
            }
            let release = VerifiedRelease::verify(response, ReleaseSource::Store)?;
            Ok((release, Some(pending)))
        }
        Err(BootCallError::Refused(refused)) => {
            // A revoked ticket must not live on in the cache, even where the configuration has turned the cache off since.
            if refused.is_denial()
                && let Some(Err(error)) = cache().map(|cache| cache.destroy())
            {
                warn!("cannot destroy the cache after a denial: {error}");
            }
            Err(FetchError::Refused(refused))
        }
        Err(outage) => fall_back(outage, cache, settings, now()).map(|release| (release, None)),
    }
}

/// Asks what a boot would release. Spends nothing and caches nothing.
pub(crate) fn explain(
    identity: &BootIdentity,
    request: &BootRequest,
    options: &BootOptions,
) -> Result<ExplainResponse, FetchError> {
    let mut timer = SystemTimer::start();
    let answer =
        runtime::run(&runtime::start()?, client::explain(identity.proof(), request, options, &mut timer))?;
    answer.map_err(|error| match error {
        BootCallError::Refused(refused) => FetchError::Refused(refused),
        outage @ BootCallError::Outage { .. } => FetchError::Outage(outage),
    })
}

/// Connects to each of the store's addresses once, without sending a credential.
pub(crate) fn probe(identity: &BootIdentity, options: &BootOptions) -> Result<Vec<ProbeResult>, FetchError> {
    let mut timer = SystemTimer::start();
    Ok(runtime::run(&runtime::start()?, client::probe(identity.location(), options, &mut timer))?)
}

fn fall_back(
    outage: BootCallError,
    cache: impl Fn() -> Option<ReleaseCache>,
    settings: &AgentSettings,
    now: Timestamp,
) -> Result<VerifiedRelease, FetchError> {
    match settings.on_outage {
        OnOutage::Fail => Err(FetchError::Outage(outage)),
        OnOutage::StartWithout => {
            warn!("{outage}; starting without the store's secrets, as configured");
            Ok(VerifiedRelease::empty())
        }
        OnOutage::Cache => match cache().map(|cache| cache.load(now, settings.cache_max_age)) {
            // Only a ticket has a cache, which `identity_source` has checked.
            None => Err(FetchError::Outage(outage)),
            Some(Ok(cached)) => {
                warn!("{outage}; starting with the release of {}, as configured", cached.at);
                Ok(VerifiedRelease::verify(cached.response, ReleaseSource::Cache(cached.at))?)
            }
            Some(Err(cache)) => Err(FetchError::NoCache { outage, cache }),
        },
    }
}

/// Saves the release for an outage. A failure is a warning and stops nothing.
fn save_to_cache(cache: &ReleaseCache, response: &BootResponse, now: Timestamp) {
    match cache.save(response, now, &mut Kernel) {
        Ok(()) => info!("the release is cached for an outage"),
        Err(error) => warn!("the release is not cached for an outage: {error}"),
    }
}
