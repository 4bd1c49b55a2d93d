//! `dropsafe member`: the people and services of the organization.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::manager::{ManagerCommand, MemberConvertArgs, summarize_service};
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::{connect, duration, table};
use crate::client::Client;
use crate::domain::role::{MemberKind, Role};
use crate::process::Exit;
use crate::wire::{
    CreateEnrolmentRequest, CreateEnrolmentResponse, CreateMemberRequest, EnrolmentView, MemberView,
    UpdateMemberRequest,
};

/// Add, list and remove members, and change their roles
#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    Add(MemberAddArgs),
    Enroll(MemberEnrollArgs),
    /// List the members
    List(JsonArgs),
    Show(MemberShowArgs),
    Role(MemberRoleArgs),
    #[command(subcommand)]
    Manager(ManagerCommand),
    Convert(MemberConvertArgs),
    Remove(MemberRemoveArgs),
}

/// Add a member and print the code of its enrolment; it is shown only once
///
/// The new member redeems the code with dropsafe enroll, and only they see their
/// token. A service has no code: its managers create its tokens.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct MemberAddArgs {
    /// Name of the member: a-z, 0-9 and . _ - @
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Role of the member
    #[arg(long, value_name = "ROLE", default_value = "member")]
    pub(crate) role: RoleName,
    /// Add a service, which represents a workload or an environment
    #[arg(long)]
    pub(crate) service: bool,
    /// Manager of the service; repeatable
    #[arg(long = "manager", value_name = "MEMBER", requires = "service")]
    pub(crate) managers: Vec<String>,
    /// Time in which the enrolment can be redeemed (default: 24h)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "service")]
    pub(crate) ttl: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Replace the enrolment of a member that nobody has redeemed, and print its code
#[derive(Debug, Args)]
pub(crate) struct MemberEnrollArgs {
    /// Name of the member
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Time in which the enrolment can be redeemed (default: 24h)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) ttl: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show a member: kind, managers, and when and from where the enrolment was redeemed
#[derive(Debug, Args)]
pub(crate) struct MemberShowArgs {
    /// Name of the member
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
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
    /// Manages members, settings and shared secrets, and revokes anybody's tokens and tickets
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
            Self::Add(args) => args.run(context, &mut client).await?,
            Self::Enroll(MemberEnrollArgs { name, ttl, json }) => {
                let request = CreateEnrolmentRequest { ttl_seconds: ttl.map(|ttl| ttl.as_secs()) };
                let issued = client.create_enrolment(&name, &request).await?;
                if json {
                    context.output.json(&issued)?;
                } else {
                    print_enrolment(context, &issued)?;
                }
            }
            Self::List(JsonArgs { json }) => {
                let headings = ["NAME", "KIND", "ROLE", "ENROLMENT", "CREATED", "ID"];
                return PagedList { json, limit: None, headings, row, empty: "no members" }
                    .print(context, &mut client, Client::members())
                    .await;
            }
            Self::Show(MemberShowArgs { name, json }) => {
                let member = client.member(&name).await?;
                if json {
                    context.output.json(&member)?;
                } else {
                    table::print_fields(&mut context.output, &fields(&member))?;
                }
            }
            Self::Manager(command) => command.run(context, &mut client).await?,
            Self::Convert(args) => args.run(context, &mut client).await?,
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
    async fn run(self, context: &mut CliContext, client: &mut Client) -> Result<(), CliError> {
        // Looked up first, to ask about the member that exists and not about what was typed.
        let member = client.member(&self.name).await?;
        let question = format!(
            "Remove {} ({}) and their private secrets, tokens and tickets?",
            member.name, member.role
        );
        context.confirm(self.yes, &question, "nothing is removed")?;
        client.remove_member(member.name.as_str()).await?;
        context.output.json_or_line(self.json, &member, || format!("removed {}", member.name))
    }
}

impl MemberAddArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> Result<(), CliError> {
        let request = CreateMemberRequest {
            // The names are not parsed here: the store checks them, and says which field is wrong.
            name: self.name.into(),
            role: self.role.into(),
            kind: if self.service { MemberKind::Service } else { MemberKind::Person },
            managers: self.managers.into_iter().map(Into::into).collect(),
            ttl_seconds: self.ttl.map(|ttl| ttl.as_secs()),
        };
        let created = client.create_member(&request).await?;
        if self.json {
            return context.output.json(&created);
        }
        let Some(issued) = &created.issued else {
            return context.output.line(summarize_service(&created.view));
        };
        context.output.note(format!("added {} ({})", created.view.name, created.view.role));
        print_enrolment(context, issued)
    }
}

/// Prints the code alone on standard output, and what to do with it on standard error.
pub(crate) fn print_enrolment(
    context: &mut CliContext,
    issued: &CreateEnrolmentResponse,
) -> Result<(), CliError> {
    context.output.credential(&issued.code, "the enrolment")?;
    context.output.note(format!(
        "give this code to {}, who runs dropsafe enroll; it works once, until {}",
        issued.member, issued.expires_at
    ));
    if let Some(link) = &issued.link {
        // The link without the code, which stands on standard output already.
        let page = link.split_once('#').map_or(link.as_str(), |(page, _)| page);
        context.output.note(format!("in a browser: {page}"));
    }
    Ok(())
}

fn row(member: MemberView) -> [String; 6] {
    [
        member.name.to_string(),
        member.kind.to_string(),
        member.role.to_string(),
        summarize_enrolment(&member),
        member.created_at.to_string(),
        member.id.to_string(),
    ]
}

fn fields(member: &MemberView) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("member", member.name.to_string()),
        ("id", member.id.to_string()),
        ("kind", member.kind.to_string()),
        ("role", member.role.to_string()),
        ("added", member.created_at.to_string()),
        ("added by", member.author.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string)),
        ("enrolment", summarize_enrolment(member)),
    ];
    if member.kind == MemberKind::Service {
        let managers: Vec<String> = member.managers.iter().map(ToString::to_string).collect();
        fields.push(("managers", managers.join(", ")));
    }
    fields
}

fn summarize_enrolment(member: &MemberView) -> String {
    match &member.enrolment {
        None => String::new(),
        Some(EnrolmentView { redeemed_at: Some(at), redeemed_from, .. }) => {
            let from = redeemed_from.as_ref().map_or_else(String::new, |from| format!(" from {from}"));
            format!("redeemed {at}{from}")
        }
        Some(EnrolmentView { expires_at, .. }) => {
            let until = expires_at.map_or_else(String::new, |at| format!(" until {at}"));
            format!("pending{until}")
        }
    }
}
