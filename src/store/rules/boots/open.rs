//! What is in scope of a boot, and its values opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::crypto::aad::Aad;
use crate::crypto::aead;
use crate::domain::digest::Digest;
use crate::domain::id::{MemberId, OrgId, SecretId};
use crate::domain::receipt::Receipt;
use crate::domain::resolve::{ResolveRequest, resolve};
use crate::domain::secret::{Scope, SecretMeta};
use crate::domain::value::{MAX_VARIABLE, SecretValue, check};
use crate::store::engine::failure::Failure;
use crate::store::rules::boots::ReleasedValue;
use crate::store::rules::boots::kept::{Answer, Basis, Disabled, Mark, Shelf};
use crate::store::rules::boots::record::ReceiptRecord;
use crate::store::rules::keys::{OpenValueError, Release};
use crate::store::rules::secrets::{SecretRecord, Whole};
use crate::store::rules::store::Store;

/// What values that are kept for the next boot are sealed as.
const KEPT: &str = "dropsafe kept release v1";

/// Bytes of values that are kept together. Few boots have more, and those open large values, for which that is no gain.
const LARGEST_KEPT: usize = 256 << 10;

/// What a boot is given, before it is made durable.
pub(crate) struct Opened {
    /// Its revision is not that of this boot.
    pub(crate) receipt: Receipt,
    /// What the agent checks.
    pub(crate) digest: Digest,
    /// Of what its record says.
    pub(crate) content: Digest,
    pub(crate) values: Vec<ReleasedValue>,
}

/// Why values were not opened.
pub(crate) enum NotOpened {
    /// This process lacks the release key of a newer generation.
    Locked,
    /// A secret changed since it was looked at.
    Changed,
    Failed(Failure),
}

impl From<Failure> for NotOpened {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Store {
    /// What a member's boots decide from, as it is now.
    pub(crate) async fn read_basis(&self, org: OrgId, member: MemberId) -> Result<Basis, Failure> {
        let records = self.records();
        let scopes = [Scope::Private(member), Scope::Shared];
        let plugins = records.plugin_list(org);
        let [private, shared] = scopes.map(|scope| Mark::of_scope(records, org, scope));
        let keys = vec![private, shared, plugins.to_vec()];
        // Before the secrets: what changes in between is told by a mark that is not this one any more.
        let snapshot = records.snapshot(keys.clone()).await?;
        let mut marks = keys.into_iter().enumerate().map(|(i, key)| Mark { key, at: snapshot.written_at(i) });
        let mut mark = || marks.next().ok_or(Failure::Internal);
        let [private, shared] = scopes.map(|scope| mark().map(|mark| self.shelf(org, scope, mark)));
        let (private, shared) = tokio::try_join!(private?, shared?)?;

        let list = snapshot.read(records, 2, &plugins)?.unwrap_or_default();
        let disabled = Disabled { plugins: list.disabled(), mark: mark()? };
        let disabled = self.inner.kept.keep_disabled(org, disabled);
        Ok(Basis { private, shared, disabled })
    }

    /// The secrets of a scope: those that are kept, or with one scan.
    async fn shelf(&self, org: OrgId, scope: Scope, mark: Mark) -> Result<Arc<Shelf>, Failure> {
        if let Some(shelf) = self.inner.kept.shelf(org, scope, &mark) {
            return Ok(shelf);
        }
        let (found, _) = self.records().scan_all(&self.records().secrets(org, scope)).await?;
        let secrets = found.into_iter().map(|found| found.record).collect();
        Ok(self.inner.kept.keep_shelf(org, scope, Shelf { secrets, mark }))
    }

    /// What the request comes to: as it did before, if nothing changed since, or decided and opened anew.
    pub(crate) async fn opened(
        &self,
        release: &Release,
        (org, member): (OrgId, MemberId),
        basis: Basis,
        request: &ResolveRequest,
    ) -> Result<Opened, NotOpened> {
        let key = (org, member, request.clone());
        let bound = Aad::new(KEPT).part(org.as_bytes()).part(member.as_bytes());
        if let Some(kept) = self.inner.kept.answer(&key, &basis)
            // Sealed by the ring of before, where the store was locked meanwhile.
            && let Ok(values) = aead::open_prefixed(&release.kept, &bound, &kept.sealed)
        {
            let values = divided(&values).ok_or(Failure::Internal)?;
            let Answer { receipt, digest, content, .. } = &*kept;
            return Ok(Opened { receipt: receipt.clone(), digest: *digest, content: *content, values });
        }
        let (receipt, values) = self.open_all(release, &basis, request).await?;
        let (digest, content) = (receipt.digest(), ReceiptRecord::of(&receipt).digest()?);
        let together = joined(&values);
        if together.len() <= LARGEST_KEPT {
            let sealed = aead::seal_prefixed(&release.kept, &bound, &together, &mut self.records().rng());
            let answer = Answer { basis, receipt: receipt.clone(), digest, content, sealed };
            self.inner.kept.keep_answer(key, answer);
        }
        Ok(Opened { receipt, digest, content, values })
    }

    /// Resolves and opens exactly what the receipt names.
    async fn open_all(
        &self,
        release: &Release,
        basis: &Basis,
        request: &ResolveRequest,
    ) -> Result<(Receipt, Vec<ReleasedValue>), NotOpened> {
        let mut opened: BTreeMap<SecretId, SecretValue> = BTreeMap::new();
        let mut unusable = BTreeMap::new();
        loop {
            let receipt = basis.resolve(request, &unusable);
            let found = unusable.len();
            for entry in &receipt.entries {
                if opened.contains_key(&entry.id) {
                    continue;
                }
                let record = basis.secret(entry.id).ok_or(Failure::Internal)?;
                match self.open_one(release, record).await? {
                    Some(value) => drop(opened.insert(entry.id, value)),
                    // Too long to be delivered, which the resolution reports as unusable.
                    None => {
                        let meta = SecretMeta { value_len: u32::MAX, ..record.meta.clone() };
                        unusable.insert(entry.id, meta);
                    }
                }
            }
            if unusable.len() == found {
                // Nothing that an earlier round opened leaves, unless this one named it too.
                let named: BTreeSet<SecretId> = receipt.entries.iter().map(|entry| entry.id).collect();
                let values = opened.into_iter().filter(|(id, _)| named.contains(id));
                return Ok((receipt, values.map(|(id, value)| ReleasedValue { id, value }).collect()));
            }
            // Decided anew without those: what they would have shadowed may be released instead.
        }
    }

    /// None when it cannot be exported: what a depositor sealed was judged by its length only.
    async fn open_one(
        &self,
        release: &Release,
        record: &SecretRecord,
    ) -> Result<Option<SecretValue>, NotOpened> {
        let apart = match record.value.body().place() {
            None => None,
            Some(place) => match self.records().get(&place).await? {
                None => return Err(NotOpened::Changed),
                apart => apart,
            },
        };
        let value = match record.value.clone().whole(apart)? {
            Whole::Plain(bytes) => SecretValue::new(bytes),
            Whole::Sealed(sealed) => match self.open_value(release, record, &sealed) {
                Ok(value) => value,
                Err(OpenValueError::Unusable) => return Ok(None),
                Err(OpenValueError::UnknownGeneration) => return Err(NotOpened::Locked),
            },
        };
        // The ceiling was the organization's at deposit time; here only what the kernel takes counts.
        let most = u32::try_from(MAX_VARIABLE).unwrap_or(u32::MAX);
        let usable = check(&value, &record.meta.env, record.meta.delivery, most).is_ok();
        Ok(usable.then_some(value))
    }
}

impl Basis {
    /// What the request comes to when the `unusable` are as they are there. Its revision is for the caller to set.
    pub(crate) fn resolve(
        &self,
        request: &ResolveRequest,
        unusable: &BTreeMap<SecretId, SecretMeta>,
    ) -> Receipt {
        let candidates = self.secrets().map(|record| unusable.get(&record.meta.id).unwrap_or(&record.meta));
        Receipt::of(resolve(candidates, &self.disabled.plugins, request), 0)
    }
}

/// Ids, lengths and values in one piece, in memory that is wiped and never moved.
fn joined(values: &[ReleasedValue]) -> Zeroizing<Vec<u8>> {
    let size = values.iter().map(|released| 16 + 4 + released.value.len()).sum();
    let mut joined = Zeroizing::new(Vec::with_capacity(size));
    for ReleasedValue { id, value } in values {
        // No value is longer than a file may be.
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        joined.extend_from_slice(id.as_bytes());
        joined.extend_from_slice(&len.to_be_bytes());
        joined.extend_from_slice(value.expose());
    }
    joined
}

fn divided(mut joined: &[u8]) -> Option<Vec<ReleasedValue>> {
    let mut values = Vec::new();
    while let Some((id, rest)) = joined.split_first_chunk::<16>() {
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        values.push(ReleasedValue { id: SecretId::from_bytes(*id), value: SecretValue::new(value.to_vec()) });
        joined = rest;
    }
    joined.is_empty().then_some(values)
}
