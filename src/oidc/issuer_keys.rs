//! Verifies tokens, with the keys of every issuer that this process has met.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::checks::{self, CHECKS, Expected};
use super::egress::EgressPolicy;
use super::fetch::{FETCH_LIMIT, Fetcher};
use super::key_cache::CachedIssuer;
use super::key_set::KeySet;
use super::resolver::SystemResolver;
use super::token::{self, ParsedToken};
use crate::domain::jwt::{
    CheckOutcome, IssuerFault, IssuerSpec, JwtAlgorithm, TokenCheck, TokenCheckName, TokenExplanation,
    TokenRefusal, VerifiedToken,
};
use crate::domain::time::Timestamp;

/// Issuers whose keys are kept, of all organizations together: some 16 MiB with the usual few keys each. Issuers that were used
/// once make room for others first.
const MAX_ISSUERS: usize = 4096;

/// How often to look for keys that are to be fetched again.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// The keys of issuers, and the checks of their tokens. A clone shares the keys.
#[derive(Clone)]
pub struct IssuerKeys(Arc<CachedIssuers>);

struct CachedIssuers {
    fetcher: Arc<Fetcher>,
    /// By everything that determines the keys. Two organizations that name the same URL with different authorities or keys share
    /// nothing, so that neither can give the other its keys.
    issuers: Cache<SpecDigest, Arc<CachedIssuer>>,
}

type SpecDigest = [u8; 32];

impl IssuerKeys {
    pub fn new(policy: EgressPolicy) -> Self {
        Self::with_fetcher(Fetcher::new(policy, Box::new(SystemResolver), FETCH_LIMIT))
    }

    pub(super) fn with_fetcher(fetcher: Fetcher) -> Self {
        Self(Arc::new(CachedIssuers { fetcher: Arc::new(fetcher), issuers: Cache::new(MAX_ISSUERS) }))
    }

    /// Verifies a token of `issuer` for `audience`. The token's claims are still to be compared with the identity's rules.
    ///
    /// # Errors
    /// The first fault. The machine must not learn which.
    pub(crate) async fn verify(
        &self,
        issuer: &IssuerSpec,
        audience: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<VerifiedToken, TokenRefusal> {
        let token = token::parse(token)?;
        let expected = Expected { issuer, audience, now };
        for (_, check) in CHECKS {
            check(&token, &expected)?;
        }
        let keys = self.keys_for(&token, &expected).await?;
        check_signature(&token, issuer, &keys)?;
        Ok(VerifiedToken {
            subject: checks::subject(&token.claims)?.to_owned(),
            expires_at: checks::expiry(&token.claims)?,
            digest: token.digest(),
            claims: token.claims,
        })
    }

    /// Makes every check of a token, for the person who tests an identity. One that fails does not hide the others.
    pub(crate) async fn explain(
        &self,
        issuer: &IssuerSpec,
        audience: &str,
        token: &str,
        now: Timestamp,
    ) -> TokenExplanation {
        let mut checks = Vec::with_capacity(TokenCheckName::ALL.len());
        let mut record = |name, outcome| checks.push(TokenCheck { name, outcome });
        let token = match token::parse(token) {
            Ok(token) => token,
            Err(why) => {
                record(TokenCheckName::Form, CheckOutcome::Refused(why));
                for name in &TokenCheckName::ALL[1..] {
                    record(*name, CheckOutcome::Skipped);
                }
                return TokenExplanation { checks, claims: None };
            }
        };
        record(TokenCheckName::Form, CheckOutcome::Passed);
        let expected = Expected { issuer, audience, now };
        for (name, check) in CHECKS {
            record(name, outcome(check(&token, &expected)));
        }
        // Without an algorithm of the issuer, no key could fit.
        let (key, signature) = if checks::algorithm(&token, issuer).is_err() {
            (CheckOutcome::Skipped, CheckOutcome::Skipped)
        } else {
            match self.keys_for(&token, &expected).await {
                Ok(keys) => (CheckOutcome::Passed, outcome(check_signature(&token, issuer, &keys))),
                Err(why) => (CheckOutcome::Refused(why), CheckOutcome::Skipped),
            }
        };
        record(TokenCheckName::Key, key);
        record(TokenCheckName::Signature, signature);
        TokenExplanation { checks, claims: Some(token.claims) }
    }

    /// Checks the documents of an issuer before it is stored: its certificate authorities and its keys, if it has any. Contacts
    /// nobody.
    pub(crate) fn check_documents(&self, issuer: &IssuerSpec) -> Result<(), IssuerFault> {
        // Both, although keys that are given make the authorities useless.
        self.0.fetcher.tls(issuer.authorities.as_deref()).map(drop).or_else(|fault| {
            // The system's own authorities may be missing where all issuers' keys are given.
            if issuer.keys.is_some() && issuer.authorities.is_none() { Ok(()) } else { Err(fault) }
        })?;
        CachedIssuer::new(issuer, Arc::clone(&self.0.fetcher)).map(drop)
    }

    /// Keeps the keys of issuers in use new, as a task of the runtime that calls it, until the last clone of this is dropped.
    pub(crate) fn start_refreshing(&self, now: impl Fn() -> Timestamp + Send + 'static) {
        // A weak reference, so that the task keeps nothing alive.
        let issuers = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(REFRESH_INTERVAL);
            loop {
                tick.tick().await;
                let Some(issuers) = issuers.upgrade() else { return };
                Self(issuers).refresh_due(now());
            }
        });
    }

    /// Forgets the keys of an issuer that was changed or removed, so that nobody is asked for them any more.
    pub(crate) fn forget(&self, issuer: &IssuerSpec) {
        self.0.issuers.remove(&issuer.digest());
    }

    /// Starts to fetch the keys of issuers in use that are no longer new, as tasks of the runtime that calls it.
    pub(crate) fn refresh_due(&self, now: Timestamp) {
        for (_, issuer) in self.0.issuers.iter() {
            issuer.refresh_if_due(now);
        }
    }

    /// Returns the issuer's keys, of which one fits the token.
    async fn keys_for(
        &self,
        token: &ParsedToken<'_>,
        expected: &Expected<'_>,
    ) -> Result<Arc<KeySet>, TokenRefusal> {
        let (id, algorithm) = key_of(token, expected.issuer)?;
        let issuer = self.issuer(expected.issuer)?;
        let mut keys = issuer.keys(expected.now).await?;
        if keys.select(id, algorithm).err() == Some(TokenRefusal::UnknownKey) {
            // The issuer may have changed its keys. If it cannot be asked, nobody knows whether the token is good.
            keys = issuer.newest_keys(expected.now).await?;
        }
        keys.select(id, algorithm)?;
        Ok(keys)
    }

    fn issuer(&self, issuer: &IssuerSpec) -> Result<Arc<CachedIssuer>, IssuerFault> {
        self.0.issuers.get_or_insert_with(&issuer.digest(), || {
            CachedIssuer::new(issuer, Arc::clone(&self.0.fetcher)).map(Arc::new)
        })
    }
}

fn outcome(result: Result<(), TokenRefusal>) -> CheckOutcome {
    result.map_or_else(CheckOutcome::Refused, |()| CheckOutcome::Passed)
}

fn check_signature(token: &ParsedToken<'_>, issuer: &IssuerSpec, keys: &KeySet) -> Result<(), TokenRefusal> {
    let (id, algorithm) = key_of(token, issuer)?;
    keys.select(id, algorithm)?.verify(token)
}

fn key_of<'a>(
    token: &'a ParsedToken<'_>,
    issuer: &IssuerSpec,
) -> Result<(Option<&'a str>, JwtAlgorithm), TokenRefusal> {
    Ok((checks::key_id(&token.header)?, checks::algorithm(token, issuer)?))
}
