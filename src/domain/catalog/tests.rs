//! The table holds what it should, and the warnings come when they should and only then.

use super::form::looks_like_a_key;
use super::preset::PresetError;
use super::*;
use crate::domain::description::Description;
use crate::domain::name::{EnvName, SecretName};
use crate::domain::value::{Kind, SecretValue, ValueWarning};

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec())
}

fn judged(name: &str, kind: Kind, text: &str) -> Vec<ValueWarning> {
    let name = SecretName::parse(name).unwrap();
    Presets::builtin().judge(&name, &name.export(), kind, &value(text))
}

/// Platform, category, fields; an optional one has a star and a prefix that is known stands in parentheses.
const SIXTEEN: &str = "\
openai     skill_credential  access_token(sk-)
anthropic  skill_credential  access_token(sk-ant-)
google     skill_credential  access_token oauth_client_id* oauth_client_secret*
elevenlabs skill_credential  access_token(xi_)
telegram   skill_credential  access_token
slack      skill_credential  access_token(xoxb-) signing_secret*
github     skill_credential  access_token(ghp_)
stripe     skill_credential  access_token(sk_live_) webhook_secret*
sendgrid   skill_credential  access_token(SG.)
twilio     skill_credential  account_sid(AC) auth_token
aws        cloud_storage     access_key_id(AKIA) secret_access_key region*
cloudflare skill_credential  access_token account_id*
notion     skill_credential  access_token(secret_)
hubspot    skill_credential  access_token(pat-)
smtp       deploy_credential host port* username password
database   deploy_credential connection_string";

#[test]
fn sixteen_platforms_with_their_fields() {
    let presets = Presets::builtin();
    assert_eq!(presets.all().len(), 16);
    for (row, preset) in SIXTEEN.lines().zip(presets.all()) {
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!((preset.id.as_str(), preset.category.as_str()), (cells[0], cells[1]));
        assert_eq!(preset.fields.len(), cells[2..].len(), "{row}");
        for (cell, field) in cells[2..].iter().zip(&preset.fields) {
            let (key, prefix) = cell.split_once('(').unwrap_or((cell, ")"));
            assert_eq!(field.key.as_str(), key.trim_end_matches('*'));
            assert_eq!(field.optional, key.ends_with('*'), "{cell}");
            let prefix = prefix.trim_end_matches(')');
            assert!(prefix.is_empty() || &*field.prefixes[0] == prefix, "{cell}");
            let name = preset.name_of(field).unwrap();
            assert_eq!(name.as_str(), format!("skill:{}:{}", preset.id, field.key));
        }
    }
}

#[test]
fn five_categories_in_their_colours_hold_every_preset() {
    let five: Vec<_> = builtin_categories().map(|(slug, form)| (slug.to_string(), form.colour)).collect();
    let expected = [
        ("deploy_credential", Colour::Indigo),
        ("skill_credential", Colour::Green),
        ("cloud_storage", Colour::Blue),
        ("api_key", Colour::Amber),
        ("custom", Colour::Gray),
    ];
    assert_eq!(five, expected.map(|(slug, colour)| (slug.to_owned(), colour)));
    for preset in Presets::builtin().all() {
        assert!(five.iter().any(|(slug, _)| slug == preset.category.as_str()));
    }
}

#[test]
fn an_unusual_form_is_warned_of_under_every_name_that_a_preset_knows() {
    let expected = || vec![ValueWarning::UnusualForm { expected: "sk-".into() }];
    for name in ["skill:openai:access_token", "OPENAI_API_KEY", "openai-api-key", "skill.openai.access-token"]
    {
        assert_eq!(judged(name, Kind::Encrypted, "key-1234"), expected(), "{name}");
        assert_eq!(judged(name, Kind::Encrypted, "sk-1234"), [], "{name}");
        assert_eq!(judged(name, Kind::Encrypted, ""), [], "{name}");
    }
    assert_eq!(judged("other", Kind::Encrypted, "key-1234"), []);
    assert_eq!(judged("DATABASE_URL", Kind::Encrypted, "anything"), []);
    assert_eq!(judged("GITHUB_TOKEN", Kind::Encrypted, "github_pat_1"), []);
}

#[test]
fn a_plain_value_that_looks_like_a_key_is_warned_of() {
    for text in [
        "sk-abcdefghijklmnopqrstuvwxyz",
        "ghp_0123456789012345678901234567890123AB",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n",
        "postgres://app:hunter2@db/app",
        "0123456789abcdef0123456789abcdef",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE12KEY9z",
        "token: Zk3qR9vX1pL7wT5mB2nC8dF4",
    ] {
        assert_eq!(judged("setting", Kind::Plain, text), [ValueWarning::LooksLikeKey], "{text}");
        assert_eq!(judged("setting", Kind::Encrypted, text), [], "{text}");
    }
}

#[test]
fn settings_look_like_no_keys() {
    for text in [
        "",
        "debug",
        "eu-central-1",
        "https://vault.example.com/v1/feature-flags?environment=production",
        "https://user@example.com/",
        "550e8400-e29b-41d4-a716-446655440000",
        "/var/lib/application/configuration/production.yaml",
        "arn:aws:iam::123456789012:role/MyRoleName2024ForProd",
        "00000000000000000000000000000000",
        "12345678901234567890123456789",
        "aVeryLongCamelCaseNameWithoutAnyDigit",
        "The quick brown fox jumps over 13 lazy dogs.",
    ] {
        assert!(!looks_like_a_key(&value(text)), "{text}");
    }
    assert!(!looks_like_a_key(&SecretValue::new(vec![0xff; 40])));
}

#[test]
fn an_operators_preset_is_held_to_the_same_rules() {
    let field = |key: &str, prefixes: &[&str]| PresetField {
        key: key.parse().unwrap(),
        label: "Token".parse().unwrap(),
        optional: false,
        kind: Kind::Encrypted,
        prefixes: prefixes.iter().map(|prefix| Box::from(*prefix)).collect(),
        usual: Some(EnvName::parse("ACME_TOKEN").unwrap()),
    };
    let preset = |id: &str, fields| {
        Preset::new(id.parse().unwrap(), "Acme".parse().unwrap(), "api_key".parse().unwrap(), fields)
    };
    assert_eq!(preset("acme", vec![]), Err(PresetError::NoField));
    assert_eq!(preset("acme", vec![field("a", &[]), field("a", &[])]), Err(PresetError::FieldTwice));
    for prefix in ["", " ", "\u{e9}", &"x".repeat(33)] {
        assert_eq!(preset("acme", vec![field("a", &[prefix])]), Err(PresetError::Prefix));
    }
    let mut presets = Presets::builtin();
    presets.add(preset("acme", vec![field("access_token", &["acme_"])]).unwrap()).unwrap();
    assert_eq!(presets.add(preset("openai", vec![field("a", &[])]).unwrap()), Err(PresetError::Taken));
    let name = SecretName::parse("ACME_TOKEN").unwrap();
    let judged = presets.judge(&name, &name.export(), Kind::Encrypted, &value("nope"));
    assert_eq!(judged, [ValueWarning::UnusualForm { expected: "acme_".into() }]);
    assert_eq!(presets.find("acme").unwrap().fields.len(), 1);
}

#[test]
fn a_description_is_one_short_line() {
    assert!("".parse::<Description>().is_ok());
    assert!("x".repeat(200).parse::<Description>().is_ok());
    assert!("x".repeat(201).parse::<Description>().is_err());
    // Also what hides or reorders the text around it.
    for c in
        ['\n', '\u{9b}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{e0041}']
    {
        assert!(format!("a{c}b").parse::<Description>().is_err(), "{c:?}");
    }
    for text in ["Schlüssel", "鍵", "مفتاح", "👩‍💻 only"] {
        assert!(text.parse::<Description>().is_ok(), "{text}");
    }
}
