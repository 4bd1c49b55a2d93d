//! The command line as typed. The settings decide what a flag means and whether it is well-formed, so that a fault in a flag is
//! reported together with the faults of the file and the environment.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(any(feature = "server", test))]
use clap::CommandFactory;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};

use super::config::keys;
use crate::settings::{FoundSetting, SettingKey, SettingOrigin, SettingSource, SettingTexts, parse};

/// The command line of the agent, for completions and manual pages.
#[cfg(any(feature = "server", test))]
pub(crate) fn command() -> clap::Command {
    AgentArgs::command()
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
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    pub(crate) command: AgentCommand,
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum AgentCommand {
    /// Fetch the secrets, then become the workload: nothing of the agent remains
    #[command(after_help = EXEC_HELP)]
    Exec {
        #[command(flatten)]
        start: SupervisorArgs,
        /// The workload and its arguments, passed on unchanged; no shell is involved
        #[arg(trailing_var_arg = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
        command: Vec<OsString>,
    },
    /// Fetch the secrets, and leave environment, files and receipt on a tmpfs for the units of this machine
    Boot {
        /// Also write an env-file for `docker run --env-file`, on a tmpfs; fails if a value contains a newline
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        docker_env: Option<PathBuf>,
    },
    /// Start a program with the secrets that this boot already received; no store is contacted
    #[command(after_help = ENTER_HELP)]
    Enter {
        /// The program and its arguments, passed on unchanged; no shell is involved
        #[arg(trailing_var_arg = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
        command: Vec<OsString>,
    },
    /// Report to the store that the boot of this unit has ended: for ExecStop= and ExecStopPost=; always succeeds, within 2 s
    Ended,
    /// Answer LoadCredential= of systemd units with the secrets of this boot, on a socket passed by systemd
    Credentials,
    /// Show what a boot would export, from where and why; shows no value and spends no use of the ticket
    Explain {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check configuration, ticket or card, connection and clock, and report every fault with its remedy; spends no use
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

const EXEC_HELP: &str = "\
Exit status: that of the workload, or 64 usage, 69 store unreachable by the deadline, 75 try again, 77 denied,
78 configuration, collision or size, 126 not executable, 127 not found.";

/// Long enough for most programs to end by themselves. As text, and parsed.
const DEFAULT_GRACE: (&str, Duration) = ("5s", Duration::from_secs(5));

/// What stays of the agent beside the workload. These are no settings: the supervisor forks before any file is read.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct SupervisorArgs {
    /// Stay as the parent: forward signals, reap orphans, exit with the workload's status
    #[arg(long)]
    pub(crate) init: bool,
    /// Forward signals to the workload's whole process group
    #[arg(long, requires = "init")]
    pub(crate) group: bool,
    /// Replace the secrets of this boot by *** in the workload's output; a convenience, not a security boundary
    #[arg(long, requires = "init")]
    pub(crate) mask: bool,
    /// How long processes that the workload leaves behind may take to end before they are killed
    #[arg(long, requires = "init", value_name = "TIME", default_value = DEFAULT_GRACE.0, value_parser = parse::duration)]
    pub(crate) grace: Duration,
}

impl SupervisorArgs {
    /// No supervisor.
    const NONE: Self = Self { init: false, group: false, grace: DEFAULT_GRACE.1, mask: false };
}

const ENTER_HELP: &str = "\
The secrets are those that `boot` left in --files-dir or in /run/dropsafe; in a container, they are the environment of the workload,
which only the workload's own user or root can read: as root, the program gets that user, its groups and its no_new_privs. For
`docker exec`, SSH sessions and cron.";

/// Settings that may be flags; each may also be a variable or a field of the file.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingArgs {
    /// The configuration file [env: DROPSAFE_CONFIG] [default: /etc/dropsafe/agent.yaml]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<OsString>,
    /// A file that holds the boot ticket [env: DROPSAFE_TICKET_FILE]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ticket_file: Option<OsString>,
    /// Delete the ticket file once the secrets have arrived [env: DROPSAFE_DELETE_TICKET_FILE]
    #[arg(long, global = true)]
    delete_ticket_file: bool,
    /// The store card of a machine that proves itself by tokens of an issuer; not a secret [env: DROPSAFE_CARD]
    #[arg(long, global = true, value_name = "CARD")]
    card: Option<OsString>,
    /// A file that holds the store card [env: DROPSAFE_CARD_FILE]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    card_file: Option<OsString>,
    /// Where the tokens come from: file:PATH, env:NAME, github, gcp, azure or command:PROGRAM ARG… [env: DROPSAFE_TOKEN_FROM]
    #[arg(long, global = true, value_name = "SOURCE")]
    token_from: Option<OsString>,
    /// The audience of the tokens [env: DROPSAFE_TOKEN_AUDIENCE] [default: dropsafe: and the store's id]
    #[arg(long, global = true, value_name = "AUDIENCE")]
    token_audience: Option<OsString>,
    /// How long to try to reach the store, in all [env: DROPSAFE_DEADLINE] [default: 30s]
    #[arg(long, global = true, value_name = "TIME")]
    deadline: Option<OsString>,
    /// What to do if the store is still unreachable then: fail, cache or start-without [env: DROPSAFE_ON_OUTAGE] [default: fail]
    #[arg(long, global = true, value_name = "POLICY")]
    on_outage: Option<OsString>,
    /// The folder of the encrypted cache for `--on-outage cache`, and of the newest revision seen [env: DROPSAFE_CACHE_DIR] [default: /var/cache/dropsafe]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    cache_dir: Option<OsString>,
    /// The age at which the cache expires [env: DROPSAFE_CACHE_MAX_AGE] [default: 24h]
    #[arg(long, global = true, value_name = "TIME")]
    cache_max_age: Option<OsString>,
    /// A name without which the workload does not start [env: DROPSAFE_REQUIRE]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    require: Vec<OsString>,
    /// A name to request that may be missing [env: DROPSAFE_OPTIONAL]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    optional: Vec<OsString>,
    /// A secret to receive although it is not auto-installed [env: DROPSAFE_INCLUDE]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    include: Vec<OsString>,
    /// A secret not to receive [env: DROPSAFE_EXCLUDE]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    exclude: Vec<OsString>,
    /// A plugin that this workload runs; without any, plugins restrict nothing [env: DROPSAFE_PLUGINS]
    #[arg(long, global = true, value_name = "PLUGIN", action = ArgAction::Append)]
    plugin: Vec<OsString>,
    /// A name refused by default, such as PATH, that the store may set on this machine [env: DROPSAFE_ALLOW_NAMES]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    allow_name: Vec<OsString>,
    /// A variable whose value is never a reference, even if it starts with dropsafe: [env: DROPSAFE_LITERAL]
    #[arg(long, global = true, value_name = "NAME", action = ArgAction::Append)]
    literal: Vec<OsString>,
    /// A file of NAME=VALUE lines for names that no other layer sets [env: DROPSAFE_DEFAULTS_FILE]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    defaults_file: Option<OsString>,
    /// The folder, on a tmpfs, for secrets that are files and for what `boot` writes [env: DROPSAFE_FILES_DIR] [default: /run/dropsafe]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    files_dir: Option<OsString>,
    /// The order of the layers [env: DROPSAFE_LAYERS] [default: private,shared,secrets,environment,defaults]
    #[arg(long, global = true, value_name = "LIST")]
    layers: Option<OsString>,
    /// The machine's name in the store's records [env: DROPSAFE_MACHINE] [default: derived from /etc/machine-id]
    #[arg(long, global = true, value_name = "NAME")]
    machine: Option<OsString>,
    /// A PEM file of certificate authorities, for a ticket or card without a pin [env: DROPSAFE_CA] [default: the system's]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca: Option<OsString>,
    /// A group that may read the files that `boot` writes [env: DROPSAFE_FILE_GROUP]
    #[arg(long, global = true, value_name = "GROUP")]
    file_group: Option<OsString>,
    /// Let `boot` write to a disk, where deleted secrets can be recovered [env: DROPSAFE_ALLOW_DISK]
    #[arg(long, global = true)]
    allow_disk: bool,
    /// Let `--mask` also replace secrets that are delivered as files [env: DROPSAFE_MASK_FILES]
    #[arg(long, global = true)]
    mask_files: bool,
    /// Let the workload write core dumps, which hold its secrets, up to the limit that the agent was started with [env: DROPSAFE_ALLOW_CORE_DUMPS]
    #[arg(long, global = true)]
    allow_core_dumps: bool,
    /// The user that the workload runs as, by name or number; HOME is set accordingly [env: DROPSAFE_USER]
    #[arg(long, global = true, value_name = "USER[:GROUP]", value_hint = ValueHint::Username)]
    user: Option<OsString>,
    /// The format of messages: text or json; DROPSAFE_LOG sets their level [env: DROPSAFE_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log: Option<OsString>,
}

/// Parses a command line, whose first argument is the program's name.
///
/// # Errors
/// clap's, with usage and suggestions; also for `--help` and `--version`.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<AgentArgs, clap::Error> {
    // Building clap's definitions takes longer than all of a boot's own work. clap parses what the quick parser does not know,
    // and so every wrong line; a property test compares the two.
    match parse_common(&arguments) {
        Some(args) => Ok(args),
        None => AgentArgs::try_parse_from(arguments),
    }
}

/// Parses a subcommand, then long flags with their values, then the workload. Returns `None` for anything else.
fn parse_common(arguments: &[OsString]) -> Option<AgentArgs> {
    let [_, action, rest @ ..] = arguments else { return None };
    let action = action.to_str()?;
    let mut settings = SettingArgs::default();
    let mut json = false;
    let mut start = SupervisorArgs::NONE;
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.as_bytes().strip_prefix(b"--") else {
            // The first word that is no flag starts the workload's command line, as for clap's trailing_var_arg.
            let workload = action == "exec" && !argument.as_bytes().starts_with(b"-");
            return workload.then(|| exec_command(start, std::iter::once(argument).chain(rest), settings))?;
        };
        match str::from_utf8(flag).ok()? {
            "" => return (action == "exec").then(|| exec_command(start, rest, settings))?,
            // clap refuses a switch that is given twice.
            "json" if !json && action != "exec" => json = true,
            // Its companions require it, in any order, which is left to clap.
            "init" if !start.init && action == "exec" => start.init = true,
            "group" if !start.group && start.init => start.group = true,
            "mask" if !start.mask && start.init => start.mask = true,
            "delete-ticket-file" if !settings.delete_ticket_file => settings.delete_ticket_file = true,
            "allow-disk" if !settings.allow_disk => settings.allow_disk = true,
            "mask-files" if !settings.mask_files => settings.mask_files = true,
            "allow-core-dumps" if !settings.allow_core_dumps => settings.allow_core_dumps = true,
            flag => {
                let (name, value) = match flag.split_once('=') {
                    Some((name, value)) => (name, OsString::from(value)),
                    None => (flag, rest.next()?.clone()),
                };
                // Whether `-1` is a value or a flag is clap's to say.
                if value.is_empty() || value.as_bytes().starts_with(b"-") {
                    return None;
                }
                match settings.slot(name)? {
                    FlagSlot::One(Some(_)) => return None,
                    FlagSlot::One(slot) => *slot = Some(value),
                    FlagSlot::Many(slot) => slot.push(value),
                }
            }
        }
    }
    let command = match action {
        "explain" => AgentCommand::Explain { json },
        "check" => AgentCommand::Check { json },
        _ => return None,
    };
    Some(AgentArgs { command, settings })
}

fn exec_command<'a>(
    start: SupervisorArgs,
    command: impl Iterator<Item = &'a OsString>,
    settings: SettingArgs,
) -> Option<AgentArgs> {
    let command: Vec<OsString> = command.cloned().collect();
    if command.is_empty() {
        return None;
    }
    Some(AgentArgs { command: AgentCommand::Exec { start, command }, settings })
}

enum FlagSlot<'a> {
    One(&'a mut Option<OsString>),
    Many(&'a mut Vec<OsString>),
}

impl SettingArgs {
    fn slot(&mut self, flag: &str) -> Option<FlagSlot<'_>> {
        Some(match flag {
            "config" => FlagSlot::One(&mut self.config),
            "ticket-file" => FlagSlot::One(&mut self.ticket_file),
            "card" => FlagSlot::One(&mut self.card),
            "card-file" => FlagSlot::One(&mut self.card_file),
            "token-from" => FlagSlot::One(&mut self.token_from),
            "token-audience" => FlagSlot::One(&mut self.token_audience),
            "deadline" => FlagSlot::One(&mut self.deadline),
            "on-outage" => FlagSlot::One(&mut self.on_outage),
            "cache-dir" => FlagSlot::One(&mut self.cache_dir),
            "cache-max-age" => FlagSlot::One(&mut self.cache_max_age),
            "require" => FlagSlot::Many(&mut self.require),
            "optional" => FlagSlot::Many(&mut self.optional),
            "include" => FlagSlot::Many(&mut self.include),
            "exclude" => FlagSlot::Many(&mut self.exclude),
            "plugin" => FlagSlot::Many(&mut self.plugin),
            "allow-name" => FlagSlot::Many(&mut self.allow_name),
            "literal" => FlagSlot::Many(&mut self.literal),
            "defaults-file" => FlagSlot::One(&mut self.defaults_file),
            "files-dir" => FlagSlot::One(&mut self.files_dir),
            "layers" => FlagSlot::One(&mut self.layers),
            "machine" => FlagSlot::One(&mut self.machine),
            "ca" => FlagSlot::One(&mut self.ca),
            "file-group" => FlagSlot::One(&mut self.file_group),
            "user" => FlagSlot::One(&mut self.user),
            "log" => FlagSlot::One(&mut self.log),
            _ => return None,
        })
    }
}

impl SettingSource for SettingArgs {
    fn find(&self, key: &SettingKey) -> Option<FoundSetting> {
        let one = |value: &Option<OsString>| value.clone().map(SettingTexts::One);
        let many = |values: &[OsString]| {
            let items = values.iter().map(|value| (SettingOrigin::Flag(key.flag), value.clone())).collect();
            (!values.is_empty()).then_some(SettingTexts::Many(items))
        };
        let items = match *key {
            keys::TICKET_FILE => one(&self.ticket_file),
            keys::DELETE_TICKET_FILE => self.delete_ticket_file.then(|| SettingTexts::One("true".into())),
            keys::CARD => one(&self.card),
            keys::CARD_FILE => one(&self.card_file),
            keys::TOKEN_FROM => one(&self.token_from),
            keys::TOKEN_AUDIENCE => one(&self.token_audience),
            keys::DEADLINE => one(&self.deadline),
            keys::ON_OUTAGE => one(&self.on_outage),
            keys::CACHE_DIR => one(&self.cache_dir),
            keys::CACHE_MAX_AGE => one(&self.cache_max_age),
            keys::REQUIRE => many(&self.require),
            keys::OPTIONAL => many(&self.optional),
            keys::INCLUDE => many(&self.include),
            keys::EXCLUDE => many(&self.exclude),
            keys::PLUGINS => many(&self.plugin),
            keys::ALLOW_NAMES => many(&self.allow_name),
            keys::LITERAL => many(&self.literal),
            keys::DEFAULTS_FILE => one(&self.defaults_file),
            keys::FILES_DIR => one(&self.files_dir),
            keys::LAYERS => one(&self.layers),
            keys::MACHINE => one(&self.machine),
            keys::AUTHORITIES => one(&self.ca),
            keys::FILE_GROUP => one(&self.file_group),
            keys::ALLOW_DISK => self.allow_disk.then(|| SettingTexts::One("true".into())),
            keys::MASK_FILES => self.mask_files.then(|| SettingTexts::One("true".into())),
            keys::ALLOW_CORE_DUMPS => self.allow_core_dumps.then(|| SettingTexts::One("true".into())),
            keys::USER => one(&self.user),
            keys::LOG => one(&self.log),
            _ => None,
        };
        items.map(|items| FoundSetting { origin: SettingOrigin::Flag(key.flag), items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<AgentArgs, clap::Error> {
        AgentArgs::try_parse_from(std::iter::once(&"dropsafe-agent").chain(line))
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
        for key in keys::ALL.iter().filter(|key| !key.flag.is_empty()) {
            assert!(flags.contains(&key.flag.to_owned()), "{} has no flag", key.flag);
            let switches = ["--delete-ticket-file", "--allow-disk", "--allow-core-dumps", "--mask-files"];
            let value: &[&str] = if switches.contains(&key.flag) { &[] } else { &["x"] };
            let line = [&["check", key.flag], value].concat();
            let found = parse(&line).unwrap().settings.find(key);
            assert_eq!(found.map(|found| found.origin), Some(SettingOrigin::Flag(key.flag)));
            let help = command.get_arguments().find(|arg| arg.get_long() == Some(&key.flag[2..]));
            let help = help.and_then(|arg| arg.get_help()).map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(key.variable), "{}: {help}", key.flag);
        }
    }

    #[test]
    fn common_lines_need_no_clap() {
        for line in [
            &["exec", "--", "env"][..],
            &["exec", "env", "-i"],
            &["exec", "--init", "--mask", "--group", "--user", "app", "--", "env"],
            &["exec", "--deadline", "1s", "--require=A", "--require", "B", "--delete-ticket-file", "--", "x"],
            &["check", "--json"],
            &["explain", "--plugin", "a"],
        ] {
            let line: Vec<OsString> = ["dropsafe-agent"].iter().chain(line).map(OsString::from).collect();
            assert!(parse_common(&line).is_some(), "{line:?}");
        }
    }

    proptest::proptest! {
        /// Whatever the quick parser accepts, clap parses alike.
        #[test]
        fn the_quick_parser_and_clap_agree(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..7)) {
            let line: Vec<OsString> = std::iter::once(&"dropsafe-agent").chain(&words).map(OsString::from).collect();
            if let Some(flags) = parse_common(&line) {
                let by_clap = AgentArgs::try_parse_from(&line);
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
        "--init",
        "--init=1",
        "--group",
        "--mask",
        "--grace",
        "--allow-core-dumps",
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
        for flag in command().get_arguments().filter_map(clap::Arg::get_long).filter(|flag| {
            !["allow-core-dumps", "allow-disk", "delete-ticket-file", "mask-files"].contains(flag)
        }) {
            let line = ["dropsafe-agent", "check", &format!("--{flag}"), "x"].map(OsString::from);
            assert_eq!(parse_common(&line), AgentArgs::try_parse_from(&line).ok(), "{flag}");
            assert!(parse_common(&line).is_some() || ["help", "version"].contains(&flag), "{flag}");
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
            let AgentCommand::Exec { command: read, .. } = parse(line).unwrap().command else { panic!() };
            assert_eq!(read, command, "{line:?}");
        }
        assert!(parse(&["exec"]).is_err());
        assert!(parse(&["exec", "--unknown", "--", "env"]).is_err());
        assert!(parse(&[]).is_err());
    }
}
