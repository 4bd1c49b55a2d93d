//! The names of a secret: no two of a scope are the same, or could be taken for each other.

use std::collections::BTreeSet;

use crate::domain::id::{OrgId, SecretId};
use crate::domain::name::{EnvName, SecretName, refused};
use crate::domain::secret::{Scope, SecretMeta};
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;
use crate::store::rules::error::Error;

/// The keys of the names that no other secret of the scope may have, beside the secret's own two: a reference or a program would take
/// one secret for the other.
pub(crate) fn confusable_names(
    records: &Records,
    org: OrgId,
    scope: Scope,
    (name, env): (&SecretName, &EnvName),
) -> Vec<Key<SecretId>> {
    let named_so = SecretName::parse(env.as_str()).ok().filter(|other| other != name);
    let mut keys: Vec<_> = named_so.iter().map(|other| records.secret_name(org, scope, other)).collect();
    let (upper, lower) = (env.as_str().to_ascii_uppercase(), env.as_str().to_ascii_lowercase());
    // HTTP_PROXY and http_proxy go together, and an admin allows each of them. One's own two are one's own choice.
    let any_case = scope == Scope::Shared && refused(env).is_none();
    let other_cases = [&*upper, &*lower].into_iter().filter(|_| any_case);
    let exported_so = other_cases.chain([name.as_str()]).filter_map(|other| EnvName::parse(other).ok());
    let exported_so: BTreeSet<EnvName> = exported_so.filter(|other| other != env).collect();
    keys.extend(exported_so.iter().map(|other| records.secret_env(org, scope, other)));
    keys
}

impl Tx<'_> {
    /// Enters a secret that is new, or gets another exported name, into the indexes of names.
    pub(crate) fn claim_names(
        &mut self,
        org: OrgId,
        meta: &SecretMeta,
        before: Option<&SecretMeta>,
    ) -> Result<(), Stop<Error>> {
        let records = self.records();
        let env = records.secret_env(org, meta.scope, &meta.env);
        let name = records.secret_name(org, meta.scope, &meta.name);
        let confusable = confusable_names(records, org, meta.scope, (&meta.name, &meta.env));
        // All at once: each key that is found missing costs another round of reading.
        self.need([&env, &name].into_iter().chain(&confusable).map(|key| key.to_vec()))?;
        let mut taken = match self.get(&env)? {
            Some(other) => Some(other),
            // The name of an existing secret is its own.
            None if before.is_none() => self.get(&name)?,
            None => None,
        };
        for key in &confusable {
            taken = taken.or(self.get(key)?.filter(|other| *other != meta.id));
        }
        if let Some(other) = taken {
            let other = self.get(&records.secret(org, meta.scope, other))?.ok_or(Failure::Corrupt)?.meta;
            return Err(Error::NameTaken { id: other.id, name: other.name, env: other.env }.into());
        }
        self.put(&env, &meta.id)?;
        self.put(&name, &meta.id)?;
        Ok(())
    }
}
