//! What boots received, read for their audit entries.
//!
//! An entry holds the digest of the record of what was released, which all boots that received the same share. The chain
//! binds the digest, and the digest the record: a record that was changed is as good as missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey, Outcome};
use crate::domain::digest::Digest;
use crate::domain::id::{BootId, OrgId, SecretId, VersionId};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::receipt::ReceiptEntry;
use crate::domain::secret::ScopeKind;
use crate::store::engine::failure::Failure;
use crate::store::engine::format::decode;
use crate::store::rules::store::Store;
use crate::store::tables::boots::ReceiptRecord;

/// Released versions that are kept in memory for one page.
const MAX_HELD: usize = 50_000;

/// A version of a secret that a boot received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedVersion {
    /// The name it was exported as.
    pub env: EnvName,
    /// The secret's name then.
    pub name: SecretName,
    /// The secret.
    pub secret: SecretId,
    /// Its scope.
    pub scope: ScopeKind,
    /// The version.
    pub version: VersionId,
}

/// What boots of an organization received, each record read once.
pub(crate) struct ReceiptReader<'a> {
    store: &'a Store,
    org: OrgId,
    known: BTreeMap<Digest, Option<Arc<Vec<ReleasedVersion>>>>,
    /// Of boots whose entries hold no digest.
    contents: BTreeMap<BootId, Option<Digest>>,
    held: usize,
}

impl<'a> ReceiptReader<'a> {
    pub(crate) fn new(store: &'a Store, org: OrgId) -> Self {
        Self { store, org, known: BTreeMap::new(), contents: BTreeMap::new(), held: 0 }
    }

    /// Reads what the boots among these events received. Returns the number of records that it read.
    pub(crate) async fn read<'e>(
        &mut self,
        events: impl Iterator<Item = &'e AuditEvent>,
    ) -> Result<usize, Failure> {
        if self.held > MAX_HELD {
            // All, and not the oldest: a page rarely needs one again.
            (self.known, self.contents, self.held) = (BTreeMap::new(), BTreeMap::new(), 0);
        }
        let boots: Vec<&AuditEvent> = events.filter(|event| is_release(event)).collect();
        self.read_contents(&boots).await?;
        let wanted: BTreeSet<Digest> = boots.iter().filter_map(|event| self.content(event)).collect();
        let wanted: Vec<Digest> =
            wanted.into_iter().filter(|content| !self.known.contains_key(content)).collect();
        let keys: Vec<Vec<u8>> =
            wanted.iter().map(|content| self.store.records().receipt(self.org, content).to_vec()).collect();
        if keys.is_empty() {
            return Ok(0);
        }
        let (found, _) = self.store.records().kv.get(&keys).await?;
        for ((content, key), found) in wanted.iter().zip(&keys).zip(found) {
            let sealed = found.map(|entry| entry.value);
            let released = sealed.and_then(|sealed| self.open(content, key, &sealed)).map(Arc::new);
            self.held += released.as_ref().map_or(0, |released| released.len());
            self.known.insert(*content, released);
        }
        Ok(keys.len())
    }

    /// What the boot of an event received. `None` if the event is no release, or its record is missing.
    pub(crate) fn released(&self, event: &AuditEvent) -> Option<&Arc<Vec<ReleasedVersion>>> {
        if !is_release(event) {
            return None;
        }
        self.known.get(&self.content(event)?)?.as_ref()
    }

    /// The digest in an entry, or in the record of the boot that an older entry is about.
    fn content(&self, event: &AuditEvent) -> Option<Digest> {
        match event.details.get(&DetailKey::Receipt) {
            Some(content) => content.as_str().parse().ok(),
            None => *self.contents.get(&boot_of(event)?)?,
        }
    }

    async fn read_contents(&mut self, boots: &[&AuditEvent]) -> Result<(), Failure> {
        let older = boots.iter().filter(|event| !event.details.contains_key(&DetailKey::Receipt));
        let ids: BTreeSet<BootId> = older.filter_map(|event| boot_of(event)).collect();
        let ids: Vec<BootId> = ids.into_iter().filter(|id| !self.contents.contains_key(id)).collect();
        let keys: Vec<_> = ids.iter().map(|id| self.store.records().boot(self.org, *id)).collect();
        for (id, boot) in ids.into_iter().zip(self.store.records().get_all(&keys).await?) {
            self.contents.insert(id, boot.map(|boot| boot.content));
        }
        Ok(())
    }

    /// Opens a record and compares it with its digest.
    fn open(&self, content: &Digest, key: &[u8], sealed: &[u8]) -> Option<Vec<ReleasedVersion>> {
        let plain = self.store.records().unseal(key, sealed).ok()?;
        // Of the stored bytes: a record of an older format has the digest that it was stored with.
        let record: ReceiptRecord = decode(&plain).ok()?;
        let is_authentic = ReceiptRecord::digest_of_bytes(&plain) == *content;
        is_authentic.then(|| record.entries.into_iter().map(ReleasedVersion::from).collect())
    }
}

impl ReleasedVersion {
    /// Whether a name of it contains `part`, which is in lower case.
    pub(crate) fn contains(&self, part: &str) -> bool {
        [self.env.as_str(), self.name.as_str()].iter().any(|name| name.to_lowercase().contains(part))
    }
}

impl From<ReceiptEntry> for ReleasedVersion {
    fn from(entry: ReceiptEntry) -> Self {
        let ReceiptEntry { env, name, id, scope, version, .. } = entry;
        Self { env, name, secret: id, scope, version }
    }
}

/// Whether an event says that values left the store.
pub(crate) fn is_release(event: &AuditEvent) -> bool {
    event.action == AuditAction::Boot && event.outcome == Outcome::Allowed
}

fn boot_of(event: &AuditEvent) -> Option<BootId> {
    event.target.as_ref()?.id.as_ref().map(AuditText::as_str)?.parse().ok()
}
