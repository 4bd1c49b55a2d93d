//! The console: as a browser shows it, and as an attacker asks it.
//!
//! | module | proves |
//! |---|---|
//! | `shots` | every page in both themes, narrow and wide: without a violation of axe-core's rules, as a picture for people |

mod browser;
#[path = "../e2e/harness.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests")]
mod harness;
mod furnish;
mod shots;
