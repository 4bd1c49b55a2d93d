//! The end of a boot, as its machine or a platform reports it. An end only takes a boot off the list of holders, so that only
//! those whose boot it is may report one: an admin who could end the boots of others could hide who holds a secret. The
//! boots of a removed member, who cannot end them any more, are the exception.

use zeroize::Zeroizing;

use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::boot::{BootEnd, BootState, EndSource};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{BootId, OrgId};
use crate::domain::role::{Action, Principal};
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::Stop;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::boots::BootRecord;
use crate::store::tables::orgs;

/// The report of an end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending {
    /// The exit status of the workload, if it is known.
    pub status: Option<u8>,
    /// Whether the workload was not started at all.
    pub failed: bool,
}

impl Store {
    /// Records the end of a boot. Repeating it changes nothing.
    pub async fn end_boot(&self, caller: &Caller, boot: BootId, ending: Ending) -> Result<(), Error> {
        let audit_action = AuditAction::BootEnd;
        let (org, _) = self.require_member(caller, audit_action).await?;
        let not_found = || Error::NotFound { what: "boot" };
        let key = self.records().boot(org, boot);
        let found = self.records().get(&key).await?.ok_or_else(not_found)?;
        let action = self.end_action(caller, org, &found).await?;
        let sees = caller.may(action) || caller.may(Action::ReadBoots(caller.subject(found.member.0)));
        // To others, a boot is as absent as one that does not exist. Their attempt is recorded nevertheless.
        if !sees && !self.may_see(caller, action, audit_action, target::boot(boot)) {
            return Err(not_found());
        }
        self.permit(caller, action, audit_action, Some(target::boot(boot))).await?;
        let source = match caller.principal() {
            _ if matches!(action, Action::EndBoot(of) if of.is_of_removed) => EndSource::Admin,
            Principal::Boot { .. } => EndSource::Agent,
            Principal::Operator
            | Principal::Metrics
            | Principal::Member { .. }
            | Principal::Ticket { .. } => EndSource::Platform,
        };
        let event = caller.event(audit_action).about(target::boot(boot));
        // The member finds the end of its boots, whichever platform reported it.
        let event = event.detail(DetailKey::MemberId, found.member.0);
        let event = event.detail(DetailKey::EndSource, AuditText::word(source.as_str()));
        let mut event =
            event.detail(DetailKey::State, AuditText::word(if ending.failed { "failed" } else { "ended" }));
        if let Some(status) = ending.status {
            event = event.detail(DetailKey::Status, AuditText::number(status.into()));
        }
        let caller = caller.clone();
        let ended = self.journal().run(vec![key.to_vec()], move |tx| {
            tx.require_first_execution(&caller)?;
            let mut record = tx.get(&key)?.ok_or_else(not_found)?;
            // The first report counts: a later one must not change what was said about a workload.
            if !record.is_endable() {
                return Ok(());
            }
            record.end = Some(BootEnd { at: tx.now(), source, status: ending.status });
            if ending.failed {
                record.state = BootState::Failed;
            }
            for content in record.contents() {
                tx.delete(&tx.records().running_boot(org, &content, boot));
            }
            tx.put(&key, &record)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(())
        });
        ended.await
    }

    /// The action that the end of a boot is to this caller.
    pub(crate) async fn end_action(
        &self,
        caller: &Caller,
        org: OrgId,
        boot: &BootRecord,
    ) -> Result<Action, Failure> {
        let mut subject = caller.boot_subject(boot);
        // Most ends are reported by those whose boot it is, for whom nothing has to be read.
        if !caller.may(Action::EndBoot(subject)) {
            let member = self.members_by_id(org, [boot.member.0].into()).await?.remove(&boot.member.0);
            subject.is_of_removed = member.is_none_or(|member| member.removed_at.is_some());
        }
        Ok(Action::EndBoot(subject))
    }

    /// Returns the credential that can end a boot and nothing else.
    pub(crate) fn end_credential(&self, org: OrgId, boot: BootId) -> Credential {
        let mut secret = Zeroizing::new([0; 32]);
        let (place, mac) = secret.split_at_mut(16);
        // The organization is part of the boot's key. It is no secret, and the MAC alone is beyond guessing.
        place.copy_from_slice(org.as_bytes());
        // Computed and not stored, so that each try of a boot answers with the same one.
        mac.copy_from_slice(&self.records().key.key_hash("boot end", &[org.as_bytes(), boot.as_bytes()]));
        Credential::new(CredentialKind::Boot, *boot.as_bytes(), secret)
    }

    /// Returns the boot that a credential can end, and its organization's record. `None` if this store did not make it, or if
    /// the boot was pruned.
    pub(crate) async fn boot_of_credential(
        &self,
        credential: &Credential,
    ) -> Result<Option<(orgs::OrgRecord, BootRecord)>, Failure> {
        let boot = BootId::from_bytes(credential.id);
        let org = credential.org_of_boot();
        // In constant time. The records are read only for a credential that this store made.
        if !credential.matches(&self.end_credential(org, boot).hash()) {
            return Ok(None);
        }
        let (org_key, key) = (orgs::org(org), self.records().boot(org, boot));
        let snapshot = self.records().snapshot(vec![org_key.to_vec(), key.to_vec()]).await?;
        let org = snapshot.read(self.records(), 0, &org_key)?;
        Ok(org.zip(snapshot.read(self.records(), 1, &key)?))
    }
}

impl BootRecord {
    /// Whether its end can be reported: it has started, and nobody has.
    pub(crate) fn is_endable(&self) -> bool {
        self.end.is_none() && self.state != BootState::Failed
    }
}
