//! Authentication of machines by a token of an issuer.
//!
//! The store finds the identity and the issuer; the caller verifies the token, which may need the network; the store compares the
//! claims. The machine learns only that its token was refused, and the audit log says why.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::crypto::sealed_release::statement::StatementHash;
use crate::crypto::sealed_release::thumbprint;
use crate::domain::audit::{AuditAction, AuditEvent, AuditText, DetailKey};
use crate::domain::id::{IdentityId, MemberId};
use crate::domain::jwt::{
    ClaimCheck, ClaimRule, IssuerSpec, TokenClaims, TokenRefusal, VerifiedToken, audience_matches, claim_text,
};
use crate::domain::role::MemberKind;
use crate::store::engine::failure::Coded;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::auth::{AuthError, anonymous_event};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::identity_view::ClaimComparison;
use crate::store::rules::store::Store;
use crate::store::tables::tickets::{self, TicketRecord, TokenRule};

/// An identity that a machine claims to have, before its token is verified.
pub(crate) struct ClaimedIdentity {
    record: TicketRecord,
    rule: TokenRule,
    issuer: IssuerSpec,
    audience: String,
    /// `None` if the machine presents the token alone.
    proven: Option<ProvenKey>,
}

/// The key that has signed a machine's proof.
struct ProvenKey {
    thumbprint: String,
    statement: StatementHash,
}

/// Why a verified token does not match the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenMismatch {
    Claim,
    Key,
    Service,
    Suspended,
}

impl TokenMismatch {
    /// The stable word in the audit log.
    fn reason(self) -> &'static str {
        match self {
            Self::Claim => "claim_differs",
            Self::Key => "key_differs",
            Self::Service => "service_unknown",
            Self::Suspended => "issuer_changed",
        }
    }
}

impl ClaimedIdentity {
    /// Whose keys verify the token.
    pub(crate) fn issuer(&self) -> &IssuerSpec {
        &self.issuer
    }

    /// Requires a token that is bound to the key with which the machine has signed its statement.
    pub(crate) fn with_key(mut self, key: &[u8; 32], statement: StatementHash) -> Self {
        self.proven = Some(ProvenKey { thumbprint: thumbprint(key), statement });
        self
    }

    /// Whether the token is for this way of presenting it. Whoever has seen a bound token pass must not use it without its key.
    fn is_bound_as_required(&self, token: &VerifiedToken) -> bool {
        let found = audience_matches(&self.audience, &token.claims);
        // That there is one has been verified.
        let found = found.and_then(|found| found.thumbprint);
        found.as_deref() == self.proven.as_ref().map(|key| key.thumbprint.as_str())
    }

    /// The audience that the token must have.
    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    /// The member that it acts for, or the services that a claim may name.
    fn members(&self) -> BTreeSet<MemberId> {
        match &self.rule.services {
            Some(claim) => claim.services.clone(),
            None => BTreeSet::from([self.record.member]),
        }
    }
}

impl Store {
    /// Finds the identity that a machine claims to have.
    pub(crate) async fn claimed_identity(
        &self,
        id: IdentityId,
        source: Option<IpAddr>,
    ) -> Result<ClaimedIdentity, AuthError> {
        let found = self.records().get(&tickets::ticket(id.into())).await?;
        let found = match found {
            Some(record) => self.with_issuer(record).await?,
            None => None,
        };
        found.ok_or_else(|| {
            let event = anonymous_event(AuditAction::Authenticate).with_request(source, None);
            self.record_denial_in_background(event.denied(AuthError::Unknown.code()));
            AuthError::Unknown
        })
    }

    /// The identity with the issuer that it relies on. `None` if it is of another kind, or its issuer was removed.
    pub(crate) async fn with_issuer(
        &self,
        record: TicketRecord,
    ) -> Result<Option<ClaimedIdentity>, AuthError> {
        let Some(rule) = record.token.clone() else { return Ok(None) };
        let issuer = match self.issuer_of(&record).await {
            Ok(Some(issuer)) => issuer,
            Ok(None) => return Ok(None),
            Err(Error::Failure(failure)) => return Err(failure.into()),
            Err(_) => return Ok(None),
        };
        let audience = rule.audience.clone().unwrap_or_else(|| self.token_audience());
        Ok(Some(ClaimedIdentity { record, rule, issuer, audience, proven: None }))
    }

    /// Authenticates a machine by its token, which was verified with the keys of the identity's issuer.
    pub(crate) async fn authenticate_by_token(
        &self,
        claimed: ClaimedIdentity,
        verified: Result<VerifiedToken, TokenRefusal>,
        source: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let about = anonymous_event(AuditAction::Authenticate).org(Some(claimed.record.org));
        let about = about.about(target::identity(claimed.record.id.into()));
        let (about, result) = match verified {
            Ok(token) => {
                let about = about.detail(DetailKey::Subject, AuditText::reported_host(&token.subject));
                self.check_verified(about, claimed, token, source).await
            }
            // An issuer that cannot be reached says nothing about the token. The machine tries again.
            Err(refusal) if refusal.is_outage() => return Err(AuthError::IssuerUnavailable),
            Err(refusal) => (
                about.detail(DetailKey::Check, AuditText::word(refusal.reason())),
                Err(AuthError::TokenRefused),
            ),
        };
        if let Err(error) = &result
            && error.is_denial()
        {
            self.record_denial_in_background(about.denied(error.code()).with_request(source, None));
        }
        result
    }

    /// Finds an identity whose tokens the caller wants to test.
    pub(crate) async fn identity_to_test(
        &self,
        caller: &Caller,
        id: IdentityId,
    ) -> Result<ClaimedIdentity, Error> {
        let found = self.visible_identity(caller, id.into(), AuditAction::IdentityList).await?;
        let claimed = match self.with_issuer(found).await {
            Ok(claimed) => claimed,
            Err(AuthError::Failure(failure)) => return Err(failure.into()),
            Err(_) => None,
        };
        claimed.ok_or(Error::NotFound { what: "issuer" })
    }

    /// Compares the claims of a token with what an identity demands, as a boot does.
    pub(crate) async fn compare_claims(
        &self,
        claimed: &ClaimedIdentity,
        claims: &TokenClaims,
    ) -> Result<Vec<ClaimComparison>, Error> {
        let rules = claimed.rule.claims.iter();
        let mut compared: Vec<ClaimComparison> =
            rules.map(|rule| ClaimComparison::of(rule, rule.check(claims))).collect();
        let members = self.members_by_id(claimed.record.org, claimed.members()).await?;
        if let Some(claim) = &claimed.rule.services {
            let names: Vec<&str> = members.values().map(|member| member.name.as_str()).collect();
            let found = claim_text(&claim.pointer, claims);
            compared.push(ClaimComparison {
                what: claim.pointer.clone(),
                passed: found.is_some_and(|found| names.contains(&found)),
                expected: names.join(", "),
                found: found.map(str::to_owned),
            });
        }
        let is_person = members.get(&claimed.record.member).is_some_and(|of| of.kind == MemberKind::Person);
        if claimed.rule.is_suspended(Some(&claimed.issuer), is_person) {
            compared.push(ClaimComparison {
                what: "issuer".to_owned(),
                passed: false,
                expected: "confirmed by its person since it was changed".to_owned(),
                found: None,
            });
        }
        Ok(compared)
    }

    async fn check_verified(
        &self,
        about: AuditEvent,
        claimed: ClaimedIdentity,
        token: VerifiedToken,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let refuse = |mismatch: TokenMismatch| {
            let about = about.clone().detail(DetailKey::Check, AuditText::word(mismatch.reason()));
            (about, Err(AuthError::TokenRefused))
        };
        if !claimed.is_bound_as_required(&token) {
            return refuse(TokenMismatch::Key);
        }
        let matches = |rule: &ClaimRule| matches!(rule.check(&token.claims), ClaimCheck::Matched);
        if !claimed.rule.claims.iter().all(matches) {
            return refuse(TokenMismatch::Claim);
        }
        let member = match self.represented_member(&claimed, &token).await {
            Ok(Some(member)) => member,
            Ok(None) => return refuse(TokenMismatch::Service),
            Err(error) => return (about, Err(error)),
        };
        let mut record = claimed.record;
        // From here on the identity acts for the service that the claim named, as if it had been made for that one alone.
        record.member = member;
        let about = about.detail(DetailKey::MemberId, member);
        let caller = match self.check_ticket(record, source, None).await {
            Ok(caller) => caller,
            Err(error) => return (about, Err(error)),
        };
        if claimed.rule.is_suspended(Some(&claimed.issuer), caller.kind() == Some(MemberKind::Person)) {
            return (
                about.detail(DetailKey::Check, AuditText::word(TokenMismatch::Suspended.reason())),
                Err(AuthError::TokenRefused),
            );
        }
        let caller = caller.with_token(token);
        // Each commit requires that the statement is not executed.
        let caller = match claimed.proven {
            Some(key) => caller.with_statement(key.statement),
            None => caller,
        };
        (about, Ok(caller))
    }

    /// The member that the token acts for: the identity's, or the service that a claim names. `None` if the claim names none of its
    /// services.
    async fn represented_member(
        &self,
        claimed: &ClaimedIdentity,
        token: &VerifiedToken,
    ) -> Result<Option<MemberId>, AuthError> {
        let Some(claim) = &claimed.rule.services else { return Ok(Some(claimed.record.member)) };
        let Some(named) = claim_text(&claim.pointer, &token.claims) else { return Ok(None) };
        let members = self.members_by_id(claimed.record.org, claim.services.clone()).await?;
        // By the name that the service has now. A removed one is refused by the next check.
        Ok(members.into_values().find(|member| member.name.as_str() == named).map(|member| member.id))
    }
}
