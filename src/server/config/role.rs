//! What a server is there for.

use std::fmt;
use std::str::FromStr;

use crate::settings::parse;

/// What a server is there for. Of several over one store each may have its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerRole {
    /// Everything.
    #[default]
    All,
    /// People and their deposits; it never holds the release key.
    Deposit,
    /// Boots, and unlocking for them.
    Release,
}

impl FromStr for ServerRole {
    type Err = parse::ExpectedForm;

    fn from_str(text: &str) -> Result<Self, parse::ExpectedForm> {
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
