//! `dropsafe serve`: the server, until a signal.

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::context::CliContext;
use super::error::{CliError, CommandResult, format_chain};
use super::{files, runtime};
use crate::domain::epoch::RestoreEpoch;
use crate::process::Exit;
use crate::server;
use crate::server::{RunError, ServeConfig, ServeFlags, UnlockError, data_dir};

/// Serve a store until SIGTERM or SIGINT
///
/// The store starts locked unless a passphrase file, a key file or a systemd
/// credential unlocks it. While locked, it accepts deposits, edits and deletions,
/// and refuses boots. The first signal lets requests finish; a second one stops
/// at once. SIGHUP makes the server read its certificate again.
///
/// All settings are in DIR/server.yaml, which `dropsafe init` writes; the flags
/// below override it. Limits, TLS files, the Unix socket and presets can be set
/// only there. docs/operating.md lists every setting with its default.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArgs {
    /// Data folder of the store
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Unlock with the passphrase in FILE
    #[arg(long, value_name = "FILE", conflicts_with = "unlock_key_file")]
    pub(crate) unlock_passphrase_file: Option<PathBuf>,
    /// Unlock with the key file FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) unlock_key_file: Option<PathBuf>,
    /// Address to listen on; may be repeated (default: 127.0.0.1:7373)
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// Address for new tickets to carry; may be repeated (default: derived from --listen)
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) advertise: Vec<String>,
    /// Where the records are: sqlite:FILE or etcd://… (default: DIR/store.db)
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// What to serve: all; deposit, which never holds the release key; or release, boots only (default: all)
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// Accept that the store was restored from a backup; `dropsafe restore` prints EPOCH
    #[arg(long, value_name = "EPOCH")]
    pub(crate) accept_restore: Option<RestoreEpoch>,
    /// Log format: text or json (default: text)
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// More than any configuration needs.
const MAX_CONFIGURATION: usize = 1 << 20;

impl ServeArgs {
    pub(crate) fn run(self, context: &CliContext) -> CommandResult {
        let data = self.data.clone();
        let config = read_config(context, &data, &self.flags())?;
        server::start_log(config.log_format, config.log_level);
        runtime::multi_thread(None)?.block_on(async {
            let signals = count_signals().map_err(|error| runtime::start_error(&error))?;
            tokio::select! {
                served = server::run(config, wait_for_signals(signals.clone(), 1), |_| {}) => served?,
                () = wait_for_signals(signals, 2) => {
                    // Acknowledged changes are durable already. Only the responses of unfinished requests are lost.
                    return Err(CliError::failed("stopped by a second signal, without finishing requests"));
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
            accept_restore: self.accept_restore,
        }
    }
}

/// Reads the settings of the server in the folder `data`.
pub(crate) fn read_config(
    context: &CliContext,
    data: &Path,
    flags: &ServeFlags,
) -> Result<ServeConfig, CliError> {
    let path = data.join(data_dir::CONFIG);
    let file = files::read(&path, MAX_CONFIGURATION).map_err(|error| CliError {
        // A file that the person named is missing input; this one is a part of the configuration.
        exit: Exit::Configuration,
        ..error.hint("to create a store: dropsafe init --data DIR")
    })?;
    let text = str::from_utf8(&file)
        .map_err(|_| CliError::configuration(format_args!("{} is not valid UTF-8", path.display())))?;
    ServeConfig::read(data, flags, context.environment.variables(), text)
        .map_err(|faults| CliError::configuration(format_args!("invalid server settings:\n{faults}")))
}

/// Counts the signals that ask the server to stop, from now on.
fn count_signals() -> std::io::Result<watch::Receiver<u32>> {
    // Installed here and not where they are awaited: a signal during startup would end the process without a clean stop.
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

/// Waits until there were at least `many` signals.
async fn wait_for_signals(mut signals: watch::Receiver<u32>, many: u32) {
    if signals.wait_for(|count| *count >= many).await.is_err() {
        // The counting task has ended, so no signal will ever be seen; returning would stop the server.
        std::future::pending::<()>().await;
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        let exit = match &error {
            RunError::Data(_) | RunError::RecordKey(_) | RunError::Tls(_) | RunError::Listen(_) => {
                Exit::Configuration
            }
            // A person has to decide: a service manager that tries again would fail in the same way.
            RunError::RolledBack | RunError::Restored { .. } => Exit::Configuration,
            RunError::SignIn(_) => Exit::Configuration,
            RunError::Kv(_) | RunError::Open(_) => Exit::Failed,
            // Not the secret is wrong.
            RunError::Unlock(UnlockError::Failure(_)) => Exit::Failed,
            RunError::Unlock(_) => Exit::Denied,
        };
        let hint = error.hint().or_else(|| match &error {
            RunError::Kv(_) => {
                Some("if it is damaged, create a new one from a backup: dropsafe restore".to_owned())
            }
            _ => None,
        });
        Self::new(exit, format_chain(&error)).optional_hint(hint)
    }
}
