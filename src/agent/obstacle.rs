//! What keeps a workload from starting although the store answered: everything at once, names only.

use std::ffi::{OsStr, OsString};
use std::fmt;

use super::wanted::Wanted;
use crate::domain::name::{EnvName, SecretName};
use crate::domain::resolve::SkipReason;

/// One thing in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// A value that begins like a reference and names no secret.
    Malformed {
        /// The variable that holds it.
        variable: OsString,
    },
    /// A reference to a secret that this boot cannot have.
    Unresolved {
        /// The variable that holds it.
        variable: OsString,
        /// What it refers to.
        secret: SecretName,
        /// Why the store left it out, if it is there at all.
        skipped: Option<SkipReason>,
    },
    /// A required name that nothing provides.
    Missing {
        /// The name.
        wanted: Wanted,
        /// Why the store left it out, if it is there at all.
        skipped: Option<SkipReason>,
    },
    /// A name that the store may not set on this machine.
    Refused {
        /// The name.
        name: EnvName,
        /// What it changes.
        why: &'static str,
    },
    /// Two released values for one name, or one for a name that no variable can have.
    Collision {
        /// The name.
        variable: OsString,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { variable } => {
                write!(f, "{} begins with dropsafe: and names no secret", shown(variable))
            }
            Self::Unresolved { variable, secret, skipped } => {
                write!(f, "{} refers to the secret {secret}, which {}", shown(variable), because(*skipped))
            }
            Self::Missing { wanted, skipped } => {
                write!(f, "{wanted} is required and missing: it {}", because(*skipped))
            }
            Self::Refused { name, why } => write!(f, "the store may not set {name} on this machine: {why}"),
            Self::Collision { variable } => {
                write!(f, "the store released values that cannot both be {}", shown(variable))
            }
        }
    }
}

impl Obstacle {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => {
                "write dropsafe:NAME, or list the variable in `literal` if its value is meant as it is"
            }
            Self::Unresolved { skipped: None, .. } => {
                "deposit it, or list the variable in `literal` if its value is meant as it is"
            }
            Self::Missing { skipped: None, .. } => {
                "deposit it, or set it in the environment or the defaults file"
            }
            Self::Unresolved { .. } | Self::Missing { .. } => {
                "`dropsafe-agent explain` shows what was left out and why"
            }
            Self::Refused { .. } => {
                "list it in `allow_names` to permit it here, or in `exclude` to do without it"
            }
            Self::Collision { .. } => "rename one of the secrets, or leave one out with `exclude`",
        }
    }
}

fn because(skipped: Option<SkipReason>) -> &'static str {
    match skipped {
        None => "is not in scope for this ticket",
        Some(SkipReason::AutoInstallOff) => "is kept with auto-install off and was not asked for",
        Some(SkipReason::Excluded) => "is excluded",
        Some(SkipReason::PluginNotRunning) => "belongs to a plugin that is not running here",
        Some(SkipReason::PluginDisabled) => "belongs to a plugin that is disabled",
        Some(SkipReason::Shadowed) => "is shadowed by a private secret",
        Some(SkipReason::Refused) => "is exported under a refused name that no administrator allowed",
        Some(SkipReason::FileOnly) => "is delivered as a file only",
        Some(SkipReason::Unusable) => "cannot be exported",
    }
}

/// A name that may have come from anywhere, without what a terminal would obey, and without the rest of a credential that was
/// put in the wrong place.
pub(crate) fn shown(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    match CREDENTIALS.iter().find(|prefix| name.starts_with(**prefix)) {
        Some(prefix) => format!("{prefix}…"),
        None => name.escape_debug().to_string(),
    }
}

/// What a ticket and the credentials of people begin with.
pub(crate) const CREDENTIALS: [&str; 4] = ["dst_", "dsc_", "dsm_", "dso_"];

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Obstacles(Vec<Obstacle>);

impl Obstacles {
    /// Adds one.
    pub(crate) fn push(&mut self, obstacle: Obstacle) {
        self.0.push(obstacle);
    }

    /// `value`, unless something is in the way.
    ///
    /// # Errors
    /// The obstacles, when there are any.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Obstacle> {
        self.0.iter()
    }

    /// What to do about the first.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        self.0.first().map(Obstacle::hint)
    }
}

/// One a line.
impl fmt::Display for Obstacles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, obstacle) in self.0.iter().enumerate() {
            write!(f, "{}{obstacle}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Obstacles {}
