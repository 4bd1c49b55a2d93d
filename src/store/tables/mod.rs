//! The tables: where each record is kept.

pub(crate) mod keyspace;
