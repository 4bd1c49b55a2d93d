//! Deposits, names, values, lists.

use super::*;
use crate::crypto::deposit::DepositKey;
use crate::crypto::random::Kernel;
use crate::crypto::value::{self, ValueContext, WrappedKey};
use crate::domain::id::VersionId;
use crate::domain::value::{Hint, ValueError, ValueWarning};

#[tokio::test]
async fn a_deposit_is_shown_without_its_value_and_boots_with_it() {
    let world = World::new().await;
    let made = world.store.create_secret(
        &world.admin,
        new_secret("openai-api-key", ScopeKind::Private, "sk-1"),
        None,
    );
    let written = made.await.unwrap();
    let meta = &written.secret.meta;
    assert_eq!((meta.name.as_str(), meta.env.as_str()), ("openai-api-key", "OPENAI_API_KEY"));
    assert_eq!(written.secret.plain, None);
    assert_eq!(written.secret.owner, Some(member("admin")));
    assert_eq!(written.secret.author, Some(member("admin")));
    assert!(!format!("{written:?}").contains("sk-1"));
    assert_eq!(world.boot(&world.admin).await, pairs(&[("OPENAI_API_KEY", "sk-1")]));
}

#[tokio::test]
async fn only_plain_settings_show_their_value() {
    let world = World::new().await;
    let other = world.member("bob", Role::Member).await;
    let auditor = world.member("eve", Role::Auditor).await;
    for (name, text) in [("LOG_LEVEL", "debug".to_owned()), ("LONG", "x".repeat(10_000))] {
        let new = NewSecret { kind: Kind::Plain, ..new_secret(name, ScopeKind::Shared, &text) };
        let written = world.store.create_secret(&world.admin, new, None).await.unwrap();
        let id = written.secret.meta.id;
        assert_eq!(written.secret.plain.as_deref(), Some(text.as_str()));
        assert_eq!(world.store.secret(&other, id).await.unwrap().plain.as_deref(), Some(text.as_str()));
        assert_eq!(world.store.secret(&auditor, id).await.unwrap().plain, None);
        assert_eq!(written.secret.meta.hint, None);
    }
    let boot = world.boot(&world.admin).await;
    assert_eq!(boot[0], ("LOG_LEVEL".to_owned(), "debug".to_owned()));
    assert_eq!(boot[1].1.len(), 10_000);
}

#[tokio::test]
async fn one_owner_and_scope_exports_a_name_once() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.private(&world.admin, "db-url", "1").await;
    let second =
        world.store.create_secret(&world.admin, new_secret("DB_URL", ScopeKind::Private, "2"), None).await;
    let error = second.unwrap_err();
    assert_eq!(error.code(), Code::NameTaken);
    assert_eq!(error.to_string(), "the secret db-url of this scope is already exported as DB_URL");
    // Other owners and scopes are free.
    world.private(&bob, "DB_URL", "3").await;
    world.shared("DB_URL", "4").await;
    // So is the name, once the first is gone or exported under another.
    let id = world.store.find_secret(&world.admin, "DB_URL", ScopeKind::Private, None).await.unwrap().meta.id;
    let other = Replacement { env: Some(env("OLD_DB_URL")), ..replacement("1") };
    world.store.replace_secret(&world.admin, id, None, other).await.unwrap();
    world.private(&world.admin, "DB_URL", "2").await;
    assert_eq!(world.boot(&world.admin).await, pairs(&[("DB_URL", "2"), ("OLD_DB_URL", "1")]));
    let back = Replacement { env: Some(env("DB_URL")), ..replacement("1") };
    let error = world.store.replace_secret(&world.admin, id, None, back).await.unwrap_err();
    assert_eq!(error.code(), Code::NameTaken);
    // A name is taken even when it is exported as something else.
    let again = NewSecret { env: Some(env("THIRD")), ..new_secret("db-url", ScopeKind::Private, "5") };
    let error = world.store.create_secret(&world.admin, again, None).await.unwrap_err();
    assert_eq!(error.to_string(), "the secret db-url of this scope is already exported as OLD_DB_URL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_creations_of_one_name_one_wins() {
    let world = World::new().await;
    let racers = (0..100).map(|i| {
        let (store, admin) = (world.store.clone(), world.admin.clone());
        tokio::spawn(async move {
            let new = new_secret("race", ScopeKind::Shared, &i.to_string());
            store.create_secret(&admin, new, None).await
        })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error.code(), Code::NameTaken),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn refused_names_need_an_admins_word() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let new = || new_secret("ld-preload", ScopeKind::Private, "/tmp/x.so");
    let error = world.store.create_secret(&world.admin, new(), None).await.unwrap_err();
    assert_eq!(error.code(), Code::NameRefused);
    let allowed = || NewSecret { allow_refused: true, ..new() };
    assert_eq!(world.store.create_secret(&bob, allowed(), None).await.unwrap_err().code(), Code::Forbidden);
    let written = world.store.create_secret(&world.admin, allowed(), None).await.unwrap();
    assert!(written.secret.meta.allow_refused);
    // Permission for a name that needs none is not stored.
    let harmless = NewSecret { allow_refused: true, ..new_secret("fine", ScopeKind::Private, "1") };
    assert!(
        !world.store.create_secret(&world.admin, harmless, None).await.unwrap().secret.meta.allow_refused
    );
    // The permission lasts as long as the exported name stays.
    let id = written.secret.meta.id;
    world.store.replace_secret(&world.admin, id, None, replacement("/tmp/y.so")).await.unwrap();
    let worse = Replacement { env: Some(env("BASH_ENV")), ..replacement("x") };
    let error = world.store.replace_secret(&world.admin, id, None, worse).await.unwrap_err();
    assert_eq!(error.code(), Code::NameRefused);
}

#[tokio::test]
async fn what_could_not_boot_is_refused() {
    let world = World::new().await;
    let bytes = |bytes: &[u8]| Deposit::Value(SecretValue::new(bytes.to_vec()));
    let cases = [
        (bytes(b"a\0b"), Code::ValueInvalid),
        (bytes(b"\xff\xfe"), Code::ValueInvalid),
        (bytes(&[b'x'; 65_537]), Code::ValueTooLarge),
        (bytes(&[b'x'; 131_072]), Code::ValueTooLarge),
    ];
    for (deposit, code) in cases {
        let new = NewSecret { deposit, ..new_secret("bad", ScopeKind::Shared, "") };
        assert_eq!(world.store.create_secret(&world.admin, new, None).await.unwrap_err().code(), code);
    }
    let file = |len| NewSecret {
        delivery: Delivery::File,
        deposit: bytes(&vec![0; len]),
        ..new_secret("file", ScopeKind::Shared, "")
    };
    let error = world.store.create_secret(&world.admin, file((1 << 20) + 1), None).await.unwrap_err();
    assert!(matches!(error, Error::Value(ValueError::FileTooLong { .. })));
    world.store.create_secret(&world.admin, file(1 << 20), None).await.unwrap();
    let ticket = world.ticket(&world.admin).await;
    let released = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    assert_eq!(released.values[0].value.len(), 1 << 20);
}

#[tokio::test]
async fn warnings_and_hints_are_given_and_hints_can_be_turned_off() {
    let world = World::new().await;
    let text = "sk-ant-REDACTED-wxyz\n";
    let new = || new_secret("one", ScopeKind::Shared, text);
    let written = world.store.create_secret(&world.admin, new(), None).await.unwrap();
    assert_eq!(written.warnings, [ValueWarning::TrailingNewline]);
    assert_eq!(written.secret.meta.hint, None, "a newline is no graphic character");
    let written = world.store.replace_secret(
        &world.admin,
        written.secret.meta.id,
        None,
        replacement("sk-ant-api03-aaaaaaaaaaaaaaaaaaaaaaaaaaaawxyz"),
    );
    let hint = written.await.unwrap().secret.meta.hint.unwrap();
    assert_eq!(hint.as_str(), "sk-ant-api03-****...wxyz");

    let off = PolicyChange { hints: Some(false), ..PolicyChange::default() };
    world.store.set_policy(&world.admin, off).await.unwrap();
    let issued = world.store.create_token(&world.admin, NewToken::default(), None).await.unwrap();
    let admin = world.store.authenticate(&issued.credential, None).await.unwrap();
    let new = new_secret("two", ScopeKind::Shared, "sk-ant-api03-aaaaaaaaaaaaaaaaaaaaaaaaaaaawxyz");
    assert_eq!(world.store.create_secret(&admin, new, None).await.unwrap().secret.meta.hint, None);
}

#[tokio::test]
async fn versions_guard_against_lost_changes() {
    let world = World::new().await;
    let id = world.shared("one", "1").await;
    let first = world.store.secret(&world.admin, id).await.unwrap().meta;
    let written =
        world.store.replace_secret(&world.admin, id, Some(first.version), replacement("2")).await.unwrap();
    let second = written.secret.meta;
    assert_ne!(first.version, second.version);
    assert_eq!(first.created_at, second.created_at);

    let stale = Some(first.version);
    let error = world.store.replace_secret(&world.admin, id, stale, replacement("3")).await.unwrap_err();
    assert_eq!(error.code(), Code::VersionMismatch);
    let off = AttributesPatch { auto_install: Some(false), ..AttributesPatch::default() };
    let error = world.store.change_secret(&world.admin, id, stale, off.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::VersionMismatch);
    assert_eq!(
        world.store.delete_secret(&world.admin, id, stale).await.unwrap_err().code(),
        Code::VersionMismatch
    );

    let changed = world.store.change_secret(&world.admin, id, Some(second.version), off).await.unwrap().meta;
    assert_eq!(changed.version, second.version, "attributes are not part of the value");
    assert_eq!(world.boot(&world.admin).await, []);
    world.store.delete_secret(&world.admin, id, Some(second.version)).await.unwrap();
    assert_eq!(world.store.secret(&world.admin, id).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_replacements_of_one_version_one_wins() {
    let world = World::new().await;
    let id = world.shared("one", "first").await;
    let version = world.store.secret(&world.admin, id).await.unwrap().meta.version;
    let racers = (0..50).map(|i| {
        let (store, admin) = (world.store.clone(), world.admin.clone());
        tokio::spawn(async move {
            store.replace_secret(&admin, id, Some(version), replacement(&i.to_string())).await
        })
    });
    let mut won = Vec::new();
    for (i, racer) in racers.collect::<Vec<_>>().into_iter().enumerate() {
        match racer.await.unwrap() {
            Ok(_) => won.push(i.to_string()),
            Err(error) => assert_eq!(error.code(), Code::VersionMismatch),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(world.boot(&world.admin).await, pairs(&[("ONE", &won[0])]));
}

/// Seals as a client does.
pub(crate) async fn seal(
    world: &World,
    id: SecretId,
    version: VersionId,
    env: &str,
    text: &[u8],
) -> SealedDeposit {
    let info = world.store.deposit_info(&world.admin, None).await.unwrap();
    let key = DepositKey::from_parts(info.generation, info.public_key);
    assert_eq!(
        info.chain.last().map(|current| (current.deposit, current.fingerprint())),
        Some((key, info.fingerprint))
    );
    let context = ValueContext {
        store: info.store.as_bytes(),
        org: info.org.as_bytes(),
        scope: 1,
        owner: Some(info.member.as_bytes()),
        secret: id.as_bytes(),
        env,
        version: version.as_bytes(),
    };
    let value = value::seal(&key, &context, text, &mut Kernel).unwrap();
    SealedDeposit { id, version, value, hint: Some(Hint::parse("sk-****...wxyz").unwrap()) }
}

#[tokio::test]
async fn a_client_may_seal_itself() {
    let world = World::new().await;
    let (id, first, second) =
        (SecretId::from_bytes([1; 16]), VersionId::from_bytes([2; 16]), VersionId::from_bytes([3; 16]));
    world.lock().await;
    let deposit = Deposit::Sealed(seal(&world, id, first, "SEALED", b"one").await);
    let new = NewSecret { deposit, ..new_secret("sealed", ScopeKind::Private, "") };
    let written = world.store.create_secret(&world.admin, new, None).await.unwrap();
    assert_eq!((written.secret.meta.id, written.secret.meta.version), (id, first));
    assert_eq!(written.secret.meta.value_len, 3);
    assert!(written.secret.meta.hint.is_some());
    world.unlock().await;
    assert_eq!(world.boot(&world.admin).await, pairs(&[("SEALED", "one")]));

    let deposit = Deposit::Sealed(seal(&world, id, second, "OTHER", b"two").await);
    let new = Replacement { deposit, env: Some(env("OTHER")), ..replacement("") };
    world.store.replace_secret(&world.admin, id, Some(first), new).await.unwrap();
    assert_eq!(world.boot(&world.admin).await, pairs(&[("OTHER", "two")]));

    // The same id or version is not taken twice.
    let deposit = Deposit::Sealed(seal(&world, id, second, "OTHER", b"two").await);
    let error =
        world.store.replace_secret(&world.admin, id, None, Replacement { deposit, ..replacement("") });
    assert_eq!(error.await.unwrap_err().code(), Code::VersionUsed);
    let deposit = Deposit::Sealed(seal(&world, id, first, "THIRD", b"two").await);
    let new = NewSecret { deposit, ..new_secret("third", ScopeKind::Private, "") };
    assert_eq!(world.store.create_secret(&world.admin, new, None).await.unwrap_err().code(), Code::Conflict);
}

#[tokio::test]
async fn a_malformed_seal_is_refused_and_one_that_holds_no_variable_is_skipped() {
    let world = World::new().await;
    let (id, version) = (SecretId::from_bytes([1; 16]), VersionId::from_bytes([2; 16]));
    let good = seal(&world, id, version, "SEALED", b"one").await;
    let with = |wrapped| SealedDeposit {
        value: value::SealedValue { wrapped, ..good.value.clone() },
        hint: None,
        id: good.id,
        version: good.version,
    };
    let hpke = |suite, enc, ct| WrappedKey::Hpke { suite, enc: vec![0; enc], ct: vec![0; ct] };
    let suite = world.store.deposit_info(&world.admin, None).await.unwrap().suite;
    let mut cases = vec![
        with(hpke(suite, 31, 48)),
        with(hpke(suite, 32, 49)),
        with(hpke(suite + 1, 32, 48)),
        with(WrappedKey::Settled { nonce: [0; 24], ct: vec![0; 48] }),
    ];
    cases.push(SealedDeposit {
        value: value::SealedValue { ciphertext: vec![0; 15], ..good.value.clone() },
        hint: None,
        id: good.id,
        version: good.version,
    });
    for sealed in cases {
        let new =
            NewSecret { deposit: Deposit::Sealed(sealed), ..new_secret("sealed", ScopeKind::Private, "") };
        assert_eq!(
            world.store.create_secret(&world.admin, new, None).await.unwrap_err().code(),
            Code::InvalidRequest
        );
    }
    let stale = SealedDeposit {
        value: value::SealedValue { generation: 9, ..good.value.clone() },
        hint: None,
        id: good.id,
        version: good.version,
    };
    let new = NewSecret { deposit: Deposit::Sealed(stale), ..new_secret("sealed", ScopeKind::Private, "") };
    assert_eq!(
        world.store.create_secret(&world.admin, new, None).await.unwrap_err().code(),
        Code::StaleGeneration
    );
}

#[tokio::test]
async fn lists_page_filter_and_keep_what_is_not_for_the_caller() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let eve = world.member("eve", Role::Auditor).await;
    for i in 0..25 {
        world.shared(&format!("shared-{i}"), "1").await;
        world.private(&world.admin, &format!("admins-{i}"), "1").await;
        world.private(&bob, &format!("bobs-{i}"), "1").await;
    }
    let all = async |caller: &Caller, filter: &SecretFilter| {
        let mut names = Vec::new();
        let mut cursor = None;
        loop {
            let ask = PageAsk { cursor, limit: Some(7) };
            let page = world.store.list_secrets(caller, filter, ask).await.unwrap();
            assert!(page.items.len() <= 7);
            names.extend(page.items.into_iter().map(|secret| secret.meta.name.to_string()));
            cursor = page.next;
            if cursor.is_none() {
                let count = names.len();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), count, "a page repeated something");
                return names;
            }
        }
    };
    let any = SecretFilter::default();
    assert_eq!(all(&bob, &any).await.len(), 50);
    assert!(all(&bob, &any).await.iter().all(|name| !name.starts_with("admins")));
    assert_eq!(all(&world.admin, &any).await.len(), 75);
    assert_eq!(all(&eve, &any).await.len(), 75);
    let shared = SecretFilter { scope: Some(ScopeKind::Shared), ..any.clone() };
    assert_eq!(all(&bob, &shared).await.len(), 25);
    let private = SecretFilter { scope: Some(ScopeKind::Private), ..any.clone() };
    assert_eq!(all(&bob, &private).await.len(), 25);
    assert_eq!(all(&world.admin, &private).await.len(), 50);
    let bobs = SecretFilter { owner: Some(member("bob")), ..any.clone() };
    assert_eq!(all(&world.admin, &bobs).await.len(), 25);
    let admins = SecretFilter { owner: Some(member("admin")), ..any.clone() };
    let error = world.store.list_secrets(&bob, &admins, PageAsk::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    let q = SecretFilter { q: Some("S-2".into()), ..any.clone() };
    assert_eq!(all(&bob, &q).await.len(), 6);
    // Descriptions are searched in any script, without regard to case.
    let described =
        Attributes { description: Some("Schlüssel ÖFFNET".parse().unwrap()), ..Attributes::default() };
    let new = NewSecret { attributes: described, ..new_secret("described", ScopeKind::Shared, "v") };
    world.deposit(&world.admin, new).await;
    for sought in ["öffnet", "SCHLÜSSEL"] {
        let q = SecretFilter { q: Some(sought.into()), ..any.clone() };
        assert_eq!(all(&bob, &q).await, ["described"], "{sought}");
    }
    let named = SecretFilter { name: Some("BOBS_3".into()), ..any };
    assert_eq!(all(&bob, &named).await, ["bobs-3"]);

    let made_up = PageAsk { cursor: Some(Cursor::from_text("aaaa")), limit: None };
    let error = world.store.list_secrets(&bob, &SecretFilter::default(), made_up).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidRequest);
}

#[tokio::test]
async fn nothing_readable_reaches_the_byte_store() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone()).await;
    let canaries =
        ["canary-name", "CANARY_NAME", "canary-value-that-is-long", "canary-member", "canary-label"];
    let bob = world.member("canary-member", Role::Member).await;
    world.private(&bob, "canary-name", "canary-value-that-is-long").await;
    let plain = NewSecret {
        kind: Kind::Plain,
        ..new_secret("canary-name", ScopeKind::Shared, "canary-value-that-is-long")
    };
    world.deposit(&world.admin, plain).await;
    let label = Some(crate::domain::name::Label::parse("canary-label").unwrap());
    world.ticket_for(&bob, NewTicket { label, ..NewTicket::default() }).await;
    world.boot(&bob).await;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = memory.scan(&[], after.as_deref(), 100).await.unwrap();
        for entry in &page.entries {
            for canary in canaries {
                let holds =
                    |bytes: &[u8]| bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
                assert!(!holds(&entry.key) && !holds(&entry.value), "{canary} is readable");
            }
        }
        after = page.entries.last().map(|entry| entry.key.clone());
        if !page.more {
            break;
        }
    }
}
