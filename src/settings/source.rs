//! A place where settings stand. The reader asks places in order; tests hand it places of their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::key::{SettingKey, SettingOrigin};

/// What a place holds for one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundSetting {
    /// Where exactly.
    pub origin: SettingOrigin,
    /// The text, or the texts.
    pub items: SettingTexts,
}

/// One text or several. `Debug` shows no text: it may be a secret in the wrong place.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SettingTexts {
    /// A single text.
    One(OsString),
    /// A list, each item with its own place.
    Many(Vec<(SettingOrigin, OsString)>),
    /// Neither: a mapping, or nothing at all. Says what it is.
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

/// A place where settings stand.
pub(crate) trait SettingSource {
    /// What stands there for `key`; `None` when it is not set there.
    fn find(&self, key: &SettingKey) -> Option<FoundSetting>;
}

/// The environment of a process, each name once. A variable that is set but empty counts as not set: that is how
/// container tools pass on a variable they know nothing about.
#[derive(Default, Clone)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Of several entries with one name the first counts, as for `getenv(3)`.
    pub(crate) fn new(entries: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut variables = BTreeMap::new();
        for (name, value) in entries {
            variables.entry(name).or_insert(value);
        }
        Self(variables)
    }

    /// The variable's value, when it is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
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
    fn the_first_of_two_entries_counts_and_empty_is_unset() {
        let entry = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let environment = Environment::new([entry("A", "1"), entry("A", "2"), entry("B", "")]);
        assert_eq!(environment.variable("A"), Some(OsStr::new("1")));
        assert_eq!(environment.variable("B"), None);
        assert_eq!(environment.iter().count(), 2);
    }
}
