//! `dropsafe set`: a value in. It is read from a hidden prompt, standard input or a file, never from the command line, and
//! it leaves this process sealed.

use std::path::PathBuf;

use clap::Args;

use super::attributes::AttributeArgs;
use super::deposit::{DepositClient, DepositSpec};
use super::error::{CliError, CommandResult};
use super::preset::PresetDeposit;
use super::{CliContext, connect, input, output, usage};
use crate::domain::name::{EnvName, NameError, SecretName};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, Kind};
use crate::process::Exit;
use crate::wire::SecretView;

/// Deposit a secret, or replace its value
///
/// The value is read from standard input when that is not a terminal, from
/// --file, or else from a hidden prompt; never from the command line, which other
/// processes and the shell's history see. It is stored as given, byte for byte:
/// `printf %s` adds no newline. A secret is sealed before it is sent; a --plain
/// setting is not.
///
/// Attributes that are not given keep their value when a secret is replaced.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct SetArgs {
    /// The secret's name: ASCII letters, digits and - _ . : /
    #[arg(value_name = "NAME", required_unless_present = "preset", conflicts_with = "preset")]
    pub(crate) name: Option<String>,
    /// The secrets of a platform, one for each of its fields (see `dropsafe preset`)
    ///
    /// Asks for each field's value, or reads lines FIELD=VALUE from standard input or --file.
    #[arg(long, value_name = "PRESET", conflicts_with_all = ["env", "as_file", "if_version"])]
    pub(crate) preset: Option<String>,
    /// Export a preset's secrets as most programs expect them, such as OPENAI_API_KEY
    #[arg(long, requires = "preset")]
    pub(crate) usual_names: bool,
    /// For your own boots only (default)
    #[arg(long)]
    pub(crate) private: bool,
    /// For every boot of the organization
    #[arg(long, conflicts_with = "private")]
    pub(crate) shared: bool,
    /// Not sensitive: the value may be shown, and the store can read it
    #[arg(long)]
    pub(crate) plain: bool,
    /// Sensitive (default for a new one): the value is sealed and never shown
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
    /// Deliver it as a file, whose path the workload finds in the variable
    #[arg(long)]
    pub(crate) as_file: bool,
    /// Allow an exported name that changes how programs load or run (administrator)
    #[arg(long)]
    pub(crate) allow_refused: bool,
    /// Replace this version only, and fail when there is another
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl SetArgs {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        if let Some(preset) = &self.preset {
            // Each field's own name takes the place of this one.
            let like = self.wanted(preset)?;
            let (usual_names, file, json) = (self.usual_names, self.file.as_deref(), self.json);
            return PresetDeposit { preset, like, usual_names, file, json }.run(context).await;
        }
        let wanted = self.wanted(self.name.as_deref().unwrap_or_default())?;
        wanted.check_refusal()?;
        let (client, place) = connect::known(context)?;
        let value = input::value(context, wanted.name.as_str(), self.file.as_deref())?;
        let mut deposits = DepositClient::open(context, client, &place).await?;
        let existing = deposits.existing(&wanted.name, wanted.scope).await?;
        let stored = match (&existing, &self.if_version) {
            (None, Some(_)) => {
                return Err(CliError::new(
                    Exit::TryAgain,
                    format_args!("{} is not there to be replaced", wanted.name),
                )
                .hint("without --if-version it would be made"));
            }
            (None, None) => deposits.create(&wanted, &value).await?,
            (Some(existing), version) => {
                deposits.replace(existing, &wanted, &value, version.as_deref()).await?
            }
        };
        warn(&stored);
        if self.json {
            context.output.json(&stored)?;
        } else {
            context.output.line(told(&stored, existing.is_none()))?;
        }
        Ok(Exit::Success)
    }

    fn wanted(&self, name: &str) -> Result<DepositSpec, CliError> {
        if name.contains('=') {
            return Err(CliError::usage("NAME=VALUE is not taken").hint(usage::NO_VALUE_HERE));
        }
        let name =
            SecretName::parse(name).map_err(|error| CliError::refused(error).maybe_hint(error.hint()))?;
        let scope = if self.shared { ScopeKind::Shared } else { ScopeKind::Private };
        Ok(DepositSpec {
            env: self.env.as_deref().map(|env| named(EnvName::parse(env), "--as")).transpose()?,
            kind: match (self.plain, self.encrypted) {
                (true, _) => Some(Kind::Plain),
                (_, true) => Some(Kind::Encrypted),
                _ => None,
            },
            delivery: self.as_file.then_some(Delivery::File),
            attributes: self.attributes.patch()?,
            allow_refused: self.allow_refused,
            ..DepositSpec::of(name, scope)
        })
    }
}

/// Puts the place before a fault of a name.
pub(crate) fn named<T>(parsed: Result<T, NameError>, place: &str) -> Result<T, CliError> {
    parsed.map_err(|error| CliError::refused(error).during(place).maybe_hint(error.hint()))
}

/// What is said of a deposit.
pub(crate) fn told(stored: &SecretView, new: bool) -> String {
    let mut about = vec![stored.scope.to_string(), if new { "new" } else { "replaced" }.to_owned()];
    if stored.kind == Kind::Plain {
        about.push("plain".to_owned());
    }
    if stored.delivery == Delivery::File {
        about.push("as a file".to_owned());
    }
    if !stored.attributes.auto_install {
        about.push("not installed unless asked for".to_owned());
    }
    about.push(format!("version {}", stored.version));
    format!("{} is exported as {} ({})", stored.name, stored.env, about.join(", "))
}

/// What the store noticed, on standard error.
pub(crate) fn warn(stored: &SecretView) {
    for warning in &stored.warnings {
        output::warn(format!("{}: {}", stored.name, output::harmless(warning)));
    }
}
