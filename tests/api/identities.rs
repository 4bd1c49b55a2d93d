//! Machines that prove themselves with a token of an issuer, through the API.

use std::time::Duration;

use axum::body::Body;
use dropsafe::domain::card::StoreCard;
use http::Request;
use serde_json::{Value, json};

use super::test_api::{Answer, TestApi, Who};
use super::test_issuer::TestKey;

const ISSUER: &str = "https://cluster.example";
/// The time of the API's clock, in seconds.
const NOW: i64 = 1_790_000_000;
const CANARY: &str = "canary-of-a-claim";

struct Cluster {
    api: TestApi,
    key: TestKey,
}

impl Cluster {
    /// An organization that trusts a cluster whose keys it was given, so that nothing is fetched.
    async fn new() -> Self {
        let cluster = Self { api: TestApi::new().await, key: TestKey::p256("ec-1") };
        let keys = json!({ "keys": [cluster.key.jwk()] }).to_string();
        let body = json!({ "url": ISSUER, "algorithms": ["ES256"], "keys": keys });
        cluster.api.ask(Who::Admin, "PUT", "/v1/issuers/cluster", body).await.expect(200);
        cluster
    }

    /// An identity of the member for one service account.
    async fn identity(&self, extra: Value) -> Value {
        let mut body = json!({
            "template": "kubernetes",
            "issuer": "cluster",
            "claims": { "namespace": "prod", "service-account": "api" },
        });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.api.ask(Who::Member, "POST", "/v1/identities", body).await.expect(201)
    }

    fn token(&self, identity: &Value, namespace: &str) -> String {
        let subject = format!("system:serviceaccount:{namespace}:api");
        self.key.sign(&json!({
            "iss": ISSUER, "sub": subject, "aud": identity["tokens"]["audience"], "iat": NOW, "exp": NOW + 600,
            "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": "api" } },
        }))
    }

    async fn present(&self, identity: &str, token: &str, path: &str) -> Answer {
        let request = Request::builder().method("POST").uri(path).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.header("dropsafe-identity", identity);
        self.api.send(request.body(Body::from("{}")).unwrap()).await
    }
}

fn id(identity: &Value) -> &str {
    identity["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_machine_boots_explains_reports_and_is_listed() {
    let cluster = Cluster::new().await;
    let secret = json!({ "name": "a", "value": "v" });
    cluster.api.ask(Who::Member, "POST", "/v1/secrets", secret).await.expect(201);
    let identity = cluster.identity(json!({ "grant": { "label": "pods" } })).await;
    let card: StoreCard = identity["card"].as_str().unwrap().parse().unwrap();
    assert_eq!(card.identity().to_string(), id(&identity));
    assert_eq!(identity["tokens"]["audience"], format!("dropsafe:{}", card.store()));

    let token = cluster.token(&identity, "prod");
    let test = path(&identity, "/test");
    let tested = cluster.api.ask(Who::Member, "POST", &test, json!({ "token": token }));
    let tested = tested.await.expect(200);
    assert_eq!(tested["accepted"], true, "{tested}");
    let explained = cluster.present(id(&identity), &token, "/v1/boot/explain").await.expect(200);
    assert_eq!(explained["receipt"]["entries"][0]["env"], "A");
    let booted = cluster.present(id(&identity), &token, "/v1/boot").await.expect(200);
    let boots = cluster.api.ask(Who::Member, "GET", "/v1/boots", Value::Null).await.expect(200);
    let boot = &boots["items"][0];
    assert_eq!(boot["id"], booted["boot"]);
    assert_eq!((boot["identity"].as_str(), &boot["ticket"]), (Some(id(&identity)), &Value::Null));
    assert_eq!(boot["ticket_label"], "pods");

    // It proves a boot and nothing else.
    let read = Request::builder().uri("/v1/secrets").header("dropsafe-identity", id(&identity));
    let read = read.header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
    assert_eq!(cluster.api.send(read).await.status, 403);
    // The list of tickets has none.
    let tickets = cluster.api.ask(Who::Member, "GET", "/v1/tickets", Value::Null).await.expect(200);
    assert!(tickets["items"].as_array().unwrap().iter().all(|ticket| ticket["label"] != "pods"));

    cluster.api.ask(Who::Member, "DELETE", &path(&identity, ""), Value::Null).await.expect(200);
    assert_eq!(cluster.present(id(&identity), &token, "/v1/boot").await.code(), "revoked");
}

fn path(identity: &Value, rest: &str) -> String {
    format!("/v1/identities/{}{rest}", id(identity))
}

#[tokio::test]
async fn a_refused_token_learns_nothing_and_the_owner_learns_why() {
    let cluster = Cluster::new().await;
    let identity = cluster.identity(json!({})).await;
    let good = cluster.token(&identity, "prod");
    let other = cluster.token(&identity, CANARY);
    let forged = TestKey::p256("ec-1").sign(&json!({ "iss": ISSUER, "sub": CANARY, "aud": identity["tokens"]["audience"], "iat": NOW, "exp": NOW + 600 }));
    let large = format!("{}.{}", "e".repeat(15 << 10), CANARY);
    let missing = "idn_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let mut answers = Vec::new();
    for (identity, token) in [
        (id(&identity), other.as_str()),
        (id(&identity), &forged),
        (id(&identity), &large),
        (id(&identity), "no token"),
        (missing, &good),
        ("nonsense", &good),
    ] {
        let answer = cluster.present(identity, token, "/v1/boot").await;
        assert_eq!(answer.status, 401, "{}", answer.text);
        assert!(!answer.text.contains(CANARY), "{}", answer.text);
        if identity != "nonsense" {
            let mut problem: Value = serde_json::from_str(&answer.text).unwrap();
            problem.as_object_mut().unwrap().remove("request_id");
            answers.push(problem);
        }
    }
    // Not even which identities exist.
    assert!(answers.iter().all(|answer| answer["code"] == "unauthorized"), "{answers:?}");
    // Denials are recorded beside the requests.
    let mut entries = Value::Null;
    for _ in 0..200 {
        let log = cluster.api.ask(Who::Admin, "GET", "/v1/audit?action=authenticate", Value::Null);
        entries = log.await.expect(200);
        if entries.to_string().contains("bad_signature") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for check in ["claim_differs", "bad_signature"] {
        assert!(entries.to_string().contains(check), "{check}: {entries}");
    }

    let test = path(&identity, "/test");
    let tested = cluster.api.ask(Who::Member, "POST", &test, json!({ "token": other }));
    let tested = tested.await.expect(200);
    assert_eq!(tested["accepted"], false);
    let failed: Vec<&Value> =
        tested["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false).collect();
    assert_eq!(failed.len(), 1, "{tested}");
    assert_eq!((&failed[0]["expected"], &failed[0]["found"]), (&json!("prod"), &json!(CANARY)));
    let test = path(&identity, "/test");
    let tested = cluster.api.ask(Who::Member, "POST", &test, json!({ "token": good }));
    assert_eq!(tested.await.expect(200)["accepted"], true);
}

#[tokio::test]
async fn what_is_wrong_with_an_issuer_or_an_identity_is_said() {
    let cluster = Cluster::new().await;
    for (body, why) in [
        (json!({ "url": "http://issuer.example" }), "https"),
        (json!({ "url": ISSUER, "algorithms": ["HS256"] }), "algorithms"),
        (json!({ "url": ISSUER, "algorithms": ["none"] }), "algorithms"),
        (json!({ "url": ISSUER, "keys": format!("{{\"{CANARY}\":") }), "not valid JSON"),
        (json!({ "url": ISSUER, "authorities": CANARY }), "CA certificates"),
    ] {
        let answer = cluster.api.ask(Who::Admin, "PUT", "/v1/issuers/bad", body.clone()).await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{body}: {}", answer.text);
        assert!(answer.text.contains(why) && !answer.text.contains(CANARY), "{body}: {}", answer.text);
    }
    for (body, why) in [
        (json!({ "template": "nowhere" }), "template"),
        (json!({ "template": "github" }), "repository-id"),
        (json!({ "template": "github", "claims": { "repository-id": "acme" } }), "repository-id"),
        (
            json!({ "template": "kubernetes", "claims": { "namespace": "a", "service-account": "b" } }),
            "issuer",
        ),
    ] {
        let answer = cluster.api.ask(Who::Member, "POST", "/v1/identities", body.clone()).await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{body}: {}", answer.text);
        assert!(answer.text.contains(why), "{body}: {}", answer.text);
    }
}
