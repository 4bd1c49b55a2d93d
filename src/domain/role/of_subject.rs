//! Decisions that depend on the subject of an action: the member, scope or boot.

use crate::domain::role::{BootSubject, Denied, OrgPolicy, ScopeSubject, SharedChanges, Subject};

pub(super) fn ends(of: BootSubject) -> Result<(), Denied> {
    // The author too: who started a machine knows when it is gone.
    if of.is_author { Ok(()) } else { acts_for(of.member) }
}

pub(super) fn own(of: Subject) -> Result<(), Denied> {
    match of {
        Subject::Own => Ok(()),
        Subject::Managed | Subject::Accepted | Subject::Other => Err(Denied::NotYours),
    }
}

pub(super) fn acts_for(of: Subject) -> Result<(), Denied> {
    match of {
        Subject::Own | Subject::Managed => Ok(()),
        Subject::Accepted | Subject::Other => Err(Denied::NotYours),
    }
}

pub(super) fn accepted(of: Subject) -> Result<(), Denied> {
    match of {
        Subject::Accepted => Ok(()),
        // A launcher has no secrets, so that a ticket for itself would be of no use.
        Subject::Own | Subject::Managed | Subject::Other => Err(Denied::NotAccepted),
    }
}

pub(super) fn shared_or_own(of: ScopeSubject) -> Result<(), Denied> {
    match of {
        ScopeSubject::Shared | ScopeSubject::SharedByOther => Ok(()),
        ScopeSubject::Private(of) => acts_for(of),
    }
}

pub(super) fn maintain(of: ScopeSubject, policy: &OrgPolicy) -> Result<(), Denied> {
    let is_shared = !matches!(of, ScopeSubject::Private(_));
    if is_shared && !policy.shared_by_members {
        return Err(Denied::SharedRestricted);
    }
    shared_or_own(of)
}

pub(super) fn change(of: ScopeSubject, policy: &OrgPolicy) -> Result<(), Denied> {
    maintain(of, policy)?;
    match (of, policy.shared_changes) {
        (ScopeSubject::SharedByOther, SharedChanges::Depositor) => Err(Denied::NotDepositor),
        (ScopeSubject::SharedByOther, SharedChanges::Everyone)
        | (ScopeSubject::Shared | ScopeSubject::Private(_), _) => Ok(()),
    }
}
