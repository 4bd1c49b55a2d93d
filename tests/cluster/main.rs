//! Several servers over one store on etcd: real processes, real faults.
//!
//! - [`faults`]: three members and three servers under continuous deposits and boots while members and servers are
//!   killed and paused: nothing acknowledged is lost, no ticket is used twice, each boot succeeds or ends with 69, and
//!   each value's history is linearizable.
//! - [`roles`]: servers for deposits never hold the release key; servers for boots answer nothing else.
//! - [`moving`]: a store moves from SQLite to etcd and back, its backup from one to the other.
//! - [`history`]: the checker of histories, held to one that tries every order.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod faults;
#[path = "../e2e/harness.rs"]
#[allow(dead_code, reason = "a site there has one server; what starts programs is the same")]
mod harness;
mod history;
mod moving;
mod roles;
#[path = "../../src/kv/etcd/tests/server.rs"]
mod server;
mod site;
