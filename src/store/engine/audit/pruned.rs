//! What remains of entries that retention removed, so that a chain still verifies.
//!
//! A pruned entry becomes a stub at its place, with its MAC, its rows and its leaf, and without its event. Stubs that follow each other are then replaced
//! by one pruned run. The first and the last entry of a chain stay: they anchor and end chains.

use crate::crypto::merkle::{self, TreeHash};
use crate::domain::time::Timestamp;
use crate::store::engine::audit::rows::RowChange;
use crate::store::engine::audit::tables::{ChainId, Entry, Mac, PrunedRun, StubBody};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::encode;
use crate::store::engine::records::Records;

const STUB: &str = "dropsafe audit stub v1";
const STUB_WITH_ROWS: &str = "dropsafe audit stub v2";
const RUN: &str = "dropsafe audit pruned v1";
const RUN_WITH_ROWS: &str = "dropsafe audit pruned v2";

/// The stub of an entry.
pub(crate) fn stub(
    records: &Records,
    chain: &ChainId,
    seq: u64,
    at: Timestamp,
    entry: &Entry,
) -> Result<Entry, Failure> {
    let Entry { previous, mac, .. } = *entry;
    let rows = entry.read()?.rows;
    // Old and new rows stay named: without them, nobody could tell which rows the store should have.
    let body = encode(&StubBody { rows, leaf: entry.leaf_hash() })?;
    let mut stub = Entry { body, previous, mac, stub: None };
    stub.stub = Some(stub_mac(records, chain, seq, at, &stub));
    Ok(stub)
}

/// The stub of an entry, as older programs wrote it.
#[cfg(test)]
pub(crate) fn stub_without_body(
    records: &Records,
    chain: &ChainId,
    seq: u64,
    at: Timestamp,
    entry: &Entry,
) -> Entry {
    let Entry { previous, mac, .. } = *entry;
    let mut stub = Entry { body: Vec::new(), previous, mac, stub: None };
    stub.stub = Some(stub_mac(records, chain, seq, at, &stub));
    stub
}

/// Whether a stub is authentic: the `seq`-th entry of `chain`, of this time.
pub(crate) fn is_authentic_stub(
    records: &Records,
    chain: &ChainId,
    seq: u64,
    at: Timestamp,
    entry: &Entry,
) -> bool {
    entry.stub == Some(stub_mac(records, chain, seq, at, entry))
}

fn stub_mac(records: &Records, chain: &ChainId, seq: u64, at: Timestamp, entry: &Entry) -> Mac {
    let (seq, at) = (seq.to_be_bytes(), at.as_millis().to_be_bytes());
    let Entry { body, previous, mac, .. } = entry;
    match body.as_slice() {
        // As older programs wrote it.
        [] => records.key.audit_mac(STUB, &[chain, &seq, &at, previous, mac]),
        body => records.key.audit_mac(STUB_WITH_ROWS, &[chain, &seq, &at, previous, mac, body]),
    }
}

/// Completes the pruned run of removed entries with its MAC.
pub(crate) fn with_mac(records: &Records, chain: &ChainId, run: PrunedRun) -> PrunedRun {
    PrunedRun { mac: run_mac(records, chain, &run), ..run }
}

/// Returns the leaves of removed entries, with their numbers.
///
/// Older programs kept no leaves. The substitute is the entry's number and the MAC of the pruned run, which stays as it is, so
/// that the chain has the same root each time.
pub(crate) fn leaves(run: &PrunedRun) -> impl Iterator<Item = (u64, TreeHash)> {
    (run.begin..run.end).enumerate().map(|(index, seq)| {
        let substitute = || merkle::leaf_hash(&[&seq.to_be_bytes(), &run.mac]);
        (seq, run.leaves.get(index).copied().unwrap_or_else(substitute))
    })
}

/// Whether each removed entry has its leaf.
pub(crate) fn has_leaves(run: &PrunedRun) -> bool {
    run.leaves.len() as u64 == run.end - run.begin
}

/// Whether a pruned run is authentic: one of `chain`, with this end.
pub(crate) fn is_authentic_run(records: &Records, chain: &ChainId, end: u64, run: &PrunedRun) -> bool {
    run.end == end && (1..end).contains(&run.begin) && run.mac == run_mac(records, chain, run)
}

fn run_mac(records: &Records, chain: &ChainId, run: &PrunedRun) -> Mac {
    let (begin, end) = (run.begin.to_be_bytes(), run.end.to_be_bytes());
    let mut parts = vec![chain.as_slice(), &begin, &end, &run.before, &run.last];
    if run.leaves.is_empty() {
        // As older programs wrote it.
        return records.key.audit_mac(RUN, &parts);
    }
    // The number of rows says where the leaves begin.
    let rows = (run.rows.len() as u64).to_be_bytes();
    parts.push(&rows);
    for RowChange { key, before, after } in &run.rows {
        parts.push(key);
        parts.extend([before, after].map(|digest| digest.as_ref().map_or(&[][..], |digest| &digest[..])));
    }
    parts.extend(run.leaves.iter().map(|leaf| &leaf[..]));
    records.key.audit_mac(RUN_WITH_ROWS, &parts)
}
