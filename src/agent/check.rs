//! `check`: walks the steps of a boot up to where it would spend a use of the ticket, and tells everything that is wrong at once,
//! each with what to do about it. It starts nothing, writes nothing and shows no value.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::io::Write as _;
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use serde_json::json;

use super::config::{OnOutage, Settings};
use super::failure::Failure;
use super::fetch::FetchError;
use super::identity::Found;
use super::layers::Inputs;
use super::machine::RealFiles;
use super::own::Own;
use super::{fetch, identity, layers, machine};
use crate::client::{BootOptions, CallError, ProbeResult, ProbeSuccess};
use crate::domain::time::Timestamp;
use crate::process::Exit;
use crate::settings::{Environment, SettingErrors};
use crate::wire::{BootRequest, ExplainResponse};

/// How long each address may take to answer: a person waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than this is no delay of the network.
const SKEW: Duration = Duration::from_secs(60);
/// 2026-01-01: before this program was written, so a clock that shows less is not set.
const NOT_BEFORE: i64 = 1_767_225_600_000;

/// Checks and prints. The status is that of the worst finding.
pub(crate) fn run(
    settings: Result<(Settings, Own), SettingErrors>,
    environment: &Environment,
    json: bool,
) -> Exit {
    let mut report = Report::default();
    match settings {
        Err(faults) => {
            for fault in faults.iter() {
                report.fault("configuration", fault.to_string(), None, Exit::Configuration);
            }
        }
        Ok((settings, own)) => {
            report.good("configuration", "no fault");
            for warning in &settings.warnings {
                report.odd("configuration", warning.clone(), None);
            }
            machine_side(&mut report, &settings);
            store_side(&mut report, &settings, &own, environment);
        }
    }
    clock(&mut report, machine::now());
    let text = if json { report.json() } else { report.text() };
    // Whoever stopped reading has what they wanted.
    let _ = io::stdout().write_all(text.as_bytes());
    report.exit
}

fn machine_side(report: &mut Report, settings: &Settings) {
    if settings.on_outage == OnOutage::Cache {
        let folder = &settings.cache_dir;
        let nearest = folder.ancestors().find(|folder| folder.exists());
        if nearest.is_none_or(|folder| access(folder, AccessFlags::W_OK).is_err()) {
            let message = format!("{} cannot be written", folder.display());
            report.fault("cache", message, Some("name another folder with cache.dir"), Exit::Configuration);
        } else {
            report.good("cache", folder.display());
        }
    }
}

fn store_side(report: &mut Report, settings: &Settings, own: &Own, environment: &Environment) {
    let found = match identity::find(settings, environment, &RealFiles) {
        Ok(found) => found,
        Err(error) => return report.failure("ticket", &error.into()),
    };
    report.good("ticket", &found.place);
    for warning in &found.warnings {
        report.odd("ticket", warning.clone(), None);
    }
    if let Err(failure) = found.leaving(settings).check() {
        report.failure("ticket", &failure);
    }
    let references = match layers::references(&settings.layers, &own.given) {
        Ok(references) => references,
        Err(obstacles) => {
            report.failure("references", &obstacles.into());
            BTreeSet::new()
        }
    };
    let request = fetch::request(settings, &references);
    if let Some(explanation) = addresses(report, settings, &found, &request) {
        answer(report, settings, own, &explanation);
    }
}

/// Tries every address: a boot is content with one, and the others would fail on the day they are needed. Then asks the store
/// what it would release.
fn addresses(
    report: &mut Report,
    settings: &Settings,
    found: &Found,
    request: &BootRequest,
) -> Option<ExplainResponse> {
    let options =
        BootOptions { deadline: settings.deadline.min(PATIENCE), authorities: settings.authorities.clone() };
    let probes = match fetch::probe(&found.ticket, &options) {
        Ok(probes) => probes,
        Err(error) => {
            report.failure("store", &error.into());
            return None;
        }
    };
    let any = probes.iter().any(|probe| probe.outcome.is_ok());
    for ProbeResult { address, outcome } in probes {
        match outcome {
            Ok(ProbeSuccess { took, clock }) => {
                report.good("store", format_args!("{address} answers in {} ms", took.as_millis()));
                if let Some(theirs) = clock {
                    skew(report, machine::now(), theirs);
                }
            }
            // Another address serves a boot all the same.
            Err(CallError::Outage(outage)) if any => report.odd("store", outage.to_string(), outage.hint()),
            Err(CallError::Outage(outage)) => {
                report.fault("store", &outage, outage.hint(), Exit::Unreachable);
            }
            Err(CallError::Refused(refused)) => report.failure("store", &FetchError::Refused(refused).into()),
        }
    }
    let explained = any.then(|| fetch::explanation(&found.ticket, request, &options))?;
    explained.map_err(|error| report.failure("ticket", &error.into())).ok()
}

/// Tickets end by the store's clock and caches by this one's.
fn skew(report: &mut Report, ours: Timestamp, theirs: Timestamp) {
    let apart = ours.since(theirs).max(theirs.since(ours));
    if apart > SKEW {
        let remedy = "synchronize this machine's clock, or the store's";
        report.odd("clock", format!("it is {} s apart from the store's", apart.as_secs()), Some(remedy));
    }
}

fn answer(report: &mut Report, settings: &Settings, own: &Own, explanation: &ExplainResponse) {
    report.good("ticket", format_args!("acts for {} of {}", explanation.member, explanation.organization));
    if explanation.locked {
        let remedy = "unlock it with `dropsafe unlock`";
        report.odd("store", "locked: a boot would wait for it until the deadline".to_owned(), Some(remedy));
    }
    if explanation.uses_left == Some(0) {
        report.fault(
            "ticket",
            "no use is left",
            Some("make another with `dropsafe ticket new`"),
            Exit::Denied,
        );
    }
    let (plan, obstacles) = layers::decide(Inputs::of(settings, own, &explanation.receipt));
    for obstacle in obstacles.iter() {
        report.fault("names", obstacle, Some(obstacle.hint()), Exit::Configuration);
    }
    if obstacles.iter().next().is_none() {
        report.good(
            "names",
            format_args!(
                "{} variables, {} from the store",
                plan.variables.len(),
                explanation.receipt.count()
            ),
        );
    }
}

fn clock(report: &mut Report, now: Timestamp) {
    if now.as_millis() < NOT_BEFORE {
        let remedy = "set it, or start after time synchronization; a ticket with a pin needs no clock";
        report.odd("clock", format!("this machine's clock shows {now}"), Some(remedy));
    } else {
        report.good("clock", now);
    }
}

/// What was found, in the order of the steps.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
    exit: Exit,
}

struct Finding {
    what: &'static str,
    state: &'static str,
    message: String,
    remedy: Option<String>,
}

impl Report {
    fn good(&mut self, what: &'static str, message: impl ToString) {
        self.findings.push(Finding { what, state: "ok", message: message.to_string(), remedy: None });
    }

    fn odd(&mut self, what: &'static str, message: String, remedy: Option<&str>) {
        self.findings.push(Finding { what, state: "warning", message, remedy: remedy.map(str::to_owned) });
    }

    fn fault(&mut self, what: &'static str, message: impl ToString, remedy: Option<&str>, exit: Exit) {
        let remedy = remedy.map(str::to_owned);
        self.findings.push(Finding { what, state: "fault", message: message.to_string(), remedy });
        // A configuration that must be mended first counts more than a store that may come back.
        if exit.code() > self.exit.code() {
            self.exit = exit;
        }
    }

    fn failure(&mut self, what: &'static str, failure: &Failure) {
        let message = match failure {
            Failure::Fetch(FetchError::Outage(outage)) => outage.to_string(),
            other => other.to_string(),
        };
        self.fault(what, message, failure.hint(), failure.exit());
    }

    fn json(&self) -> String {
        let finding = |f: &Finding| json!({ "what": f.what, "state": f.state, "message": f.message, "remedy": f.remedy });
        let findings: Vec<_> = self.findings.iter().map(finding).collect();
        format!("{:#}\n", json!({ "exit": self.exit.code(), "findings": findings }))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { what, state, message, remedy } in &self.findings {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{state:7}  {what}: {}", message.replace('\n', "; "));
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "         {remedy}");
            }
        }
        text
    }
}
