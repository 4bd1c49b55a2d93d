//! Sign-in with a provider, and the caller's linked accounts. The store talks to the provider.

use super::api_client::Client;
use super::error::CallError;
use crate::domain::id::LinkedAccountId;
use crate::wire::{
    BeginBrowserSignInRequest, BeginBrowserSignInResponse, BeginDeviceSignInRequest,
    BeginDeviceSignInResponse, CreateSignInTokenRequest, CreateSignInTokenResponse, LinkAccountRequest,
    LinkedAccountView, PageView, ProveSignInRequest, ProveSignInResponse, SignInProvidersView, paths,
};

impl Client {
    /// Lists the providers: `GET /v1/sign-in`.
    pub(crate) async fn sign_in_providers(&mut self) -> Result<SignInProvidersView, CallError> {
        self.get(paths::SIGN_IN.to_owned()).await
    }

    /// Begins a sign-in in a browser: `POST /v1/sign-in/browser`.
    pub(crate) async fn begin_browser_sign_in(
        &mut self,
        request: &BeginBrowserSignInRequest,
    ) -> Result<BeginBrowserSignInResponse, CallError> {
        self.post(paths::SIGN_IN_BROWSER.to_owned(), request).await
    }

    /// Begins a sign-in with a device code: `POST /v1/sign-in/device`.
    pub(crate) async fn begin_device_sign_in(
        &mut self,
        request: &BeginDeviceSignInRequest,
    ) -> Result<BeginDeviceSignInResponse, CallError> {
        self.post(paths::SIGN_IN_DEVICE.to_owned(), request).await
    }

    /// Proves who signs in: `POST /v1/sign-in/proof`.
    pub(crate) async fn prove_sign_in(
        &mut self,
        request: &ProveSignInRequest,
    ) -> Result<ProveSignInResponse, CallError> {
        self.post(paths::SIGN_IN_PROOF.to_owned(), request).await
    }

    /// Uses a proof for a token: `POST /v1/sign-in/token`.
    pub(crate) async fn create_sign_in_token(
        &mut self,
        request: &CreateSignInTokenRequest,
    ) -> Result<CreateSignInTokenResponse, CallError> {
        self.post(paths::SIGN_IN_TOKEN.to_owned(), request).await
    }

    /// Lists the caller's linked accounts: `GET /v1/sign-in/accounts`.
    pub(crate) async fn linked_accounts(&mut self) -> Result<Vec<LinkedAccountView>, CallError> {
        // All of them are on one page.
        let page: PageView<LinkedAccountView> = self.get(paths::ACCOUNTS.to_owned()).await?;
        Ok(page.items)
    }

    /// Links the account of a proof to the caller: `POST /v1/sign-in/accounts`.
    pub(crate) async fn link_account(
        &mut self,
        request: &LinkAccountRequest,
    ) -> Result<LinkedAccountView, CallError> {
        self.post(paths::ACCOUNTS.to_owned(), request).await
    }

    /// Unlinks an account: `DELETE /v1/sign-in/accounts/{id}`.
    pub(crate) async fn unlink_account(
        &mut self,
        id: LinkedAccountId,
    ) -> Result<LinkedAccountView, CallError> {
        self.delete(paths::fill(paths::ACCOUNT, id), None).await
    }
}
