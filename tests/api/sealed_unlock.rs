//! Passphrases and key files that a client seals to the key of the server process.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use data_encoding::BASE64;
use dropsafe::crypto::keyfile::UnlockKey;
use dropsafe::crypto::process_key::{TextContext, seal};
use dropsafe::crypto::random::Kernel;
use dropsafe::domain::id::StoreId;
use serde_json::{Value, json};

use crate::test_api::{TestApi, Who};

/// What a client reads before it seals.
async fn status(api: &TestApi) -> (StoreId, String) {
    let status = api.ask(Who::Operator, "GET", "/v1/status", Value::Null).await.expect(200);
    let text = |name: &str| status[name].as_str().unwrap().to_owned();
    (text("store").parse().unwrap(), text("process_key"))
}

/// The sealed form of a key file, for a request to `path`.
async fn sealed(api: &TestApi, path: &str, key_file: &str) -> Value {
    let (store, process_key) = status(api).await;
    seal_to(&process_key, store, path, key_file)
}

fn seal_to(process_key: &str, store: StoreId, path: &str, key_file: &str) -> Value {
    let public = BASE64.decode(process_key.as_bytes()).unwrap().try_into().unwrap();
    let context = TextContext { store: store.as_bytes(), path, kind: "key_file" };
    let sealed = seal(&public, context, key_file.as_bytes(), &mut Kernel).unwrap();
    let (enc, ciphertext) = (BASE64.encode(&sealed.enc), BASE64.encode(&sealed.ciphertext));
    json!({ "sealed": {
        "kind": "key_file", "process_key": process_key, "enc": enc, "ciphertext": ciphertext,
    } })
}

async fn lock(api: &TestApi) {
    api.ask(Who::Operator, "POST", "/v1/lock", Value::Null).await.expect(200);
}

#[tokio::test]
async fn a_sealed_key_file_unlocks_once_and_opens_neither_later_nor_after_a_restart() {
    let api = TestApi::new().await;
    lock(&api).await;
    let body = sealed(&api, "/v1/unlock", &api.key_file).await;
    assert!(!body.to_string().contains(api.key_file.as_str()));
    api.ask(Who::Operator, "POST", "/v1/unlock", body.clone()).await.expect(200);

    lock(&api).await;
    let replayed = api.ask(Who::Operator, "POST", "/v1/unlock", body).await;
    assert_eq!((replayed.status.as_u16(), replayed.code().as_str()), (409, "stale_process_key"));
    assert!(replayed.json()["hint"].as_str().unwrap().contains("GET /v1/status"), "{}", replayed.text);

    let recorded = sealed(&api, "/v1/unlock", &api.key_file).await;
    let restarted = api.with_limits(Default::default());
    let replayed = restarted.ask(Who::Operator, "POST", "/v1/unlock", recorded).await;
    assert_eq!(replayed.code(), "stale_process_key");
    let body = sealed(&restarted, "/v1/unlock", &restarted.key_file).await;
    restarted.ask(Who::Operator, "POST", "/v1/unlock", body).await.expect(200);
}

#[tokio::test]
async fn a_sealed_key_file_opens_for_its_store_and_request_only() {
    let api = TestApi::new().await;
    let (store, process_key) = status(&api).await;
    let key_file = UnlockKey::generate(&mut Kernel).to_text();
    let other_store = StoreId::from_bytes([7; 16]);
    for (store, path) in [(store, "/v1/keyslots"), (other_store, "/v1/unlock")] {
        let body = seal_to(&process_key, store, path, &api.key_file);
        assert_eq!(api.ask(Who::Operator, "POST", "/v1/unlock", body).await.code(), "unprocessable");
    }
    let mut damaged = seal_to(&process_key, store, "/v1/unlock", &api.key_file);
    damaged["sealed"]["enc"] = json!("not base64");
    assert_eq!(api.ask(Who::Operator, "POST", "/v1/unlock", damaged).await.code(), "unprocessable");
    let mut two = seal_to(&process_key, store, "/v1/unlock", &api.key_file);
    two["key_file"] = json!(&*api.key_file);
    assert_eq!(api.ask(Who::Operator, "POST", "/v1/unlock", two).await.code(), "invalid_request");
    let empty = seal_to(&process_key, store, "unlock", "");
    assert_eq!(api.ask(Who::Operator, "POST", "/v1/unlock", empty).await.code(), "unprocessable");

    // None of them has used the key. A wrong secret does, and so does a new key slot.
    let wrong = seal_to(&process_key, store, "/v1/unlock", &key_file);
    assert_eq!(api.ask(Who::Operator, "POST", "/v1/unlock", wrong).await.code(), "wrong_passphrase");
    let (_, second) = status(&api).await;
    assert_ne!(second, process_key);
    let body = seal_to(&second, store, "/v1/keyslots", &key_file);
    api.ask(Who::Operator, "POST", "/v1/keyslots", body).await.expect(201);
    assert_ne!(status(&api).await.1, second);
    lock(&api).await;
    let body = sealed(&api, "/v1/unlock", &key_file).await;
    api.ask(Who::Operator, "POST", "/v1/unlock", body).await.expect(200);
}

#[tokio::test]
async fn only_the_operator_uses_up_the_key() {
    let api = TestApi::new().await;
    let (store, process_key) = status(&api).await;
    for path in ["/v1/unlock", "/v1/keyslots"] {
        let body = seal_to(&process_key, store, path, &api.key_file);
        assert_eq!(api.ask(Who::Admin, "POST", path, body).await.code(), "forbidden");
    }
    assert_eq!(status(&api).await.1, process_key);
}

/// Of several requests with one sealed text, one opens it, and none opens it after a request that was refused or aborted.
#[tokio::test]
async fn a_sealed_text_opens_once_whatever_becomes_of_its_request() {
    let api = TestApi::new().await;
    lock(&api).await;
    let body = sealed(&api, "/v1/unlock", &api.key_file).await;
    let ask = || api.ask(Who::Operator, "POST", "/v1/unlock", body.clone());
    let (first, second, third) = tokio::join!(ask(), ask(), ask());
    let opened = [first, second, third].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(opened, 1);

    // Its label is refused.
    let key_file = UnlockKey::generate(&mut Kernel).to_text();
    let mut body = sealed(&api, "/v1/keyslots", &key_file).await;
    body["label"] = json!("x".repeat(500));
    assert_eq!(api.ask(Who::Operator, "POST", "/v1/keyslots", body.clone()).await.status, 422);
    body["label"] = json!("a slot");
    assert_eq!(api.ask(Who::Operator, "POST", "/v1/keyslots", body).await.code(), "stale_process_key");

    // The client goes away while the key is derived.
    lock(&api).await;
    let body = sealed(&api, "/v1/unlock", &api.key_file).await;
    let ask = api.ask(Who::Operator, "POST", "/v1/unlock", body.clone());
    let _ = tokio::time::timeout(std::time::Duration::from_micros(1), ask).await;
    assert_eq!(api.ask(Who::Operator, "POST", "/v1/unlock", body).await.code(), "stale_process_key");
}

/// An aborted guess is recorded like any other. Its client goes on for one step more each time, as nobody outside sees when a guess has
/// begun.
#[tokio::test]
async fn a_wrong_key_file_is_recorded_although_its_client_went_away() {
    let api = TestApi::new().await;
    lock(&api).await;
    let key_file = UnlockKey::generate(&mut Kernel).to_text();
    for steps in 1..100 {
        let body = json!({ "key_file": &*key_file });
        let mut guess = Box::pin(api.ask(Who::Operator, "POST", "/v1/unlock", body));
        for _ in 0..steps {
            let step = poll_fn(|context| Poll::Ready(guess.as_mut().poll(context))).await;
            if let Poll::Ready(answer) = step {
                // One before it has been counted. An answer to itself would prove nothing.
                assert_eq!(answer.status, 429, "after {steps} steps, and no aborted guess was recorded");
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(guess);
        for _ in 0..20 {
            let path = "/v1/audit?action=store.unlock";
            let found = api.ask(Who::Operator, "GET", path, Value::Null).await.expect(200);
            if found["items"].as_array().unwrap().iter().any(|entry| entry["outcome"] == "denied") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    panic!("the guess is not in the audit log");
}
