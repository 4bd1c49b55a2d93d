//! The variables that the machine itself brings, and the references among them. Values stay apart from names, so that whatever
//! decides about names cannot see one.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::config::{is_ours, key};
use super::machine::Files;
use crate::domain::import;
use crate::domain::name::{EnvName, SecretName};
use crate::domain::value::SecretValue;
use crate::settings::{Environment, Setting, SettingErrors, SettingOrigin, YamlFile, YamlValue};

/// What a value begins with that names a secret instead of being one.
const REFERENCE: &str = "dropsafe:";
/// As for the configuration file, bytes.
const MAX_DEFAULTS: usize = 1 << 20;

/// Where a variable may come from, by default the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// The member's own secrets.
    Private,
    /// The organization's secrets.
    Shared,
    /// The `secrets:` map of the configuration file.
    Secrets,
    /// What the agent was started with.
    Environment,
    /// The defaults file.
    Defaults,
}

impl Layer {
    /// The order unless the configuration says otherwise.
    pub(crate) const ALL: [Self; 5] =
        [Self::Private, Self::Shared, Self::Secrets, Self::Environment, Self::Defaults];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Secrets => "secrets",
            Self::Environment => "environment",
            Self::Defaults => "defaults",
        }
    }

    /// The layer of that word.
    ///
    /// # Errors
    /// The words there are.
    pub(crate) fn parse(word: &str) -> Result<Self, &'static str> {
        let found = Self::ALL.into_iter().find(|layer| layer.as_str() == word);
        found.ok_or("not one of private, shared, secrets, environment, defaults")
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A variable of the machine's own, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// Where it comes from: `Secrets`, `Environment` or `Defaults`.
    pub(crate) layer: Layer,
    /// Its name; an inherited one may be anything.
    pub(crate) name: OsString,
    /// The secret that its value names, when it is a reference; `Err` when what follows `dropsafe:` names none.
    pub(crate) reference: Option<Result<SecretName, ()>>,
}

/// The machine's own variables; the value of `given[n]` is `values[n]`.
#[derive(Default)]
pub(crate) struct Own {
    /// Names, at most one of each in a layer.
    pub(crate) given: Vec<Given>,
    /// Values.
    pub(crate) values: Vec<SecretValue>,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.given).finish()
    }
}

impl Own {
    pub(crate) fn read(
        file: &YamlFile,
        defaults: Option<&Setting<PathBuf>>,
        environment: &Environment,
        literal: &[EnvName],
        files: &dyn Files,
        faults: &mut SettingErrors,
    ) -> Self {
        let mut own = Self::default();
        own.add_secrets(file, faults);
        own.add_environment(environment, literal);
        if let Some(defaults) = defaults {
            own.add_defaults(defaults, files, faults);
        }
        own
    }

    /// The `secrets:` map. Its keys are secrets' names, exported as the store would export them; so are those of the defaults.
    fn add_secrets(&mut self, file: &YamlFile, faults: &mut SettingErrors) {
        let Some(node) = file.node(key::SECRETS) else { return };
        let entries = match &node.content {
            YamlValue::Null => return,
            YamlValue::Map(entries) => entries,
            YamlValue::Text(_) | YamlValue::List(_) => {
                return faults.push(file.origin(node, key::SECRETS), "not a mapping of names to values");
            }
        };
        let mut seen: Vec<(EnvName, &str)> = Vec::new();
        for entry in entries {
            let origin = file.origin(&entry.value, &format!("{}.{}", key::SECRETS, entry.key));
            let name = match SecretName::parse(&entry.key) {
                Ok(name) => name.export(),
                Err(error) => {
                    faults.push(origin, error);
                    continue;
                }
            };
            if is_ours(name.as_str().as_bytes()) {
                faults.push(origin, "DROPSAFE_ names are the agent's own and are never passed on");
                continue;
            }
            if let Some((_, earlier)) = seen.iter().find(|(exported, _)| *exported == name) {
                faults.push(origin, format_args!("exported as {name}, and so is {earlier}"));
                continue;
            }
            match &entry.value.content {
                YamlValue::Text(text) => {
                    self.add(Layer::Secrets, name.as_str(), SecretValue::new(text.as_bytes().to_vec()), true)
                }
                YamlValue::Null => faults.push(origin, "no value; write \"\" for an empty one"),
                YamlValue::List(_) | YamlValue::Map(_) => faults.push(origin, "not a single value"),
            }
            seen.push((name, &entry.key));
        }
    }

    fn add_environment(&mut self, environment: &Environment, literal: &[EnvName]) {
        for (name, value) in environment.iter().filter(|(name, _)| !is_ours(name.as_bytes())) {
            let refers = !literal.iter().any(|literal| OsStr::new(literal.as_str()) == name);
            self.add(Layer::Environment, name, SecretValue::new(value.as_bytes().to_vec()), refers);
        }
    }

    fn add_defaults(&mut self, path: &Setting<PathBuf>, files: &dyn Files, faults: &mut SettingErrors) {
        let text = match files.text(&path.value, MAX_DEFAULTS) {
            Ok(text) => text.text,
            Err(error) => {
                return faults.push(path.origin.clone(), format_args!("the defaults file: {error}"));
            }
        };
        let file = Arc::<str>::from(path.value.display().to_string());
        let origin = |line| SettingOrigin::Line { file: file.clone(), line, field: "".into() };
        let assignments = match import::parse(text.as_bytes()) {
            Ok(assignments) => assignments,
            Err(wrong) => {
                return wrong.into_iter().for_each(|fault| faults.push(origin(fault.line), fault.kind));
            }
        };
        for assignment in assignments {
            let name = assignment.name.export();
            if is_ours(name.as_str().as_bytes()) {
                faults.push(
                    origin(assignment.line),
                    "DROPSAFE_ names are the agent's own and are never passed on",
                );
            } else {
                self.add(Layer::Defaults, name.as_str(), assignment.value, true);
            }
        }
    }

    /// Leaves out what was inherited, but for what refers to a secret.
    pub(crate) fn keep_references(&mut self) {
        let keep: Vec<bool> =
            self.given.iter().map(|own| own.layer != Layer::Environment || own.reference.is_some()).collect();
        let mut kept = keep.iter();
        self.given.retain(|_| kept.next().is_none_or(|keep| *keep));
        let mut kept = keep.iter();
        self.values.retain(|_| kept.next().is_none_or(|keep| *keep));
    }

    /// Puts a variable in the place of the inherited one of that name, or beside the others.
    pub(crate) fn inherit(&mut self, name: &str, value: SecretValue) {
        let inherited = |given: &Given| given.layer == Layer::Environment && given.name == name;
        match self.given.iter().position(inherited) {
            Some(index) => {
                self.given[index].reference = None;
                self.values[index] = value;
            }
            None => {
                let name = name.into();
                self.given.push(Given { layer: Layer::Environment, name, reference: None });
                self.values.push(value);
            }
        }
    }

    /// `refers`: whether the value may be a reference.
    fn add(&mut self, layer: Layer, name: impl Into<OsString>, value: SecretValue, refers: bool) {
        let named = value.expose().strip_prefix(REFERENCE.as_bytes()).filter(|_| refers);
        let reference = named
            .map(|name| str::from_utf8(name).map_err(drop).and_then(|n| SecretName::parse(n).map_err(drop)));
        self.given.push(Given { layer, name: name.into(), reference });
        self.values.push(value);
    }
}
