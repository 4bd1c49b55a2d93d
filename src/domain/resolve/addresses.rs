//! Withholds shared addresses from boots that receive a private secret of the same service: the program would send the
//! secret to the person who set the address. This is not a security boundary, because addresses are recognized by their
//! names, and a program may read any other name.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::services::Services;
use super::{Candidate, ResolveRequest, refer};
use crate::domain::name::EnvName;
use crate::domain::secret::SecretMeta;
use crate::domain::value::Delivery;

/// Which shared addresses a boot can receive together with private secrets of the same service. With a shared
/// `OPENAI_BASE_URL`, a private `OPENAI_API_KEY` would go to the person who set the address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SharedAddresses {
    /// All: the boot acts for a service, whose managers are responsible for its private secrets and for the address.
    All,
    /// Only those with these names: the boot acts for a person, and the machine lists them in `allow_names`.
    Named(BTreeSet<EnvName>),
}

impl SharedAddresses {
    /// Returns the number of listed names.
    pub fn len(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Named(names) => names.len(),
        }
    }

    /// Whether no name is listed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for SharedAddresses {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

/// Marks the shared secrets that give an address to which a private secret of this boot would be sent.
pub(super) fn withhold(pool: &mut [Candidate<'_>], request: &ResolveRequest) {
    let SharedAddresses::Named(allowed) = &request.addresses else { return };
    // The position of each referenced secret in the pool, and the variable that the machine sets to it.
    let renamed: Vec<(usize, &EnvName)> = request
        .referenced_as
        .iter()
        .filter_map(|(variable, asked)| Some((refer(pool, asked)?.0, variable)))
        .collect();
    let places: Vec<(usize, Services)> = pool
        .iter()
        .enumerate()
        .filter(|(_, candidate)| !candidate.is_private() && !is_allowed(candidate.meta, allowed))
        .flat_map(|(index, candidate)| {
            let own = own_addresses(candidate.meta);
            let given = renamed.iter().filter(move |(of, name)| *of == index && !allowed.contains(*name));
            let given = given.filter_map(|(_, name)| Services::addressed_by(name.as_str()));
            own.chain(given).map(move |services| (index, services))
        })
        .collect();
    // Most scopes share no address, and this runs for each boot.
    if places.is_empty() {
        return;
    }
    // Shared secrets do not affect which private ones a boot receives, so these are final before any is withheld.
    let exported = pool.iter().filter(|candidate| candidate.is_private() && candidate.verdict.is_ok());
    let referred = request.references.iter().filter_map(|asked| refer(pool, asked));
    let referred = referred.map(|(index, _)| &pool[index]).filter(|candidate| candidate.is_private());
    let given = renamed.iter().filter(|(index, _)| pool[*index].is_private()).map(|(_, name)| *name);
    let received: BTreeSet<&EnvName> =
        exported.chain(referred).map(|candidate| &candidate.meta.env).chain(given).collect();
    let received: Vec<Services> = received.into_iter().map(|name| Services::of(name.as_str())).collect();
    let foreign: Vec<usize> = places
        .into_iter()
        .filter(|(_, services)| received.iter().any(|of_secret| services.meet(of_secret)))
        .map(|(index, _)| index)
        .collect();
    for index in foreign {
        pool[index].foreign = true;
    }
}

/// Returns the services whose address a secret gives under its own name.
fn own_addresses(meta: &SecretMeta) -> impl Iterator<Item = Services> {
    // The agent sets NAME_FILE to the path of a file. That name may stand for an address too, such as AWS_CONFIG_FILE.
    let file = (meta.delivery == Delivery::File).then(|| format!("{}_FILE", meta.env));
    let names = [Some(meta.env.as_str()), file.as_deref()];
    names.into_iter().flatten().filter_map(Services::addressed_by).collect::<Vec<_>>().into_iter()
}

fn is_allowed(meta: &SecretMeta, allowed: &BTreeSet<EnvName>) -> bool {
    // A machine can also list a file as NAME_FILE, which is the variable that it sees.
    allowed.contains(&meta.env)
        || (meta.delivery == Delivery::File
            && allowed.iter().any(|name| name.as_str().strip_suffix("_FILE") == Some(meta.env.as_str())))
}
