//! What a boot would receive, without values.

use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::code::Code;
use crate::domain::role::Action;
use crate::domain::secret::Scope;
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::boots::{BootAsk, BootError, Explained};
use crate::store::rules::caller::Caller;
use crate::store::rules::store::Store;

impl Store {
    /// Returns what a boot would receive, and why, for a ticket or a member. Spends no use, opens no value, and works on a
    /// locked store.
    pub async fn explain(&self, caller: &Caller, ask: BootAsk) -> Result<Explained, BootError> {
        let action = AuditAction::BootExplain;
        let (org, member) = self.require_member(caller, action).await?;
        self.permit(caller, Action::Explain(caller.subject(member)), action, None).await?;
        // A request that a boot refuses must not be explained as if it were valid.
        ask.check()?;
        let ticket = caller.ticket_record();
        // It would list secrets that were added after the last use. Authentication refuses an expired or revoked ticket.
        if let Some(ticket) = ticket.filter(|ticket| ticket.uses_left() == Some(0)) {
            let event = caller.event(action).about(target::ticket(ticket.id));
            self.record_denial(event.denied(Code::TicketSpent)).await;
            return Err(BootError::TicketSpent);
        }
        let request = ticket.map_or_else(|| ask.request.clone(), |ticket| ticket.restrict(&ask.request));
        let request = caller.restrict(request);
        // With the current stamps, unlike a boot: no commit follows that would notice an outdated scope.
        let snapshot = self.read_scope(org, member).await?;
        let marked = self.unusable_in(org, &[Scope::Private(member), Scope::Shared]).await?;
        let mut receipt = snapshot.resolve_without(&request, &marked);
        // After the scope, so that the revision is not older than what it describes.
        let (_, now) = self.records().kv.get(&[]).await.map_err(Failure::from)?;
        receipt.revision = self.revision(now);
        let event = caller.event(action).target(ticket.map(|ticket| target::ticket(ticket.id)));
        let count = AuditText::number(receipt.count() as u64);
        if !self.record_once(caller, event.detail(DetailKey::Count, count)).await? {
            return Err(BootError::UsedProof);
        }
        let (org, member) = caller.own_names()?;
        Ok(Explained {
            org,
            member,
            receipt,
            locked: self.is_locked(),
            uses_left: ticket.and_then(|ticket| ticket.uses_left()),
            expires_at: ticket.and_then(|ticket| ticket.expires_at),
        })
    }
}
