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
mod notify;
mod restore;
mod run;
pub mod tls;
mod unlock;

pub use config::Flags;
pub use config::ServeConfig;
pub use connection::Patience;
pub use dev::Dev;
pub use dev::DevError;
pub use init::InitOptions;
pub use init::InitOutcome;
pub use init::MakeError;
pub use init::init;
pub use listen::ListenError;
pub use log::LogFormat;
pub use log::LogLevel;
pub use log::start as start_log;
pub use migrate::MigrateError;
pub use migrate::migrate;
pub use restore::RestoreError;
pub use restore::restore;
pub use run::RunError;
pub use run::Started;
pub use run::run;

pub use crate::api::limits::Settings as Limits;
pub use crate::kv::Url;
pub use crate::store::Migrated;
pub use crate::store::Moving;
pub use crate::store::Restored;
pub use crate::store::UnlockSecret;
