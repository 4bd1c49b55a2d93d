//! One use of a ticket, and which boots still hold a secret. Never decides whether a boot may happen.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::id::{BootId, MemberId, OrgId, SecretId, TicketId};
use crate::domain::name::MemberName;
use crate::domain::receipt::{Receipt, ReceiptEntry};
use crate::domain::text;
use crate::domain::time::Timestamp;

#[cfg(test)]
mod tests;

/// What the store remembers of a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The boot.
    pub id: BootId,
    /// The organization.
    pub org: OrgId,
    /// The ticket it used.
    pub ticket: TicketId,
    /// The member it acted for, and that member's name at the time.
    pub member: (MemberId, MemberName),
    /// When the store answered.
    pub at: Timestamp,
    /// The address it came from, if it came over a network.
    pub source: Option<IpAddr>,
    /// The machine's own id (machine-id(5)), as reported.
    pub machine: Option<String>,
    /// The kernel's id of this boot (`/proc/sys/kernel/random/boot_id`), as reported.
    pub kernel_boot: Option<String>,
    /// The host name, as reported.
    pub host: Option<String>,
    /// The agent's version, as reported.
    pub agent: Option<String>,
    /// What it was given.
    pub receipt: Receipt,
    /// When the agent reported back.
    pub confirmed_at: Option<Timestamp>,
    /// How far it came.
    pub state: BootState,
}

text::text_enum! {
    /// How far a boot came.
    pub enum BootState, "a boot's state: released, confirmed or failed" {
        /// The store answered; the agent has not reported back.
        Released = "released",
        /// The agent reported that it started the workload.
        Confirmed = "confirmed",
        /// The agent reported that it did not start the workload.
        Failed = "failed",
    }
}

/// A boot that still holds a secret, and the entry by which it got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding<'a> {
    /// The boot.
    pub boot: &'a Boot,
    /// What it was given; names the version.
    pub entry: &'a ReceiptEntry,
}

/// The boots that may still hold `secret`, oldest first.
///
/// A boot no longer holds anything if its agent reported that no workload was started, or if the same machine has
/// booted its kernel anew since. A boot that named no machine or no kernel boot is never taken to be over: reporting
/// one too many is the safe mistake here.
pub fn holders<'a>(boots: impl IntoIterator<Item = &'a Boot>, secret: SecretId) -> Vec<Holding<'a>> {
    let boots: Vec<&'a Boot> = boots.into_iter().collect();
    let mut holding: Vec<Holding<'a>> = boots
        .iter()
        .filter(|boot| boot.state != BootState::Failed)
        .filter_map(|boot| {
            let entry = boot.receipt.entries.iter().find(|entry| entry.id == secret)?;
            Some(Holding { boot, entry })
        })
        .filter(|holding| !boots.iter().any(|later| supersedes(later, holding.boot)))
        .collect();
    holding.sort_by_key(|holding| (holding.boot.at, holding.boot.id));
    holding
}

fn supersedes(later: &Boot, boot: &Boot) -> bool {
    let same_machine = later.machine.is_some() && later.machine == boot.machine;
    let other_kernel = match (&later.kernel_boot, &boot.kernel_boot) {
        (Some(later), Some(earlier)) => later != earlier,
        (None, _) | (_, None) => false,
    };
    same_machine && other_kernel && later.org == boot.org && later.at > boot.at
}
