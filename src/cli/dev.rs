//! `dropsafe dev`: a throwaway store in memory and, if a command is given, one boot of it through the agent's own code.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::context::CliContext;
use super::deposit::{DepositClient, check_refused_name};
use super::error::{CliError, CommandResult, format_chain};
use super::workload::Signals;
use super::{connect, import, runtime, workload};
use crate::client::{ImportEntry, VersionTagger};
use crate::domain::import::ImportOutcome;
use crate::domain::secret::ScopeKind;
use crate::process::Exit;
use crate::server;

/// Run a throwaway store in memory, and a workload with its secrets
///
/// The store is unlocked, listens on loopback, and ends with the process. The
/// member `dev` is an administrator of the organization `default`. The ticket
/// acts for this member; its number of uses is unlimited.
///
/// With CMD, boots CMD through the agent and exits with its exit code. Without
/// CMD, prints DROPSAFE_URL, DROPSAFE_TOKEN and DROPSAFE_TICKET, one on each line,
/// and serves until a signal.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct DevArgs {
    /// Deposit the lines of FILE.env as shared secrets (see `dropsafe import --help`)
    #[arg(long, value_name = "FILE.env")]
    pub(crate) shared: Vec<PathBuf>,
    /// Deposit the lines of FILE.env as private secrets of `dev`
    #[arg(long, value_name = "FILE.env")]
    pub(crate) private: Vec<PathBuf>,
    /// Loopback address to listen on (default: a free port)
    #[arg(long, value_name = "ADDR", value_parser = parse_loopback, default_value = "127.0.0.1:0", hide_default_value = true)]
    pub(crate) listen: SocketAddr,
    /// Workload to boot, with its arguments
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

impl DevArgs {
    pub(crate) fn run(self, context: &mut CliContext) -> CommandResult {
        // Before the runtime starts threads: they inherit the mask.
        let signals = Signals::block()?;
        let lines = self.read_files()?;
        let level = context.environment.text("DROPSAFE_LOG").unwrap_or_else(|| "warn".to_owned());
        server::start_log(
            server::ServerLogFormat::Text,
            level
                .parse()
                .map_err(|expected: &str| CliError::configuration(expected).context("DROPSAFE_LOG"))?,
        );

        // Two threads: while one signs in a handshake, the other answers. More would only take longer to start.
        let runtime = runtime::multi_thread(Some(2))?;
        let started = runtime.block_on(server::DevServer::start(
            self.listen,
            server::Limits::default(),
            server::ConnectionTimeouts::default(),
        ));
        let dev = started.map_err(|error| {
            CliError::failed(format_args!("the throwaway store cannot start: {}", format_chain(&error)))
        })?;
        if lines.iter().any(|(_, entries)| !entries.is_empty()) {
            runtime.block_on(deposit_lines(context, &dev, lines))?;
        }
        let exit = if self.command.is_empty() {
            context.output.line(format!("DROPSAFE_URL={}", dev.url))?;
            context.output.line(format!("DROPSAFE_TOKEN={}", *dev.token))?;
            context.output.line(format!("DROPSAFE_TICKET={}", *dev.ticket))?;
            // A script reads these lines from a pipe while this process keeps running.
            context.output.flush()?;
            signals.wait_for_termination()?;
            Exit::Success
        } else {
            let child = workload::start(self.command, &dev.ticket, &context.environment, &signals)?;
            workload::supervise(child, &signals)?
        };
        // Without a graceful stop: nothing of this store outlives the process.
        runtime.shutdown_background();
        Ok(exit)
    }

    /// Reads and checks all files before anything starts.
    fn read_files(&self) -> Result<[(ScopeKind, Vec<ImportEntry>); 2], CliError> {
        let read = |paths: &[PathBuf]| {
            let files: Result<Vec<_>, _> = paths.iter().map(|path| import::read(path)).collect();
            let lines: Vec<ImportEntry> = files?.into_iter().flatten().collect();
            for entry in &lines {
                check_refused_name(&entry.name.export(), entry.options.allow_refused)
                    .map_err(|error| error.context(format_args!("line {}", entry.line)))?;
            }
            Ok::<_, CliError>(lines)
        };
        Ok([(ScopeKind::Shared, read(&self.shared)?), (ScopeKind::Private, read(&self.private)?)])
    }
}

/// Imports the lines into a store that is still empty.
async fn deposit_lines(
    context: &CliContext,
    dev: &server::DevServer,
    lines: [(ScopeKind, Vec<ImportEntry>); 2],
) -> Result<(), CliError> {
    let endpoint = connect::parse_endpoint(&dev.url, "the throwaway store's address")?;
    let token = connect::parse_token(&dev.token, "the throwaway store's token")?;
    let client = connect::new_client(context, endpoint, &token)?;
    let mut deposits = DepositClient::open_unpinned(client).await?;
    for (scope, entries) in lines {
        // The store ends with this process, so that no value is ever recognized again.
        let mut plan = deposits.plan_import(scope, entries, VersionTagger::random()).await?;
        let refused = plan.entries.iter().find(|planned| planned.view.fate == ImportOutcome::Refused);
        if let Some(refused) = refused {
            let why = refused.view.why.clone().unwrap_or_default();
            return Err(CliError::failed(why).context(format_args!("line {}", refused.entry.line)));
        }
        deposits.store_import(&mut plan, &mut |_| {}).await?;
    }
    Ok(())
}

fn parse_loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let address: Option<SocketAddr> = text.parse().ok();
    // The tokens are in a terminal's scrollback, so the store must not be reachable from a network.
    address
        .filter(|address| address.ip().is_loopback())
        .ok_or("expected a loopback address and a port, such as 127.0.0.1:7373")
}
