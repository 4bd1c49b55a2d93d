//! The cost of a boot inside the process: resolving it, decrypting its values, committing it. The lower bound of the last is
//! one commit of the same size.
#![expect(clippy::expect_used, reason = "a benchmark that cannot start has no result")]

use std::collections::BTreeSet;
use std::sync::Arc;

use divan::Bencher;
use dropsafe::crypto::memory::Key32;
use dropsafe::crypto::passphrase::Argon2Params;
use dropsafe::crypto::record::RecordKey;
use dropsafe::domain::attributes::Attributes;
use dropsafe::domain::id::{MemberId, SecretId, VersionId};
use dropsafe::domain::import::ExistingPolicy;
use dropsafe::domain::name::{MemberName, OrgName, SecretName};
use dropsafe::domain::receipt::Receipt;
use dropsafe::domain::resolve::{ResolveRequest, resolve};
use dropsafe::domain::secret::{Scope, ScopeKind, SecretMeta};
use dropsafe::domain::time::Timestamp;
use dropsafe::domain::value::{Delivery, Kind, SecretValue};
use dropsafe::kv::memory::Memory;
use dropsafe::kv::sqlite::Sqlite;
use dropsafe::kv::{Kv, Write};
use dropsafe::store::{
    BootAsk, Caller, Deposit, ImportAsk, ImportSource, Init, Initialized, KernelEntropy, NewKeyslot,
    NewSecret, NewTicket, PageAsk, SecretFilter, Store, SystemClock, UnlockSecret,
};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

const SIZES: [usize; 2] = [20, 200];

fn main() {
    divan::main();
}

/// Which variable each secret becomes, and the receipt with its digest.
#[divan::bench(args = SIZES)]
fn resolution(bencher: Bencher, secrets: usize) {
    let metas: Vec<SecretMeta> = (0..secrets).map(meta).collect();
    let request = ResolveRequest::default();
    bencher.bench_local(|| Receipt::of(resolve(&metas, &BTreeSet::new(), &request), 1).digest());
}

/// A boot in memory: everything but the disk.
#[divan::bench(args = SIZES)]
fn boot_memory(bencher: Bencher, secrets: usize) {
    boot(bencher, Arc::new(Memory::new()), secrets);
}

/// A boot on SQLite, durable.
#[divan::bench(args = SIZES)]
fn boot_sqlite(bencher: Bencher, secrets: usize) {
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let kv = Sqlite::open(&folder.path().join("store.db")).expect("a store");
    boot(bencher, Arc::new(kv), secrets);
}

/// 64 concurrent boots on SQLite.
#[divan::bench(args = SIZES)]
fn herd_of_64_sqlite(bencher: Bencher, secrets: usize) {
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let kv = Sqlite::open(&folder.path().join("store.db")).expect("a store");
    let FilledStore { runtime, store, ticket, .. } = FilledStore::new(Arc::new(kv), secrets);
    bencher.bench_local(|| {
        runtime.block_on(async {
            let boots = (0..64).map(|_| {
                let (store, ticket) = (store.clone(), ticket.clone());
                tokio::spawn(async move { store.boot(&ticket, BootAsk::default()).await.is_ok() })
            });
            for boot in boots.collect::<Vec<_>>() {
                assert!(boot.await.expect("no panic"));
            }
        });
    });
}

/// The lower bound of durability: one commit with as many records and bytes as a boot's.
#[divan::bench]
fn floor_commit_sqlite(bencher: Bencher) {
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let kv = Sqlite::open(&folder.path().join("store.db")).expect("a store");
    let runtime = Runtime::new().expect("a runtime");
    let mut number = 0_u64;
    bencher.bench_local(|| {
        number += 1;
        let key = |table: u8| [&[table][..], &number.to_be_bytes()].concat();
        let writes = vec![
            Write::Put(key(b'a'), vec![0; 420]),
            Write::Put(key(b'b'), vec![0; 220]),
            Write::Put(b"head".to_vec(), vec![0; 160]),
        ];
        runtime.block_on(kv.commit(Vec::new(), writes)).expect("a commit")
    });
}

/// A deposit of a value, sealed by the server.
#[divan::bench]
fn deposit_memory(bencher: Bencher) {
    let FilledStore { runtime, store, admin, .. } = FilledStore::new(Arc::new(Memory::new()), 0);
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        let new = new_secret(&format!("secret-{number}"));
        runtime.block_on(store.create_secret(&admin, new, None)).expect("a deposit")
    });
}

/// Requests of people in an organization with ten thousand secrets, on SQLite.
#[divan::bench_group(sample_count = 20, sample_size = 1)]
mod ten_thousand {
    use super::*;

    /// The first page of 100.
    #[divan::bench]
    fn page(bencher: Bencher) {
        let (folder, filled) = open_ten_thousand();
        list(bencher, &filled, SecretFilter::default(), 100);
        drop(folder);
    }

    /// A search that finds one of them.
    #[divan::bench]
    fn search(bencher: Bencher) {
        let (folder, filled) = open_ten_thousand();
        list(bencher, &filled, SecretFilter { q: Some("t-9876".to_owned()), ..SecretFilter::default() }, 1);
        drop(folder);
    }

    /// The statistics above the list.
    #[divan::bench]
    fn statistics(bencher: Bencher) {
        let (folder, FilledStore { runtime, store, admin, .. }) = open_ten_thousand();
        bencher.bench_local(|| {
            let counted = runtime.block_on(store.statistics(&admin)).expect("numbers");
            assert_eq!(counted.total, 10_000);
        });
        drop(folder);
    }

    /// A scan of as many records of the same size: the lower bound of the two above.
    #[divan::bench]
    fn floor_scan(bencher: Bencher) {
        let folder = tempfile::tempdir_in(".").expect("a folder");
        let kv = Sqlite::open(&folder.path().join("store.db")).expect("a store");
        let runtime = Runtime::new().expect("a runtime");
        for batch in 0..10_u64 {
            let writes =
                (0..1000_u64).map(|i| Write::Put((batch * 1000 + i).to_be_bytes().to_vec(), vec![0; 420]));
            runtime.block_on(kv.commit(Vec::new(), writes.collect())).expect("a commit");
        }
        bencher.bench_local(|| {
            let (mut after, mut count) = (None::<Vec<u8>>, 0);
            loop {
                let page = runtime.block_on(kv.scan(b"\0", after.as_deref(), 1000)).expect("a page");
                count += page.entries.len();
                after = page.entries.last().map(|entry| entry.key.clone());
                if !page.more {
                    break;
                }
            }
            assert_eq!(count, 10_000);
        });
    }

    fn open_ten_thousand() -> (tempfile::TempDir, FilledStore) {
        let folder = tempfile::tempdir_in(".").expect("a folder");
        let kv = Sqlite::open(&folder.path().join("store.db")).expect("a store");
        let filled = FilledStore::new(Arc::new(kv), 0);
        filled.import((0..10_000).map(|i| format!("secret-{i}=value\n")).collect());
        (folder, filled)
    }

    fn list(bencher: Bencher, filled: &FilledStore, filter: SecretFilter, expected: usize) {
        let FilledStore { runtime, store, admin, .. } = filled;
        let filter = SecretFilter { scope: Some(ScopeKind::Shared), ..filter };
        bencher.bench_local(|| {
            let found = runtime.block_on(store.list_secrets(admin, &filter, PageAsk::default()));
            assert_eq!(found.expect("a page").items.len(), expected);
        });
    }
}

/// 5,000 lines into an empty store and into one of 20,000 secrets, on SQLite. The store seals the values.
#[divan::bench(args = [0, 20_000], sample_count = 3, sample_size = 1)]
fn import_sqlite(bencher: Bencher, secrets: usize) {
    const LINES: usize = 5000;
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let kv = Sqlite::open(&folder.path().join("store.db")).expect("a store");
    let filled = FilledStore::new(Arc::new(kv), 0);
    let mut first = 0;
    let mut import = || {
        let lines: String = (first..first + LINES).map(|i| format!("name-{i}=value-of-a-secret\n")).collect();
        first += LINES;
        filled.import(lines);
    };
    (0..secrets / LINES).for_each(|_| import());
    bencher.bench_local(import);
}

/// A store with settled secrets, and a ticket.
struct FilledStore {
    runtime: Runtime,
    store: Store,
    admin: Caller,
    ticket: Caller,
}

fn boot(bencher: Bencher, kv: Arc<dyn Kv>, secrets: usize) {
    let FilledStore { runtime, store, ticket, .. } = FilledStore::new(kv, secrets);
    bencher.bench_local(|| {
        let released = runtime.block_on(store.boot(&ticket, BootAsk::default())).expect("a boot");
        assert_eq!(released.values.len(), secrets);
    });
}

impl FilledStore {
    fn import(&self, lines: String) {
        let ask = ImportAsk {
            source: ImportSource::Text(SecretValue::new(lines.into_bytes())),
            scope: ScopeKind::Shared,
            owner: None,
            existing: ExistingPolicy::Refuse,
            kind: Kind::Encrypted,
            attributes: Attributes::default(),
        };
        let report = self.runtime.block_on(self.store.import(&self.admin, ask, false));
        assert!(report.expect("an import").stored);
    }

    fn new(kv: Arc<dyn Kv>, secrets: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (store, admin, ticket) = runtime.block_on(async {
            let passphrase = UnlockSecret::Passphrase(Zeroizing::new("passphrase".to_owned()));
            let slot = NewKeyslot {
                credential: false,
                allow_weak: true,
                secret: passphrase,
                label: None,
                argon2: Some(Argon2Params::for_throwaway_stores()),
            };
            let init = Init {
                slots: vec![slot],
                org: OrgName::parse("default").expect("a name"),
                admin: MemberName::parse("admin").expect("a name"),
            };
            let key = RecordKey::new(&Key32::copy_of(&[7; 32]));
            let made = Store::init(kv, key, init, Arc::new(SystemClock), Arc::new(KernelEntropy)).await;
            let Initialized { store, admin_token, .. } = made.expect("a store");
            let admin = store.authenticate(&admin_token, None).await.expect("the admin");
            for i in 0..secrets {
                store
                    .create_secret(&admin, new_secret(&format!("secret-{i}")), None)
                    .await
                    .expect("a deposit");
            }
            let ticket = store.create_ticket(&admin, NewTicket::default(), None).await.expect("a ticket");
            let ticket = store.authenticate(&ticket.credential, None).await.expect("the ticket");
            // The steady state: data keys are settled in the background, and the resolved scope is cached.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            store.boot(&ticket, BootAsk::default()).await.expect("a boot");
            (store, admin, ticket)
        });
        Self { runtime, store, admin, ticket }
    }
}

fn new_secret(name: &str) -> NewSecret {
    NewSecret {
        name: SecretName::parse(name).expect("a name"),
        env: None,
        scope: ScopeKind::Shared,
        owner: None,
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        attributes: Attributes::default(),
        deposit: Deposit::Value(SecretValue::new(vec![b'x'; 64])),
        allow_refused: false,
    }
}

fn meta(number: usize) -> SecretMeta {
    let name = SecretName::parse(&format!("secret-{number}")).expect("a name");
    let id = |last: u8| {
        let mut bytes = [last; 16];
        bytes[0] = u8::try_from(number).expect("at most 200");
        bytes
    };
    SecretMeta {
        id: SecretId::from_bytes(id(1)),
        env: name.export(),
        name,
        scope: Scope::Shared,
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        attributes: Attributes::default(),
        version: VersionId::from_bytes(id(2)),
        hint: None,
        allow_refused: false,
        value_len: 64,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        author: MemberId::from_bytes([3; 16]),
    }
}
