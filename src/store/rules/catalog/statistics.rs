//! Counts of secrets, from their metadata. One scan for each scope that the caller may see.

use std::collections::BTreeMap;

use crate::domain::audit::AuditAction;
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::{Category, PluginName};
use crate::domain::role::{Action, ScopeSubject, Subject};
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::domain::value::{Delivery, Kind};
use crate::store::engine::failure::Failure;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::unusable::UnusableSecrets;
use crate::store::rules::store::Store;
use crate::store::tables::secrets::SecretRecord;

/// Counts of the secrets that a caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// All secrets.
    pub total: u64,
    /// Encrypted ones.
    pub encrypted: u64,
    /// Plain ones.
    pub plain: u64,
    /// Shared ones.
    pub shared: u64,
    /// Private ones.
    pub private: u64,
    /// Installed by every boot in scope.
    pub auto_install: u64,
    /// Installed only by boots that name them.
    pub not_auto_install: u64,
    /// Delivered as files.
    pub files: u64,
    /// By plugin.
    pub by_plugin: BTreeMap<PluginName, u64>,
    /// Without a plugin.
    pub without_plugin: u64,
    /// By category.
    pub by_category: BTreeMap<Category, u64>,
    /// Without a category.
    pub without_category: u64,
    /// Those whose values are known not to open.
    pub unusable: UnusableSecrets,
}

impl Store {
    /// Counts the secrets that the caller may see, which [`Store::list_secrets`] lists without a filter.
    pub async fn statistics(&self, caller: &Caller) -> Result<Statistics, Error> {
        let audit_action = AuditAction::CatalogRead;
        let (org, member) = self.require_member(caller, audit_action).await?;
        self.permit(
            caller,
            Action::ReadSecret(caller.scope_subject(Scope::Private(member))),
            audit_action,
            None,
        )
        .await?;
        let mut statistics = Statistics::default();
        let scopes = self.visible_scopes(caller, org, member).await?;
        statistics.unusable = UnusableSecrets::of(&self.unusable_in(org, &scopes).await?);
        for scope in scopes {
            let prefix = self.records().secrets(org, scope);
            self.records().for_each(&prefix, |record: SecretRecord| statistics.count(&record.meta)).await?;
        }
        Ok(statistics)
    }

    /// The scopes whose secrets the caller may see, without those of removed members.
    pub(crate) async fn visible_scopes(
        &self,
        caller: &Caller,
        org: OrgId,
        member: MemberId,
    ) -> Result<Vec<Scope>, Failure> {
        if !caller.may(Action::ReadSecret(ScopeSubject::Private(Subject::Other))) {
            let private = [member].into_iter().chain(caller.manages().iter().copied()).map(Scope::Private);
            return Ok([Scope::Shared].into_iter().chain(private).collect());
        }
        let (members, _) = self.records().scan_all(&self.records().members(org)).await?;
        // The secrets of a removed member are gone, even while their records are still being deleted.
        let there = members.into_iter().filter(|found| found.record.removed_at.is_none());
        let private = there.map(|found| Scope::Private(found.record.id));
        Ok([Scope::Shared].into_iter().chain(private).collect())
    }
}

impl Statistics {
    fn count(&mut self, meta: &SecretMeta) {
        // Each secret counts once in every dimension, so that their sums agree.
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
