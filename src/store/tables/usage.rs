//! What the secrets of a scope or of a depositor take, how many records an organization has, and the versions that secrets had before.

use crate::domain::id::{MemberId, OrgId, SecretId, VersionId};
use crate::domain::secret::Scope;
use crate::domain::time::Timestamp;
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::Key;
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const USAGE: Table = Table::new(b'U', "usage");
pub(crate) const RECORD_COUNTS: Table = Table::new(b'Q', "record counts");
pub(crate) const RETIRED_VERSIONS: Table = Table::new(b'V', "retired versions");

/// Whose secrets a [`Usage`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum UsageOf {
    /// All secrets of a scope.
    Scope(Scope),
    /// The shared secrets whose current version a member deposited.
    Depositor(MemberId),
}

/// Which records of an organization a [`RecordCount`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CountOf {
    Secrets,
    Members,
    /// Active tickets.
    Tickets,
    /// Active tokens.
    Tokens,
    /// Active tickets that a member created.
    TicketsBy(MemberId),
    /// Active tokens that a member created.
    TokensBy(MemberId),
}

/// A number that an organization's operations keep up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StoredCount {
    Usage(UsageOf),
    Records(CountOf),
}

impl Records {
    pub(crate) fn usage(&self, org: OrgId, of: UsageOf) -> Key<Usage> {
        // The kind is a part of its own, so that a member's id means either its private scope or what it shared.
        let (kind, id): (&[u8], _) = match &of {
            UsageOf::Scope(Scope::Shared) => (b"shared", None),
            UsageOf::Scope(Scope::Private(owner)) => (b"private", Some(*owner)),
            UsageOf::Depositor(member) => (b"depositor", Some(*member)),
        };
        let id = id.as_ref().map_or(&[][..], |id| id.as_bytes());
        self.hashed(&USAGE, &[org.as_bytes(), kind, id])
    }

    pub(crate) fn record_count(&self, org: OrgId, of: CountOf) -> Key<RecordCount> {
        let (kind, author): (&[u8], _) = match &of {
            CountOf::Secrets => (b"secrets", None),
            CountOf::Members => (b"members", None),
            CountOf::Tickets => (b"tickets", None),
            CountOf::Tokens => (b"tokens", None),
            CountOf::TicketsBy(author) => (b"tickets", Some(author)),
            CountOf::TokensBy(author) => (b"tokens", Some(author)),
        };
        self.hashed(&RECORD_COUNTS, &[org.as_bytes(), kind, author.map_or(&[][..], |id| id.as_bytes())])
    }

    /// Returns the key that says whether a secret had a version before. It outlives the secret, whose id its depositor may choose
    /// again.
    pub(crate) fn retired_version(
        &self,
        org: OrgId,
        secret: SecretId,
        version: VersionId,
    ) -> Key<RetiredVersion> {
        self.hashed(&RETIRED_VERSIONS, &[org.as_bytes(), secret.as_bytes(), version.as_bytes()])
    }
}

/// What secrets take. It is absent until the first change after an older store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) secrets: u64,
    /// Bytes of variables, as budgets count them.
    pub(crate) variables: u64,
    /// Bytes of files, as budgets count them.
    pub(crate) files: u64,
}

/// How many records there are. It is absent until the first change after an older store was opened. Of tickets and tokens, an
/// absent count is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordCount {
    pub(crate) count: u64,
}

/// Marks a version that a secret had and has no more.
#[derive(Clone)]
pub(crate) struct RetiredVersion {
    /// When it was replaced or deleted. `None` in a record of the older format.
    pub(crate) at: Option<Timestamp>,
}

stored! {
    StoredUsageV1 = Usage { secrets: u64, variables: u64, files: u64 }
}

stored! {
    StoredRecordCountV1 = RecordCount { count: u64 }
}

stored! {
    StoredRetiredVersionV1 = RetiredVersion {}
    before { at: None }
}

stored! {
    StoredRetiredVersionV2 = RetiredVersion { at: Option<i64> }
}

record! { Usage {} newest 1 => StoredUsageV1 }
record! { RecordCount {} newest 1 => StoredRecordCountV1 }
record! { RetiredVersion { 1 => StoredRetiredVersionV1, } newest 2 => StoredRetiredVersionV2 }
