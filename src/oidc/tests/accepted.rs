//! Tokens that must be accepted, and what is said of them.

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use super::test_issuer::{KEYS, TestAnswer, TestIssuer, TestKey};
use super::*;
use crate::domain::jwt::{CheckOutcome, TokenCheckName, audience_matches};

#[tokio::test]
async fn each_algorithm_is_verified() {
    let issuer = TestIssuer::start();
    let keys = keys();
    let mut spec = spec(&issuer);
    spec.algorithms = JwtAlgorithm::ALL.iter().copied().collect();
    for algorithm in JwtAlgorithm::ALL {
        let key = match algorithm.name() {
            "ES256" | "ES384" | "EdDSA" => issuer.key(algorithm.name()),
            _ => issuer.key("RS256"),
        };
        let header = json!({ "alg": algorithm.name(), "kid": key.id }).to_string();
        let token = key.sign_text(&header, &issuer.claims(AUDIENCE, SUBJECT, NOW).to_string());
        let verified = verify(&keys, &spec, &token, at(0)).await.unwrap();
        assert_eq!(verified.subject, SUBJECT, "{algorithm}");
        assert_eq!(verified.expires_at, at(3600));
        assert_eq!(verified.claims["iss"], issuer.url());
    }
}

#[tokio::test]
async fn what_issuers_really_send_is_accepted() {
    let issuer = TestIssuer::start();
    let (keys, spec) = (keys(), spec(&issuer));
    let key = issuer.key("RS256");
    for header in [
        json!({ "alg": "RS256", "kid": "rsa-1" }),
        json!({ "alg": "RS256", "kid": "rsa-1", "typ": "JWT" }),
        json!({ "alg": "RS256", "kid": "rsa-1", "typ": "at+JWT" }),
        json!({ "alg": "RS256", "kid": "rsa-1", "typ": "application/jwt" }),
        json!({ "alg": "RS256", "kid": "rsa-1", "typ": "JOSE" }),
        json!({ "alg": "RS256", "kid": "rsa-1", "x5t": "thumbprint" }),
        json!({ "alg": "RS256", "kid": "rsa-1", "b64": true, "unknown": { "a": [1, null] } }),
        // One RSA key: no id is needed.
        json!({ "alg": "RS256" }),
    ] {
        let token = key.sign_text(&header.to_string(), &issuer.claims(AUDIENCE, SUBJECT, NOW).to_string());
        verify(&keys, &spec, &token, at(0)).await.unwrap_or_else(|why| panic!("{header}: {why}"));
    }
    let bound = format!("{AUDIENCE}#{}", BASE64URL_NOPAD.encode(&[7; 32]));
    for (name, value) in [
        ("aud", json!([AUDIENCE])),
        ("aud", json!(["https://other.example", AUDIENCE])),
        ("aud", json!(bound)),
        ("exp", json!(NOW - 29)),
        ("exp", json!(NOW as f64 + 60.9)),
        ("iat", json!(NOW + 30)),
        ("iat", json!(NOW as f64 - 0.5)),
        // Entra's tokens for managed identities are valid for a day and five minutes.
        ("exp", json!(NOW + 86_700)),
        ("nbf", json!(NOW + 30)),
        ("sub", json!("s".repeat(1024))),
        ("roles", json!(["a", { "b": [] }])),
    ] {
        let token = key.sign(&claims(&issuer, |claims| drop(claims.insert(name.into(), value.clone()))));
        verify(&keys, &spec, &token, at(0)).await.unwrap_or_else(|why| panic!("{name} {value}: {why}"));
    }
    for missing in ["iat", "nbf"] {
        let token = key.sign(&claims(&issuer, |claims| drop(claims.remove(missing))));
        verify(&keys, &spec, &token, at(0)).await.unwrap();
    }
    let token = key.sign(&claims(&issuer, |claims| drop(claims.insert("aud".into(), json!(bound)))));
    let verified = verify(&keys, &spec, &token, at(0)).await.unwrap();
    let thumbprint = audience_matches(AUDIENCE, &verified.claims).unwrap().thumbprint;
    assert_eq!(thumbprint.unwrap(), BASE64URL_NOPAD.encode(&[7; 32]));
}

/// Order of the group of P-256 (FIPS 186-5; SEC 2 section 2.4.2).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// order − s, with which the signature is as valid as with s.
fn negate(s: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut negated: Vec<u8> = P256_ORDER
        .iter()
        .zip(s)
        .rev()
        .map(|(order, s)| {
            let difference = i16::from(*order) - i16::from(*s) - borrow;
            borrow = i16::from(difference < 0);
            difference.rem_euclid(256) as u8
        })
        .collect();
    negated.reverse();
    negated
}

/// A token that was used once must not be used again in another spelling.
#[tokio::test]
async fn two_signatures_of_one_token_have_one_digest() {
    let issuer = TestIssuer::start();
    let (keys, spec) = (keys(), spec(&issuer));
    let token = issuer.key("ES256").sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let (r, s) = signature.split_at(32);
    let other = format!("{signed}.{}", BASE64URL_NOPAD.encode(&[r, &negate(s)].concat()));
    assert_ne!(token, other);
    let digest = verify(&keys, &spec, &token, at(0)).await.unwrap().digest;
    assert_eq!(verify(&keys, &spec, &other, at(0)).await.unwrap().digest, digest);
    let another = issuer.key("ES256").sign(&issuer.claims(AUDIENCE, "other", NOW));
    assert_ne!(verify(&keys, &spec, &another, at(0)).await.unwrap().digest, digest);
}

#[tokio::test]
async fn nothing_prints_a_token_or_its_claims() {
    let issuer = TestIssuer::start();
    let (keys, spec) = (keys(), spec(&issuer));
    let canary =
        |claims: &mut serde_json::Map<String, Value>| drop(claims.insert("email".into(), "canary".into()));
    let token = issuer.key("RS256").sign(&claims(&issuer, canary));
    let verified = verify(&keys, &spec, &token, at(0)).await.unwrap();
    assert_eq!(verified.claims["email"], "canary");
    let printed = format!("{verified:?}");
    assert!(!printed.contains("canary") && !printed.contains(SUBJECT), "{printed}");
    let refusal = verify(&keys, &spec, &token, at(7200)).await.unwrap_err();
    assert!(!format!("{refusal:?} {refusal} {:?}", refusal.hint()).contains("canary"));
    let explanation = keys.explain(&spec, AUDIENCE, &token, at(0)).await;
    assert!(!format!("{:?} {:?}", explanation.checks, explanation.claims).contains(&token[..40]));
}

#[tokio::test]
async fn an_explanation_makes_every_check() {
    let issuer = TestIssuer::start();
    let (keys, spec) = (keys(), spec(&issuer));
    let names = |explanation: &crate::domain::jwt::TokenExplanation| {
        explanation.checks.iter().map(|check| check.name).collect::<Vec<_>>()
    };
    let good = issuer.key("RS256").sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    let explanation = keys.explain(&spec, AUDIENCE, &good, at(0)).await;
    assert!(explanation.is_verified());
    assert_eq!(names(&explanation), TokenCheckName::ALL);
    assert_eq!(explanation.claims.unwrap()["sub"], SUBJECT);

    // Two faults: both are found, and the signature is checked all the same.
    let old = keys.explain(&spec, "dropsafe:other", &good, at(7200)).await;
    let refused: Vec<_> =
        old.checks.iter().filter(|check| check.outcome != CheckOutcome::Passed).cloned().collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert_eq!(refused[0].outcome, CheckOutcome::Refused(TokenRefusal::WrongAudience));
    assert_eq!(refused[1].outcome, CheckOutcome::Refused(TokenRefusal::Expired));

    let stranger = TestKey::rsa("rsa-9", 2).sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    let stranger = keys.explain(&spec, AUDIENCE, &stranger, at(0)).await;
    let [.., key, signature] = &stranger.checks[..] else { panic!() };
    assert_eq!(key.outcome, CheckOutcome::Refused(TokenRefusal::UnknownKey));
    assert_eq!(signature.outcome, CheckOutcome::Skipped);

    let nonsense = keys.explain(&spec, AUDIENCE, "nonsense", at(0)).await;
    assert_eq!(names(&nonsense), TokenCheckName::ALL);
    assert!(nonsense.claims.is_none() && !nonsense.is_verified());
}

#[tokio::test]
async fn a_leading_zero_in_a_modulus_does_no_harm() {
    let issuer = TestIssuer::start();
    let mut jwk = issuer.key("RS256").jwk();
    let modulus = BASE64URL_NOPAD.decode(jwk["n"].as_str().unwrap().as_bytes()).unwrap();
    jwk["n"] = BASE64URL_NOPAD.encode(&[&[0], &modulus[..]].concat()).into();
    issuer.answer(KEYS, TestAnswer::Document(json!({ "keys": [jwk] })));
    let token = issuer.key("RS256").sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    verify(&keys(), &spec(&issuer), &token, at(0)).await.unwrap();
}
