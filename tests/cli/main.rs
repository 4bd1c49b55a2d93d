//! The command line as it is used.
//!
//! - [`transcripts`]: every `--help`, and every message that needs no store, word for word.
//! - [`secrets`]: deposits, names, lists, edits, deletions and imports.
//! - [`catalog`]: plugins, categories, presets, statistics; ten thousand secrets.
//! - [`people`]: members, tokens, tickets and organizations.
//! - [`login`]: the saved login, the environment, and the deposit key that is remembered.
//! - [`safekeeping`]: key slots, re-encryption, backups and the audit trail.
//! - [`documents`]: completions and manual pages.
//! - [`dev`]: the demonstration, exit statuses and signals.
//! - [`terminal`]: hidden prompts and questions.
#![expect(clippy::disallowed_methods, reason = "tests touch files, start processes and wait")]

mod catalog;
mod dev;
mod documents;
mod login;
mod people;
mod safekeeping;
mod secrets;
mod site;
mod terminal;
mod transcripts;
