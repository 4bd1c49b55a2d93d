//! `check`: takes the steps of a boot up to where it would spend a use of the ticket, and reports everything that is wrong at once,
//! each with what to do about it. It starts nothing, writes nothing and shows no value.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use serde_json::json;

use super::boot_identity::BootIdentity;
use super::config::{AgentSettings, OnOutage};
use super::environment_plan::{EnvironmentPlan, PlanInputs};
use super::error::AgentError;
use super::fetch::FetchError;
use super::identity_source::LocatedIdentity;
use super::local_variables::LocalVariables;
use super::machine::RealFiles;
use super::preflight::FilePlaces;
use super::{
    account, environment, environment_plan, execve, fetch, file_mapping, identity_source, machine, withheld,
};
use crate::client::{BootOptions, CallError, ProbeResult, ProbeSuccess};
use crate::domain::receipt::Receipt;
use crate::domain::time::Timestamp;
use crate::domain::value::{Delivery, SecretValue};
use crate::process::Exit;
use crate::settings::{Environment, SettingErrors};
use crate::wire::{BootRequest, ExplainResponse};

/// How long each address may take to answer while a person waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A larger difference between two clocks is not a delay of the network.
const MAX_SKEW: Duration = Duration::from_secs(60);
/// 2026-01-01, before this program was written: a clock that shows less is not set.
const NOT_BEFORE: i64 = 1_767_225_600_000;

/// Checks and prints. The exit code is that of the worst finding.
pub(crate) fn run(
    settings: Result<(AgentSettings, LocalVariables), SettingErrors>,
    environment: &Environment,
    json: bool,
) -> Exit {
    let mut report = CheckReport::default();
    match settings {
        Err(faults) => {
            for fault in faults.iter() {
                report.fault("configuration", fault.to_string(), None, Exit::Configuration);
            }
        }
        Ok((settings, local)) => {
            report.ok("configuration", "no fault");
            for warning in &settings.warnings {
                report.warn("configuration", warning.clone(), None);
            }
            check_machine(&mut report, &settings);
            check_store(&mut report, &settings, &local, environment);
        }
    }
    check_clock(&mut report, machine::now());
    let text = if json { report.json() } else { report.text() };
    // A reader that closed the pipe has seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
    report.exit
}

fn check_machine(report: &mut CheckReport, settings: &AgentSettings) {
    if let Some(spec) = &settings.user
        && let Err(error) = account::find(spec, &RealFiles).and_then(|account| account.check())
    {
        report.failure("user", &error.into());
    }
    if settings.on_outage == OnOutage::Cache {
        let folder = &settings.cache_dir;
        // The first boot creates what is missing, so the nearest folder that exists decides.
        let nearest = folder.ancestors().find(|folder| folder.exists());
        if nearest.is_none_or(|folder| access(folder, AccessFlags::W_OK).is_err()) {
            let message = format!("cannot write to {}", folder.display());
            report.fault("cache", message, Some("set cache.dir to another folder"), Exit::Configuration);
        } else {
            report.ok("cache", folder.display());
        }
    }
}

fn check_store(
    report: &mut CheckReport,
    settings: &AgentSettings,
    local: &LocalVariables,
    environment: &Environment,
) {
    let located = match identity_source::locate(settings, environment, &RealFiles) {
        Ok(located) => located,
        Err(error) => return report.failure("identity", &error.into()),
    };
    let what = located.source.noun();
    match &located.identity {
        BootIdentity::Ticket(_) => report.ok(what, &located.source),
        BootIdentity::Token(token) => {
            report.ok(what, format_args!("{}, from {}", located.identity.id(), located.source));
            report.ok("token", format_args!("from {}", token.tokens().source()));
        }
    }
    for warning in &located.warnings {
        report.warn(what, warning.clone(), None);
    }
    if let Err(error) = located.file_to_delete(settings) {
        report.failure("ticket", &error.into());
    }
    let references = match environment_plan::references(&settings.layers, &local.variables) {
        Ok(references) => references,
        // The rest can be checked without them.
        Err(errors) => {
            report.failure("references", &errors.into());
            BTreeMap::new()
        }
    };
    let request = fetch::build_request(settings, &references);
    if let Some(explanation) = probe_addresses(report, settings, &located, &request) {
        check_plan(report, settings, local, &located, &explanation);
    }
}

/// Connects to every address, then asks the store what it would release.
fn probe_addresses(
    report: &mut CheckReport,
    settings: &AgentSettings,
    located: &LocatedIdentity,
    request: &BootRequest,
) -> Option<ExplainResponse> {
    let options = fetch::options(settings);
    let options = BootOptions { deadline: options.deadline.min(PROBE_TIMEOUT), ..options };
    // All of them: one is enough for a boot today, and the others would fail on the day they are needed.
    let probes = match fetch::probe(&located.identity, &options) {
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
                report.ok("store", format_args!("{address} answers in {} ms", took.as_millis()));
                if let Some(theirs) = clock {
                    check_skew(report, machine::now(), theirs);
                }
            }
            // A boot would use another address.
            Err(CallError::Outage(outage)) if any => report.warn("store", outage.to_string(), outage.hint()),
            Err(CallError::Outage(outage)) => {
                report.fault("store", &outage, outage.hint(), Exit::Unreachable);
            }
            Err(CallError::Refused(refused)) => report.failure("store", &FetchError::Refused(refused).into()),
        }
    }
    let explained = any.then(|| fetch::explain(&located.identity, request, &options))?;
    explained.map_err(|error| report.failure(located.source.noun(), &error.into())).ok()
}

fn check_skew(report: &mut CheckReport, ours: Timestamp, theirs: Timestamp) {
    let difference = ours.since(theirs).max(theirs.since(ours));
    // A ticket expires by the store's clock, and a cached release by this machine's.
    if difference > MAX_SKEW {
        let remedy = "synchronize this machine's clock, or the store's";
        let message = format!("this machine's clock differs from the store's by {} s", difference.as_secs());
        report.warn("clock", message, Some(remedy));
    }
}

fn check_plan(
    report: &mut CheckReport,
    settings: &AgentSettings,
    local: &LocalVariables,
    located: &LocatedIdentity,
    explanation: &ExplainResponse,
) {
    let what = located.source.noun();
    report.ok(what, format_args!("boots for {} of {}", explanation.member, explanation.organization));
    if explanation.locked {
        let remedy = "unlock it with `dropsafe unlock`";
        report.warn("store", "locked: a boot would wait until the deadline".to_owned(), Some(remedy));
    }
    if explanation.uses_left == Some(0) {
        let remedy = "create another with `dropsafe ticket new`";
        report.fault(what, "no uses are left", Some(remedy), Exit::Denied);
    }
    let (plan, errors) = environment_plan::build(PlanInputs::new(settings, local, &explanation.receipt));
    for (message, remedy) in withheld::messages(&explanation.receipt) {
        report.warn("names", message, Some(remedy));
    }
    for error in errors.iter() {
        report.fault("names", error, Some(error.hint()), Exit::Configuration);
    }
    check_files(report, settings, &located.identity, explanation);
    if errors.is_empty() {
        check_environment(report, settings, local, &plan, &explanation.receipt);
        let (all, released) = (plan.variables.len(), explanation.receipt.count());
        report.ok("names", format_args!("{all} variables, {released} from the store"));
    }
}

/// Checks the places for secrets that are files.
fn check_files(
    report: &mut CheckReport,
    settings: &AgentSettings,
    identity: &BootIdentity,
    explanation: &ExplainResponse,
) {
    let mut receipt = explanation.receipt.clone();
    file_mapping::apply(&settings.files, &mut receipt);
    // A configuration with `files:` is one of `boot`; `exec` has no use for it.
    let places = match settings.files.is_empty() && !settings.allow_disk {
        true => Ok(FilePlaces::for_exec(settings, identity)),
        false => FilePlaces::for_boot(settings, None),
    };
    let files = receipt.entries.iter().filter(|entry| entry.delivery == Delivery::File).count();
    match places {
        Err(error) => report.failure("files", &error),
        Ok(places) => match places.find_fault(settings, &receipt) {
            Some(error) => report.failure("files", error),
            None if files == 0 => {}
            None if places.memfd => {
                let folder = settings.files_dir.display();
                report.ok(
                    "files",
                    format_args!("{files} as memfds, because {folder} is on no tmpfs that can be used"),
                );
            }
            None => report.ok("files", format_args!("{files} below {}", settings.files_dir.display())),
        },
    }
}

/// Checks that the kernel would accept the environment if every value of the store were empty: their sizes are not known
/// before a boot, and the store has limits for them.
fn check_environment(
    report: &mut CheckReport,
    settings: &AgentSettings,
    local: &LocalVariables,
    plan: &EnvironmentPlan,
    receipt: &Receipt,
) {
    let empty: Vec<_> = receipt.entries.iter().map(|_| SecretValue::new(Vec::new())).collect();
    let path = |entry: usize| {
        let is_file = receipt.entries.get(entry).is_some_and(|entry| entry.delivery == Delivery::File);
        is_file.then_some(settings.files_dir.as_path())
    };
    let checked = environment::assemble(plan, &local.values, &empty, path)
        .and_then(|strings| environment::check_size(&strings, Path::new(""), &[], execve::stack_limit()));
    if let Err(error) = checked {
        report.failure("environment", &error.into());
    }
}

fn check_clock(report: &mut CheckReport, now: Timestamp) {
    if now.as_millis() < NOT_BEFORE {
        let remedy = "set it, or start after time synchronization; a ticket with a pin does not need a clock";
        report.warn("clock", format!("this machine's clock shows {now}"), Some(remedy));
    } else {
        report.ok("clock", now);
    }
}

/// Findings in the order of the steps.
#[derive(Default)]
struct CheckReport {
    findings: Vec<Finding>,
    exit: Exit,
}

struct Finding {
    what: &'static str,
    state: &'static str,
    message: String,
    remedy: Option<String>,
}

impl CheckReport {
    fn ok(&mut self, what: &'static str, message: impl ToString) {
        self.findings.push(Finding { what, state: "ok", message: message.to_string(), remedy: None });
    }

    fn warn(&mut self, what: &'static str, message: String, remedy: Option<&str>) {
        self.findings.push(Finding { what, state: "warning", message, remedy: remedy.map(str::to_owned) });
    }

    fn fault(&mut self, what: &'static str, message: impl ToString, remedy: Option<&str>, exit: Exit) {
        let remedy = remedy.map(str::to_owned);
        self.findings.push(Finding { what, state: "fault", message: message.to_string(), remedy });
        // The highest code: a configuration that has to be repaired (78) matters more than a store that may come back (69).
        if exit.code() > self.exit.code() {
            self.exit = exit;
        }
    }

    fn failure(&mut self, what: &'static str, error: &AgentError) {
        self.fault(what, error, error.hint(), error.exit());
    }

    fn json(&self) -> String {
        let finding = |f: &Finding| json!({ "what": f.what, "state": f.state, "message": f.message, "remedy": f.remedy });
        let findings: Vec<_> = self.findings.iter().map(finding).collect();
        format!("{:#}\n", json!({ "exit": self.exit.code(), "findings": findings }))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { what, state, message, remedy } in &self.findings {
            // One finding per line. Writing to a string cannot fail.
            let _ = writeln!(text, "{state:7}  {what}: {}", message.replace('\n', "; "));
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "         {remedy}");
            }
        }
        text
    }
}
