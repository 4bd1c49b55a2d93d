//! What one member's names and types cannot do to the deposits of others.

use super::*;
use crate::domain::import::{ExistingPolicy, ImportOutcome};
use crate::domain::secret::ScopeKind::{Private, Shared};

async fn create(world: &World, by: &Caller, new: NewSecret) -> Result<Secret, Error> {
    world.store.create_secret(by, new, None).await.map(|written| written.secret)
}

fn exported_as(name: &str, scope: ScopeKind, exported: &str) -> NewSecret {
    NewSecret { env: Some(env(exported)), ..new_secret(name, scope, "theirs") }
}

fn import_of(text: &str, scope: ScopeKind) -> ImportAsk {
    ImportAsk {
        source: ImportSource::Text(SecretValue::new(text.as_bytes().to_vec())),
        scope,
        owner: None,
        existing: ExistingPolicy::Replace,
        kind: Kind::Encrypted,
        attributes: Attributes::default(),
    }
}

/// References by a name, and programs that read a name in any case, would take the new secret for the other one.
#[tokio::test]
async fn no_new_name_can_be_taken_for_that_of_another_shared_secret() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    create(&world, &world.admin, new_secret("stripe_key", Shared, "ours")).await.unwrap();
    create(&world, &world.admin, exported_as("gate", Shared, "LLM_GATE")).await.unwrap();
    for (name, exported) in [
        // The exact name of another, and the exported name of another.
        ("zz", "stripe_key"),
        ("LLM_GATE", "ZZ"),
        // The same in another case.
        ("zz", "Stripe_Key"),
        ("zz", "llm_gate"),
    ] {
        let error = create(&world, &bob, exported_as(name, Shared, exported)).await.unwrap_err();
        assert_eq!(error.code(), Code::NameTaken, "{name} {exported}");
        // In one's own scope a name takes nothing from anybody.
        let own = create(&world, &bob, exported_as(name, Private, exported)).await.unwrap();
        world.store.delete_secret(&bob, own.meta.id, None).await.unwrap();
    }
    // Nor can a secret that exists get such a name.
    let zz = create(&world, &bob, new_secret("zz", Shared, "theirs")).await.unwrap();
    for exported in ["stripe_key", "llm_gate"] {
        let new = Replacement { env: Some(env(exported)), ..replacement("theirs") };
        let error = world.store.replace_secret(&bob, zz.meta.id, None, new).await.unwrap_err();
        assert_eq!(error.code(), Code::NameTaken, "{exported}");
    }
    // An import says it of the line.
    create(&world, &world.admin, exported_as("low", Shared, "low_case")).await.unwrap();
    let report = world.store.import(&bob, import_of("LOW_CASE=x\nfresh=1\n", Shared), true).await.unwrap();
    assert_eq!(
        report.lines.iter().map(|line| line.fate).collect::<Vec<_>>(),
        [ImportOutcome::Refused, ImportOutcome::Create]
    );
    // The secret's own two names are no two secrets, and its name can come back.
    let new = Replacement { env: Some(env("STRIPE")), ..replacement("ours") };
    let own = world.store.find_secret(&world.admin, "stripe_key", Shared, None).await.unwrap();
    world.store.replace_secret(&world.admin, own.meta.id, None, new).await.unwrap();
    let new = Replacement { env: Some(env("stripe_key")), ..replacement("ours") };
    world.store.replace_secret(&world.admin, own.meta.id, None, new).await.unwrap();
}

/// Programs read one or the other, and an admin allows each.
#[tokio::test]
async fn both_cases_of_a_proxy_may_be_shared_by_an_admin() {
    let world = World::new().await;
    for name in ["HTTP_PROXY", "http_proxy"] {
        let new = NewSecret { allow_refused: true, ..exported_as(&format!("{name}.x"), Shared, name) };
        create(&world, &world.admin, new).await.unwrap();
    }
}

/// Whose secret was made plain by another member would otherwise deposit a readable value.
#[tokio::test]
async fn a_value_without_a_type_does_not_become_readable_by_another_members_choice() {
    let world = World::new().await;
    let (admin, bob) = (&world.admin, world.member("bob", Role::Member).await);
    let plain = |name: &str| NewSecret { kind: Kind::Plain, ..new_secret(name, Shared, "old") };
    let theirs = create(&world, &bob, plain("API_TOKEN")).await.unwrap().meta;
    create(&world, admin, plain("LOG_LEVEL")).await.unwrap();
    let same = |refused: &str| refused.contains("another member stored this secret as plain");

    let error = world.store.replace_secret(admin, theirs.id, None, replacement("sk-1")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unprocessable);
    assert!(same(&error.to_string()), "{error}");
    let report = world.store.import(admin, import_of("API_TOKEN=sk-1\n", Shared), false).await.unwrap();
    assert!(!report.stored && same(report.lines[0].why.as_deref().unwrap()));
    let set = |name: &str| {
        let value = Some(SecretValue::new(b"sk-1".to_vec()));
        world.store.set_variables(admin, vec![VariableAssignment { env: env(name), value }])
    };
    let refused = set("API_TOKEN").await.unwrap();
    assert!(!refused.stored && same(&refused.refused[0].1));
    assert_eq!(world.store.secret(&bob, theirs.id).await.unwrap().plain.as_deref(), Some("old"));

    // The same value again changes nothing, and one's own setting is one's own choice.
    assert!(world.store.import(admin, import_of("API_TOKEN=old\n", Shared), false).await.unwrap().stored);
    assert!(set("LOG_LEVEL").await.unwrap().stored);
    let own = world.store.find_secret(admin, "LOG_LEVEL", Shared, None).await.unwrap();
    assert_eq!((own.meta.kind, own.plain.as_deref()), (Kind::Plain, Some("sk-1")));
    world.store.replace_secret(admin, own.meta.id, None, replacement("info")).await.unwrap();

    // Who states the type gets it.
    let ask = import_of("# dropsafe: plain\nAPI_TOKEN=eu\n", Shared);
    assert!(world.store.import(admin, ask, false).await.unwrap().stored);
    let theirs = create(&world, &bob, plain("REGION")).await.unwrap().meta;
    let ask = ImportAsk { kind: Kind::Plain, ..import_of("REGION=eu\n", Shared) };
    assert!(world.store.import(admin, ask, false).await.unwrap().stored);
    let new = Replacement { kind: Some(Kind::Encrypted), ..replacement("sk-1") };
    let written = world.store.replace_secret(&bob, theirs.id, None, new).await;
    assert!(written.is_err(), "now it is the admin's");
    let new = Replacement { kind: Some(Kind::Encrypted), ..replacement("sk-1") };
    let written = world.store.replace_secret(admin, theirs.id, None, new).await.unwrap();
    assert_eq!((written.secret.meta.kind, written.secret.plain), (Kind::Encrypted, None));
}
