//! Identifiers: 16 random bytes, written as a prefix and 26 characters of base32. Never made here: randomness is an argument.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;

use crate::domain::text;

const ENCODED_LEN: usize = 26;

/// Why a text is not an identifier of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has another prefix, or none.
    #[error("expected an identifier that starts with `{prefix}`")]
    Prefix {
        /// The prefix of the kind asked for.
        prefix: &'static str,
    },
    /// The part after the prefix is not 26 characters of lower-case base32.
    #[error("the identifier is damaged: 26 characters of a-z and 2-7 must follow `{prefix}`")]
    Body {
        /// The prefix of the kind asked for.
        prefix: &'static str,
    },
}

macro_rules! ids {
    ($( $(#[$meta:meta])* $Id:ident = $prefix:literal, )+) => { $(
        $(#[$meta])*
        ///
        /// Text: the prefix and 26 characters of lower-case base32 (RFC 4648, section 6, without padding). serde: the
        /// text in human-readable formats, 16 bytes in others.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Id([u8; 16]);

        impl $Id {
            /// What the text form starts with.
            pub const PREFIX: &'static str = $prefix;

            /// The identifier of these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $Id {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(formatter, $prefix, &self.0)
            }
        }

        impl fmt::Debug for $Id {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(formatter, $prefix, &self.0)
            }
        }

        impl FromStr for $Id {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                read($prefix, text).map(Self)
            }
        }

        impl serde::Serialize for $Id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
            }
        }

        impl<'de> serde::Deserialize<'de> for $Id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    text::deserialize(deserializer, concat!("an identifier that starts with ", $prefix))
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(Self)
                }
            }
        }
    )+ };
}

ids! {
    /// An organization.
    OrgId = "org_",
    /// A member of an organization.
    MemberId = "mem_",
    /// A secret, through all its versions.
    SecretId = "sec_",
    /// One version of a secret's value.
    VersionId = "ver_",
    /// A bearer token of the operator or of a member.
    TokenId = "tok_",
    /// An enrolment of a member.
    EnrolmentId = "enr_",
    /// A boot ticket.
    TicketId = "tkt_",
    /// An identity of any kind. That of a ticket has the bytes of its [`TicketId`].
    IdentityId = "idn_",
    /// One boot: one use of a ticket.
    BootId = "boot_",
    /// A store.
    StoreId = "sto_",
    /// A key slot.
    SlotId = "slot_",
}

impl From<TicketId> for IdentityId {
    fn from(TicketId(bytes): TicketId) -> Self {
        Self(bytes)
    }
}

/// The store keeps identities of every kind in the table of tickets.
impl From<IdentityId> for TicketId {
    fn from(IdentityId(bytes): IdentityId) -> Self {
        Self(bytes)
    }
}

fn write(formatter: &mut fmt::Formatter<'_>, prefix: &str, bytes: &[u8; 16]) -> fmt::Result {
    // On the stack: an id is written for each row of each list.
    let mut encoded = [0_u8; ENCODED_LEN];
    BASE32_NOPAD.encode_mut(bytes, &mut encoded);
    // The crate has the alphabet of RFC 4648, which is upper case.
    encoded.make_ascii_lowercase();
    formatter.write_str(prefix)?;
    formatter.write_str(str::from_utf8(&encoded).map_err(|_| fmt::Error)?)
}

fn read(prefix: &'static str, text: &str) -> Result<[u8; 16], IdError> {
    let body = text.strip_prefix(prefix).ok_or(IdError::Prefix { prefix })?.as_bytes();
    let damaged = IdError::Body { prefix };
    let mut upper: [u8; ENCODED_LEN] = body.try_into().map_err(|_| damaged)?;
    // One text per id: a search or a comparison of texts would miss a second spelling.
    if upper.iter().any(u8::is_ascii_uppercase) {
        return Err(damaged);
    }
    upper.make_ascii_uppercase();
    let mut bytes = [0_u8; 16];
    // 26 characters carry two bits more than 16 bytes have. The decoder refuses them unless they are zero.
    match BASE32_NOPAD.decode_mut(&upper, &mut bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(damaged),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_the_prefix_and_base32() {
        assert_eq!(SecretId::from_bytes([0; 16]).to_string(), "sec_aaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(BootId::from_bytes([0xff; 16]).to_string(), "boot_77777777777777777777777774");
    }

    #[test]
    fn what_is_not_that_is_refused_without_quoting_it() {
        let prefix = "sec_";
        for bad in ["", "sec", "mem_aaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(bad.parse::<SecretId>(), Err(IdError::Prefix { prefix }), "{bad:?}");
        }
        for bad in [
            "sec_",
            "sec_aaaaaaaaaaaaaaaaaaaaaaaaa",
            "sec_aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "sec_AAAAAAAAAAAAAAAAAAAAAAAAAA",
            "sec_aaaaaaaaaaaaaaaaaaaaaaaaab",
            "sec_1aaaaaaaaaaaaaaaaaaaaaaaaa",
            "sec_äaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(bad.parse::<SecretId>(), Err(IdError::Body { prefix }), "{bad:?}");
        }
    }

    #[test]
    fn the_identity_of_a_ticket_has_its_bytes() {
        let ticket = TicketId::from_bytes([9; 16]);
        let identity = IdentityId::from(ticket);
        assert_eq!(identity.to_string(), ticket.to_string().replacen("tkt_", "idn_", 1));
        assert_eq!(TicketId::from(identity), ticket);
    }

    proptest! {
        #[test]
        fn texts_and_bytes_round_trip(bytes in any::<[u8; 16]>()) {
            let id = MemberId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.as_bytes(), &bytes);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(&json, &format!("\"{id}\""));
            prop_assert_eq!(serde_json::from_str::<MemberId>(&json).unwrap(), id);
        }
    }
}
