//! Several servers over one store on etcd: real processes, real faults.
//!
//! - [`faults`]: three members and three servers under continuous deposits and boots while members and servers are
//!   killed and paused, and while their network is cut ([`network`]): nothing acknowledged is lost, no ticket is used twice, each boot succeeds or ends with 69, and
//!   each value's history is linearizable.
//! - [`herd`]: thousands of machines boot at once: all succeed, each is in the audit log and spends one use, and the servers stay
//!   small; what is shed spends nothing.
//! - [`roles`]: servers for deposits never hold the release key; servers for boots answer nothing else.
//! - [`moving`]: a store moves from SQLite to etcd and back, its backup from one to the other.
//! - [`history`]: the checker of histories, compared with one that tries every order.

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

#[path = "../../benches/herd/drive.rs"]
#[allow(dead_code, reason = "the bench asks for more")]
mod drive;
mod faults;
#[path = "../e2e/harness.rs"]
#[allow(dead_code, reason = "a site there has one server; what starts programs is the same")]
mod harness;
mod herd;
mod history;
mod moving;
mod network;
mod roles;
#[path = "../../src/kv/etcd/tests/server.rs"]
mod server;
#[path = "../../benches/herd/server_process.rs"]
#[allow(dead_code, reason = "the bench asks for more")]
mod server_process;
mod site;
