//! A `.env` file as deposits: what becomes of each line, and all of it or nothing.

use crate::domain::attributes::Attributes;
use crate::domain::audit::{AuditAction, AuditText, DetailKey};
use crate::domain::id::SecretId;
use crate::domain::import::{self, ExistingPolicy, ImportOutcome};
use crate::domain::name::{EnvName, SecretName};
use crate::domain::role::Action;
use crate::domain::secret::ScopeKind;
use crate::domain::value::{Kind, SecretValue, ValueWarning};
use crate::store::rules::audit::EventBuilder;
use crate::store::rules::caller::Caller;
use crate::store::rules::error::Error;
use crate::store::rules::secrets::Deposit;
use crate::store::rules::secrets::many::{Item, Rules};
use crate::store::rules::store::Store;

/// A file, and where its lines go. All but the file, the scope and `existing` is for secrets that are new: those that are
/// there keep their attributes.
#[derive(Debug)]
pub struct ImportAsk {
    /// The file, as [`crate::domain::import`] reads it. What its comments say of a line holds for that line, new or not.
    pub text: SecretValue,
    /// Shared, or the caller's own.
    pub scope: ScopeKind,
    /// What to do with secrets that are there already: of the same name, or exported alike.
    pub existing: ExistingPolicy,
    /// Encrypted or plain.
    pub kind: Kind,
    /// Of new secrets.
    pub attributes: Attributes,
}

/// What became of a file, or would.
#[derive(Clone, Debug)]
pub struct ImportReport {
    /// Its assignments and faults, in their order.
    pub lines: Vec<ImportLine>,
    /// Whether it is stored. If not, it was a preview, or a line is refused and nothing is stored.
    pub stored: bool,
}

/// What becomes of one line.
#[derive(Clone, Debug)]
pub struct ImportLine {
    /// Counted from 1.
    pub line: usize,
    /// The name, as far as one could be read; of a secret that is there, that one's.
    pub name: Option<SecretName>,
    /// What it is exported as.
    pub env: Option<EnvName>,
    /// What becomes of it.
    pub fate: ImportOutcome,
    /// Why it is refused, and what to do.
    pub why: Option<String>,
    /// What the depositor should know.
    pub warnings: Vec<ValueWarning>,
    /// The secret that is there, or was made.
    pub secret: Option<SecretId>,
}

impl Store {
    /// Stores a file's lines in one commit, or none of them; with `preview` none in any case. Works locked.
    pub async fn import(
        &self,
        caller: &Caller,
        ask: ImportAsk,
        preview: bool,
    ) -> Result<ImportReport, Error> {
        let audit_action = AuditAction::SecretImport;
        let scope = self.scope(caller, ask.scope, None).await?;
        self.permit(caller, Action::Deposit(scope), audit_action, None).await?;
        let mut lines = Vec::new();
        let (mut items, mut places) = (Vec::new(), Vec::new());
        let read = import::lines(ask.text.expose());
        let (mut said, comments) = import::attributes(ask.text.expose(), &read);
        for import::ImportLine { line, name, value } in read {
            let env = name.as_ref().map(SecretName::export);
            let (why, fate) = match (name.clone(), value) {
                (Some(name), Ok(value)) => {
                    let options = said.remove(&line).unwrap_or_default();
                    items.push(Item { name, env: None, deposit: Some(Deposit::Value(value)), options });
                    places.push(lines.len());
                    (None, ImportOutcome::Create)
                }
                (_, Err(kind)) => (Some(told_fault(kind)), ImportOutcome::Refused),
                (None, Ok(_)) => continue,
            };
            lines.push(ImportLine { line, name, env, fate, why, warnings: Vec::new(), secret: None });
        }
        if items.len() > self.most_at_once() {
            let why = "it has more lines than the byte store takes in one commit: divide it";
            return Err(Error::Invalid { field: "env", why });
        }
        for (line, fault) in comments {
            let (fate, why) = (ImportOutcome::Refused, Some(fault.to_string()));
            let (name, env, warnings) = (None, None, Vec::new());
            lines.push(ImportLine { line, name, env, fate, why, warnings, secret: None });
        }
        let faulty = lines.iter().any(|line| line.fate == ImportOutcome::Refused);
        let rules = Rules {
            scopes: vec![scope],
            new_in: scope,
            existing: ask.existing,
            kind: ask.kind,
            attributes: ask.attributes,
        };
        let count = AuditText::number(items.len() as u64);
        let event =
            caller.event(audit_action).detail(DetailKey::Count, count).detail(DetailKey::Scope, ask.scope);
        let (plan, stored) =
            self.put_many(caller, &items, &rules, preview || faulty || items.is_empty(), Some(event)).await?;
        for (place, planned) in places.into_iter().zip(plan) {
            let line = &mut lines[place];
            line.why = planned.reason();
            line.fate = planned.fate;
            line.warnings = planned.warnings;
            if let Some(secret) = planned.secret {
                line.secret = (stored || planned.fate != ImportOutcome::Create).then_some(secret.id);
                line.name = Some(secret.name);
                line.env = Some(secret.env);
            }
        }
        lines.sort_by_key(|line| line.line);
        Ok(ImportReport { lines, stored })
    }
}

fn told_fault(kind: import::ImportFaultKind) -> String {
    match kind.hint() {
        Some(hint) => format!("{kind}; {hint}"),
        None => kind.to_string(),
    }
}
