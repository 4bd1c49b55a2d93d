//! `explain`: what a boot would export and why, from the same decision that a boot takes. It spends no use of the ticket, starts
//! nothing, and has no value to show.

use std::fmt::Write as _;
use std::io;
use std::io::Write as _;

use serde_json::{Value, json};

use super::config::Settings;
use super::failure::Failure;
use super::layers::{Inputs, Origin, Plan, Variable};
use super::machine::RealFiles;
use super::obstacle::{Obstacles, shown};
use super::own::{Layer, Own};
use super::{fetch, identity, layers};
use crate::client::BootOptions;
use crate::domain::receipt::ReceiptEntry;
use crate::domain::resolve::Skipped;
use crate::process::Exit;
use crate::settings::Environment;
use crate::wire::ExplainResponse;

/// Asks, decides and prints.
///
/// # Errors
/// The first step that cannot be taken. What would stop a boot only after that is part of the explanation.
pub(crate) fn run(
    (settings, own): (Settings, Own),
    environment: &Environment,
    json: bool,
) -> Result<Exit, Failure> {
    let found = identity::find(&settings, environment, &RealFiles)?;
    let request = fetch::request(&settings, &layers::references(&settings.layers, &own.given)?);
    let options = BootOptions { deadline: settings.deadline, authorities: settings.authorities.clone() };
    let explanation = fetch::explanation(&found.ticket, &request, &options)?;
    let (plan, obstacles) = layers::decide(Inputs::of(&settings, &own, &explanation.receipt));
    let told = Told { explanation: &explanation, plan: &plan, obstacles: &obstacles };
    let text = if json { format!("{:#}\n", told.json()) } else { told.text() };
    // Whoever stopped reading has what they wanted.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(if obstacles.iter().next().is_none() { Exit::Success } else { Exit::Configuration })
}

struct Told<'a> {
    explanation: &'a ExplainResponse,
    plan: &'a Plan,
    obstacles: &'a Obstacles,
}

impl<'a> Told<'a> {
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
            "obstacles": self.obstacles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    fn variable(&self, variable: &Variable) -> Value {
        let entry = self.entry(variable);
        let secrets = entry.map_or(&[][..], |entry| &entry.shadows);
        let of_secrets = secrets.iter().map(|secret| {
            json!({ "layer": secret.scope_kind, "name": secret.name, "id": secret.id, "version": secret.version })
        });
        let of_layers = variable.shadows.iter().map(|layer| json!({ "layer": layer.as_str() }));
        json!({
            "env": shown(&variable.name),
            "layer": variable.layer.as_str(),
            "name": entry.map(|entry| &entry.name),
            "id": entry.map(|entry| entry.id),
            "scope": entry.map(|entry| entry.scope),
            "version": entry.map(|entry| entry.version),
            "type": entry.map(|entry| entry.kind),
            "delivery": entry.map(|entry| entry.delivery),
            "by": entry.map(|entry| entry.by),
            "converted": entry.is_some_and(|entry| entry.name.as_str() != entry.env.as_str()),
            "reference": matches!(variable.origin, Origin::Reference { .. }),
            "shadows": of_secrets.chain(of_layers).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let ExplainResponse { organization, member, receipt, locked, uses_left, expires_at } =
            self.explanation;
        let mut text =
            format!("A boot for {member} of {organization}, at the store's revision {}", receipt.revision);
        let ends = expires_at.as_ref().map(|at| format!("the ticket ends at {at}"));
        let left = uses_left.map(|uses| format!("uses left: {uses}"));
        for part in ends.into_iter().chain(left) {
            // Writing to a string cannot fail.
            let _ = write!(text, "; {part}");
        }
        text.push('\n');
        if *locked {
            text.push_str("The store is locked: a boot would wait for it to be unlocked.\n");
        }

        // What is inherited and touches nothing else would drown the rest.
        let telling =
            |v: &&Variable| v.layer != Layer::Environment || !v.shadows.is_empty() || self.entry(v).is_some();
        let (told, quiet): (Vec<&Variable>, Vec<&Variable>) = self.plan.variables.iter().partition(telling);
        let rows = told.iter().map(|variable| self.row(variable)).collect::<Vec<_>>();
        table(&mut text, ["VARIABLE", "FROM", "SECRET", "SHADOWS"], &rows);
        if !quiet.is_empty() {
            let _ = writeln!(text, "and {} of the environment as they are", counted(quiet.len(), "variable"));
        }
        if !receipt.skipped.is_empty() {
            text.push_str("\nNot exported:\n");
            let row = |s: &Skipped| {
                [
                    s.name.to_string(),
                    s.env.to_string(),
                    s.scope_kind.to_string(),
                    s.reason.to_string().replace('_', " "),
                ]
            };
            let rows: Vec<_> = receipt.skipped.iter().map(row).collect();
            table(&mut text, ["SECRET", "WOULD BE", "SCOPE", "REASON"], &rows);
        }
        for name in &self.plan.missing_optional {
            let _ = writeln!(text, "\nOptional and missing: {name}");
        }
        if self.obstacles.iter().next().is_some() {
            let _ = writeln!(text, "\nA boot would not start:\n{}", self.obstacles);
            if let Some(hint) = self.obstacles.hint() {
                let _ = writeln!(text, "hint: {hint}");
            }
        }
        text
    }

    fn row(&self, variable: &Variable) -> [String; 4] {
        let entry = self.entry(variable);
        let secret = entry.map_or_else(String::new, |entry| match variable.origin {
            Origin::Reference { .. } => format!("dropsafe:{} ({})", entry.name, entry.scope),
            _ => entry.name.to_string(),
        });
        let secrets = entry
            .into_iter()
            .flat_map(|entry| &entry.shadows)
            .map(|s| format!("{} {}", s.scope_kind, s.name));
        let layers = variable.shadows.iter().map(ToString::to_string);
        let shadows: Vec<String> = secrets.chain(layers).collect();
        [shown(&variable.name), variable.layer.to_string(), secret, shadows.join(", ")]
    }

    /// The secret that a variable is or refers to.
    fn entry(&self, variable: &Variable) -> Option<&'a ReceiptEntry> {
        match variable.origin {
            Origin::Released(entry) | Origin::Reference { entry, .. } => {
                self.explanation.receipt.entries.get(entry)
            }
            Origin::Own(_) => None,
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

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Columns as wide as their widest cell, the last one open.
fn table(text: &mut String, head: [&str; 4], rows: &[[String; 4]]) {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; 4]| {
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
