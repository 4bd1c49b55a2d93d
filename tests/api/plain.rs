//! Each way to deposit a value without its type, for a secret that another member made plain, and so readable.

use serde_json::{Value, json};

use super::test_api::{TestApi, Who};

const WHY: &str = "another member stored this secret as plain";

#[tokio::test]
async fn no_route_stores_a_readable_value_for_somebody_who_did_not_say_so() {
    let api = TestApi::new().await;
    let plain = json!({ "name": "API_TOKEN", "scope": "shared", "type": "plain", "value": "old" });
    let made = api.ask(Who::Member, "POST", "/v1/secrets", plain).await.expect(201);
    let path = format!("/v1/secrets/{}", made["id"].as_str().unwrap());
    for (method, path, body) in [
        ("PUT", path.as_str(), json!({ "value": "sk-new" })),
        ("PUT", &path, json!({ "value": "sk-new", "change": { "description": "x" } })),
        ("POST", "/v1/import", json!({ "scope": "shared", "env": "API_TOKEN=sk-new" })),
        (
            "POST",
            "/v1/import",
            json!({ "scope": "shared", "items": [{ "name": "API_TOKEN", "value": "sk-new" }] }),
        ),
        ("PUT", "/api/secrets", json!({ "secrets": { "API_TOKEN": "sk-new" } })),
    ] {
        let answer = api.ask(Who::Admin, method, path, body).await;
        let text = answer.text.clone();
        assert_eq!(answer.code(), "unprocessable", "{method} {path}: {text}");
        assert!(text.contains(WHY) && !text.contains("sk-new"), "{text}");
        let now = api.ask(Who::Member, "GET", &path_of(&made), Value::Null).await.expect(200);
        assert_eq!(now["value"], "old");
    }
    let preview = json!({ "scope": "shared", "env": "API_TOKEN=sk-new", "preview": true });
    let preview = api.ask(Who::Admin, "POST", "/v1/import", preview).await.expect(200);
    assert!(preview["lines"][0]["why"].as_str().unwrap().contains(WHY), "{preview}");
    // Attributes are changed without a value, and leave the type as it is.
    api.ask(Who::Admin, "PATCH", &path, json!({ "description": "x" })).await.expect(200);
    let answer = api.ask(Who::Admin, "PATCH", &path, json!({ "value": "sk-new" })).await;
    assert!(answer.status.is_client_error());

    // Its member goes on without a type, and who states the type gets it.
    api.ask(Who::Member, "PUT", "/api/secrets", json!({ "secrets": { "API_TOKEN": "new" } }))
        .await
        .expect(200);
    api.ask(Who::Member, "PUT", &path, json!({ "value": "newer" })).await.expect(200);
    let stated = json!({ "value": "sk-new", "type": "encrypted" });
    let stored = api.ask(Who::Admin, "PUT", &path, stated).await.expect(200);
    assert_eq!((&stored["type"], &stored["value"]), (&json!("encrypted"), &Value::Null));
    // Clearing needs no type.
    api.ask(Who::Admin, "PUT", "/api/secrets", json!({ "secrets": { "API_TOKEN": "" } })).await.expect(200);
}

fn path_of(secret: &Value) -> String {
    format!("/v1/secrets/{}", secret["id"].as_str().unwrap())
}

/// The names under which the workload receives what it refers to, in the form that an agent sends.
#[tokio::test]
async fn a_boot_says_under_which_names_it_receives_its_references() {
    let api = TestApi::new().await;
    let url = json!({ "name": "OPENAI_BASE_URL", "scope": "shared", "value": "https://gate.example" });
    api.ask(Who::Admin, "POST", "/v1/secrets", url).await.expect(201);
    let key = json!({ "name": "my-key", "value": "sk-1", "auto_install": false });
    api.ask(Who::Member, "POST", "/v1/secrets", key).await.expect(201);
    for path in ["/v1/boot/explain", "/v1/boot"] {
        let renamed = json!({ "referenced_as": { "OPENAI_API_KEY": "my-key" } });
        let receipt = api.ask(Who::Ticket, "POST", path, renamed).await.expect(200)["receipt"].clone();
        assert_eq!(receipt["entries"][0]["name"], "my-key", "{receipt}");
        assert_eq!(receipt["skipped"][0]["reason"], "foreign_address", "{receipt}");
        let bad = api.ask(Who::Ticket, "POST", path, json!({ "referenced_as": { "A-B": "my-key" } })).await;
        assert_eq!(bad.code(), "name_invalid");
    }
}
