//! `dropsafe dev`: a throwaway store in memory and, where a command is given, one boot of it through the agent's own path.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Run a throwaway store in memory, and a workload with its secrets
///
/// The store is unlocked, listens on loopback and is gone with the process. The
/// member `dev` is an administrator of the organization `default`; the ticket
/// acts for it and can be used any number of times.
///
/// With CMD, boots CMD through the agent and exits with its status. Without,
/// prints DROPSAFE_URL, DROPSAFE_TOKEN and DROPSAFE_TICKET, one a line, and
/// serves until a signal.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Dev {
    /// Deposit the lines of FILE.env as shared secrets (see `dropsafe import --help`)
    #[arg(long, value_name = "FILE.env")]
    pub shared: Vec<PathBuf>,
    /// Deposit the lines of FILE.env as private secrets of `dev`
    #[arg(long, value_name = "FILE.env")]
    pub private: Vec<PathBuf>,
    /// Listen on this loopback address; a free port unless said
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", hide_default_value = true)]
    pub listen: SocketAddr,
    /// The workload and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}
