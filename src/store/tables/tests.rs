//! Letters and golden vectors of all tables.
