//! Both sides against each other and against published vectors; nothing else than the answer of the store is accepted.

use ml_kem::kem::KeyExport;
use ml_kem::{DecapsulationKey768, Seed};
use proptest::prelude::*;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::answer::{AnswerContent, AnswerError, SealedAnswer, signed_list};
use super::one_time_key::{OneTimeKey, combine, key_schedule, open_base};
use super::proof::RequestProof;
use super::prover::{PendingAnswer, ProofTime, Prover};
use super::responder::{AnswerSeed, AnswerSigner, AnsweredRequest, is_signed, public_key};
use super::statement::{ProofSubject, RequestTarget, Statement, StatementParts, digest, signing_seed};
use super::*;
use crate::crypto::hpke::XWingKey;
use crate::crypto::memory::Key32;
use crate::crypto::random::Kernel;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::OrgId;
use crate::domain::location::AnswerKey;

const TARGET: RequestTarget<'static> =
    RequestTarget { method: "POST", path: "/v1/boot", attempt: Some("key") };
const BODY: &[u8] = b"{}";
const TIME: ProofTime = ProofTime { millis: 1_800_000_000_000, challenge: None };

fn signer() -> AnswerSigner {
    AnswerSigner::new(&AnswerSeed::from_bytes(&[1; 32]))
}

fn ticket() -> Credential {
    Credential::new(CredentialKind::Ticket, [2; 16], Zeroizing::new([3; 32]))
}

fn prover(credential: &Credential) -> Prover {
    Prover::of_credential(credential, signer().public()).unwrap()
}

/// A request as the store receives it, and what opens the answer.
fn request() -> (RequestProof, PendingAnswer) {
    let (text, pending) = prover(&ticket()).prove(TARGET, BODY, TIME, &mut Kernel).unwrap();
    (RequestProof::parse(&text).unwrap(), pending)
}

fn statement(proof: &RequestProof) -> Statement {
    Statement::new(signer().public(), TARGET, &proof.parts)
}

fn answer(proof: &RequestProof, by: &AnswerSigner, body: &[u8]) -> Vec<u8> {
    let hash = statement(proof).hash();
    let request = AnsweredRequest::new(hash, proof.signature, &proof.parts.one_time_key).unwrap();
    by.answer(&request, &AnswerContent { status: 200, retry_after: None, body }, &mut Kernel).unwrap()
}

#[test]
fn an_agent_reads_the_answer_to_its_own_request() {
    let (proof, pending) = request();
    let key = public_key(&signing_seed(&ticket()).unwrap());
    assert!(is_signed(&statement(&proof), &key, &proof.signature));
    assert_eq!(proof.parts.body_digest, digest(BODY));
    let opened = pending.open(&answer(&proof, &signer(), b"canary")).unwrap();
    let content = opened.content();
    assert_eq!((content.status, content.retry_after, content.body), (200, None, b"canary".as_slice()));
}

#[test]
fn each_part_of_a_request_is_signed() {
    let (proof, _) = request();
    let key = public_key(&signing_seed(&ticket()).unwrap());
    let own = signer().public();
    let is_signed = |answer_key, target, parts: &StatementParts| {
        is_signed(&Statement::new(answer_key, target, parts), &key, &proof.signature)
    };
    assert!(is_signed(own, TARGET, &proof.parts));
    assert!(!is_signed(AnswerKey([0; 32]), TARGET, &proof.parts));
    for target in [
        RequestTarget { method: "PUT", ..TARGET },
        RequestTarget { path: "/v1/boot/explain", ..TARGET },
        RequestTarget { path: "/v1/boot?", ..TARGET },
        RequestTarget { attempt: Some("other"), ..TARGET },
        RequestTarget { attempt: None, ..TARGET },
    ] {
        assert!(!is_signed(own, target, &proof.parts), "{target:?}");
    }
    let other = Credential::new(CredentialKind::Ticket, [9; 16], Zeroizing::new([3; 32]));
    let parts = proof.parts.clone();
    for parts in [
        StatementParts { subject: ProofSubject::of(&other).unwrap(), ..parts.clone() },
        StatementParts { millis: parts.millis + 1, ..parts.clone() },
        StatementParts { challenge: Some([0; CHALLENGE]), ..parts.clone() },
        StatementParts { body_digest: digest(b"{ }"), ..parts.clone() },
        StatementParts { one_time_key: Box::new([0; ONE_TIME_KEY]), ..parts },
    ] {
        assert!(!is_signed(own, TARGET, &parts), "{parts:?}");
    }
}

#[test]
fn the_secrets_of_two_kinds_or_ids_give_different_keys() {
    let mut keys: Vec<_> =
        [(CredentialKind::Ticket, 1), (CredentialKind::Ticket, 2), (CredentialKind::Boot, 1)]
            .map(|(kind, id)| Credential::new(kind, [id; 16], Zeroizing::new([3; 32])))
            .iter()
            .map(|credential| public_key(&signing_seed(credential).unwrap()))
            .collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3);
    for kind in [CredentialKind::Operator, CredentialKind::Member, CredentialKind::Enrolment] {
        let credential = Credential::new(kind, [1; 16], Zeroizing::new([3; 32]));
        assert!(signing_seed(&credential).is_none() && ProofSubject::of(&credential).is_none());
    }
    // The id of the organization is in the secret of what ends a boot, and is stated.
    let mut secret = Zeroizing::new([7; 32]);
    secret[..16].copy_from_slice(&[5; 16]);
    let boot = Credential::new(CredentialKind::Boot, [1; 16], secret);
    let ProofSubject::Boot { org, .. } = ProofSubject::of(&boot).unwrap() else { panic!() };
    assert_eq!(org, OrgId::from_bytes([5; 16]));
}

#[test]
fn what_is_not_the_answer_of_the_store_to_this_request_is_refused() {
    let refusal = |pending: PendingAnswer, bytes: &[u8]| pending.open(bytes).err().unwrap();
    // The answer to another request, even of the same machine with the same content.
    let ((proof, _), (_, other)) = (request(), request());
    assert_eq!(refusal(other, &answer(&proof, &signer(), BODY)), AnswerError::OtherRequest);
    // Sealed by somebody else, who has the whole request.
    let (proof, pending) = request();
    let foreign = AnswerSigner::new(&AnswerSeed::from_bytes(&[9; 32]));
    assert_eq!(refusal(pending, &answer(&proof, &foreign, BODY)), AnswerError::Signature);
    // The true answer to the same statement with a damaged signature, as a refusal would be.
    let (mut proof, pending) = request();
    proof.signature[0] ^= 1;
    assert_eq!(refusal(pending, &answer(&proof, &signer(), BODY)), AnswerError::Signature);
    for bytes in [&b""[..], b"{}", &[1; 100]] {
        assert_eq!(refusal(request().1, bytes), AnswerError::Form);
    }
}

#[test]
fn an_answer_that_is_signed_for_another_key_does_not_open() {
    let (proof, pending) = request();
    let key = OneTimeKey::generate(&mut Kernel).unwrap();
    let (enc, ciphertext) = XWingKey::parse(key.public()).unwrap().seal(b"", b"", b"", &mut Kernel).unwrap();
    let hash = statement(&proof).hash();
    let signed = signed_list(&hash, &proof.signature, &enc, &ciphertext);
    let seed = Key32::copy_of(&[1; 32]);
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(seed.expose()).unwrap();
    let signature = pair.sign(signed.as_bytes()).as_ref().try_into().unwrap();
    let bytes = SealedAnswer { hash: &hash, enc: &enc, signature: &signature, ciphertext: &ciphertext };
    assert_eq!(pending.open(&bytes.encode()).err(), Some(AnswerError::Sealed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_changed_byte_of_an_answer_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
        let (proof, pending) = request();
        let mut bytes = answer(&proof, &signer(), b"a value");
        let at = at.index(bytes.len());
        match cut {
            true => bytes.truncate(at),
            false => bytes[at] ^= 1 << bit,
        }
        prop_assert!(pending.open(&bytes).is_err());
    }
}

#[test]
fn a_key_that_is_no_encapsulation_key_gets_no_answer() {
    // Coefficients of ML-KEM are below 3329 (FIPS 203, section 7.2).
    assert!(AnsweredRequest::new([0; 32], [0; SIGNATURE], &[0xff; ONE_TIME_KEY]).is_none());
}

/// The bytes that other implementations have to build: any change of them is a new version.
#[test]
fn statements_keys_and_signatures_stay_as_they_are() {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let parts = |credential: &Credential, challenge| StatementParts {
        subject: ProofSubject::of(credential).unwrap(),
        millis: TIME.millis,
        challenge,
        body_digest: digest(BODY),
        one_time_key: Box::new([4; ONE_TIME_KEY]),
    };
    let boot = Credential::new(CredentialKind::Boot, [5; 16], Zeroizing::new([6; 32]));
    let challenged = parts(&boot, Some([7; CHALLENGE]));
    let end = RequestTarget { method: "POST", path: "/v1/boots/x/end", attempt: None };
    let written = [
        hex(&signer().public().0),
        hex(&public_key(&signing_seed(&ticket()).unwrap())),
        hex(&public_key(&signing_seed(&boot).unwrap())),
        hex(&Statement::new(signer().public(), TARGET, &parts(&ticket(), None)).hash()),
        hex(&Statement::new(signer().public(), end, &challenged).hash()),
        hex(&digest(signed_list(&[8; 32], &[9; SIGNATURE], &[10; ENCAPSULATED], b"ciphertext").as_bytes())),
    ];
    // Computed by another program from the description of the module.
    let expected = [
        "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "5875ec9ea2f200bdff44703921dd357d41174969c44681520de6cabe09e94ae0",
        "d4af233ddee53158363f13a636062b836c58b84bfe61da0ff3d5aeea991870c9",
        "5ed4cd46e1df7cabd33dc1380e28fcdfa5cc721a7dd010e8d5c84b032c86e25d",
        "4a3f35520d582a450ec55637bfdedad976de2f81fe687617bd9e18d90f46e7f3",
        "b141dba44c4ccd245b04602f30789ee62cad7b4703ac0b5fedc1dd3f818f83cd",
    ];
    assert_eq!(written, expected);
}

#[derive(Deserialize)]
struct XWingVectors {
    x_wing: Vec<XWingVector>,
    hpke: HpkePqVector,
}

#[derive(Deserialize)]
struct XWingVector {
    expanded: String,
    eseed: String,
    ss: String,
    pk_sha256: String,
    ct_sha256: String,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the names of the draft")]
struct HpkePqVector {
    info: String,
    ikmE: String,
    expanded: String,
    pkRm_sha256: String,
    enc_sha256: String,
    shared_secret: String,
    key: String,
    base_nonce: String,
    aad: String,
    pt: String,
    ct: String,
}

fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn vectors() -> XWingVectors {
    serde_json::from_str(include_str!("../../../tests/vectors/xwing.json")).unwrap()
}

/// A private key in the form that the draft expands a seed to.
struct ExpandedKey {
    ml_kem: DecapsulationKey768,
    x25519: [u8; 32],
}

impl ExpandedKey {
    fn new(expanded: &str) -> Self {
        let bytes = unhex(expanded);
        let mut seed = Seed::default();
        seed.copy_from_slice(&bytes[..64]);
        Self { ml_kem: DecapsulationKey768::from_seed(seed), x25519: bytes[64..].try_into().unwrap() }
    }

    fn public(&self) -> [u8; ONE_TIME_KEY] {
        let point = x25519_dalek::x25519(self.x25519, x25519_dalek::X25519_BASEPOINT_BYTES);
        let ml_kem = self.ml_kem.encapsulation_key().to_bytes();
        [ml_kem.as_slice(), &point].concat().try_into().unwrap()
    }

    /// The shared secret, as the agent combines it.
    fn decapsulate(&self, enc: &[u8; ENCAPSULATED]) -> Key32 {
        use ml_kem::kem::Decapsulate as _;

        let (ciphertext, point) = enc.split_at(1088);
        let shared = self.ml_kem.decapsulate_slice(ciphertext).unwrap();
        let exchanged = x25519_dalek::x25519(self.x25519, point.try_into().unwrap());
        combine(&shared, &exchanged, point, &self.public()[1184..])
    }
}

/// Encapsulates with known randomness, as the store does.
fn seal_with(eseed: &str, public: &[u8; ONE_TIME_KEY], parts: [&[u8]; 3]) -> ([u8; ENCAPSULATED], Vec<u8>) {
    let mut left = unhex(eseed);
    let mut rng = |out: &mut [u8]| out.copy_from_slice(&left.drain(..out.len()).collect::<Vec<_>>());
    let [info, aad, plaintext] = parts;
    XWingKey::parse(public).unwrap().seal(info, aad, plaintext, &mut rng).unwrap()
}

#[test]
fn x_wing_is_that_of_the_draft() {
    for vector in vectors().x_wing {
        let key = ExpandedKey::new(&vector.expanded);
        assert_eq!(digest(&key.public()).to_vec(), unhex(&vector.pk_sha256));
        let (enc, _) = seal_with(&vector.eseed, &key.public(), [b"", b"", b""]);
        assert_eq!(digest(&enc).to_vec(), unhex(&vector.ct_sha256));
        assert_eq!(key.decapsulate(&enc).expose().to_vec(), unhex(&vector.ss));
    }
}

#[test]
fn hpke_with_x_wing_is_that_of_the_draft() {
    let vector = vectors().hpke;
    let key = ExpandedKey::new(&vector.expanded);
    assert_eq!(digest(&key.public()).to_vec(), unhex(&vector.pkRm_sha256));
    let (info, aad, pt) = (unhex(&vector.info), unhex(&vector.aad), unhex(&vector.pt));
    let (enc, ct) = seal_with(&vector.ikmE, &key.public(), [&info, &aad, &pt]);
    assert_eq!(digest(&enc).to_vec(), unhex(&vector.enc_sha256));
    assert_eq!(ct, unhex(&vector.ct));
    let shared = key.decapsulate(&enc);
    assert_eq!(shared.expose().to_vec(), unhex(&vector.shared_secret));
    let (derived, nonce) = key_schedule(&shared, &info).unwrap();
    assert_eq!((derived.expose().to_vec(), nonce.to_vec()), (unhex(&vector.key), unhex(&vector.base_nonce)));
    assert_eq!(*open_base(&shared, &info, &aad, &ct).unwrap(), pt);
    assert!(open_base(&shared, &info, b"", &ct).is_none());
}
