//! Asks the store, within one deadline, and tells an outage from a refusal: an outage is met as the configuration says, a refusal
//! ends the boot at once, and a denial by the store itself destroys the cache. Values come out of here whole or not at all.

use std::collections::BTreeSet;
use std::io;

use tokio::runtime::Runtime;
use tracing::{info, warn};

use super::cache::{Cache, CacheError};
use super::config::{OnOutage, Settings};
use super::machine::RealFiles;
use super::release::{Incomplete, Release, Source};
use super::wanted::Wanted;
use super::{machine, release};
use crate::client;
use crate::client::{BootCallError, BootOptions, BootSession, CallRefusal, ProbeResult, SystemTimer};
use crate::crypto::random::Kernel;
use crate::domain::name::{PluginName, SecretName};
use crate::domain::ticket::BootTicket;
use crate::domain::time::Timestamp;
use crate::process::Exit;
use crate::wire::{BootRequest, BootResponse, ExplainResponse, ReportBootRequest};

/// Why there is nothing to start with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// The store was out of reach, or not able, until the deadline.
    #[error("{0}")]
    Outage(BootCallError),
    /// The same, and the cache is of no help.
    #[error("{outage}; and {cache}")]
    NoCache {
        /// What the store said or did not say.
        outage: BootCallError,
        /// What is wrong with the cache.
        cache: CacheError,
    },
    /// The store, or what stands at its address, said no.
    #[error("{0}")]
    Refused(CallRefusal),
    /// The answer is not whole.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// This machine has no room for a connection.
    #[error("no connection can be prepared: {0}")]
    Runtime(io::ErrorKind),
}

impl FetchError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Outage(error) | Self::NoCache { outage: error, .. } => error.hint(),
            Self::Refused(refused) => refused.hint(),
            Self::Incomplete(_) => {
                Some("nothing was started; try again, and check what stands between here and the store")
            }
            Self::Runtime(_) => None,
        }
    }

    /// The status that says so.
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

/// A boot that the store has recorded and that waits for its report.
pub(crate) struct Pending {
    runtime: Runtime,
    session: BootSession,
}

impl Pending {
    /// Tells the store that the workload starts, without waiting for its answer; nothing can fail here. Consumes the runtime,
    /// so that nothing of it is left when the workload starts.
    pub(crate) fn report(self, report: &ReportBootRequest) {
        self.runtime.block_on(self.session.report_nowait(report));
    }
}

/// What to ask the store for, and as which machine.
pub(crate) fn request(settings: &Settings, references: &BTreeSet<SecretName>) -> BootRequest {
    let identity = machine::identity(&RealFiles, settings.machine.clone());
    let mut include: Vec<String> = [&settings.include, &settings.require, &settings.optional]
        .into_iter()
        .flatten()
        .flat_map(Wanted::both)
        .map(str::to_owned)
        .collect();
    include.sort();
    include.dedup();
    BootRequest {
        include,
        exclude: settings.exclude.iter().flat_map(Wanted::both).map(str::to_owned).collect(),
        references: references.iter().map(|name| name.as_str().to_owned()).collect(),
        plugins: settings
            .plugins
            .as_ref()
            .map(|plugins| plugins.iter().map(PluginName::as_str).map(str::to_owned).collect()),
        machine: identity.machine,
        kernel_boot: identity.kernel_boot,
        host: identity.host,
        agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
    }
}

/// Asks for a release, and falls back as the configuration says. `now` is this machine's time.
///
/// # Errors
/// There is nothing to start with.
pub(crate) fn release(
    ticket: &BootTicket,
    request: &BootRequest,
    settings: &Settings,
    now: impl Fn() -> Timestamp,
) -> Result<(Release, Option<Pending>), FetchError> {
    let cache = || Cache::of(&settings.cache_dir, ticket, request);
    let runtime = runtime()?;
    let options = BootOptions { deadline: settings.deadline, authorities: settings.authorities.clone() };
    let answer =
        runtime.block_on(async { client::boot(ticket, request, &options, &mut SystemTimer::start()).await });
    match answer {
        Ok((response, session)) => {
            release::agrees(&response)?;
            if settings.on_outage == OnOutage::Cache {
                keep(&cache(), &response, now());
            }
            let release = Release::take(response, Source::Store)?;
            Ok((release, Some(Pending { runtime, session })))
        }
        Err(BootCallError::Refused(refused)) => {
            if refused.is_denial()
                && let Err(error) = cache().destroy()
            {
                warn!("the cache could not be destroyed after a denial: {error}");
            }
            Err(FetchError::Refused(refused))
        }
        Err(outage) => fall_back(outage, cache, settings, now()).map(|release| (release, None)),
    }
}

/// Asks what a boot would be given. Spends nothing and keeps nothing.
///
/// # Errors
/// The store does not answer, or says no.
pub(crate) fn explanation(
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

/// Tries each of the ticket's addresses once, without its credential.
///
/// # Errors
/// This machine has no room for a connection.
pub(crate) fn probe(ticket: &BootTicket, options: &BootOptions) -> Result<Vec<ProbeResult>, FetchError> {
    Ok(runtime()?.block_on(async { client::probe(ticket, options, &mut SystemTimer::start()).await }))
}

fn runtime() -> Result<Runtime, FetchError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    built.map_err(|error| FetchError::Runtime(error.kind()))
}

fn fall_back(
    outage: BootCallError,
    cache: impl Fn() -> Cache,
    settings: &Settings,
    now: Timestamp,
) -> Result<Release, FetchError> {
    match settings.on_outage {
        OnOutage::Fail => Err(FetchError::Outage(outage)),
        OnOutage::StartWithout => {
            warn!("{outage}; starting without what the store has, as configured");
            Ok(Release::nothing())
        }
        OnOutage::Cache => match cache().load(now, settings.cache_max_age) {
            Ok(saved) => {
                warn!("{outage}; starting with the release of {}, as configured", saved.at);
                Ok(Release::take(saved.response, Source::Cache(saved.at))?)
            }
            Err(cache) => Err(FetchError::NoCache { outage, cache }),
        },
    }
}

/// The cache is a help for another day: that it cannot be written is told and stops nothing.
fn keep(cache: &Cache, response: &BootResponse, now: Timestamp) {
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
        Ok(()) => info!("the release is kept for an outage"),
        Err(error) => warn!("the release is not kept for an outage: {error}"),
    }
}
