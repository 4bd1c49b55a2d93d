//! Which variables the workload gets, from which layer, and what each of them shadows.
//!
//! It is pure and cannot see a value: it works on names, the store's receipt and the configuration. `explain` and `exec` call the
//! same function, so that they cannot disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use super::config::AgentSettings;
use super::local_variables::{Layer, LocalContent, LocalVariable, LocalVariables};
use super::plan_error::{PlanError, PlanErrors};
use super::requested_name::RequestedName;
use crate::domain::name::{EnvName, SecretName, refused};
use crate::domain::receipt::{Receipt, ReceiptEntry};
use crate::domain::resolve::{ReleaseReason, SkipReason};
use crate::domain::secret::ScopeKind;

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanInputs<'a> {
    /// The layers in use, the highest first.
    pub(crate) order: &'a [Layer],
    pub(crate) local: &'a [LocalVariable],
    /// What the store released or, for `explain`, would release. It is empty if the workload starts without the store.
    pub(crate) receipt: &'a Receipt,
    /// Refused names that the store may set here.
    pub(crate) allow: &'a BTreeSet<EnvName>,
    pub(crate) require: &'a [RequestedName],
    pub(crate) optional: &'a [RequestedName],
}

impl<'a> PlanInputs<'a> {
    pub(crate) fn new(settings: &'a AgentSettings, local: &'a LocalVariables, receipt: &'a Receipt) -> Self {
        Self {
            order: &settings.layers,
            local: &local.variables,
            receipt,
            allow: &settings.allow_names,
            require: &settings.require,
            optional: &settings.optional,
        }
    }
}

/// Where a variable's value is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueOrigin {
    /// The index of a receipt's entry.
    Released(usize),
    /// The index of a local variable.
    Local(usize),
    /// The index of a local variable that refers to a secret, and that of the secret's entry in the receipt.
    Reference { local: usize, entry: usize },
}

/// One variable of the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedVariable {
    pub(crate) name: OsString,
    pub(crate) layer: Layer,
    pub(crate) origin: ValueOrigin,
    /// The lower layers that have this name as well, the highest first.
    pub(crate) shadows: Vec<Layer>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EnvironmentPlan {
    /// Sorted by name; each name is unique.
    pub(crate) variables: Vec<PlannedVariable>,
    /// The receipt's entries that a higher layer shadows.
    pub(crate) shadowed: Vec<usize>,
    /// Optional names that no layer provides.
    pub(crate) missing_optional: Vec<RequestedName>,
}

/// The variables of the machine that refer to secrets, which the store is asked for.
///
/// # Errors
/// Malformed references: no use of a ticket is spent on them.
pub(crate) fn references(
    order: &[Layer],
    local: &[LocalVariable],
) -> Result<BTreeMap<OsString, SecretName>, PlanErrors> {
    let mut secrets = BTreeMap::new();
    let mut errors = PlanErrors::default();
    for (name, rivals) in candidates(order, local, &Receipt::default()) {
        // A reference that a higher local layer shadows is never resolved, so it is neither requested nor an error.
        let Some(LayerCandidate { source: CandidateSource::Local(index), .. }) = rivals.first() else {
            continue;
        };
        match &local[*index].content {
            LocalContent::Reference(secret) => drop(secrets.insert(name, secret.clone())),
            LocalContent::MalformedReference => errors.push(PlanError::Malformed { variable: name }),
            LocalContent::Literal => {}
        }
    }
    errors.or(secrets)
}

/// Makes the plan. It may only be carried out if there are no errors; with errors, it still shows what the environment would be.
pub(crate) fn build(inputs: PlanInputs<'_>) -> (EnvironmentPlan, PlanErrors) {
    let mut plan = EnvironmentPlan::default();
    let mut errors = PlanErrors::default();
    for (name, rivals) in candidates(inputs.order, inputs.local, inputs.receipt) {
        let Some((winner, losers)) = rivals.split_first() else { continue };
        if let Some(twin) = losers.iter().find(|rival| rival.layer == winner.layer) {
            // Local layers hold each name once. The store does so too, and a forged or defective answer need not.
            debug_assert!(matches!(twin.source, CandidateSource::Released(_)));
            errors.push(PlanError::Collision { variable: name.clone() });
        }
        plan.shadowed.extend(losers.iter().filter_map(|rival| match rival.source {
            CandidateSource::Released(entry) => Some(entry),
            CandidateSource::Local(_) => None,
        }));
        let origin = match winner.source {
            CandidateSource::Released(entry) => {
                check_refused_name(&inputs.receipt.entries[entry], inputs.allow, &mut errors);
                ValueOrigin::Released(entry)
            }
            CandidateSource::Local(index) => match resolve(index, &inputs, &mut errors) {
                Some(origin) => origin,
                None => continue,
            },
        };
        let shadows = losers.iter().map(|rival| rival.layer).collect();
        plan.variables.push(PlannedVariable { name, layer: winner.layer, origin, shadows });
    }
    let missing = |name: &&RequestedName| !plan.provides(name, inputs.receipt);
    for name in inputs.require.iter().filter(missing) {
        let skipped = skip_reason(name, inputs.receipt);
        errors.push(PlanError::Missing { name: name.clone(), skipped });
    }
    plan.missing_optional = inputs.optional.iter().filter(missing).cloned().collect();
    (plan, errors)
}

/// The index of the local variable that wins the name, if the store does not set it.
pub(crate) fn find_local(order: &[Layer], local: &[LocalVariable], name: &str) -> Option<usize> {
    let index = |layer: &Layer| local.iter().position(|local| local.layer == *layer && local.name == name);
    order.iter().find_map(index)
}

impl EnvironmentPlan {
    pub(crate) fn variable(&self, name: &str) -> Option<&PlannedVariable> {
        self.variables.iter().find(|variable| variable.name == name)
    }

    /// A released entry that the plan neither exports nor shadows. There must be none: this checks the result of `build`.
    pub(crate) fn find_undelivered<'a>(&self, receipt: &'a Receipt) -> Option<&'a ReceiptEntry> {
        let exported =
            |index| self.variables.iter().any(|variable| variable.origin == ValueOrigin::Released(index));
        // An entry that was only released for a reference has no variable of its own.
        let mut expected =
            receipt.entries.iter().enumerate().filter(|(_, entry)| entry.by != ReleaseReason::Reference);
        expected
            .find(|(index, _)| !exported(*index) && !self.shadowed.contains(index))
            .map(|(_, entry)| entry)
    }

    fn provides(&self, name: &RequestedName, receipt: &Receipt) -> bool {
        let withheld = name.is_withheld(receipt);
        self.variables.iter().any(|variable| {
            let entry = match variable.origin {
                ValueOrigin::Released(entry) if !withheld => receipt.entries.get(entry),
                // What a reference provides is the variable that holds it, not the secret's own name.
                _ => None,
            };
            variable.name.to_str().is_some_and(|variable| name.matches_variable(variable))
                || entry.is_some_and(|entry| name.matches_secret(&entry.name, &entry.env))
        })
    }
}

struct LayerCandidate {
    layer: Layer,
    source: CandidateSource,
}

enum CandidateSource {
    Released(usize),
    Local(usize),
}

/// The candidates for each name, the highest layer first.
fn candidates(
    order: &[Layer],
    local: &[LocalVariable],
    receipt: &Receipt,
) -> BTreeMap<OsString, Vec<LayerCandidate>> {
    let mut names: BTreeMap<OsString, Vec<LayerCandidate>> = BTreeMap::new();
    let mut add = |name: OsString, layer, source| {
        names.entry(name).or_default().push(LayerCandidate { layer, source });
    };
    for layer in order.iter().copied() {
        let released = receipt.entries.iter().enumerate();
        let released =
            released.filter(|(_, entry)| entry.by != ReleaseReason::Reference && scope_layer(entry) == layer);
        for (index, entry) in released {
            add(entry.variable_name().into(), layer, CandidateSource::Released(index));
        }
        for (index, local) in local.iter().enumerate().filter(|(_, local)| local.layer == layer) {
            add(local.name.clone(), layer, CandidateSource::Local(index));
        }
    }
    names
}

fn scope_layer(entry: &ReceiptEntry) -> Layer {
    match entry.scope {
        ScopeKind::Private => Layer::Private,
        ScopeKind::Shared => Layer::Shared,
    }
}

/// Refuses names that change how programs load or run.
fn check_refused_name(entry: &ReceiptEntry, allow: &BTreeSet<EnvName>, errors: &mut PlanErrors) {
    let name = entry.variable_name();
    // `NAME_FILE` of a very long name is too long for a variable.
    let Ok(name) = EnvName::parse(&name) else {
        return errors.push(PlanError::Collision { variable: name.into() });
    };
    // The store has refused these names already. A machine need not trust everybody who administers the store.
    if let Some(refusal) = refused(&name).filter(|_| !allow.contains(&name)) {
        errors.push(PlanError::Refused { name, why: refusal.why });
    }
}

/// The origin of a local variable's value; `None` if it refers to a secret that was not released.
fn resolve(index: usize, inputs: &PlanInputs<'_>, errors: &mut PlanErrors) -> Option<ValueOrigin> {
    let (local, receipt) = (&inputs.local[index], inputs.receipt);
    let secret = match &local.content {
        LocalContent::Literal => return Some(ValueOrigin::Local(index)),
        LocalContent::Reference(secret) => secret,
        LocalContent::MalformedReference => {
            errors.push(PlanError::Malformed { variable: local.name.clone() });
            return None;
        }
    };
    if let Some(entry) = receipt.referenced(secret.as_str()) {
        return Some(ValueOrigin::Reference { local: index, entry });
    }
    let skipped = RequestedName::parse(secret.as_str()).ok().and_then(|name| skip_reason(&name, receipt));
    errors.push(PlanError::Unresolved { variable: local.name.clone(), secret: secret.clone(), skipped });
    None
}

fn skip_reason(name: &RequestedName, receipt: &Receipt) -> Option<SkipReason> {
    receipt
        .skipped
        .iter()
        .find(|skipped| name.matches_secret(&skipped.name, &skipped.env))
        .map(|skipped| skipped.reason)
}

#[cfg(test)]
mod tests;
