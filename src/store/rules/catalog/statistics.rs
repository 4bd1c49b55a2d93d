//! How many secrets there are of which sort: counted from metadata, one scan per scope that the caller may see.

use std::collections::BTreeMap;

use crate::domain::audit::AuditAction;
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::{Category, PluginName};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::domain::value::{Delivery, Kind};
use crate::store::engine::failure::Failure;
use crate::store::rules::auth::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::SecretRecord;
use crate::store::rules::store::Store;

/// Counts of the secrets that a caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// All.
    pub total: u64,
    /// Of type encrypted.
    pub encrypted: u64,
    /// Of type plain.
    pub plain: u64,
    /// Shared ones.
    pub shared: u64,
    /// Private ones.
    pub private: u64,
    /// That every boot in scope gets.
    pub auto_install: u64,
    /// That only boots get which name them.
    pub not_auto_install: u64,
    /// Delivered as files.
    pub files: u64,
    /// By the plugin that they are tied to.
    pub by_plugin: BTreeMap<PluginName, u64>,
    /// Tied to none.
    pub without_plugin: u64,
    /// By category.
    pub by_category: BTreeMap<Category, u64>,
    /// In none.
    pub without_category: u64,
}

impl Store {
    /// Counts what the caller may see: what [`Store::list_secrets`] without a filter lists.
    pub async fn statistics(&self, caller: &Caller) -> Result<Statistics, Error> {
        let told = AuditAction::CatalogRead;
        let (org, member) = self.insider(caller, told).await?;
        self.permit(caller, Action::ReadSecret(Scope::Private(member)), told, None).await?;
        let mut statistics = Statistics::default();
        for scope in self.visible_scopes(caller, org, member).await? {
            let prefix = self.records().secrets(org, scope);
            self.records().for_each(&prefix, |record: SecretRecord| statistics.count(&record.meta)).await?;
        }
        Ok(statistics)
    }

    /// The scopes whose secrets the caller may see. Those of removed members are gone.
    pub(crate) async fn visible_scopes(
        &self,
        caller: &Caller,
        org: OrgId,
        member: MemberId,
    ) -> Result<Vec<Scope>, Failure> {
        let anybody = Scope::Private(MemberId::from_bytes([0; 16]));
        if !caller.may(Action::ReadSecret(anybody)) {
            return Ok(vec![Scope::Shared, Scope::Private(member)]);
        }
        let (members, _) = self.records().scan_all(&self.records().members(org)).await?;
        let there = members.into_iter().filter(|found| found.record.removed_at.is_none());
        let private = there.map(|found| Scope::Private(found.record.id));
        Ok([Scope::Shared].into_iter().chain(private).collect())
    }
}

impl Statistics {
    fn count(&mut self, meta: &SecretMeta) {
        self.total += 1;
        *match meta.kind {
            Kind::Encrypted => &mut self.encrypted,
            Kind::Plain => &mut self.plain,
        } += 1;
        *match meta.scope.kind() {
            ScopeKind::Shared => &mut self.shared,
            ScopeKind::Private => &mut self.private,
        } += 1;
        *match meta.attributes.auto_install {
            true => &mut self.auto_install,
            false => &mut self.not_auto_install,
        } += 1;
        self.files += u64::from(meta.delivery == Delivery::File);
        *match &meta.attributes.plugin {
            Some(plugin) => self.by_plugin.entry(plugin.clone()).or_default(),
            None => &mut self.without_plugin,
        } += 1;
        *match &meta.attributes.category {
            Some(category) => self.by_category.entry(category.clone()).or_default(),
            None => &mut self.without_category,
        } += 1;
    }
}
