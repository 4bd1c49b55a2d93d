//! The key functions of all tables that need no record key, under one name.

pub(crate) use super::answers::answers;
pub(crate) use super::boots::attempts;
pub(crate) use super::members::{removal, removals};
pub(crate) use super::orgs::{org, orgs};
pub(crate) use super::secrets::{all_secrets, all_unsettled, body, marked, scope_mark, unsettled};
pub(crate) use super::sessions::{session, session_marks, sessions};
pub(crate) use super::store::{identity, keys, run};
pub(crate) use super::tickets::ticket;
pub(crate) use super::tokens::token;
pub(crate) use crate::store::engine::audit::tables::{
    ChainId, entries, entries_before, entry, entry_parts, head, heads, registry,
};
pub(crate) use crate::store::engine::header::{
    FORMAT, HEADER, OLDEST_FORMAT, header, key_check, moved_header, read_header,
};
