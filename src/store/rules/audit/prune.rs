//! Retention of audit entries: an organization's entries become stubs when they are older than its policy says, and stubs that
//! follow each other become one pruned run. Never removes an entry of an organization that keeps its log.

use std::collections::BTreeMap;

use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::id::OrgId;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::chain::own_event;
use crate::store::engine::audit::tables::{self, ChainId, Entry, Link, Mac, PrunedRun};
use crate::store::engine::audit::{pruned, rows};
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Found;
use crate::store::rules::audit::{EventBuilder, unset};
use crate::store::rules::store::Store;
use crate::store::tables::orgs;

const DAY_MILLIS: i64 = 24 * 3600 * 1000;
/// Entries read at once.
const PAGE: usize = 500;
/// Stubs that follow each other, from which on a pruned run takes less room than they do.
const MIN_RUN: usize = 8;
/// Rows and leaves in a pruned run, from which on the next one is a record of its own: about 200 KiB.
const MAX_EXTENDED: usize = 4000;
/// Stubs that are held in memory for one pruned run.
const MAX_RUN: usize = 10_000;

/// The key of an entry that is due, and its organization. The store's own have none.
type DueEntry = (Option<OrgId>, Vec<u8>);

/// The place of an entry, and its links.
#[derive(Clone)]
struct StubPlace {
    key: Vec<u8>,
    seq: u64,
    previous: Mac,
    mac: Mac,
}

/// The stubs that follow each other in each chain, newest first, and those that are complete.
#[derive(Default)]
struct StubRuns {
    open: BTreeMap<ChainId, Vec<StubPlace>>,
    complete: Vec<(ChainId, Vec<StubPlace>)>,
}

impl Store {
    /// Prunes the entries that are older than their organization keeps them. Any process may do it, also at the same time.
    pub(crate) async fn prune_audit(&self) -> Result<(), Failure> {
        let mut ages = BTreeMap::new();
        let now = self.now();
        let (all, _) = self.records().scan_all(&orgs::orgs()).await?;
        for org in all.into_iter().map(|found| found.record) {
            let Some(days) = org.policy.audit_days() else { continue };
            let oldest = now.as_millis().saturating_sub(i64::from(days) * DAY_MILLIS);
            ages.insert(org.id, Timestamp::from_millis(oldest));
        }
        // Only what is older than the shortest age.
        let Some(newest) = ages.values().max() else { return Ok(()) };
        let mut after = Some(tables::entries_before(*newest).to_vec());
        let mut runs = StubRuns::default();
        loop {
            let page = self.records().scan(&tables::entries(), after.as_deref(), PAGE).await?;
            after = page.found.last().map(|found| found.key.clone());
            let due = select_due(&ages, page.found, &mut runs)?;
            // Stubs first: a pruned run replaces nothing else.
            self.store_stubs(due).await?;
            if !page.more {
                runs.complete_all();
            }
            for (chain, places) in std::mem::take(&mut runs.complete) {
                self.store_run(chain, places).await?;
            }
            if !page.more {
                return Ok(());
            }
            self.yield_to_callers().await;
        }
    }

    /// Replaces entries by stubs, each commit with an entry for each organization that says how many.
    async fn store_stubs(&self, due: Vec<DueEntry>) -> Result<(), Failure> {
        for chunk in due.chunks(self.entries_per_commit()) {
            let chunk = chunk.to_vec();
            let reads = chunk.iter().map(|(_, key)| key.clone()).collect();
            let stored = self.journal().run(reads, move |tx| {
                let mut counts: BTreeMap<OrgId, u64> = BTreeMap::new();
                for (org, key) in &chunk {
                    // Another process may be faster.
                    if put_stub(tx, key)?
                        && let Some(org) = org
                    {
                        *counts.entry(*org).or_default() += 1;
                    }
                }
                for (org, count) in counts {
                    tx.audit(prune_event(org, count));
                }
                Ok::<_, Stop<Failure>>(())
            });
            stored.await?;
            self.yield_to_callers().await;
        }
        Ok(())
    }

    /// Replaces stubs that follow each other by a pruned run, or extends the pruned run of those before them.
    async fn store_run(&self, chain: ChainId, places: Vec<StubPlace>) -> Result<(), Failure> {
        // Oldest first, so that a crash between two commits leaves a pruned run that is complete.
        let ascending: Vec<StubPlace> = places.into_iter().rev().collect();
        for chunk in ascending.chunks(self.entries_per_commit()) {
            let chunk = chunk.to_vec();
            let (Some(lowest), Some(highest)) = (chunk.first().cloned(), chunk.last().cloned()) else {
                continue;
            };
            let before_key = tables::pruned(&chain, lowest.seq);
            let key = tables::pruned(&chain, highest.seq + 1);
            let reads = chunk.iter().map(|place| place.key.clone()).chain([before_key.to_vec()]).collect();
            let stored = self.journal().run(reads, move |tx| {
                let before = tx.get(&before_key)?;
                let (mut rows, mut leaves) = (Vec::new(), Vec::new());
                for place in &chunk {
                    let found = tx.get(&Key::<Entry>::new(place.key.clone()))?;
                    // Another process was faster, or somebody has changed the log, which the verification reports.
                    let found = found.filter(|found| found.mac == place.mac && found.stub.is_some());
                    let Some(found) = found else { return Ok(()) };
                    let body = found.read_stub()?;
                    rows.extend(body.rows);
                    leaves.push(body.leaf);
                }
                for place in &chunk {
                    tx.delete(&Key::<Entry>::new(place.key.clone()));
                }
                let own = (lowest.seq, lowest.previous);
                // A pruned run that does not fit stays: the verification reports it.
                let fits = |before: &PrunedRun| {
                    before.last == lowest.previous
                        && before.rows.len() + before.leaves.len() < MAX_EXTENDED
                        // One without leaves gets its substitutes from its MAC, so that it must stay as it is.
                        && pruned::has_leaves(before)
                };
                let (begin, link) = match before.filter(fits) {
                    Some(before) => {
                        tx.delete(&before_key);
                        rows.splice(0..0, before.rows);
                        leaves.splice(0..0, before.leaves);
                        (before.begin, before.before)
                    }
                    None => own,
                };
                let rows = rows::join(rows);
                let (end, last) = (highest.seq + 1, highest.mac);
                let run = PrunedRun { begin, end, before: link, last, mac: [0; 32], rows, leaves };
                tx.put(&key, &pruned::with_mac(tx.records(), &chain, run))?;
                Ok::<_, Stop<Failure>>(())
            });
            stored.await?;
            self.yield_to_callers().await;
        }
        Ok(())
    }

    /// A quarter of a commit: each entry may need one of its own for its organization.
    fn entries_per_commit(&self) -> usize {
        (self.records().kv.limits().max_writes_per_commit / 4).clamp(1, 128)
    }
}

impl StubRuns {
    /// Adds a stub, which is older than those before.
    fn add(&mut self, chain: ChainId, place: StubPlace) {
        let places = self.open.entry(chain).or_default();
        // A gap: a pruned run stands between the two.
        if places.last().is_some_and(|newer| newer.seq != place.seq + 1) || places.len() >= MAX_RUN {
            self.complete(&chain);
        }
        self.open.entry(chain).or_default().push(place);
    }

    /// Ends the run of a chain, because an entry that is kept precedes it.
    fn complete(&mut self, chain: &ChainId) {
        if let Some(places) = self.open.remove(chain).filter(|places| places.len() >= MIN_RUN) {
            self.complete.push((*chain, places));
        }
    }

    fn complete_all(&mut self) {
        let chains: Vec<ChainId> = self.open.keys().copied().collect();
        chains.iter().for_each(|chain| self.complete(chain));
    }
}

/// Returns the entries that are due, and adds all stubs, old and new, to the runs of their chains.
fn select_due(
    ages: &BTreeMap<OrgId, Timestamp>,
    found: Vec<Found<Entry>>,
    runs: &mut StubRuns,
) -> Result<Vec<DueEntry>, Failure> {
    let mut due = Vec::new();
    for Found { key, record } in found {
        let Some((at, chain, seq)) = tables::entry_parts(&key) else { continue };
        if record.stub.is_none() {
            let body = record.read()?;
            let org = body.event.org.filter(|org| ages.get(org).is_some_and(|oldest| at < *oldest));
            let is_due = org.is_some() || body.event.action == AuditAction::StoreMaintain;
            match body.link {
                // The first and the last entry of a chain stay.
                Link::Next if is_due => due.push((org, key.clone())),
                _ => {
                    runs.complete(&chain);
                    continue;
                }
            }
        }
        runs.add(chain, StubPlace { key, seq, previous: record.previous, mac: record.mac });
    }
    Ok(due)
}

/// Replaces an entry by its stub. Returns false if it is one, or is gone.
fn put_stub(tx: &mut Tx<'_>, key: &[u8]) -> Result<bool, Stop<Failure>> {
    let (Some((at, chain, seq)), key) = (tables::entry_parts(key), Key::<Entry>::new(key.to_vec())) else {
        return Ok(false);
    };
    let Some(entry) = tx.get(&key)?.filter(|entry| entry.stub.is_none()) else { return Ok(false) };
    tx.put(&key, &pruned::stub(tx.records(), &chain, seq, at, &entry)?)?;
    Ok(true)
}

fn prune_event(org: OrgId, count: u64) -> AuditEvent {
    let event = AuditEvent { org: Some(org), ..own_event(AuditAction::AuditPrune, unset()) };
    event.detail(DetailKey::Count, AuditText::number(count))
}
