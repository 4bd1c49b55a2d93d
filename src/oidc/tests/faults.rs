//! Issuers that are slow, broken, hostile, or where they should not be.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Instant;

use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::test_issuer::{KEYS, METADATA, TestAnswer, TestIssuer};
use super::*;
use crate::domain::jwt::IssuerFault;

/// The reason why the issuer's keys cannot be had, and whether it is an outage.
async fn fault(keys: &IssuerKeys, issuer: &TestIssuer, spec: &IssuerSpec) -> (&'static str, bool) {
    let token = issuer.key("RS256").sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    match verify(keys, spec, &token, at(0)).await {
        Ok(_) => ("accepted", false),
        Err(refusal) => (refusal.reason(), refusal.is_outage()),
    }
}

/// The same for an issuer that answers requests for `path` in this way.
async fn fault_of(path: &str, answer: TestAnswer) -> (&'static str, bool) {
    let issuer = TestIssuer::start();
    issuer.answer(path, answer);
    let started = Instant::now();
    let fault = fault(&keys(), &issuer, &spec(&issuer)).await;
    assert!(started.elapsed() < LIMIT + Duration::from_secs(1), "{fault:?} took {:?}", started.elapsed());
    fault
}

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn each_broken_answer_is_an_outage() {
    let chunked = |chunks: usize| {
        let mut bytes = format!("HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\n").into_bytes();
        for _ in 0..chunks {
            bytes.extend_from_slice(format!("{:x}\r\n{}\r\n", 65_536, " ".repeat(65_536)).as_bytes());
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        TestAnswer::Bytes(bytes)
    };
    for path in [METADATA, KEYS] {
        for (answer, reason) in [
            (TestAnswer::Close, "issuer_broken"),
            (TestAnswer::Bytes(b"nonsense\r\n\r\n".to_vec()), "issuer_broken"),
            (
                TestAnswer::Bytes(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"
                        .to_vec(),
                ),
                "issuer_broken",
            ),
            (
                TestAnswer::Bytes(
                    format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000)).into_bytes(),
                ),
                "issuer_broken",
            ),
            (TestAnswer::status(404, ""), "issuer_status"),
            (TestAnswer::status(500, ""), "issuer_status"),
            (TestAnswer::status(204, JSON), "issuer_status"),
            (TestAnswer::status(401, JSON), "issuer_status"),
            (TestAnswer::typed("content-type: text/html\r\n", "<html>"), "issuer_content_type"),
            (TestAnswer::typed("content-type: text/json\r\n", "{}"), "issuer_content_type"),
            (TestAnswer::typed("content-type: application/javascript\r\n", "{}"), "issuer_content_type"),
            (TestAnswer::typed("content-type: application/jsonx\r\n", "{}"), "issuer_content_type"),
            (TestAnswer::typed("", "{}"), "issuer_content_type"),
            (TestAnswer::typed(&format!("{JSON}content-encoding: gzip\r\n"), "{}"), "issuer_content_type"),
            (TestAnswer::typed(JSON, &" ".repeat(256 * 1024 + 1)), "issuer_too_large"),
            (chunked(5), "issuer_too_large"),
            (chunked(1), "issuer_document"),
            (TestAnswer::typed(JSON, ""), "issuer_document"),
            (TestAnswer::typed(JSON, "[]"), "issuer_document"),
            (TestAnswer::typed(JSON, "{} {}"), "issuer_document"),
            (TestAnswer::typed(JSON, r#"{"keys":[],"keys":[]}"#), "issuer_document"),
            (TestAnswer::typed(JSON, &"[".repeat(100_000)), "issuer_document"),
        ] {
            let what = format!("{path}: {answer:?}");
            let what: String = what.chars().take(200).collect();
            assert_eq!(fault_of(path, answer).await, (reason, true), "{what}");
        }
    }
}

#[tokio::test]
async fn a_slow_issuer_is_given_up() {
    for path in [METADATA, KEYS] {
        let slow = TestAnswer::Wait(LIMIT * 3);
        assert_eq!(fault_of(path, slow).await, ("issuer_timed_out", true));
        let drip = TestAnswer::Drip(Duration::from_millis(50));
        assert_eq!(fault_of(path, drip).await, ("issuer_timed_out", true));
    }
    // Both requests share one limit.
    let issuer = TestIssuer::start();
    issuer.answer(METADATA, TestAnswer::Wait(LIMIT * 2 / 3));
    issuer.answer(KEYS, TestAnswer::Wait(LIMIT * 2 / 3));
    assert_eq!(fault(&keys(), &issuer, &spec(&issuer)).await, ("issuer_timed_out", true));
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let (issuer, other) = (TestIssuer::start(), TestIssuer::start());
    for status in [301, 302, 303, 307, 308] {
        for path in [METADATA, KEYS] {
            issuer.heal();
            let location = format!("location: {}{path}\r\n", other.url());
            issuer.answer(path, TestAnswer::status(status, &location));
            let found = fault(&keys(), &issuer, &spec(&issuer)).await;
            assert_eq!(found, ("issuer_redirect", true), "{status}");
        }
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn metadata_must_be_the_issuers_own() {
    let issuer = TestIssuer::start();
    let url = issuer.url();
    for (document, reason) in [
        (json!({ "jwks_uri": format!("{url}{KEYS}") }), "issuer_other_issuer"),
        (json!({ "issuer": 1, "jwks_uri": format!("{url}{KEYS}") }), "issuer_other_issuer"),
        (
            json!({ "issuer": "https://evil.example", "jwks_uri": format!("{url}{KEYS}") }),
            "issuer_other_issuer",
        ),
        (json!({ "issuer": format!("{url}/"), "jwks_uri": format!("{url}{KEYS}") }), "issuer_other_issuer"),
        (json!({ "issuer": url }), "issuer_keys_url"),
        (json!({ "issuer": url, "jwks_uri": 1 }), "issuer_keys_url"),
        (json!({ "issuer": url, "jwks_uri": "" }), "issuer_keys_url"),
        (json!({ "issuer": url, "jwks_uri": KEYS }), "issuer_keys_url"),
        (json!({ "issuer": url, "jwks_uri": format!("http://{}{KEYS}", issuer.address) }), "issuer_keys_url"),
        (json!({ "issuer": url, "jwks_uri": "file:///etc/shadow" }), "issuer_keys_url"),
        (
            json!({ "issuer": url, "jwks_uri": format!("https://x@{}{KEYS}", issuer.address) }),
            "issuer_keys_url",
        ),
        (json!({ "issuer": url, "jwks_uri": format!("{url}/a\r\nx: y") }), "issuer_keys_url"),
    ] {
        issuer.answer(METADATA, TestAnswer::Document(document.clone()));
        let found = fault(&keys(), &issuer, &spec(&issuer)).await;
        assert_eq!(found, (reason, false), "{document}");
    }
}

#[tokio::test]
async fn documents_of_keys_are_bounded_and_hold_no_secret() {
    let issuer = TestIssuer::start();
    let jwk = issuer.key("RS256").jwk();
    let with = |name: &str| {
        let mut jwk = jwk.clone();
        jwk[name] = "AQAB".into();
        json!({ "keys": [jwk] })
    };
    for (document, reason, outage) in [
        (json!({ "keys": vec![&jwk; 101] }), "issuer_too_many_keys", false),
        (with("d"), "issuer_secret_key", false),
        (with("p"), "issuer_secret_key", false),
        (json!({ "keys": [jwk, { "kty": "oct", "k": "c2VjcmV0" }] }), "issuer_secret_key", false),
        (json!({ "keys": [{ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }] }), "issuer_no_key", true),
        (json!({ "keys": [jwk, 7] }), "issuer_document", true),
        (json!({ "keys": { "0": jwk } }), "issuer_document", true),
        (json!({ "keys": [{ "kty": "RSA", "kid": 7 }] }), "issuer_document", true),
        (json!({ "keys": [{ "kty": "RSA", "key_ops": "verify" }] }), "issuer_document", true),
    ] {
        issuer.answer(KEYS, TestAnswer::Document(document));
        assert_eq!(fault(&keys(), &issuer, &spec(&issuer)).await, (reason, outage));
    }
    // Keys of other kinds do no harm beside one that is known, up to the limit.
    let mut many = vec![json!({ "kty": "OKP", "crv": "Ed448", "x": "AA" }); 99];
    many.push(jwk);
    issuer.answer(KEYS, TestAnswer::Document(json!({ "keys": many })));
    assert_eq!(fault(&keys(), &issuer, &spec(&issuer)).await.0, "accepted");
}

#[tokio::test]
async fn documents_are_checked_before_they_are_stored() {
    let issuer = TestIssuer::start();
    let keys = keys();
    let good = spec(&issuer);
    assert_eq!(keys.check_documents(&good), Ok(()));
    let jwk = issuer.key("RS256").jwk();
    let mut secret = jwk.clone();
    secret["d"] = "AQAB".into();
    for (authorities, document, why) in [
        (Some("canary"), None, IssuerFault::Authorities),
        (Some(""), None, IssuerFault::Authorities),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            None,
            IssuerFault::Authorities,
        ),
        (Some("canary"), Some(json!({ "keys": [jwk] })), IssuerFault::Authorities),
        (None, Some(json!({ "keys": [secret] })), IssuerFault::SecretKey),
        (None, Some(json!({ "keys": [] })), IssuerFault::NoKey),
        (None, Some(json!([])), IssuerFault::Document),
    ] {
        let spec = IssuerSpec {
            authorities: authorities.map(str::to_owned),
            keys: document.as_ref().map(Value::to_string),
            ..good.clone()
        };
        assert_eq!(keys.check_documents(&spec), Err(why), "{document:?}");
    }
    let two = format!("# comment\n{0}{0}", issuer.authorities);
    assert_eq!(keys.check_documents(&IssuerSpec { authorities: Some(two), ..good.clone() }), Ok(()));
    assert_eq!(issuer.connections(), 0);
}

#[tokio::test]
async fn the_servers_certificate_is_verified() {
    let (issuer, other) = (TestIssuer::start(), TestIssuer::start());
    let mut spec = spec(&issuer);
    spec.authorities = Some(other.authorities.clone());
    assert_eq!(fault(&keys(), &issuer, &spec).await, ("issuer_untrusted", false));
    // The certificate is not for this address.
    spec.authorities = Some(issuer.authorities.clone());
    spec.url = format!("https://wrong.example:{}", issuer.address.port()).parse().unwrap();
    let token = issuer.key("RS256").sign(&claims(&issuer, |claims| {
        claims.insert("iss".into(), spec.url.as_str().into());
    }));
    let resolver = TestResolver::with("wrong.example", &[&["127.0.0.1"]]);
    let refusal =
        verify(&keys_with(policy(&["127.0.0.1"]), resolver), &spec, &token, at(0)).await.unwrap_err();
    assert_eq!(refusal.reason(), "issuer_untrusted");
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_nothing_else() {
    for version in [&TLS12, &TLS13] {
        let issuer = TestIssuer::start_with(&[version]);
        assert_eq!(fault(&keys(), &issuer, &spec(&issuer)).await.0, "accepted");
    }
    // A server that speaks plain HTTP.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let started = stream.read(&mut [0; 512]).is_ok_and(|count| count > 0);
            assert!(started, "the client speaks first");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").ok();
        }
    });
    let issuer = TestIssuer::start();
    let mut spec = spec(&issuer);
    spec.url = format!("https://127.0.0.1:{port}").parse().unwrap();
    let token = issuer.key("RS256").sign(&claims(&issuer, |claims| {
        claims.insert("iss".into(), spec.url.as_str().into());
    }));
    let refusal = verify(&keys(), &spec, &token, at(0)).await.unwrap_err();
    assert_eq!((refusal.reason(), refusal.is_outage()), ("issuer_tls", true));
}

#[tokio::test]
async fn nothing_listens() {
    let issuer = TestIssuer::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut spec = spec(&issuer);
    spec.url = format!("https://127.0.0.1:{port}").parse().unwrap();
    let token = issuer.key("RS256").sign(&claims(&issuer, |claims| {
        claims.insert("iss".into(), spec.url.as_str().into());
    }));
    let refusal = verify(&keys(), &spec, &token, at(0)).await.unwrap_err();
    assert_eq!((refusal.reason(), refusal.is_outage()), ("issuer_unreachable", true));
}

/// Without the operator's permission, nothing inside is contacted: not even a connection is opened.
#[tokio::test]
async fn private_addresses_are_refused_before_a_connection() {
    let mut issuer = TestIssuer::start();
    for (policy, allowed) in [
        (policy(&[]), false),
        (policy(&["10.0.0.0/8", "::1", "127.0.0.2"]), false),
        (policy(&["127.0.0.0/8"]), true),
    ] {
        let keys = keys_with(policy, Box::new(SystemResolver));
        let found = fault(&keys, &issuer, &spec(&issuer)).await;
        let expected = if allowed { "accepted" } else { "issuer_address_refused" };
        assert_eq!(found, (expected, false));
        assert_eq!(issuer.connections() > 0, allowed);
    }
    // By a name that needs no resolver, and by names that resolve to private addresses.
    issuer.host = "localhost".to_owned();
    let keys = keys_with(policy(&[]), Box::new(SystemResolver));
    let before = issuer.connections();
    assert_eq!(fault(&keys, &issuer, &spec(&issuer)).await.0, "issuer_address_refused");
    issuer.host = "issuer.example".to_owned();
    for addresses in [
        &["127.0.0.1"][..],
        &["10.0.0.1", "192.168.1.1", "169.254.169.254", "fd00:ec2::254", "::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::127.0.0.1"],
        &["2002:7f00:1::"],
    ] {
        let keys = keys_with(policy(&[]), TestResolver::with("issuer.example", &[addresses]));
        assert_eq!(fault(&keys, &issuer, &spec(&issuer)).await.0, "issuer_address_refused", "{addresses:?}");
    }
    let keys = keys_with(policy(&[]), Box::new(TestResolver::default()));
    assert_eq!(fault(&keys, &issuer, &spec(&issuer)).await, ("issuer_name_not_found", true));
    assert_eq!(issuer.connections(), before);
}

#[tokio::test]
async fn only_the_permitted_addresses_of_a_name_are_contacted() {
    let mut issuer = TestIssuer::start();
    issuer.host = "issuer.example".to_owned();
    serve_as(&issuer);
    let inside = TcpListener::bind(("127.0.0.2", issuer.address.port())).unwrap();
    inside.set_nonblocking(true).unwrap();
    let resolver = TestResolver::with("issuer.example", &[&["127.0.0.2", "127.0.0.1"]]);
    let keys = keys_with(policy(&["127.0.0.1"]), resolver);
    assert_eq!(fault(&keys, &issuer, &spec(&issuer)).await.0, "accepted");
    assert_eq!(inside.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// Makes the metadata name the issuer as it is called now.
fn serve_as(issuer: &TestIssuer) {
    let url = issuer.url();
    let metadata = json!({ "issuer": url, "jwks_uri": format!("{url}{KEYS}") });
    issuer.answer(METADATA, TestAnswer::Document(metadata));
}

/// DNS rebinding: the second lookup of the same name leads inside.
#[tokio::test]
async fn every_lookup_is_judged() {
    let mut issuer = TestIssuer::start();
    issuer.host = "issuer.example".to_owned();
    serve_as(&issuer);
    let resolver = TestResolver::with("issuer.example", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let keys = keys_with(policy(&["127.0.0.1"]), resolver);
    assert_eq!(fault(&keys, &issuer, &spec(&issuer)).await.0, "issuer_address_refused");
    assert_eq!(issuer.requests(), [METADATA]);
}

#[tokio::test]
async fn the_url_of_the_keys_is_judged_like_the_issuers() {
    let (issuer, inside) = (TestIssuer::start(), TestIssuer::start());
    for url in [
        format!("https://127.0.0.2:{}/keys", inside.address.port()),
        format!("https://[::1]:{}/keys", inside.address.port()),
        "https://169.254.169.254/latest/meta-data/iam/security-credentials/".to_owned(),
        "https://[fd00:ec2::254]/latest/meta-data/".to_owned(),
        "https://168.63.129.16/machine".to_owned(),
        "https://[::ffff:169.254.169.254]/".to_owned(),
    ] {
        let document = json!({ "issuer": issuer.url(), "jwks_uri": url });
        issuer.answer(METADATA, TestAnswer::Document(document));
        let found = fault(&keys(), &issuer, &spec(&issuer)).await;
        assert_eq!(found, ("issuer_address_refused", false), "{url}");
    }
    // On another port of the same host: another server, whose certificate is not trusted.
    let document = json!({ "issuer": issuer.url(), "jwks_uri": format!("{}{KEYS}", inside.url()) });
    issuer.answer(METADATA, TestAnswer::Document(document));
    assert_eq!(fault(&keys(), &issuer, &spec(&issuer)).await.0, "issuer_untrusted");
    assert_eq!(inside.requests().len(), 0);
}
