//! Revokes what removed members left, and what their authors made for others: members who were removed, and managers and
//! launchers that no longer act for a member. All of it has stopped working already, by the records of the members.

use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::id::{MemberId, OrgId, TicketId, TokenId};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::Record;
use crate::store::engine::journal::Stop;
use crate::store::engine::keys::{Key, Prefix};
use crate::store::rules::audit::EventBuilder;
use crate::store::rules::caller::Caller;
use crate::store::rules::store::Store;
use crate::store::tables::members::{self, DismissalRecord, RemovalRecord};
use crate::store::tables::tickets::{self, TicketRecord};
use crate::store::tables::tokens::{self, TokenRecord};

/// Records read at once.
const CHUNK: usize = 200;

/// Which credentials are revoked.
#[derive(Clone, Copy)]
enum RevocationScope {
    /// All that act for a member, and all that it made for others.
    Removed(MemberId),
    /// Those that an author made for a member, up to a time.
    Dismissed { author: MemberId, member: MemberId, at: Timestamp },
}

impl RevocationScope {
    fn includes(self, of: MemberId, by: Option<MemberId>, created_at: Timestamp) -> bool {
        match self {
            Self::Removed(removed) => of == removed || by == Some(removed),
            Self::Dismissed { author, member, at } => of == member && by == Some(author) && created_at <= at,
        }
    }
}

impl Store {
    /// Deletes what removed members left.
    pub(crate) async fn clear_removed_members(&self) -> Result<(), Failure> {
        let (removals, _) = self.records().scan_all(&members::removals()).await?;
        for removal in removals {
            let RemovalRecord { org, member } = removal.record;
            self.delete_private_secrets(org, member).await?;
            self.delete_accounts(org, member).await?;
            self.revoke_credentials(org, RevocationScope::Removed(member)).await?;
            // Last, so that a crash before it only repeats work.
            let cleared = self.journal().run(Vec::new(), move |tx| {
                tx.delete(&members::removal(member));
                Ok::<_, Stop<Failure>>(())
            });
            cleared.await?;
        }
        Ok(())
    }

    /// Starts [`clear_dismissals`](Self::clear_dismissals), and does not wait: what it revokes has stopped working already.
    pub(crate) fn start_clearing_dismissals(&self) {
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(failure) = store.clear_dismissals().await {
                tracing::debug!(%failure, "credentials of a dismissed author are still to be revoked");
            }
        });
    }

    /// Revokes what former managers and launchers made for others.
    pub(crate) async fn clear_dismissals(&self) -> Result<(), Failure> {
        let (dismissals, _) = self.records().scan_all(&members::dismissals()).await?;
        for found in dismissals {
            let DismissalRecord { org, author, member, at } = found.record;
            let count =
                self.revoke_credentials(org, RevocationScope::Dismissed { author, member, at }).await?;
            let key = Key::<DismissalRecord>::new(found.key);
            let event = Caller::this_process().event(AuditAction::AuthoredRevoke).org(Some(org));
            let event = event.detail(DetailKey::Member, member).detail(DetailKey::Manager, author);
            let event = event.detail(DetailKey::Count, AuditText::number(count));
            let cleared = self.journal().run(vec![key.to_vec()], move |tx| {
                // Another process may have done the same.
                if tx.get(&key)?.is_some() {
                    tx.delete(&key);
                    if count > 0 {
                        tx.audit(event.clone());
                    }
                }
                Ok::<_, Stop<Failure>>(())
            });
            cleared.await?;
        }
        Ok(())
    }

    /// Revokes tokens and tickets, and returns how many.
    async fn revoke_credentials(&self, org: OrgId, scope: RevocationScope) -> Result<u64, Failure> {
        let includes = |token: &TokenRecord| {
            let of = token.member.map(|(_, member)| member);
            let included = of.is_some_and(|of| scope.includes(of, token.author, token.created_at));
            included && token.revoked_at.is_none()
        };
        let (index, key) = (self.records().tokens(Some(org)), |id| tokens::token(TokenId::from_bytes(id)));
        let revoke = |token: &mut TokenRecord, now| _ = token.revoked_at.get_or_insert(now);
        let tokens = self.update_listed(&index, key, includes, revoke).await?;
        let includes = |ticket: &TicketRecord| {
            let includes = |of| scope.includes(of, Some(ticket.author), ticket.created_at);
            let included = includes(ticket.member) || ticket.services().iter().copied().any(includes);
            included && ticket.revoked_at.is_none()
        };
        let (index, key) = (self.records().tickets(org), |id| tickets::ticket(TicketId::from_bytes(id)));
        let revoke = move |ticket: &mut TicketRecord, now| {
            // An identity whose claim names a service goes on without this one, until none is left.
            let (author, created_at) = (ticket.author, ticket.created_at);
            ticket.retain_services(|of| !scope.includes(of, Some(author), created_at));
            let is_over = match &ticket.token {
                Some(rule)
                    if rule.services.is_some()
                        && !scope.includes(ticket.member, Some(author), created_at) =>
                {
                    ticket.services().is_empty()
                }
                _ => true,
            };
            if is_over {
                ticket.revoked_at.get_or_insert(now);
            }
        };
        Ok(tokens + self.update_listed(&index, key, includes, revoke).await?)
    }

    /// Changes the records of an index that pass `includes`, and returns how many.
    async fn update_listed<I: Record, T: Record + 'static>(
        &self,
        index: &Prefix<I>,
        key: fn([u8; 16]) -> Key<T>,
        includes: impl Fn(&T) -> bool,
        change: impl Fn(&mut T, Timestamp) + Clone + Send + 'static,
    ) -> Result<u64, Failure> {
        // All of the organization, because the indexes have no order by member or author. Removals are rare.
        let (found, _) = self.records().scan_all(index).await?;
        let keys: Vec<Key<T>> = found.iter().filter_map(|found| index.id(&found.key)).map(key).collect();
        let mut count = 0;
        for keys in keys.chunks(CHUNK) {
            for (key, found) in keys.iter().zip(self.records().get_all(keys).await?) {
                if found.is_some_and(|found| includes(&found)) {
                    self.update(key.clone(), change.clone()).await?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}
