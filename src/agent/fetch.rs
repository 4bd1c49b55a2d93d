//! Fetches the release from the store within one deadline.
//!
//! It tells outages from refusals. The configuration decides what happens in an outage. A refusal ends the boot at once, and a denial
//! by the store itself destroys the cache. Values leave this file completely or not at all.

use std::collections::BTreeSet;
use std::io;

use tokio::runtime::Runtime;
use tracing::{info, warn};

use super::config::{AgentSettings, OnOutage};
use super::machine::RealFiles;
use super::release_cache::{CacheError, ReleaseCache};
use super::requested_name::RequestedName;
use super::verified_release::{IncompleteRelease, ReleaseSource, VerifiedRelease};
use super::{machine, verified_release};
use crate::client;
use crate::client::{BootCallError, BootOptions, BootSession, CallRefusal, ProbeResult, SystemTimer};
use crate::crypto::random::Kernel;
use crate::domain::name::{PluginName, SecretName};
use crate::domain::ticket::BootTicket;
use crate::domain::time::Timestamp;
use crate::process::Exit;
use crate::wire::{BootRequest, BootResponse, ExplainResponse, ReportBootRequest};

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
    #[error("cannot prepare a connection: {0}")]
    Runtime(io::ErrorKind),
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
            Self::Runtime(_) => None,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Outage(_) | Self::NoCache { .. } => Exit::Unreachable,
            Self::Incomplete(_) | Self::Runtime(_) => Exit::TryAgain,
            Self::Refused(refused) => match refused.exit() {
                exit @ (Exit::Denied | Exit::TryAgain) => exit,
                // Whatever answers instead of a store, it stays until a person changes the ticket or the network. The units stop
                // trying at 78 (RestartPreventExitStatus=), and would go on forever at 69.
                _ => Exit::Configuration,
            },
        }
    }
}

/// The connection on which the store waits for the report of a boot.
pub(crate) struct PendingReport {
    runtime: Runtime,
    session: BootSession,
}

impl PendingReport {
    /// Reports to the store that the workload starts, without waiting for the answer. It cannot fail.
    pub(crate) fn send(self, report: &ReportBootRequest) {
        // By value, so that the runtime and its descriptors are gone before the workload starts.
        self.runtime.block_on(self.session.report_nowait(report));
    }
}

/// How to reach the store.
pub(crate) fn options(settings: &AgentSettings) -> BootOptions {
    BootOptions { deadline: settings.deadline, authorities: settings.authorities.clone() }
}

/// The names to request, and what this machine says about itself.
pub(crate) fn build_request(settings: &AgentSettings, references: &BTreeSet<SecretName>) -> BootRequest {
    let facts = machine::read_facts(&RealFiles, settings.machine.clone());
    // Required and optional names too: to name a secret is to ask for it, so it need not be auto-installed.
    let mut include: Vec<String> = [&settings.include, &settings.require, &settings.optional]
        .into_iter()
        .flatten()
        .flat_map(RequestedName::names)
        .map(str::to_owned)
        .collect();
    // In one order, since the cache is bound to the request.
    include.sort();
    include.dedup();
    BootRequest {
        include,
        exclude: settings.exclude.iter().flat_map(RequestedName::names).map(str::to_owned).collect(),
        references: references.iter().map(|name| name.as_str().to_owned()).collect(),
        plugins: settings
            .plugins
            .as_ref()
            .map(|plugins| plugins.iter().map(PluginName::as_str).map(str::to_owned).collect()),
        machine: facts.machine,
        kernel_boot: facts.kernel_boot,
        host: facts.host,
        agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
    }
}

/// Fetches a release, or falls back as the configuration says. `now` is this machine's time.
pub(crate) fn release(
    ticket: &BootTicket,
    request: &BootRequest,
    settings: &AgentSettings,
    now: impl Fn() -> Timestamp,
) -> Result<(VerifiedRelease, Option<PendingReport>), FetchError> {
    // Not opened unless it is needed: deriving its key costs hashing, and most machines have no cache.
    let cache = || ReleaseCache::new(&settings.cache_dir, ticket, request);
    let runtime = runtime()?;
    let options = options(settings);
    let answer =
        runtime.block_on(async { client::boot(ticket, request, &options, &mut SystemTimer::start()).await });
    match answer {
        Ok((response, session)) => {
            // Before it is cached: an answer that was cut must not replace a complete one.
            verified_release::verify_digest(&response)?;
            if settings.on_outage == OnOutage::Cache {
                save_to_cache(&cache(), &response, now());
            }
            let release = VerifiedRelease::verify(response, ReleaseSource::Store)?;
            Ok((release, Some(PendingReport { runtime, session })))
        }
        Err(BootCallError::Refused(refused)) => {
            // A revoked ticket must not live on in the cache, even where the configuration has turned the cache off since.
            if refused.is_denial()
                && let Err(error) = cache().destroy()
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
    ticket: &BootTicket,
    request: &BootRequest,
    options: &BootOptions,
) -> Result<ExplainResponse, FetchError> {
    let answer = runtime()?
        .block_on(async { client::explain(ticket, request, options, &mut SystemTimer::start()).await });
    answer.map_err(|error| match error {
        BootCallError::Refused(refused) => FetchError::Refused(refused),
        outage @ BootCallError::Outage { .. } => FetchError::Outage(outage),
    })
}

/// Connects to each of the ticket's addresses once, without sending the ticket.
pub(crate) fn probe(ticket: &BootTicket, options: &BootOptions) -> Result<Vec<ProbeResult>, FetchError> {
    Ok(runtime()?.block_on(async { client::probe(ticket, options, &mut SystemTimer::start()).await }))
}

fn runtime() -> Result<Runtime, FetchError> {
    // On this thread alone: execve(2) with other threads running would leave their work half-done.
    let built = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    built.map_err(|error| FetchError::Runtime(error.kind()))
}

fn fall_back(
    outage: BootCallError,
    cache: impl Fn() -> ReleaseCache,
    settings: &AgentSettings,
    now: Timestamp,
) -> Result<VerifiedRelease, FetchError> {
    match settings.on_outage {
        OnOutage::Fail => Err(FetchError::Outage(outage)),
        OnOutage::StartWithout => {
            warn!("{outage}; starting without the store's secrets, as configured");
            Ok(VerifiedRelease::empty())
        }
        OnOutage::Cache => match cache().load(now, settings.cache_max_age) {
            Ok(cached) => {
                warn!("{outage}; starting with the release of {}, as configured", cached.at);
                Ok(VerifiedRelease::verify(cached.response, ReleaseSource::Cache(cached.at))?)
            }
            Err(cache) => Err(FetchError::NoCache { outage, cache }),
        },
    }
}

/// Saves the release for an outage. A failure is a warning and stops nothing.
fn save_to_cache(cache: &ReleaseCache, response: &BootResponse, now: Timestamp) {
    // The cache is the only memory that a machine has of the store, so it is where a rollback can be noticed.
    if let Ok(last) = cache.open()
        && last.response.receipt.revision > response.receipt.revision
    {
        warn!(
            before = last.response.receipt.revision,
            now = response.receipt.revision,
            "the store is older than at this machine's last boot: it was restored from a backup, or rolled back"
        );
    }
    match cache.save(response, now, &mut Kernel) {
        Ok(()) => info!("the release is cached for an outage"),
        Err(error) => warn!("the release is not cached for an outage: {error}"),
    }
}
