//! `get` and `scan`: linearizable, and every answer is of one revision, however many requests it takes.

use etcd_client::{GetOptions, GetResponse, KeyValue, Txn, TxnOp, TxnOpResponse};

use super::Shared;
use super::fault::EtcdFault;
use crate::kv::{KvEntry, KvLookup, KvPage, KvReadError, Revision};

/// Keys in one request, so that their values fit one answer.
pub(crate) const MAX_KEYS: usize = 64;
/// Entries in the first request of a page. The size of those entries decides how many the next request asks for.
const FIRST_ENTRIES: usize = 64;
const MAX_ENTRIES: usize = 4096;
/// A page that has this many bytes is not extended.
const PAGE_BYTES: usize = 4 << 20;
/// Bytes that a further request of a page asks for, estimated from the entries so far.
const REQUEST_BYTES: usize = 1 << 20;
/// Bytes of one answer at most: [`MAX_KEYS`] of the largest values.
const ANSWER_BYTES: usize = 80 << 20;
/// How often a read starts again because its revision was compacted meanwhile. Compactions are minutes apart.
const RETRIES: usize = 3;

impl Shared {
    pub(crate) async fn get(&self, keys: &[Vec<u8>]) -> Result<KvLookup, KvReadError> {
        for _ in 0..RETRIES {
            match self.get_once(keys).await {
                Err(EtcdFault::Compacted) => {}
                outcome => return outcome.map_err(KvReadError::from),
            }
        }
        Err(EtcdFault::Compacted.into())
    }

    pub(crate) async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<KvPage, KvReadError> {
        for _ in 0..RETRIES {
            match self.scan_once(prefix, after, limit, None).await {
                Err(EtcdFault::Compacted) => {}
                outcome => return outcome.map_err(KvReadError::from),
            }
        }
        Err(EtcdFault::Compacted.into())
    }

    async fn get_once(&self, keys: &[Vec<u8>]) -> Result<KvLookup, EtcdFault> {
        // The empty key has no entry, and behind the root it is another store's key space.
        let wanted: Vec<&Vec<u8>> = keys.iter().filter(|key| !key.is_empty()).collect();
        if wanted.is_empty() {
            return Ok((vec![None; keys.len()], self.revision().await?));
        }
        let (mut found, mut revision) = (Vec::with_capacity(wanted.len()), None);
        for chunk in wanted.chunks(MAX_KEYS) {
            // The first chunk fixes the revision of all others.
            let (entries, at) = self.get_chunk(chunk, revision).await?;
            found.extend(entries);
            revision.get_or_insert(at);
        }
        let mut found = found.into_iter();
        let in_order = keys.iter().map(|key| if key.is_empty() { None } else { found.next().flatten() });
        Ok((in_order.collect(), revision.ok_or(EtcdFault::Unreachable)?))
    }

    /// At most [`MAX_KEYS`] entries at a revision, or at the newest.
    async fn get_chunk(
        &self,
        keys: &[&Vec<u8>],
        at: Option<Revision>,
    ) -> Result<(Vec<Option<KvEntry>>, Revision), EtcdFault> {
        let options = GetOptions::new().with_revision(at.map_or(0, Revision::cast_signed));
        // A plain range costs etcd less than a transaction of one operation.
        if let [key] = keys {
            let answer = self.range(self.stored(key), options).await?;
            let revision = revision_of(answer.header())?;
            return Ok((vec![self.first(answer)?], at.unwrap_or(revision)));
        }
        let gets = keys.iter().map(|key| TxnOp::get(self.stored(key), Some(options.clone())));
        let txn = Txn::new().and_then(gets.collect::<Vec<_>>());
        let answer = self
            .members
            .ask(|client, _| {
                let txn = txn.clone();
                async move { client.kv_client().max_decoding_message_size(ANSWER_BYTES).txn(txn).await }
            })
            .await?;
        let revision = revision_of(answer.header())?;
        let entries = answer.op_responses().into_iter().map(|one| match one {
            TxnOpResponse::Get(got) => self.first(got),
            _ => Err(EtcdFault::Corrupt),
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        // One answer for each operation, in their order, is what etcd's API promises.
        match entries.len() == keys.len() {
            true => Ok((entries, at.unwrap_or(revision))),
            false => Err(EtcdFault::Corrupt),
        }
    }

    /// One page at a revision, or at the newest.
    pub(crate) async fn scan_once(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        mut at: Option<Revision>,
    ) -> Result<KvPage, EtcdFault> {
        let end = prefix_end(&self.stored(prefix));
        let mut start = match after {
            Some(after) if after >= prefix => successor(self.stored(after)),
            _ => self.stored(prefix),
        };
        let (mut entries, mut bytes) = (Vec::<KvEntry>::new(), 0);
        if start >= end {
            return Ok(KvPage { entries, more: false, revision: self.revision().await? });
        }
        let mut ask = FIRST_ENTRIES;
        loop {
            // A limit of 0 means "no limit" to etcd, so that at least one entry is asked for.
            let count = ask.min(limit.max(1) - entries.len());
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_limit(i64::try_from(count).unwrap_or(i64::MAX))
                .with_revision(at.map_or(0, Revision::cast_signed));
            let mut answer = self.range(start, options).await?;
            // The first request reads the newest revision, and the others read at it.
            let revision = *at.get_or_insert(revision_of(answer.header())?);
            for found in answer.take_kvs() {
                let entry = self.entry(found)?;
                bytes += entry.key.len() + entry.value.len();
                entries.push(entry);
            }
            match entries.last() {
                // Asked for one entry in vain, to know whether there is more.
                Some(last) if limit == 0 => {
                    debug_assert!(!last.key.is_empty());
                    return Ok(KvPage { entries: Vec::new(), more: true, revision });
                }
                Some(last) if answer.more() && entries.len() < limit && bytes < PAGE_BYTES => {
                    start = successor(self.stored(&last.key));
                    ask = (REQUEST_BYTES / (bytes / entries.len()).max(1)).clamp(1, MAX_ENTRIES);
                }
                _ => return Ok(KvPage { entries, more: answer.more(), revision }),
            }
        }
    }

    /// The newest revision. It costs a round among the members, as every linearizable read does.
    pub(crate) async fn revision(&self) -> Result<Revision, EtcdFault> {
        let options = GetOptions::new().with_keys_only();
        revision_of(self.range(self.stored(&[]), options).await?.header())
    }

    async fn range(&self, start: Vec<u8>, options: GetOptions) -> Result<GetResponse, EtcdFault> {
        self.members
            .ask(|client, _| {
                let (start, options) = (start.clone(), options.clone());
                async move {
                    client.kv_client().max_decoding_message_size(ANSWER_BYTES).get(start, Some(options)).await
                }
            })
            .await
    }

    fn first(&self, mut answer: GetResponse) -> Result<Option<KvEntry>, EtcdFault> {
        answer.take_kvs().pop().map(|found| self.entry(found)).transpose()
    }

    /// An entry of this store, from etcd's.
    fn entry(&self, found: KeyValue) -> Result<KvEntry, EtcdFault> {
        let revision = found.mod_revision().cast_unsigned();
        let (key, value) = found.into_key_value();
        // The range ends at the root's end, so that another key is a member's fault.
        let key = key.strip_prefix(self.root.as_slice()).ok_or(EtcdFault::Corrupt)?.to_vec();
        Ok(KvEntry { key, value, revision })
    }
}

pub(crate) fn revision_of(header: Option<&etcd_client::ResponseHeader>) -> Result<Revision, EtcdFault> {
    header.map(|header| header.revision().cast_unsigned()).ok_or(EtcdFault::Corrupt)
}

/// The first key after `key`.
fn successor(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// The first key after all that start with `prefix`.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    // There is one: the root of a store holds bytes other than 0xff.
    let kept = prefix.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
    let mut prefix_end = prefix[..kept].to_vec();
    if let Some(last) = prefix_end.last_mut() {
        *last += 1;
    }
    prefix_end
}
