//! `dropsafe login` and `dropsafe logout`: the address and token that the other commands use.

use clap::Args;

/// Save the address of a store and a token for it
///
/// The token is asked for, or read from standard input. It is checked with the
/// store, and saved in $XDG_CONFIG_HOME/dropsafe/login.json for your eyes only,
/// with the fingerprint of the store's deposit key.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Login {
    /// The store: https://HOST:PORT#sha256/PIN, http://127.0.0.1:PORT or unix:/PATH; DROPSAFE_URL or the saved one unless said
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// The fingerprint that the deposit key must have; also accepts a new key of a known store
    #[arg(long, value_name = "FINGERPRINT")]
    pub deposit_key: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Forget the saved login
#[derive(Debug, Args)]
pub struct Logout {}
