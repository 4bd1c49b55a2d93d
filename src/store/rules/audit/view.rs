//! Which entries of the audit log a caller sees, and which parts of them.

use std::collections::BTreeSet;

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey, TargetKind};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::role::Action;
use crate::domain::secret::ScopeKind;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;

/// What a caller sees of the audit log.
pub(crate) enum AuditView {
    /// An organization's entries.
    Org(OrgId),
    /// The entries of an organization that are about these members: the caller, and the services that it manages.
    Members { org: OrgId, ids: BTreeSet<AuditText> },
    /// The whole store's, without names of secrets.
    Operator,
}

impl Store {
    /// Returns what the caller sees. Refuses callers who see nothing, and records the attempt.
    pub(crate) async fn audit_view(&self, caller: &Caller) -> Result<AuditView, Error> {
        let audit_action = AuditAction::AuditRead;
        let Ok((org, member)) = caller.own_member() else {
            self.permit(caller, Action::ReadStoreAudit, audit_action, None).await?;
            return Ok(AuditView::Operator);
        };
        if caller.may(Action::ReadAudit) {
            return Ok(AuditView::Org(org));
        }
        self.permit(caller, Action::ReadOwnAudit, audit_action, None).await?;
        // The managers of a service answer for it.
        Ok(AuditView::of_members(org, caller.manages().iter().copied().chain([member])))
    }
}

impl AuditView {
    pub(crate) fn of_members(org: OrgId, members: impl Iterator<Item = MemberId>) -> Self {
        Self::Members { org, ids: members.map(AuditText::from).collect() }
    }

    /// The organization whose names of secrets it contains.
    pub(crate) fn org(&self) -> Option<OrgId> {
        match self {
            Self::Org(org) | Self::Members { org, .. } => Some(*org),
            Self::Operator => None,
        }
    }

    /// The part of an entry that this view contains. `None` if it contains nothing of it.
    pub(crate) fn project(&self, mut event: AuditEvent) -> Option<AuditEvent> {
        match self {
            Self::Org(org) => (event.org == Some(*org)).then_some(event),
            Self::Members { org, ids } => {
                if event.org != Some(*org) || !concerns(&event, ids) {
                    return None;
                }
                // An entry without a scope names a secret that somebody tried to reach: it may be another member's.
                let is_shared = event.details.get(&DetailKey::Scope).map(AuditText::as_str)
                    == Some(ScopeKind::Shared.as_str());
                if !is_shared
                    && !event.details.get(&DetailKey::Owner).is_some_and(|owner| ids.contains(owner))
                {
                    hide_secret(&mut event);
                }
                Some(event)
            }
            Self::Operator => {
                // The operator runs the store and is no member: an organization's names of secrets are its own.
                hide_secret(&mut event);
                // Of names, among other things.
                event.details.remove(&DetailKey::Receipt);
                Some(event)
            }
        }
    }
}

/// Whether an entry is about one of these members: as actor, target or owner, or because it acted for that member.
fn concerns(event: &AuditEvent, members: &BTreeSet<AuditText>) -> bool {
    // By id only: the name may have belonged to somebody else.
    let details =
        [DetailKey::MemberId, DetailKey::Owner].into_iter().filter_map(|key| event.details.get(&key));
    let target = event.target.iter().filter_map(|target| target.id.as_ref());
    event.actor.id.iter().chain(target).chain(details).any(|id| members.contains(id))
}

/// Removes the name of the secret that an entry is about.
fn hide_secret(event: &mut AuditEvent) {
    if let Some(target) = &mut event.target
        && target.kind == TargetKind::Secret
    {
        target.name = None;
        event.details.remove(&DetailKey::Env);
    }
}
