//! The console, in a browser and under requests that no browser sends.
//!
//! | module | proves |
//! |---|---|
//! | `requests` | security headers, cookies, sessions, requests from other sites, escaped markup, refused forms, and every action without a script |
//! | `flows` | what people do, from the login to the audit log; a value that was sent is nowhere in the browser |
//! | `sign_in` | sign-in with a provider: cookies, answers of other sign-ins, whatever a stranger sends; without a browser |
//! | `providers` | the same in browsers, and by commands, with a real provider: `provider/provider.mjs`, started by `real_provider` |
//! | `screenshots` | every page in both themes, narrow and wide: violates no rule of axe-core, and is saved as a picture for people |

#![expect(clippy::disallowed_methods, reason = "tests start programs and look at files")]

mod browser;
mod flows;
#[path = "../e2e/harness.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests")]
mod harness;
mod providers;
mod real_provider;
mod requests;
mod sample_store;
mod screenshots;
mod sign_in;
#[path = "../api/test_api.rs"]
#[allow(dead_code, reason = "shared with the tests of the API")]
mod test_api;
#[path = "../api/test_provider.rs"]
#[allow(dead_code, reason = "shared with the tests of the API")]
mod test_provider;
