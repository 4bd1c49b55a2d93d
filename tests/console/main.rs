//! The console, in a browser and under requests that no browser sends.
//!
//! | module | proves |
//! |---|---|
//! | `requests` | security headers, cookies, sessions, requests from other sites, escaped markup, refused forms, and every action without a script |
//! | `flows` | what people do, from the login to the audit log; a value that was sent is nowhere in the browser |
//! | `screenshots` | every page in both themes, narrow and wide: violates no rule of axe-core, and is saved as a picture for people |

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
