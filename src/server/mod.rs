//! Assembly: configuration → byte store → store → API → listeners → drain; and the making of a store. Holds no rule of
//! what a store does, and prints nothing.

pub mod config;
mod connection;
pub mod data_dir;
mod dev;
mod init;
mod lingering_stream;
mod listener;
mod log;
mod migrate;
mod restore;
mod run;
pub mod tls;
mod unlock;

pub use config::{ServeConfig, ServeFlags};
pub use connection::ConnectionTimeouts;
pub use dev::{DevError, DevServer};
pub use init::{InitOptions, InitOutcome, SetupError, init};
pub use listener::ListenError;
pub use log::{LogLevel, ServerLogFormat, start as start_log};
pub use migrate::{ServerMigrateError, migrate};
pub use restore::{ServerRestoreError, restore};
pub use run::{RunError, StartupInfo, run};

pub use crate::api::limits::Settings as Limits;
pub use crate::kv::Url;
pub use crate::store::{Migrated, Moving, Restored, UnlockSecret};
