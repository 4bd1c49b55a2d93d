//! `dropsafe tls`: the server's TLS key, in the data folder.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::error::{CliError, CommandResult, format_chain};
use super::{output, serve};
use crate::process::Exit;
use crate::server;
use crate::server::{RotateError, Rotation, RotationOutcome, ServeFlags, data_dir};

/// Manage the TLS key that `dropsafe init` created
#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    Rotate(TlsRotateArgs),
}

/// Replace the server's TLS key with the next one
///
/// Boot tickets carry the pins of the current and of the next key, so a ticket
/// survives one rotation: tickets that the server created after its last reload keep
/// working, and older ones stop. Afterwards, reload the server at once (SIGHUP): until
/// then it issues tickets that the next rotation invalidates. Browsers must trust the
/// new tls/ca.pem. Works on the files in DIR, as the user that the server runs as. If
/// interrupted, run it again.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TlsRotateArgs {
    /// Data folder of the store
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Rotate again within an hour; invalidates every ticket older than the last rotation
    #[arg(long)]
    pub(crate) again: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl TlsCommand {
    pub(crate) fn run(self, context: &mut CliContext) -> CommandResult {
        let Self::Rotate(args) = self;
        let config = serve::read_config(context, &args.data, &ServeFlags::default())?;
        let rotation = server::rotate(&config, args.again)?;
        let Rotation { pins, outcome, server } = &rotation;
        let pins: Vec<String> = pins.list().iter().map(ToString::to_string).collect();
        let document = serde_json::json!({ "rotated": *outcome != RotationOutcome::Prepared, "pins": pins });
        context.output.json_or_line(args.json, &document, || {
            let [current, next] = [pins.first(), pins.last()].map(|pin| pin.cloned().unwrap_or_default());
            format!("current key  {current}\nnext key     {next}")
        })?;
        if let RotationOutcome::Rotated(Some(before)) = outcome {
            output::warn(format!(
                "tickets created before {before}, or before the reload that followed, no longer work"
            ));
        }
        if !args.json {
            let tls = args.data.join(data_dir::TLS);
            context.output.note(advice(*outcome, server.as_deref(), &tls.display().to_string()));
        }
        Ok(Exit::Success)
    }
}

fn advice(outcome: RotationOutcome, server: Option<&str>, tls: &str) -> String {
    let reload = match server {
        Some(process) => format!("make the server read its certificate again: kill -HUP {process}"),
        None => "start the server, or make it read its certificate again with SIGHUP".to_owned(),
    };
    if outcome == RotationOutcome::Prepared {
        return format!(
            "Not rotated: there was no next key yet, so it was created.\n\
             Next:\n  {reload}\n  replace the tickets of your machines, and run this command again"
        );
    }
    format!(
        "The TLS key was rotated. Tickets with both pins keep working until the next rotation. Tickets with one pin,\n\
         which were created before there was a next key, no longer work: create new ones.\n\
         Next:\n  on other servers of this store, replace {tls} with a copy of this one\n  {reload}\n  \
         have browsers, and clients with DROPSAFE_CA, trust the new {tls}/ca.pem"
    )
}

impl From<RotateError> for CliError {
    fn from(error: RotateError) -> Self {
        let exit = match &error {
            RotateError::Recent { .. } => Exit::Failed,
            RotateError::Data(_)
            | RotateError::Tls(_)
            | RotateError::Foreign { .. }
            | RotateError::Unfinished(_) => Exit::Configuration,
        };
        let hint = error.hint();
        Self::new(exit, format_chain(&error)).optional_hint(hint)
    }
}
