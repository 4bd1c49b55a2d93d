//! The server as a client of a provider: both flows, against one on loopback that keeps the rules or breaks one of them.

mod answers;
mod device;
#[path = "../../../tests/api/test_provider.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of the API")]
mod test_provider;
mod tokens;

use serde_json::json;
use zeroize::Zeroizing;

use super::code::BegunCode;
use super::error::IdTokenFault;
use super::*;
use crate::domain::provider::{OrgGrant, ProvenAccount};
use crate::domain::role::Role;
use crate::domain::time::Timestamp;
pub(super) use test_provider::TestProvider;
use test_provider::{CLIENT, CLIENT_SECRET, form, now_seconds};

const REDIRECT: &str = "https://vault.example/console/sign-in/callback/corp";

fn settings(issuer: &str) -> ProviderSettings {
    let rule =
        |group: &str, org: &str, role| GroupRule { group: group.to_owned(), org: org.parse().unwrap(), role };
    ProviderSettings {
        name: "corp".parse().unwrap(),
        title: "Acme account".parse().unwrap(),
        issuer: issuer.parse().unwrap(),
        client: ClientSettings { id: CLIENT.to_owned(), secret_file: None },
        command_line: Some(ClientSettings { id: "dropsafe-cli".to_owned(), secret_file: None }),
        loopback: LoopbackRedirect::default(),
        device_flow: true,
        scopes: vec!["profile".to_owned()],
        groups_claim: "groups".parse().unwrap(),
        groups: vec![
            rule("chiefs", "acme", Role::Admin),
            rule("staff", "acme", Role::Member),
            rule("staff", "shop", Role::Auditor),
        ],
        name_claim: None,
        lifetime: Duration::from_secs(3600),
        ca_file: None,
    }
}

fn provider(settings: ProviderSettings) -> Provider {
    let console = Some(Zeroizing::new(CLIENT_SECRET.to_owned()));
    Provider::new(settings, ClientSecrets { console, command_line: None }).unwrap()
}

/// A provider on loopback, with Ada as the person, and this server's side of it.
pub(super) async fn ready() -> (TestProvider, Provider) {
    let there = TestProvider::start().await;
    there.person(ada());
    let here = provider(settings(&there.issuer));
    (there, here)
}

fn ada() -> serde_json::Value {
    json!({ "sub": "s-ada", "preferred_username": "Ada@Example.com", "name": "Ada L.", "groups": ["staff", "chiefs"] })
}

fn now() -> Timestamp {
    Timestamp::from_millis(i64::try_from(now_seconds()).unwrap() * 1000)
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).unwrap();
}

async fn begin(here: &Provider) -> Result<BegunCode, ProviderError> {
    here.begin_code(ClientKind::Console, REDIRECT.to_owned(), fill).await
}

/// What the browser brings back from an address.
fn answer_at(location: &str) -> CodeAnswer {
    let (_, query) = location.split_once('?').unwrap();
    let mut query = form(query);
    CodeAnswer {
        code: query.remove("code").map(Zeroizing::new),
        state: query.remove("state"),
        iss: query.remove("iss"),
        error: query.remove("error"),
    }
}

/// A whole sign-in.
pub(super) async fn sign_in(there: &TestProvider, here: &Provider) -> Result<ProvenAccount, ProviderError> {
    let begun = begin(here).await?;
    let answer = answer_at(&there.authorize(&begun.url));
    let proven = here.redeem_code(&begun.flow, answer, now()).await;
    if let Err(error) = &proven {
        // Nothing of a provider's answer, and no code or token.
        let told = format!("{error} {error:?} {} {}", error.reason(), error.hint());
        assert!(!told.contains("canary"), "{told}");
    }
    proven
}

#[tokio::test]
async fn a_code_proves_an_account() {
    let (there, here) = ready().await;
    let proven = sign_in(&there, &here).await.unwrap();
    let grant = |org: &str, role| OrgGrant { org: org.parse().unwrap(), role };
    let expected = ProvenAccount {
        provider: "corp".parse().unwrap(),
        issuer: there.issuer.parse().unwrap(),
        subject: "s-ada".parse().unwrap(),
        shown: Some("Ada@Example.com".parse().unwrap()),
        member_name: Some("ada@example.com".parse().unwrap()),
        // The first rule of an organization decides, whatever the order of the person's groups.
        grants: vec![grant("acme", Role::Admin), grant("shop", Role::Auditor)],
    };
    assert_eq!(proven, expected);
    // The document was asked for once, and all that the configuration needs is in the token.
    sign_in(&there, &here).await.unwrap();
    assert_eq!(there.asked("/.well-known/openid-configuration"), 1);
    assert_eq!(there.asked("/userinfo"), 0);
}

#[tokio::test]
async fn the_address_asks_for_what_is_configured_and_differs_each_time() {
    let (_there, here) = ready().await;
    let (first, second) = (begin(&here).await.unwrap(), begin(&here).await.unwrap());
    let query = |begun: &BegunCode| form(begun.url.split_once('?').unwrap().1);
    let (first, second) = (query(&first), query(&second));
    assert_eq!((first["client_id"].as_str(), first["redirect_uri"].as_str()), (CLIENT, REDIRECT));
    assert_eq!(first["scope"], "openid profile");
    for name in ["state", "nonce", "code_challenge"] {
        assert!(first[name].len() == 43 && first[name] != second[name], "{name}");
    }
    let port = here.loopback_redirect(4444);
    let begun = here.begin_code(ClientKind::CommandLine, port, fill).await.unwrap();
    assert_eq!(query(&begun)["client_id"], "dropsafe-cli");
    assert_eq!(query(&begun)["redirect_uri"], "http://127.0.0.1:4444/callback");
}

#[tokio::test]
async fn a_public_client_signs_in_without_a_secret() {
    let (there, here) = ready().await;
    let port = here.loopback_redirect(4444);
    let begun = here.begin_code(ClientKind::CommandLine, port, fill).await.unwrap();
    let answer = answer_at(&there.authorize(&begun.url));
    assert!(here.redeem_code(&begun.flow, answer, now()).await.is_ok());
    // The code of one client is worth nothing for the other one.
    let begun = begin(&here).await.unwrap();
    let PendingFlow::Code { redirect, state, nonce, verifier, .. } = &begun.flow else { panic!() };
    let texts = (redirect.clone(), state.clone(), nonce.clone(), verifier.clone());
    let other = PendingFlow::Code {
        is_console: false,
        redirect: texts.0,
        state: texts.1,
        nonce: texts.2,
        verifier: texts.3,
    };
    let answer = answer_at(&there.authorize(&begun.url));
    assert_eq!(here.redeem_code(&other, answer, now()).await, Err(ProviderError::CodeRefused));
}

#[tokio::test]
async fn an_answer_to_another_sign_in_is_worth_nothing() {
    let (there, here) = ready().await;
    let (mine, theirs) = (begin(&here).await.unwrap(), begin(&here).await.unwrap());
    let location = there.authorize(&theirs.url);
    // The whole answer of somebody else's sign-in, brought to this one: the state differs.
    let redeemed = here.redeem_code(&mine.flow, answer_at(&location), now()).await;
    assert_eq!(redeemed, Err(ProviderError::WrongState));
    let redeemed =
        here.redeem_code(&mine.flow, CodeAnswer { state: None, ..answer_at(&location) }, now()).await;
    assert_eq!(redeemed, Err(ProviderError::WrongState));
    // Not even its error counts.
    let error = CodeAnswer { error: Some("access_denied".to_owned()), ..answer_at(&location) };
    assert_eq!(here.redeem_code(&mine.flow, error, now()).await, Err(ProviderError::WrongState));
    assert_eq!(there.asked("/token"), 0, "a code with a wrong state was shown to the provider");

    // Their code with this sign-in's state, as somebody plants it who knows both: the verifier differs.
    let own = answer_at(&there.authorize(&mine.url));
    let planted = CodeAnswer { code: answer_at(&location).code, ..own };
    assert_eq!(here.redeem_code(&mine.flow, planted, now()).await, Err(ProviderError::CodeRefused));
}

#[tokio::test]
async fn a_code_works_once() {
    let (there, here) = ready().await;
    let begun = begin(&here).await.unwrap();
    let location = there.authorize(&begun.url);
    here.redeem_code(&begun.flow, answer_at(&location), now()).await.unwrap();
    let again = here.redeem_code(&begun.flow, answer_at(&location), now()).await;
    assert_eq!(again, Err(ProviderError::CodeRefused));
}

#[tokio::test]
async fn the_answer_names_the_provider_that_was_asked() {
    let (there, here) = ready().await;
    let redeem = async |iss: Option<&str>| {
        let begun = begin(&here).await.unwrap();
        let answer = CodeAnswer { iss: iss.map(str::to_owned), ..answer_at(&there.authorize(&begun.url)) };
        here.redeem_code(&begun.flow, answer, now()).await.map(|_| ())
    };
    assert_eq!(redeem(Some("https://evil.example")).await, Err(ProviderError::WrongIssuer));
    assert_eq!(redeem(Some(&there.issuer)).await, Ok(()));
    assert_eq!(redeem(None).await, Ok(()));

    // One that promises to name itself must do so (RFC 9207).
    let there = TestProvider::start().await;
    there.document("authorization_response_iss_parameter_supported", json!(true));
    let here = provider(settings(&there.issuer));
    let begun = begin(&here).await.unwrap();
    let answer = answer_at(&there.authorize(&begun.url));
    assert_eq!(here.redeem_code(&begun.flow, answer, now()).await, Err(ProviderError::WrongIssuer));
}

#[tokio::test]
async fn a_person_can_say_no() {
    let (there, here) = ready().await;
    let begun = begin(&here).await.unwrap();
    let state = form(begun.url.split_once('?').unwrap().1).remove("state");
    let denied =
        CodeAnswer { state: state.clone(), error: Some("canary".to_owned()), ..CodeAnswer::default() };
    assert_eq!(here.redeem_code(&begun.flow, denied, now()).await, Err(ProviderError::Denied));
    let empty = CodeAnswer { state, ..CodeAnswer::default() };
    assert_eq!(here.redeem_code(&begun.flow, empty, now()).await, Err(ProviderError::BadAnswer));
    assert_eq!(there.asked("/token"), 0);
}

#[test]
fn what_was_begun_survives_its_encoding() {
    let flow = PendingFlow::Device { code: "canary".to_owned(), interval: 5 };
    let (provider, expires_at) = ("corp".parse().unwrap(), Timestamp::from_millis(7));
    let purpose = SignInPurpose::Link(None);
    let pending =
        PendingSignIn { id: [7; 16], provider, purpose, flow, expires_at, next: "/console".to_owned() };
    let encoded = encode_pending(&pending).unwrap();
    let decoded: PendingSignIn = decode_pending(&encoded).unwrap();
    assert_eq!((decoded.id, decoded.purpose, decoded.next), ([7; 16], purpose, "/console".to_owned()));
    let longer = [encoded.as_slice(), &[0]].concat();
    assert!(
        decode_pending::<PendingSignIn>(&longer).is_none() && decode_pending::<PendingSignIn>(&[]).is_none()
    );
}
