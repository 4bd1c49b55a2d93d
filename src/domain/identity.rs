//! The kinds of machine identities.

use crate::domain::text;

text::text_enum! {
    /// How a machine proves that it may boot.
    pub enum IdentityKind, "a kind of identity: ticket or jwt" {
        /// It presents a secret.
        Ticket = "ticket",
        /// It presents a token of an issuer of the organization.
        Jwt = "jwt",
    }
}
