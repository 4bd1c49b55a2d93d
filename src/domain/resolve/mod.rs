//! What one boot gets: which secret becomes which variable, what it shadows, and why everything else is left out.
//! Never looks at a value, and the answer does not depend on the order of the candidates.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::id::{SecretId, VersionId};
use crate::domain::name::{EnvName, PluginName, SecretName};
pub use crate::domain::resolve::addresses::SharedAddresses;
pub(crate) use crate::domain::resolve::variables::refused_as;
use crate::domain::secret::{ScopeKind, SecretMeta};
use crate::domain::text;
use crate::domain::value::{Delivery, Kind, fits_variable};

mod addresses;
mod services;
#[cfg(test)]
mod tests;
mod variables;

/// What a boot asks for. The texts match a secret's name or its exported name, exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResolveRequest {
    /// The plugins that run; `None` if the boot does not restrict them. Neither `include` nor `references` reach past this.
    pub plugins: Option<BTreeSet<PluginName>>,
    /// Wanted although `auto_install` is off.
    pub include: BTreeSet<String>,
    /// Not wanted. Wins over `auto_install` and over `include`; does not stop a reference.
    pub exclude: BTreeSet<String>,
    /// Asked for inside another value, so delivered but not exported under its own name for that.
    pub references: BTreeSet<String>,
    /// The variables that are nothing but a reference, with what each refers to: the names under which the workload gets the values.
    pub referenced_as: BTreeMap<EnvName, String>,
    /// The shared addresses that it takes beside private secrets of the same service.
    pub addresses: SharedAddresses,
}

/// What a boot gets. Every candidate is in it: chosen, referred to, or skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The exported names, each once.
    pub variables: BTreeMap<EnvName, Chosen>,
    /// The references as they were asked; `None` if nothing in scope matches.
    pub references: BTreeMap<String, Option<Chosen>>,
    /// What is neither exported nor referred to, ordered by exported name, scope and id.
    pub skipped: Vec<Skipped>,
}

/// A secret that the boot gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The secret.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// The name it is exported as.
    pub env: EnvName,
    /// Its scope.
    pub scope_kind: ScopeKind,
    /// The version of its value.
    pub version: VersionId,
    /// Whether the value may be shown.
    pub kind: Kind,
    /// How the value is delivered.
    pub delivery: Delivery,
    /// What would have been exported under the same name otherwise.
    pub shadows: Vec<Shadowed>,
    /// Why the boot gets it.
    pub by: ReleaseReason,
}

/// A secret that lost its exported name to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Shadowed {
    /// The secret.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// Its scope.
    pub scope_kind: ScopeKind,
    /// The version of its value.
    pub version: VersionId,
}

/// A secret that the boot does not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Skipped {
    /// The secret.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// The name it would be exported as.
    pub env: EnvName,
    /// Its scope.
    pub scope_kind: ScopeKind,
    /// The version of its value.
    pub version: VersionId,
    /// Why not.
    pub reason: SkipReason,
}

text::text_enum! {
    /// Why a boot gets a secret.
    pub enum ReleaseReason, "a reason: auto, included or reference" {
        /// `auto_install` is on.
        Auto = "auto",
        /// The boot named it.
        Included = "included",
        /// Another value refers to it.
        Reference = "reference",
    }
}

text::text_enum! {
    /// Why a boot does not get a secret.
    pub enum SkipReason, "a reason to skip a secret" {
        /// `auto_install` is off and the boot did not name it.
        AutoInstallOff = "auto_install_off",
        /// The boot excluded it.
        Excluded = "excluded",
        /// It is tied to a plugin that this boot does not run.
        PluginNotRunning = "plugin_not_running",
        /// It is tied to a plugin that its organization has disabled.
        PluginDisabled = "plugin_disabled",
        /// Another secret has the same exported name and comes first.
        Shadowed = "shadowed",
        /// A private secret with the same exported name is withheld, and a shared one never takes its place.
        PrivateWithheld = "private_withheld",
        /// It is shared and names a place, and the boot receives a private secret of the same service.
        ForeignAddress = "foreign_address",
        /// Its exported name is refused and was not allowed.
        Refused = "refused",
        /// It is delivered as a file and was asked for inside a value.
        FileOnly = "file_only",
        /// It cannot be delivered: too long for a variable, or the store could not open it.
        Unusable = "unusable",
    }
}

/// Resolves a boot. `candidates` are the secrets in the boot's scope: the organization's shared ones and the private
/// ones of the one member that the boot acts for. No others may be among them.
///
/// Only secrets that would be installed compete for a name: a private secret that is off, excluded or of a plugin that this boot does
/// not run shadows nothing, because its owner or this boot does without it. A private secret that is withheld for any other reason
/// leaves its name unset: a shared secret never takes its place. Among those that compete private comes before shared; two of the
/// same scope, which the store does not let in, are decided by the smaller id. Secrets of the `disabled` plugins are kept back from
/// every boot, also from one that names them.
pub fn resolve<'a>(
    candidates: impl IntoIterator<Item = &'a SecretMeta>,
    disabled: &BTreeSet<PluginName>,
    request: &ResolveRequest,
) -> Resolution {
    let mut pool: Vec<Candidate<'a>> =
        candidates.into_iter().map(|meta| Candidate::judge(meta, disabled, request)).collect();
    // Precedence within a name is the order of the pool from here on, whatever order the candidates came in.
    pool.sort_unstable_by_key(Candidate::precedence);
    // A candidate that was passed twice must not shadow itself.
    pool.dedup_by_key(|candidate| candidate.meta.id);
    addresses::withhold(&mut pool, request);

    let references = refer_all(&pool, request);
    let referred: BTreeSet<SecretId> = references.values().flatten().map(|chosen| chosen.id).collect();

    let mut resolution = Resolution { references, ..Resolution::default() };
    for rivals in pool.chunk_by(|a, b| a.meta.env == b.meta.env) {
        export(rivals, request, &referred, &mut resolution);
    }
    variables::separate(&pool, &referred, &mut resolution);
    resolution
}

/// A secret with the first reason, if any, not to export it.
struct Candidate<'a> {
    meta: &'a SecretMeta,
    verdict: Result<ReleaseReason, SkipReason>,
    /// Whether this boot runs its plugin.
    runs: bool,
    /// Whether this boot and the secret's owner want it exported. The verdict may refuse it nevertheless.
    wanted: bool,
    /// Whether it is a shared address that meets a private secret of this boot.
    foreign: bool,
}

impl<'a> Candidate<'a> {
    fn judge(meta: &'a SecretMeta, disabled: &BTreeSet<PluginName>, request: &ResolveRequest) -> Self {
        let (runs, excluded) = (plugin_runs(meta, request), named(meta, &request.exclude));
        let asked = if meta.attributes.auto_install {
            Ok(ReleaseReason::Auto)
        } else if named(meta, &request.include) {
            Ok(ReleaseReason::Included)
        } else {
            Err(SkipReason::AutoInstallOff)
        };
        // What no reference may reach comes first, so that no other reason hides it. A plugin that does not run comes before all: by this
        // reason the agent knows that no reference means the secret.
        let verdict = if !runs {
            Err(SkipReason::PluginNotRunning)
        } else if is_disabled(meta, disabled) {
            Err(SkipReason::PluginDisabled)
        } else if excluded {
            Err(SkipReason::Excluded)
        } else if !meta.allow_refused && refused_as(&meta.env, meta.delivery).is_some() {
            Err(SkipReason::Refused)
        } else if !deliverable(meta) {
            Err(SkipReason::Unusable)
        } else {
            asked
        };
        Self { meta, verdict, runs, wanted: asked.is_ok() && runs && !excluded, foreign: false }
    }

    fn is_private(&self) -> bool {
        self.meta.scope.kind() == ScopeKind::Private
    }

    /// Whether no shared secret may be exported in its place.
    fn keeps_name(&self) -> bool {
        self.is_private() && self.wanted && self.verdict.is_err()
    }

    fn precedence(&self) -> (&'a EnvName, ScopeKind, SecretId, VersionId) {
        (&self.meta.env, self.meta.scope.kind(), self.meta.id, self.meta.version)
    }
}

/// Gives the name that all `rivals` share to the first that would be installed.
fn export(
    rivals: &[Candidate<'_>],
    request: &ResolveRequest,
    referred: &BTreeSet<SecretId>,
    resolution: &mut Resolution,
) {
    let mut winner: Option<Chosen> = None;
    let withheld = rivals.iter().any(Candidate::keeps_name);
    for candidate in rivals {
        let reason = match (candidate.verdict, &mut winner) {
            (Ok(_), None) if withheld && !candidate.is_private() => SkipReason::PrivateWithheld,
            (Ok(_), None) if candidate.foreign => SkipReason::ForeignAddress,
            (Ok(why), None) => {
                winner = Some(chosen(candidate.meta, why));
                continue;
            }
            (Ok(_), Some(winner)) => {
                winner.shadows.push(shadowed(candidate.meta));
                SkipReason::Shadowed
            }
            // It was asked for inside a value, which no reason of these three prevents.
            (Err(SkipReason::AutoInstallOff | SkipReason::Excluded | SkipReason::Refused), _)
                if candidate.foreign && named(candidate.meta, &request.references) =>
            {
                SkipReason::ForeignAddress
            }
            (Err(reason), _) => reason,
        };
        // What is delivered for a reference is not skipped, although no variable has its own name.
        if !referred.contains(&candidate.meta.id) {
            resolution.skipped.push(skipped(candidate.meta, file_only(candidate.meta, reason, request)));
        }
    }
    if let Some(winner) = winner {
        resolution.variables.insert(winner.env.clone(), winner);
    }
}

/// What the references of a request mean.
fn refer_all(pool: &[Candidate<'_>], request: &ResolveRequest) -> BTreeMap<String, Option<Chosen>> {
    let chosen = |asked: &String| refer(pool, asked).map(|(_, chosen)| chosen);
    request.references.iter().map(|asked| (asked.clone(), chosen(asked))).collect()
}

/// What a reference can mean: name, exported name, scope and id of each secret in scope whose plugin runs, also of those that the boot
/// does not get.
type Meant<'a> = (&'a SecretName, &'a EnvName, ScopeKind, &'a SecretId);

/// The secret that a reference means, whether or not the boot may have it. Store and agent both ask this, so that neither takes another
/// secret instead. A reference by the name of a shared secret means the private one that overrides its exported name.
pub(crate) fn meant_by_reference<'a>(all: &[Meant<'a>], asked: &str) -> Option<&'a SecretId> {
    let named = all.iter().filter(|(name, env, ..)| name.as_str() == asked || env.as_str() == asked);
    // Private first, by either name, and then a secret's own name: another member could export a shared secret under the very name of a
    // private one, or of a shared one.
    let named = named.min_by_key(|(name, env, scope, id)| (*scope, name.as_str() != asked, *env, *id))?;
    let rivals = all.iter().filter(|rival| rival.1 == named.1);
    rivals.min_by_key(|(.., scope, id)| (*scope, *id)).map(|rival| rival.3)
}

/// The secret that the boot gets for a reference, with its position in the pool. Off and excluded secrets take part, as a reference names
/// them. So do refused names: the value is delivered under another name. Withheld secrets and files also take part, so that no other
/// secret replaces them.
fn refer(pool: &[Candidate<'_>], asked: &str) -> Option<(usize, Chosen)> {
    let takes_part = pool.iter().filter(|candidate| candidate.runs).map(|candidate| candidate.meta);
    let all: Vec<Meant<'_>> =
        takes_part.map(|meta| (&meta.name, &meta.env, meta.scope.kind(), &meta.id)).collect();
    let meant = meant_by_reference(&all, asked)?;
    let index = pool.iter().position(|candidate| candidate.meta.id == *meant)?;
    let first = pool.get(index).filter(|candidate| referable(candidate))?;
    let mut chosen = chosen(first.meta, ReleaseReason::Reference);
    let rivals =
        pool[index + 1..].iter().filter(|rival| rival.meta.env == first.meta.env && referable(rival));
    chosen.shadows.extend(rivals.map(|candidate| shadowed(candidate.meta)));
    Some((index, chosen))
}

fn referable(candidate: &Candidate<'_>) -> bool {
    let barred = matches!(
        candidate.verdict,
        Err(SkipReason::PluginNotRunning | SkipReason::PluginDisabled | SkipReason::Unusable)
    );
    !barred && !candidate.foreign && candidate.meta.delivery == Delivery::Variable
}

fn named(meta: &SecretMeta, names: &BTreeSet<String>) -> bool {
    // Most boots name nothing, and this runs for each candidate.
    !names.is_empty() && (names.contains(meta.name.as_str()) || names.contains(meta.env.as_str()))
}

fn plugin_runs(meta: &SecretMeta, request: &ResolveRequest) -> bool {
    match (&meta.attributes.plugin, &request.plugins) {
        (Some(plugin), Some(running)) => running.contains(plugin),
        (None, _) | (_, None) => true,
    }
}

fn is_disabled(meta: &SecretMeta, disabled: &BTreeSet<PluginName>) -> bool {
    meta.attributes.plugin.as_ref().is_some_and(|plugin| disabled.contains(plugin))
}

/// Deposits are checked already; this holds when a limit became smaller since.
fn deliverable(meta: &SecretMeta) -> bool {
    let len = usize::try_from(meta.value_len).unwrap_or(usize::MAX);
    match meta.delivery {
        Delivery::Variable => fits_variable(&meta.env, len),
        Delivery::File => len <= crate::domain::value::MAX_FILE && meta.env.file_variable().is_some(),
    }
}

/// A file that was asked for inside a value is skipped for that, not because it is off.
fn file_only(meta: &SecretMeta, reason: SkipReason, request: &ResolveRequest) -> SkipReason {
    let off = reason == SkipReason::AutoInstallOff;
    if off && meta.delivery == Delivery::File && named(meta, &request.references) {
        SkipReason::FileOnly
    } else {
        reason
    }
}

fn chosen(meta: &SecretMeta, by: ReleaseReason) -> Chosen {
    Chosen {
        id: meta.id,
        name: meta.name.clone(),
        env: meta.env.clone(),
        scope_kind: meta.scope.kind(),
        version: meta.version,
        kind: meta.kind,
        delivery: meta.delivery,
        shadows: Vec::new(),
        by,
    }
}

fn shadowed(meta: &SecretMeta) -> Shadowed {
    Shadowed { id: meta.id, name: meta.name.clone(), scope_kind: meta.scope.kind(), version: meta.version }
}

fn skipped(meta: &SecretMeta, reason: SkipReason) -> Skipped {
    Skipped {
        id: meta.id,
        name: meta.name.clone(),
        env: meta.env.clone(),
        scope_kind: meta.scope.kind(),
        version: meta.version,
        reason,
    }
}
