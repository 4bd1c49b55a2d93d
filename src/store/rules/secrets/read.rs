//! Looking at secrets: everything but encrypted values.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::AuditAction;
use crate::domain::id::{MemberId, OrgId, SecretId};
use crate::domain::name::{EnvName, MemberName, PluginName, SecretName};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::domain::value::Kind;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::secrets::{Secret, SecretFilter};
use crate::store::rules::store::Store;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::secrets::{Body, SecretRecord, SecretValueRecord as Stored};

/// Secrets looked at for one page: some 0.1 s of one processor's time.
const LOOK_AT: usize = 20_000;

/// Where the secrets of a list are found.
enum Places {
    /// In these scopes.
    Scopes(Vec<Scope>),
    /// In all of the organization, or all private scopes of it.
    All { private_only: bool },
    /// These, which the indexes of names found.
    Named(BTreeMap<SecretId, Scope>),
}

impl Store {
    /// One secret, by id.
    pub async fn secret(&self, caller: &Caller, id: SecretId) -> Result<Secret, Error> {
        let (org, _) = self.require_member(caller, AuditAction::SecretRead).await?;
        let record = self.visible_secret(caller, org, id).await?;
        self.show_secret(caller, record).await
    }

    /// Refuses to show a value, and records that it was asked for. What the caller may not see is not there.
    pub async fn refuse_to_show(&self, caller: &Caller, id: SecretId) -> Error {
        let audit_action = AuditAction::SecretRead;
        let seen = async {
            let (org, _) = self.require_member(caller, audit_action).await?;
            self.visible_secret(caller, org, id).await
        };
        match seen.await {
            Ok(record) => {
                let about = target::secret(id, &record.meta.name);
                self.record_denial(caller.event(audit_action).about(about).denied(Error::WriteOnly.code()))
                    .await;
                Error::WriteOnly
            }
            Err(error) => error,
        }
    }

    /// The secret of that name, or else exported under it, in one scope of one owner (absent: the caller).
    pub async fn find_secret(
        &self,
        caller: &Caller,
        name: &str,
        scope: ScopeKind,
        owner: Option<&MemberName>,
    ) -> Result<Secret, Error> {
        let audit_action = AuditAction::SecretRead;
        let (org, _) = self.require_member(caller, audit_action).await?;
        let scope = self.scope(caller, scope, owner).await?;
        self.permit(caller, Action::ReadSecret(scope), audit_action, None).await?;
        let not_found = || Error::NotFound { what: "secret" };
        let id = self.named(org, scope, name).await?.ok_or_else(not_found)?;
        let record = self.records().get(&self.records().secret(org, scope, id)).await?;
        self.show_secret(caller, record.ok_or_else(not_found)?).await
    }

    /// Secrets that the caller may see, ascending by id.
    pub async fn list_secrets(
        &self,
        caller: &Caller,
        filter: &SecretFilter,
        page: PageAsk,
    ) -> Result<Page<Secret>, Error> {
        let (org, _) = self.require_member(caller, AuditAction::SecretList).await?;
        let mut places = self.places(caller, filter).await?;
        if let Some(name) = &filter.name {
            let scopes = self.scopes_of(caller, org, places).await?;
            places = Places::Named(self.ids_named(org, &scopes, name).await?);
        }
        let limit = page.limit();
        let mut after: Option<SecretId> = match self.page_start(&page)? {
            Some(after) => Some(SecretId::from_bytes(after.try_into().map_err(|_| foreign_cursor())?)),
            None => None,
        };
        let sought = Sought {
            filter,
            q: filter.q.as_ref().map(|q| q.to_lowercase()),
            disabled: match filter.plugin_enabled {
                Some(_) => self.disabled_plugins(org).await?,
                None => BTreeSet::new(),
            },
        };
        // A filter may leave out most of what is looked at; without one no record is opened that is not shown.
        let step = if sought.admits_all() { limit } else { limit.clamp(200, 1000) };
        let mut found = Vec::new();
        let mut looked_at = 0;
        let next = loop {
            let (records, more) = self.next_secrets(org, &places, after, step).await?;
            let last = records.last().map(|record| record.meta.id);
            let mut full = false;
            for record in records {
                looked_at += 1;
                after = Some(record.meta.id);
                if sought.admits(&record.meta) {
                    found.push(record);
                    full = found.len() == limit;
                    if full {
                        // The last page says so, instead of leading to an empty one.
                        full = more || after != last;
                        break;
                    }
                }
            }
            match after {
                Some(after) if full || (more && looked_at >= LOOK_AT) => {
                    break Some(self.cursor(after.as_bytes()));
                }
                _ if !more => break None,
                _ => {}
            }
        };
        Ok(Page { items: self.show_secrets(caller, org, found).await?, next })
    }

    /// A secret of the caller's organization that the caller may see.
    pub(crate) async fn visible_secret(
        &self,
        caller: &Caller,
        org: OrgId,
        id: SecretId,
    ) -> Result<SecretRecord, Error> {
        let not_found = || Error::NotFound { what: "secret" };
        let scope = self.records().get(&self.records().scopes(org).key(id.as_bytes())).await?;
        let scope = scope.ok_or_else(not_found)?;
        let (action, about) = (Action::ReadSecret(scope), target::secret_id(id));
        if !self.may_see(caller, action, AuditAction::SecretRead, about) {
            return Err(not_found());
        }
        if let Some(owner) = scope.owner() {
            let owner =
                self.members_by_id(org, [owner].into()).await?.remove(&owner).ok_or_else(not_found)?;
            if owner.removed_at.is_some() {
                return Err(not_found());
            }
        }
        let record = self.records().get(&self.records().secret(org, scope, id)).await?;
        record.ok_or_else(not_found)
    }

    /// The id of the secret that `name` means in a scope.
    async fn named(&self, org: OrgId, scope: Scope, name: &str) -> Result<Option<SecretId>, Failure> {
        if let Ok(name) = SecretName::parse(name) {
            let found = self.records().get(&self.records().secret_name(org, scope, &name)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        match EnvName::parse(name) {
            Ok(env) => self.records().get(&self.records().secret_env(org, scope, &env)).await,
            Err(_) => Ok(None),
        }
    }

    async fn places(&self, caller: &Caller, filter: &SecretFilter) -> Result<Places, Error> {
        let audit_action = AuditAction::SecretList;
        if filter.owner.is_some() {
            let scope =
                self.scope(caller, filter.scope.unwrap_or(ScopeKind::Private), filter.owner.as_ref()).await?;
            self.permit(caller, Action::ReadSecret(scope), audit_action, None).await?;
            return Ok(Places::Scopes(vec![scope]));
        }
        let own = Scope::Private(caller.own_member()?.1);
        self.permit(caller, Action::ReadSecret(own), audit_action, None).await?;
        let anybody = Scope::Private(MemberId::from_bytes([0; 16]));
        let sees_all = caller.may(Action::ReadSecret(anybody));
        Ok(match filter.scope {
            Some(ScopeKind::Shared) => Places::Scopes(vec![Scope::Shared]),
            Some(ScopeKind::Private) if !sees_all => Places::Scopes(vec![own]),
            Some(ScopeKind::Private) => Places::All { private_only: true },
            None if !sees_all => Places::Scopes(vec![Scope::Shared, own]),
            None => Places::All { private_only: false },
        })
    }

    /// The next secrets after `after`, ascending by id, and whether there are more.
    async fn next_secrets(
        &self,
        org: OrgId,
        places: &Places,
        after: Option<SecretId>,
        limit: usize,
    ) -> Result<(Vec<SecretRecord>, bool), Error> {
        match places {
            Places::Scopes(scopes) => self.next_of_scopes(org, scopes, after, limit).await,
            Places::All { private_only } => self.next_of_all(org, *private_only, after, limit).await,
            Places::Named(found) => {
                let rest = found.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
                let keys: Vec<_> = rest.map(|(id, scope)| self.records().secret(org, *scope, *id)).collect();
                // All at once: there are at most two in each scope.
                Ok((self.records().get_all(&keys).await?.into_iter().flatten().collect(), false))
            }
        }
    }

    /// The scopes of a list, one by one.
    async fn scopes_of(&self, caller: &Caller, org: OrgId, places: Places) -> Result<Vec<Scope>, Error> {
        let private_only = match places {
            Places::Scopes(scopes) => return Ok(scopes),
            Places::Named(found) => return Ok(found.into_values().collect()),
            Places::All { private_only } => private_only,
        };
        let (_, own) = caller.own_member()?;
        let mut scopes = self.visible_scopes(caller, org, own).await?;
        scopes.retain(|scope| !private_only || *scope != Scope::Shared);
        Ok(scopes)
    }

    /// The secrets that have a name or are exported under it, found by the indexes of names.
    async fn ids_named(
        &self,
        org: OrgId,
        scopes: &[Scope],
        name: &str,
    ) -> Result<BTreeMap<SecretId, Scope>, Failure> {
        let records = self.records();
        let (name, env) = (SecretName::parse(name).ok(), EnvName::parse(name).ok());
        let mut keys = Vec::with_capacity(2 * scopes.len());
        let mut scope_of = Vec::with_capacity(2 * scopes.len());
        for scope in scopes {
            keys.extend(name.iter().map(|name| records.secret_name(org, *scope, name)));
            keys.extend(env.iter().map(|env| records.secret_env(org, *scope, env)));
            scope_of.resize(keys.len(), *scope);
        }
        let found = records.get_all(&keys).await?.into_iter().zip(scope_of);
        Ok(found.filter_map(|(id, scope)| Some((id?, scope))).collect())
    }

    async fn next_of_scopes(
        &self,
        org: OrgId,
        scopes: &[Scope],
        after: Option<SecretId>,
        limit: usize,
    ) -> Result<(Vec<SecretRecord>, bool), Error> {
        let mut merged: BTreeMap<SecretId, SecretRecord> = BTreeMap::new();
        // Up to here every scope has been read.
        let mut complete: Option<SecretId> = None;
        for scope in scopes {
            let prefix = self.records().secrets(org, *scope);
            let after = after.map(|after| prefix.key(after.as_bytes()));
            let scanned = self.records().scan(&prefix, after.as_ref().map(|key| key.bytes()), limit).await?;
            if let (true, Some(last)) = (scanned.more, scanned.found.last()) {
                let last = last.record.meta.id;
                complete = Some(complete.map_or(last, |complete| complete.min(last)));
            }
            merged.extend(scanned.found.into_iter().map(|found| (found.record.meta.id, found.record)));
        }
        if let Some(complete) = complete {
            merged.retain(|id, _| *id <= complete);
        }
        Ok((merged.into_values().collect(), complete.is_some()))
    }

    async fn next_of_all(
        &self,
        org: OrgId,
        private_only: bool,
        after: Option<SecretId>,
        limit: usize,
    ) -> Result<(Vec<SecretRecord>, bool), Error> {
        let index = self.records().scopes(org);
        let mut after = after.map(|after| index.key(after.as_bytes()).to_vec());
        loop {
            let scanned = self.records().scan(&index, after.as_deref(), limit).await?;
            after = scanned.found.last().map(|found| found.key.clone());
            let keys: Vec<_> = scanned
                .found
                .iter()
                .filter(|found| !private_only || found.record != Scope::Shared)
                .filter_map(|found| Some((index.id(&found.key)?, found.record)))
                .map(|(id, scope)| self.records().secret(org, scope, SecretId::from_bytes(id)))
                .collect();
            let records: Vec<_> = self.records().get_all(&keys).await?.into_iter().flatten().collect();
            // An empty page would lose its place.
            if !records.is_empty() || !scanned.more {
                return Ok((records, scanned.more));
            }
        }
    }

    pub(crate) async fn show_secret(&self, caller: &Caller, record: SecretRecord) -> Result<Secret, Error> {
        let org = record.org;
        let shown = self.show_secrets(caller, org, vec![record]).await?.pop();
        shown.ok_or(Error::NotFound { what: "secret" })
    }

    /// A secret that was just written, or was once; its plain value only while it still is that version.
    pub(crate) async fn show_written(
        &self,
        caller: &Caller,
        org: OrgId,
        meta: SecretMeta,
        generation: Option<u32>,
    ) -> Result<Secret, Error> {
        if meta.kind == Kind::Plain {
            let now = self.records().get(&self.records().secret(org, meta.scope, meta.id)).await?;
            if let Some(now) = now.filter(|now| now.meta.version == meta.version) {
                return self.show_secret(caller, now).await;
            }
        }
        let members = [Some(meta.author), meta.scope.owner()].into_iter().flatten().collect();
        let members = self.members_by_id(org, members).await?;
        shown(meta, None, generation, &members).ok_or(Error::NotFound { what: "secret" })
    }

    /// Secrets as shown. Those of removed members are gone.
    async fn show_secrets(
        &self,
        caller: &Caller,
        org: OrgId,
        records: Vec<SecretRecord>,
    ) -> Result<Vec<Secret>, Error> {
        let people = |record: &SecretRecord| [Some(record.meta.author), record.meta.scope.owner()];
        let members = records.iter().flat_map(people).flatten().collect();
        let members = self.members_by_id(org, members).await?;
        let mut secrets = Vec::with_capacity(records.len());
        for record in records {
            let SecretRecord { meta, value, .. } = record;
            let generation = value.generation();
            let plain = match value {
                Stored::Plain(body) if caller.may(Action::ReadPlainValue(meta.scope)) => {
                    self.plain_text(body).await?
                }
                Stored::Plain(_) | Stored::Sealed { .. } => None,
            };
            secrets.extend(shown(meta, plain, generation, &members));
        }
        Ok(secrets)
    }

    /// None when it was replaced since.
    async fn plain_text(&self, body: Body) -> Result<Option<String>, Failure> {
        let bytes = match body {
            Body::Here(bytes) => bytes,
            Body::Apart(_) => match body.place() {
                Some(place) => match self.records().get(&place).await? {
                    Some(body) => body.bytes,
                    None => return Ok(None),
                },
                None => return Ok(None),
            },
        };
        String::from_utf8(bytes.into_vec()).map(Some).map_err(|_| Failure::Corrupt)
    }
}

/// None when its owner was removed.
fn shown(
    meta: SecretMeta,
    plain: Option<String>,
    generation: Option<u32>,
    members: &BTreeMap<MemberId, MemberRecord>,
) -> Option<Secret> {
    let owner = match meta.scope.owner() {
        Some(owner) => Some(members.get(&owner).filter(|owner| owner.removed_at.is_none())?.name.clone()),
        None => None,
    };
    let author = members.get(&meta.author).map(|author| author.name.clone());
    Some(Secret { meta, owner, author, plain, generation })
}

fn foreign_cursor() -> Error {
    Error::Invalid { field: "cursor", why: "it is one of another list" }
}

/// A filter, and what it needs to judge.
struct Sought<'a> {
    filter: &'a SecretFilter,
    /// In lower case.
    q: Option<String>,
    disabled: BTreeSet<PluginName>,
}

impl Sought<'_> {
    /// Whether nothing is left out. Places were chosen by scope and owner already.
    fn admits_all(&self) -> bool {
        let SecretFilter { scope: _, owner: _, name, q, kind, plugin, category, auto_install, .. } =
            self.filter;
        let SecretFilter { has_plugin, has_category, plugin_enabled, .. } = self.filter;
        name.is_none()
            && q.is_none()
            && kind.is_none()
            && plugin.is_none()
            && category.is_none()
            && [auto_install, has_plugin, has_category, plugin_enabled].iter().all(|flag| flag.is_none())
    }

    fn admits(&self, meta: &SecretMeta) -> bool {
        let filter = self.filter;
        let is_named = |wanted: &str| meta.name.as_str() == wanted || meta.env.as_str() == wanted;
        let holds = |q: &str| holds(meta.name.as_str(), q) || holds(meta.env.as_str(), q);
        let enabled = || meta.attributes.plugin.as_ref().map(|plugin| !self.disabled.contains(plugin));
        filter.name.as_deref().is_none_or(is_named)
            && self.q.as_deref().is_none_or(holds)
            && filter.kind.is_none_or(|kind| kind == meta.kind)
            && filter.plugin.is_free_or(&meta.attributes.plugin)
            && filter.category.is_free_or(&meta.attributes.category)
            && filter.auto_install.is_none_or(|auto| auto == meta.attributes.auto_install)
            && filter.has_plugin.is_none_or(|has| has == meta.attributes.plugin.is_some())
            && filter.has_category.is_none_or(|has| has == meta.attributes.category.is_some())
            && filter.plugin_enabled.is_none_or(|wanted| enabled() == Some(wanted))
    }
}

/// Whether `name`, which is ASCII, holds `q`, which is in lower case.
fn holds(name: &str, q: &str) -> bool {
    q.is_empty() || name.as_bytes().windows(q.len()).any(|part| part.eq_ignore_ascii_case(q.as_bytes()))
}

/// A filter that is absent, or equal to what is there.
trait Admits<T> {
    fn is_free_or(&self, there: &Option<T>) -> bool;
}

impl<T: PartialEq> Admits<T> for Option<T> {
    fn is_free_or(&self, there: &Option<T>) -> bool {
        self.is_none() || self == there
    }
}
