//! What the routes do, end to end.

use axum::body::Body;
use dropsafe::api::limits::LimitSettings;
use dropsafe::crypto::keyfile::UnlockKey;
use dropsafe::crypto::random::Kernel;
use http::Request;
use serde_json::{Value, json};

use super::test_api::{Answer, TestApi, Who};

async fn with_header(api: &TestApi, method: &str, path: &str, header: (&str, &str), body: Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", api.credential(Who::Member)))
        .header("content-type", "application/json")
        .header(header.0, header.1)
        .body(Body::from(body.to_string()))
        .unwrap();
    api.send(request).await
}

#[tokio::test]
async fn one_credential_over_its_rate_waits_and_no_other_does() {
    let limits = LimitSettings {
        boots_per_minute: 2,
        writes_per_minute: 30,
        exports_per_minute: 1,
        ..LimitSettings::default()
    };
    let api = TestApi::with(limits).await;
    let refused = |answer: Answer, setting: &str| {
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (429, "rate_limited"),
            "{}",
            answer.text
        );
        assert!(answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
        assert!(answer.text.contains(setting), "{}", answer.text);
    };
    for _ in 0..2 {
        api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    }
    refused(api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await, "limits.boots_per_minute");
    let other = api.ask(Who::Member, "POST", "/v1/tickets", json!({})).await.expect(201);
    let other = dropsafe::domain::ticket::BootTicket::parse(other["ticket"].as_str().unwrap()).unwrap();
    let other = other.credential().to_text();
    api.ask_as(&other, "POST", "/v1/boot", json!({})).await.expect(200);

    api.ask(Who::Admin, "GET", "/v1/audit/export", Value::Null).await;
    refused(api.ask(Who::Admin, "GET", "/v1/audit/verify", Value::Null).await, "limits.exports_per_minute");
    api.ask(Who::Other, "GET", "/v1/audit/verify", Value::Null).await.expect(200);

    let deposit = |n: u32| json!({ "name": format!("name-{n}"), "value": "v" });
    let mut done = 0;
    let last = loop {
        let answer = api.ask(Who::Member, "POST", "/v1/secrets", deposit(done)).await;
        if answer.status != 201 || done > 40 {
            break answer;
        }
        done += 1;
    };
    refused(last, "limits.writes_per_minute");
    api.ask(Who::Member, "GET", "/v1/secrets", Value::Null).await.expect(200);
    api.ask(Who::Admin, "POST", "/v1/secrets", deposit(0)).await.expect(201);
    let metrics = api.ask(Who::Operator, "GET", "/metrics", Value::Null).await.text;
    assert!(metrics.contains("\ndropsafe_rate_limited_total 3\n"), "{metrics}");
}

#[tokio::test]
async fn a_deposit_boots_and_private_overrides_shared() {
    let api = TestApi::new().await;
    let shared = json!({ "name": "OPENAI_API_KEY", "scope": "shared", "value": "from shared" });
    api.ask(Who::Admin, "POST", "/v1/secrets", shared).await.expect(201);
    let private = json!({ "name": "openai-api-key", "value": "from private\n" });
    let made = api.ask(Who::Member, "POST", "/v1/secrets", private).await.expect(201);
    assert_eq!(made["env"], "OPENAI_API_KEY");
    assert_eq!(made["warnings"][0], "the value ends with a newline, which is kept");
    assert!(made["value"].is_null(), "an encrypted value is not shown");
    let file = json!({ "name": "cert", "value_base64": "/wA=", "delivery": "file" });
    api.ask(Who::Member, "POST", "/v1/secrets", file).await.expect(201);

    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", json!({ "host": "vm-1" })).await;
    assert_eq!(boot.headers["cache-control"], "no-store");
    let boot = boot.expect(200);
    assert_eq!(boot["count"], 2);
    let values: Vec<&Value> = boot["values"].as_array().unwrap().iter().collect();
    assert!(values.iter().any(|value| value["value"] == "from private\n"));
    assert!(values.iter().any(|value| value["value_base64"] == "/wA="));
    assert!(!boot.to_string().contains("from shared"), "the shadowed value stays");

    let id = boot["boot"].as_str().unwrap();
    let report = json!({ "digest": boot["digest"], "variables": 9 });
    api.ask(Who::Ticket, "POST", &format!("/v1/boots/{id}/report"), report).await.expect(204);
    let seen = api
        .ask(Who::Admin, "GET", "/v1/boots?secret=openai-api-key&member=mel", Value::Null)
        .await
        .expect(200);
    assert_eq!(seen["items"][0]["host"], "vm-1");
    assert!(seen["items"][0]["confirmed_at"].is_string());

    let path = format!("/v1/secrets/{}", made["id"].as_str().unwrap());
    let deleted = api.ask(Who::Member, "DELETE", &path, Value::Null).await.expect(200);
    assert_eq!(deleted["held_by"][0]["boot"], id);
    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    assert!(boot.to_string().contains("from shared"), "the next boot gets what was shadowed");
}

#[tokio::test]
async fn a_key_slot_with_a_weak_passphrase_needs_an_override() {
    let api = TestApi::new().await;
    let weak = json!({ "passphrase": "P@ssw0rd1" });
    let refused = api.ask(Who::Operator, "POST", "/v1/keyslots", weak).await;
    assert_eq!(refused.code(), "unprocessable");
    assert!(refused.text.contains("allow_weak") && !refused.text.contains("P@ssw0rd1"), "{}", refused.text);
    let weak = json!({ "passphrase": "P@ssw0rd1", "allow_weak": true });
    api.ask(Who::Operator, "POST", "/v1/keyslots", weak).await.expect(201);
    let strong = json!({ "passphrase": "correct horse battery staple" });
    api.ask(Who::Operator, "POST", "/v1/keyslots", strong).await.expect(201);
}

#[tokio::test]
async fn a_manager_imports_into_a_services_scope() {
    let api = TestApi::new().await;
    let body = |owner: &str| json!({ "env": "A=1", "owner": owner });
    api.ask(Who::Manager, "POST", "/v1/import", body("svc")).await.expect(200);
    let path = format!("/v1/secrets?owner={}", "svc");
    let listed = api.ask(Who::Manager, "GET", &path, Value::Null).await.expect(200);
    assert_eq!(listed["items"][0]["owner"], "svc");
    let refused = api.ask(Who::Member, "POST", "/v1/import", body("svc")).await;
    assert_eq!(refused.code(), "forbidden");
    assert_eq!(api.ask(Who::Manager, "POST", "/v1/import", body("No Name")).await.code(), "name_invalid");
    let shared = json!({ "env": "A=1", "owner": "svc", "scope": "shared" });
    assert_eq!(api.ask(Who::Manager, "POST", "/v1/import", shared).await.code(), "unprocessable");
}

#[tokio::test]
async fn a_replacement_and_the_statistics_say_which_boots_hold_the_old_value() {
    let api = TestApi::new().await;
    let secret = json!({ "name": "key", "scope": "shared", "value": "1" });
    let made = api.ask(Who::Admin, "POST", "/v1/secrets", secret).await.expect(201);
    let path = format!("/v1/secrets/{}", made["id"].as_str().unwrap());
    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    let renamed = json!({ "value": "2", "as": "NEW_KEY" });
    let quiet = api.ask(Who::Admin, "PUT", &path, renamed).await.expect(200);
    assert!(quiet["holders"].is_null(), "only on request");
    let counted = api.ask(Who::Admin, "PUT", &format!("{path}?holders=true"), json!({ "value": "3" })).await;
    assert_eq!(counted.expect(200)["holders"]["outdated"], 1);
    let statistics = api.ask(Who::Auditor, "GET", "/v1/statistics", Value::Null).await.expect(200);
    let holders = &statistics["holders"];
    assert_eq!((&holders["running"], &holders["outdated"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&holders["secrets"][0]["env"], &holders["secrets"][0]["outdated"]),
        (&json!("NEW_KEY"), &json!(1))
    );
    // By its new name, which the boot never saw.
    let found = api.ask(Who::Admin, "GET", "/v1/holders/NEW_KEY", Value::Null).await.expect(200);
    assert_eq!((&found["outdated"], &found["secrets"][0]["id"]), (&json!(1), &made["id"]));
    let listed = api.ask(Who::Admin, "GET", "/v1/boots?secret=NEW_KEY", Value::Null).await.expect(200);
    assert_eq!(listed["items"][0]["id"], boot["boot"]);
    assert_eq!(listed["items"][0]["matched"][0]["env"], "KEY");
    let unknown = api.ask(Who::Admin, "GET", "/v1/holders/NEW_KEYY", Value::Null).await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (404, "not_found".to_owned()));
}

/// A client that seals wrongly: the receipt, the statistics, the status and the re-encryption all say so.
#[tokio::test]
async fn a_sealed_deposit_that_does_not_open_is_reported_everywhere() {
    let api = TestApi::new().await;
    let zeros = |len: usize| data_encoding::BASE64.encode(&vec![0; len]);
    let sealed = json!({
        "id": format!("sec_{}", "a".repeat(26)), "version": format!("ver_{}", "a".repeat(26)), "generation": 1,
        "suite": 32, "enc": zeros(32), "wrapped_key": zeros(48), "nonce": zeros(24), "ciphertext": zeros(20),
    });
    let secret = json!({ "name": "defective", "scope": "shared", "sealed": sealed });
    api.ask(Who::Admin, "POST", "/v1/secrets", secret).await.expect(201);
    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    let skipped = &boot["receipt"]["skipped"][0];
    assert_eq!((&skipped["env"], &skipped["reason"]), (&json!("DEFECTIVE"), &json!("unusable")));
    for path in ["/v1/statistics", "/v1/status"] {
        let unusable = &api.ask(Who::Member, "GET", path, Value::Null).await.expect(200)["unusable"];
        assert_eq!((&unusable["count"], &unusable["secrets"][0]["env"]), (&json!(1), &json!("DEFECTIVE")));
    }
    api.ask(Who::Operator, "POST", "/v1/secrets/re-encrypt", Value::Null).await.expect(202);
    let mut progress = json!({ "running": true });
    while progress["running"] == true {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        progress = api.ask(Who::Operator, "GET", "/v1/secrets/re-encrypt", Value::Null).await.expect(200);
    }
    assert_eq!((&progress["left"], &progress["kept"]), (&json!(1), &json!([1])));
    let metrics = api.ask(Who::Operator, "GET", "/metrics", Value::Null).await.text;
    assert!(metrics.contains("dropsafe_unusable_secrets 1"), "{metrics}");
}

#[tokio::test]
async fn a_version_is_an_entity_tag_and_guards_a_write() {
    let api = TestApi::new().await;
    let made = api.ask(Who::Member, "POST", "/v1/secrets", json!({ "name": "a", "value": "1" })).await;
    let tag = made.headers["etag"].to_str().unwrap().to_owned();
    let made = made.expect(201);
    assert_eq!(tag, format!("\"{}\"", made["version"].as_str().unwrap()));
    let path = format!("/v1/secrets/{}", made["id"].as_str().unwrap());

    let replaced = with_header(&api, "PUT", &path, ("if-match", &tag), json!({ "value": "2" })).await;
    let new = replaced.headers["etag"].to_str().unwrap().to_owned();
    replaced.expect(200);
    assert_ne!(new, tag);
    for method in ["PUT", "PATCH", "DELETE"] {
        let body = if method == "PUT" { json!({ "value": "3" }) } else { json!({}) };
        let stale = with_header(&api, method, &path, ("if-match", &tag), body).await;
        assert_eq!(stale.code(), "version_mismatch");
        assert_eq!(stale.status, 412);
    }
    let change = json!({ "plugin": "github", "auto_install": false });
    let changed = with_header(&api, "PATCH", &path, ("if-match", &new), change).await.expect(200);
    assert_eq!((&changed["plugin"], &changed["auto_install"]), (&json!("github"), &json!(false)));
    let cleared =
        with_header(&api, "PATCH", &path, ("if-match", "*"), json!({ "plugin": "" })).await.expect(200);
    assert_eq!(cleared["plugin"], Value::Null);
}

#[tokio::test]
async fn a_repeated_creation_is_answered_and_not_done_again() {
    let api = TestApi::new().await;
    let key = ("idempotency-key", "once");
    let body = json!({ "name": "a", "value": "1" });
    let first = with_header(&api, "POST", "/v1/secrets", key, body.clone()).await.expect(201);
    let again = with_header(&api, "POST", "/v1/secrets", key, body).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.expect(201)["id"], first["id"]);
    let other = with_header(&api, "POST", "/v1/secrets", key, json!({ "name": "b", "value": "1" })).await;
    assert_eq!(other.code(), "idempotency_mismatch");
    let bad = with_header(&api, "POST", "/v1/secrets", ("idempotency-key", "a b"), json!({})).await;
    assert_eq!(bad.code(), "invalid_request");
}

#[tokio::test]
async fn a_list_pages_and_filters() {
    let api = TestApi::new().await;
    for n in 0..5 {
        let body = json!({ "name": format!("name-{n}"), "value": "v", "auto_install": n % 2 == 0 });
        api.ask(Who::Member, "POST", "/v1/secrets", body).await.expect(201);
    }
    let mut path = "/v1/secrets?limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let page = api.ask(Who::Member, "GET", &path, Value::Null).await.expect(200);
        names.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/secrets?limit=2&cursor={next}");
    }
    names.sort();
    assert_eq!(names, ["name-0", "name-1", "name-2", "name-3", "name-4"]);
    for (query, count) in [
        ("q=NAME-1", 1),
        ("env=NAME_2", 1),
        ("name=name-3", 1),
        ("auto_install=true", 3),
        ("scope=shared", 0),
        ("owner=mel&type=encrypted", 5),
        ("type=plain", 0),
        ("plugin=none", 0),
    ] {
        let page = api.ask(Who::Admin, "GET", &format!("/v1/secrets?{query}"), Value::Null).await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}");
    }
    let made_up = api.ask(Who::Member, "GET", "/v1/secrets?cursor=abc", Value::Null).await;
    assert_eq!(made_up.code(), "unprocessable");
}

#[tokio::test]
async fn a_locked_store_takes_deposits_and_refuses_boots() {
    let api = TestApi::new().await;
    api.ask(Who::Operator, "POST", "/v1/lock", Value::Null).await.expect(200);
    api.ask(Who::Member, "POST", "/v1/secrets", json!({ "name": "a", "value": "1" })).await.expect(201);
    let refused = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "locked"));
    assert!(refused.headers.contains_key("retry-after"));
    let ready = api.ask(Who::Nobody, "GET", "/readyz", Value::Null).await;
    ready.expect(200);
    let key = json!({ "key_file": api.key_file.as_str() });
    api.ask(Who::Operator, "POST", "/v1/unlock", key).await.expect(200);
    api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
}

#[tokio::test]
async fn failed_attempts_are_limited_for_their_source_and_no_valid_credential_is() {
    let api = TestApi::with(LimitSettings { guesses: 3, ..LimitSettings::default() }).await;
    let mut wrong = api.credential(Who::Admin).to_owned();
    wrong.pop();
    // Of each kind one: each counts.
    for (credential, code) in [
        (wrong.as_str(), "unauthorized"),
        (api.credential(Who::Expired), "expired"),
        (api.credential(Who::Revoked), "revoked"),
    ] {
        assert_eq!(api.ask_as(credential, "GET", "/v1/status", Value::Null).await.code(), code);
    }
    for credential in [wrong.as_str(), api.credential(Who::Expired), api.credential(Who::Revoked)] {
        let slowed = api.ask_as(credential, "GET", "/v1/status", Value::Null).await;
        assert_eq!(slowed.code(), "rate_limited", "says nothing about the credential");
        assert!(slowed.headers.contains_key("retry-after"));
    }
    let mut elsewhere = Request::get("/v1/status").header("authorization", format!("Bearer {wrong}"));
    elsewhere.extensions_mut().unwrap().insert(dropsafe::api::Peer::Network([192, 0, 2, 8].into()));
    assert_eq!(api.send(elsewhere.body(Body::empty()).unwrap()).await.code(), "unauthorized");
    for who in [Who::Admin, Who::Member, Who::Operator] {
        api.ask(who, "GET", "/v1/status", Value::Null).await.expect(200);
    }
    api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
}

#[tokio::test]
async fn wrong_passphrases_are_throttled_and_wrong_tokens_do_not_lock_the_operator_out() {
    let api = TestApi::with(LimitSettings { guesses: 3, ..LimitSettings::default() }).await;
    api.ask(Who::Operator, "POST", "/v1/lock", Value::Null).await.expect(200);
    for _ in 0..10 {
        api.ask_as("dso_wrong", "POST", "/v1/unlock", json!({ "key_file": "x" })).await;
    }
    let guess = json!({ "key_file": UnlockKey::generate(&mut Kernel).to_text().as_str() });
    for _ in 0..3 {
        let answer = api.ask(Who::Operator, "POST", "/v1/unlock", guess.clone()).await;
        assert_eq!(answer.code(), "wrong_passphrase");
    }
    // Not even the right one is tried.
    let right = json!({ "key_file": api.key_file.as_str() });
    let answer = api.ask(Who::Operator, "POST", "/v1/unlock", right).await;
    assert_eq!(answer.code(), "rate_limited");
    api.ask(Who::Operator, "GET", "/v1/status", Value::Null).await.expect(200);
}

#[tokio::test]
async fn metrics_count_and_need_the_operator_or_the_socket() {
    let api = TestApi::new().await;
    api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    let text = api.ask(Who::Operator, "GET", "/metrics", Value::Null).await;
    assert_eq!(text.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.text.lines().any(|line| line == "dropsafe_boots_total 1"), "{}", text.text);
    assert!(text.text.contains("route=\"/v1/boot\",status=\"2xx\"} 1"));
    let mut local = Request::get("/metrics").body(Body::empty()).unwrap();
    local.extensions_mut().insert(dropsafe::api::Peer::Socket);
    assert_eq!(api.send(local).await.status, 200);
}

#[tokio::test]
async fn a_backup_is_a_stream_that_holds_no_name() {
    let api = TestApi::new().await;
    api.ask(Who::Member, "POST", "/v1/secrets", json!({ "name": "canary-name", "value": "canary-value" }))
        .await
        .expect(201);
    let backup = api.ask(Who::Operator, "GET", "/v1/backup", Value::Null).await;
    assert_eq!(
        (backup.status.as_u16(), &backup.headers["content-type"]),
        (200, &"application/octet-stream".parse().unwrap())
    );
    assert!(backup.text.len() > 1000 && !backup.text.contains("canary"));
}

/// Deposits into somebody's private scope, and the key to seal them for its owner, are for the owner and a service's managers.
#[tokio::test]
async fn only_its_managers_deposit_for_a_service_and_nobody_for_a_person() {
    let api = TestApi::new().await;
    let service = json!({ "name": "prod", "role": "member", "kind": "service", "managers": ["mel"] });
    api.ask(Who::Admin, "POST", "/v1/members", service).await.expect(201);
    let deposit = |owner: &str| json!({ "name": "db-url", "value": "canary", "owner": owner });
    for (who, owner, key, deposited) in [
        (Who::Admin, "mel", 403, 403),
        (Who::Member, "ada", 403, 403),
        (Who::Auditor, "mel", 403, 403),
        (Who::Admin, "prod", 403, 403),
        (Who::Member, "nobody", 404, 404),
        (Who::Member, "mel", 200, 201),
        (Who::Member, "prod", 200, 201),
    ] {
        let path = format!("/v1/deposit-key?member={owner}");
        api.ask(who, "GET", &path, Value::Null).await.expect(key);
        let answer = api.ask(who, "POST", "/v1/secrets", deposit(owner)).await.expect(deposited);
        assert!(!answer.to_string().contains("canary"), "{answer}");
    }
    // A shared secret has no owner.
    let shared = json!({ "name": "x", "value": "v", "scope": "shared", "owner": "prod" });
    let answer = api.ask(Who::Member, "POST", "/v1/secrets", shared).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
}

#[tokio::test]
async fn a_token_for_metrics_is_the_operators_to_create_list_and_revoke() {
    let api = TestApi::new().await;
    let asks = json!({ "metrics": true, "label": "prometheus" });
    assert_eq!(api.ask(Who::Admin, "POST", "/v1/tokens", asks.clone()).await.code(), "unprocessable");
    let made = api.ask(Who::Operator, "POST", "/v1/tokens", asks).await.expect(201);
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(api.ask_as(token, "GET", "/metrics", Value::Null).await.status, 200);
    let unlock = json!({ "key_file": &*api.key_file });
    assert_eq!(api.ask_as(token, "POST", "/v1/unlock", unlock).await.code(), "forbidden");
    let listed = api.ask(Who::Operator, "GET", "/v1/tokens", Value::Null).await.expect(200);
    let items = listed["items"].as_array().unwrap();
    let of = |id: &str| items.iter().find(|item| item["id"] == id).unwrap();
    assert_eq!(of(id)["metrics"], true);
    // It does not stand for the operator's last token.
    let own = items.iter().find(|item| item["metrics"] == false).unwrap()["id"].as_str().unwrap();
    let path = |id: &str| format!("/v1/tokens/{id}");
    assert_eq!(api.ask(Who::Operator, "DELETE", &path(own), Value::Null).await.code(), "conflict");
    api.ask(Who::Operator, "DELETE", &path(id), Value::Null).await.expect(200);
    assert_eq!(api.ask_as(token, "GET", "/metrics", Value::Null).await.code(), "revoked");
    let log = api.ask(Who::Operator, "GET", "/v1/audit?action=store.unlock", Value::Null).await.expect(200);
    let denied = &log["items"][0];
    assert_eq!((&denied["actor_kind"], &denied["outcome"]), (&json!("metrics"), &json!("denied")));
}
