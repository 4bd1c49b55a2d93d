//! `dropsafe org`: the organizations of a store and their quotas, and the rules of one's own organization.

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::error::CommandResult;
use super::member::print_enrolment;
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::{connect, table};
use crate::client::Client;
use crate::domain::role::{
    LONGEST_RETENTION, OrgUsage, RecordQuotas, RecordUsage, ScopeUsage, SharedChanges,
};
use crate::process::Exit;
use crate::wire::{
    CreateOrgRequest, OrgView, UpdateBudgetsRequest, UpdateOrgRequest, UpdateQuotasRequest,
    UpdateRetentionRequest,
};

/// Manage organizations (operator) and the rules of your own (administrator)
#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    New(OrgCreateArgs),
    /// List the organizations
    List(JsonArgs),
    /// Show the rules of your organization
    Show(JsonArgs),
    Set(OrgSetArgs),
    /// Show what your organization uses of its budgets and quotas
    Usage(JsonArgs),
    Quotas(OrgQuotasArgs),
}

/// Create an organization and print the enrolment code of its first administrator
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

/// Show or set how many records an organization can have (operator)
#[derive(Debug, Args)]
pub(crate) struct OrgQuotasArgs {
    /// Name of the organization
    #[arg(value_name = "ORG")]
    pub(crate) name: String,
    /// Maximum number of secrets
    #[arg(long, value_name = "NUMBER")]
    pub(crate) secrets: Option<u32>,
    /// Maximum number of members
    #[arg(long, value_name = "NUMBER")]
    pub(crate) members: Option<u32>,
    /// Maximum number of active tickets
    #[arg(long, value_name = "NUMBER")]
    pub(crate) tickets: Option<u32>,
    /// Maximum number of active tokens
    #[arg(long, value_name = "NUMBER")]
    pub(crate) tokens: Option<u32>,
    /// Maximum number of boots of each member
    #[arg(long, value_name = "NUMBER")]
    pub(crate) boots_per_member: Option<u32>,
    /// Shortest time that an administrator can choose for audit entries
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=i64::from(LONGEST_RETENTION)))]
    pub(crate) min_audit: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Set the rules of your organization
#[derive(Debug, Args)]
#[command(mut_group("OrgRulesArgs", |group| group.required(true)))]
pub(crate) struct OrgSetArgs {
    #[command(flatten)]
    pub(crate) rules: OrgRulesArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The rules to set.
#[derive(Debug, Args)]
pub(crate) struct OrgRulesArgs {
    /// Whether members who are not administrators can deposit shared secrets
    #[arg(long, value_name = "true|false")]
    pub(crate) shared_by_members: Option<bool>,
    /// Whether new values get a redacted hint, such as sk-****...wxyz
    #[arg(long, value_name = "true|false")]
    pub(crate) hints: Option<bool>,
    /// Maximum length of a variable's value, in bytes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=131_071))]
    pub(crate) variable_ceiling: Option<u32>,
    /// Who can change a shared secret: its depositor and administrators, or every member
    #[arg(long, value_name = "depositor|everyone")]
    pub(crate) shared_changes: Option<SharedChanges>,
    /// Budget for the variables of the shared scope, in bytes, names included
    #[arg(long, value_name = "BYTES")]
    pub(crate) shared_variables: Option<u32>,
    /// Budget for the files of the shared scope, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) shared_files: Option<u32>,
    /// Budget for the variables of each private scope, in bytes, names included
    #[arg(long, value_name = "BYTES")]
    pub(crate) private_variables: Option<u32>,
    /// Budget for the files of each private scope, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) private_files: Option<u32>,
    /// Largest part of the shared scope, and of the quotas, that a member who is not an administrator can use
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) member_share: Option<u8>,
    /// Whether people become members at their first sign-in, if their groups at a provider give them a role
    #[arg(long, value_name = "true|false")]
    pub(crate) create_at_sign_in: Option<bool>,
    /// Delete boots this many days after their end, or `forever` to keep them
    #[arg(long, value_name = "DAYS", value_parser = parse_days)]
    pub(crate) keep_boots: Option<u32>,
    /// Delete audit entries after this many days, or `forever` to keep them
    #[arg(long, value_name = "DAYS", value_parser = parse_days)]
    pub(crate) keep_audit: Option<u32>,
}

impl OrgCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let mut client = connect::open_client(context)?;
        match self {
            Self::New(args) => args.run(context, &mut client).await,
            Self::List(JsonArgs { json }) => {
                let headings = ["NAME", "SHARED BY MEMBERS", "HINTS", "MAX VARIABLE LENGTH", "CREATED", "ID"];
                PagedList { json, limit: None, headings, row, empty: "no organizations" }
                    .print(context, &mut client, Client::orgs())
                    .await
            }
            Self::Show(JsonArgs { json }) => {
                let org = client.own_org().await?;
                print_rules(context, &org, json)
            }
            Self::Set(args) => args.run(context, &mut client).await,
            Self::Usage(JsonArgs { json }) => {
                let usage = client.org_usage().await?;
                print_usage(context, &usage, json)
            }
            Self::Quotas(args) => args.run(context, &mut client).await,
        }
    }
}

impl OrgCreateArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> CommandResult {
        // The administrator comes with the organization: nobody else could add a first member to it.
        let request = CreateOrgRequest { name: self.name.into(), admin: self.admin.into() };
        let created = client.create_org(&request).await?;
        if self.json {
            context.output.json(&created)?;
        } else {
            // The code is alone on standard output, for a script to read.
            context.output.note(format!(
                "created {} with its first administrator {}",
                created.view.name, request.admin
            ));
            print_enrolment(context, &created.enrolment)?;
        }
        Ok(Exit::Success)
    }
}

fn row(org: OrgView) -> [String; 6] {
    [
        org.name.to_string(),
        yes_or_no(org.shared_by_members),
        yes_or_no(org.hints),
        org.variable_ceiling.to_string(),
        org.created_at.to_string(),
        org.id.to_string(),
    ]
}

impl OrgSetArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> CommandResult {
        let org = client.change_org(&self.rules.request()).await?;
        // All rules and not only the changed ones, so that a mistake is seen at once.
        print_rules(context, &org, self.json)
    }
}

impl OrgQuotasArgs {
    async fn run(self, context: &mut CliContext, client: &mut Client) -> CommandResult {
        let Self { secrets, members, tickets, tokens, boots_per_member, min_audit: min_audit_days, .. } =
            self;
        let change =
            UpdateQuotasRequest { secrets, members, tickets, tokens, boots_per_member, min_audit_days };
        let changes = [secrets, members, tickets, tokens, boots_per_member, min_audit_days];
        // Without a flag, this only reads: an empty change would leave an audit entry without content.
        let org = match changes.iter().any(Option::is_some) {
            true => client.set_quotas(&self.name, &change).await?,
            false => client.org_quotas(&self.name).await?,
        };
        if self.json {
            context.output.json(&org)?;
            return Ok(Exit::Success);
        }
        let mut fields = vec![("organization", org.name.to_string())];
        fields.extend(record_fields(&org.used, &org.quotas));
        fields.push(("boots of each member", format!("at most {}", org.quotas.boots_per_member)));
        fields.push(("audit entries are kept", format!("at least {} days", org.quotas.min_audit_days)));
        table::print_fields(&mut context.output, &fields)?;
        Ok(Exit::Success)
    }
}

impl OrgRulesArgs {
    fn request(self) -> UpdateOrgRequest {
        UpdateOrgRequest {
            shared_by_members: self.shared_by_members,
            hints: self.hints,
            variable_ceiling: self.variable_ceiling,
            shared_changes: self.shared_changes,
            budgets: Some(UpdateBudgetsRequest {
                shared_variables: self.shared_variables,
                shared_files: self.shared_files,
                private_variables: self.private_variables,
                private_files: self.private_files,
            }),
            member_share: self.member_share,
            retention: Some(UpdateRetentionRequest { boots: self.keep_boots, audit: self.keep_audit }),
            create_at_sign_in: self.create_at_sign_in,
        }
    }
}

fn print_rules(context: &mut CliContext, org: &OrgView, json: bool) -> CommandResult {
    if json {
        context.output.json(org)?;
        return Ok(Exit::Success);
    }
    let (budgets, quotas) = (&org.budgets, &org.quotas);
    let both = |shared: u32, private: u32| format!("{shared} bytes shared, {private} bytes private");
    let fields = [
        ("organization", org.name.to_string()),
        ("members can change shared secrets", yes_or_no(org.shared_by_members)),
        ("who changes a shared secret", org.shared_changes.to_string()),
        ("new values get a hint", yes_or_no(org.hints)),
        ("maximum length of a variable", format!("{} bytes", org.variable_ceiling)),
        ("budget for variables", both(budgets.shared_variables, budgets.private_variables)),
        ("budget for files", both(budgets.shared_files, budgets.private_files)),
        ("one member's part of the shared scope", format!("{} %", org.member_share)),
        ("people become members at their first sign-in", yes_or_no(org.create_at_sign_in)),
        ("boots are kept", display_days(org.retention.boots)),
        ("audit entries are kept", display_days(org.retention.audit)),
        ("audit entries are kept at least", format!("{} days", quotas.min_audit_days)),
        ("quota of secrets", quotas.secrets.to_string()),
        ("quota of members", quotas.members.to_string()),
        ("quota of active tickets", quotas.tickets.to_string()),
        ("quota of active tokens", quotas.tokens.to_string()),
        ("quota of boots per member", quotas.boots_per_member.to_string()),
    ];
    table::print_fields(&mut context.output, &fields)?;
    Ok(Exit::Success)
}

fn record_fields(used: &RecordUsage, quotas: &RecordQuotas) -> [(&'static str, String); 4] {
    let of = |used: u64, quota: u32| format!("{used} of {quota}");
    [
        ("secrets", of(used.secrets, quotas.secrets)),
        ("members", of(used.members, quotas.members)),
        ("active tickets", of(used.tickets, quotas.tickets)),
        ("active tokens", of(used.tokens, quotas.tokens)),
    ]
}

fn print_usage(context: &mut CliContext, usage: &OrgUsage, json: bool) -> CommandResult {
    if json {
        context.output.json(usage)?;
        return Ok(Exit::Success);
    }
    let mut fields = Vec::new();
    let scopes = [
        ("shared scope", &usage.shared),
        ("your part of the shared scope", &usage.deposited),
        ("your private scope", &usage.private),
    ];
    for (label, scope) in scopes {
        let ScopeUsage { secrets, variables, variables_budget, files, files_budget, over_budget } = scope;
        let over = if *over_budget { "over budget (boots still work): " } else { "" };
        let bytes = format!(
            "variables {variables} of {variables_budget} bytes, files {files} of {files_budget} bytes"
        );
        fields.push((label, format!("{over}{secrets} secrets, {bytes}")));
    }
    fields.extend(record_fields(&usage.records, &usage.quotas));
    if let Some(own) = &usage.own_quotas {
        fields.push(("tickets that you created", format!("{} of {}", usage.own.tickets, own.tickets)));
        fields.push(("tokens that you created", format!("{} of {}", usage.own.tokens, own.tokens)));
    }
    if !usage.members_over_budget.is_empty() {
        let names: Vec<String> = usage.members_over_budget.iter().map(ToString::to_string).collect();
        fields.push(("private scopes over budget", names.join(", ")));
    }
    table::print_fields(&mut context.output, &fields)?;
    Ok(Exit::Success)
}

fn yes_or_no(on: bool) -> String {
    if on { "yes" } else { "no" }.to_owned()
}

fn display_days(days: Option<u32>) -> String {
    days.map_or_else(|| "forever".to_owned(), |days| format!("{days} days"))
}

/// Parses a number of days. 0 stands for `forever`, as in the API.
fn parse_days(text: &str) -> Result<u32, String> {
    let days = match text {
        "forever" => Some(0),
        days => days.parse().ok().filter(|days| (1..=LONGEST_RETENTION).contains(days)),
    };
    days.ok_or_else(|| format!("expected `forever` or a number of days from 1 to {LONGEST_RETENTION}"))
}
