//! `dropsafe enroll`: a new member redeems an enrolment for a first token, which nobody else sees.

use clap::Args;

use super::context::CliContext;
use super::error::{CliError, CommandResult};
use super::launcher::offer_launchers;
use super::login::{LoginOutput, log_in};
use super::{connect, input};
use crate::domain::credential::{Credential, CredentialKind};
use crate::domain::role::MemberKind;
use crate::process::Exit;
use crate::wire::RedeemEnrolmentRequest;

/// Redeem an enrolment: get your first token and log in with it
///
/// The code is read from a prompt or from standard input. It works once. If somebody else
/// has redeemed it, the store says when and from which address: tell your admin.
///
/// On a terminal, asks for each launcher of the organization whether you accept it.
/// Without a terminal, it accepts only the launchers given with --accept.
///
/// The token of a launcher is printed, and nobody is logged in.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct EnrollArgs {
    /// Address: https://HOST:PORT#sha256/PIN, http://127.0.0.1:PORT or unix:/PATH (default: DROPSAFE_URL)
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Require this fingerprint of the deposit key
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) deposit_key: Option<String>,
    /// Label of the token to display
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Launcher to accept in the same step; repeatable. The party that runs the
    /// platform can then read your secrets
    #[arg(long, value_name = "LAUNCHER")]
    pub(crate) accept: Vec<String>,
    /// Print the token and do not log in
    #[arg(long)]
    pub(crate) print: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl EnrollArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let url = self.url.or_else(|| context.environment.text("DROPSAFE_URL"));
        let url = url.ok_or_else(|| {
            CliError::usage("the address of the store is missing")
                .hint("provide https://HOST:PORT#sha256/PIN as an argument or in DROPSAFE_URL")
        })?;
        let endpoint = connect::parse_endpoint(&url, "the address")?;
        let code = parse_code(&input::read_enrolment_code(context)?)?;
        let mut client = connect::new_client(context, endpoint.clone(), &code)?;
        let request = RedeemEnrolmentRequest {
            label: self.label.map(Into::into),
            accept: self.accept.into_iter().map(Into::into).collect(),
        };
        let redeemed = client.redeem_enrolment(&request).await?;
        let token = connect::parse_token(&redeemed.token, "the token")?;
        let mut client = connect::new_client(context, endpoint.clone(), &token)?;
        // A platform uses its token elsewhere, and may not read what a login on this machine checks. If the store does not
        // answer now, the login fails too, and prints the token.
        let is_launcher = !self.print
            && client.who_am_i().await.is_ok_and(|who| who.member_kind == Some(MemberKind::Launcher));
        if self.print || is_launcher {
            match self.json {
                true => context.output.json(&redeemed)?,
                false => context.output.credential(&redeemed.token, "the token")?,
            }
            if is_launcher {
                context.output.note("above is the token of a launcher, which is not shown again: give it to the platform; you are not logged in");
            }
            return Ok(Exit::Success);
        }
        let output = LoginOutput { deposit_key: self.deposit_key.as_deref(), json: self.json };
        log_in(context, endpoint, &token, output).await.inspect_err(|_| {
            // The code is spent, so the token must not be lost if the file cannot be written.
            let kept = context.output.credential(&redeemed.token, "the token");
            if kept.is_ok() {
                context.output.note("the login failed; above is your token, which is not shown again");
            }
        })?;
        // The enrolment succeeded and cannot be repeated, so that an answer that does not arrive is no failure of it.
        if offer_launchers(context, &mut client).await.is_err() {
            context.output.note("the launchers cannot be listed now; later: dropsafe launcher list");
        }
        Ok(Exit::Success)
    }
}

fn parse_code(text: &str) -> Result<Credential, CliError> {
    let failed =
        |message: &dyn std::fmt::Display| CliError::configuration(message).context("the enrolment code");
    // Copying and pasting adds blanks, and no code contains any.
    let code = Credential::parse_enrolment(text.trim())
        .map_err(|error| failed(&error).optional_hint(error.hint()))?;
    if code.kind == CredentialKind::Enrolment {
        Ok(code)
    } else {
        Err(failed(&"this is not an enrolment code")
            .hint("an enrolment code starts with dse_; log in with a token by dropsafe login"))
    }
}
