//! Names that are not equal and still meet in the workload. A machine finds the file of `NAME` by the variable `NAME_FILE`, which
//! another secret of the boot may have as its exported name. Some programs read `name` for `NAME`.

use std::collections::BTreeSet;

use super::{Candidate, Resolution, SkipReason, Skipped};
use crate::domain::id::SecretId;
use crate::domain::name::{EnvName, Refusal, refused};
use crate::domain::secret::ScopeKind;
use crate::domain::value::Delivery;

/// The reason to refuse the exported name of a secret that is delivered like this, if there is one.
pub(crate) fn refused_as(env: &EnvName, delivery: Delivery) -> Option<Refusal> {
    let variable = || variable(env, delivery).as_ref().and_then(refused);
    refused(env).or_else(variable)
}

/// The variable of the workload. `None` if its name would be too long.
fn variable(env: &EnvName, delivery: Delivery) -> Option<EnvName> {
    match delivery {
        Delivery::Variable => Some(env.clone()),
        Delivery::File => env.file_variable(),
    }
}

/// Leaves out what would set a variable that another secret of the boot sets, or that a withheld private secret keeps unset. Case does
/// not count between private and shared ones: programs that read their settings in any case would take the shared one.
/// Private comes before shared here too: a boot that failed instead could be stopped by anybody who may share a secret.
pub(super) fn separate(pool: &[Candidate<'_>], referred: &BTreeSet<SecretId>, resolution: &mut Resolution) {
    let is_simple = |candidate: &Candidate<'_>| {
        let lower = candidate.meta.env.as_str().bytes().any(|byte| byte.is_ascii_lowercase());
        candidate.meta.delivery == Delivery::Variable && !lower
    };
    // Most scopes hold nothing else, and this runs for each boot.
    if pool.iter().all(is_simple) {
        return;
    }
    let in_capitals = |name: &EnvName| name.as_str().to_ascii_uppercase();
    let withheld = pool.iter().filter(|candidate| candidate.keeps_name());
    let withheld = withheld.filter_map(|candidate| variable(&candidate.meta.env, candidate.meta.delivery));
    let unset: BTreeSet<String> = withheld.map(|name| in_capitals(&name)).collect();
    let mut winners: Vec<_> = resolution.variables.values().collect();
    winners.sort_unstable_by_key(|chosen| (chosen.scope_kind, chosen.id));
    let (mut own, mut taken, mut losers) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for chosen in winners {
        let Some(name) = variable(&chosen.env, chosen.delivery) else { continue };
        let (capitals, shared) = (in_capitals(&name), chosen.scope_kind == ScopeKind::Shared);
        if shared && unset.contains(&capitals) {
            losers.push((chosen.env.clone(), SkipReason::PrivateWithheld));
        } else if shared && own.contains(&capitals) || !taken.insert(name) {
            losers.push((chosen.env.clone(), SkipReason::Shadowed));
        } else if !shared {
            own.insert(capitals);
        }
    }
    for (env, reason) in losers {
        let Some(lost) = resolution.variables.remove(&env) else { continue };
        if !referred.contains(&lost.id) {
            let (id, name, scope_kind, version) = (lost.id, lost.name, lost.scope_kind, lost.version);
            resolution.skipped.push(Skipped { id, name, env, scope_kind, version, reason });
        }
    }
    resolution.skipped.sort_by(|a, b| (&a.env, a.scope_kind, a.id).cmp(&(&b.env, b.scope_kind, b.id)));
}
