//! From a provider's answer to an account: the ID token is verified, and the claims that are not in it are asked for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openidconnect::core::{CoreGenderClaim, CoreJwsSigningAlgorithm};
use openidconnect::{
    AccessToken, AccessTokenHash, Nonce, NonceVerifier, OAuth2TokenResponse as _, SubjectIdentifier,
    TokenResponse as _, UserInfoClaims,
};
use serde_json::Value;

use super::error::{IdTokenFault, ProviderError};
use super::metadata::{OidcClient, OidcTokens, OtherClaims};
use super::{ClientKind, Provider};
use crate::domain::provider::ProvenAccount;
use crate::domain::time::Timestamp;

/// How far the clocks of the provider and this server may differ.
const LEEWAY: Duration = Duration::from_secs(120);
/// What an ID token may be signed with. Never `none`; and never an HMAC with the client's secret, which proves nothing of a client
/// that has none, and makes the secret a key that somebody can guess from a token.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 10] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EcdsaP521Sha512,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The nonce of the code flow. The device flow has none.
#[derive(Clone, Copy)]
struct ExpectedNonce<'a>(Option<&'a Nonce>);

impl NonceVerifier for ExpectedNonce<'_> {
    fn verify(self, nonce: Option<&Nonce>) -> Result<(), String> {
        match self.0 {
            Some(expected) => NonceVerifier::verify(expected, nonce),
            None => Ok(()),
        }
    }
}

impl Provider {
    /// Verifies the ID token of an answer, and reads the account from its claims.
    pub(super) async fn verify(
        &self,
        kind: ClientKind,
        tokens: &OidcTokens,
        nonce: Option<&Nonce>,
        now: Timestamp,
    ) -> Result<ProvenAccount, ProviderError> {
        let nonce = ExpectedNonce(nonce);
        let client = self.client(&self.document().await?, kind);
        let (claims, subject) = match verified_claims(&client, tokens, nonce, now) {
            // The provider may have begun to sign with a new key since its document was read.
            Err(IdTokenFault::Key) => {
                let refreshed = self.client(&self.refreshed_document().await?, kind);
                verified_claims(&refreshed, tokens, nonce, now)?
            }
            verified => verified?,
        };
        let claims = if self.lacks_claim(&claims) {
            self.add_user_info(&client, tokens.access_token(), &subject, claims).await?
        } else {
            claims
        };
        self.read_account(&claims, subject.as_str())
    }

    /// Adds the claims that a provider gives at its own endpoint only. Those of the ID token stay.
    async fn add_user_info(
        &self,
        client: &OidcClient,
        token: &AccessToken,
        subject: &SubjectIdentifier,
        claims: Value,
    ) -> Result<Value, ProviderError> {
        // The library makes a header of it, and would panic.
        let is_header = token.secret().bytes().all(|byte| byte.is_ascii_graphic());
        let request = client.user_info(token.clone(), Some(subject.clone()));
        let (Ok(request), true) = (request, is_header) else { return Ok(claims) };
        let more: Result<UserInfoClaims<OtherClaims, CoreGenderClaim>, _> =
            request.request_async(&self.http).await;
        let more = more.map_err(|error| ProviderError::from(&error))?;
        let more = serde_json::to_value(more).map_err(|_| ProviderError::BadAnswer)?;
        let (Value::Object(mut all), Value::Object(own)) = (more, claims) else {
            return Err(ProviderError::BadAnswer);
        };
        all.extend(own);
        Ok(Value::Object(all))
    }
}

/// Verifies the ID token of an answer: signature, issuer, audience, times and nonce. Returns its claims, and its subject.
fn verified_claims(
    client: &OidcClient,
    tokens: &OidcTokens,
    nonce: ExpectedNonce<'_>,
    now: Timestamp,
) -> Result<(Value, SubjectIdentifier), IdTokenFault> {
    let token = tokens.id_token().ok_or(IdTokenFault::Missing)?;
    let clock = system_time(now);
    // Other audiences are refused by default: each of them could present the token here.
    let verifier = client
        .id_token_verifier()
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || (clock - LEEWAY).into())
        .set_issue_time_verifier_fn(move |issued| match SystemTime::from(issued) <= clock + LEEWAY {
            true => Ok(()),
            false => Err(String::new()),
        });
    let claims = token.claims(&verifier, nonce).map_err(|error| IdTokenFault::from(&error))?;
    // The party that the token was issued to, where the provider says so.
    if claims.authorized_party().is_some_and(|party| party.as_str() != client.client_id().as_str()) {
        return Err(IdTokenFault::Audience);
    }
    if let Some(expected) = claims.access_token_hash() {
        let algorithm = token.signing_alg().map_err(|_| IdTokenFault::AccessToken)?;
        let key = token.signing_key(&verifier).map_err(|_| IdTokenFault::AccessToken)?;
        let found = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
        if found.map_err(|_| IdTokenFault::AccessToken)? != *expected {
            return Err(IdTokenFault::AccessToken);
        }
    }
    // From here on as JSON, since the operator's paths can lead to any claim.
    let subject = claims.subject().clone();
    let claims = serde_json::to_value(claims).map_err(|_| IdTokenFault::Invalid)?;
    Ok((claims, subject))
}

fn system_time(now: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0))
}
