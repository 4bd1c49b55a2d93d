//! What a restore ends: sessions, links and limited tickets that were used or ended after the backup would work again.

use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::Stop;
use crate::store::rules::active_counts::ActiveRecord;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::background::RecordChange;
use crate::store::rules::caller::Caller;
use crate::store::rules::store::Store;
use crate::store::tables::enrolments::{self, EnrolmentRecord};
use crate::store::tables::sessions::{self, SessionMark, SessionRecord};
use crate::store::tables::store;
use crate::store::tables::tickets::{self, TicketRecord};

/// How many of each a restore has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndedByRestore {
    /// Sessions of the console.
    pub sessions: u64,
    /// Enrolment links that nobody had redeemed.
    pub enrolments: u64,
    /// Tickets with limited uses that had one left.
    pub tickets: u64,
}

impl Store {
    /// Ends what must not survive a restore. After a crash, the next start of a server continues.
    pub(crate) async fn end_restored_credentials(&self) -> Result<EndedByRestore, Failure> {
        let sessions =
            self.change_each(&sessions::sessions(), |_: &mut SessionRecord, _| RecordChange::Deleted).await?;
        self.change_each(&sessions::session_marks(), |_: &mut SessionMark, _| RecordChange::Deleted).await?;
        let enrolments = self.change_each(&enrolments::all_enrolments(), expire).await?;
        let tickets = self.change_each(&tickets::all_tickets(), revoke_limited).await?;
        let ended = EndedByRestore { sessions, enrolments, tickets };
        // Last, so that a crash before it only repeats work.
        let finished = self.journal().run(vec![store::identity().to_vec()], move |tx| {
            let mut identity = tx.get(&store::identity())?.ok_or(Failure::Corrupt)?;
            // Another server may have done the same.
            if std::mem::take(&mut identity.is_restoring) {
                tx.put(&store::identity(), &identity)?;
                let event = Caller::this_process().event(AuditAction::StoreRestore).about(target::store());
                let event = match identity.epoch {
                    Some(epoch) => event.detail(DetailKey::Epoch, epoch),
                    None => event,
                };
                let event = event.detail(DetailKey::Sessions, AuditText::number(ended.sessions));
                let event = event.detail(DetailKey::Enrolments, AuditText::number(ended.enrolments));
                tx.audit(event.detail(DetailKey::Tickets, AuditText::number(ended.tickets)));
            }
            Ok::<_, Stop<Failure>>(())
        });
        finished.await?;
        Ok(ended)
    }
}

/// Keeps the record, so that an admin can replace the link, and a redeemed one still says when it was redeemed.
fn expire(enrolment: &mut EnrolmentRecord, now: Timestamp) -> RecordChange {
    if enrolment.redeemed_at.is_some() || enrolment.expires_at <= now {
        return RecordChange::Unchanged;
    }
    enrolment.expires_at = now;
    RecordChange::Changed
}

/// An unlimited ticket stays: whoever has it could boot before and after the backup.
fn revoke_limited(ticket: &mut TicketRecord, now: Timestamp) -> RecordChange {
    if ticket.uses.is_none() || !ticket.is_active(now) {
        return RecordChange::Unchanged;
    }
    ticket.revoked_at = Some(now);
    RecordChange::Changed
}
