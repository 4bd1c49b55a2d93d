//! A source of settings: flags, the environment, a file. Tests bring their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::key::{SettingKey, SettingOrigin};

/// What a source holds for one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundSetting {
    pub origin: SettingOrigin,
    pub items: SettingTexts,
}

/// One text or several. `Debug` shows no text, which may be a secret in the wrong place.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SettingTexts {
    One(OsString),
    /// A list. Each item has its own place.
    Many(Vec<(SettingOrigin, OsString)>),
    /// Neither, with a word for what it is, such as `a mapping`.
    Other(&'static str),
}

impl std::fmt::Debug for SettingTexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(_) => f.write_str("One(..)"),
            Self::Many(items) => write!(f, "Many({})", items.len()),
            Self::Other(what) => write!(f, "Other({what})"),
        }
    }
}

/// A source of settings.
pub(crate) trait SettingSource {
    /// Returns the texts for `key`. `None` if it is not set here.
    fn find(&self, key: &SettingKey) -> Option<FoundSetting>;
}

/// The environment of a process. Each name occurs once.
#[derive(Default, Clone)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// If a name occurs twice, the first entry counts.
    pub(crate) fn new(entries: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut variables = BTreeMap::new();
        for (name, value) in entries {
            // As for getenv(3): `environ` may hold a name twice, and libc's callers see the first.
            variables.entry(name).or_insert(value);
        }
        Self(variables)
    }

    /// The variable's value. `None` if it is unset or empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        // Empty counts as unset, since container tools pass an unset variable on as an empty one.
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Every variable, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl SettingSource for Environment {
    fn find(&self, key: &SettingKey) -> Option<FoundSetting> {
        let value = self.variable(key.variable)?;
        Some(FoundSetting {
            origin: SettingOrigin::Variable(key.variable.into()),
            items: SettingTexts::One(value.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_wins_and_empty_is_unset() {
        let entry = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let environment = Environment::new([entry("A", "1"), entry("A", "2"), entry("B", "")]);
        assert_eq!(environment.variable("A"), Some(OsStr::new("1")));
        assert_eq!(environment.variable("B"), None);
        assert_eq!(environment.iter().count(), 2);
    }
}
