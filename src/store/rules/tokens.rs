//! Members' tokens, and the operator's.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::id::{MemberId, OrgId, TokenId};
use crate::domain::name::{Label, MemberName};
use crate::domain::role::Action;
use crate::domain::time::Timestamp;
use crate::store::engine::failure::Failure;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::idempotency::{RepeatableRequest, once_with_credential};
use crate::store::rules::page::{Page, PageAsk};
use crate::store::rules::store::Store;
use crate::store::tables::tokens;
use crate::store::tables::tokens::TokenRecord;

/// A token to create.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// The member that gets it. Absent: the caller. The operator creates only operator tokens.
    pub member: Option<MemberName>,
    /// How long it is valid. Absent: until it is revoked.
    pub ttl: Option<Duration>,
    /// A note for people.
    pub label: Option<Label>,
}

/// A token without its secret part.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id: the public part of the credential.
    pub id: TokenId,
    /// Its member. Absent: it is an operator token.
    pub member: Option<MemberName>,
    /// A note for people.
    pub label: Option<Label>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A new token. The credential exists nowhere else.
#[derive(Debug)]
pub struct TokenIssued {
    /// The token.
    pub token: Token,
    /// The credential (`dsm_…` or `dso_…`).
    pub credential: Credential,
}

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
}

impl Store {
    /// Creates a token: a member for itself, an admin for any member, the operator for itself. A repeated idempotency key is
    /// a conflict, because the credential cannot be shown twice.
    pub async fn create_token(
        &self,
        caller: &Caller,
        new: NewToken,
        idempotency: Option<&str>,
    ) -> Result<TokenIssued, Error> {
        // Found before the permission is decided, because it depends on whose token it is.
        let member = self.token_owner(caller, new.member.as_ref()).await?;
        let action =
            member.as_ref().map_or(Action::EditOperatorTokens, |(_, id, _)| Action::CreateToken(*id));
        let about = member.as_ref().map(|(_, id, name)| target::member(*id, name));
        self.permit(caller, action, AuditAction::TokenCreate, about).await?;

        let request = RepeatableRequest { operation: "create token", parts: new.parts(), value: None };
        let repeatable = self.repeatable(caller, idempotency, request)?;
        let kind = if member.is_some() { CredentialKind::Member } else { CredentialKind::Operator };
        let new_credential = NewCredential::new(self, kind);
        let credential = new_credential.credential();
        let event = caller.event(AuditAction::TokenCreate).about(target::token(credential.token_id()));
        let name = member.as_ref().map(|(_, _, name)| name.clone());
        let record = self.journal().run(Vec::new(), move |tx| {
            once_with_credential(tx, repeatable.as_ref(), |tx| {
                // The member may have been removed since the check above.
                if let Some((org, id, _)) = &member {
                    tx.get_member(*org, *id)?;
                }
                let mut token = TokenRecord::new(
                    &new_credential,
                    member.as_ref().map(|(org, id, _)| (*org, *id)),
                    tx.now(),
                );
                token.label = new.label.clone();
                token.expires_at = new.ttl.map(|ttl| tx.now().plus(ttl));
                token.put_new(tx)?;
                // The closure runs again if the commit meets a conflict, so that it keeps its own event.
                let mut event = event.clone();
                if let Some((_, _, name)) = &member {
                    event = event.detail(DetailKey::Member, name);
                }
                if let Some(at) = token.expires_at {
                    event = event.detail(DetailKey::Expires, at);
                }
                tx.audit(event);
                Ok(token)
            })
        });
        Ok(TokenIssued { token: record.await?.into_token(name), credential })
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
        let only = match &of {
            None => {
                self.permit(caller, Action::EditOperatorTokens, AuditAction::TokenList, None).await?;
                None
            }
            Some((_, id, _)) => {
                self.permit(caller, Action::ListTokens(*id), AuditAction::TokenList, None).await?;
                // A caller who may see the tokens of any member sees all, unless it names one.
                let sees_all = caller.may(Action::ListTokens(MemberId::from_bytes([0; 16])));
                (member.is_some() || !sees_all).then_some(*id)
            }
        };
        let org = of.as_ref().map(|(org, _, _)| *org);
        let index = self.records().tokens(org);
        let (ids, next) = self
            .filtered_ids(&index, &page, |owner: &Option<MemberId>| only.is_none() || *owner == only)
            .await?;
        let keys: Vec<_> = ids.into_iter().map(|id| tokens::token(TokenId::from_bytes(id))).collect();
        let tokens: Vec<TokenRecord> = self.records().get_all(&keys).await?.into_iter().flatten().collect();
        let owners = tokens.iter().filter_map(|token| token.member.map(|(_, id)| id)).collect();
        let names = match org {
            Some(org) => self.member_names(org, owners).await?,
            None => Default::default(),
        };
        let items = tokens.into_iter().filter(|token| token.revoked_at.is_none()).filter_map(|token| {
            match token.member {
                // The background task has not yet revoked the tokens of a removed member.
                Some((_, id)) => names.get(&id).map(|name| token.into_token(Some(name.clone()))),
                None => Some(token.into_token(None)),
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
        let action = found.member.map_or(Action::EditOperatorTokens, |(_, id)| Action::RevokeToken(id));
        self.permit(caller, action, AuditAction::TokenRevoke, Some(target::token(token))).await?;
        // Without an operator token, nobody could administer the store or create another one.
        if found.member.is_none() && !self.other_operator_token(token).await? {
            return Err(Error::Conflict { why: "the operator's last token cannot be revoked" });
        }
        let event = caller.event(AuditAction::TokenRevoke).about(target::token(token));
        let revoked = self.journal().run(vec![key.to_vec()], move |tx| {
            let mut record: TokenRecord = tx.get(&key)?.ok_or_else(not_found)?;
            // The first revocation's time stays when another one was faster.
            record.revoked_at.get_or_insert(tx.now());
            tx.put(&key, &record)?;
            tx.audit(event.clone());
            Ok::<_, Stop<Error>>(record)
        });
        let record = revoked.await?;
        let name = match record.member {
            Some((org, id)) => self.member_names(org, [id].into()).await?.remove(&id),
            None => None,
        };
        Ok(record.into_token(name))
    }

    /// The member that a token is for. `None`: the operator.
    async fn token_owner(
        &self,
        caller: &Caller,
        member: Option<&MemberName>,
    ) -> Result<Option<(OrgId, MemberId, MemberName)>, Error> {
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
        let works =
            |token: &TokenRecord| token.revoked_at.is_none() && token.expires_at.is_none_or(|at| at > now);
        Ok(self.records().get_all(&keys).await?.iter().flatten().any(works))
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
        ]
    }
}

impl TokenRecord {
    pub(crate) fn new(mint: &NewCredential, member: Option<(OrgId, MemberId)>, now: Timestamp) -> Self {
        Self {
            id: TokenId::from_bytes(mint.id),
            hash: mint.hash(),
            member,
            label: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
        }
    }

    pub(crate) fn put_new(&self, tx: &mut Tx<'_>) -> Result<(), Stop<Error>> {
        let index = tx.records().tokens(self.member.map(|(org, _)| org)).key(self.id.as_bytes());
        tx.put(&tokens::token(self.id), self)?;
        // The index has the member, so that a filtered list reads no tokens that it does not return.
        tx.put(&index, &self.member.map(|(_, member)| member))?;
        Ok(())
    }

    fn into_token(self, member: Option<MemberName>) -> Token {
        let Self { id, hash: _, member: _, label, created_at, expires_at, revoked_at } = self;
        Token { id, member, label, created_at, expires_at, revoked_at }
    }
}
