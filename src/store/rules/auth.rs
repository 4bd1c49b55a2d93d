//! Authentication: from a credential to a caller.
//!
//! A credential is looked up by its public id, and the hash of its secret part is compared in constant time. An unknown id is
//! compared with zeros, so that neither the time nor the answer reveals whether an id exists.
//!
//! Each request reads the credential and the records that it depends on again, so that it never misses a revocation. Only the
//! keys of these records are cached, so that one read fetches all of them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::audit::{Actor, ActorKind, AuditAction, AuditEvent, DetailKey, Outcome};
use crate::domain::code::Code;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::name::OrgName;
use crate::domain::role::{OrgPolicy, Principal};
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::format::Record;
use crate::store::engine::keys::Key;
use crate::store::engine::records::Snapshot;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::NEW_PROOF;
use crate::store::rules::membership_keys::MembershipKeys;
use crate::store::rules::store::Store;
use crate::store::tables::boots::BootRecord;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::tickets::{self, TicketRecord};
use crate::store::tables::tokens::{self, TokenRecord};

/// The keys of the records that a credential depends on, and a read of the credential and, after it, of these records.
pub(crate) type MembershipRead = (Arc<MembershipKeys>, Snapshot);

/// A credential, and what was read together with it.
pub(crate) struct CredentialRead<T> {
    /// A failure or `None` must look the same as a wrong secret part.
    pub(crate) record: Result<Option<T>, Failure>,
    pub(crate) membership: Option<MembershipRead>,
    /// Whether there is a record at the further key that was to be read with them.
    pub(crate) is_extra_present: bool,
}

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
    /// The statement of the proof was executed before.
    #[error("this request was executed before")]
    UsedProof,
    /// The address is outside the ticket's networks.
    #[error("the credential may not be used from this address")]
    SourceNotAllowed,
    /// The store failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl AuthError {
    /// Whether the credential was refused, which the API limits for each source, and not a failure of the store.
    pub fn is_denial(&self) -> bool {
        !matches!(self, Self::Failure(_))
    }
}

impl Coded for AuthError {
    fn code(&self) -> Code {
        match self {
            Self::Unknown => Code::Unauthorized,
            Self::Expired => Code::Expired,
            Self::Revoked => Code::Revoked,
            Self::UsedProof => Code::UsedProof,
            Self::SourceNotAllowed => Code::SourceNotAllowed,
            Self::Failure(failure) => failure.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unknown => "check that you copied the whole credential, and that it is for this store",
            Self::Expired | Self::Revoked => "ask an admin for a new one",
            Self::UsedProof => NEW_PROOF,
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
            CredentialKind::Boot => self.authenticate_boot(credential, source).await,
            // It is redeemed and never authenticates. The same error as for an unknown credential reveals nothing about it.
            CredentialKind::Enrolment => {
                (anonymous_event(AuditAction::Authenticate), Err(AuthError::Unknown))
            }
        };
        self.record_denied_authentication(about, &result, source);
        result
    }

    /// Records that a credential or a proof was not accepted.
    pub(crate) fn record_denied_authentication(
        &self,
        about: AuditEvent,
        result: &Result<Caller, AuthError>,
        source: Option<IpAddr>,
    ) {
        // A failure of the store is no denial, and could not be recorded either.
        if let Err(error) = result
            && !matches!(error, AuthError::Failure(_))
        {
            let event = about.denied(error.code()).with_request(source, None);
            self.record_denial_in_background(event);
        }
    }

    async fn authenticate_token(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let CredentialRead { record, membership, .. } =
            self.read_credential(&credential.id, tokens::token(credential.token_id()), None).await;
        let token = match verify_secret(credential, record, |token: &TokenRecord| &token.hash) {
            Ok(token) => token,
            // The event names no token, because the caller has proved nothing about it.
            Err(error) => return (anonymous_event(AuditAction::Authenticate), Err(error)),
        };
        let mut about = anonymous_event(AuditAction::Authenticate).about(target::token(token.id));
        if let Some((org, member)) = token.member {
            about = about.org(Some(org)).detail(DetailKey::MemberId, member);
        }
        (about, self.check_token(token, source, membership).await)
    }

    pub(crate) async fn check_token(
        &self,
        token: TokenRecord,
        source: Option<IpAddr>,
        read: Option<MembershipRead>,
    ) -> Result<Caller, AuthError> {
        refuse_unusable(token.revoked_at.is_some(), token.expires_at.is_some_and(|at| at <= self.now()))?;
        // The operator belongs to no organization, so that there is nothing else to read.
        let Some((org, member)) = token.member else {
            let principal = if token.metrics { Principal::Metrics } else { Principal::Operator };
            let caller = Caller::new(principal, None, OrgPolicy::default(), source);
            return Ok(caller.with_credential(token.id, None));
        };
        let keys = || MembershipKeys::new(self.records(), org, member, token.author);
        let (name, policy, member) = self.membership(token.id.as_bytes(), read, keys).await?;
        let MemberRecord { id, name: member, role, kind, manages, .. } = member;
        let caller =
            Caller::new(Principal::Member { org, id, name: member, role, kind }, Some(name), policy, source);
        Ok(caller.with_credential(token.id, token.author).with_managed(manages))
    }

    async fn authenticate_ticket(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let CredentialRead { record, membership, .. } =
            self.read_credential(&credential.id, tickets::ticket(credential.ticket_id()), None).await;
        let ticket = match verify_secret(credential, record, |ticket: &TicketRecord| &ticket.hash) {
            Ok(ticket) => ticket,
            Err(error) => return (anonymous_event(AuditAction::Authenticate), Err(error)),
        };
        let about = anonymous_event(AuditAction::Authenticate).org(Some(ticket.org));
        let about = about.about(target::ticket(ticket.id)).detail(DetailKey::MemberId, ticket.member);
        (about, self.check_ticket(ticket, source, membership).await)
    }

    pub(crate) async fn check_ticket(
        &self,
        ticket: TicketRecord,
        source: Option<IpAddr>,
        read: Option<MembershipRead>,
    ) -> Result<Caller, AuthError> {
        refuse_unusable(ticket.revoked_at.is_some(), ticket.expires_at.is_some_and(|at| at <= self.now()))?;
        // A Unix socket has no address, and a ticket with networks is for the network only.
        let inside = |source: IpAddr| ticket.sources.iter().any(|network| network.contains(source));
        if !ticket.sources.is_empty() && !source.is_some_and(inside) {
            return Err(AuthError::SourceNotAllowed);
        }
        let keys = || MembershipKeys::new(self.records(), ticket.org, ticket.member, Some(ticket.author));
        let (name, policy, member) = self.membership(ticket.id.as_bytes(), read, keys).await?;
        let principal = Principal::Ticket {
            org: ticket.org,
            id: ticket.id,
            member: member.id,
            name: member.name,
            role: member.role,
            kind: member.kind,
        };
        let caller = Caller::new(principal, Some(name), policy, source);
        Ok(caller.with_credential(ticket.id, Some(ticket.author)).with_ticket(ticket))
    }

    pub(crate) async fn authenticate_boot(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let (org, boot) = match self.boot_of_credential(credential).await {
            Ok(Some(found)) => found,
            Ok(None) => return (anonymous_event(AuditAction::Authenticate), Err(AuthError::Unknown)),
            Err(failure) => return (anonymous_event(AuditAction::Authenticate), Err(failure.into())),
        };
        let about = anonymous_event(AuditAction::Authenticate).org(Some(org.id)).about(target::boot(boot.id));
        let BootRecord { id, ticket, member: (member, name), author, .. } = boot;
        // Also after the member was removed or the ticket revoked: the machine still knows when its workload ends.
        let principal = Principal::Boot { org: org.id, id, ticket, member, name };
        let caller = Caller::new(principal, Some(org.name), org.policy, source);
        (about, Ok(caller.with_credential(id, author)))
    }

    /// Reads a credential and, if their keys are cached, the records that it depends on. `extra` is a further key, which is read
    /// in the same round.
    pub(crate) async fn read_credential<T: Record>(
        &self,
        id: &[u8; 16],
        key: Key<T>,
        extra: Option<Vec<u8>>,
    ) -> CredentialRead<T> {
        let known = self.inner.memberships.get(id);
        let mut keys = vec![key.to_vec()];
        keys.extend(known.iter().flat_map(|known| known.to_vecs()));
        // Last, because the others are found by their position.
        let (extra_at, has_extra) = (keys.len(), extra.is_some());
        keys.extend(extra);
        match self.records().snapshot(keys).await {
            Ok(snapshot) => CredentialRead {
                record: snapshot.read(self.records(), 0, &key),
                is_extra_present: has_extra && snapshot.written_at(extra_at).is_some(),
                membership: known.map(|known| (known, snapshot)),
            },
            Err(failure) => {
                CredentialRead { record: Err(failure), membership: None, is_extra_present: false }
            }
        }
    }

    /// The member, and the name and policy of its organization. Fails if the member was removed, or if the author of the
    /// credential no longer acts for the member.
    async fn membership(
        &self,
        credential: &[u8; 16],
        read: Option<MembershipRead>,
        keys: impl FnOnce() -> MembershipKeys,
    ) -> Result<(OrgName, OrgPolicy, MemberRecord), AuthError> {
        let (keys, snapshot, first) = match read {
            Some((keys, snapshot)) => (keys, snapshot, 1),
            None => {
                let keys = Arc::new(keys());
                let snapshot = self.records().snapshot(keys.to_vecs().collect()).await?;
                // Only of credentials that proved themselves: guesses must not push the others out.
                self.inner.memberships.insert(*credential, Arc::clone(&keys));
                (keys, snapshot, 0)
            }
        };
        let org = snapshot.read(self.records(), first, &keys.org)?.ok_or(Failure::Corrupt)?;
        let member = snapshot.read(self.records(), first + 1, &keys.member)?.ok_or(Failure::Corrupt)?;
        // The member's credentials stop working with its removal, before the background task revokes them.
        if member.removed_at.is_some() {
            return Err(AuthError::Revoked);
        }
        if let Some(author_key) = &keys.author {
            let author = snapshot.read(self.records(), first + 2, author_key)?.ok_or(Failure::Corrupt)?;
            // At once, before the background task revokes what a former manager made.
            if !member.honours(&author) {
                return Err(AuthError::Revoked);
            }
        }
        Ok((org.name, org.policy, member))
    }
}

/// Returns what was found if the credential's secret part matches its hash.
pub(crate) fn verify_secret<T>(
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
    // Revoked first, so that a revoked credential is reported as such even after it has expired.
    match (revoked, expired) {
        (true, _) => Err(AuthError::Revoked),
        (false, true) => Err(AuthError::Expired),
        (false, false) => Ok(()),
    }
}

pub(crate) fn anonymous_event(action: AuditAction) -> AuditEvent {
    AuditEvent {
        at: crate::store::rules::audit::unset(),
        org: None,
        actor: Actor { kind: ActorKind::Nobody, name: None, id: None },
        action,
        target: None,
        outcome: Outcome::Denied,
        details: Default::default(),
    }
}
