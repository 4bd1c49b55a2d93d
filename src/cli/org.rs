//! `dropsafe org`: organizations, and the rules of one's own.

use clap::ArgGroup;
use clap::Args;
use clap::Subcommand;

/// Make and list organizations (operator), and set the rules of yours (administrator)
#[derive(Debug, Subcommand)]
pub enum Org {
    New(New),
    List(List),
    Set(Set),
}

/// Make an organization and its first administrator, and print that one's token, alone, on standard output
#[derive(Debug, Args)]
pub struct New {
    /// The organization's name: a-z, 0-9 and . _ - @
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Name of the first administrator
    #[arg(long, value_name = "MEMBER", default_value = "admin")]
    pub admin: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// List the organizations
#[derive(Debug, Args)]
pub struct List {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Set the rules of your organization
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["shared_by_members", "hints", "variable_ceiling"]))]
pub struct Set {
    /// Whether members who are not administrators may write shared secrets
    #[arg(long, value_name = "true|false")]
    pub shared_by_members: Option<bool>,
    /// Whether redacted forms, such as sk-****...wxyz, are kept from now on
    #[arg(long, value_name = "true|false")]
    pub hints: Option<bool>,
    /// The longest value of a variable, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=131_071))]
    pub variable_ceiling: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
