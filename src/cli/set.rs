//! `dropsafe set`: deposits a value. It is read from a hidden prompt, standard input or a file, never from the command line, and
//! leaves this process sealed.

use std::path::PathBuf;

use clap::Args;

use super::attributes::AttributeArgs;
use super::context::CliContext;
use super::deposit::{DepositClient, DepositSpec, note_holders, print_warnings, summarize};
use super::error::{CliError, CommandResult, invalid_name};
use super::preset_deposit::PresetDeposit;
use super::{connect, input, usage};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind};
use crate::process::Exit;

/// Deposit a secret, or replace its value
///
/// The value is read from standard input if that is not a terminal, from --file,
/// or from a hidden prompt. It is never read from the command line, which other
/// processes and the shell's history see. It is stored byte for byte; use
/// `printf %s`, which adds no newline. Secrets are sealed before they are sent;
/// --plain settings are not.
///
/// When a secret is replaced, attributes that are not given stay as they are.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct SetArgs {
    /// Name of the secret: ASCII letters, digits and - _ . : /
    #[arg(value_name = "NAME", required_unless_present = "preset", conflicts_with = "preset")]
    pub(crate) name: Option<String>,
    /// Deposit a secret for each field of a preset (see `dropsafe preset`)
    ///
    /// Prompts for each field's value, or reads lines FIELD=VALUE from standard input or --file.
    #[arg(long, value_name = "PRESET", conflicts_with_all = ["env", "as_file", "if_version"])]
    pub(crate) preset: Option<String>,
    /// Export a preset's secrets under the names that most programs expect, such as OPENAI_API_KEY
    #[arg(long, requires = "preset")]
    pub(crate) usual_names: bool,
    /// Only for your own boots (default)
    #[arg(long)]
    pub(crate) private: bool,
    /// For every boot of the organization
    #[arg(long, conflicts_with = "private")]
    pub(crate) shared: bool,
    /// For the boots of a service that you manage
    #[arg(long = "for", value_name = "SERVICE", conflicts_with_all = ["shared", "private"])]
    pub(crate) owner: Option<String>,
    /// Not sensitive: the value can be displayed, and the store can read it
    #[arg(long)]
    pub(crate) plain: bool,
    /// Sensitive: the value is sealed and never displayed (default for a new secret)
    #[arg(long, conflicts_with = "plain")]
    pub(crate) encrypted: bool,
    #[command(flatten)]
    pub(crate) attributes: AttributeArgs,
    /// Export it under exactly this name
    #[arg(long = "as", value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Deliver it as a file; the variable contains the path
    #[arg(long)]
    pub(crate) as_file: bool,
    /// Allow an exported name that changes how programs load or run (administrator)
    #[arg(long)]
    pub(crate) allow_refused: bool,
    /// Fail if the current version is not VERSION
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl SetArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        if let Some(preset) = &self.preset {
            // A placeholder for the name, since each field has its own.
            let attributes = self.spec(preset)?;
            let (usual_names, file, json) = (self.usual_names, self.file.as_deref(), self.json);
            let owner = self.owner.clone();
            return PresetDeposit { preset, attributes, owner, usual_names, file, json }.run(context).await;
        }
        let spec = self.spec(self.name.as_deref().unwrap_or_default())?;
        spec.check_refused_name()?;
        let (client, address) = connect::open_client_with_address(context)?;
        // After the checks of names, address and token, so that nobody types a value in vain.
        let value = input::read_value(context, spec.name.as_str(), self.file.as_deref())?;
        let mut deposits = DepositClient::open(context, client, &address, self.owner.clone()).await?;
        let existing = deposits.find_existing(&spec.name, spec.scope).await?;
        let stored = match (&existing, &self.if_version) {
            (None, Some(_)) => {
                // Creating it would undo a deletion that the caller has not seen.
                return Err(CliError::new(
                    Exit::TryAgain,
                    format_args!("{} does not exist, so it cannot be replaced", spec.name),
                )
                .hint("to create it, leave out --if-version"));
            }
            (None, None) => deposits.create(&spec, &value).await?,
            (Some(existing), version) => {
                deposits.replace(existing, &spec, &value, version.as_deref()).await?
            }
        };
        print_warnings(&stored.name, &stored.warnings);
        context.output.json_or_line(self.json, &stored, || summarize(&stored, existing.is_none()))?;
        if !self.json {
            note_holders(context, &stored);
        }
        Ok(Exit::Success)
    }

    fn spec(&self, name: &str) -> Result<DepositSpec, CliError> {
        // Before the name is parsed: that error would not say where a value belongs.
        if name.contains('=') {
            return Err(CliError::usage("NAME=VALUE is not accepted").hint(usage::NO_VALUE_HINT));
        }
        let name =
            SecretName::parse(name).map_err(|error| CliError::failed(error).optional_hint(error.hint()))?;
        let scope = if self.shared { ScopeKind::Shared } else { ScopeKind::Private };
        Ok(DepositSpec {
            env: self.env.as_deref().map(EnvName::parse).transpose().map_err(invalid_name("--as"))?,
            kind: match (self.plain, self.encrypted) {
                (true, _) => Some(Kind::Plain),
                (_, true) => Some(Kind::Encrypted),
                _ => None,
            },
            delivery: self.as_file.then_some(Delivery::File),
            attributes: self.attributes.patch()?,
            allow_refused: self.allow_refused,
            ..DepositSpec::new(name, scope)
        })
    }
}
