//! Which variables the workload gets, from where, and what each of them shadows. Pure, and blind to values: it decides on names,
//! the store's receipt and the configuration, so `explain` and `exec` cannot disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use super::config::Settings;
use super::obstacle::{Obstacle, Obstacles};
use super::own::{Given, Layer, Own};
use super::wanted::Wanted;
use crate::domain::name::{EnvName, SecretName, refused};
use crate::domain::receipt::{Receipt, ReceiptEntry};
use crate::domain::resolve::ReleaseReason;
use crate::domain::secret::ScopeKind;
use crate::domain::value::Delivery;

/// What a decision depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// The layers in use, the highest first.
    pub(crate) order: &'a [Layer],
    /// The machine's own variables.
    pub(crate) given: &'a [Given],
    /// What the store released, or would release; an empty one when the workload starts without.
    pub(crate) receipt: &'a Receipt,
    /// Refused names that the store may set here.
    pub(crate) allow: &'a BTreeSet<EnvName>,
    /// Names that the workload needs.
    pub(crate) require: &'a [Wanted],
    /// Names that it can use.
    pub(crate) optional: &'a [Wanted],
}

impl<'a> Inputs<'a> {
    /// Of a machine, and what it is released.
    pub(crate) fn of(settings: &'a Settings, own: &'a Own, receipt: &'a Receipt) -> Self {
        Self {
            order: &settings.layers,
            given: &own.given,
            receipt,
            allow: &settings.allow_names,
            require: &settings.require,
            optional: &settings.optional,
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An entry of the receipt, by its place there.
    Released(usize),
    /// One of the machine's own variables, by its place there.
    Own(usize),
    /// A variable of the machine's own that names a secret: its place, and that of the receipt's entry.
    Reference {
        /// The variable.
        own: usize,
        /// The entry.
        entry: usize,
    },
}

/// One variable of the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: OsString,
    /// The layer that it comes from.
    pub(crate) layer: Layer,
    /// Where its value is.
    pub(crate) origin: Origin,
    /// The layers below that have this name as well, the highest first.
    pub(crate) shadows: Vec<Layer>,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// By name, each once.
    pub(crate) variables: Vec<Variable>,
    /// Released entries that a layer above shadows, by their place in the receipt.
    pub(crate) overruled: Vec<usize>,
    /// Optional names that nothing provides.
    pub(crate) missing_optional: Vec<Wanted>,
}

/// The secrets that the machine's own variables refer to: what to ask the store for.
///
/// # Errors
/// References that name no secret, so that no use of a ticket is spent on them.
pub(crate) fn references(order: &[Layer], given: &[Given]) -> Result<BTreeSet<SecretName>, Obstacles> {
    let mut asked = BTreeSet::new();
    let mut obstacles = Obstacles::default();
    for rivals in candidates(order, given, &Receipt::default()).values() {
        let Some(Candidate { source: Source::Own(index), .. }) = rivals.first() else { continue };
        match &given[*index].reference {
            Some(Ok(secret)) => drop(asked.insert(secret.clone())),
            Some(Err(())) => obstacles.push(Obstacle::Malformed { variable: given[*index].name.clone() }),
            None => {}
        }
    }
    obstacles.or(asked)
}

/// Decides. Only a plan without obstacles may be carried out; with them, it still shows what it would be. Obstacles are references
/// that nothing resolves, required names that nothing provides, names that the store may not set here, and two released
/// values for one name.
pub(crate) fn decide(inputs: Inputs<'_>) -> (Plan, Obstacles) {
    let mut plan = Plan { variables: Vec::new(), overruled: Vec::new(), missing_optional: Vec::new() };
    let mut obstacles = Obstacles::default();
    for (name, rivals) in candidates(inputs.order, inputs.given, inputs.receipt) {
        let Some((winner, beaten)) = rivals.split_first() else { continue };
        if let Some(twin) = beaten.iter().find(|rival| rival.layer == winner.layer) {
            debug_assert!(matches!(twin.source, Source::Released(_)));
            obstacles.push(Obstacle::Collision { variable: name.clone() });
        }
        plan.overruled.extend(beaten.iter().filter_map(|rival| match rival.source {
            Source::Released(entry) => Some(entry),
            Source::Own(_) => None,
        }));
        let origin = match winner.source {
            Source::Released(entry) => {
                refuse(&inputs.receipt.entries[entry], inputs.allow, &mut obstacles);
                Origin::Released(entry)
            }
            Source::Own(own) => match resolve(&inputs.given[own], inputs.receipt, &mut obstacles) {
                Some(Some(entry)) => Origin::Reference { own, entry },
                Some(None) => Origin::Own(own),
                None => continue,
            },
        };
        let shadows = beaten.iter().map(|rival| rival.layer).collect();
        plan.variables.push(Variable { name, layer: winner.layer, origin, shadows });
    }
    let missing = |wanted: &&Wanted| !plan.provides(wanted, inputs.receipt);
    for wanted in inputs.require.iter().filter(missing) {
        obstacles
            .push(Obstacle::Missing { wanted: wanted.clone(), skipped: skipped(wanted, inputs.receipt) });
    }
    plan.missing_optional = inputs.optional.iter().filter(missing).cloned().collect();
    (plan, obstacles)
}

/// The variable of the machine's own that `name` is, as long as the store does not set it.
pub(crate) fn own(order: &[Layer], given: &[Given], name: &str) -> Option<usize> {
    let held = |layer: &Layer| given.iter().position(|own| own.layer == *layer && own.name == name);
    order.iter().find_map(held)
}

impl Plan {
    /// The variable of that name.
    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }

    /// A released entry that is neither passed on nor shadowed by a layer that the machine put above it. There must be none.
    pub(crate) fn misses<'a>(&self, receipt: &'a Receipt) -> Option<&'a ReceiptEntry> {
        let passed = |index| self.variables.iter().any(|variable| variable.origin == Origin::Released(index));
        let mut exported =
            receipt.entries.iter().enumerate().filter(|(_, entry)| entry.by != ReleaseReason::Reference);
        exported.find(|(index, _)| !passed(*index) && !self.overruled.contains(index)).map(|(_, entry)| entry)
    }

    fn provides(&self, wanted: &Wanted, receipt: &Receipt) -> bool {
        self.variables.iter().any(|variable| {
            let entry = match variable.origin {
                Origin::Released(entry) => receipt.entries.get(entry),
                Origin::Own(_) | Origin::Reference { .. } => None,
            };
            variable.name.to_str().is_some_and(|name| wanted.is_variable(name))
                || entry.is_some_and(|entry| wanted.is_secret(&entry.name, &entry.env))
        })
    }
}

/// The name of the variable that an entry becomes. What is delivered as a file is announced by its path, in the manner of
/// container images: `NAME_FILE`.
pub(crate) fn variable_of(entry: &ReceiptEntry) -> String {
    match entry.delivery {
        Delivery::Variable => entry.env.as_str().to_owned(),
        Delivery::File => format!("{}_FILE", entry.env),
    }
}

struct Candidate {
    layer: Layer,
    source: Source,
}

enum Source {
    Released(usize),
    Own(usize),
}

/// Who has each name, the highest layer first.
fn candidates(order: &[Layer], given: &[Given], receipt: &Receipt) -> BTreeMap<OsString, Vec<Candidate>> {
    let mut names: BTreeMap<OsString, Vec<Candidate>> = BTreeMap::new();
    for layer in order.iter().copied() {
        let released = receipt.entries.iter().enumerate();
        let released =
            released.filter(|(_, entry)| entry.by != ReleaseReason::Reference && layer_of(entry) == layer);
        for (index, entry) in released {
            let candidate = Candidate { layer, source: Source::Released(index) };
            names.entry(variable_of(entry).into()).or_default().push(candidate);
        }
        for (index, own) in given.iter().enumerate().filter(|(_, own)| own.layer == layer) {
            names.entry(own.name.clone()).or_default().push(Candidate { layer, source: Source::Own(index) });
        }
    }
    names
}

fn layer_of(entry: &ReceiptEntry) -> Layer {
    match entry.scope {
        ScopeKind::Private => Layer::Private,
        ScopeKind::Shared => Layer::Shared,
    }
}

/// The store refuses these names too; this is for a store that was talked into one by somebody whom this machine need not trust.
fn refuse(entry: &ReceiptEntry, allow: &BTreeSet<EnvName>, obstacles: &mut Obstacles) {
    let name = variable_of(entry);
    let Ok(name) = EnvName::parse(&name) else {
        return obstacles.push(Obstacle::Collision { variable: name.into() });
    };
    if let Some(refusal) = refused(&name).filter(|_| !allow.contains(&name)) {
        obstacles.push(Obstacle::Refused { name, why: refusal.why });
    }
}

/// `None` when the variable refers to something that is not there; else the entry that it refers to, if it refers to any.
fn resolve(own: &Given, receipt: &Receipt, obstacles: &mut Obstacles) -> Option<Option<usize>> {
    let secret = match &own.reference {
        None => return Some(None),
        Some(Ok(secret)) => secret,
        Some(Err(())) => {
            obstacles.push(Obstacle::Malformed { variable: own.name.clone() });
            return None;
        }
    };
    if let Some(entry) = referred(secret, receipt) {
        return Some(Some(entry));
    }
    let reason = Wanted::parse(secret.as_str()).ok().and_then(|wanted| skipped(&wanted, receipt));
    obstacles.push(Obstacle::Unresolved {
        variable: own.name.clone(),
        secret: secret.clone(),
        skipped: reason,
    });
    None
}

/// The entry that the store chose for a reference: by exported name, else by the secret's own name; the member's own first.
fn referred(secret: &SecretName, receipt: &Receipt) -> Option<usize> {
    let usable =
        || receipt.entries.iter().enumerate().filter(|(_, entry)| entry.delivery == Delivery::Variable);
    let by_env = usable().find(|(_, entry)| entry.env.as_str() == secret.as_str());
    let (_, found) = by_env.or_else(|| {
        usable().filter(|(_, entry)| entry.name == *secret).min_by_key(|(_, entry)| (entry.scope, &entry.env))
    })?;
    let rivals = usable().filter(|(_, entry)| entry.env == found.env);
    rivals.min_by_key(|(_, entry)| (entry.scope, entry.id)).map(|(index, _)| index)
}

fn skipped(wanted: &Wanted, receipt: &Receipt) -> Option<crate::domain::resolve::SkipReason> {
    receipt
        .skipped
        .iter()
        .find(|skipped| wanted.is_secret(&skipped.name, &skipped.env))
        .map(|skipped| skipped.reason)
}

#[cfg(test)]
mod tests;
