//! A secret as a configuration names it: by its own name or by the name it is exported as.

use std::fmt;

use crate::domain::name::{EnvName, NameError, SecretName};

/// A name that someone asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    text: SecretName,
    env: EnvName,
}

impl Wanted {
    /// Takes a secret's name or an exported name.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        let text = SecretName::parse(text)?;
        let env = text.export();
        Ok(Self { text, env })
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// As it was written and, where that differs, as it is exported: a store matches each of them exactly.
    pub(crate) fn both(&self) -> impl Iterator<Item = &str> {
        let exported = (self.env.as_str() != self.text.as_str()).then_some(self.env.as_str());
        std::iter::once(self.text.as_str()).chain(exported)
    }

    /// Whether both name the same variable.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.env == other.env
    }

    /// Whether `variable` is what was asked for: the very name, or what the name is exported as.
    pub(crate) fn is_variable(&self, variable: &str) -> bool {
        self.text.as_str() == variable || self.env.as_str() == variable
    }

    /// Whether the secret `name`, exported as `env`, is what was asked for.
    pub(crate) fn is_secret(&self, name: &SecretName, env: &EnvName) -> bool {
        self.text == *name || self.is_variable(env.as_str())
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
