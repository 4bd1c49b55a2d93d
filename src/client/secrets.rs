//! Secrets, their re-encryption, and the boots that got them. Values go out here, and come back only for plain settings.

use http::Method;

use super::api_client::Client;
use super::error::CallError;
use super::list::{BootListFilter, Pages, SecretListFilter};
use crate::wire::{
    BootView, CreateSecretRequest, DeleteSecretResponse, DepositKeyView, ReencryptView, ReplaceSecretRequest,
    SecretView, UpdateSecretRequest, paths,
};

impl Client {
    /// What sealing a deposit needs: `GET /v1/deposit-key`.
    pub(crate) async fn deposit_info(&mut self) -> Result<DepositKeyView, CallError> {
        self.get(paths::DEPOSIT_KEY.to_owned()).await
    }

    /// Secrets that the caller may see: `GET /v1/secrets`.
    pub(crate) fn secrets(filter: &SecretListFilter) -> Pages<SecretView> {
        Pages::of(paths::SECRETS, &filter.pairs())
    }

    /// One secret: `GET /v1/secrets/{id}`.
    pub(crate) async fn secret(&mut self, id: &str) -> Result<SecretView, CallError> {
        self.get(paths::fill(paths::SECRET, id)).await
    }

    /// A new secret: `POST /v1/secrets`. For an encrypted one see [`super::Depositor::create`], which seals it first.
    pub(crate) async fn create_secret(
        &mut self,
        secret: &CreateSecretRequest,
    ) -> Result<SecretView, CallError> {
        self.create(paths::SECRETS.to_owned(), secret).await
    }

    /// A new value: `PUT /v1/secrets/{id}`; with `if_version`, only while that is the current version. For an encrypted one
    /// see [`super::Depositor::replace`], which seals it first.
    pub(crate) async fn replace_secret(
        &mut self,
        id: &str,
        replacement: &ReplaceSecretRequest,
        if_version: Option<&str>,
    ) -> Result<SecretView, CallError> {
        self.write(Method::PUT, paths::fill(paths::SECRET, id), replacement, if_version).await
    }

    /// Other attributes: `PATCH /v1/secrets/{id}`.
    pub(crate) async fn change_secret(
        &mut self,
        id: &str,
        change: &UpdateSecretRequest,
        if_version: Option<&str>,
    ) -> Result<SecretView, CallError> {
        self.write(Method::PATCH, paths::fill(paths::SECRET, id), change, if_version).await
    }

    /// Deletes a secret and tells which boots still hold it: `DELETE /v1/secrets/{id}`.
    pub(crate) async fn delete_secret(
        &mut self,
        id: &str,
        if_version: Option<&str>,
    ) -> Result<DeleteSecretResponse, CallError> {
        self.delete(paths::fill(paths::SECRET, id), if_version).await
    }

    /// Fresh keys for one secret: `POST /v1/secrets/{id}/re-encrypt`.
    pub(crate) async fn reencrypt_secret(&mut self, id: &str) -> Result<SecretView, CallError> {
        self.post_nothing(paths::fill(paths::SECRET_REENCRYPT, id)).await
    }

    /// Starts the re-encryption of everything, or tells how far one is: `POST /v1/secrets/re-encrypt`.
    pub(crate) async fn reencrypt_all(&mut self) -> Result<ReencryptView, CallError> {
        self.post_nothing(paths::REENCRYPT.to_owned()).await
    }

    /// How far the re-encryption of everything is: `GET /v1/secrets/re-encrypt`.
    pub(crate) async fn reencrypt_progress(&mut self) -> Result<ReencryptView, CallError> {
        self.get(paths::REENCRYPT.to_owned()).await
    }

    /// Boots, newest first: `GET /v1/boots`.
    pub(crate) fn boots(filter: &BootListFilter) -> Pages<BootView> {
        Pages::of(paths::BOOTS, &filter.pairs())
    }
}
