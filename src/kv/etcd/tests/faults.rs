//! Lost answers, lost members, a lost quorum, a used up quota, compactions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::proxy::Proxy;
use super::server::Cluster;
use super::{Alone, QUICK};
use crate::kv::conformance::{absent, at, delete, everything, find, put, skipped, write};
use crate::kv::etcd::members::EtcdTimeouts;
use crate::kv::etcd::{Address, Etcd};
use crate::kv::{CommitError, Kv, KvReadError, Outage, SnapshotError, Trouble};

const SHORT: EtcdTimeouts = EtcdTimeouts {
    answer: Duration::from_millis(250),
    whole: Duration::from_secs(2),
    connection: Duration::from_millis(250),
    pause: Duration::from_millis(20),
};

fn at_addresses(addresses: &str) -> Address {
    format!("{addresses}/test").parse().unwrap()
}

fn raw(cluster: &Cluster) -> Vec<String> {
    cluster.addresses().split(',').map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_made_once() {
    if skipped::<Alone>() {
        return;
    }
    let cluster = Cluster::start(1, &QUICK);
    let direct = cluster.addresses();
    let proxy = Proxy::to(direct.clone()).await;
    let address = at_addresses(&format!("{},{direct}", proxy.address));
    let other = Etcd::open(&at_addresses(&direct)).unwrap();
    let mut revision = write(&other, vec![put("counter", "0")]).await;
    for round in 1..=5_u8 {
        proxy.mute.store(false, Ordering::Relaxed);
        let store = Etcd::open_with(&address, SHORT).unwrap();
        assert_eq!(find(&store, "counter").await.unwrap().revision, revision);
        // Through the proxy first: the member executes the commit, and the proxy drops its response.
        proxy.mute.store(true, Ordering::Relaxed);
        let key = [b'k', round];
        let (_, before) = other.get(&[]).await.unwrap();
        revision = store
            .commit(vec![at("counter", revision), absent(key)], vec![put("counter", [round]), put(key, "1")])
            .await
            .unwrap();
        assert_eq!(revision, before + 1, "once");
        assert_eq!(find(&other, key).await.unwrap().revision, revision);

        // One that does not hold is not made true by a later change.
        proxy.mute.store(false, Ordering::Relaxed);
        let store = Etcd::open_with(&address, SHORT).unwrap();
        find(&store, key).await.unwrap();
        proxy.mute.store(true, Ordering::Relaxed);
        let refused = store.commit(vec![absent(key)], vec![put(key, "2")]).await;
        assert_eq!(refused, Err(CommitError::Conflict { failed: vec![0] }));
        write(&other, vec![delete(key)]).await;
        // Deleting an absent key changes nothing, however often it is sent.
        let store = Etcd::open_with(&address, SHORT).unwrap();
        store.commit(vec![], vec![delete(key)]).await.unwrap();
        assert_eq!(find(&other, "counter").await.unwrap().revision, revision);
        assert_eq!(find(&other, key).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_it_says_so_and_goes_on_when_there_is_one() {
    if skipped::<Alone>() {
        return;
    }
    let mut cluster = Cluster::start(3, &["--heartbeat-interval", "50", "--election-timeout", "500"]);
    let store = Etcd::open_with(&at_addresses(&cluster.addresses()), SHORT).unwrap();
    eventually_writes(&store).await;

    for member in &cluster.members()[..2] {
        member.signal(Signal::SIGSTOP);
    }
    let unreachable = KvReadError::Unavailable(Outage::Unreachable);
    // A stopped process may still answer a request that it has already read.
    let mut found = store.get(&[b"a".to_vec()]).await;
    for _ in 0..20 {
        if found.is_err() {
            break;
        }
        found = store.get(&[b"a".to_vec()]).await;
    }
    assert_eq!(found, Err(unreachable));
    let error = store.commit(vec![], vec![put("a", "2")]).await.unwrap_err();
    assert_eq!(error, CommitError::Unavailable(Outage::Unreachable));
    assert!(error.outcome_unknown());
    assert_eq!(store.health().await.trouble, Some(Trouble::Unavailable(Outage::Unreachable)));

    for member in &cluster.members()[..2] {
        member.signal(Signal::SIGCONT);
    }
    eventually_writes(&store).await;
    // Members that were stopped elect a leader more than once on a busy machine.
    let mut trouble = store.health().await.trouble;
    for _ in 0..20 {
        if trouble.is_none() {
            break;
        }
        eventually_writes(&store).await;
        trouble = store.health().await.trouble;
    }
    assert_eq!(trouble, None);
    // The commit without an answer either happened or did not.
    assert!([b"1", b"2"].contains(&&find(&store, "a").await.unwrap().value[..].try_into().unwrap()));
}

async fn eventually_writes(store: &Etcd) {
    for _ in 0..20 {
        if store.commit(vec![], vec![put("a", "1")]).await.is_ok() {
            return;
        }
    }
    panic!("no commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_member_may_die_and_commits_and_snapshots_go_on() {
    if skipped::<Alone>() {
        return;
    }
    let mut cluster = Cluster::start(3, &["--heartbeat-interval", "50", "--election-timeout", "500"]);
    let address = at_addresses(&cluster.addresses());
    let store: Arc<dyn Kv> = Arc::new(Etcd::open(&address).unwrap());
    let mut made = vec![write(&*store, vec![put("start", "1")]).await];
    let mut first = store.snapshot().await.unwrap();
    for (round, member) in cluster.members().iter_mut().enumerate() {
        for number in 0..20_u8 {
            made.push(write(&*store, vec![put([round as u8, number], "1")]).await);
        }
        member.signal(Signal::SIGKILL);
        for number in 20..40_u8 {
            made.push(write(&*store, vec![put([round as u8, number], "1")]).await);
        }
        member.restart();
        // The next may go only when this one is back: two of three must be there.
        let alone = format!("{}/test", member.address()).parse().unwrap();
        find(&Etcd::open(&alone).unwrap(), "start").await.unwrap();
    }
    made.push(write(&*store, vec![put("last", "1")]).await);
    assert_eq!(first.page(None, 1000).await.unwrap().entries.len(), 1);
    let page = store.snapshot().await.unwrap().page(None, 1000).await.unwrap();
    let mut seen: Vec<_> = page.entries.iter().map(|entry| entry.revision).collect();
    seen.sort_unstable();
    assert_eq!(seen, made, "each once and in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_up_quota_is_told_and_reads_go_on() {
    if skipped::<Alone>() {
        return;
    }
    let quota = [&QUICK[..], &["--quota-backend-bytes", "4194304"]].concat();
    let cluster = Cluster::start(1, &quota);
    let store = Etcd::open(&at_addresses(&cluster.addresses())).unwrap();
    let value = vec![7; 300_000];
    let mut written = 0_u8;
    let error = loop {
        match store.commit(vec![], vec![put([written], &value)]).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100);
    };
    assert_eq!(error, CommitError::Full);
    assert!(!error.outcome_unknown());
    assert_eq!(store.health().await.trouble, Some(Trouble::Full));
    assert_eq!(everything(&store, b"", 100).await.0.len(), usize::from(written));

    // The steps of etcd's documentation.
    let mut client = etcd_client::Client::connect(raw(&cluster), None).await.unwrap();
    write_nothing_but_delete(&store, written).await;
    let newest = store.get(&[]).await.unwrap().1;
    let physical = etcd_client::CompactionOptions::new().with_physical();
    client.compact(newest.cast_signed(), Some(physical)).await.unwrap();
    client.defragment().await.unwrap();
    for alarm in client
        .alarm(etcd_client::AlarmAction::Get, etcd_client::AlarmType::None, None)
        .await
        .unwrap()
        .alarms()
    {
        let mut options = etcd_client::AlarmOptions::new();
        options.with_member(alarm.member_id());
        client.alarm(etcd_client::AlarmAction::Deactivate, alarm.alarm(), Some(options)).await.unwrap();
    }
    write(&store, vec![put("after", "room")]).await;
    assert_eq!(store.health().await.trouble, None);
}

/// A full etcd deletes, though it stores nothing; by its own tool, since a commit of ours always stores its dedup_key.
async fn write_nothing_but_delete(store: &Etcd, written: u8) {
    for key in 0..written {
        let key = store.shared.stored(&[key]);
        let deleted = store.shared.members.ask(|client, _| {
            let key = key.clone();
            async move { client.kv_client().delete(key, None).await }
        });
        deleted.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_ends_a_snapshot_from_before_and_no_scan() {
    if skipped::<Alone>() {
        return;
    }
    let cluster = Cluster::start(1, &QUICK);
    let address = at_addresses(&cluster.addresses());
    let store = Arc::new(Etcd::open(&address).unwrap());
    write(&*store, vec![put("a", "1")]).await;
    let mut first = store.snapshot().await.unwrap();
    assert_eq!(first.page(None, 10).await.unwrap().entries.len(), 1);
    let value = vec![7; 20_000];
    for key in 0..200_u8 {
        write(&*store, vec![put([b'k', key], &value)]).await;
    }
    let client = etcd_client::Client::connect(raw(&cluster), None).await.unwrap();
    let compacting = {
        let (store, mut client) = (Arc::clone(&store), client.clone());
        tokio::spawn(async move {
            for number in 0..20_u8 {
                let newest = write(&*store, vec![put("a", [number])]).await;
                client.compact(newest.cast_signed(), None).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    };
    while !compacting.is_finished() {
        // Several requests each, of one revision, which may be gone before the last.
        let page = store.scan(b"k", None, 200).await.unwrap();
        assert_eq!(page.entries.len(), 200);
    }
    compacting.await.unwrap();
    assert_eq!(first.page(None, 10).await, Err(SnapshotError::Expired));
}
