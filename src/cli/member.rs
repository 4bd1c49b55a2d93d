//! `dropsafe member`: people and services of the organization.

use clap::{Args, Subcommand, ValueEnum};

use super::error::{CliError, CommandResult};
use super::paged_list::PagedList;
use super::{CliContext, connect, paged_list};
use crate::client::Client;
use crate::domain::role::Role;
use crate::process::Exit;
use crate::wire::{CreateMemberRequest, MemberView, UpdateMemberRequest};

/// Add, list and remove members, and change their roles
#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    Add(MemberAddArgs),
    List(MemberListArgs),
    Role(MemberRoleArgs),
    Remove(MemberRemoveArgs),
}

/// Add a member
#[derive(Debug, Args)]
pub(crate) struct MemberAddArgs {
    /// The member's name: a-z, 0-9 and . _ - @
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What the member may do
    #[arg(long, value_name = "ROLE", default_value = "member")]
    pub(crate) role: RoleName,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the members
#[derive(Debug, Args)]
pub(crate) struct MemberListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Change a member's role
#[derive(Debug, Args)]
pub(crate) struct MemberRoleArgs {
    /// The member
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What the member may do from now on
    #[arg(value_name = "ROLE")]
    pub(crate) role: RoleName,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove a member, with its private secrets, tokens and tickets
#[derive(Debug, Args)]
pub(crate) struct MemberRemoveArgs {
    /// The member
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Members, settings, anyone's tickets, shared secrets
    Admin,
    /// Own private secrets and tickets, and shared secrets unless the organization restricts that
    Member,
    /// Reads everything but values, and the audit trail
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
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::Add(add) => add.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Role(role) => role.run(context).await,
            Self::Remove(remove) => remove.run(context).await,
        }
    }
}

impl MemberAddArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let new = CreateMemberRequest { name: self.name, role: self.role.into() };
        let member = connect::client(context)?.create_member(&new).await?;
        told(context, self.json, &member, "added")?;
        context.output.note(format!("a token: dropsafe token new --for {}", member.name));
        Ok(Exit::Success)
    }
}

impl MemberListArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let pages = Client::members();
        let shown = PagedList {
            json: self.json,
            limit: None,
            headings: ["NAME", "ROLE", "ADDED", "ID"],
            row,
            empty: "no members",
        };
        paged_list::print(context, &mut client, pages, shown).await
    }
}

impl MemberRoleArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let change = UpdateMemberRequest { role: self.role.into() };
        let member = connect::client(context)?.change_member(&self.name, &change).await?;
        told(context, self.json, &member, "now has the role")?;
        Ok(Exit::Success)
    }
}

impl MemberRemoveArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let member = client.member(&self.name).await?;
        let question = format!(
            "Remove {} ({}), with its private secrets, tokens and tickets?",
            member.name, member.role
        );
        if !self.yes && context.terminal.can_ask() && !context.terminal.confirm(&question)? {
            return Err(CliError::refused("nothing is removed"));
        }
        client.remove_member(&member.name).await?;
        if self.json {
            context.output.json(&member)?;
        } else {
            context.output.line(format!("removed {}", member.name))?;
        }
        Ok(Exit::Success)
    }
}

fn row(member: MemberView) -> [String; 4] {
    [member.name, member.role.to_string(), member.created_at, member.id]
}

fn told(context: &mut CliContext, json: bool, member: &MemberView, done: &str) -> Result<(), CliError> {
    if json {
        context.output.json(member)
    } else {
        context.output.line(format!("{} {done}: {}", member.name, member.role))
    }
}
