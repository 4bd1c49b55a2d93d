//! Tokens of the shapes that platforms document (`tests/vectors/tokens`), signed by keys of the test: each is verified, matches an
//! identity of its platform's template, and a stranger's token of the same platform does not.

use std::path::Path;

use serde::Deserialize;

use super::test_issuer::TestKey;
use super::*;
use crate::domain::identity_template::{IdentityTemplate, templates};
use crate::domain::jwt::{ClaimCheck, ClaimRule};

/// One file of `tests/vectors/tokens`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlatformToken {
    /// The document that shows such a token.
    source: String,
    /// The name of the template.
    template: String,
    header: serde_json::Map<String, Value>,
    claims: serde_json::Map<String, Value>,
    /// Identities that this token is for: the flags of each.
    identities: Vec<BTreeMap<String, String>>,
    /// The claims, by pointer, in which the token of somebody else on the same platform differs.
    stranger: BTreeMap<String, Value>,
}

fn tokens() -> Vec<(String, PlatformToken)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tokens"));
    #[expect(clippy::disallowed_methods, reason = "the vectors are files")]
    let read = |path: &Path| std::fs::read(path).unwrap();
    let mut tokens: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let token = serde_json::from_slice(&read(&path)).unwrap_or_else(|why| panic!("{name}: {why}"));
            (name, token)
        })
        .collect();
    tokens.sort_by(|one, other| one.0.cmp(&other.0));
    tokens
}

/// Replaces the claims that `stranger` names.
fn of_stranger(token: &PlatformToken) -> serde_json::Map<String, Value> {
    let mut claims = Value::Object(token.claims.clone());
    for (pointer, value) in &token.stranger {
        *claims.pointer_mut(pointer).unwrap() = value.clone();
    }
    claims.as_object().unwrap().clone()
}

fn matches(rules: &[ClaimRule], claims: &serde_json::Map<String, Value>) -> bool {
    rules.iter().all(|rule| rule.check(claims) == ClaimCheck::Matched)
}

#[tokio::test]
async fn tokens_of_every_platform_are_verified_and_match_their_template() {
    let tokens = tokens();
    let covered: std::collections::BTreeSet<&str> =
        tokens.iter().map(|(_, token)| token.template.as_str()).collect();
    assert_eq!(covered, templates().iter().map(|template| template.name).collect());
    let keys = keys_with(policy(&[]), Box::new(SystemResolver));
    for (name, token) in &tokens {
        assert!(token.source.contains(' '), "{name} names no source");
        let template = IdentityTemplate::find(&token.template).unwrap();
        let algorithm: JwtAlgorithm = token.header["alg"].as_str().unwrap().parse().unwrap();
        assert!(template.algorithms.contains(&algorithm), "{name}");
        let id = token.header.get("kid").and_then(Value::as_str).unwrap_or("only");
        let key = match algorithm.name() {
            "ES256" => TestKey::p256(id),
            "ES384" => TestKey::p384(id),
            "EdDSA" => TestKey::ed25519(id),
            _ => TestKey::rsa(id, 0),
        };
        let spec = IssuerSpec {
            url: template.issuer(token.claims["iss"].as_str()).unwrap(),
            algorithms: template.algorithms.iter().copied().collect(),
            authorities: None,
            keys: Some(serde_json::json!({ "keys": [key.jwk()] }).to_string()),
        };
        let header = Value::Object(token.header.clone()).to_string();
        let sign = |claims: &serde_json::Map<String, Value>| {
            key.sign_text(&header, &Value::Object(claims.clone()).to_string())
        };
        let issued = token.claims["iat"].as_i64().unwrap();
        let now = Timestamp::from_millis((issued + 1) * 1000);
        let audience = match &token.claims["aud"] {
            Value::Array(list) => list[0].as_str().unwrap(),
            single => single.as_str().unwrap(),
        };
        let verified = keys.verify(&spec, audience, &sign(&token.claims), now).await;
        let verified = verified.unwrap_or_else(|why| panic!("{name}: {why}"));
        let stranger = keys.verify(&spec, audience, &sign(&of_stranger(token)), now).await.unwrap();
        assert!(!token.identities.is_empty());
        for given in &token.identities {
            let rules = template.rules(given).unwrap_or_else(|why| panic!("{name} {given:?}: {why}"));
            assert!(matches(&rules, &verified.claims), "{name} {given:?}");
            assert!(!matches(&rules, &stranger.claims), "{name}: a stranger's token matches {given:?}");
        }
    }
}

/// Every flag of every template is a claim of some documented token, so that no flag names a claim that does not exist.
#[test]
fn every_flag_names_a_documented_claim() {
    let tokens = tokens();
    for template in templates() {
        for flag in template.flags {
            let documented = tokens.iter().any(|(_, token)| {
                token.template == template.name
                    && Value::Object(token.claims.clone()).pointer(flag.pointer).is_some()
            });
            assert!(documented, "no token of {} has {}", template.name, flag.pointer);
        }
    }
}
