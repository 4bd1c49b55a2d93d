//! `watch`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{absent, delete, everything, put, write};
use crate::kv::{Event, Kv, Watch};

/// The next event, which must be there by now or soon.
async fn next(watch: &mut Watch) -> Event {
    tokio::time::timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap()
}

async fn nothing(watch: &mut Watch) -> bool {
    tokio::time::timeout(Duration::from_millis(20), watch.next()).await.is_err()
}

pub async fn gives_each_commit_once_in_order(kv: Arc<dyn Kv>) {
    let (_, start) = kv.get(&[]).await.unwrap();
    let mut watch = kv.watch(vec![], start).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..16_u8 {
        let kv = Arc::clone(&kv);
        writers.spawn(async move {
            let mut made = Vec::new();
            for round in 0..20_u8 {
                made.push(write(&*kv, vec![put([writer], [round]), put([writer, 1], [round])]).await);
            }
            made
        });
    }
    let mut made = Vec::new();
    while let Some(revisions) = writers.join_next().await {
        made.extend(revisions.unwrap());
    }
    made.sort_unstable();
    for revision in made {
        let event = next(&mut watch).await;
        assert_eq!(event.revision, revision);
        assert_eq!(event.puts.len(), 2);
        assert!(event.puts.iter().all(|entry| entry.revision == revision));
    }
    assert!(nothing(&mut watch).await);
}

pub async fn starts_with_what_already_happened(kv: Arc<dyn Kv>) {
    let first = write(&*kv, vec![put("a", "1")]).await;
    let second = write(&*kv, vec![put("a", "2")]).await;
    let third = write(&*kv, vec![delete("a")]).await;

    let mut watch = kv.watch(b"a".to_vec(), first).await.unwrap();
    assert_eq!(next(&mut watch).await.revision, second);
    assert_eq!(next(&mut watch).await, Event { revision: third, puts: vec![], deletes: vec![b"a".to_vec()] });

    let mut watch = kv.watch(b"a".to_vec(), third).await.unwrap();
    assert!(nothing(&mut watch).await);
    let fourth = write(&*kv, vec![put("a", "4")]).await;
    assert_eq!(next(&mut watch).await.revision, fourth);
}

pub async fn keeps_to_its_prefix(kv: Arc<dyn Kv>) {
    let (_, start) = kv.get(&[]).await.unwrap();
    let mut watch = kv.watch(vec![0xff], start).await.unwrap();
    write(&*kv, vec![put([0xfe], "1")]).await;
    let seen = write(&*kv, vec![put([0xfe, 0xff], "2"), put([0xff, 1], "2"), put([0xff], "2")]).await;
    write(&*kv, vec![delete([0xfe])]).await;
    let deleted = write(&*kv, vec![delete([0xff]), delete([0xfe, 0xff])]).await;

    let event = next(&mut watch).await;
    assert_eq!(event.revision, seen);
    let mut keys: Vec<_> = event.puts.into_iter().map(|entry| entry.key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [&[0xff][..], &[0xff, 1]]);
    assert_eq!(next(&mut watch).await, Event { revision: deleted, puts: vec![], deletes: vec![vec![0xff]] });
}

pub async fn loses_nothing_when_abandoned(kv: Arc<dyn Kv>) {
    let (_, start) = kv.get(&[]).await.unwrap();
    let mut watch = kv.watch(vec![], start).await.unwrap();
    let writer = {
        let kv = Arc::clone(&kv);
        tokio::spawn(async move {
            for number in 0..100_u8 {
                write(&*kv, vec![put("k", [number])]).await;
            }
        })
    };
    let mut seen = Vec::new();
    while seen.len() < 100 {
        // Dropped and asked again, over and over.
        if let Ok(event) = tokio::time::timeout(Duration::from_micros(50), watch.next()).await {
            seen.push(event.unwrap().puts[0].value[0]);
        }
    }
    assert!(seen.into_iter().eq(0..100));
    writer.await.unwrap();
}

pub async fn replays_to_the_same_state(kv: Arc<dyn Kv>) {
    for key in 0..20_u8 {
        write(&*kv, vec![put([key], "start")]).await;
    }
    let mut writers = JoinSet::new();
    for writer in 0..8_u8 {
        let kv = Arc::clone(&kv);
        writers.spawn(async move {
            for round in 0..30_u8 {
                let (one, other) = ((writer * 3 + round) % 20, 20 + (writer + round * 7) % 20);
                write(&*kv, vec![delete([one]), put([other], [writer, round])]).await;
            }
        });
    }
    let page = kv.scan(b"", None, 100).await.unwrap();
    let mut watch = kv.watch(vec![], page.revision).await.unwrap();
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let last = write(&*kv, vec![put([99], "end")]).await;

    let mut replayed: BTreeMap<_, _> =
        page.entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    loop {
        let event = next(&mut watch).await;
        replayed.extend(event.puts.into_iter().map(|entry| (entry.key.clone(), entry)));
        replayed.retain(|key, _| !event.deletes.contains(key));
        if event.revision == last {
            break;
        }
    }
    assert!(everything(&*kv, b"", 100).await.0.into_iter().eq(replayed.into_values()));
}

pub async fn tells_of_what_changed_only(kv: Arc<dyn Kv>) {
    let start = write(&*kv, vec![put("a", "1")]).await;
    let mut watch = kv.watch(vec![], start).await.unwrap();
    write(&*kv, vec![]).await;
    write(&*kv, vec![delete("none")]).await;
    kv.commit(vec![absent("a")], vec![put("a", "2")]).await.unwrap_err();
    assert!(nothing(&mut watch).await);
    let revision = write(&*kv, vec![delete("none"), delete("a")]).await;
    assert_eq!(next(&mut watch).await, Event { revision, puts: vec![], deletes: vec![b"a".to_vec()] });
}
