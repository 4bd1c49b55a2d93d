//! Device codes: what a person does with one, and what a provider answers meanwhile.

use serde_json::{Value, json};

use super::super::device::{BegunDevice, DevicePoll};
use super::test_provider::{Entered, Instead};
use super::*;

async fn poll(here: &Provider, begun: &BegunDevice) -> Result<Option<u64>, ProviderError> {
    match here.poll_device(&begun.flow, now()).await? {
        DevicePoll::Pending { interval } => Ok(Some(interval)),
        DevicePoll::Proven(account) => {
            assert_eq!(account.subject.as_str(), "s-ada");
            Ok(None)
        }
    }
}

#[tokio::test]
async fn a_code_that_was_entered_proves_an_account_once() {
    let (there, here) = ready().await;
    there.interval(3);
    let begun = here.begin_device().await.unwrap();
    assert_eq!(begun.verification_uri, format!("{}/enter", there.issuer));
    assert!(begun.verification_uri_complete.as_ref().is_some_and(|uri| uri.ends_with(&begun.user_code)));
    assert_eq!((begun.interval, begun.lifetime), (3, Duration::from_secs(600)));
    assert_eq!(poll(&here, &begun).await, Ok(Some(3)));
    assert_eq!(poll(&here, &begun).await, Ok(Some(3)));
    assert_eq!(there.asked("/token"), 2, "each call asks once");
    there.enter(&begun.user_code, Entered::TooFast);
    assert_eq!(poll(&here, &begun).await, Ok(Some(8)), "five seconds more");
    there.enter(&begun.user_code, Entered::Approved);
    assert_eq!(poll(&here, &begun).await, Ok(None));
    assert_eq!(poll(&here, &begun).await, Err(ProviderError::CodeRefused));
}

#[tokio::test]
async fn a_code_can_be_denied_or_expire() {
    let (there, here) = ready().await;
    for (entered, expected) in
        [(Entered::Denied, ProviderError::Denied), (Entered::Expired, ProviderError::CodeRefused)]
    {
        let begun = here.begin_device().await.unwrap();
        there.enter(&begun.user_code, entered);
        assert_eq!(poll(&here, &begun).await, Err(expected));
    }
    // What proves nobody in one flow proves nobody in the other.
    let begun = here.begin_device().await.unwrap();
    there.enter(&begun.user_code, Entered::Approved);
    there.edit_tokens(|_, claims| claims["aud"] = json!("canary-other-client"));
    assert_eq!(poll(&here, &begun).await, Err(ProviderError::Token(IdTokenFault::Audience)));
    let code = begin(&here).await.unwrap();
    assert!(matches!(here.poll_device(&code.flow, now()).await, Err(ProviderError::WrongState)));
}

#[tokio::test]
async fn the_operator_enables_device_codes_and_the_provider_has_them() {
    let there = TestProvider::start().await;
    let here = provider(ProviderSettings { device_flow: false, ..settings(&there.issuer) });
    assert!(matches!(here.begin_device().await, Err(ProviderError::NoDeviceFlow)));
    there.document("device_authorization_endpoint", Value::Null);
    let here = provider(settings(&there.issuer));
    assert!(matches!(here.begin_device().await, Err(ProviderError::NoDeviceFlow)));
}

#[tokio::test]
async fn what_is_shown_to_people_is_checked() {
    let good = json!({
        "device_code": "canary", "user_code": "ABCD-1234", "verification_uri": "https://id.example/device",
        "expires_in": 600, "interval": 0,
    });
    let (there, here) = ready().await;
    let begin_with = async |member: &str, value: Value| {
        let mut answer = good.clone();
        answer[member] = value;
        let body =
            Instead::Answer(200, vec![("content-type", "application/json".to_owned())], answer.to_string());
        there.instead("/device", body);
        here.begin_device().await
    };
    assert_eq!(begin_with("interval", json!(0)).await.unwrap().interval, 3);
    assert_eq!(begin_with("interval", json!(9999)).await.unwrap().interval, 60);
    // Only for a click: a wrong one is left out.
    let complete = begin_with("verification_uri_complete", json!("javascript:alert(1)")).await.unwrap();
    assert_eq!(complete.verification_uri_complete, None);
    for (member, value) in [
        ("user_code", json!("\u{1b}[2Jcanary")),
        ("user_code", json!("x".repeat(41))),
        ("verification_uri", json!("javascript:alert(1)")),
        ("verification_uri", json!("http://evil.example/")),
        ("verification_uri", json!("https://id.example/\u{7f}")),
        ("expires_in", json!("soon")),
    ] {
        let begun = begin_with(member, value.clone()).await.err();
        assert_eq!(begun, Some(ProviderError::BadAnswer), "{member}: {value}");
    }
}
