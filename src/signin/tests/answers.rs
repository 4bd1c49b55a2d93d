//! Providers that are down, slow, broken or hostile. Nothing that they answer is followed, repeated or read without end.

use std::time::Instant;

use serde_json::json;

use super::test_provider::Instead;
use super::*;

const DOCUMENT: &str = "/.well-known/openid-configuration";

fn answer(status: u16, body: &str) -> Instead {
    Instead::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

#[tokio::test]
async fn a_provider_that_is_down_is_not_asked_by_everybody() {
    let (there, here) = ready().await;
    for (instead, expected) in [
        (Instead::Nothing, ProviderError::Unavailable),
        (answer(503, "canary"), ProviderError::Unavailable),
        (answer(404, "canary"), ProviderError::BadAnswer),
        (answer(200, "canary"), ProviderError::BadAnswer),
        (answer(200, &format!("\"{}\"", "x".repeat(600 * 1024))), ProviderError::Unavailable),
    ] {
        let here = provider(settings(&there.issuer));
        there.instead(DOCUMENT, instead);
        let before = there.asked(DOCUMENT);
        assert_eq!(begin(&here).await.err(), Some(expected));
        assert_eq!(begin(&here).await.err(), Some(expected));
        assert_eq!(there.asked(DOCUMENT), before + 1, "a failure is remembered for a while");
    }
    there.recover();
    assert!(sign_in(&there, &here).await.is_ok());
    let nowhere = provider(settings("http://127.0.0.1:1"));
    assert_eq!(begin(&nowhere).await.err(), Some(ProviderError::Unavailable));
}

#[tokio::test]
async fn a_document_that_leads_elsewhere_is_refused() {
    for (member, value) in [
        ("issuer", json!("https://evil.example")),
        ("token_endpoint", json!("http://evil.example/token")),
        ("token_endpoint", json!(null)),
        ("authorization_endpoint", json!("http://evil.example/")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("userinfo_endpoint", json!("ftp://evil.example/")),
        ("device_authorization_endpoint", json!("http://evil.example/")),
        ("jwks_uri", json!("http://evil.example/jwks")),
        ("jwks_uri", json!("file:///etc/passwd")),
    ] {
        let (there, here) = ready().await;
        there.document(member, value.clone());
        assert_eq!(begin(&here).await.err(), Some(ProviderError::BadAnswer), "{member}: {value}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = TestProvider::start().await;
    let redirect = |path: &str| {
        let location = vec![("location", format!("{}{path}", elsewhere.issuer))];
        Instead::Answer(302, location, String::new())
    };
    for path in [DOCUMENT, "/jwks", "/token"] {
        let (there, here) = ready().await;
        there.instead(path, redirect(path));
        assert_eq!(sign_in(&there, &here).await, Err(ProviderError::BadAnswer), "{path}");
        assert_eq!(elsewhere.asked(path), 0, "{path}");
    }
}

#[tokio::test]
async fn what_a_token_endpoint_says_is_sorted_and_never_repeated() {
    for (instead, expected) in [
        (
            answer(400, r#"{"error": "invalid_grant", "error_description": "canary"}"#),
            ProviderError::CodeRefused,
        ),
        (
            answer(401, r#"{"error": "invalid_client", "error_description": "canary"}"#),
            ProviderError::ClientRefused,
        ),
        (answer(400, r#"{"error": "canary"}"#), ProviderError::ClientRefused),
        (answer(400, r#"{"error": "access_denied"}"#), ProviderError::Denied),
        (answer(500, "canary"), ProviderError::BadAnswer),
        (answer(200, "canary"), ProviderError::BadAnswer),
        (
            answer(200, r#"{"access_token": "canary", "token_type": "Bearer"}"#),
            ProviderError::Token(IdTokenFault::Missing),
        ),
        (answer(200, &format!("{{\"x\": \"{}\"}}", "x".repeat(600 * 1024))), ProviderError::Unavailable),
        (Instead::Nothing, ProviderError::Unavailable),
    ] {
        let (there, here) = ready().await;
        there.instead("/token", instead);
        assert_eq!(sign_in(&there, &here).await, Err(expected));
    }
}

#[tokio::test]
async fn the_wrong_secret_is_the_operators_matter() {
    let (there, _) = ready().await;
    let console = Some(Zeroizing::new("wrong".to_owned()));
    let secrets = ClientSecrets { console, command_line: None };
    let here = Provider::new(settings(&there.issuer), secrets).unwrap();
    assert_eq!(sign_in(&there, &here).await, Err(ProviderError::ClientRefused));
}

#[tokio::test]
async fn a_secret_goes_where_the_provider_takes_it() {
    let (there, here) = ready().await;
    there.document("token_endpoint_auth_methods_supported", json!(["client_secret_post"]));
    assert!(sign_in(&there, &here).await.is_ok());
}

#[tokio::test]
async fn a_slow_provider_is_given_up_and_keeps_nobody_else_waiting() {
    let began = Instant::now();
    let (there, here) = ready().await;
    let silent = async {
        there.instead(DOCUMENT, Instead::Silence);
        begin(&here).await.err()
    };
    let (dripping, other) = ready().await;
    let drip = async {
        let begun = begin(&other).await.unwrap();
        let answer = answer_at(&dripping.authorize(&begun.url));
        dripping.instead("/token", Instead::Drip);
        other.redeem_code(&begun.flow, answer, now()).await.err()
    };
    let (silent, drip) = tokio::join!(silent, drip);
    assert_eq!((silent, drip), (Some(ProviderError::Unavailable), Some(ProviderError::Unavailable)));
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());

    // Strangers who begin sign-ins with it take its places, and no more.
    let (there, here) = ready().await;
    there.instead(DOCUMENT, Instead::Silence);
    let here = std::sync::Arc::new(here);
    let waiting: Vec<_> = (0..EXCHANGES)
        .map(|_| {
            let here = here.clone();
            tokio::spawn(async move { begin(&here).await.err() })
        })
        .collect();
    while there.asked(DOCUMENT) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(begin(&here).await.err(), Some(ProviderError::Busy));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn its_certificate_is_verified_by_the_configured_authorities() {
    let (there, pem) = TestProvider::start_tls().await;
    there.person(ada());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    #[expect(clippy::disallowed_methods, reason = "what an operator writes")]
    std::fs::write(&file, pem).unwrap();
    let here = provider(ProviderSettings { ca_file: Some(file), ..settings(&there.issuer) });
    assert!(sign_in(&there, &here).await.is_ok());
    let (_, other) = TestProvider::start_tls().await;
    let file = folder.path().join("other.pem");
    #[expect(clippy::disallowed_methods, reason = "what an operator writes")]
    std::fs::write(&file, other).unwrap();
    let here = provider(ProviderSettings { ca_file: Some(file), ..settings(&there.issuer) });
    assert_eq!(sign_in(&there, &here).await, Err(ProviderError::Unavailable));
    let missing = Some(folder.path().join("missing.pem"));
    let settings = ProviderSettings { ca_file: missing, ..settings(&there.issuer) };
    assert!(Provider::new(settings, ClientSecrets::default()).is_err());
}
