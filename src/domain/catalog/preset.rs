//! Presets: what a platform's secrets are called, which of them are needed, and how their values usually begin.

use super::form::looks_like_a_key;
use super::table;
use crate::domain::name::{Category, EnvName, FieldKey, Label, NameError, PresetId, SecretName};
use crate::domain::value::{Kind, SecretValue, ValueWarning};

/// A platform. Its secrets are named `skill:<platform>:<key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The platform, as it stands in names.
    pub id: PresetId,
    /// What people call it.
    pub title: Label,
    /// The category of its secrets.
    pub category: Category,
    pub fields: Vec<PresetField>,
}

/// One secret of a preset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresetField {
    /// The last part of its name.
    pub key: FieldKey,
    /// What people call it.
    pub label: Label,
    /// Whether it may be left out.
    pub optional: bool,
    /// Encrypted, or plain for what is no secret, such as a region.
    pub kind: Kind,
    /// Known prefixes of its values, as their issuer publishes them; empty if none is known.
    pub prefixes: Vec<Box<str>>,
    /// The variable in which most programs expect it.
    pub usual: Option<EnvName>,
}

/// Why a preset is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresetError {
    #[error("a preset needs at least one field")]
    NoField,
    /// More fields than a form can hold.
    #[error("a preset has at most {MAX_FIELDS} fields")]
    TooManyFields,
    /// One key twice.
    #[error("two fields have the same key")]
    FieldTwice,
    /// A prefix that could hold a value, or match every one.
    #[error("a prefix is 1 to {MAX_PREFIX} visible ASCII characters")]
    Prefix,
    /// The platform has one already.
    #[error("there is already a preset of that id")]
    Taken,
    /// More presets than a list can hold.
    #[error("there are at most {MAX_PRESETS} presets")]
    TooMany,
}

const MAX_FIELDS: usize = 20;
const MAX_PRESETS: usize = 200;
const MAX_PREFIX: usize = 32;

impl Preset {
    /// A preset of these fields.
    pub fn new(
        id: PresetId,
        title: Label,
        category: Category,
        fields: Vec<PresetField>,
    ) -> Result<Self, PresetError> {
        match fields.len() {
            0 => return Err(PresetError::NoField),
            len if len > MAX_FIELDS => return Err(PresetError::TooManyFields),
            _ => {}
        }
        // Each with each, which is cheap for 20 fields.
        for (index, field) in fields.iter().enumerate() {
            if fields[..index].iter().any(|other| other.key == field.key) {
                return Err(PresetError::FieldTwice);
            }
            let fits = |prefix: &str| {
                (1..=MAX_PREFIX).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_graphic())
            };
            if !field.prefixes.iter().all(|prefix| fits(prefix)) {
                return Err(PresetError::Prefix);
            }
        }
        Ok(Self { id, title, category, fields })
    }

    /// The name of the secret that `field` stands for. None for a field of no preset's: both parts are bounded so that
    /// the whole is a name, unless neither has a letter, which `skill` has.
    pub fn name_of(&self, field: &PresetField) -> Result<SecretName, NameError> {
        SecretName::parse(&["skill:", self.id.as_str(), ":", field.key.as_str()].concat())
    }
}

/// Those of the program and those that its operator added, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presets(Vec<Preset>);

impl Presets {
    /// Those of the program.
    pub fn builtin() -> Self {
        Self(table::presets())
    }

    /// With another one behind them. One of the same id is a fault, so that nobody is misled about a well-known platform.
    pub fn add(&mut self, preset: Preset) -> Result<(), PresetError> {
        if self.find(preset.id.as_str()).is_some() {
            return Err(PresetError::Taken);
        }
        if self.0.len() >= MAX_PRESETS {
            return Err(PresetError::TooMany);
        }
        self.0.push(preset);
        Ok(())
    }

    pub fn all(&self) -> &[Preset] {
        &self.0
    }

    /// The one of that id.
    pub fn find(&self, id: &str) -> Option<&Preset> {
        self.0.iter().find(|preset| preset.id.as_str() == id)
    }

    /// What is probably a mistake in a value of this name: it does not begin as such values do, or it is to be `plain` and
    /// looks like a key.
    pub fn judge(
        &self,
        name: &SecretName,
        env: &EnvName,
        kind: Kind,
        value: &SecretValue,
    ) -> Vec<ValueWarning> {
        // An empty value has a warning of its own.
        if value.is_empty() {
            return Vec::new();
        }
        let unusual = self.prefixes(name, env).filter(|prefixes| !begins(value, prefixes));
        let unusual = unusual.map(|prefixes| ValueWarning::UnusualForm { expected: listed(&prefixes) });
        let key = kind == Kind::Plain && looks_like_a_key(value);
        unusual.into_iter().chain(key.then_some(ValueWarning::LooksLikeKey)).collect()
    }

    /// How values of this name begin, when every preset that knows the name says so.
    fn prefixes(&self, name: &SecretName, env: &EnvName) -> Option<Vec<&str>> {
        let mut all = Vec::new();
        for preset in &self.0 {
            for field in &preset.fields {
                let own = preset.name_of(field).ok()?;
                if own == *name || own.export() == *env || field.usual.as_ref() == Some(env) {
                    if field.prefixes.is_empty() {
                        // One platform without a known prefix is enough: the value may be one of its own.
                        return None;
                    }
                    all.extend(field.prefixes.iter().map(|prefix| &**prefix));
                }
            }
        }
        (!all.is_empty()).then_some(all)
    }
}

fn begins(value: &SecretValue, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| value.expose().starts_with(prefix.as_bytes()))
}

fn listed(prefixes: &[&str]) -> Box<str> {
    prefixes.join(" or ").into()
}
