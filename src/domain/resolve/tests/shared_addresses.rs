//! No boot receives a private key together with a shared address of its service.

use super::*;
use crate::domain::resolve::services::Services;

#[test]
fn a_shared_address_does_not_meet_a_private_key() {
    let secrets = [
        shared(1, "openai-base-url"),
        private(2, "openai-api-key"),
        shared(3, "aws-endpoint-url"),
        shared(4, "openai-model"),
    ];
    let resolution = resolve(&secrets, &ResolveRequest::default());
    assert_eq!(exported(&resolution), ["AWS_ENDPOINT_URL=3", "OPENAI_API_KEY=2", "OPENAI_MODEL=4"]);
    assert_eq!(skips(&resolution), ["1:foreign_address"]);
    for (addresses, released) in [
        (SharedAddresses::All, true),
        (named_addresses(&["OPENAI_BASE_URL"]), true),
        (named_addresses(&["OPENAI_API_KEY", "AWS_ENDPOINT_URL"]), false),
    ] {
        let request = ResolveRequest { addresses, ..ResolveRequest::default() };
        let resolution = resolve(&secrets, &request);
        assert_eq!(resolution.variables.contains_key("OPENAI_BASE_URL"), released);
    }
}

/// A gateway that an organization shares together with a key works without a setting.
#[test]
fn a_shared_address_goes_with_a_shared_key_and_a_private_address_with_any() {
    let (url, key) = ("openai-base-url", "openai-api-key");
    for secrets in [
        vec![shared(1, url), shared(2, key)],
        vec![private(1, url), shared(2, key)],
        vec![private(1, url), private(2, key)],
        // The boot does not receive it, so that it cannot go anywhere.
        vec![shared(1, url), shared(2, key), off(private(3, key))],
    ] {
        let resolution = resolve(&secrets, &ResolveRequest::default());
        assert_eq!(exported(&resolution), ["OPENAI_API_KEY=2", "OPENAI_BASE_URL=1"]);
    }
    // The private address takes the name, and the shared one is only shadowed.
    let resolution = resolve(&[shared(1, url), private(2, url)], &ResolveRequest::default());
    assert_eq!(skips(&resolution), ["1:shadowed"]);
}

#[test]
fn references_follow_the_rule_of_addresses() {
    let (url, key) = (shared(1, "openai-base-url"), private(2, "openai-api-key"));
    let asks =
        |references: &[&str]| ResolveRequest { references: set(references), ..ResolveRequest::default() };
    for url in [url.clone(), off(url.clone())] {
        let resolution = resolve(&[url, key.clone()], &asks(&["OPENAI_BASE_URL"]));
        assert_eq!(resolution.references["OPENAI_BASE_URL"], None);
        assert_eq!(skips(&resolution), ["1:foreign_address"]);
    }
    // A private key that is only referred to is received too.
    let resolution = resolve(&[url.clone(), off(key)], &asks(&["openai-api-key"]));
    assert_eq!(skips(&resolution), ["1:foreign_address"]);
    // What a reference to a withheld address means is not another shared secret that is exported as its name.
    let exported_as = |env: &str, meta| SecretMeta { env: EnvName::parse(env).unwrap(), ..off(meta) };
    let key = private(2, "openai-api-key");
    let gate = exported_as("OPENAI_BASE_URL", shared(1, "llm_gate"));
    let other = exported_as("llm_gate", shared(3, "x"));
    let resolution = resolve(&[gate, key.clone(), other], &asks(&["llm_gate"]));
    assert_eq!(resolution.references["llm_gate"], None);
    // One's own secret of that name comes before what others share.
    let own = exported_as("OTHER", private(3, "OPENAI_BASE_URL"));
    let resolution = resolve(&[url, key, own], &asks(&["OPENAI_BASE_URL"]));
    assert_eq!(resolution.references["OPENAI_BASE_URL"].as_ref().unwrap().id, SecretId::from_bytes([3; 16]));
}

/// The name under which the workload receives a value decides, whatever the secret is called.
#[test]
fn a_secret_that_the_machine_renames_follows_the_rule_under_its_new_name() {
    let refers = |variable: &str, asked: &str, allowed: &[&str]| ResolveRequest {
        references: set(&[asked]),
        referenced_as: [(EnvName::parse(variable).unwrap(), asked.to_owned())].into(),
        addresses: named_addresses(allowed),
        ..ResolveRequest::default()
    };
    let (url, key) = (shared(1, "openai-base-url"), off(private(2, "my-key")));
    // OPENAI_API_KEY=dropsafe:my-key
    for variable in ["OPENAI_API_KEY", "openai_api_key"] {
        let resolution = resolve(&[url.clone(), key.clone()], &refers(variable, "my-key", &[]));
        assert_eq!(skips(&resolution), ["1:foreign_address"]);
        assert_eq!(resolution.references["my-key"].as_ref().unwrap().id, SecretId::from_bytes([2; 16]));
    }
    let resolution = resolve(&[url.clone(), key.clone()], &refers("ANOTHER_KEY", "my-key", &[]));
    assert_eq!(exported(&resolution), ["OPENAI_BASE_URL=1"]);
    // What is shared is nobody's own, under whatever name.
    let resolution = resolve(&[url, shared(2, "my-key")], &refers("OPENAI_API_KEY", "my-key", &[]));
    assert_eq!(exported(&resolution), ["MY_KEY=2", "OPENAI_BASE_URL=1"]);

    // OPENAI_BASE_URL=dropsafe:our-gate, while the machine meant a secret of its own that is gone.
    let secrets = [off(shared(1, "our-gate")), private(2, "openai-api-key")];
    let resolution = resolve(&secrets, &refers("OPENAI_BASE_URL", "our-gate", &[]));
    assert_eq!(resolution.references["our-gate"], None);
    assert_eq!(skips(&resolution), ["1:foreign_address"]);
    for allowed in ["OPENAI_BASE_URL", "OUR_GATE"] {
        let resolution = resolve(&secrets, &refers("OPENAI_BASE_URL", "our-gate", &[allowed]));
        assert!(resolution.references["our-gate"].is_some(), "{allowed}");
    }
}

/// The agent announces a file by NAME_FILE, which is what a program reads.
#[test]
fn a_shared_file_can_be_an_address_too() {
    let allowed = |meta| SecretMeta { allow_refused: true, ..meta };
    let secrets = [file(allowed(shared(1, "aws-config"))), private(2, "aws-secret-access-key")];
    assert_eq!(skips(&resolve(&secrets, &ResolveRequest::default())), ["1:foreign_address"]);
    let request =
        ResolveRequest { addresses: named_addresses(&["AWS_CONFIG_FILE"]), ..ResolveRequest::default() };
    assert!(skips(&resolve(&secrets, &request)).is_empty());
}

proptest! {
    #[test]
    fn no_shared_address_is_released_beside_a_private_secret_of_its_service(all in candidates(), request in request()) {
        let resolution = resolve(&all, &request);
        let released: Vec<&Chosen> = resolution.variables.values().chain(resolution.references.values().flatten()).collect();
        let SharedAddresses::Named(allowed) = &request.addresses else { return Ok(()) };
        let renamed = request.referenced_as.iter().filter_map(|(name, asked)| Some((resolution.references.get(asked)?.as_ref()?, name)));
        // Each released secret with each name under which the workload gets it.
        let received: Vec<(&Chosen, &EnvName)> = released.iter().map(|chosen| (*chosen, &chosen.env)).chain(renamed).collect();
        let of = |kind| received.iter().filter(move |(chosen, _)| chosen.scope_kind == kind);
        for (place, name) in of(ScopeKind::Shared).filter(|(place, name)| !allowed.contains(*name) && !allowed.contains(&place.env)) {
            let Some(services) = Services::addressed_by(name.as_str()) else { continue };
            for (key, under) in of(ScopeKind::Private) {
                prop_assert!(!services.meet(&Services::of(under.as_str())), "{} {} {} {}", place.name, name, key.name, under);
            }
        }
    }
}
