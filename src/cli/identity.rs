//! `dropsafe identity`: how machines prove that they may boot.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::output::JsonArgs;
use super::paged_list::PagedList;
use super::table::{TextTable, cell, print_fields};
use super::ticket::{GrantArgs, TicketLimit, parse_ttl, parse_uses};
use super::{connect, duration, files, input};
use crate::client::Client;
use crate::domain::identity_template::{IdentityTemplate, templates};
use crate::domain::value::SecretValue;
use crate::process::Exit;
use crate::wire::{
    AcceptedTokensView, CreateIdentityRequest, ForEachServiceBody, MachineIdentityView, TestTokenResponse,
};

/// Tokens are shorter than 16 KiB; a longer file is something else.
const MAX_TOKEN: usize = 16 << 10;

/// Create, list, test and revoke identities of machines
///
/// A machine with an identity needs no stored secret: it presents a token of an
/// issuer that your organization trusts, such as a Kubernetes service account's.
#[derive(Debug, Subcommand)]
#[command(verbatim_doc_comment)]
pub(crate) enum IdentityCommand {
    Add(Box<IdentityAddArgs>),
    /// List the identities, tickets among them
    List(JsonArgs),
    /// Show an identity and its store card
    Show(IdentityIdArgs),
    Test(IdentityTestArgs),
    Confirm(IdentityConfirmArgs),
    /// Revoke an identity: boots with it are denied from now on
    Remove(IdentityIdArgs),
    /// List the templates and the claims that each of them takes
    Templates(JsonArgs),
}

#[derive(Debug, Args)]
pub(crate) struct IdentityIdArgs {
    /// Id of the identity (idn_…)
    #[arg(value_name = "IDENTITY_ID")]
    pub(crate) id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Create an identity and print its store card
///
/// The card tells the machine where the store is and which identity it has. It is
/// not a secret. Give it to the agent as DROPSAFE_CARD, with DROPSAFE_TOKEN_FROM.
///
///   dropsafe identity add kubernetes namespace=prod service-account=api \
///       --issuer cluster-1 --for prod-api
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct IdentityAddArgs {
    /// Template, such as kubernetes or github; see dropsafe identity templates
    #[arg(value_name = "TEMPLATE")]
    pub(crate) template: String,
    /// Required value of a claim
    #[arg(value_name = "CLAIM=VALUE", value_parser = parse_claim)]
    pub(crate) claims: Vec<(String, String)>,
    /// Issuer of your organization (default: the public issuer of the template)
    #[arg(long, value_name = "NAME")]
    pub(crate) issuer: Option<String>,
    /// Audience of its tokens (default: dropsafe: and the id of the store)
    #[arg(long, value_name = "TEXT")]
    pub(crate) audience: Option<String>,
    /// Claim that names the service to act for, as service=CLAIM
    #[arg(long, value_name = "service=CLAIM", value_parser = parse_for_each, requires = "services", conflicts_with = "member")]
    pub(crate) for_each: Option<String>,
    /// Service that the claim may name; may be repeated
    #[arg(long = "service", value_name = "NAME", requires = "for_each")]
    pub(crate) services: Vec<String>,
    /// Accept each token for one boot
    #[arg(long)]
    pub(crate) single_use: bool,
    /// Time until it expires, such as 30d, or none
    #[arg(long, value_name = "DURATION", default_value = "none", value_parser = parse_ttl)]
    pub(crate) ttl: TicketLimit<Duration>,
    /// Maximum number of boots, or unlimited
    #[arg(long, value_name = "N", default_value = "unlimited", value_parser = parse_uses)]
    pub(crate) uses: TicketLimit<u64>,
    #[command(flatten)]
    pub(crate) grant: GrantArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Accept the issuer's new settings for an identity that acts for you
///
/// Shows the issuer's URL and the digest of its settings, and asks. Look at the
/// settings with dropsafe issuer show.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct IdentityConfirmArgs {
    /// Id of the identity (idn_…)
    #[arg(value_name = "IDENTITY_ID")]
    pub(crate) id: String,
    /// Digest of the settings that you have looked at (default: asks)
    #[arg(long, value_name = "SHA256")]
    pub(crate) digest: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Compare a token with an identity, claim by claim
///
/// The token comes from a file or from standard input. It is sent to the store,
/// which compares it, and is neither stored nor printed.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct IdentityTestArgs {
    /// Id of the identity (idn_…)
    #[arg(value_name = "IDENTITY_ID")]
    pub(crate) id: String,
    /// File with the token (default: standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_claim(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected CLAIM=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_for_each(text: &str) -> Result<String, &'static str> {
    let claim = text.strip_prefix("service=").ok_or("expected service=CLAIM, such as service=namespace")?;
    // The template may precede the claim, as in `kubernetes.namespace`.
    Ok(claim.rsplit_once('.').map_or(claim, |(_, claim)| claim).to_owned())
}

impl IdentityCommand {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        match self {
            Self::Add(args) => args.run(context).await?,
            Self::List(JsonArgs { json }) => {
                let mut client = connect::open_client(context)?;
                let headings = ["ID", "KIND", "MEMBER", "LABEL", "STATE", "EXPIRES", "PROOF"];
                return PagedList { json, limit: None, headings, row, empty: "no identities" }
                    .print(context, &mut client, Client::identities())
                    .await;
            }
            Self::Show(IdentityIdArgs { id, json }) => {
                let identity = connect::open_client(context)?.identity(&id).await?;
                match json {
                    true => context.output.json(&identity)?,
                    false => print_fields(&mut context.output, &fields(&identity))?,
                }
            }
            Self::Test(args) => return args.run(context).await,
            Self::Confirm(args) => args.run(context).await?,
            Self::Remove(IdentityIdArgs { id, json }) => {
                connect::open_client(context)?.revoke_identity(&id).await?;
                let document = serde_json::json!({ "id": id, "revoked": true });
                context.output.json_or_line(json, &document, || format!("revoked {id}"))?;
            }
            Self::Templates(JsonArgs { json }) => print_templates(context, json)?,
        }
        Ok(Exit::Success)
    }
}

impl IdentityAddArgs {
    async fn run(self, context: &mut CliContext) -> Result<(), CliError> {
        let json = self.json;
        let created = connect::open_client(context)?.create_identity(&self.request()?).await?;
        if json {
            return context.output.json(&created);
        }
        // The card alone on standard output, as `ticket new` prints a ticket.
        context.output.line(created.card.as_deref().unwrap_or_default())?;
        let expiry = created.expires_at.map_or("never expires".to_owned(), |at| format!("expires {at}"));
        let whom = created.tokens.as_ref().map_or_else(String::new, |tokens| tokens.audience.clone());
        context.output.note(format!(
            "acts for {}; {expiry}; audience of its tokens: {whom}; to revoke it: dropsafe identity remove {}",
            represented(&created),
            created.id
        ));
        Ok(())
    }

    fn request(self) -> Result<CreateIdentityRequest, CliError> {
        let mut claims = BTreeMap::new();
        for (name, value) in self.claims {
            if claims.insert(name, value).is_some() {
                return Err(CliError::usage("a claim is given twice"));
            }
        }
        let services = self.services.into_iter().map(Into::into).collect();
        Ok(CreateIdentityRequest {
            template: self.template,
            issuer: self.issuer.map(Into::into),
            audience: self.audience,
            claims,
            for_each: self.for_each.map(|claim| ForEachServiceBody { claim, services }),
            single_use: self.single_use,
            grant: Some(self.grant.request(self.ttl, self.uses)?),
        })
    }
}

impl IdentityConfirmArgs {
    async fn run(self, context: &mut CliContext) -> Result<(), CliError> {
        let Self { id, digest, json } = self;
        let mut client = connect::open_client(context)?;
        let digest = match digest {
            Some(digest) => digest,
            None => {
                let tokens = client.identity(&id).await?.tokens;
                let seen = tokens.and_then(|tokens| Some((tokens.issuer_url?, tokens.issuer_digest?)));
                let (url, digest) = seen.ok_or_else(|| CliError::failed("it has no issuer to confirm"))?;
                if !context.is_interactive() {
                    let why = "review the issuer first: run dropsafe identity show, and pass its digest with --digest";
                    return Err(CliError::usage(why));
                }
                let question = format!(
                    "Trust the issuer {url} with the settings {digest}? Whoever runs it can boot with your secrets."
                );
                context.confirm(false, &question, "nothing is confirmed")?;
                digest
            }
        };
        let identity = client.confirm_identity(&id, &digest).await?;
        context.output.json_or_line(json, &identity, || format!("confirmed the issuer of {id}"))
    }
}

impl IdentityTestArgs {
    async fn run(self, context: &mut CliContext) -> CommandResult {
        let token = match &self.token_file {
            Some(path) => files::read(path, MAX_TOKEN)?,
            None => input::read_stdin(MAX_TOKEN)?,
        };
        // A file often ends with a newline, which is no part of a token.
        let token = SecretValue::new(token.trim_ascii().to_vec());
        let mut client = connect::open_client(context)?;
        let tested = client.test_identity(&self.id, &token).await?;
        let tested = tested.ok_or_else(|| CliError::failed("this is not a token: it is not text"))?;
        match self.json {
            true => context.output.json(&tested)?,
            false => print_test(context, &tested)?,
        }
        // A script sees by the status alone whether a machine would be accepted.
        Ok(if tested.accepted { Exit::Success } else { Exit::Failed })
    }
}

fn print_test(context: &mut CliContext, tested: &TestTokenResponse) -> Result<(), CliError> {
    let rows = tested.checks.iter().map(|check| {
        let outcome = if check.passed { "passed" } else { "FAILED" };
        let (expected, found) = (check.expected.clone(), check.found.clone());
        [check.check.clone(), outcome.to_owned(), expected.unwrap_or_default(), found.unwrap_or_default()]
    });
    TextTable::new(["CHECK", "RESULT", "EXPECTED", "FOUND"]).rows(&mut context.output, rows)?;
    for hint in tested.checks.iter().filter_map(|check| check.hint.as_ref()) {
        context.output.note(format!("hint: {hint}"));
    }
    context.output.line(if tested.accepted { "accepted" } else { "not accepted" })
}

fn print_templates(context: &mut CliContext, json: bool) -> Result<(), CliError> {
    if json {
        let documents: Vec<_> = templates().iter().map(template_document).collect();
        return context.output.json(&documents);
    }
    let mut table = TextTable::new(["TEMPLATE", "CLAIM", "REQUIRED", "MEANING"]);
    for template in templates() {
        let rows = template.flags.iter().map(|flag| {
            let required = requirement(template, flag.name);
            [template.name, flag.name, required, flag.help].map(str::to_owned)
        });
        table.rows(&mut context.output, rows)?;
    }
    Ok(())
}

/// Whether the claim has to be given: it tells a tenant of the platform from others.
fn requirement(template: &IdentityTemplate, claim: &str) -> &'static str {
    match template.tenant.iter().find(|set| set.contains(&claim)) {
        None => "",
        Some(_) if template.tenant.len() == 1 => "yes",
        Some(set) if set.len() == 1 => "one of these",
        Some(_) => "one of these (both)",
    }
}

fn template_document(template: &IdentityTemplate) -> serde_json::Value {
    let claims = template.flags.iter().map(|flag| {
        serde_json::json!({ "name": flag.name, "pointer": flag.pointer, "prefix": flag.prefix, "help": flag.help })
    });
    serde_json::json!({
        "name": template.name,
        "about": template.about,
        "claims": claims.collect::<Vec<_>>(),
        "required": template.tenant,
    })
}

/// The member, or the services that a claim chooses from.
fn represented(identity: &MachineIdentityView) -> String {
    let for_each = identity.tokens.as_ref().and_then(|tokens| tokens.for_each.as_ref());
    match for_each {
        Some(each) => each.services.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        None => identity.member.to_string(),
    }
}

fn state(identity: &MachineIdentityView) -> &'static str {
    match &identity.tokens {
        Some(tokens) if tokens.suspended => "suspended",
        _ if identity.usable => "active",
        _ => "inactive",
    }
}

fn row(identity: MachineIdentityView) -> [String; 7] {
    let proof =
        identity.tokens.as_ref().map_or_else(|| "secret".to_owned(), |tokens| tokens.template.clone());
    [
        identity.id.to_string(),
        identity.kind.to_string(),
        represented(&identity),
        identity.label.clone().unwrap_or_default(),
        state(&identity).to_owned(),
        identity.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
        proof,
    ]
}

fn fields(identity: &MachineIdentityView) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("Id", identity.id.to_string()),
        ("Kind", identity.kind.to_string()),
        ("Acts for", represented(identity)),
        ("Author", identity.author.to_string()),
        ("Label", cell(identity.label.as_ref())),
        ("State", state(identity).to_owned()),
        ("Created", identity.created_at.to_string()),
        ("Expires", identity.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string())),
        ("Revoked", cell(identity.revoked_at)),
        ("Boots", identity.uses.map_or_else(|| "unlimited".to_owned(), |uses| uses.to_string())),
        ("Lifetime", identity.lifetime_seconds.map(duration::display).unwrap_or_default()),
        ("Plugins", identity.plugins.as_ref().map(|plugins| plugins.join(",")).unwrap_or_default()),
        ("Sources", identity.sources.join(",")),
    ];
    fields.extend(identity.tokens.iter().flat_map(token_fields));
    fields.extend(identity.card.iter().map(|card| ("Card", card.clone())));
    fields
}

fn token_fields(tokens: &AcceptedTokensView) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("Template", tokens.template.clone()),
        ("Issuer", tokens.issuer.as_ref().map_or_else(|| "public".to_owned(), ToString::to_string)),
        ("Issuer URL", cell(tokens.issuer_url.as_ref())),
        ("Settings", cell(tokens.issuer_digest.as_ref())),
        ("Audience", tokens.audience.clone()),
    ];
    fields.extend(tokens.claims.iter().map(|rule| ("Claim", rule.to_string())));
    fields.extend(tokens.for_each.iter().map(|each| ("Service", each.claim.clone())));
    fields.push(("Single use", if tokens.single_use { "yes" } else { "no" }.to_owned()));
    fields
}
