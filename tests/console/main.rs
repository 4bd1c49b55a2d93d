//! The console: as a browser shows it, and as an attacker asks it.
//!
//! | module | proves |
//! |---|---|
//! | `requests` | headers, cookies, sessions, foreign sites, markup in texts, refused forms, and that all is done without a script |
//! | `flows` | what people do, from login to audit entry; a value once saved is nowhere in the browser |
//! | `screenshots` | every page in both themes, narrow and wide: without a violation of axe-core's rules, as a picture for people |

#![expect(clippy::disallowed_methods, reason = "tests start programs and look at files")]

mod browser;
mod flows;
#[path = "../e2e/harness.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests")]
mod harness;
mod requests;
mod sample_store;
mod screenshots;
#[path = "../api/test_api.rs"]
#[allow(dead_code, reason = "shared with the tests of the API")]
mod test_api;
