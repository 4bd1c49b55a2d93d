//! What the store knows of a secret beside its value. Holds no value, so it may be listed, logged and compared.

use serde::{Deserialize, Serialize};

use crate::domain::attributes::Attributes;
use crate::domain::hint::Hint;
use crate::domain::id::{MemberId, SecretId, VersionId};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::domain::value::{Delivery, Kind};

/// Whose boots a secret reaches.
///
/// Binary formats store the position of the variant: add at the end only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every boot of the organization.
    Shared,
    /// The boots of this member only.
    Private(MemberId),
}

impl Scope {
    /// The scope without its owner.
    pub fn kind(self) -> ScopeKind {
        match self {
            Self::Shared => ScopeKind::Shared,
            Self::Private(_) => ScopeKind::Private,
        }
    }

    /// The member whose secret it is, if it is one member's.
    pub fn owner(self) -> Option<MemberId> {
        match self {
            Self::Shared => None,
            Self::Private(owner) => Some(owner),
        }
    }
}

text::text_enum! {
    /// A scope without its owner. The order is that of precedence: what comes first overrides.
    pub enum ScopeKind, "a scope: private or shared" {
        /// One member's.
        Private = "private",
        /// The organization's.
        Shared = "shared",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretMeta {
    /// The secret, through all its versions.
    pub id: SecretId,
    /// The name as its depositor wrote it.
    pub name: SecretName,
    /// The name it is exported as.
    pub env: EnvName,
    pub scope: Scope,
    /// Whether the value may be shown.
    pub kind: Kind,
    pub delivery: Delivery,
    /// What can change without a new value.
    pub attributes: Attributes,
    /// The current version of the value.
    pub version: VersionId,
    /// The redacted display of the value, if there is one and the organization keeps them.
    pub hint: Option<Hint>,
    /// Whether an admin allowed an exported name that is refused otherwise.
    pub allow_refused: bool,
    pub value_len: u32,
    /// When it was first deposited.
    pub created_at: Timestamp,
    /// When its value or metadata last changed.
    pub updated_at: Timestamp,
    pub author: MemberId,
}

/// What a secret takes of its scope's budgets, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Of the environment.
    pub variables: u64,
    /// Of the memory that files take.
    pub files: u64,
}

/// What each variable takes at least: its line of the answer and of the receipt is longer than a short value.
const LEAST: u64 = 64;
/// Bytes that the path of a file takes beside its name, about: `/run/dropsafe/` and the boot's folder.
const PATH: u64 = 64;
/// A file system in memory keeps a file in whole pages.
const PAGE: u64 = 4096;

impl SecretMeta {
    /// What it takes of its scope's budgets, by the length of its value, which the store also knows of a sealed one.
    pub fn footprint(&self) -> Footprint {
        let (name, len) = (self.env.as_str().len() as u64, u64::from(self.value_len));
        match self.delivery {
            // As the kernel counts: `NAME=VALUE`, the closing NUL, and a pointer of 8 bytes (bprm_stack_limits, fs/exec.c).
            Delivery::Variable => Footprint { variables: (name + len + 10).max(LEAST), files: 0 },
            // The variable NAME_FILE holds a path that ends with the name.
            Delivery::File => {
                Footprint { variables: 2 * name + PATH, files: len.next_multiple_of(PAGE).max(PAGE) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::PluginName;

    fn meta() -> SecretMeta {
        let name = SecretName::parse("openai-api-key").unwrap();
        SecretMeta {
            id: SecretId::from_bytes([1; 16]),
            env: name.export(),
            name,
            scope: Scope::Private(MemberId::from_bytes([2; 16])),
            kind: Kind::Encrypted,
            delivery: Delivery::Variable,
            attributes: Attributes {
                plugin: Some(PluginName::parse("mcp:openai").unwrap()),
                ..Attributes::default()
            },
            version: VersionId::from_bytes([3; 16]),
            hint: Some(Hint::parse("sk-****...wxyz").unwrap()),
            allow_refused: false,
            value_len: 51,
            created_at: Timestamp::from_millis(1),
            updated_at: Timestamp::from_millis(2),
            author: MemberId::from_bytes([2; 16]),
        }
    }

    #[test]
    fn metadata_round_trip_as_json() {
        let text = serde_json::to_string(&meta()).unwrap();
        assert_eq!(serde_json::from_str::<SecretMeta>(&text).unwrap(), meta());
    }

    #[cfg(feature = "server")]
    #[test]
    fn metadata_round_trip_as_bytes() {
        let bytes = postcard::to_allocvec(&meta()).unwrap();
        // Ids are their 16 bytes and times a number, so no id's text is in there.
        assert!(!bytes.windows(4).any(|window| window == b"sec_" || window == b"mem_"));
        assert_eq!(postcard::from_bytes::<SecretMeta>(&bytes).unwrap(), meta());
    }

    #[test]
    fn a_secret_takes_what_it_costs_a_boot() {
        let of = |delivery, value_len| SecretMeta { delivery, value_len, ..meta() }.footprint();
        let name = "OPENAI_API_KEY".len() as u64;
        let variable = |variables| Footprint { variables, files: 0 };
        assert_eq!(of(Delivery::Variable, 1000), variable(name + 1010));
        assert_eq!(of(Delivery::Variable, 0), variable(LEAST));
        assert_eq!(of(Delivery::File, 0), Footprint { variables: 2 * name + PATH, files: PAGE });
        assert_eq!(of(Delivery::File, 4097).files, 2 * PAGE);
    }

    #[test]
    fn private_comes_before_shared() {
        assert!(ScopeKind::Private < ScopeKind::Shared);
        assert_eq!(meta().scope.kind(), ScopeKind::Private);
        assert_eq!(Scope::Shared.owner(), None);
    }
}
