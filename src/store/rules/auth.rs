//! Authentication: from a credential to a caller.
//!
//! A credential is looked up by its public id, and the hash of its secret part is compared in constant time. An unknown id is
//! compared with zeros, so that neither the time nor the answer reveals whether an id exists.

use std::net::IpAddr;

use crate::domain::audit::{Actor, ActorKind, AuditAction, AuditEvent, Outcome};
use crate::domain::code::Code;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::name::OrgName;
use crate::domain::role::{OrgPolicy, Principal};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::store::Store;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::orgs;
use crate::store::tables::tickets;
use crate::store::tables::tickets::TicketRecord;
use crate::store::tables::tokens;
use crate::store::tables::tokens::TokenRecord;

/// Why a credential was not accepted. All but `Unknown` and `Failure` require the secret part.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// There is no such credential, or its secret part is wrong. The API counts these for each source.
    #[error("the credential is not known")]
    Unknown,
    /// It has expired.
    #[error("the credential has expired")]
    Expired,
    /// It was revoked, or its member was removed.
    #[error("the credential was revoked")]
    Revoked,
    /// The address is outside the ticket's networks.
    #[error("the credential may not be used from this address")]
    SourceNotAllowed,
    /// The store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl AuthError {
    /// Whether it counts as a guess, which the API slows down for each source.
    pub fn is_guess(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

impl Coded for AuthError {
    fn code(&self) -> Code {
        match self {
            Self::Unknown => Code::Unauthorized,
            Self::Expired => Code::Expired,
            Self::Revoked => Code::Revoked,
            Self::SourceNotAllowed => Code::SourceNotAllowed,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unknown => "check that the credential is whole, and of this store",
            Self::Expired | Self::Revoked => "ask an admin for a new one",
            Self::SourceNotAllowed => "ask an admin for a ticket that this network may use",
            Self::Failure(failure) => return failure.hint(),
        };
        Some(hint.to_owned())
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Failure(failure) => failure.retry_after(),
            _ => None,
        }
    }
}

impl Store {
    /// Authenticates a credential. `source` is the peer's address, and `None` on a Unix socket, which is outside every
    /// ticket's networks. Denials are recorded in the audit log, at a bounded rate.
    pub async fn authenticate(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        // The kind is part of the credential, so that a token is never looked up as a ticket.
        let (about, result) = match credential.kind {
            CredentialKind::Operator | CredentialKind::Member => {
                self.authenticate_token(credential, source).await
            }
            CredentialKind::Ticket => self.authenticate_ticket(credential, source).await,
        };
        // A failure of the store is no denial, and could not be recorded either.
        if let Err(error) = &result
            && !matches!(error, AuthError::Failure(_))
        {
            let event = about.denied(error.code()).with_request(source, None);
            self.record_denial_in_background(event);
        }
        result
    }

    async fn authenticate_token(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let found = self.records().get(&tokens::token(credential.token_id())).await;
        let token = match verify_secret(credential, found, |token: &TokenRecord| &token.hash) {
            Ok(token) => token,
            Err(error) => return (anonymous_event(), Err(error)),
        };
        let about = anonymous_event().org(token.member.map(|(org, _)| org)).about(target::token(token.id));
        (about, self.check_token(token, source).await)
    }

    pub(crate) async fn check_token(
        &self,
        token: TokenRecord,
        source: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        refuse_unusable(token.revoked_at.is_some(), token.expires_at.is_some_and(|at| at <= self.now()))?;
        // The operator belongs to no organization, so that there is nothing else to read.
        let Some((org, member)) = token.member else {
            return Ok(Caller::new(Principal::Operator, None, OrgPolicy::default(), source));
        };
        let (name, policy, member) = self.membership(org, member).await?;
        let MemberRecord { id, name: member, role, .. } = member;
        Ok(Caller::new(Principal::Member { org, id, name: member, role }, Some(name), policy, source))
    }

    async fn authenticate_ticket(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let found = self.records().get(&tickets::ticket(credential.ticket_id())).await;
        let ticket = match verify_secret(credential, found, |ticket: &TicketRecord| &ticket.hash) {
            Ok(ticket) => ticket,
            Err(error) => return (anonymous_event(), Err(error)),
        };
        let about = anonymous_event().org(Some(ticket.org)).about(target::ticket(ticket.id));
        (about, self.check_ticket(ticket, source).await)
    }

    async fn check_ticket(&self, ticket: TicketRecord, source: Option<IpAddr>) -> Result<Caller, AuthError> {
        refuse_unusable(ticket.revoked_at.is_some(), ticket.expires_at.is_some_and(|at| at <= self.now()))?;
        // A Unix socket has no address, and a ticket with networks is for the network only.
        let inside = |source: IpAddr| ticket.sources.iter().any(|network| network.contains(source));
        if !ticket.sources.is_empty() && !source.is_some_and(inside) {
            return Err(AuthError::SourceNotAllowed);
        }
        let (name, policy, member) = self.membership(ticket.org, ticket.member).await?;
        let principal = Principal::Ticket {
            org: ticket.org,
            id: ticket.id,
            member: member.id,
            name: member.name,
            role: member.role,
        };
        let caller = Caller::new(principal, Some(name), policy, source);
        Ok(caller.with_ticket(ticket))
    }

    /// The member, and the name and policy of its organization. Fails if the member was removed.
    async fn membership(
        &self,
        org: OrgId,
        member: MemberId,
    ) -> Result<(OrgName, OrgPolicy, MemberRecord), AuthError> {
        let (org_key, member_key) = (orgs::org(org), self.records().member(org, member));
        // One read for both, because every request pays for it.
        let snapshot = self.records().snapshot(vec![org_key.to_vec(), member_key.to_vec()]).await?;
        let org = snapshot.read(self.records(), 0, &org_key)?.ok_or(Failure::Corrupt)?;
        let member = snapshot.read(self.records(), 1, &member_key)?.ok_or(Failure::Corrupt)?;
        // The member's credentials stop working with its removal, before the background task revokes them.
        if member.removed_at.is_some() {
            return Err(AuthError::Revoked);
        }
        Ok((org.name, org.policy, member))
    }
}

/// Returns what was found if the credential's secret part matches its hash.
fn verify_secret<T>(
    credential: &Credential,
    found: Result<Option<T>, Failure>,
    hash: impl Fn(&T) -> &[u8; 32],
) -> Result<T, AuthError> {
    let found = found?;
    // No secret hashes to zeros, so that an unknown id takes the same work and never matches.
    let expected = found.as_ref().map_or(&[0; 32], hash);
    let matches = credential.matches(expected);
    found.filter(|_| matches).ok_or(AuthError::Unknown)
}

fn refuse_unusable(revoked: bool, expired: bool) -> Result<(), AuthError> {
    // Revoked first: that is what the holder of a leaked credential is told, also after it has expired.
    match (revoked, expired) {
        (true, _) => Err(AuthError::Revoked),
        (false, true) => Err(AuthError::Expired),
        (false, false) => Ok(()),
    }
}

fn anonymous_event() -> AuditEvent {
    AuditEvent {
        at: crate::store::rules::audit::unset(),
        org: None,
        actor: Actor { kind: ActorKind::Nobody, name: None, id: None },
        action: AuditAction::Authenticate,
        target: None,
        outcome: Outcome::Denied,
        details: Default::default(),
    }
}
