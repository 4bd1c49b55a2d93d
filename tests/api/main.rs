//! The API from outside.
//!
//! - `sign_in`: sign-in of people, with a provider on loopback
//! - `test_api`: a store behind the API, and a credential for each kind of caller; no test
//! - `test_provider`: that provider, as good or as bad as a test needs it; no test
//! - `routes`: what the routes do, end to end, without a socket
//! - `audit`: what the log answers, and what leaves an entry
//! - `catalog`: plugins, categories, presets, import, export
//! - `compat`: the two compatibility APIs, row by row of what their clients rely on
//! - `errors`: invalid requests, and that nothing of them is repeated or logged
//! - `transport`: TLS, HTTP/2, slow and broken peers, draining; over real sockets
//! - `floods`: strangers, hosts and tenants that take what they can, beside boots of others
//! - `identities`: machines that prove themselves with a token of an issuer
//! - `plain`: deposits without a type, and the names of references
//! - `dev_client`: a server in this process and clients of it; no test
//! - `sealed_unlock`: passphrases that clients seal to the key of the server process
//! - `test_issuer`: an issuer of tokens; no test
//! - `server`: a store made, served, unlocked and stopped; a second server on the same data

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod audit;
mod catalog;
mod compat;
mod dev_client;
mod errors;
mod floods;
mod identities;
mod plain;
mod routes;
mod sealed_unlock;
mod server;
mod sign_in;
#[allow(dead_code, reason = "shared with the permission matrix")]
mod test_api;
#[path = "../../src/oidc/tests/test_issuer.rs"]
#[allow(dead_code, reason = "shared with the tests of tokens")]
mod test_issuer;
#[allow(dead_code, reason = "shared with the unit tests")]
mod test_provider;
mod transport;
