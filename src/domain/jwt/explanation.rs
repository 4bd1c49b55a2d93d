//! The checks of a token, one by one, for the person who tests an identity. Never holds the token.

use serde_json::{Map, Value};

use super::refusal::TokenRefusal;
use crate::domain::text;

text::text_enum! {
    /// A check of a token, in the order in which they are made.
    pub(crate) enum TokenCheckName, "a check of a token" {
        /// Three parts of base64url, two of them strict JSON.
        Form = "form",
        /// No member of the header asks for anything unusual.
        Header = "header",
        Algorithm = "algorithm",
        Issuer = "issuer",
        Subject = "subject",
        Audience = "audience",
        /// `exp`.
        Expiry = "expiry",
        /// `nbf` and `iat`.
        Start = "start",
        /// The issuer has a key for it.
        Key = "key",
        Signature = "signature",
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckOutcome {
    Passed,
    Refused(TokenRefusal),
    /// It needs what an earlier check did not find.
    Skipped,
}

/// A check and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenCheck {
    pub(crate) name: TokenCheckName,
    pub(crate) outcome: CheckOutcome,
}

/// Every check of one token, in order, and what the token claims.
pub(crate) struct TokenExplanation {
    pub(crate) checks: Vec<TokenCheck>,
    /// The claims, if the token has the form of one. They prove nothing unless every check passed.
    pub(crate) claims: Option<Map<String, Value>>,
}

impl TokenExplanation {
    /// Whether a boot with this token would get as far as the identity's own claims.
    pub(crate) fn is_verified(&self) -> bool {
        self.checks.iter().all(|check| check.outcome == CheckOutcome::Passed)
    }
}
