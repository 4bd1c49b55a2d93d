//! The secrets in a member's scope by name, without values. One scan for each scope.

use std::collections::BTreeMap;

use crate::domain::id::{MemberId, OrgId, SecretId};
use crate::domain::name::{EnvName, PluginName};
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::store::engine::failure::Failure;
use crate::store::rules::store::Store;

/// The secrets in scope of a member.
pub(crate) struct InScope {
    /// By exported name and scope. Private sorts before shared.
    by_env: BTreeMap<(EnvName, ScopeKind), SecretMeta>,
    plugins: BTreeMap<PluginName, usize>,
}

impl Store {
    /// Shared and private secrets of a member.
    pub(crate) async fn secrets_in_scope(&self, org: OrgId, member: MemberId) -> Result<InScope, Failure> {
        let mut scope = InScope { by_env: BTreeMap::new(), plugins: BTreeMap::new() };
        // Page by page: a scope may hold more secrets than fit in memory with their values.
        for place in [Scope::Shared, Scope::Private(member)] {
            let prefix = self.records().secrets(org, place);
            let each = |record: crate::store::tables::secrets::SecretRecord| scope.add(record.meta);
            self.records().for_each(&prefix, each).await?;
        }
        Ok(scope)
    }
}

impl InScope {
    fn add(&mut self, meta: SecretMeta) {
        if let Some(plugin) = &meta.attributes.plugin {
            *self.plugins.entry(plugin.clone()).or_default() += 1;
        }
        self.by_env.insert((meta.env.clone(), meta.scope.kind()), meta);
    }

    /// The secret with an exported name. A private one overrides a shared one.
    pub(crate) fn winner(&self, env: &EnvName) -> Option<&SecretMeta> {
        let of = |kind| self.by_env.get(&(env.clone(), kind));
        // The rule of a boot: a private secret overrides the shared one of the same exported name.
        of(ScopeKind::Private).or_else(|| of(ScopeKind::Shared))
    }

    pub(crate) fn exporting(&self, env: &EnvName) -> Option<(SecretId, ScopeKind)> {
        self.winner(env).map(|meta| (meta.id, meta.scope.kind()))
    }

    /// The plugins that secrets in scope refer to.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = &PluginName> {
        self.plugins.keys()
    }

    pub(crate) fn of_plugin(&self, plugin: &PluginName) -> usize {
        self.plugins.get(plugin).copied().unwrap_or(0)
    }

    /// The secret that a boot would get for each exported name.
    pub(crate) fn winners(self) -> BTreeMap<EnvName, SecretMeta> {
        let mut winners = BTreeMap::new();
        for ((env, _), meta) in self.by_env {
            // The first one of a name is the private one.
            winners.entry(env).or_insert(meta);
        }
        winners
    }
}
