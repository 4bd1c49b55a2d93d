//! The command line as it is used.
//!
//! - [`transcripts`]: every `--help`, and every message that needs no store, word for word.
//! - [`secrets`]: deposits, names, lists, edits, deletions and imports.
//! - [`catalog`]: plugins, categories, presets, statistics; ten thousand secrets.
//! - [`people`]: members, tokens, tickets and organizations.
//! - [`identities`]: machines that prove themselves with tokens.
//! - [`login`]: the saved login, the environment, and the deposit key that is remembered.
//! - [`safekeeping`]: key slots, re-encryption, backups and the audit log.
//! - [`checkpoints`]: checkpoints of the audit log, and what they prove.
//! - [`restores`]: restores that fail, are interrupted, or find something in their folder.
//! - [`documents`]: completions and manual pages.
//! - [`dev`]: the demonstration, exit statuses and signals.
//! - [`terminal`]: hidden prompts and questions.
//! - [`sign_in`]: signing in with a code that is entered elsewhere; `test_provider` is the provider, and no test.
#![expect(clippy::disallowed_methods, reason = "tests touch files, start processes and wait")]

mod catalog;
mod checkpoints;
mod dev;
mod documents;
mod identities;
mod login;
mod people;
mod restores;
mod safekeeping;
mod secrets;
mod sign_in;
mod site;
mod terminal;
#[path = "../../src/oidc/tests/test_issuer.rs"]
#[allow(dead_code, reason = "shared with the tests of tokens")]
mod test_issuer;
#[allow(dead_code, reason = "shared with the API's tests")]
#[path = "../api/test_provider.rs"]
mod test_provider;
mod transcripts;
