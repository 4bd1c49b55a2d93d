//! Where each setting comes from, and every fault with its place.

use clap::Parser;
use tracing::level_filters::LevelFilter;

use super::*;
use crate::agent::arguments::AgentArgs;
use crate::agent::log::LogFormat;
use crate::agent::machine::fake::FakeFiles;

fn read_all(
    flags: &[&str],
    variables: &[(&str, &str)],
    files: FakeFiles,
) -> Result<(AgentSettings, LocalVariables), String> {
    let line = ["dropsafe-agent", "check"].iter().chain(flags);
    let options = AgentArgs::try_parse_from(line).unwrap().settings;
    let environment = Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())));
    read(&options, &environment, &files).map_err(|faults| faults.to_string())
}

fn yaml(text: &str) -> FakeFiles {
    FakeFiles::default().with(DEFAULT_FILE, text)
}

#[test]
fn every_setting_has_a_default() {
    let (settings, local) = read_all(&[], &[], FakeFiles::default()).unwrap();
    assert_eq!(settings.deadline, Duration::from_secs(30));
    assert_eq!(settings.on_outage, OnOutage::Fail);
    assert_eq!(settings.layers, Layer::ALL);
    assert_eq!(settings.plugins, None);
    assert_eq!(settings.log, LogSettings { format: LogFormat::Text, level: LevelFilter::WARN });
    assert!(settings.warnings.is_empty() && local.variables.is_empty());
}

#[test]
fn a_flag_is_above_the_environment_and_that_above_the_file() {
    let files = || yaml("deadline: 3s\nrequire: [c]\n");
    let deadline = |flags: &[&str], variables: &[(&str, &str)]| {
        read_all(flags, variables, files()).unwrap().0.deadline.as_secs()
    };
    assert_eq!(deadline(&["--deadline", "1s"], &[("DROPSAFE_DEADLINE", "2s")]), 1);
    assert_eq!(deadline(&[], &[("DROPSAFE_DEADLINE", "2s")]), 2);
    assert_eq!(deadline(&[], &[("DROPSAFE_DEADLINE", "")]), 3);
    let (settings, _) = read_all(&["--require", "a,b", "--require", "d"], &[], files()).unwrap();
    assert_eq!(settings.require.iter().map(RequestedName::as_str).collect::<Vec<_>>(), ["a", "b", "d"]);
}

#[test]
fn everything_in_the_file_is_read() {
    let (settings, local) = read_all(
        &[],
        &[("DROPSAFE_CONFIG", "/a.yaml")],
        FakeFiles::default().with("/d.env", "x=1\n").with(
            "/a.yaml",
            "ticket_file: /run/ticket\n\
             delete_ticket_file: true\n\
             deadline: 1m\n\
             on_outage: cache\n\
             cache:\n  dir: /c\n  max_age: 2h\n\
             require: [a]\noptional: [b]\ninclude: [c, skill:x:y]\nexclude: [d]\n\
             plugins: ['@x/y']\n\
             allow_names: [PATH]\n\
             literal: [IMAGE]\n\
             defaults_file: /d.env\n\
             layers: [environment, private, shared]\n\
             machine: web-1\n\
             mask_files: true\n\
             log: json\nlog_level: debug\n\
             secrets:\n  openai-api-key: hunter2\n  PORT: 080\n  empty: ''\n",
        ),
    )
    .unwrap();
    assert!(settings.delete_ticket_file && settings.mask_files);
    assert_eq!(settings.on_outage, OnOutage::Cache);
    assert_eq!((settings.cache_dir, settings.cache_max_age), ("/c".into(), Duration::from_secs(7200)));
    assert_eq!(settings.plugins.map(|plugins| plugins.len()), Some(1));
    assert_eq!(settings.layers, [Layer::Environment, Layer::Private, Layer::Shared]);
    assert_eq!(settings.machine.as_deref(), Some("web-1"));
    assert_eq!(settings.log, LogSettings { format: LogFormat::Json, level: LevelFilter::DEBUG });
    let set: Vec<(String, &[u8])> = local
        .variables
        .iter()
        .zip(&local.values)
        .map(|(local, value)| (format!("{}:{}", local.layer, local.name.display()), value.expose()))
        .collect();
    let set: Vec<(&str, &[u8])> = set.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(
        set,
        [
            ("secrets:OPENAI_API_KEY", &b"hunter2"[..]),
            ("secrets:PORT", b"080"),
            ("secrets:EMPTY", b""),
            ("defaults:X", b"1"),
        ]
    );
}

#[test]
fn every_fault_is_reported_with_its_origin_and_no_value() {
    let files = yaml(
        "dedline: hunter2\n\
         deadline: hunter2\n\
         on_outage: [hunter2, hunter2]\n\
         cache: {max_age: 0}\n\
         require: ['hunter2!']\n\
         exclude: [web-token]\n\
         layers: [shared, private, shared]\n\
         allow_names: [DROPSAFE_X]\n\
         defaults_file: /d.env\n\
         secrets:\n  a b: hunter2\n  db-url: hunter2\n  DB_URL: hunter2\n  x: [hunter2]\n  y:\n  DROPSAFE_TICKET: hunter2\n",
    )
    .with("/d.env", "hunter2\nDROPSAFE_X=hunter2\n\nok=1\n");
    let errors = read_all(
        &["--log", "hunter2", "--include", "WEB_TOKEN"],
        &[("DROPSAFE_DEADLINE", "hunter2"), ("DROPSAFE_PLUGINS", "a b\u{e9}"), ("DROPSAFE_LOG", "hunter2")],
        files,
    )
    .unwrap_err();
    let places: Vec<&str> = errors.lines().map(|line| line.split(": ").next().unwrap()).collect();
    for place in [
        "/etc/dropsafe/agent.yaml:1 dedline",
        "/etc/dropsafe/agent.yaml:2 deadline",
        "/etc/dropsafe/agent.yaml:3 on_outage",
        "/etc/dropsafe/agent.yaml:4 cache.max_age",
        "/etc/dropsafe/agent.yaml:5 require",
        "/etc/dropsafe/agent.yaml:6 exclude",
        "/etc/dropsafe/agent.yaml:7 layers",
        "/etc/dropsafe/agent.yaml:8 allow_names",
        "/etc/dropsafe/agent.yaml:13 secrets.DB_URL",
        "/etc/dropsafe/agent.yaml:14 secrets.x",
        "/etc/dropsafe/agent.yaml:15 secrets.y",
        "/etc/dropsafe/agent.yaml:16 secrets.DROPSAFE_TICKET",
        "DROPSAFE_DEADLINE",
        "DROPSAFE_PLUGINS",
        "DROPSAFE_LOG",
        "--log",
        "/d.env:1",
    ] {
        assert!(places.contains(&place), "{place} is missing in\n{errors}");
    }
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    assert_eq!(
        read_all(&["--config", "/gone"], &[], FakeFiles::default()).unwrap_err(),
        "--config: the configuration file: there is no such file"
    );
    assert_eq!(
        read_all(&[], &[("DROPSAFE_DEFAULTS_FILE", "/gone")], FakeFiles::default()).unwrap_err(),
        "DROPSAFE_DEFAULTS_FILE: the defaults file: there is no such file"
    );
}

#[test]
fn a_probable_mistake_is_a_warning() {
    let files = FakeFiles::default().with_open(DEFAULT_FILE, "secrets: {a: b}");
    let variables =
        [("DROPSAFE_DEADLIN", "1s"), ("DROPSAFE_SERVICE_HOST", "10.0.0.1"), ("DROPSAFE_TOKEN", "x")];
    let (settings, _) = read_all(&[], &variables, files).unwrap();
    assert_eq!(
        settings.warnings,
        [
            "/etc/dropsafe/agent.yaml holds secrets and other users may read it: run chmod 0600 /etc/dropsafe/agent.yaml",
            "DROPSAFE_DEADLIN is not a setting; did you mean DROPSAFE_DEADLINE?"
        ]
    );
}
