//! A secret as a configuration names it: by its own name or by its exported name.

use std::fmt;

use crate::domain::name::{EnvName, NameError, SecretName};
use crate::domain::receipt::{Receipt, ReceiptEntry};
use crate::domain::resolve::{SkipReason, Skipped};
use crate::domain::secret::ScopeKind;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestedName {
    text: SecretName,
    env: EnvName,
}

impl RequestedName {
    /// `text` is a secret's name or an exported name.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        let text = SecretName::parse(text)?;
        let env = text.export();
        Ok(Self { text, env })
    }

    /// The name as it was written.
    pub(crate) fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// The name as it was written and, if that differs, as it is exported.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        // The store matches exactly, and only the person who wrote the name knows which of the two it is.
        let exported = (self.env.as_str() != self.text.as_str()).then_some(self.env.as_str());
        std::iter::once(self.text.as_str()).chain(exported)
    }

    /// Whether both names are exported as the same variable.
    pub(crate) fn exports_same(&self, other: &Self) -> bool {
        self.env == other.env
    }

    /// Whether `variable` is the name as written, or as exported.
    pub(crate) fn matches_variable(&self, variable: &str) -> bool {
        self.text.as_str() == variable || self.env.as_str() == variable
    }

    /// Whether this names the secret `name`, which is exported as `env`.
    pub(crate) fn matches_secret(&self, name: &SecretName, env: &EnvName) -> bool {
        // `env` need not be `name.export()`: `--as` sets an exported name of its own.
        self.text == *name || self.matches_variable(env.as_str())
    }

    /// Whether a private secret of this name is withheld from the boot, which wanted it. No shared one takes its place.
    pub(crate) fn is_withheld(&self, receipt: &Receipt) -> bool {
        let withheld = |skipped: &&Skipped| {
            use SkipReason::{PluginDisabled, Refused, Unusable};
            skipped.scope_kind == ScopeKind::Private
                && matches!(skipped.reason, PluginDisabled | Refused | Unusable)
        };
        receipt.skipped.iter().filter(withheld).any(|it| self.matches_secret(&it.name, &it.env))
    }

    /// The index of the entry that this means, in the order of `domain::resolve`: private before shared, then the secret's own name
    /// before the exported one. `None` if [`Self::is_withheld`].
    pub(crate) fn find(
        &self,
        receipt: &Receipt,
        takes_part: impl Fn(&ReceiptEntry) -> bool,
    ) -> Option<usize> {
        if self.is_withheld(receipt) {
            return None;
        }
        let entries = receipt.entries.iter().enumerate().filter(|(_, entry)| takes_part(entry));
        let meant = entries.filter(|(_, entry)| self.matches_secret(&entry.name, &entry.env));
        let meant =
            meant.min_by_key(|(_, entry)| (entry.scope, entry.name != self.text, &entry.env, entry.id));
        meant.map(|(index, _)| index)
    }
}

impl fmt::Display for RequestedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
