//! Boots with tokens of an issuer: which form they take, and that none is sent where somebody in between could use it.

use std::sync::Mutex;

use data_encoding::BASE64URL_NOPAD;

use super::sealed::MockStore;
use super::{LONG, SHORT, outage, refusal, released};
use crate::client::boot::*;
use crate::client::error::{CallError, TokenFault};
use crate::client::tests::mock_server::{MockServer, RecordedRequest, TestCertificate, json};
use crate::client::timer::SystemTimer;
use crate::crypto::sealed_release::statement::{ProofSubject, digest};
use crate::crypto::sealed_release::thumbprint;
use crate::domain::card::StoreCard;
use crate::domain::id::{IdentityId, StoreId};
use crate::domain::location::{AnswerKey, StoreLocation};
use crate::domain::pin::PinPair;

const AUDIENCE: &str = "dropsafe:x";
const IDENTITY: IdentityId = IdentityId::from_bytes([2; 16]);

/// Gives tokens that end with 1, 2 and so on, after `faults`.
struct FakeTokens {
    is_bindable: bool,
    faults: Mutex<Vec<CallError>>,
    /// The audiences that it was asked for.
    audiences: Mutex<Vec<String>>,
}

impl FakeTokens {
    fn new(is_bindable: bool, faults: Vec<CallError>) -> Self {
        Self { is_bindable, faults: faults.into(), audiences: Mutex::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.audiences.lock().unwrap().clone()
    }
}

impl TokenProvider for FakeTokens {
    fn accepts_any_audience(&self) -> bool {
        self.is_bindable
    }

    fn fetch<'a>(&'a self, audience: &'a str, _: Duration) -> TokenFuture<'a> {
        let mut asked = self.audiences.lock().unwrap();
        asked.push(audience.to_owned());
        let bound = audience.contains('#');
        let claims = if bound { for_audience(audience) } else { "e30".to_owned() };
        let token = IssuerToken::parse(&format!("e30.{claims}.{}", asked.len())).unwrap();
        let fault = self.faults.lock().unwrap().pop();
        Box::pin(async { fault.map_or(Ok(token), Err) })
    }
}

/// The claims of a token for `audience`, as a token has them.
fn for_audience(audience: &str) -> String {
    BASE64URL_NOPAD.encode(format!(r#"{{"aud":"{audience}"}}"#).as_bytes())
}

fn card(urls: &[String], pins: Option<PinPair>) -> StoreCard {
    let key: AnswerKey = MockStore::new(1).public();
    let location = StoreLocation::new(urls.to_vec(), pins, Some(key)).unwrap();
    StoreCard::new(StoreId::from_bytes([1; 16]), IDENTITY, location).unwrap()
}

async fn boot_with(
    card: &StoreCard,
    tokens: &FakeTokens,
    authorities: Option<PathBuf>,
    deadline: Duration,
) -> Result<(BootResponse, BootSession), BootCallError> {
    let proof = BootProof::Token(TokenProof { card, audience: AUDIENCE, tokens });
    let options = BootOptions { deadline, authorities };
    boot(proof, &BootRequest::default(), &options, &mut SystemTimer::start()).await
}

async fn report(session: BootSession, server: &MockServer) -> Vec<RecordedRequest> {
    let before = server.requests().len();
    session.report_nowait(&ReportBootRequest { digest: "00".into(), variables: 3 }).await;
    while server.requests().len() == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.requests()
}

#[tokio::test]
async fn a_pin_makes_a_token_a_bearer_token() {
    let identity = TestCertificate::named("localhost");
    let server = MockServer::new(|_, _| json(200, "", &released()));
    let address = server.on_tls(&identity).await;
    let urls = [format!("https://localhost:{}", address.port())];
    for (round, is_bindable) in [false, true].into_iter().enumerate() {
        let tokens = FakeTokens::new(is_bindable, vec![]);
        let (_, session) =
            boot_with(&card(&urls, Some(identity.pin().into())), &tokens, None, LONG).await.unwrap();
        for request in &report(session, &server).await[2 * round..] {
            assert_eq!(request.header("authorization"), Some("Bearer e30.e30.1"));
            assert_eq!(request.header("dropsafe-identity").unwrap(), IDENTITY.to_string());
            assert_eq!(request.header("dropsafe-token"), None);
        }
        assert_eq!(tokens.asked(), [AUDIENCE]);
    }
}

#[tokio::test]
async fn without_a_pin_a_token_that_cannot_be_bound_is_not_even_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let identity = TestCertificate::named("localhost");
    std::fs::write(&file, identity.pem()).unwrap();
    let server = MockServer::new(|_, _| json(200, "", &released()));
    let url = format!("https://localhost:{}", server.on_tls(&identity).await.port());
    let tokens = FakeTokens::new(false, vec![]);
    let result = boot_with(&card(std::slice::from_ref(&url), None), &tokens, Some(file.clone()), LONG).await;
    let refused = refusal(result.map(|(response, _)| response));
    assert_eq!(refused, CallRefusal::TokenNeedsPin { address: url.clone() });
    assert_eq!((tokens.asked().len(), server.requests().len()), (0, 0));
    // Another address with a pin of its own is used, and only that one.
    let pinned = format!("{url}#{}", identity.pin());
    for _ in 0..4 {
        let both = card(&[url.clone(), pinned.clone()], None);
        boot_with(&both, &tokens, Some(file.clone()), LONG).await.unwrap();
    }
    assert!(server.requests().iter().all(|request| request.header("dropsafe-identity").is_some()));
    // Within this machine, nobody is in between.
    let local = MockServer::new(|_, _| json(200, "", &released()));
    let url = format!("http://{}", local.on_loopback().await);
    boot_with(&card(&[url], None), &tokens, None, LONG).await.unwrap();
    assert!(local.requests()[0].header("authorization").unwrap().starts_with("Bearer "));
}

#[tokio::test]
async fn a_token_is_bound_to_the_key_that_proves_the_request() {
    let server = MockServer::new(|_, request| MockStore::new(1).answer(request, 200, &released()));
    let url = format!("http://{}", server.on_loopback().await);
    let tokens = FakeTokens::new(true, vec![]);
    let (_, session) = boot_with(&card(&[url], None), &tokens, None, LONG).await.unwrap();
    let requests = report(session, &server).await;
    for request in &requests {
        let proof = MockStore::proof(request);
        let ProofSubject::Token { identity, key, token_digest } = proof.parts.subject else { panic!() };
        let token = format!("e30.{}.1", for_audience(&tokens.asked()[0]));
        assert_eq!((identity, token_digest), (IDENTITY, digest(token.as_bytes())));
        assert_eq!(request.header("dropsafe-token"), Some(token.as_str()));
        assert_eq!(request.header("dropsafe-identity"), None);
        assert!(MockStore::new(1).is_signed(request, &proof, &key));
        assert_eq!(tokens.asked(), [format!("{AUDIENCE}#{}", thumbprint(&key))]);
    }
    // The report is proven anew, with the same key.
    assert_ne!(MockStore::proof(&requests[0]).signature, MockStore::proof(&requests[1]).signature);
}

#[tokio::test]
async fn a_source_is_asked_again_after_an_outage_only() {
    let server = MockServer::new(|_, _| json(200, "", &released()));
    let card = card(&[format!("http://{}", server.on_loopback().await)], None);
    let from = "file:/token".to_owned();
    let outage_of = || CallError::from(CallOutage::Token { from: from.clone(), why: TokenFault::NoFile });
    let tokens = FakeTokens::new(false, vec![outage_of(), outage_of()]);
    boot_with(&card, &tokens, None, LONG).await.unwrap();
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer e30.e30.3"));
    let endless = FakeTokens::new(false, (0..100).map(|_| outage_of()).collect());
    let result = boot_with(&card, &endless, None, SHORT).await.map(|(response, _)| response);
    assert_eq!(CallError::from(outage(result)), outage_of());
    let refused = CallRefusal::Token { from, why: TokenFault::NotAToken };
    let tokens = FakeTokens::new(false, vec![refused.clone().into()]);
    let result = boot_with(&card, &tokens, None, LONG).await.map(|(response, _)| response);
    assert_eq!((refusal(result), tokens.asked().len()), (refused, 1));
    assert_eq!(server.requests().len(), 1);
}
