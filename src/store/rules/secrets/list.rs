//! Lists of secrets: where they are found, and which of them a filter matches.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::AuditAction;
use crate::domain::id::{OrgId, SecretId};
use crate::domain::name::{EnvName, PluginName, SecretName};
use crate::domain::role::{Action, ScopeSubject, Subject};
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::store::engine::failure::Failure;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::secrets::{Secret, SecretFilter};
use crate::store::rules::store::Store;
use crate::store::tables::secrets::SecretRecord;

/// Secrets examined for one page: some 0.1 s of one processor's time.
const MAX_EXAMINED: usize = 20_000;

/// Where the secrets of a list are found.
enum SecretPlaces {
    /// In these scopes.
    Scopes(Vec<Scope>),
    /// In all scopes of the organization, or in all private ones.
    All { private_only: bool },
    /// These secrets, which the indexes of names have found.
    Named(BTreeMap<SecretId, Scope>),
}

impl Store {
    /// Lists the secrets that the caller may see, ascending by id.
    pub async fn list_secrets(
        &self,
        caller: &Caller,
        filter: &SecretFilter,
        page: PageAsk,
    ) -> Result<Page<Secret>, Error> {
        let (org, _) = self.require_member(caller, AuditAction::SecretList).await?;
        let mut places = self.places(caller, filter).await?;
        // A name is looked up in the indexes of names, and not searched for.
        if let Some(name) = &filter.name {
            let scopes = self.scopes_of(caller, org, places).await?;
            places = SecretPlaces::Named(self.ids_named(org, &scopes, name).await?);
        }
        let limit = page.limit();
        let mut after: Option<SecretId> = match self.page_start(&page)? {
            Some(after) => Some(SecretId::from_bytes(after.try_into().map_err(|_| foreign_cursor())?)),
            None => None,
        };
        let matcher = SecretMatcher {
            filter,
            q: filter.q.as_ref().map(|q| q.to_lowercase()),
            // A read that only this filter pays for.
            disabled: match filter.plugin_enabled {
                Some(_) => self.disabled_plugins(org).await?,
                None => BTreeSet::new(),
            },
        };
        // A filter may skip most of the examined secrets. Without one, only the listed records are opened.
        let step = if matcher.matches_all() { limit } else { limit.clamp(200, 1000) };
        let mut found = Vec::new();
        let mut examined = 0;
        let next = loop {
            let (records, more) = self.next_secrets(org, &places, after, step).await?;
            let last = records.last().map(|record| record.meta.id);
            let mut full = false;
            for record in records {
                examined += 1;
                after = Some(record.meta.id);
                if matcher.matches(&record.meta) {
                    found.push(record);
                    full = found.len() == limit;
                    if full {
                        // The last page has no cursor, so that no empty page follows.
                        full = more || after != last;
                        break;
                    }
                }
            }
            match after {
                Some(after) if full || (more && examined >= MAX_EXAMINED) => {
                    break Some(self.cursor(after.as_bytes()));
                }
                _ if !more => break None,
                _ => {}
            }
        };
        let items = self.show_secrets(caller, org, found).await?;
        self.record_plain_values(caller, AuditAction::SecretList, &items).await?;
        Ok(Page { items, next })
    }

    async fn places(&self, caller: &Caller, filter: &SecretFilter) -> Result<SecretPlaces, Error> {
        let audit_action = AuditAction::SecretList;
        if filter.owner.is_some() {
            let scope =
                self.scope(caller, filter.scope.unwrap_or(ScopeKind::Private), filter.owner.as_ref()).await?;
            self.permit(caller, Action::ReadSecret(caller.scope_subject(scope)), audit_action, None).await?;
            return Ok(SecretPlaces::Scopes(vec![scope]));
        }
        let own = caller.own_member()?.1;
        let subject = caller.scope_subject(Scope::Private(own));
        self.permit(caller, Action::ReadSecret(subject), audit_action, None).await?;
        let sees_all = caller.may(Action::ReadSecret(ScopeSubject::Private(Subject::Other)));
        // The scopes of managed services beside the caller's own.
        let private = || [own].into_iter().chain(caller.manages().iter().copied()).map(Scope::Private);
        Ok(match filter.scope {
            Some(ScopeKind::Shared) => SecretPlaces::Scopes(vec![Scope::Shared]),
            Some(ScopeKind::Private) if !sees_all => SecretPlaces::Scopes(private().collect()),
            Some(ScopeKind::Private) => SecretPlaces::All { private_only: true },
            None if !sees_all => SecretPlaces::Scopes([Scope::Shared].into_iter().chain(private()).collect()),
            None => SecretPlaces::All { private_only: false },
        })
    }

    /// The next secrets after `after`, ascending by id, and whether there are more.
    async fn next_secrets(
        &self,
        org: OrgId,
        places: &SecretPlaces,
        after: Option<SecretId>,
        limit: usize,
    ) -> Result<(Vec<SecretRecord>, bool), Error> {
        match places {
            SecretPlaces::Scopes(scopes) => self.next_of_scopes(org, scopes, after, limit).await,
            SecretPlaces::All { private_only } => self.next_of_all(org, *private_only, after, limit).await,
            SecretPlaces::Named(found) => {
                let rest = found.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
                let keys: Vec<_> = rest.map(|(id, scope)| self.records().secret(org, *scope, *id)).collect();
                // All at once: there are at most two in each scope.
                Ok((self.records().get_all(&keys).await?.into_iter().flatten().collect(), false))
            }
        }
    }

    /// The scopes of a list, one by one.
    async fn scopes_of(
        &self,
        caller: &Caller,
        org: OrgId,
        places: SecretPlaces,
    ) -> Result<Vec<Scope>, Error> {
        let private_only = match places {
            SecretPlaces::Scopes(scopes) => return Ok(scopes),
            SecretPlaces::Named(found) => return Ok(found.into_values().collect()),
            SecretPlaces::All { private_only } => private_only,
        };
        let (_, own) = caller.own_member()?;
        let mut scopes = self.visible_scopes(caller, org, own).await?;
        scopes.retain(|scope| !private_only || *scope != Scope::Shared);
        Ok(scopes)
    }

    /// The secrets that have a name or are exported under it, found by the indexes of names.
    pub(crate) async fn ids_named(
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
            // One or two keys: not every text is valid as both kinds of name.
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
        // Every scope has been read up to this id.
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
            // Behind it, a scope that is only partly read may have smaller ids, which would then be left out.
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
            // An empty page has no last secret that the next one could start after.
            if !records.is_empty() || !scanned.more {
                return Ok((records, scanned.more));
            }
        }
    }
}

fn foreign_cursor() -> Error {
    Error::Invalid { field: "cursor", why: "it is one of another list" }
}

/// A filter, and what it needs to decide.
struct SecretMatcher<'a> {
    filter: &'a SecretFilter,
    /// In lower case.
    q: Option<String>,
    disabled: BTreeSet<PluginName>,
}

impl SecretMatcher<'_> {
    /// Whether every secret passes. The places were already chosen by scope and owner.
    fn matches_all(&self) -> bool {
        // Destructured, so that a new field is not forgotten here.
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

    fn matches(&self, meta: &SecretMeta) -> bool {
        let filter = self.filter;
        let is_named = |wanted: &str| meta.name.as_str() == wanted || meta.env.as_str() == wanted;
        let describes = |q: &str| {
            // Names are ASCII. A description may be in any script.
            meta.attributes.description.as_ref().is_some_and(|text| text.as_str().to_lowercase().contains(q))
        };
        let contains =
            |q: &str| contains(meta.name.as_str(), q) || contains(meta.env.as_str(), q) || describes(q);
        let enabled = || meta.attributes.plugin.as_ref().map(|plugin| !self.disabled.contains(plugin));
        filter.name.as_deref().is_none_or(is_named)
            && self.q.as_deref().is_none_or(contains)
            && filter.kind.is_none_or(|kind| kind == meta.kind)
            && matches(&filter.plugin, &meta.attributes.plugin)
            && matches(&filter.category, &meta.attributes.category)
            && filter.auto_install.is_none_or(|auto| auto == meta.attributes.auto_install)
            && filter.has_plugin.is_none_or(|has| has == meta.attributes.plugin.is_some())
            && filter.has_category.is_none_or(|has| has == meta.attributes.category.is_some())
            && filter.plugin_enabled.is_none_or(|wanted| enabled() == Some(wanted))
    }
}

/// Whether `name`, which is ASCII, contains `q`, which is in lower case.
fn contains(name: &str, q: &str) -> bool {
    q.is_empty() || name.as_bytes().windows(q.len()).any(|part| part.eq_ignore_ascii_case(q.as_bytes()))
}
/// Whether a filter is absent, or equal to the actual value.
fn matches<T: PartialEq>(wanted: &Option<T>, actual: &Option<T>) -> bool {
    wanted.is_none() || wanted == actual
}
