//! The stable codes of errors: one enum for the store, the audit log, the API and its clients.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    (sent { $($Sent:ident = $sent:literal, $sent_title:literal;)* } local { $($Local:ident = $local:literal, $local_title:literal;)* }) => {
        /// What kind of error it is, for programs. The texts never change; a new kind gets a new code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $sent_title] #[serde(rename = $sent)] $Sent,)*
            $(#[doc = $local_title] #[serde(rename = $local)] $Local,)*
            /// A code of a newer server, which this program does not know.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Code {
            /// Every code that the HTTP API answers with.
            pub const ALL: &'static [Self] = &[$(Self::$Sent,)*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Sent => $sent,)* $(Self::$Local => $local,)* Self::Unknown => "unknown" }
            }

            /// The meaning, for people.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$Sent => $sent_title,)*
                    $(Self::$Local => $local_title,)*
                    Self::Unknown => "unknown error",
                }
            }
        }
    };
}

codes! {
    sent {
        InvalidRequest = "invalid_request", "the request cannot be read";
        Unauthorized = "unauthorized", "a valid credential is needed";
        Expired = "expired", "the credential has expired";
        Revoked = "revoked", "the credential was revoked";
        StaleProof = "stale_proof", "the time of the proof is not that of the store";
        EnrolmentRedeemed = "enrolment_redeemed", "the enrolment was redeemed";
        TicketSpent = "ticket_spent", "the ticket has no use left";
        TriesSpent = "tries_spent", "the attempt key has no try left";
        SourceNotAllowed = "source_not_allowed", "the credential may not be used from this address";
        Forbidden = "forbidden", "not allowed to this credential";
        WriteOnly = "write_only", "values cannot be read back";
        WrongPassphrase = "wrong_passphrase", "no key slot opens with this";
        NotFound = "not_found", "there is no such thing here";
        MethodNotAllowed = "method_not_allowed", "the method is not allowed here";
        RequestTimeout = "request_timeout", "the request took too long";
        NameTaken = "name_taken", "the name is taken";
        Conflict = "conflict", "the state does not allow it";
        UsedProof = "used_proof", "the proof was used before";
        VersionUsed = "version_used", "the version was used before";
        OverBudget = "over_budget", "the budget does not allow it";
        OverQuota = "over_quota", "the quota is reached";
        StaleGeneration = "stale_generation", "sealed to an old deposit key";
        StaleProcessKey = "stale_process_key", "sealed to another key than the server's";
        LastKeyslot = "last_keyslot", "the last key slot cannot be removed";
        LastAdmin = "last_admin", "the last administrator cannot go";
        VersionMismatch = "version_mismatch", "it has changed since";
        PayloadTooLarge = "payload_too_large", "the body is too large";
        UnsupportedMediaType = "unsupported_media_type", "the body must be application/json";
        Unprocessable = "unprocessable", "the request contradicts itself or a limit";
        NameInvalid = "name_invalid", "the name cannot be used";
        NameRefused = "name_refused", "the exported name is refused";
        FilesRefused = "files_refused", "a secret is a file, and the machine has no place for it";
        ValueInvalid = "value_invalid", "the value cannot be exported";
        ValueTooLarge = "value_too_large", "the value is too large";
        SecretUnusable = "secret_unusable", "a secret cannot be opened or exported";
        IdempotencyMismatch = "idempotency_mismatch", "the idempotency key was used for another request";
        RateLimited = "rate_limited", "too many requests";
        HeadersTooLarge = "headers_too_large", "the headers are too large";
        Internal = "internal", "an internal error";
        Corrupt = "corrupt", "a record of the store is damaged";
        Locked = "locked", "the store is locked";
        Overloaded = "overloaded", "the store is overloaded";
        Unavailable = "unavailable", "the byte store does not answer";
        StoreFull = "store_full", "the byte store is full";
    }
    // The HTTP API answers `internal` in its place.
    local {
        AlreadyInitialised = "already_initialised", "there is a store already";
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
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
        }
        assert_eq!(serde_json::from_str::<Code>("\"of_tomorrow\"").unwrap(), Code::Unknown);
    }
}
