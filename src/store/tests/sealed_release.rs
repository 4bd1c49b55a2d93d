//! Sealed release: who proves themselves, when, and how often.

use super::reencrypt::{finished, put_keys};
use super::*;
use crate::crypto::random::Kernel;
use crate::crypto::sealed_release::proof::RequestProof;
use crate::crypto::sealed_release::prover::{ProofTime, Prover};
use crate::crypto::sealed_release::responder::AnswerSeed;
use crate::crypto::sealed_release::statement::{RequestTarget, Statement};
use crate::crypto::sealed_release::{CHALLENGE, Challenge};
use crate::domain::audit::AuditAction;
use crate::domain::credential::CredentialKind;
use crate::domain::id::{BootId, OrgId};
use crate::store::engine::journal::Stop;
use crate::store::tables::executed;
use crate::store::tables::store::KeysRecord;
use crate::store::tables::tickets::{self, TicketRecord};

const BOOT: &str = "/v1/boot";

/// A machine that proves itself with a credential.
struct Machine(Prover);

impl Machine {
    async fn new(store: &Store, credential: &Credential) -> Self {
        Self(Prover::of_credential(credential, store.answer_key().await.unwrap()).unwrap())
    }

    /// A request as the store receives it.
    fn request(&self, path: &str, time: ProofTime) -> SentRequest {
        let target = RequestTarget { method: "POST", path, attempt: None };
        let (text, _) = self.0.prove(target, b"{}", time, &mut Kernel).unwrap();
        let proof = RequestProof::parse(&text).unwrap();
        let statement = Statement::new(self.0.answer_key, target, &proof.parts);
        SentRequest { proof, statement }
    }
}

struct SentRequest {
    proof: RequestProof,
    statement: Statement,
}

impl SentRequest {
    async fn arrive(&self, store: &Store) -> Result<Caller, Code> {
        let arrived = store.authenticate_proof(&self.proof, &self.statement, None).await;
        arrived.map_err(|error| error.code())
    }

    /// Whether a server accepts its time, or the challenge that makes it do so.
    fn freshness(&self, store: &Store) -> Result<(), Challenge> {
        store.check_freshness(&self.proof.parts)
    }
}

fn time(world: &World) -> ProofTime {
    let millis = u64::try_from(world.clock.now().as_millis()).unwrap();
    ProofTime { millis, challenge: None }
}

async fn unlimited(world: &World) -> Credential {
    world.ticket_for(&world.admin, NewTicket::default()).await
}

async fn machine(world: &World) -> Machine {
    let credential = unlimited(world).await;
    Machine::new(&world.store, &credential).await
}

async fn count_executed(store: &Store) -> usize {
    store.records().scan_all(&executed::executed()).await.unwrap().0.len()
}

async fn boots(world: &World) -> usize {
    let filter = BootFilter::default();
    world.store.list_boots(&world.admin, &filter, PageAsk::default()).await.unwrap().items.len()
}

#[tokio::test]
async fn a_statement_boots_once_on_any_server_and_after_a_restart() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let machine = machine(&world).await;
    let other = world.another().await;
    unlock(&other).await;
    let request = machine.request(BOOT, time(&world));
    let (first, second) =
        (request.arrive(&world.store).await.unwrap(), request.arrive(&other).await.unwrap());
    let (_, before) = world.kv.get(&[]).await.unwrap();
    let released = world.store.boot(&first, BootAsk::default()).await.unwrap();
    assert_eq!(variables(released), pairs(&[("ONE", "1")]));
    // What is remembered is a part of the boot's own commit.
    let (_, after) = world.kv.get(&[]).await.unwrap();
    assert_eq!((after - before, count_executed(&world.store).await), (1, 1));
    // The same request, which both servers had let in before.
    for (store, caller) in [(&world.store, &first), (&other, &second)] {
        assert_eq!(store.boot(caller, BootAsk::default()).await.unwrap_err().code(), Code::UsedProof);
    }
    let restarted = world.another().await;
    for store in [&world.store, &other, &restarted] {
        assert_eq!(request.arrive(store).await.unwrap_err(), Code::UsedProof);
    }
    assert_eq!(boots(&world).await, 1);
    // Another request of the same moment.
    let next = machine.request(BOOT, time(&world)).arrive(&other).await.unwrap();
    other.boot(&next, BootAsk::default()).await.unwrap();
    assert!(world.verification().await.ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_servers_that_execute_a_statement_at_once_one_does() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let machine = machine(&world).await;
    let other = world.another().await;
    unlock(&other).await;
    for _ in 0..20 {
        let request = machine.request(BOOT, time(&world));
        let mut callers = Vec::new();
        for store in [&world.store, &other, &world.store, &other] {
            callers.push((store.clone(), request.arrive(store).await.unwrap()));
        }
        let boot =
            |(store, caller): (Store, Caller)| async move { store.boot(&caller, BootAsk::default()).await };
        let tasks: Vec<_> = callers.into_iter().map(|caller| tokio::spawn(boot(caller))).collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => assert_eq!(error.code(), Code::UsedProof),
            }
        }
        assert_eq!(won, 1);
    }
    assert_eq!(boots(&world).await, 20);
}

#[tokio::test]
async fn only_the_holder_of_the_secret_proves_a_ticket() {
    let world = World::new().await;
    let credential = unlimited(&world).await;
    let other = |kind, id, secret| Credential::new(kind, id, Zeroizing::new(secret));
    for stranger in [
        other(CredentialKind::Ticket, credential.id, [1; 32]),
        other(CredentialKind::Ticket, [2; 16], *credential.expose_secret()),
        other(CredentialKind::Boot, credential.id, *credential.expose_secret()),
    ] {
        let request = Machine::new(&world.store, &stranger).await.request(BOOT, time(&world));
        assert_eq!(request.arrive(&world.store).await.unwrap_err(), Code::Unauthorized);
    }
    let machine = Machine::new(&world.store, &credential).await;
    let mut damaged = machine.request(BOOT, time(&world));
    damaged.proof.signature[0] ^= 1;
    assert_eq!(damaged.arrive(&world.store).await.unwrap_err(), Code::Unauthorized);
    // A statement for another store, which the same machine may have an identity of.
    let mut foreign = Machine::new(&world.store, &credential).await;
    foreign.0.answer_key = World::new().await.store.answer_key().await.unwrap();
    let request = foreign.request(BOOT, time(&world));
    let target = RequestTarget { method: "POST", path: BOOT, attempt: None };
    let own = Statement::new(world.store.answer_key().await.unwrap(), target, &request.proof.parts);
    let request = SentRequest { statement: own, ..request };
    assert_eq!(request.arrive(&world.store).await.unwrap_err(), Code::Unauthorized);

    assert!(machine.request(BOOT, time(&world)).arrive(&world.store).await.is_ok());
    world.store.revoke_ticket(&world.admin, credential.ticket_id()).await.unwrap();
    let request = machine.request(BOOT, time(&world));
    assert_eq!(request.arrive(&world.store).await.unwrap_err(), Code::Revoked);
}

/// A boot that was refused has executed nothing: the store remembers nothing of it.
#[tokio::test]
async fn a_refused_request_is_not_executed() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let machine = machine(&world).await;
    world.lock().await;
    let request = machine.request(BOOT, time(&world));
    let caller = request.arrive(&world.store).await.unwrap();
    assert_eq!(world.store.boot(&caller, BootAsk::default()).await.unwrap_err().code(), Code::Locked);
    assert_eq!(count_executed(&world.store).await, 0);
    world.unlock().await;
    world.store.boot(&caller, BootAsk::default()).await.unwrap();
    // This process remembers what it has answered, whatever the answer was.
    let request = machine.request(BOOT, time(&world));
    request.arrive(&world.store).await.unwrap();
    world.store.note_answered(request.statement.hash());
    assert_eq!(request.arrive(&world.store).await.unwrap_err(), Code::UsedProof);
    assert_eq!(count_executed(&world.store).await, 1);
}

#[tokio::test]
async fn a_statement_is_fresh_for_a_minute_by_its_own_time_or_by_a_challenge_of_any_server() {
    let world = World::new().await;
    let (machine, other) = (machine(&world).await, world.another().await);
    let now = time(&world).millis;
    let at = |millis, challenge| machine.request(BOOT, ProofTime { millis, challenge });
    for millis in [now, now - 60_000, now + 60_000] {
        assert!(at(millis, None).freshness(&world.store).is_ok(), "{millis}");
    }
    for millis in [now - 60_001, now + 60_001, 0, u64::MAX, 1 << 63] {
        let challenge = at(millis, None).freshness(&world.store).unwrap_err();
        // The same clock, and another server.
        assert!(at(millis, Some(challenge)).freshness(&other).is_ok(), "{millis}");
        // A challenge does not change the clock of other requests.
        assert!(at(millis, None).freshness(&other).is_err());
    }
    let challenge = at(0, None).freshness(&world.store).unwrap_err();
    for at_byte in [0, 7, 8, CHALLENGE - 1] {
        let mut forged = challenge;
        forged[at_byte] ^= 1;
        assert!(at(now, Some(forged)).freshness(&world.store).is_err(), "{at_byte}");
    }
    // Those of another store, and of another time.
    let foreign = World::on(Arc::new(Memory::new())).await;
    assert_eq!(foreign.clock.now(), world.clock.now());
    world.clock.advance(Duration::from_secs(60));
    assert!(at(0, Some(challenge)).freshness(&other).is_ok());
    world.clock.advance(Duration::from_millis(1));
    let next = at(now, Some(challenge)).freshness(&other).unwrap_err();
    assert!(at(0, Some(next)).freshness(&world.store).is_ok());
}

#[tokio::test]
async fn what_was_executed_is_forgotten_once_no_server_accepts_it() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let machine = machine(&world).await;
    // The longest life: a clock that is a minute ahead.
    let ahead = ProofTime { millis: time(&world).millis + 60_000, challenge: None };
    let request = machine.request(BOOT, ahead);
    let caller = request.arrive(&world.store).await.unwrap();
    world.store.boot(&caller, BootAsk::default()).await.unwrap();
    while request.freshness(&world.store).is_ok() {
        assert_eq!(request.arrive(&world.another().await).await.unwrap_err(), Code::UsedProof);
        world.clock.advance(Duration::from_secs(30));
    }
    world.clock.advance(Duration::from_secs(3600));
    world.store.inner.background.notify_one();
    eventually(|| async { count_executed(&world.store).await == 0 }).await;
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn explanations_reports_and_ends_are_executed_once_too() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let credential = unlimited(&world).await;
    let machine = Machine::new(&world.store, &credential).await;
    let arrive = async |machine: &Machine, path: &str| {
        machine.request(path, time(&world)).arrive(&world.store).await.unwrap()
    };
    let caller = arrive(&machine, "/v1/boot/explain").await;
    let explain = || world.store.explain(&caller, BootAsk::default());
    assert_eq!(explain().await.unwrap().receipt.count(), 1);
    assert_eq!(explain().await.unwrap_err().code(), Code::UsedProof);

    let caller = arrive(&machine, BOOT).await;
    let released = world.store.boot(&caller, BootAsk::default()).await.unwrap();
    let (boot, digest) = (released.boot, released.receipt.digest().to_string());
    let caller = arrive(&machine, "/v1/boots/x/report").await;
    let report = || world.store.report(&caller, boot, Report { digest: digest.clone(), variables: 3 });
    report().await.unwrap();
    assert_eq!(report().await.unwrap_err().code(), Code::UsedProof);

    let ender = Machine::new(&world.store, &released.end_credential).await;
    let caller = arrive(&ender, "/v1/boots/x/end").await;
    let end = |boot| world.store.end_boot(&caller, boot, Ending { status: Some(3), failed: false });
    end(boot).await.unwrap();
    assert_eq!(end(boot).await.unwrap_err().code(), Code::UsedProof);
    let ended = world.store.boot_record(&world.admin, boot).await.unwrap();
    assert_eq!(ended.end.unwrap().status, Some(3));
    // Repeating it with another proof changes nothing, as with a bearer credential.
    let again = arrive(&ender, "/v1/boots/x/end").await;
    world.store.end_boot(&again, boot, Ending::default()).await.unwrap();
    assert_eq!(count_executed(&world.store).await, 5);
    let filter = AuditFilter { any_of: vec![AuditAction::BootEnd], ..AuditFilter::default() };
    let entries = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap();
    assert_eq!(entries.items.len(), 1);
}

#[tokio::test]
async fn what_ends_a_boot_proves_the_end_of_this_boot_and_nothing_else() {
    let world = World::new().await;
    world.shared("one", "1").await;
    let ticket = world.ticket(&world.admin).await;
    let (one, two) = (
        world.store.boot(&ticket, BootAsk::default()).await.unwrap(),
        world.store.boot(&ticket, BootAsk::default()).await.unwrap(),
    );
    let ender = Machine::new(&world.store, &one.end_credential).await;
    let caller = ender.request("/v1/boots/x/end", time(&world)).arrive(&world.store).await.unwrap();
    let refused = world.store.end_boot(&caller, two.boot, Ending::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(world.store.boot(&caller, BootAsk::default()).await.unwrap_err().code(), Code::Forbidden);
    // The organization is a part of what is proven.
    let mut elsewhere = *one.end_credential.expose_secret();
    elsewhere[..16].copy_from_slice(OrgId::from_bytes([9; 16]).as_bytes());
    for (id, secret) in [
        (*one.boot.as_bytes(), elsewhere),
        (*BootId::from_bytes([9; 16]).as_bytes(), *one.end_credential.expose_secret()),
    ] {
        let forged = Credential::new(CredentialKind::Boot, id, Zeroizing::new(secret));
        let request = Machine::new(&world.store, &forged).await.request("/v1/boots/x/end", time(&world));
        assert_eq!(request.arrive(&world.store).await.unwrap_err(), Code::Unauthorized);
    }
}

#[tokio::test]
async fn a_ticket_of_an_older_version_is_a_bearer_credential_only() {
    let world = World::new().await;
    let credential = unlimited(&world).await;
    let key = tickets::ticket(credential.ticket_id());
    let made = world.store.journal().run(vec![key.to_vec()], move |tx| {
        let ticket: TicketRecord = tx.get(&key)?.unwrap();
        tx.put(&key, &TicketRecord { proof_key: None, ..ticket })?;
        Ok::<_, Stop<Failure>>(())
    });
    made.await.unwrap();
    let request = Machine::new(&world.store, &credential).await.request(BOOT, time(&world));
    assert_eq!(request.arrive(&world.store).await.unwrap_err(), Code::Unauthorized);
    assert!(world.store.authenticate(&credential, None).await.is_ok());
}

#[tokio::test]
async fn every_server_of_a_store_has_one_answer_key_also_one_of_an_older_format() {
    let world = World::new().await;
    let key = world.store.answer_key().await.unwrap();
    assert_eq!(world.another().await.answer_key().await.unwrap(), key);
    world.store.reencrypt_compromised(&world.operator).await.unwrap();
    finished(&world.store, &world.admin).await;
    // Tickets name it, so that no change of the other keys may change it.
    assert_eq!(world.another().await.answer_key().await.unwrap(), key);

    let keys = world.store.keys_record().await.unwrap();
    put_keys(&world, KeysRecord { answer: None, ..keys }).await;
    let (one, two) = tokio::join!(world.another(), world.another());
    let made = one.answer_key().await.unwrap();
    assert_ne!(made, key);
    assert_eq!(two.answer_key().await.unwrap(), made);
    assert_eq!(world.another().await.answer_key().await.unwrap(), made);
    assert!(world.verification().await.ok);
    assert_eq!(format!("{:?}", AnswerSeed::from_bytes(&[1; 32])), "AnswerSeed([redacted])");
}
