//! Secrets, their re-encryption, and boots. A response never holds the value of an encrypted secret.

use http::Method;

use super::api_client::Client;
use super::error::CallError;
use super::list::{BootListFilter, HolderQuery, Pages, SecretListFilter};
use crate::domain::id::{BootId, SecretId};
use crate::wire::{
    BootView, CreateSecretRequest, DeleteSecretResponse, DepositKeyView, EndBootRequest, HoldersResponse,
    ImportRequest, ImportResponse, ReencryptView, ReplaceSecretRequest, SecretView, UpdateSecretRequest,
    paths,
};

impl Client {
    /// Returns what sealing a deposit needs: `GET /v1/deposit-key`.
    pub(crate) async fn deposit_info(&mut self, owner: Option<&str>) -> Result<DepositKeyView, CallError> {
        self.get(paths::with_query(paths::DEPOSIT_KEY, &[("member", owner)])).await
    }

    /// Lists the secrets that the caller may see: `GET /v1/secrets`.
    pub(crate) fn secrets(filter: &SecretListFilter) -> Pages<SecretView> {
        Pages::new(paths::SECRETS, &filter.query_pairs())
    }

    /// Returns one secret: `GET /v1/secrets/{id}`.
    pub(crate) async fn secret(&mut self, id: &str) -> Result<SecretView, CallError> {
        self.get(paths::fill(paths::SECRET, id)).await
    }

    /// Creates a secret: `POST /v1/secrets`. [`super::Depositor::create`] calls it after sealing the value.
    pub(crate) async fn create_secret(
        &mut self,
        secret: &CreateSecretRequest,
    ) -> Result<SecretView, CallError> {
        self.create(paths::SECRETS.to_owned(), secret).await
    }

    /// Stores a new value, and counts the boots that hold the secret: `PUT /v1/secrets/{id}`. [`super::Depositor::replace`] calls
    /// it after sealing the value.
    pub(crate) async fn replace_secret(
        &mut self,
        id: SecretId,
        replacement: &ReplaceSecretRequest,
        if_version: Option<&str>,
    ) -> Result<SecretView, CallError> {
        let path = paths::with_query(&paths::fill(paths::SECRET, id), &[("holders", Some("true"))]);
        self.write(Method::PUT, path, replacement, if_version).await
    }

    /// Changes attributes: `PATCH /v1/secrets/{id}`.
    pub(crate) async fn change_secret(
        &mut self,
        id: SecretId,
        change: &UpdateSecretRequest,
        if_version: Option<&str>,
    ) -> Result<SecretView, CallError> {
        self.write(Method::PATCH, paths::fill(paths::SECRET, id), change, if_version).await
    }

    /// Deletes a secret and returns its holders: `DELETE /v1/secrets/{id}`.
    pub(crate) async fn delete_secret(
        &mut self,
        id: SecretId,
        if_version: Option<&str>,
    ) -> Result<DeleteSecretResponse, CallError> {
        self.delete(paths::fill(paths::SECRET, id), if_version).await
    }

    /// Re-encrypts one secret: `POST /v1/secrets/{id}/re-encrypt`.
    pub(crate) async fn reencrypt_secret(&mut self, id: SecretId) -> Result<SecretView, CallError> {
        self.post_nothing(paths::fill(paths::SECRET_REENCRYPT, id)).await
    }

    /// Starts the re-encryption of the whole store, or returns the progress of a running one: `POST /v1/secrets/re-encrypt`.
    /// If the old keys are compromised, they do not sign the new ones.
    pub(crate) async fn reencrypt_all(&mut self, compromised: bool) -> Result<ReencryptView, CallError> {
        let query = if compromised { "?compromised=true" } else { "" };
        self.post_nothing(format!("{}{query}", paths::REENCRYPT)).await
    }

    /// Returns the progress of the store's re-encryption: `GET /v1/secrets/re-encrypt`.
    pub(crate) async fn reencrypt_progress(&mut self) -> Result<ReencryptView, CallError> {
        self.get(paths::REENCRYPT.to_owned()).await
    }

    /// Plans or stores several secrets: `POST /v1/import`. Sent again, it keeps what it has stored.
    pub(crate) async fn import(&mut self, request: &ImportRequest) -> Result<ImportResponse, CallError> {
        self.create(paths::IMPORT.to_owned(), request).await
    }

    /// Counts the boots that hold a secret, and returns the first of them: `GET /v1/holders/{id}`.
    pub(crate) async fn holders(&mut self, query: &HolderQuery) -> Result<HoldersResponse, CallError> {
        let path = paths::fill(paths::HOLDERS, &query.secret);
        self.get(paths::with_query(&path, &query.query_pairs())).await
    }

    /// Reports that a boot has ended: `POST /v1/boots/{id}/end`.
    pub(crate) async fn end_boot(&mut self, boot: BootId) -> Result<(), CallError> {
        self.report(paths::fill(paths::BOOT_END, boot), &EndBootRequest::default()).await
    }

    /// Lists boots, newest first: `GET /v1/boots`.
    pub(crate) fn boots(filter: &BootListFilter) -> Pages<BootView> {
        Pages::new(paths::BOOTS, &filter.query_pairs())
    }
}
