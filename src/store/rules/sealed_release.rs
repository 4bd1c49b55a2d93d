//! Sealed release: callers who prove themselves with a signature, the time of their statements, and the key that signs answers.
//! What the bytes mean is in [`crate::crypto::sealed_release`].
//!
//! A statement is fresh for a minute: by its own time, or by a challenge, whose MAC every server of the store can check without
//! any state. Each statement is executed once. That it was is stored in the commit that it causes, so that a boot costs no
//! further commit, and is remembered for [`REMEMBERED`]. A refusal executes nothing, and nothing is stored for it: if somebody in
//! between sends a refused request again, it is as if the network had delayed it by less than a minute.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq as _;

use crate::crypto::sealed_release::Challenge;
use crate::crypto::sealed_release::proof::RequestProof;
use crate::crypto::sealed_release::responder::{AnswerSeed, AnswerSigner, is_signed, public_key};
use crate::crypto::sealed_release::statement::{
    ProofSubject, Statement, StatementHash, StatementParts, signing_seed,
};
use crate::domain::audit::{AuditAction, AuditEvent};
use crate::domain::id::{BootId, OrgId, TicketId};
use crate::domain::location::AnswerKey;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::{Coded as _, Failure};
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::auth::{AuthError, anonymous_event};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::rules::token_auth::ClaimedIdentity;
use crate::store::tables::executed::ExecutedRecord;
use crate::store::tables::store::KeysRecord;
use crate::store::tables::tickets;

/// How far a statement's time may be from the store's, and how long a challenge is valid.
const FRESH: Duration = Duration::from_secs(60);
/// How long an executed statement is remembered. It is fresh for at most two minutes after its execution, if the agent's clock was
/// ahead; the rest is for servers whose clocks differ.
const REMEMBERED: Duration = Duration::from_secs(300);
/// The base point of Ed25519: a key for identities that do not exist, so that the time does not tell whether an id exists.
const NO_KEY: [u8; 32] = {
    let mut key = [0x66; 32];
    key[0] = 0x58;
    key
};

impl Store {
    /// The key that signs this store's sealed answers.
    pub async fn answer_key(&self) -> Result<AnswerKey, Failure> {
        self.answer_signer().await.map(|signer| signer.public())
    }

    pub(crate) async fn answer_signer(&self) -> Result<Arc<AnswerSigner>, Failure> {
        if let Some(signer) = self.inner.answer_signer.get() {
            return Ok(Arc::clone(signer));
        }
        // It is missing only where the record of the keys could not be verified when it was to be created.
        let seed = self.keys_record().await?.answer.ok_or(Failure::KeysNotVerified)?;
        Ok(Arc::clone(self.inner.answer_signer.get_or_init(|| Arc::new(AnswerSigner::new(&seed)))))
    }

    /// Creates the answer key of a store of an older format. If that fails, the store is served without sealed release.
    pub(crate) async fn ensure_answer_key(&self) {
        let has_key = self.keys_record().await.is_ok_and(|keys| keys.answer.is_some());
        if has_key {
            return;
        }
        let event = Caller::this_process().event(AuditAction::StoreMaintain).about(target::store());
        let created = self.change_keys(&event, |tx, keys| {
            let answer = match keys.answer {
                // Another server was faster, and tickets may name its key already.
                Some(answer) => answer,
                None => AnswerSeed::generate(&mut tx.records().rng()),
            };
            Ok((KeysRecord { answer: Some(answer), ..keys }, ()))
        });
        if let Err(error) = created.await {
            tracing::error!("sealed release is not possible: {error}");
        }
    }

    /// Checks that a statement is fresh.
    ///
    /// # Errors
    /// The challenge that makes the same request fresh.
    pub(crate) fn check_freshness(&self, parts: &StatementParts) -> Result<(), Challenge> {
        let now = self.now();
        let time = i64::try_from(parts.millis).map(Timestamp::from_millis);
        let fresh = match &parts.challenge {
            // The store's own time, so that the agent's does not matter.
            Some(challenge) => self.read_challenge(challenge).is_some_and(|time| is_near(time, now)),
            None => time.is_ok_and(|time| is_near(time, now)),
        };
        if fresh { Ok(()) } else { Err(self.make_challenge(now)) }
    }

    fn make_challenge(&self, at: Timestamp) -> Challenge {
        let millis = at.as_millis().to_be_bytes();
        let mut challenge = Challenge::default();
        challenge[..8].copy_from_slice(&millis);
        challenge[8..].copy_from_slice(&self.records().key.key_hash("sealed release challenge", &[&millis]));
        challenge
    }

    /// When a server of this store made the challenge.
    fn read_challenge(&self, challenge: &Challenge) -> Option<Timestamp> {
        let millis = challenge.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))?;
        let made = Timestamp::from_millis(millis);
        // The whole challenge: a time outside the range of timestamps was made by nobody.
        bool::from(self.make_challenge(made).ct_eq(challenge)).then_some(made)
    }

    /// Authenticates the sender of a statement. `source` is as for [`authenticate`](Self::authenticate), and so are denials.
    pub(crate) async fn authenticate_proof(
        &self,
        proof: &RequestProof,
        statement: &Statement,
        source: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let signed = SignedStatement { proof, statement, hash: statement.hash() };
        let (about, result) = match proof.parts.subject {
            ProofSubject::Identity(id) => self.authenticate_identity(id.into(), &signed, source).await,
            ProofSubject::Boot { boot, org } => self.authenticate_end(boot, org, &signed, source).await,
            // Its token is verified outside of the store, between `claim_by_proof` and `authenticate_by_token`.
            ProofSubject::Token { .. } => {
                (anonymous_event(AuditAction::Authenticate), Err(AuthError::Unknown))
            }
        };
        let result = result.and_then(|caller| match self.inner.answered.get(&signed.hash) {
            // A replay that needs no look at the byte store.
            Some(()) => Err(AuthError::UsedProof),
            None => Ok(caller.with_statement(signed.hash)),
        });
        self.record_denied_authentication(about, &result, source);
        result
    }

    /// Finds the identity that a machine claims to have, by a statement that is signed with the key of its token. The token is still
    /// to be verified, and whether it names the key.
    pub(crate) async fn claim_by_proof(
        &self,
        proof: &RequestProof,
        statement: &Statement,
        source: Option<IpAddr>,
    ) -> Result<ClaimedIdentity, AuthError> {
        let hash = statement.hash();
        let signed = match proof.parts.subject {
            ProofSubject::Token { identity, key, .. } if is_signed(statement, &key, &proof.signature) => {
                // Before the token, whose verification may have to wait for its issuer.
                match self.inner.answered.get(&hash) {
                    Some(()) => Err(AuthError::UsedProof),
                    None => Ok((identity, key)),
                }
            }
            _ => Err(AuthError::Unknown),
        };
        match signed {
            Ok((identity, key)) => Ok(self.claimed_identity(identity, source).await?.with_key(&key, hash)),
            Err(error) => {
                let event = anonymous_event(AuditAction::Authenticate).with_request(source, None);
                self.record_denial_in_background(event.denied(error.code()));
                Err(error)
            }
        }
    }

    async fn authenticate_identity(
        &self,
        id: TicketId,
        signed: &SignedStatement<'_>,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        let executed = self.records().executed(&signed.hash);
        let read = self.read_credential(id.as_bytes(), tickets::ticket(id), Some(executed.to_vec())).await;
        let nobody = || anonymous_event(AuditAction::Authenticate);
        let ticket = match read.record {
            Ok(ticket) => ticket,
            Err(failure) => return (nobody(), Err(failure.into())),
        };
        // A ticket of an older version has no key, and so does one that does not exist.
        let key = ticket.as_ref().and_then(|ticket| ticket.proof_key);
        let is_signed = is_signed(signed.statement, &key.unwrap_or(NO_KEY), &signed.proof.signature);
        let Some(ticket) = ticket.filter(|_| is_signed && key.is_some()) else {
            return (nobody(), Err(AuthError::Unknown));
        };
        let about = nobody().org(Some(ticket.org)).about(target::ticket(ticket.id));
        if read.is_extra_present {
            return (about, Err(AuthError::UsedProof));
        }
        (about, self.check_ticket(ticket, source, read.membership).await)
    }

    async fn authenticate_end(
        &self,
        boot: BootId,
        org: OrgId,
        signed: &SignedStatement<'_>,
        source: Option<IpAddr>,
    ) -> (AuditEvent, Result<Caller, AuthError>) {
        // The store computes what it gave to the boot, so that it need not have stored it.
        let credential = self.end_credential(org, boot);
        let key = signing_seed(&credential).map_or(NO_KEY, |seed| public_key(&seed));
        if !is_signed(signed.statement, &key, &signed.proof.signature) {
            return (anonymous_event(AuditAction::Authenticate), Err(AuthError::Unknown));
        }
        self.authenticate_boot(&credential, source).await
    }

    /// Remembers in this process that a statement was answered. A replay of a refused request then costs no signature.
    pub(crate) fn note_answered(&self, statement: StatementHash) {
        self.inner.answered.insert(statement, ());
    }

    /// Records an event of a request that changes nothing else. Returns false, and records nothing, if the caller's statement
    /// was executed before.
    pub(crate) async fn record_once(&self, caller: &Caller, event: AuditEvent) -> Result<bool, Failure> {
        let Some(statement) = caller.statement() else {
            self.journal().record(vec![event]).await?;
            return Ok(true);
        };
        let reads = vec![self.records().executed(&statement).to_vec()];
        let recorded = self.journal().run(reads, move |tx| {
            let is_first = tx.execute_once(Some(&statement))?;
            if is_first {
                tx.audit(event.clone());
            }
            Ok::<_, Stop<Failure>>(is_first)
        });
        recorded.await
    }
}

/// A request's statement and the signature that was sent with it.
struct SignedStatement<'a> {
    proof: &'a RequestProof,
    statement: &'a Statement,
    hash: StatementHash,
}

fn is_near(time: Timestamp, now: Timestamp) -> bool {
    time.since(now) <= FRESH && now.since(time) <= FRESH
}

impl Tx<'_> {
    /// Notes that a statement is executed by this commit. Returns false if another commit has executed it. A bearer credential
    /// has no statement.
    pub(crate) fn execute_once(&mut self, statement: Option<&StatementHash>) -> Result<bool, Halt> {
        let Some(statement) = statement else { return Ok(true) };
        let key = self.records().executed(statement);
        // Its absence is a precondition of the commit, so that of two servers one executes it.
        if self.has(&key)? {
            return Ok(false);
        }
        let record = ExecutedRecord { until: self.now().plus(REMEMBERED) };
        self.put(&key, &record).map(|()| true)
    }

    /// The same for operations that refuse with [`Error`].
    pub(crate) fn require_first_execution(&mut self, caller: &Caller) -> Result<(), Stop<Error>> {
        match self.execute_once(caller.statement().as_ref())? {
            true => Ok(()),
            false => Err(Error::UsedProof.into()),
        }
    }
}
