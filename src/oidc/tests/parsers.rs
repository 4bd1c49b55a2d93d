//! Arbitrary input for every parser that a stranger can reach: it is refused or read, and never a panic. Where two parsers read
//! the same text, they agree.

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::domain::jwt::{ClaimCheck, ClaimRule, IssuerUrl, audience_matches};
use crate::oidc::checks::{CHECKS, Expected};
use crate::oidc::document_url::DocumentUrl;
use crate::oidc::key_set::KeySet;
use crate::oidc::strict_json::{self, JsonFault};
use crate::oidc::{metadata, token};

/// JSON values as generators make them, with members that the parsers look for.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        (NOW - 100..NOW + 100).prop_map(Value::from),
        Just(Value::from(AUDIENCE)),
        "(RS256|ES256|EdDSA|none|RSA|EC|OKP|P-256|Ed25519|sig|JWT|AQAB)".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,8}",
        "(alg|kid|typ|crit|b64|cty|jwk|iss|sub|aud|exp|nbf|iat|keys|kty|crv|n|e|x|y|use|key_ops|issuer|jwks_uri)",
    ]
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(name(), value(), 0..8).prop_map(|members| members.into_iter().collect())
}

fn expected_issuer() -> IssuerSpec {
    IssuerSpec {
        url: "https://issuer.example".parse().unwrap(),
        algorithms: JwtAlgorithm::ALL.iter().copied().collect(),
        authorities: None,
        keys: None,
    }
}

fn check_all(token: &str) {
    let Ok(parsed) = token::parse(token) else { return };
    assert_eq!(format!("{}.{}", parsed.signed, parsed.signature), token);
    let issuer = expected_issuer();
    let expected = Expected { issuer: &issuer, audience: AUDIENCE, now: at(0) };
    for (_, check) in CHECKS {
        check(&parsed, &expected).ok();
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_no_token(text in "\\PC{0,200}") {
        check_all(&text);
    }

    #[test]
    fn arbitrary_parts_are_read_or_refused(header in any::<Vec<u8>>(), claims in any::<Vec<u8>>(), signature in any::<Vec<u8>>()) {
        check_all(&[header, claims, signature].map(|part| BASE64URL_NOPAD.encode(&part)).join("."));
    }

    #[test]
    fn arbitrary_objects_are_checked(header in object(), claims in object()) {
        let part = |members| BASE64URL_NOPAD.encode(Value::Object(members).to_string().as_bytes());
        check_all(&format!("{}.{}.AAAA", part(header), part(claims)));
    }

    #[test]
    fn strict_json_agrees_with_the_usual_parser(value in value()) {
        let text = value.to_string();
        let usual: Value = serde_json::from_str(&text).unwrap();
        match strict_json::parse_object(text.as_bytes()) {
            Ok(object) => prop_assert_eq!(Value::Object(object), usual),
            Err(fault) => {
                prop_assert_eq!(fault, JsonFault::NotAnObject);
                prop_assert!(!usual.is_object());
            }
        }
    }

    #[test]
    fn whatever_strict_json_reads_is_json(text in "[\\[\\]{}:,\"a0-9.eE+\\- truefalsn\\\\u]{0,40}") {
        if let Ok(object) = strict_json::parse_object(text.as_bytes()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(object));
        }
    }

    #[test]
    fn a_member_that_is_repeated_anywhere_is_found(object in object(), name in name(), value in value(), depth in 0_usize..8) {
        let mut object = object;
        object.insert(name.clone(), value.clone());
        let text = Value::Object(object).to_string();
        let twice = format!("{},{}:{}}}", &text[..text.len() - 1], Value::from(name), value);
        let nested = format!("{}{twice}{}", "{\"a\":[".repeat(depth), "]}".repeat(depth));
        // Deep enough, the depth is found first.
        let fault = strict_json::parse_object(nested.as_bytes()).unwrap_err();
        prop_assert!(matches!(fault, JsonFault::DuplicateMember | JsonFault::TooDeep), "{:?}", fault);
    }

    #[test]
    fn arbitrary_documents_of_issuers_are_read_or_refused(bytes in any::<Vec<u8>>(), members in object(), keys in prop::collection::vec(object(), 0..4)) {
        let issuer = expected_issuer().url;
        let keys = json!({ "keys": keys }).to_string();
        let metadata = Value::Object(members).to_string();
        for document in [&bytes[..], keys.as_bytes(), metadata.as_bytes()] {
            KeySet::parse(document).ok();
            metadata::keys_url(document, &issuer).ok();
        }
    }

    /// An organization that could store an issuer's URL can also fetch its metadata.
    #[test]
    fn every_issuers_url_is_a_url_of_a_document(text in "https://[a-z0-9.:\\[\\]_-]{1,20}(/[a-z0-9.%~-]{0,6}){0,3}") {
        if let Ok(url) = text.parse::<IssuerUrl>() {
            let document = DocumentUrl::of_metadata(&url);
            prop_assert!(document.is_some(), "{}", text);
            prop_assert!(document.unwrap().path.ends_with("/.well-known/openid-configuration"));
        }
    }

    #[test]
    fn arbitrary_urls_are_read_or_refused(text in "\\PC{0,80}", rest in "[a-z0-9@:/?#.\\[\\]\\\\%-]{0,40}") {
        text.parse::<IssuerUrl>().ok();
        DocumentUrl::parse(&text);
        let url = format!("https://{rest}");
        if let Some(document) = DocumentUrl::parse(&url) {
            prop_assert!(url.contains(&document.host.to_string()), "{} leads to {}", url, document.host);
        }
        url.parse::<IssuerUrl>().ok();
    }

    /// Pointers mean the same here as in the library, whose object would need a copy of the claims.
    #[test]
    fn pointers_are_those_of_rfc_6901(claims in object(), pointer in "(/([a-z]{1,3}|~0|~1|0|1){1,3}){1,3}", value in "[a-z0-9]{1,4}") {
        let whole = Value::Object(claims.clone());
        if let Ok(rule) = ClaimRule::new(&pointer, &value, false) {
            let absent = matches!(whole.pointer(&pointer), None | Some(Value::Null));
            prop_assert_eq!(rule.check(&claims) == ClaimCheck::Absent, absent);
        }
    }

    #[test]
    fn an_audience_never_matches_by_a_part(expected in "[a-z:#]{1,12}", audience in "[a-z:#]{0,60}") {
        let claims = json!({ "aud": audience });
        if audience_matches(&expected, claims.as_object().unwrap()).is_some() {
            let bound = audience.strip_prefix(&expected).is_some_and(|rest| rest.starts_with('#') && rest.len() == 44);
            prop_assert!(audience == expected || bound);
        }
    }
}
