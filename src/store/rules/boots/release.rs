//! The release: check, decide, open, commit, return, in this order.

use std::sync::Arc;

use crate::domain::audit::{AuditAction, AuditEvent, DetailKey};
use crate::domain::code::Code;
use crate::domain::id::{MemberId, OrgId};
use crate::domain::resolve::ResolveRequest;
use crate::domain::role::{Action, Denied};
use crate::domain::secret::SecretMeta;
use crate::domain::value::Delivery;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::rules::audit::EventBuilder;
use crate::store::rules::boots::attempt::Attempt;
use crate::store::rules::boots::commit::{BootCommit, CommittedBoot};
use crate::store::rules::boots::open::{OpenScopeError, OpenedScope};
use crate::store::rules::boots::scope_cache::ScopeSnapshot;
use crate::store::rules::boots::{BootAsk, BootError, Released};
use crate::store::rules::caller::Caller;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::store::Store;
use crate::store::tables::tickets::TicketRecord;

/// How often a boot decides again because its scope has changed.
const MAX_ATTEMPTS: usize = 8;
/// The attempts whose commit requires an unchanged scope. Cached data has to be checked. Data that was read for
/// this boot is current enough: a boot must not wait for a quiet moment of its scope.
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
        // Before the request is checked: without a ticket, nothing about it is of interest.
        self.permit(caller, Action::Boot, AuditAction::Boot, None).await?;
        ask.check()?;
        let boot = PendingBoot::new(caller, &ask)?;
        let released = self.release_boot(&boot).await;
        if let Err(BootError::Failure(Failure::Corrupt | Failure::RolledBack | Failure::KeysNotVerified)) =
            &released
        {
            // Without the entry, nobody would learn that the byte store stops boots.
            self.record_denial(boot.event().failed(Code::Corrupt)).await;
        }
        released
    }

    async fn release_boot(&self, boot: &PendingBoot<'_>) -> Result<Released, BootError> {
        self.check_boot_quota(boot).await?;
        let mut release = self.require_release_key(boot).await?;
        // Without a look at its age: the commit compares the version stamps. One that this process knows to be outdated is read
        // again, because somebody may have put its stamp back.
        let mut cached = self.cached_snapshot(boot.org, boot.member);
        for attempt in 0..MAX_ATTEMPTS {
            // From the cache only once: what has changed there would fail again.
            let from_cache = cached.is_some();
            let snapshot = match cached.take() {
                Some(snapshot) => snapshot,
                None => self.read_scope(boot.org, boot.member).await?,
            };
            let opened = match self.open_scope(&release, boot, &snapshot).await {
                Ok(opened) => opened,
                // The scope is read again, and this boot gets the newer value.
                Err(OpenScopeError::Changed) => continue,
                Err(OpenScopeError::UnknownGeneration) => {
                    release = self.follow_release_key(release, &snapshot).await?;
                    continue;
                }
                Err(OpenScopeError::Unusable(secret)) => {
                    // What a cached scope holds may have been replaced since.
                    if from_cache && self.is_outdated(&snapshot).await? {
                        continue;
                    }
                    return Err(self.refuse_unusable(boot, *secret).await);
                }
                Err(OpenScopeError::Failed(failure)) => return Err(failure.into()),
            };
            self.refuse_files(boot, &opened).await?;
            let expected = (attempt < CHECKED_ATTEMPTS).then_some(snapshot);
            if let Some(released) = self.commit_boot(boot, expected, opened).await? {
                return Ok(released);
            }
        }
        Err(Failure::Conflict.into())
    }

    /// Refuses a boot that cannot succeed before any secret is read, and returns the release key.
    async fn require_release_key(&self, boot: &PendingBoot<'_>) -> Result<Arc<Release>, BootError> {
        let error = match self.release() {
            None => BootError::Locked,
            // The transaction decides. This check keeps the values of a spent ticket's scope closed.
            Some(_) if boot.ticket.uses_left() == Some(0) && !self.is_retry(boot).await? => {
                BootError::TicketSpent
            }
            Some(release) => return Ok(release),
        };
        self.record_denial(boot.denial(error.code())).await;
        Err(error)
    }

    /// Refuses a boot of a machine that could not receive one of its secrets.
    async fn refuse_files(&self, boot: &PendingBoot<'_>, opened: &OpenedScope) -> Result<(), BootError> {
        let mut files = opened.receipt.entries.iter().filter(|entry| entry.delivery == Delivery::File);
        let Some(file) = files.next().filter(|_| boot.ask.refuse_files) else { return Ok(()) };
        let error = BootError::FilesRefused(file.name.clone());
        self.record_denial(boot.denial(error.code())).await;
        Err(error)
    }

    /// Records that a private secret stops a boot, before a use of the ticket is spent.
    async fn refuse_unusable(&self, boot: &PendingBoot<'_>, secret: SecretMeta) -> BootError {
        let denial = boot.denial(Code::SecretUnusable).detail(DetailKey::Env, &secret.env);
        self.record_denial(denial).await;
        BootError::SecretUnusable { name: secret.name, env: secret.env }
    }

    /// Whether an earlier try of this boot has spent a use.
    pub(crate) async fn is_retry(&self, boot: &PendingBoot<'_>) -> Result<bool, Failure> {
        let Some(attempt) = Attempt::new(self, boot) else { return Ok(false) };
        let earlier = self.records().get(&attempt.key).await?;
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
        // A cached value may be of a generation that was dropped since. The next attempt reads the scope again.
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
        Ok(snapshot.stamps().iter().enumerate().any(|(i, stamp)| now.version(i) != stamp.at))
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
        let reads = commit.reads(self);
        let committed = match self.journal().run(reads, move |tx| commit.run(tx)).await {
            Ok(committed) => committed,
            Err(BootError::Failure(failure)) => return Err(failure.into()),
            Err(error) => {
                self.record_denial(boot.denial(error.code())).await;
                return Err(error);
            }
        };
        let Some(CommittedBoot { id, at, revision }) = committed else { return Ok(None) };
        // After the commit, which could have failed to store it.
        self.inner.seen_receipts.add(boot.org, content);
        // Also for a further try, which is no new boot: the next pass corrects the number.
        self.inner.boot_counts.add(boot.org, boot.member);
        receipt.revision = revision;
        let end_credential = self.end_credential(boot.org, id);
        Ok(Some(Released { boot: id, org, member, at, end_credential, receipt, values }))
    }
}

impl<'a> PendingBoot<'a> {
    fn new(caller: &'a Caller, ask: &'a BootAsk) -> Result<Self, BootError> {
        let (org, member) = caller.own_member()?;
        let ticket = Arc::clone(caller.ticket_record().ok_or(Denied::NeedsTicket)?);
        let request = caller.restrict(ticket.restrict(&ask.request));
        Ok(Self { caller, ask, ticket, org, member, request })
    }

    /// The event of its refusal.
    fn denial(&self, reason: Code) -> AuditEvent {
        self.event().denied(reason)
    }

    fn event(&self) -> AuditEvent {
        self.caller.event(AuditAction::Boot).about(self.ticket.target())
    }
}
