//! Identities whose proof is a token, and the issuers of the tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::site::Site;
use super::test_issuer::TestKey;

const ISSUER: &str = "https://cluster.example";
const CANARY: &str = "canary-of-a-claim";

fn token(key: &TestKey, audience: &str, namespace: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    key.sign(&json!({
        "iss": ISSUER, "sub": CANARY, "aud": audience, "iat": now, "exp": now + 600,
        "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": "api" } },
    }))
}

#[test]
fn an_identity_is_added_tested_shown_and_removed() {
    let site = Site::unlocked();
    let key = TestKey::p256("ec-1");
    let keys = site.path("keys.json");
    std::fs::write(&keys, json!({ "keys": [key.jwk()] }).to_string()).unwrap();
    let set = ["issuer", "set", "cluster", "--url", ISSUER, "--keys", keys.to_str().unwrap()];
    assert_eq!(site.run(&set).ok().out, "saved the issuer cluster\n");
    assert!(site.run(&["issuer", "list"]).ok().out.contains("given"));
    assert!(site.run(&["issuer", "show", "cluster"]).ok().out.contains(ISSUER));

    let add = ["identity", "add", "kubernetes", "--issuer", "cluster", "namespace=prod"];
    site.run(&add).fails(1, &["namespace and service-account"]);
    let added = site.run(&[&add[..], &["service-account=api", "--label", "pods"]].concat()).ok();
    assert!(added.out.starts_with("dsi_") && added.out.lines().count() == 1, "{}", added.out);
    let listed = site.run(&["identity", "list", "--json"]).ok().json();
    let identity = listed.as_array().unwrap().iter().find(|identity| identity["kind"] == "jwt").unwrap();
    assert_eq!(identity["card"].as_str().unwrap(), added.out.trim());
    let id = identity["id"].as_str().unwrap();
    let audience = identity["tokens"]["audience"].as_str().unwrap();
    let shown = site.run(&["identity", "show", id]).ok().out;
    for part in ["/kubernetes.io/namespace = prod", audience, "pods", "active"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let test = ["identity", "test", id];
    let good = token(&key, audience, "prod");
    let tested = site.run_as(&site.admin, &test, format!("{good}\n").as_bytes()).ok();
    assert!(tested.out.ends_with("\naccepted\n"), "{}", tested.out);
    let file = site.path("token");
    std::fs::write(&file, token(&key, audience, "dev")).unwrap();
    let tested = site.run(&[&test[..], &["--token-file", file.to_str().unwrap()]].concat());
    let tested = tested.fails(1, &[]);
    assert!(tested.out.contains("FAILED") && tested.out.ends_with("\nnot accepted\n"), "{}", tested.out);
    // Never printed: only the claims that were compared are.
    assert!(
        ![&tested.out, &tested.err].iter().any(|text| text.contains(&good[..20]) || text.contains(CANARY))
    );
    site.run_as(&site.admin, &test, b"no token").fails(1, &[]);

    assert!(site.run(&["identity", "remove", id]).ok().out.contains("revoked"));
    assert!(site.run(&["identity", "show", id]).ok().out.contains("inactive"));
    site.run(&["issuer", "remove", "cluster", "--yes"]).ok();
    site.run(&["issuer", "show", "cluster"]).fails(1, &["no such issuer"]);
}

#[test]
fn the_templates_name_what_they_need() {
    let site = Site::unlocked();
    let listed = site.run(&["identity", "templates"]).ok().out;
    for template in ["kubernetes", "github", "gitlab", "gcp", "azure", "aws", "spiffe", "oidc"] {
        assert!(listed.contains(template), "{template}");
    }
    let documents = site.run(&["identity", "templates", "--json"]).ok().json();
    assert_eq!(documents.as_array().unwrap().len(), 8);
    site.run(&["identity", "add", "github", "repository-id=acme"]).fails(1, &["repository-id"]);
}
