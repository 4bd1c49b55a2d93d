//! The API from outside.
//!
//! - `test_api`: a store behind the API, and a credential for each kind of caller; no test
//! - `routes`: what the routes do, end to end, without a socket
//! - `catalog`: plugins, categories, presets, import, export
//! - `compat`: the two compatibility APIs, row by row of what their clients rely on
//! - `errors`: invalid requests, and that nothing of them is repeated or logged
//! - `transport`: TLS, HTTP/2, slow and broken peers, draining; over real sockets
//! - `server`: a store made, served, unlocked and stopped; a second server on the same data

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod catalog;
mod compat;
mod errors;
mod routes;
mod server;
#[allow(dead_code, reason = "shared with the permission matrix")]
mod test_api;
mod transport;
