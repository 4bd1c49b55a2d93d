//! JSON Web Tokens of OpenID Connect issuers: which issuers and algorithms there are, what a verified token says, which
//! claims an identity requires, and why a token is refused. Verifies no token itself, and never prints one.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::domain::text;
use crate::domain::time::Timestamp;

mod audience;
mod claim_rule;
mod explanation;
mod issuer_fault;
mod issuer_url;
mod refusal;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use audience::AudienceMatch;
pub(crate) use audience::audience_matches;
pub(crate) use claim_rule::{ClaimCheck, ClaimRule, ClaimRuleError, claim_text};
pub(crate) use explanation::{CheckOutcome, TokenCheck, TokenCheckName, TokenExplanation};
pub(crate) use issuer_fault::IssuerFault;
pub(crate) use issuer_url::{IssuerUrl, IssuerUrlError};
pub(crate) use refusal::{RegisteredClaim, TokenRefusal};

text::text_enum! {
    /// A signature algorithm, by its name in JOSE (RFC 7518 section 3.1, RFC 8037).
    ///
    /// There is no `none` and no HMAC: whoever holds an HMAC key can sign too, and the public key of an issuer must never be
    /// mistaken for one.
    pub(crate) enum JwtAlgorithm, "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA" {
        Rs256 = "RS256",
        Rs384 = "RS384",
        Rs512 = "RS512",
        Ps256 = "PS256",
        Ps384 = "PS384",
        Ps512 = "PS512",
        Es256 = "ES256",
        Es384 = "ES384",
        EdDsa = "EdDSA",
    }
}

impl JwtAlgorithm {
    /// Its name in the `alg` member of a token's header.
    pub(crate) fn name(self) -> &'static str {
        self.as_str()
    }
}

/// An issuer that an organization trusts, and how its keys are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerSpec {
    pub(crate) url: IssuerUrl,
    /// The algorithms that its tokens may be signed with.
    pub(crate) algorithms: BTreeSet<JwtAlgorithm>,
    /// The certificate authorities that its server is verified by, as PEM. The system's if there are none.
    pub(crate) authorities: Option<String>,
    /// Its keys as a JWKS document (RFC 7517 section 5), for stores that cannot reach the issuer. The issuer is then never
    /// contacted.
    pub(crate) keys: Option<String>,
}

impl IssuerSpec {
    /// The digest of what decides whose signatures are accepted: the URL and the documents that the keys depend on. The algorithms
    /// are not among them.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let Self { url, algorithms: _, authorities, keys } = self;
        let mut hash = Sha256::new();
        for part in [Some(url.as_str()), authorities.as_deref(), keys.as_deref()] {
            // With its length, so that no part can continue in the next. No text is as long as the mark of an absent one.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        hash.finalize().into()
    }
}

/// The claims of a token.
pub(crate) type TokenClaims = Map<String, Value>;

/// What a token says whose signature, issuer, audience and times are valid.
pub(crate) struct VerifiedToken {
    /// `sub`.
    pub(crate) subject: String,
    pub(crate) claims: Map<String, Value>,
    /// `exp`.
    pub(crate) expires_at: Timestamp,
    /// SHA-256 of the part that is signed: the encoded header, a dot, and the encoded claims.
    ///
    /// It names the token for a rule that a token is used once. The signature is left out on purpose: anybody can turn a valid
    /// ECDSA signature (r, s) into the equally valid (r, n − s), so that the same token would have two digests.
    pub(crate) digest: [u8; 32],
}

impl fmt::Debug for VerifiedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Claims hold e-mail addresses and whatever else an issuer adds, which no log may repeat.
        formatter.debug_struct("VerifiedToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
