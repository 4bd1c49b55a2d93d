//! Precedence, the request's reach, and that order never matters.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::domain::attributes::Attributes;
use crate::domain::id::MemberId;
use crate::domain::secret::Scope;
use crate::domain::time::Timestamp;

mod references;
mod shared_addresses;
mod taken_names;

const OWNER: MemberId = MemberId::from_bytes([9; 16]);

fn shared(id: u8, name: &str) -> SecretMeta {
    let name = SecretName::parse(name).unwrap();
    SecretMeta {
        id: SecretId::from_bytes([id; 16]),
        env: name.export(),
        name,
        scope: Scope::Shared,
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        attributes: Attributes::default(),
        version: VersionId::from_bytes([id; 16]),
        hint: None,
        allow_refused: false,
        value_len: 40,
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        author: OWNER,
    }
}

fn private(id: u8, name: &str) -> SecretMeta {
    SecretMeta { scope: Scope::Private(OWNER), ..shared(id, name) }
}

fn off(meta: SecretMeta) -> SecretMeta {
    SecretMeta { attributes: Attributes { auto_install: false, ..Attributes::default() }, ..meta }
}

fn of_plugin(meta: SecretMeta, plugin: &str) -> SecretMeta {
    SecretMeta {
        attributes: Attributes { plugin: Some(PluginName::parse(plugin).unwrap()), ..Attributes::default() },
        ..meta
    }
}

fn file(meta: SecretMeta) -> SecretMeta {
    SecretMeta { delivery: Delivery::File, ..meta }
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn plugins(names: &[&str]) -> Option<BTreeSet<PluginName>> {
    Some(names.iter().map(|name| PluginName::parse(name).unwrap()).collect())
}

/// `ENV=id` of what is exported.
fn exported(resolution: &Resolution) -> Vec<String> {
    resolution.variables.iter().map(|(env, chosen)| format!("{env}={}", chosen.id.as_bytes()[0])).collect()
}

/// `id:reason` of what is skipped.
fn skips(resolution: &Resolution) -> Vec<String> {
    resolution
        .skipped
        .iter()
        .map(|skipped| format!("{}:{}", skipped.id.as_bytes()[0], skipped.reason))
        .collect()
}

/// No plugin is disabled unless a test says so.
fn resolve<'a>(candidates: impl IntoIterator<Item = &'a SecretMeta>, request: &ResolveRequest) -> Resolution {
    super::resolve(candidates, &BTreeSet::new(), request)
}

#[test]
fn a_disabled_plugins_secrets_are_kept_back_and_no_shared_one_takes_the_place_of_a_private_one() {
    let disabled: BTreeSet<PluginName> = plugins(&["mcp"]).unwrap();
    let secrets = [shared(1, "key"), of_plugin(private(2, "key"), "mcp"), of_plugin(shared(3, "own"), "mcp")];
    for request in [
        ResolveRequest::default(),
        ResolveRequest { plugins: plugins(&["mcp"]), ..ResolveRequest::default() },
        ResolveRequest {
            include: set(&["key", "own"]),
            references: set(&["own"]),
            ..ResolveRequest::default()
        },
        ResolveRequest { exclude: set(&["own"]), references: set(&["own"]), ..ResolveRequest::default() },
    ] {
        let resolution = super::resolve(&secrets, &disabled, &request);
        assert!(exported(&resolution).is_empty());
        assert_eq!(skips(&resolution), ["2:plugin_disabled", "1:private_withheld", "3:plugin_disabled"]);
        assert!(resolution.references.values().all(Option::is_none));
    }
    // This boot does not run the plugin anyway, so that it does without the private secret as before.
    let elsewhere = ResolveRequest {
        plugins: plugins(&["other"]),
        references: set(&["key"]),
        ..ResolveRequest::default()
    };
    let resolution = super::resolve(&secrets, &disabled, &elsewhere);
    assert_eq!(exported(&resolution), ["KEY=1"]);
    assert!(resolution.references["key"].is_some());
    // So does the owner's own setting.
    let secrets = [shared(1, "key"), off(of_plugin(private(2, "key"), "mcp"))];
    assert_eq!(exported(&super::resolve(&secrets, &disabled, &ResolveRequest::default())), ["KEY=1"]);
    let secrets = [shared(1, "key"), of_plugin(private(2, "key"), "mcp"), of_plugin(shared(3, "own"), "mcp")];
    let resolution = resolve(&secrets, &ResolveRequest::default());
    assert_eq!(exported(&resolution), ["KEY=2", "OWN=3"]);
}

#[test]
fn excluding_a_secret_opens_no_way_past_the_plugins() {
    let secrets = [of_plugin(shared(1, "key"), "mcp")];
    let request = ResolveRequest {
        plugins: plugins(&["other"]),
        exclude: set(&["key"]),
        references: set(&["key"]),
        ..ResolveRequest::default()
    };
    let resolution = resolve(&secrets, &request);
    assert_eq!(resolution.references["key"], None);
    assert_eq!(skips(&resolution), ["1:plugin_not_running"]);
}

#[test]
fn private_beats_shared_on_the_exported_name() {
    let secrets = [shared(1, "OPENAI_API_KEY"), private(2, "openai-api-key"), shared(3, "db_url")];
    let resolution = resolve(&secrets, &ResolveRequest::default());
    assert_eq!(exported(&resolution), ["DB_URL=3", "OPENAI_API_KEY=2"]);
    assert_eq!(skips(&resolution), ["1:shadowed"]);
    let winner = &resolution.variables["OPENAI_API_KEY"];
    assert_eq!((winner.scope_kind, winner.by), (ScopeKind::Private, ReleaseReason::Auto));
    assert_eq!(winner.shadows.len(), 1);
    assert_eq!(winner.shadows[0].name.as_str(), "OPENAI_API_KEY");
    assert_eq!(winner.shadows[0].scope_kind, ScopeKind::Shared);
}

#[test]
fn what_is_not_installed_shadows_nothing() {
    let running = ResolveRequest {
        plugins: plugins(&["other"]),
        exclude: set(&["excluded"]),
        ..ResolveRequest::default()
    };
    for (not_installed, reason) in [
        (off(private(2, "key")), "2:auto_install_off"),
        (of_plugin(private(2, "key"), "mcp"), "2:plugin_not_running"),
        (SecretMeta { name: SecretName::parse("excluded").unwrap(), ..private(2, "key") }, "2:excluded"),
    ] {
        let resolution = resolve(&[shared(1, "key"), not_installed], &running);
        assert_eq!(exported(&resolution), ["KEY=1"], "{reason}");
        assert!(resolution.variables["KEY"].shadows.is_empty(), "{reason}");
        assert_eq!(skips(&resolution), [reason]);
    }
}

#[test]
fn a_private_secret_that_cannot_be_delivered_leaves_its_name_unset() {
    let request = ResolveRequest { references: set(&["key"]), ..ResolveRequest::default() };
    let too_long = SecretMeta { value_len: 200_000, ..private(2, "key") };
    let resolution = resolve(&[shared(1, "key"), too_long], &request);
    assert!(exported(&resolution).is_empty());
    assert_eq!(skips(&resolution), ["2:unusable", "1:private_withheld"]);
    assert_eq!(resolution.references["key"], None);
    // A file is delivered, and what refers to it must not get the shared value instead.
    let resolution = resolve(&[shared(1, "key"), file(private(2, "key"))], &request);
    assert_eq!(exported(&resolution), ["KEY=2"]);
    assert_eq!(resolution.references["key"], None);
}

#[test]
fn refused_names_are_skipped_unless_allowed() {
    let allowed = |meta| SecretMeta { allow_refused: true, ..meta };
    let secrets = [shared(1, "ld-preload"), allowed(shared(2, "LD_PRELOAD"))];
    let resolution = resolve(&secrets, &ResolveRequest::default());
    assert_eq!(exported(&resolution), ["LD_PRELOAD=2"]);
    assert_eq!(skips(&resolution), ["1:refused"]);
    // That an admin allowed the shared one says nothing about the private one.
    let secrets = [private(1, "ld-preload"), allowed(shared(2, "LD_PRELOAD"))];
    let resolution = resolve(&secrets, &ResolveRequest::default());
    assert!(exported(&resolution).is_empty());
    assert_eq!(skips(&resolution), ["1:refused", "2:private_withheld"]);
}

fn named_addresses(names: &[&str]) -> SharedAddresses {
    SharedAddresses::Named(names.iter().map(|name| EnvName::parse(name).unwrap()).collect())
}

#[test]
fn two_of_one_scope_are_decided_by_id() {
    for secrets in [[private(2, "key"), private(1, "KEY")], [shared(1, "KEY"), shared(2, "key")]] {
        let resolution = resolve(&secrets, &ResolveRequest::default());
        assert_eq!(exported(&resolution), ["KEY=1"]);
        assert_eq!(skips(&resolution), ["2:shadowed"]);
        assert_eq!(resolution.variables["KEY"].shadows[0].id, SecretId::from_bytes([2; 16]));
    }
}

#[test]
fn include_brings_what_is_off_by_either_name() {
    for asked in ["db-url", "DB_URL"] {
        let request = ResolveRequest { include: set(&[asked]), ..ResolveRequest::default() };
        let resolution = resolve(&[off(shared(1, "db-url")), off(shared(2, "other"))], &request);
        assert_eq!(exported(&resolution), ["DB_URL=1"]);
        assert_eq!(resolution.variables["DB_URL"].by, ReleaseReason::Included);
        assert_eq!(skips(&resolution), ["2:auto_install_off"]);
    }
}

#[test]
fn an_included_private_secret_overrides() {
    let request = ResolveRequest { include: set(&["KEY"]), ..ResolveRequest::default() };
    let resolution = resolve(&[shared(1, "key"), off(private(2, "key"))], &request);
    assert_eq!(exported(&resolution), ["KEY=2"]);
    assert_eq!(skips(&resolution), ["1:shadowed"]);
}

#[test]
fn exclude_wins_over_auto_and_include() {
    for asked in ["db-url", "DB_URL"] {
        let request =
            ResolveRequest { include: set(&["db-url"]), exclude: set(&[asked]), ..ResolveRequest::default() };
        let resolution = resolve(&[shared(1, "db-url")], &request);
        assert_eq!(skips(&resolution), ["1:excluded"]);
        assert!(resolution.variables.is_empty());
    }
}

#[test]
fn neither_include_nor_reference_reaches_past_the_plugins() {
    let secret = [of_plugin(shared(1, "key"), "mcp:github")];
    let request = ResolveRequest {
        plugins: plugins(&[]),
        include: set(&["key"]),
        references: set(&["key"]),
        ..ResolveRequest::default()
    };
    let resolution = resolve(&secret, &request);
    assert_eq!(skips(&resolution), ["1:plugin_not_running"]);
    assert_eq!(resolution.references["key"], None);
    for plugins in [plugins(&["mcp:github", "x"]), None] {
        let resolution = resolve(&secret, &ResolveRequest { plugins, ..ResolveRequest::default() });
        assert_eq!(exported(&resolution), ["KEY=1"]);
    }
}

#[test]
fn a_reference_delivers_without_exporting() {
    let request = ResolveRequest { references: set(&["db-url", "nothing"]), ..ResolveRequest::default() };
    let resolution = resolve(&[off(shared(1, "db-url"))], &request);
    assert!(resolution.variables.is_empty() && resolution.skipped.is_empty());
    assert_eq!(resolution.references["db-url"].as_ref().unwrap().by, ReleaseReason::Reference);
    assert_eq!(resolution.references["nothing"], None);
}

#[test]
fn a_reference_also_exports_what_is_on() {
    let request = ResolveRequest { references: set(&["DB_URL"]), ..ResolveRequest::default() };
    let resolution = resolve(&[shared(1, "db-url")], &request);
    assert_eq!(exported(&resolution), ["DB_URL=1"]);
    assert_eq!(resolution.references["DB_URL"].as_ref().unwrap().id, resolution.variables["DB_URL"].id);
}

#[test]
fn a_reference_yields_the_secret_that_overrides() {
    for asked in ["openai-api-key", "OPENAI_API_KEY", "openai.api.key"] {
        let request = ResolveRequest { references: set(&[asked]), ..ResolveRequest::default() };
        let resolution = resolve(&[shared(1, "openai-api-key"), off(private(2, "openai.api.key"))], &request);
        let chosen = resolution.references[asked].as_ref().unwrap();
        assert_eq!(chosen.id, SecretId::from_bytes([2; 16]), "{asked}");
        assert_eq!(chosen.shadows[0].id, SecretId::from_bytes([1; 16]), "{asked}");
    }
}

#[test]
fn a_reference_may_use_an_excluded_or_refused_name() {
    let request = ResolveRequest {
        references: set(&["db-url", "path"]),
        exclude: set(&["db-url"]),
        ..ResolveRequest::default()
    };
    let resolution = resolve(&[shared(1, "db-url"), shared(2, "path")], &request);
    assert!(resolution.variables.is_empty());
    assert!(resolution.references.values().all(Option::is_some));
}

#[test]
fn a_file_is_exported_but_not_referred_to() {
    let request = ResolveRequest { references: set(&["cert", "key"]), ..ResolveRequest::default() };
    let long = SecretMeta { value_len: 1 << 20, ..file(shared(1, "cert")) };
    let resolution = resolve(&[long, off(file(shared(2, "key")))], &request);
    assert_eq!(exported(&resolution), ["CERT=1"]);
    assert_eq!(resolution.variables["CERT"].delivery, Delivery::File);
    assert_eq!(skips(&resolution), ["2:file_only"]);
    assert!(resolution.references.values().all(Option::is_none));
}

#[test]
fn nothing_yields_nothing() {
    assert_eq!(resolve(&[], &ResolveRequest::default()), Resolution::default());
}

#[test]
fn serde_round_trips() {
    let secrets = [shared(1, "OPENAI_API_KEY"), private(2, "openai-api-key"), off(shared(3, "x"))];
    let resolution =
        resolve(&secrets, &ResolveRequest { references: set(&["x"]), ..ResolveRequest::default() });
    let text = serde_json::to_string(&resolution).unwrap();
    assert_eq!(serde_json::from_str::<Resolution>(&text).unwrap(), resolution);
}

/// A few names that collide once exported, so that most cases have rivals.
const NAMES: [&str; 10] = [
    "db-url",
    "DB_URL",
    "db.url",
    "api-key",
    "API_KEY",
    "ld-preload",
    "LD_PRELOAD",
    "skill:openai:access_token",
    "api-url",
    "db-host",
];

prop_compose! {
    fn candidate()(
        name in prop::sample::select(&NAMES[..]),
        is_private in any::<bool>(),
        auto_install in prop::bool::weighted(0.7),
        plugin in prop::option::weighted(0.3, prop::sample::select(vec!["a", "b"])),
        is_file in prop::bool::weighted(0.2),
        allow_refused in any::<bool>(),
        value_len in prop_oneof![4 => 0_u32..4096, 1 => Just(2_000_000_u32)],
    ) -> SecretMeta {
        let meta = if is_private { private(0, name) } else { shared(0, name) };
        let plugin = plugin.map(|name| PluginName::parse(name).unwrap());
        let delivery = if is_file { Delivery::File } else { Delivery::Variable };
        let attributes = Attributes { auto_install, plugin, ..Attributes::default() };
        SecretMeta { attributes, delivery, allow_refused, value_len, ..meta }
    }
}

fn candidates() -> impl Strategy<Value = Vec<SecretMeta>> {
    prop::collection::vec(candidate(), 0..24).prop_map(|mut all| {
        for (id, meta) in (1..).zip(&mut all) {
            meta.id = SecretId::from_bytes([id; 16]);
            meta.version = VersionId::from_bytes([id ^ 0x5a; 16]);
        }
        all
    })
}

fn asked() -> impl Strategy<Value = BTreeSet<String>> {
    let names = prop::sample::select(vec![
        "db-url",
        "DB_URL",
        "API_KEY",
        "API_URL",
        "LD_PRELOAD",
        "SKILL_OPENAI_ACCESS_TOKEN",
        "no",
    ]);
    prop::collection::btree_set(names.prop_map(str::to_owned), 0..3)
}

prop_compose! {
    fn request()(
        restricted in prop::option::of(prop::collection::btree_set(prop::sample::select(vec!["a", "b"]), 0..2)),
        include in asked(),
        exclude in asked(),
        references in asked(),
        variables in prop::collection::btree_set(prop::sample::select(vec!["API_URL", "API_KEY", "DB_HOST", "OTHER"]), 0..3),
        addresses in prop_oneof![
            3 => Just(SharedAddresses::default()),
            1 => Just(SharedAddresses::All),
            1 => Just(named_addresses(&["API_URL"])),
        ],
    ) -> ResolveRequest {
        let plugins = restricted.map(|names| names.iter().map(|name| PluginName::parse(name).unwrap()).collect());
        let referenced_as = variables.iter().zip(references.iter().cycle());
        let referenced_as = referenced_as.map(|(name, asked)| (EnvName::parse(name).unwrap(), asked.clone())).collect();
        ResolveRequest { plugins, include, exclude, references, referenced_as, addresses }
    }
}

proptest! {
    #[test]
    fn the_order_of_the_candidates_does_not_matter(all in candidates(), request in request(), swaps in prop::collection::vec(any::<(Index, Index)>(), 0..40)) {
        let mut shuffled = all.clone();
        if !all.is_empty() {
            for (a, b) in swaps {
                shuffled.swap(a.index(all.len()), b.index(all.len()));
            }
        }
        prop_assert_eq!(resolve(&all, &request), resolve(&shuffled, &request));
        let repeated = all.iter().chain(&shuffled);
        prop_assert_eq!(resolve(&all, &request), resolve(repeated, &request));
    }

    #[test]
    fn every_candidate_is_accounted_for_once(all in candidates(), request in request()) {
        let resolution = resolve(&all, &request);
        let exported: BTreeSet<_> = resolution.variables.values().map(|chosen| chosen.id).collect();
        let referred: BTreeSet<_> = resolution.references.values().flatten().map(|chosen| chosen.id).collect();
        let skipped: Vec<_> = resolution.skipped.iter().map(|skipped| skipped.id).collect();
        let unique: BTreeSet<_> = skipped.iter().copied().collect();
        prop_assert_eq!(skipped.len(), unique.len());
        prop_assert_eq!(exported.len(), resolution.variables.len());
        for meta in &all {
            let released = exported.contains(&meta.id) || referred.contains(&meta.id);
            prop_assert!(released != unique.contains(&meta.id), "{:?}", meta.id);
        }
        prop_assert_eq!(resolution.references.keys().collect::<Vec<_>>(), request.references.iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_winner_is_the_first_that_would_be_installed(all in candidates(), request in request()) {
        let resolution = resolve(&all, &request);
        for (env, chosen) in &resolution.variables {
            prop_assert_eq!(env, &chosen.env);
            // Alone, the winner is installed too; so is everything that it shadows, and nothing else competes.
            let alone = |id| all.iter().filter(|meta| meta.id == id).map(|meta| resolve([meta], &request)).next().unwrap();
            prop_assert!(alone(chosen.id).variables.contains_key(env));
            for lost in &chosen.shadows {
                prop_assert!(alone(lost.id).variables.contains_key(env));
                prop_assert!((chosen.scope_kind, chosen.id) < (lost.scope_kind, lost.id));
            }
            if chosen.scope_kind == ScopeKind::Shared {
                // A private rival that is not installed is one that its owner or this boot does without.
                let keeps = |meta: &&SecretMeta| meta.env == *env && meta.scope != Scope::Shared;
                for meta in all.iter().filter(keeps) {
                    let alone = resolve([meta], &request);
                    let reason = alone.skipped.first().map(|skipped| skipped.reason);
                    let exempt = [SkipReason::AutoInstallOff, SkipReason::Excluded, SkipReason::PluginNotRunning];
                    let off = !meta.attributes.auto_install;
                    prop_assert!(off || reason.is_none() || reason.is_some_and(|reason| exempt.contains(&reason)));
                }
            }
            // Alone, a shared address meets no private secret of its service; among all, it may be withheld for one.
            let foreign = |id| resolution.skipped.iter().any(|skipped| skipped.id == id && skipped.reason == SkipReason::ForeignAddress);
            let rivals = all.iter().filter(|meta| meta.env == *env && !foreign(meta.id));
            let rivals = rivals.filter(|meta| resolve([*meta], &request).variables.contains_key(env)).count();
            prop_assert_eq!(rivals, 1 + chosen.shadows.len());
        }
    }

    #[test]
    fn nothing_is_exported_against_the_rules(all in candidates(), request in request()) {
        let resolution = resolve(&all, &request);
        for chosen in resolution.variables.values() {
            let meta = all.iter().find(|meta| meta.id == chosen.id).unwrap();
            let asked = |names: &BTreeSet<String>| names.contains(meta.name.as_str()) || names.contains(meta.env.as_str());
            prop_assert!(!asked(&request.exclude));
            prop_assert!(meta.attributes.auto_install || asked(&request.include));
            prop_assert!(meta.allow_refused || refused_as(&meta.env, meta.delivery).is_none());
            prop_assert!(request.plugins.as_ref().is_none_or(|running| meta.attributes.plugin.as_ref().is_none_or(|plugin| running.contains(plugin))));
            prop_assert!(meta.value_len < 2_000_000);
        }
    }
}
