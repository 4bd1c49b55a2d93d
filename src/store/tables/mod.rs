//! The tables: one file per resource with each table's letter, key functions, stored structs by format, and conversions.
//!
//! Imports the engine and the domain. Never decides anything.

pub(crate) mod answers;
pub(crate) mod boots;
pub(crate) mod catalog;
mod convert;
pub(crate) mod enrolments;
pub(crate) mod executed;
pub(crate) mod holders;
pub(crate) mod launchers;
pub(crate) mod members;
pub(crate) mod orgs;
pub(crate) mod scope_stamps;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod store;
pub(crate) mod tickets;
pub(crate) mod tokens;
pub(crate) mod usage;

use crate::store::engine::audit::{check, tables as log, verified};
use crate::store::engine::table::Table;

/// All tables.
const ALL: [&Table; 46] = [
    &answers::ANSWERS,
    &boots::ATTEMPTS,
    &boots::BOOTS,
    &boots::RECEIPTS,
    &catalog::CATEGORIES,
    &catalog::PLUGINS,
    &catalog::PLUGIN_LIST,
    &check::CHECK,
    &enrolments::ENROLMENTS,
    &executed::EXECUTED,
    &holders::INDEXING,
    &holders::RUNNING,
    &launchers::LAUNCHER_TICKETS,
    &launchers::WITHDRAWALS,
    &log::COVERS,
    &log::ENTRIES,
    &log::HEADS,
    &log::PRUNED,
    &log::REGISTRY,
    &members::DISMISSALS,
    &members::MEMBERS,
    &members::MEMBER_NAMES,
    &members::REMOVALS,
    &usage::RETIRED_VERSIONS,
    &orgs::ORGS,
    &orgs::ORG_NAMES,
    &secrets::BODIES,
    &scope_stamps::SCOPE_STAMPS,
    &secrets::SECRETS,
    &secrets::SECRET_ENVS,
    &secrets::SECRET_NAMES,
    &secrets::SECRET_SCOPES,
    &secrets::UNSETTLED,
    &secrets::UNUSABLE,
    &sessions::SESSIONS,
    &sessions::SESSION_OWNERS,
    &store::IDENTITY,
    &store::KEYS,
    &store::RUN,
    &tickets::TICKETS,
    &tickets::TICKET_MEMBERS,
    &tokens::TOKENS,
    &tokens::TOKEN_OWNERS,
    &usage::RECORD_COUNTS,
    &usage::USAGE,
    &verified::VERIFIED,
];

/// Returns the name of the table whose keys start with `letter`, for people.
pub(crate) fn name_of(letter: u8) -> &'static str {
    ALL.iter().find(|table| table.letter == letter).map_or("unknown", |table| table.name)
}

#[cfg(test)]
mod tests;
