//! Which secrets a name stands for. A name may have passed from one secret to another, and a boot may have received a secret under
//! a name that it has no more, so that names are turned into ids before anything is counted or listed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::id::{OrgId, SecretId};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::role::{Action, ScopeSubject, Subject};
use crate::domain::secret::{ScopeKind, SecretMeta};
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::ReleasedVersion;
use crate::store::rules::boots::receipt_cache::CachedReceipt;
use crate::store::rules::boots::running::RunningReader;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

/// A secret that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSecret {
    /// The secret.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// The name that it is exported as; of a deleted secret, as a running boot received it.
    pub env: EnvName,
    /// Its scope.
    pub scope: ScopeKind,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// The secrets that a name stands for: those that have it now, and those that a running boot received under it.
#[derive(Default)]
pub(crate) struct NamedSecrets {
    /// Shared ones, the caller's own, and those of the services that it manages.
    pub(crate) own: Vec<NamedSecret>,
    /// Private ones of other members, if the caller may see who holds them.
    pub(crate) others: Vec<NamedSecret>,
}

/// A secret that a filter asks for.
pub(crate) struct WantedSecret {
    /// Its name, exported name or id.
    text: String,
    ids: BTreeSet<SecretId>,
}

/// What is known of a secret before its record is read.
struct FoundSecret {
    is_others: bool,
    received: Option<Arc<ReleasedVersion>>,
}

impl Store {
    /// Finds the secrets that a name, an exported name or the id of a deleted secret stands for.
    pub(crate) async fn named_secrets(
        &self,
        caller: &Caller,
        org: OrgId,
        text: &str,
    ) -> Result<NamedSecrets, Error> {
        let (_, member) = caller.own_member()?;
        let sees_others = caller.may(Action::ReadHolders(ScopeSubject::Private(Subject::Other)))
            && caller.may(Action::ReadBoots(Subject::Other));
        let mut found: BTreeMap<SecretId, FoundSecret> = BTreeMap::new();
        let mut add = |id, subject, received| {
            let is_others = subject == ScopeSubject::Private(Subject::Other);
            if sees_others || !is_others {
                found.entry(id).or_insert(FoundSecret { is_others, received });
            }
        };
        // Receipts first: a deletion between the two look-ups must not hide the secret from both.
        let wanted = WantedSecret::new(text);
        let mut running = RunningReader::new(self, org);
        let select = |receipt: &_| wanted.select(receipt);
        while let Some(chunk) = running.next(select).await? {
            for row in &chunk.rows {
                for version in chunk.of(row) {
                    let subject = match version.scope {
                        ScopeKind::Shared => ScopeSubject::Shared,
                        // A boot receives private secrets of the member that it acts for only.
                        ScopeKind::Private => ScopeSubject::Private(caller.subject(row.record.member)),
                    };
                    add(version.secret, subject, Some(Arc::clone(version)));
                }
            }
        }
        let scopes = self.visible_scopes(caller, org, member).await?;
        for (id, scope) in self.ids_named(org, &scopes, text).await? {
            add(id, caller.scope_subject(scope), None);
        }
        self.describe_found(org, found).await.map_err(Error::from)
    }

    async fn describe_found(
        &self,
        org: OrgId,
        found: BTreeMap<SecretId, FoundSecret>,
    ) -> Result<NamedSecrets, Failure> {
        let current = self.current_secrets(org, found.keys().copied().collect()).await?;
        let mut named = NamedSecrets::default();
        for (id, FoundSecret { is_others, received }) in found {
            let meta = current.get(&id);
            // Neither, if it was deleted since the look-up and no running boot received it.
            let received = received.map(|version| NamedSecret::now(meta, &version));
            let Some(secret) = received.or(meta.map(NamedSecret::of)) else { continue };
            if is_others { named.others.push(secret) } else { named.own.push(secret) }
        }
        Ok(named)
    }

    /// What a filter by a secret matches, for all that the caller may see. `None` without such a filter.
    pub(crate) async fn wanted_secret(
        &self,
        caller: &Caller,
        org: OrgId,
        text: Option<&str>,
    ) -> Result<Option<WantedSecret>, Error> {
        let Some(text) = text else { return Ok(None) };
        let mut wanted = WantedSecret::new(text);
        match self.named_secrets(caller, org, text).await {
            Ok(NamedSecrets { own, others }) => {
                wanted.ids.extend(own.iter().chain(&others).map(|secret| secret.id));
            }
            // A damaged receipt must not hide the audit log, which says of each boot whether its receipt can be read.
            Err(Error::Failure(Failure::Corrupt)) => {
                let scopes = self.visible_scopes(caller, org, caller.own_member()?.1).await?;
                wanted.ids.extend(self.ids_named(org, &scopes, text).await?.into_keys());
            }
            Err(error) => return Err(error),
        }
        Ok(Some(wanted))
    }
}

impl NamedSecret {
    pub(crate) fn of(meta: &SecretMeta) -> Self {
        let SecretMeta { id, name, env, scope, .. } = meta;
        Self { id: *id, name: name.clone(), env: env.clone(), scope: scope.kind(), deleted: false }
    }

    /// A secret that a boot received, as it is now. `None` stands for a deleted one.
    pub(crate) fn now(current: Option<&SecretMeta>, received: &ReleasedVersion) -> Self {
        let ReleasedVersion { secret, name, env, scope, .. } = received;
        let deleted =
            || Self { id: *secret, name: name.clone(), env: env.clone(), scope: *scope, deleted: true };
        current.map_or_else(deleted, Self::of)
    }
}

impl WantedSecret {
    /// A secret by the names and the id in a receipt or an entry only.
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), ids: text.parse().into_iter().collect() }
    }

    pub(crate) fn is(&self, id: SecretId, names: [&str; 2]) -> bool {
        // The text too: a secret that is gone is found by the names that it had.
        self.ids.contains(&id) || names.contains(&self.text.as_str())
    }

    pub(crate) fn is_version(&self, version: &ReleasedVersion) -> bool {
        self.is(version.secret, [version.env.as_str(), version.name.as_str()])
    }

    /// Whether a text of an entry of the audit log is its name, exported name or id.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        text == self.text || text.parse().is_ok_and(|id| self.ids.contains(&id))
    }

    fn select(&self, receipt: &CachedReceipt) -> Vec<Arc<ReleasedVersion>> {
        receipt.versions().iter().filter(|version| self.is_version(version)).cloned().collect()
    }
}
