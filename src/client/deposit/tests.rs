//! What a deposit sends, and what it does not.

use super::*;
use crate::client::api_client::tests::client;
use crate::client::tests::mock_server::{MockAction, MockServer, RecordedRequest, json};
use crate::crypto::deposit::ReleaseKey;
use crate::crypto::memory::Key32;
use crate::crypto::value::SealedValue;
use crate::domain::id::{MemberId, OrgId, StoreId};
use crate::domain::import::{ImportOutcome, LineOptions};
use crate::domain::value::Delivery;
use crate::wire::{ImportResponse, Problem};

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
        store: STORE,
        organization: ORG,
        member: MEMBER,
        generation,
        suite: hpke::X25519,
        public_key: BASE64.encode(key.public()),
        fingerprint: "the store's own claim".into(),
        chain: Vec::new(),
        variable_ceiling: 100,
        hints: true,
    }
}

fn view() -> SecretView {
    serde_json::from_value(serde_json::json!({
        "id": SecretId::from_bytes([4; 16]).to_string(), "name": "db-url", "env": "DB_URL", "scope": "private",
        "owner": "dev", "type": "encrypted", "delivery": "variable", "auto_install": true, "plugin": null,
        "category": null, "version": VersionId::from_bytes([5; 16]), "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "author": null, "hint": null,
    }))
    .unwrap()
}

fn new(json: serde_json::Value) -> CreateSecretRequest {
    serde_json::from_value(json).unwrap()
}

/// A store that sends the deposit key and answers deposits.
async fn store(
    infos: impl Fn(usize) -> DepositKeyView + Send + Sync + 'static,
    deposits: impl Fn(usize, &RecordedRequest) -> Vec<MockAction> + Send + Sync + 'static,
) -> (Client, MockServer) {
    let key_calls = std::sync::atomic::AtomicUsize::new(0);
    client(move |number, request| {
        let keys = key_calls.load(std::sync::atomic::Ordering::SeqCst);
        if request.line().starts_with("GET /v1/deposit-key ") {
            key_calls.store(keys + 1, std::sync::atomic::Ordering::SeqCst);
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
async fn a_new_secret_is_sealed_and_opens_only_in_its_context() {
    for (scope, name) in [(ScopeKind::Private, "private"), (ScopeKind::Shared, "shared")] {
        let (mut client, server) = store(|_| info(1), |_, _| json(201, "", &view())).await;
        let mut depositor = Depositor::open(&mut client, None).await.unwrap();
        let secret = new(serde_json::json!({"name": "openai-api-key", "scope": name}));
        let value = SecretValue::new(CANARY.to_vec());
        depositor.create(&mut client, secret, &value).await.unwrap();
        let request = &server.requests()[1];
        assert_eq!(request.line(), "POST /v1/secrets HTTP/1.1");
        assert!(!request.body.contains("canary") && !request.body.contains("Y2FuYXJ5"));
        assert_eq!(open(&request.body, &release_key(1), scope, "OPENAI_API_KEY"), CANARY);
        assert!(request.body.contains(r#""hint":"sk-****...1234""#), "{}", request.body);
    }
}

#[tokio::test]
async fn a_replacement_is_sealed_for_the_existing_secret() {
    let (mut client, server) = store(|_| info(1), |_, _| json(200, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let replacement: ReplaceSecretRequest = serde_json::from_str("{}").unwrap();
    let value = SecretValue::new(CANARY.to_vec());
    let existing = view();
    let target = ReplaceTarget { existing: &existing, if_version: Some("ver_a") };
    depositor.replace(&mut client, target, replacement, &value).await.unwrap();
    let request = &server.requests()[1];
    assert_eq!(request.line(), format!("PUT /v1/secrets/{}?holders=true HTTP/1.1", view().id));
    assert_eq!(request.header("if-match"), Some("\"ver_a\""));
    assert!(request.body.contains(&view().id.to_string()));
    assert_eq!(open(&request.body, &release_key(1), ScopeKind::Private, "DB_URL"), CANARY);
}

#[tokio::test]
async fn a_plain_setting_is_sent_unsealed() {
    let (mut client, server) = store(|_| info(1), |_, _| json(201, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "region", "type": "plain"}));
    depositor.create(&mut client, secret, &SecretValue::new(b"eu".to_vec())).await.unwrap();
    let secret = new(serde_json::json!({"name": "cert", "type": "plain", "delivery": "file"}));
    depositor.create(&mut client, secret, &SecretValue::new(vec![0xff])).await.unwrap();
    let bodies: Vec<serde_json::Value> =
        server.requests()[1..].iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect();
    assert_eq!(bodies[0]["value"], "eu");
    assert_eq!(bodies[1]["value_base64"], "/w==");
    assert!(bodies.iter().all(|body| body.get("sealed").is_none() && body.get("hint").is_none()));
}

#[tokio::test]
async fn no_hint_is_sent_if_the_organization_turned_hints_off() {
    let (mut client, server) =
        store(|_| DepositKeyView { hints: false, ..info(1) }, |_, _| json(201, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    depositor.create(&mut client, secret, &SecretValue::new(CANARY.to_vec())).await.unwrap();
    assert!(!server.requests()[1].body.contains("1234"));
}

#[tokio::test]
async fn nothing_is_sent_for_a_key_that_is_not_the_pinned_one() {
    let (mut client, server) = store(|_| info(1), |_, _| json(201, "", &view())).await;
    let pin = Depositor::open(&mut client, None).await.unwrap().fingerprint();
    assert_eq!(pin, release_key(1).deposit_key().fingerprint());
    Depositor::open(&mut client, Some(pin)).await.unwrap();
    let error = Depositor::open(&mut client, Some("sha256/other".into())).await.unwrap_err();
    assert!(matches!(&error, DepositError::KeyChanged { .. }));
    assert!(error.hint().unwrap().contains("dropsafe login"));
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_stale_key_is_fetched_again_once() {
    let stale = |code: Code| json(code.status(), "", &Problem::new(code, "said"));
    let (mut client, server) = store(
        |call| info(1 + call as u32),
        move |number, _| if number == 0 { stale(Code::StaleGeneration) } else { json(201, "", &view()) },
    )
    .await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    let value = SecretValue::new(CANARY.to_vec());
    depositor.create(&mut client, secret, &value).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    assert_eq!(open(&requests[3].body, &release_key(2), ScopeKind::Private, "A"), CANARY);
    assert_ne!(requests[1].header("idempotency-key"), requests[3].header("idempotency-key"));

    let (mut client, server) = store(|_| info(1), move |_, _| stale(Code::StaleGeneration)).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    let error = depositor.create(&mut client, secret, &value).await.unwrap_err();
    assert!(matches!(error, DepositError::Call(error) if error.code() == Some(Code::StaleGeneration)));
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_stale_pinned_key_is_not_replaced_silently() {
    let (mut client, server) = store(
        |call| info(1 + call as u32),
        |_, _| json(409, "", &Problem::new(Code::StaleGeneration, "said")),
    )
    .await;
    let pin = release_key(1).deposit_key().fingerprint();
    let mut depositor = Depositor::open(&mut client, Some(pin)).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    let value = SecretValue::new(CANARY.to_vec());
    let error = depositor.create(&mut client, secret, &value).await.unwrap_err();
    assert!(matches!(error, DepositError::KeyChanged { .. }));
    assert_eq!(server.requests().len(), 3);
}

fn generation_view(generation: &Generation) -> GenerationView {
    GenerationView {
        generation: generation.deposit.generation(),
        public_key: BASE64.encode(generation.deposit.public()),
        signing_key: BASE64.encode(&generation.signing),
        endorsement: generation.endorsement.map(|endorsement| BASE64.encode(&endorsement)),
    }
}

#[tokio::test]
async fn a_key_that_the_pinned_generation_signed_is_followed_and_no_other() {
    let generations = [
        Generation::of(&release_key(1)),
        Generation::endorsed(&release_key(2), &release_key(1), STORE.as_bytes()),
        Generation::endorsed(&release_key(3), &release_key(2), STORE.as_bytes()),
    ];
    let chain: Vec<GenerationView> = generations.iter().map(generation_view).collect();
    let open = async |pin: String, info: DepositKeyView| {
        let (mut client, _) = store(move |_| info.clone(), |_, _| json(201, "", &view())).await;
        Depositor::open(&mut client, Some(pin)).await.map(|depositor| depositor.fingerprint())
    };
    let info = DepositKeyView { chain, ..info(3) };
    let current = generations[2].fingerprint();
    for generation in &generations {
        assert_eq!(open(generation.fingerprint(), info.clone()).await, Ok(current.clone()));
    }
    // The pin of a deposit key without a signing key leads nowhere.
    let changed = |result| matches!(result, Err(DepositError::KeyChanged { .. }));
    assert!(changed(open(release_key(1).deposit_key().fingerprint(), info.clone()).await));
    let start = generations[0].fingerprint();
    for broken in [
        DepositKeyView { store: StoreId::from_bytes([9; 16]), ..info.clone() },
        DepositKeyView { chain: vec![info.chain[0].clone(), info.chain[2].clone()], ..info.clone() },
        DepositKeyView { chain: vec![info.chain[2].clone()], ..info.clone() },
        DepositKeyView { chain: Vec::new(), ..info.clone() },
    ] {
        assert!(changed(open(start.clone(), broken).await));
    }
    // The chain has to end with the key that values are sealed to.
    let short = DepositKeyView { chain: info.chain[..2].to_vec(), ..info };
    assert_eq!(open(start, short).await, Err(DepositError::KeyUnusable));
}

#[tokio::test]
async fn a_value_that_cannot_boot_is_refused_before_anything_is_sent() {
    let (mut client, server) = store(|_| info(1), |_, _| json(201, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    for (name, value) in [("a", b"a\0b".to_vec()), ("a", vec![0xff]), ("a", vec![b'a'; 101]), ("1 2", vec![])]
    {
        let secret = new(serde_json::json!({"name": name}));
        let result = depositor.create(&mut client, secret, &SecretValue::new(value)).await;
        assert!(matches!(result, Err(DepositError::Value(_) | DepositError::Name(_))), "{result:?}");
    }
    assert_eq!(server.requests().len(), 1);
    let secret = new(serde_json::json!({"name": "a"}));
    let value = SecretValue::new(b"line\n".to_vec());
    let view = depositor.create(&mut client, secret, &value).await.unwrap();
    assert_eq!(view.warnings, ["the value ends with a newline, which is kept"]);
}

#[tokio::test]
async fn an_unusable_key_is_refused() {
    for (info, expected) in [
        (DepositKeyView { suite: 0x647a, ..info(1) }, DepositError::Suite(0x647a)),
        (DepositKeyView { public_key: "AAAA".into(), ..info(1) }, DepositError::KeyUnusable),
        (DepositKeyView { public_key: "?".into(), ..info(1) }, DepositError::KeyUnusable),
    ] {
        let (mut client, _) = store(move |_| info.clone(), |_, _| json(201, "", &view())).await;
        assert_eq!(Depositor::open(&mut client, None).await.unwrap_err(), expected);
    }
    // A point of low order: everybody can open what is sealed to it.
    let zero = DepositKeyView { public_key: BASE64.encode(&[0; 32]), ..info(1) };
    let (mut client, server) = store(move |_| zero.clone(), |_, _| json(201, "", &view())).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let secret = new(serde_json::json!({"name": "a"}));
    let value = SecretValue::new(CANARY.to_vec());
    let error = depositor.create(&mut client, secret, &value).await.unwrap_err();
    assert_eq!(error, DepositError::KeyUnusable);
    assert_eq!(server.requests().len(), 1);
}

fn entry(line: usize, name: &str, value: &[u8]) -> ImportEntry {
    let options = LineOptions { delivery: Some(Delivery::File), ..LineOptions::default() };
    let name = SecretName::parse(name).unwrap();
    ImportEntry { line, name, options, value: SecretValue::new(value.to_vec()) }
}

fn line_views(request: &RecordedRequest, exists: bool) -> ImportResponse {
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    let items = body["items"].as_array().unwrap();
    let views = items.iter().map(|item| {
        serde_json::from_value(serde_json::json!({
            "line": 1, "name": item["name"], "env": null, "fate": if exists { "replace" } else { "create" },
            "why": null, "warnings": [], "secret": exists.then(|| view().id), "version": exists.then(|| view().version),
            "type": null, "delivery": null, "same_settings": exists,
        }))
        .unwrap()
    });
    ImportResponse { stored: body["preview"] == false, lines: views.collect() }
}

#[tokio::test]
async fn an_import_is_planned_whole_without_values_and_then_sent_sealed_in_several_requests() {
    let (mut client, server) =
        store(|_| info(1), |_, request| json(200, "", &line_views(request, false))).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let long = [CANARY, &vec![b'x'; 600_000]].concat();
    let mut entries: Vec<_> = (0..4).map(|i| entry(i, &format!("name-{i}"), &long)).collect();
    entries.push(entry(4, "small", CANARY));
    let tagger = VersionTagger::random();
    let mut plan = depositor.plan_import(&mut client, ScopeKind::Private, entries, tagger).await.unwrap();
    assert_eq!(server.requests().len(), 2);
    let mut steps = Vec::new();
    depositor.store_import(&mut client, &mut plan, &mut |lines| steps.push(lines)).await.unwrap();
    assert_eq!(steps, [2, 3], "as many as 2 MiB hold");
    assert!(plan.entries.iter().all(|planned| planned.stored));
    let requests = server.requests();
    assert!(requests[1].body.contains(r#""preview":true"#) && requests[1].body.len() < 2000);
    for request in &requests[2..] {
        assert_eq!(request.line(), "POST /v1/import HTTP/1.1");
        assert!(request.header("idempotency-key").is_some() && request.body.len() < 2 << 20);
        assert!(!request.body.contains("canary") && !request.body.contains("Y2FuYXJ5"));
    }
    let body: serde_json::Value = serde_json::from_str(&requests[3].body).unwrap();
    let small = body["items"][2].to_string();
    assert_eq!(open(&small, &release_key(1), ScopeKind::Private, "SMALL"), CANARY);
}

/// Otherwise a malicious store, or a proxy, could make the client send the values of new secrets unsealed.
#[tokio::test]
async fn a_store_that_calls_a_new_secret_plain_gets_its_value_sealed_all_the_same() {
    let lying = |request: &RecordedRequest| {
        let mut response = line_views(request, false);
        for line in &mut response.lines {
            (line.kind, line.env) = (Some(Kind::Plain), EnvName::parse("LD_PRELOAD").ok());
        }
        json(200, "", &response)
    };
    let (mut client, server) = store(|_| info(1), move |_, request| lying(request)).await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let entries = vec![entry(1, "small", CANARY)];
    let tagger = VersionTagger::random();
    let mut plan = depositor.plan_import(&mut client, ScopeKind::Private, entries, tagger).await.unwrap();
    depositor.store_import(&mut client, &mut plan, &mut |_| {}).await.unwrap();
    let requests = server.requests();
    assert!(
        requests.iter().all(|request| !request.body.contains("canary") && !request.body.contains("Y2FuYXJ5"))
    );
    let body: serde_json::Value = serde_json::from_str(&requests[2].body).unwrap();
    let sealed = body["items"][0].to_string();
    assert_eq!(open(&sealed, &release_key(1), ScopeKind::Private, "SMALL"), CANARY);
}

#[tokio::test]
async fn a_value_that_this_machine_has_imported_is_unchanged_and_a_bad_one_is_refused() {
    let (mut client, server) = store(
        |_| info(1),
        |_, request| {
            let mut response = line_views(request, true);
            let tagger = VersionTagger::new(Key32::copy_of(&[1; 32]));
            let value = SecretValue::new(CANARY.to_vec());
            let env = EnvName::parse("DB_URL").unwrap();
            response.lines[0].version = Some(tagger.issue(view().id, &env, &value));
            json(200, "", &response)
        },
    )
    .await;
    let mut depositor = Depositor::open(&mut client, None).await.unwrap();
    let entries = vec![
        entry(1, "db-url", CANARY),
        entry(2, "db-url", CANARY),
        entry(3, "huge", &vec![0; (1 << 20) + 1]),
    ];
    let tagger = VersionTagger::new(Key32::copy_of(&[1; 32]));
    let plan = depositor.plan_import(&mut client, ScopeKind::Private, entries, tagger).await.unwrap();
    let fates: Vec<_> = plan.entries.iter().map(|planned| planned.view.fate).collect();
    assert_eq!(fates, [ImportOutcome::Keep, ImportOutcome::Replace, ImportOutcome::Refused]);
    assert!(plan.entries[2].view.why.as_ref().unwrap().contains("a file may have"));
    assert_eq!(server.requests().len(), 2);
}
