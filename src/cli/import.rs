//! `dropsafe import`: stores the lines of a .env file, after it has planned all of them.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::context::CliContext;
use super::deposit::DepositClient;
use super::error::{CliError, CommandResult};
use super::progress::ProgressIndicator;
use super::table::TextTable;
use super::{connect, env_file, files, input};
use crate::client::{ImportEntry, ImportPlan, PlannedEntry, VersionTagger};
use crate::crypto::memory::Key32;
use crate::domain::id::{SecretId, VersionId};
use crate::domain::import::ImportOutcome;
use crate::domain::name::EnvName;
use crate::domain::secret::ScopeKind;
use crate::domain::value::Kind;
use crate::process::Exit;

/// Deposit the lines of a .env file
///
/// Plans all lines first, and stores none of them if one is refused. A name may be
/// any that `dropsafe set` takes. Nothing is expanded: what programs would read
/// differently is refused with its line; 'single quotes' keep a value as it stands,
/// also over several lines.
///
/// If the store fails on the way, import the file again: a value that this machine
/// has already imported is unchanged, and keeps its version.
///
/// A comment of the form `# dropsafe: WORD …` sets attributes of the next line's
/// secret: no-install, plain, file, allow-refused, plugin=NAME, category=NAME, and
/// as the last one description=TEXT.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ImportArgs {
    /// The file; - for standard input
    #[arg(value_name = "FILE.env")]
    pub(crate) file: PathBuf,
    /// For every boot of the organization
    #[arg(long)]
    pub(crate) shared: bool,
    /// For your own boots only (default)
    #[arg(long, conflicts_with = "shared")]
    pub(crate) private: bool,
    /// For the boots of a service that you manage
    #[arg(long = "for", value_name = "SERVICE", conflicts_with_all = ["shared", "private"])]
    pub(crate) owner: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// 5,000 lines of 64 KiB, and their quoting.
const LONGEST_FILE: usize = 400 << 20;
/// All of its buffer is reserved, and wiped afterwards, since the length is not known in advance.
const LONGEST_INPUT: usize = 16 << 20;

impl ImportArgs {
    pub(crate) async fn run(self, context: &mut CliContext) -> CommandResult {
        let scope = if self.shared { ScopeKind::Shared } else { ScopeKind::Private };
        let entries = read(&self.file)?;
        let (client, address) = connect::open_client_with_address(context)?;
        let mut deposits = DepositClient::open(context, client, &address, self.owner).await?;
        let mut plan = deposits.plan_import(scope, entries, load_tagger(context)?).await?;
        if !self.json {
            let mut table = TextTable::new(["LINE", "NAME", "EXPORTED AS", "WHAT"]);
            table.rows(&mut context.output, plan.entries.iter().map(row))?;
        }
        let refused = count(&plan, ImportOutcome::Refused);
        let stored = if refused > 0 || self.dry_run { Ok(()) } else { store(&mut deposits, &mut plan).await };
        if self.json {
            let entries: Vec<_> = plan.entries.iter().map(EntryJson::new).collect();
            context.output.json(&entries)?;
        }
        stored?;
        if refused > 0 {
            let lines = plan.entries.len();
            return Err(CliError::failed(format_args!(
                "nothing is stored: {refused} of {lines} lines are refused"
            )));
        }
        let pending = plan.entries.iter().filter(|planned| planned.is_pending()).count();
        if self.dry_run {
            context.output.note(format!("nothing is stored: {pending} lines would be"));
        } else if !self.json {
            let stored = plan.entries.iter().filter(|planned| planned.stored).count();
            let unchanged = match plan.entries.len() - stored {
                0 => String::new(),
                unchanged => format!(", unchanged: {unchanged}"),
            };
            context.output.line(format!("stored: {stored}{unchanged}"))?;
            if count(&plan, ImportOutcome::Replace) > 0 {
                // One hint and not a count for each line, which would be a request for each.
                context.output.note(
                    "running boots may still hold older values: `dropsafe stats` counts them, and \
                     `dropsafe boots NAME --wait` waits for their end",
                );
            }
        }
        Ok(Exit::Success)
    }
}

/// Reads the lines of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<ImportEntry>, CliError> {
    let (bytes, name) = if path == Path::new("-") {
        (input::read_stdin(LONGEST_INPUT)?, "standard input".to_owned())
    } else {
        (files::read_sized(path, LONGEST_FILE, LONGEST_INPUT)?, path.display().to_string())
    };
    env_file::parse(&bytes).map_err(|faults| {
        let lines: String =
            faults.iter().map(|fault| format!("\n  line {}: {}", fault.number, fault.message)).collect();
        CliError::failed(format_args!("{name} cannot be imported, and nothing is stored:{lines}"))
    })
}

/// The key of this machine's version ids, which is created on first use.
fn load_tagger(context: &CliContext) -> Result<VersionTagger, CliError> {
    let Some(path) = context.environment.config_folder().map(|folder| folder.join("import.key")) else {
        return Ok(VersionTagger::random());
    };
    if let Some(bytes) = files::read_optional(&path)?
        && let Ok(key) = bytes.as_slice().try_into()
    {
        return Ok(VersionTagger::new(Key32::copy_of(key)));
    }
    let tagger = VersionTagger::random();
    // A container's file system may be read-only. Then a repeated import replaces what it could have kept.
    files::write_private(&path, tagger.key().expose()).ok();
    Ok(tagger)
}

async fn store(deposits: &mut DepositClient, plan: &mut ImportPlan) -> Result<(), CliError> {
    let count = plan.entries.iter().filter(|planned| planned.is_pending()).count();
    let bar = ProgressIndicator::steps("storing", count as u64);
    let mut done = 0;
    let mut advance = |lines| {
        done += lines;
        bar.advance(lines as u64);
    };
    let stored = deposits.store_import(plan, &mut advance).await;
    stored.map_err(|error| {
        // The last request may have stored some of its lines, too: it has several commits.
        let rest =
            format!("at least {done} of {count} lines are stored; import the file again to store the rest");
        let hint = error.hint.as_ref().map_or(rest.clone(), |hint| format!("{rest}; {hint}"));
        error.hint(hint)
    })
}

fn count(plan: &ImportPlan, fate: ImportOutcome) -> usize {
    plan.entries.iter().filter(|planned| planned.view.fate == fate).count()
}

/// A line of a JSON report.
#[derive(Serialize)]
struct EntryJson<'a> {
    line: usize,
    name: &'a str,
    env: EnvName,
    /// `new`, `replaces`, `unchanged`, `refused` or `stored`.
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<SecretId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<VersionId>,
}

impl<'a> EntryJson<'a> {
    fn new(planned: &'a PlannedEntry) -> Self {
        let PlannedEntry { entry, view, stored } = planned;
        Self {
            line: entry.line,
            name: entry.name.as_str(),
            env: planned.env(),
            fate: match (view.fate, *stored) {
                (_, true) => "stored",
                (ImportOutcome::Create, _) => "new",
                (ImportOutcome::Replace, _) => "replaces",
                (ImportOutcome::Refused, _) => "refused",
                (ImportOutcome::Keep | ImportOutcome::Clear | ImportOutcome::Nothing, _) => "unchanged",
            },
            why: view.why.as_deref(),
            // The ids of a plan are those before the import.
            id: view.secret.filter(|_| *stored),
            version: view.version.filter(|_| *stored),
        }
    }
}

fn row(planned: &PlannedEntry) -> [String; 4] {
    let json = EntryJson::new(planned);
    let what = match (json.fate, json.why) {
        ("refused", Some(why)) => format!("refused: {why}"),
        // Somebody may have made it plain, and nothing of the file says so.
        ("replaces", _) if planned.kind() == Kind::Plain => {
            "replaces the value (plain: it can be displayed)".to_owned()
        }
        ("replaces", _) => "replaces the value".to_owned(),
        (fate, _) => fate.to_owned(),
    };
    [json.line.to_string(), json.name.to_owned(), json.env.to_string(), what]
}
