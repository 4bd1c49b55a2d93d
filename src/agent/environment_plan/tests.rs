//! The plan, case by case and by properties.

use proptest::prelude::*;

use super::*;
use crate::agent::arguments::SettingArgs;
use crate::agent::config;
use crate::agent::local_variables::LocalVariables;
use crate::agent::machine::fake::FakeFiles;
use crate::domain::id::{SecretId, VersionId};
use crate::domain::resolve::{SkipReason, Skipped};
use crate::domain::value::{Delivery, Kind};
use crate::settings::Environment;

fn entry(id: u8, name: &str, scope: ScopeKind, by: ReleaseReason) -> ReceiptEntry {
    let name = SecretName::parse(name).unwrap();
    ReceiptEntry {
        env: name.export(),
        name,
        id: SecretId::from_bytes([id; 16]),
        scope,
        version: VersionId::from_bytes([id; 16]),
        kind: Kind::Encrypted,
        delivery: Delivery::Variable,
        by,
        shadows: Vec::new(),
    }
}

fn private(id: u8, name: &str) -> ReceiptEntry {
    entry(id, name, ScopeKind::Private, ReleaseReason::Auto)
}

fn shared(id: u8, name: &str) -> ReceiptEntry {
    entry(id, name, ScopeKind::Shared, ReleaseReason::Auto)
}

fn off(name: &str, reason: SkipReason) -> Skipped {
    let name = SecretName::parse(name).unwrap();
    Skipped {
        id: SecretId::from_bytes([9; 16]),
        env: name.export(),
        name,
        scope_kind: ScopeKind::Shared,
        version: VersionId::from_bytes([9; 16]),
        reason,
    }
}

fn receipt(entries: Vec<ReceiptEntry>) -> Receipt {
    Receipt { entries, skipped: Vec::new(), revision: 1 }
}

/// The machine's own variables, as they are read.
fn local(yaml: &str, defaults: &str, environment: &[(&str, &str)]) -> LocalVariables {
    let files = FakeFiles::default().with("/etc/dropsafe/agent.yaml", yaml).with("/d", defaults);
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    let environment = Environment::new(environment.chain([("DROPSAFE_DEFAULTS_FILE".into(), "/d".into())]));
    config::read(&SettingArgs::default(), &environment, &files).unwrap().1
}

struct Case {
    local: LocalVariables,
    receipt: Receipt,
    order: Vec<Layer>,
    allow: BTreeSet<EnvName>,
    require: Vec<RequestedName>,
    optional: Vec<RequestedName>,
}

impl Case {
    fn new(local: LocalVariables, entries: Vec<ReceiptEntry>) -> Self {
        Self {
            local,
            receipt: receipt(entries),
            order: Layer::ALL.to_vec(),
            allow: BTreeSet::new(),
            require: Vec::new(),
            optional: Vec::new(),
        }
    }

    fn build(&self) -> Result<EnvironmentPlan, PlanErrors> {
        let (plan, errors) = build(PlanInputs {
            order: &self.order,
            local: &self.local.variables,
            receipt: &self.receipt,
            allow: &self.allow,
            require: &self.require,
            optional: &self.optional,
        });
        errors.or(plan)
    }

    /// `NAME=layer` or `NAME=layer>shadowed,shadowed`, `*` behind a reference.
    fn summarize(&self) -> Vec<String> {
        let summary = |variable: &PlannedVariable| {
            let below: Vec<&str> = variable.shadows.iter().map(|layer| layer.as_str()).collect();
            let reference = if matches!(variable.origin, ValueOrigin::Reference { .. }) { "*" } else { "" };
            let below = if below.is_empty() { String::new() } else { format!(">{}", below.join(",")) };
            format!("{}={}{reference}{below}", variable.name.display(), variable.layer)
        };
        self.build().unwrap().variables.iter().map(summary).collect()
    }

    fn refused(&self) -> String {
        self.build().unwrap_err().to_string()
    }
}

fn names(list: &[&str]) -> Vec<RequestedName> {
    list.iter().map(|name| RequestedName::parse(name).unwrap()).collect()
}

#[test]
fn the_highest_layer_wins_on_the_exported_name() {
    let local = local(
        "secrets: {openai-api-key: a, db-url: b, only-here: c}",
        "DB_URL=d\nPORT=80\nLAST=e\n",
        &[("OPENAI_API_KEY", "f"), ("PORT", "81"), ("openai_api_key", "g")],
    );
    let mut case = Case::new(local, vec![private(1, "openai-api-key"), shared(2, "PORT")]);
    assert_eq!(
        case.summarize(),
        [
            "DB_URL=secrets>defaults",
            "LAST=defaults",
            "ONLY_HERE=secrets",
            "OPENAI_API_KEY=private>secrets,environment",
            "PORT=shared>environment,defaults",
            "openai_api_key=environment",
        ]
    );
    case.order = vec![Layer::Environment, Layer::Private, Layer::Shared];
    assert_eq!(
        case.summarize(),
        ["OPENAI_API_KEY=environment>private", "PORT=environment>shared", "openai_api_key=environment"]
    );
    assert_eq!(case.build().unwrap().shadowed, [0, 1]);
}

#[test]
fn references_are_requested_and_replaced() {
    let local = local(
        "secrets: {cache-url: dropsafe:redis}",
        "DATABASE_URL=dropsafe:unused\nX=dropsafe:also\n",
        &[("DATABASE_URL", "dropsafe:db-url"), ("PLAIN", "xdropsafe:db-url")],
    );
    let asked = references(&Layer::ALL, &local.variables).unwrap();
    let asked: Vec<_> = asked.iter().map(|(name, secret)| format!("{}={secret}", name.display())).collect();
    assert_eq!(
        asked,
        ["CACHE_URL=redis", "DATABASE_URL=db-url", "X=also"],
        "what the machine itself shadows is not asked for"
    );

    let by_reference = |id, name| entry(id, name, ScopeKind::Shared, ReleaseReason::Reference);
    let entries = vec![by_reference(1, "db-url"), by_reference(2, "redis"), private(3, "also")];
    let case = Case::new(local, entries);
    assert_eq!(
        case.summarize(),
        [
            "ALSO=private",
            "CACHE_URL=secrets*",
            "DATABASE_URL=environment*>defaults",
            "PLAIN=environment",
            "X=defaults*"
        ]
    );
}

#[test]
fn a_reference_takes_what_the_store_chose_for_it() {
    let local = || local("", "", &[("A", "dropsafe:DB_URL"), ("B", "dropsafe:db-url")]);
    let of = |entries| Case::new(local(), entries).build().unwrap().variables;
    // The member's own secret, with auto-install off, is referred to; the shared one is exported.
    let variables = of(vec![
        entry(2, "db-url", ScopeKind::Shared, ReleaseReason::Auto),
        entry(1, "db-url", ScopeKind::Private, ReleaseReason::Reference),
    ]);
    assert_eq!(variables[0].origin, ValueOrigin::Reference { local: 0, entry: 1 });
    assert_eq!(variables[1].origin, ValueOrigin::Reference { local: 1, entry: 1 });
    assert_eq!((variables[2].name.to_str(), variables[2].origin), (Some("DB_URL"), ValueOrigin::Released(0)));
}

/// Otherwise another member could share a secret under the name that the machine refers to, and the workload would use it.
#[test]
fn no_shared_secret_takes_the_place_of_a_private_one_that_was_not_released() {
    let theirs = || ReceiptEntry { env: EnvName::parse("ZZ_X").unwrap(), ..shared(1, "stripe-key") };
    let mut case = Case::new(local("", "", &[("STRIPE", "dropsafe:stripe-key")]), vec![theirs()]);
    assert_eq!(case.summarize(), ["STRIPE=environment*", "ZZ_X=shared"]);
    case.receipt.skipped =
        vec![Skipped { scope_kind: ScopeKind::Private, ..off("stripe-key", SkipReason::PluginDisabled) }];
    case.require = names(&["stripe-key"]);
    assert!(
        case.refused().starts_with("STRIPE refers to the secret stripe-key, which "),
        "{}",
        case.refused()
    );
    assert!(case.refused().contains("stripe-key is required and missing: it "), "{}", case.refused());
    // A file is released and cannot be referred to.
    let file = ReceiptEntry { delivery: Delivery::File, ..private(2, "stripe-key") };
    let case = Case::new(local("", "", &[("STRIPE", "dropsafe:stripe-key")]), vec![theirs(), file]);
    assert!(case.refused().starts_with("STRIPE refers to the secret stripe-key, which "));
}

#[test]
fn every_error_is_reported_at_once_and_without_a_value() {
    let local = local(
        "secrets: {a: dropsafe:gone, b: dropsafe:kept}",
        "",
        &[("C", "dropsafe:hunter2 hunter2"), ("D", "dropsafe:")],
    );
    let mut case = Case::new(local, vec![shared(1, "PATH"), shared(2, "x"), shared(3, "X")]);
    case.receipt.skipped =
        vec![off("kept", SkipReason::PluginNotRunning), off("db-url", SkipReason::AutoInstallOff)];
    case.require = names(&["db-url", "NOWHERE", "x"]);
    let why = refused(&EnvName::parse("PATH").unwrap()).unwrap().why;
    assert_eq!(
        case.refused(),
        format!(
            "A refers to the secret gone, which is not in scope for this ticket\n\
             B refers to the secret kept, which belongs to a plugin that is not running here\n\
             C starts with dropsafe: and does not name a secret\n\
             D starts with dropsafe: and does not name a secret\n\
             the store may not set PATH on this machine: {why}\n\
             the store released several values for X\n\
             db-url is required and missing: it is not auto-installed and was not requested\n\
             NOWHERE is required and missing: it is not in scope for this ticket"
        )
    );
    assert!(references(&Layer::ALL, &case.local.variables).is_err(), "before a use of the ticket is spent");
}

#[test]
fn a_refused_name_may_be_allowed_here_or_be_set_by_the_machine() {
    let mut case = Case::new(local("", "", &[]), vec![shared(1, "LD_PRELOAD")]);
    assert!(case.refused().starts_with("the store may not set LD_PRELOAD on this machine: "));
    case.allow.insert(EnvName::parse("LD_PRELOAD").unwrap());
    assert_eq!(case.summarize(), ["LD_PRELOAD=shared"]);
    let mut case = Case::new(local("", "", &[("PATH", "/bin")]), vec![shared(1, "PATH")]);
    case.order.swap(0, 3);
    case.order.swap(1, 3);
    assert_eq!(case.order[0], Layer::Environment);
    assert!(case.summarize().contains(&"PATH=environment>shared".to_owned()));
}

#[test]
fn required_and_optional_names_may_be_met_by_any_layer() {
    let local = local("", "a=1\n", &[("http_proxy", "")]);
    let mut renamed = shared(1, "custom");
    renamed.env = EnvName::parse("customCase").unwrap();
    let mut case = Case::new(local, vec![renamed]);
    case.require = names(&["A", "a", "http_proxy", "custom", "customCase"]);
    case.optional = names(&["http_proxy", "gone"]);
    assert_eq!(case.build().unwrap().missing_optional, names(&["gone"]));
}

#[test]
fn a_file_is_announced_by_its_path() {
    let mut tls = shared(1, "tls-key");
    tls.delivery = Delivery::File;
    let case = Case::new(local("", "", &[("TLS_KEY_FILE", "/x")]), vec![tls]);
    assert_eq!(case.summarize(), ["TLS_KEY_FILE=shared>environment"]);
}

#[test]
fn the_agents_own_variables_are_never_passed_on() {
    let local = local(
        "",
        "",
        &[("DROPSAFE_TICKET", "t"), ("DROPSAFE_X", "x"), ("dropsafe.ticket", "t"), ("DROPSAFE", "1")],
    );
    assert_eq!(Case::new(local, vec![]).summarize(), ["DROPSAFE=environment"]);
}

proptest! {
    /// Each name comes out once, from the highest layer that has it, and every released entry is accounted for.
    #[test]
    fn each_name_once_and_every_entry_accounted_for(
        inherited in proptest::collection::btree_set(0u8..12, 0..8),
        defaults in proptest::collection::btree_set(0u8..12, 0..8),
        secrets in proptest::collection::btree_set(0u8..12, 0..8),
        released in proptest::collection::btree_map(0u8..12, any::<bool>(), 0..8),
        order in Just(Layer::ALL.to_vec()).prop_shuffle(),
    ) {
        let name = |n: &u8| format!("N{n}");
        let yaml: String = secrets.iter().map(|n| format!("  N{n}: v\n")).collect();
        let yaml = if yaml.is_empty() { yaml } else { format!("secrets:\n{yaml}") };
        let file: String = defaults.iter().map(|n| format!("N{n}=v\n")).collect();
        let environment: Vec<(String, &str)> = inherited.iter().map(|n| (name(n), "v")).collect();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let entries = released.iter().map(|(n, own)| if *own { private(*n, &name(n)) } else { shared(*n, &name(n)) });
        let mut case = Case::new(local(&yaml, &file, &environment), entries.collect());
        case.order = order.clone();
        let plan = case.build().unwrap();

        let has = |layer: Layer, n: &u8| match layer {
            Layer::Private => released.get(n) == Some(&true),
            Layer::Shared => released.get(n) == Some(&false),
            Layer::Secrets => secrets.contains(n),
            Layer::Environment => inherited.contains(n),
            Layer::Defaults => defaults.contains(n),
        };
        let mut expected: Vec<(String, Vec<Layer>)> = (0u8..12)
            .map(|n| (name(&n), order.iter().copied().filter(|layer| has(*layer, &n)).collect::<Vec<_>>()))
            .filter(|(_, layers)| !layers.is_empty())
            .collect();
        expected.sort();
        let decided: Vec<(String, Vec<Layer>)> = plan
            .variables
            .iter()
            .map(|v| (v.name.to_str().unwrap().to_owned(), [&[v.layer][..], &v.shadows].concat()))
            .collect();
        prop_assert_eq!(decided, expected);
        let passed = plan.variables.iter().filter(|v| matches!(v.origin, ValueOrigin::Released(_))).count();
        prop_assert_eq!(passed + plan.shadowed.len(), case.receipt.count());
        prop_assert_eq!(plan.find_undelivered(&case.receipt), None);
    }
}
