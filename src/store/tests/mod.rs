//! The rules of the store, from outside, each promise in one place. On the byte store in memory unless it says otherwise.

mod access;
mod audit;
mod audit_released;
mod audit_retention;
mod backup;
mod boots;
mod catalog;
mod checkpoints;
mod denials;
mod ends;
mod failing;
mod holders;
mod idempotency;
mod import;
mod keys;
mod launchers;
mod limits;
mod many;
mod members;
mod migrate;
mod principals;
mod quotas;
mod reencrypt;
mod replicas;
mod restored;
mod rounds;
mod scope_cache;
mod sealed_release;
mod secrets;
mod sessions;
mod taken_names;
// Its campaigns run on SQLite and on etcd.
#[cfg(feature = "etcd")]
mod tamper;
mod tampering;
mod tickets;
mod unusable;
mod verified_keys;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use zeroize::Zeroizing;

use super::*;
use crate::crypto::memory::Key32;
use crate::crypto::passphrase::Argon2Params;
use crate::crypto::record::RecordKey;
use crate::domain::attributes::{Attributes, AttributesPatch, FieldPatch};
use crate::domain::code::Code;
use crate::domain::credential::Credential;
use crate::domain::id::SecretId;
use crate::domain::name::{EnvName, MemberName, OrgName, SecretName};
use crate::domain::role::Role;
use crate::domain::secret::ScopeKind;
use crate::domain::time::Timestamp;
use crate::domain::value::{Delivery, Kind, SecretValue};
use crate::kv::memory::Memory;
use crate::kv::{
    BoxFuture, CommitError, Kv, KvEntry, KvHealth, KvPage, KvReadError, KvSnapshot, Limits, Outage,
    Precondition, Revision, Write,
};
use crate::store::engine::records::Records;

const PASSPHRASE: &str = "correct horse battery staple";
const RECORD_KEY: [u8; 32] = [7; 32];

/// A store with its operator and first admin.
struct World {
    store: Store,
    kv: Arc<dyn Kv>,
    clock: Arc<TestClock>,
    operator: Caller,
    admin: Caller,
}

/// A clock that stands still until a test moves it.
struct TestClock(AtomicI64);

impl TestClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_800_000_000_000)))
    }

    fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

impl Store {
    /// A new store in memory, for the tests of what is in front of the store. Its clock is the system's.
    pub(crate) async fn in_memory() -> Initialized {
        let init =
            Init { slots: vec![passphrase_slot(PASSPHRASE)], org: org("default"), admin: member("admin") };
        let (kv, clock, random) = (Arc::new(Memory::new()), Arc::new(SystemClock), Arc::new(KernelEntropy));
        Self::init(kv, record_key(), init, clock, random).await.unwrap()
    }
}

impl World {
    async fn new() -> Self {
        Self::on(Arc::new(Memory::new())).await
    }

    async fn on(kv: Arc<dyn Kv>) -> Self {
        let clock = TestClock::new();
        let init =
            Init { slots: vec![passphrase_slot(PASSPHRASE)], org: org("default"), admin: member("admin") };
        let made = Store::init(Arc::clone(&kv), record_key(), init, clock.clone(), Arc::new(KernelEntropy));
        let Initialized { store, operator_token, admin_token } = made.await.unwrap();
        let operator = store.authenticate(&operator_token, None).await.unwrap();
        let admin = store.authenticate(&admin_token, None).await.unwrap();
        Self { store, kv, clock, operator, admin }
    }

    /// Another process on the same byte store, locked.
    async fn another(&self) -> Store {
        open(Arc::clone(&self.kv), self.clock.clone()).await
    }

    async fn lock(&self) {
        self.store.lock(&self.operator).await.unwrap();
    }

    async fn unlock(&self) {
        unlock(&self.store).await;
    }

    /// A member and a caller for it.
    async fn member(&self, name: &str, role: Role) -> Caller {
        let new = NewMember::person(member(name), role);
        let created = self.store.create_member(&self.admin, new, None).await.unwrap();
        let issued = self.redeem(&created.enrolment.unwrap().credential).await;
        self.store.authenticate(&issued.credential, None).await.unwrap()
    }

    /// The first token of a member.
    async fn redeem(&self, code: &Credential) -> TokenIssued {
        self.store.redeem_enrolment(code, None, "r1", Redemption::default()).await.unwrap()
    }

    /// A caller for the first admin of another organization.
    async fn another_admin(&self, name: &str) -> Caller {
        let new = NewOrg { name: org(name), admin: member("admin") };
        let created = self.store.create_org(&self.operator, new, None).await.unwrap();
        let issued = self.redeem(&created.enrolment.credential).await;
        self.store.authenticate(&issued.credential, None).await.unwrap()
    }

    async fn private(&self, by: &Caller, name: &str, value: &str) -> SecretId {
        self.deposit(by, new_secret(name, ScopeKind::Private, value)).await
    }

    async fn shared(&self, name: &str, value: &str) -> SecretId {
        self.deposit(&self.admin, new_secret(name, ScopeKind::Shared, value)).await
    }

    async fn deposit(&self, by: &Caller, new: NewSecret) -> SecretId {
        self.store.create_secret(by, new, None).await.unwrap().secret.meta.id
    }

    async fn ticket_for(&self, by: &Caller, new: NewTicket) -> Credential {
        self.store.create_ticket(by, new, None).await.unwrap().credential
    }

    /// The caller of an unlimited ticket.
    async fn ticket(&self, by: &Caller) -> Caller {
        let credential = self.ticket_for(by, NewTicket::default()).await;
        self.store.authenticate(&credential, None).await.unwrap()
    }

    async fn boot(&self, by: &Caller) -> Vec<(String, String)> {
        let ticket = self.ticket(by).await;
        variables(self.store.boot(&ticket, BootAsk::default()).await.unwrap())
    }

    async fn verification(&self) -> Verification {
        self.store.verify_audit(&self.operator, true).await.unwrap()
    }
}

async fn open(kv: Arc<dyn Kv>, clock: Arc<TestClock>) -> Store {
    Store::open(kv, record_key(), clock, Arc::new(KernelEntropy)).await.unwrap()
}

async fn unlock(store: &Store) {
    let secret = UnlockSecret::Passphrase(Zeroizing::new(PASSPHRASE.to_owned()));
    store.unlock(&Caller::this_process(), secret).await.unwrap();
}

fn record_key() -> RecordKey {
    RecordKey::new(&Key32::copy_of(&RECORD_KEY))
}

fn passphrase_slot(passphrase: &str) -> NewKeyslot {
    NewKeyslot {
        credential: false,
        allow_weak: true,
        secret: UnlockSecret::Passphrase(Zeroizing::new(passphrase.to_owned())),
        label: None,
        argon2: Some(Argon2Params::for_throwaway_stores()),
    }
}

fn org(name: &str) -> OrgName {
    OrgName::parse(name).unwrap()
}

fn member(name: &str) -> MemberName {
    MemberName::parse(name).unwrap()
}

fn secret_name(name: &str) -> SecretName {
    SecretName::parse(name).unwrap()
}

fn env(name: &str) -> EnvName {
    EnvName::parse(name).unwrap()
}

fn value(text: &str) -> Deposit {
    Deposit::Value(SecretValue::new(text.as_bytes().to_vec()))
}

fn new_secret(name: &str, scope: ScopeKind, text: &str) -> NewSecret {
    NewSecret {
        name: secret_name(name),
        env: None,
        scope,
        owner: None,
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        attributes: Attributes::default(),
        deposit: value(text),
        allow_refused: false,
    }
}

fn replacement(text: &str) -> Replacement {
    Replacement {
        deposit: value(text),
        env: None,
        kind: None,
        delivery: None,
        allow_refused: false,
        change: AttributesPatch::default(),
    }
}

/// What a workload would see.
fn variables(released: Released) -> Vec<(String, String)> {
    let text = |id| {
        let value = released.values.iter().find(|value| value.id == id).unwrap();
        String::from_utf8(value.value.expose().to_vec()).unwrap()
    };
    released.receipt.entries.iter().map(|entry| (entry.env.to_string(), text(entry.id))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Waits for background work.
async fn eventually<F: Future<Output = bool>>(mut check: impl FnMut() -> F) {
    for _ in 0..2000 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it did not come about");
}

/// A byte store that fails on command, like a crash or a broken disk.
struct Faulty {
    kv: Arc<Memory>,
    /// Commits that still work.
    left: AtomicU64,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Commits fail and nothing is written.
    Full,
    /// The commit is made, and its answer lost; all that follow work.
    AnswerLost,
    /// From then on nothing works: the process is as good as dead.
    Crash,
    /// Commits hang until there are some left again.
    Hang,
}

impl Faulty {
    fn after(kv: &Arc<Memory>, left: u64, fault: Fault) -> Arc<Self> {
        Arc::new(Self { kv: Arc::clone(kv), left: AtomicU64::new(left), fault })
    }

    fn dead(&self) -> bool {
        self.fault == Fault::Crash && self.left.load(Ordering::SeqCst) == 0
    }
}

impl Kv for Faulty {
    fn get<'a>(
        &'a self,
        keys: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<(Vec<Option<KvEntry>>, Revision), KvReadError>> {
        if self.dead() {
            return Box::pin(async { Err(KvReadError::Unavailable(Outage::Io)) });
        }
        self.kv.get(keys)
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<KvPage, KvReadError>> {
        if self.dead() {
            return Box::pin(async { Err(KvReadError::Unavailable(Outage::Io)) });
        }
        self.kv.scan(prefix, after, limit)
    }

    fn commit(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        let took = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .unwrap_or(0);
        Box::pin(async move {
            while (took, self.fault) == (0, Fault::Hang) && self.left.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            match (took, self.fault) {
                (0, Fault::Full) => Err(CommitError::Full),
                (0, Fault::Crash) => Err(CommitError::Unavailable(Outage::Io)),
                (1, Fault::AnswerLost) => {
                    self.kv.commit(preconditions, writes).await?;
                    Err(CommitError::Unavailable(Outage::Unreachable))
                }
                _ => self.kv.commit(preconditions, writes).await,
            }
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn KvSnapshot>, KvReadError>> {
        self.kv.snapshot()
    }

    fn limits(&self) -> Limits {
        self.kv.limits()
    }

    fn health(&self) -> BoxFuture<'_, KvHealth> {
        self.kv.health()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.kv.close()
    }

    fn name(&self) -> &'static str {
        "faulty"
    }
}
