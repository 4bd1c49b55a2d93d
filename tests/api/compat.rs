//! The two faces, row by row: each endpoint, field and behaviour that their clients know. Bodies marked as examples are
//! sent as they stand in those clients' documents.

use serde_json::{Value, json};

use super::test_api::{Answer, TestApi, Who};

const KEY: &str = "sk-canary-0123456789abcdefghij-wxyz";

async fn get(api: &TestApi, who: Who, path: &str) -> Value {
    api.ask(who, "GET", path, Value::Null).await.expect(200)
}

async fn put(api: &TestApi, body: Value) -> Answer {
    api.ask(Who::Member, "PUT", "/api/secrets", body).await
}

async fn variables(api: &TestApi) -> Value {
    get(api, Who::Member, "/api/secrets").await["secrets"].clone()
}

async fn declare(api: &TestApi, plugin: &str, body: Value) {
    let path = format!("/v1/plugins/{}", plugin.replace('/', "%2F"));
    api.ask(Who::Admin, "PUT", &path, body).await.expect(200);
}

/// What boots of the member get.
async fn booted(api: &TestApi) -> Vec<(String, String)> {
    let boot = api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    let value = |id: &Value| {
        let values = boot["values"].as_array().unwrap();
        let found = values.iter().find(|value| value["secret"] == *id || value["id"] == *id).unwrap();
        found["value"].as_str().unwrap().to_owned()
    };
    let entries = boot["receipt"]["entries"].as_array().unwrap();
    entries.iter().map(|entry| (entry["env"].as_str().unwrap().to_owned(), value(&entry["id"]))).collect()
}

// === /api/secrets ===

#[tokio::test]
async fn all_variables_are_listed_redacted_with_their_plugins() {
    let api = TestApi::new().await;
    declare(&api, "@elizaos/plugin-openai", json!({ "required": ["OPENAI_API_KEY"] })).await;
    let other = json!({ "required": ["ANTHROPIC_API_KEY"], "enabled": false });
    declare(&api, "@elizaos/plugin-anthropic", other).await;
    put(&api, json!({ "secrets": { "OPENAI_API_KEY": KEY, "LOOSE": "short" } })).await.expect(200);
    assert_eq!(
        get(&api, Who::Member, "/api/secrets").await,
        json!({
            "secrets": {
                "OPENAI_API_KEY": {
                    "value": "sk-****...wxyz",
                    "set": true,
                    "pluginId": "@elizaos/plugin-openai",
                    "pluginEnabled": true
                },
                "ANTHROPIC_API_KEY": {
                    "value": "",
                    "set": false,
                    "pluginId": "@elizaos/plugin-anthropic",
                    "pluginEnabled": false
                },
                "LOOSE": { "value": "****", "set": true, "pluginId": "", "pluginEnabled": false }
            }
        })
    );
    // The state of the plugin is that of this moment.
    let on = json!({ "enabled": true });
    api.ask(Who::Admin, "PATCH", "/v1/plugins/@elizaos%2Fplugin-anthropic", on).await.expect(200);
    assert_eq!(variables(&api).await["ANTHROPIC_API_KEY"]["pluginEnabled"], true);
}

#[tokio::test]
async fn optional_names_are_listed_too_and_an_enabled_plugin_comes_before_a_disabled_one() {
    let api = TestApi::new().await;
    declare(&api, "a-off", json!({ "required": ["SHARED_KEY"], "enabled": false })).await;
    declare(&api, "b-on", json!({ "optional": ["SHARED_KEY", "only-here"] })).await;
    let listed = variables(&api).await;
    let on = json!({ "value": "", "set": false, "pluginId": "b-on", "pluginEnabled": true });
    assert_eq!(listed, json!({ "ONLY_HERE": on, "SHARED_KEY": on }));
    // What a secret is tied to comes before what declares its name.
    let tied = json!({ "name": "SHARED_KEY", "value": "v", "plugin": "a-off" });
    api.ask(Who::Member, "POST", "/v1/secrets", tied).await.expect(201);
    assert_eq!(variables(&api).await["SHARED_KEY"]["pluginId"], "a-off");
    assert_eq!(variables(&api).await["SHARED_KEY"]["pluginEnabled"], false);
}

#[tokio::test]
async fn the_example_of_an_update_is_taken_as_it_stands() {
    let api = TestApi::new().await;
    let before = json!({ "name": "ANTHROPIC_API_KEY", "value": "sk-ant-before" });
    api.ask(Who::Member, "POST", "/v1/secrets", before).await.expect(201);
    let example = json!({ "secrets": { "OPENAI_API_KEY": "sk-new-key-here", "ANTHROPIC_API_KEY": "" } });
    let answer = put(&api, example).await.expect(200);
    assert_eq!(answer, json!({ "ok": true }));
    assert_eq!(booted(&api).await, [("OPENAI_API_KEY".to_owned(), "sk-new-key-here".to_owned())]);
    let listed = variables(&api).await;
    assert_eq!(listed["OPENAI_API_KEY"]["set"], true);
    assert!(listed["ANTHROPIC_API_KEY"].is_null(), "an empty text clears, and no plugin asks for the name");
    // Clearing a variable that is not set succeeds.
    let again = json!({ "secrets": { "ANTHROPIC_API_KEY": "" } });
    assert_eq!(put(&api, again).await.expect(200), json!({ "ok": true }));
    assert_eq!(put(&api, json!({ "secrets": {} })).await.expect(200), json!({ "ok": true }));
}

#[tokio::test]
async fn several_variables_are_set_in_one_commit_or_none_of_them() {
    let api = TestApi::new().await;
    put(&api, json!({ "secrets": { "A": "1", "B": "2" } })).await.expect(200);
    let bad = json!({ "secrets": { "A": "canary", "B": "", "LD_PRELOAD": "canary", "C": "can\u{0}ary" } });
    let refused = put(&api, bad).await;
    assert_eq!(refused.code(), "unprocessable");
    assert!(!refused.text.contains("canary"), "{}", refused.text);
    let fields: Vec<Value> =
        refused.json()["errors"].as_array().unwrap().iter().map(|fault| fault["field"].clone()).collect();
    assert_eq!(fields, ["secrets.C", "secrets.LD_PRELOAD"]);
    let pair = |env: &str, value: &str| (env.to_owned(), value.to_owned());
    assert_eq!(booted(&api).await, [pair("A", "1"), pair("B", "2")], "nothing of it is stored");
    // A name that is none may be a value in the wrong place.
    let mistyped = put(&api, json!({ "secrets": { "sk-canary": "x", "A": "9" } })).await;
    assert_eq!((mistyped.code().as_str(), mistyped.text.contains("canary")), ("name_invalid", false));
    assert_eq!(booted(&api).await[0].1, "1");
}

#[tokio::test]
async fn a_variable_means_the_secret_that_is_listed_under_its_name() {
    let api = TestApi::new().await;
    let everyone = json!({ "shared_changes": "everyone" });
    api.ask(Who::Admin, "PATCH", "/v1/org", everyone).await.expect(200);
    let shared = json!({ "name": "db-url", "value": "shared", "scope": "shared" });
    let id = api.ask(Who::Admin, "POST", "/v1/secrets", shared).await.expect(201)["id"].clone();
    put(&api, json!({ "secrets": { "DB_URL": "replaced" } })).await.expect(200);
    let path = format!("/v1/secrets/{}", id.as_str().unwrap());
    assert_eq!(get(&api, Who::Admin, &path).await["author"], "mel", "the shared one has a new version");
    let private = json!({ "name": "DB_URL", "value": "private" });
    api.ask(Who::Member, "POST", "/v1/secrets", private).await.expect(201);
    put(&api, json!({ "secrets": { "DB_URL": "mine" } })).await.expect(200);
    assert_eq!(booted(&api).await, [("DB_URL".to_owned(), "mine".to_owned())]);
    put(&api, json!({ "secrets": { "DB_URL": "" } })).await.expect(200);
    assert_eq!(
        booted(&api).await,
        [("DB_URL".to_owned(), "replaced".to_owned())],
        "the shared one is there again"
    );
    // If only admins may change shared secrets, a request that touches one changes nothing.
    api.ask(Who::Admin, "PATCH", "/v1/org", json!({ "shared_by_members": false })).await.expect(200);
    let both = put(&api, json!({ "secrets": { "DB_URL": "x", "NEW": "x" } })).await;
    assert_eq!(both.code(), "forbidden");
    assert!(variables(&api).await["NEW"].is_null());
}

#[tokio::test]
async fn values_set_by_a_face_are_shown_by_none() {
    let api = TestApi::new().await;
    put(&api, json!({ "secrets": { "OPENAI_API_KEY": KEY } })).await.expect(200);
    let body = json!({ "name": "skill:openai:access_token", "value": KEY });
    let made = api.ask(Who::Admin, "POST", "/vault/secrets", body).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let mut seen = made.to_string();
    for path in
        ["/api/secrets", "/vault/secrets", "/vault/audit-log", "/vault/status", "/v1/secrets", "/v1/audit"]
    {
        seen += &get(&api, Who::Admin, path).await.to_string();
    }
    seen += &get(&api, Who::Member, "/api/secrets").await.to_string();
    seen += &api.ask(Who::Admin, "GET", &format!("/vault/secrets/{id}"), Value::Null).await.text;
    seen += &api.ask(Who::Admin, "POST", &format!("/vault/secrets/{id}/rotate"), Value::Null).await.text;
    assert!(!seen.contains("canary"), "{seen}");
    assert!(seen.contains("sk-****...wxyz"));
}

// === /vault ===

/// The body of the vault's document, as it stands there.
fn example() -> Value {
    json!({
        "orgId": "org-123",
        "name": "skill:openai:access_token",
        "value": "sk-...",
        "category": "skill_credential"
    })
}

#[tokio::test]
async fn the_example_of_a_new_secret_is_taken_as_it_stands() {
    let api = TestApi::new().await;
    let made = api.ask(Who::Admin, "POST", "/vault/secrets", example()).await.expect(201);
    assert_eq!(made["orgId"], "org-123");
    assert_eq!(made["name"], "skill:openai:access_token");
    assert_eq!(made["exportedAs"], "SKILL_OPENAI_ACCESS_TOKEN");
    assert_eq!((&made["category"], &made["scope"]), (&json!("skill_credential"), &json!("shared")));
    assert_eq!(made["createdBy"], "ada");
    assert!(made["value"].is_null());
    assert_eq!(
        booted(&api).await,
        [("SKILL_OPENAI_ACCESS_TOKEN".to_owned(), "sk-...".to_owned())],
        "whatever runs in the organization finds it by its name"
    );
    let again = api.ask(Who::Admin, "POST", "/vault/secrets", example()).await;
    assert_eq!(again.code(), "name_taken");
}

#[tokio::test]
async fn the_list_holds_metadata_only() {
    let api = TestApi::new().await;
    let made = api.ask(Who::Admin, "POST", "/vault/secrets", example()).await.expect(201);
    let listed = get(&api, Who::Member, "/vault/secrets?orgId=org-123").await;
    assert_eq!(listed, json!({ "secrets": [made] }));
    let fields: Vec<&String> = listed["secrets"][0].as_object().unwrap().keys().collect();
    let known = [
        "id",
        "orgId",
        "name",
        "exportedAs",
        "category",
        "scope",
        "type",
        "version",
        "createdBy",
        "createdAt",
        "updatedAt",
    ];
    assert!(fields.iter().all(|field| known.contains(&field.as_str())), "{fields:?}");
}

#[tokio::test]
async fn the_list_is_complete_and_can_be_paged() {
    let api = TestApi::new().await;
    for i in 0..7 {
        let body = json!({ "name": format!("s{i}"), "value": "v" });
        api.ask(Who::Admin, "POST", "/vault/secrets", body).await.expect(201);
    }
    let all = get(&api, Who::Admin, "/vault/secrets").await;
    assert_eq!((all["secrets"].as_array().unwrap().len(), &all["next"]), (7, &Value::Null));
    let first = get(&api, Who::Admin, "/vault/secrets?limit=5").await;
    let rest = format!("/vault/secrets?limit=5&cursor={}", first["next"].as_str().unwrap());
    let rest = get(&api, Who::Admin, &rest).await;
    assert_eq!(first["secrets"].as_array().unwrap().len(), 5);
    assert_eq!((rest["secrets"].as_array().unwrap().len(), &rest["next"]), (2, &Value::Null));
}

/// The credential decides the organization. An `orgId` neither opens another one nor reveals whether it exists.
#[tokio::test]
async fn an_org_id_chooses_nothing_and_tells_nothing() {
    let api = TestApi::new().await;
    api.ask(Who::Admin, "POST", "/vault/secrets", example()).await.expect(201);
    let of = async |who| get(&api, who, "/v1/org").await["id"].as_str().unwrap().to_owned();
    let (own, other) = (of(Who::Admin).await, of(Who::Other).await);
    let unknown = "org_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    for name in ["default", "other", "org-123", own.as_str()] {
        let listed = get(&api, Who::Admin, &format!("/vault/secrets?orgId={name}")).await;
        assert_eq!(listed["secrets"][0]["orgId"], name);
        assert_eq!(listed["secrets"].as_array().unwrap().len(), 1);
        let name = if name == own { "default" } else { name };
        let listed = get(&api, Who::Other, &format!("/vault/secrets?orgId={name}")).await;
        assert_eq!(listed["secrets"].as_array().unwrap().len(), 0, "{name}");
    }
    let ask = async |org: &str| {
        let answer = api.ask(Who::Admin, "GET", &format!("/vault/secrets?orgId={org}"), Value::Null).await;
        assert_eq!(answer.code(), "not_found");
        answer.text
    };
    assert_eq!(ask(&other).await, ask(unknown).await, "one that is there looks like one that is not");
    let body = json!({ "orgId": other, "name": "a", "value": "v" });
    assert_eq!(api.ask(Who::Admin, "POST", "/vault/secrets", body).await.code(), "not_found");
    let id = get(&api, Who::Admin, "/vault/secrets").await["secrets"][0]["id"].as_str().unwrap().to_owned();
    for (method, path) in [
        ("GET", format!("/vault/secrets/{id}")),
        ("DELETE", format!("/vault/secrets/{id}")),
        ("POST", format!("/vault/secrets/{id}/rotate")),
    ] {
        let by_other = api.ask(Who::Other, method, &format!("{path}?orgId=default"), Value::Null).await;
        assert_eq!(by_other.code(), "not_found", "{method} {path}");
        let elsewhere = api.ask(Who::Admin, method, &format!("{path}?orgId={other}"), Value::Null).await;
        assert_eq!(elsewhere.code(), "not_found", "{method} {path}");
    }
    for path in ["/vault/rotate-all", "/vault/status", "/vault/audit-log"] {
        let method = if path.ends_with("all") { "POST" } else { "GET" };
        let elsewhere = api.ask(Who::Admin, method, &format!("{path}?orgId={other}"), Value::Null).await;
        assert_eq!(elsewhere.code(), "not_found", "{path}");
    }
}

#[tokio::test]
async fn a_value_is_never_answered_and_the_attempt_is_recorded() {
    let api = TestApi::new().await;
    let made = api.ask(Who::Admin, "POST", "/vault/secrets", example()).await.expect(201);
    let path = format!("/vault/secrets/{}", made["id"].as_str().unwrap());
    let refused = api.ask(Who::Admin, "GET", &path, Value::Null).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (403, "write_only"));
    assert!(refused.json()["hint"].is_string());
    let log = get(&api, Who::Admin, "/vault/audit-log?action=read").await;
    let entry = &log["entries"][0];
    assert_eq!((&entry["action"], &entry["secret"]), (&json!("read"), &json!("skill:openai:access_token")));
    assert_eq!(
        (&entry["details"]["outcome"], &entry["details"]["reason"]),
        (&json!("denied"), &json!("write_only"))
    );
}

#[tokio::test]
async fn deleting_is_permanent_and_future_boots_go_without() {
    let api = TestApi::new().await;
    let made = api.ask(Who::Admin, "POST", "/vault/secrets", example()).await.expect(201);
    let path = format!("/vault/secrets/{}", made["id"].as_str().unwrap());
    let deleted = api.ask(Who::Admin, "DELETE", &path, Value::Null).await.expect(200);
    assert_eq!(deleted, json!({ "ok": true, "id": made["id"], "name": "skill:openai:access_token" }));
    assert_eq!(api.ask(Who::Admin, "DELETE", &path, Value::Null).await.code(), "not_found");
    assert_eq!(booted(&api).await, []);
}

#[tokio::test]
async fn rotating_seals_again_and_changes_no_value() {
    let api = TestApi::new().await;
    let made = api.ask(Who::Admin, "POST", "/vault/secrets", example()).await.expect(201);
    let mine = json!({ "name": "MINE", "value": "v" });
    api.ask(Who::Member, "POST", "/v1/secrets", mine).await.expect(201);
    let before = booted(&api).await;
    let path = format!("/vault/secrets/{}/rotate", made["id"].as_str().unwrap());
    let rotated = api.ask(Who::Admin, "POST", &path, Value::Null).await.expect(200);
    assert_eq!((&rotated["id"], &rotated["version"]), (&made["id"], &made["version"]));
    let all = api.ask(Who::Admin, "POST", "/vault/rotate-all", Value::Null).await.expect(200);
    assert_eq!(all, json!({ "ok": true, "rotated": 2, "running": false }));
    assert_eq!(booted(&api).await, before);
    let log = get(&api, Who::Admin, "/vault/audit-log?action=rotate").await;
    let names: Vec<&Value> =
        log["entries"].as_array().unwrap().iter().map(|entry| &entry["secret"]).collect();
    assert_eq!(names.len(), 3);
    assert!(names.contains(&&json!("MINE")));
    // Of the other organization there is nothing to rotate.
    let others = api.ask(Who::Other, "POST", "/vault/rotate-all", Value::Null).await.expect(200);
    assert_eq!(others["rotated"], 0);
    api.ask(Who::Operator, "POST", "/v1/lock", Value::Null).await.expect(200);
    assert_eq!(api.ask(Who::Admin, "POST", &path, Value::Null).await.code(), "locked");
    assert_eq!(api.ask(Who::Admin, "POST", "/vault/rotate-all", Value::Null).await.code(), "locked");
    api.ask(Who::Admin, "POST", "/vault/secrets", json!({ "name": "late", "value": "v" })).await.expect(201);
}

#[tokio::test]
async fn the_operators_rotation_is_a_new_generation() {
    let api = TestApi::new().await;
    api.ask(Who::Admin, "POST", "/vault/secrets", example()).await.expect(201);
    let begun = api.ask(Who::Operator, "POST", "/vault/rotate-all", Value::Null).await.expect(200);
    assert_eq!(begun["ok"], true);
    assert_eq!(get(&api, Who::Admin, "/vault/status").await["keyGeneration"], 2);
}

#[tokio::test]
async fn the_audit_log_speaks_the_vaults_seven_words() {
    let api = TestApi::new().await;
    let everyone = json!({ "shared_changes": "everyone" });
    api.ask(Who::Admin, "PATCH", "/v1/org", everyone).await.expect(200);
    let made = api.ask(Who::Admin, "POST", "/vault/secrets", example()).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let own = format!("/v1/secrets/{id}");
    api.ask(Who::Member, "PUT", &own, json!({ "value": "sk-2" })).await.expect(200);
    api.ask(Who::Admin, "PATCH", &own, json!({ "category": "api_key" })).await.expect(200);
    api.ask(Who::Ticket, "POST", "/v1/boot", json!({})).await.expect(200);
    api.ask(Who::Admin, "POST", &format!("/vault/secrets/{id}/rotate"), Value::Null).await.expect(200);
    api.ask(Who::Admin, "GET", &format!("/vault/secrets/{id}"), Value::Null).await;
    api.ask(Who::Admin, "DELETE", &format!("/vault/secrets/{id}"), Value::Null).await.expect(200);
    let log = get(&api, Who::Auditor, "/vault/audit-log?orgId=org-123").await;
    let entries = log["entries"].as_array().unwrap();
    let words: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(
        words,
        ["delete", "read", "rotate", "decrypt", "migrate", "encrypt", "create"],
        "newest first"
    );
    for (entry, word) in entries.iter().zip(&words) {
        let fields: Vec<&String> = entry.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["action", "actor", "details", "secret", "timestamp"]);
        assert!(entry["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!(entry["details"]["source"], "192.0.2.7", "{word}");
        if *word != "decrypt" {
            assert_eq!(entry["secret"], "skill:openai:access_token", "{word}");
        }
        let one = get(&api, Who::Auditor, &format!("/vault/audit-log?action={word}")).await;
        assert_eq!(one["entries"], json!([entry]));
    }
    let actors: Vec<&Value> = entries.iter().map(|entry| &entry["actor"]).collect();
    assert_eq!(actors, ["ada", "ada", "ada", "mel", "ada", "mel", "ada"]);
    let unknown = api.ask(Who::Admin, "GET", "/vault/audit-log?action=steal", Value::Null).await;
    assert_eq!(unknown.code(), "invalid_request");
}

#[tokio::test]
async fn the_audit_log_is_searched_and_paged() {
    let api = TestApi::new().await;
    for i in 0..5 {
        let body = json!({ "name": format!("s{i}"), "value": "v" });
        api.ask(Who::Admin, "POST", "/vault/secrets", body).await.expect(201);
    }
    let found = get(&api, Who::Admin, "/vault/audit-log?search=S3").await;
    assert_eq!(found["entries"].as_array().unwrap().len(), 1);
    assert_eq!(found["entries"][0]["secret"], "s3");
    let by = get(&api, Who::Admin, "/vault/audit-log?search=ada&limit=500").await;
    assert_eq!(by["entries"].as_array().unwrap().len(), 5);
    let (mut path, mut names) = ("/vault/audit-log?limit=2".to_owned(), Vec::new());
    loop {
        let page = get(&api, Who::Admin, &path).await;
        let entries = page["entries"].as_array().unwrap();
        assert!(entries.len() <= 2);
        names.extend(entries.iter().map(|entry| entry["secret"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/vault/audit-log?limit=2&cursor={next}");
    }
    assert_eq!(names, ["s4", "s3", "s2", "s1", "s0"]);
}

#[tokio::test]
async fn the_status_has_state_and_statistics() {
    let api = TestApi::new().await;
    api.ask(Who::Admin, "POST", "/vault/secrets", example()).await.expect(201);
    let plain = json!({ "name": "REGION", "value": "eu", "type": "plain" });
    api.ask(Who::Member, "POST", "/v1/secrets", plain).await.expect(201);
    assert_eq!(
        get(&api, Who::Admin, "/vault/status").await,
        json!({
            "status": "unlocked",
            "algorithm": "XChaCha20-Poly1305",
            "keyDerivation": "Argon2id",
            "keyGeneration": 1,
            "rotating": false,
            "totalSecrets": 2,
            "encrypted": 1,
            "plain": 1,
            "byCategory": { "skill_credential": 1 }
        })
    );
    assert_eq!(get(&api, Who::Other, "/vault/status").await["totalSecrets"], 0);
    api.ask(Who::Operator, "POST", "/v1/lock", Value::Null).await.expect(200);
    assert_eq!(get(&api, Who::Admin, "/vault/status").await["status"], "locked");
}

#[tokio::test]
async fn every_name_of_the_vaults_document_is_a_name() {
    let api = TestApi::new().await;
    for name in [
        "skill:openai:access_token",
        "skill:anthropic:access_token",
        "skill:stripe:access_token",
        "skill:stripe:webhook_secret",
        "skill:aws:access_key_id",
        "skill:aws:secret_access_key",
    ] {
        let body = json!({ "orgId": "org-123", "name": name, "value": "v" });
        api.ask(Who::Admin, "POST", "/vault/secrets", body).await.expect(201);
        let presets = get(&api, Who::Admin, "/v1/presets").await;
        assert!(presets.to_string().contains(&format!("\"{name}\"")), "{name} is of no preset");
    }
}
