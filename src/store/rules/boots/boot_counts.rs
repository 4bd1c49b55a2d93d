//! How many boots each member has, in the memory of this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::id::{MemberId, OrgId};
use crate::domain::time::Timestamp;

/// How often refused boots of an organization look for boots to prune.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// How many boots each member has, as this process knows: from its last pass over all of them, and its own since.
///
/// In memory, because a stored number would be written by each boot, and the boots of several servers would conflict over it.
/// Several servers together can exceed a quota by what they store between two passes.
#[derive(Default)]
pub(crate) struct BootCounts(Mutex<HashMap<OrgId, MemberCounts>>);

#[derive(Default)]
struct MemberCounts {
    members: HashMap<MemberId, u64>,
    /// When the organization was last read.
    read_at: Option<Timestamp>,
}

impl BootCounts {
    pub(crate) fn add(&self, org: OrgId, member: MemberId) {
        let mut orgs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *orgs.entry(org).or_default().members.entry(member).or_default() += 1;
    }

    pub(crate) fn of(&self, org: OrgId, member: MemberId) -> u64 {
        let orgs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        orgs.get(&org).and_then(|org| org.members.get(&member)).copied().unwrap_or(0)
    }

    /// Whether a pass over the organization may find something to prune. Then the caller makes one.
    pub(crate) fn begin_pass(&self, org: OrgId, now: Timestamp) -> bool {
        let mut orgs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = orgs.entry(org).or_default();
        let due = counts.read_at.is_none_or(|at| now.since(at) >= PRUNE_INTERVAL);
        if due {
            counts.read_at = Some(now);
        }
        due
    }

    pub(crate) fn set(&self, org: OrgId, members: HashMap<MemberId, u64>) {
        let mut orgs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A boot that was stored while they were counted may be missing until the next pass, which does no harm.
        orgs.entry(org).or_default().members = members;
    }
}
