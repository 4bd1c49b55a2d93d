//! The vocabulary: names, values, scopes, roles, resolution, receipts. Pure: no clock, no I/O.
