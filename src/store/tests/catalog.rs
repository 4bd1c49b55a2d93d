//! Plugins, categories, presets and statistics. A disabled plugin's secrets are withheld.

use super::*;
use crate::domain::catalog::{CategoryForm, Colour};
use crate::domain::name::{Category, PluginName};
use crate::domain::resolve::SkipReason;
use crate::domain::value::ValueWarning;

fn plugin(name: &str) -> PluginName {
    PluginName::parse(name).unwrap()
}

fn category(name: &str) -> Category {
    Category::parse(name).unwrap()
}

fn declared(name: &str, required: &[&str], optional: &[&str]) -> NewPlugin {
    NewPlugin {
        name: plugin(name),
        title: None,
        required: required.iter().map(|name| secret_name(name)).collect(),
        optional: optional.iter().map(|name| secret_name(name)).collect(),
        enabled: None,
    }
}

fn tied(name: &str, scope: ScopeKind, to: &str) -> NewSecret {
    NewSecret {
        attributes: Attributes { plugin: Some(plugin(to)), ..Attributes::default() },
        ..new_secret(name, scope, "v")
    }
}

fn in_category(name: &str, of: &str) -> NewSecret {
    NewSecret {
        attributes: Attributes { category: Some(category(of)), ..Attributes::default() },
        ..new_secret(name, ScopeKind::Shared, "v")
    }
}

#[tokio::test]
async fn what_a_plugin_lacks_is_what_this_member_lacks() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let new = declared("mcp", &["openai-api-key", "db_url"], &["LOG_LEVEL", "OPENAI_API_KEY"]);
    let made = world.store.put_plugin(&world.admin, new).await.unwrap();
    assert!(made.enabled && made.declared);
    assert_eq!(made.missing, [env("OPENAI_API_KEY"), env("DB_URL")]);
    assert_eq!(made.optional.len(), 1, "what is required is not optional too");

    let mine = world.private(&bob, "OPENAI_API_KEY", "1").await;
    let shared = world.shared("db-url", "2").await;
    world.shared("OPENAI_API_KEY", "3").await;
    let seen = world.store.plugin(&bob, &plugin("mcp")).await.unwrap();
    assert_eq!(seen.missing, []);
    assert_eq!(seen.required[0].met, Some((mine, ScopeKind::Private)), "the private one comes first");
    assert_eq!(seen.required[1].met, Some((shared, ScopeKind::Shared)));
    assert_eq!(seen.optional[0].met, None);
    // Another member's private secret meets nothing of mine.
    world.private(&bob, "LOG_LEVEL", "debug").await;
    let seen = world.store.plugins(&world.admin).await.unwrap();
    assert_eq!(seen[0].optional[0].met, None);
    assert_eq!(world.store.plugins(&bob).await.unwrap()[0].optional[0].met.unwrap().1, ScopeKind::Private);
}

#[tokio::test]
async fn a_disabled_plugins_secrets_stay_in_the_store() {
    let world = World::new().await;
    world.deposit(&world.admin, tied("key", ScopeKind::Shared, "mcp")).await;
    world.shared("other", "o").await;
    let ticket = world.ticket(&world.admin).await;
    let undeclared = world.store.set_plugin_enabled(&world.admin, &plugin("mcp"), false).await;
    assert_eq!(undeclared.unwrap_err().code(), Code::NotFound);
    assert_eq!(world.boot(&world.admin).await.len(), 2, "what was never declared is enabled");

    world.store.put_plugin(&world.admin, declared("mcp", &["key"], &[])).await.unwrap();
    let state = world.store.set_plugin_enabled(&world.admin, &plugin("mcp"), false).await.unwrap();
    assert!(!state.enabled);
    let explained = world.store.explain(&ticket, BootAsk::default()).await.unwrap();
    let released = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    for receipt in [explained.receipt, released.receipt] {
        assert_eq!((receipt.count(), receipt.skipped[0].reason), (1, SkipReason::PluginDisabled));
        assert_eq!(receipt.skipped[0].env, env("KEY"));
    }
    // Declaring it anew does not enable it by the way.
    world.store.put_plugin(&world.admin, declared("mcp", &[], &[])).await.unwrap();
    assert_eq!(world.boot(&world.admin).await, pairs(&[("OTHER", "o")]));
    world.store.set_plugin_enabled(&world.admin, &plugin("mcp"), true).await.unwrap();
    assert_eq!(world.boot(&world.admin).await.len(), 2);
    // Another process knows at once.
    let another = world.another().await;
    another.set_plugin_enabled(&world.admin, &plugin("mcp"), false).await.unwrap();
    assert_eq!(world.boot(&world.admin).await.len(), 1);
    let removed = world.store.remove_plugin(&world.admin, &plugin("mcp")).await.unwrap();
    assert!(!removed.enabled, "what it was is shown");
    assert_eq!(world.boot(&world.admin).await.len(), 2);
    let left = world.store.plugins(&world.admin).await.unwrap();
    assert_eq!((left.len(), left[0].declared, left[0].secrets), (1, false, 1));
}

/// Otherwise, a member who disables a plugin could replace everybody's private values by a shared one.
#[tokio::test]
async fn disabling_a_plugin_does_not_release_the_shared_secret_in_place_of_the_private_one() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    world.shared("key", "of the organization").await;
    world.deposit(&bob, tied("key", ScopeKind::Private, "mcp")).await;
    world.store.put_plugin(&world.admin, declared("mcp", &[], &[])).await.unwrap();
    assert_eq!(world.boot(&bob).await.len(), 1);
    world.store.set_plugin_enabled(&world.admin, &plugin("mcp"), false).await.unwrap();
    let ticket = world.ticket(&bob).await;
    let released = world.store.boot(&ticket, BootAsk::default()).await.unwrap();
    let reasons: Vec<_> = released.receipt.skipped.iter().map(|skipped| skipped.reason).collect();
    assert_eq!(reasons, [SkipReason::PluginDisabled, SkipReason::PrivateWithheld]);
    assert!(released.values.is_empty());
    assert_eq!(world.boot(&world.admin).await, pairs(&[("KEY", "of the organization")]));
}

#[tokio::test]
async fn only_admins_edit_the_catalog_and_every_edit_is_recorded() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let form = || CategoryForm {
        title: "Payments".parse().unwrap(),
        colour: Colour::Teal,
        description: "Money".parse().unwrap(),
    };
    let refused = world.store.put_plugin(&bob, declared("mcp", &[], &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
    let new = || NewCategory { name: category("payments"), form: form() };
    assert_eq!(world.store.put_category(&bob, new()).await.unwrap_err().code(), Code::Forbidden);
    assert_eq!(world.store.plugins(&world.operator).await.unwrap_err().code(), Code::Forbidden);
    world.store.put_category(&world.admin, new()).await.unwrap();
    world.store.put_plugin(&world.admin, declared("mcp", &["a", "b"], &[])).await.unwrap();
    world.store.remove_category(&world.admin, &category("payments")).await.unwrap();
    world.store.remove_plugin(&world.admin, &plugin("mcp")).await.unwrap();
    let filter = AuditFilter::default();
    let trail = world.store.audit(&world.admin, &filter, PageAsk::default()).await.unwrap().items;
    let audit_action: Vec<String> = trail
        .iter()
        .filter(|item| ["plugin", "category"].iter().any(|kind| item.event.action.as_str().starts_with(kind)))
        .map(|item| {
            let target = item.event.target.as_ref().unwrap().name.as_ref().unwrap();
            format!("{} {} {}", item.event.action, target, item.event.outcome)
        })
        .collect();
    assert_eq!(
        audit_action,
        [
            "plugin.delete mcp allowed",
            "category.delete payments allowed",
            "plugin.edit mcp allowed",
            "category.edit payments allowed",
            "category.edit payments denied",
            "plugin.edit mcp denied",
        ]
    );
    assert!(world.verification().await.ok);
}

#[tokio::test]
async fn five_categories_are_always_there_and_others_come_and_go() {
    let world = World::new().await;
    world.deposit(&world.admin, in_category("a", "api_key")).await;
    world.deposit(&world.admin, in_category("b", "loose")).await;
    let names = |all: &[CategoryState]| -> Vec<String> {
        all.iter().map(|state| format!("{}:{}", state.name, state.secrets)).collect()
    };
    let all = world.store.categories(&world.admin).await.unwrap();
    let five = ["deploy_credential:0", "skill_credential:0", "cloud_storage:0", "api_key:1", "custom:0"];
    assert_eq!(names(&all[..5]), five);
    assert_eq!((names(&all[5..]), all[5].declared), (vec!["loose:1".to_owned()], false));

    let form = |title: &str| CategoryForm {
        title: title.parse().unwrap(),
        colour: Colour::Pink,
        description: Default::default(),
    };
    let own = NewCategory { name: category("loose"), form: form("Loose") };
    let own = world.store.put_category(&world.admin, own).await.unwrap();
    assert!(own.declared && !own.builtin && own.secrets == 1);
    let other = NewCategory { name: category("custom"), form: form("Sonstiges") };
    let other = world.store.put_category(&world.admin, other).await.unwrap();
    assert_eq!((other.title.as_str(), other.builtin), ("Sonstiges", true));
    let back = world.store.remove_category(&world.admin, &category("custom")).await.unwrap();
    assert_eq!((back.title.as_str(), back.colour), ("Custom", Colour::Gray));
    let again = world.store.remove_category(&world.admin, &category("custom")).await.unwrap_err();
    assert_eq!(again.code(), Code::Conflict);
    world.store.remove_category(&world.admin, &category("loose")).await.unwrap();
    let all = world.store.categories(&world.admin).await.unwrap();
    assert_eq!(
        (names(&all[5..]), all[5].declared),
        (vec!["loose:1".to_owned()], false),
        "secrets keep the word"
    );
    let unknown = world.store.remove_category(&world.admin, &category("nothing")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn statistics_count_what_the_caller_may_see() {
    let world = World::new().await;
    let bob = world.member("bob", Role::Member).await;
    let gone = world.member("gone", Role::Member).await;
    world.deposit(&world.admin, tied("a", ScopeKind::Shared, "mcp")).await;
    world.deposit(&world.admin, in_category("b", "api_key")).await;
    let off = NewSecret {
        attributes: Attributes { auto_install: false, ..Attributes::default() },
        kind: Kind::Plain,
        ..new_secret("c", ScopeKind::Private, "v")
    };
    world.deposit(&bob, off).await;
    world.private(&gone, "d", "v").await;
    world.private(&world.admin, "e", "v").await;
    world.store.remove_member(&world.admin, &member("gone")).await.unwrap();
    let bobs = world.store.statistics(&bob).await.unwrap();
    assert_eq!((bobs.total, bobs.shared, bobs.private), (3, 2, 1));
    assert_eq!((bobs.encrypted, bobs.plain, bobs.auto_install, bobs.not_auto_install), (2, 1, 2, 1));
    assert_eq!((bobs.by_plugin[&plugin("mcp")], bobs.without_plugin), (1, 2));
    assert_eq!((bobs.by_category[&category("api_key")], bobs.without_category), (1, 2));
    let all = world.store.statistics(&world.admin).await.unwrap();
    assert_eq!((all.total, all.private), (4, 2), "those of removed members are gone");
    let any = SecretFilter::default();
    let listed = world.store.list_secrets(&world.admin, &any, PageAsk::default()).await.unwrap();
    assert_eq!(listed.items.len() as u64, all.total);
    assert_eq!(world.store.statistics(&world.operator).await.unwrap_err().code(), Code::Forbidden);
}

#[tokio::test]
async fn lists_are_narrowed_by_plugin_and_category() {
    let world = World::new().await;
    world.deposit(&world.admin, tied("on", ScopeKind::Shared, "on")).await;
    world.deposit(&world.admin, tied("off", ScopeKind::Private, "off")).await;
    world.deposit(&world.admin, in_category("filed", "custom")).await;
    world.store.put_plugin(&world.admin, declared("off", &[], &[])).await.unwrap();
    world.store.set_plugin_enabled(&world.admin, &plugin("off"), false).await.unwrap();
    let any = SecretFilter::default();
    for (filter, expected) in [
        (SecretFilter { has_plugin: Some(true), ..any.clone() }, vec!["off", "on"]),
        (SecretFilter { has_plugin: Some(false), ..any.clone() }, vec!["filed"]),
        (SecretFilter { has_category: Some(true), ..any.clone() }, vec!["filed"]),
        (SecretFilter { has_category: Some(false), ..any.clone() }, vec!["off", "on"]),
        (SecretFilter { plugin_enabled: Some(true), ..any.clone() }, vec!["on"]),
        (SecretFilter { plugin_enabled: Some(false), ..any.clone() }, vec!["off"]),
        (SecretFilter { q: Some("O".into()), plugin_enabled: Some(false), ..any.clone() }, vec!["off"]),
    ] {
        let listed = world.store.list_secrets(&world.admin, &filter, PageAsk::default()).await.unwrap();
        let mut names: Vec<String> = listed.items.iter().map(|secret| secret.meta.name.to_string()).collect();
        names.sort();
        assert_eq!(names, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_page_that_is_the_last_says_so() {
    let world = World::new().await;
    for name in ["a", "b", "c", "d"] {
        world.shared(name, "v").await;
    }
    let bob = world.member("bob", Role::Member).await;
    for caller in [&world.admin, &bob] {
        let mut ask = PageAsk { cursor: None, limit: Some(2) };
        let first = world.store.list_secrets(caller, &SecretFilter::default(), ask.clone()).await.unwrap();
        assert_eq!(first.items.len(), 2);
        ask.cursor = first.next;
        let last = world.store.list_secrets(caller, &SecretFilter::default(), ask).await.unwrap();
        assert_eq!((last.items.len(), last.next), (2, None));
    }
}

#[tokio::test]
async fn a_values_form_is_warned_of_and_never_refused() {
    let world = World::new().await;
    let new = new_secret("skill:openai:access_token", ScopeKind::Private, "nonsense");
    let written = world.store.create_secret(&world.admin, new, None).await.unwrap();
    assert_eq!(written.warnings, [ValueWarning::UnusualForm { expected: "sk-".into() }]);
    let id = written.secret.meta.id;
    let written = world.store.replace_secret(&world.admin, id, None, replacement("sk-1")).await.unwrap();
    assert_eq!(written.warnings, []);
    let key = "ghp_0123456789012345678901234567890123AB";
    let new = NewSecret { kind: Kind::Plain, ..new_secret("setting", ScopeKind::Private, key) };
    let written = world.store.create_secret(&world.admin, new, None).await.unwrap();
    assert_eq!(written.warnings, [ValueWarning::LooksLikeKey]);
}

#[tokio::test]
async fn an_organization_has_its_own_catalog() {
    let world = World::new().await;
    let other = world.another_admin("other").await;
    world.store.put_plugin(&world.admin, declared("mcp", &["a"], &[])).await.unwrap();
    world.store.set_plugin_enabled(&world.admin, &plugin("mcp"), false).await.unwrap();
    assert_eq!(world.store.plugins(&other).await.unwrap().len(), 0);
    assert_eq!(world.store.plugin(&other, &plugin("mcp")).await.unwrap_err().code(), Code::NotFound);
    world.deposit(&other, tied("key", ScopeKind::Shared, "mcp")).await;
    assert_eq!(world.boot(&other).await, pairs(&[("KEY", "v")]));
    assert_eq!(world.store.statistics(&other).await.unwrap().total, 1);
    assert_eq!(world.store.statistics(&world.admin).await.unwrap().total, 0);
}
