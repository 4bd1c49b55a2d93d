//! A provider's endpoints and keys, by OpenID Connect Discovery. They are cached, so that a stranger who starts sign-ins makes this
//! server ask for them once in a while and not each time.

use std::time::{Duration, Instant};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreSubjectIdentifierType,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, AuthType, DeviceAuthorizationUrl, DiscoveryError,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, IssuerUrl,
    ProviderMetadata, StandardErrorResponse, StandardTokenResponse,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::Provider;
use super::error::ProviderError;
use super::exchange::ProviderHttpError;
use super::settings::check_address;

/// How long a document is used. A provider announces a new key for longer than this before it signs with it.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// The shortest time between two documents, for a token with a key that the last one did not name.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);
/// How long a provider that did not answer is not asked again.
const PAUSE: Duration = Duration::from_secs(5);

/// The members of a provider's document that the library does not know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ExtraMetadata {
    pub(crate) device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
    /// RFC 9207: each answer to a browser names the issuer.
    pub(crate) authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for ExtraMetadata {}

/// All claims of a token beside the standard ones.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct OtherClaims(pub(crate) serde_json::Map<String, serde_json::Value>);

impl AdditionalClaims for OtherClaims {}

/// A provider's document, with its keys.
pub(crate) type ProviderDocument = ProviderMetadata<
    ExtraMetadata,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The library's client, as a provider's document makes it.
pub(crate) type OidcClient = openidconnect::Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    OidcTokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The answer of a token endpoint.
pub(crate) type OidcTokens = StandardTokenResponse<
    IdTokenFields<
        OtherClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

/// How this server proves itself to a token endpoint.
pub(crate) struct AuthMethod(AuthType);

impl AuthMethod {
    /// The provider's, if it says one: many accept only one of the two, and the specification's default is the header.
    pub(crate) fn of(document: &ProviderDocument) -> Self {
        let methods = document.token_endpoint_auth_methods_supported();
        let has = |method| methods.is_some_and(|methods| methods.contains(&method));
        let body_only =
            has(CoreClientAuthMethod::ClientSecretPost) && !has(CoreClientAuthMethod::ClientSecretBasic);
        Self(if body_only { AuthType::RequestBody } else { AuthType::BasicAuth })
    }
}

impl From<AuthMethod> for AuthType {
    fn from(AuthMethod(method): AuthMethod) -> Self {
        method
    }
}

/// What is cached of a provider.
#[derive(Default)]
pub(crate) struct MetadataCache(Mutex<CachedDocument>);

#[derive(Default)]
struct CachedDocument {
    found: Option<(ProviderDocument, Instant)>,
    failed: Option<(ProviderError, Instant)>,
}

impl Provider {
    /// Returns the provider's document.
    pub(super) async fn document(&self) -> Result<ProviderDocument, ProviderError> {
        self.document_within(FRESH).await
    }

    /// Returns a document that may know a key which the one before did not.
    pub(super) async fn refreshed_document(&self) -> Result<ProviderDocument, ProviderError> {
        self.document_within(REFRESH_INTERVAL).await
    }

    async fn document_within(&self, age: Duration) -> Result<ProviderDocument, ProviderError> {
        // Held while the document is fetched, so that sign-ins that come together cause one fetch.
        let mut cached = self.metadata.0.lock().await;
        let now = Instant::now();
        match &*cached {
            CachedDocument { found: Some((document, at)), .. } if now.duration_since(*at) < age => {
                return Ok(document.clone());
            }
            CachedDocument { failed: Some((error, at)), .. } if now.duration_since(*at) < PAUSE => {
                return Err(*error);
            }
            CachedDocument { .. } => {}
        }
        match self.discover().await {
            Ok(document) => {
                *cached = CachedDocument { found: Some((document.clone(), Instant::now())), failed: None };
                Ok(document)
            }
            Err(error) => {
                let (name, reason) = (self.name(), error.reason());
                tracing::warn!(provider = %name, reason, "the document of a sign-in provider cannot be read");
                cached.failed = Some((error, Instant::now()));
                Err(error)
            }
        }
    }

    async fn discover(&self) -> Result<ProviderDocument, ProviderError> {
        let issuer =
            IssuerUrl::new(self.settings.issuer.to_string()).map_err(|_| ProviderError::BadAnswer)?;
        // It fails if the document names another issuer than the one that was asked (Discovery, section 4.3).
        let found = ProviderDocument::discover_async(issuer, &self.http).await;
        let document = found.map_err(|error| self.log_discovery(&error))?;
        let endpoints = [
            Some(document.authorization_endpoint().as_str()),
            document.token_endpoint().map(|url| url.as_str()),
            document.userinfo_endpoint().map(|url| url.as_str()),
            document.additional_metadata().device_authorization_endpoint.as_ref().map(|url| url.as_str()),
        ];
        // Browsers are sent to the first one. A token endpoint is what all of this is for.
        let is_usable = document.token_endpoint().is_some()
            && endpoints.into_iter().flatten().all(|url| check_address(url).is_ok());
        if is_usable { Ok(document) } else { Err(ProviderError::BadAnswer) }
    }

    fn log_discovery(&self, error: &DiscoveryError<ProviderHttpError>) -> ProviderError {
        if let DiscoveryError::Request(error) = error {
            // In this program's own words, unlike every other error of the library.
            tracing::warn!(provider = %self.name(), %error, "a sign-in provider cannot be reached");
        }
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::IdTokenFault;
    use super::super::tests::{ready, sign_in};
    use super::*;

    /// Makes what is cached older.
    async fn age(provider: &Provider, by: Duration) {
        let mut cached = provider.metadata.0.lock().await;
        for (_, at) in cached.found.iter_mut() {
            *at = at.checked_sub(by).unwrap();
        }
        for (_, at) in cached.failed.iter_mut() {
            *at = at.checked_sub(by).unwrap();
        }
    }

    #[tokio::test]
    async fn a_new_key_is_found_at_once_but_not_each_time() {
        let (there, here) = ready().await;
        sign_in(&there, &here).await.unwrap();
        there.rotate(true);
        // A stranger's token with an unknown key must not make this server ask each time.
        assert_eq!(sign_in(&there, &here).await, Err(ProviderError::Token(IdTokenFault::Key)));
        assert_eq!(there.asked("/jwks"), 1);
        age(&here, REFRESH_INTERVAL).await;
        assert!(sign_in(&there, &here).await.is_ok());
        assert_eq!(there.asked("/jwks"), 2);
        age(&here, FRESH).await;
        assert!(sign_in(&there, &here).await.is_ok());
        assert_eq!(there.asked("/jwks"), 3);
    }

    #[tokio::test]
    async fn a_provider_that_recovers_is_found_again() {
        let (there, here) = ready().await;
        there.document("issuer", serde_json::json!("https://evil.example"));
        assert_eq!(sign_in(&there, &here).await, Err(ProviderError::BadAnswer));
        there.document("issuer", serde_json::json!(there.issuer));
        assert_eq!(sign_in(&there, &here).await, Err(ProviderError::BadAnswer));
        age(&here, PAUSE).await;
        assert!(sign_in(&there, &here).await.is_ok());
    }
}
