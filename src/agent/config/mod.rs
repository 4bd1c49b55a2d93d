//! The agent's settings, read from flags, environment and file and parsed into what they mean.
//!
//! It collects every fault before anything else is opened. It holds no value of a variable: [`AgentSettings`] may be logged, and
//! the values are in [`LocalVariables`].

pub(crate) mod keys;
mod values;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::account::UserSpec;
use super::arguments::SettingArgs;
use super::file_mapping;
use super::file_mapping::FileMapping;
use super::local_variables::{Layer, LocalSources, LocalVariables};
use super::log::LogSettings;
use super::machine::{FileReadError, Files};
use super::requested_name::RequestedName;
use super::token_source::TokenSource;
use crate::domain::card::StoreCard;
use crate::domain::name::{EnvName, PluginName};
use crate::settings::{
    Environment, Setting, SettingErrors, SettingOrigin, SettingReader, SettingSource, YamlFile, nearest,
    parse,
};

/// Read unless `--config` or `DROPSAFE_CONFIG` names another file. It need not exist.
pub(crate) const DEFAULT_FILE: &str = "/etc/dropsafe/agent.yaml";
/// Long enough for a network that comes up after the unit does, short enough that a person at a prompt still waits.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);
/// A day: an outage that someone notices the next morning.
const DEFAULT_CACHE_AGE: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_CACHE_DIR: &str = "/var/cache/dropsafe";
/// A configuration is written by hand; a larger file is a mistake in the path.
const MAX_FILE: usize = 1 << 20;

/// What to do when the store cannot be reached by the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnOutage {
    /// Do not start the workload.
    Fail,
    /// Start with the last release, unless it is too old.
    Cache,
    /// Start with the variables that the machine itself has.
    StartWithout,
}

/// The settings, parsed.
#[derive(Debug)]
pub(crate) struct AgentSettings {
    pub(crate) ticket_file: Option<Setting<PathBuf>>,
    /// Whether to delete the ticket file before the workload starts.
    pub(crate) delete_ticket_file: bool,
    /// The store card of a machine that has no ticket.
    pub(crate) card: Option<Setting<StoreCard>>,
    pub(crate) card_file: Option<Setting<PathBuf>>,
    /// Where the tokens come from that prove the card's identity.
    pub(crate) token_from: Option<Setting<TokenSource>>,
    /// For whom they are. Default: the card's store.
    pub(crate) token_audience: Option<String>,
    /// The time for all attempts to reach the store together.
    pub(crate) deadline: Duration,
    pub(crate) on_outage: OnOutage,
    /// Where the last release is cached if `on_outage` is `cache`.
    pub(crate) cache_dir: PathBuf,
    pub(crate) cache_max_age: Duration,
    /// Names without which the workload does not start.
    pub(crate) require: Vec<RequestedName>,
    /// Names that are requested and may be missing.
    pub(crate) optional: Vec<RequestedName>,
    /// Secrets to receive although they are not auto-installed.
    pub(crate) include: Vec<RequestedName>,
    /// Secrets not to receive.
    pub(crate) exclude: Vec<RequestedName>,
    /// Plugins that the workload runs; `None` means that plugins restrict nothing.
    pub(crate) plugins: Option<BTreeSet<PluginName>>,
    /// Names that are refused by default and that the store may set on this machine.
    pub(crate) allow_names: BTreeSet<EnvName>,
    /// The folder on a tmpfs for secrets that are delivered as files.
    pub(crate) files_dir: PathBuf,
    /// The layers in use, the highest first.
    pub(crate) layers: Vec<Layer>,
    /// The machine's name in the store's records, if one is configured.
    pub(crate) machine: Option<String>,
    /// A PEM file of the certificate authorities for a ticket without a pin. Default: the system's.
    pub(crate) authorities: Option<PathBuf>,
    /// Secrets that this machine wants as files.
    pub(crate) files: Vec<FileMapping>,
    /// A group that may read the files that `boot` writes, beside the agent's own user.
    pub(crate) file_group: Option<String>,
    /// Whether `boot` may write secrets to a disk.
    pub(crate) allow_disk: bool,
    /// Whether `--mask` also masks secrets that are delivered as files.
    pub(crate) mask_files: bool,
    /// Whether the workload may write core dumps, which hold its secrets.
    pub(crate) allow_core_dumps: bool,
    /// Whether `dropsafe-agent ended` runs at the end of this boot.
    pub(crate) report_end: bool,
    /// The user that the workload runs as. Default: the agent's own.
    pub(crate) user: Option<UserSpec>,
    pub(crate) log: LogSettings,
    /// Findings that are probably mistakes and stop nothing.
    pub(crate) warnings: Vec<String>,
}

/// Reads the settings and the machine's own variables.
///
/// # Errors
/// Every fault of flags, environment, configuration file and defaults file.
pub(crate) fn read(
    args: &SettingArgs,
    environment: &Environment,
    files: &dyn Files,
) -> Result<(AgentSettings, LocalVariables), SettingErrors> {
    let mut faults = SettingErrors::default();
    let (file, warning) = configuration_file(args, environment, files, &mut faults);
    let sources: [&dyn SettingSource; 3] = [args, environment, &file];
    let mut reader = SettingReader::new(&sources, &mut faults);

    let exclude = reader.list(&keys::EXCLUDE, RequestedName::parse);
    let literal = list(reader.list(&keys::LITERAL, EnvName::parse));
    let layers = reader.list(&keys::LAYERS, Layer::parse);
    let defaults_file = reader.one(&keys::DEFAULTS_FILE, parse::path);
    let mut settings = scalar_settings(&mut reader, environment);
    settings.warnings = warning.into_iter().chain(misspelled_variables(environment)).collect();
    if let Some(layers) = layers {
        settings.layers = values::layer_order(layers, &mut faults);
    }

    settings.files = file_mapping::read(&file, &mut faults);
    // A mapped file that did not arrive would leave the workload with a path to nothing.
    for name in settings.files.iter().map(|mapping| &mapping.secret) {
        if !settings.require.iter().any(|required| required.exports_same(name)) {
            settings.require.push(name.clone());
        }
    }
    if let Some(exclude) = exclude {
        let excluded = |name: &&RequestedName| exclude.value.iter().any(|other| other.exports_same(name));
        for name in settings.require.iter().chain(&settings.include).filter(excluded) {
            faults.push(exclude.origin.clone(), format_args!("{name} is both excluded and requested"));
        }
        settings.exclude = exclude.value;
    }
    let local =
        LocalSources { file: &file, defaults: defaults_file.as_ref(), environment, literal: &literal };
    let mut local = LocalVariables::collect(&local, files, &mut faults);
    if let Some(Setting { value: TokenSource::Variable(name), .. }) = &settings.token_from {
        // It boots this identity, and the workload has no use for that.
        local.retain(|variable| variable.layer != Layer::Environment || variable.name != name.as_str());
    }
    faults.or((settings, local))
}

/// Every setting that a single key decides.
fn scalar_settings(reader: &mut SettingReader<'_>, environment: &Environment) -> AgentSettings {
    let files_dir = reader.one(&keys::FILES_DIR, parse::path);
    AgentSettings {
        ticket_file: reader.one(&keys::TICKET_FILE, parse::path),
        delete_ticket_file: or(reader.one(&keys::DELETE_TICKET_FILE, parse::boolean), false),
        card: reader.one(&keys::CARD, |text| text.trim().parse::<StoreCard>()),
        card_file: reader.one(&keys::CARD_FILE, parse::path),
        token_from: reader.one(&keys::TOKEN_FROM, TokenSource::parse),
        token_audience: reader.one(&keys::TOKEN_AUDIENCE, values::audience).map(|set| set.value),
        deadline: or(reader.one(&keys::DEADLINE, values::positive_duration), DEFAULT_DEADLINE),
        on_outage: or(reader.one(&keys::ON_OUTAGE, values::on_outage), OnOutage::Fail),
        cache_dir: or(reader.one(&keys::CACHE_DIR, parse::path), DEFAULT_CACHE_DIR.into()),
        cache_max_age: or(reader.one(&keys::CACHE_MAX_AGE, values::positive_duration), DEFAULT_CACHE_AGE),
        require: list(reader.list(&keys::REQUIRE, RequestedName::parse)),
        optional: list(reader.list(&keys::OPTIONAL, RequestedName::parse)),
        include: list(reader.list(&keys::INCLUDE, RequestedName::parse)),
        exclude: Vec::new(),
        plugins: reader.list(&keys::PLUGINS, PluginName::parse).map(|set| set.value.into_iter().collect()),
        allow_names: list(reader.list(&keys::ALLOW_NAMES, values::allowed_name)).into_iter().collect(),
        files_dir: files_dir.map_or_else(|| default_files_dir(environment), |set| set.value),
        layers: Layer::ALL.to_vec(),
        machine: reader.one(&keys::MACHINE, values::machine_name).map(|set| set.value),
        authorities: reader.one(&keys::AUTHORITIES, parse::path).map(|set| set.value),
        files: Vec::new(),
        file_group: reader.one(&keys::FILE_GROUP, values::group_name).map(|set| set.value),
        allow_disk: or(reader.one(&keys::ALLOW_DISK, parse::boolean), false),
        mask_files: or(reader.one(&keys::MASK_FILES, parse::boolean), false),
        allow_core_dumps: or(reader.one(&keys::ALLOW_CORE_DUMPS, parse::boolean), false),
        report_end: or(reader.one(&keys::REPORT_END, parse::boolean), false),
        user: reader.one(&keys::USER, UserSpec::parse).map(|set| set.value),
        log: values::log(reader),
        warnings: Vec::new(),
    }
}

/// The form and level of messages when the settings as a whole have faults: the faults, too, are reported in the configured form.
pub(crate) fn read_log(args: &SettingArgs, environment: &Environment) -> LogSettings {
    let mut ignored = SettingErrors::default();
    values::log(&mut SettingReader::new(&[args, environment], &mut ignored))
}

/// The folder for files, for a user who cannot read the configuration file.
pub(crate) fn read_files_dir(args: &SettingArgs, environment: &Environment) -> PathBuf {
    let mut ignored = SettingErrors::default();
    let set = SettingReader::new(&[args, environment], &mut ignored).one(&keys::FILES_DIR, parse::path);
    set.map_or_else(|| default_files_dir(environment), |set| set.value)
}

/// The user that `--user` names. What a container's variables or the configuration file say is meant for its workload.
pub(crate) fn read_user(args: &SettingArgs) -> Result<Option<UserSpec>, SettingErrors> {
    let mut faults = SettingErrors::default();
    let set = SettingReader::new(&[args], &mut faults).one(&keys::USER, UserSpec::parse);
    faults.or(set.map(|set| set.value))
}

fn configuration_file(
    args: &SettingArgs,
    environment: &Environment,
    files: &dyn Files,
    faults: &mut SettingErrors,
) -> (YamlFile, Option<String>) {
    let named = (args.config.as_deref().map(|path| (path, SettingOrigin::Flag("--config")))).or_else(|| {
        Some((environment.variable("DROPSAFE_CONFIG")?, SettingOrigin::Variable("DROPSAFE_CONFIG".into())))
    });
    let path = named.as_ref().map_or(Path::new(DEFAULT_FILE), |(path, _)| Path::new(path));
    let display = path.display().to_string();
    match files.text(path, MAX_FILE) {
        Ok(text) => {
            let file = YamlFile::parse(&display, &text.text, faults);
            let mut known: Vec<&str> = keys::ALL.iter().map(|key| key.field).collect();
            known.extend([keys::SECRETS, file_mapping::FIELD]);
            file.refuse_unknown(&known, faults);
            // Without a `secrets:` map the file holds nothing that is worth hiding.
            let warning = (text.open_to_others && file.node(keys::SECRETS).is_some()).then(|| {
                format!("{display} holds secrets and other users may read it: run chmod 0600 {display}")
            });
            (file, warning)
        }
        // Only a file that somebody named must exist.
        Err(FileReadError::Missing) if named.is_none() => (YamlFile::empty(), None),
        Err(error) => {
            let origin =
                named.map_or_else(|| SettingOrigin::File(display.as_str().into()), |(_, origin)| origin);
            faults.push(origin, format_args!("the configuration file: {error}"));
            (YamlFile::empty(), None)
        }
    }
}

/// The folder that systemd made for the unit, else one in the user's session, else that of system services.
fn default_files_dir(environment: &Environment) -> PathBuf {
    // A unit with several runtime folders has them separated by colons (systemd.exec(5), RuntimeDirectory=).
    let first = |folders: &OsStr| {
        OsStr::from_bytes(folders.as_bytes().split(|b| *b == b':').next().unwrap_or(b"")).into()
    };
    let unit = environment.variable("RUNTIME_DIRECTORY").map(first);
    let session = || environment.variable("XDG_RUNTIME_DIR").map(|folder| Path::new(folder).join("dropsafe"));
    unit.or_else(session).unwrap_or_else(|| "/run/dropsafe".into())
}

fn or<T>(setting: Option<Setting<T>>, default: T) -> T {
    setting.map_or(default, |setting| setting.value)
}

fn list<T>(setting: Option<Setting<Vec<T>>>) -> Vec<T> {
    setting.map_or_else(Vec::new, |setting| setting.value)
}

/// A warning for each variable that looks like a misspelled setting.
fn misspelled_variables(environment: &Environment) -> Vec<String> {
    let known: Vec<&str> = keys::ALL.iter().map(|key| key.variable).collect();
    let unknown = environment.iter().filter_map(|(name, _)| name.to_str()).filter(|name| {
        name.starts_with("DROPSAFE_") && !known.contains(name) && !keys::FOREIGN_VARIABLES.contains(name)
    });
    // A warning and no fault: Kubernetes sets DROPSAFE_SERVICE_HOST and its like for a service called `dropsafe`.
    unknown
        .filter_map(|name| {
            let meant = nearest(&name[9..], known.iter().map(|known| &known[9..]))?;
            Some(format!("{name} is not a setting; did you mean DROPSAFE_{meant}?"))
        })
        .collect()
}

#[cfg(test)]
mod tests;
