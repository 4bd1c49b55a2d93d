//! The chain of this process: each entry bound to the one before, the head with length and last link in the same commit.
//!
//! The first entry of a chain anchors what other chains had reached by then, and a registry counts the chains, so that
//! neither an entry nor a chain can go missing without a trace. Only the owner of a chain writes to it.

use std::sync::Arc;

use crate::crypto::merkle::MerkleTree;
use crate::domain::audit::{Actor, ActorKind, AuditAction, AuditEvent, Outcome};
use crate::domain::time::Timestamp;
use crate::kv::{Limits, Precondition, Revision, Write};
use crate::store::engine::audit::rows::RowChange;
use crate::store::engine::audit::tables::{
    self, Anchor, ChainId, Cover, Entry, EntryBody, Head, Link, Mac, Registry,
};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Record, encode};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;

/// The most anchors in a first entry: about 100 KiB. The next chain anchors the rest.
const MAX_ANCHORS: usize = 1000;
/// The most rows in one entry: about 200 KiB.
pub(crate) const MAX_ROWS: usize = 2000;

/// The chain of this process. It starts with its first entry: a process that changes nothing leaves no trace.
#[derive(Default)]
pub(crate) struct Chain {
    state: State,
    /// What was committed last. A shorter chain was rolled back.
    committed: Option<Arc<Reached>>,
}

#[derive(Default)]
enum State {
    #[default]
    Unborn,
    Known(Arc<Reached>, Revision),
    /// Whether its head was written in place of the one before is unknown, so it must be read again.
    Unknown(Reached),
    Ended,
}

/// A chain and its head.
#[derive(Clone)]
pub(crate) struct Reached {
    pub(crate) chain: ChainId,
    pub(crate) head: Head,
    /// The tree of all its entries. `None` if a commit of an unknown outcome leaves open which entries there are.
    pub(crate) tree: Option<MerkleTree>,
}

/// The entries of one commit.
pub(crate) struct NewEntries {
    pub(crate) events: Vec<AuditEvent>,
    /// The rows that the commit writes.
    pub(crate) rows: Vec<RowChange>,
    pub(crate) link: Link,
}

/// The content of an entry besides its place.
struct EntryParts {
    event: AuditEvent,
    link: Link,
    rows: Vec<RowChange>,
}

impl EntryParts {
    fn without_rows(event: AuditEvent, link: Link) -> Self {
        Self { event, link, rows: Vec::new() }
    }
}

/// The writes that extend the chain, and the chain after their commit.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) preconditions: Vec<Precondition>,
    pub(crate) writes: Vec<Write>,
    pub(crate) entries: u64,
    pub(crate) next: Option<Reached>,
}

impl Chain {
    /// The time of the last entry. No later entry is earlier.
    pub(crate) fn last_at(&self) -> Timestamp {
        self.committed.as_ref().map_or(Timestamp::from_millis(i64::MIN), |reached| reached.head.last_at)
    }

    fn committed_length(&self) -> u64 {
        self.committed.as_ref().map_or(0, |reached| reached.head.length)
    }

    /// The writes for an extension, besides one per event.
    pub(crate) fn overhead(&self, limits: &Limits) -> usize {
        match self.state {
            // An unknown state may turn out to be an unborn chain.
            State::Unborn | State::Unknown(_) => {
                max_anchors(limits) + 4 + limits.max_writes_per_commit / MAX_ROWS
            }
            // The head, and entries for rows alone.
            State::Known(..) | State::Ended => 2 + limits.max_writes_per_commit / MAX_ROWS,
        }
    }

    /// Returns the writes that append the entries of a commit. The chain stays as it is until [`committed`](Self::committed).
    pub(crate) async fn extend(
        &mut self,
        records: &Records,
        entries: NewEntries,
        now: Timestamp,
    ) -> Result<Links, Failure> {
        let NewEntries { mut events, rows, link } = entries;
        // Work without an event of its own, such as settling data keys, changes rows too.
        let needed = rows.len().div_ceil(MAX_ROWS).max(1);
        while events.len() < needed {
            events.push(own_event(AuditAction::StoreMaintain, now));
        }
        // The commit before this one may have been made, and only the byte store knows.
        if let State::Unknown(tried) = &self.state {
            let chain = tried.chain;
            self.state = match read_head(records, &chain).await? {
                Some((head, _)) if head.length < self.committed_length() => return Err(Failure::RolledBack),
                Some((head, revision)) => {
                    let mut known = std::iter::once(tried).chain(self.committed.as_deref());
                    // By the last link and not by the length, which the two may share with an earlier attempt.
                    let tree = known.find(|known| known.head.last == head.last);
                    let tree = tree.and_then(|known| known.tree.clone());
                    State::Known(Arc::new(Reached { chain, head, tree }), revision)
                }
                None if self.committed.is_some() => return Err(Failure::RolledBack),
                None => State::Unborn,
            };
        }
        let (mut links, mut reached) = match &self.state {
            State::Known(reached, revision) => (held_at(reached, *revision), Reached::clone(reached)),
            State::Unborn | State::Unknown(_) => begin(records, now).await?,
            // An entry behind the end entry would fail every verification.
            State::Ended => return Err(Failure::Unavailable),
        };
        // In the last entries, so that one path over all chains says in which order the commits were made.
        let first_with_rows = events.len() - needed;
        let mut rows = rows.into_iter();
        for (index, event) in events.into_iter().enumerate() {
            links.entries += 1;
            let rows =
                if index < first_with_rows { Vec::new() } else { rows.by_ref().take(MAX_ROWS).collect() };
            links.writes.push(reached.append(
                records,
                EntryParts { event, link: link.clone(), rows },
                now,
            )?);
        }
        // One head for all entries of the commit.
        links.writes.push(reached.head_write(records)?);
        links.next = Some(reached);
        Ok(links)
    }

    /// Returns the writes that append the end entry. `None` before the first entry, and while the state is unknown.
    pub(crate) fn end(&mut self, records: &Records, now: Timestamp) -> Result<Option<Links>, Failure> {
        // Ended even if the commit fails: nobody will find out whether it was made.
        let State::Known(reached, revision) = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(None);
        };
        let (mut links, mut reached) = (held_at(&reached, revision), Reached::clone(&reached));
        reached.head.ended = true;
        let event = own_event(AuditAction::StoreStop, now);
        links.writes.push(reached.append(records, EntryParts::without_rows(event, Link::End), now)?);
        links.writes.push(reached.head_write(records)?);
        Ok(Some(links))
    }

    /// Call after the commit succeeded.
    pub(crate) fn committed(&mut self, next: Option<Reached>, revision: Revision) {
        if let Some(reached) = next {
            let reached = Arc::new(reached);
            self.committed = Some(Arc::clone(&reached));
            self.state = State::Known(reached, revision);
        }
    }

    /// What was committed last.
    pub(crate) fn last_committed(&self) -> Option<Arc<Reached>> {
        self.committed.clone()
    }

    /// Call if the outcome of the commit is unknown, or its head was unexpected.
    pub(crate) fn forget(&mut self, tried: Option<Reached>) {
        if let Some(tried) = tried {
            self.state = State::Unknown(tried);
        }
    }
}

fn held_at(reached: &Reached, revision: Revision) -> Links {
    let head = tables::head(&reached.chain).to_vec();
    Links { preconditions: vec![Precondition::At(head, revision)], ..Links::default() }
}

async fn read_head(records: &Records, chain: &ChainId) -> Result<Option<(Head, Revision)>, Failure> {
    let key = tables::head(chain);
    let (mut found, _) = records.kv.get(&[key.to_vec()]).await?;
    match found.pop().flatten() {
        Some(entry) => Ok(Some((records.open(key.bytes(), &entry.value)?, entry.revision))),
        None => Ok(None),
    }
}

/// A new chain with its first entry, and all that must be written for it.
async fn begin(records: &Records, now: Timestamp) -> Result<(Links, Reached), Failure> {
    let registry_key = tables::registry();
    let (mut found, _) = records.kv.get(&[registry_key.to_vec()]).await?;
    let (registry, expected) = match found.pop().flatten() {
        Some(entry) => {
            let registry: Registry = records.open(registry_key.bytes(), &entry.value)?;
            (registry, Precondition::At(registry_key.to_vec(), entry.revision))
        }
        None => (Registry::default(), Precondition::Absent(registry_key.to_vec())),
    };
    // After the registry was read: a chain that begins in between changes it, and this commit conflicts.
    let anchors = uncovered(records).await?;
    let chain: ChainId = records.random_bytes();

    let mut links = Links { preconditions: vec![expected], ..Links::default() };
    // No chain has this random id. If the source of randomness fails, two chains must not be mixed.
    links.preconditions.push(Precondition::Absent(tables::head(&chain).to_vec()));
    links.writes.push(put(records, &registry_key, &Registry { chains: registry.chains + 1 })?);
    for anchor in &anchors {
        links.writes.push(put(records, &tables::cover(&anchor.chain), &Cover { length: anchor.length })?);
    }
    let head = Head {
        index: registry.chains,
        length: 0,
        last: [0; 32],
        started_at: now,
        last_at: now,
        ended: false,
        // Set by the write of the head, after the last entry of the commit.
        mac: [0; 32],
    };
    let mut reached = Reached { chain, head, tree: Some(MerkleTree::new(0, 0)) };
    let start = Link::Start { index: registry.chains, anchors };
    let event = own_event(AuditAction::StoreStart, now);
    links.writes.push(reached.append(records, EntryParts::without_rows(event, start), now)?);
    Ok((links, reached))
}

/// The chains that have entries which no other chain has anchored.
async fn uncovered(records: &Records) -> Result<Vec<Anchor>, Failure> {
    let (covers, _) = records.scan_all(&tables::covers()).await?;
    let covers: std::collections::BTreeMap<_, _> = covers
        .into_iter()
        .filter_map(|found| Some((tables::covers().id(&found.key)?, found.record.length)))
        .collect();
    let (heads, _) = records.scan_all(&tables::heads()).await?;
    let anchors = heads.into_iter().filter_map(|found| {
        let chain = tables::heads().id(&found.key)?;
        let Head { length, last, last_at, .. } = found.record;
        // `None` sorts before every number, so that a chain without a cover is uncovered.
        (covers.get(&chain) < Some(&length)).then_some(Anchor { chain, length, last, at: last_at })
    });
    Ok(anchors.take(max_anchors(&records.kv.limits())).collect())
}

fn max_anchors(limits: &Limits) -> usize {
    MAX_ANCHORS.min(limits.max_writes_per_commit / 4)
}

fn put<T: Record>(records: &Records, key: &Key<T>, record: &T) -> Result<Write, Failure> {
    Ok(Write::Put(key.to_vec(), records.seal(key.bytes(), &encode(record)?)))
}

/// An event of the store itself, which no request caused.
pub(crate) fn own_event(action: AuditAction, at: Timestamp) -> AuditEvent {
    AuditEvent {
        at,
        org: None,
        actor: Actor { kind: ActorKind::Store, name: None, id: None },
        action,
        target: None,
        outcome: Outcome::Allowed,
        details: Default::default(),
    }
}

impl Reached {
    /// Returns the write of the next entry. All entries of a commit have its time.
    fn append(&mut self, records: &Records, content: EntryParts, now: Timestamp) -> Result<Write, Failure> {
        let EntryParts { mut event, link, rows } = content;
        event.at = now;
        let (seq, previous) = (self.head.length, self.head.last);
        // Time and organization are in the body.
        let body = encode(&EntryBody { event, link, rows })?;
        let mac = records.key.audit_mac(ENTRY, &[&self.chain, &seq.to_be_bytes(), &body, &previous]);
        let entry = Entry { body, previous, mac, stub: None };
        if let Some(tree) = &mut self.tree {
            tree.append(entry.leaf_hash());
        }
        self.head = Head { length: seq + 1, last: mac, last_at: now, ..self.head.clone() };
        put(records, &tables::entry(now, &self.chain, seq), &entry)
    }

    fn head_write(&mut self, records: &Records) -> Result<Write, Failure> {
        self.head.mac = head_mac(records, &self.chain, &self.head);
        put(records, &tables::head(&self.chain), &self.head)
    }
}

const ENTRY: &str = "dropsafe audit entry v1";
const HEAD: &str = "dropsafe audit head v1";

/// Whether `entry` is authentic: the `seq`-th entry of `chain`.
pub(crate) fn is_authentic_entry(records: &Records, chain: &ChainId, seq: u64, entry: &Entry) -> bool {
    records.key.verify_audit_mac(
        ENTRY,
        &[chain, &seq.to_be_bytes(), &entry.body, &entry.previous],
        &entry.mac,
    )
}

/// Whether `head` is authentic: a head of `chain`.
pub(crate) fn is_authentic_head(records: &Records, chain: &ChainId, head: &Head) -> bool {
    head_mac(records, chain, head) == head.mac
}

fn head_mac(records: &Records, chain: &ChainId, head: &Head) -> Mac {
    records.key.audit_mac(
        HEAD,
        &[
            chain,
            &head.index.to_be_bytes(),
            &head.length.to_be_bytes(),
            &head.last,
            &head.started_at.as_millis().to_be_bytes(),
            &head.last_at.as_millis().to_be_bytes(),
            &[u8::from(head.ended)],
        ],
    )
}
