//! Errors as `application/problem+json` (RFC 9457). Never a value, never another tenant's existence, never a
//! parser's own message.

use serde::{Deserialize, Serialize};

pub use crate::domain::code::Code;

/// What every failed request is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:dropsafe:problem:` and the code.
    pub r#type: String,
    /// The code's meaning, the same at each occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable, for programs.
    pub code: Code,
    /// What is wrong this time.
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Every fault of a request, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldFault>,
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FieldFault {
    /// The field, header or query parameter.
    pub field: String,
    /// What is wrong with it; never its content.
    pub message: String,
}

impl Code {
    /// The HTTP status that an answer with this code has.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthorized | Self::Expired | Self::Revoked | Self::StaleProof => 401,
            Self::TicketSpent
            | Self::TriesSpent
            | Self::SourceNotAllowed
            | Self::Forbidden
            | Self::WriteOnly
            | Self::WrongPassphrase => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::NameTaken
            | Self::Conflict
            | Self::VersionUsed
            | Self::UsedProof
            | Self::OverBudget
            | Self::OverQuota
            | Self::StaleGeneration
            | Self::StaleProcessKey
            | Self::EnrolmentRedeemed
            | Self::LastKeyslot
            | Self::LastAdmin => 409,
            Self::VersionMismatch => 412,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Unprocessable
            | Self::NameInvalid
            | Self::NameRefused
            | Self::ValueInvalid
            | Self::ValueTooLarge
            | Self::FilesRefused
            | Self::SecretUnusable
            | Self::IdempotencyMismatch => 422,
            Self::RateLimited => 429,
            Self::HeadersTooLarge => 431,
            Self::Locked | Self::Overloaded | Self::Unavailable => 503,
            Self::StoreFull => 507,
            Self::Internal | Self::Corrupt | Self::AlreadyInitialised | Self::Unknown => 500,
        }
    }
}

impl Problem {
    /// A problem of `code` with its particulars.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("urn:dropsafe:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            hint: None,
            errors: Vec::new(),
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With every fault found.
    #[must_use]
    pub fn faults(mut self, errors: Vec<FieldFault>) -> Self {
        self.errors = errors;
        self
    }
}
