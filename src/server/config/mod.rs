//! What the server is told: flags, environment and DIR/server.yaml, with every fault at once and before anything opens.
//! Opens no file itself.

mod address;
mod flags;
mod presets;
mod role;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use address::{AdvertisedUrl, default_urls};
use address::{listen, loopback};
pub use flags::ServeFlags;
pub(crate) use role::ServerRole;

use super::connection::ConnectionTimeouts;
use super::data_dir;
use super::log::{LogLevel, ServerLogFormat};
use crate::domain::catalog::Presets;
use crate::kv;
use crate::settings::{
    Environment, Setting, SettingErrors, SettingKey, SettingReader, SettingSource, YamlFile, parse,
};

/// Where the server listens when nothing is said: reachable from this machine alone.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:7373";
/// Connections at once. One with TLS takes some 40 KiB, so that this many take 80 MiB. More would not get a herd through
/// sooner: who finds no room waits in the kernel's queue.
const CONNECTIONS: usize = 2048;
/// How long requests may take to finish once the server shall stop. Less than systemd's TimeoutStopSec of 90 s.
const DRAIN: Duration = Duration::from_secs(25);

/// What opens a key slot when the server starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnlockSource {
    /// A file with a passphrase; one newline at its end does not count.
    PassphraseFile(PathBuf),
    /// A key file.
    KeyFile(PathBuf),
}

/// What the server is told.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// The store's folder.
    pub(crate) data: PathBuf,
    /// Where the records are.
    pub(crate) store: kv::Url,
    /// What it is there for.
    pub(crate) role: ServerRole,
    /// TLS listeners.
    pub(crate) listen: Vec<SocketAddr>,
    /// Listeners without TLS, on loopback only.
    pub(crate) plain: Vec<SocketAddr>,
    /// The Unix socket, unless it is off.
    pub(crate) socket: Option<PathBuf>,
    /// Its mode: 0600, or 0660 for a group.
    pub(crate) socket_mode: u32,
    /// Certificate chain, PEM.
    pub(crate) cert: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
    /// Addresses that new tickets carry; empty: derived from `listen`.
    pub(crate) advertise: Vec<String>,
    /// What opens a key slot; none: the store starts locked.
    pub(crate) unlock: Option<UnlockSource>,
    /// How to log.
    pub(crate) log_format: ServerLogFormat,
    /// How much.
    pub(crate) log_level: LogLevel,
    /// Connections at once.
    pub(crate) connections: usize,
    /// Requests at once.
    pub(crate) requests: usize,
    /// Boots that may wait for their turn.
    pub(crate) boots: usize,
    /// The longest that a boot may wait for its turn.
    pub(crate) boot_wait: Duration,
    /// Wrong credentials that one source has free before it is slowed.
    pub(crate) guesses: u32,
    /// How long requests may take to finish once the server shall stop.
    pub(crate) drain: Duration,
    /// The presets of the program, and the operator's own.
    pub(crate) presets: Presets,
    /// How long peers are waited for.
    pub(crate) patience: ConnectionTimeouts,
    /// systemd's credentials of this service.
    pub(crate) credentials: Option<PathBuf>,
    /// systemd's notification socket.
    pub(crate) notify: Option<std::ffi::OsString>,
}

const fn key(flag: &'static str, variable: &'static str, field: &'static str) -> SettingKey {
    SettingKey { flag, variable, field }
}

const STORE: SettingKey = key("--store", "", "store");
const ROLE: SettingKey = key("--role", "", "role");
const LISTEN: SettingKey = key("--listen", "", "listen");
const PLAIN: SettingKey = key("", "", "listen_plain");
const SOCKET: SettingKey = key("", "", "socket");
const SOCKET_MODE: SettingKey = key("", "", "socket_mode");
const CERT: SettingKey = key("", "", "tls.cert");
const TLS_KEY: SettingKey = key("", "", "tls.key");
const ADVERTISE: SettingKey = key("--advertise", "", "advertise");
const PASSPHRASE_FILE: SettingKey = key("--unlock-passphrase-file", "", "unlock.passphrase_file");
const KEY_FILE: SettingKey = key("--unlock-key-file", "", "unlock.key_file");
const LOG_FORMAT: SettingKey = key("--log-format", "", "log.format");
const LOG_LEVEL: SettingKey = key("", "DROPSAFE_LOG", "log.level");
const MAX_CONNECTIONS: SettingKey = key("", "", "limits.connections");
const MAX_REQUESTS: SettingKey = key("", "", "limits.requests");
const MAX_BOOTS: SettingKey = key("", "", "limits.boots");
const BOOT_WAIT: SettingKey = key("", "", "limits.boot_wait");
const FREE_GUESSES: SettingKey = key("", "", "limits.guesses");
const DRAIN_TIME: SettingKey = key("", "", "drain");

const KEYS: [SettingKey; 19] = [
    STORE,
    ROLE,
    LISTEN,
    PLAIN,
    SOCKET,
    SOCKET_MODE,
    CERT,
    TLS_KEY,
    ADVERTISE,
    PASSPHRASE_FILE,
    KEY_FILE,
    LOG_FORMAT,
    LOG_LEVEL,
    MAX_CONNECTIONS,
    MAX_REQUESTS,
    MAX_BOOTS,
    BOOT_WAIT,
    FREE_GUESSES,
    DRAIN_TIME,
];

impl ServeConfig {
    /// Reads all of it. `file` is the text of DIR/server.yaml.
    ///
    /// # Errors
    /// Every fault, each with its place.
    pub fn read(
        data: &Path,
        flags: &ServeFlags,
        environment: &Environment,
        file: &str,
    ) -> Result<Self, SettingErrors> {
        let mut faults = SettingErrors::default();
        let path = data.join(data_dir::CONFIG);
        let yaml = YamlFile::parse(&path.display().to_string(), file, &mut faults);
        let known: Vec<&str> = KEYS.iter().map(|key| key.field).chain([presets::FIELD]).collect();
        yaml.refuse_unknown(&known, &mut faults);
        let presets = presets::read(&yaml, &mut faults);
        let sources: [&dyn SettingSource; 3] = [flags, environment, &yaml];
        let mut reader = SettingReader::new(&sources, &mut faults);

        // Paths in the file are relative to its folder, so that the folder can be moved.
        let within = |text: &str| parse::path(text).map(|path| data.join(path));
        let store = value(reader.one(&STORE, |text| text.parse::<kv::Url>().map(|url| url.in_folder(data))));
        let passphrase_file = reader.one(&PASSPHRASE_FILE, within);
        let key_file = reader.one(&KEY_FILE, within);
        let unlocks = passphrase_file.as_ref().or(key_file.as_ref()).map(|setting| setting.origin.clone());
        let config = Self {
            store: store.unwrap_or_else(|| kv::Url::Sqlite(data.join(data_dir::STORE))),
            role: value(reader.one(&ROLE, str::parse)).unwrap_or_default(),
            listen: value(reader.list(&LISTEN, listen))
                .unwrap_or_else(|| listen(DEFAULT_LISTEN).into_iter().collect()),
            plain: value(reader.list(&PLAIN, loopback)).unwrap_or_default(),
            socket: match value(reader.one(&SOCKET, |text| Ok::<_, parse::ExpectedForm>(text.to_owned())))
                .as_deref()
            {
                Some("off") => None,
                Some(path) => Some(data.join(path)),
                None => Some(data.join(data_dir::SOCKET)),
            },
            socket_mode: value(reader.one(&SOCKET_MODE, socket_mode)).unwrap_or(0o600),
            cert: value(reader.one(&CERT, within))
                .unwrap_or_else(|| data.join(data_dir::TLS).join("cert.pem")),
            key: value(reader.one(&TLS_KEY, within))
                .unwrap_or_else(|| data.join(data_dir::TLS).join("key.pem")),
            advertise: value(
                reader.list(&ADVERTISE, |text| text.parse().map(|found: AdvertisedUrl| found.url)),
            )
            .unwrap_or_default(),
            unlock: match (&passphrase_file, &key_file) {
                (Some(file), _) => Some(UnlockSource::PassphraseFile(file.value.clone())),
                (None, Some(file)) => Some(UnlockSource::KeyFile(file.value.clone())),
                (None, None) => None,
            },
            log_format: value(reader.one(&LOG_FORMAT, str::parse)).unwrap_or_default(),
            log_level: value(reader.one(&LOG_LEVEL, str::parse)).unwrap_or_default(),
            connections: value(reader.one(&MAX_CONNECTIONS, count)).unwrap_or(CONNECTIONS),
            requests: value(reader.one(&MAX_REQUESTS, count))
                .unwrap_or(crate::api::limits::LimitSettings::default().in_flight),
            boots: value(reader.one(&MAX_BOOTS, count))
                .unwrap_or(crate::api::limits::LimitSettings::default().boots_waiting),
            boot_wait: value(reader.one(&BOOT_WAIT, parse::duration))
                .unwrap_or(crate::api::limits::LimitSettings::default().boot_wait),
            guesses: value(reader.one(&FREE_GUESSES, count))
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(crate::api::limits::LimitSettings::default().guesses),
            drain: value(reader.one(&DRAIN_TIME, parse::duration)).unwrap_or(DRAIN),
            presets,
            patience: ConnectionTimeouts::default(),
            credentials: environment.variable("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            notify: environment.variable("NOTIFY_SOCKET").map(ToOwned::to_owned),
            data: data.to_owned(),
        };
        if let (Some(_), Some(file)) = (&passphrase_file, &key_file) {
            faults.push(
                file.origin.clone(),
                "unlocks by a key file, and a passphrase file is set too; leave out one",
            );
        }
        if let (ServerRole::Deposit, Some(origin)) = (config.role, unlocks) {
            faults.push(origin, "a server of the role deposit is never unlocked; leave this out");
        }
        if config.listen.is_empty() && config.plain.is_empty() && config.socket.is_none() {
            faults.push(
                crate::settings::SettingOrigin::File(path.display().to_string().into()),
                "nothing to listen on",
            );
        }
        faults.or(config)
    }

    /// The addresses that new tickets carry.
    pub(crate) fn urls(&self, host: Option<&str>) -> Vec<String> {
        if self.advertise.is_empty() { default_urls(&self.listen, host) } else { self.advertise.clone() }
    }
}

fn value<T>(setting: Option<Setting<T>>) -> Option<T> {
    setting.map(|setting| setting.value)
}

fn socket_mode(text: &str) -> Result<u32, parse::ExpectedForm> {
    match text {
        "0600" | "600" => Ok(0o600),
        "0660" | "660" => Ok(0o660),
        _ => Err("expected 0600 or 0660"),
    }
}

fn count(text: &str) -> Result<usize, parse::ExpectedForm> {
    match text.parse() {
        Ok(count) if (1..=1_000_000).contains(&count) => Ok(count),
        _ => Err("expected a number from 1 to 1000000"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Result<ServeConfig, SettingErrors> {
        ServeConfig::read(Path::new("/data"), &ServeFlags::default(), &Environment::default(), file)
    }

    #[test]
    fn nothing_said_is_a_private_server() {
        let config = read("").unwrap();
        assert_eq!(config.listen, [DEFAULT_LISTEN.parse().unwrap()]);
        assert_eq!(config.socket.as_deref(), Some(Path::new("/data/dropsafe.sock")));
        assert_eq!(config.store, kv::Url::Sqlite("/data/store.db".into()));
        assert_eq!(config.unlock, None);
        assert_eq!(config.urls(Some("vault")), ["https://127.0.0.1:7373"]);
    }

    #[test]
    fn a_flag_overrides_the_file() {
        let flags = ServeFlags {
            listen: vec!["[::1]:1".to_owned()],
            log_format: Some("json".to_owned()),
            ..ServeFlags::default()
        };
        let file = "listen: 0.0.0.0:7373\nadvertise: [vault.example:7373]\nsocket: off\ntls: {cert: a.pem, key: /b.pem}\n";
        let config = ServeConfig::read(Path::new("/data"), &flags, &Environment::default(), file).unwrap();
        assert_eq!(config.listen, ["[::1]:1".parse().unwrap()]);
        assert_eq!(config.advertise, ["https://vault.example:7373"]);
        assert_eq!(config.socket, None);
        assert_eq!((config.cert, config.key), ("/data/a.pem".into(), "/b.pem".into()));
        assert_eq!(config.log_format, ServerLogFormat::Json);
    }

    #[test]
    fn a_server_for_deposits_is_not_unlocked() {
        assert_eq!(read("role: release\n").unwrap().role, ServerRole::Release);
        assert_eq!(read("role: deposit\n").unwrap().role, ServerRole::Deposit);
        let faults = read("role: deposit\nunlock: {key_file: k}\n").unwrap_err();
        assert_eq!(faults.len(), 1, "{faults}");
        assert!(read("role: canary\n").is_err());
    }

    #[test]
    fn every_fault_is_told_at_once_and_quotes_nothing() {
        let file = "listen: canary\nlisten_plain: 0.0.0.0:80\nlissten: canary\nstore: canary\nlog: {level: canary}\n\
                    unlock: {passphrase_file: a, key_file: b}\nsocket_mode: 777\nlimits: {requests: 0}\nadvertise: 'a b:c'\n";
        let faults = read(file).unwrap_err();
        assert!(faults.len() >= 8, "{faults}");
        assert!(!faults.to_string().contains("canary"), "{faults}");
    }
}
