//! Requests that are refused, and what of them is repeated or logged: nothing.

use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use dropsafe::api::limits::LimitSettings;
use http::Request;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::test_api::{Answer, TestApi, Who};

const CANARY: &str = "canary-7f3a";

async fn raw(api: &TestApi, method: &str, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", api.credential(Who::Admin)))
        .header("content-type", content_type)
        .body(body.into())
        .unwrap();
    api.send(request).await
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let api = TestApi::new().await;
    let missing = api.ask(Who::Admin, "GET", "/v1/nothing", Value::Null).await;
    assert_eq!((missing.status.as_u16(), missing.code().as_str()), (404, "not_found"));
    for (path, allow) in [("/v1/secrets", "GET,HEAD,POST"), ("/v1/boot", "POST"), ("/healthz", "GET,HEAD")] {
        for method in ["TRACE", "OPTIONS", "PUT", "PROPFIND"] {
            let wrong = api.ask(Who::Admin, method, path, Value::Null).await;
            assert_eq!(
                (wrong.status.as_u16(), wrong.code().as_str()),
                (405, "method_not_allowed"),
                "{method} {path}"
            );
            assert_eq!(wrong.headers["allow"], allow);
        }
    }
}

#[tokio::test]
async fn every_answer_has_its_id_and_the_headers_of_a_secret_store() {
    let api = TestApi::new().await;
    for (who, path) in [(Who::Admin, "/v1/secrets"), (Who::Nobody, "/v1/secrets"), (Who::Nobody, "/x")] {
        let answer = api.ask(who, "GET", path, Value::Null).await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["x-request-id"].len(), 16);
    }
}

#[tokio::test]
async fn each_route_limits_its_bodies() {
    let api = TestApi::new().await;
    let long = "x".repeat(65 * 1024);
    let small =
        raw(&api, "POST", "/v1/members", "application/json", json!({ "name": long }).to_string()).await;
    assert_eq!((small.status.as_u16(), small.code().as_str()), (413, "payload_too_large"));
    let stream = Body::new(Chunks(40));
    let unannounced = raw(&api, "POST", "/v1/members", "application/json", stream).await;
    assert_eq!(unannounced.code(), "payload_too_large");
    // A file of 1 MiB fits, and one byte more is refused by the rule for files and not by the body's.
    let file =
        |bytes: usize| json!({ "name": "f", "value": "x".repeat(bytes), "delivery": "file" }).to_string();
    assert_eq!(raw(&api, "POST", "/v1/secrets", "application/json", file(1 << 20)).await.status, 201);
    let over = raw(&api, "POST", "/v1/secrets", "application/json", file((1 << 20) + 1)).await;
    assert_eq!(over.code(), "value_too_large");
    let huge = raw(&api, "POST", "/v1/secrets", "application/json", file(2 << 20)).await;
    assert_eq!(huge.code(), "payload_too_large");
}

/// So many chunks of 4 KiB, without a length announced; `usize::MAX`: none, and no end.
struct Chunks(usize);

impl hyper::body::Body for Chunks {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, std::io::Error>>> {
        if self.0 == usize::MAX {
            return Poll::Pending;
        }
        self.0 = self.0.saturating_sub(1);
        let chunk = || Ok(hyper::body::Frame::data(bytes::Bytes::from(vec![b' '; 4096])));
        Poll::Ready((self.0 > 0).then(chunk))
    }
}

#[tokio::test]
async fn a_body_has_to_be_json() {
    let api = TestApi::new().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/json-patch+json", ""] {
        let wrong = raw(&api, "POST", "/v1/members", kind, "{\"name\":\"x\"}").await;
        assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (415, "unsupported_media_type"), "{kind}");
    }
    let fine = raw(&api, "POST", "/v1/members", "Application/JSON; charset=utf-8", "{\"name\":\"x\"}").await;
    assert_eq!(fine.status, 201);
}

#[tokio::test]
async fn too_large_headers_are_refused() {
    let api = TestApi::new().await;
    let request =
        Request::get("/healthz").header("x-padding", "x".repeat(17 * 1024)).body(Body::empty()).unwrap();
    let refused = api.send(request).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (431, "headers_too_large"));
}

#[tokio::test]
async fn a_request_over_capacity_gets_a_retry_after() {
    let api = TestApi::new().await.with_limits(LimitSettings { in_flight: 0, ..LimitSettings::default() });
    let shed = api.ask(Who::Admin, "GET", "/v1/secrets", Value::Null).await;
    assert_eq!((shed.status.as_u16(), shed.code().as_str()), (503, "overloaded"));
    assert_eq!(shed.headers["retry-after"], "1");
    api.ask(Who::Nobody, "GET", "/healthz", Value::Null).await.expect(200);
}

#[tokio::test]
async fn a_slow_body_is_refused_and_takes_no_capacity_until_then() {
    let limits =
        LimitSettings { in_flight: 1, body_timeout: Duration::from_millis(300), ..LimitSettings::default() };
    let api = Arc::new(TestApi::with(limits).await);
    let slow = tokio::spawn({
        let api = Arc::clone(&api);
        async move { raw(&api, "POST", "/v1/members", "application/json", Body::new(Chunks(usize::MAX))).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    api.ask(Who::Admin, "GET", "/v1/secrets", Value::Null).await.expect(200);
    let late = slow.await.unwrap();
    assert_eq!((late.status.as_u16(), late.code().as_str()), (408, "request_timeout"));
}

#[tokio::test]
async fn all_faults_of_a_body_are_reported_at_once() {
    let api = TestApi::new().await;
    let body = json!({ "name": "a b", "as": "1X", "plugin": "", "category": "UP", "value": "x" });
    let refused = api.ask(Who::Admin, "POST", "/v1/secrets", body).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "name_invalid"));
    let fields: Vec<String> = refused.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["field"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(fields, ["name", "as", "plugin", "category"]);
}

#[tokio::test]
async fn an_organizations_limits_are_checked_together_and_shown() {
    let api = TestApi::new().await;
    let before = api.ask(Who::Admin, "GET", "/v1/org", json!(null)).await.expect(200);
    assert_eq!(before["shared_changes"], "depositor");
    assert_eq!(before["retention"], json!({ "boots": null, "audit": null }));
    for (body, status, code) in [
        (json!({ "budgets": { "shared_variables": 1_900_000 } }), 422, "unprocessable"),
        (json!({ "budgets": { "shared_files": 4_294_967_295_u32 } }), 422, "unprocessable"),
        (json!({ "budgets": { "files": 1 } }), 400, "invalid_request"),
        (json!({ "budgets": [1] }), 400, "invalid_request"),
        (json!({ "member_share": 0 }), 400, "invalid_request"),
        (json!({ "retention": { "boots": 36_501 } }), 400, "invalid_request"),
        (json!({ "shared_changes": "nobody" }), 400, "invalid_request"),
        // An admin cannot raise what the operator sets.
        (json!({ "quotas": { "secrets": 1 } }), 400, "invalid_request"),
    ] {
        let refused = api.ask(Who::Admin, "PATCH", "/v1/org", body.clone()).await.expect(status);
        assert_eq!(refused["code"], code, "{body}");
    }
    assert_eq!(api.ask(Who::Admin, "GET", "/v1/org", json!(null)).await.expect(200), before);
    let change = json!({
        "shared_changes": "everyone",
        "budgets": { "shared_variables": 1_000_000, "private_variables": 800_000 },
        "member_share": 50,
        "retention": { "boots": 90 },
    });
    let after = api.ask(Who::Admin, "PATCH", "/v1/org", change).await.expect(200);
    assert_eq!((&after["shared_changes"], &after["member_share"]), (&"everyone".into(), &50.into()));
    assert_eq!(after["budgets"]["private_variables"], 800_000);
    assert_eq!(after["retention"], json!({ "boots": 90, "audit": null }));
}

#[tokio::test]
async fn the_operator_sets_quotas_and_a_full_one_says_what_helps() {
    let api = TestApi::new().await;
    let path = "/v1/orgs/default/quotas";
    let before = api.ask(Who::Operator, "GET", path, json!(null)).await.expect(200);
    assert_eq!(
        (&before["quotas"]["tickets"], &before["quotas"]["min_audit_days"]),
        (&1_000_000.into(), &30.into())
    );
    let tickets = before["used"]["tickets"].as_u64().unwrap();
    for (path, body, status, code) in [
        (path, json!({ "tickets": -1 }), 400, "invalid_request"),
        (path, json!({ "min_audit_days": 36_501 }), 400, "invalid_request"),
        (path, json!({ "budgets": {} }), 400, "invalid_request"),
        ("/v1/orgs/none/quotas", json!({ "tickets": 1 }), 404, "not_found"),
    ] {
        let refused = api.ask(Who::Operator, "PATCH", path, body.clone()).await.expect(status);
        assert_eq!(refused["code"], code, "{body}");
    }
    let change = json!({ "tickets": tickets + 1, "members": before["used"]["members"], "min_audit_days": 7 });
    let after = api.ask(Who::Operator, "PATCH", path, change).await.expect(200);
    assert_eq!(after["quotas"]["secrets"], before["quotas"]["secrets"], "an absent field stays");
    let ticket = api.ask(Who::Admin, "POST", "/v1/tickets", json!({})).await.expect(201);
    let full = api.ask(Who::Admin, "POST", "/v1/tickets", json!({})).await.expect(409);
    assert_eq!(full["code"], "over_quota");
    assert!(full["detail"].as_str().unwrap().contains("tickets is reached"), "{full}");
    assert!(full["hint"].as_str().unwrap().contains("dropsafe ticket revoke"), "{full}");
    let full = api.ask(Who::Admin, "POST", "/v1/members", json!({ "name": "new" })).await.expect(409);
    assert_eq!(full["code"], "over_quota");
    let revoked = format!("/v1/tickets/{}", ticket["id"].as_str().unwrap());
    api.ask(Who::Admin, "DELETE", &revoked, json!(null)).await.expect(200);
    api.ask(Who::Admin, "POST", "/v1/tickets", json!({})).await.expect(201);
    let usage = api.ask(Who::Member, "GET", "/v1/org/usage", json!(null)).await.expect(200);
    assert_eq!(usage["records"]["tickets"], tickets + 1);
    assert_eq!(usage["members_over_budget"], json!([]));
    let retention = |days| json!({ "retention": { "audit": days } });
    let short = api.ask(Who::Admin, "PATCH", "/v1/org", retention(6)).await.expect(422);
    assert!(short["detail"].as_str().unwrap().contains("at least 7 days"), "{short}");
    api.ask(Who::Admin, "PATCH", "/v1/org", retention(7)).await.expect(200);
}

#[tokio::test]
async fn bad_deposits_are_refused_each_with_its_code_and_nothing_is_stored() {
    let api = TestApi::new().await;
    let mut small_house = json!({ "variable_ceiling": 100 });
    api.ask(Who::Admin, "PATCH", "/v1/org", small_house.take()).await.expect(200);
    api.ask(Who::Admin, "POST", "/v1/secrets", json!({ "name": "taken-name", "value": "v" }))
        .await
        .expect(201);
    for (body, status, code) in [
        (json!({ "name": "", "value": "v" }), 422, "name_invalid"),
        (json!({ "name": "123", "value": "v" }), 422, "name_invalid"),
        (json!({ "name": "TAKEN_NAME", "value": "v" }), 409, "name_taken"),
        (json!({ "name": "ld-preload", "value": "v" }), 422, "name_refused"),
        (json!({ "name": "x", "as": "PATH", "value": "v" }), 422, "name_refused"),
        (json!({ "name": "x", "value": "a\u{0}b" }), 422, "value_invalid"),
        (json!({ "name": "x", "value_base64": "/w==" }), 422, "value_invalid"),
        (json!({ "name": "x", "value": "v".repeat(101) }), 422, "value_too_large"),
        (json!({ "name": "x", "value": "v".repeat(131_072) }), 422, "value_too_large"),
        (json!({ "name": "x" }), 400, "invalid_request"),
        (json!({ "name": "x", "value": "v", "value_base64": "dg==" }), 400, "invalid_request"),
        (json!({ "name": "x", "value_base64": "v" }), 422, "unprocessable"),
        (json!({ "name": "x", "value": "v", "scope": "everyone" }), 400, "invalid_request"),
        (json!({ "name": "x", "value": "v", "vlaue": "v" }), 400, "invalid_request"),
    ] {
        let refused = api.ask(Who::Admin, "POST", "/v1/secrets", body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (status, code), "{body}");
    }
    let page = api.ask(Who::Admin, "GET", "/v1/secrets", Value::Null).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

/// The log at its finest holds nothing of what came in, whatever was wrong with it.
#[test]
fn nothing_of_a_refused_request_is_repeated_or_logged() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // With one dispatcher alone, a callsite that another test's thread reaches first would be disabled for this test too
    // (https://github.com/tokio-rs/tracing/issues/2874).
    let _second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || runtime.block_on(send_canaries()));
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("answered") && text.contains("status=400"), "the log was not read: {text}");
    assert!(!text.contains(CANARY), "{text}");
}

async fn send_canaries() {
    let api = TestApi::new().await;
    let json = "application/json";
    let bodies = [
        CANARY.to_owned(),
        format!("\"{CANARY}\""),
        format!("{{\"{CANARY}\":1}}"),
        format!("{{\"name\":\"x\",\"value\":\"{CANARY}"),
        format!("{{\"name\":\"x\",\"value\":\"{CANARY}\",\"value\":\"{CANARY}\"}}"),
        format!("{{\"name\":\"x\",\"value\":[\"{CANARY}\"]}}"),
        format!("{{\"name\":\"{CANARY}!\",\"value\":\"{CANARY}\"}}"),
        format!("{{\"name\":\"x\",\"value_base64\":\"{CANARY}!\"}}"),
        format!("{{\"name\":\"x\",\"type\":\"{CANARY}\",\"value\":\"{CANARY}\"}}"),
        format!("{{\"name\":\"x\",\"value\":\"{CANARY}\\u0000\"}}"),
        format!("{{\"name\":\"PATH\",\"value\":\"{CANARY}\"}}"),
        format!("{{\"name\":\"x\",\"value\":\"{CANARY}\",\"sealed\":{{\"id\":\"{CANARY}\"}}}}"),
        format!("{{\"name\":\"x\",\"value\":\"{CANARY}\\ud800\"}}"),
        format!("{{\"name\":\"x\",\"value\":\"{}\"}}", CANARY.repeat(20_000)),
    ];
    let mut answers = Vec::new();
    for body in bodies {
        answers.push(raw(&api, "POST", "/v1/secrets", json, body).await);
    }
    answers.push(raw(&api, "POST", "/v1/secrets", CANARY, CANARY).await);
    for path in [
        format!("/v1/secrets?{CANARY}={CANARY}"),
        format!("/v1/secrets?scope={CANARY}"),
        format!("/v1/secrets?cursor={CANARY}"),
        format!("/v1/secrets/{CANARY}"),
        format!("/v1/members/{CANARY}%20x"),
        format!("/v1/{CANARY}"),
        format!("/{CANARY}"),
    ] {
        answers.push(raw(&api, "GET", &path, json, "").await);
    }
    for credential in [CANARY.to_owned(), format!("dsm_{CANARY}"), format!("dst_{CANARY}")] {
        answers.push(api.ask_as(&credential, "GET", "/v1/status", Value::Null).await);
    }
    for secret in
        [json!({ "key_file": CANARY }), json!({ "passphrase": CANARY }), json!({ "passphrase": [CANARY] })]
    {
        answers.push(api.ask(Who::Operator, "POST", "/v1/unlock", secret).await);
    }
    for answer in answers {
        assert!(answer.status.is_client_error(), "{} {}", answer.status, answer.text);
        assert!(!answer.text.contains(CANARY), "{}", answer.text);
        assert!(!format!("{:?}", answer.headers).contains(CANARY));
        answer.code();
    }
    // And of what is accepted.
    raw(&api, "POST", "/v1/secrets", json, format!("{{\"name\":\"x\",\"value\":\"{CANARY}\"}}"))
        .await
        .expect(201);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
