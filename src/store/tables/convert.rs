//! How types of the domain are stored: ids and digests as their bytes, times as milliseconds, everything with a text form as
//! that text. So variants of an enum may be reordered, and a record is readable without its type.

use std::net::IpAddr;

use crate::domain::boot::{BootState, EndSource};
use crate::domain::catalog::Colour;
use crate::domain::cidr::Cidr;
use crate::domain::description::Description;
use crate::domain::digest::Digest;
use crate::domain::hint::Hint;
use crate::domain::id::{
    BootId, EnrolmentId, MemberId, SecretId, SlotId, StoreId, TicketId, TokenId, VersionId,
};
use crate::domain::jwt::{IssuerUrl, JwtAlgorithm};
use crate::domain::name::{
    Category, EnvName, IssuerName, Label, MemberName, OrgName, PluginName, SecretName,
};
use crate::domain::resolve::{ReleaseReason, SkipReason};
use crate::domain::role::{MemberKind, Role, SharedChanges};
use crate::domain::secret::{Scope, ScopeKind};
use crate::domain::value::{Delivery, Kind};
use crate::store::engine::failure::Failure;
use crate::store::engine::format::{Convert, convert_as_text};

macro_rules! convert_ids {
    ($($Id:ty),+ $(,)?) => { $(
        impl Convert<[u8; 16]> for $Id {
            fn to_stored(&self) -> Result<[u8; 16], Failure> {
                Ok(*self.as_bytes())
            }

            fn from_stored(stored: [u8; 16]) -> Result<Self, Failure> {
                Ok(Self::from_bytes(stored))
            }
        }
    )+ };
}

convert_ids!(BootId, EnrolmentId, MemberId, SecretId, SlotId, StoreId, TicketId, TokenId, VersionId);

convert_as_text!(
    BootState,
    Category,
    Cidr,
    Colour,
    Delivery,
    Description,
    EndSource,
    EnvName,
    Hint,
    IpAddr,
    IssuerName,
    IssuerUrl,
    JwtAlgorithm,
    Kind,
    Label,
    MemberKind,
    MemberName,
    OrgName,
    PluginName,
    ReleaseReason,
    Role,
    ScopeKind,
    SecretName,
    SharedChanges,
    SkipReason,
);

impl Convert<[u8; 32]> for Digest {
    fn to_stored(&self) -> Result<[u8; 32], Failure> {
        Ok(*self.as_bytes())
    }

    fn from_stored(stored: [u8; 32]) -> Result<Self, Failure> {
        Ok(Self::from_bytes(stored))
    }
}

/// `None` is the shared scope, `Some` the private scope of a member.
impl Convert<Option<[u8; 16]>> for Scope {
    fn to_stored(&self) -> Result<Option<[u8; 16]>, Failure> {
        // The kind follows from the owner, so that no record can contradict itself.
        Ok(self.owner().map(|owner| *owner.as_bytes()))
    }

    fn from_stored(stored: Option<[u8; 16]>) -> Result<Self, Failure> {
        Ok(stored.map_or(Self::Shared, |owner| Self::Private(MemberId::from_bytes(owner))))
    }
}
