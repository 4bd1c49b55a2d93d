//! What launchers made, by launcher, and the acceptances that were withdrawn and whose tickets are still to be revoked.

use crate::domain::id::{MemberId, OrgId, TicketId};
use crate::store::engine::format::{record, stored};
use crate::store::engine::keys::{Key, Prefix};
use crate::store::engine::records::Records;
use crate::store::engine::table::Table;

pub(crate) const LAUNCHER_TICKETS: Table = Table::new(b'l', "launcher tickets");
pub(crate) const WITHDRAWALS: Table = Table::new(b'f', "withdrawals");

/// Returns the prefix of the withdrawals of every organization.
pub(crate) fn withdrawals() -> Prefix<WithdrawalRecord> {
    WITHDRAWALS.all()
}

impl Records {
    /// Returns the prefix of the tickets that a launcher created, and the people that they act for.
    pub(crate) fn launcher_tickets(&self, org: OrgId, launcher: MemberId) -> Prefix<MemberId> {
        self.grouped(&LAUNCHER_TICKETS, &[org.as_bytes(), launcher.as_bytes()])
    }

    pub(crate) fn launcher_ticket(&self, org: OrgId, launcher: MemberId, ticket: TicketId) -> Key<MemberId> {
        self.launcher_tickets(org, launcher).key(ticket.as_bytes())
    }

    /// Returns the key of a withdrawal, of which a person has one for each launcher at most.
    pub(crate) fn withdrawal(&self, withdrawal: WithdrawalRecord) -> Key<WithdrawalRecord> {
        let WithdrawalRecord { org, launcher, person } = withdrawal;
        self.hashed(&WITHDRAWALS, &[org.as_bytes(), launcher.as_bytes(), person.as_bytes()])
    }
}

/// An acceptance that was withdrawn. It exists until every ticket that the launcher created for the person is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WithdrawalRecord {
    pub(crate) org: OrgId,
    pub(crate) launcher: MemberId,
    pub(crate) person: MemberId,
}

stored! {
    StoredWithdrawalV1 = WithdrawalRecord { org: [u8; 16], launcher: [u8; 16], person: [u8; 16] }
}

record! { WithdrawalRecord {} newest 1 => StoredWithdrawalV1 }
