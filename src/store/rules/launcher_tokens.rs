//! How a launcher replaces its token, and keeps the acceptances that its member id has.
//!
//! A launcher has one token, and two for a short time after a replacement. Nobody can keep a second one unnoticed: a thief who
//! replaces a stolen token revokes the launcher's own. Revoking all tokens in the list stops new tickets, not those that exist.

use std::time::Duration;

use crate::domain::audit::{AuditAction, AuditEvent};
use crate::domain::id::{OrgId, TokenId};
use crate::domain::role::MemberKind;
use crate::domain::time::Timestamp;
use crate::store::engine::journal::{Stop, Tx};
use crate::store::engine::keys::Key;
use crate::store::rules::audit::{EventBuilder, target};
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::store::Store;
use crate::store::tables::tokens::{self, TokenRecord};

/// How long the token that asked for its replacement stays valid: the answer with the new one may be lost on its way.
pub(crate) const GRACE: Duration = Duration::from_secs(600);

/// The tokens that end with the creation of another one.
pub(crate) struct ReplacedTokens {
    org: OrgId,
    /// The one that asks, as it was before the others were listed.
    presented: TokenRecord,
    others: Vec<Key<TokenRecord>>,
    event: AuditEvent,
}

impl Store {
    /// Lists the tokens that a launcher's new one replaces. `None` for other callers, who may have several.
    pub(crate) async fn replaced_tokens(&self, caller: &Caller) -> Result<Option<ReplacedTokens>, Error> {
        let (Some(MemberKind::Launcher), Some(presented)) = (caller.kind(), caller.token()) else {
            return Ok(None);
        };
        let (org, own) = caller.own_member()?;
        // Before the list: the commit finds a replacement that is made after this.
        let presented = self.records().get(&tokens::token(presented)).await?;
        let presented = presented.ok_or(Error::NotFound { what: "token" })?;
        let index = self.records().tokens(Some(org));
        let (found, _) = self.records().scan_all(&index).await?;
        let own = found.iter().filter(|found| found.record == Some(own));
        let ids = own.filter_map(|found| index.id(&found.key)).map(TokenId::from_bytes);
        let keys: Vec<_> = ids.filter(|id| *id != presented.id).map(tokens::token).collect();
        // Those that were replaced long ago stay in the list for months.
        let records = self.records().get_all(&keys).await?;
        let works = |token: Option<TokenRecord>| token.is_some_and(|token| token.revoked_at.is_none());
        let others =
            keys.into_iter().zip(records).filter_map(|(key, token)| works(token).then_some(key)).collect();
        let event = caller.event(AuditAction::TokenRevoke);
        Ok(Some(ReplacedTokens { org, presented, others, event }))
    }
}

impl ReplacedTokens {
    /// Ends them in the commit that creates the new one.
    pub(crate) fn end(&self, tx: &mut Tx<'_>) -> Result<(), Stop<Error>> {
        let key = tokens::token(self.presented.id);
        if tx.get(&key)?.as_ref() != Some(&self.presented) {
            return Err(Error::Conflict { why: "another request has replaced this token" }.into());
        }
        let mut presented = self.presented.clone();
        let end = tx.now().plus(GRACE);
        // Earlier each time, so that the record changes with every replacement and the check above finds each.
        let earlier = presented.expires_at.map(|at| Timestamp::from_millis(at.as_millis() - 1));
        presented.expires_at = Some(earlier.map_or(end, |at| at.min(end)));
        tx.put(&key, &presented)?;
        tx.need(self.others.iter().map(Key::to_vec))?;
        for key in &self.others {
            if let Some(mut other) = tx.get(key)?.filter(|other| other.revoked_at.is_none()) {
                tx.audit(self.event.clone().about(target::token(other.id)));
                other.revoked_at = Some(tx.now());
                tx.recount(self.org, &mut other)?;
                tx.put(key, &other)?;
            }
        }
        Ok(())
    }
}
