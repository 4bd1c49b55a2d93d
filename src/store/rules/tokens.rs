//! Members' tokens, and the operator's.

use std::collections::BTreeMap;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::crypto::sealed_release::responder::public_key;
use crate::crypto::sealed_release::statement::signing_seed;
use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{MemberId, OrgId, TokenId};
use crate::domain::name::{Label, MemberName};
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Halt, Stop, Tx};
use crate::store::rules::active_counts::ActiveRecord;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once_with_credential};
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::tables::tokens::{self, TokenRecord};

/// A token to create.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// The member that gets it. Absent: the caller. The operator creates only operator tokens.
    pub member: Option<MemberName>,
    /// How long it is valid. Absent: until it is revoked.
    pub ttl: Option<Duration>,
    /// A note for people.
    pub label: Option<Label>,
    /// Whether it reads the metrics and does nothing else. The operator creates such tokens.
    pub metrics: bool,
}

/// A token without its secret part.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id: the public part of the credential.
    pub id: TokenId,
    /// Its member. Absent: it is the operator's, or for metrics.
    pub member: Option<MemberName>,
    /// The member who created it. Absent: the operator, or unknown for a token of an older version.
    pub author: Option<MemberName>,
    /// A note for people.
    pub label: Option<Label>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Whether it is for metrics only.
    pub metrics: bool,
}

/// A new token. The credential exists nowhere else.
#[derive(Debug)]
pub struct TokenIssued {
    /// The token.
    pub token: Token,
    /// The credential (`dsm_…` or `dso_…`).
    pub credential: Credential,
}

/// The member that a token is for. `None`: the operator, or a monitoring system.
type TokenOwner = Option<(OrgId, MemberId, MemberName)>;

/// A credential that is being created.
pub(crate) struct NewCredential {
    kind: CredentialKind,
    pub(crate) id: [u8; 16],
    secret: Zeroizing<[u8; 32]>,
}

impl NewCredential {
    pub(crate) fn new(store: &Store, kind: CredentialKind) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        // Filled in place, so that the secret has no other copy in memory.
        store.records().random.fill(secret.as_mut_slice());
        Self { kind, id: store.records().random_bytes(), secret }
    }

    pub(crate) fn credential(&self) -> Credential {
        Credential::new(self.kind, self.id, self.secret.clone())
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        self.credential().hash()
    }

    /// The key that verifies what the credential signs, if its kind signs anything.
    pub(crate) fn proof_key(&self) -> Option<[u8; 32]> {
        signing_seed(&self.credential()).map(|seed| public_key(&seed))
    }
}

impl Store {
    /// Creates a token: a member for itself and for the services that it manages, the operator for itself. A launcher's new token replaces
    /// its others. A repeated idempotency key is a conflict, because the credential cannot be shown twice.
    pub async fn create_token(
        &self,
        caller: &Caller,
        new: NewToken,
        idempotency: Option<&str>,
    ) -> Result<TokenIssued, Error> {
        let member = self.permit_creation(caller, &new).await?;
        let request = RepeatableRequest { operation: "create token", parts: new.parts(), value: None };
        let repeatable = self.repeatable(caller, idempotency, request)?;
        let kind = if member.is_some() { CredentialKind::Member } else { CredentialKind::Operator };
        let new_credential = NewCredential::new(self, kind);
        let credential = new_credential.credential();
        let event = caller.event(AuditAction::TokenCreate).about(target::token(credential.token_id()));
        let name = member.as_ref().map(|(_, _, name)| name.clone());
        let author = caller.author_of_creations();
        let author_name = self.author_name(caller, author).await?;
        let (replaced, policy) = (self.replaced_tokens(caller).await?, caller.policy().clone());
        // The operator belongs to no organization, and has no quota.
        if let (Some((org, ..)), Some(author)) = (&member, author) {
            self.recount_if_full::<TokenRecord>(*org, author, &policy).await?;
        }
        let record = self.journal().run(Vec::new(), move |tx| {
            once_with_credential(tx, repeatable.as_ref(), |tx| {
                // The member may have been removed since the check above, and the author dismissed as its manager.
                if let (Some((org, id, _)), Some(author)) = (&member, author) {
                    tx.check_acts_for(*org, author, *id)?;
                }
                let owner = member.as_ref().map(|(org, id, _)| (*org, *id));
                let mut token = TokenRecord::new(&new_credential, owner, author, tx.now());
                token.label = new.label.clone();
                token.metrics = new.metrics;
                token.expires_at = new.ttl.map(|ttl| tx.now().plus(ttl));
                token.put_new(tx)?;
                replaced.iter().try_for_each(|replaced| replaced.end(tx))?;
                match (&member, author) {
                    // A launcher has one token, and a second one for ten minutes, whatever the quota is: otherwise a
                    // small quota would keep it from replacing one that leaked.
                    (Some((org, ..)), Some(author)) if replaced.is_none() => {
                        tx.check_active_quota::<TokenRecord>(*org, author, &policy)?;
                    }
                    _ => {}
                }
                // The closure runs again if the commit meets a conflict, so that it keeps its own event.
                let mut event = event.clone();
                if let Some((_, id, name)) = &member {
                    event = event.member(*id, name);
                }
                if let Some(at) = token.expires_at {
                    event = event.detail(DetailKey::Expires, at);
                }
                tx.audit(event);
                Ok(token)
            })
        });
        Ok(TokenIssued { token: record.await?.into_token(name, author_name), credential })
    }

    /// Returns the member that a new token is for, if the caller may create it.
    async fn permit_creation(&self, caller: &Caller, new: &NewToken) -> Result<TokenOwner, Error> {
        // Found before the permission is decided, because it depends on whose token it is.
        let member = self.token_owner(caller, new.member.as_ref()).await?;
        let action = member
            .as_ref()
            .map_or(Action::EditOperatorTokens, |(_, id, _)| Action::CreateToken(caller.subject(*id)));
        let about = member.as_ref().map(|(_, id, name)| target::member(*id, name));
        self.permit(caller, action, AuditAction::TokenCreate, about).await?;

        if new.metrics && member.is_some() {
            return Err(Error::Invalid {
                field: "metrics",
                why: "only the operator creates tokens for metrics",
            });
        }
        Ok(member)
    }

    /// Lists the active tokens that the caller may see, ascending by id: a member's own, an admin's whole organization or
    /// those of `member`, the operator's own.
    pub async fn list_tokens(
        &self,
        caller: &Caller,
        member: Option<&MemberName>,
        page: PageAsk,
    ) -> Result<Page<Token>, Error> {
        let of = match member {
            Some(_) => self.token_owner(caller, member).await?,
            None => caller.member().zip(caller.org()).map(|((id, name), (org, _))| (org, id, name.clone())),
        };
        let action = of
            .as_ref()
            .map_or(Action::EditOperatorTokens, |(_, id, _)| Action::ListTokens(caller.subject(*id)));
        self.permit(caller, action, AuditAction::TokenList, None).await?;
        let only = of.as_ref().filter(|_| member.is_some()).map(|(_, id, _)| *id);
        let sees = |owner: &Option<MemberId>| match (owner, only) {
            (Some(owner), Some(only)) => *owner == only,
            // Without a name: all that the caller may see, such as those of the services that it manages.
            (Some(owner), None) => caller.may(Action::ListTokens(caller.subject(*owner))),
            (None, _) => true,
        };
        let org = of.as_ref().map(|(org, _, _)| *org);
        let index = self.records().tokens(org);
        let (ids, next) = self.filtered_ids(&index, &page, sees).await?;
        let keys: Vec<_> = ids.into_iter().map(|id| tokens::token(TokenId::from_bytes(id))).collect();
        let tokens: Vec<TokenRecord> = self.records().get_all(&keys).await?.into_iter().flatten().collect();
        let people = tokens.iter().flat_map(|token| [token.member.map(|(_, id)| id), token.author]);
        let members = match org {
            Some(org) => self.members_by_id(org, people.flatten().collect()).await?,
            None => BTreeMap::new(),
        };
        let unrevoked = tokens.into_iter().filter(|token| token.revoked_at.is_none());
        let items = unrevoked.filter_map(|token| {
            let author = token.author.and_then(|author| members.get(&author));
            let author = author.map(|author| author.name.clone());
            match token.member {
                // The background task has not yet revoked the tokens of a removed member.
                Some((_, id)) => members
                    .get(&id)
                    .filter(|member| member.removed_at.is_none())
                    .map(|member| token.into_token(Some(member.name.clone()), author)),
                None => Some(token.into_token(None, author)),
            }
        });
        Ok(Page { items: items.collect(), next })
    }

    /// Revokes a token. The last operator token that works cannot be revoked.
    pub async fn revoke_token(&self, caller: &Caller, token: TokenId) -> Result<Token, Error> {
        let not_found = || Error::NotFound { what: "token" };
        let key = tokens::token(token);
        let found = self.records().get(&key).await?.ok_or_else(not_found)?;
        // A token of another organization is as absent as one that does not exist.
        if found.member.map(|(org, _)| org) != caller.principal().org() || found.revoked_at.is_some() {
            return Err(not_found());
        }
        let action = found
            .member
            .map_or(Action::EditOperatorTokens, |(_, id)| Action::RevokeToken(caller.subject(id)));
        self.permit(caller, action, AuditAction::TokenRevoke, Some(target::token(token))).await?;
        // Without an operator token, nobody could administer the store or create another one.
        if found.is_operators() && !self.other_operator_token(token).await? {
            return Err(Error::Conflict { why: "the operator's last token cannot be revoked" });
        }
        let mut event = caller.event(AuditAction::TokenRevoke).about(target::token(token));
        if let Some((_, member)) = found.member {
            event = event.detail(DetailKey::MemberId, member);
        }
        let revoked = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut record: TokenRecord = tx.get(&key)?.ok_or_else(not_found)?;
            // The first revocation's time stays when another one was faster.
            record.revoked_at.get_or_insert(tx.now());
            if let Some((org, _)) = record.member {
                tx.recount(org, &mut record)?;
            }
            tx.put(&key, &record)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(record)
        });
        let record = revoked.await?;
        let Some((org, id)) = record.member else { return Ok(record.into_token(None, None)) };
        let people = [Some(id), record.author].into_iter().flatten().collect();
        let members = self.members_by_id(org, people).await?;
        let name = |id: MemberId| members.get(&id).map(|member| member.name.clone());
        let (member, author) = (name(id), record.author.and_then(name));
        Ok(record.into_token(member, author))
    }

    async fn author_name(
        &self,
        caller: &Caller,
        author: Option<MemberId>,
    ) -> Result<Option<MemberName>, Error> {
        match (author, caller.member(), caller.org()) {
            // No look-up for one's own name, which it nearly always is.
            (Some(author), Some((own, name)), _) if author == own => Ok(Some(name.clone())),
            (Some(author), _, Some((org, _))) => {
                let author = self.members_by_id(org, [author].into()).await?.remove(&author);
                Ok(author.map(|author| author.name))
            }
            _ => Ok(None),
        }
    }

    /// The member that a token is for. `None`: the operator.
    async fn token_owner(&self, caller: &Caller, member: Option<&MemberName>) -> Result<TokenOwner, Error> {
        match (caller.org(), member) {
            (None, None) => Ok(None),
            // The operator cannot create tokens for members: it would act inside an organization.
            (None, Some(_)) => Err(caller.own_org().err().unwrap_or(Failure::Internal.into())),
            (Some((org, _)), name) => {
                let (id, name) = self.member_or_self(caller, name).await?;
                Ok(Some((org, id, name)))
            }
        }
    }

    async fn other_operator_token(&self, except: TokenId) -> Result<bool, Error> {
        let (ids, _) = self.records().scan_all(&self.records().tokens(None)).await?;
        let index = self.records().tokens(None);
        let others = ids.iter().filter_map(|found| index.id(&found.key)).map(TokenId::from_bytes);
        let keys: Vec<_> = others.filter(|id| *id != except).map(tokens::token).collect();
        // Expired tokens do not count: they cannot be used to create another one.
        let now = self.now();
        Ok(self
            .records()
            .get_all(&keys)
            .await?
            .iter()
            .flatten()
            .any(|token: &TokenRecord| token.is_operators() && token.is_active(now)))
    }
}

impl NewToken {
    fn parts(&self) -> Vec<Vec<u8>> {
        // "=" tells an empty text from an absent one.
        let text = |text: Option<&str>| text.map_or_else(Vec::new, |text| format!("={text}").into());
        vec![
            text(self.member.as_ref().map(MemberName::as_str)),
            self.ttl.map_or_else(Vec::new, |ttl| ttl.as_millis().to_be_bytes().into()),
            text(self.label.as_ref().map(Label::as_str)),
            vec![self.metrics.into()],
        ]
    }
}

impl TokenRecord {
    pub(crate) fn new(
        mint: &NewCredential,
        member: Option<(OrgId, MemberId)>,
        author: Option<MemberId>,
        now: Timestamp,
    ) -> Self {
        Self {
            id: TokenId::from_bytes(mint.id),
            hash: mint.hash(),
            member,
            author,
            label: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            counted: false,
            inactive_at: None,
            metrics: false,
        }
    }

    /// Whether it has the permissions of the operator.
    fn is_operators(&self) -> bool {
        self.member.is_none() && !self.metrics
    }

    /// Stores a new token, and counts it if it is a member's. Does not check the quota.
    pub(crate) fn put_new(&mut self, tx: &mut Tx<'_>) -> Result<(), Halt> {
        if let Some((org, _)) = self.member {
            tx.recount(org, self)?;
        }
        let index = tx.records().tokens(self.member.map(|(org, _)| org)).key(self.id.as_bytes());
        tx.put(&tokens::token(self.id), self)?;
        // The index has the member, so that a filtered list reads no tokens that it does not return.
        tx.put(&index, &self.member.map(|(_, member)| member))?;
        Ok(())
    }

    pub(crate) fn into_token(self, member: Option<MemberName>, author: Option<MemberName>) -> Token {
        let Self { id, label, created_at, expires_at, revoked_at, metrics, .. } = self;
        Token { id, member, author, label, created_at, expires_at, revoked_at, metrics }
    }
}
