//! How types of the domain are stored: ids and digests as their bytes, times as milliseconds, everything with a text form as
//! that text. So variants of an enum may be reordered, and a record is readable without its type.

use std::net::IpAddr;

use crate::crypto::ring::SealedRing;
use crate::crypto::slots::KeySlots;
use crate::crypto::value::WrappedKey;
use crate::domain::boot::BootState;
use crate::domain::catalog::{Colour, Description};
use crate::domain::cidr::Cidr;
use crate::domain::digest::Digest;
use crate::domain::hint::Hint;
use crate::domain::id::{BootId, MemberId, SecretId, SlotId, StoreId, TicketId, TokenId, VersionId};
use crate::domain::name::{Category, EnvName, Label, MemberName, OrgName, PluginName, SecretName};
use crate::domain::resolve::{ReleaseReason, SkipReason};
use crate::domain::role::Role;
use crate::domain::secret::{Scope, ScopeKind};
use crate::domain::value::{Delivery, Kind};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, StoredField, convert_as_text};

macro_rules! convert_ids {
    ($($Id:ty),+ $(,)?) => { $(
        impl Convert<[u8; 16]> for $Id {
            fn to_stored(&self) -> [u8; 16] {
                *self.as_bytes()
            }

            fn from_stored(stored: [u8; 16]) -> Result<Self, Failure> {
                Ok(Self::from_bytes(stored))
            }
        }
    )+ };
}

convert_ids!(BootId, MemberId, SecretId, SlotId, StoreId, TicketId, TokenId, VersionId);

convert_as_text!(
    BootState,
    Category,
    Cidr,
    Colour,
    Delivery,
    Description,
    EnvName,
    Hint,
    IpAddr,
    Kind,
    Label,
    MemberName,
    OrgName,
    PluginName,
    ReleaseReason,
    Role,
    ScopeKind,
    SecretName,
    SkipReason,
);

impl Convert<[u8; 32]> for Digest {
    fn to_stored(&self) -> [u8; 32] {
        *self.as_bytes()
    }

    fn from_stored(stored: [u8; 32]) -> Result<Self, Failure> {
        Ok(Self::from_bytes(stored))
    }
}

/// `None` is the shared scope, `Some` the private scope of a member.
impl Convert<Option<[u8; 16]>> for Scope {
    fn to_stored(&self) -> Option<[u8; 16]> {
        self.owner().map(|owner| *owner.as_bytes())
    }

    fn from_stored(stored: Option<[u8; 16]>) -> Result<Self, Failure> {
        Ok(stored.map_or(Self::Shared, |owner| Self::Private(MemberId::from_bytes(owner))))
    }
}

/// Envelopes of `crypto` are formats of their own, pinned by vectors of their own (`tests/vectors/formats-1.json`).
macro_rules! envelopes {
    ($($Envelope:ty),+) => { $(
        impl StoredField for $Envelope {}

        impl Convert<$Envelope> for $Envelope {
            fn to_stored(&self) -> $Envelope {
                self.clone()
            }

            fn from_stored(stored: $Envelope) -> Result<Self, Failure> {
                Ok(stored)
            }
        }
    )+ };
}

envelopes!(KeySlots, SealedRing, WrappedKey);
