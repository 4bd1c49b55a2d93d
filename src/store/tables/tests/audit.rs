//! Samples of the stored structs of the audit log.

use serde_bytes::ByteBuf;

use super::{Comparison, encoded, some, text};
use crate::store::engine::audit::check::{CheckRecord, StoredCheckV1};
use crate::store::engine::audit::rows::StoredRowChangeV1;
use crate::store::engine::audit::stored_event::{StoredActorV1, StoredEventV1, StoredTargetV1};
use crate::store::engine::audit::tables::{
    Cover, Entry, EntryBody, Head, PrunedRun, Registry, StoredAnchorV1, StoredCoverV1, StoredEntryBodyV1,
    StoredEntryBodyV2, StoredEntryV1, StoredEntryV2, StoredHeadV1, StoredLinkV1, StoredPrunedRunV1,
    StoredPrunedRunV2, StoredRegistryV1, StoredStubBodyV1, StubBody,
};
use crate::store::engine::audit::verified::{StoredVerifiedTablesV1, VerifiedTables};
use crate::store::engine::format::to_bytes;

pub(super) fn audit(comparison: &mut Comparison) {
    let event = || StoredEventV1 {
        at: 1_800_000_000_000,
        org: Some([1; 16]),
        actor: StoredActorV1 { kind: text("member"), name: some("alice"), id: some("id") },
        action: text("secret.create"),
        target: Some(StoredTargetV1 { kind: text("secret"), name: some("stripe-key"), id: some("id") }),
        outcome: text("allowed"),
        details: vec![(text("source"), text("192.0.2.1"))],
    };
    let anchor = StoredAnchorV1 { chain: [2; 16], length: 3, last: [4; 32], at: 1_799_999_999_999 };
    let bodies = [
        StoredEntryBodyV1 { event: event(), link: StoredLinkV1::Start { index: 5, anchors: vec![anchor] } },
        StoredEntryBodyV1 { event: event(), link: StoredLinkV1::Next },
        StoredEntryBodyV1 { event: event(), link: StoredLinkV1::End },
    ];
    let body = ByteBuf::from(to_bytes(1, &bodies[1]).unwrap());
    let row = |before, after| StoredRowChangeV1 { key: ByteBuf::from(*b"s-key"), before, after };
    let rows = || vec![row(None, Some([1; 32])), row(Some([1; 32]), Some([2; 32])), row(Some([2; 32]), None)];
    let second = |link, rows| StoredEntryBodyV2 { event: event(), link, rows };
    let start = || StoredLinkV1::Start {
        index: 5,
        anchors: vec![StoredAnchorV1 { chain: [2; 16], length: 3, last: [4; 32], at: 1_799_999_999_999 }],
    };
    let upgraded = encoded(
        2,
        &[second(start(), vec![]), second(StoredLinkV1::Next, vec![]), second(StoredLinkV1::End, vec![])],
    );
    comparison.format::<EntryBody, _>("EntryBody", 1, &bodies, &upgraded);
    let newest = [second(StoredLinkV1::Next, rows()), second(StoredLinkV1::Baseline, rows())];
    comparison.format::<EntryBody, _>("EntryBody", 2, &newest, &[]);
    comparison.only::<StubBody, _>("StubBody", &[StoredStubBodyV1 { rows: rows(), leaf: [9; 32] }]);
    let entry = |body, stub| StoredEntryV2 { body, previous: [6; 32], mac: [7; 32], stub };
    let older = [StoredEntryV1 { body: body.clone(), previous: [6; 32], mac: [7; 32] }];
    let upgraded = encoded(2, &[entry(body.clone(), None)]);
    comparison.format::<Entry, _>("Entry", 1, &older, &upgraded);
    let entries = [entry(body, None), entry(ByteBuf::new(), Some([8; 32]))];
    comparison.format::<Entry, _>("Entry", 2, &entries, &[]);
    let run = StoredPrunedRunV1 { begin: 5, end: 300, before: [1; 32], last: [2; 32], mac: [3; 32] };
    let second = |rows, leaves| StoredPrunedRunV2 {
        begin: 5,
        end: 300,
        before: [1; 32],
        last: [2; 32],
        mac: [3; 32],
        rows,
        leaves,
    };
    comparison.format::<PrunedRun, _>("PrunedRun", 1, &[run], &encoded(2, &[second(vec![], vec![])]));
    comparison.format::<PrunedRun, _>("PrunedRun", 2, &[second(rows(), vec![[9; 32]])], &[]);
    comparison.only::<Head, _>(
        "Head",
        &[StoredHeadV1 {
            index: 1,
            length: 2,
            last: [3; 32],
            started_at: 1_800_000_000_000,
            last_at: 1_800_000_000_001,
            ended: true,
            mac: [4; 32],
        }],
    );
    comparison.only::<CheckRecord, _>(
        "CheckRecord",
        &[StoredCheckV1 {
            started_at: 1_800_000_000_000,
            alive_at: 1_800_000_000_500,
            ended_at: Some(1_800_000_000_900),
            period: Some(600_000),
            entries: 12,
            rows: 34,
            ok: false,
            faults: 1,
            refused: vec![[7; 16]],
        }],
    );
    comparison.only::<VerifiedTables, _>(
        "VerifiedTables",
        &[StoredVerifiedTablesV1 {
            letters: ByteBuf::from(*b"IK"),
            heads: vec![([2; 16], (3, [4; 32]))],
            rows: vec![(ByteBuf::from(*b"K"), [1; 32])],
        }],
    );
    comparison.only::<Cover, _>("Cover", &[StoredCoverV1 { length: 300 }]);
    comparison.only::<Registry, _>("Registry", &[StoredRegistryV1 { chains: 2 }]);
}
