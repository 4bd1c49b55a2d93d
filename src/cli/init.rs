//! `dropsafe init`: makes a store in a new folder and tells the first two tokens, once.

use std::path::PathBuf;

use clap::Args;

/// Make a new store
///
/// Makes the byte store, the record key, a certificate authority and the server's
/// certificate in DIR, and prints the operator's and the first administrator's
/// token. They are shown this once.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Init {
    /// The folder of the store; made when missing
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Read the passphrase of the first key slot from FILE; otherwise it is asked for, or read from standard input
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Listen on this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7373")]
    pub listen: String,
    /// A name or address under which clients reach the server, as HOST or HOST:PORT; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub advertise: Vec<String>,
    /// Keep the records here instead of in DIR/store.db
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Name of the first organization
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub org: String,
    /// Name of its first administrator
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub admin: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
