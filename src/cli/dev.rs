//! `dropsafe dev`: a throwaway store in memory and, where a command is given, one boot of it through the agent's own path.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::deposit::DepositClient;
use super::env_file::EnvFileDeposit;
use super::error::{CliError, CommandResult, chain};
use super::set::warn;
use super::workload::Signals;
use super::{CliContext, connect, import, workload};
use crate::domain::secret::ScopeKind;
use crate::process::Exit;
use crate::server;

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
pub(crate) struct DevArgs {
    /// Deposit the lines of FILE.env as shared secrets (see `dropsafe import --help`)
    #[arg(long, value_name = "FILE.env")]
    pub(crate) shared: Vec<PathBuf>,
    /// Deposit the lines of FILE.env as private secrets of `dev`
    #[arg(long, value_name = "FILE.env")]
    pub(crate) private: Vec<PathBuf>,
    /// Listen on this loopback address; a free port unless said
    #[arg(long, value_name = "ADDR", value_parser = loopback, default_value = "127.0.0.1:0", hide_default_value = true)]
    pub(crate) listen: SocketAddr,
    /// The workload and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

impl DevArgs {
    /// Runs it.
    pub(crate) fn run(self, context: &mut CliContext) -> CommandResult {
        let signals = Signals::take()?;
        // Everything that can be wrong with what was given is found before anything starts.
        let mut lines = Vec::new();
        for path in &self.shared {
            lines.extend(import::read(path, ScopeKind::Shared)?);
        }
        for path in &self.private {
            lines.extend(import::read(path, ScopeKind::Private)?);
        }
        for line in &lines {
            line.wanted
                .check_refusal()
                .map_err(|failure| failure.during(format_args!("line {}", line.number)))?;
        }
        let level = context.environment.text("DROPSAFE_LOG").unwrap_or_else(|| "warn".to_owned());
        server::start_log(
            server::ServerLogFormat::Text,
            level
                .parse()
                .map_err(|expected: &str| CliError::configuration(expected).during("DROPSAFE_LOG"))?,
        );

        let runtime = runtime()?;
        let dev = runtime
            .block_on(server::DevServer::start(
                self.listen,
                server::Limits::default(),
                server::ConnectionTimeouts::default(),
            ))
            .map_err(|error| {
                CliError::new(
                    Exit::Failed,
                    format_args!("the throwaway store does not start: {}", chain(&error)),
                )
            })?;
        if !lines.is_empty() {
            runtime.block_on(deposit(context, &dev, lines))?;
        }
        let exit = if self.command.is_empty() {
            context.output.line(format!("DROPSAFE_URL={}", dev.url))?;
            context.output.line(format!("DROPSAFE_TOKEN={}", *dev.token))?;
            context.output.line(format!("DROPSAFE_TICKET={}", *dev.ticket))?;
            context.output.flush()?;
            signals.wait()?;
            Exit::Success
        } else {
            let child = workload::start(self.command, &dev.ticket, &context.environment, &signals)?;
            workload::accompany(child, &signals)?
        };
        // Nothing in it outlives it, so there is nothing to finish.
        runtime.shutdown_background();
        Ok(exit)
    }
}

/// Stores the lines as `import` does, in a store where nothing is yet.
async fn deposit(
    context: &CliContext,
    dev: &server::DevServer,
    lines: Vec<EnvFileDeposit>,
) -> Result<(), CliError> {
    let endpoint = connect::endpoint(&dev.url, "the throwaway store's address")?;
    let token = connect::token(&dev.token, "the throwaway store's token")?;
    let client = connect::open(context, endpoint, &token)?;
    let mut deposits = DepositClient::open_unknown(client).await?;
    for line in lines {
        let stored = deposits.create(&line.wanted, &line.value).await;
        warn(&stored.map_err(|failure| failure.during(format_args!("line {}", line.number)))?);
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|error| super::no_runtime(&error))
}

/// What is thrown away is not guarded: nobody else's machine has business with it.
fn loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let address: Option<SocketAddr> = text.parse().ok();
    address
        .filter(|address| address.ip().is_loopback())
        .ok_or("expected an address of loopback and a port, such as 127.0.0.1:7373")
}
