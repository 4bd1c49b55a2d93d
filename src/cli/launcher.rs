//! `dropsafe launcher`: platforms that start machines for people, and people's acceptance of them.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::member::print_enrolment;
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::table::{cell, print_fields};
use super::{connect, duration};
use crate::client::Client;
use crate::domain::role::{MemberKind, Role};
use crate::process::Exit;
use crate::wire::{CreateMemberRequest, LauncherView};

/// Authorize launchers, accept them and withdraw that
///
/// A launcher is a platform that starts machines for people. An admin authorizes
/// it. It acts only for the people who accept it.
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum LauncherCommand {
    /// List the launchers, and which of them you accepted
    List(JsonArgs),
    /// Show a launcher: who authorized it, and when and from where it was enrolled
    Show(LauncherNameArgs),
    Add(LauncherAddArgs),
    /// Accept a launcher: it can then start machines with your secrets
    ///
    /// The party that runs the platform can then read your secrets.
    Accept(LauncherConfirmArgs),
    /// Withdraw your acceptance, and revoke what the launcher created for you
    ///
    /// Boots that begin from now on get nothing. Machines that run keep what they have.
    #[command(verbatim_doc_comment)]
    Withdraw(LauncherNameArgs),
    /// Remove a launcher and revoke everything it created (administrator)
    Remove(LauncherConfirmArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LauncherNameArgs {
    /// Name of the launcher
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Authorize a launcher and print the code of its enrolment (administrator)
///
/// The party that runs the platform redeems the code with dropsafe enroll, and only
/// they see its token. It acts for nobody until somebody accepts it.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct LauncherAddArgs {
    /// Name of the launcher: a-z, 0-9 and . _ - @
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Time in which the enrolment can be redeemed (default: 24h)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) ttl: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LauncherConfirmArgs {
    /// Name of the launcher
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl LauncherCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        match self {
            Self::List(JsonArgs { json }) => {
                let headings = ["NAME", "AUTHORIZED BY", "ENROLLED", "ACCEPTED"];
                return PagedList { json, limit: None, headings, row, empty: "no launchers" }
                    .print(context, &mut client, Client::launchers())
                    .await;
            }
            Self::Show(LauncherNameArgs { name, json }) => {
                let launcher = client.launcher(&name).await?;
                match json {
                    true => context.output.json(&launcher)?,
                    false => print_fields(&mut context.output, &fields(&launcher))?,
                }
            }
            Self::Add(args) => args.run(context, &mut client).await?,
            Self::Accept(args) => args.accept(context, &mut client).await?,
            Self::Withdraw(LauncherNameArgs { name, json }) => {
                let launcher = client.withdraw_acceptance(&name).await?;
                let line = || format!("{name} no longer acts for you; its tickets for you are revoked");
                context.output.json_or_line(json, &launcher, line)?;
            }
            Self::Remove(args) => args.remove(context, &mut client).await?,
        }
        Ok(Exit::Success)
    }
}

impl LauncherAddArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> Result<(), CliError> {
        let request = CreateMemberRequest {
            name: self.name.into(),
            role: Role::Member,
            kind: MemberKind::Launcher,
            managers: Vec::new(),
            ttl_seconds: self.ttl.map(|ttl| ttl.as_secs()),
        };
        let created = client.create_member(&request).await?;
        match &created.issued {
            Some(issued) if !self.json => {
                context.output.note(format!("authorized the launcher {}", created.view.name));
                print_enrolment(context, issued)
            }
            _ => context.output.json(&created),
        }
    }
}

impl LauncherConfirmArgs {
    async fn accept(self, context: &mut CliContext, client: &mut Client) -> Result<(), CliError> {
        // The id from this response is accepted. If another launcher has the name by then, accepting it fails.
        let launcher = client.launcher(&self.name).await?;
        let question = format!("{} Accept {}?", describe_acceptance(&launcher), launcher.name);
        context.confirm(self.yes, &question, "nothing is accepted")?;
        let launcher = client.accept_launcher(launcher.name.as_str(), launcher.id).await?;
        let line = || format!("accepted {}", launcher.name);
        context.output.json_or_line(self.json, &launcher, line)?;
        // Printed even if nobody was asked, so that a script's log shows what was agreed to.
        note_acceptance(context, &launcher);
        Ok(())
    }

    async fn remove(self, context: &mut CliContext, client: &mut Client) -> Result<(), CliError> {
        // Looked up as a launcher first, so that this command does not remove a person with that name.
        let launcher = client.launcher(&self.name).await?;
        let question = format!("Remove {} and revoke everything it created?", launcher.name);
        context.confirm(self.yes, &question, "nothing is removed")?;
        client.remove_member(launcher.name.as_str()).await?;
        context.output.json_or_line(self.json, &launcher, || format!("removed {}", launcher.name))
    }
}

/// Asks a new member about each launcher that it can accept and has not. Without a person to ask, it accepts none and says how.
pub(crate) async fn offer_launchers(context: &mut CliContext, client: &mut Client) -> Result<(), CliError> {
    // An auditor receives no values, and the store refuses its acceptance.
    if client.status().await?.role == Some(Role::Auditor) {
        return Ok(());
    }
    let mut launchers = Client::launchers().all(client).await?;
    launchers.retain(|launcher| launcher.enrolled_at.is_some() && launcher.accepted_at.is_none());
    // The store's order is by id, which is random.
    launchers.sort_by(|a, b| a.name.cmp(&b.name));
    for launcher in launchers {
        let name = launcher.name.as_str();
        if !context.terminal.is_interactive() {
            context.output.note(format!(
                "not accepted: the launcher {name}; to accept it: dropsafe launcher accept {name}"
            ));
        } else if context.terminal.confirm(&format!("{} Accept {name}?", describe_acceptance(&launcher)))? {
            client.accept_launcher(name, launcher.id).await?;
            note_acceptance(context, &launcher);
        }
    }
    Ok(())
}

fn note_acceptance(context: &mut CliContext, launcher: &LauncherView) {
    context.output.note(format!(
        "the party that runs {} can read your secrets; to withdraw: dropsafe launcher withdraw {}",
        launcher.name, launcher.name
    ));
}

/// Returns the sentence that every acceptance shows, with the details that identify this launcher.
fn describe_acceptance(launcher: &LauncherView) -> String {
    let LauncherView { name, authorized_by, created_at, enrolled_at, enrolled_from, .. } = launcher;
    let author = authorized_by.as_ref().map_or("an admin", |author| author.as_str());
    let enrolled = enrolled_at.map(|at| format!(", enrolled {at}"));
    let from = enrolled_from.as_ref().map(|from| format!(" from {from}"));
    format!(
        "{name} was authorized by {author} on {created_at}{}{}. The party that runs it can then read your secrets.",
        enrolled.unwrap_or_default(),
        from.unwrap_or_default()
    )
}

fn fields(launcher: &LauncherView) -> [(&'static str, String); 6] {
    let at = |at: Option<crate::domain::time::Timestamp>, never: &str| {
        at.map_or_else(|| never.to_owned(), |at| at.to_string())
    };
    [
        ("name", launcher.name.to_string()),
        ("id", launcher.id.to_string()),
        ("authorized by", cell(launcher.authorized_by.as_ref())),
        ("enrolled", at(launcher.enrolled_at, "not yet")),
        ("enrolled from", cell(launcher.enrolled_from.as_ref())),
        ("accepted", at(launcher.accepted_at, "no")),
    ]
}

fn row(launcher: LauncherView) -> [String; 4] {
    let [_, _, (_, author), (_, enrolled), _, (_, accepted)] = fields(&launcher);
    [launcher.name.to_string(), author, enrolled, accepted]
}
