//! Errors as `application/problem+json` (RFC 9457). Never a value, never another tenant's existence, never a
//! parser's own message.

use serde::{Deserialize, Serialize};

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
    pub errors: Vec<Fault>,
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Fault {
    /// The field, header or query parameter.
    pub field: String,
    /// What is wrong with it; never its content.
    pub message: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// Stable codes of errors.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
            /// A code that this program does not know yet.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Code {
            /// All that this version sends.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As it stands in the body.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Unknown => "unknown" }
            }

            /// The code of that text.
            pub fn parse(text: &str) -> Self {
                match text { $($text => Self::$variant,)* _ => Self::Unknown }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* Self::Unknown => 500 }
            }

            /// What it means.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* Self::Unknown => "unknown error" }
            }
        }
    };
}

codes! {
    /// Fields, parameters or JSON that cannot be read.
    InvalidRequest = "invalid_request", 400, "the request cannot be read";
    /// No credential, or one that is not known.
    Unauthorized = "unauthorized", 401, "a valid credential is needed";
    /// The credential's time is over.
    Expired = "expired", 401, "the credential has expired";
    /// The credential was revoked.
    Revoked = "revoked", 401, "the credential was revoked";
    /// A ticket with no use left.
    TicketSpent = "ticket_spent", 403, "the ticket has no use left";
    /// A ticket used from an address outside its networks.
    SourceNotAllowed = "source_not_allowed", 403, "the credential may not be used from this address";
    /// The role does not include it.
    Forbidden = "forbidden", 403, "not allowed to this credential";
    /// A value is never returned.
    WriteOnly = "write_only", 403, "values cannot be read back";
    /// A wrong passphrase or key.
    WrongPassphrase = "wrong_passphrase", 403, "no key slot opens with this";
    /// Not there, or not visible.
    NotFound = "not_found", 404, "there is no such thing here";
    /// The path has no such method.
    MethodNotAllowed = "method_not_allowed", 405, "the method is not allowed here";
    /// The request took too long to arrive.
    RequestTimeout = "request_timeout", 408, "the request took too long";
    /// The name, or the name it is exported as, is taken.
    NameTaken = "name_taken", 409, "the name is taken";
    /// Something else stands in the way.
    Conflict = "conflict", 409, "the state does not allow it";
    /// Sealed to a key that is not current any more.
    StaleGeneration = "stale_generation", 409, "sealed to an old deposit key";
    /// The last key slot stays.
    LastKeyslot = "last_keyslot", 409, "the last key slot cannot be removed";
    /// The last administrator stays.
    LastAdmin = "last_admin", 409, "the last administrator cannot go";
    /// `If-Match` names another version.
    VersionMismatch = "version_mismatch", 412, "it has changed since";
    /// The body is over the limit.
    PayloadTooLarge = "payload_too_large", 413, "the body is too large";
    /// Not JSON.
    UnsupportedMediaType = "unsupported_media_type", 415, "the body must be application/json";
    /// Fields that can be read and cannot be done.
    Unprocessable = "unprocessable", 422, "the request contradicts itself or a limit";
    /// A name that cannot be used.
    NameInvalid = "name_invalid", 422, "the name cannot be used";
    /// A name that changes how programs load or run.
    NameRefused = "name_refused", 422, "the exported name is refused";
    /// A value that could not be exported.
    ValueInvalid = "value_invalid", 422, "the value cannot be exported";
    /// A value over the limit.
    ValueTooLarge = "value_too_large", 422, "the value is too large";
    /// The same `Idempotency-Key` came with another body.
    IdempotencyMismatch = "idempotency_mismatch", 422, "the idempotency key was used for another request";
    /// Too many requests or guesses from this source.
    RateLimited = "rate_limited", 429, "too many requests";
    /// Headers over the limit.
    HeadersTooLarge = "headers_too_large", 431, "the headers are too large";
    /// A defect; the log has it.
    Internal = "internal", 500, "an internal error";
    /// No release key in memory.
    Locked = "locked", 503, "the store is locked";
    /// More work than can be taken on.
    Overloaded = "overloaded", 503, "the store is overloaded";
    /// The byte store does not answer.
    Unavailable = "unavailable", 503, "the byte store does not answer";
    /// The byte store is full.
    StoreFull = "store_full", 507, "the byte store is full";
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
    pub fn faults(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_unknown_ones_do_not_break_an_old_client() {
        for code in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.as_str()));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
            assert_eq!(Code::parse(code.as_str()), *code);
        }
        assert_eq!(serde_json::from_str::<Code>("\"of_tomorrow\"").unwrap(), Code::Unknown);
    }
}
