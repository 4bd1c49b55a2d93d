//! Where each record is kept: a table's letter, then keyed hashes and random ids. No name, owner or organization shows.
//!
//! Everything of one scope of one owner lies together, so that a boot reads what it needs with one scan per scope.

use crate::domain::digest::Digest;
use crate::domain::id::{BootId, MemberId, OrgId, SecretId, TicketId, TokenId};
use crate::domain::name::{EnvName, MemberName, OrgName, PluginName, SecretName};
use crate::domain::secret::Scope;
use crate::domain::time::Timestamp;
use crate::store::engine::audit::chain::{Cover, Entry, Head, Registry};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::rules::boots::{AttemptRecord, BootRecord, MachineRecord, ReceiptRecord, ScopeMark};
use crate::store::rules::catalog::{CategoriesRecord, PluginRecord, PluginsRecord};
use crate::store::rules::idempotency::Answer;
use crate::store::rules::keys::KeysRecord;
use crate::store::rules::members::{MemberRecord, RemovalRecord};
use crate::store::rules::orgs::OrgRecord;
use crate::store::rules::reencrypt::RunRecord;
use crate::store::rules::secrets::{BodyRecord, SecretRecord, Unsettled};
use crate::store::rules::sessions::{SessionMark, SessionRecord};
use crate::store::rules::store::Identity;
use crate::store::rules::tickets::TicketRecord;
use crate::store::rules::tokens::TokenRecord;

pub(crate) use crate::store::engine::header::{FORMAT, HEADER, header, key_check, moved_header, read_header};
// === singletons ===

pub(crate) fn identity() -> Key<Identity> {
    Key::new(b"I".to_vec())
}

pub(crate) fn keys() -> Key<KeysRecord> {
    Key::new(b"K".to_vec())
}

pub(crate) fn run() -> Key<RunRecord> {
    Key::new(b"R".to_vec())
}

pub(crate) fn registry() -> Key<Registry> {
    Key::new(b"G".to_vec())
}

// === by random id alone ===

pub(crate) fn orgs() -> Prefix<OrgRecord> {
    Prefix::new(b"o".to_vec())
}

pub(crate) fn org(id: OrgId) -> Key<OrgRecord> {
    orgs().key(id.as_bytes())
}

pub(crate) fn token(id: TokenId) -> Key<TokenRecord> {
    Key::new([b"t", id.as_bytes().as_slice()].concat())
}

pub(crate) fn ticket(id: TicketId) -> Key<TicketRecord> {
    Key::new([b"k", id.as_bytes().as_slice()].concat())
}

pub(crate) fn body(place: [u8; 16]) -> Key<BodyRecord> {
    Key::new([b"v", place.as_slice()].concat())
}

pub(crate) fn removals() -> Prefix<RemovalRecord> {
    Prefix::new(b"z".to_vec())
}

pub(crate) fn removal(member: MemberId) -> Key<RemovalRecord> {
    removals().key(member.as_bytes())
}

pub(crate) fn all_secrets() -> Prefix<SecretRecord> {
    Prefix::new(b"s".to_vec())
}

/// Written with every change of a secret of the scope that `secrets` lists: what was read of the scope is good as long as
/// this is.
pub(crate) fn scope_mark(secrets: &Prefix<SecretRecord>) -> Key<ScopeMark> {
    Key::new([b"S", &secrets.bytes()[1..]].concat())
}

/// The mark that a change of what is kept at `key` is told by, if that is a secret.
pub(crate) fn mark_of(key: &[u8]) -> Option<Key<ScopeMark>> {
    let (scope, id) = key.split_at_checked(GROUP)?;
    (scope.starts_with(b"s") && id.len() == 16).then(|| scope_mark(&Prefix::new(scope.to_vec())))
}

/// Bytes of a prefix of a group: its table and its keyed hash.
const GROUP: usize = 1 + 16;

/// The secrets whose data keys are to be settled.
pub(crate) fn all_unsettled() -> Prefix<Unsettled> {
    Prefix::new(b"u".to_vec())
}

pub(crate) fn unsettled(secret: &Key<SecretRecord>) -> Key<Unsettled> {
    all_unsettled().key(&secret.bytes()[1..])
}

/// The secret that a marker is for.
pub(crate) fn marked(marker: &[u8]) -> Key<SecretRecord> {
    all_secrets().key(&marker[1..])
}

pub(crate) fn attempts() -> Prefix<AttemptRecord> {
    Prefix::new(b"y".to_vec())
}

pub(crate) fn answers() -> Prefix<Answer> {
    Prefix::new(b"d".to_vec())
}

pub(crate) fn sessions() -> Prefix<SessionRecord> {
    Prefix::new(b"w".to_vec())
}

pub(crate) fn session(id: [u8; 16]) -> Key<SessionRecord> {
    sessions().key(&id)
}

pub(crate) fn session_marks() -> Prefix<SessionMark> {
    Prefix::new(b"W".to_vec())
}

// === the audit trail ===

pub(crate) type ChainId = [u8; 16];

pub(crate) fn heads() -> Prefix<Head> {
    Prefix::new(b"A".to_vec())
}

pub(crate) fn head(chain: &ChainId) -> Key<Head> {
    heads().key(chain)
}

pub(crate) fn covers() -> Prefix<Cover> {
    Prefix::new(b"C".to_vec())
}

pub(crate) fn cover(chain: &ChainId) -> Key<Cover> {
    covers().key(chain)
}

pub(crate) fn entries() -> Prefix<Entry> {
    Prefix::new(b"a".to_vec())
}

/// Newest first over all chains, and within one chain the later entry first.
pub(crate) fn entry(at: Timestamp, chain: &ChainId, seq: u64) -> Key<Entry> {
    let newest_first = [newest_first(at).as_slice(), chain, &(!seq).to_be_bytes()].concat();
    entries().key(&newest_first)
}

/// The key after which the entries older than `before` begin.
pub(crate) fn entries_before(before: Timestamp) -> Key<Entry> {
    // The greatest key of the millisecond `before` itself.
    entries().key(&[newest_first(before).as_slice(), &[0xff; 24]].concat())
}

/// Time, chain and number of an entry, from its key.
pub(crate) fn entry_parts(key: &[u8]) -> Option<(Timestamp, ChainId, u64)> {
    let rest: &[u8; 32] = key.strip_prefix(b"a")?.try_into().ok()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (chain, seq) = rest.split_first_chunk::<16>()?;
    let millis = (!u64::from_be_bytes(*at) ^ SIGN).cast_signed();
    Some((Timestamp::from_millis(millis), *chain, !u64::from_be_bytes(seq.try_into().ok()?)))
}

/// Flips the sign bit, so that times before 1970 sort before the others.
const SIGN: u64 = 1 << 63;

fn newest_first(at: Timestamp) -> [u8; 8] {
    (!(at.as_millis().cast_unsigned() ^ SIGN)).to_be_bytes()
}

// === by keyed hashes ===

impl Records {
    pub(crate) fn org_name(&self, name: &OrgName) -> Key<OrgId> {
        self.hashed(b"O", "organization name", &[name.as_str().as_bytes()])
    }

    pub(crate) fn members(&self, org: OrgId) -> Prefix<MemberRecord> {
        self.grouped(b"m", "members", &[org.as_bytes()])
    }

    pub(crate) fn member(&self, org: OrgId, id: MemberId) -> Key<MemberRecord> {
        self.members(org).key(id.as_bytes())
    }

    pub(crate) fn member_name(&self, org: OrgId, name: &MemberName) -> Key<MemberId> {
        self.hashed(b"M", "member name", &[org.as_bytes(), name.as_str().as_bytes()])
    }

    /// The tokens of an organization and whose they are; of the operator when there is none.
    pub(crate) fn tokens(&self, org: Option<OrgId>) -> Prefix<Option<MemberId>> {
        match org {
            Some(org) => self.grouped(b"T", "tokens", &[org.as_bytes()]),
            None => self.grouped(b"T", "operator tokens", &[]),
        }
    }

    /// The sessions of a member; of the operator when there is none.
    pub(crate) fn sessions_of(&self, member: Option<(OrgId, MemberId)>) -> Prefix<SessionMark> {
        match member {
            Some((org, member)) => self.grouped(b"W", "sessions", &[org.as_bytes(), member.as_bytes()]),
            None => self.grouped(b"W", "operator sessions", &[]),
        }
    }

    /// The tickets of an organization and whom they act for.
    pub(crate) fn tickets(&self, org: OrgId) -> Prefix<MemberId> {
        self.grouped(b"q", "tickets", &[org.as_bytes()])
    }

    /// The secrets of one scope.
    pub(crate) fn secrets(&self, org: OrgId, scope: Scope) -> Prefix<SecretRecord> {
        let owner = scope.owner();
        let owner = owner.as_ref().map_or(&[][..], |owner| owner.as_bytes());
        self.grouped(b"s", "secrets", &[org.as_bytes(), scope.kind().as_str().as_bytes(), owner])
    }

    pub(crate) fn secret(&self, org: OrgId, scope: Scope, id: SecretId) -> Key<SecretRecord> {
        self.secrets(org, scope).key(id.as_bytes())
    }

    /// The scopes of an organization's secrets.
    pub(crate) fn scopes(&self, org: OrgId) -> Prefix<Scope> {
        self.grouped(b"i", "secret ids", &[org.as_bytes()])
    }

    /// Which secret of a scope is exported under a name.
    pub(crate) fn secret_env(&self, org: OrgId, scope: Scope, env: &EnvName) -> Key<SecretId> {
        self.in_scope(b"e", "exported name", org, scope, env.as_str())
    }

    /// Which secret of a scope has a name.
    pub(crate) fn secret_name(&self, org: OrgId, scope: Scope, name: &SecretName) -> Key<SecretId> {
        self.in_scope(b"n", "secret name", org, scope, name.as_str())
    }

    /// What an organization declares of its plugins.
    pub(crate) fn plugins(&self, org: OrgId) -> Prefix<PluginRecord> {
        self.grouped(b"p", "plugins", &[org.as_bytes()])
    }

    pub(crate) fn plugin(&self, org: OrgId, name: &PluginName) -> Key<PluginRecord> {
        let parts: [&[u8]; 2] = [org.as_bytes(), name.as_str().as_bytes()];
        self.plugins(org).key(&self.key.key_hash("plugin name", &parts))
    }

    /// Which plugins are declared, and which of them are disabled.
    pub(crate) fn plugin_list(&self, org: OrgId) -> Key<PluginsRecord> {
        self.hashed(b"P", "plugin list", &[org.as_bytes()])
    }

    /// The categories that an organization declares.
    pub(crate) fn categories(&self, org: OrgId) -> Key<CategoriesRecord> {
        self.hashed(b"c", "categories", &[org.as_bytes()])
    }

    /// The boots of an organization, newest first.
    pub(crate) fn boots(&self, org: OrgId) -> Prefix<BootRecord> {
        self.grouped(b"b", "boots", &[org.as_bytes()])
    }

    pub(crate) fn boot(&self, org: OrgId, id: BootId) -> Key<BootRecord> {
        self.boots(org).key(&id.as_bytes().map(|byte| !byte))
    }

    /// What boots were given, each once.
    pub(crate) fn receipt(&self, org: OrgId, content: &Digest) -> Key<ReceiptRecord> {
        self.hashed(b"r", "receipt", &[org.as_bytes(), content.as_bytes()])
    }

    /// The latest boot of a machine.
    pub(crate) fn machine(&self, org: OrgId, machine: &str) -> Key<MachineRecord> {
        self.hashed(b"h", "machine", &[org.as_bytes(), machine.as_bytes()])
    }

    /// A try of a boot by a ticket of limited use.
    pub(crate) fn attempt(&self, ticket: TicketId, attempt: &str) -> Key<AttemptRecord> {
        let hash = self.key.key_hash("boot attempt", &[ticket.as_bytes(), attempt.as_bytes()]);
        attempts().key(&hash)
    }

    pub(crate) fn answer(&self, who: &[u8], operation: &str, key: &str) -> Key<Answer> {
        self.hashed(b"d", "idempotency", &[who, operation.as_bytes(), key.as_bytes()])
    }

    fn in_scope(&self, table: &[u8; 1], label: &str, org: OrgId, scope: Scope, name: &str) -> Key<SecretId> {
        let owner = scope.owner();
        let owner = owner.as_ref().map_or(&[][..], |owner| owner.as_bytes());
        self.hashed(table, label, &[org.as_bytes(), scope.kind().as_str().as_bytes(), owner, name.as_bytes()])
    }

    fn hashed<T>(&self, table: &[u8; 1], label: &str, parts: &[&[u8]]) -> Key<T> {
        Key::new([table.as_slice(), &self.key.key_hash(label, parts)].concat())
    }

    fn grouped<T>(&self, table: &[u8; 1], label: &str, parts: &[&[u8]]) -> Prefix<T> {
        Prefix::new([table.as_slice(), &self.key.key_hash(label, parts)].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_sort_newest_first_and_their_keys_read_back() {
        let at = |millis| Timestamp::from_millis(millis);
        let keys: Vec<Vec<u8>> = [(2000, 0), (1000, 7), (1000, 6), (0, 0), (-5, 1)]
            .into_iter()
            .map(|(millis, seq)| entry(at(millis), &[9; 16], seq).to_vec())
            .collect();
        assert!(keys.is_sorted());
        assert_eq!(entry_parts(&keys[1]), Some((at(1000), [9; 16], 7)));
        assert_eq!(entry_parts(&keys[4]), Some((at(-5), [9; 16], 1)));
        assert!(entries_before(at(1000)).bytes() > keys[2].as_slice());
        assert!(entries_before(at(1000)).bytes() < keys[3].as_slice());
    }
}
