//! `dropsafe import`: a file of NAME=VALUE lines. Everything that can be checked is checked before the first is stored.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::context::CliContext;
use super::deposit::{DepositClient, DepositSpec, print_warnings};
use super::env_file::EnvFileDeposit;
use super::error::{CliError, CommandResult};
use super::progress::ProgressIndicator;
use super::table::TextTable;
use super::{connect, env_file, files, input};
use crate::client::{Client, SecretListFilter};
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Delivery, check};
use crate::process::Exit;
use crate::wire::SecretView;

/// Deposit the lines of a .env file
///
/// Shows what becomes of each line, and stores either none of them or, unless the
/// store fails on the way, all. A name may be any that `dropsafe set` takes.
/// Nothing is expanded: what programs would read differently is refused with its
/// line; 'single quotes' keep a value as it stands, also over several lines.
///
/// A comment of the form `# dropsafe: WORD …` sets attributes of the next line's
/// secret: no-install, plain, file, allow-refused, plugin=NAME, category=NAME.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Import {
    /// The file; - for standard input
    #[arg(value_name = "FILE.env")]
    pub(crate) file: PathBuf,
    /// For every boot of the organization
    #[arg(long)]
    pub(crate) shared: bool,
    /// For your own boots only (default)
    #[arg(long, conflicts_with = "shared")]
    pub(crate) private: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Larger than any file of variables that a machine could boot with.
const LONGEST_FILE: usize = 16 << 20;

impl Import {
    /// Runs it.
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let scope = if self.shared { ScopeKind::Shared } else { ScopeKind::Private };
        let lines = read(&self.file, scope)?;
        let (client, place) = connect::open_client_with_address(context)?;
        let mut deposits = DepositClient::open(context, client, &place).await?;
        let ceiling = deposits.variable_ceiling().await?;
        let mut plan = Vec::with_capacity(lines.len());
        for line in lines {
            plan.push(planned(&mut deposits, line, ceiling).await?);
        }
        let refused = plan.iter().filter(|entry| matches!(entry.fate, Fate::Refused(_))).count();
        let go = refused == 0 && !self.dry_run;
        if !self.json {
            let mut table = TextTable::new(["LINE", "NAME", "EXPORTED AS", "WHAT"]);
            table.rows(&mut context.output, plan.iter().map(Entry::row))?;
        }
        let stored = if go { store(&mut deposits, &mut plan).await } else { Ok(()) };
        if self.json {
            let entries: Vec<_> = plan.iter().map(Entry::report).collect();
            context.output.json(&entries)?;
        }
        stored?;
        if refused > 0 {
            return Err(CliError::failed(format_args!(
                "nothing is stored: {refused} of {} lines are refused",
                plan.len()
            )));
        }
        if self.dry_run {
            context.output.note(format!("nothing is stored: {} lines would be", plan.len()));
        } else if !self.json {
            context.output.line(format!("stored: {}", plan.len()))?;
        }
        Ok(Exit::Success)
    }
}

/// The lines of a file.
pub(crate) fn read(path: &Path, scope: ScopeKind) -> Result<Vec<EnvFileDeposit>, CliError> {
    let (bytes, name) = if path == Path::new("-") {
        (input::read_stdin(LONGEST_FILE)?, "standard input".to_owned())
    } else {
        (files::read(path, LONGEST_FILE)?, path.display().to_string())
    };
    env_file::parse(&bytes, scope).map_err(|faults| {
        let lines: String =
            faults.iter().map(|fault| format!("\n  line {}: {}", fault.number, fault.message)).collect();
        CliError::failed(format_args!("{name} cannot be imported, and nothing is stored:{lines}"))
    })
}

/// A line and what becomes of it.
struct Entry {
    line: EnvFileDeposit,
    existing: Option<SecretView>,
    fate: Fate,
}

enum Fate {
    New,
    Replaces,
    Refused(String),
    Stored(Box<SecretView>),
}

/// The entry of a JSON report.
#[derive(Serialize)]
struct Report<'a> {
    line: usize,
    name: &'a str,
    env: String,
    /// `new`, `replaces` or `refused`; in the past tense, `stored`.
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

impl Entry {
    fn env(&self) -> String {
        match &self.existing {
            Some(existing) => existing.env.clone(),
            None => self.line.spec.exported_name().to_string(),
        }
    }

    fn row(&self) -> [String; 4] {
        let what = match &self.fate {
            Fate::New => "new".to_owned(),
            Fate::Replaces => "replaces the value".to_owned(),
            Fate::Refused(why) => format!("refused: {why}"),
            Fate::Stored(_) => "stored".to_owned(),
        };
        [self.line.number.to_string(), self.line.spec.name.to_string(), self.env(), what]
    }

    fn report(&self) -> Report<'_> {
        let (fate, why, stored) = match &self.fate {
            Fate::New => ("new", None, None),
            Fate::Replaces => ("replaces", None, None),
            Fate::Refused(why) => ("refused", Some(why.as_str()), None),
            Fate::Stored(view) => ("stored", None, Some(view)),
        };
        Report {
            line: self.line.number,
            name: self.line.spec.name.as_str(),
            env: self.env(),
            fate,
            why,
            id: stored.map(|view| view.id.as_str()),
            version: stored.map(|view| view.version.as_str()),
        }
    }
}

/// What would become of a line, as far as that can be known beforehand.
async fn planned(
    deposits: &mut DepositClient,
    line: EnvFileDeposit,
    ceiling: u32,
) -> Result<Entry, CliError> {
    let existing = deposits.find_existing(&line.spec.name, line.spec.scope).await?;
    let why = match &existing {
        Some(_) => None,
        None => match line.spec.check_refused_name() {
            Err(failure) => Some(failure.message),
            Ok(()) => collision(deposits, &line.spec).await?,
        },
    };
    let why = why.or_else(|| unfit(&line, existing.as_ref(), ceiling));
    let fate = match (why, &existing) {
        (Some(why), _) => Fate::Refused(why),
        (None, Some(_)) => Fate::Replaces,
        (None, None) => Fate::New,
    };
    Ok(Entry { line, existing, fate })
}

/// Another secret of the same scope that is exported under the same name.
async fn collision(deposits: &mut DepositClient, wanted: &DepositSpec) -> Result<Option<String>, CliError> {
    let env = wanted.exported_name();
    let filter = SecretListFilter {
        name: Some(env.to_string()),
        scope: Some(wanted.scope),
        ..SecretListFilter::default()
    };
    let owner = deposits.identity().to_owned();
    let found = Client::secrets(&filter).all(deposits.client()).await?;
    let other = found.into_iter().find(|secret| {
        secret.env == env.as_str()
            && (secret.scope == ScopeKind::Shared || secret.owner.as_deref() == Some(owner.as_str()))
    });
    Ok(other.map(|secret| format!("{} is exported under the same name", secret.name)))
}

fn unfit(line: &EnvFileDeposit, existing: Option<&SecretView>, ceiling: u32) -> Option<String> {
    let kept = existing.map_or(Delivery::Variable, |secret| secret.delivery);
    let delivery = line.spec.delivery.unwrap_or(kept);
    check(&line.value, &line.spec.exported_name(), delivery, ceiling).err().map(|error| error.to_string())
}

async fn store(deposits: &mut DepositClient, plan: &mut [Entry]) -> Result<(), CliError> {
    let bar = ProgressIndicator::steps("storing", plan.len() as u64);
    let count = plan.len();
    for (done, entry) in plan.iter_mut().enumerate() {
        let (line, existing) = (&entry.line, entry.existing.as_ref());
        let stored = match existing {
            Some(existing) => {
                deposits.replace(existing, &line.spec, &line.value, Some(&existing.version)).await
            }
            None => deposits.create(&line.spec, &line.value).await,
        };
        let stored = stored.map_err(|failure| {
            let failure = failure.context(format_args!("line {}", line.number));
            let rest =
                format!("{done} of {count} lines are stored; import the file again to store all of it");
            let hint = failure.hint.as_ref().map_or(rest.clone(), |hint| format!("{rest}; {hint}"));
            failure.hint(hint)
        })?;
        print_warnings(&stored);
        entry.fate = Fate::Stored(Box::new(stored));
        bar.advance(1);
    }
    Ok(())
}
