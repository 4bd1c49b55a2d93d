//! Tokens that must be refused, each for its own reason.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::json;

use super::test_issuer::{KEYS, TestAnswer, TestIssuer, TestKey};
use super::*;
use crate::domain::jwt::CheckOutcome;

/// What it is, the token, and the reason.
type HostileToken = (String, String, &'static str);

/// An issuer with keys for every case, and what is needed to sign tokens.
struct Workshop {
    issuer: TestIssuer,
    rsa: TestKey,
    ec: TestKey,
    ed: TestKey,
    tokens: Vec<HostileToken>,
}

fn encode(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

impl Workshop {
    fn new() -> Self {
        let issuer = TestIssuer::start();
        let (rsa, ec, ed) = (issuer.key("RS256"), issuer.key("ES256"), issuer.key("EdDSA"));
        let mut jwks = issuer.jwks();
        let list = jwks["keys"].as_array_mut().unwrap();
        let variant = |id: &str, change: &dyn Fn(&mut Value)| {
            let mut key = rsa.jwk();
            key["kid"] = id.into();
            change(&mut key);
            key
        };
        list.push(variant("rsa-enc", &|key| key["use"] = "enc".into()));
        list.push(variant("rsa-sign-only", &|key| key["key_ops"] = json!(["sign"])));
        list.push(variant("rsa-512", &|key| key["alg"] = "RS512".into()));
        list.push(variant("rsa-short", &|key| key["n"] = encode(&"n".repeat(128)).into()));
        list.push(variant("rsa-one", &|key| key["e"] = "AQ".into()));
        list.push(variant("rsa-even", &|key| key["e"] = "AQAA".into()));
        list.push(variant("rsa-huge", &|key| key["n"] = encode(&"n".repeat(1025)).into()));
        list.push(variant("other-type", &|key| key["kty"] = "XYZ".into()));
        list.push(json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "ec-521" }));
        list.push(json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "ec-small" }));
        list.push(json!({ "kty": "OKP", "crv": "X25519", "x": ed.jwk()["x"], "kid": "x25519" }));
        // A point that is not on the curve.
        let ones = BASE64URL_NOPAD.encode(&[1; 32]);
        list.push(json!({ "kty": "EC", "crv": "P-256", "x": ones, "y": ones, "kid": "ec-off" }));
        list.push(variant("twice", &|_| {}));
        list.push(variant("twice", &|_| {}));
        issuer.answer(KEYS, TestAnswer::Document(jwks));
        Self { issuer, rsa, ec, ed, tokens: Vec::new() }
    }

    fn add(&mut self, what: &str, token: impl Into<String>, reason: &'static str) {
        self.tokens.push((what.to_owned(), token.into(), reason));
    }

    fn claims(&self) -> String {
        self.issuer.claims(AUDIENCE, SUBJECT, NOW).to_string()
    }

    /// A token that is good in every respect.
    fn good(&self) -> String {
        self.rsa.sign_text(r#"{"alg":"RS256","kid":"rsa-1"}"#, &self.claims())
    }

    /// A good token with another header, which is signed.
    fn header(&mut self, header: &str, reason: &'static str) {
        let token = self.rsa.sign_text(header, &self.claims());
        self.add(&format!("header {header}"), token, reason);
    }

    /// A good token with other claims as text, which are signed.
    fn claims_text(&mut self, claims: &str, reason: &'static str) {
        let token = self.rsa.sign_text(r#"{"alg":"RS256","kid":"rsa-1"}"#, claims);
        let what: String = claims.chars().take(60).collect();
        self.add(&format!("claims {what}"), token, reason);
    }

    /// A good token with one other claim, or without it.
    fn claim(&mut self, name: &str, value: Option<Value>, reason: &'static str) {
        let what = format!("{name} = {value:?}");
        let claims = claims(&self.issuer, |claims| {
            match value {
                Some(value) => claims.insert(name.to_owned(), value),
                None => claims.remove(name),
            };
        });
        let token = self.rsa.sign_text(r#"{"alg":"RS256","kid":"rsa-1"}"#, &claims.to_string());
        self.add(&what.chars().take(80).collect::<String>(), token, reason);
    }
}

fn add_forms(shop: &mut Workshop) {
    let good = shop.good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { unreachable!() };
    for (what, token, reason) in [
        ("nothing", String::new(), "parts"),
        ("a word", "token".to_owned(), "parts"),
        ("two parts", format!("{header}.{claims}"), "parts"),
        ("four parts", format!("{good}.{signature}"), "parts"),
        ("six parts", format!("{good}.a.b.c"), "parts"),
        ("JWE", format!("{good}.a.b"), "encrypted"),
        ("JSON serialization", r#"{"payload":"e30","signatures":[]}"#.to_owned(), "parts"),
        ("a mebibyte", "a".repeat(1 << 20), "too_large"),
        ("a mebibyte of claims", format!("{header}.{}.{signature}", "A".repeat(1 << 20)), "too_large"),
        ("16 KiB and a byte", format!("{good}{}", "A".repeat(16 * 1024 + 1 - good.len())), "too_large"),
        ("padding", format!("{header}==.{claims}.{signature}"), "encoding"),
        ("padding of the signature", format!("{good}=="), "encoding"),
        ("the standard alphabet", format!("{header}.{claims}.+/{}", &signature[2..]), "encoding"),
        ("a line end", format!("{good}\n"), "encoding"),
        ("a blank", format!(" {good}"), "encoding"),
        ("a scheme", format!("Bearer {good}"), "encoding"),
        ("a NUL", format!("{good}\0"), "encoding"),
        ("text that is not ASCII", format!("{header}.{claims}.ü"), "encoding"),
        ("a part of one character", format!("{header}.{claims}.A"), "encoding"),
        ("an empty header", format!(".{claims}.{signature}"), "header_json"),
        ("empty claims", format!("{header}..{signature}"), "claims_json"),
    ] {
        shop.add(what, token, reason);
    }
    // 256 bytes leave four bits of the last character unused: `A` and `B` decode alike in lenient decoders.
    let last = signature.chars().last().unwrap();
    let other = char::from(last as u8 + 1);
    shop.add("unused bits", format!("{}{other}", &good[..good.len() - 1]), "encoding");
}

fn add_json(shop: &mut Workshop) {
    for header in [
        "",
        "RS256",
        "null",
        "7",
        r#""alg""#,
        r#"["alg"]"#,
        "{",
        "{}{}",
        "{} x",
        "\u{feff}{}",
        "{'alg':'RS256'}",
    ] {
        shop.header(header, "header_json");
    }
    for claims in [
        "null",
        "7",
        "[]",
        r#"["sub"]"#,
        "{",
        "{}{}",
        r#"{"a":1,}"#,
        r#"{"a":1}//"#,
        r#"{"a":NaN}"#,
        r#"{"a":Infinity}"#,
        r#"{"a":1e999}"#,
        r#"{"a":01}"#,
        r#"{"a":"\ud800"}"#,
        "{\"a\":\"\n\"}",
        "{a:1}",
    ] {
        shop.claims_text(claims, "claims_json");
    }
    let nested = shop.good();
    shop.claims_text(&nested, "claims_json");
    shop.claims_text(&format!("{nested:?}"), "claims_json");
    let bytes = BASE64URL_NOPAD.encode(b"{\"a\":\"\xff\"}");
    let good = shop.good();
    let signature = good.rsplit('.').next().unwrap();
    shop.add("claims that are not UTF-8", format!("{}.{bytes}.{signature}", encode("{}")), "claims_json");

    let good = shop.claims();
    let start = good.strip_suffix('}').unwrap().to_owned();
    for (member, reason) in [
        (r#""sub":"admin""#, "duplicate_member"),
        (r#""iss":"https://evil.example""#, "duplicate_member"),
        (r#""aud":"other""#, "duplicate_member"),
        (r#""exp":9999999999"#, "duplicate_member"),
        (r#""is\u0073":"https://evil.example""#, "duplicate_member"),
        (r#""x":1,"x":1"#, "duplicate_member"),
        (r#""kubernetes.io":{"namespace":"a","namespace":"b"}"#, "duplicate_member"),
        (r#""list":[{"a":1,"a":2}]"#, "duplicate_member"),
    ] {
        shop.claims_text(&format!("{start},{member}}}"), reason);
    }
    for depth in [16, 127, 1500] {
        let deep = format!("{start},\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        shop.claims_text(&deep, "too_deep");
        shop.claims_text(&format!("{}1{}", "{\"a\":".repeat(depth + 1), "}".repeat(depth + 1)), "too_deep");
    }
    shop.header(r#"{"alg":"RS256","kid":"rsa-1","alg":"none"}"#, "duplicate_member");
    shop.header(r#"{"alg":"RS256","kid":"rsa-1","kid":"ec-1"}"#, "duplicate_member");
    shop.header(r#"{"alg":"RS256","\u0061lg":"HS256"}"#, "duplicate_member");
    shop.header(&format!(r#"{{"alg":"RS256","x":{}{}}}"#, "[".repeat(20), "]".repeat(20)), "too_deep");
}

fn add_headers(shop: &mut Workshop) {
    for (header, reason) in [
        (r#"{"kid":"rsa-1"}"#, "header_member"),
        (r#"{"alg":256}"#, "header_member"),
        (r#"{"alg":null}"#, "header_member"),
        (r#"{"alg":["RS256"]}"#, "header_member"),
        (r#"{"alg":"RS256","kid":1}"#, "header_member"),
        (r#"{"alg":"RS256","kid":null}"#, "header_member"),
        (r#"{"alg":"RS256","kid":["rsa-1"]}"#, "header_member"),
        (r#"{"alg":"RS256","kid":"rsa-1","typ":1}"#, "header_member"),
        (r#"{"alg":"RS256","kid":"rsa-1","b64":"false"}"#, "header_member"),
        (r#"{"alg":"none"}"#, "unsigned"),
        (r#"{"alg":"None","kid":"rsa-1"}"#, "unsigned"),
        (r#"{"alg":"NONE","kid":"rsa-1"}"#, "unsigned"),
        (r#"{"alg":"nOnE","kid":"rsa-1"}"#, "unsigned"),
        (r#"{"alg":"HS384","kid":"rsa-1"}"#, "symmetric_algorithm"),
        (r#"{"alg":"HS512","kid":"rsa-1"}"#, "symmetric_algorithm"),
        (r#"{"alg":"hs256","kid":"rsa-1"}"#, "symmetric_algorithm"),
        (r#"{"alg":"","kid":"rsa-1"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"rs256","kid":"rsa-1"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"RS256 ","kid":"rsa-1"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"RS384","kid":"rsa-1"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"RS512","kid":"rsa-1"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"PS256","kid":"rsa-1"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"ES384","kid":"ec-2"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"ES512","kid":"ec-521"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"ES256K","kid":"ec-1"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"RSA-OAEP","kid":"rsa-1"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"dir","kid":"rsa-1"}"#, "algorithm_not_allowed"),
        (r#"{"alg":"RS256","kid":"rsa-1","crit":["exp"]}"#, "critical_header"),
        (r#"{"alg":"RS256","kid":"rsa-1","crit":[]}"#, "critical_header"),
        (r#"{"alg":"RS256","kid":"rsa-1","crit":null}"#, "critical_header"),
        (r#"{"alg":"RS256","kid":"rsa-1","crit":["b64"],"b64":false}"#, "critical_header"),
        (
            r#"{"alg":"RS256","kid":"rsa-1","crit":["http://evil.example/x"],"http://evil.example/x":1}"#,
            "critical_header",
        ),
        (r#"{"alg":"RS256","kid":"rsa-1","b64":false}"#, "unencoded_claims"),
        (r#"{"alg":"RS256","kid":"rsa-1","jku":"https://evil.example/keys"}"#, "embedded_key"),
        (r#"{"alg":"RS256","kid":"rsa-1","x5u":"https://evil.example/chain"}"#, "embedded_key"),
        (r#"{"alg":"RS256","kid":"rsa-1","x5c":["MIIB"]}"#, "embedded_key"),
        (r#"{"alg":"RS256","kid":"rsa-1","cty":"JWT"}"#, "nested"),
        (r#"{"alg":"RS256","kid":"rsa-1","cty":""}"#, "nested"),
        (r#"{"alg":"RS256","kid":"rsa-1","typ":"logout+jwt"}"#, "token_type"),
        (r#"{"alg":"RS256","kid":"rsa-1","typ":"dpop+jwt"}"#, "token_type"),
        (r#"{"alg":"RS256","kid":"rsa-1","typ":"secevent+jwt"}"#, "token_type"),
        (r#"{"alg":"RS256","kid":"rsa-1","typ":"application/logout+JWT"}"#, "token_type"),
        (r#"{"alg":"RS256","kid":"rsa-1","typ":"JWE"}"#, "token_type"),
        (r#"{"alg":"RS256","kid":"rsa-1","typ":""}"#, "token_type"),
        (r#"{"alg":"RS256"}"#, "ambiguous_key"),
        (r#"{"alg":"RS256","kid":""}"#, "unknown_key"),
        (r#"{"alg":"RS256","kid":"rsa-2"}"#, "unknown_key"),
        (r#"{"alg":"RS256","kid":"RSA-1"}"#, "unknown_key"),
        (r#"{"alg":"RS256","kid":"../../../../dev/null"}"#, "unknown_key"),
        (r#"{"alg":"RS256","kid":"x' UNION SELECT 'key"}"#, "unknown_key"),
        (r#"{"alg":"RS256","kid":"https://evil.example/key"}"#, "unknown_key"),
        (r#"{"alg":"RS256","kid":"ec-1"}"#, "key_type"),
        (r#"{"alg":"RS256","kid":"ed-1"}"#, "key_type"),
        (r#"{"alg":"ES256","kid":"rsa-1"}"#, "key_type"),
        (r#"{"alg":"ES256","kid":"ec-2"}"#, "key_type"),
        (r#"{"alg":"ES256","kid":"ed-1"}"#, "key_type"),
        (r#"{"alg":"EdDSA","kid":"ec-1"}"#, "key_type"),
        (r#"{"alg":"EdDSA","kid":"rsa-1"}"#, "key_type"),
        (r#"{"alg":"RS256","kid":"rsa-enc"}"#, "key_use"),
        (r#"{"alg":"RS256","kid":"rsa-sign-only"}"#, "key_use"),
        (r#"{"alg":"RS256","kid":"rsa-512"}"#, "key_algorithm"),
        (r#"{"alg":"RS256","kid":"rsa-short"}"#, "weak_key"),
        (r#"{"alg":"RS256","kid":"rsa-one"}"#, "weak_key"),
        (r#"{"alg":"RS256","kid":"rsa-even"}"#, "weak_key"),
        (r#"{"alg":"RS256","kid":"rsa-huge"}"#, "unsupported_key"),
        (r#"{"alg":"RS256","kid":"other-type"}"#, "unsupported_key"),
        (r#"{"alg":"ES256","kid":"ec-521"}"#, "unsupported_key"),
        (r#"{"alg":"ES256","kid":"ec-small"}"#, "unsupported_key"),
        (r#"{"alg":"EdDSA","kid":"x25519"}"#, "unsupported_key"),
        (r#"{"alg":"RS256","kid":"twice"}"#, "ambiguous_key"),
    ] {
        shop.header(header, reason);
    }
    // The public key, as a JWK in the header and as the secret of an HMAC.
    let header = json!({ "alg": "RS256", "kid": "rsa-1", "jwk": TestKey::rsa("rsa-1", 2).jwk() });
    shop.add(
        "a key of its own",
        TestKey::rsa("rsa-1", 2).sign_text(&header.to_string(), &shop.claims()),
        "embedded_key",
    );
    let signed = format!("{}.{}", encode(r#"{"alg":"HS256","kid":"rsa-1"}"#), encode(&shop.claims()));
    let secret = shop.rsa.jwk().to_string();
    let tag = {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        mac.finalize().into_bytes()
    };
    shop.add(
        "HMAC with the public key",
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&tag)),
        "symmetric_algorithm",
    );
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&shop.claims()));
    shop.add("no signature, as it should be for none", unsigned, "unsigned");
}

fn add_signatures(shop: &mut Workshop) {
    let good = shop.good();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let with = |bytes: &[u8]| format!("{signed}.{}", BASE64URL_NOPAD.encode(bytes));
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        with(&bytes)
    };
    let (header, _) = signed.split_once('.').unwrap();
    let admin = claims(&shop.issuer, |claims| drop(claims.insert("sub".into(), "admin".into())));
    let longer = [&[0], &bytes[..]].concat();
    let mut cases = vec![
        ("an empty signature", format!("{signed}.")),
        ("a short signature", with(&bytes[..255])),
        ("a long signature", with(&longer)),
        ("zeros", with(&[0; 256])),
        ("ones", with(&[255; 256])),
        ("the first bit", flipped(0)),
        ("the last bit", flipped(255)),
        ("other claims", format!("{header}.{}.{signature}", encode(&admin.to_string()))),
        (
            "another header",
            format!("{}.{}.{signature}", encode(r#"{"kid":"rsa-1","alg":"RS256"}"#), encode(&shop.claims())),
        ),
        (
            "the key of another issuer with this id",
            TestKey::rsa("rsa-1", 2).sign_text(r#"{"alg":"RS256","kid":"rsa-1"}"#, &shop.claims()),
        ),
        ("PSS under the name of PKCS #1", with(&shop.rsa.sign_bytes("PS256", signed.as_bytes()))),
        ("SHA-512 under the name of SHA-256", with(&shop.rsa.sign_bytes("RS512", signed.as_bytes()))),
        ("a signature of the claims alone", with(&shop.rsa.sign_bytes("RS256", shop.claims().as_bytes()))),
        (
            "a point that is not on the curve",
            shop.ec.sign_text(r#"{"alg":"ES256","kid":"ec-off"}"#, &shop.claims()),
        ),
    ];
    let ec = shop.ec.sign_text(r#"{"alg":"ES256","kid":"ec-1"}"#, &shop.claims());
    let (signed, signature) = ec.rsplit_once('.').unwrap();
    let bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    let with = |bytes: &[u8]| format!("{signed}.{}", BASE64URL_NOPAD.encode(bytes));
    let (r, s) = bytes.split_at(32);
    // Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }, with a zero in front of each so that it is positive.
    let der = [&[0x30, 70, 2, 33, 0][..], r, &[2, 33, 0], s].concat();
    cases.extend([
        ("ECDSA with zeros (CVE-2022-21449)", with(&[0; 64])),
        ("ECDSA with r alone", with(&[r, &[0; 32]].concat())),
        ("ECDSA in DER", with(&der)),
        ("ECDSA with the halves exchanged", with(&[s, r].concat())),
        ("ECDSA of half the length", with(r)),
        (
            "ECDSA by another key",
            TestKey::p256("ec-1").sign_text(r#"{"alg":"ES256","kid":"ec-1"}"#, &shop.claims()),
        ),
    ]);
    let ed = shop.ed.sign_text(r#"{"alg":"EdDSA","kid":"ed-1"}"#, &shop.claims());
    let (signed, signature) = ed.rsplit_once('.').unwrap();
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    bytes[63] |= 0x80;
    cases.extend([
        ("EdDSA with a large S", format!("{signed}.{}", BASE64URL_NOPAD.encode(&bytes))),
        ("EdDSA with zeros", format!("{signed}.{}", BASE64URL_NOPAD.encode(&[0; 64]))),
        (
            "EdDSA by another key",
            TestKey::ed25519("ed-1").sign_text(r#"{"alg":"EdDSA","kid":"ed-1"}"#, &shop.claims()),
        ),
    ]);
    for (what, token) in cases {
        shop.add(what, token, "bad_signature");
    }
}

fn add_claims(shop: &mut Workshop) {
    let url = shop.issuer.url();
    let thumbprint = |byte: u8| format!("{AUDIENCE}#{}", BASE64URL_NOPAD.encode(&[byte; 32]));
    let text = |text: &str| Some(Value::from(text));
    for (name, value, reason) in [
        ("iss", None, "missing_iss"),
        ("iss", Some(json!(1)), "type_of_iss"),
        ("iss", Some(Value::Null), "type_of_iss"),
        ("iss", Some(json!([url])), "type_of_iss"),
        ("iss", text(""), "wrong_issuer"),
        ("iss", text("https://evil.example"), "wrong_issuer"),
        ("iss", text(&format!("{url}/")), "wrong_issuer"),
        ("iss", text(&url.replace("https", "http")), "wrong_issuer"),
        ("iss", text(&url.to_uppercase()), "wrong_issuer"),
        ("iss", text(&url.replace("https://", "https://x@")), "wrong_issuer"),
        ("sub", None, "missing_sub"),
        ("sub", text(""), "type_of_sub"),
        ("sub", Some(json!(7)), "type_of_sub"),
        ("sub", Some(json!([SUBJECT])), "type_of_sub"),
        ("sub", text("a\nb"), "type_of_sub"),
        ("sub", text(&"s".repeat(1025)), "type_of_sub"),
        ("aud", None, "missing_aud"),
        ("aud", Some(Value::Null), "type_of_aud"),
        ("aud", Some(json!(1)), "type_of_aud"),
        ("aud", Some(json!({ "0": AUDIENCE })), "type_of_aud"),
        ("aud", Some(json!([1, 2])), "type_of_aud"),
        ("aud", Some(json!([[AUDIENCE]])), "type_of_aud"),
        ("aud", Some(json!([])), "wrong_audience"),
        ("aud", text(""), "wrong_audience"),
        ("aud", text("https://kubernetes.default.svc"), "wrong_audience"),
        ("aud", Some(json!(["a", "b"])), "wrong_audience"),
        ("aud", text(&AUDIENCE[..AUDIENCE.len() - 1]), "wrong_audience"),
        ("aud", text(&format!("{AUDIENCE}2")), "wrong_audience"),
        ("aud", text(&format!("{AUDIENCE} ")), "wrong_audience"),
        ("aud", text(&AUDIENCE.to_uppercase()), "wrong_audience"),
        ("aud", text("dropsafe:*"), "wrong_audience"),
        ("aud", text(&format!("x,{AUDIENCE}")), "wrong_audience"),
        ("aud", text(&format!("{AUDIENCE}#")), "wrong_audience"),
        ("aud", text(&format!("{AUDIENCE}#short")), "wrong_audience"),
        ("aud", text(&format!("{}A", thumbprint(7))), "wrong_audience"),
        (
            "aud",
            text(&format!("{AUDIENCE}#{}", BASE64.encode(&[255; 32]).trim_end_matches('='))),
            "wrong_audience",
        ),
        ("aud", Some(json!([thumbprint(1), thumbprint(2)])), "wrong_audience"),
        ("exp", None, "missing_exp"),
        ("exp", Some(Value::Null), "type_of_exp"),
        ("exp", Some(json!(true)), "type_of_exp"),
        ("exp", text(&(NOW + 60).to_string()), "type_of_exp"),
        ("exp", Some(json!([NOW + 60])), "type_of_exp"),
        ("exp", Some(json!(-1)), "type_of_exp"),
        ("exp", Some(json!(-1.5)), "type_of_exp"),
        ("exp", Some(json!((NOW + 60) * 1000)), "type_of_exp"),
        ("exp", Some(json!(u64::MAX)), "type_of_exp"),
        ("exp", Some(json!(1e300)), "type_of_exp"),
        ("exp", Some(json!(0)), "expired"),
        ("exp", Some(json!(NOW - 3600)), "expired"),
        ("exp", Some(json!(NOW - 30)), "expired"),
        ("exp", Some(json!(NOW + 26 * 3600)), "lifetime_too_long"),
        ("exp", Some(json!(NOW + 365 * 86_400)), "lifetime_too_long"),
        ("exp", Some(json!(253_402_300_799_i64)), "lifetime_too_long"),
        ("iat", Some(json!(NOW - 25 * 3600)), "lifetime_too_long"),
        ("iat", Some(json!(0)), "lifetime_too_long"),
        ("iat", Some(json!(NOW + 31)), "issued_in_future"),
        ("iat", Some(json!(NOW + 3599)), "issued_in_future"),
        ("iat", text("now"), "type_of_iat"),
        ("iat", Some(json!([NOW])), "type_of_iat"),
        ("nbf", Some(json!(NOW + 31)), "not_yet_valid"),
        ("nbf", Some(json!(NOW + 86_400)), "not_yet_valid"),
        ("nbf", text(&NOW.to_string()), "type_of_nbf"),
        ("nbf", Some(json!(-1)), "type_of_nbf"),
        ("nbf", Some(json!({})), "type_of_nbf"),
    ] {
        shop.claim(name, value, reason);
    }
}

#[tokio::test]
async fn every_hostile_token_is_refused_for_its_own_reason() {
    let mut shop = Workshop::new();
    add_forms(&mut shop);
    add_json(&mut shop);
    add_headers(&mut shop);
    add_signatures(&mut shop);
    add_claims(&mut shop);
    assert!(shop.tokens.len() >= 200, "{}", shop.tokens.len());

    let (keys, spec) = (keys(), spec(&shop.issuer));
    verify(&keys, &spec, &shop.good(), at(0)).await.unwrap();
    let mut wrong = Vec::new();
    for (what, token, reason) in &shop.tokens {
        let refusal = verify(&keys, &spec, token, at(0)).await.unwrap_err();
        if refusal.reason() != *reason {
            wrong.push(format!("{what}: {} and not {reason}", refusal.reason()));
        }
        assert!(!refusal.is_outage(), "{what}");
        // The person who tests an identity is told the same, and nothing of the token but its claims.
        let explanation = keys.explain(&spec, AUDIENCE, token, at(0)).await;
        assert!(!explanation.is_verified(), "{what}");
        let first = explanation.checks.iter().find(|check| check.outcome != CheckOutcome::Passed);
        assert_eq!(first.unwrap().outcome, CheckOutcome::Refused(refusal), "{what}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // All of them together cost one fetch when the first token came, and one for the unknown key ids.
    assert!(shop.issuer.requests().len() <= 4, "{:?}", shop.issuer.requests());
}
