//! When keys are fetched, kept and replaced. Times are arguments, so that a day passes at once.

use serde_json::json;

use super::test_issuer::{KEYS, METADATA, TestAnswer, TestIssuer, TestKey};
use super::*;

const HOUR: i64 = 3600;

/// Waits for fetches that nobody waits for.
async fn settle(issuer: &TestIssuer, requests: usize) {
    for _ in 0..200 {
        if issuer.requests().len() >= requests {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The answer to the last request has to be read, too.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(issuer.requests().len(), requests, "{:?}", issuer.requests());
}

#[tokio::test]
async fn keys_are_fetched_once_and_refreshed_while_they_are_used() {
    let issuer = TestIssuer::start();
    let keys = keys();
    for seconds in [0, 1, 60, 599] {
        assert_eq!(outcome(&keys, &issuer, at(seconds)).await, Ok(()));
    }
    assert_eq!(issuer.requests(), [METADATA, KEYS]);
    // Nobody waits for the refresh.
    issuer.answer(METADATA, TestAnswer::Wait(Duration::from_millis(300)));
    let started = std::time::Instant::now();
    assert_eq!(outcome(&keys, &issuer, at(600)).await, Ok(()));
    assert_eq!(outcome(&keys, &issuer, at(601)).await, Ok(()));
    assert!(started.elapsed() < Duration::from_millis(250));
    settle(&issuer, 4).await;
    // A clone shares the keys.
    assert_eq!(outcome(&keys.clone(), &issuer, at(602)).await, Ok(()));
    assert_eq!(issuer.requests().len(), 4);
}

#[tokio::test]
async fn many_boots_at_once_cost_one_fetch() {
    let issuer = TestIssuer::start();
    issuer.answer(METADATA, TestAnswer::Wait(Duration::from_millis(200)));
    let keys = keys();
    let (spec, token) = (spec(&issuer), issuer.key("RS256").sign(&issuer.claims(AUDIENCE, SUBJECT, NOW)));
    let mut boots = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (keys, spec, token) = (keys.clone(), spec.clone(), token.clone());
        boots.spawn(async move { verify(&keys, &spec, &token, at(0)).await.map(drop) });
    }
    while let Some(boot) = boots.join_next().await {
        assert_eq!(boot.unwrap(), Ok(()));
    }
    assert_eq!(issuer.requests().len(), 2);
}

#[tokio::test]
async fn a_fetch_survives_the_boot_that_started_it() {
    let issuer = TestIssuer::start();
    issuer.answer(METADATA, TestAnswer::Wait(Duration::from_millis(200)));
    let keys = keys();
    let first = tokio::time::timeout(Duration::from_millis(50), outcome(&keys, &issuer, at(0))).await;
    assert!(first.is_err(), "the first boot was to be given up");
    assert_eq!(outcome(&keys, &issuer, at(0)).await, Ok(()));
    assert_eq!(issuer.requests().len(), 2);
}

#[tokio::test]
async fn a_rotation_is_noticed_by_the_unknown_key_id() {
    let issuer = TestIssuer::start();
    let keys = keys();
    let old = issuer.key("ES256");
    assert_eq!(outcome(&keys, &issuer, at(0)).await, Ok(()));
    issuer.rotate();
    // At most one fetch in ten seconds, however many unknown ids there are.
    for seconds in [1, 2, 9] {
        assert_eq!(outcome(&keys, &issuer, at(seconds)).await, Err("unknown_key"));
    }
    assert_eq!(issuer.requests().len(), 2);
    for seconds in [10, 11] {
        assert_eq!(outcome(&keys, &issuer, at(seconds)).await, Ok(()));
    }
    assert_eq!(issuer.requests().len(), 4);
    // What the issuer no longer publishes verifies nothing.
    let token = old.sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    for seconds in 12..20 {
        let refusal = verify(&keys, &spec(&issuer), &token, at(seconds)).await.unwrap_err();
        assert_eq!(refusal, TokenRefusal::UnknownKey);
    }
    assert_eq!(issuer.requests().len(), 4);
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_does_not_flood_the_issuer() {
    let issuer = TestIssuer::start();
    let keys = keys();
    let spec = spec(&issuer);
    let claims = issuer.claims(AUDIENCE, SUBJECT, NOW).to_string();
    let key = issuer.key("ES256");
    for number in 0..300 {
        let token = key.sign_text(&json!({ "alg": "ES256", "kid": number.to_string() }).to_string(), &claims);
        // Five in a second, for a minute.
        let refusal = verify(&keys, &spec, &token, at(number / 5)).await.unwrap_err();
        assert_eq!(refusal, TokenRefusal::UnknownKey);
    }
    let fetches = issuer.requests().iter().filter(|path| *path == KEYS).count();
    assert!((5..=7).contains(&fetches), "{fetches}");
}

#[tokio::test]
async fn an_issuer_that_is_down_stops_no_boot_for_a_day() {
    let issuer = TestIssuer::start();
    let keys = keys();
    assert_eq!(outcome(&keys, &issuer, at(0)).await, Ok(()));
    issuer.answer(METADATA, TestAnswer::status(503, ""));
    for hours in 1..=24 {
        assert_eq!(outcome(&keys, &issuer, at(hours * HOUR)).await, Ok(()), "after {hours} hours");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    // With a key id that is not known, nobody can tell.
    issuer.rotate();
    let refusal = outcome(&keys, &issuer, at(24 * HOUR - 60)).await;
    assert_eq!(refusal, Err("issuer_status"));
    assert_eq!(outcome(&keys, &issuer, at(24 * HOUR + 60)).await, Err("issuer_status"));
    issuer.heal();
    assert_eq!(outcome(&keys, &issuer, at(24 * HOUR + 70)).await, Ok(()));
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_an_outage_and_is_asked_again() {
    let issuer = TestIssuer::start();
    issuer.answer(METADATA, TestAnswer::Close);
    let keys = keys();
    let spec = spec(&issuer);
    let token = issuer.key("RS256").sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    for seconds in [0, 1, 4] {
        let refusal = verify(&keys, &spec, &token, at(seconds)).await.unwrap_err();
        assert_eq!(refusal.reason(), "issuer_broken");
        assert!(refusal.is_outage());
    }
    assert_eq!(issuer.requests().len(), 1, "asked once in five seconds");
    issuer.heal();
    assert!(verify(&keys, &spec, &token, at(5)).await.is_ok());
}

#[tokio::test]
async fn a_bad_document_does_not_replace_good_keys() {
    let issuer = TestIssuer::start();
    let keys = keys();
    assert_eq!(outcome(&keys, &issuer, at(0)).await, Ok(()));
    for (number, answer) in [
        TestAnswer::Document(json!({ "keys": [] })),
        TestAnswer::Document(json!({})),
        TestAnswer::typed("content-type: application/json\r\n", "{\"keys\":[],\"keys\":[]}"),
        TestAnswer::status(200, "content-type: application/json\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        issuer.answer(KEYS, answer);
        let now = at((number as i64 + 1) * HOUR);
        assert_eq!(outcome(&keys, &issuer, now).await, Ok(()));
        settle(&issuer, 4 + 2 * number).await;
        assert_eq!(outcome(&keys, &issuer, now).await, Ok(()));
    }
}

#[tokio::test]
async fn keys_in_use_are_refreshed_without_a_boot() {
    let issuer = TestIssuer::start();
    let keys = keys();
    assert_eq!(outcome(&keys, &issuer, at(0)).await, Ok(()));
    keys.refresh_due(at(599));
    settle(&issuer, 2).await;
    keys.refresh_due(at(600));
    keys.refresh_due(at(600));
    settle(&issuer, 4).await;
    keys.refresh_due(at(601));
    settle(&issuer, 4).await;
    // For a day after the last boot.
    keys.refresh_due(at(24 * HOUR));
    settle(&issuer, 6).await;
    keys.refresh_due(at(24 * HOUR + 601));
    settle(&issuer, 6).await;
}

#[tokio::test]
async fn an_issuer_that_was_changed_or_never_answered_is_left_alone() {
    let (forgotten, broken) = (TestIssuer::start(), TestIssuer::start());
    broken.answer(METADATA, TestAnswer::Close);
    let keys = keys();
    assert_eq!(outcome(&keys, &forgotten, at(0)).await, Ok(()));
    assert!(outcome(&keys, &broken, at(0)).await.is_err());
    keys.forget(&spec(&forgotten));
    keys.refresh_due(at(HOUR));
    settle(&forgotten, 2).await;
    settle(&broken, 1).await;
    // A machine that waits for it is what it is asked for.
    assert!(outcome(&keys, &broken, at(HOUR)).await.is_err());
    settle(&broken, 2).await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_blocks_nothing() {
    let issuer = TestIssuer::start();
    let keys = keys();
    assert_eq!(outcome(&keys, &issuer, at(10 * HOUR)).await, Ok(()));
    issuer.rotate();
    assert_eq!(outcome(&keys, &issuer, at(0)).await, Ok(()));
    assert_eq!(issuer.requests().len(), 4);
}

#[tokio::test]
async fn keys_that_are_given_need_no_issuer() {
    let issuer = TestIssuer::start();
    let mut spec = spec(&issuer);
    spec.keys = Some(issuer.jwks().to_string());
    let keys = keys_with(policy(&[]), Box::new(SystemResolver));
    keys.check_documents(&spec).unwrap();
    let token = issuer.key("RS256").sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    verify(&keys, &spec, &token, at(0)).await.unwrap();
    let stranger = TestKey::rsa("rsa-9", 2).sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    let refusal = verify(&keys, &spec, &stranger, at(60)).await.unwrap_err();
    assert_eq!(refusal, TokenRefusal::UnknownKey);
    keys.refresh_due(at(HOUR));
    assert_eq!(issuer.connections(), 0);
}

/// Two organizations name the same issuer. One of them gives keys or an authority of its own.
#[tokio::test]
async fn one_tenant_cannot_give_keys_to_another() {
    let (issuer, other) = (TestIssuer::start(), TestIssuer::start());
    let keys = keys();
    let honest = spec(&issuer);
    let forged = TestKey::rsa("rsa-1", 2);
    let mut hostile = honest.clone();
    hostile.keys = Some(json!({ "keys": [forged.jwk()] }).to_string());
    let token = forged.sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    verify(&keys, &hostile, &token, at(0)).await.unwrap();
    let refusal = verify(&keys, &honest, &token, at(0)).await.unwrap_err();
    assert_eq!(refusal, TokenRefusal::BadSignature);
    let good = issuer.key("RS256").sign(&issuer.claims(AUDIENCE, SUBJECT, NOW));
    verify(&keys, &honest, &good, at(0)).await.unwrap();
    assert_eq!(verify(&keys, &hostile, &good, at(0)).await.unwrap_err(), TokenRefusal::BadSignature);
    // With another authority, the issuer's server is not the issuer.
    let mut untrusting = honest.clone();
    untrusting.authorities = Some(other.authorities.clone());
    let refusal = verify(&keys, &untrusting, &good, at(0)).await.unwrap_err();
    assert_eq!(refusal.reason(), "issuer_untrusted");
    verify(&keys, &honest, &good, at(0)).await.unwrap();
    // An organization that allows other algorithms shares the keys, and nothing else.
    let before = issuer.requests().len();
    let mut strict = honest.clone();
    strict.algorithms = [JwtAlgorithm::Es256].into();
    let refusal = verify(&keys, &strict, &good, at(0)).await.unwrap_err();
    assert_eq!(refusal, TokenRefusal::AlgorithmNotAllowed);
    assert_eq!(issuer.requests().len(), before);
}
