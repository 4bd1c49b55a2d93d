//! Creates a key generation and the run that moves everything to it ([`crate::store::rules::reencrypt`]).

use std::sync::Arc;

use crate::crypto::generation::Generation;
use crate::crypto::ring::NewGenerationError;
use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::role::Action;
use crate::store::engine::failure::Failure;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::keys::release_key::Release;
use crate::store::rules::reencrypt::Progress;
use crate::store::rules::store::Store;
use crate::store::tables::store::{self, KeysRecord, RunRecord};

impl Store {
    /// Starts a re-encryption of an unlocked store (the operator). It continues in the background, also after restarts, and
    /// ends by dropping the old generation. If one is under way, this returns its progress.
    ///
    /// The old generation signs the new one, so that clients that know the old one accept it.
    pub async fn reencrypt_all(&self, caller: &Caller) -> Result<Progress, Error> {
        self.start_reencryption(caller, true).await
    }

    /// The same after the old keys became known to somebody: the old generation does not sign the new one, so that people
    /// confirm it. Refused while a re-encryption is under way.
    pub async fn reencrypt_compromised(&self, caller: &Caller) -> Result<Progress, Error> {
        self.start_reencryption(caller, false).await
    }

    async fn start_reencryption(&self, caller: &Caller, endorse: bool) -> Result<Progress, Error> {
        let audit_action = AuditAction::ReEncryptStart;
        self.permit(caller, Action::ReEncryptAll, audit_action, Some(target::store())).await?;
        let (store, event) = (self.clone(), caller.event(audit_action).about(target::store()));
        // In a task: a dropped request must not leave the keys in memory behind the stored ones.
        let task = async move {
            let _alone = store.inner.keys_change.lock().await;
            store.follow_keys().await?;
            let release = store.release().ok_or(Error::Locked)?;
            let run = store.records().get(&store::run()).await?;
            match run.is_some_and(|run| !run.ended) {
                false => store.create_generation(&release, event, endorse).await?,
                true if endorse => {}
                // Its generation was signed by the old one.
                true => {
                    return Err(Error::Conflict {
                        why: "a re-encryption is under way: repeat this when it has ended",
                    });
                }
            }
            store.inner.background.notify_one();
            Ok(store.progress(&store.keys_record().await?).await?)
        };
        tokio::spawn(task).await.unwrap_or_else(|_| Err(Failure::Internal.into()))
    }

    /// Creates a generation and the record of its run. The caller holds the lock on changes of the keys.
    async fn create_generation(
        &self,
        release: &Arc<Release>,
        event: AuditEvent,
        endorse: bool,
    ) -> Result<(), Error> {
        let (before, entry) = (Arc::clone(release), event.clone());
        let created = self.change_keys(&event, move |tx, keys| {
            // Another process may have changed the keys or started a run.
            let is_running = tx.get(&store::run())?.is_some_and(|run| !run.ended);
            if keys.ring != before.sealed || is_running {
                return Err(changed_elsewhere().into());
            }
            // For the slots that were verified: nothing is sealed for one that somebody put back.
            let made = before.ring.with_generation(&keys.slots, &mut tx.records().rng());
            let (ring, slots) = made.map_err(|NewGenerationError::ForeignSlot(_)| changed_elsewhere())?;
            let chain = match endorse {
                true => keys.extended_chain(&ring, &before.ring),
                // Nothing leads to it: a thief of the old keys could sign another one.
                false => vec![Generation::of(ring.current())],
            };
            let sealed = ring.seal(&mut tx.records().rng());
            let generation = ring.deposit_key().generation();
            tx.put(&store::run(), &RunRecord::new(generation))?;
            let endorsed = if chain.len() > 1 { "yes" } else { "no" };
            let entry = entry.clone().detail(DetailKey::Generation, AuditText::number(generation.into()));
            tx.audit(entry.detail(DetailKey::Endorsed, AuditText::word(endorsed)));
            Ok((KeysRecord { slots, ring: sealed.clone(), chain, ..keys }, (ring, sealed)))
        });
        let (ring, sealed) = created.await?;
        // After the commit: memory must never be ahead of what is stored.
        self.replace_release(release.with_ring(ring, sealed));
        Ok(())
    }
}

fn changed_elsewhere() -> Error {
    Error::Conflict { why: "another process changed the keys: unlock this one again" }
}
