//! `dropsafe member manager` and `dropsafe member convert`: who acts for a service.

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::error::CliError;
use crate::client::Client;
use crate::wire::{ConvertMemberRequest, MemberView};

/// Appoint and dismiss the managers of a service
#[derive(Debug, Subcommand)]
pub(crate) enum ManagerCommand {
    /// Appoint a manager, who deposits for the service and creates its tokens and tickets
    Add(ManagerArgs),
    /// Dismiss a manager; what the manager created for the service stops working
    Remove(ManagerArgs),
}

/// A service and one of its managers
#[derive(Debug, Args)]
pub(crate) struct ManagerArgs {
    /// Name of the service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// Name of the manager
    #[arg(value_name = "MANAGER")]
    pub(crate) manager: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Turn yourself into a service
///
/// From then on, the managers act for the member: they deposit into its private
/// scope and create its tokens and tickets. This cannot be undone.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct MemberConvertArgs {
    /// Member who manages the service; repeatable
    #[arg(long = "manager", value_name = "MEMBER", required = true)]
    pub(crate) managers: Vec<String>,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl ManagerCommand {
    pub(crate) async fn run(self, context: &mut CliContext, client: &mut Client) -> Result<(), CliError> {
        let (member, json) = match self {
            Self::Add(ManagerArgs { service, manager, json }) => {
                (client.add_manager(&service, &manager).await?, json)
            }
            Self::Remove(ManagerArgs { service, manager, json }) => {
                (client.remove_manager(&service, &manager).await?, json)
            }
        };
        context.output.json_or_line(json, &member, || summarize_service(&member))
    }
}

impl MemberConvertArgs {
    pub(crate) async fn run(self, context: &mut CliContext, client: &mut Client) -> Result<(), CliError> {
        let own = client.status().await?.identity;
        let question = format!("Turn {own} into a service of {}?", self.managers.join(", "));
        context.confirm(self.yes, &question, "nothing is changed")?;
        let request = ConvertMemberRequest { managers: self.managers.into_iter().map(Into::into).collect() };
        let member = client.convert_member(&own, &request).await?;
        context.output.json_or_line(self.json, &member, || summarize_service(&member))
    }
}

pub(crate) fn summarize_service(service: &MemberView) -> String {
    let managers: Vec<&str> = service.managers.iter().map(crate::domain::name::MemberName::as_str).collect();
    match managers.is_empty() {
        true => format!("{} is a service without a manager", service.name),
        false => format!("{} is a service, managed by {}", service.name, managers.join(", ")),
    }
}
