//! The variables that the machine itself provides, and the references to secrets among them. Values are kept apart from names, so
//! that code that decides about names cannot see a value.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::config::keys;
use super::config::keys::is_agent_variable;
use super::machine::Files;
use crate::domain::import;
use crate::domain::name::{EnvName, SecretName};
use crate::domain::value::SecretValue;
use crate::settings::{Environment, Setting, SettingErrors, SettingOrigin, YamlFile, YamlValue};

/// A value that starts with this names a secret instead of being the value.
const REFERENCE: &str = "dropsafe:";
const MAX_DEFAULTS_FILE: usize = 1 << 20;
const AGENT_NAME: &str = "DROPSAFE_ names belong to the agent and never reach the workload";

/// Where a variable may come from, in the default order, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// The member's own secrets.
    Private,
    /// The organization's shared secrets.
    Shared,
    /// The `secrets:` map of the configuration file.
    Secrets,
    /// The environment that the agent was started with.
    Environment,
    /// The defaults file.
    Defaults,
}

impl Layer {
    /// The default order.
    pub(crate) const ALL: [Self; 5] =
        [Self::Private, Self::Shared, Self::Secrets, Self::Environment, Self::Defaults];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Secrets => "secrets",
            Self::Environment => "environment",
            Self::Defaults => "defaults",
        }
    }

    pub(crate) fn parse(word: &str) -> Result<Self, &'static str> {
        let found = Self::ALL.into_iter().find(|layer| layer.as_str() == word);
        found.ok_or("must be one of private, shared, secrets, environment, defaults")
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the value of a local variable is, without the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LocalContent {
    Literal,
    Reference(SecretName),
    /// It starts with `dropsafe:`, and the rest is not a secret's name.
    MalformedReference,
}

/// A variable of the machine, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalVariable {
    /// `Secrets`, `Environment` or `Defaults`.
    pub(crate) layer: Layer,
    /// An inherited variable may have any name.
    pub(crate) name: OsString,
    pub(crate) content: LocalContent,
}

/// The machine's variables; the value of `variables[n]` is `values[n]`.
#[derive(Default)]
pub(crate) struct LocalVariables {
    /// At most one of each name in a layer.
    pub(crate) variables: Vec<LocalVariable>,
    pub(crate) values: Vec<SecretValue>,
}

/// Where local variables are read from.
pub(crate) struct LocalSources<'a> {
    /// The configuration file, with its `secrets:` map.
    pub(crate) file: &'a YamlFile,
    pub(crate) defaults: Option<&'a Setting<PathBuf>>,
    pub(crate) environment: &'a Environment,
    /// Names of the environment whose values are never references.
    pub(crate) literal: &'a [EnvName],
}

impl fmt::Debug for LocalVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.variables).finish()
    }
}

impl LocalVariables {
    pub(crate) fn collect(sources: &LocalSources<'_>, files: &dyn Files, faults: &mut SettingErrors) -> Self {
        let mut local = Self::default();
        local.add_secrets(sources.file, faults);
        local.add_environment(sources.environment, sources.literal);
        if let Some(defaults) = sources.defaults {
            local.add_defaults(defaults, files, faults);
        }
        local
    }

    /// Adds the `secrets:` map. Its keys are secrets' names and are exported as the store exports them, and so are the names of the
    /// defaults file.
    fn add_secrets(&mut self, file: &YamlFile, faults: &mut SettingErrors) {
        let Some(node) = file.node(keys::SECRETS) else { return };
        let entries = match &node.content {
            YamlValue::Null => return,
            YamlValue::Map(entries) => entries,
            YamlValue::Text(_) | YamlValue::List(_) => {
                return faults.push(file.origin(node, keys::SECRETS), "not a mapping of names to values");
            }
        };
        let mut seen: Vec<(EnvName, &str)> = Vec::new();
        for entry in entries {
            let origin = file.origin(&entry.value, &format!("{}.{}", keys::SECRETS, entry.key));
            let name = match SecretName::parse(&entry.key) {
                Ok(name) => name.export(),
                Err(error) => {
                    faults.push(origin, error);
                    continue;
                }
            };
            if is_agent_variable(name.as_str().as_bytes()) {
                faults.push(origin, AGENT_NAME);
                continue;
            }
            // YAML forbids equal keys, and does not know that db-url and DB_URL are exported alike.
            if let Some((_, earlier)) = seen.iter().find(|(exported, _)| *exported == name) {
                faults.push(origin, format_args!("exported as {name}, and so is {earlier}"));
                continue;
            }
            match &entry.value.content {
                YamlValue::Text(text) => {
                    self.add(Layer::Secrets, name.as_str(), SecretValue::new(text.as_bytes().to_vec()), true)
                }
                // An empty value would be a guess: the key may be a placeholder that somebody forgot.
                YamlValue::Null => faults.push(origin, "no value; write \"\" for an empty one"),
                YamlValue::List(_) | YamlValue::Map(_) => faults.push(origin, "not a single value"),
            }
            seen.push((name, &entry.key));
        }
    }

    fn add_environment(&mut self, environment: &Environment, literal: &[EnvName]) {
        for (name, value) in environment.iter().filter(|(name, _)| !is_agent_variable(name.as_bytes())) {
            let may_refer = !literal.iter().any(|literal| OsStr::new(literal.as_str()) == name);
            self.add(Layer::Environment, name, SecretValue::new(value.as_bytes().to_vec()), may_refer);
        }
    }

    fn add_defaults(&mut self, path: &Setting<PathBuf>, files: &dyn Files, faults: &mut SettingErrors) {
        let text = match files.text(&path.value, MAX_DEFAULTS_FILE) {
            Ok(text) => text.text,
            Err(error) => {
                return faults.push(path.origin.clone(), format_args!("the defaults file: {error}"));
            }
        };
        let file = Arc::<str>::from(path.value.display().to_string());
        let origin = |line| SettingOrigin::Line { file: file.clone(), line, field: "".into() };
        // The same parser as `dropsafe import`, so that one file means the same here and in the store.
        let assignments = match import::parse(text.as_bytes()) {
            Ok(assignments) => assignments,
            Err(wrong) => {
                return wrong.into_iter().for_each(|fault| faults.push(origin(fault.line), fault.kind));
            }
        };
        for assignment in assignments {
            let name = assignment.name.export();
            if is_agent_variable(name.as_str().as_bytes()) {
                faults.push(origin(assignment.line), AGENT_NAME);
            } else {
                self.add(Layer::Defaults, name.as_str(), assignment.value, true);
            }
        }
    }

    /// Drops what was inherited, except references: they were put into this unit's environment for the workloads of `boot`.
    pub(crate) fn drop_inherited(&mut self) {
        self.retain(|local| local.layer != Layer::Environment || local.content != LocalContent::Literal);
    }

    /// Keeps the variables that `keep` says.
    pub(crate) fn retain(&mut self, keep: impl Fn(&LocalVariable) -> bool) {
        // Both lists have to lose the same places, and `retain` shows a closure one list only.
        let keep: Vec<bool> = self.variables.iter().map(keep).collect();
        let mut flags = keep.iter();
        self.variables.retain(|_| flags.next().is_none_or(|keep| *keep));
        let mut flags = keep.iter();
        self.values.retain(|_| flags.next().is_none_or(|keep| *keep));
    }

    /// Sets a variable as if it had been inherited with this literal value.
    pub(crate) fn set_inherited(&mut self, name: &str, value: SecretValue) {
        let inherited = |local: &LocalVariable| local.layer == Layer::Environment && local.name == name;
        match self.variables.iter().position(inherited) {
            Some(index) => {
                self.variables[index].content = LocalContent::Literal;
                self.values[index] = value;
            }
            None => self.add(Layer::Environment, name, value, false),
        }
    }

    fn add(&mut self, layer: Layer, name: impl Into<OsString>, value: SecretValue, may_refer: bool) {
        let reference = value.expose().strip_prefix(REFERENCE.as_bytes()).filter(|_| may_refer);
        let content = match reference.map(str::from_utf8) {
            None => LocalContent::Literal,
            // Not passed on unchanged: a workload that got `dropsafe:…` for a password would fail later, and less clearly.
            Some(name) => match name.map(SecretName::parse) {
                Ok(Ok(secret)) => LocalContent::Reference(secret),
                _ => LocalContent::MalformedReference,
            },
        };
        self.variables.push(LocalVariable { layer, name: name.into(), content });
        self.values.push(value);
    }
}
