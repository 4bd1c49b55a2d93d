//! `dropsafe org`: organizations, and the rules of one's own.

use clap::{ArgGroup, Args, Subcommand};

use super::error::CommandResult;
use super::paged_list::PagedList;
use super::{CliContext, connect, paged_list, table};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{CreateOrgRequest, OrgView, UpdateOrgRequest};

/// Make and list organizations (operator), and set the rules of yours (administrator)
#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    New(OrgCreateArgs),
    List(OrgListArgs),
    Set(OrgSetArgs),
}

/// Make an organization and its first administrator, and print that one's token, alone, on standard output
#[derive(Debug, Args)]
pub(crate) struct OrgCreateArgs {
    /// The organization's name: a-z, 0-9 and . _ - @
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Name of the first administrator
    #[arg(long, value_name = "MEMBER", default_value = "admin")]
    pub(crate) admin: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// List the organizations
#[derive(Debug, Args)]
pub(crate) struct OrgListArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Set the rules of your organization
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["shared_by_members", "hints", "variable_ceiling"]))]
pub(crate) struct OrgSetArgs {
    /// Whether members who are not administrators may write shared secrets
    #[arg(long, value_name = "true|false")]
    pub(crate) shared_by_members: Option<bool>,
    /// Whether redacted forms, such as sk-****...wxyz, are kept from now on
    #[arg(long, value_name = "true|false")]
    pub(crate) hints: Option<bool>,
    /// The longest value of a variable, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=131_071))]
    pub(crate) variable_ceiling: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl OrgCommand {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::New(new) => new.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Set(set) => set.run(context).await,
        }
    }
}

impl OrgCreateArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let new = CreateOrgRequest { name: self.name, admin: self.admin };
        let made = connect::client(context)?.create_org(&new).await?;
        if self.json {
            context.output.json(&made)?;
        } else {
            context.output.only_copy(&made.admin_token, "the organization")?;
            context
                .output
                .note(format!("the token of {}, the first administrator of {}", new.admin, made.view.name));
        }
        Ok(Exit::Success)
    }
}

impl OrgListArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::client(context)?;
        let headings = ["NAME", "SHARED BY MEMBERS", "HINTS", "CEILING", "MADE", "ID"];
        let shown = PagedList { json: self.json, limit: None, headings, row, empty: "no organizations" };
        paged_list::print(context, &mut client, Client::orgs(), shown).await
    }
}

fn row(org: OrgView) -> [String; 6] {
    let ceiling = org.variable_ceiling.to_string();
    [org.name, yes(org.shared_by_members), yes(org.hints), ceiling, org.created_at, org.id]
}

impl OrgSetArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let change = UpdateOrgRequest {
            shared_by_members: self.shared_by_members,
            hints: self.hints,
            variable_ceiling: self.variable_ceiling,
        };
        let org = connect::client(context)?.change_org(&change).await?;
        if self.json {
            context.output.json(&org)?;
            return Ok(Exit::Success);
        }
        let fields = [
            ("organization", org.name),
            ("members may write shared secrets", yes(org.shared_by_members)),
            ("redacted forms are kept", yes(org.hints)),
            ("longest value of a variable", format!("{} bytes", org.variable_ceiling)),
        ];
        table::fields(&mut context.output, &fields)?;
        Ok(Exit::Success)
    }
}

fn yes(on: bool) -> String {
    if on { "yes" } else { "no" }.to_owned()
}
