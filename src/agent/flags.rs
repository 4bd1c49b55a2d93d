//! The command line as typed. What a flag means, and whether it is well-formed, the settings decide, so that a fault in a flag
//! is told together with those of the file and the environment.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueHint};

use super::config::key;
use crate::settings::{FoundSetting, SettingKey, SettingOrigin, SettingSource, SettingTexts, parse};

/// The command line of the agent, for completions and manual pages.
pub(crate) fn command() -> clap::Command {
    Flags::command()
}

/// Starts a workload with the secrets that are in scope for this boot.
#[derive(Debug, PartialEq, Eq, Parser)]
#[command(
    name = "dropsafe-agent",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Flags {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: Action,
    /// The settings.
    #[command(flatten)]
    pub(crate) options: Options,
}

/// The subcommands.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Action {
    /// Fetch, then become the workload: nothing of the agent remains
    #[command(after_help = EXEC_HELP)]
    Exec {
        /// How the workload is started
        #[command(flatten)]
        start: Start,
        /// The workload and its arguments, passed on as they are; no shell is involved
        #[arg(trailing_var_arg = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
        command: Vec<OsString>,
    },
    /// Fetch, and leave environment, files and receipt in memory for the units of this machine
    Boot {
        /// Also write an env-file for Docker there, on a tmpfs; a value with a newline is an error
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        docker_env: Option<PathBuf>,
    },
    /// Start a program with what this boot already received; no store is asked
    #[command(after_help = ENTER_HELP)]
    Enter {
        /// The program and its arguments, passed on as they are; no shell is involved
        #[arg(trailing_var_arg = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
        command: Vec<OsString>,
    },
    /// Answer LoadCredential= of systemd's units with what this boot received, on a socket that systemd passes on
    Credentials,
    /// Show what a boot would export, from where and why; no value is shown and no use of the ticket is spent
    Explain {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check configuration, ticket, connection and clock, and tell every fault with its remedy; spends no use
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

const EXEC_HELP: &str = "\
Exit status: that of the workload, or 64 usage, 69 store unreachable by the deadline, 75 try again, 77 denied,
78 configuration, collision or size, 126 not executable, 127 not found.";

/// Long enough for most programs to end by themselves; as text and as what it means.
const DEFAULT_GRACE: (&str, Duration) = ("5s", Duration::from_secs(5));

/// What stays of the agent beside the workload. Known before anything is read, since the two part before that.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct Start {
    /// Stay as the parent: pass on signals, reap orphans, end with the workload's status
    #[arg(long)]
    pub(crate) init: bool,
    /// Pass signals on to the workload's whole process group
    #[arg(long, requires = "init")]
    pub(crate) group: bool,
    /// Replace the values of this boot by *** in what the workload prints; a courtesy, not a boundary
    #[arg(long, requires = "init")]
    pub(crate) mask: bool,
    /// How long what the workload leaves behind may take to end before it is killed
    #[arg(long, requires = "init", value_name = "TIME", default_value = DEFAULT_GRACE.0, value_parser = parse::duration)]
    pub(crate) grace: Duration,
}

impl Start {
    /// Nothing stays.
    const ALONE: Self = Self { init: false, group: false, grace: DEFAULT_GRACE.1, mask: false };
}

const ENTER_HELP: &str = "\
What was received is what `boot` left in the folder for files or in /run/dropsafe; in a container, the environment of the workload,
which one must enter as the workload's own user. For `docker exec`, SSH sessions and cron.";

/// Settings that may stand on the command line; each may also stand in the environment and in the file.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Options {
    /// The configuration file [env: DROPSAFE_CONFIG] [default: /etc/dropsafe/agent.yaml]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<OsString>,
    /// A file that holds the boot ticket [env: DROPSAFE_TICKET_FILE]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ticket_file: Option<OsString>,
    /// Delete the ticket's file once the secrets are here [env: DROPSAFE_DELETE_TICKET_FILE]
    #[arg(long, global = true)]
    delete_ticket_file: bool,
    /// How long to try in all [env: DROPSAFE_DEADLINE] [default: 30s]
    #[arg(long, global = true, value_name = "TIME")]
    deadline: Option<OsString>,
    /// What to do when the store cannot be reached by then: fail, cache or start-without [env: DROPSAFE_ON_OUTAGE]
    #[arg(long, global = true, value_name = "POLICY")]
    on_outage: Option<OsString>,
    /// Where the last release is kept, sealed, for `--on-outage cache` [env: DROPSAFE_CACHE_DIR]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    cache_dir: Option<OsString>,
    /// How old it may be [env: DROPSAFE_CACHE_MAX_AGE] [default: 24h]
    #[arg(long, global = true, value_name = "TIME")]
    cache_max_age: Option<OsString>,
    /// A name without which the workload does not start [env: DROPSAFE_REQUIRE]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    require: Vec<OsString>,
    /// A name that the workload can do without [env: DROPSAFE_OPTIONAL]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    optional: Vec<OsString>,
    /// A secret to get although its auto-install is off [env: DROPSAFE_INCLUDE]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    include: Vec<OsString>,
    /// A secret not to get [env: DROPSAFE_EXCLUDE]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    exclude: Vec<OsString>,
    /// A plugin that this workload runs; without any, plugins are no restriction [env: DROPSAFE_PLUGINS]
    #[arg(long, global = true, value_name = "PLUGIN", action = ArgAction::Append)]
    plugin: Vec<OsString>,
    /// A refused name, such as PATH, that the store may set on this machine [env: DROPSAFE_ALLOW_NAMES]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    allow_name: Vec<OsString>,
    /// A variable of the environment whose value is no reference, whatever it looks like [env: DROPSAFE_LITERAL]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    literal: Vec<OsString>,
    /// A file of NAME=VALUE lines, the last resort for a name [env: DROPSAFE_DEFAULTS_FILE]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    defaults_file: Option<OsString>,
    /// Where files go: secrets delivered as such, and what `boot` leaves; on a tmpfs [env: DROPSAFE_FILES_DIR] [default: /run/dropsafe]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    files_dir: Option<OsString>,
    /// The order of the layers [env: DROPSAFE_LAYERS] [default: private,shared,secrets,environment,defaults]
    #[arg(long, global = true, value_name = "LIST")]
    layers: Option<OsString>,
    /// What this machine calls itself [env: DROPSAFE_MACHINE] [default: derived from /etc/machine-id]
    #[arg(long, global = true, value_name = "NAME")]
    machine: Option<OsString>,
    /// A PEM file of certificate authorities, for a ticket without a pin [env: DROPSAFE_CA]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca: Option<OsString>,
    /// A group that may read what `boot` leaves [env: DROPSAFE_FILE_GROUP]
    #[arg(long, global = true, value_name = "GROUP")]
    file_group: Option<OsString>,
    /// Let `boot` write to a disk; what is deleted there is not gone [env: DROPSAFE_ALLOW_DISK]
    #[arg(long, global = true)]
    allow_disk: bool,
    /// The user that the workload runs as, a name or a number; its HOME is set [env: DROPSAFE_USER]
    #[arg(long, global = true, value_name = "USER[:GROUP]", value_hint = ValueHint::Username)]
    user: Option<OsString>,
    /// Form of messages: text or json; DROPSAFE_LOG sets their level [env: DROPSAFE_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORM")]
    log: Option<OsString>,
}

/// Reads a command line, the program's name first.
///
/// The usual ones are read here: building clap's definitions costs more than the rest of a boot's own work. It reads every line
/// that this cannot, and so every wrong one; a test holds the two together.
///
/// # Errors
/// clap's, with usage and suggestions; also for `--help` and `--version`.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Flags, clap::Error> {
    match usual(&arguments) {
        Some(flags) => Ok(flags),
        None => Flags::try_parse_from(arguments),
    }
}

/// A subcommand, then flags in full with their values, then the workload. `None` for anything else.
fn usual(arguments: &[OsString]) -> Option<Flags> {
    let [_, action, rest @ ..] = arguments else { return None };
    let action = action.to_str()?;
    let mut options = Options::default();
    let mut json = false;
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.as_bytes().strip_prefix(b"--") else {
            let workload = action == "exec" && !argument.as_bytes().starts_with(b"-");
            return workload.then(|| exec(std::iter::once(argument).chain(rest), options))?;
        };
        match str::from_utf8(flag).ok()? {
            "" => return (action == "exec").then(|| exec(rest, options))?,
            "json" if !json && action != "exec" => json = true,
            "delete-ticket-file" if !options.delete_ticket_file => options.delete_ticket_file = true,
            "allow-disk" if !options.allow_disk => options.allow_disk = true,
            flag => {
                let (name, value) = match flag.split_once('=') {
                    Some((name, value)) => (name, OsString::from(value)),
                    None => (flag, rest.next()?.clone()),
                };
                if value.is_empty() || value.as_bytes().starts_with(b"-") {
                    return None;
                }
                match options.slot(name)? {
                    Slot::One(Some(_)) => return None,
                    Slot::One(slot) => *slot = Some(value),
                    Slot::Many(slot) => slot.push(value),
                }
            }
        }
    }
    let action = match action {
        "explain" => Action::Explain { json },
        "check" => Action::Check { json },
        _ => return None,
    };
    Some(Flags { action, options })
}

fn exec<'a>(command: impl Iterator<Item = &'a OsString>, options: Options) -> Option<Flags> {
    let command: Vec<OsString> = command.cloned().collect();
    (!command.is_empty()).then_some(Flags { action: Action::Exec { start: Start::ALONE, command }, options })
}

enum Slot<'a> {
    One(&'a mut Option<OsString>),
    Many(&'a mut Vec<OsString>),
}

impl Options {
    fn slot(&mut self, flag: &str) -> Option<Slot<'_>> {
        Some(match flag {
            "config" => Slot::One(&mut self.config),
            "ticket-file" => Slot::One(&mut self.ticket_file),
            "deadline" => Slot::One(&mut self.deadline),
            "on-outage" => Slot::One(&mut self.on_outage),
            "cache-dir" => Slot::One(&mut self.cache_dir),
            "cache-max-age" => Slot::One(&mut self.cache_max_age),
            "require" => Slot::Many(&mut self.require),
            "optional" => Slot::Many(&mut self.optional),
            "include" => Slot::Many(&mut self.include),
            "exclude" => Slot::Many(&mut self.exclude),
            "plugin" => Slot::Many(&mut self.plugin),
            "allow-name" => Slot::Many(&mut self.allow_name),
            "literal" => Slot::Many(&mut self.literal),
            "defaults-file" => Slot::One(&mut self.defaults_file),
            "files-dir" => Slot::One(&mut self.files_dir),
            "layers" => Slot::One(&mut self.layers),
            "machine" => Slot::One(&mut self.machine),
            "ca" => Slot::One(&mut self.ca),
            "file-group" => Slot::One(&mut self.file_group),
            "user" => Slot::One(&mut self.user),
            "log" => Slot::One(&mut self.log),
            _ => return None,
        })
    }
}

impl SettingSource for Options {
    fn find(&self, key: &SettingKey) -> Option<FoundSetting> {
        let one = |value: &Option<OsString>| value.clone().map(SettingTexts::One);
        let many = |values: &[OsString]| {
            let items = values.iter().map(|value| (SettingOrigin::Flag(key.flag), value.clone())).collect();
            (!values.is_empty()).then_some(SettingTexts::Many(items))
        };
        let items = match *key {
            key::TICKET_FILE => one(&self.ticket_file),
            key::DELETE_TICKET_FILE => self.delete_ticket_file.then(|| SettingTexts::One("true".into())),
            key::DEADLINE => one(&self.deadline),
            key::ON_OUTAGE => one(&self.on_outage),
            key::CACHE_DIR => one(&self.cache_dir),
            key::CACHE_MAX_AGE => one(&self.cache_max_age),
            key::REQUIRE => many(&self.require),
            key::OPTIONAL => many(&self.optional),
            key::INCLUDE => many(&self.include),
            key::EXCLUDE => many(&self.exclude),
            key::PLUGINS => many(&self.plugin),
            key::ALLOW_NAMES => many(&self.allow_name),
            key::LITERAL => many(&self.literal),
            key::DEFAULTS_FILE => one(&self.defaults_file),
            key::FILES_DIR => one(&self.files_dir),
            key::LAYERS => one(&self.layers),
            key::MACHINE => one(&self.machine),
            key::AUTHORITIES => one(&self.ca),
            key::FILE_GROUP => one(&self.file_group),
            key::ALLOW_DISK => self.allow_disk.then(|| SettingTexts::One("true".into())),
            key::USER => one(&self.user),
            key::LOG => one(&self.log),
            _ => None,
        };
        items.map(|items| FoundSetting { origin: SettingOrigin::Flag(key.flag), items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(std::iter::once(&"dropsafe-agent").chain(line))
    }

    #[test]
    fn the_definitions_hold_together() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_with_a_flag_is_found_and_named() {
        let command = command();
        let flags: Vec<String> = command
            .get_arguments()
            .filter_map(|arg| arg.get_long().map(|long| format!("--{long}")))
            .collect();
        for key in key::ALL.iter().filter(|key| !key.flag.is_empty()) {
            assert!(flags.contains(&key.flag.to_owned()), "{} has no flag", key.flag);
            let value: &[&str] =
                if ["--delete-ticket-file", "--allow-disk"].contains(&key.flag) { &[] } else { &["x"] };
            let line = [&["check", key.flag], value].concat();
            let found = parse(&line).unwrap().options.find(key);
            assert_eq!(found.map(|found| found.origin), Some(SettingOrigin::Flag(key.flag)));
            let help = command.get_arguments().find(|arg| arg.get_long() == Some(&key.flag[2..]));
            let help = help.and_then(|arg| arg.get_help()).map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(key.variable), "{}: {help}", key.flag);
        }
    }

    #[test]
    fn the_usual_lines_need_no_clap() {
        for line in [
            &["exec", "--", "env"][..],
            &["exec", "env", "-i"],
            &["exec", "--deadline", "1s", "--require=A", "--require", "B", "--delete-ticket-file", "--", "x"],
            &["check", "--json"],
            &["explain", "--plugin", "a"],
        ] {
            let line: Vec<OsString> = ["dropsafe-agent"].iter().chain(line).map(OsString::from).collect();
            assert!(usual(&line).is_some(), "{line:?}");
        }
    }

    proptest::proptest! {
        /// Whatever the quick way reads, clap reads alike.
        #[test]
        fn the_quick_way_and_clap_agree(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..7)) {
            let line: Vec<OsString> = std::iter::once(&"dropsafe-agent").chain(&words).map(OsString::from).collect();
            if let Some(flags) = usual(&line) {
                let by_clap = Flags::try_parse_from(&line);
                proptest::prop_assert!(by_clap.is_ok(), "{:?}: {:?}", line, by_clap);
                proptest::prop_assert_eq!(flags, by_clap.unwrap());
            }
        }
    }

    const WORDS: &[&str] = &[
        "exec",
        "explain",
        "check",
        "help",
        "--",
        "-",
        "",
        "-h",
        "--help",
        "--json",
        "--json=1",
        "--deadline",
        "--deadline=1s",
        "--deadline=",
        "1s",
        "-1",
        "--require",
        "--require=A",
        "--delete-ticket-file",
        "--delete-ticket-file=x",
        "--config",
        "--log",
        "--ca=x",
        "--unknown",
        "--dead",
        "env",
        "x=y",
    ];

    #[test]
    fn every_flag_is_read_alike_by_both() {
        for flag in command()
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .filter(|flag| !["allow-disk", "delete-ticket-file"].contains(flag))
        {
            let line = ["dropsafe-agent", "check", &format!("--{flag}"), "x"].map(OsString::from);
            assert_eq!(usual(&line), Flags::try_parse_from(&line).ok(), "{flag}");
            assert!(usual(&line).is_some() || ["help", "version"].contains(&flag), "{flag}");
        }
    }

    #[test]
    fn the_workload_is_taken_as_it_is() {
        for (line, command) in [
            (&["exec", "--", "env", "-i"][..], &["env", "-i"][..]),
            (&["exec", "env", "--help"], &["env", "--help"]),
            (&["exec", "--deadline", "1s", "--", "sh", "-c", "x"], &["sh", "-c", "x"]),
            (&["--deadline", "1s", "exec", "--", "a", "--", "b"], &["a", "--", "b"]),
            (&["exec", "--", "--version"], &["--version"]),
        ] {
            let Action::Exec { command: read, .. } = parse(line).unwrap().action else { panic!() };
            assert_eq!(read, command, "{line:?}");
        }
        assert!(parse(&["exec"]).is_err());
        assert!(parse(&["exec", "--unknown", "--", "env"]).is_err());
        assert!(parse(&[]).is_err());
    }
}
