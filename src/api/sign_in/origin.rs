//! Where a sign-in comes from, and how it is refused: recorded with its reason, counted against its source, and in words that say
//! no more than a stranger may know.

use std::net::IpAddr;

use http::Extensions;

use crate::api::Api;
use crate::api::auth::charge_failure;
use crate::api::problem::ApiError;
use crate::api::request_marks::{Peer, RequestId};
use crate::domain::name::ProviderName;
use crate::signin::{Provider, ProviderError};
use crate::wire::Code;

/// Where a request comes from, for the audit log and the limits.
pub(crate) struct SignInOrigin {
    pub(crate) source: Option<IpAddr>,
    pub(crate) request: String,
}

impl SignInOrigin {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let request = extensions.get::<RequestId>().map(|RequestId(id)| id.clone()).unwrap_or_default();
        Self { source: Peer::from_extensions(extensions).address(), request }
    }

    /// Records that a sign-in failed before a person was proved, and counts it against the source.
    pub(super) fn refuse(
        &self,
        api: &Api,
        provider: Option<&ProviderName>,
        reason: &'static str,
        error: ApiError,
    ) -> ApiError {
        api.store().record_refused_sign_in(provider, reason, self.source, &self.request);
        if error.code() == Code::SignInRefused { charge_failure(api, self.source, error) } else { error }
    }

    /// The same, for what failed at the provider.
    pub(super) fn refuse_by_provider(
        &self,
        api: &Api,
        provider: &Provider,
        error: ProviderError,
    ) -> ApiError {
        let (name, reason) = (provider.name(), error.reason());
        if provider_code(error) == Code::ProviderUnavailable {
            // The operator can act on it, and the person who signs in cannot.
            tracing::warn!(provider = %name, reason, "a sign-in failed at its provider");
        }
        let refusal = ApiError::new(provider_code(error), error.to_string()).hint(error.hint());
        // A person who changed their mind has attacked nobody.
        if error == ProviderError::Denied {
            api.store().record_refused_sign_in(Some(name), reason, self.source, &self.request);
            return refusal;
        }
        self.refuse(api, Some(name), reason, refusal)
    }
}

fn provider_code(error: ProviderError) -> Code {
    match error {
        ProviderError::Unavailable | ProviderError::BadAnswer | ProviderError::ClientRefused => {
            Code::ProviderUnavailable
        }
        ProviderError::Busy => Code::Overloaded,
        ProviderError::NoDeviceFlow => Code::Conflict,
        ProviderError::Denied
        | ProviderError::CodeRefused
        | ProviderError::WrongState
        | ProviderError::WrongIssuer
        | ProviderError::Token(_)
        | ProviderError::TooManyGroups => Code::SignInRefused,
    }
}
