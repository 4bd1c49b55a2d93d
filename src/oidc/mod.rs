//! Verifies tokens of OpenID Connect issuers: finds an issuer's keys, caches them, and checks what a token says.
//!
//! It contacts an issuer only at addresses that the operator's policy permits, follows no redirect, and never tells an issuer
//! anything about a token. No error repeats what a token or an issuer said.
//!
//! | file | holds |
//! |---|---|
//! | `issuer_keys`, `key_cache` | the entrance: verify and explain a token; keys by issuer, with their refresh |
//! | `token`, `checks` | a token taken apart, and the checks that need no key |
//! | `key_set` | an issuer's published keys, and signatures |
//! | `strict_json` | JSON without duplicate members |
//! | `fetch`, `document_url`, `metadata` | from an issuer's URL to the document of its keys |
//! | `egress`, `resolver` | which addresses may be contacted |

mod checks;
mod document_url;
mod egress;
mod fetch;
mod issuer_keys;
mod key_cache;
mod key_set;
mod metadata;
mod resolver;
mod strict_json;
#[cfg(test)]
mod tests;
mod token;

pub use egress::EgressPolicy;
pub use issuer_keys::IssuerKeys;
