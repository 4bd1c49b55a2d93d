//! Assembly: configuration → byte store → store → API → listeners → drain; and the making of a store. Holds no rule of
//! what a store does, and prints nothing.

pub mod config;
mod connection;
pub mod datadir;
mod dev;
mod init;
mod linger;
mod listen;
mod log;
mod migrate;
mod restore;
mod run;
pub mod tls;
mod unlock;

pub use config::{Flags, ServeConfig};
pub use connection::Patience;
pub use dev::{Dev, DevError};
pub use init::{InitOptions, InitOutcome, MakeError, init};
pub use listen::ListenError;
pub use log::{LogFormat, LogLevel, start as start_log};
pub use migrate::{MigrateError, migrate};
pub use restore::{RestoreError, restore};
pub use run::{RunError, Started, run};

pub use crate::api::limits::Settings as Limits;
pub use crate::kv::Url;
pub use crate::store::{Migrated, Moving, Restored, UnlockSecret};
