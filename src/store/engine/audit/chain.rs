//! The chain of this process: each entry bound to the one before, the head with length and last link in the same commit.
//!
//! The first entry of a chain anchors what other chains had reached by then, and a registry counts the chains, so that
//! neither an entry nor a chain can go missing without a trace. Only the owner of a chain writes to it.

use crate::domain::audit::{Actor, ActorKind, AuditAction, AuditEvent, Outcome};
use crate::domain::time::Timestamp;
use crate::kv::{Limits, Precondition, Revision, Write};
use crate::store::engine::audit::tables::{
    self, Anchor, ChainId, Cover, Entry, EntryBody, Head, Link, Mac, Registry,
};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Record, encode};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;

/// Anchors in one first entry, at most: 100 KiB of it. What is left is for the next chain to anchor.
const MAX_ANCHORS: usize = 1000;

/// The chain of this process. Begun by its first entry, not before: a process that changes nothing leaves no trace.
#[derive(Default)]
pub(crate) struct Chain {
    state: State,
    last_at: Option<Timestamp>,
}

#[derive(Default)]
enum State {
    #[default]
    Unborn,
    Known(Reached, Revision),
    /// Its head may have been written or not, and is to be read again.
    Unknown(ChainId),
    Ended,
}

/// A chain and its head.
#[derive(Clone)]
pub(crate) struct Reached {
    chain: ChainId,
    head: Head,
}

/// What a commit must hold to extend the chain, and what the chain is then.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) preconditions: Vec<Precondition>,
    pub(crate) writes: Vec<Write>,
    pub(crate) entries: u64,
    pub(crate) next: Option<Reached>,
}

// === impl Chain ===

impl Chain {
    /// Time of the last entry: no later one is before it.
    pub(crate) fn last_at(&self) -> Timestamp {
        self.last_at.unwrap_or(Timestamp::from_millis(i64::MIN))
    }

    /// Writes that extending the chain may take beside one for each event.
    pub(crate) fn overhead(&self, limits: &Limits) -> usize {
        match self.state {
            State::Unborn | State::Unknown(_) => max_anchors(limits) + 4,
            State::Known(..) | State::Ended => 2,
        }
    }

    /// What must be committed for `events` to be the next entries. The chain stays as it is until
    /// [`committed`](Self::committed).
    pub(crate) async fn extend(
        &mut self,
        records: &Records,
        events: Vec<AuditEvent>,
        now: Timestamp,
    ) -> Result<Links, Failure> {
        if events.is_empty() {
            return Ok(Links::default());
        }
        if let State::Unknown(chain) = self.state {
            self.state = match read_head(records, &chain).await? {
                Some((head, revision)) => State::Known(Reached { chain, head }, revision),
                None => State::Unborn,
            };
        }
        let (mut links, mut reached) = match &self.state {
            State::Known(reached, revision) => (held_at(reached, *revision), reached.clone()),
            State::Unborn | State::Unknown(_) => begin(records, now).await?,
            State::Ended => return Err(Failure::Unavailable),
        };
        for event in events {
            links.entries += 1;
            links.writes.push(reached.append(records, event, Link::Next, now)?);
        }
        links.writes.push(reached.head_write(records)?);
        links.next = Some(reached);
        Ok(links)
    }

    /// The last entry; none when the chain has not begun or its state is not known.
    pub(crate) fn end(&mut self, records: &Records, now: Timestamp) -> Result<Option<Links>, Failure> {
        let State::Known(reached, revision) = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(None);
        };
        let (mut links, mut reached) = (held_at(&reached, revision), reached);
        reached.head.ended = true;
        links.writes.push(reached.append(records, own_event(AuditAction::StoreStop, now), Link::End, now)?);
        links.writes.push(reached.head_write(records)?);
        Ok(Some(links))
    }

    /// The commit of these links was made.
    pub(crate) fn committed(&mut self, next: Option<Reached>, revision: Revision) {
        if let Some(reached) = next {
            self.last_at = Some(reached.head.last_at);
            self.state = State::Known(reached, revision);
        }
    }

    /// The commit may have been made or not, or met a head that was not expected.
    pub(crate) fn forget(&mut self, tried: Option<Reached>) {
        if let Some(reached) = tried {
            self.state = State::Unknown(reached.chain);
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
    let anchors = uncovered(records).await?;
    let chain: ChainId = records.random_bytes();

    let mut links = Links { preconditions: vec![expected], ..Links::default() };
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
        mac: [0; 32],
    };
    let mut reached = Reached { chain, head };
    let start = Link::Start { index: registry.chains, anchors };
    links.writes.push(reached.append(records, own_event(AuditAction::StoreStart, now), start, now)?);
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

fn own_event(action: AuditAction, at: Timestamp) -> AuditEvent {
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

// === impl Reached ===

impl Reached {
    /// The next entry. All entries of a commit bear its time.
    fn append(
        &mut self,
        records: &Records,
        mut event: AuditEvent,
        link: Link,
        now: Timestamp,
    ) -> Result<Write, Failure> {
        event.at = now;
        let (seq, previous) = (self.head.length, self.head.last);
        // Time and organization are in the body.
        let body = encode(&EntryBody { event, link })?;
        let mac = records.key.audit_mac(ENTRY, &[&self.chain, &seq.to_be_bytes(), &body, &previous]);
        let entry = Entry { body, previous, mac };
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

/// Whether an entry is what was written as the `seq`-th of `chain`.
pub(crate) fn entry_is_true(records: &Records, chain: &ChainId, seq: u64, entry: &Entry) -> bool {
    records.key.audit_mac_is(ENTRY, &[chain, &seq.to_be_bytes(), &entry.body, &entry.previous], &entry.mac)
}

/// Whether a head is what was written for `chain`.
pub(crate) fn head_is_true(records: &Records, chain: &ChainId, head: &Head) -> bool {
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
