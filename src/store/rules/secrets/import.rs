//! Importing: the text of a `.env` file, or lines that a client has parsed and sealed, as items of one batch.

use std::collections::BTreeMap;

use crate::domain::attributes::Attributes;
use crate::domain::audit::{AuditAction, DetailKey};
use crate::domain::id::VersionId;
use crate::domain::import::{self, ExistingPolicy, ImportFaultKind, ImportLine, ImportOutcome, LineOptions};
use crate::domain::name::{EnvName, MemberName, SecretName};
use crate::domain::role::Action;
use crate::domain::secret::{Scope, ScopeKind, SecretMeta};
use crate::domain::value::{Kind, SecretValue, ValueWarning};
use crate::store::rules::audit::EventBuilder;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::Deposit;
use crate::store::rules::secrets::batch::BatchMode;
use crate::store::rules::secrets::batch_item::{BatchItem, BatchRules, ItemLookup, ItemValue};
use crate::store::rules::secrets::batch_plan::PlannedItem;
use crate::store::rules::store::Store;

/// Lines of one import. Its plan is in memory as a whole, and takes a few KiB for each.
const MAX_LINES: usize = 10_000;
/// Line breaks of a file at most, those inside quoted values included.
const MAX_LINE_BREAKS: usize = 200_000;

/// An import. `kind` and `attributes` are for new secrets: existing ones keep theirs, unless a line sets them.
#[derive(Debug)]
pub struct ImportAsk {
    /// The lines.
    pub source: ImportSource,
    /// Shared or private.
    pub scope: ScopeKind,
    /// The owner of private secrets. Absent: the caller.
    pub owner: Option<MemberName>,
    /// What to do with secrets that exist.
    pub existing: ExistingPolicy,
    /// Encrypted or plain.
    pub kind: Kind,
    /// The attributes.
    pub attributes: Attributes,
}

/// The lines of an import.
#[derive(Debug)]
pub enum ImportSource {
    /// The text of a file, in the syntax of [`crate::domain::import`]. A line means the secret that is exported under its
    /// exported name, or else the one of its name.
    Text(SecretValue),
    /// Parsed lines. Each means the secret of its name.
    Items(Vec<ImportItem>),
}

/// A line that is parsed.
#[derive(Debug)]
pub struct ImportItem {
    /// The name.
    pub name: SecretName,
    /// The value. A preview needs none.
    pub deposit: Option<Deposit>,
    /// The length of the value, in bytes: with it, a preview foresees what budgets would refuse.
    pub value_len: Option<u32>,
    /// The settings of this secret, new or not.
    pub options: LineOptions,
    /// Refuses the item unless its secret exists with this version.
    pub if_version: Option<VersionId>,
}

/// The result of an import or of its preview.
#[derive(Clone, Debug)]
pub struct ImportReport {
    /// The assignments and faults, in their order.
    pub lines: Vec<ImportLineReport>,
    /// Whether the lines are stored. False for a preview, and if a line is refused.
    pub stored: bool,
}

/// The result of one line.
#[derive(Clone, Debug)]
pub struct ImportLineReport {
    /// The number of the line or item, from 1.
    pub line: usize,
    /// The name, if it could be read. That of the secret, if it exists.
    pub name: Option<SecretName>,
    /// The exported name.
    pub env: Option<EnvName>,
    /// What the import does with it.
    pub fate: ImportOutcome,
    /// Why it is refused, and what to do.
    pub why: Option<String>,
    /// What the depositor should know.
    pub warnings: Vec<ValueWarning>,
    /// The secret, if it exists or was created.
    pub secret: Option<SecretMeta>,
    /// Whether the secret exists with the settings that the line asks for, so that only its value may differ.
    pub same_settings: bool,
}

impl Store {
    /// Stores all lines, or none if one of them is refused. A preview stores none. Works locked.
    ///
    /// Many lines take several commits. After an error between two of them, a repetition stores the rest.
    pub async fn import(
        &self,
        caller: &Caller,
        ask: ImportAsk,
        preview: bool,
    ) -> Result<ImportReport, Error> {
        let audit_action = AuditAction::SecretImport;
        let scope = self.scope(caller, ask.scope, ask.owner.as_ref()).await?;
        self.permit(caller, Action::Deposit(caller.scope_subject(scope)), audit_action, None).await?;
        let (field, (mut lines, items)) = match ask.source {
            ImportSource::Text(text) => ("env", read_text(&text)?),
            ImportSource::Items(items) if items.len() <= MAX_LINES => ("items", read_items(items)),
            ImportSource::Items(_) => return Err(too_many_lines("items")),
        };
        if !preview && items.iter().any(|item| matches!(item.value, ItemValue::Later(_))) {
            return Err(Error::Invalid { field, why: "an item without a value is for a preview only" });
        }
        // A file with a fault is planned nevertheless: its author sees the fate of all other lines at once.
        let refused = lines.iter().any(|line| line.fate == ImportOutcome::Refused);
        let mut event = caller.event(audit_action).detail(DetailKey::Scope, ask.scope);
        if let Scope::Private(owner) = scope {
            // So that a service's other managers find it.
            event = event.detail(DetailKey::Owner, owner);
        }
        // Without items there is nothing to commit, and an entry about nothing would only be noise.
        let mode = match preview || refused || items.is_empty() {
            true => BatchMode::Preview,
            false => BatchMode::Commits(event),
        };
        let rules = BatchRules {
            scopes: vec![scope],
            new_in: scope,
            existing: ask.existing,
            kind: ask.kind,
            attributes: ask.attributes,
        };
        let (plan, stored) = self.put_batch(caller, &items, &rules, mode).await?;
        // Each line without a fault of its own is one item, in the same order.
        let planned = lines.iter_mut().filter(|line| line.fate != ImportOutcome::Refused).zip(plan);
        planned.for_each(|(line, item)| line.complete(item, stored));
        // The faults of comments were found last.
        lines.sort_by_key(|line| line.line);
        Ok(ImportReport { lines, stored })
    }
}

/// Parses a file. Its faults are refused lines, and all other lines are items.
fn read_text(text: &SecretValue) -> Result<(Vec<ImportLineReport>, Vec<BatchItem>), Error> {
    // Both limits are checked before anything is built from the lines: the report of a line takes a hundred times its memory.
    if text.expose().iter().filter(|byte| **byte == b'\n').count() > MAX_LINE_BREAKS {
        return Err(too_many_lines("env"));
    }
    let parsed = import::lines(text.expose());
    let (mut options, comment_faults) = import::attributes(text.expose(), &parsed);
    if parsed.len() + comment_faults.len() > MAX_LINES {
        return Err(too_many_lines("env"));
    }
    let (mut lines, mut items) = (Vec::with_capacity(parsed.len()), Vec::with_capacity(parsed.len()));
    for ImportLine { line, name, value, .. } in parsed {
        match (name, value) {
            (Some(name), Ok(value)) => {
                lines.push(ImportLineReport::new(line, Some(&name)));
                let value = ItemValue::Deposit(Deposit::Value(value));
                // By line and not by name: a name can occur twice, and its second line is a fault.
                let options = options.remove(&line).unwrap_or_default();
                items.push(BatchItem {
                    env: name.export(),
                    name,
                    lookup: ItemLookup::Either,
                    value,
                    options,
                    if_version: None,
                });
            }
            (name, Err(fault)) => {
                lines.push(ImportLineReport::new(line, name.as_ref()).refuse(describe_fault(fault)));
            }
            // A line without a name always has a fault instead of a value.
            (None, Ok(_)) => {}
        }
    }
    let faults = comment_faults.into_iter();
    lines.extend(faults.map(|(line, fault)| ImportLineReport::new(line, None).refuse(fault.to_string())));
    Ok((lines, items))
}

fn too_many_lines(field: &'static str) -> Error {
    Error::Invalid { field, why: "it has more than 10000 lines: split it" }
}

fn read_items(sealed: Vec<ImportItem>) -> (Vec<ImportLineReport>, Vec<BatchItem>) {
    let mut exported: BTreeMap<EnvName, usize> = BTreeMap::new();
    let (mut lines, mut items) = (Vec::with_capacity(sealed.len()), Vec::with_capacity(sealed.len()));
    for (line, ImportItem { name, deposit, value_len, options, if_version }) in (1..).zip(sealed) {
        let report = ImportLineReport::new(line, Some(&name));
        let env = name.export();
        // As a file's parser does: the second of two could not be created after the first.
        let first = *exported.entry(env.clone()).or_insert(line);
        if first != line {
            lines.push(report.refuse(describe_fault(ImportFaultKind::Duplicate { first })));
            continue;
        }
        lines.push(report);
        let value = deposit.map_or(ItemValue::Later(value_len), ItemValue::Deposit);
        items.push(BatchItem { name, env, lookup: ItemLookup::Name, value, options, if_version });
    }
    (lines, items)
}

impl ImportLineReport {
    fn new(line: usize, name: Option<&SecretName>) -> Self {
        Self {
            line,
            name: name.cloned(),
            env: name.map(SecretName::export),
            fate: ImportOutcome::Create,
            why: None,
            warnings: Vec::new(),
            secret: None,
            same_settings: false,
        }
    }

    fn refuse(self, why: String) -> Self {
        Self { fate: ImportOutcome::Refused, why: Some(why), ..self }
    }

    fn complete(&mut self, item: PlannedItem, stored: bool) {
        self.why = item.reason();
        self.fate = item.fate;
        self.warnings = item.warnings;
        self.same_settings = item.same_settings;
        if let Some(secret) = item.secret {
            self.name = Some(secret.name.clone());
            self.env = Some(secret.env.clone());
            self.secret = (stored || item.exists).then_some(secret);
        }
    }
}

fn describe_fault(kind: ImportFaultKind) -> String {
    match kind.hint() {
        Some(hint) => format!("{kind}; {hint}"),
        None => kind.to_string(),
    }
}
