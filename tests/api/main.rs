//! The API from outside.
//!
//! - `house`: a store behind the API, and everybody who may ask it; no test
//! - `walk`: what the routes do, end to end, without a socket
//! - `catalog`: plugins, categories, presets, import, export
//! - `faces`: the two faces, row by row of what their clients know of them
//! - `refusals`: requests that are refused, and what of them is repeated or logged: nothing
//! - `transport`: TLS, HTTP/2, slow and broken peers, draining; over real sockets
//! - `server`: a store made, served, unlocked and stopped; a second server on the same data

#![allow(clippy::disallowed_methods, reason = "tests look at files and start processes")]

mod catalog;
mod faces;
#[allow(dead_code, reason = "shared with the permission matrix")]
mod house;
mod refusals;
mod server;
mod transport;
mod walk;
