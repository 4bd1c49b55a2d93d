//! `dropsafe serve`: the server, until a signal.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::error::{CliError, CommandResult, chain};
use super::{CliContext, files};
use crate::process::Exit;
use crate::server;
use crate::server::{RunError, ServeConfig, ServeFlags, data_dir};

/// Serve a store until SIGTERM or SIGINT
///
/// Starts locked unless told what opens a key slot: a locked store takes
/// deposits, edits and deletions, and refuses boots. What `init` wrote to
/// DIR/server.yaml holds, unless a flag says otherwise. A signal lets requests
/// finish; a second one does not.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArgs {
    /// The folder that `dropsafe init` made
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Unlock with the passphrase in FILE
    #[arg(long, value_name = "FILE", conflicts_with = "unlock_key_file")]
    pub(crate) unlock_passphrase_file: Option<PathBuf>,
    /// Unlock with the key file FILE, such as a systemd credential
    #[arg(long, value_name = "FILE")]
    pub(crate) unlock_key_file: Option<PathBuf>,
    /// Listen on this address; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// An address that new tickets carry; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) advertise: Vec<String>,
    /// Keep the records here instead of in DIR/store.db
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// What to serve: all; deposit, without ever holding the release key; or release, boots only
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// How to log: text or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// Far longer than any configuration.
const LONGEST_CONFIGURATION: usize = 1 << 20;

impl ServeArgs {
    /// Runs it.
    pub(crate) fn run(self, context: &CliContext) -> CommandResult {
        let path = self.data.join(data_dir::CONFIG);
        let file = files::read(&path, LONGEST_CONFIGURATION).map_err(|failure| CliError {
            exit: Exit::Configuration,
            ..failure.hint("`dropsafe init --data DIR` makes a store")
        })?;
        let text = str::from_utf8(&file)
            .map_err(|_| CliError::configuration(format_args!("{} is not valid UTF-8", path.display())))?;
        let config = ServeConfig::read(&self.data.clone(), &self.flags(), context.environment.all(), text)
            .map_err(|faults| {
                CliError::configuration(format_args!("the server's settings are wrong:\n{faults}"))
            })?;
        server::start_log(config.log_format, config.log_level);
        let runtime = tokio::runtime::Runtime::new().map_err(|error| super::no_runtime(&error))?;
        runtime.block_on(async {
            let signals = signals().map_err(|error| super::no_runtime(&error))?;
            tokio::select! {
                served = server::run(config, count(signals.clone(), 1), |_| {}) => served?,
                () = count(signals, 2) => {
                    // What was acknowledged is durable, so nothing is lost but the answers under way.
                    return Err(CliError::new(Exit::Failed, "a second signal: stopped without finishing requests"));
                }
            }
            Ok(Exit::Success)
        })
    }

    fn flags(self) -> ServeFlags {
        ServeFlags {
            store: self.store,
            role: self.role,
            listen: self.listen,
            advertise: self.advertise,
            unlock_passphrase_file: self.unlock_passphrase_file,
            unlock_key_file: self.unlock_key_file,
            log_format: self.log_format,
        }
    }
}

/// How many signals have asked for an end. Listens from now on, not only from when it is waited for.
fn signals() -> std::io::Result<watch::Receiver<u32>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            sender.send_modify(|count| *count += 1);
        }
    });
    Ok(receiver)
}

/// Ready once there were `many` signals.
async fn count(mut signals: watch::Receiver<u32>, many: u32) {
    if signals.wait_for(|count| *count >= many).await.is_err() {
        // Without a counter no signal is ever seen.
        std::future::pending::<()>().await;
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        let exit = match &error {
            RunError::Data(_) | RunError::RecordKey(_) | RunError::Tls(_) | RunError::Listen(_) => {
                Exit::Configuration
            }
            RunError::Kv(_) | RunError::Open(_) => Exit::Failed,
            RunError::Unlock(_) => Exit::Denied,
        };
        let hint = error.hint().or_else(|| match &error {
            RunError::Kv(_) => {
                Some("if it is damaged, make a store anew with dropsafe restore and a backup".to_owned())
            }
            _ => None,
        });
        Self::new(exit, chain(&error)).maybe_hint(hint)
    }
}
