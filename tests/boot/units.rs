//! The units, drop-ins, users and folders of `systemd/`, checked by systemd's own tools and against their promises.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::skip;
use super::place::{Folder, files_in, has, run, source, text};

const SERVICES: &[&str] = &["dropsafe-agent", "dropsafe-credentials", "dropsafe"];

#[test]
fn systemd_accepts_every_unit_and_drop_in() {
    let Some(analyze) = systemd_analyze() else { return };
    let folder = Folder::new();
    let mut units = Vec::new();
    for path in files_in(&["systemd", "examples/workload"]) {
        let below = path.strip_prefix(source("systemd")).or(path.strip_prefix(source("examples/workload")));
        let below = below.unwrap();
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
        let drop_in = below.parent().is_some_and(|parent| parent.to_string_lossy().ends_with(".service.d"));
        if !drop_in && !matches!(kind, "service" | "socket" | "target") {
            continue;
        }
        // The programs need not be installed here.
        let unit = fs::read_to_string(&path).unwrap();
        let unit =
            unit.replace("/usr/bin/dropsafe-agent ", "/bin/sh ").replace("/usr/bin/dropsafe ", "/bin/sh ");
        let copy = folder.write(below, unit);
        if !drop_in {
            units.push(copy);
        }
    }
    // What the drop-in for one workload is put onto.
    units.push(folder.write("workload.service", "[Service]\nExecStart=/bin/sh -c :\n"));
    folder.write(
        "service.d/50-dropsafe-environment.conf",
        text("systemd/service.d/50-dropsafe-environment.conf"),
    );
    assert!(units.len() >= 9, "{units:?}");

    let verify = |units: &[PathBuf]| {
        let mut command = Command::new(analyze);
        command.args(["verify", "--man=no"]).args(units);
        // The colon at the end: and then where the system's own are.
        run(command.env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display())))
    };
    // Some complaints leave the status alone; those about units of this machine are not ours.
    let ours = |said: &str| said.lines().any(|line| line.contains(&*folder.path().to_string_lossy()));
    let ended = verify(&units);
    assert!(ended.success && !ours(&ended.said), "{}", ended.said);

    let wrong = folder.write("wrong.service", "[Service]\nExecStart=/bin/sh\nNoSuchKey=yes\n");
    let ended = verify(&[wrong]);
    assert!(!ended.success || ours(&ended.said), "a wrong unit passed: {}", ended.said);
}

#[test]
fn every_service_is_confined() {
    let Some(analyze) = systemd_analyze() else { return };
    let exposed = |unit: &Path| {
        let mut command = Command::new(analyze);
        run(command.args(["security", "--offline=yes", "--threshold=20", "--no-pager"]).arg(unit))
    };
    for name in SERVICES {
        let ended = exposed(&source(&format!("systemd/{name}.service")));
        assert!(ended.success, "{name}: more than 2.0\n{}", ended.said);
    }
    let folder = Folder::new();
    let open = folder.write("open.service", "[Service]\nExecStart=/bin/sh\n");
    assert!(!exposed(&open).success, "an open unit passed");
}

#[test]
fn no_workload_starts_before_its_secrets() {
    let agent = Unit::read("systemd/dropsafe-agent.service");
    agent.has("Service.Type", "oneshot");
    agent.has("Service.RemainAfterExit", "yes");
    agent.has("Unit.Before", "dropsafe.target");
    // The end is reported, and expected, and holds no shutdown up.
    agent.has("Service.ExecStop", "/usr/bin/dropsafe-agent ended");
    agent.has("Service.Environment", "DROPSAFE_REPORT_END=yes");
    agent.has("Service.TimeoutStopSec", "5");
    agent.has("Unit.After", "network.target");
    // Started late, the target brings its workloads along.
    agent.has("Unit.Upholds", "dropsafe.target");
    for path in ["systemd/dropsafe.target", "systemd/workload.service.d/50-dropsafe.conf"] {
        let needs = if path.ends_with(".target") { "dropsafe-agent.service" } else { "dropsafe.target" };
        let unit = Unit::read(path);
        unit.has("Unit.Requires", needs);
        unit.has("Unit.After", needs);
    }
    let one = Unit::read("systemd/workload.service.d/50-dropsafe.conf");
    one.has("Service.EnvironmentFile", "/run/dropsafe/env");
    one.has("Install.WantedBy", "dropsafe.target");
    // The one for all: optional, and without an order that could close a circle.
    let all = Unit::read("systemd/service.d/50-dropsafe-environment.conf");
    all.has("Service.EnvironmentFile", "-/run/dropsafe/env");
    assert_eq!(all.0.len(), 1, "{:?}", all.0);
}

#[test]
fn an_outage_is_tried_again_and_a_refusal_is_not() {
    let agent = Unit::read("systemd/dropsafe-agent.service");
    agent.has("Service.Restart", "on-failure");
    agent.has("Service.RestartPreventExitStatus", "64 77 78");
    agent.has("Unit.StartLimitIntervalSec", "0");
    for script in ["init/runit/dropsafe-agent/finish", "init/s6/dropsafe-agent/finish"] {
        let script = text(script);
        assert!(script.contains("64 | 77 | 78)") && script.contains("69 | 75)"), "{script}");
    }
}

#[test]
fn our_own_services_do_not_inherit_an_earlier_fetch() {
    for name in SERVICES {
        let hides = Unit::read(&format!("systemd/{name}.service.d/50-dropsafe-environment.conf"));
        assert!(hides.0.is_empty(), "{name}: {:?}", hides.0);
    }
    // A second owner would delete the folder when it stops.
    let owners = SERVICES.iter().filter(|name| {
        let unit = Unit::read(&format!("systemd/{name}.service"));
        unit.0.contains_key("Service.RuntimeDirectory")
    });
    assert_eq!(owners.collect::<Vec<_>>(), [&"dropsafe-agent"]);
}

#[test]
fn the_store_has_a_folder_and_a_user_that_nothing_deletes() {
    for path in files_in(&["systemd/tmpfiles.d"]) {
        for line in fs::read_to_string(&path).unwrap().lines().filter(|line| !line.starts_with('#')) {
            // `d` with an age of `-` creates; other kinds and ages remove (tmpfiles.d(5)).
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            assert!(fields[0] == "d" && fields.get(5).is_none_or(|age| *age == "-"), "{line}");
        }
    }
    for path in files_in(&["systemd/deb"]) {
        let script = fs::read_to_string(&path).unwrap();
        let removals = script.lines().filter(|line| line.contains("rm -r") || line.contains("deluser"));
        for line in removals {
            assert!(!line.contains("/var/lib") && !line.contains("deluser"), "{}: {line}", path.display());
        }
    }
    if !has("systemd-sysusers") || !has("systemd-tmpfiles") {
        return skip("systemd-sysusers and systemd-tmpfiles (Debian package systemd)");
    }
    if !run(Command::new("id").arg("-u")).said.starts_with("0\n") {
        return skip("making users and folders below a root of its own (needs to be root)");
    }
    let folder = Folder::new();
    fs::create_dir(folder.join("etc")).unwrap();
    let root = format!("--root={}", folder.path().display());
    let ended =
        run(Command::new("systemd-sysusers").arg(&root).arg(source("systemd/sysusers.d/dropsafe.conf")));
    assert!(ended.success, "{}", ended.said);
    let files = files_in(&["systemd/tmpfiles.d"]);
    let ended = run(Command::new("systemd-tmpfiles").args([&root, "--create"]).args(files));
    assert!(ended.success, "{}", ended.said);
    for (path, mode) in [("var/lib/dropsafe", 0o40700), ("etc/credstore", 0o40700)] {
        assert_eq!(fs::metadata(folder.join(path)).unwrap().permissions().mode(), mode, "{path}");
    }
}

/// Settings of a unit, `Section.Key` to values in order, `Documentation=` and the like included.
struct Unit(BTreeMap<String, Vec<String>>);

impl Unit {
    fn read(path: &str) -> Self {
        let mut settings = BTreeMap::<String, Vec<String>>::new();
        let mut section = String::new();
        for line in text(path).lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{path}: {line}"));
                settings.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
            }
        }
        Self(settings)
    }

    fn has(&self, key: &str, value: &str) {
        let values = self.0.get(key).map(Vec::as_slice).unwrap_or_default();
        let found = values.iter().any(|found| found == value || found.split(' ').any(|word| word == value));
        assert!(found, "{key} is {values:?}, without {value}");
    }
}

/// The tool, when it is there and can judge files (`security --offline`, version 250).
fn systemd_analyze() -> Option<&'static str> {
    let help = has("systemd-analyze").then(|| run(Command::new("systemd-analyze").arg("--help")).said);
    match help {
        Some(help) if help.contains("--offline") => Some("systemd-analyze"),
        _ => {
            skip("systemd-analyze verify and security (Debian package systemd, version 250 or later)");
            None
        }
    }
}
