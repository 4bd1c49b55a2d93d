//! Issuers, claims and audiences.

use serde_json::json;

use super::*;

fn check(claims: Value, pointer: &str, value: &str, prefix: bool) -> ClaimCheck {
    ClaimRule::new(pointer, value, prefix).unwrap().check(claims.as_object().unwrap())
}

fn different(found: &str) -> ClaimCheck {
    ClaimCheck::Different { found: found.to_owned() }
}

#[test]
fn algorithms_have_their_jose_names_and_nothing_else_is_one() {
    for algorithm in JwtAlgorithm::ALL {
        assert_eq!(algorithm.name().parse(), Ok(*algorithm));
    }
    for other in ["none", "None", "HS256", "HS384", "HS512", "rs256", "ES512", "ES256K", "eddsa", ""] {
        assert!(other.parse::<JwtAlgorithm>().is_err(), "{other}");
    }
}

#[test]
fn issuers_urls_are_kept_as_they_are_written() {
    for (url, metadata) in [
        (
            "https://token.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com/.well-known/openid-configuration",
        ),
        (
            "https://sts.windows.net/f2a33211-e46a-4c92-b84d-aff06c2cd13f/",
            "https://sts.windows.net/f2a33211-e46a-4c92-b84d-aff06c2cd13f/.well-known/openid-configuration",
        ),
        (
            "https://login.microsoftonline.com/f2a33211-e46a-4c92-b84d-aff06c2cd13f/v2.0",
            "https://login.microsoftonline.com/f2a33211-e46a-4c92-b84d-aff06c2cd13f/v2.0/.well-known/openid-configuration",
        ),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443/.well-known/openid-configuration"),
        ("https://[::1]:1/a%20b", "https://[::1]:1/a%20b/.well-known/openid-configuration"),
        ("https://Issuer.Example", "https://Issuer.Example/.well-known/openid-configuration"),
    ] {
        let parsed: IssuerUrl = url.parse().unwrap();
        assert_eq!(parsed.as_str(), url);
        assert_eq!(parsed.to_string(), url);
        assert_eq!(parsed.discovery_url(), metadata);
        assert_eq!(serde_json::to_value(&parsed).unwrap(), json!(url));
    }
}

#[test]
fn each_invalid_issuers_url_has_its_error() {
    use IssuerUrlError::*;
    let long = format!("https://a.example/{}", "p".repeat(512));
    for (url, why) in [
        ("", Length),
        (long.as_str(), Length),
        ("issuer.example", Scheme),
        ("http://issuer.example", Scheme),
        ("HTTPS://issuer.example", Scheme),
        ("https:/issuer.example", Scheme),
        (" https://issuer.example", Scheme),
        ("https://me@issuer.example", UserInfo),
        ("https://me:word@issuer.example", UserInfo),
        ("https://issuer.example?x", Query),
        ("https://issuer.example/?x", Query),
        ("https://issuer.example#x", Fragment),
        ("https://issuer.example#@evil.example", Fragment),
        ("https://", Host),
        ("https:///path", Host),
        ("https://:1", Host),
        ("https://issuer example", Host),
        ("https://issuer\\.example", Host),
        ("https://-issuer.example", Host),
        ("https://issuer..example", Host),
        ("https://bücher.example", Host),
        ("https://127.1", Host),
        ("https://2130706433", Host),
        ("https://0x7f000001", Host),
        ("https://[::1", Host),
        ("https://[fe80::1%eth0]", Host),
        ("https://[127.0.0.1]", Host),
        ("https://issuer.example:", Port),
        ("https://issuer.example:0", Port),
        ("https://issuer.example:0443", Port),
        ("https://issuer.example:+1", Port),
        ("https://issuer.example:65536", Port),
        ("https://issuer.example:1:2", Port),
        ("https://[::1]1", Port),
        ("https://issuer.example/a b", Path),
        ("https://issuer.example/a\\b", Path),
        ("https://issuer.example/../b", Path),
        ("https://issuer.example/a/.", Path),
        ("https://issuer.example/ü", Path),
        ("https://issuer.example/a\r\nx: y", Path),
    ] {
        assert_eq!(url.parse::<IssuerUrl>(), Err(why), "{url:?}");
    }
}

#[test]
fn claims_match_exactly() {
    let claims = json!({
        "sub": "repo:acme/app:ref:refs/heads/main",
        "repository_id": "74",
        "runner_id": 1,
        "email_verified": true,
        "google": { "compute_engine": { "project_number": 1_071_284_184_436_u64 } },
        "a/b": { "c~d": "x" },
        "groups": ["builders", "deployers", 7],
        "object": { "a": 1 },
        "null": null,
        "fraction": 1.0,
        "huge": 18_446_744_073_709_551_616_f64,
    });
    for (pointer, value) in [
        ("/sub", "repo:acme/app:ref:refs/heads/main"),
        ("/repository_id", "74"),
        ("/runner_id", "1"),
        ("/email_verified", "true"),
        ("/google/compute_engine/project_number", "1071284184436"),
        ("/a~1b/c~0d", "x"),
        ("/groups", "deployers"),
        ("/groups", "7"),
        ("/groups/0", "builders"),
    ] {
        assert_eq!(check(claims.clone(), pointer, value, false), ClaimCheck::Matched, "{pointer}");
    }
    for (pointer, value, found) in [
        ("/sub", "repo:acme/app", "repo:acme/app:ref:refs/heads/main"),
        ("/sub", "REPO:acme/app:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main"),
        ("/repository_id", "7", "74"),
        ("/repository_id", "074", "74"),
        ("/runner_id", "1.0", "1"),
        ("/runner_id", "01", "1"),
        ("/email_verified", "True", "true"),
        ("/groups", "deploy", "[\"builders\",\"deployers\",7]"),
        ("/groups", "builders,deployers", "[\"builders\",\"deployers\",7]"),
        ("/object", "{\"a\":1}", "{\"a\":1}"),
        ("/fraction", "1.0", "1.0"),
        ("/fraction", "1", "1.0"),
        ("/huge", "18446744073709551616", "1.8446744073709552e+19"),
    ] {
        assert_eq!(check(claims.clone(), pointer, value, false), different(found), "{pointer} {value}");
    }
    for pointer in
        ["/missing", "/null", "/sub/x", "/google/project_number", "/groups/9", "/groups/-", "/a/b/c~0d"]
    {
        assert_eq!(check(claims.clone(), pointer, "null", false), ClaimCheck::Absent, "{pointer}");
    }
}

#[test]
fn a_prefix_ends_where_a_name_ends() {
    let claims = |sub: &str| json!({ "sub": sub, "list": [sub], "number": 71 });
    for (sub, prefix) in [
        ("repo:acme/app:ref:refs/heads/main", "repo:acme/app:"),
        ("repo:acme/app:ref:refs/heads/main", "repo:acme/"),
        ("spiffe://example.org/ns/a", "spiffe://example.org/"),
        ("a/b.yml@refs/heads/main", "a/b.yml@"),
        ("auth0|1", "auth0|"),
        ("dropsafe:x#y", "dropsafe:x#"),
    ] {
        assert_eq!(check(claims(sub), "/sub", prefix, true), ClaimCheck::Matched, "{sub}");
        // The same text is no exact value, the prefix itself has nothing below it, and a list is compared exactly only.
        assert_eq!(check(claims(sub), "/sub", prefix, false), different(sub));
        assert_eq!(check(claims(prefix), "/sub", prefix, true), different(prefix));
        assert!(matches!(check(claims(sub), "/list", prefix, true), ClaimCheck::Different { .. }));
    }
    assert_eq!(
        check(claims("repo:acme/application:x"), "/sub", "repo:acme/app:", true),
        different("repo:acme/application:x")
    );
    assert_eq!(
        check(claims("x repo:acme/app:x"), "/sub", "repo:acme/app:", true),
        different("x repo:acme/app:x")
    );
    for prefix in ["repo:acme/app", "acme-", "acme_", "acme.", "acme ", "*", "acme*"] {
        assert_eq!(ClaimRule::new("/sub", prefix, true), Err(ClaimRuleError::Prefix), "{prefix}");
    }
}

#[test]
fn rules_that_could_only_be_mistakes_are_refused() {
    use ClaimRuleError::*;
    let (long_pointer, long_value) = (format!("/{}", "p".repeat(256)), "v".repeat(1025));
    for (pointer, value, why) in [
        ("", "v", Pointer),
        ("/", "v", Pointer),
        ("sub", "v", Pointer),
        ("/a//b", "v", Pointer),
        ("/a/", "v", Pointer),
        ("/a~", "v", Pointer),
        ("/a~2b", "v", Pointer),
        ("/a\nb", "v", Pointer),
        (long_pointer.as_str(), "v", Pointer),
        ("/iss", "v", Reserved),
        ("/aud", "v", Reserved),
        ("/aud/0", "v", Reserved),
        ("/exp", "1", Reserved),
        ("/nbf", "1", Reserved),
        ("/iat", "1", Reserved),
        ("/jti", "v", Reserved),
        ("/sub", "", Value),
        ("/sub", "a\nb", Value),
        ("/sub", long_value.as_str(), Value),
    ] {
        assert_eq!(ClaimRule::new(pointer, value, false), Err(why), "{pointer:?}");
    }
}

#[test]
fn what_is_found_instead_is_fit_for_a_terminal() {
    let found = |claims| match check(claims, "/sub", "x", false) {
        ClaimCheck::Different { found } => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(found(json!({ "sub": "a\u{1b}[2Jb\r\n" })), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    assert_eq!(found(json!({ "sub": "é".repeat(200) })), "é".repeat(200));
    assert_eq!(found(json!({ "sub": "é".repeat(201) })), "é".repeat(200) + "…");
    assert_eq!(found(json!({ "sub": ["a", 1] })), "[\"a\",1]");
}

#[test]
fn audiences_are_exact() {
    let (one, two) = ("A".repeat(43), format!("{}E", "B".repeat(42)));
    let bound = |thumbprint: &str| json!(format!("dropsafe:s#{thumbprint}"));
    let find = |aud: Value| audience_matches("dropsafe:s", json!({ "aud": aud }).as_object().unwrap());
    let plain = Some(AudienceMatch { thumbprint: None });
    let with = |thumbprint: &str| Some(AudienceMatch { thumbprint: Some(thumbprint.to_owned()) });
    assert_eq!(find(json!("dropsafe:s")), plain);
    assert_eq!(find(json!(["a", "dropsafe:s"])), plain);
    assert_eq!(find(bound(&one)), with(&one));
    // The stricter entry counts.
    assert_eq!(find(json!(["dropsafe:s", bound(&one)])), with(&one));
    assert_eq!(find(json!([bound(&one), "dropsafe:s"])), with(&one));
    assert_eq!(find(json!([bound(&one), bound(&one)])), with(&one));
    assert_eq!(find(json!([bound(&two), "a"])), with(&two));
    for other in [
        json!("dropsafe:"),
        json!("dropsafe:s2"),
        json!("dropsafe:s#"),
        json!("dropsafe:s##"),
        json!("#dropsafe:s"),
        bound(&one[1..]),
        bound(&format!("{one}A")),
        bound(&format!("{}B", &one[1..])),
        bound(&format!("{}=", &one[1..])),
        bound(&format!("{}+", &one[1..])),
        json!([bound(&one), bound(&two)]),
        json!([bound(&one), bound(&one), bound(&two)]),
        json!([["dropsafe:s"]]),
        json!({ "aud": "dropsafe:s" }),
        json!(null),
        json!([]),
    ] {
        assert_eq!(find(other.clone()), None, "{other}");
    }
    assert_eq!(audience_matches("dropsafe:s", &Map::new()), None);
}

#[test]
fn every_fault_has_a_word_of_its_own() {
    use IssuerFault::*;
    let faults = [
        NameNotFound,
        AddressRefused,
        Unreachable,
        TimedOut,
        Tls,
        Untrusted,
        Broken,
        Status(500),
        Redirect,
        ContentType,
        TooLarge,
        Document,
        OtherIssuer,
        KeysUrl,
        TooManyKeys,
        NoKey,
        SecretKey,
        Authorities,
        NoSystemAuthorities,
    ];
    let mut words: BTreeSet<&str> = faults.iter().map(|fault| fault.reason()).collect();
    assert_eq!(words.len(), faults.len());
    assert!(faults.iter().all(|fault| TokenRefusal::Issuer(*fault).reason() == fault.reason()));
    assert!(
        TokenRefusal::Issuer(Unreachable).is_outage() && !TokenRefusal::Issuer(AddressRefused).is_outage()
    );
    for claim in RegisteredClaim::ALL {
        assert!(words.insert(TokenRefusal::MissingClaim(*claim).reason()));
        assert!(words.insert(TokenRefusal::ClaimType(*claim).reason()));
    }
    // The audit log and the metrics take words, not sentences.
    assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
}
