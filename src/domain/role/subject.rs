//! Whom and what an action concerns, from the caller's point of view. A rule computes it from records; a decision needs
//! nothing else about them.

use crate::domain::id::BootId;

/// The member that an action concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The caller.
    Own,
    /// A service that the caller manages.
    Managed,
    /// A person who accepted the caller, which is a launcher.
    Accepted,
    /// Any other member.
    Other,
}

/// The boot that an action concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootSubject {
    pub boot: BootId,
    /// The member that it acts for.
    pub member: Subject,
    /// Whether the caller created its ticket.
    pub is_author: bool,
    /// Whether the member was removed, so that it reports nothing any more.
    pub is_of_removed: bool,
}

/// The secret, or the scope, that an action concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeSubject {
    /// The shared scope, or a secret in it that the caller deposited.
    Shared,
    /// A shared secret that another member deposited.
    SharedByOther,
    /// A private scope and all that is in it.
    Private(Subject),
}
