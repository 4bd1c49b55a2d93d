//! Why a token is refused: one variant for each fault, for the audit log and for the person who tests an identity. The machine
//! that presented the token learns none of it.

use thiserror::Error;

use super::issuer_fault::IssuerFault;
use crate::domain::text;

text::text_enum! {
    /// A claim that RFC 7519 section 4.1 registers and the store checks.
    pub(crate) enum RegisteredClaim, "a registered claim" {
        Iss = "iss",
        Sub = "sub",
        Aud = "aud",
        Exp = "exp",
        Nbf = "nbf",
        Iat = "iat",
    }
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum TokenRefusal {
    // Form.
    #[error("the token is too long")]
    TooLarge,
    #[error("the token does not have three parts")]
    Parts,
    #[error("the token is encrypted")]
    Encrypted,
    /// Padding, another alphabet, or bits that no byte uses.
    #[error("a part of the token is not base64url")]
    Encoding,
    #[error("the token's header is not a JSON object")]
    HeaderJson,
    #[error("the token's payload is not a JSON object")]
    ClaimsJson,
    #[error("the token's JSON has a duplicate key")]
    DuplicateMember,
    #[error("the token's JSON is nested too deeply")]
    TooDeep,

    // Header.
    #[error("a header parameter of the token is missing or has the wrong type")]
    HeaderMember,
    #[error("the token has a crit header, which is not supported")]
    CriticalHeader,
    #[error("the token's payload is unencoded (b64: false)")]
    UnencodedClaims,
    /// `jwk`, `jku`, `x5c` or `x5u`.
    #[error("the token's header contains or links to a key (jwk, jku, x5c, x5u)")]
    EmbeddedKey,
    #[error("nested tokens (cty) are not supported")]
    Nested,
    #[error("the token's typ is not that of a token that says who presents it")]
    TokenType,
    #[error("the token is not signed")]
    Unsigned,
    #[error("the token is signed with a symmetric key")]
    SymmetricAlgorithm,
    #[error("the token's algorithm is not one of the issuer's")]
    AlgorithmNotAllowed,

    // Claims.
    #[error("the token has no claim {0}")]
    MissingClaim(RegisteredClaim),
    #[error("the token's claim {0} has the wrong type")]
    ClaimType(RegisteredClaim),
    #[error("the token was issued by a different issuer (iss)")]
    WrongIssuer,
    #[error("the token is for another audience")]
    WrongAudience,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token was issued in the future")]
    IssuedInFuture,
    #[error("the token is valid for too long")]
    LifetimeTooLong,

    // Key and signature.
    #[error("the issuer has no key with the token's key id")]
    UnknownKey,
    #[error("the issuer has more than one key that matches the token")]
    AmbiguousKey,
    /// An RSA key signs no ES256, for example.
    #[error("the issuer's key is of a different type than the token's algorithm requires")]
    KeyType,
    #[error("the issuer's key is for another algorithm (alg)")]
    KeyAlgorithm,
    /// The issuer published it for encryption, for example.
    #[error("the issuer's key is not for signatures (use)")]
    KeyUse,
    /// An RSA key below 2048 bits, or with an exponent that anybody can invert.
    #[error("the issuer's key is too weak")]
    WeakKey,
    #[error("the issuer's key is of a type or size that is not supported")]
    UnsupportedKey,
    #[error("the token's signature is invalid")]
    BadSignature,

    /// The store could not judge the token.
    #[error(transparent)]
    Issuer(#[from] IssuerFault),
}

impl TokenRefusal {
    /// Whether the token may be fine: the issuer's keys are needed to tell, and cannot be had now.
    pub(crate) fn is_outage(self) -> bool {
        matches!(self, Self::Issuer(fault) if fault.is_outage())
    }

    /// The stable word for it in the audit log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Parts => "parts",
            Self::Encrypted => "encrypted",
            Self::Encoding => "encoding",
            Self::HeaderJson => "header_json",
            Self::ClaimsJson => "claims_json",
            Self::DuplicateMember => "duplicate_member",
            Self::TooDeep => "too_deep",
            Self::HeaderMember => "header_member",
            Self::CriticalHeader => "critical_header",
            Self::UnencodedClaims => "unencoded_claims",
            Self::EmbeddedKey => "embedded_key",
            Self::Nested => "nested",
            Self::TokenType => "token_type",
            Self::Unsigned => "unsigned",
            Self::SymmetricAlgorithm => "symmetric_algorithm",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::MissingClaim(claim) => missing(claim),
            Self::ClaimType(claim) => wrong_type(claim),
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::UnknownKey => "unknown_key",
            Self::AmbiguousKey => "ambiguous_key",
            Self::KeyType => "key_type",
            Self::KeyAlgorithm => "key_algorithm",
            Self::KeyUse => "key_use",
            Self::WeakKey => "weak_key",
            Self::UnsupportedKey => "unsupported_key",
            Self::BadSignature => "bad_signature",
            Self::Issuer(fault) => fault.reason(),
        }
    }

    /// What to do about it.
    pub(crate) fn hint(self) -> Option<&'static str> {
        match self {
            Self::LifetimeTooLong => Some("request a token that expires within a day"),
            Self::AlgorithmNotAllowed => {
                Some("add it with dropsafe issuer set --algorithm, if the issuer's documentation lists it")
            }
            Self::MissingClaim(RegisteredClaim::Iss) => {
                Some("configure the issuer to set iss to its URL (in SPIRE: jwt_issuer)")
            }
            Self::NotYetValid | Self::IssuedInFuture => {
                Some("compare the clocks of the issuer and the store")
            }
            Self::WrongIssuer => Some("compare the claim iss with the issuer's URL: dropsafe issuer show"),
            Self::WrongAudience => {
                Some("request the token for the audience that dropsafe identity show prints")
            }
            Self::Expired => Some("request a new token"),
            Self::UnknownKey => Some("if the issuer was given a keys file, update it"),
            Self::Issuer(fault) => fault.hint(),
            Self::TooLarge
            | Self::Parts
            | Self::Encrypted
            | Self::Encoding
            | Self::HeaderJson
            | Self::ClaimsJson
            | Self::DuplicateMember
            | Self::TooDeep
            | Self::HeaderMember
            | Self::CriticalHeader
            | Self::UnencodedClaims
            | Self::EmbeddedKey
            | Self::Nested
            | Self::TokenType
            | Self::Unsigned
            | Self::SymmetricAlgorithm
            | Self::MissingClaim(_)
            | Self::ClaimType(_)
            | Self::AmbiguousKey
            | Self::KeyType
            | Self::KeyAlgorithm
            | Self::KeyUse
            | Self::WeakKey
            | Self::UnsupportedKey
            | Self::BadSignature => None,
        }
    }
}

/// One word for each claim, because the log has words and no sentences.
fn missing(claim: RegisteredClaim) -> &'static str {
    match claim {
        RegisteredClaim::Iss => "missing_iss",
        RegisteredClaim::Sub => "missing_sub",
        RegisteredClaim::Aud => "missing_aud",
        RegisteredClaim::Exp => "missing_exp",
        RegisteredClaim::Nbf => "missing_nbf",
        RegisteredClaim::Iat => "missing_iat",
    }
}

fn wrong_type(claim: RegisteredClaim) -> &'static str {
    match claim {
        RegisteredClaim::Iss => "type_of_iss",
        RegisteredClaim::Sub => "type_of_sub",
        RegisteredClaim::Aud => "type_of_aud",
        RegisteredClaim::Exp => "type_of_exp",
        RegisteredClaim::Nbf => "type_of_nbf",
        RegisteredClaim::Iat => "type_of_iat",
    }
}
