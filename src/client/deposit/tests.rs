//! What leaves the process when something is deposited, and what does not.

use super::*;
use crate::client::api_client::tests::client;
use crate::client::tests::mock_server::{MockAction, MockServer, RecordedRequest, json};
use crate::crypto::deposit::ReleaseKey;
use crate::crypto::memory::Key32;
use crate::crypto::random::Kernel;
use crate::crypto::value::SealedValue;
use crate::wire::Problem;

const STORE: StoreId = StoreId::from_bytes([1; 16]);
const ORG: OrgId = OrgId::from_bytes([2; 16]);
const MEMBER: MemberId = MemberId::from_bytes([3; 16]);
const CANARY: &[u8] = b"sk-canary-canary-canary-1234";

fn release_key(generation: u32) -> ReleaseKey {
    ReleaseKey::from_parts(generation, Key32::copy_of(&[9; 32]))
}

fn info(generation: u32) -> DepositKeyView {
    let key = release_key(generation).deposit_key();
    DepositKeyView {
        store: STORE.to_string(),
        organization: ORG.to_string(),
        member: MEMBER.to_string(),
        generation,
        suite: hpke::X25519,
        public_key: BASE64.encode(key.public()),
        fingerprint: "what the store says of it".into(),
        variable_ceiling: 100,
        hints: true,
    }
}

fn view() -> SecretView {
    serde_json::from_value(serde_json::json!({
        "id": SecretId::from_bytes([4; 16]).to_string(), "name": "db-url", "env": "DB_URL", "scope": "private",
        "owner": "dev", "type": "encrypted", "delivery": "variable", "auto_install": true, "plugin": null,
        "category": null, "version": "ver_a", "created_at": "", "updated_at": "", "author": null, "hint": null,
    }))
    .unwrap()
}

fn new(json: serde_json::Value) -> CreateSecretRequest {
    serde_json::from_value(json).unwrap()
}

/// Gives the deposit key, then answers the deposits.
async fn store(
    infos: impl Fn(usize) -> DepositKeyView + Send + Sync + 'static,
    deposits: impl Fn(usize, &RecordedRequest) -> Vec<MockAction> + Send + Sync + 'static,
) -> (Client, MockServer) {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    client(move |number, request| {
        let keys = asked.load(std::sync::atomic::Ordering::SeqCst);
        if request.line().starts_with("GET /v1/deposit-key ") {
            asked.store(keys + 1, std::sync::atomic::Ordering::SeqCst);
            json(200, "", &infos(keys))
        } else {
            deposits(number - keys, request)
        }
    })
    .await
}

/// The value that a request carries sealed, as a boot would open it.
fn open(body: &str, release: &ReleaseKey, scope: ScopeKind, env: &str) -> Vec<u8> {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let sealed: SealedBody = serde_json::from_value(body["sealed"].clone()).unwrap();
    let bytes = |text: &str| BASE64.decode(text.as_bytes()).unwrap();
    let id: SecretId = sealed.id.parse().unwrap();
    let version: VersionId = sealed.version.parse().unwrap();
    let context = sealing::ValueContext {
        store: STORE.as_bytes(),
        org: ORG.as_bytes(),
        scope: u8::from(scope == ScopeKind::Private),
        owner: (scope == ScopeKind::Private).then_some(MEMBER.as_bytes()),
        secret: id.as_bytes(),
        env,
        version: version.as_bytes(),
    };
    let value = SealedValue {
        generation: sealed.generation,
        nonce: bytes(&sealed.nonce).try_into().unwrap(),
        ciphertext: bytes(&sealed.ciphertext),
        wrapped: WrappedKey::Hpke {
            suite: sealed.suite,
            enc: bytes(&sealed.enc),
            ct: bytes(&sealed.wrapped_key),
        },
    };
    sealing::open(release, &context, &value).unwrap().to_vec()
}

#[tokio::test]
async fn a_new_secret_leaves_sealed_and_opens_where_it_belongs() {
    for (scope, name) in [(ScopeKind::Private, "private"), (ScopeKind::Shared, "shared")] {
        let (mut client, server) = store(|_| info(1), |_, _| json(201, "", &view())).await;
        let mut depositor = Depositor::open(&mut client, None).await.unwrap();
        let secret = new(serde_json::json!({"name": "openai-api-key", "scope": name}));
        let value = SecretValue::new(CANARY.to_vec());
        depositor.create(&mut client, secret, &value, &mut Kernel).await.unwrap();
        let asked = &server.asked()[1];
        assert_eq!(asked.line(), "POST /v1/secrets HTTP/1.1");
        assert!(!asked.body.contains("canary") && !asked.body.contains("Y2FuYXJ5"));
        assert_eq!(open(&asked.body, &release_key(1), scope, "OPENAI_API_KEY"), CANARY);
        assert!(asked.body.contains(r#""hint":"sk-****...1234""#), "{}", asked.body);
    }
}

#[tokio::test]
async fn a_replacement_is_sealed_for_the_secret_that_exists() {
    let (mut client, server) = store(|_| info(1), |_, _| json(200, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let replacement: ReplaceSecretRequest = serde_json::from_str("{}").unwrap();
    let value = SecretValue::new(CANARY.to_vec());
    depositor.replace(&mut client, &view(), replacement, &value, Some("ver_a"), &mut Kernel).await.unwrap();
    let asked = &server.asked()[1];
    assert_eq!(asked.line(), format!("PUT /v1/secrets/{} HTTP/1.1", view().id));
    assert_eq!(asked.header("if-match"), Some("\"ver_a\""));
    assert!(asked.body.contains(&view().id));
    assert_eq!(open(&asked.body, &release_key(1), ScopeKind::Private, "DB_URL"), CANARY);
}

#[tokio::test]
async fn a_plain_setting_is_sent_as_it_is() {
    let (mut client, server) = store(|_| info(1), |_, _| json(201, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "region", "type": "plain"}));
    depositor.create(&mut client, secret, &SecretValue::new(b"eu".to_vec()), &mut Kernel).await.unwrap();
    let secret = new(serde_json::json!({"name": "cert", "type": "plain", "delivery": "file"}));
    depositor.create(&mut client, secret, &SecretValue::new(vec![0xff]), &mut Kernel).await.unwrap();
    let bodies: Vec<serde_json::Value> =
        server.asked()[1..].iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect();
    assert_eq!(bodies[0]["value"], "eu");
    assert_eq!(bodies[1]["value_base64"], "/w==");
    assert!(bodies.iter().all(|body| body.get("sealed").is_none() && body.get("hint").is_none()));
}

#[tokio::test]
async fn no_hint_leaves_where_the_organization_keeps_none() {
    let (mut client, server) =
        store(|_| DepositKeyView { hints: false, ..info(1) }, |_, _| json(201, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    depositor.create(&mut client, secret, &SecretValue::new(CANARY.to_vec()), &mut Kernel).await.unwrap();
    assert!(!server.asked()[1].body.contains("1234"));
}

#[tokio::test]
async fn a_key_that_is_not_the_pinned_one_gets_nothing() {
    let (mut client, server) = store(|_| info(1), |_, _| json(201, "", &view())).await;
    let pin = Depositor::open(&mut client, None).await.unwrap().fingerprint();
    assert_eq!(pin, release_key(1).deposit_key().fingerprint());
    Depositor::open(&mut client, Some(pin)).await.unwrap();
    let error = Depositor::open(&mut client, Some("sha256/other".into())).await.unwrap_err();
    assert!(matches!(&error, DepositError::KeyChanged { .. }));
    assert!(error.hint().unwrap().contains("dropsafe login"));
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_key_that_went_stale_is_fetched_again_once() {
    let stale = |code: Code| json(code.status(), "", &Problem::new(code, "said"));
    let (mut client, server) = store(
        |asked| info(1 + asked as u32),
        move |number, _| if number == 0 { stale(Code::StaleGeneration) } else { json(201, "", &view()) },
    )
    .await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    let value = SecretValue::new(CANARY.to_vec());
    depositor.create(&mut client, secret, &value, &mut Kernel).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    assert_eq!(open(&asked[3].body, &release_key(2), ScopeKind::Private, "A"), CANARY);
    assert_ne!(asked[1].header("idempotency-key"), asked[3].header("idempotency-key"));

    let (mut client, server) = store(|_| info(1), move |_, _| stale(Code::StaleGeneration)).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    let error = depositor.create(&mut client, secret, &value, &mut Kernel).await.unwrap_err();
    assert!(matches!(error, DepositError::Call(error) if error.code() == Some(Code::StaleGeneration)));
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_pinned_key_that_went_stale_is_not_changed_silently() {
    let (mut client, server) = store(
        |asked| info(1 + asked as u32),
        |_, _| json(409, "", &Problem::new(Code::StaleGeneration, "said")),
    )
    .await;
    let pin = release_key(1).deposit_key().fingerprint();
    let mut depositor = Depositor::open(&mut client, Some(pin)).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    let value = SecretValue::new(CANARY.to_vec());
    let error = depositor.create(&mut client, secret, &value, &mut Kernel).await.unwrap_err();
    assert!(matches!(error, DepositError::KeyChanged { .. }));
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn what_could_not_boot_is_refused_before_anything_is_sent() {
    let (mut client, server) = store(|_| info(1), |_, _| json(201, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    for (name, value) in [("a", b"a\0b".to_vec()), ("a", vec![0xff]), ("a", vec![b'a'; 101]), ("1 2", vec![])]
    {
        let secret = new(serde_json::json!({"name": name}));
        let result = depositor.create(&mut client, secret, &SecretValue::new(value), &mut Kernel).await;
        assert!(matches!(result, Err(DepositError::Value(_) | DepositError::Name(_))), "{result:?}");
    }
    assert_eq!(server.asked().len(), 1);
    let secret = new(serde_json::json!({"name": "a"}));
    let value = SecretValue::new(b"line\n".to_vec());
    let view = depositor.create(&mut client, secret, &value, &mut Kernel).await.unwrap();
    assert_eq!(view.warnings, ["the value ends with a newline, which is kept"]);
}

#[tokio::test]
async fn a_key_that_cannot_be_sealed_to_is_refused() {
    for (info, expected) in [
        (DepositKeyView { suite: 0x647a, ..info(1) }, DepositError::Suite(0x647a)),
        (DepositKeyView { public_key: "AAAA".into(), ..info(1) }, DepositError::KeyUnusable),
        (DepositKeyView { public_key: "?".into(), ..info(1) }, DepositError::KeyUnusable),
    ] {
        let (mut client, _) = store(move |_| info.clone(), |_, _| json(201, "", &view())).await;
        assert_eq!(Depositor::open(&mut client, None).await.unwrap_err(), expected);
    }
    // The point of order one: whoever gives it reads everything that is sealed to it.
    let zero = DepositKeyView { public_key: BASE64.encode(&[0; 32]), ..info(1) };
    let (mut client, server) = store(move |_| zero.clone(), |_, _| json(201, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    let value = SecretValue::new(CANARY.to_vec());
    let error = depositor.create(&mut client, secret, &value, &mut Kernel).await.unwrap_err();
    assert_eq!(error, DepositError::KeyUnusable);
    assert_eq!(server.asked().len(), 1);
}
