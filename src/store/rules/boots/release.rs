//! The release: check, decide, open, commit, answer, in this order.

use std::sync::Arc;

use crate::domain::audit::AuditAction;
use crate::domain::id::{MemberId, OrgId};
use crate::domain::resolve::ResolveRequest;
use crate::domain::role::{Action, Denied};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::boots::commit::BootCommit;
use crate::store::rules::boots::open::{OpenScopeError, OpenedScope};
use crate::store::rules::boots::scope_cache::ScopeSnapshot;
use crate::store::rules::boots::{BootAsk, BootError, Released};
use crate::store::rules::caller::Caller;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::store::Store;
use crate::store::tables::tickets::TicketRecord;

/// How often a boot decides anew because its scope changed meanwhile.
const MAX_ATTEMPTS: usize = 8;
/// The attempts whose commit requires an unchanged scope. What is cached has to be checked. What was read for this very boot
/// is current enough, and a boot must not wait until nobody changes its scope any more.
const CHECKED_ATTEMPTS: usize = 3;

/// A boot that has not been committed yet.
pub(crate) struct PendingBoot<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) ask: &'a BootAsk,
    pub(crate) ticket: Arc<TicketRecord>,
    pub(crate) org: OrgId,
    pub(crate) member: MemberId,
    /// What the machine asks for, restricted to what the ticket allows.
    pub(crate) request: ResolveRequest,
}

impl Store {
    /// Releases the values in scope of a ticket. Before this returns, the ticket's use, the record of the boot and its audit
    /// entry are durable. If anything fails, nothing is released and no use is spent.
    pub async fn boot(&self, caller: &Caller, ask: BootAsk) -> Result<Released, BootError> {
        self.permit(caller, Action::Boot, AuditAction::Boot, None).await?;
        ask.check()?;
        let boot = PendingBoot::new(caller, &ask)?;
        let mut release = self.require_release_key(&boot).await?;
        // Without a look at its age: the commit compares the version stamps.
        let mut cached = self.inner.scope_cache.snapshot(boot.org, boot.member);
        for attempt in 0..MAX_ATTEMPTS {
            let snapshot = match cached.take() {
                Some(snapshot) => snapshot,
                None => self.read_scope(boot.org, boot.member).await?,
            };
            let opened = match self.open_scope(&release, &boot, &snapshot).await {
                Ok(opened) => opened,
                // The scope is read anew, and this boot gets the newer value.
                Err(OpenScopeError::Changed) => continue,
                Err(OpenScopeError::UnknownGeneration) => {
                    release = self.follow_release_key(release, &snapshot).await?;
                    continue;
                }
                Err(OpenScopeError::Failed(failure)) => return Err(failure.into()),
            };
            let expected = (attempt < CHECKED_ATTEMPTS).then_some(snapshot);
            if let Some(released) = self.commit_boot(&boot, expected, opened).await? {
                return Ok(released);
            }
        }
        Err(Failure::Conflict.into())
    }

    /// Refuses a boot that cannot succeed before any secret is read, and returns the release key.
    async fn require_release_key(&self, boot: &PendingBoot<'_>) -> Result<Arc<Release>, BootError> {
        let error = match self.release() {
            None => BootError::Locked,
            Some(_) if boot.ticket.uses_left() == Some(0) && !self.is_retry(boot).await? => {
                BootError::TicketSpent
            }
            Some(release) => return Ok(release),
        };
        let event = boot.caller.event(AuditAction::Boot).about(target::ticket(boot.ticket.id));
        self.record_denial(event.denied(error.code())).await;
        Err(error)
    }

    /// Whether an earlier try of this boot has spent a use.
    async fn is_retry(&self, boot: &PendingBoot<'_>) -> Result<bool, Failure> {
        let Some(attempt) = &boot.ask.attempt else { return Ok(false) };
        let earlier = self.records().get(&self.records().attempt(boot.ticket.id, attempt)).await?;
        Ok(earlier.is_some_and(|earlier| !earlier.is_over(self.now())))
    }

    /// Returns the release key to try next, after a value of an unknown generation. Locks the store if there is none.
    async fn follow_release_key(
        &self,
        release: Arc<Release>,
        snapshot: &ScopeSnapshot,
    ) -> Result<Arc<Release>, BootError> {
        if let Some(newer) = self.newer_release(&release).await? {
            return Ok(newer);
        }
        // A cached value may be of a generation that was dropped since. The next attempt reads the scope anew.
        if self.is_outdated(snapshot).await? {
            return Ok(release);
        }
        // Another process re-encrypted everything, and the slot that unlocked this process was removed.
        self.set_release(None);
        Err(BootError::Locked)
    }

    /// Whether a part of the snapshot has changed since it was read.
    async fn is_outdated(&self, snapshot: &ScopeSnapshot) -> Result<bool, Failure> {
        let keys = snapshot.stamps().map(|stamp| stamp.key.clone()).to_vec();
        let now = self.records().snapshot(keys).await?;
        Ok(snapshot.stamps().iter().enumerate().any(|(i, stamp)| now.written_at(i) != stamp.at))
    }

    /// Stores the boot and all that belongs to it. Returns `None`, and stores nothing, if `expected` has changed.
    async fn commit_boot(
        &self,
        boot: &PendingBoot<'_>,
        expected: Option<ScopeSnapshot>,
        opened: OpenedScope,
    ) -> Result<Option<Released>, BootError> {
        let (org, member) = boot.caller.own_names()?;
        let commit = BootCommit::new(self, boot, expected, &opened)?;
        let OpenedScope { mut receipt, content, values, .. } = opened;
        let (id, at) = (commit.record.id, commit.record.at);
        let reads = commit.reads(self);
        let Some(revision) = self.journal().run(reads, move |tx| commit.run(tx)).await? else {
            return Ok(None);
        };
        self.inner.seen_receipts.add(boot.org, content);
        receipt.revision = revision;
        Ok(Some(Released { boot: id, org, member, at, receipt, values }))
    }
}

impl<'a> PendingBoot<'a> {
    fn new(caller: &'a Caller, ask: &'a BootAsk) -> Result<Self, BootError> {
        let (org, member) = caller.own_member()?;
        let ticket = Arc::clone(caller.ticket_record().ok_or(Denied::NeedsTicket)?);
        let request = ticket.restrict(&ask.request);
        Ok(Self { caller, ask, ticket, org, member, request })
    }
}
