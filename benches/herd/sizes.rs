//! Stores of a thousand to a million secrets: the time of a boot and a deposit, the time to open the store and to verify it
//! with its audit log, and the bytes per secret on the disk. In this process, on SQLite, durable. Every secret is encrypted and settled.
//!
//! All secrets except 20 are private secrets of other members, 250 each, so that the booting scope has the same size in all
//! stores.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dropsafe::crypto::keyfile::UnlockKey;
use dropsafe::crypto::memory::Key32;
use dropsafe::crypto::random::Kernel;
use dropsafe::crypto::record::RecordKey;
use dropsafe::domain::attributes::Attributes;
use dropsafe::domain::import::ExistingPolicy;
use dropsafe::domain::name::{MemberName, OrgName, SecretName};
use dropsafe::domain::role::Role;
use dropsafe::domain::secret::ScopeKind;
use dropsafe::domain::value::{Delivery, Kind, SecretValue};
use dropsafe::kv::Kv as _;
use dropsafe::kv::sqlite::Sqlite;
use dropsafe::store::{
    BootAsk, Caller, Deposit, ImportAsk, ImportSource, Init, KernelEntropy, NewKeyslot, NewMember, NewSecret,
    NewTicket, Store, SystemClock, UnlockSecret,
};
use tokio::runtime::Runtime;

const SHARED: usize = 20;
const PER_MEMBER: usize = 250;
/// Members whose files are imported at the same time.
const AT_ONCE: usize = 8;

fn record_key() -> RecordKey {
    RecordKey::new(&Key32::copy_of(&[7; 32]))
}

/// A closed store on the disk.
struct CreatedStore {
    file: PathBuf,
    secrets: usize,
    key: zeroize::Zeroizing<String>,
}

/// An open store.
struct OpenStore {
    store: Store,
    admin: Caller,
    operator: Caller,
    ticket: Caller,
    deposits: usize,
}

/// Creates the stores, measures them in turns, and prints the results.
pub fn run(sizes: &[usize], rounds: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = Runtime::new().unwrap();
    let mut all = Vec::new();
    for secrets in sizes {
        let began = Instant::now();
        let (created, open) = runtime.block_on(make(folder.path(), *secrets));
        eprintln!("{secrets} secrets: created and settled in {:.0} s", began.elapsed().as_secs_f64());
        all.push((created, open, Vec::new(), Vec::new()));
    }
    for _ in 0..rounds {
        for (_, open, boots, deposits) in &mut all {
            runtime.block_on(async {
                boots.push(open.boot().await);
                deposits.push(open.deposit().await);
            });
        }
    }
    println!("medians of {rounds} rounds; beside the smallest");
    let first = (median(&all[0].2), median(&all[0].3));
    for (created, open, boots, deposits) in &all {
        let (boot, deposit) = (median(boots), median(deposits));
        let began = Instant::now();
        let verified = runtime.block_on(open.store.verify_audit(&open.operator, true)).unwrap();
        let (verifying, rows) = (began.elapsed(), verified.rows.map_or(0, |rows| rows.rows));
        assert!(verified.ok, "a store that nobody tampered with verifies");
        runtime.block_on(open.store.close());
        let bytes = std::fs::metadata(&created.file).unwrap().len();
        let clean = time_opening(&runtime, created);
        leave_crashed(created);
        let killed = time_opening(&runtime, created);
        println!(
            "{:8} secrets: boot {:4.0} µs ({:.2}), deposit {:4.0} µs ({:.2}); open after a clean stop {:.1} ms, \
             after kill -9 {:.1} ms; {} bytes a secret; audit verify --state of {rows} rows and {} entries in {:.1} s",
            created.secrets,
            boot * 1e6,
            boot / first.0,
            deposit * 1e6,
            deposit / first.1,
            clean * 1e3,
            killed * 1e3,
            bytes / created.secrets as u64,
            verified.entries,
            verifying.as_secs_f64(),
        );
    }
}

async fn make(folder: &Path, secrets: usize) -> (CreatedStore, OpenStore) {
    let file = folder.join(format!("{secrets}.db"));
    let key = UnlockKey::generate(&mut Kernel).to_text();
    let secret = UnlockSecret::KeyFile(key.clone());
    let init = Init {
        slots: vec![NewKeyslot { credential: false, secret, allow_weak: true, label: None, argon2: None }],
        org: OrgName::parse("default").unwrap(),
        admin: MemberName::parse("admin").unwrap(),
    };
    let kv = Arc::new(Sqlite::open(&file).unwrap());
    let (clock, random) = (Arc::new(SystemClock), Arc::new(KernelEntropy));
    let created = Store::init(kv, record_key(), init, clock, random).await.unwrap();
    let store = created.store;
    let admin = store.authenticate(&created.admin_token, None).await.unwrap();
    let operator = store.authenticate(&created.operator_token, None).await.unwrap();
    import(&store, &admin, ScopeKind::Shared, SHARED).await;

    let members = (secrets - SHARED).div_ceil(PER_MEMBER);
    let mut working = tokio::task::JoinSet::new();
    for number in 0..members {
        if working.len() >= AT_ONCE {
            working.join_next().await.unwrap().unwrap();
        }
        let (store, admin) = (store.clone(), admin.clone());
        working.spawn(async move {
            let name = MemberName::parse(&format!("member-{number}")).unwrap();
            let new = NewMember::person(name, Role::Member);
            let created = store.create_member(&admin, new, None).await.unwrap();
            let code = created.enrolment.unwrap().credential;
            let token = store
                .redeem_enrolment(&code, None, "", dropsafe::store::Redemption::default())
                .await
                .unwrap();
            let member = store.authenticate(&token.credential, None).await.unwrap();
            import(&store, &member, ScopeKind::Private, PER_MEMBER).await;
        });
    }
    working.join_all().await;

    let ticket = store.create_ticket(&admin, NewTicket::default(), None).await.unwrap();
    let ticket = store.authenticate(&ticket.credential, None).await.unwrap();
    let mut open = OpenStore { store, admin, operator, ticket, deposits: 0 };
    // Data keys are settled in the background, and each commit raises the store's revision.
    let mut before = 0;
    loop {
        open.boot().await;
        let now = open.store.status(&open.admin).await.unwrap().revision;
        if now <= before + 2 {
            break;
        }
        before = now;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    (CreatedStore { file, secrets: SHARED + members * PER_MEMBER, key }, open)
}

async fn import(store: &Store, caller: &Caller, scope: ScopeKind, count: usize) {
    let lines: String =
        (0..count).map(|i| format!("IMPORTED_{i}=value-of-thirty-two-bytes-{i:06}\n")).collect();
    let ask = ImportAsk {
        source: ImportSource::Text(SecretValue::new(lines.into_bytes())),
        scope,
        owner: None,
        existing: ExistingPolicy::Refuse,
        kind: Kind::Encrypted,
        attributes: Attributes::default(),
    };
    assert!(store.import(caller, ask, false).await.unwrap().stored);
}

impl OpenStore {
    async fn boot(&mut self) -> f64 {
        let began = Instant::now();
        let released = self.store.boot(&self.ticket, BootAsk::default()).await.unwrap();
        let took = began.elapsed().as_secs_f64();
        assert_eq!(released.values.len(), SHARED);
        took
    }

    /// Deposits a private secret that no boot receives, so that boots keep their size.
    async fn deposit(&mut self) -> f64 {
        self.deposits += 1;
        let new = NewSecret {
            name: SecretName::parse(&format!("deposit-{}", self.deposits)).unwrap(),
            env: None,
            scope: ScopeKind::Private,
            owner: None,
            kind: Kind::Encrypted,
            delivery: Delivery::Variable,
            attributes: Attributes { auto_install: false, ..Attributes::default() },
            deposit: Deposit::Value(SecretValue::new(vec![b'x'; 64])),
            allow_refused: false,
        };
        let began = Instant::now();
        self.store.create_secret(&self.admin, new, None).await.unwrap();
        began.elapsed().as_secs_f64()
    }
}

/// Returns the time until the store could serve, unlocked by a key file.
fn time_opening(runtime: &Runtime, created: &CreatedStore) -> f64 {
    let took = runtime.block_on(async {
        let began = Instant::now();
        let kv = Arc::new(Sqlite::open(&created.file).unwrap());
        let (clock, random) = (Arc::new(SystemClock), Arc::new(KernelEntropy));
        let store = Store::open(kv, record_key(), clock, random).await.unwrap();
        let secret = UnlockSecret::KeyFile(created.key.clone());
        store.unlock(&Caller::this_process(), secret).await.unwrap();
        let took = began.elapsed();
        store.close().await;
        took
    });
    took.as_secs_f64()
}

/// Kills a process that commits to the store as fast as it can.
fn leave_crashed(created: &CreatedStore) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["commit-to", created.file.to_str().unwrap()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The process that [`leave_crashed`] kills.
pub fn commit_until_killed(file: &Path) {
    let kv = Sqlite::open(file).unwrap();
    let runtime = Runtime::new().unwrap();
    for number in 0_u64.. {
        let key = [b"zz".as_slice(), &(number % 1000).to_be_bytes()].concat();
        let write = dropsafe::kv::Write::Put(key, vec![0; 400]);
        runtime.block_on(kv.commit(Vec::new(), vec![write])).unwrap();
    }
}

fn median(figures: &[f64]) -> f64 {
    super::median(figures)
}
