//! The rules of names and of conversion, by example and over arbitrary names.

use proptest::prelude::*;

use super::*;

fn exported(name: &str) -> String {
    SecretName::parse(name).unwrap().export().to_string()
}

#[test]
fn names_become_upper_snake_case() {
    for (name, expected) in [
        ("openai-api-key", "OPENAI_API_KEY"),
        ("OPENAI_API_KEY", "OPENAI_API_KEY"),
        ("pagerduty.token", "PAGERDUTY_TOKEN"),
        ("db_url", "DB_URL"),
        ("skill:stripe:webhook_secret", "SKILL_STRIPE_WEBHOOK_SECRET"),
        ("skill:openai:access_token", "SKILL_OPENAI_ACCESS_TOKEN"),
        ("DB__URL", "DB__URL"),
        ("db__url", "DB_URL"),
        ("_LEADING", "_LEADING"),
        ("TRAILING_", "TRAILING_"),
        ("openaiApiKey", "OPENAI_API_KEY"),
        ("XMLHttpRequest", "XML_HTTP_REQUEST"),
        ("org/team.key", "ORG_TEAM_KEY"),
        ("ld-preload", "LD_PRELOAD"),
        ("--a--", "A"),
    ] {
        assert_eq!(exported(name), expected, "{name}");
    }
}

#[test]
fn a_leading_digit_gets_an_underscore() {
    for (name, expected) in [
        ("1password", "_1PASSWORD"),
        ("-_1a", "_1A"),
        ("2FA", "_2FA"),
        ("9:A", "_9_A"),
        ("_1A", "_1A"),
        ("1_A", "_1_A"),
    ] {
        assert_eq!(exported(name), expected, "{name}");
    }
}

#[test]
fn bad_secret_names_are_refused_with_the_rule() {
    let what = "a secret's name";
    let allowed = "use ASCII letters, digits and - _ . : /";
    assert_eq!(SecretName::parse(""), Err(NameError::Empty { what }));
    assert_eq!(SecretName::parse(&"a".repeat(201)), Err(NameError::TooLong { what, limit: 200 }));
    for bad in ["a b", "a=b", "ключ", "a\0", "a\n", "naïve", "a$b", "a@b", "ſ", "a\u{200b}"] {
        assert_eq!(SecretName::parse(bad), Err(NameError::Character { what, allowed }), "{bad:?}");
    }
    for bad in ["1", "_", "-", "...", "12:34", "_1_", "-_1"] {
        assert_eq!(SecretName::parse(bad), Err(NameError::NoLetter), "{bad:?}");
    }
    // 101 words once split: an underscore between each makes it 300.
    assert_eq!(SecretName::parse(&"aB".repeat(100)), Err(NameError::ExportTooLong { limit: 201 }));
    assert!(SecretName::parse(&"a".repeat(200)).is_ok());
    assert_eq!(exported(&format!("1{}", "a".repeat(199))).len(), MAX_ENV_NAME);
}

#[test]
fn variable_names_are_what_posix_allows() {
    for good in ["A", "_", "a1", "PATH", "lower_case", "__", "_1"] {
        assert_eq!(EnvName::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "1A", "A-B", "A.B", "A=B", "Ä", "A B", "A\0"] {
        assert!(EnvName::parse(bad).is_err(), "{bad:?}");
    }
    assert!(EnvName::parse(&"A".repeat(201)).is_ok());
    assert!(EnvName::parse(&"A".repeat(202)).is_err());
}

#[test]
fn handles_plugins_categories_and_labels_keep_their_alphabets() {
    for good in ["a", "default", "ops@example.com", "0x", "a.b_c-d", &"a".repeat(64)] {
        assert!(MemberName::parse(good).is_ok() && OrgName::parse(good).is_ok(), "{good:?}");
    }
    for bad in ["", "A", ".a", "-a", "_a", "@a", "a b", "a/b", "ä", &"a".repeat(65)] {
        assert!(MemberName::parse(bad).is_err() && OrgName::parse(bad).is_err(), "{bad:?}");
    }
    for good in ["@scope/plugin", "mcp:github", "A.b-c_d", &"p".repeat(100)] {
        assert!(PluginName::parse(good).is_ok(), "{good:?}");
    }
    for bad in ["", "a b", "a\\b", "ü", &"p".repeat(101)] {
        assert!(PluginName::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Category::parse("ai_provider-2").is_ok());
    for bad in ["", "AI", "a.b", &"c".repeat(51)] {
        assert!(Category::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Label::parse("CI runner №3 (Büro)").is_ok());
    for bad in ["", " a", "a ", "a\nb", "\u{7f}", &"l".repeat(101)] {
        assert!(Label::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn serde_refuses_what_parse_refuses_and_does_not_quote_it() {
    let error = serde_json::from_str::<SecretName>("\"hunter2 hunter2\"").unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    assert!(error.contains("not allowed"), "{error}");
    let name: SecretName = serde_json::from_str("\"db_url\"").unwrap();
    assert_eq!(serde_json::to_string(&name).unwrap(), "\"db_url\"");
}

proptest! {
    #[test]
    fn conversion_always_yields_a_variable_name(text in "[-A-Za-z0-9_.:/]{1,200}") {
        match SecretName::parse(&text) {
            Ok(name) => {
                let env = name.export();
                prop_assert!(EnvName::parse(env.as_str()).is_ok());
                prop_assert!(is_upper_snake(env.as_str()));
                prop_assert!(env.as_str().bytes().any(|byte| byte.is_ascii_uppercase()));
            }
            Err(error) => {
                let expected = matches!(error, NameError::NoLetter | NameError::ExportTooLong { .. });
                prop_assert!(expected, "{}", error);
            }
        }
    }

    #[test]
    fn conversion_is_idempotent(text in "[-A-Za-z0-9_.:/]{0,20}[A-Za-z][-A-Za-z0-9_.:/]{0,20}") {
        let once = SecretName::parse(&text).unwrap().export();
        let twice = SecretName::parse(once.as_str()).unwrap().export();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn upper_snake_case_is_unchanged(text in "[A-Z_][A-Z0-9_]{0,90}[A-Z][A-Z0-9_]{0,90}") {
        prop_assert_eq!(exported(&text), text);
    }

    #[test]
    fn no_error_quotes_its_input(text in "[a-z]{3}[ =$!äöü\u{0}-\u{1f}]{6,12}") {
        for error in [SecretName::parse(&text).unwrap_err(), EnvName::parse(&text).unwrap_err()] {
            let shown = format!("{error} {error:?} {:?}", error.hint());
            prop_assert!(!shown.contains(&text));
        }
    }

    #[test]
    fn any_text_at_all_is_judged_without_panic(text in "\\PC{0,210}") {
        let _ = SecretName::parse(&text);
        let _ = EnvName::parse(&text);
        let _ = Label::parse(&text);
        let _ = MemberName::parse(&text);
    }
}
