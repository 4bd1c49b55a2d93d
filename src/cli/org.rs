//! `dropsafe org`: the organizations of a store, and the rules of one's own organization.

use clap::{ArgGroup, Args, Subcommand};

use super::context::CliContext;
use super::error::CommandResult;
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::{connect, table};
use crate::client::Client;
use crate::process::Exit;
use crate::wire::{CreateOrgRequest, OrgView, UpdateOrgRequest};

/// Manage organizations (operator) and the rules of your own (administrator)
#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    New(OrgCreateArgs),
    /// List the organizations
    List(JsonArgs),
    Set(OrgSetArgs),
}

/// Create an organization and print the token of its first administrator, which is shown only once
#[derive(Debug, Args)]
pub(crate) struct OrgCreateArgs {
    /// Name of the organization: a-z, 0-9 and . _ - @
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Name of the first administrator
    #[arg(long, value_name = "MEMBER", default_value = "admin")]
    pub(crate) admin: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Set the rules of your organization
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["shared_by_members", "hints", "variable_ceiling"]))]
pub(crate) struct OrgSetArgs {
    /// Whether members who are not administrators can change shared secrets
    #[arg(long, value_name = "true|false")]
    pub(crate) shared_by_members: Option<bool>,
    /// Whether new values get a redacted hint, such as sk-****...wxyz
    #[arg(long, value_name = "true|false")]
    pub(crate) hints: Option<bool>,
    /// Maximum length of a variable's value, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=131_071))]
    pub(crate) variable_ceiling: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl OrgCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        match self {
            Self::New(args) => args.run(context, &mut client).await,
            Self::List(JsonArgs { json }) => {
                let headings = ["NAME", "SHARED BY MEMBERS", "HINTS", "VARIABLE CEILING", "CREATED", "ID"];
                PagedList { json, limit: None, headings, row, empty: "no organizations" }
                    .print(context, &mut client, Client::orgs())
                    .await
            }
            Self::Set(args) => args.run(context, &mut client).await,
        }
    }
}

impl OrgCreateArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> CommandResult {
        // The administrator comes with the organization: nobody else could add a first member to it.
        let request = CreateOrgRequest { name: self.name, admin: self.admin };
        let created = client.create_org(&request).await?;
        if self.json {
            context.output.json(&created)?;
        } else {
            context.output.credential(&created.admin_token, "the organization")?;
            // Apart from the token, which stands alone on standard output for a script to read.
            context.output.note(format!(
                "this is the token of {}, the first administrator of {}",
                request.admin, created.view.name
            ));
        }
        Ok(Exit::Success)
    }
}

fn row(org: OrgView) -> [String; 6] {
    let ceiling = org.variable_ceiling.to_string();
    [org.name, yes_or_no(org.shared_by_members), yes_or_no(org.hints), ceiling, org.created_at, org.id]
}

impl OrgSetArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> CommandResult {
        let request = UpdateOrgRequest {
            shared_by_members: self.shared_by_members,
            hints: self.hints,
            variable_ceiling: self.variable_ceiling,
        };
        let org = client.change_org(&request).await?;
        if self.json {
            context.output.json(&org)?;
            return Ok(Exit::Success);
        }
        // All rules and not only the changed ones: no other command shows them to an administrator.
        let fields = [
            ("organization", org.name),
            ("members can change shared secrets", yes_or_no(org.shared_by_members)),
            ("new values get a hint", yes_or_no(org.hints)),
            ("maximum length of a variable", format!("{} bytes", org.variable_ceiling)),
        ];
        table::print_fields(&mut context.output, &fields)?;
        Ok(Exit::Success)
    }
}

fn yes_or_no(on: bool) -> String {
    if on { "yes" } else { "no" }.to_owned()
}
