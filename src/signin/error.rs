//! Why a sign-in fails at its provider. Nothing here repeats a text of the provider: it can be anything.

use std::fmt::Display;

use openidconnect::core::CoreErrorResponseType;
use openidconnect::{
    ClaimsVerificationError, DeviceCodeErrorResponseType, DiscoveryError, ErrorResponseType,
    RequestTokenError, SignatureVerificationError, StandardErrorResponse, UserInfoError,
};

use super::exchange::ProviderHttpError;

/// Why a sign-in fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It does not answer, or not in time.
    #[error("the provider does not answer")]
    Unavailable,
    /// It answers something else than a provider does.
    #[error("the provider gives an answer that cannot be used")]
    BadAnswer,
    /// Too many exchanges are under way.
    #[error("too many people are signing in with this provider")]
    Busy,
    /// It does not accept this server as its client: the operator's configuration and the registration differ.
    #[error("the provider does not accept this server as its client")]
    ClientRefused,
    /// The person, or the provider, denied the sign-in.
    #[error("the provider denied the sign-in")]
    Denied,
    /// The code was used before, has expired, or belongs to another sign-in.
    #[error("the provider does not accept the code of this sign-in")]
    CodeRefused,
    /// The answer belongs to another sign-in.
    #[error("the provider's answer belongs to another sign-in")]
    WrongState,
    /// The answer came from another provider.
    #[error("the answer came from another provider")]
    WrongIssuer,
    /// The operator has not enabled device codes, or the provider has none.
    #[error("this provider offers no sign-in with a device code here")]
    NoDeviceFlow,
    /// The ID token does not prove the person.
    #[error("the provider's token could not be verified")]
    Token(IdTokenFault),
    /// The provider leaves the groups out, because there are too many.
    #[error("the provider leaves your groups out, because there are too many")]
    TooManyGroups,
}

/// What is wrong with an ID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdTokenFault {
    Missing,
    Issuer,
    Audience,
    /// It has expired, or comes from the future.
    Time,
    Nonce,
    /// No key of the provider is the one that it names.
    Key,
    Signature,
    /// It belongs to another access token.
    AccessToken,
    Subject,
    Invalid,
}

impl ProviderError {
    /// The stable word for it in the audit log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Unavailable => "provider_unavailable",
            Self::BadAnswer => "provider_answer",
            Self::Busy => "provider_busy",
            Self::ClientRefused => "client_refused",
            Self::Denied => "denied",
            Self::CodeRefused => "code_refused",
            Self::WrongState => "wrong_state",
            Self::WrongIssuer => "wrong_issuer",
            Self::NoDeviceFlow => "no_device_flow",
            Self::Token(fault) => fault.reason(),
            Self::TooManyGroups => "too_many_groups",
        }
    }

    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Unavailable | Self::BadAnswer | Self::Busy => {
                "try again later, or use a token of this store; the operator finds the cause in the server's log"
            }
            Self::ClientRefused => "the operator compares the client's registration with server.yaml",
            Self::Denied => "sign in again, or ask whoever manages the provider",
            Self::CodeRefused | Self::WrongState | Self::WrongIssuer | Self::Token(_) => {
                "start again from the beginning, in this browser; if it happens again, tell the operator"
            }
            Self::NoDeviceFlow => "sign in through a browser, or ask the operator to enable `device_flow`",
            Self::TooManyGroups => {
                "whoever manages the provider limits the groups of this application, or assigns roles instead"
            }
        }
    }
}

impl IdTokenFault {
    fn reason(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Time => "token_time",
            Self::Nonce => "token_nonce",
            Self::Key => "token_key",
            Self::Signature => "token_signature",
            Self::AccessToken => "token_access_token",
            Self::Subject => "token_subject",
            Self::Invalid => "token_invalid",
        }
    }
}

impl From<IdTokenFault> for ProviderError {
    fn from(fault: IdTokenFault) -> Self {
        Self::Token(fault)
    }
}

impl From<&ClaimsVerificationError> for IdTokenFault {
    fn from(error: &ClaimsVerificationError) -> Self {
        match error {
            ClaimsVerificationError::Expired(_) => Self::Time,
            ClaimsVerificationError::InvalidAudience(_) => Self::Audience,
            ClaimsVerificationError::InvalidIssuer(_) => Self::Issuer,
            ClaimsVerificationError::InvalidNonce(_) => Self::Nonce,
            ClaimsVerificationError::InvalidSubject(_) => Self::Subject,
            ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
                Self::Key
            }
            ClaimsVerificationError::SignatureVerification(_) => Self::Signature,
            // The library's enum may grow.
            _ => Self::Invalid,
        }
    }
}

impl From<&ProviderHttpError> for ProviderError {
    fn from(error: &ProviderHttpError) -> Self {
        match error {
            ProviderHttpError::Call(_) | ProviderHttpError::Late => Self::Unavailable,
            ProviderHttpError::Address => Self::BadAnswer,
        }
    }
}

impl From<&DiscoveryError<ProviderHttpError>> for ProviderError {
    fn from(error: &DiscoveryError<ProviderHttpError>) -> Self {
        match error {
            DiscoveryError::Request(error) => error.into(),
            // 5xx: it is there, and has a fault that passes.
            DiscoveryError::Response(status, _, _) if status.is_server_error() => Self::Unavailable,
            _ => Self::BadAnswer,
        }
    }
}

impl From<&UserInfoError<ProviderHttpError>> for ProviderError {
    fn from(error: &UserInfoError<ProviderHttpError>) -> Self {
        match error {
            UserInfoError::Request(error) => error.into(),
            UserInfoError::ClaimsVerification(error) => Self::Token(error.into()),
            _ => Self::BadAnswer,
        }
    }
}

/// The error of a token endpoint, for the answer to a code.
pub(crate) fn code_error(
    error: &RequestTokenError<ProviderHttpError, StandardErrorResponse<CoreErrorResponseType>>,
) -> ProviderError {
    match error {
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::InvalidGrant => ProviderError::CodeRefused,
            CoreErrorResponseType::Extension(word) if word == "access_denied" => ProviderError::Denied,
            // The client, the scopes or the grant: what the operator registered differs from what is configured.
            _ => ProviderError::ClientRefused,
        },
        error => transport_error(error),
    }
}

/// The error of a token endpoint, for the answer to a device code.
pub(crate) fn device_error(
    error: &RequestTokenError<ProviderHttpError, StandardErrorResponse<DeviceCodeErrorResponseType>>,
) -> ProviderError {
    match error {
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            DeviceCodeErrorResponseType::AccessDenied => ProviderError::Denied,
            DeviceCodeErrorResponseType::ExpiredToken
            | DeviceCodeErrorResponseType::Basic(CoreErrorResponseType::InvalidGrant) => {
                ProviderError::CodeRefused
            }
            DeviceCodeErrorResponseType::AuthorizationPending
            | DeviceCodeErrorResponseType::SlowDown
            | DeviceCodeErrorResponseType::Basic(_) => ProviderError::ClientRefused,
        },
        error => transport_error(error),
    }
}

fn transport_error<T: ErrorResponseType + Display + 'static>(
    error: &RequestTokenError<ProviderHttpError, StandardErrorResponse<T>>,
) -> ProviderError {
    match error {
        RequestTokenError::Request(error) => error.into(),
        RequestTokenError::ServerResponse(_) | RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            ProviderError::BadAnswer
        }
    }
}
