//! What one member's deposits can take from the others: budgets, shares, quotas, and versions that are never used again.

use super::*;
use crate::crypto::deposit::DepositKey;
use crate::crypto::random::Kernel;
use crate::crypto::value::{self, ValueContext};
use crate::domain::id::VersionId;
use crate::domain::import::{ExistingPolicy, ImportOutcome, LineOptions};
use crate::domain::role::{BOOT_VARIABLES, ByteBudgets};
use crate::domain::secret::Scope;
use crate::store::engine::journal::Stop;
use crate::store::tables::secrets::SecretRecord;
use crate::store::tables::usage::{CountOf, RecordCount, Usage, UsageOf};

fn shared_of(name: &str, len: usize) -> NewSecret {
    new_secret(name, ScopeKind::Shared, &"x".repeat(len))
}

/// Compares every count with what is stored.
async fn assert_exact(world: &World, of: &[(UsageOf, Scope)]) {
    let (records, org) = (world.store.records(), world.admin.own_org().unwrap());
    let mut secrets = 0;
    for (of, scope) in of {
        let stored: Usage = records.get(&records.usage(org, *of)).await.unwrap().unwrap();
        let mut counted = Usage::default();
        let each = |record: SecretRecord| {
            let counts = match of {
                UsageOf::Scope(_) => true,
                UsageOf::Depositor(author) => record.meta.author == *author,
            };
            if counts {
                let takes = record.meta.footprint();
                counted.secrets += 1;
                counted.variables += takes.variables;
                counted.files += takes.files;
            }
        };
        records.for_each(&records.secrets(org, *scope), each).await.unwrap();
        assert_eq!(stored, counted, "{of:?}");
        secrets += if matches!(of, UsageOf::Scope(_)) { counted.secrets } else { 0 };
    }
    let count: RecordCount =
        records.get(&records.record_count(org, CountOf::Secrets)).await.unwrap().unwrap();
    assert_eq!(count.count, secrets);
}

async fn set(world: &World, change: PolicyChange) {
    world.store.set_policy(&world.admin, change).await.unwrap();
}

/// The caller with the policy as it is now.
async fn again(world: &World, of: &Caller) -> Caller {
    let issued = world.store.create_token(of, NewToken::default(), None).await.unwrap();
    world.store.authenticate(&issued.credential, None).await.unwrap()
}

/// 40 values of 60 kB do not fit into an environment, and would stop everybody's boots.
#[tokio::test]
async fn one_members_deposits_do_not_stop_the_boots_of_others() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let mut refused = 0;
    for i in 0..40 {
        match world.store.create_secret(&bob, shared_of(&format!("big-{i}"), 60_000), None).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.code(), Code::OverBudget);
                assert!(error.to_string().contains("104857"), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 39);
    // Several members together stay within the budget of the scope.
    for i in 0..30 {
        let member = world.member(&format!("member-{i}"), Role::Member).await;
        _ = world.store.create_secret(&member, shared_of(&format!("of-{i}"), 60_000), None).await;
    }
    let full = world.store.create_secret(&world.admin, shared_of("admins", 60_000), None).await.unwrap_err();
    assert_eq!(full.code(), Code::OverBudget, "an admin holds no part, but keeps to the budget");
    let boot = world.boot(&bob).await;
    let bytes: usize = boot.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
    assert_eq!(boot.len(), 17);
    assert!(bytes < BOOT_VARIABLES as usize);
    let bobs = UsageOf::Depositor(bob.member().unwrap().0);
    assert_exact(&world, &[(UsageOf::Scope(Scope::Shared), Scope::Shared), (bobs, Scope::Shared)]).await;
}

#[tokio::test]
async fn counts_are_exact_whatever_happens_at_once() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let another = world.another().await;
    let mut deposits = tokio::task::JoinSet::new();
    for i in 0..40 {
        let (store, by) = (if i % 2 == 0 { world.store.clone() } else { another.clone() }, bob.clone());
        let scope = if i % 4 < 2 { ScopeKind::Shared } else { ScopeKind::Private };
        let new = new_secret(&format!("key-{i}"), scope, &"x".repeat(i * 10));
        deposits.spawn(async move {
            // Another process is on the same byte store: a conflict is retried as a client does.
            let id = loop {
                match store.create_secret(&by, copy(&new), None).await {
                    Ok(written) => break written.secret.meta.id,
                    Err(error) => assert!(matches!(error, Error::Failure(_)), "{error}"),
                }
            };
            let file = Replacement { delivery: Some(Delivery::File), ..replacement("longer than before") };
            match i % 3 {
                0 => _ = store.delete_secret(&by, id, None).await,
                1 => _ = store.replace_secret(&by, id, None, file).await,
                _ => {}
            }
        });
    }
    deposits.join_all().await;
    let member = bob.member().unwrap().0;
    let private = Scope::Private(member);
    let all = [
        (UsageOf::Scope(Scope::Shared), Scope::Shared),
        (UsageOf::Depositor(member), Scope::Shared),
        (UsageOf::Scope(private), private),
    ];
    assert_exact(&world, &all).await;
    // An admin's new value is the admin's part from then on.
    let shared = world.store.find_secret(&world.admin, "key-4", ScopeKind::Shared, None).await.unwrap();
    world.store.replace_secret(&world.admin, shared.meta.id, None, replacement("admins")).await.unwrap();
    let admins = UsageOf::Depositor(world.admin.member().unwrap().0);
    assert_exact(&world, &[all[0], all[1], all[2], (admins, Scope::Shared)]).await;
}

fn copy(new: &NewSecret) -> NewSecret {
    let Deposit::Value(value) = &new.deposit else { unreachable!() };
    NewSecret {
        name: new.name.clone(),
        env: None,
        owner: None,
        attributes: Attributes::default(),
        deposit: Deposit::Value(SecretValue::new(value.expose().to_vec())),
        ..*new
    }
}

/// A store of an older version has secrets and no counts.
#[tokio::test]
async fn what_an_older_version_stored_is_counted_before_the_next_change() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let ids = [world.shared("one", "1").await, world.deposit(&bob, shared_of("two", 500)).await];
    let private = Scope::Private(bob.member().unwrap().0);
    world.private(&bob, "three", "3").await;
    let (org, records) = (bob.own_org().unwrap(), world.store.records());
    let depositors = [&bob, &world.admin].map(|of| UsageOf::Depositor(of.member().unwrap().0));
    let all = [UsageOf::Scope(Scope::Shared), UsageOf::Scope(private), depositors[0], depositors[1]];
    let usage = all.map(|of| records.usage(org, of));
    let count = records.record_count(org, CountOf::Secrets);
    let forget = world.store.journal().run(Vec::new(), move |tx| {
        usage.iter().for_each(|key| tx.delete(key));
        tx.delete(&count);
        Ok::<_, Stop<Error>>(())
    });
    forget.await.unwrap();
    // Another process, because this one knows that there were counts.
    let store = world.another().await;
    store.delete_secret(&world.admin, ids[0], None).await.unwrap();
    store.replace_secret(&bob, ids[1], None, replacement("2")).await.unwrap();
    store.create_secret(&bob, new_secret("four", ScopeKind::Private, "4"), None).await.unwrap();
    let scopes = [Scope::Shared, private, Scope::Shared, Scope::Shared];
    assert_exact(&world, &all.into_iter().zip(scopes).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_scope_over_its_budget_keeps_booting_and_can_only_shrink() {
    let world = World::new().await;
    let big = world.shared("big", &"x".repeat(5000)).await;
    let low = ByteBudgets { shared_variables: 1000, ..ByteBudgets::default() };
    let budgets = BudgetsChange { shared_variables: Some(low.shared_variables), ..BudgetsChange::default() };
    set(&world, PolicyChange { budgets, ..PolicyChange::default() }).await;
    let admin = again(&world, &world.admin).await;
    assert_eq!(world.boot(&admin).await.len(), 1);
    let more = world.store.create_secret(&admin, shared_of("extra", 1), None).await.unwrap_err();
    assert_eq!(more.code(), Code::OverBudget);
    let longer = replacement(&"x".repeat(5001));
    let error = world.store.replace_secret(&admin, big, None, longer).await.unwrap_err();
    assert_eq!(error.code(), Code::OverBudget);
    world.store.replace_secret(&admin, big, None, replacement(&"x".repeat(4000))).await.unwrap();
    world.store.delete_secret(&admin, big, None).await.unwrap();
    world.store.create_secret(&admin, shared_of("extra", 900), None).await.unwrap();
    // A private scope has a budget of its own, and files have one too.
    world.private(&admin, "own", &"x".repeat(5000)).await;
    let file = NewSecret { delivery: Delivery::File, ..new_secret("file", ScopeKind::Private, "x") };
    world.deposit(&admin, file).await;
}

#[tokio::test]
async fn files_have_a_budget_of_their_own() {
    let world = World::new().await;
    let budgets = BudgetsChange { shared_files: Some(8192), ..BudgetsChange::default() };
    set(&world, PolicyChange { budgets, member_share: Some(50), ..PolicyChange::default() }).await;
    let (admin, bob) = (again(&world, &world.admin).await, world.member("bob", Role::Member).await);
    let file = |name: &str| NewSecret { delivery: Delivery::File, ..new_secret(name, ScopeKind::Shared, "") };
    // Each file takes a page, so that empty ones are not free.
    world.deposit(&bob, file("a")).await;
    let error = world.store.create_secret(&bob, file("b"), None).await.unwrap_err();
    assert!(error.to_string().contains("files of what one member may share"), "{error}");
    world.deposit(&admin, file("b")).await;
    let error = world.store.create_secret(&admin, file("c"), None).await.unwrap_err();
    assert!(error.to_string().contains("12288 bytes, and the budget is 8192"), "{error}");
}

/// The store cannot open what its client sealed, but knows how long it is. An import is refused like a deposit.
#[tokio::test]
async fn sealed_values_and_imports_count_too() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let item = |i: u8, len: usize| ImportItem {
        name: secret_name(&format!("item-{i}")),
        deposit: Some(Deposit::Value(SecretValue::new(vec![b'x'; len]))),
        value_len: None,
        options: LineOptions::default(),
        if_version: None,
    };
    let import = async |items: Vec<ImportItem>| {
        let ask = ImportAsk {
            source: ImportSource::Items(items),
            scope: ScopeKind::Shared,
            owner: None,
            existing: ExistingPolicy::Replace,
            kind: Kind::Encrypted,
            attributes: Attributes::default(),
        };
        world.store.import(&bob, ask, false).await
    };
    let error = import(vec![item(1, 60_000), item(2, 60_000)]).await.unwrap_err();
    assert_eq!(error.code(), Code::OverBudget);
    assert!(world.boot(&bob).await.is_empty(), "nothing of it is stored");
    import(vec![item(1, 60_000), item(2, 1)]).await.unwrap();
    let sealed = seal(&world, &bob, ID, version(1), &[b'x'; 60_000]).await;
    let new = NewSecret { deposit: Deposit::Sealed(sealed), ..new_secret("sealed", ScopeKind::Shared, "") };
    let error = world.store.create_secret(&bob, new, None).await.unwrap_err();
    assert_eq!(error.code(), Code::OverBudget);
}

const ID: SecretId = SecretId::from_bytes([1; 16]);

fn version(byte: u8) -> VersionId {
    VersionId::from_bytes([byte; 16])
}

/// Seals a shared value as a client does.
async fn seal(world: &World, by: &Caller, id: SecretId, version: VersionId, text: &[u8]) -> SealedDeposit {
    let info = world.store.deposit_info(by, None).await.unwrap();
    let context = ValueContext {
        store: info.store.as_bytes(),
        org: info.org.as_bytes(),
        scope: 0,
        owner: None,
        secret: id.as_bytes(),
        env: "SEALED",
        version: version.as_bytes(),
    };
    let key = DepositKey::from_parts(info.generation, info.public_key);
    let value = value::seal(&key, &context, text, &mut Kernel).unwrap();
    SealedDeposit { id, version, value, hint: None }
}

/// With A → B → A, boots that hold the first A would count as holding the current value.
#[tokio::test]
async fn a_version_is_never_used_again() {
    let world = World::new().await;
    let (store, admin) = (&world.store, &world.admin);
    let sealed = async |byte: u8| Deposit::Sealed(seal(&world, admin, ID, version(byte), &[byte]).await);
    let create = async |byte| {
        let new = NewSecret { deposit: sealed(byte).await, ..new_secret("sealed", ScopeKind::Shared, "") };
        store.create_secret(admin, new, None).await.map(|written| written.secret.meta.version)
    };
    let replace = async |byte| {
        let new = Replacement { deposit: sealed(byte).await, ..replacement("") };
        store.replace_secret(admin, ID, None, new).await.map(|written| written.secret.meta.version)
    };
    assert_eq!(create(1).await.unwrap(), version(1));
    assert_eq!(replace(2).await.unwrap(), version(2));
    for used in [1, 2] {
        assert_eq!(replace(used).await.unwrap_err().code(), Code::VersionUsed);
    }
    // An import of the current version leaves it as it is, and one of an older version is refused.
    for (byte, fate) in [(2, ImportOutcome::Keep), (1, ImportOutcome::Refused)] {
        let deposit = Some(sealed(byte).await);
        let name = secret_name("sealed");
        let item =
            ImportItem { name, deposit, value_len: None, options: LineOptions::default(), if_version: None };
        let ask = ImportAsk {
            source: ImportSource::Items(vec![item]),
            scope: ScopeKind::Shared,
            owner: None,
            existing: ExistingPolicy::Replace,
            kind: Kind::Encrypted,
            attributes: Attributes::default(),
        };
        let report = store.import(admin, ask, false).await;
        match fate {
            ImportOutcome::Refused => assert_eq!(report.unwrap_err().code(), Code::VersionUsed),
            fate => assert_eq!(report.unwrap().lines[0].fate, fate),
        }
    }
    // Its id may come back after a deletion, but none of its versions.
    store.delete_secret(admin, ID, None).await.unwrap();
    for used in [1, 2] {
        assert_eq!(create(used).await.unwrap_err().code(), Code::VersionUsed);
    }
    assert_eq!(create(3).await.unwrap(), version(3));
}

/// A preview that promises what the import then refuses is worth nothing.
#[tokio::test]
async fn a_preview_foresees_what_budgets_and_quotas_refuse() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let import = async |source: ImportSource, preview: bool| {
        let ask = ImportAsk {
            source,
            scope: ScopeKind::Shared,
            existing: ExistingPolicy::Replace,
            kind: Kind::Encrypted,
            attributes: Attributes::default(),
            owner: None,
        };
        world.store.import(&bob, ask, preview).await
    };
    let text = || {
        let line = |name: &str, len: usize| format!("{name}={}\n", "x".repeat(len));
        let text = [line("A", 60_000), line("B", 60_000), line("C", 100)].concat();
        ImportSource::Text(SecretValue::new(text.into_bytes()))
    };
    // As the command line asks: with lengths and without values.
    let items = || {
        let item = |(name, len)| ImportItem {
            name: secret_name(name),
            deposit: None,
            value_len: Some(len),
            options: LineOptions::default(),
            if_version: None,
        };
        ImportSource::Items([("a", 60_000), ("b", 60_000), ("c", 100)].map(item).into())
    };
    for source in [text(), items()] {
        let report = import(source, true).await.unwrap();
        let fates: Vec<_> = report.lines.iter().map(|line| line.fate).collect();
        // The line that does not fit is refused, and the next one does fit.
        assert_eq!(fates, [ImportOutcome::Create, ImportOutcome::Refused, ImportOutcome::Create]);
        let why = report.lines[1].why.clone().unwrap();
        assert!(why.contains("budget is 104857") && why.contains("dropsafe org set"), "{why}");
    }
    assert_eq!(import(text(), false).await.unwrap_err().code(), Code::OverBudget);
    assert!(world.boot(&bob).await.is_empty(), "nothing of it is stored");
    let change = QuotasChange { secrets: Some(2), ..QuotasChange::default() };
    world.store.set_quotas(&world.operator, &org("default"), change).await.unwrap();
    let admin = again(&world, &world.admin).await;
    let text = ImportSource::Text(SecretValue::new(b"A=1\nB=2\nC=3\n".to_vec()));
    let ask = ImportAsk {
        source: text,
        scope: ScopeKind::Private,
        existing: ExistingPolicy::Replace,
        kind: Kind::Encrypted,
        attributes: Attributes::default(),
        owner: None,
    };
    let report = world.store.import(&admin, ask, true).await.unwrap();
    assert!(
        report.lines[2].why.as_ref().unwrap().contains("quota of 2 secrets"),
        "{:?}",
        report.lines[2].why
    );
}
