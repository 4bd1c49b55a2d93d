//! Variables and references that another member's names cannot take over.

use super::*;

fn exported_as(meta: SecretMeta, env: &str) -> SecretMeta {
    SecretMeta { env: EnvName::parse(env).unwrap(), ..meta }
}

#[test]
fn a_file_and_a_variable_of_its_name_are_not_both_delivered() {
    // The private one wins, whichever of the two is the file.
    for (own, theirs) in
        [(private(9, "foo-file"), file(shared(1, "foo"))), (file(private(9, "foo")), shared(1, "foo-file"))]
    {
        for secrets in [[own.clone(), theirs.clone()], [theirs, own]] {
            let resolution = resolve(&secrets, &ResolveRequest::default());
            assert_eq!(resolution.variables.len(), 1);
            assert_eq!(resolution.variables.values().next().unwrap().id, SecretId::from_bytes([9; 16]));
            assert_eq!(skips(&resolution), ["1:shadowed"]);
        }
    }
    let resolution = resolve(&[shared(2, "foo-file"), file(shared(1, "foo"))], &ResolveRequest::default());
    assert_eq!(
        (exported(&resolution), skips(&resolution)),
        (vec!["FOO=1".to_owned()], vec!["2:shadowed".to_owned()])
    );
}

#[test]
fn a_withheld_private_file_keeps_its_variable_unset() {
    let disabled: BTreeSet<PluginName> = plugins(&["mcp"]).unwrap();
    let secrets = [of_plugin(file(private(1, "db-cert")), "mcp"), shared(2, "DB_CERT_FILE")];
    let resolution = super::super::resolve(&secrets, &disabled, &ResolveRequest::default());
    assert!(resolution.variables.is_empty());
    assert_eq!(skips(&resolution), ["1:plugin_disabled", "2:private_withheld"]);
}

#[test]
fn a_file_whose_variable_is_refused_or_too_long_stops_no_boot() {
    let long = "n".repeat(198);
    let secrets = [file(shared(1, "aws-config")), file(shared(2, &long)), file(shared(3, "tls-key"))];
    let resolution = resolve(&secrets, &ResolveRequest::default());
    assert_eq!(exported(&resolution), ["TLS_KEY=3"]);
    assert_eq!(skips(&resolution), ["1:refused", "2:unusable"]);
}

#[test]
fn a_reference_means_a_private_secret_before_a_shared_one() {
    let refers = |secrets: &[SecretMeta], asked: &str| {
        let request = ResolveRequest { references: set(&[asked]), ..ResolveRequest::default() };
        resolve(secrets, &request).references[asked].as_ref().unwrap().id
    };
    let own = SecretId::from_bytes([9; 16]);
    // Somebody else exports a shared secret under the private one's name.
    assert_eq!(
        refers(&[private(9, "stripe_key"), exported_as(shared(1, "zz"), "stripe_key")], "stripe_key"),
        own
    );
    // Somebody else shares a secret of that name, and the private one is exported as something else.
    assert_eq!(
        refers(&[exported_as(private(9, "API_TOK"), "FOO_TOK"), shared(1, "API_TOK")], "API_TOK"),
        own
    );
}

/// No new secret may have such names; those of an older version can.
#[test]
fn a_reference_means_a_secret_of_that_name_before_one_that_is_exported_so() {
    let request = ResolveRequest { references: set(&["stripe_key"]), ..ResolveRequest::default() };
    let (first, second) = (shared(9, "stripe_key"), exported_as(shared(1, "zz"), "stripe_key"));
    for secrets in [[first.clone(), second.clone()], [second, first]] {
        let resolution = resolve(&secrets, &request);
        assert_eq!(resolution.references["stripe_key"].as_ref().unwrap().id, SecretId::from_bytes([9; 16]));
    }
}

/// Programs that read their settings in any case would take the one that another member shares.
#[test]
fn a_shared_name_in_another_case_is_not_delivered_beside_a_private_one() {
    let cases = [
        (private(9, "api-key"), exported_as(shared(1, "x"), "api_key")),
        (private(9, "api-key"), exported_as(shared(1, "x"), "Api_Key")),
        (exported_as(private(9, "api-key"), "apiKey"), exported_as(shared(1, "x"), "APIKEY")),
        (private(9, "cert-file"), file(exported_as(shared(1, "x"), "cert"))),
    ];
    for (own, theirs) in cases {
        let resolution = resolve(&[theirs.clone(), own.clone()], &ResolveRequest::default());
        assert_eq!(skips(&resolution), ["1:shadowed"], "{}", theirs.env);
        let disabled: BTreeSet<PluginName> = plugins(&["mcp"]).unwrap();
        let secrets = [of_plugin(own, "mcp"), theirs];
        let resolution = super::super::resolve(&secrets, &disabled, &ResolveRequest::default());
        assert!(resolution.variables.is_empty());
        assert!(skips(&resolution).contains(&"1:private_withheld".to_owned()));
    }
    // One's own two are one's own choice, and an organization may share both cases.
    for scope in [private, shared] {
        let both = [scope(1, "api-key"), exported_as(scope(2, "x"), "api_key")];
        assert_eq!(resolve(&both, &ResolveRequest::default()).variables.len(), 2);
    }
}
