//! What keeps a workload from starting although the store has answered. All of it is collected; it contains names and no values.

use std::ffi::{OsStr, OsString};
use std::fmt;

use super::requested_name::RequestedName;
use crate::domain::name::{EnvName, SecretName};
use crate::domain::resolve::SkipReason;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlanError {
    /// A value starts with `dropsafe:`, and the rest is not a secret's name.
    Malformed { variable: OsString },
    /// A reference names a secret that this boot does not receive.
    Unresolved {
        variable: OsString,
        secret: SecretName,
        /// Why the store left the secret out; `None` if it is not in scope at all.
        skipped: Option<SkipReason>,
    },
    /// No layer provides a required name.
    Missing {
        name: RequestedName,
        /// Why the store left the secret out; `None` if it is not in scope at all.
        skipped: Option<SkipReason>,
    },
    /// The store released a name that it may not set on this machine.
    Refused {
        name: EnvName,
        /// What the name would change.
        why: &'static str,
    },
    /// The store released two values for one name, or a value for a name that no variable can have.
    Collision { variable: OsString },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { variable } => {
                write!(f, "{} starts with dropsafe: and does not name a secret", display_name(variable))
            }
            Self::Unresolved { variable, secret, skipped } => {
                let variable = display_name(variable);
                write!(f, "{variable} refers to the secret {secret}, which {}", skip_text(*skipped))
            }
            Self::Missing { name, skipped } => {
                write!(f, "{name} is required and missing: it {}", skip_text(*skipped))
            }
            Self::Refused { name, why } => write!(f, "the store may not set {name} on this machine: {why}"),
            Self::Collision { variable } => {
                write!(f, "the store released several values for {}", display_name(variable))
            }
        }
    }
}

impl PlanError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => {
                "write dropsafe:NAME, or list the variable in `literal` if its value is not a reference"
            }
            Self::Unresolved { skipped: None, .. } => {
                "deposit it, or list the variable in `literal` if its value is not a reference"
            }
            Self::Missing { skipped: None, .. } => {
                "deposit it, or set it in the environment or the defaults file"
            }
            Self::Unresolved { skipped: Some(SkipReason::ForeignAddress), .. }
            | Self::Missing { skipped: Some(SkipReason::ForeignAddress), .. } => {
                "list it in `allow_names` if your private secrets may go to the address that others share"
            }
            Self::Unresolved { .. } | Self::Missing { .. } => {
                "`dropsafe-agent explain` shows what was left out and why"
            }
            Self::Refused { .. } => {
                "list it in `allow_names` to allow it here, or in `exclude` to do without it"
            }
            Self::Collision { .. } => "rename one of the secrets, or exclude one with `exclude`",
        }
    }
}

fn skip_text(skipped: Option<SkipReason>) -> &'static str {
    match skipped {
        None => "is not in scope for this ticket",
        Some(SkipReason::AutoInstallOff) => "is not auto-installed and was not requested",
        Some(SkipReason::Excluded) => "is excluded",
        Some(SkipReason::PluginNotRunning) => "belongs to a plugin that is not running here",
        Some(SkipReason::PluginDisabled) => "belongs to a plugin that is disabled",
        Some(SkipReason::Shadowed) => "is shadowed by a private secret",
        Some(SkipReason::PrivateWithheld) => {
            "has the exported name of a private secret that is withheld, so that no shared one takes its place"
        }
        Some(SkipReason::ForeignAddress) => {
            "is a shared address that private secrets of this boot would go to"
        }
        Some(SkipReason::Refused) => "is exported under a refused name that no administrator allowed",
        Some(SkipReason::FileOnly) => "is delivered as a file only",
        Some(SkipReason::Unusable) => "cannot be opened or exported",
    }
}

/// A name from anywhere, made safe for a terminal and for logs.
pub(crate) fn display_name(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    match CREDENTIALS.iter().find(|prefix| name.starts_with(**prefix)) {
        // Somebody has put a credential in the place of a name; the prefix says so without repeating it.
        Some(prefix) => format!("{prefix}…"),
        None => name.escape_debug().to_string(),
    }
}

/// The prefixes of tickets and of people's credentials.
pub(crate) const CREDENTIALS: [&str; 4] = ["dst_", "dsc_", "dsm_", "dso_"];

/// Every error of one plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PlanErrors(Vec<PlanError>);

impl PlanErrors {
    pub(crate) fn push(&mut self, error: PlanError) {
        self.0.push(error);
    }

    /// `value`, if there is no error.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PlanError> {
        self.0.iter()
    }

    /// What to do about the first error.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        self.0.first().map(PlanError::hint)
    }
}

/// One error per line.
impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanErrors {}
