//! Assembles a server: configuration → byte store → store → API → listeners → drain. Also creates, moves and restores stores.
//! Knows none of a store's rules, and prints nothing.

mod active_listeners;
mod config;
mod connection;
mod connection_table;
pub(crate) mod data_dir;
mod dev;
mod init;
mod lingering_stream;
mod listener;
mod log;
mod log_heads;
mod migrate;
mod providers;
mod proxy_protocol;
mod restore;
mod run;
mod tls;
mod tls_keys;
mod unlock;

pub(crate) use config::AdvertisedUrl;
pub use config::{ServeConfig, ServeFlags};
pub use connection::ConnectionTimeouts;
pub(crate) use data_dir::DataDirError;
pub use dev::DevServer;
pub(crate) use init::SetupError;
pub use init::{InitOptions, InitOutcome, init};
pub(crate) use log::{ServerLogFormat, start as start_log};
pub(crate) use migrate::{ServerMigrateError, migrate};
pub use providers::load as load_providers;
pub(crate) use restore::{RestoredStore, ServerRestoreError, restore};
pub use run::{RunError, StartupInfo, run};
pub(crate) use tls_keys::{RotateError, Rotation, RotationOutcome, rotate};

pub(crate) use crate::api::limits::LimitSettings as Limits;
pub(crate) use crate::kv::Url;
pub use crate::store::UnlockSecret;
pub(crate) use crate::store::{EndedByRestore, Moving, RestoreError, Restored, UnlockError};
