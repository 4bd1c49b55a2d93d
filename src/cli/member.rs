//! `dropsafe member`: people and services of the organization.

use clap::{Args, Subcommand, ValueEnum};

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::listing::Shown;
use super::{Context, connect, listing};
use crate::client::Client;
use crate::domain::role::Role;
use crate::wire::{MemberChange, MemberView, NewMember};

/// Add, list and remove members, and change their roles
#[derive(Debug, Subcommand)]
pub enum Member {
    Add(Add),
    List(List),
    Role(SetRole),
    Remove(Remove),
}

/// Add a member
#[derive(Debug, Args)]
pub struct Add {
    /// The member's name: a-z, 0-9 and . _ - @
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What the member may do
    #[arg(long, value_name = "ROLE", default_value = "member")]
    pub role: RoleName,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// List the members
#[derive(Debug, Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Change a member's role
#[derive(Debug, Args)]
pub struct SetRole {
    /// The member
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What the member may do from now on
    #[arg(value_name = "ROLE")]
    pub role: RoleName,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Remove a member, with its private secrets, tokens and tickets
#[derive(Debug, Args)]
pub struct Remove {
    /// The member
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
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

impl Member {
    /// Runs it.
    pub async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Add(add) => add.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Role(role) => role.run(context).await,
            Self::Remove(remove) => remove.run(context).await,
        }
    }
}

impl Add {
    async fn run(self, context: &mut Context) -> Outcome {
        let new = NewMember { name: self.name, role: self.role.into() };
        let member = connect::client(context)?.create_member(&new).await?;
        told(context, self.json, &member, "added")?;
        context.output.note(format!("a token: dropsafe token new --for {}", member.name));
        Ok(Exit::Success)
    }
}

impl List {
    async fn run(self, context: &mut Context) -> Outcome {
        let mut client = connect::client(context)?;
        let pages = Client::members();
        let shown = Shown {
            json: self.json,
            limit: None,
            headings: ["NAME", "ROLE", "ADDED", "ID"],
            row,
            empty: "no members",
        };
        listing::print(context, &mut client, pages, shown).await
    }
}

impl SetRole {
    async fn run(self, context: &mut Context) -> Outcome {
        let change = MemberChange { role: self.role.into() };
        let member = connect::client(context)?.change_member(&self.name, &change).await?;
        told(context, self.json, &member, "now has the role")?;
        Ok(Exit::Success)
    }
}

impl Remove {
    async fn run(self, context: &mut Context) -> Outcome {
        let mut client = connect::client(context)?;
        let member = client.member(&self.name).await?;
        let question = format!(
            "Remove {} ({}), with its private secrets, tokens and tickets?",
            member.name, member.role
        );
        if !self.yes && context.terminal.can_ask() && !context.terminal.confirm(&question)? {
            return Err(Failure::refused("nothing is removed"));
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

fn told(context: &mut Context, json: bool, member: &MemberView, done: &str) -> Result<(), Failure> {
    if json {
        context.output.json(member)
    } else {
        context.output.line(format!("{} {done}: {}", member.name, member.role))
    }
}
