//! The audit trail: one keyed chain per process, in the same commits as what it tells of.

use super::error::Error;
use super::page::{Page, PageAsk};
use super::{Caller, Store};
use crate::domain::audit::AuditEvent;
use crate::domain::time::Timestamp;

/// Which entries to list; absent fields admit all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Part of the action, the actor's or the target's name, without regard to case.
    pub q: Option<String>,
    /// The action, exactly, or its first part (`secret` admits `secret.create`).
    pub action: Option<String>,
    /// The actor's name or id.
    pub actor: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// An entry of the trail.
#[derive(Clone, Debug)]
pub struct AuditItem {
    /// The chain it stands in, hexadecimal.
    pub chain: String,
    /// Its place there, from 0.
    pub seq: u64,
    /// What happened.
    pub event: AuditEvent,
}

/// What verification found.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Whether every chain is whole and none is missing.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// The chains, oldest first.
    pub chains: Vec<ChainReport>,
}

/// One chain.
#[derive(Clone, Debug)]
pub struct ChainReport {
    /// Its id, hexadecimal.
    pub id: String,
    /// How many entries it has.
    pub length: u64,
    /// Its state.
    pub state: ChainState,
    /// What is wrong with it and where.
    pub fault: Option<String>,
}

/// How a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainState {
    /// Whole; its process runs, or was killed.
    Open,
    /// Whole, and ended by its process.
    Ended,
    /// Changed, cut or missing.
    Broken,
}

impl ChainState {
    /// `open`, `ended` or `broken`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ended => "ended",
            Self::Broken => "broken",
        }
    }
}

impl Store {
    /// The trail, newest first: its organization's for an admin or auditor; for the operator the whole store's, without
    /// names of secrets.
    pub async fn audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        page: PageAsk,
    ) -> Result<Page<AuditItem>, Error> {
        let _ = (caller, filter, page);
        todo!()
    }

    /// Walks every chain: finds any change, cut, restamping, missing entry and missing chain.
    pub async fn verify_audit(&self, caller: &Caller) -> Result<Verification, Error> {
        let _ = caller;
        todo!()
    }
}
