//! Plugins: the secrets that each needs, those that a member lacks, and whether it is enabled.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::id::{OrgId, SecretId};
use crate::domain::name::{EnvName, Label, PluginName, SecretName};
use crate::domain::role::Action;
use crate::domain::secret::ScopeKind;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::catalog::scope::InScope;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::catalog::{PluginRecord, PluginsRecord};

/// Plugins of an organization at most: a boot reads their list.
const MAX_PLUGINS: usize = 500;
/// Names that one plugin may declare.
const MAX_NAMES: usize = 100;

/// A plugin to declare.
#[derive(Clone, Debug)]
pub struct NewPlugin {
    /// Its name.
    pub name: PluginName,
    /// Its title.
    pub title: Option<Label>,
    /// The secrets that it cannot work without. They count by their exported names.
    pub required: Vec<SecretName>,
    /// The secrets that it uses if they exist.
    pub optional: Vec<SecretName>,
    /// Whether it is enabled. Absent: unchanged, and a new plugin is enabled.
    pub enabled: Option<bool>,
}

/// A plugin, as seen by one member.
#[derive(Clone, Debug)]
pub struct PluginState {
    /// Its name.
    pub name: PluginName,
    /// Its title.
    pub title: Option<Label>,
    /// Whether its secrets are released. An undeclared plugin is enabled.
    pub enabled: bool,
    /// False for a name that secrets refer to, but that was never declared.
    pub declared: bool,
    /// The secrets that it requires.
    pub required: Vec<Need>,
    /// The secrets that it can use.
    pub optional: Vec<Need>,
    /// The required secrets that this member lacks.
    pub missing: Vec<EnvName>,
    /// The number of its secrets in this member's scope.
    pub secrets: usize,
    /// When it was last changed. Absent for an undeclared plugin.
    pub updated_at: Option<Timestamp>,
}

/// A name that a plugin declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The name, as declared.
    pub name: SecretName,
    /// Its exported name.
    pub env: EnvName,
    /// The member's secret with that exported name; the private one before the shared one.
    pub met: Option<(SecretId, ScopeKind)>,
}

impl Store {
    /// Lists the declared plugins and those that secrets in the caller's scope refer to, by name.
    pub async fn plugins(&self, caller: &Caller) -> Result<Vec<PluginState>, Error> {
        let audit_action = AuditAction::CatalogRead;
        let (org, member) = self.require_member(caller, audit_action).await?;
        self.permit(caller, Action::ReadCatalog, audit_action, None).await?;
        let scope = self.secrets_in_scope(org, member).await?;
        let declared = self.declared_plugins(org).await?;
        let mut all: BTreeMap<PluginName, Option<PluginRecord>> =
            // Undeclared plugins that secrets refer to are listed too: a typing mistake becomes visible.
            scope.plugins().map(|name| (name.clone(), None)).collect();
        all.extend(declared.into_iter().map(|record| (record.name.clone(), Some(record))));
        Ok(all.into_iter().map(|(name, record)| state(name, record, &scope)).collect())
    }

    /// Returns one plugin.
    pub async fn plugin(&self, caller: &Caller, name: &PluginName) -> Result<PluginState, Error> {
        let audit_action = AuditAction::CatalogRead;
        let (org, member) = self.require_member(caller, audit_action).await?;
        self.permit(caller, Action::ReadCatalog, audit_action, Some(target::plugin(name))).await?;
        // By the key of the name. The scan below only counts the secrets.
        let record = self.records().get(&self.records().plugin(org, name)).await?;
        let scope = self.secrets_in_scope(org, member).await?;
        if record.is_none() && !scope.plugins().any(|tied| tied == name) {
            return Err(not_found());
        }
        Ok(state(name.clone(), record, &scope))
    }

    /// Declares a plugin, or replaces its declaration (an admin).
    pub async fn put_plugin(&self, caller: &Caller, new: NewPlugin) -> Result<PluginState, Error> {
        let new = new.normalize()?;
        let name = new.name.clone();
        let change = self.change_plugin(caller, AuditAction::PluginEdit, &name, move |before, now| {
            // A new declaration does not enable what an admin disabled.
            let enabled = new.enabled.or(before.map(|before| before.enabled)).unwrap_or(true);
            let NewPlugin { name, title, required, optional, enabled: _ } = new.clone();
            Ok(Some(PluginRecord { name, title, required, optional, enabled, updated_at: now }))
        });
        change.await
    }

    /// Enables or disables a declared plugin (an admin). Boots from now on receive its secrets, or do not.
    pub async fn set_plugin_enabled(
        &self,
        caller: &Caller,
        name: &PluginName,
        enabled: bool,
    ) -> Result<PluginState, Error> {
        let change = self.change_plugin(caller, AuditAction::PluginEdit, name, move |before, now| {
            let before = before.ok_or_else(not_found)?.clone();
            // The rest of the declaration is taken from the transaction, which may run again.
            Ok(Some(PluginRecord { enabled, updated_at: now, ..before }))
        });
        change.await
    }

    /// Removes a declaration (an admin). Its secrets keep the name, and are released even if the plugin was disabled.
    pub async fn remove_plugin(&self, caller: &Caller, name: &PluginName) -> Result<PluginState, Error> {
        let change = self.change_plugin(caller, AuditAction::PluginDelete, name, |before, _| {
            before.map(|_| None).ok_or_else(not_found)
        });
        change.await
    }

    /// Changes the declaration, the list and the audit log in one commit.
    async fn change_plugin(
        &self,
        caller: &Caller,
        audit_action: AuditAction,
        name: &PluginName,
        change: impl Fn(Option<&PluginRecord>, Timestamp) -> Result<Option<PluginRecord>, Error> + Send + 'static,
    ) -> Result<PluginState, Error> {
        let (org, member) = self.require_member(caller, audit_action).await?;
        self.permit(caller, Action::EditCatalog, audit_action, Some(target::plugin(name))).await?;
        let (key, list) = (self.records().plugin(org, name), self.records().plugin_list(org));
        let event = caller.event(audit_action).about(target::plugin(name));
        let reads = vec![key.to_vec(), list.to_vec()];
        let changed = self.journal().run(reads, move |tx| {
            // Together: the list is read only after the change, which would cost a second round.
            tx.need([key.to_vec(), list.to_vec()])?;
            let before = tx.get(&key)?;
            let after = change(before.as_ref(), tx.now())?;
            let mut all = tx.get(&list)?.unwrap_or_default();
            match &after {
                Some(record) => {
                    all.enabled.insert(record.name.clone(), record.enabled);
                    // After the insertion, so that changing one of a full set is allowed.
                    if all.enabled.len() > MAX_PLUGINS {
                        let why = "an organization has at most 500 plugins: remove one first";
                        return Err(Error::Conflict { why }.into());
                    }
                    tx.put(&key, record)?;
                }
                None => {
                    // By the declared name: the key holds only its hash.
                    all.enabled.retain(|name, _| before.as_ref().is_none_or(|before| before.name != *name));
                    tx.delete(&key);
                }
            }
            // Always written, because this record's revision is the version stamp of what boots cache.
            tx.put(&list, &all)?;
            tx.audit_plugin(event.clone(), after.as_ref());
            // A removed plugin is returned as it was.
            Ok::<_, Stop<Error>>(after.or(before))
        });
        let record = changed.await?;
        let scope = self.secrets_in_scope(org, member).await?;
        Ok(state(name.clone(), record, &scope))
    }

    /// All declarations, by name.
    pub(crate) async fn declared_plugins(&self, org: OrgId) -> Result<Vec<PluginRecord>, Failure> {
        let (found, _) = self.records().scan_all(&self.records().plugins(org)).await?;
        let mut records: Vec<PluginRecord> = found.into_iter().map(|found| found.record).collect();
        // Keys are hashes, so that a scan has no useful order.
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// The plugins whose secrets are withheld from boots.
    pub(crate) async fn disabled_plugins(&self, org: OrgId) -> Result<BTreeSet<PluginName>, Failure> {
        let all = self.records().get(&self.records().plugin_list(org)).await?.unwrap_or_default();
        Ok(all.disabled())
    }
}

impl PluginsRecord {
    /// The disabled plugins.
    pub(crate) fn disabled(self) -> BTreeSet<PluginName> {
        self.enabled.into_iter().filter(|(_, enabled)| !enabled).map(|(name, _)| name).collect()
    }
}

impl Tx<'_> {
    fn audit_plugin(&mut self, event: AuditEvent, after: Option<&PluginRecord>) {
        let event = match after {
            None => event,
            Some(record) => {
                let names = record.required.len() + record.optional.len();
                let enabled = AuditText::word(if record.enabled { "enabled" } else { "disabled" });
                event
                    .detail(DetailKey::State, enabled)
                    .detail(DetailKey::Count, AuditText::number(names as u64))
            }
        };
        self.audit(event);
    }
}

impl NewPlugin {
    /// Checks the number of names, and keeps each exported name once, as required before optional.
    fn normalize(mut self) -> Result<Self, Error> {
        if self.required.len() + self.optional.len() > MAX_NAMES {
            let why = "a plugin declares at most 100 names, required and optional together";
            return Err(Error::Invalid { field: "required", why });
        }
        let mut seen = BTreeSet::new();
        // By exported name: `api-key` and `API_KEY` are the same need.
        self.required.retain(|name| seen.insert(name.export()));
        self.optional.retain(|name| seen.insert(name.export()));
        Ok(self)
    }
}

impl PluginRecord {
    pub(crate) fn name(&self) -> &PluginName {
        &self.name
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The declared names, required ones first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &SecretName> {
        self.required.iter().chain(&self.optional)
    }
}

fn state(name: PluginName, record: Option<PluginRecord>, scope: &InScope) -> PluginState {
    let need = |name: SecretName| {
        let env = name.export();
        Need { met: scope.exporting(&env), name, env }
    };
    let secrets = scope.of_plugin(&name);
    let Some(record) = record else {
        let (required, optional, missing) = (Vec::new(), Vec::new(), Vec::new());
        let (title, updated_at) = (None, None);
        // Only a declaration can be disabled.
        let (enabled, declared) = (true, false);
        return PluginState {
            name,
            title,
            enabled,
            declared,
            required,
            optional,
            missing,
            secrets,
            updated_at,
        };
    };
    let PluginRecord { name, title, required, optional, enabled, updated_at } = record;
    let required: Vec<Need> = required.into_iter().map(need).collect();
    let missing = required.iter().filter(|need| need.met.is_none()).map(|need| need.env.clone()).collect();
    PluginState {
        name,
        title,
        enabled,
        declared: true,
        required,
        optional: optional.into_iter().map(need).collect(),
        missing,
        secrets,
        updated_at: Some(updated_at),
    }
}

fn not_found() -> Error {
    Error::NotFound { what: "plugin" }
}
