//! The authorization code flow with PKCE, state and nonce (OpenID Connect Core, section 3.1; RFC 7636; RFC 9700).
//!
//! The verifier, the state and the nonce stay with the party that began, so that a code alone is worth nothing to whoever sees it,
//! and a code of somebody else is worth nothing to whoever receives it.

use openidconnect::core::CoreAuthenticationFlow;
use openidconnect::{
    AuthorizationCode, CsrfToken, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::error::{ProviderError, code_error};
use super::metadata::ProviderDocument;
use super::{ClientKind, PendingFlow, Provider};
use crate::domain::provider::ProvenAccount;
use crate::domain::time::Timestamp;

/// Where to send the browser, and what to remember.
pub(crate) struct BegunCode {
    pub(crate) url: String,
    pub(crate) flow: PendingFlow,
}

/// What the browser brought back.
#[derive(Default)]
pub(crate) struct CodeAnswer {
    pub(crate) code: Option<Zeroizing<String>>,
    pub(crate) state: Option<String>,
    /// The issuer, by RFC 9207.
    pub(crate) iss: Option<String>,
    /// The provider's error code. Its text is never read.
    pub(crate) error: Option<String>,
}

impl Provider {
    /// Begins the flow. `random` fills the state, the nonce and the verifier.
    pub(crate) async fn begin_code(
        &self,
        kind: ClientKind,
        redirect: String,
        random: impl Fn(&mut [u8]),
    ) -> Result<BegunCode, ProviderError> {
        let _place = self.enter()?;
        let document = self.document().await?;
        // 256 bits each, as text: RFC 7636 wants 43 characters of a verifier.
        let draw = || {
            let mut bytes = Zeroizing::new([0; 32]);
            random(bytes.as_mut_slice());
            data_encoding::BASE64URL_NOPAD.encode(bytes.as_slice())
        };
        let (state, nonce, verifier) = (draw(), draw(), draw());
        let redirect_url = RedirectUrl::new(redirect.clone()).map_err(|_| ProviderError::ClientRefused)?;
        let client = self.client(&document, kind).set_redirect_uri(redirect_url);
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier.clone()));
        let (csrf_token, token_nonce) = (CsrfToken::new(state.clone()), Nonce::new(nonce.clone()));
        let request = client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || csrf_token,
            move || token_nonce,
        );
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let (url, _, _) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
        let is_console = kind == ClientKind::Console;
        let flow = PendingFlow::Code { is_console, redirect, state, nonce, verifier };
        Ok(BegunCode { url: url.to_string(), flow })
    }

    /// Ends the flow: checks what the browser brought back, exchanges the code and verifies who the person is.
    pub(crate) async fn redeem_code(
        &self,
        flow: &PendingFlow,
        answer: CodeAnswer,
        now: Timestamp,
    ) -> Result<ProvenAccount, ProviderError> {
        let PendingFlow::Code { redirect, state, nonce, verifier, .. } = flow else {
            return Err(ProviderError::WrongState);
        };
        let CodeAnswer { code, state: returned, iss, error } = answer;
        // First: an answer to another sign-in means nothing, not even its error.
        let returned = returned.ok_or(ProviderError::WrongState)?;
        if !bool::from(returned.as_bytes().ct_eq(state.as_bytes())) {
            return Err(ProviderError::WrongState);
        }
        let _place = self.enter()?;
        let document = self.document().await?;
        self.check_issuer(&document, iss.as_deref())?;
        if error.is_some() {
            return Err(ProviderError::Denied);
        }
        // Neither a code nor an error: no provider answers like that.
        let code = code.ok_or(ProviderError::BadAnswer)?;
        let redirect = RedirectUrl::new(redirect.clone()).map_err(|_| ProviderError::ClientRefused)?;
        let client = self.client(&document, flow.client()).set_redirect_uri(redirect);
        let request = client.exchange_code(AuthorizationCode::new(code.to_string()));
        let request = request.map_err(|_| ProviderError::BadAnswer)?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.clone()));
        let tokens = request.request_async(&self.http).await.map_err(|error| code_error(&error))?;
        self.verify(flow.client(), &tokens, Some(&Nonce::new(nonce.clone())), now).await
    }

    /// Refuses an answer of another provider (mix-up, RFC 9207). The address that the answer came to names the provider too.
    fn check_issuer(&self, document: &ProviderDocument, iss: Option<&str>) -> Result<(), ProviderError> {
        let must_name =
            document.additional_metadata().authorization_response_iss_parameter_supported == Some(true);
        match iss {
            Some(iss) if iss == self.settings.issuer.as_str() => Ok(()),
            None if !must_name => Ok(()),
            Some(_) | None => Err(ProviderError::WrongIssuer),
        }
    }
}
