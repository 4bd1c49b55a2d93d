//! ID tokens that must not be believed, and claims that are elsewhere.

use serde_json::{Value, json};

use super::*;

/// Signs in with a token that was changed before it was signed.
async fn with_edit(edit: impl Fn(&mut Value, &mut Value) + Send + Sync + 'static) -> Option<IdTokenFault> {
    let (there, here) = ready().await;
    there.edit_tokens(edit);
    match sign_in(&there, &here).await {
        Ok(_) => None,
        Err(ProviderError::Token(fault)) => Some(fault),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_audience_time_or_sign_in_is_refused() {
    assert_eq!(with_edit(|_, _| {}).await, None);
    let set = |name: &'static str, value: Value| with_edit(move |_, claims| claims[name] = value.clone());
    assert_eq!(set("iss", json!("https://evil.example")).await, Some(IdTokenFault::Issuer));
    assert_eq!(set("aud", json!("canary-other-client")).await, Some(IdTokenFault::Audience));
    // One of several audiences could present the token here.
    assert_eq!(set("aud", json!([CLIENT, "canary-other-client"])).await, Some(IdTokenFault::Audience));
    assert_eq!(set("azp", json!("canary-other-client")).await, Some(IdTokenFault::Audience));
    assert_eq!(set("azp", json!(CLIENT)).await, None);
    assert_eq!(set("nonce", json!("canary")).await, Some(IdTokenFault::Nonce));
    let without = with_edit(|_, claims| drop(claims.as_object_mut().unwrap().remove("nonce"))).await;
    assert_eq!(without, Some(IdTokenFault::Nonce));
    assert_eq!(set("at_hash", json!("canary")).await, Some(IdTokenFault::AccessToken));

    // The clocks may differ a little.
    let seconds = |name: &'static str, offset: i64| {
        with_edit(move |_, claims| claims[name] = json!(i64::try_from(now_seconds()).unwrap() + offset))
    };
    assert_eq!(seconds("exp", -60).await, None);
    assert_eq!(seconds("exp", -180).await, Some(IdTokenFault::Time));
    assert_eq!(seconds("iat", 60).await, None);
    assert_eq!(seconds("iat", 600).await, Some(IdTokenFault::Time));
}

#[tokio::test]
async fn only_a_signature_of_the_provider_counts() {
    let with_header =
        |member: &'static str, value: Value| with_edit(move |header, _| header[member] = value.clone());
    assert_eq!(with_header("alg", json!("none")).await, Some(IdTokenFault::Signature));
    // With the client's secret as the key, as the specification would allow.
    assert_eq!(with_header("alg", json!("HS256")).await, Some(IdTokenFault::Signature));
    assert_eq!(with_header("kid", json!("canary")).await, Some(IdTokenFault::Key));
    // It names the right key, and is signed with another one.
    let (there, here) = ready().await;
    there.rotate(false);
    there.edit_tokens(|header, _| header["kid"] = json!("key-0"));
    assert_eq!(sign_in(&there, &here).await, Err(ProviderError::Token(IdTokenFault::Signature)));
}

#[tokio::test]
async fn a_subject_is_needed_and_bounded() {
    for subject in [json!(""), json!("s".repeat(256)), json!("a\u{7f}")] {
        let (there, here) = ready().await;
        there.person(json!({ "sub": subject, "groups": ["staff"], "name": "x" }));
        assert_eq!(
            sign_in(&there, &here).await,
            Err(ProviderError::Token(IdTokenFault::Subject)),
            "{subject}"
        );
    }
    let (there, here) = ready().await;
    there.edit_tokens(|_, claims| drop(claims.as_object_mut().unwrap().remove("sub")));
    assert!(sign_in(&there, &here).await.is_err());
}

#[tokio::test]
async fn groups_that_are_not_in_the_token_are_asked_for() {
    let (there, here) = ready().await;
    there.person(json!({ "sub": "s-ada", "name": "Ada" }));
    there.user_info(json!({ "sub": "s-ada", "groups": ["staff"], "name": "somebody else" }));
    let proven = sign_in(&there, &here).await.unwrap();
    assert_eq!(proven.granted_role(&"acme".parse().unwrap()), Some(Role::Member));
    assert_eq!(proven.shown.unwrap().as_str(), "Ada", "the signed claims come first");
    // Of another person: it is not believed.
    there.user_info(json!({ "sub": "s-eve", "groups": ["chiefs"] }));
    assert_eq!(sign_in(&there, &here).await, Err(ProviderError::Token(IdTokenFault::Subject)));
    // Nobody's groups: the account opens only what it is linked to.
    there.user_info(json!({ "sub": "s-ada" }));
    assert_eq!(sign_in(&there, &here).await.unwrap().grants, []);
}

#[tokio::test]
async fn groups_are_found_where_the_operator_says() {
    let there = TestProvider::start().await;
    let groups_at = async |path: &str, person: Value| {
        there.person(person);
        let groups_claim = path.parse().unwrap();
        let here = provider(ProviderSettings { groups_claim, ..settings(&there.issuer) });
        let proven = sign_in(&there, &here).await.unwrap();
        proven.granted_role(&"acme".parse().unwrap())
    };
    let nested = json!({ "sub": "s", "name": "x", "realm_access": { "roles": ["chiefs"] } });
    assert_eq!(groups_at("/realm_access/roles", nested).await, Some(Role::Admin));
    let single = json!({ "sub": "s", "name": "x", "hd": "staff" });
    assert_eq!(groups_at("hd", single).await, Some(Role::Member));
    // A group is compared whole, and nothing else than a text is one.
    let near =
        json!({ "sub": "s", "name": "x", "groups": ["Staff", "staff ", "/staff", 7, ["staff"], null] });
    assert_eq!(groups_at("groups", near).await, None);
    let no_list = json!({ "sub": "s", "name": "x", "groups": { "staff": true } });
    assert_eq!(groups_at("groups", no_list).await, None);
}

#[tokio::test]
async fn groups_that_are_left_out_are_not_taken_for_none() {
    let (there, here) = ready().await;
    there.person(json!({ "sub": "s-ada", "name": "Ada", "_claim_names": { "groups": "src1" } }));
    there.user_info(json!({ "sub": "s-ada" }));
    assert_eq!(sign_in(&there, &here).await, Err(ProviderError::TooManyGroups));
}
