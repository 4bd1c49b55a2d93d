//! Sign-in of people through the API, as the command line does it, with a provider on loopback: what works, and what a code, a state
//! or a proof is worth in the wrong hands.

use dropsafe::signin::Providers;
use http::Request;
use serde_json::{Value, json};

use crate::test_api::{Answer, TestApi, Who, configured_providers};
use crate::test_provider::{CLIENT_SECRET, Entered, Instead, TestProvider, form};

/// The provider `corp`, whose groups decide about `default` and `other`, and `plain`, whose groups decide nothing.
fn providers(issuer: &str) -> Providers {
    let yaml = format!(
        "sign_in:\n  url: https://vault.example\n  providers:\n    - name: corp\n      title: Acme account\n      issuer: {issuer}\n      \
         client_id: dropsafe\n      client_secret_file: client.secret\n      command_line: {{client_id: dropsafe-cli}}\n      \
         device_flow: true\n      token_lifetime: 8h\n      groups:\n        - {{group: chiefs, organization: default, role: admin}}\n        \
         - {{group: staff, organization: default}}\n        - {{group: staff, organization: other, role: auditor}}\n    \
         - name: plain\n      issuer: {issuer}\n      client_id: dropsafe-cli\n"
    );
    configured_providers(&yaml, CLIENT_SECRET)
}

struct Site {
    api: TestApi,
    there: TestProvider,
}

/// A sign-in that was begun, and the address to which the provider sends the browser.
struct Begun {
    sign_in: Value,
    location: String,
}

impl Begun {
    /// What the client sends to prove the person.
    fn answer(&self) -> Value {
        let answer = form(self.location.split_once('?').unwrap().1);
        json!({ "sign_in": self.sign_in, "code": answer["code"], "state": answer["state"] })
    }
}

impl Site {
    async fn new() -> Self {
        let (api, there) = (TestApi::new().await, TestProvider::start().await);
        there.person(json!({ "sub": "s-mel", "preferred_username": "mel.m", "groups": ["staff"] }));
        let site = Self { api: api.with_providers(providers(&there.issuer)), there };
        site.pass(0);
        site
    }

    fn pass(&self, seconds: i64) {
        self.api.pass(seconds * 1000);
        self.there.set_time(self.api.now().as_millis() / 1000);
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.api.ask_as("", "POST", path, body).await
    }

    async fn begin_with(&self, provider: &str, link: bool) -> Begun {
        let body = json!({ "provider": provider, "port": 4444, "link": link });
        let begun = self.post("/v1/sign-in/browser", body).await.expect(200);
        let location = self.there.authorize(begun["authorization_url"].as_str().unwrap());
        assert!(location.starts_with("http://127.0.0.1:4444/callback?"), "{location}");
        assert_eq!(begun["state"], form(location.split_once('?').unwrap().1)["state"]);
        Begun { sign_in: begun["sign_in"].clone(), location }
    }

    async fn begin(&self) -> Begun {
        self.begin_with("corp", false).await
    }

    async fn prove(&self, body: Value) -> Answer {
        self.post("/v1/sign-in/proof", body).await
    }

    /// A proof for a token, or to link an account.
    async fn proof(&self, provider: &str, link: bool) -> Value {
        self.prove(self.begin_with(provider, link).await.answer()).await.expect(200)["proof"].clone()
    }

    async fn token(&self, proof: &Value) -> Answer {
        self.post("/v1/sign-in/token", json!({ "proof": proof })).await
    }

    /// Links the provider's person to a caller.
    async fn link(&self, who: Who) -> Value {
        let body = json!({ "proof": self.proof("corp", true).await });
        self.api.ask(who, "POST", "/v1/sign-in/accounts", body).await.expect(201)
    }

    /// The reasons of refused sign-ins in the log, newest first, once as many are there.
    async fn reasons(&self, count: usize) -> Vec<String> {
        let mut reasons = Vec::new();
        // Denials are recorded in the background.
        for _ in 0..200 {
            let log = self.api.ask(Who::Operator, "GET", "/v1/audit?action=sign_in&limit=500", Value::Null);
            let log = log.await.expect(200);
            let entries = log["items"].as_array().unwrap().iter();
            reasons =
                entries.filter_map(|entry| Some(entry["details"]["reason"].as_str()?.to_owned())).collect();
            if reasons.len() >= count {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        reasons
    }
}

/// Refused, in the words that everybody gets.
#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "sign_in_refused"), "{}", answer.text);
    assert!(!answer.text.contains("canary"), "{}", answer.text);
}

#[tokio::test]
async fn a_linked_person_gets_a_token_that_expires() {
    let site = Site::new().await;
    let listed = site.api.ask_as("", "GET", "/v1/sign-in", Value::Null).await.expect(200);
    let corp = json!({ "name": "corp", "title": "Acme account", "device": true });
    assert_eq!(listed["providers"], json!([corp, { "name": "plain", "title": "plain", "device": false }]));

    let linked = site.link(Who::Member).await;
    assert_eq!(
        (&linked["subject"], &linked["name"], &linked["provider"]),
        (&json!("s-mel"), &json!("mel.m"), &json!("corp"))
    );
    let proven = site.prove(site.begin().await.answer()).await.expect(200);
    assert_eq!((&proven["name"], &proven["organizations"]), (&json!("mel.m"), &json!(["default"])));
    let made = site.token(&proven["proof"]).await.expect(201);
    assert_eq!(
        (&made["created"], &made["role"], &made["organization"]),
        (&json!(false), &json!("member"), &json!("default"))
    );
    assert_eq!(made["label"], "sign-in with corp (browser)");
    let token = made["token"].as_str().unwrap();
    let whoami = site.api.ask_as(token, "GET", "/v1/whoami", Value::Null).await.expect(200);
    assert_eq!(whoami["member"], "mel", "{whoami}");
    site.api.ask_as(token, "POST", "/v1/secrets", json!({ "name": "a", "value": "v" })).await.expect(201);
    site.pass(8 * 3600);
    assert_eq!(site.api.ask_as(token, "GET", "/v1/whoami", Value::Null).await.status, 401);

    let accounts = site.api.ask(Who::Member, "GET", "/v1/sign-in/accounts", Value::Null).await.expect(200);
    assert!(accounts["items"][0]["used_at"].is_string() && accounts["next"].is_null(), "{accounts}");
    let path = format!("/v1/sign-in/accounts/{}", linked["id"].as_str().unwrap());
    site.api.ask(Who::Member, "DELETE", &path, Value::Null).await.expect(200);
    site.api.ask(Who::Member, "DELETE", &path, Value::Null).await.expect(404);
    let refused = site.prove(site.begin().await.answer()).await;
    assert_refused(&refused);
    // And the organization that the groups name too learns of a stranger.
    let mut reasons = site.reasons(2).await;
    reasons.sort();
    assert_eq!(reasons, ["unknown_person", "unlinked"]);
}

#[tokio::test]
async fn a_new_person_becomes_what_the_groups_say() {
    let site = Site::new().await;
    site.there
        .person(json!({ "sub": "s-new", "email": "New.Person@example.com", "groups": ["chiefs", "staff"] }));
    assert_refused(&site.prove(site.begin().await.answer()).await);
    // Two organizations are concerned, and both learn of it.
    assert_eq!(site.reasons(2).await, ["unknown_person", "unknown_person"]);
    let create = json!({ "create_at_sign_in": true });
    site.api.ask(Who::Admin, "PATCH", "/v1/org", create.clone()).await.expect(200);
    let proof = site.proof("corp", false).await;
    let made = site.token(&proof).await.expect(201);
    assert_eq!((&made["created"], &made["role"]), (&json!(true), &json!("admin")));
    let whoami =
        site.api.ask_as(made["token"].as_str().unwrap(), "GET", "/v1/whoami", Value::Null).await.expect(200);
    assert_eq!(whoami["member"], "new.person@example.com");

    // With a second organization, the person chooses.
    site.api.ask(Who::Other, "PATCH", "/v1/org", create).await.expect(200);
    let proven = site.prove(site.begin().await.answer()).await.expect(200);
    assert_eq!(proven["organizations"], json!(["default", "other"]));
    let unsaid = site.token(&proven["proof"]).await;
    assert_eq!((unsaid.status.as_u16(), unsaid.code().as_str()), (409, "conflict"));
    let body = json!({ "proof": proven["proof"], "organization": "other" });
    let made = site.post("/v1/sign-in/token", body).await.expect(201);
    assert_eq!((&made["organization"], &made["role"]), (&json!("other"), &json!("auditor")));
}

#[tokio::test]
async fn the_role_of_an_open_session_follows_the_next_sign_in() {
    let site = Site::new().await;
    site.there.person(json!({ "sub": "s-mel", "name": "Mel", "groups": ["chiefs"] }));
    site.link(Who::Member).await;
    let settings = || site.api.ask(Who::Member, "PATCH", "/v1/org", json!({ "hints": false }));
    assert_eq!(settings().await.status, 403);
    let proof = site.proof("corp", false).await;
    assert_eq!(site.token(&proof).await.expect(201)["role"], "admin");
    assert_eq!(settings().await.status, 200, "an older token has the new role too");
    site.there.person(json!({ "sub": "s-mel", "name": "Mel", "groups": ["staff"] }));
    let proof = site.proof("corp", false).await;
    let made = site.token(&proof).await.expect(201);
    assert_eq!((&made["role"], &made["kept_admin"]), (&json!("member"), &Value::Null));
    assert_eq!(settings().await.status, 403);
    // A provider without rules changes no role.
    let proof = site.proof("plain", false).await;
    assert_eq!(site.token(&proof).await.expect(201)["role"], "member");
    // The last admin stays one, and is told.
    site.there.person(json!({ "sub": "s-ada", "name": "Ada", "groups": ["staff"] }));
    site.link(Who::Admin).await;
    let proof = site.proof("corp", false).await;
    let made = site.token(&proof).await.expect(201);
    assert_eq!((&made["role"], &made["kept_admin"]), (&json!("admin"), &json!("member")));
}

#[tokio::test]
async fn what_belongs_to_another_sign_in_is_refused() {
    let site = Site::new().await;
    site.link(Who::Member).await;
    let (mine, theirs) = (site.begin().await, site.begin().await);
    let (own, foreign) = (mine.answer(), theirs.answer());

    // The answer of another browser: with its state, and with mine.
    let injected = json!({ "sign_in": own["sign_in"], "code": foreign["code"], "state": foreign["state"] });
    assert_refused(&site.prove(injected).await);
    let injected = json!({ "sign_in": own["sign_in"], "code": foreign["code"], "state": own["state"] });
    assert_refused(&site.prove(injected).await);
    // The provider's name for itself.
    let mixed = json!({ "sign_in": own["sign_in"], "code": own["code"], "state": own["state"], "iss": "https://evil.example" });
    assert_refused(&site.prove(mixed).await);
    assert_eq!(site.reasons(3).await, ["wrong_issuer", "code_refused", "wrong_state"]);

    // It still works for who began it, and once.
    let proof = site.prove(own.clone()).await.expect(200)["proof"].clone();
    assert_refused(&site.prove(own).await);
    site.token(&proof).await.expect(201);
    assert_refused(&site.token(&proof).await);
    assert_eq!(site.reasons(5).await[..2], ["used_proof", "code_refused"]);
}

#[tokio::test]
async fn a_proof_serves_what_it_was_begun_for() {
    let site = Site::new().await;
    let for_link = site.proof("corp", true).await;
    assert_refused(&site.token(&for_link).await);
    let linked = json!({ "proof": for_link });
    site.api.ask(Who::Member, "POST", "/v1/sign-in/accounts", linked.clone()).await.expect(201);
    let again = site.api.ask(Who::Manager, "POST", "/v1/sign-in/accounts", linked).await;
    assert_eq!(again.status, 409, "{}", again.text);
    let for_token = site.proof("corp", false).await;
    let body = json!({ "proof": for_token });
    let refused = site.api.ask(Who::Member, "POST", "/v1/sign-in/accounts", body).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "unprocessable"));
    // Nor is the state of a sign-in a proof, or a proof the state of one.
    assert_refused(&site.token(&site.begin().await.sign_in).await);
    assert_refused(&site.prove(json!({ "sign_in": for_token, "code": "c", "state": "s" })).await);
    // A change of any part of it is noticed.
    let text = for_token.as_str().unwrap();
    for at in [0, text.len() / 2, text.len() - 2] {
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        assert_refused(&site.token(&json!(changed)).await);
    }
    site.token(&for_token).await.expect(201);
}

#[tokio::test]
async fn what_is_too_old_is_refused() {
    let site = Site::new().await;
    site.link(Who::Member).await;
    let begun = site.begin().await;
    site.pass(600);
    assert_refused(&site.prove(begun.answer()).await);
    assert_eq!(site.reasons(1).await, ["expired"]);
    let proof = site.proof("corp", false).await;
    site.pass(600);
    assert_refused(&site.token(&proof).await);
}

#[tokio::test]
async fn tokens_of_the_provider_that_prove_nothing_open_nothing() {
    let site = Site::new().await;
    site.link(Who::Member).await;
    let faults = [
        ("nonce", json!("canary"), "token_nonce"),
        ("aud", json!("canary"), "token_audience"),
        ("iss", json!("https://canary.example"), "token_issuer"),
        ("exp", json!(1_000_000_000), "token_time"),
    ];
    for (before, (member, value, reason)) in faults.into_iter().enumerate() {
        site.there.edit_tokens(move |_, claims| claims[member] = value.clone());
        assert_refused(&site.prove(site.begin().await.answer()).await);
        assert_eq!(site.reasons(before + 1).await[0], reason);
        // Wrong guesses count against their source, and it waits.
        site.pass(60);
    }
    site.there.leave_tokens_alone();
    site.prove(site.begin().await.answer()).await.expect(200);
    // Nothing of a code, a token or a secret is in the log.
    for who in [Who::Operator, Who::Admin] {
        let log = site.api.ask(who, "GET", "/v1/audit/export", Value::Null).await;
        assert!(!log.text.contains("canary") && log.text.contains("account.link"), "{}", log.text);
        // Nobody was proved, so that it concerns no organization.
        assert_eq!(log.text.contains("token_nonce"), who == Who::Operator);
    }
}

#[tokio::test]
async fn a_provider_that_is_down_is_said_to_be_down() {
    let site = Site::new().await;
    let begun = site.begin().await;
    site.there.instead("/token", Instead::Answer(503, Vec::new(), "canary".to_owned()));
    let answer = site.prove(begun.answer()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (502, "provider_unavailable"),
        "{}",
        answer.text
    );
    assert!(
        answer.text.contains("token of this store") && !answer.text.contains("canary"),
        "{}",
        answer.text
    );
    let (api, there) = (TestApi::new().await, TestProvider::start().await);
    there.instead("/.well-known/openid-configuration", Instead::Nothing);
    let site = Site { api: api.with_providers(providers(&there.issuer)), there };
    let begun = site.post("/v1/sign-in/browser", json!({ "provider": "corp", "port": 1 })).await;
    assert_eq!((begun.status.as_u16(), begun.code().as_str()), (502, "provider_unavailable"));
    assert_eq!(site.reasons(1).await, ["provider_unavailable"]);
    // Tokens of the store work meanwhile.
    site.api.ask(Who::Member, "GET", "/v1/whoami", Value::Null).await.expect(200);
}

#[tokio::test]
async fn a_device_code_is_polled_and_proves_the_person_who_entered_it() {
    let site = Site::new().await;
    site.link(Who::Member).await;
    let begun = site.post("/v1/sign-in/device", json!({ "provider": "corp" })).await.expect(200);
    assert!(!begun["sign_in"].as_str().unwrap().contains("canary"));
    let body = json!({ "sign_in": begun["sign_in"] });
    let waiting = site.prove(body.clone()).await.expect(200);
    assert_eq!((&waiting["proof"], &waiting["interval_seconds"]), (&Value::Null, &json!(3)));
    // Asked again at once, the provider is left alone.
    let mut asked = 0;
    while site.prove(body.clone()).await.status == 200 {
        asked += 1;
        assert!(asked < 20, "nothing slows the questions down");
    }
    let limited = site.prove(body.clone()).await;
    assert_eq!((limited.status.as_u16(), limited.code().as_str()), (429, "rate_limited"));
    site.there.enter(begun["user_code"].as_str().unwrap(), Entered::Approved);
    tokio::time::sleep(std::time::Duration::from_millis(3100)).await;
    let proven = site.prove(body).await.expect(200);
    let made = site.token(&proven["proof"]).await.expect(201);
    assert_eq!(made["label"], "sign-in with corp (device)");

    let begun = site.post("/v1/sign-in/device", json!({ "provider": "corp" })).await.expect(200);
    site.there.enter(begun["user_code"].as_str().unwrap(), Entered::Denied);
    assert_refused(&site.prove(json!({ "sign_in": begun["sign_in"] })).await);
    assert_eq!(site.reasons(1).await[0], "denied");
    let begun = site.post("/v1/sign-in/device", json!({ "provider": "plain" })).await;
    assert_eq!((begun.status.as_u16(), begun.code().as_str()), (409, "conflict"));
}

#[tokio::test]
async fn strangers_are_limited() {
    let site = Site::new().await;
    let begin = || site.post("/v1/sign-in/browser", json!({ "provider": "corp", "port": 1 }));
    let mut begun = 0;
    while begin().await.status == 200 {
        begun += 1;
        assert!(begun < 200, "nobody slows strangers down");
    }
    let limited = begin().await;
    assert_eq!((limited.status.as_u16(), limited.code().as_str()), (429, "rate_limited"));
    assert!(limited.headers.contains_key("retry-after"));
    // One who has begun a sign-in, and sends codes for it, makes the provider work each time.
    let site = Site::new().await;
    let own = site.begin().await.answer();
    let mut last = 0;
    for _ in 0..300 {
        let body = json!({ "sign_in": own["sign_in"], "code": "guess", "state": own["state"] });
        last = site.prove(body).await.status.as_u16();
    }
    assert_eq!(last, 429);
    assert!(site.there.asked("/token") <= 130, "the provider was asked {} times", site.there.asked("/token"));
    // Guesses at proofs count like wrong credentials.
    let site = Site::new().await;
    let mut last = 0;
    for _ in 0..200 {
        last = site.token(&json!("guess")).await.status.as_u16();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn a_body_that_is_no_sign_in_is_not_repeated() {
    let site = Site::new().await;
    for (path, body) in [
        ("/v1/sign-in/browser", json!({ "provider": "Canary!", "port": 1 })),
        ("/v1/sign-in/browser", json!({ "provider": "corp", "port": 0 })),
        ("/v1/sign-in/browser", json!({ "provider": "corp", "port": 70000 })),
        ("/v1/sign-in/device", json!({ "provider": "corp", "canary": 1 })),
        ("/v1/sign-in/proof", json!({ "sign_in": 7 })),
        ("/v1/sign-in/token", json!({ "proof": "x", "organization": "Canary!" })),
        ("/v1/sign-in/token", json!({ "proof": "canary".repeat(50_000) })),
    ] {
        let answer = site.post(path, body).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 413 | 422),
            "{path}: {} {}",
            answer.status,
            answer.text
        );
        assert!(!answer.text.to_lowercase().contains("canary\""), "{path}: {}", answer.text);
    }
    let request = Request::builder().method("POST").uri("/v1/sign-in/token?proof=canary");
    let request =
        request.header("content-type", "application/json").body(axum::body::Body::from("{}")).unwrap();
    let answer = site.api.send(request).await;
    assert!(answer.status == 400 && !answer.text.contains("=canary"), "{}", answer.text);
}
