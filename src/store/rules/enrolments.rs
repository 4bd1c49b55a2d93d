//! Enrolments: how a new member gets its first token without anybody else seeing it.
//!
//! A member is enrolled once. An enrolment can be replaced only while nobody has redeemed it. A second redemption
//! fails, and says when and from which address the first one was made, so that a member notices if somebody else
//! redeemed the code.

use std::net::IpAddr;
use std::time::Duration;

use crate::domain::audit::{AuditAction, AuditEvent, DetailKey};
use crate::domain::code::Code;
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{EnrolmentId, MemberId, OrgId};
use crate::domain::name::{Label, MemberName};
use crate::domain::role::{Action, MemberKind, OrgPolicy, Principal};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::{Coded, Failure};
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::auth::{AuthError, anonymous_event, verify_secret};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once_with_credential};
use crate::store::rules::store::Store;
use crate::store::rules::tokens::{NewCredential, TokenIssued};
use crate::store::tables::enrolments::{self, EnrolmentRecord};
use crate::store::tables::launchers::WithdrawalRecord;
use crate::store::tables::members::MemberRecord;
use crate::store::tables::tokens::TokenRecord;

/// How long an enrolment can be redeemed by default.
pub const ENROLMENT_TTL: Duration = Duration::from_secs(24 * 3600);

/// A new enrolment. The credential exists nowhere else.
#[derive(Debug)]
pub struct EnrolmentIssued {
    /// The member that can redeem it.
    pub member: MemberName,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The code (`dse_…`).
    pub credential: Credential,
}

/// The options of a redemption.
#[derive(Clone, Debug, Default)]
pub struct Redemption {
    /// The label of the new token.
    pub label: Option<Label>,
    /// The launchers that the member accepts in the same step.
    pub accept: Vec<MemberName>,
}

/// Why an enrolment was not redeemed. Only a caller with the secret part of the code gets a refusal other than
/// `Auth(Unknown)`.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// It is not known, has expired or was replaced, or its member was removed.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// It was already redeemed.
    #[error("the enrolment was redeemed at {at}{}", from.map(|from| format!(" from {from}")).unwrap_or_default())]
    Redeemed {
        /// When it was redeemed.
        at: Timestamp,
        /// The address that redeemed it. `None` for a Unix socket.
        from: Option<IpAddr>,
    },
    /// A launcher cannot be accepted. The enrolment was not redeemed.
    #[error(transparent)]
    Acceptance(#[from] Error),
}

/// An enrolment that is being created.
pub(crate) struct NewEnrolment {
    pub(crate) credential: NewCredential,
    pub(crate) ttl: Duration,
}

impl NewEnrolment {
    pub(crate) fn new(store: &Store, ttl: Option<Duration>) -> Self {
        let credential = NewCredential::new(store, CredentialKind::Enrolment);
        Self { credential, ttl: ttl.unwrap_or(ENROLMENT_TTL) }
    }

    /// Stores the enrolment, and names it in the member's record, which the caller stores.
    pub(crate) fn put(
        &self,
        tx: &mut Tx<'_>,
        org: OrgId,
        member: &mut MemberRecord,
        author: Option<MemberId>,
    ) -> Result<Timestamp, Halt> {
        let record = EnrolmentRecord {
            id: EnrolmentId::from_bytes(self.credential.id),
            hash: self.credential.hash(),
            org,
            member: member.id,
            author,
            created_at: tx.now(),
            expires_at: tx.now().plus(self.ttl),
            redeemed_at: None,
            redeemed_from: None,
        };
        // Replaces an earlier one: the member's record names the only enrolment that can be redeemed.
        member.enrolment = Some(record.id);
        tx.put(&enrolments::enrolment(record.id), &record)?;
        Ok(record.expires_at)
    }
}

impl Store {
    /// Replaces a member's enrolment, if nobody has redeemed it (an admin).
    pub async fn replace_enrolment(
        &self,
        caller: &Caller,
        name: &MemberName,
        ttl: Option<Duration>,
        idempotency: Option<&str>,
    ) -> Result<EnrolmentIssued, Error> {
        let audit_action = AuditAction::EnrolmentCreate;
        self.permit(caller, Action::EditMembers, audit_action, None).await?;
        let (org, author) = caller.own_member()?;
        let id = self.member_record(org, name).await?.id;
        let ttl_bytes = ttl.map_or_else(Vec::new, |ttl| ttl.as_millis().to_be_bytes().into());
        let parts = vec![name.as_str().into(), ttl_bytes];
        let request = RepeatableRequest { operation: "create enrolment", parts, value: None };
        let repeatable = self.repeatable(caller, idempotency, request)?;
        let new = NewEnrolment::new(self, ttl);
        let credential = new.credential.credential();
        let about = target::enrolment(credential.enrolment_id());
        let event = caller.event(audit_action).about(about).detail(DetailKey::Member, name);
        let key = self.records().member(org, id);
        let made = self.journal().run(vec![key.to_vec()], move |tx| {
            once_with_credential(tx, repeatable.as_ref(), |tx| {
                let mut member = tx.get_member(org, id)?;
                // Otherwise, a token that the member already has would stay valid beside the new one.
                if member.enrolment.is_none() || member.enrolled_at.is_some() {
                    let why = "a member is enrolled once: remove the member and add it again";
                    return Err(Error::Conflict { why }.into());
                }
                let expires_at = new.put(tx, org, &mut member, Some(author))?;
                tx.put(&key, &member)?;
                tx.audit(event.clone().detail(DetailKey::Expires, expires_at));
                Ok((member.name, expires_at))
            })
        });
        let (member, expires_at) = made.await?;
        Ok(EnrolmentIssued { member, expires_at, credential })
    }

    /// Redeems an enrolment, once, and returns the member's first token. `request` is the id of the request.
    pub async fn redeem_enrolment(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
        request: &str,
        redemption: Redemption,
    ) -> Result<TokenIssued, EnrolmentError> {
        let id = credential.enrolment_id();
        let mut about = anonymous_event(AuditAction::EnrolmentRedeem);
        let redeemed = async {
            // Another kind of credential gets the error of an unknown one, so that the error reveals nothing about it.
            if credential.kind != CredentialKind::Enrolment {
                return Err(AuthError::Unknown.into());
            }
            let found = self.records().get(&enrolments::enrolment(id)).await;
            let enrolment = verify_secret(credential, found, |found: &EnrolmentRecord| &found.hash)?;
            about = about.clone().org(Some(enrolment.org)).about(target::enrolment(id));
            self.redeem(enrolment, source, request, redemption).await
        };
        let redeemed = redeemed.await;
        if let Err(error) = &redeemed
            && error.is_denial()
        {
            self.record_denial_in_background(about.denied(error.code()).with_request(source, None));
        }
        redeemed
    }

    async fn redeem(
        &self,
        found: EnrolmentRecord,
        source: Option<IpAddr>,
        request: &str,
        redemption: Redemption,
    ) -> Result<TokenIssued, EnrolmentError> {
        let (id, org) = (found.id, found.org);
        let member =
            self.records().get(&self.records().member(org, found.member)).await.map_err(AuthError::from)?;
        let member = member.ok_or(AuthError::Failure(Failure::Corrupt))?;
        let launchers = self.launchers_named(org, &redemption.accept).await?;
        let event = redemption_event(&found, &member, source, request);
        let new_token = NewCredential::new(self, CredentialKind::Member);
        let credential = new_token.credential();
        let (key, member_key) = (enrolments::enrolment(id), self.records().member(org, found.member));
        let mut reads = vec![key.to_vec(), member_key.to_vec()];
        // Each launcher and whether a withdrawal from it is under way, in the same round.
        reads.extend(launchers.iter().flat_map(|(launcher, _)| {
            let withdrawal = WithdrawalRecord { org, launcher: *launcher, person: found.member };
            let records = self.records();
            [records.member(org, *launcher).to_vec(), records.withdrawal(withdrawal).to_vec()]
        }));
        let done = self.journal().run(reads, move |tx| {
            let mut enrolment = tx.get(&key)?.ok_or(Failure::Corrupt)?;
            let mut member = tx.get(&member_key)?.ok_or(Failure::Corrupt)?;
            refuse_unusable(&enrolment, &member, tx.now())?;
            (enrolment.redeemed_at, enrolment.redeemed_from) = (Some(tx.now()), source);
            (member.enrolled_at, member.enrolled_from) = (Some(tx.now()), source);
            tx.put(&key, &enrolment)?;
            // In the same commit, so that nobody is enrolled without the acceptances that they agreed to.
            for (launcher, name) in &launchers {
                if member.accept(tx, org, *launcher).map_err(refuse_acceptance)? {
                    let about = Some(target::member(*launcher, name));
                    tx.audit(AuditEvent {
                        action: AuditAction::LauncherAccept,
                        target: about,
                        ..event.clone()
                    });
                }
            }
            tx.put(&member_key, &member)?;
            // The member is the author: nobody else has seen this token.
            let mut token = TokenRecord::new(&new_token, Some((org, member.id)), Some(member.id), tx.now());
            token.label.clone_from(&redemption.label);
            // The quota is not checked, because an enrolment that was issued must stay redeemable.
            token.put_new(tx)?;
            tx.audit(event.clone());
            Ok::<_, Stop<EnrolmentError>>((token, member.name))
        });
        let (token, name) = done.await?;
        Ok(TokenIssued { token: token.into_token(Some(name.clone()), Some(name)), credential })
    }
}

fn refuse_acceptance(stop: Stop<Error>) -> Stop<EnrolmentError> {
    match stop {
        Stop::Refused(error) => Stop::Refused(error.into()),
        Stop::Missing => Stop::Missing,
        Stop::Failed(failure) => Stop::Failed(failure),
    }
}

fn refuse_unusable(
    enrolment: &EnrolmentRecord,
    member: &MemberRecord,
    now: Timestamp,
) -> Result<(), Stop<EnrolmentError>> {
    let refusal = match enrolment {
        // Checked first, to tell the member that somebody else redeemed the code. Only a caller with the code gets it.
        EnrolmentRecord { redeemed_at: Some(at), redeemed_from, .. } => {
            EnrolmentError::Redeemed { at: *at, from: *redeemed_from }
        }
        _ if member.removed_at.is_some() || member.enrolment != Some(enrolment.id) => {
            AuthError::Revoked.into()
        }
        _ if enrolment.expires_at <= now => AuthError::Expired.into(),
        _ => return Ok(()),
    };
    Err(Stop::Refused(refusal))
}

/// The entry of a redemption: the member acts, with the enrolment as its credential.
fn redemption_event(
    enrolment: &EnrolmentRecord,
    member: &MemberRecord,
    source: Option<IpAddr>,
    request: &str,
) -> AuditEvent {
    let MemberRecord { id, name, role, kind, .. } = member.clone();
    let principal = Principal::Member { org: enrolment.org, id, name, role, kind };
    let caller = Caller::new(principal, None, OrgPolicy::default(), source);
    let caller = caller.with_credential(enrolment.id, enrolment.author).with_request_id(request);
    let event = caller.event(AuditAction::EnrolmentRedeem).about(target::enrolment(enrolment.id));
    match enrolment.author {
        Some(_) => event,
        // Here, `None` means the operator. Only a token of an older version can have an unknown author.
        None => event.detail(DetailKey::Author, crate::domain::audit::AuditText::word("operator")),
    }
}

/// The state of a member's enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// Nobody has redeemed it.
    Pending {
        /// When it expires.
        expires_at: Timestamp,
    },
    /// It was redeemed.
    Redeemed {
        /// When it was redeemed.
        at: Timestamp,
        /// The address that redeemed it. `None` for a Unix socket.
        from: Option<IpAddr>,
    },
}

impl Coded for EnrolmentError {
    fn code(&self) -> Code {
        match self {
            Self::Auth(error) => error.code(),
            Self::Redeemed { .. } => Code::EnrolmentRedeemed,
            Self::Acceptance(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Auth(AuthError::Unknown) => Some("check that you copied the whole code, and that it is for this store".to_owned()),
            Self::Auth(AuthError::Expired | AuthError::Revoked) => Some("ask an admin for a new enrolment".to_owned()),
            Self::Auth(error) => error.hint(),
            Self::Acceptance(error) => error.hint(),
            Self::Redeemed { .. } => Some(
                "if that was not you, tell an admin at once: somebody else has your token, and removing the member stops it"
                    .to_owned(),
            ),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Auth(error) => error.retry_after(),
            Self::Redeemed { .. } => None,
            Self::Acceptance(error) => error.retry_after(),
        }
    }
}

impl From<EnrolmentError> for Stop<EnrolmentError> {
    fn from(error: EnrolmentError) -> Self {
        Self::Refused(error)
    }
}

impl From<Failure> for EnrolmentError {
    fn from(failure: Failure) -> Self {
        Self::Auth(failure.into())
    }
}

impl EnrolmentError {
    /// Whether it is a denial, which counts against its source, and not a failure of the store.
    pub fn is_denial(&self) -> bool {
        !matches!(self, Self::Auth(AuthError::Failure(_)))
    }
}

impl MemberKind {
    /// Whether a member of this kind gets its first token by an enrolment. A service gets its tokens from its managers.
    pub(crate) fn is_enrolled(self) -> bool {
        matches!(self, Self::Person | Self::Launcher)
    }
}
