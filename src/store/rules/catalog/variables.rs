//! A member's variables by name: those that are set, and those that declared plugins lack.

use std::collections::BTreeMap;

use crate::domain::attributes::Attributes;
use crate::domain::audit::AuditAction;
use crate::domain::import::{ExistingPolicy, LineOptions};
use crate::domain::name::{EnvName, PluginName, SecretName};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::domain::value::{Kind, SecretValue};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::Deposit;
use crate::store::rules::secrets::batch::BatchMode;
use crate::store::rules::secrets::batch_item::{BatchItem, BatchRules, ItemLookup, ItemValue};
use crate::store::rules::secrets::batch_plan::PlannedItem;
use crate::store::rules::store::Store;

/// A variable that the member's boots receive, or that a declared plugin names.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The secret with that exported name. Absent: the variable is not set.
    pub secret: Option<SecretMeta>,
    /// The secret's plugin, or else a plugin that declares the name; enabled ones first.
    pub plugin: Option<PluginName>,
    /// Whether that plugin is enabled. False without a plugin.
    pub plugin_enabled: bool,
}

/// A new value of a variable. No value clears it.
#[derive(Debug)]
pub struct VariableAssignment {
    /// The variable.
    pub env: EnvName,
    /// The value.
    pub value: Option<SecretValue>,
}

impl Store {
    /// Lists the variables of the caller's own boots, and those that declared plugins name.
    pub async fn variables(&self, caller: &Caller) -> Result<BTreeMap<EnvName, Variable>, Error> {
        let audit_action = AuditAction::SecretList;
        let (org, member) = self.require_member(caller, audit_action).await?;
        self.permit(
            caller,
            Action::ReadSecret(caller.scope_subject(Scope::Private(member))),
            audit_action,
            None,
        )
        .await?;
        let declared = self.declared_plugins(org).await?;
        let scope = self.secrets_in_scope(org, member).await?;
        // The first that is enabled, or else the first.
        let mut asked: BTreeMap<EnvName, (PluginName, bool)> = BTreeMap::new();
        for plugin in &declared {
            for name in plugin.names() {
                let by = (plugin.name().clone(), plugin.is_enabled());
                let first = asked.entry(name.export()).or_insert_with(|| by.clone());
                // Only an enabled plugin can receive the value, so that it explains the variable better.
                if by.1 && !first.1 {
                    *first = by;
                }
            }
        }
        let enabled = |name: &PluginName| {
            // An undeclared plugin counts as enabled, as it does for a boot.
            declared.iter().find(|plugin| plugin.name() == name).is_none_or(|plugin| plugin.is_enabled())
        };
        let mut variables: BTreeMap<EnvName, Variable> = BTreeMap::new();
        for (env, meta) in scope.winners() {
            let by = match &meta.attributes.plugin {
                Some(tied) => Some((tied.clone(), enabled(tied))),
                None => asked.get(&env).cloned(),
            };
            variables.insert(env, Variable::of(Some(meta), by));
        }
        for (env, by) in asked {
            // Declared by a plugin, and set nowhere.
            variables.entry(env).or_insert_with(|| Variable::of(None, Some(by)));
        }
        Ok(variables)
    }

    /// Sets and clears several variables in one commit, or none of them. Each is the secret that [`Store::variables`] lists
    /// under its name. A variable that is not set becomes a private secret of the caller.
    pub async fn set_variables(
        &self,
        caller: &Caller,
        assignments: Vec<VariableAssignment>,
    ) -> Result<SetVariables, Error> {
        let (_, member) = self.require_member(caller, AuditAction::SecretImport).await?;
        let own = Scope::Private(member);
        let audit_action = AuditAction::SecretCreate;
        self.permit(caller, Action::Deposit(caller.scope_subject(own)), audit_action, None).await?;
        let mut items = Vec::with_capacity(assignments.len());
        let mut names = Vec::with_capacity(assignments.len());
        let mut refused = Vec::new();
        for VariableAssignment { env, value } in assignments {
            // Not every exported name is a valid secret's name: `__` is none.
            match SecretName::parse(env.as_str()) {
                Ok(name) => {
                    names.push(env.clone());
                    let value =
                        value.map_or(ItemValue::Clear, |value| ItemValue::Deposit(Deposit::Value(value)));
                    let (lookup, options) = (ItemLookup::ExportedName, LineOptions::default());
                    items.push(BatchItem { name, env, lookup, value, options, if_version: None });
                }
                Err(error) => refused.push((env, error.to_string())),
            }
        }
        let rules = BatchRules {
            // The private one first, as a boot resolves names.
            scopes: vec![own, Scope::Shared],
            new_in: own,
            existing: ExistingPolicy::Replace,
            kind: Kind::Encrypted,
            attributes: Attributes::default(),
        };
        // A preview finds all faults at once, and stores nothing.
        let nothing = !refused.is_empty() || items.is_empty();
        let mode = if nothing { BatchMode::Preview } else { BatchMode::OneCommit };
        let (plan, stored) = self.put_batch(caller, &items, &rules, mode).await?;
        let faults = names.into_iter().zip(plan.iter().map(PlannedItem::reason));
        refused.extend(faults.filter_map(|(env, why)| Some((env, why?))));
        Ok(SetVariables { stored: stored || (items.is_empty() && refused.is_empty()), refused })
    }
}

/// Whether variables were set.
#[derive(Clone, Debug)]
pub struct SetVariables {
    /// Whether they were stored: all of them, or none.
    pub stored: bool,
    /// The variables that were refused, and why.
    pub refused: Vec<(EnvName, String)>,
}

impl Variable {
    fn of(secret: Option<SecretMeta>, by: Option<(PluginName, bool)>) -> Self {
        let (plugin, plugin_enabled) = by.map_or((None, false), |(plugin, enabled)| (Some(plugin), enabled));
        Self { secret, plugin, plugin_enabled }
    }

    /// Whether it has a value that is not empty.
    pub fn is_set(&self) -> bool {
        self.secret.as_ref().is_some_and(|secret| secret.value_len > 0)
    }

    /// The scope of the secret.
    pub fn scope(&self) -> Option<ScopeKind> {
        self.secret.as_ref().map(|secret| secret.scope.kind())
    }
}
