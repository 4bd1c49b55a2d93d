//! `explain`: what a boot would export and why, from the plan that a boot would make. It spends no use of the ticket, starts nothing,
//! and has no value to show.

use std::fmt::Write as _;
use std::io;
use std::io::Write as _;

use serde_json::{Value, json};

use super::config::AgentSettings;
use super::environment_plan::{EnvironmentPlan, PlanInputs, PlannedVariable, ValueOrigin};
use super::error::AgentError;
use super::local_variables::{Layer, LocalVariables};
use super::machine::RealFiles;
use super::plan_error::{PlanErrors, display_name};
use super::{environment_plan, fetch, identity_source, withheld};
use crate::domain::receipt::ReceiptEntry;
use crate::domain::resolve::Skipped;
use crate::process::Exit;
use crate::settings::Environment;
use crate::wire::ExplainResponse;

/// Asks the store, makes the plan and prints it.
///
/// # Errors
/// The first step that fails. An error of the plan is part of what is printed.
pub(crate) fn run(
    settings: AgentSettings,
    local: LocalVariables,
    environment: &Environment,
    json: bool,
) -> Result<Exit, AgentError> {
    let located = identity_source::locate(&settings, environment, &RealFiles)?;
    let references = environment_plan::references(&settings.layers, &local.variables)?;
    let request = fetch::build_request(&settings, &references);
    let explanation = fetch::explain(&located.identity, &request, &fetch::options(&settings))?;
    let (plan, errors) = environment_plan::build(PlanInputs::new(&settings, &local, &explanation.receipt));
    let report = ExplainReport {
        noun: located.identity.noun(),
        explanation: &explanation,
        plan: &plan,
        errors: &errors,
    };
    let text = if json { format!("{:#}\n", report.json()) } else { report.text() };
    // A reader that closed the pipe has seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(if errors.is_empty() { Exit::Success } else { Exit::Configuration })
}

struct ExplainReport<'a> {
    /// What expires.
    noun: &'static str,
    explanation: &'a ExplainResponse,
    plan: &'a EnvironmentPlan,
    errors: &'a PlanErrors,
}

impl<'a> ExplainReport<'a> {
    fn json(&self) -> Value {
        let ExplainResponse { organization, member, receipt, locked, uses_left, expires_at } =
            self.explanation;
        json!({
            "organization": organization,
            "member": member,
            "locked": locked,
            "uses_left": uses_left,
            "expires_at": expires_at,
            "revision": receipt.revision,
            "variables": self.plan.variables.iter().map(|variable| self.variable(variable)).collect::<Vec<_>>(),
            "skipped": receipt.skipped.iter().map(skipped).collect::<Vec<_>>(),
            "missing_optional": self.plan.missing_optional.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            "obstacles": self.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    fn variable(&self, variable: &PlannedVariable) -> Value {
        let entry = self.entry(variable);
        let secrets = entry.map_or(&[][..], |entry| &entry.shadows);
        let secrets = secrets.iter().map(|secret| {
            json!({ "layer": secret.scope_kind, "name": secret.name, "id": secret.id, "version": secret.version })
        });
        let layers = variable.shadows.iter().map(|layer| json!({ "layer": layer.as_str() }));
        json!({
            "env": display_name(&variable.name),
            "layer": variable.layer.as_str(),
            "name": entry.map(|entry| &entry.name),
            "id": entry.map(|entry| entry.id),
            "scope": entry.map(|entry| entry.scope),
            "version": entry.map(|entry| entry.version),
            "type": entry.map(|entry| entry.kind),
            "delivery": entry.map(|entry| entry.delivery),
            "by": entry.map(|entry| entry.by),
            "converted": entry.is_some_and(|entry| entry.name.as_str() != entry.env.as_str()),
            "reference": matches!(variable.origin, ValueOrigin::Reference { .. }),
            "shadows": secrets.chain(layers).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut text = self.heading();
        // Inherited variables that touch nothing else are only counted: there are dozens, and they hide what the person asked about.
        let is_listed = |v: &&PlannedVariable| {
            v.layer != Layer::Environment || !v.shadows.is_empty() || self.entry(v).is_some()
        };
        let (listed, inherited): (Vec<&PlannedVariable>, Vec<&PlannedVariable>) =
            self.plan.variables.iter().partition(is_listed);
        let rows = listed.iter().map(|variable| self.row(variable)).collect::<Vec<_>>();
        append_table(&mut text, ["VARIABLE", "FROM", "SECRET", "SHADOWS"], &rows);
        if !inherited.is_empty() {
            let plural = if inherited.len() == 1 { "" } else { "s" };
            let _ = writeln!(text, "and {} unchanged variable{plural} of the environment", inherited.len());
        }
        let skipped = &self.explanation.receipt.skipped;
        if !skipped.is_empty() {
            text.push_str("\nNot exported:\n");
            let row = |s: &Skipped| {
                let reason = s.reason.to_string().replace('_', " ");
                [s.name.to_string(), s.env.to_string(), s.scope_kind.to_string(), reason]
            };
            let rows: Vec<_> = skipped.iter().map(row).collect();
            append_table(&mut text, ["SECRET", "WOULD BE", "SCOPE", "REASON"], &rows);
        }
        for (message, remedy) in withheld::messages(&self.explanation.receipt) {
            let _ = writeln!(text, "\n{message}\nhint: {remedy}");
        }
        for name in &self.plan.missing_optional {
            let _ = writeln!(text, "\nOptional and missing: {name}");
        }
        if !self.errors.is_empty() {
            let _ = writeln!(text, "\nA boot would not start:\n{}", self.errors);
            if let Some(hint) = self.errors.hint() {
                let _ = writeln!(text, "hint: {hint}");
            }
        }
        text
    }

    fn heading(&self) -> String {
        let ExplainResponse { organization, member, receipt, locked, uses_left, expires_at } =
            self.explanation;
        let mut text =
            format!("A boot for {member} of {organization}, at the store's revision {}", receipt.revision);
        let expires = expires_at.as_ref().map(|at| format!("the {} expires at {at}", self.noun));
        let uses = uses_left.map(|uses| format!("uses left: {uses}"));
        for part in expires.into_iter().chain(uses) {
            // Writing to a string cannot fail.
            let _ = write!(text, "; {part}");
        }
        text.push('\n');
        if *locked {
            text.push_str("The store is locked: a boot would wait until it is unlocked.\n");
        }
        text
    }

    fn row(&self, variable: &PlannedVariable) -> [String; 4] {
        let entry = self.entry(variable);
        let secret = entry.map_or_else(String::new, |entry| match variable.origin {
            ValueOrigin::Reference { .. } => format!("dropsafe:{} ({})", entry.name, entry.scope),
            _ => entry.name.to_string(),
        });
        let secrets = entry
            .into_iter()
            .flat_map(|entry| &entry.shadows)
            .map(|s| format!("{} {}", s.scope_kind, s.name));
        let layers = variable.shadows.iter().map(ToString::to_string);
        let shadows: Vec<String> = secrets.chain(layers).collect();
        [display_name(&variable.name), variable.layer.to_string(), secret, shadows.join(", ")]
    }

    /// The secret that a variable is, or refers to.
    fn entry(&self, variable: &PlannedVariable) -> Option<&'a ReceiptEntry> {
        match variable.origin {
            ValueOrigin::Released(entry) | ValueOrigin::Reference { entry, .. } => {
                self.explanation.receipt.entries.get(entry)
            }
            ValueOrigin::Local(_) => None,
        }
    }
}

fn skipped(skipped: &Skipped) -> Value {
    json!({
        "name": skipped.name,
        "env": skipped.env,
        "id": skipped.id,
        "scope": skipped.scope_kind,
        "version": skipped.version,
        "reason": skipped.reason,
    })
}

fn append_table(text: &mut String, head: [&str; 4], rows: &[[String; 4]]) {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; 4]| {
        // The last column is not padded: its cells may be long, and trailing spaces end up in what people paste.
        let [a, b, c, _] = widths;
        let row = format!("{:a$}  {:b$}  {:c$}  {}", cells[0], cells[1], cells[2], cells[3]);
        text.push_str(row.trim_end());
        text.push('\n');
    };
    line(head);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
}
