//! Boots without a pin: nothing but a signed answer counts, and no bearer secret is sent.

use std::sync::Mutex;
use std::time::Duration;

use super::{LONG, SHORT, is_denial, released};
use crate::client::boot::*;
use crate::client::error::CallOutage;
use crate::client::tests::mock_server::{
    MockAction, MockServer, RecordedRequest, TestCertificate, json, raw,
};
use crate::client::timer::SystemTimer;
use crate::crypto::random::Kernel;
use crate::crypto::sealed_release::answer::AnswerContent;
use crate::crypto::sealed_release::proof::RequestProof;
use crate::crypto::sealed_release::responder::{
    AnswerSeed, AnswerSigner, AnsweredRequest, is_signed, public_key,
};
use crate::crypto::sealed_release::statement::{RequestTarget, Statement, signing_seed};
use crate::domain::credential::CredentialKind;
use crate::domain::location::AnswerKey;
use crate::domain::ticket::BootTicket;
use crate::domain::time::Timestamp;
use crate::wire::{Code, Problem, render_challenge};

/// A store whose answer key has this seed.
pub(super) struct MockStore(AnswerSigner);

impl MockStore {
    pub(super) fn new(seed: u8) -> Self {
        Self(AnswerSigner::new(&AnswerSeed::from_bytes(&[seed; 32])))
    }

    pub(super) fn public(&self) -> AnswerKey {
        self.0.public()
    }

    /// Whether the holder of `key` has signed the request.
    pub(super) fn is_signed(&self, request: &RecordedRequest, proof: &RequestProof, key: &[u8; 32]) -> bool {
        is_signed(&self.statement(request, proof), key, &proof.signature)
    }

    pub(super) fn proof(request: &RecordedRequest) -> RequestProof {
        let text = request.header("authorization").unwrap().strip_prefix("Dropsafe-Proof ").unwrap();
        RequestProof::parse(text).unwrap()
    }

    fn statement(&self, request: &RecordedRequest, proof: &RequestProof) -> Statement {
        let path = request.line().split(' ').nth(1).unwrap();
        let target = RequestTarget { method: "POST", path, attempt: request.header("idempotency-key") };
        Statement::new(self.0.public(), target, &proof.parts)
    }

    /// Seals an answer with this status.
    pub(super) fn answer(
        &self,
        request: &RecordedRequest,
        status: u16,
        body: &impl serde::Serialize,
    ) -> Vec<MockAction> {
        let proof = Self::proof(request);
        let hash = self.statement(request, &proof).hash();
        let answered = AnsweredRequest::new(hash, proof.signature, &proof.parts.one_time_key).unwrap();
        let body = serde_json::to_vec(body).unwrap();
        let content = AnswerContent { status, retry_after: Some(1), body: &body };
        sealed(&self.0.answer(&answered, &content, &mut Kernel).unwrap())
    }
}

fn sealed(bytes: &[u8]) -> Vec<MockAction> {
    let length = bytes.len();
    let head = format!(
        "HTTP/1.1 200 X\r\ncontent-type: application/vnd.dropsafe.sealed\r\ncontent-length: {length}\r\n\r\n"
    );
    vec![MockAction::Bytes([head.as_bytes(), bytes].concat())]
}

pub(super) fn ticket(urls: &[String]) -> BootTicket {
    super::ticket(urls, None).with_answer_key(MockStore::new(1).0.public())
}

/// Boots against a server on loopback, without a pin.
async fn boot_against(
    deadline: Duration,
    answers: impl Fn(usize, &RecordedRequest) -> Vec<MockAction> + Send + Sync + 'static,
) -> (Result<BootResponse, BootCallError>, Vec<RecordedRequest>) {
    let server = MockServer::new(answers);
    let ticket = ticket(&[format!("http://{}", server.on_loopback().await)]);
    let options = BootOptions { deadline, authorities: None };
    let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
    (result.map(|(response, _)| response), server.requests())
}

fn last(result: Result<BootResponse, BootCallError>) -> CallOutage {
    super::outage(result)
}

#[tokio::test]
async fn a_machine_without_a_pin_proves_itself_and_sends_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let identity = TestCertificate::named("localhost");
    std::fs::write(&file, identity.pem()).unwrap();
    let server = MockServer::new(|_, request| MockStore::new(1).answer(request, 200, &released()));
    let address = server.on_tls(&identity).await;
    let ticket = ticket(&[format!("https://localhost:{}", address.port())]);
    let options = BootOptions { deadline: LONG, authorities: Some(file) };
    let mut timer = SystemTimer::start();
    let (response, session) = boot(&ticket, &BootRequest::default(), &options, &mut timer).await.unwrap();
    assert_eq!(response.count, 1);
    session.report_nowait(&ReportBootRequest { digest: "00".into(), variables: 3 }).await;
    while server.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let key = public_key(&signing_seed(ticket.credential()).unwrap());
    for request in server.requests() {
        let proof = MockStore::proof(&request);
        assert!(is_signed(&MockStore::new(1).statement(&request, &proof), &key, &proof.signature));
        let secret = ticket.credential().to_text();
        assert!(!request.head.contains(&secret[4..]) && !request.body.contains(&secret[4..]));
    }
    assert_eq!(server.requests()[1].line(), "POST /v1/boots/boot_aaaaaaaaaaaaaaaaaaaaaaaaaa/report HTTP/1.1");
    assert_eq!(server.requests()[1].header("idempotency-key"), None);
}

#[tokio::test]
async fn a_pin_is_as_good_as_ever_and_each_address_has_its_own_form() {
    let identity = TestCertificate::named("localhost");
    let server = MockServer::new(|_, request| match request.header("authorization") {
        Some(bearer) if bearer.starts_with("Bearer dsc_") => json(200, "", &released()),
        _ => MockStore::new(1).answer(request, 200, &released()),
    });
    let (tls, plain) = (server.on_tls(&identity).await, server.on_loopback().await);
    for url in [format!("https://{tls}#{}", identity.pin()), format!("http://{plain}")] {
        let options = BootOptions { deadline: LONG, authorities: None };
        let mut timer = SystemTimer::start();
        boot(&ticket(&[url]), &BootRequest::default(), &options, &mut timer).await.unwrap();
    }
    let schemes: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.header("authorization").unwrap()[..6].to_owned())
        .collect();
    assert_eq!(schemes, ["Bearer", "Dropsa"]);
}

#[tokio::test]
async fn without_a_pin_and_an_answer_key_nothing_is_sent_over_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let identity = TestCertificate::named("localhost");
    std::fs::write(&file, identity.pem()).unwrap();
    let server = MockServer::new(|_, _| json(200, "", &released()));
    let address = server.on_tls(&identity).await;
    let ticket = super::ticket(&[format!("https://localhost:{}", address.port())], None);
    let options = BootOptions { deadline: LONG, authorities: Some(file) };
    let result = boot(&ticket, &BootRequest::default(), &options, &mut SystemTimer::start()).await;
    let error = result.map(|(response, _)| response).unwrap_err();
    assert!(matches!(error, BootCallError::Refused(CallRefusal::NoAnswerKey { .. })), "{error:?}");
    assert!(error.hint().is_some() && !is_denial(&error) && server.requests().is_empty());
    let BootCallError::Refused(refused) = error else { unreachable!() };
    assert_eq!(refused.exit(), crate::process::Exit::Configuration);
}

#[tokio::test]
async fn whatever_is_not_signed_by_the_store_for_this_request_is_an_outage() {
    let first: &'static Mutex<Option<RecordedRequest>> = Box::leak(Box::default());
    let problem = |code: Code| Problem::new(code, "said");
    type Answers = Box<dyn Fn(usize, &RecordedRequest) -> Vec<MockAction> + Send + Sync>;
    let cases: Vec<(&str, Answers)> = vec![
        ("a plain release", Box::new(|_, _| json(200, "", &released()))),
        ("a denial", Box::new(move |_, _| json(401, "", &problem(Code::Revoked)))),
        ("another denial", Box::new(move |_, _| json(403, "", &problem(Code::TicketSpent)))),
        ("a fault of the request", Box::new(move |_, _| json(422, "", &problem(Code::Unprocessable)))),
        (
            "a redirect",
            Box::new(|_, _| raw("HTTP/1.1 302 X\r\nlocation: https://evil\r\ncontent-length: 0\r\n\r\n")),
        ),
        ("no HTTP", Box::new(|_, _| raw("SSH-2.0-OpenSSH\r\n"))),
        ("no length", Box::new(|_, _| raw("HTTP/1.1 200 X\r\n\r\n"))),
        ("a huge body", Box::new(|_, _| raw("HTTP/1.1 200 X\r\ncontent-length: 99999999999\r\n\r\n"))),
        ("nothing", Box::new(|_, _| vec![MockAction::Close])),
        ("an empty answer", Box::new(|_, _| sealed(b""))),
        (
            "an answer signed by somebody else",
            Box::new(|_, request| MockStore::new(2).answer(request, 200, &released())),
        ),
        (
            "a denial signed by somebody else",
            Box::new(move |_, request| MockStore::new(2).answer(request, 401, &problem(Code::Revoked))),
        ),
        (
            "the answer to an earlier request",
            Box::new(|_, request| {
                let earlier = first.lock().unwrap().get_or_insert_with(|| request.clone()).clone();
                // The first one is dropped, and its answer given to all that follow.
                if earlier == *request {
                    vec![MockAction::Close]
                } else {
                    MockStore::new(1).answer(&earlier, 200, &released())
                }
            }),
        ),
        ("a status that is none", Box::new(|_, request| MockStore::new(1).answer(request, 7, &released()))),
    ];
    for (what, answers) in cases {
        let (result, requests) = boot_against(SHORT, answers).await;
        let error = result.unwrap_err();
        assert!(matches!(error, BootCallError::Outage { .. }) && !is_denial(&error), "{what}: {error:?}");
        assert!(!error.to_string().contains("said"), "{what}: {error}");
        assert!(requests.len() > 1, "{what}: it was not tried again");
        // No two tries are the same request.
        let proofs: Vec<_> = requests.iter().map(|request| request.header("authorization")).collect();
        assert!(
            proofs
                .windows(2)
                .all(|pair| pair[0] != pair[1] && pair[1].unwrap().starts_with("Dropsafe-Proof ")),
            "{what}"
        );
    }
}

#[tokio::test]
async fn what_the_store_signs_counts_as_it_does_over_a_pin() {
    let denied = |code: Code| async move {
        let problem = Problem::new(code, "the ticket was revoked").hint("ask for a new ticket");
        let (result, requests) =
            boot_against(SHORT, move |_, request| MockStore::new(1).answer(request, code.status(), &problem))
                .await;
        (result, requests.len())
    };
    let (result, requests) = denied(Code::Revoked).await;
    let error = result.unwrap_err();
    assert!(is_denial(&error) && requests == 1, "{error:?}");
    assert_eq!(error.hint(), Some("ask for a new ticket"));
    let (result, requests) = denied(Code::Locked).await;
    let locked = last(result);
    assert!(matches!(&locked, CallOutage::Status { status: 503, retry_after: Some(_), .. }), "{locked:?}");
    assert!(requests > 1);
    // Somebody who drops answers can bring this about.
    let (result, _) = denied(Code::TriesSpent).await;
    assert!(matches!(last(result), CallOutage::NoTryLeft(_)));
}

/// The time of day is as wrong as that of a machine that has just booted.
struct WrongClock(SystemTimer);

impl Timer for WrongClock {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&mut self, time: Duration) -> impl Future<Output = ()> + Send {
        self.0.sleep(time)
    }

    fn wall_clock(&self) -> Timestamp {
        Timestamp::from_millis(7)
    }

    fn random(&mut self) -> u64 {
        0
    }
}

#[tokio::test]
async fn a_machine_with_a_wrong_clock_answers_a_challenge_and_keeps_it_for_its_report() {
    let server = MockServer::new(|_, request| match MockStore::proof(request).parts.challenge {
        None => {
            assert_eq!(MockStore::proof(request).parts.millis, 7);
            let challenge = format!("www-authenticate: {}\r\n", render_challenge(&[9; 24]));
            json(401, &challenge, &Problem::new(Code::StaleProof, ""))
        }
        Some(_) => MockStore::new(1).answer(request, 200, &released()),
    });
    let ticket = ticket(&[format!("http://{}", server.on_loopback().await)]);
    let options = BootOptions { deadline: LONG, authorities: None };
    let mut timer = WrongClock(SystemTimer::start());
    let (_, session) = boot(&ticket, &BootRequest::default(), &options, &mut timer).await.unwrap();
    session.report_nowait(&ReportBootRequest { digest: "00".into(), variables: 3 }).await;
    while server.requests().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let requests = server.requests();
    let challenges: Vec<_> =
        requests.iter().map(|request| MockStore::proof(request).parts.challenge).collect();
    assert_eq!(challenges, [None, Some([9; 24]), Some([9; 24])]);
    // The same boot.
    assert_eq!(requests[0].header("idempotency-key"), requests[1].header("idempotency-key"));

    // Somebody who only ever sends challenges.
    let (result, requests) = boot_against(SHORT, |_, _| {
        let challenge = format!("www-authenticate: {}\r\n", render_challenge(&[8; 24]));
        json(401, &challenge, &Problem::new(Code::StaleProof, ""))
    })
    .await;
    assert!(matches!(last(result), CallOutage::Unsigned { status: 401, code: Some(Code::StaleProof), .. }));
    assert!(requests.len() < 40, "it goes round in circles");
}

#[tokio::test]
async fn the_end_of_a_boot_is_proven_too() {
    let server = MockServer::new(|_, request| MockStore::new(1).answer(request, 204, &()));
    let url = format!("http://{}", server.on_loopback().await);
    let credential = Credential::new(CredentialKind::Boot, [1; 16], zeroize::Zeroizing::new([2; 32]));
    let answer_key = Some(MockStore::new(1).0.public());
    let target = EndTarget { addresses: vec![&url], authorities: None, answer_key };
    end_boot(&target, &credential, &EndBootRequest::default(), LONG).await.unwrap();
    let [request] = server.requests().try_into().unwrap();
    let proof = MockStore::proof(&request);
    let key = public_key(&signing_seed(&credential).unwrap());
    assert!(is_signed(&MockStore::new(1).statement(&request, &proof), &key, &proof.signature));
    assert!(!request.head.contains("dsb_"));
}
