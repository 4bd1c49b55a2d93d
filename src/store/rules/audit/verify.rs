//! Checking the trail against itself: every entry, every link, every chain.
//!
//! The newest entries are met first, so each chain is followed from its head backwards with one MAC in hand; memory grows
//! with the number of chains, not of entries. A fault is reported and the walk goes on.

use std::collections::BTreeMap;

use crate::domain::audit::{AuditAction, AuditText, DetailKey, Outcome};
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::chain::{
    Anchor, Entry, Head, Link, Mac, Registry, entry_is_true, head_is_true,
};
use crate::store::engine::failure::Failure;
use crate::store::engine::records::{Record, Records};
use crate::store::rules::audit::{Tell, target};
use crate::store::rules::auth::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::keyspace;
use crate::store::tables::keyspace::ChainId;

/// What verification found.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Whether every chain is whole and none is missing.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// The chains, oldest first; those that are missing at the end.
    pub chains: Vec<ChainReport>,
}

/// One chain.
#[derive(Clone, Debug)]
pub struct ChainReport {
    /// Its id, hexadecimal; of a missing chain its number.
    pub id: String,
    /// How many entries it should have.
    pub length: u64,
    /// Its state.
    pub state: ChainState,
    /// What is wrong with it and where: the first that was found, from its end.
    pub fault: Option<String>,
}

/// How a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainState {
    /// Whole; its process runs, or was killed.
    Open,
    /// Whole, and ended by its process.
    Ended,
    /// Changed, cut or missing.
    Broken,
}

impl ChainState {
    /// `open`, `ended` or `broken`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ended => "ended",
            Self::Broken => "broken",
        }
    }
}

impl Store {
    /// Walks every chain: finds any change, cut, restamping, missing entry and missing chain.
    pub async fn verify_audit(&self, caller: &Caller) -> Result<Verification, Error> {
        self.permit(caller, Action::VerifyAudit, AuditAction::AuditVerify, None).await?;
        let verification = verify(self.records()).await?;
        let event = caller.event(AuditAction::AuditVerify).about(target::store());
        let mut event = event.detail(DetailKey::Count, AuditText::number(verification.entries));
        if !verification.ok {
            event.outcome = Outcome::Failed;
        }
        self.journal().record(vec![event]).await?;
        Ok(verification)
    }
}

/// A chain that is being followed backwards.
struct Walk {
    head: Option<Head>,
    /// Number and MAC that the next entry met must have.
    expected: Option<(u64, Mac)>,
    met: u64,
    fault: Option<String>,
}

pub(crate) async fn verify(records: &Records) -> Result<Verification, Failure> {
    // The count before the heads: a chain that begins in between is one too many, not one too few.
    let registry: Option<Registry> = open_or_none(records, keyspace::registry().bytes()).await?;
    let mut walks = heads(records).await?;
    let mut anchors = Vec::new();
    let mut entries = 0;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = records.kv.scan(keyspace::entries().bytes(), after.as_deref(), 1000).await?;
        for found in page.entries {
            if let Some((at, chain, seq)) = keyspace::entry_parts(&found.key) {
                let walk = walks.entry(chain).or_insert_with(|| Walk::new(None));
                let entry = records.open::<Entry>(&found.key, &found.value).ok();
                walk.meet(records, &chain, at, seq, entry.as_ref());
                if let Some(Entry { link: Link::Start { anchors: held, .. }, .. }) = entry {
                    anchors.extend(held.into_iter().map(|anchor| (chain, anchor)));
                }
                entries += 1;
            }
            after = Some(found.key);
        }
        if !page.more {
            break;
        }
        // Verification of a long trail must not keep others from the processor.
        tokio::task::yield_now().await;
    }
    settle_newcomers(records, &mut walks).await?;
    for (by, anchor) in anchors {
        check_anchor(records, &mut walks, &by, &anchor).await?;
    }
    Ok(report(walks, registry, entries))
}

async fn heads(records: &Records) -> Result<BTreeMap<ChainId, Walk>, Failure> {
    let mut walks = BTreeMap::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = records.kv.scan(keyspace::heads().bytes(), after.as_deref(), 1000).await?;
        for found in page.entries {
            if let Some(chain) = keyspace::heads().id(&found.key) {
                let head = records.open::<Head>(&found.key, &found.value).ok();
                let head = head.filter(|head| head_is_true(records, &chain, head));
                let damaged = head.is_none();
                let mut walk = Walk::new(head);
                if damaged {
                    walk.fail(|| "its head was changed".to_owned());
                }
                walks.insert(chain, walk);
            }
            after = Some(found.key);
        }
        if !page.more {
            return Ok(walks);
        }
    }
}

async fn open_or_none<T: Record>(records: &Records, key: &[u8]) -> Result<Option<T>, Failure> {
    let (mut found, _) = records.kv.get(&[key.to_vec()]).await?;
    Ok(found.pop().flatten().and_then(|entry| records.open(key, &entry.value).ok()))
}

/// Entries of a chain whose head was not there when the heads were read: it began since, or its head is gone.
async fn settle_newcomers(records: &Records, walks: &mut BTreeMap<ChainId, Walk>) -> Result<(), Failure> {
    let mut born = Vec::new();
    for (chain, walk) in walks.iter_mut() {
        if walk.head.is_none() && walk.fault.is_none() {
            let head: Option<Head> = open_or_none(records, keyspace::head(chain).bytes()).await?;
            match head.filter(|head| head_is_true(records, chain, head)) {
                Some(_) => born.push(*chain),
                None => walk.fail(|| "its head is missing".to_owned()),
            }
        }
    }
    // Verified by the next verification.
    born.iter().for_each(|chain| drop(walks.remove(chain)));
    Ok(())
}

async fn check_anchor(
    records: &Records,
    walks: &mut BTreeMap<ChainId, Walk>,
    by: &ChainId,
    anchor: &Anchor,
) -> Result<(), Failure> {
    let Some(last) = anchor.length.checked_sub(1) else { return Ok(()) };
    let head = walks.get(&anchor.chain).and_then(|walk| walk.head.as_ref());
    let mut reached = head.map_or(0, |head| head.length);
    if reached < anchor.length {
        // It may have grown, or begun, after its head was read and before the other chain began.
        let head: Option<Head> = open_or_none(records, keyspace::head(&anchor.chain).bytes()).await?;
        let head = head.filter(|head| head_is_true(records, &anchor.chain, head));
        reached = head.map_or(0, |head| head.length);
    }
    if reached < anchor.length {
        let by = data_encoding::HEXLOWER.encode(by);
        walks
            .entry(anchor.chain)
            .or_insert_with(|| Walk::new(None))
            .fail(|| format!("it had {} entries when chain {by} began, and has {reached}", anchor.length));
        return Ok(());
    }
    let key = keyspace::entry(anchor.at, &anchor.chain, last);
    let entry: Option<Entry> = open_or_none(records, key.bytes()).await?;
    if entry.is_none_or(|entry| entry.mac != anchor.last) {
        let fault = || format!("entry {last} is not the one that a later chain anchored");
        walks.entry(anchor.chain).or_insert_with(|| Walk::new(None)).fail(fault);
    }
    Ok(())
}

fn report(walks: BTreeMap<ChainId, Walk>, registry: Option<Registry>, entries: u64) -> Verification {
    let mut indices: Vec<u64> = walks.values().filter_map(|walk| Some(walk.head.as_ref()?.index)).collect();
    indices.sort_unstable();
    let mut walks: Vec<(ChainId, Walk)> = walks.into_iter().collect();
    walks.sort_by_key(|(_, walk)| walk.head.as_ref().map_or(u64::MAX, |head| head.index));
    let mut chains: Vec<ChainReport> = walks.into_iter().map(|(chain, walk)| walk.report(&chain)).collect();

    let begun = registry.as_ref().map_or(0, |registry| registry.chains);
    let missing = (0..begun).filter(|index| indices.binary_search(index).is_err());
    chains.extend(missing.map(|index| ChainReport {
        id: format!("number {index}"),
        length: 0,
        state: ChainState::Broken,
        fault: Some("the whole chain is missing".to_owned()),
    }));
    if registry.is_none() && !chains.is_empty() {
        chains.push(ChainReport {
            id: "registry".to_owned(),
            length: 0,
            state: ChainState::Broken,
            fault: Some("the count of chains is missing or was changed".to_owned()),
        });
    }
    let ok = chains.iter().all(|chain| chain.state != ChainState::Broken);
    Verification { ok, entries, chains }
}

// === impl Walk ===

impl Walk {
    fn new(head: Option<Head>) -> Self {
        let expected = head.as_ref().and_then(|head| Some((head.length.checked_sub(1)?, head.last)));
        Self { head, expected, met: 0, fault: None }
    }

    fn meet(&mut self, records: &Records, chain: &ChainId, at: Timestamp, seq: u64, entry: Option<&Entry>) {
        let Some(head) = &self.head else { return };
        let (index, ended, length) = (head.index, head.ended, head.length);
        if seq >= length {
            if ended {
                self.fail(|| format!("entry {seq} stands after its end"));
            }
            // Written since the head was read.
            return;
        }
        self.met += 1;
        let Some(entry) = entry else {
            self.fail(|| format!("entry {seq} does not open"));
            self.expected = None;
            return;
        };
        match self.expected {
            Some((expected, _)) if seq < expected => {
                self.fail(|| format!("entries {} to {expected} are missing", seq + 1));
            }
            Some((expected, mac)) if seq > expected || entry.mac != mac => {
                self.fail(|| format!("entry {seq} does not fit the one after it"));
            }
            Some(_) | None => {}
        }
        let first = matches!(&entry.link, Link::Start { index: own, .. } if *own == index);
        let last = entry.link == Link::End;
        if !entry_is_true(records, chain, seq, entry) || entry.event.at != at {
            self.fail(|| format!("entry {seq} was changed"));
        } else if first != (seq == 0) || last != (ended && seq + 1 == length) {
            self.fail(|| format!("entry {seq} is in the wrong place"));
        }
        self.expected = seq.checked_sub(1).map(|before| (before, entry.previous));
    }

    /// Keeps the first fault.
    fn fail(&mut self, fault: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(fault);
    }

    fn report(mut self, chain: &ChainId) -> ChainReport {
        let (met, length) = (self.met, self.head.as_ref().map_or(0, |head| head.length));
        if let Some((expected, _)) = self.expected {
            self.fail(|| format!("entries 0 to {expected} are missing"));
        } else if self.head.is_some() && met != length {
            self.fail(|| format!("{met} of its {length} entries are there"));
        } else if self.head.is_none() {
            self.fail(|| "its head is missing".to_owned());
        }
        let state = match (&self.fault, &self.head) {
            (None, Some(head)) if head.ended => ChainState::Ended,
            (None, _) => ChainState::Open,
            (Some(_), _) => ChainState::Broken,
        };
        ChainReport { id: data_encoding::HEXLOWER.encode(chain), length, state, fault: self.fault }
    }
}
