//! `dropsafe member`: the people and services of the organization.

use clap::{Args, Subcommand, ValueEnum};

use super::connect;
use super::context::CliContext;
use super::error::CommandResult;
use super::output::JsonArgs;
use super::paged_list::PagedList;
use crate::client::Client;
use crate::domain::role::Role;
use crate::process::Exit;
use crate::wire::{CreateMemberRequest, MemberView, UpdateMemberRequest};

/// Add, list and remove members, and change their roles
#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    Add(MemberAddArgs),
    /// List the members
    List(JsonArgs),
    Role(MemberRoleArgs),
    Remove(MemberRemoveArgs),
}

/// Add a member
#[derive(Debug, Args)]
pub(crate) struct MemberAddArgs {
    /// Name of the member: a-z, 0-9 and . _ - @
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Role of the member
    #[arg(long, value_name = "ROLE", default_value = "member")]
    pub(crate) role: RoleName,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Change a member's role
#[derive(Debug, Args)]
pub(crate) struct MemberRoleArgs {
    /// Name of the member
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// New role
    #[arg(value_name = "ROLE")]
    pub(crate) role: RoleName,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove a member and their private secrets, tokens and tickets
#[derive(Debug, Args)]
pub(crate) struct MemberRemoveArgs {
    /// Name of the member
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A role on the command line, with the help that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Manages members, settings, everybody's tokens and tickets, and shared secrets
    Admin,
    /// Manages their own private secrets and tickets, and shared secrets unless the organization restricts that
    Member,
    /// Reads metadata and the audit log, but no values
    Auditor,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Admin => Self::Admin,
            RoleName::Member => Self::Member,
            RoleName::Auditor => Self::Auditor,
        }
    }
}

impl MemberCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        match self {
            Self::Add(MemberAddArgs { name, role, json }) => {
                let request = CreateMemberRequest { name, role: role.into() };
                // The name is not parsed here: the store checks it, and says which field is wrong.
                let member = client.create_member(&request).await?;
                context
                    .output
                    .json_or_line(json, &member, || format!("added {} ({})", member.name, member.role))?;
                // A member without a token can do nothing, and only this command's caller knows that one is needed.
                context.output.note(format!("to create a token: dropsafe token new --for {}", member.name));
            }
            Self::List(JsonArgs { json }) => {
                let headings = ["NAME", "ROLE", "CREATED", "ID"];
                return PagedList { json, limit: None, headings, row, empty: "no members" }
                    .print(context, &mut client, Client::members())
                    .await;
            }
            Self::Role(MemberRoleArgs { name, role, json }) => {
                let request = UpdateMemberRequest { role: role.into() };
                let member = client.change_member(&name, &request).await?;
                let line = || format!("{} now has the role {}", member.name, member.role);
                context.output.json_or_line(json, &member, line)?;
            }
            Self::Remove(args) => args.run(context, &mut client).await?,
        }
        Ok(Exit::Success)
    }
}

impl MemberRemoveArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> Result<(), super::error::CliError> {
        // Looked up first, to ask about the member that exists and not about what was typed.
        let member = client.member(&self.name).await?;
        let question = format!(
            "Remove {} ({}) and their private secrets, tokens and tickets?",
            member.name, member.role
        );
        context.confirm(self.yes, &question, "nothing is removed")?;
        client.remove_member(&member.name).await?;
        context.output.json_or_line(self.json, &member, || format!("removed {}", member.name))
    }
}

fn row(member: MemberView) -> [String; 4] {
    [member.name, member.role.to_string(), member.created_at, member.id]
}
