//! Identities of machines, and the issuers of their tokens.

use http::Method;

use super::api_client::Client;
use super::error::CallError;
use super::list::Pages;
use crate::domain::value::SecretValue;
use crate::wire::{
    ConfirmIssuerRequest, CreateIdentityRequest, IssuerView, MachineIdentityView, PutIssuerRequest,
    TestTokenRequest, TestTokenResponse, Value, paths,
};

impl Client {
    /// Lists the identities that the caller may see: `GET /v1/identities`.
    pub(crate) fn identities() -> Pages<MachineIdentityView> {
        Pages::new(paths::IDENTITIES, &[])
    }

    /// Returns one identity: `GET /v1/identities/{id}`.
    pub(crate) async fn identity(&mut self, id: &str) -> Result<MachineIdentityView, CallError> {
        self.get(paths::fill(paths::IDENTITY, id)).await
    }

    /// Creates an identity: `POST /v1/identities`.
    pub(crate) async fn create_identity(
        &mut self,
        identity: &CreateIdentityRequest,
    ) -> Result<MachineIdentityView, CallError> {
        self.create(paths::IDENTITIES.to_owned(), identity).await
    }

    /// Revokes an identity: `DELETE /v1/identities/{id}`.
    pub(crate) async fn revoke_identity(&mut self, id: &str) -> Result<(), CallError> {
        self.remove(paths::fill(paths::IDENTITY, id)).await
    }

    /// Confirms the settings of an identity's issuer that have this digest: `POST /v1/identities/{id}/confirm`.
    pub(crate) async fn confirm_identity(
        &mut self,
        id: &str,
        digest: &str,
    ) -> Result<MachineIdentityView, CallError> {
        let path = paths::fill(paths::IDENTITY_CONFIRM, id);
        self.write(Method::POST, path, &ConfirmIssuerRequest { digest: digest.to_owned() }, None).await
    }

    /// Compares a token with an identity: `POST /v1/identities/{id}/test`.
    pub(crate) async fn test_identity(
        &mut self,
        id: &str,
        token: &SecretValue,
    ) -> Result<Option<TestTokenResponse>, CallError> {
        // Bytes that are no text are no token.
        let Some(token) = Value::of(token) else { return Ok(None) };
        let path = paths::fill(paths::IDENTITY_TEST, id);
        self.write(Method::POST, path, &TestTokenRequest { token }, None).await.map(Some)
    }

    /// Lists the issuers: `GET /v1/issuers`.
    pub(crate) fn issuers() -> Pages<IssuerView> {
        Pages::new(paths::ISSUERS, &[]).unpaged()
    }

    /// Returns one issuer: `GET /v1/issuers/{name}`.
    pub(crate) async fn issuer(&mut self, name: &str) -> Result<IssuerView, CallError> {
        self.get(paths::fill(paths::ISSUER, name)).await
    }

    /// Adds or changes an issuer: `PUT /v1/issuers/{name}`.
    pub(crate) async fn put_issuer(
        &mut self,
        name: &str,
        issuer: &PutIssuerRequest,
    ) -> Result<IssuerView, CallError> {
        self.write(Method::PUT, paths::fill(paths::ISSUER, name), issuer, None).await
    }

    /// Removes an issuer: `DELETE /v1/issuers/{name}`.
    pub(crate) async fn remove_issuer(&mut self, name: &str) -> Result<(), CallError> {
        self.remove(paths::fill(paths::ISSUER, name)).await
    }
}
