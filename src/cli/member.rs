//! `dropsafe member`: people and services of the organization.

use clap::Args;
use clap::Subcommand;
use clap::ValueEnum;

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
