//! What the routes do, end to end.

use axum::body::Body;
use dropsafe::api::limits::LimitSettings;
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
async fn guesses_are_slowed_for_their_source_alone() {
    let api = TestApi::with(LimitSettings { guesses: 3, ..LimitSettings::default() }).await;
    let mut wrong = api.credential(Who::Admin).to_owned();
    wrong.pop();
    for _ in 0..3 {
        let answer = api.ask_as(&wrong, "GET", "/v1/status", Value::Null).await;
        assert_eq!(answer.code(), "unauthorized");
    }
    let slowed = api.ask(Who::Admin, "GET", "/v1/status", Value::Null).await;
    assert_eq!(slowed.code(), "rate_limited");
    assert!(slowed.headers.contains_key("retry-after"));
    let mut elsewhere = Request::get("/v1/status")
        .header("authorization", format!("Bearer {}", api.credential(Who::Admin)))
        .body(Body::empty())
        .unwrap();
    elsewhere.extensions_mut().insert(dropsafe::api::Peer::Network([192, 0, 2, 8].into()));
    api.send(elsewhere).await.expect(200);
    api.ask(Who::Nobody, "GET", "/healthz", Value::Null).await.expect(200);
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
