//! The agent's settings, read from flags, environment and file and parsed into what they mean. Every fault is collected before
//! anything else is opened; no value is in [`Settings`]: those are in [`Own`].

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::account::Wish;
use super::flags::Options;
use super::machine::{Files, ReadError};
use super::own::{Layer, Own};
use super::placement;
use super::placement::Placement;
use super::wanted::Wanted;
use crate::domain::name::{EnvName, PluginName};
use crate::settings::{
    Environment, Setting, SettingErrors, SettingOrigin, SettingReader, SettingSource, YamlFile, nearest,
    parse,
};

/// Where the configuration is, unless someone says otherwise. It need not exist.
pub(crate) const DEFAULT_FILE: &str = "/etc/dropsafe/agent.yaml";
/// Long enough for a network that comes up after the unit does, short enough that a person still waits.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// A day: the outage that someone notices in the morning.
const DEFAULT_CACHE_AGE: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_CACHE_DIR: &str = "/var/cache/dropsafe";

/// The names of every setting.
pub(crate) mod key {
    use crate::settings::SettingKey;

    macro_rules! keys {
        ($($(#[$doc:meta])* $name:ident = $flag:literal, $variable:literal, $field:literal;)*) => {
            $($(#[$doc])* pub(crate) const $name: SettingKey = SettingKey { flag: $flag, variable: $variable, field: $field };)*
            /// All of them.
            pub(crate) const ALL: &[SettingKey] = &[$($name,)*];
        };
    }

    keys! {
        /// A file that holds the ticket.
        TICKET_FILE = "--ticket-file", "DROPSAFE_TICKET_FILE", "ticket_file";
        /// Whether to delete it.
        DELETE_TICKET_FILE = "--delete-ticket-file", "DROPSAFE_DELETE_TICKET_FILE", "delete_ticket_file";
        /// How long to try.
        DEADLINE = "--deadline", "DROPSAFE_DEADLINE", "deadline";
        /// And then.
        ON_OUTAGE = "--on-outage", "DROPSAFE_ON_OUTAGE", "on_outage";
        /// Where the last release is kept.
        CACHE_DIR = "--cache-dir", "DROPSAFE_CACHE_DIR", "cache.dir";
        /// How old it may be.
        CACHE_MAX_AGE = "--cache-max-age", "DROPSAFE_CACHE_MAX_AGE", "cache.max_age";
        /// Names that the workload needs.
        REQUIRE = "--require", "DROPSAFE_REQUIRE", "require";
        /// Names that it can use.
        OPTIONAL = "--optional", "DROPSAFE_OPTIONAL", "optional";
        /// Secrets to get although their auto-install is off.
        INCLUDE = "--include", "DROPSAFE_INCLUDE", "include";
        /// Secrets not to get.
        EXCLUDE = "--exclude", "DROPSAFE_EXCLUDE", "exclude";
        /// Plugins that the workload runs.
        PLUGINS = "--plugin", "DROPSAFE_PLUGINS", "plugins";
        /// Refused names that the store may set here.
        ALLOW_NAMES = "--allow-name", "DROPSAFE_ALLOW_NAMES", "allow_names";
        /// Variables that hold no reference.
        LITERAL = "--literal", "DROPSAFE_LITERAL", "literal";
        /// The lowest layer.
        DEFAULTS_FILE = "--defaults-file", "DROPSAFE_DEFAULTS_FILE", "defaults_file";
        /// Where secrets go that are delivered as files.
        FILES_DIR = "--files-dir", "DROPSAFE_FILES_DIR", "files_dir";
        /// The order of the layers.
        LAYERS = "--layers", "DROPSAFE_LAYERS", "layers";
        /// What this machine calls itself.
        MACHINE = "--machine", "DROPSAFE_MACHINE", "machine";
        /// The authorities that decide about a store without a pin.
        AUTHORITIES = "--ca", "DROPSAFE_CA", "ca";
        /// Who may read what `boot` leaves, beside the agent's own user.
        FILE_GROUP = "--file-group", "DROPSAFE_FILE_GROUP", "file_group";
        /// Whether `boot` may write to a disk.
        ALLOW_DISK = "--allow-disk", "DROPSAFE_ALLOW_DISK", "allow_disk";
        /// Whom the workload runs as.
        USER = "--user", "DROPSAFE_USER", "user";
        /// Form of messages.
        LOG = "--log", "DROPSAFE_LOG_FORMAT", "log";
        /// Their level.
        LOG_LEVEL = "", "DROPSAFE_LOG", "log_level";
    }

    /// The map of variables in the file; it stands nowhere else, for flags and environments are seen by others.
    pub(crate) const SECRETS: &str = "secrets";
}

/// What to do when the store cannot be reached by the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnOutage {
    /// Do not start.
    Fail,
    /// Start with the last release, if it is not too old.
    Cache,
    /// Start with what the machine itself has.
    StartWithout,
}

/// Form of messages on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Log {
    /// In which form.
    pub(crate) format: LogFormat,
    /// Down to which level.
    pub(crate) level: LevelFilter,
}

/// The settings, in their meaning.
#[derive(Debug)]
pub(crate) struct Settings {
    /// A file that holds the ticket.
    pub(crate) ticket_file: Option<Setting<PathBuf>>,
    /// Whether to delete it before the workload starts.
    pub(crate) delete_ticket_file: bool,
    /// How long to try in all.
    pub(crate) deadline: Duration,
    /// And then.
    pub(crate) on_outage: OnOutage,
    /// Where the last release is kept when `on_outage` is `cache`.
    pub(crate) cache_dir: PathBuf,
    /// How old it may be.
    pub(crate) cache_max_age: Duration,
    /// Names that the workload needs.
    pub(crate) require: Vec<Wanted>,
    /// Names that it can use.
    pub(crate) optional: Vec<Wanted>,
    /// Secrets to get although their auto-install is off.
    pub(crate) include: Vec<Wanted>,
    /// Secrets not to get.
    pub(crate) exclude: Vec<Wanted>,
    /// Plugins that the workload runs; `None`: no restriction.
    pub(crate) plugins: Option<BTreeSet<PluginName>>,
    /// Refused names that the store may set here.
    pub(crate) allow_names: BTreeSet<EnvName>,
    /// Where secrets go that are delivered as files; in memory, not on a disk.
    pub(crate) files_dir: PathBuf,
    /// The layers in use, the highest first.
    pub(crate) layers: Vec<Layer>,
    /// What this machine calls itself, when it was told.
    pub(crate) machine: Option<String>,
    /// A PEM file of the authorities that decide when the ticket has no pin; the system's unless said.
    pub(crate) authorities: Option<PathBuf>,
    /// Secrets that this machine wants as files.
    pub(crate) files: Vec<Placement>,
    /// Who may read what `boot` leaves, beside the agent's own user.
    pub(crate) file_group: Option<String>,
    /// Whether `boot` may write to a disk.
    pub(crate) allow_disk: bool,
    /// Whom the workload runs as; as whom the agent does, unless said.
    pub(crate) user: Option<Wish>,
    /// How much is told, and how.
    pub(crate) log: Log,
    /// What is odd and no fault.
    pub(crate) warnings: Vec<String>,
}

/// Reads everything.
///
/// # Errors
/// Every fault of flags, environment, configuration file and defaults file.
pub(crate) fn read(
    options: &Options,
    environment: &Environment,
    files: &dyn Files,
) -> Result<(Settings, Own), SettingErrors> {
    let mut faults = SettingErrors::default();
    let (file, warning) = configuration_file(options, environment, files, &mut faults);
    let sources: [&dyn SettingSource; 3] = [options, environment, &file];
    let mut reader = SettingReader::new(&sources, &mut faults);

    let ticket_file = reader.one(&key::TICKET_FILE, parse::path);
    let delete_ticket_file = reader.one(&key::DELETE_TICKET_FILE, parse::boolean);
    let deadline = reader.one(&key::DEADLINE, positive);
    let on_outage = reader.one(&key::ON_OUTAGE, on_outage);
    let cache_dir = reader.one(&key::CACHE_DIR, parse::path);
    let cache_max_age = reader.one(&key::CACHE_MAX_AGE, positive);
    let mut require = list(reader.list(&key::REQUIRE, Wanted::parse));
    let optional = list(reader.list(&key::OPTIONAL, Wanted::parse));
    let include = list(reader.list(&key::INCLUDE, Wanted::parse));
    let exclude = reader.list(&key::EXCLUDE, Wanted::parse);
    let plugins = reader.list(&key::PLUGINS, PluginName::parse);
    let allow_names = list(reader.list(&key::ALLOW_NAMES, allowed));
    let literal = list(reader.list(&key::LITERAL, EnvName::parse));
    let files_dir = reader.one(&key::FILES_DIR, parse::path);
    let layers = reader.list(&key::LAYERS, Layer::parse);
    let defaults_file = reader.one(&key::DEFAULTS_FILE, parse::path);
    let machine = reader.one(&key::MACHINE, machine);
    let authorities = reader.one(&key::AUTHORITIES, parse::path);
    let file_group = reader.one(&key::FILE_GROUP, machine_group);
    let allow_disk = reader.one(&key::ALLOW_DISK, parse::boolean);
    let user = reader.one(&key::USER, Wish::parse);
    let log = log(&mut reader);

    // Nobody places what is not needed.
    let placed = placement::read(&file, &mut faults);
    for wanted in placed.iter().map(|placement| &placement.secret) {
        if !require.iter().any(|required| required.same(wanted)) {
            require.push(wanted.clone());
        }
    }
    if let Some(exclude) = &exclude {
        for name in
            require.iter().chain(&include).filter(|name| exclude.value.iter().any(|out| out.same(name)))
        {
            faults.push(exclude.origin.clone(), format_args!("{name} is excluded and asked for at once"));
        }
    }
    let settings = Settings {
        ticket_file,
        delete_ticket_file: delete_ticket_file.is_some_and(|set| set.value),
        deadline: deadline.map_or(DEFAULT_DEADLINE, |set| set.value),
        on_outage: on_outage.map_or(OnOutage::Fail, |set| set.value),
        cache_dir: cache_dir.map_or_else(|| DEFAULT_CACHE_DIR.into(), |set| set.value),
        cache_max_age: cache_max_age.map_or(DEFAULT_CACHE_AGE, |set| set.value),
        require,
        optional,
        include,
        exclude: list(exclude),
        plugins: plugins.map(|set| set.value.into_iter().collect()),
        allow_names: allow_names.into_iter().collect(),
        files_dir: files_dir.map_or_else(|| default_files_dir(environment), |set| set.value),
        layers: layers.map_or_else(|| Layer::ALL.to_vec(), |set| order(set, &mut faults)),
        machine: machine.map(|set| set.value),
        authorities: authorities.map(|set| set.value),
        files: placed,
        file_group: file_group.map(|set| set.value),
        allow_disk: allow_disk.is_some_and(|set| set.value),
        user: user.map(|set| set.value),
        log,
        warnings: warning.into_iter().chain(near_misses(environment)).collect(),
    };
    let own = Own::read(&file, defaults_file.as_ref(), environment, &literal, files, &mut faults);
    faults.or((settings, own))
}

/// Where messages go, when the settings as a whole have faults: they are told in the form that was asked for.
pub(crate) fn read_log(options: &Options, environment: &Environment) -> Log {
    let mut ignored = SettingErrors::default();
    log(&mut SettingReader::new(&[options, environment], &mut ignored))
}

/// Where files go, for one that cannot read the configuration file; that decides last.
pub(crate) fn read_files_dir(options: &Options, environment: &Environment) -> PathBuf {
    let mut ignored = SettingErrors::default();
    let read = SettingReader::new(&[options, environment], &mut ignored).one(&key::FILES_DIR, parse::path);
    read.map_or_else(|| default_files_dir(environment), |set| set.value)
}

fn configuration_file(
    options: &Options,
    environment: &Environment,
    files: &dyn Files,
    faults: &mut SettingErrors,
) -> (YamlFile, Option<String>) {
    let asked =
        (options.config.as_deref().map(|path| (path, SettingOrigin::Flag("--config")))).or_else(|| {
            Some((
                environment.variable("DROPSAFE_CONFIG")?,
                SettingOrigin::Variable("DROPSAFE_CONFIG".into()),
            ))
        });
    let path = asked.as_ref().map_or(Path::new(DEFAULT_FILE), |(path, _)| Path::new(path));
    let shown = path.display().to_string();
    match files.text(path, 1 << 20) {
        Ok(text) => {
            let file = YamlFile::parse(&shown, &text.text, faults);
            let mut known: Vec<&str> = key::ALL.iter().map(|key| key.field).collect();
            known.extend([key::SECRETS, placement::FIELD]);
            file.refuse_unknown(&known, faults);
            let warning = (text.open_to_others && file.node(key::SECRETS).is_some())
                .then(|| format!("{shown} holds values and others may read it: chmod 0600 {shown}"));
            (file, warning)
        }
        Err(ReadError::Missing) if asked.is_none() => (YamlFile::empty(), None),
        Err(error) => {
            let origin =
                asked.map_or_else(|| SettingOrigin::File(shown.as_str().into()), |(_, origin)| origin);
            faults.push(origin, format_args!("the configuration file: {error}"));
            (YamlFile::empty(), None)
        }
    }
}

/// What systemd made for the unit, or for the user's session; else what there is for system services.
fn default_files_dir(environment: &Environment) -> PathBuf {
    // Several are separated by colons (systemd.exec(5)).
    let first = |folders: &OsStr| {
        OsStr::from_bytes(folders.as_bytes().split(|b| *b == b':').next().unwrap_or(b"")).into()
    };
    let unit = environment.variable("RUNTIME_DIRECTORY").map(first);
    let session = || environment.variable("XDG_RUNTIME_DIR").map(|folder| Path::new(folder).join("dropsafe"));
    unit.or_else(session).unwrap_or_else(|| "/run/dropsafe".into())
}

fn list<T>(setting: Option<Setting<Vec<T>>>) -> Vec<T> {
    setting.map_or_else(Vec::new, |setting| setting.value)
}

fn positive(text: &str) -> Result<Duration, &'static str> {
    match parse::duration(text)? {
        Duration::ZERO => Err("must be longer than nothing"),
        duration => Ok(duration),
    }
}

fn on_outage(text: &str) -> Result<OnOutage, String> {
    let words =
        [("fail", OnOutage::Fail), ("cache", OnOutage::Cache), ("start-without", OnOutage::StartWithout)];
    parse::word(text, &words)
}

fn allowed(text: &str) -> Result<EnvName, String> {
    let name = EnvName::parse(text).map_err(|error| error.to_string())?;
    if is_ours(text.as_bytes()) {
        return Err("DROPSAFE_ names are the agent's own and are never passed on".to_owned());
    }
    Ok(name)
}

fn machine(text: &str) -> Result<String, &'static str> {
    if text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("use at most 128 visible ASCII characters")
    }
}

fn machine_group(text: &str) -> Result<String, &'static str> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        Ok(text.to_owned())
    } else {
        Err("not the name or the number of a group")
    }
}

fn log(reader: &mut SettingReader<'_>) -> Log {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("off", LevelFilter::OFF),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    Log {
        format: reader
            .one(&key::LOG, |text| parse::word(text, &formats))
            .map_or(LogFormat::Text, |set| set.value),
        level: reader
            .one(&key::LOG_LEVEL, |text| parse::word(&text.to_ascii_lowercase(), &levels))
            .map_or(LevelFilter::WARN, |set| set.value),
    }
}

/// Released entries can neither be left out nor reach the machine in another order than the store decided.
fn order(setting: Setting<Vec<Layer>>, faults: &mut SettingErrors) -> Vec<Layer> {
    let place = |layer: Layer| setting.value.iter().position(|listed| *listed == layer);
    let unique: BTreeSet<Layer> = setting.value.iter().copied().collect();
    if unique.len() < setting.value.len() {
        faults.push(setting.origin.clone(), "a layer is listed twice");
    }
    match (place(Layer::Private), place(Layer::Shared)) {
        (Some(private), Some(shared)) if private < shared => {}
        (Some(_), Some(_)) => {
            faults.push(setting.origin, "private comes before shared: the store has decided it so");
        }
        _ => faults.push(setting.origin, "private and shared must both be listed; others may be left out"),
    }
    setting.value
}

/// Whether a variable's name is one of the agent's own, which no workload sees. The kernel hands words of its command line to
/// the first process as they are, hence the dot.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    name.starts_with(b"DROPSAFE_") || name.starts_with(b"dropsafe.")
}

/// Variables that look like a mistyped setting. Others are nobody's fault: `DROPSAFE_PORT` and its like are set by container
/// orchestrators for a service of that name, and `DROPSAFE_URL` is the command line's.
fn near_misses(environment: &Environment) -> Vec<String> {
    let known: Vec<&str> = key::ALL.iter().map(|key| key.variable).collect();
    let also = [
        "DROPSAFE_CONFIG",
        "DROPSAFE_TICKET",
        "DROPSAFE_URL",
        "DROPSAFE_TOKEN",
        "DROPSAFE_CA",
        "DROPSAFE_PORT",
    ];
    let odd = environment
        .iter()
        .filter_map(|(name, _)| name.to_str())
        .filter(|name| name.starts_with("DROPSAFE_") && !known.contains(name) && !also.contains(name));
    odd.filter_map(|name| {
        let meant = nearest(&name[9..], known.iter().map(|known| &known[9..]))?;
        Some(format!("{name} is no setting; did you mean DROPSAFE_{meant}?"))
    })
    .collect()
}

#[cfg(test)]
mod tests;
