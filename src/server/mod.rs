//! Assembles a server: configuration → byte store → store → API → listeners → drain. Also creates, moves and restores stores.
//! Knows none of a store's rules, and prints nothing.

mod active_listeners;
mod config;
mod connection;
pub(crate) mod data_dir;
mod dev;
mod init;
mod lingering_stream;
mod listener;
mod log;
mod migrate;
mod restore;
mod run;
mod tls;
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
pub(crate) use restore::{ServerRestoreError, restore};
pub use run::{RunError, StartupInfo, run};

pub(crate) use crate::api::limits::LimitSettings as Limits;
pub(crate) use crate::kv::Url;
pub(crate) use crate::store::Moving;
pub use crate::store::UnlockSecret;
