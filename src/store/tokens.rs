//! Members' tokens, and the operator's.

use std::time::Duration;

use super::error::Error;
use super::page::{Page, PageAsk};
use super::{Caller, Store};
use crate::domain::credential::Credential;
use crate::domain::id::TokenId;
use crate::domain::name::{Label, MemberName};
use crate::domain::time::Timestamp;

/// A token to be made.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// For whom; absent: the caller. The operator makes further operator's tokens, and no other.
    pub member: Option<MemberName>,
    /// How long it lives; absent: until revoked.
    pub ttl: Option<Duration>,
    /// For people.
    pub label: Option<Label>,
}

/// A token as shown.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id: the public part of the credential.
    pub id: TokenId,
    /// Whose it is; none: the operator's.
    pub member: Option<MemberName>,
    /// For people.
    pub label: Option<Label>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A new token. The credential exists nowhere else.
#[derive(Debug)]
pub struct TokenIssued {
    /// The token.
    pub token: Token,
    /// Its text is what the holder presents (`dsm_…` or `dso_…`).
    pub credential: Credential,
}

impl Store {
    /// Makes a token: a member for itself, an admin for any member, the operator for itself. A repeated idempotency key
    /// is a conflict: the credential cannot be shown twice.
    pub async fn create_token(
        &self,
        caller: &Caller,
        new: NewToken,
        idempotency: Option<&str>,
    ) -> Result<TokenIssued, Error> {
        let _ = (caller, new, idempotency);
        todo!()
    }

    /// Tokens that the caller may see, ascending by id: a member its own, an admin its organization's (or those of
    /// `member`), the operator the operator's.
    pub async fn list_tokens(
        &self,
        caller: &Caller,
        member: Option<&MemberName>,
        page: PageAsk,
    ) -> Result<Page<Token>, Error> {
        let _ = (caller, member, page);
        todo!()
    }

    /// Revokes a token. The operator's last usable token stays.
    pub async fn revoke_token(&self, caller: &Caller, token: TokenId) -> Result<Token, Error> {
        let _ = (caller, token);
        todo!()
    }
}
