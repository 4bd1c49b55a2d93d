//! What a server serves.

use std::fmt;
use std::str::FromStr;

use crate::settings::parse::ExpectedForm;

/// What a server serves. Servers of one store can have different roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerRole {
    #[default]
    All,
    /// People and their deposits. A server with this role never holds the release key.
    Deposit,
    /// Boots, and unlocking for them.
    Release,
}

impl FromStr for ServerRole {
    type Err = ExpectedForm;

    fn from_str(text: &str) -> Result<Self, ExpectedForm> {
        match text {
            "all" => Ok(Self::All),
            "deposit" => Ok(Self::Deposit),
            "release" => Ok(Self::Release),
            _ => Err("expected all, deposit or release"),
        }
    }
}

impl fmt::Display for ServerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Deposit => "deposit",
            Self::Release => "release",
        })
    }
}
