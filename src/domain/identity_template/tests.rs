//! The templates are consistent, and none lets a stranger's token match.

use std::collections::BTreeSet;

use super::*;
use crate::domain::jwt::ClaimCheck;

fn given(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn rules(template: &str, list: &[(&str, &str)]) -> Result<Vec<ClaimRule>, TemplateError> {
    IdentityTemplate::find(template).unwrap().rules(&given(list))
}

/// A value that a flag accepts.
fn sample(flag: &TemplateFlag) -> &'static str {
    match (flag.form, flag.prefix) {
        (ValueForm::Text, false) => "text",
        (ValueForm::Text, true) => "text/",
        (ValueForm::Digits, _) => "74",
        (ValueForm::Uuid, _) => "f2a33211-e46a-4c92-b84d-aff06c2cd13f",
        (ValueForm::Flag, _) => "true",
        (ValueForm::Arn, _) => "arn:aws:iam::123456789012:role/app",
        (ValueForm::AzureResource, _) => {
            "/subscriptions/f2a33211-e46a-4c92-b84d-aff06c2cd13f/resourcegroups/"
        }
        (ValueForm::SpiffeId, _) => "spiffe://example.org/app/",
    }
}

#[test]
fn the_table_is_consistent() {
    let names: BTreeSet<&str> = templates().iter().map(|template| template.name).collect();
    let all = ["kubernetes", "github", "gitlab", "gcp", "azure", "aws", "spiffe", "oidc"];
    assert_eq!(names, all.into());
    for template in templates() {
        assert!(!template.algorithms.is_empty() && !template.tenant.is_empty(), "{}", template.name);
        let flags: BTreeSet<&str> = template.flags.iter().map(|flag| flag.name).collect();
        assert_eq!(flags.len(), template.flags.len(), "{} has a flag twice", template.name);
        for flag in template.tenant.iter().copied().flatten() {
            assert!(flags.contains(flag), "{} has no flag {flag}", template.name);
        }
        if let TemplateIssuer::Default(url) = template.issuer {
            assert_eq!(template.issuer(None).unwrap().as_str(), url);
        }
        for flag in template.flags {
            let rule = template.rule(flag.name, sample(flag)).unwrap();
            assert_eq!((rule.pointer.as_str(), rule.prefix), (flag.pointer, flag.prefix));
            assert!(!flag.help.is_empty() && !flag.help.ends_with('.'), "{}", flag.name);
        }
    }
}

/// Whatever else is given, an identity without its tenant's own claim is refused.
#[test]
fn every_template_requires_its_tenant() {
    for template in templates() {
        let tenant: BTreeSet<&str> = template.tenant.iter().copied().flatten().copied().collect();
        let mut others: BTreeMap<String, String> = template
            .flags
            .iter()
            .filter(|flag| !tenant.contains(flag.name))
            .map(|flag| (flag.name.to_owned(), sample(flag).to_owned()))
            .collect();
        let refused = template.rules(&others);
        assert!(matches!(refused, Err(TemplateError::NoTenant { .. })), "{}: {refused:?}", template.name);
        // One flag of a set of two is not enough.
        for set in template.tenant.iter().filter(|set| set.len() > 1) {
            let flag = template.flag(set[0]).unwrap();
            others.insert(flag.name.to_owned(), sample(flag).to_owned());
            assert!(template.rules(&others).is_err(), "{} with {} alone", template.name, flag.name);
            others.remove(flag.name);
        }
        // A claim by its pointer is one more condition, and no tenant, except where the platform is not known.
        others.insert("/extra".to_owned(), "value".to_owned());
        assert_eq!(template.rules(&others).is_ok(), template.name == "oidc", "{}", template.name);
        for set in template.tenant {
            let mut enough = others.clone();
            enough.extend(
                set.iter().map(|name| ((*name).to_owned(), sample(template.flag(name).unwrap()).to_owned())),
            );
            assert_eq!(template.rules(&enough).unwrap().len(), enough.len(), "{}", template.name);
        }
    }
}

#[test]
fn messages_name_flags_and_never_what_was_given() {
    let canary = "canary-7f3a";
    for (template, list, says) in [
        ("github", [("repository", canary)], "the template github requires repository-id, or owner-id"),
        ("github", [(canary, "1")], "the template github requires repository-id, or owner-id"),
        ("github", [("repository-id", canary)], "the value of repository-id is not a number"),
        (
            "kubernetes",
            [("namespace", canary)],
            "the template kubernetes requires namespace and service-account",
        ),
        ("oidc", [(canary, "1")], "the template oidc requires sub, or sub-prefix, or a claim"),
        ("oidc", [("sub-prefix", canary)], "sub-prefix: a prefix ends with one of / : # @ |"),
        ("oidc", [("/iss", canary)], "this claim is checked for every token"),
        (
            "spiffe",
            [("id", canary)],
            "the value of id is not a SPIFFE ID with a trust domain, such as spiffe://example.org/app",
        ),
    ] {
        let error = rules(template, &list).unwrap_err();
        assert_eq!(error.to_string(), says);
        assert!(!format!("{error:?}").contains(canary));
    }
    let error = rules("spiffe", &[("id", "spiffe://a/b"), (canary, "1")]).unwrap_err();
    assert_eq!(error.to_string(), "the template spiffe has no such claim; its claims are id, id-prefix");
    let aws = IdentityTemplate::find("aws").unwrap();
    assert!(
        aws.issuer(None).unwrap_err().to_string().contains("requires the issuer's URL, such as https://")
    );
    assert_eq!(aws.issuer(Some(canary)).unwrap_err(), TemplateError::Issuer(IssuerUrlError::Scheme));
    assert_eq!(IdentityTemplate::find("vault"), None);
}

#[test]
fn forms_find_values_in_the_wrong_place() {
    for (template, flag, value) in [
        ("github", "repository-id", "acme/app"),
        ("github", "owner-id", ""),
        ("gitlab", "project-id", "-1"),
        ("gcp", "project-number", "my-project"),
        ("gcp", "service-account-id", "app@my-project.iam.gserviceaccount.com"),
        ("azure", "resource", "/subscriptions/"),
        ("azure", "resource", "/subscriptions/f2a33211-e46a-4c92-b84d-aff06c2cd13f/"),
        ("azure", "resource-prefix", "/subscriptions/"),
        ("azure", "resource-prefix", "/"),
        ("azure", "tenant-id", "F2A33211-E46A-4C92-B84D-AFF06C2CD13F"),
        ("aws", "role", "app"),
        ("aws", "role", "arn:aws:iam:::role/app"),
        ("aws", "role", "arn:aws:iam::aws:policy/app"),
        ("spiffe", "id", "https://example.org/app"),
        ("spiffe", "id", "spiffe:///app"),
        ("spiffe", "id", "spiffe://example.org/"),
        ("spiffe", "id-prefix", "spiffe://"),
        ("spiffe", "id-prefix", "spiffe:///"),
    ] {
        let error = IdentityTemplate::find(template).unwrap().rule(flag, value).unwrap_err();
        assert!(matches!(error, TemplateError::Form { .. }), "{template} {flag} {value}: {error:?}");
    }
    assert!(rules("spiffe", &[("id-prefix", "spiffe://example.org/")]).is_ok());
    assert!(
        rules("azure", &[("resource-prefix", "/subscriptions/f2a33211-e46a-4c92-b84d-aff06c2cd13f/")])
            .is_ok()
    );
}

#[test]
fn an_identity_for_each_service_lists_the_values_of_one_flag() {
    let kubernetes = IdentityTemplate::find("kubernetes").unwrap();
    let account = given(&[("service-account", "app")]);
    assert!(kubernetes.rules(&account).is_err());
    let rules = kubernetes.rules_for_each(&account, "namespace").unwrap();
    assert_eq!(rules.len(), 1);
    assert!(kubernetes.rules_for_each(&account, "pod").is_err(), "the namespace is missing");
    assert!(kubernetes.rules_for_each(&account, "unknown").is_err());
    let spiffe = IdentityTemplate::find("spiffe").unwrap();
    assert!(spiffe.rules_for_each(&given(&[]), "id").is_ok());
    assert!(spiffe.rules_for_each(&given(&[]), "id-prefix").is_err(), "a prefix has no list of values");
}

#[test]
fn claims_with_slashes_in_their_names_are_found() {
    let rules = rules("aws", &[("account", "123456789012"), ("region", "eu-north-1")]).unwrap();
    let claims = serde_json::json!({
        "https://sts.amazonaws.com/": { "aws_account": "123456789012", "source_region": "eu-west-1" },
    });
    let checks: Vec<ClaimCheck> = rules.iter().map(|rule| rule.check(claims.as_object().unwrap())).collect();
    assert_eq!(checks, [ClaimCheck::Matched, ClaimCheck::Different { found: "eu-west-1".to_owned() }]);
}
