//! Sessions of the console: a browser that presented a token or signed in with a provider, until it is idle, too old or
//! logged out, or the token or the linked account ends.
//!
//! Sessions are stored, so that every server knows them, and only as a hash of their secret. Each use reads what the session
//! was started with and the member again, so that a session never outlives either.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::domain::audit::{AuditAction, AuditText, DetailKey, Target};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{MemberId, OrgId};
use crate::domain::role::{MemberKind, Principal};
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::auth::AuthError;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::sessions::{self, SessionMark, SessionOrigin, SessionRecord};
use crate::store::tables::tokens;

/// A session expires when it was not used for this long.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// The longest session, however much it is used.
pub const SESSION_LONGEST: Duration = Duration::from_secs(12 * 3600);
/// How old the time of the last use may become before it is written again: a page is not worth a commit.
const SEEN_PRECISION: Duration = Duration::from_secs(60);

/// The key in a browser's cookie: a public id and 256 random bits. Its text is 64 characters of base64url.
pub struct SessionKey {
    id: [u8; 16],
    secret: Zeroizing<[u8; 32]>,
}

impl SessionRecord {
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.seen_at.plus(SESSION_IDLE) <= now || self.created_at.plus(SESSION_LONGEST) <= now
    }
}

impl SessionOrigin {
    /// What the entries of a session name.
    fn target(self) -> Target {
        match self {
            Self::Token(id) => target::token(id),
            Self::Account(id) => target::account(id),
        }
    }
}

impl SessionMark {
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        // Not by the last use, which a mark does not have: it may outlive its session by some hours.
        self.created_at.plus(SESSION_LONGEST) <= now
    }
}

impl SessionKey {
    /// A new key. Every login has one, so that nobody can prepare a session for somebody else (session fixation).
    pub(crate) fn generate(store: &Store) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        store.records().random.fill(secret.as_mut_slice());
        Self { id: store.records().random_bytes(), secret }
    }

    /// What is stored of a session that starts now.
    pub(crate) fn start(&self, origin: SessionOrigin, member: Option<(OrgId, MemberId)>) -> NewSession {
        NewSession { id: self.id, hash: self.hash(), origin, member }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0_u8; 48]);
        // Checked first, because decoding into a buffer of another size panics.
        if text.len() != BASE64URL_NOPAD.encode_len(bytes.len()) {
            return None;
        }
        BASE64URL_NOPAD.decode_mut(text.as_bytes(), bytes.as_mut_slice()).ok()?;
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(rest);
        Some(Self { id: *id, secret })
    }

    /// The text form.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0_u8; 48]);
        bytes[..16].copy_from_slice(&self.id);
        bytes[16..].copy_from_slice(self.secret.as_slice());
        Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_slice()))
    }

    /// The CSRF token of this session's forms. It does not reveal the session's key.
    pub fn form_token(&self) -> String {
        // Under another label than the stored hash, so that neither can be used for the other.
        data_encoding::HEXLOWER.encode(&self.hash_with(b"dropsafe console form v1")[..16])
    }

    /// Whether a text is [`form_token`](Self::form_token), compared in constant time.
    pub fn is_form_token(&self, text: &str) -> bool {
        self.form_token().as_bytes().ct_eq(text.as_bytes()).into()
    }

    fn hash(&self) -> [u8; 32] {
        self.hash_with(b"dropsafe console session v1")
    }

    fn hash_with(&self, label: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(label)
            .chain_update(self.id)
            .chain_update(self.secret.as_slice())
            .finalize()
            .into()
    }
}

/// A session that starts.
#[derive(Clone, Copy)]
pub(crate) struct NewSession {
    id: [u8; 16],
    hash: [u8; 32],
    origin: SessionOrigin,
    /// None: the operator's.
    member: Option<(OrgId, MemberId)>,
}

impl NewSession {
    /// Stores the session, and returns when it ends at the latest.
    pub(crate) fn put(&self, tx: &mut Tx<'_>) -> Result<Timestamp, Halt> {
        let Self { id, hash, origin, member } = *self;
        let now = tx.now();
        tx.put(
            &sessions::session(id),
            &SessionRecord { hash, origin, member, created_at: now, seen_at: now },
        )?;
        tx.put(&tx.records().sessions_of(member).key(&id), &SessionMark { created_at: now })?;
        Ok(now.plus(SESSION_LONGEST))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey([redacted])")
    }
}

impl Store {
    /// Starts a new session with a token. `request` is the id of the request.
    pub async fn log_in(
        &self,
        credential: &Credential,
        source: Option<IpAddr>,
        request: &str,
    ) -> Result<(Caller, SessionKey), AuthError> {
        // A ticket is for machines. The same error as for an unknown credential reveals nothing about it.
        if matches!(
            credential.kind,
            CredentialKind::Ticket | CredentialKind::Enrolment | CredentialKind::Boot
        ) {
            return Err(AuthError::Unknown);
        }
        let caller = self.authenticate(credential, source).await?.with_request_id(request);
        // A platform or a monitoring system is no person either, and no page would be of use to it.
        if caller.kind() == Some(MemberKind::Launcher) || *caller.principal() == Principal::Metrics {
            return Err(AuthError::Unknown);
        }
        let (key, token) = (SessionKey::generate(self), credential.token_id());
        // The operator has no member. Its sessions have an index of their own.
        let session = key.start(SessionOrigin::Token(token), caller.own_member().ok());
        let event = caller.event(AuditAction::SessionStart).about(target::token(token));
        let started = self.journal().run(Vec::new(), move |tx| {
            let ends_at = session.put(tx)?;
            tx.audit(event.clone().detail(DetailKey::Expires, ends_at));
            Ok::<_, Stop<Failure>>(())
        });
        started.await?;
        Ok((caller, key))
    }

    /// Authenticates a session.
    pub async fn session(&self, key: &SessionKey, source: Option<IpAddr>) -> Result<Caller, AuthError> {
        let place = sessions::session(key.id);
        let found = self.records().get(&place).await?;
        // No secret hashes to zeros, so that an unknown id takes the same work and never matches.
        let expected = found.as_ref().map_or([0; 32], |record| record.hash);
        let matches: bool = key.hash().ct_eq(&expected).into();
        // Only the holder of its secret learns that a session has expired.
        let record = found.filter(|_| matches).ok_or(AuthError::Unknown)?;
        let now = self.now();
        if record.is_over(now) {
            return Err(AuthError::Expired);
        }
        // Read at every use, so that revoking the token or unlinking the account ends the session.
        let caller = match record.origin {
            SessionOrigin::Token(token) => {
                let token = self.records().get(&tokens::token(token)).await?.ok_or(AuthError::Revoked)?;
                self.check_token(token, source, None).await?
            }
            SessionOrigin::Account(account) => self.check_account(account, source).await?,
        };
        // Written at most once a minute, so that looking at pages costs no commit.
        if now.since(record.seen_at) >= SEEN_PRECISION {
            let written = self.journal().run(vec![place.to_vec()], move |tx| {
                if let Some(mut record) = tx.get(&place)? {
                    record.seen_at = tx.now();
                    tx.put(&place, &record)?;
                }
                Ok::<_, Stop<Failure>>(())
            });
            // Pages must work while nothing can be written, for example on a full disk.
            if let Err(failure) = written.await {
                tracing::debug!(%failure, "the time of a session's last use was not stored");
            }
        }
        Ok(caller)
    }

    /// Ends a session.
    pub async fn log_out(&self, caller: &Caller, key: &SessionKey) -> Result<(), Error> {
        let (place, id) = (sessions::session(key.id), key.id);
        let event = caller.event(AuditAction::SessionEnd);
        let index = self.records().sessions_of(caller.own_member().ok()).key(&id);
        let ended = self.journal().run(vec![place.to_vec()], move |tx| {
            // Already ended, for example in another tab: logging out again is no error.
            if let Some(record) = tx.get(&place)? {
                tx.delete(&place);
                tx.delete(&index);
                tx.audit(event.clone().about(record.origin.target()));
            }
            Ok::<_, Stop<Error>>(())
        });
        ended.await
    }

    /// Ends all sessions of the caller, including this one, and returns how many there were.
    pub async fn log_out_everywhere(&self, caller: &Caller) -> Result<usize, Error> {
        let index = self.records().sessions_of(caller.own_member().ok());
        let (marks, _) = self.records().scan_all(&index).await?;
        // A session that starts after this scan stays: it belongs to somebody who logged in again.
        let ids: Vec<[u8; 16]> = marks.iter().filter_map(|found| index.id(&found.key)).collect();
        let count = ids.len();
        let event = caller.event(AuditAction::SessionEnd);
        let event = event.detail(DetailKey::Count, AuditText::number(count as u64));
        let ended = self.journal().run(Vec::new(), move |tx| {
            for id in &ids {
                tx.delete(&sessions::session(*id));
                tx.delete(&index.key(id));
            }
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(count)
        });
        ended.await
    }
}
